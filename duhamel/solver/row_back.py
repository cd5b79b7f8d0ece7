"""One row of the tape taken back: cotangents of a step's outputs become those of its inputs.

    lam_j      = (d x_{j+1} / d x_j)^T lam_{j+1} + what was saved in the step
    theta_bar += (d x_{j+1} / d theta)^T lam_{j+1}

theta are the weights, shared by all lanes: their cotangent is one array, whatever the number of lanes.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from duhamel.methods.base import Env, Moment, Slots

from .cotangents import add, dense, folded, nothing, where_or_zero, with_times
from .loop import first_slots, measures, settle
from .record import Row, carried
from .save import read
from .stepper import moved
from .task import State, Task, begin_of, output, row_of
from .weights import Weights


class Cotangents(NamedTuple):
    """What the walk backwards carries.

    slots   of the carried slots at the beginning of the rows still to come (their inexact leaves)
    theta   of everything else that may be differentiated (the task without its times; on a fixed grid t0 is in it)
    ts      of the save times
    edges   of a fixed grid
    saved   save times not yet passed on the way back
    steps   accepted steps not yet passed on the way back
    hits    events not yet passed on the way back
    """

    slots: Slots
    theta: PyTree
    ts: Any
    edges: Any
    saved: Array
    steps: Array
    hits: Any


class Incoming(NamedTuple):
    """Cotangents of the outputs; None where nothing downstream depends on one."""

    x: PyTree
    at_times: PyTree
    every: PyTree
    sums: dict[str, Any]
    hit_s: Any
    hit_x: PyTree


def incoming(grad: State, end: State) -> Incoming:
    hit_s, hit_x = (None, None) if grad.hits is None else (grad.hits.s, grad.hits.x)
    every = folded(grad.saves[1], end.accepted)
    return Incoming(grad.slots["x"], grad.saves[0], every, grad.sums, hit_s, hit_x)


class Way(NamedTuple):
    """What taking rows back needs and never changes.

    task  with `theta`, what is differentiated of it, and `rest` parted from it
    out   cotangents of the outputs of the solve, and `end`, its final state
    """

    task: Task
    theta: PyTree
    rest: PyTree
    out: Incoming
    end: State
    weights: Weights

    def rows(self, written: Array) -> Array:
        """How many rows there are to take back: none if nobody asks."""
        return jnp.where(jnp.all(self.weights.idle), 0, written)

    def healed(self, row: Row) -> Row:
        """Idle lanes stand still where their donor is."""
        idle = self.weights.idle
        if idle.ndim == 0:
            return row
        mark = jax.tree.map(lambda leaf: jnp.where(idle, jnp.zeros_like(leaf), leaf), row.mark)
        h = jnp.where(idle, 0.0, row.h)
        return Row(row.j, self.weights.heal(row.s), h, mark, self.weights.heal(row.slots))


class Stepped(NamedTuple):
    """A row's step, taken again: the carried slots behind it, what it built, and the event it ended in."""

    slots: Slots
    at: Moment
    env: Env
    landing: Any


def step_of(task: Task, row: Row) -> Stepped:
    """A lane with h = 0 stays."""
    stepper = task.stepper
    at = Moment(row.j, row.s, task.t0 + row.s, row.h)
    slots = stepper.start(at.t, row.slots["x"]) | row.slots
    env = stepper.attempt(at, slots)
    after, landing = settle(task, at, env, row.mark)
    after = carried(task, after)
    if stepper.lanes:
        after = jax.tree.map(lambda new, old: jnp.where(row.h == 0, old, new), after, row.slots)
    return Stepped(after, at, env, landing)


