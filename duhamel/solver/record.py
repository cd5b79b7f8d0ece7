"""The tape: what the forward loop writes down for the walk backwards."""

from math import ceil, sqrt
from typing import Any, NamedTuple

import equinox.internal as eqxi
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from duhamel.methods.base import Slots

from .landing import unmarked
from .loop import advance, finish, start, unfinished
from .sharding import vary_together
from .task import Move, State, Task


class Rows(NamedTuple):
    """The tape: s, h and mark of each row, the carried slots of every K-th, how many rows were written, and how many
    came before the first."""

    s: Array
    h: Array
    mark: Any
    slots: Slots
    written: Array
    first: Array


class Row(NamedTuple):
    """One row of the tape: everything its step is made of but the weights."""

    j: Array
    s: Array
    h: Array
    mark: Any
    slots: Slots


def carried(task: Task, slots: Slots) -> Slots:
    """The slots that (t, x) does not determine, and x."""
    return {name: slots[name] for name in ("x", *task.stepper.method.carried)}


def segment_length(slots: PyTree, rows: int, memory: int) -> int:
    """K: one state in K is kept. 1 if all `rows` fit, else the kept ones and one segment take half the memory each."""
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(slots))
    fits = max(1, memory // max(size, 1))
    return 1 if fits >= rows else min(ceil(2 * rows / fits), ceil(sqrt(rows)))


def record(task: Task, x: PyTree, h: Array, memory: int) -> tuple[State, Rows]:
    """`run`, writing the tape."""
    first = start(task, x, h)
    slots = carried(task, first.slots)
    K = segment_length(slots, task.max_steps, memory)

    def body(carry: tuple[State, Rows]) -> tuple[State, Rows]:
        state, rows = carry
        new, move = advance(task, state)
        return new, append(rows, move, carried(task, state.slots), K)

    begun = vary_together((first, blank(task, slots, task.max_steps, K)))
    state, rows = jax.lax.while_loop(lambda carry: going(carry[0]), body, begun)
    return finish(task, state), rows


def going(state: State) -> Array:
    """Whether anybody is still running, under `jax.vmap` in any of its lanes: a lane that is done stands still by
    itself, and no copy of its tape is made a step."""
    return eqxi.unvmap_any(unfinished(state))


def blank(task: Task, slots: Slots, rows: int, K: int) -> Rows:
    """A tape for so many rows."""
    buffers = jax.tree.map(lambda leaf: jnp.zeros((ceil(rows / K), *leaf.shape), leaf.dtype), slots)
    times = jnp.zeros((rows, *task.span.shape), task.span.dtype)
    unbroken = unmarked(task.events, task.span) if task.marked else None
    marks = jax.tree.map(lambda leaf: jnp.zeros((rows, *leaf.shape), leaf.dtype), unbroken)
    none = jnp.zeros((), jnp.int32)
    return Rows(times, times, marks, buffers, none, none)


def append(rows: Rows, move: Move, slots: Slots, K: int) -> Rows:
    """A row that no lane moved in is overwritten by the next one, so it costs nothing later."""
    j = rows.written
    slot = j // K
    keep = j % K == 0

    def put(buffer: Array, leaf: Array) -> Array:
        old = buffer[slot]
        return buffer.at[slot].set(leaf if K == 1 else jnp.where(keep, leaf, old))

    return Rows(
        rows.s.at[j].set(move.s),
        rows.h.at[j].set(move.h),
        jax.tree.map(lambda buffer, leaf: buffer.at[j].set(leaf), rows.mark, move.mark),
        jax.tree.map(put, rows.slots, slots),
        j + move.any.astype(jnp.int32),
        rows.first,
    )


def row_at(rows: Rows, j: Array, slots: Slots) -> Row:
    return Row(rows.first + j, rows.s[j], rows.h[j], jax.tree.map(lambda buffer: buffer[j], rows.mark), slots)
