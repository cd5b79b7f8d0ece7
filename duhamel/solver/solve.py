"""The first front door: one initial value problem."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import PyTree

from duhamel.core.linear import Linear, Scalar
from duhamel.core.problem import Deterministic, Problem, SeparableProblem, SplitProblem, as_problem
from duhamel.core.status import Status
from duhamel.methods.base import Method, RowMethod, like, time_dtype
from duhamel.methods.consistent import check_start
from duhamel.methods.explicit import Tsit5
from duhamel.methods.fits import fitting, kind

from . import checks
from .adjoint import Adjoint, Tape
from .control import PID, Fixed
from .event import Event, bind_events
from .loop import evaluations
from .save import Save, bind_save, read
from .sharding import vary_together
from .solution import DenseOutput, Events, Solution, Stats
from .stepper import Stepper, bind, initial_step
from .task import Resume, State, Task, output


def solve(
    problem: Any,
    x0: PyTree,
    t1_or_ts: Any,
    *,
    t0: Any = 0.0,
    args: PyTree = None,
    method: Method | None = None,
    control: PID | Fixed | None = None,
    adjoint: Adjoint | None = None,
    save: Save | None = None,
    events: Event | Sequence[Event] | None = None,
    key: Any = None,
    noise: Any = None,
    progress: Callable | None = None,
    dt0: Any = None,
    max_steps: int = 4096,
    throw: bool = True,
) -> Solution:
    """Solve dx/dt = f(t, x, args), x(t0) = x0.

        sol = solve(lambda t, x: -x, 1.0, 5.0)         # sol.x: x(5)
        sol = solve(f, x0, jnp.linspace(0, 10, 101))   # sol.x: (101, ...)

    problem   a vector field f(t, x, args) or f(t, x), `ODE(f)`, `Semilinear(L, N)` for dx/dt = L x + N(t, x, args),
              `SDE(drift, diffusion)` or another of `core.problem`
    x0        array or pytree of arrays, float32, float64 or complex; all arithmetic is in its precision
    t1_or_ts  the end time, or save times; before t0: the solve runs backwards
    args      passed to f; differentiated, like x0, t0, the times and every array f closes over
    method    Tsit5() unless told; ETDRK4() and its relatives treat L exactly
    control   PID(rtol=1e-6, atol=1e-9) unless told, or Fixed(steps)
    adjoint   Tape() for reverse mode (the default), Forward() for forward mode
    save      Save(steps=True), Save(dense=True), Save(fn=...)
    events    Event(g), or several: the solve stops, or goes on from a new state, where g(t, x, args) crosses zero
    key       a jax.random key, for equations with noise: the same key gives the same Brownian path
    noise     how that path is drawn: Counter() on a fixed grid, VirtualTree() under PID unless told
    progress  progress(part) is called on the host now and then, part from 0 to 1; `duhamel.Bar()` draws a bar
    dt0       first step to try, chosen by the local error unless told
    max_steps attempts before a solve is given up with a Status
    x0        may also be a Solution of the same problem and method: goes on from where it stopped (end time, event,
              max_steps), with its step size and history, as if it had not; t0 is then where that one began
    throw     raise SolveError when a solve fails; inside `jit`, read sol.status instead

    Works under jit, vmap, grad and jvp (with Forward()), forwards and backwards in time.
    """
    problem = as_problem(problem)
    x0, t0, begin, resume = checks.beginning(x0, t0)
    method = default_method(problem) if method is None else method
    control = PID() if control is None else control
    adjoint = Tape() if adjoint is None else adjoint
    save = Save() if save is None else save
    dtype = time_dtype(x0)
    checks.fits(problem, method, control, adjoint, save, events)
    control = checks.control(control, method, x0)
    args = checks.arguments(args, dtype)
    begin, t1, ts = checks.times(t1_or_ts, begin, dtype)
    t0 = begin if resume is None else t0
    checks.fixed_grid(control, begin, t1)
    check_start(problem, x0, begin, args)
    noise = checks.noise(problem, method, control, key, noise, begin, t1, events, resume)
    steps = step_limit(control, max_steps, events, save)
    table = tabulate(method, problem.linear(), control, begin, t1)
    dt0 = None if dt0 is None else jnp.asarray(dt0, dtype)
    with_noise = None if noise is None else (noise, key)
    solution = _solve(
        problem,
        x0,
        t0,
        t1,
        ts,
        args,
        method,
        table,
        control,
        adjoint,
        save,
        events,
        with_noise,
        resume,
        progress,
        dt0,
        steps,
    )
    if not isinstance(solution.status, Tracer):
        solution = _trim(solution, save)
        if throw:
            solution.raise_if_failed()
    return solution


def default_method(problem: Problem) -> Method:
    if isinstance(problem, Deterministic | SplitProblem | SeparableProblem):
        return Tsit5()
    fit = fitting(problem)
    raise ValueError(f"{kind(problem)} needs a method: give method={', '.join(fit[:4]) or '...'}.")


@eqx.filter_jit
def _solve(
    problem: Problem,
    x0: PyTree,
    t0: Any,
    t1: Any,
    ts: Any,
    args: PyTree,
    method: Method,
    table: list | None,
    control: PID | Fixed,
    adjoint: Adjoint,
    save: Save,
    events: Any,
    noise: Any,
    resume: Resume | None,
    progress: Callable | None,
    dt0: Any,
    max_steps: int,
) -> Solution:
    x0, t0, t1, ts, args, dt0 = vary_together((x0, t0, t1, ts, args, dt0))
    stepper = bind(problem, method, t0, x0, args)
    checks.field(stepper.problem, t0, x0, args)
    stepper = with_arrays(stepper, args, table)
    save, events = bind_save(save, t0, x0, args), bind_events(events, t0, x0, args)
    if noise is not None:
        chosen, key = noise
        shape = stepper.problem.noise_shape(t0, x0, args)
        bound = chosen.bind(key, shape, t1 - t0, method.noise)
        stepper = eqx.tree_at(lambda s: s.noise, stepper, bound, is_leaf=lambda v: v is None)
    task, h = prepare(stepper, x0, t0, t1, ts, control, save, events, resume, progress, dt0, max_steps)
    if task.stepper.table is not None:
        task = eqx.tree_at(lambda t: t.stepper.table, task, like(task.stepper.table, x0))
    task, x0, h = vary_together((task, x0, h))
    state = adjoint.march(task, x0, h)
    return solution_of(task, state, ts, control, dt0)


def with_arrays(stepper: Stepper, args: PyTree, table: list | None) -> Stepper:
    return eqx.tree_at(lambda s: (s.args, s.table), stepper, (args, table), is_leaf=lambda v: v is None)


def step_limit(control: PID | Fixed, max_steps: Any, events: Any, save: Save) -> int:
    """How many attempts a solve may make: a fixed grid's steps, and one more for every event that may cut one."""
    if isinstance(control, PID):
        return checks.max_steps(max_steps)
    return fixed_steps(control) + (save.events if events is not None else 0)