def pull_row(way: Way, row: Row, cot: Cotangents) -> Cotangents:
    """Take the cotangents of one row's outputs back to its inputs."""
    task, theta, rest, out = way.task, way.theta, way.rest, way.out
    row = way.healed(row)
    moved = row.h != 0
    timed, wants_sums = out.at_times is not None and not nothing(out.at_times), not nothing(out.sums)
    smooth, fixed = eqx.partition(row.slots, eqx.is_inexact_array)
    ends = () if cot.edges is None else (row.s, row.h)  # on a grid the steps move with it

    def forward(smooth: PyTree, theta: PyTree, *ends: Array) -> tuple:
        full, own = with_times(task, theta, rest), _moved_row(row, ends)
        done = step_of(full, own._replace(slots=eqx.combine(smooth, fixed)))
        s1, t1 = own.s + own.h, done.at.t + own.h
        if done.landing is not None:
            t1 = t1 + done.landing.ahead
        every = None if nothing(out.every) else eqx.filter(row_of(full, t1, done.slots), eqx.is_inexact_array)
        basis = full.stepper.inside(done.at, done.env) if timed else None
        sums = where_or_zero(moved, measures(full, done.at, done.env)) if wants_sums else None
        hit = (s1 + done.landing.dt, done.landing.before) if full.events and done.landing is not None else None
        return eqx.filter(done.slots, eqx.is_inexact_array), every, basis, sums, hit

    (_, every, basis, sums, hit), pull = jax.vjp(forward, smooth, theta, *ends)
    every_bar = basis_bar = sums_bar = hit_bar = None
    hits, saved_bar = cot.hits, cot
    if every is not None:
        every_bar = where_or_zero(moved, dense(read(out.every, cot.steps), every))
    if timed:
        basis_bar, saved_bar = _pull_times(way, row, basis, cot)
    if wants_sums:
        sums_bar = where_or_zero(moved, dense(out.sums, sums))
    if hit is not None:
        hit_bar, hits = _pull_hit(way, row, hit, hits)
    slots_bar, theta_bar, *ends_bar = pull((cot.slots, every_bar, basis_bar, sums_bar, hit_bar))
    edges = _pull_ends(task, row, saved_bar.edges, *ends_bar) if ends else None
    theta_bar = add(saved_bar.theta, theta_bar)
    return Cotangents(slots_bar, theta_bar, saved_bar.ts, edges, saved_bar.saved, cot.steps - moved, hits)


def _moved_row(row: Row, ends: tuple) -> Row:
    return row._replace(s=ends[0], h=ends[1]) if ends else row


def _pull_ends(task: Task, row: Row, edges: Array, s_bar: Array, h_bar: Array) -> Array:
    """Cotangents of the grid, given those of a step from s by h. Where a step begins or ends at an event, the time is
    held: what comes of its motion the event's own rule has (`landing.land`)."""
    n = task.edges.shape[0] - 1
    if not task.events:
        j = jnp.minimum(row.j, n - 1)
        return edges.at[j].add(jnp.sum(s_bar - h_bar)).at[j + 1].add(jnp.sum(h_bar))
    far = lambda s: jnp.abs(task.edges.reshape(-1, *(1,) * s.ndim) - s)  # noqa: E731
    sliver = 1e-6 * jnp.abs(task.span) / n
    for s, bar in ((row.s, s_bar - h_bar), (row.s + row.h, h_bar)):
        near = jnp.argmin(far(s), axis=0)
        edges = edges.at[near].add(jnp.where(jnp.min(far(s), axis=0) <= sliver, bar, 0.0))
    return edges


def _pull_hit(way: Way, row: Row, hit: tuple, hits: Array) -> tuple[tuple, Array]:
    """Cotangents of the events' times since t0 and of the states before them. A row of the record holds what was last
    written."""
    out, end = way.out, way.end
    assert end.hits is not None
    rows, total = end.hits.s.shape[0], end.hits.total
    happened = jnp.where(row.h != 0, row.mark.happened, 0)
    first = hits - happened

    def one(r: Array, s: Array, before: PyTree) -> tuple[Array, PyTree]:
        number = first + r
        alive = (r < happened) & ((number < rows - 1) | (number == total - 1))
        index = jnp.clip(number, 0, rows - 1)
        s_bar = jnp.zeros_like(s) if nothing(out.hit_s) else jnp.where(alive, read(out.hit_s, index), 0.0)
        if nothing(out.hit_x):
            return s_bar, jax.tree.map(jnp.zeros_like, before)
        return s_bar, where_or_zero(alive, dense(read(out.hit_x, index), before))

    return jax.vmap(one)(jnp.arange(hit[0].shape[0]), *hit), first


