"""The front door of partial differential equations: an equation, a grid, a first field, an end time."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from duhamel.core.linear import like
from duhamel.core.status import Status
from duhamel.core.types import Spectrum
from duhamel.methods.base import Method
from duhamel.methods.exponential import ETDRK4, ExponentialRK
from duhamel.methods.imex import IMEXRK
from duhamel.solver.adjoint import Forward, Tape
from duhamel.solver.control import PID, Fixed
from duhamel.solver.failed import visible
from duhamel.solver.save import Save
from duhamel.solver.solution import Solution, SolveError
from duhamel.solver.solve import solve as solve_ode

from .arguments import as_floating, whole
from .equation import Box, Equation, with_arrays
from .posed import advice_on_growth, check_explicit_diffusion, check_kinds, check_posed, check_seam
from .space import Space
from .stability import longest_step


def solve(
    equation: Any,
    grid: Any,
    u0: Any,
    t1_or_ts: Any,
    *,
    t0: Any = 0.0,
    steps: Any = None,
    dt: Any = None,
    control: PID | Fixed | None = None,
    method: Method | None = None,
    save: Callable | None = None,
    monitor: bool = False,
    adjoint: Tape | Forward | None = None,
    progress: Callable | None = None,
    max_steps: Any = 100_000,
    throw: bool = True,
) -> Solution:
    """Solve u_t = L u + N(u) on a box, periodic or with walls.

        sol = pde.solve(pde.KdV(), pde.periodic(256, 40.0), None, 1.0, steps=800)    # sol.x: u(1, x), (256,)
        sol = pde.solve(equation, grid, u0, np.linspace(0, 10, 101), dt=1e-2)        # sol.x: (101, *grid.shape)
        sol = pde.solve(pde.Heat(), pde.box(pde.Legendre(48, 1.0, left=pde.Dirichlet(1.0))), u0, 1.0, steps=100)
        beat = pde.Dirichlet(lambda t: jnp.sin(t))     # values at walls may vary in time,
    warm = pde.Dirichlet(lambda t, y: y * (1 - y))     # and along them

    u0        field at the points of the grid, float32 or float64 (complex for NLSE), or None: `equation.initial(grid)`;
              or a Solution of the same equation, box and method: goes on from where it stopped, t0 is where it began
    t1_or_ts  the end time, or save times; only there is the field brought back to real space
    steps, dt number of equal steps, or their greatest length; or control=PID(rtol, atol) for steps chosen by the error
    method    ETDRK4() unless told; HochbruckOstermann() and the others are in `duhamel.methods.exponential`
    save      save(t, modes) instead of the field, such as `lambda t, modes: equation.invariants(grid, modes)`; with
              `grid.at(t)` where walls' values vary in time
    monitor   True: `sol.x` is `Monitored(u, invariants)`, the equation's integrals at each save time beside the field
    progress  progress(part) is called now and then, part from 0 to 1; `duhamel.Bar()` draws a bar
    throw     False: no error where a solve fails; `sol.status` says why it stopped (one number per lane under vmap),
              and rows of `sol.x` from there on are not finite

    `sol.x1` is the last state in modes. Works under jit, grad and vmap, parameters of the equation included.
    """
    check_kinds(equation, grid)
    equation.check(grid)
    method = ETDRK4() if method is None else method
    if isinstance(grid, Space):
        grid.check_walls(t0)
    again = isinstance(u0, Solution)
    x0 = _state_of(equation, grid, u0) if again else first_modes(equation, grid.at(t0), u0)
    begin = u0.t1 if again else t0
    control = _control(steps, dt, control, begin, t1_or_ts)
    check_posed(equation, grid, begin, t1_or_ts, float(jnp.finfo(x0.dtype).eps))
    check_explicit_diffusion(equation, grid, method, control, begin, t1_or_ts)
    fn = FieldAtPoints(grid, equation.real) if save is None else WithoutArguments(save)
    solution = solve_ode(
        equation.problem(grid),
        u0 if again else x0,
        t1_or_ts,
        t0=t0,
        method=method,
        control=control,
        adjoint=adjoint,
        progress=progress,
        save=Save(fn=Monitor(fn, with_arrays(equation), grid) if monitor else fn),
        max_steps=max_steps,
        throw=False,
    )
    if throw and isinstance(solution.status, Tracer):
        return visible(solution)
    if throw and not bool(solution.ok):
        raise SolveError(what_happened(equation, grid, x0, method, control, solution, t1_or_ts, begin), solution)
    return solution


class FieldAtPoints(eqx.Module):
    grid: Box = eqx.field(static=True)
    real: bool = eqx.field(static=True)

    def __call__(self, t: Any, modes: Spectrum, args: Any) -> Any:
        del args
        return self.grid.at(t).to_points(modes, self.real)


class Monitored(NamedTuple):
    """What `solve(..., monitor=True)` keeps at each save time: the field (or what `save` makes of it), and the
    equation's integrals by name."""

    u: Any
    invariants: dict[str, Any]


class Monitor(eqx.Module):
    fn: Callable
    equation: Equation
    grid: Box = eqx.field(static=True)

    def __call__(self, t: Any, modes: Spectrum, args: Any) -> Monitored:
        return Monitored(self.fn(t, modes, args), self.equation.invariants(self.grid.at(t), modes))


class WithoutArguments(eqx.Module):
    function: Callable

    def __call__(self, t: Any, modes: Spectrum, args: Any) -> Any:
        del args
        return self.function(t, modes)


