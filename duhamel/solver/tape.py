"""Reverse mode from outside the loop: a tape of accepted steps, walked backwards.

Forward, every attempt in which a lane moved writes one row: s, h (0 for lanes that stood still, whose step is then the
identity), what the step ended in and, for every K-th row, x and whatever else the method carries. Backward, each row's
step is run once more under `jax.vjp` with h frozen:

    lam_j      = (d x_{j+1} / d x_j)^T lam_{j+1} + what was saved in the step
    theta_bar += (d x_{j+1} / d theta)^T lam_{j+1}

theta are the weights, shared by all lanes: their cotangent is one array, whatever the number of lanes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from duhamel.core.status import Status
from duhamel.core.switches import own_arithmetic
from duhamel.methods.base import Env, Moment, Slots

from .cotangents import (
    add,
    dense,
    folded,
    nothing,
    parted,
    time_cotangent,
    times_of,
    times_perturbed,
    where_or_zero,
    with_times,
)
from .loop import first_slots, measures, run, settle
from .record import Row, Rows, carried, record, row_at, segment_length
from .save import read
from .stepper import moved
from .task import State, Task, begin_of, output, row_of


@eqx.filter_custom_vjp
def taped(diff: tuple, h: Float[Array, "..."], memory: int) -> State:
    """`run`, with the tape for its reverse mode. diff = (task, x): whatever may be differentiated."""
    task, x = diff
    return run(task, x, h)


@taped.def_fwd
@own_arithmetic
def _forward(perturbed: PyTree, diff: tuple, h: Array, memory: int) -> tuple[State, tuple[State, Rows]]:
    del perturbed
    task, x = diff
    state, rows = record(task, x, h, memory)
    return state, (state, rows)


@taped.def_bwd
@own_arithmetic
def _backward(residuals: tuple, grad: State, perturbed: PyTree, diff: tuple, h: Array, memory: int) -> tuple:
    del h
    state, rows = residuals
    task, x0 = diff
    return pull_back(task, x0, state, rows, grad, perturbed[0], memory)


class Cotangents(NamedTuple):
    """What the walk backwards carries.

    slots   of the carried slots at the beginning of the rows still to come (their inexact leaves)
    theta   of everything else that may be differentiated (the task without its times)
    ts      of the save times
    saved   save times not yet passed on the way back
    steps   accepted steps not yet passed on the way back
    hits    events not yet passed on the way back
    """

    slots: Slots
    theta: PyTree
    ts: Any
    saved: Array
    steps: Array
    hits: Any


def pull_back(
    task: Task, x0: PyTree, end: State, rows: Rows, grad: State, wanted: Task, memory: int
) -> tuple[Task, PyTree]:
    """Cotangents of (task, x0), given those of the final state. `wanted` flags the leaves of the task that want one."""
    K = segment_length(carried(task, end.slots), task.max_steps, memory)

    def walk(theta: PyTree, rest: PyTree, out: _Incoming, cot: Cotangents) -> Cotangents:
        return _walk(task, theta, rest, rows, out, cot, K, end)

    return pull_through(task, x0, end, grad, wanted, walk)


def pull_through(task: Task, x0: PyTree, end: State, grad: State, wanted: Task, walk: Callable) -> tuple[Task, PyTree]:
    """As `pull_back`, over the steps that walk(theta, rest, incoming, cotangents) takes back."""
    theta, rest = parted(task, wanted)
    times = times_perturbed(wanted)
    out = _incoming(grad, end)
    slots = carried(task, end.slots)
    last = jax.tree.map(jnp.zeros_like, eqx.filter(slots, eqx.is_inexact_array))
    cot = Cotangents(
        slots=last | {"x": dense(out.x, x0)},
        theta=jax.tree.map(jnp.zeros_like, theta),
        ts=jnp.zeros_like(task.ts) if times and task.ts is not None else None,
        saved=end.saved,
        steps=end.accepted,
        hits=None if end.hits is None else end.hits.total,
    )
    if times:
        _refuse_times(task, out)
    arrived = end.status != Status.event
    s1, x1 = end.s, end.slots["x"]
    late = jnp.where(arrived, time_cotangent(task, s1, x1, cot.slots["x"]), 0.0) if times else jnp.zeros_like(s1)
    cot = walk(theta, rest, out, cot)
    cot = _first_slots(task, theta, rest, x0, cot)
    cot = _first_row(task, theta, rest, x0, out, cot)
    early = time_cotangent(task, begin_of(task), x0, cot.slots["x"]) if times else jnp.zeros_like(s1)
    if times and out.hit_s is not None:  # event times are written relative to t0
        early = early + jnp.sum(out.hit_s, axis=0)
    still = jax.tree.map(jnp.zeros_like, eqx.filter(rest, eqx.is_inexact_array))
    return assemble(task, cot._replace(theta=eqx.combine(cot.theta, still)), early, late), cot.slots["x"]


def _refuse_times(task: Task, out: "_Incoming") -> None:
    if not nothing(out.every):
        raise NotImplementedError(
            "Derivatives with respect to t0 and t1 are not defined for Save(steps=True), whose times the controller "
            "chooses; save at given times instead."
        )
    if task.stepper.noise is not None:
        raise NotImplementedError(
            "The solution of a stochastic equation has no derivative with respect to t0, t1 or the save times."
        )


class _Incoming(NamedTuple):
    """Cotangents of the outputs; None where nothing downstream depends on one."""

    x: PyTree
    at_times: PyTree
    every: PyTree
    sums: dict[str, Any]
    hit_s: Any
    hit_x: PyTree


def _incoming(grad: State, end: State) -> _Incoming:
    hit_s, hit_x = (None, None) if grad.hits is None else (grad.hits.s, grad.hits.x)
    every = folded(grad.saves[1], end.accepted)
    return _Incoming(grad.slots["x"], grad.saves[0], every, grad.sums, hit_s, hit_x)


def _walk(
    task: Task, theta: PyTree, rest: PyTree, rows: Rows, out: _Incoming, cot: Cotangents, K: int, end: State
) -> Cotangents:
    if K == 1:

        def one(i: Array, cot: Cotangents) -> Cotangents:
            j = rows.written - 1 - i
            slots = jax.tree.map(lambda buffer: buffer[j], rows.slots)
            return pull_row(task, theta, rest, out, row_at(rows, j, slots), cot, end)

        return jax.lax.fori_loop(0, rows.written, one, cot)

    def segment(i: Array, cot: Cotangents) -> Cotangents:
        index = (rows.written - 1) // K - i
        begin, stop = index * K, jnp.minimum((index + 1) * K, rows.written)
        slots = jax.tree.map(lambda buffer: buffer[index], rows.slots)
        history = jax.tree.map(lambda leaf: jnp.zeros((K, *leaf.shape), leaf.dtype), slots)

        def again(j: Array, carry: tuple[Slots, Slots]) -> tuple[Slots, Slots]:
            slots, history = carry
            history = jax.tree.map(lambda buffer, leaf: buffer.at[j - begin].set(leaf), history, slots)
            return _step(task, row_at(rows, j, slots)).slots, history

        _, history = jax.lax.fori_loop(begin, stop, again, (slots, history))

        def one(i: Array, cot: Cotangents) -> Cotangents:
            j = stop - 1 - i
            slots = jax.tree.map(lambda buffer: buffer[j - begin], history)
            return pull_row(task, theta, rest, out, row_at(rows, j, slots), cot, end)

        return jax.lax.fori_loop(0, stop - begin, one, cot)

    return jax.lax.fori_loop(0, (rows.written + K - 1) // K, segment, cot)


class _Stepped(NamedTuple):
    """A row's step, taken again: the carried slots behind it, what it built, and the event it ended in."""

    slots: Slots
    at: Moment
    env: Env
    landing: Any