def fixed_steps(control: Fixed) -> int:
    if control.steps is not None:
        return control.steps
    return np.shape(control.grid)[0] - 1


def prepare(
    stepper: Stepper,
    x0: PyTree,
    t0: Any,
    t1: Any,
    ts: Any,
    control: Any,
    save: Save,
    events: tuple[Event, ...],
    resume: Resume | None,
    progress: Any,
    dt0: Any,
    max_steps: int,
) -> tuple[Task, Any]:
    """The task, and the first step to try. t0 and t1 are () or (lanes,)."""
    span = t1 - t0
    relative = None if ts is None else ts - t0
    if isinstance(control, Fixed) and resume is not None:  # a grid of its own, from where the other ended
        t0, span, relative = t0 + resume.s, span - resume.s, None if relative is None else relative - resume.s
        resume = None
    if isinstance(control, Fixed):
        # With lanes the grid is that of every lane, so the first lane's span stands for all.
        edges = _edges(control, t0, span.reshape(-1)[0], span.dtype)
        stops = edges if control.stops else None
        task = Task(stepper, t0, span, relative, edges, stops, None, save, events, None, progress, max_steps)
        return task, jnp.broadcast_to(edges[1], span.shape)
    stops = None if control.stops is None else jax.lax.stop_gradient(jnp.asarray(control.stops, span.dtype) - t0)
    stepper = eqx.tree_at(lambda s: s.tol, stepper, (control.rtol, control.atol), is_leaf=lambda v: v is None)
    task = Task(stepper, t0, span, relative, None, stops, control, save, events, resume, progress, max_steps)
    if dt0 is None and resume is not None:
        return task, jax.lax.stop_gradient(resume.h)
    if dt0 is None:
        return task, initial_step(stepper, t0 + 0 * span, x0, control, span)
    return task, jax.lax.stop_gradient(jnp.sign(span) * jnp.minimum(jnp.abs(dt0), jnp.abs(span)))


