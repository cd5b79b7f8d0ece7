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
from duhamel.methods.newton import afresh

from . import landing as landings
from .control import CFL, PID, bounded, memory, squared_norm
from .crossing import sides, strike
from .event import Hits
from .landing import Landing, Mark, decide, land, sides_after, terminates
from .pace import Step, judge, next_step
from .save import fill_after, rows_like, select, write
from .saving import first_rows, out_of_order, record_step
from .sharding import vary_together
from .stepper import Stepper, initial_step
from .task import RUNNING, Move, State, Task, begin_of, clearance, row_of

REPORT = 32  # attempts from one report of progress to the next
COUNTS = ("nfe", "jacobians", "factorizations")


def start(task: Task, x: PyTree, h: Float[Array, "..."]) -> State:
    stepper, shape, dtype = task.stepper, task.span.shape, task.span.dtype
    zero, none = jnp.zeros(shape, dtype), jnp.zeros(shape, jnp.int32)
    begin = begin_of(task)
    t = task.t0 + begin
    at_times = every = times = ends = None
    saved = none
    if task.ts is not None:
        at_times, saved = first_rows(task, x, begin)
    slots = first_slots(task, x)
    if task.save.every_step:
        row = row_of(task, t, slots)
        every = write(rows_like(row, task.max_steps + 1), none, row, jnp.ones(shape, bool))
        times = write(rows_like(t, task.max_steps + 1), none, t, jnp.ones(shape, bool))
        if task.save.dense and task.marked:
            ends = rows_like(t, task.max_steps + 1)
    before = (
        tuple(jnp.zeros(shape, dtype) for _ in range(memory(task.control)))
        if task.resume is None
        else task.resume.before
    )
    names = ("error", "stiffness") if task.save.stiffness else ("error",)
    side = hits = None
    if task.events:
        side = sides(stepper, task.events, t, x, h)
        rows = task.save.events
        hits = Hits(none, rows_like(zero, rows), jnp.full((rows, *shape), -1, jnp.int32), rows_like(x, rows))
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
            saves=(at_times, every, times, ends),
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
    judged = judge(task, state, env, step)
    mark = None
    if task.events:
        at, env, judged, mark = _up_to_events(task, state, step, at, env, judged)
    log_square, accept, h_next = judged
    move = running & accept
    if task.marked and mark is None:
        stopping = step.stopping & move
        mark = Mark(stopping[None].astype(jnp.int8), jnp.where(stopping, step.resume - step.end, 0.0))
    slots, landing = settle(task, at, env, mark)
    s, done = _end(task, state, step, at, mark)
    h_next = _begin_anew(task, at, slots, mark, h_next)
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
    if task.events and mark is not None and landing is not None:
        moved = _note(task, moved, at, landing, mark, move & done, move)
    moved = record_step(task, state, moved, at, env, move, landing)
    if task.progress is not None:
        _report(task.progress, task, moved)
    return moved, Move(state.s, jnp.where(move, at.h, 0.0), mark, jnp.any(move))


def _up_to_events(
    task: Task, state: State, step: Step, at: Moment, env: Env, judged: tuple[Array, Array, Array]
) -> tuple[Moment, Env, tuple[Array, Array, Array], Mark]:
    """The attempt, or the one that ends just before the first events in it: a step like any other, which may fail where
    the whole one did not."""
    stepper, (log_square, accept, h_next) = task.stepper, judged
    running = state.status == RUNNING
    rounding = clearance(task, state.s + at.h)  # what separates the two sides of an event in time
    struck = strike(stepper, task.events, at, state.slots, env, state.side, running & accept, rounding)
    hit = struck.h != at.h
    at = at._replace(h=struck.h)
    env = jax.lax.cond(jnp.any(hit), lambda: stepper.attempt(at, afresh(state.slots, hit)), lambda: env)
    log_again, accept_again, h_again = judge(task, state, env, step._replace(h=at.h, last=step.last & ~hit))
    log_square, accept = jnp.where(hit, log_again, log_square), jnp.where(hit, accept_again, accept)
    h_next = jnp.where(hit & ~accept, h_again, h_next)
    move, gap = running & accept, jnp.sign(task.span) * 2.0 * struck.margin
    stopping = step.stopping & ~hit & move
    mark = decide(stepper, task.events, at, env["x1"], state.side, struck.events & move, stopping, gap, step.h)
    return at, env, (log_square, accept, h_next), mark


def _end(task: Task, state: State, step: "Step", at: Moment, mark: Any) -> tuple[Array, Array]:
    """Where the solve is after this step, should it be accepted, and whether it ends there."""
    s = jnp.where(step.last, task.span, step.end)
    if mark is None:
        return s, step.last
    behind = jnp.where(mark.broken, state.s + at.h + mark.gap, s)
    if not task.events:
        return behind, step.last
    # An event at the very end leaves nothing behind it.
    over = terminates(task.events, mark)
    arrived = (jnp.abs(behind) >= jnp.abs(task.span)) & ~over
    behind = jnp.where(over, state.s + at.h, jnp.where(arrived, task.span, behind))
    return behind, jnp.where(mark.broken, over | arrived, step.last)


