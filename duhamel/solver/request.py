"""What a user asked for, checked: the same for one state and for many lanes."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from duhamel.core.linear import Linear, Scalar
from duhamel.core.problem import (
    Deterministic,
    LangevinProblem,
    MassProblem,
    Problem,
    SeparableProblem,
    SplitProblem,
    Stochastic,
    as_problem,
    close,
)
from duhamel.methods.base import Method, RowMethod, time_dtype
from duhamel.methods.explicit import Tsit5
from duhamel.methods.fits import fitting, kind

from . import checks
from .adjoint import Adjoint, Tape
from .control import CFL, PID, Control, Fixed, bounded
from .event import bind_events
from .pace import by_waves
from .save import Save, bind_save
from .solution import Solution
from .stepper import Stepper, initial_step
from .task import Resume, Task
from .times import Times, endless, fixed_grid, from_t0, times


class Request(eqx.Module):
    """Arguments of `solve` and `ensemble` after all checks.

    control its times (a grid, stops) are counted from t0
    noise   how a Brownian path is drawn, or None; its keys are given beside
    table   coefficients of an exponential method on a fixed grid, or None
    """

    problem: Problem
    times: Times
    args: PyTree
    method: Method
    table: list | None
    control: Control
    adjoint: Adjoint
    save: Save
    events: Any
    noise: Any
    resume: Resume | None
    progress: Callable | None
    dt0: Any
    max_steps: int

    def bound(self, t0: Any, x: PyTree, args: PyTree) -> "Request":
        """With every array that the functions of `save`, `events` and `control` close over as a leaf. x, args: one
        lane's."""
        save, events = bind_save(self.save, t0, x, args), bind_events(self.events, t0, x, args)
        control = self.control
        if isinstance(control, CFL):
            ask = None if control.admissible is None else close(control.admissible, t0, x, args)
            control = CFL(control.number, close(control.rate, t0, x, args), ask)
        where = lambda r: (r.save, r.events, r.control)  # noqa: E731
        return eqx.tree_at(where, self, (save, events, control), is_leaf=lambda v: v is None)


def request(
    problem: Any,
    x: PyTree,
    t1_or_ts: Any,
    t0: Any,
    begin: Any,
    resume: Resume | None,
    *,
    args: PyTree,
    method: Method | None,
    control: Control | None,
    adjoint: Adjoint | None,
    save: Save | None,
    events: Any,
    key: Any,
    noise: Any,
    progress: Callable | None,
    dt0: Any,
    max_steps: Any,
) -> Request:
    """Every check that needs no compiling. x: one lane's state; it stands at `begin`, times are counted from t0."""
    problem = as_problem(problem)
    problem = problem.real(x) if isinstance(problem, MassProblem) else problem
    method = default_method(problem) if method is None else method
    control = PID() if control is None else control
    adjoint = Tape() if adjoint is None else adjoint
    save = Save() if save is None else save
    dtype = time_dtype(x)
    events = None if isinstance(events, Sequence) and not events else events
    checks.fits(problem, method, control, adjoint, save, events)
    control = checks.control(control, method, x)
    args = checks.arguments(args, dtype)
    when = times(t1_or_ts, begin if resume is None else t0, begin, dtype, resume, endless(control, events), x)
    if isinstance(control, PID):
        method = method.estimating(problem, when.begin, x, args)
    fixed_grid(control, when)
    return Request(
        problem=problem,
        times=when,
        args=args,
        method=method,
        table=tabulate(method, problem.linear(), control, when.begin, when.t1),
        control=from_t0(control, when, dtype),
        adjoint=adjoint,
        save=save,
        events=events,
        noise=checks.noise(problem, method, control, key, noise, when.span, events, resume),
        resume=resume,
        progress=progress,
        dt0=None if dt0 is None else jnp.asarray(dt0, dtype),
        max_steps=step_limit(control, max_steps, events, save),
    )


def default_method(problem: Problem) -> Method:
    if isinstance(problem, Deterministic | SplitProblem | SeparableProblem):
        return Tsit5()
    fit = fitting(problem)
    raise ValueError(f"{kind(problem)} needs a method: give method={', '.join(fit[:4]) or '...'}.")


def step_limit(control: Control, max_steps: Any, events: Any, save: Save) -> int:
    """How many attempts a solve may make: a fixed grid's steps, and one more for every event that may cut one."""
    if not isinstance(control, Fixed):
        return checks.max_steps(max_steps)
    return fixed_steps(control) + (save.events if events is not None else 0)


def fixed_steps(control: Fixed) -> int:
    if control.steps is not None:
        return control.steps
    return np.shape(control.grid)[0] - 1


