"""The forward loop: attempt a step, judge it, keep it or not, save what was asked for.

One loop serves adaptive and fixed steps, one state and many lanes: t, h, counters and the status have shape () or
(lanes,), and the state's leaves carry the lanes last, so that everything broadcasts. The loop knows nothing of
gradients: `tape` wraps it from outside.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from duhamel.core.status import Status
from duhamel.methods.base import Env, Method, Moment, RowMethod, Slots

from . import event
from .control import CFL, memory, squared_norm
from .event import NONE, RESTART, Hits
from .pace import Step, judge, next_step
from .save import fill_after, rows_like, select, write
from .saving import first_rows, out_of_order, record_step
from .sharding import vary_together
from .stepper import Stepper
from .task import RUNNING, Move, State, Task, begin_of, clearance, row_of

REPORT = 32  # attempts from one report of progress to the next
COUNTS = ("nfe", "jacobians", "factorizations")


def start(task: Task, x: PyTree, h: Float[Array, "..."]) -> State:
    stepper, shape, dtype = task.stepper, task.span.shape, task.span.dtype
    zero, none = jnp.zeros(shape, dtype), jnp.zeros(shape, jnp.int32)
    begin = begin_of(task)
    t = task.t0 + begin
    at_times = every = times = None
    saved = none
    if task.ts is not None:
        at_times, saved = first_rows(task, x, begin)
    slots = first_slots(task, x)
    if task.save.every_step:
        row = row_of(task, t, slots)
        every = write(rows_like(row, task.max_steps + 1), none, row, jnp.ones(shape, bool))
        times = write(rows_like(t, task.max_steps + 1), none, t, jnp.ones(shape, bool))
    before = (
        tuple(jnp.zeros(shape, dtype) for _ in range(memory(task.control)))
        if task.resume is None
        else task.resume.before
    )
    names = ("error", "stiffness") if task.save.stiffness else ("error",)
    side = hits = None
    if task.events:
        side = event.sides(stepper, task.events, t, x, h)
        rows = task.save.events
        hits = Hits(none, rows_like(zero, rows), jnp.full((rows, *shape), NONE, jnp.int32), rows_like(x, rows))
    return vary_together(
        State(
            s=begin,
            h=h,
            slots=slots,
            before=before,
            rejected=jnp.zeros(shape, bool),
            status=jnp.where(
                out_of_order(task, begin),
                Status.bad_times,
                jnp.where(task.span == begin, Status.success, RUNNING),
            ).astype(jnp.int32),
            accepted=none,
            tried=none,
            sums=dict.fromkeys(names, zero),
            saved=saved,
            saves=(at_times, every, times),
            counts=dict.fromkeys(counted(stepper, Moment(jnp.int32(0), begin, t, h), slots), none),
            side=side,
            hits=hits,
            attempts=jnp.zeros((), jnp.int32),
        )
    )


def first_slots(task: Task, x: PyTree) -> Slots:
    """What the first step begins with; what an interrupted solve carried is taken up."""
    slots = task.stepper.start(task.t0 + begin_of(task), x)
    return slots if task.resume is None else slots | task.resume.slots


def counted(stepper: Stepper, at: Moment, slots: Slots) -> tuple[str, ...]:
    """Which of COUNTS the method's attempts count."""
    if type(stepper.method).attempt is RowMethod.attempt:
        return ()
    built = jax.eval_shape(stepper.attempt, at, slots)
    return tuple(name for name in COUNTS if name in built)


