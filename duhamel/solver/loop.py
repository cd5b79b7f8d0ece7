"""The forward loop: attempt a step, judge it, keep it or not, save what was asked for.

One loop serves adaptive and fixed steps, one state and many lanes: t, h, counters and the status have shape () or
(lanes,), and the state's leaves carry the lanes last, so that everything broadcasts. The loop knows nothing of
gradients: `tape` wraps it from outside.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from duhamel.core.status import Status
from duhamel.rows.step import kept

from .control import PID, error_scale, growth, log_squared, squared_norm
from .save import Save, fill_after, inside, rows_like, select, write
from .stepper import Stepper

RUNNING = -1


class Task(eqx.Module):
    """What a solve is asked to do, times measured from t0 so that small steps at large times keep their digits.

    span  t1 - t0, signed; () or (lanes,)
    ts    save times minus t0, (n,), or None: the end only
    edges a fixed grid minus t0, (n + 1,), or None: adaptive
    """

    stepper: Stepper
    t0: Float[Array, "..."]
    span: Float[Array, "..."]
    ts: Any
    edges: Any
    control: PID | None
    save: Save
    max_steps: int = eqx.field(static=True)


class State(NamedTuple):
    """Between two attempts.

    s         time since t0
    h         the step to try
    slots     what the pattern keeps: "x", perhaps "F"
    before    log of the squared error norms of earlier accepted steps, as many as the controller's gains need
    rejected  whether the last attempt was rejected
    status    RUNNING, or a Status
    accepted, tried  steps taken, and attempts, so far
    error     sum over accepted steps of the root mean square of the error estimate
    saved     rows written of `saves`
    saves     values at the save times; every step's value; every step's time
    attempts  of any lane so far
    """

    s: Array
    h: Array
    slots: dict[str, PyTree]
    before: tuple[Array, ...]
    rejected: Array
    status: Array
    accepted: Array
    tried: Array
    error: Array
    saved: Array
    saves: tuple[PyTree, PyTree, Any]
    attempts: Array


class Move(NamedTuple):
    """What an attempt did: it moved each lane from s by h (0: rejected, or not running)."""

    s: Array
    h: Array
    any: Bool[Array, ""]


def output(task: Task, t: Any, x: PyTree) -> PyTree:
    """What is saved of the state."""
    fn, stepper = task.save.fn, task.stepper
    if fn is None:
        return x
    if stepper.lanes == 0:
        return fn(t, x, stepper.args)
    return jax.vmap(fn, in_axes=(0, -1, stepper.axes), out_axes=-1)(t, x, stepper.args)


def start(task: Task, x: PyTree, h: Float[Array, "..."]) -> State:
    stepper, shape, dtype = task.stepper, task.span.shape, task.span.dtype
    zero, none = jnp.zeros(shape, dtype), jnp.zeros(shape, jnp.int32)
    first = output(task, task.t0 + zero, x)
    at_times = every = times = None
    saved = none
    if task.ts is not None:
        at_times = rows_like(first, task.ts.shape[0])
        now = jnp.broadcast_to(task.ts[0] == 0, shape)
        at_times = write(at_times, none, first, now)
        saved = now.astype(jnp.int32)
    if task.save.every_step:
        every = write(rows_like(first, task.max_steps + 1), none, first, jnp.ones(shape, bool))
        times = write(rows_like(task.t0 + zero, task.max_steps + 1), none, task.t0 + zero, jnp.ones(shape, bool))
    memory = 0 if task.control is None else (2 if task.control.d else 1 if task.control.p else 0)
    return State(
        s=zero,
        h=h,
        slots=stepper.slots(task.t0 + zero, x),
        before=tuple(jnp.zeros(shape, dtype) for _ in range(memory)),
        rejected=jnp.zeros(shape, bool),
        status=jnp.where(task.span == 0, Status.success, RUNNING).astype(jnp.int32),
        accepted=none,
        tried=none,
        error=zero,
        saved=saved,
        saves=(at_times, every, times),
        attempts=jnp.zeros((), jnp.int32),
    )


def advance(task: Task, state: State) -> tuple[State, Move]:
    """One attempt in every running lane."""
    stepper = task.stepper
    running = state.status == RUNNING
    h, last = _next_step(task, state)
    t = task.t0 + state.s
    env = stepper.attempt(state.attempts, t, h, state.slots)
    slots = kept(stepper.method.pattern, env)
    log_square, accept, h_next = _judge(task, state, env, slots, h)
    move = running & accept
    s = jnp.where(last, task.span, state.s + h)
    accepted = state.accepted + move
    tried = state.tried + running
    status = _status(task, state, log_square, move & last, accept, h_next, tried)
    moved = State(
        s=jnp.where(move, s, state.s),
        h=jnp.where(running, h_next, state.h),
        slots=select(move, slots, state.slots),
        before=select(move, (log_square, *state.before)[: len(state.before)], state.before),
        rejected=jnp.where(running, ~accept, state.rejected),
        status=status,
        accepted=accepted,
        tried=tried,
        error=state.error + jnp.where(move, local_error(stepper, env), 0.0).astype(state.error.dtype),
        saved=state.saved,
        saves=state.saves,
        attempts=state.attempts + 1,
    )
    return _save(task, state, moved, env, h, move), Move(state.s, jnp.where(move, h, 0.0), jnp.any(move))


def _next_step(task: Task, state: State) -> tuple[Array, Array]:
    """The step to try, and whether it ends the solve. A step that would leave a sliver of time is stretched."""
    if task.edges is not None:
        n = task.edges.shape[0] - 1
        h = task.edges[jnp.minimum(state.attempts + 1, n)] - task.edges[jnp.minimum(state.attempts, n)]
        return jnp.broadcast_to(h, task.span.shape), jnp.broadcast_to(state.attempts + 1 >= n, task.span.shape)
    rest = task.span - state.s
    h = jax.lax.stop_gradient(state.h)
    last = jnp.abs(h) * 1.001 >= jnp.abs(rest)
    return jnp.where(last, rest, h), last


def _judge(task: Task, state: State, env: dict, slots: dict, h: Array) -> tuple[Array, Array, Array]:
    """(log of the squared error norm, accepted, next step)."""
    control = task.control
    if control is None:
        return jnp.zeros_like(h), jnp.ones(h.shape, bool), h
    x, x1, error = jax.lax.stop_gradient((state.slots["x"], slots["x"], env["error"]))
    square = squared_norm(error, error_scale(control, x, x1), task.stepper.lanes).astype(h.dtype)
    accept = square <= 1.0  # False for NaN
    k = _order(task.stepper) + 1
    log_square = log_squared(square)
    factor = growth(control, k, log_square, state.before, accept, state.rejected)
    return log_square, accept, jax.lax.stop_gradient(h) * factor


def _order(stepper: Stepper) -> int:
    order = stepper.method.error_order
    return stepper.method.order if order is None else order


def _status(
    task: Task, state: State, log_square: Array, done: Array, accept: Array, h_next: Array, attempts: Array
) -> Array:
    eps = jnp.finfo(task.span.dtype).eps
    floor = jnp.maximum(2 * eps * jnp.abs(state.s), eps**2 * jnp.abs(task.span))
    stuck = ~accept & (jnp.abs(h_next) < floor)
    reason = jnp.where(jnp.isfinite(log_square), Status.step_too_small, Status.nonfinite)
    status = jnp.where(attempts >= task.max_steps, Status.max_steps_reached, RUNNING)
    status = jnp.where(stuck, reason, status)
    status = jnp.where(done, Status.success, status)
    return jnp.where(state.status == RUNNING, status, state.status).astype(jnp.int32)


def local_error(stepper: Stepper, env: dict) -> Array:
    """Root mean square of the step's error estimate, 0 where the method has none. Its gradient at 0 is 0."""
    if stepper.method.error_order is None:
        return jnp.zeros(())
    ones = jax.tree.map(lambda leaf: jnp.ones((), leaf.real.dtype), env["error"])
    square = squared_norm(env["error"], ones, stepper.lanes)
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)


