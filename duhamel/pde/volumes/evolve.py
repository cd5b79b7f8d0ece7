"""The front door: a conservation law on a box of cells, handed to `duhamel.solve`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from duhamel.core.status import Status
from duhamel.methods.base import Method
from duhamel.methods.explicit import SSPRK3, ExplicitRK
from duhamel.methods.tableaux.ssp import monotone_step
from duhamel.solver.adjoint import Forward, Tape
from duhamel.solver.control import CFL, Fixed
from duhamel.solver.failed import visible
from duhamel.solver.save import Save
from duhamel.solver.solution import Solution, SolveError
from duhamel.solver.solve import solve as solve_ode

from .euler import Euler
from .law import Law
from .mesh import Mesh
from .reconstruction import MUSCL, WENO5, PiecewiseConstant
from .residual import Admissible, Forced, Rate, Residual, fields_first
from .riemann import HLL, HLLC, Riemann
from .shallow_water import ShallowWater
from .spectral_difference import ElementResidual, SpectralDifference

Scheme = PiecewiseConstant | MUSCL | WENO5 | SpectralDifference


def solve(
    law: Law,
    mesh: Mesh,
    u0: Any,
    t1_or_ts: Any,
    *,
    t0: Any = 0.0,
    cfl: Any = 0.4,
    steps: int | None = None,
    reconstruct: Scheme | None = None,
    riemann: Riemann | None = None,
    forcing: Callable | None = None,
    method: Method | None = None,
    save: Callable | None = None,
    adjoint: Tape | Forward | None = None,
    max_steps: int = 100_000,
    throw: bool = True,
) -> Solution:
    """Solve u_t + div F(u) = S(u) by finite volumes.

        law, mesh = volumes.Euler(), volumes.box(400, sides=volumes.Outflow())
        sol = volumes.solve(law, mesh, law.conserved(w0), 0.2)     # sol.x: (3, 400), density, momentum, energy

    u0        conserved averages in the cells, (..., fields, *cells), float32 or float64; a batch shares its steps
    t1_or_ts  the end time, or save times; steps end exactly there
    cfl       cells that the fastest wave may cross in a step; or steps=N equal ones
    reconstruct  MUSCL() unless told; PiecewiseConstant() is first order, WENO5() fifth;
              SpectralDifference(p) makes elements of the cells, and averages over their sub-cells of u
    riemann   HLLC() for Euler, HLLD() for MHD, else HLL(), unless told
    forcing   forcing(t, mesh) -> averages in the cells of a given source, added to S
    method    SSPRK3() unless told; SSPRK2(), SSPRK104(), or any explicit method
    save      save(t, u) instead of the averages

    A step that would make a density, a pressure or a depth negative is taken again with half the length; after ten
    halvings the solve stops, says where, and keeps what it has. Works under jit, grad and vmap, parameters of the law
    and of inflows included.
    """
    reconstruct = MUSCL() if reconstruct is None else reconstruct
    riemann = default_riemann(law) if riemann is None else riemann
    method = SSPRK3() if method is None else method
    riemann.check(law)
    u0 = first_averages(law, mesh, u0, sub_cells(reconstruct))
    control = _control(law, _refined(mesh, reconstruct), u0, method, cfl, steps, t0, t1_or_ts)
    field = residual(law, mesh, reconstruct, riemann)
    solution = solve_ode(
        field if forcing is None else Forced(field, forcing, mesh),
        u0,
        t1_or_ts,
        t0=t0,
        method=method,
        control=control,
        adjoint=adjoint,
        save=None if save is None else Save(fn=lambda t, u, args: save(t, u)),
        max_steps=max_steps,
        throw=False,
    )
    if throw and isinstance(solution.status, Tracer):
        return visible(solution)
    if throw and not Status(int(solution.status)).ok:
        raise SolveError(what_happened(law, mesh, solution), solution)
    return solution


def residual(law: Law, mesh: Mesh, reconstruct: Scheme, riemann: Riemann) -> Residual | ElementResidual:
    """The vector field of a scheme."""
    if not isinstance(reconstruct, SpectralDifference):
        return Residual(law, mesh, reconstruct, riemann)
    if law.dim != 1 or isinstance(law, ShallowWater):
        raise ValueError(
            "SpectralDifference() is written in one dimension, for laws without a bed: use MUSCL() or WENO5()."
        )
    return ElementResidual(law, mesh, reconstruct, riemann)


def sub_cells(reconstruct: Scheme) -> int:
    """Unknowns per cell."""
    return reconstruct.points if isinstance(reconstruct, SpectralDifference) else 1


def _refined(mesh: Mesh, reconstruct: Scheme) -> Mesh:
    """The mesh whose cells bound the step: a polynomial of degree p allows 1/(2p + 1) of a cell's step."""
    if not isinstance(reconstruct, SpectralDifference):
        return mesh
    return Mesh((mesh.shape[0] * (2 * reconstruct.degree + 1),), mesh.length, mesh.start, mesh.sides)


