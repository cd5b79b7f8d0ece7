"""The first front door: one initial value problem."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import PyTree

from duhamel.core.status import Status
from duhamel.core.switches import own_arithmetic
from duhamel.methods.base import Method, like
from duhamel.methods.consistent import check_start

from . import checks
from .adjoint import Adjoint
from .control import PID, Control
from .event import Event
from .failed import visible
from .habits import refuse
from .loop import evaluations
from .programs import bounded
from .request import Request, below_atol, hint, prepare, request
from .save import Save, read, rows_like, select
from .saving import out_of_order
from .sharding import vary_together
from .solution import DenseOutput, Events, Solution, Stats
from .stepper import bind
from .task import Resume, State, Task, begin_of, output
from .times import Times, coarse_times


@own_arithmetic
def solve(
    problem: Any,
    x0: PyTree,
    t1_or_ts: Any,
    *,
    t0: Any = 0.0,
    args: PyTree = None,
    method: Method | None = None,
    control: Control | None = None,
    adjoint: Adjoint | None = None,
    save: Save | None = None,
    events: Event | Sequence[Event] | None = None,
    key: Any = None,
    noise: Any = None,
    progress: Callable | None = None,
    dt0: Any = None,
    max_steps: int = 4096,
    throw: bool = True,
    **other: Any,
) -> Solution:
    """Solve dx/dt = f(t, x, args), x(t0) = x0.

        sol = solve(lambda t, x: -x, 1.0, 5.0)         # sol.x: x(5)
        sol = solve(f, x0, jnp.linspace(0, 10, 101))   # sol.x: (101, ...)

    problem   a vector field f(t, x), f(t, x, args) or, as SciPy has it, f(t, x, a, b) with args=(a, b); `ODE(f)`,
              `Semilinear(L, N)` for dx/dt = L x + N(t, x, args), `SDE(drift, diffusion)` or another of `core.problem`.
              A parameter with a default keeps it, unless it is called args or its default is None
    x0        array, list of numbers, pytree of arrays; float32, float64 or complex: all arithmetic is in its precision
    t1_or_ts  the end time, or save times, which may repeat; before t0: the solve runs backwards. An infinite end is
              for solves that an event ends
    args      passed to f: arrays and floats, which are differentiated, like x0, t0, the times and every array f closes
              over; and whatever else f wants, strings, functions, networks, dataclasses. A bool or an int stays one and
              may be asked by `if` or `range`: another value compiles anew
    method    Tsit5() unless told; ETDRK4() and its relatives treat L exactly
    control   PID(rtol=1e-6, atol=1e-9) unless told, or Fixed(steps), or CFL(number, rate)
    adjoint   how derivatives are taken: Tape() for both modes (the default), Direct() for any number of times
    save      Save(steps=True), Save(dense=True), Save(fn=...)
    events    Event(g), or several: the solve stops, or goes on from a new state, where g(t, x, args) crosses zero
    key       a jax.random key, for equations with noise: the same key gives the same Brownian path
    noise     how that path is drawn: Counter() on a fixed grid, VirtualTree() under PID unless told
    progress  progress(part) is called on the host now and then, part from 0 to 1; `duhamel.Bar()` draws a bar
    dt0       first step to try, chosen by the local error unless told
    max_steps attempts before a solve is given up with a Status
    x0        may also be a Solution of the same problem and method: goes on from where it stopped (end time, event,
              max_steps), with its step size and history, as if it had not; t0 is then where that one began
    throw     raise SolveError when a solve fails; inside `jit` and `vmap`, where nothing can be raised, x, x1 and their
              derivatives are NaN then, and sol.status says why. False: neither, the numbers are those computed

    Works under jit, vmap, grad and jvp, forwards and backwards in time.
    """
    refuse(solve, other)
    x0, t0, begin, resume = checks.beginning(x0, t0, problem, throw)
    asked = request(
        problem,
        x0,
        t1_or_ts,
        t0,
        begin,
        resume,
        args=args,
        method=method,
        control=control,
        adjoint=adjoint,
        save=save,
        events=events,
        key=key,
        noise=noise,
        progress=progress,
        dt0=dt0,
        max_steps=max_steps,
    )
    check_start(asked.problem, x0, begin, asked.args)
    coarse_times(asked.problem, asked.times, x0, asked.args)
    solution = _solve(asked, x0, key)
    if not isinstance(solution.status, Tracer):
        bounded(_solve)
        solution = _trim(solution, asked.save)
        if throw:
            solution.raise_if_failed(hint(asked))
        below_atol(asked, x0, solution)
    elif throw:
        solution = visible(solution)
    return solution


@eqx.filter_jit
def _solve(asked: Request, x0: PyTree, key: Any) -> Solution:
    method, inputs = asked.method, (x0, asked.times, asked.args, asked.dt0)
    x0, times, args, dt0 = vary_together(inputs)
    t0 = times.t0
    stepper = bind(asked.problem, method, t0, x0, args)
    checks.field(stepper.problem, t0, x0, args)
    table = None if asked.table is None else like(asked.table, x0)
    noise = None
    if asked.noise is not None:
        noise = asked.noise.bind(key, stepper.problem.noise_shape(t0, x0, args), times.span, method.noise)
    stepper = stepper.given(args, table, noise)
    task, h = prepare(asked.bound(t0, x0, args), stepper, x0, times, dt0)
    task, x0, h = vary_together((task, x0, h))
    return solution_of(task, asked.adjoint.march(task, x0, h), times, asked.control, dt0)


def solution_of(task: Task, state: State, times: Times, control: Any, dt0: Any) -> Solution:
    still, ts = jax.lax.stop_gradient, times.ts
    chosen = isinstance(control, PID) and dt0 is None
    started = (2 if chosen else 0) + task.stepper.method.started
    x1 = state.slots["x"]
    # A solve that arrived ends at t1 itself, so that fn(t, x, args) can be differentiated with respect to it.
    end = jnp.where(still(state.s == task.span), task.span, still(state.s))
    happened = None
    if state.hits is not None:
        happened = _events(task, state)
        end = jnp.where(state.status == Status.event, happened.last - task.t0, end)
    t1 = task.t0 + end
    at_times, every, every_t, ends = state.saves
    dense = None
    if task.save.every_step:
        t, x = still(every_t), every["x"] if task.save.dense else every
    elif ts is not None:
        t, x = ts, at_times
        bad = out_of_order(task, begin_of(task))
        state = state._replace(status=jnp.where(bad, Status.bad_times, state.status).astype(jnp.int32))
        x = select(bad, rows_like(jax.tree.map(lambda rows: rows[0], x), ts.shape[0]), x)
    else:
        t, x = t1, output(task, t1, x1)
    none = jnp.zeros_like(state.tried)
    jacobians, factorizations = (state.counts.get(name, none) for name in ("jacobians", "factorizations"))
    nfe = evaluations(task, state, started)
    stats = Stats(state.accepted, state.tried - state.accepted, nfe, jacobians, factorizations)
    slots = {name: state.slots[name] for name in task.stepper.method.carried}
    resume = still(Resume(task.t0, end, state.h, slots, state.before, times.low))
    if task.save.dense:
        dense = DenseOutput(task, still(every_t), still(ends), every, state.accepted)
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