def advance(task: Task, state: State) -> tuple[State, Move]:
    """One attempt in every running lane."""
    stepper = task.stepper
    running = state.status == RUNNING
    step = next_step(task, state)
    at = Moment(state.attempts, state.s, task.t0 + state.s, step.h)
    env = tried_env = stepper.attempt(at, state.slots)
    log_square, accept, h_next = judge(task, state, env, step)
    move = running & accept
    mark = jnp.where(step.stopping, RESTART, NONE).astype(jnp.int32) if task.marked else None
    if task.events:
        at, env, mark = _strike(task, state, at, env, move, mark)
    slots, landing = settle(task, at, env, mark)
    s, done = _end(task, state, step, at, mark)
    tried = state.tried + running
    again = state.slots
    if type(stepper.method).retry is not Method.retry:
        again = select(running, stepper.method.retry(tried_env, state.slots), state.slots)
    moved = state._replace(
        s=jnp.where(move, s, state.s),
        h=jnp.where(running, h_next, state.h),
        slots=select(move, slots, again),
        before=select(move, (log_square, *state.before)[: len(state.before)], state.before),
        rejected=jnp.where(running, ~accept, state.rejected),
        status=_status(task, state, log_square, move & done, accept, env, h_next, tried),
        accepted=state.accepted + move,
        tried=tried,
        sums=_add_up(task, state, at, env, move),
        counts={name: old + jnp.where(running, tried_env[name], 0) for name, old in state.counts.items()},
        attempts=state.attempts + 1,
    )
    if task.events:
        moved = _note(task, moved, at, landing, mark, move & done, move)
    moved = record_step(task, state, moved, at, env, move, landing)
    mark = None if mark is None else jnp.where(move, mark, NONE)
    if task.progress is not None:
        _report(task.progress, task, moved)
    return moved, Move(state.s, jnp.where(move, at.h, 0.0), mark, jnp.any(move))


def _end(task: Task, state: State, step: "Step", at: Moment, mark: Any) -> tuple[Array, Array]:
    """Where the solve is after this step, should it be accepted, and whether it ends there."""
    s = jnp.where(step.last, task.span, step.end)
    if mark is None:
        return s, step.last
    s = jnp.where(step.stopping, step.resume, s)
    if not task.events:
        return s, step.last
    hit = mark >= 0
    return jnp.where(hit, state.s + at.h, s), jnp.where(hit, event.terminates(task.events, mark), step.last)


def _report(progress: Callable, task: Task, state: State) -> None:
    """How far the slowest lane is, now and then: `progress(part)` on the host."""
    part = jnp.min(jnp.where(state.status == RUNNING, state.s / task.span, 1.0))
    say = lambda: jax.debug.callback(progress, part)  # noqa: E731
    jax.lax.cond((state.attempts % REPORT == 0) | ~unfinished(state), say, lambda: None)


def _add_up(task: Task, state: State, at: Moment, env: Env, move: Array) -> dict[str, Array]:
    step = measures(task, at, env)
    return {k: old + jnp.where(move, step[k], 0.0).astype(old.dtype) for k, old in state.sums.items()}


def measures(task: Task, at: Moment, env: Env) -> dict[str, Array]:
    """What is summed over accepted steps: differentiable, for regularisers."""
    error = {"error": local_error(task.stepper, env)}
    if not task.save.stiffness:
        return error
    return error | {"stiffness": task.stepper.method.stiffness(task.stepper, at, env)}


def settle(task: Task, at: Moment, env: Env, mark: Any) -> tuple[Slots, event.Landing | None]:
    """The slots with which the next step begins. Whatever breaks the solution's smoothness begins them anew."""
    stepper = task.stepper
    slots = stepper.method.keep(env)
    if mark is None:
        return slots, None
    landing, x = None, slots["x"]
    if task.events:
        landing = event.land(stepper, task.events, at, x, mark)
        x = landing.x
    if list(slots) == ["x"]:
        return {"x": x}, landing
    broken = mark != NONE
    fresh = jax.lax.cond(
        jnp.any(broken),
        lambda: select(broken, stepper.start(at.t + at.h + _behind(task, at, mark), x), slots | {"x": x}),
        lambda: slots | {"x": x},
    )
    return fresh, landing


def _behind(task: Task, at: Moment, mark: Any) -> Array:
    """From the end of a step to the other side of the discontinuity it ended at."""
    if task.stops is None:
        return jnp.zeros_like(at.h)
    width = 2 * clearance(task, at.s + at.h)
    return jnp.where(mark == RESTART, jnp.sign(task.span) * width, 0.0)


def _strike(task: Task, state: State, at: Moment, env: Env, move: Array, mark: Any) -> tuple[Moment, Env, Array]:
    """If an event happened inside the step, take the step again, up to it."""
    stepper = task.stepper
    found = jax.lax.stop_gradient(event.search(stepper, task.events, at, env, state.side, move))
    shorter = at._replace(h=at.h * found.theta)
    hit = found.mark >= 0
    again = lambda: stepper.attempt(shorter, state.slots)  # noqa: E731
    env = jax.lax.cond(jnp.any(hit), again, lambda: env)
    return shorter, env, jnp.where(hit, found.mark, mark)


