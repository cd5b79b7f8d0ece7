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

from ..arguments import as_floating, whole
from .euler import Euler
from .law import Law
from .mesh import Mesh
from .placing import has_fields
from .reach import reach
from .reconstruction import MUSCL, WENO5, PiecewiseConstant
from .residual import Admissible, Forced, Rate, Residual, fields_first
from .riemann import HLL, HLLC, Riemann
from .shallow_water import ShallowWater
from .spectral_difference import ElementResidual, SpectralDifference

SAFE = 0.85  # of what a method bears of viscosity and dispersion
DECAYS, OSCILLATES = 2.0, 1.0  # of methods whose table is not known here
Scheme = PiecewiseConstant | MUSCL | WENO5 | SpectralDifference


def solve(
    law: Any,
    mesh: Any,
    u0: Any,
    t1_or_ts: Any,
    *,
    t0: Any = 0.0,
    cfl: Any = 0.4,
    steps: Any = None,
    reconstruct: Scheme | None = None,
    riemann: Riemann | None = None,
    forcing: Callable | None = None,
    method: Method | None = None,
    save: Callable | None = None,
    adjoint: Tape | Forward | None = None,
    progress: Callable | None = None,
    max_steps: Any = 100_000,
    throw: bool = True,
) -> Solution:
    """Solve u_t + div F(u) = S(u) by finite volumes.

        law, mesh = volumes.Euler(), volumes.box(400, sides=volumes.Outflow())
        sol = volumes.solve(law, mesh, law.conserved(w0), 0.2)     # sol.x: (3, 400), density, momentum, energy

    u0        conserved averages in the cells, (..., fields, *cells), float32 or float64; a batch shares its steps; or a
              Solution of the same law and mesh: goes on from where it stopped
    t1_or_ts  the end time, or save times; steps end exactly there
    cfl       cells that the fastest wave may cross in a step, less where viscosity or dispersion ask for less; or
              steps=N equal ones
    reconstruct  MUSCL() unless told; PiecewiseConstant() is first order, WENO5() fifth;
              SpectralDifference(p) makes elements of the cells, and averages over their sub-cells of u
    riemann   HLLC() for Euler, HLLD() for MHD, else HLL(), unless told
    forcing   forcing(t, mesh) -> averages in the cells of a given source, added to S
    method    SSPRK3() unless told; SSPRK2(), SSPRK104(), or any explicit method
    save      save(t, u) instead of the averages
    progress  progress(part) is called now and then, part from 0 to 1; `duhamel.Bar()` draws a bar

    A step that would make a density, a pressure or a depth negative is taken again with half the length; after ten
    halvings the solve stops, says where, and keeps what it has. Works under jit, grad and vmap, parameters of the law
    and of inflows included.
    """
    check_kinds(law, mesh)
    reconstruct = MUSCL() if reconstruct is None else reconstruct
    riemann = default_riemann(law) if riemann is None else riemann
    method = SSPRK3() if method is None else method
    riemann.check(law)
    again = isinstance(u0, Solution)
    first = first_averages(law, mesh, u0.x1 if again else u0, sub_cells(reconstruct))
    begin = u0.t1 if again else t0
    control = _control(law, _refined(mesh, reconstruct), first, method, cfl, steps, begin, t1_or_ts)
    field = residual(law, mesh, reconstruct, riemann)
    solution = solve_ode(
        field if forcing is None else Forced(field, forcing, mesh),
        u0 if again else first,
        t1_or_ts,
        t0=t0,
        method=method,
        control=control,
        adjoint=adjoint,
        progress=progress,
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
    waves = type(law).interfaces is Law.interfaces if law.only_waves is None else law.only_waves
    if has_fields(law) or not waves:
        raise ValueError(
            f"SpectralDifference() knows nothing but the waves of a law, and {type(law).__name__} has more (viscosity, "
            "dispersion, parameters that vary in space): use MUSCL() or WENO5()."
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
    law.check(mesh)
    shape, wanted = np.shape(u0), (len(law.names), *mesh.shape[:-1], sub * mesh.shape[-1])
    if shape[-len(wanted) :] != wanted:
        raise ValueError(f"u0 has shape {shape}; {name} on this mesh needs (..., {', '.join(map(str, wanted))}).")
    u0 = jnp.asarray(as_floating(u0))
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
    law: Law, mesh: Mesh, u0: Any, method: Method, cfl: Any, steps: Any, t0: Any, t1_or_ts: Any
) -> CFL | Fixed:
    if not any(isinstance(t, Tracer) for t in (t0, t1_or_ts)) and np.min(t1_or_ts) < t0:
        raise ValueError("conservation laws are solved forwards in time, as shocks forget: t1 must be greater than t0.")
    limit, decays, oscillates = 1.0, DECAYS, OSCILLATES
    if isinstance(method, ExplicitRK):
        limit = max(1.0, monotone_step(method.tableau))
        decays, oscillates = reach(method.tableau)
    _check_reach(law, mesh, method, oscillates)
    if steps is None:
        if not isinstance(cfl, Tracer) and not 0 < float(cfl) <= limit:
            raise ValueError(f"cfl = {float(cfl):g} must lie between 0 and {limit:.3g}, where this method is stable.")
        return CFL(cfl, Rate(law, mesh, cfl, SAFE * decays, SAFE * max(oscillates, 1e-3)), Admissible(law))
    steps = whole(steps, "steps", "the number of steps", 800)
    control = Fixed(steps)
    rate = Rate(law, mesh, limit, decays, max(oscillates, 1e-3))(0.0, u0)
    if not isinstance(rate, Tracer) and not isinstance(t1_or_ts, Tracer):
        span = float(np.asarray(t1_or_ts).reshape(-1)[-1]) - float(t0)
        number = span / steps * float(rate)
        if number > limit:
            raise ValueError(
                f"steps = {steps} makes the fastest wave cross {number:.3g} cells in a step{_more(law, mesh)}, and at "
                f"most {limit:.3g} is stable: take {int(np.ceil(span * float(rate) / (0.8 * limit)))} steps or more, "
                "or cfl=0.4."
            )
    return control


def _check_reach(law: Law, mesh: Mesh, method: Method, oscillates: float) -> None:
    oscillation = law.stiffness(mesh)[1]
    if oscillates > 0 or isinstance(oscillation, Tracer) or not np.any(oscillation):
        return
    raise ValueError(
        f"{type(law).__name__} has dispersion, and this method amplifies waves that only oscillate: use SSPRK3() or "
        "SSPRK104()."
    )


def _more(law: Law, mesh: Mesh) -> str:
    stiff = law.stiffness(mesh)
    known = not any(isinstance(s, Tracer) for s in stiff)
    return " (viscosity and dispersion counted with it)" if known and any(map(np.any, stiff)) else ""


def check_kinds(law: Any, mesh: Any) -> None:
    """A law and a mesh, in this order."""
    if isinstance(law, type) and issubclass(law, Law):
        raise TypeError(f"law is the class {law.__name__}; make one of it: volumes.{law.__name__}().")
    if not isinstance(law, Law):
        what = "a function" if callable(law) else f"a {type(law).__name__}"
        raise TypeError(
            f"law is {what}; volumes.solve takes a conservation law such as volumes.Euler(), or an instance of an own "
            "subclass of volumes.Law. A vector field f(t, x, args) goes to duhamel.solve."
        )
    if not isinstance(mesh, Mesh):
        raise TypeError(f"mesh is a {type(mesh).__name__}; give a box of cells made by volumes.box(400).")


def what_happened(law: Law, mesh: Mesh, solution: Solution) -> str:
    """One sentence or two: why the solve stopped, after which step, when, and where the last good state is weakest."""
    status = Status(int(solution.status))
    where = f"Stopped after step {int(solution.stats.accepted)} at t = {float(solution.t1):.6g}"
    low = _lowest(law, mesh, solution.x1)
    return f"{status.message} {where}{'; ' + low if low else ''}. What was computed is in .solution of this error."


def _lowest(law: Law, mesh: Mesh, u: Any) -> str:
    """The smallest of what must be positive, and its place."""
    found = []
    for name, value in law.measured(fields_first(law, jnp.asarray(u))).items():
        value = np.asarray(value)
        place = np.unravel_index(np.nanargmin(value) if np.isfinite(value).any() else 0, value.shape)
        parts = zip("xy", mesh.start, mesh.length, value.shape[-mesh.dim :], place[-mesh.dim :], strict=False)
        centres = ", ".join(f"{axis} = {a + s * (i + 0.5) / n:.4g}" for axis, a, s, n, i in parts)
        found.append(f"the smallest {name} is {value[place]:.3g}, at {centres}")
    return "; ".join(found)