def tabulate(method: Method, L: Linear, control: Control, t0: Any, t1: Any) -> list | None:
    """Coefficients of an exponential method on a fixed grid, computed once: on the host in float64 where L is concrete.

    One row a step; equal steps of an L that does not depend on time need one row. None: nothing to tabulate.
    """
    if not (isinstance(control, Fixed) and isinstance(method, RowMethod) and method.tabulated):
        return None
    grid, steps = control.grid, fixed_steps(control)
    if grid is None and checks.concrete((t0, t1)):
        grid = np.linspace(float(t0), float(t1), steps + 1)
    elif grid is None:
        grid = t0 + (t1 - t0) * jnp.linspace(0.0, 1.0, steps + 1)
    moving = isinstance(L, Scalar) and L.integral is not None
    if control.steps is not None and not moving:
        pairs = [(grid[0], (grid[-1] - grid[0]) / steps)]
    else:
        pairs = [(grid[i], grid[i + 1] - grid[i]) for i in range(steps)]
    rows = [method.coef(L, t, h) for t, h in pairs]
    return [jax.tree.map(lambda *leaves: _stack(leaves), *column) for column in zip(*rows, strict=True)]


def _stack(leaves: tuple) -> Any:
    return np.stack(leaves) if checks.concrete(leaves) else jnp.stack(leaves)


def hint(asked: Request) -> str:
    """What else to say of a solve that failed."""
    noisy = isinstance(asked.problem, Stochastic | LangevinProblem) and isinstance(asked.control, PID)
    if not noisy:
        return ""
    return (
        " A Brownian path is rough, and tolerances as for ordinary equations ask for very many steps: use "
        "control=Fixed(steps), or PID(rtol=1e-2, atol=1e-2)."
    )


def below_atol(asked: Request, x0: PyTree, solution: Solution) -> None:
    """Warn, outside `jit`, if error control never had anything to control: all of it lies below atol."""
    control, states = asked.control, [x0, solution.x1]
    if not isinstance(control, PID) or not checks.concrete((control.atol, x0, solution.status, solution.x1)):
        return
    if asked.save.fn is None and not asked.save.dense:
        states.append(solution.x)
    lanes, atol = solution.status.shape, np.asarray(control.atol)
    largest = np.zeros(lanes)
    unseen = np.ones(lanes, bool)
    for leaf in jax.tree.leaves(states):  # x0 first: that mostly settles it
        if not leaf.is_fully_addressable or leaf.size == 0:
            return
        size = np.abs(np.asarray(leaf))
        unseen &= np.all((size < atol).reshape(*lanes, -1), axis=-1)
        if not unseen.any():
            return
        largest = np.maximum(largest, size.reshape(*lanes, -1).max(axis=-1))
    unseen &= largest > 0
    if unseen.any():
        where = f" in {unseen.sum()} of {unseen.size} lanes" if lanes else ""
        warnings.warn(
            f"all values{where}, at most {float(largest[unseen].max()):.2g}, lie below atol = {float(atol.max()):.2g}: "
            "errors of their size are not seen. Use control=PID(rtol, atol) with a smaller atol, or larger units.",
            stacklevel=4,
        )


def prepare(asked: Request, stepper: Stepper, x0: PyTree, times: Times, dt0: Any) -> tuple[Task, Any]:
    """The task, and the first step to try. times.span is () or (lanes,)."""
    control, save, events, resume = asked.control, asked.save, asked.events, asked.resume
    progress, max_steps = asked.progress, asked.max_steps
    t0, span, relative = times.t0, times.span, times.relative
    if isinstance(control, Fixed) and resume is not None:  # a grid of its own, from where the other ended
        t0, span, relative = t0 + resume.s, span - resume.s, None if relative is None else relative - resume.s
        resume = None
    if isinstance(control, Fixed):
        # With lanes the grid is that of every lane, so the first lane's span stands for all.
        edges = _edges(control, span.reshape(-1)[0], span.dtype)
        stops = jax.lax.stop_gradient(edges) if control.stops else None  # the steps move with the grid already
        task = Task(stepper, t0, span, relative, edges, stops, None, save, events, None, progress, max_steps)
        return task, jnp.broadcast_to(edges[1], span.shape)
    if isinstance(control, CFL):
        task = Task(stepper, t0, span, relative, None, None, control, save, events, resume, progress, max_steps)
        if resume is not None and dt0 is None:
            return task, jax.lax.stop_gradient(resume.h)
        h, _ = by_waves(stepper, control, t0 + 0 * span, x0, span)
        return task, h if dt0 is None else jnp.sign(span) * jnp.minimum(jax.lax.stop_gradient(dt0), jnp.abs(h))
    stops = control.stops  # counted from t0 by `from_t0`; jumps move with them
    stepper = eqx.tree_at(lambda s: s.tol, stepper, (control.rtol, control.atol), is_leaf=lambda v: v is None)
    task = Task(stepper, t0, span, relative, None, stops, control, save, events, resume, progress, max_steps)
    if dt0 is None and resume is not None:
        return task, jax.lax.stop_gradient(resume.h)
    if dt0 is None:
        return task, bounded(control, initial_step(stepper, t0 + 0 * span, x0, control, span))
    return task, jax.lax.stop_gradient(jnp.sign(span) * jnp.minimum(jnp.abs(dt0), jnp.abs(span)))


def _edges(control: Fixed, span: Any, dtype: Any) -> Any:
    if control.steps is not None:
        return span * (jnp.arange(control.steps + 1, dtype=dtype) / control.steps)
    return control.grid