def _pull_times(way: Way, row: Row, basis: PyTree, cot: Cotangents) -> tuple[PyTree, Cotangents]:
    """Cotangents that the values saved inside the row's step give to its stages, the weights, the save times and a
    fixed grid. On a grid the interpolant is differentiated, else the solution itself, by f(t, x)."""
    task, theta, rest, out = way.task, way.theta, way.rest, way.out
    s, h = row.s, row.h
    went, sign = h != 0, jnp.sign(task.span)
    times = task.ts

    def due(saved: Array) -> Array:
        time = times[jnp.maximum(saved - 1, 0)]
        return went & (saved > 0) & (time * sign > s * sign)

    def value(basis: PyTree, theta: PyTree, time: Array, *ends: Array, now: Array) -> PyTree:
        full, own = with_times(task, theta, rest), _moved_row(row, ends)
        time_in_step = time if ends else jax.lax.stop_gradient(time)
        part = jnp.where(now, (time_in_step - own.s) / jnp.where(now, own.h, 1.0), 0.0)
        x = full.stepper.value(Moment(row.j, own.s, full.t0 + own.s, own.h), part, basis)
        if not ends:
            x = moved(x, time + jnp.zeros_like(s), full.t0, full.stepper)
        return output(full, full.t0 + time, x)

    def body(carry: tuple) -> tuple:
        basis_bar, theta_bar, ts_bar, ends_bar, saved = carry
        now, index = due(saved), jnp.maximum(saved - 1, 0)
        time = times[index]
        given = (basis, theta)
        if ts_bar is not None:
            given = (*given, time, *ends)
        each = lambda b, p, time=time, *ends: value(b, p, time, *ends, now=now)  # noqa: E731
        saved_value, pull = jax.vjp(each, *given)
        b, p, *t = pull(where_or_zero(now, dense(read(out.at_times, index), saved_value)))
        if ts_bar is not None:
            ts_bar = ts_bar.at[index].add(jnp.where(now, t[0], 0.0))
            ends_bar = add(ends_bar, where_or_zero(now, tuple(t[1:])))
        return add(basis_bar, b), add(theta_bar, p), ts_bar, ends_bar, saved - now

    ends = () if cot.edges is None else (s, h)
    zeros = jax.tree.map(jnp.zeros_like, (basis, ends))
    carry = (zeros[0], cot.theta, cot.ts, zeros[1], cot.saved)
    last = jax.lax.while_loop(lambda carry: jnp.any(due(carry[-1])), body, carry)
    basis_bar, theta_bar, ts_bar, ends_bar, saved = last
    edges = None if cot.edges is None else _pull_ends(task, row, cot.edges, *ends_bar)
    return basis_bar, cot._replace(theta=theta_bar, ts=ts_bar, edges=edges, saved=saved)


def pull_first_slots(way: Way, x0: PyTree, cot: Cotangents) -> Cotangents:
    """Whatever the method carries beside x began as a function of x0."""
    task, theta, rest = way.task, way.theta, way.rest
    if not task.stepper.method.carried:
        return cot

    def begin(x: PyTree, theta: PyTree) -> PyTree:
        full = with_times(task, theta, rest)
        slots = carried(full, first_slots(full, x))
        return eqx.filter(slots, eqx.is_inexact_array)

    _, pull = jax.vjp(begin, x0, theta)
    x_bar, theta_bar = pull(cot.slots)
    return cot._replace(slots={"x": x_bar}, theta=add(cot.theta, theta_bar))


def pull_first_row(way: Way, x0: PyTree, cot: Cotangents) -> Cotangents:
    """What was saved before the first step: the first of every step's rows, and a save time equal to t0."""
    task, theta, rest, out = way.task, way.theta, way.rest, way.out
    begin, shape = begin_of(task), task.span.shape
    index = jnp.zeros(shape, jnp.int32)

    def every(x: PyTree, theta: PyTree) -> PyTree:
        full = with_times(task, theta, rest)
        return eqx.filter(row_of(full, full.t0 + begin, first_slots(full, x)), eqx.is_inexact_array)

    def at_start(x: PyTree, theta: PyTree, dt: Array) -> PyTree:
        full = with_times(task, theta, rest)
        shifted = jax.tree.map(lambda a, f: a + dt * f, x, task.stepper.velocity(task.t0 + begin, x0))
        return output(full, full.t0 + begin + dt, shifted)

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