def _edges(control: Fixed, t0: Any, span: Any, dtype: Any) -> Any:
    if control.steps is not None:
        return span * (jnp.arange(control.steps + 1, dtype=dtype) / control.steps)
    return jnp.asarray(control.grid, dtype) - jnp.asarray(t0).reshape(-1)[0]


def tabulate(method: Method, L: Linear, control: PID | Fixed, t0: Any, t1: Any) -> list | None:
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


def solution_of(task: Task, state: State, ts: Any, control: Any, dt0: Any) -> Solution:
    still = jax.lax.stop_gradient
    chosen = not isinstance(control, Fixed) and dt0 is None
    started = (2 if chosen else 0) + task.stepper.method.started
    x1 = state.slots["x"]
    # A solve that arrived ends at t1 itself, so that fn(t, x, args) can be differentiated with respect to it.
    end = jnp.where(still(state.s == task.span), task.span, still(state.s))
    happened = None
    if state.hits is not None:
        happened = _events(task, state)
        end = jnp.where(state.status == Status.event, happened.last - task.t0, end)
    t1 = task.t0 + end
    at_times, every, times = state.saves
    dense = None
    if task.save.every_step:
        t, x = still(times), every["x"] if task.save.dense else every
    elif ts is not None:
        t, x = ts, at_times
    else:
        t, x = t1, output(task, t1, x1)
    none = jnp.zeros_like(state.tried)
    jacobians, factorizations = (state.counts.get(name, none) for name in ("jacobians", "factorizations"))
    nfe = evaluations(task, state, started)
    stats = Stats(state.accepted, state.tried - state.accepted, nfe, jacobians, factorizations)
    slots = {name: state.slots[name] for name in task.stepper.method.carried}
    resume = still(Resume(task.t0, end, state.h, slots, state.before))
    if task.save.dense:
        dense = DenseOutput(task, still(times), every, state.accepted)
    return Solution(
        t, x, t1, x1, state.status, stats, state.sums["error"], dense, happened, state.sums.get("stiffness"), resume
    )


def _events(task: Task, state: State) -> Events:
    hits = state.hits
    assert hits is not None
    rows = hits.s.shape[0]
    index = jnp.clip(hits.total - 1, 0, rows - 1)
    return Events(hits.total, task.t0 + hits.s, hits.which, hits.x, task.t0 + read(hits.s, index))


def _trim(solution: Solution, save: Save) -> Solution:
    """Outside `jit` the rows of every step are exactly those taken."""
    if not save.every_step or solution.stats.accepted.ndim:
        return solution
    rows = int(solution.stats.accepted) + 1
    x = jax.tree.map(lambda leaf: leaf[:rows], solution.x)
    return eqx.tree_at(lambda s: (s.t, s.x), solution, (solution.t[:rows], x))
