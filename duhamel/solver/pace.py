"""How long the next step is, and whether an attempt is accepted."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array

from duhamel.methods.base import Env

from .control import CFL, bounded, error_scale, growth, log_squared, squared_norm
from .stepper import Stepper
from .task import State, Task, clearance

HALVINGS = 10  # of a step by CFL number before its solve is given up
CHOSEN = "chosen"  # names what may not be chosen anew where a solve is repeated for its gradient


class Step(NamedTuple):
    """The step to try: its length, the longer one it may have been cut from, whether it ends the solve, whether it
    ends before a discontinuity, where the solution goes on behind that, and where the step ends."""

    h: Array
    uncut: Array
    last: Array
    stopping: Array
    resume: Array
    end: Array


def next_step(task: Task, state: State) -> Step:
    """A step that would leave a sliver of time is stretched."""
    never = jnp.zeros(task.span.shape, bool)
    if task.edges is not None:
        h, last = _grid_step(task, state)
        if task.stops is None:
            return Step(h, h, last, never, state.s, state.s + h)
        end = state.s + h  # every time of the grid may be a discontinuity: keep to its inside
        gap = jnp.sign(task.span) * clearance(task, end)
        return Step(h - gap, h, last, ~last, end + gap, state.s + h - gap)
    h = jax.lax.stop_gradient(state.h)
    if isinstance(task.control, CFL):
        return _landing(task, state, h, never)
    rest = task.span - state.s
    last = jnp.abs(h) * 1.001 >= jnp.abs(rest)
    h_try = jnp.where(last, rest, h)
    step = Step(h_try, h, last, never, state.s, state.s + h_try)
    return step if task.stops is None else _cut(task, state, step)


def _landing(task: Task, state: State, h: Array, never: Array) -> Step:
    """A step that does not pass the next save time. What is left before it is divided evenly, not into a sliver."""
    goal = task.span if task.ts is None else task.ts[jnp.minimum(state.saved, task.ts.shape[0] - 1)]
    rest = goal - state.s
    steps = jnp.abs(rest) / jnp.abs(h)
    arrives = steps <= 1.001
    h_try = jnp.where(arrives, rest, jnp.where(steps < 2.0, 0.5 * rest, h))
    end = jnp.where(arrives, goal, state.s + h_try)
    return Step(h_try, h, arrives & (goal == task.span), never, state.s, end)


def _grid_step(task: Task, state: State) -> tuple[Array, Array]:
    n, sign = task.edges.shape[0] - 1, jnp.sign(task.span)
    if task.events:  # a step cut short by one left the grid: go to the grid's next time
        edges = task.edges.reshape(-1, *(1,) * state.s.ndim)
        sliver = 1e-6 * jnp.abs(task.span) / n
        following = jnp.sum((edges - state.s) * sign <= sliver, axis=0)
        return task.edges[jnp.minimum(following, n)] - state.s, following >= n
    begin = task.edges[jnp.minimum(state.attempts, n)] if task.stops is None else state.s
    h = task.edges[jnp.minimum(state.attempts + 1, n)] - begin
    shape = task.span.shape
    return jnp.broadcast_to(h, shape), jnp.broadcast_to(state.attempts + 1 >= n, shape)


def _cut(task: Task, state: State, step: Step) -> Step:
    """No step crosses a discontinuity: it ends just before one, and the next begins just behind it."""
    sign = jnp.sign(task.span)
    gap = lambda stop: clearance(task, stop)  # noqa: E731
    stops = jax.lax.stop_gradient(task.stops)  # steps are frozen; what moves with a stop is `landing`'s
    ahead = stops.reshape(-1, *(1,) * state.s.ndim)
    before = jnp.where((ahead - state.s) * sign > 2 * gap(ahead), ahead * sign, jnp.inf)
    stop = sign * jnp.min(before, axis=0)  # the nearest one ahead
    far = jnp.abs(task.span)
    near = (stop * sign < far) & ((stop - state.s) * sign <= jnp.abs(step.h) * 1.001)
    stop = jnp.where(near, stop, 0.0)
    h = jnp.where(near, stop - sign * gap(stop) - state.s, step.h)
    return Step(h, step.uncut, step.last & ~near, near, stop + sign * gap(stop), state.s + h)


def judge(task: Task, state: State, env: Env, step: Step) -> tuple[Array, Array, Array]:
    """(log of the squared error norm, accepted, next step). For CFL the first is the step its number allows."""
    control, h = task.control, step.h
    failed = env.get("failed")
    if isinstance(control, CFL):
        return _judge_by_waves(task, control, state, env, step)
    if control is None:
        accept = jnp.ones(h.shape, bool) if failed is None else ~failed
        return jnp.zeros_like(h), accept, h
    x, x1, error = jax.lax.stop_gradient((state.slots["x"], env["x1"], env["error"]))
    square = squared_norm(error, error_scale(control, x, x1), task.stepper.lanes).astype(h.dtype)
    accept = square <= 1.0  # False for NaN
    if control.min_step is not None:
        accept = accept | (jnp.isfinite(square) & (jnp.abs(h) <= control.min_step))
    k = env["k"] if "k" in env else _order(task.stepper) + 1
    log_square = log_squared(square)
    factor = growth(control, k, log_square, state.before, accept, state.rejected)
    if "growth" in env:
        factor = jnp.where(accept, env["growth"], factor)
    if failed is not None:
        accept = accept & ~failed
        factor = jnp.where(failed, control.shrink, factor)
    h_next = jax.lax.stop_gradient(h * factor)
    if task.stops is not None:  # a step cut at a discontinuity says nothing against longer ones
        h_next = jnp.where(accept & step.stopping & (jnp.abs(h_next) < jnp.abs(step.uncut)), step.uncut, h_next)
    return _chosen(log_square), _chosen(accept), _chosen(bounded(control, h_next))


def _judge_by_waves(task: Task, control: CFL, state: State, env: Env, step: Step) -> tuple[Array, Array, Array]:
    """Accepted if the new state is finite and admissible; the next step is what the CFL number allows there."""
    t1, x1 = task.t0 + step.end, jax.lax.stop_gradient(env["x1"])
    longest, good = by_waves(task.stepper, control, t1, x1, task.span)
    if "failed" in env:
        good = good & ~env["failed"]
    shorter = 0.5 * step.h
    shorter = jnp.where(jnp.abs(shorter) < 2.0**-HALVINGS * jnp.abs(state.before[0]), 0.0, shorter)
    return _chosen(longest), _chosen(good), _chosen(jnp.where(good, longest, shorter))


def _chosen(leaf: Array) -> Array:
    return checkpoint_name(leaf, CHOSEN)


def by_waves(stepper: Stepper, control: CFL, t: Any, x: Any, span: Array) -> tuple[Array, Array]:
    """(step that the CFL number allows, NaN where the state is not finite; whether the state is admissible)."""
    lanes = stepper.lanes
    finite = jnp.ones(span.shape, bool)
    for leaf in jax.tree.leaves(x):
        finite &= jnp.all(jnp.isfinite(leaf), axis=tuple(range(leaf.ndim - lanes)))
    good = finite
    if control.admissible is not None:
        good = good & stepper.each(control.admissible, t, x)
    rate = jnp.abs(stepper.each(control.rate, t, x)).astype(span.dtype)
    reach = jnp.abs(span)
    h = jnp.where(rate * reach > control.number, control.number / jnp.where(rate > 0, rate, 1.0), reach)
    h = jax.lax.stop_gradient(jnp.where(finite, jnp.sign(span) * h, jnp.nan))
    return h, good & jnp.isfinite(rate)


def _order(stepper: Stepper) -> int:
    order = stepper.method.error_order
    return stepper.method.order if order is None else order