def _step(task: Task, row: Row) -> _Stepped:
    """A lane with h = 0 stays."""
    stepper = task.stepper
    at = Moment(row.j, row.s, task.t0 + row.s, row.h)
    slots = stepper.start(at.t, row.slots["x"]) | row.slots
    env = stepper.attempt(at, slots)
    after, landing = settle(task, at, env, row.mark)
    after = carried(task, after)
    if stepper.lanes:
        after = jax.tree.map(lambda new, old: jnp.where(row.h == 0, old, new), after, row.slots)
    return _Stepped(after, at, env, landing)


def pull_row(
    task: Task, theta: PyTree, rest: PyTree, out: _Incoming, row: Row, cot: Cotangents, end: State
) -> Cotangents:
    """Take the cotangents of one row's outputs back to its inputs."""
    moved = row.h != 0
    timed, wants_sums = out.at_times is not None and not nothing(out.at_times), not nothing(out.sums)
    smooth, fixed = eqx.partition(row.slots, eqx.is_inexact_array)

    def forward(smooth: PyTree, theta: PyTree) -> tuple:
        full = with_times(task, theta, rest)
        done = _step(full, row._replace(slots=eqx.combine(smooth, fixed)))
        t1 = done.at.t + row.h
        if done.landing is not None:
            t1 = t1 + done.landing.dt
        every = None if nothing(out.every) else eqx.filter(row_of(full, t1, done.slots), eqx.is_inexact_array)
        basis = full.stepper.densify(done.at, done.env) if timed else None
        sums = where_or_zero(moved, measures(full, done.at, done.env)) if wants_sums else None
        hit = None if done.landing is None else (done.landing.dt, done.landing.before)
        return eqx.filter(done.slots, eqx.is_inexact_array), every, basis, sums, hit

    (_, every, basis, sums, hit), pull = jax.vjp(forward, smooth, theta)
    every_bar = basis_bar = sums_bar = hit_bar = None
    theta_bar, ts_bar, saved, hits = cot.theta, cot.ts, cot.saved, cot.hits
    if every is not None:
        every_bar = where_or_zero(moved, dense(read(out.every, cot.steps), every))
    if timed:
        basis_bar, theta_bar, ts_bar, saved = _pull_times(task, theta, rest, out, row, basis, cot)
    if wants_sums:
        sums_bar = where_or_zero(moved, dense(out.sums, sums))
    if hit is not None:
        hit_bar, hits = _pull_hit(out, row, hit, hits, end)
    slots_bar, step_bar = pull((cot.slots, every_bar, basis_bar, sums_bar, hit_bar))
    return Cotangents(slots_bar, add(theta_bar, step_bar), ts_bar, saved, cot.steps - moved, hits)