def _note(task: Task, state: State, at: Moment, landing: Any, mark: Any, done: Array, move: Array) -> State:
    """Write down an event, and on which side of the zeros the solution now is."""
    hit, hits = move & (mark >= 0), state.hits
    assert hits is not None
    rows = hits.s.shape[0]
    index = jnp.minimum(hits.total, rows - 1)  # the last row holds the last event
    noted = Hits(
        hits.total + hit,
        write(hits.s, index, at.s + at.h + landing.dt, hit),
        write(hits.which, index, mark, hit),
        write(hits.x, index, landing.before, hit),
    )
    side = event.new_sides(task.stepper, task.events, at, state.slots["x"], mark, state.side)
    status = jnp.where(done & hit, Status.event, state.status).astype(jnp.int32)
    return state._replace(hits=noted, side=jnp.where(move, side, state.side), status=status)


def _status(
    task: Task, state: State, log_square: Array, done: Array, accept: Array, env: Env, h_next: Array, attempts: Array
) -> Array:
    eps = jnp.finfo(task.span.dtype).eps
    whole = jnp.where(jnp.isfinite(task.span), jnp.abs(task.span), 0.0)
    floor = jnp.maximum(2 * eps * jnp.abs(state.s), eps**2 * whole)
    stuck = ~accept & ~(jnp.abs(h_next) >= floor)  # also of a step that is no number
    short = Status.inadmissible if isinstance(task.control, CFL) else Status.step_too_small
    reason = jnp.where(jnp.isfinite(log_square), short, Status.nonfinite)
    if "failed" in env:
        stuck = stuck | env["failed"] if task.control is None else stuck
        reason = jnp.where(env["failed"], Status.not_converged, reason)
    status = jnp.where(attempts >= task.max_steps, Status.max_steps_reached, RUNNING)
    status = jnp.where(stuck, reason, status)
    status = jnp.where(done, Status.success, status)
    return jnp.where(state.status == RUNNING, status, state.status).astype(jnp.int32)


def local_error(stepper: Stepper, env: Env) -> Array:
    """Root mean square of the step's error estimate, 0 where the method has none.

    Its gradient is 0 where it lies below the rounding of x1: the direction of such an estimate is noise.
    """
    if stepper.method.error_order is None:
        return jnp.zeros(())
    ones = jax.tree.map(lambda leaf: jnp.ones((), leaf.real.dtype), env["error"])
    square = squared_norm(env["error"], ones, stepper.lanes)
    size = jax.lax.stop_gradient(squared_norm(env["x1"], ones, stepper.lanes))
    known = square > jnp.finfo(square.dtype).eps ** 2 * size
    return jnp.where(known, jnp.sqrt(jnp.where(known, square, 1.0)), jnp.sqrt(jax.lax.stop_gradient(square)))


def unfinished(state: State) -> Bool[Array, ""]:
    return jnp.any(state.status == RUNNING)


def finish(task: Task, state: State) -> State:
    """Judge the end: a state that is not finite is not a success; rows of steps not taken repeat the last one."""
    finite = jnp.ones(task.span.shape, bool)
    for leaf in jax.tree.leaves(state.slots["x"]):
        axes = tuple(range(leaf.ndim - task.stepper.lanes))
        finite &= jnp.all(jnp.isfinite(leaf), axis=axes)
    ended = (state.status == Status.success) | (state.status == Status.event)
    status = jnp.where(ended & ~finite, Status.nonfinite, state.status)
    at_times, every, times = state.saves
    if every is not None:
        every, times = fill_after(every, state.accepted + 1), fill_after(times, state.accepted + 1)
    return state._replace(status=status.astype(jnp.int32), saves=(at_times, every, times))


def run(task: Task, x: PyTree, h: Float[Array, "..."]) -> State:
    """From t0 to t0 + span."""
    loop = jax.lax.while_loop(unfinished, lambda state: advance(task, state)[0], start(task, x, h))
    return finish(task, loop)


def evaluations(task: Task, state: State, started: int) -> Array:
    """Vector field evaluations a lane has used: those before the first step, and those of every attempt."""
    tried = state.counts.get("nfe", task.stepper.method.calls * state.tried)
    return started + tried