def _begin_anew(task: Task, at: Moment, slots: Slots, mark: Any, h_next: Array) -> Array:
    """The step to try behind a discontinuity: a method that has lost its history begins as it began the solve."""
    if mark is None or not isinstance(task.control, PID) or not task.stepper.method.carried:
        return h_next
    stepper, control, t = task.stepper, task.control, at.t + at.h + mark.gap
    first = lambda: initial_step(stepper, t, slots["x"], control, task.span)  # noqa: E731
    h = bounded(control, jax.lax.cond(jnp.any(mark.broken), first, lambda: h_next))
    return jnp.where(mark.broken, jnp.sign(h) * jnp.minimum(jnp.abs(h), jnp.abs(h_next)), h_next)


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


def settle(task: Task, at: Moment, env: Env, mark: Mark | None) -> tuple[Slots, Landing | None]:
    """The slots with which the next step begins. Whatever breaks the solution's smoothness begins them anew."""
    stepper = task.stepper
    slots = stepper.method.keep(env)
    if mark is None:
        return slots, None
    landing = land(stepper, task.events, task.stops, at, slots["x"], mark)
    if list(slots) == ["x"]:
        return {"x": landing.x}, landing
    begin = lambda: stepper.start(at.t + at.h + mark.gap, landing.x)  # noqa: E731
    broken = mark.broken
    fresh = jax.lax.cond(
        jnp.any(broken),
        lambda: select(broken, begin(), slots | {"x": landing.x}),
        lambda: slots | {"x": landing.x},
    )
    return fresh, landing


def _note(task: Task, state: State, at: Moment, landing: Landing, mark: Mark, done: Array, move: Array) -> State:
    """Write down the events of a step, and on which side of the zeros the solution now is."""
    noted = state.hits
    assert noted is not None
    rows = noted.s.shape[0]

    def one(hits: Hits, each: tuple) -> tuple[Hits, None]:
        r, dt, before = each
        pick = landings.chosen(mark, r)
        hit = move & jnp.any(pick, axis=0)
        index = jnp.minimum(hits.total, rows - 1)  # the last row holds the last event
        which = jnp.argmax(pick, axis=0).astype(jnp.int32)
        return Hits(
            hits.total + hit,
            write(hits.s, index, at.s + at.h + dt, hit),
            write(hits.which, index, which, hit),
            write(hits.x, index, before, hit),
        ), None

    order = jnp.arange(1, len(task.events) + 1, dtype=jnp.int32)
    all_of = lambda: jax.lax.scan(one, noted, (order, landing.dt, landing.before))[0]  # noqa: E731
    hits = jax.lax.cond(jnp.any(move & mark.broken), all_of, lambda: noted)
    side = sides_after(task.stepper, task.events, at, state.slots["x"], mark, landing, state.side)
    over = done & terminates(task.events, mark)
    status = jnp.where(over, Status.event, state.status).astype(jnp.int32)
    return state._replace(hits=hits, side=jnp.where(move, side, state.side), status=status)


def _status(
    task: Task, state: State, log_square: Array, done: Array, accept: Array, env: Env, h_next: Array, attempts: Array
) -> Array:
    eps = jnp.finfo(task.span.dtype).eps
    whole = jnp.where(jnp.isfinite(task.span), jnp.abs(task.span), 0.0)
    floor = jnp.maximum(2 * eps * jnp.abs(state.s), eps**2 * whole)
    stuck = ~accept & ~(jnp.abs(h_next) >= floor)  # also of a step that is no number
    if isinstance(task.control, PID) and task.control.min_step is not None:
        stuck = stuck | (~accept & (jnp.abs(h_next) <= task.control.min_step) & (jnp.abs(state.h) <= jnp.abs(h_next)))
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
    at_times, every, times, ends = state.saves
    if every is not None:
        every, times = fill_after(every, state.accepted + 1), fill_after(times, state.accepted + 1)
    return state._replace(status=status.astype(jnp.int32), saves=(at_times, every, times, ends))


def run(task: Task, x: PyTree, h: Float[Array, "..."]) -> State:
    """From t0 to t0 + span."""
    loop = jax.lax.while_loop(unfinished, lambda state: advance(task, state)[0], start(task, x, h))
    return finish(task, loop)


def evaluations(task: Task, state: State, started: int) -> Array:
    """Vector field evaluations a lane has used: those before the first step, and those of every attempt."""
    tried = state.counts.get("nfe", task.stepper.method.calls * state.tried)
    return started + tried