class Sizes(eqx.Module):
    """The largest |value| of each field at the points."""

    equation: Equation
    grid: Box = eqx.field(static=True)

    def __call__(self, t: Any, modes: Spectrum, args: Any) -> Any:
        u = jnp.abs(self.equation.to_points(self.grid.at(t), modes))
        return jnp.max(u.reshape(len(self.equation.fields), -1), axis=1)


def what_happened(
    equation: Equation,
    grid: Box,
    x0: Spectrum,
    method: Method,
    control: PID | Fixed,
    solution: Solution,
    ts: Any,
    t0: Any,
) -> str:
    """Why a solve stopped, after which step and when, which field was largest, and what to do."""
    status, t, taken = Status(int(solution.status)), float(solution.t1), int(solution.stats.accepted)
    here = advice = rows = ""
    if status is Status.nonfinite and isinstance(control, Fixed):  # equal steps go on to the end: which was the last?
        end = float(np.asarray(ts).reshape(-1)[-1])
        save, problem = Save(steps=True, fn=Sizes(equation, grid)), equation.problem(grid)
        again = solve_ode(
            problem, x0, end, t0=t0, method=method, control=control, save=save, max_steps=taken, throw=False
        )
        sizes = np.asarray(again.x)
        taken = int(np.argmin(np.append(np.isfinite(sizes).all(axis=1), False))) - 1
        t, most = float(again.t[taken]), int(np.argmax(sizes[taken]))
        here = f", with |{equation.fields[most]}| up to {sizes[taken, most]:.3g}"
        step = abs(end - float(t0)) / int(solution.stats.accepted)
        advice = advice_on_growth(equation, grid, end - float(t0))
        advice = advice or f" Take steps of {_shorter(equation, grid, x0, method, step)}, or control=PID(rtol=1e-6)."
    if np.ndim(solution.t):
        kept = int(np.sum(np.asarray(solution.t) <= t))
        rows = f" Rows 0 to {kept - 1} of .solution.x hold what was computed; the rest is NaN."
    return f"{status.message} The last good step is number {taken}, at t = {t:.6g}{here}.{advice}{rows}"


def _shorter(equation: Equation, grid: Box, x0: Spectrum, method: Method, step: float) -> str:
    limit = longest_step(equation, grid, x0, method) if isinstance(method, ExponentialRK | IMEXRK) else np.inf
    if limit < step:
        return f"{limit / 2:.2g} or less, not {step:.2g}: from the first field about {limit:.2g} is stable"
    return f"{step / 4:.2g} or less, not {step:.2g}"


def first_modes(equation: Equation, grid: Box, u0: Any = None) -> Spectrum:
    """Modes of the first field, without those that products drop (`equation.dealias`)."""
    given = u0 is not None
    u0 = as_floating(equation.initial(grid) if u0 is None else u0)
    shape = np.shape(u0)
    if shape != equation.shape(grid):
        names = f" for each of {', '.join(equation.fields)}" if len(equation.fields) > 1 else ""
        raise ValueError(
            f"u0 has shape {shape}, and this equation on this box {equation.shape(grid)}; give one value per "
            f"point{names}, or None."
        )
    if equation.real and jnp.iscomplexobj(u0):
        raise TypeError(f"{type(equation).__name__} has a real field, and u0 is complex; pass u0.real.")
    if not isinstance(u0, Tracer) and not np.all(np.isfinite(np.asarray(u0))):
        raise ValueError("u0 holds values that are NaN or infinite; the first field must be finite everywhere.")
    if given and not isinstance(u0, Tracer):
        check_seam(grid, np.asarray(u0))
    modes = equation.to_modes(grid, u0)
    return like(grid.mask(equation.dealias, equation.real), modes) * modes


def _state_of(equation: Equation, grid: Box, solution: Solution) -> Spectrum:
    """The modes at which an earlier solve of the same equation ended."""
    x1 = solution.x1
    fields = equation.shape(grid)[: len(equation.shape(grid)) - grid.dim]
    wanted = (*fields, *grid.modes_shape(equation.real))
    if np.shape(x1) != wanted:
        raise ValueError(
            f"u0 is a Solution whose state has shape {np.shape(x1)}, and {type(equation).__name__} on this box has "
            f"modes of shape {wanted}; pass one of the same equation and box, or a field: solution.x[-1]."
        )
    return x1


def _control(steps: Any, dt: Any, control: PID | Fixed | None, t0: Any, t1_or_ts: Any) -> PID | Fixed:
    given = sum(v is not None for v in (steps, dt, control))
    if given != 1:
        raise ValueError(
            f"{given} of steps, dt and control are given; say one: steps=800, dt=1e-3, or control=PID(rtol=1e-6)."
        )
    if control is not None:
        return control
    if steps is not None:
        return Fixed(whole(steps, "steps", "the number of steps", 800))
    if any(isinstance(t, Tracer) for t in (t0, t1_or_ts, dt)):
        raise ValueError("dt with traced times does not tell the number of steps: give steps=N.")
    span = abs(float(np.asarray(t1_or_ts).reshape(-1)[-1]) - float(t0))
    if not (np.isfinite(dt) and dt > 0):
        raise ValueError(f"dt = {dt} is the length of a step; it must be positive and finite.")
    return Fixed(max(1, int(np.ceil(span / dt * (1 - 1e-12)))))