def _pull_hit(out: _Incoming, row: Row, hit: tuple, hits: Array, end: State) -> tuple[tuple, Array]:
    """Cotangents of an event's time and of the state before it. A row of the record holds what was last written."""
    happened = (row.mark >= 0) & (row.h != 0)
    assert end.hits is not None
    rows = end.hits.s.shape[0]
    number = hits - happened
    alive = happened & ((number < rows - 1) | (number == end.hits.total - 1))
    index = jnp.minimum(number, rows - 1)
    dt, before = hit
    dt_bar = jnp.zeros_like(dt) if nothing(out.hit_s) else jnp.where(alive, read(out.hit_s, index), 0.0)
    if nothing(out.hit_x):
        before_bar = jax.tree.map(jnp.zeros_like, before)
    else:
        before_bar = where_or_zero(alive, dense(read(out.hit_x, index), before))
    return (dt_bar, before_bar), number


def _pull_times(
    task: Task, theta: PyTree, rest: PyTree, out: _Incoming, row: Row, basis: PyTree, cot: Cotangents
) -> tuple[PyTree, PyTree, Any, Array]:
    """Cotangents that the values saved inside the row's step give to its stages, the weights and the save times."""
    s, h = row.s, row.h
    went, sign = h != 0, jnp.sign(task.span)
    times = task.ts

    def due(saved: Array) -> Array:
        time = times[jnp.maximum(saved - 1, 0)]
        return went & (saved > 0) & (time * sign > s * sign)

    def value(basis: PyTree, theta: PyTree, time: Array, now: Array) -> PyTree:
        full = with_times(task, theta, rest)
        part = jnp.where(now, (jax.lax.stop_gradient(time) - s) / jnp.where(now, h, 1.0), 0.0)
        x = full.stepper.interpolate(Moment(row.j, s, task.t0 + s, h), part, basis)
        return output(full, task.t0 + time, moved(x, time + jnp.zeros_like(s), task.t0, full.stepper))

    def body(carry: tuple) -> tuple:
        basis_bar, theta_bar, ts_bar, saved = carry
        now, index = due(saved), jnp.maximum(saved - 1, 0)
        time = times[index]
        given = (basis, theta) if ts_bar is None else (basis, theta, time)
        saved_value, pull = jax.vjp(lambda b, p, t=time: value(b, p, t, now), *given)
        b, p, *t = pull(where_or_zero(now, dense(read(out.at_times, index), saved_value)))
        if ts_bar is not None:
            ts_bar = ts_bar.at[index].add(jnp.where(now, t[0], 0.0))
        return add(basis_bar, b), add(theta_bar, p), ts_bar, saved - now

    zeros = jax.tree.map(jnp.zeros_like, basis)
    carry = (zeros, cot.theta, cot.ts, cot.saved)
    return jax.lax.while_loop(lambda carry: jnp.any(due(carry[3])), body, carry)