def _save(task: Task, old: State, new: State, env: dict, h: Array, move: Array) -> State:
    at_times, every, times = new.saves
    if every is not None:
        t = task.t0 + new.s
        every = write(every, new.accepted, output(task, t, new.slots["x"]), move)
        times = write(times, new.accepted, t, move)
    saved = new.saved
    if task.ts is not None:
        due = move & inside(task.ts, saved, new.s, jnp.sign(task.span))
        at_times, saved = jax.lax.cond(
            jnp.any(due),
            lambda: _save_times(task, old, new, env, h, move),
            lambda: (at_times, saved),
        )
    return new._replace(saves=(at_times, every, times), saved=saved)


def _save_times(task: Task, old: State, new: State, env: dict, h: Array, move: Array) -> tuple[PyTree, Array]:
    """Write every save time the step passed; a lane that passed none waits for the others."""
    stepper, t = task.stepper, task.t0 + old.s
    basis = stepper.densify(t, h, env)
    sign = jnp.sign(task.span)

    def due(carry: tuple) -> Array:
        return move & inside(task.ts, carry[1], new.s, sign)

    def body(carry: tuple) -> tuple:
        buffer, saved = carry
        now = due(carry)
        time = task.ts[jnp.minimum(saved, task.ts.shape[0] - 1)]
        theta = jnp.where(now, (time - old.s) / jnp.where(now, h, 1.0), 0.0)
        value = output(task, task.t0 + time, stepper.interpolate(t, h, theta, basis))
        return write(buffer, saved, value, now), saved + now

    return jax.lax.while_loop(lambda carry: jnp.any(due(carry)), body, (new.saves[0], new.saved))


def unfinished(state: State) -> Bool[Array, ""]:
    return jnp.any(state.status == RUNNING)


def finish(task: Task, state: State) -> State:
    """Judge the end: a state that is not finite is not a success; rows of steps not taken repeat the last one."""
    finite = jnp.ones(task.span.shape, bool)
    for leaf in jax.tree.leaves(state.slots["x"]):
        axes = tuple(range(leaf.ndim - task.stepper.lanes))
        finite &= jnp.all(jnp.isfinite(leaf), axis=axes)
    status = jnp.where((state.status == Status.success) & ~finite, Status.nonfinite, state.status)
    at_times, every, times = state.saves
    if every is not None:
        every, times = fill_after(every, state.accepted + 1), fill_after(times, state.accepted + 1)
    return state._replace(status=status.astype(jnp.int32), saves=(at_times, every, times))


def run(task: Task, x: PyTree, h: Float[Array, "..."]) -> State:
    """From t0 to t0 + span."""
    loop = jax.lax.while_loop(unfinished, lambda state: advance(task, state)[0], start(task, x, h))
    return finish(task, loop)


def evaluations(task: Task, state: State, started: int) -> Int[Array, "..."]:
    """Vector field evaluations a lane has used: those before the first step, and those of every attempt."""
    calls = task.stepper.method.pattern.calls
    return started + calls * state.tried
