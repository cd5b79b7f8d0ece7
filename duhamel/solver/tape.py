"""Reverse mode from outside the loop: a tape of accepted steps, walked backwards.

Forward, every attempt in which a lane moved writes one row: s, h (0 for lanes that stood still, whose step is then the
identity), what the step ended in and, for every K-th row, x and whatever else the method carries. Backward, each row's
step is run once more under `jax.vjp` with h frozen (`row_back`). On a fixed grid h and s are functions of the grid, and
so of t0 and t1: their cotangents are the grid's.

A tape holds ROWS rows at most. A longer solve leaves checkpoints behind and writes its rows again (`long_tape`).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from duhamel.core.status import Status
from duhamel.core.switches import own_arithmetic
from duhamel.methods.base import Slots

from .cotangents import dense, nothing, parted, time_cotangent, times_of, times_perturbed
from .long_tape import Long, record_long, replayed
from .loop import run
from .modes import March
from .record import Rows, carried, record, row_at, segment_length
from .row_back import Cotangents, Incoming, Way, incoming, pull_first_row, pull_first_slots, pull_row, step_of
from .task import State, Task, begin_of
from .weights import weights_of

ROWS = 4096  # of a tape that is written once


class Taped(March):
    """`run`, with the tape for its way back."""

    memory: int = eqx.field(static=True)

    def run(self, task: Task, x: PyTree, h: Array) -> State:
        return run(task, x, h)

    @own_arithmetic
    def forward(self, task: Task, x: PyTree, h: Array) -> tuple[State, PyTree]:
        state, tape = write(task, x, h, self.memory)
        return state, (state, tape)

    @own_arithmetic
    def backward(self, task: Task, x: PyTree, h: Array, kept: PyTree, grad: State, wanted: Task) -> tuple[Task, PyTree]:
        del h
        state, tape = kept
        return pull_back(task, x, state, tape, grad, wanted, self.memory)


def write(task: Task, x: PyTree, h: Array, memory: int) -> tuple[State, Rows | Long]:
    """`run`, writing the tape."""
    return record(task, x, h, memory) if task.max_steps <= ROWS else record_long(task, x, h, memory)


def pull_back(
    task: Task, x0: PyTree, end: State, tape: Rows | Long, grad: State, wanted: Task, memory: int
) -> tuple[Task, PyTree]:
    """Cotangents of (task, x0), given those of the final state. `wanted` flags the leaves of the task that want one."""

    def walk(way: Way, cot: Cotangents) -> Cotangents:
        if isinstance(tape, Long):
            return replayed(task, tape, end, memory, lambda *given: _walk(way, *given), cot)
        return _walk(way, tape, segment_length(carried(task, end.slots), task.max_steps, memory), cot)

    return pull_through(task, x0, end, grad, wanted, walk)


def pull_through(task: Task, x0: PyTree, end: State, grad: State, wanted: Task, walk: Callable) -> tuple[Task, PyTree]:
    """As `pull_back`, over the steps that walk(way, cotangents) takes back."""
    times, on_grid = times_perturbed(wanted), task.edges is not None
    weights, out = weights_of(grad, end), incoming(grad, end)
    task, x0, end = weights.heal_task(task), weights.heal(x0), weights.heal(end)
    way = Way(task, *parted(task, wanted, on_grid), out, end, weights)
    last = jax.tree.map(jnp.zeros_like, eqx.filter(carried(task, end.slots), eqx.is_inexact_array))
    cot = Cotangents(
        slots=last | {"x": dense(out.x, x0)},
        theta=jax.tree.map(jnp.zeros_like, way.theta),
        ts=jnp.zeros_like(task.ts) if times and task.ts is not None else None,
        edges=jnp.zeros_like(task.edges) if times and on_grid else None,
        saved=end.saved,
        steps=end.accepted,
        hits=None if end.hits is None else end.hits.total,
    )
    if times:
        _refuse_times(task, out, on_grid)
    closed, s1 = times and not on_grid, end.s
    early = late = jnp.zeros_like(s1)
    if closed:
        late = time_cotangent(task, s1, end.slots["x"], cot.slots["x"])
        late = jnp.where(end.status == Status.event, 0.0, late)
    cot = pull_first_row(way, x0, pull_first_slots(way, x0, walk(way, cot)))
    if closed:
        early = time_cotangent(task, begin_of(task), x0, cot.slots["x"])
    if closed and out.hit_s is not None:  # event times are written relative to t0
        early = early + jnp.sum(out.hit_s, axis=0)
    still = jax.tree.map(jnp.zeros_like, eqx.filter(way.rest, eqx.is_inexact_array))
    cot = cot._replace(theta=eqx.combine(cot.theta, still))
    return weights.weighed(assemble(task, cot, early, late, on_grid), cot.slots["x"])


def _refuse_times(task: Task, out: Incoming, on_grid: bool) -> None:
    if not on_grid and not nothing(out.every):
        raise NotImplementedError(
            "Derivatives with respect to t0 and t1 are not defined for Save(steps=True), whose times the controller "
            "chooses; save at given times instead."
        )
    if task.stepper.noise is not None:
        raise NotImplementedError(
            "The solution of a stochastic equation has no derivative with respect to t0, t1 or the save times."
        )


def _walk(way: Way, rows: Rows, K: int, cot: Cotangents) -> Cotangents:
    """Back over all rows."""
    task, written = way.task, way.rows(rows.written)
    if K == 1:

        def one(i: Array, cot: Cotangents) -> Cotangents:
            j = written - 1 - i
            slots = jax.tree.map(lambda buffer: buffer[j], rows.slots)
            return pull_row(way, row_at(rows, j, slots), cot)

        return jax.lax.fori_loop(0, written, one, cot)

    def segment(i: Array, cot: Cotangents) -> Cotangents:
        index = (written - 1) // K - i
        begin, stop = index * K, jnp.minimum((index + 1) * K, written)
        slots = jax.tree.map(lambda buffer: buffer[index], rows.slots)
        history = jax.tree.map(lambda leaf: jnp.zeros((K, *leaf.shape), leaf.dtype), slots)

        def again(j: Array, carry: tuple[Slots, Slots]) -> tuple[Slots, Slots]:
            slots, history = carry
            history = jax.tree.map(lambda buffer, leaf: buffer.at[j - begin].set(leaf), history, slots)
            return step_of(task, way.healed(row_at(rows, j, slots))).slots, history

        _, history = jax.lax.fori_loop(begin, stop, again, (slots, history))

        def one(i: Array, cot: Cotangents) -> Cotangents:
            j = stop - 1 - i
            slots = jax.tree.map(lambda buffer: buffer[j - begin], history)
            return pull_row(way, row_at(rows, j, slots), cot)

        return jax.lax.fori_loop(0, stop - begin, one, cot)

    return jax.lax.fori_loop(0, (written + K - 1) // K, segment, cot)


def assemble(task: Task, cot: Cotangents, early: Array, late: Array, on_grid: bool = False) -> Task:
    """Cotangents in the task's own structure. x(t0 + span): span moves the end; t0 moves both ends, and the stops. On
    a fixed grid the grid has moved everything, and t0 is among the parameters."""
    ts_bar = jnp.zeros_like(task.ts) if cot.ts is None and task.ts is not None else cot.ts
    edges_bar = jnp.zeros_like(task.edges) if cot.edges is None and task.edges is not None else cot.edges
    frozen = (task.control, task.stepper.tol, task.stepper.noise)
    untouched = jax.tree.map(jnp.zeros_like, eqx.filter(frozen, eqx.is_inexact_array))
    bars = (late, ts_bar, edges_bar, *untouched)
    if not on_grid:
        t0_bar = late - early + (0.0 if ts_bar is None else jnp.sum(ts_bar))
        if cot.theta.stops is not None:
            t0_bar = t0_bar + jnp.sum(cot.theta.stops)
        bars = (jnp.sum(t0_bar) if task.t0.ndim == 0 else t0_bar, *bars)
    return eqx.tree_at(lambda t: times_of(t, on_grid), cot.theta, bars, is_leaf=lambda v: v is None)