def default_riemann(law: Law) -> Riemann:
    if isinstance(law, Euler):
        return HLLC()
    if type(law).__name__ == "MHD":
        from .riemann_mhd import HLLD

        return HLLD()
    return HLL()


def first_averages(law: Law, mesh: Mesh, u0: Any, sub: int = 1) -> jax.Array:
    """u0 as an array, held against the law and the mesh."""
    name = type(law).__name__
    if law.dim != mesh.dim:
        raise ValueError(f"{name} is written in {law.dim} dimensions, and the mesh has {mesh.dim}; make them agree.")
    shape, wanted = np.shape(u0), (len(law.names), *mesh.shape[:-1], sub * mesh.shape[-1])
    if shape[-len(wanted) :] != wanted:
        raise ValueError(f"u0 has shape {shape}; {name} on this mesh needs (..., {', '.join(map(str, wanted))}).")
    u0 = jnp.asarray(u0)
    if isinstance(u0, Tracer):
        return u0
    q = fields_first(law, u0)
    if not np.all(np.isfinite(q)):
        bad = [field for field, row in zip(law.names, np.asarray(q), strict=True) if not np.all(np.isfinite(row))]
        raise ValueError(f"u0 holds values that are NaN or infinite in {', '.join(bad)}; it must be finite everywhere.")
    good = jnp.all(law.admissible(q))
    if not isinstance(good, Tracer) and not bool(good):
        raise ValueError(f"u0 makes no sense: {_lowest(law, mesh, u0)}. Pass conserved fields: law.conserved(w).")
    return u0


def _control(
    law: Law, mesh: Mesh, u0: Any, method: Method, cfl: Any, steps: int | None, t0: Any, t1_or_ts: Any
) -> CFL | Fixed:
    if not any(isinstance(t, Tracer) for t in (t0, t1_or_ts)) and np.min(t1_or_ts) < t0:
        raise ValueError("conservation laws are solved forwards in time, as shocks forget: t1 must be greater than t0.")
    limit = 1.0
    if isinstance(method, ExplicitRK):
        limit = max(1.0, monotone_step(method.tableau))
    if steps is None:
        if not isinstance(cfl, Tracer) and not 0 < float(cfl) <= limit:
            raise ValueError(f"cfl = {float(cfl):g} must lie between 0 and {limit:.3g}, where this method is stable.")
        return CFL(cfl, Rate(law, mesh), Admissible(law))
    control = Fixed(steps)
    rate = Rate(law, mesh)(0.0, u0)
    if not isinstance(rate, Tracer) and not isinstance(t1_or_ts, Tracer):
        span = float(np.asarray(t1_or_ts).reshape(-1)[-1]) - float(t0)
        number = span / steps * float(rate)
        if number > limit:
            raise ValueError(
                f"steps = {steps} makes the fastest wave cross {number:.3g} cells in a step, and at most {limit:.3g} "
                f"is stable: take {int(np.ceil(span * float(rate) / (0.8 * limit)))} steps or more, or cfl=0.4."
            )
    return control


def what_happened(law: Law, mesh: Mesh, solution: Solution) -> str:
    """One sentence or two: why the solve stopped, after which step, when, and where the last good state is weakest."""
    status = Status(int(solution.status))
    where = f"Stopped after step {int(solution.stats.accepted)} at t = {float(solution.t1):.6g}"
    low = _lowest(law, mesh, solution.x1)
    return f"{status.message} {where}{'; ' + low if low else ''}. What was computed is in .solution of this error."


def _lowest(law: Law, mesh: Mesh, u: Any) -> str:
    """The smallest of what must be positive, and its place."""
    found = []
    for name, value in law.positive(law.primitive(fields_first(law, jnp.asarray(u)))).items():
        value = np.asarray(value)
        place = np.unravel_index(np.nanargmin(value) if np.isfinite(value).any() else 0, value.shape)
        parts = zip("xy", mesh.start, mesh.length, value.shape[-mesh.dim :], place[-mesh.dim :], strict=False)
        centres = ", ".join(f"{axis} = {a + s * (i + 0.5) / n:.4g}" for axis, a, s, n, i in parts)
        found.append(f"the smallest {name} is {value[place]:.3g}, at {centres}")
    return "; ".join(found)