def _first_slots(task: Task, theta: PyTree, rest: PyTree, x0: PyTree, cot: Cotangents) -> Cotangents:
    """Whatever the method carries beside x began as a function of x0."""
    if not task.stepper.method.carried:
        return cot

    def begin(x: PyTree, theta: PyTree) -> PyTree:
        full = with_times(task, theta, rest)
        slots = carried(full, first_slots(full, x))
        return eqx.filter(slots, eqx.is_inexact_array)

    _, pull = jax.vjp(begin, x0, theta)
    x_bar, theta_bar = pull(cot.slots)
    return cot._replace(slots={"x": x_bar}, theta=add(cot.theta, theta_bar))


def _first_row(task: Task, theta: PyTree, rest: PyTree, x0: PyTree, out: _Incoming, cot: Cotangents) -> Cotangents:
    """What was saved before the first step: the first of every step's rows, and a save time equal to t0."""
    begin, shape = begin_of(task), task.span.shape
    t, index = task.t0 + begin, jnp.zeros(shape, jnp.int32)

    def every(x: PyTree, theta: PyTree) -> PyTree:
        full = with_times(task, theta, rest)
        return eqx.filter(row_of(full, t, first_slots(full, x)), eqx.is_inexact_array)

    def at_start(x: PyTree, theta: PyTree, dt: Array) -> PyTree:
        full = with_times(task, theta, rest)
        shifted = jax.tree.map(lambda a, f: a + dt * f, x, task.stepper.slope(t, x0))
        return output(full, t + dt, shifted)

    if not nothing(out.every):
        value, pull = jax.vjp(every, x0, theta)
        x_bar, theta_bar = pull(dense(read(out.every, index), value))
        cot = cot._replace(slots={"x": add(cot.slots["x"], x_bar)}, theta=add(cot.theta, theta_bar))
    if not nothing(out.at_times):
        value, pull = jax.vjp(at_start, x0, theta, jnp.zeros(shape, task.span.dtype))

        def one(carry: tuple[Cotangents, Array]) -> tuple[Cotangents, Array]:
            """The last row not yet passed, of those that repeat the first time."""
            cot, left = carry
            now, row = left > 0, jnp.maximum(left - 1, 0)
            x_bar, theta_bar, dt_bar = pull(where_or_zero(now, dense(read(out.at_times, row), value)))
            ts_bar = None if cot.ts is None else cot.ts.at[row].add(jnp.where(now, dt_bar, 0.0))
            slots = cot.slots | {"x": add(cot.slots["x"], x_bar)}
            return cot._replace(slots=slots, theta=add(cot.theta, theta_bar), ts=ts_bar), left - now

        every_t = task.ts.reshape(-1, *(1,) * task.span.ndim)
        first = jnp.sum(every_t == begin, axis=0, dtype=jnp.int32)
        cot, _ = jax.lax.while_loop(lambda carry: jnp.any(carry[1] > 0), one, (cot, first))
    return cot


def assemble(task: Task, cot: Cotangents, early: Array, late: Array) -> Task:
    """Cotangents in the task's own structure. x(t0 + span): span moves the end; t0 moves both ends."""
    ts_bar = jnp.zeros_like(task.ts) if cot.ts is None and task.ts is not None else cot.ts
    t0_bar = late - early + (0.0 if ts_bar is None else jnp.sum(ts_bar))
    t0_bar = jnp.sum(t0_bar) if task.t0.ndim == 0 else t0_bar
    frozen = (task.edges, task.stops, task.control, task.stepper.tol, task.stepper.noise)
    untouched = jax.tree.map(jnp.zeros_like, eqx.filter(frozen, eqx.is_inexact_array))
    return eqx.tree_at(times_of, cot.theta, (t0_bar, late, ts_bar, *untouched), is_leaf=lambda v: v is None)
