"""A tape for solves whose length nobody knows: its size follows the square root of max_steps, its time the steps taken.

Attempts come in segments of SEGMENT. Rows are kept of the segment at hand only; the state at the beginning of each
segment is a checkpoint, in a group of so many segments; the first checkpoint of each group is kept for good. Backward,
a segment's rows are written again from its checkpoint, and a group's checkpoints from its first. The last segment's
rows and the last group's checkpoints are still there: a solve shorter than a segment costs what it would without.
"""

import dataclasses
from collections.abc import Callable
from math import ceil, sqrt
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .control import CFL
from .loop import advance, finish, start
from .record import Rows, append, blank, carried, going, segment_length
from .save import Save
from .sharding import vary_together
from .task import State, Task

SEGMENT = 2048  # attempts


class Checkpoint(NamedTuple):
    """Where a segment begins: what the loop needs to go on, and how many rows came before."""

    state: State
    rows: Array


class Long(NamedTuple):
    """Rows of the last segment, checkpoints of the last group, the first of every group, how many segments."""

    rows: Rows
    group: Checkpoint
    firsts: Checkpoint
    segments: Array


def record_long(task: Task, x: PyTree, h: Array, memory: int) -> tuple[State, Long]:
    """`run`, writing the tape."""
    first = start(task, x, h)
    slots = carried(task, first.slots)
    K, (size, groups) = segment_length(slots, SEGMENT, memory), _groups(task)
    rows = blank(task, slots, SEGMENT, K)
    point = _checkpoint(first, rows.written)
    many = lambda n: jax.tree.map(lambda leaf: jnp.zeros((n, *leaf.shape), leaf.dtype), point)  # noqa: E731
    empty = Long(rows, many(size), many(groups), jnp.zeros((), jnp.int32))

    def segment(carry: tuple[State, Long]) -> tuple[State, Long]:
        state, tape = carry
        i, before = tape.segments, tape.rows.first + tape.rows.written
        point = _checkpoint(state, before)
        group = _put(tape.group, i % size, point)
        firsts = _put(tape.firsts, i // size, point, i % size == 0)
        state, rows = _fill(task, state, _again(tape.rows, before), K, (i + 1) * SEGMENT)
        return state, Long(rows, group, firsts, i + 1)

    state, tape = jax.lax.while_loop(lambda carry: going(carry[0]), segment, vary_together((first, empty)))
    return finish(task, state), tape


def replayed(task: Task, tape: Long, end: State, memory: int, walk: Callable, cot: PyTree) -> PyTree:
    """walk(rows, K, cot) -> cot over the rows of every segment, the last one first."""
    K, (size, groups) = segment_length(carried(task, end.slots), SEGMENT, memory), _groups(task)
    bare = _bare(task)

    def back(i: Array, carry: tuple[Rows, Checkpoint, PyTree]) -> tuple[Rows, Checkpoint, PyTree]:
        rows, group, cot = carry
        index = tape.segments - 1 - i
        if groups > 1:
            new = (index % size == size - 1) & (i > 0)
            group = _group_again(bare, end, group, read_at(tape.firsts, index // size), size, new)
        point = read_at(group, index % size)
        again = i > 0
        state = _restored(bare, end, point)
        rows = _select(again, _again(rows, point.rows), rows)
        limit = jnp.where(again, (index + 1) * SEGMENT, 0)
        _, rows = _fill(bare, state, rows, K, limit)
        return rows, group, walk(rows, K, cot)

    return jax.lax.fori_loop(0, tape.segments, back, (tape.rows, tape.group, cot))[2]


def _group_again(task: Task, end: State, group: Checkpoint, first: Checkpoint, size: int, new: Array) -> Checkpoint:
    """The checkpoints of a group, from its first."""

    def attempt(carry: tuple[State, Array, Checkpoint]) -> tuple[State, Array, Checkpoint]:
        state, rows, group = carry
        due, i = state.attempts % SEGMENT == 0, state.attempts // SEGMENT % size
        group = _put(group, i, _checkpoint(state, rows), due)
        state, move = advance(task, state)
        return state, rows + move.any, group

    begin = _restored(task, end, first)
    # The last of them begins a segment before the end of the group.
    limit = jnp.where(new, begin.attempts + (size - 1) * SEGMENT + 1, 0)
    go_on = lambda carry: going(carry[0]) & (carry[0].attempts < limit)  # noqa: E731
    return jax.lax.while_loop(go_on, attempt, (begin, first.rows, group))[2]


def _fill(task: Task, state: State, rows: Rows, K: int, limit: Array) -> tuple[State, Rows]:
    """Attempts until that many were made or all is done, and their rows."""

    def attempt(carry: tuple[State, Rows]) -> tuple[State, Rows]:
        state, rows = carry
        new, move = advance(task, state)
        return new, append(rows, move, carried(task, state.slots), K)

    go_on = lambda carry: going(carry[0]) & (carry[0].attempts < limit)  # noqa: E731
    return jax.lax.while_loop(go_on, attempt, (state, rows))


def _groups(task: Task) -> tuple[int, int]:
    """(segments in a group, groups)."""
    segments = ceil(task.max_steps / SEGMENT)
    size = ceil(sqrt(segments)) if segments > 64 else segments
    return size, ceil(segments / size)


def _bare(task: Task) -> Task:
    """The task without what is saved, added up and reported on the way: its steps are the same."""
    task = dataclasses.replace(task, save=Save(events=task.save.events), progress=None)
    if isinstance(task.control, CFL):  # its steps end at the save times
        return task
    return eqx.tree_at(lambda t: t.ts, task, None, is_leaf=lambda v: v is None)


def _checkpoint(state: State, rows: Array) -> Checkpoint:
    return Checkpoint(state._replace(saves=None, hits=None, sums={}, counts={}), rows)  # pyright: ignore[reportArgumentType]


def _restored(task: Task, end: State, point: Checkpoint) -> State:
    """What it does not hold is written over what the solve ended with; nobody reads it."""
    at_times = None if task.ts is None else end.saves[0]
    return point.state._replace(saves=(at_times, None, None, None), hits=end.hits)


def _again(rows: Rows, first: Array) -> Rows:
    return rows._replace(first=first, written=jnp.zeros_like(rows.written))


def read_at(buffers: PyTree, i: Array) -> PyTree:
    return jax.tree.map(lambda buffer: buffer[i], buffers)


def _put(buffers: PyTree, i: Array, values: PyTree, where: Any = True) -> PyTree:
    put = lambda buffer, leaf: buffer.at[i].set(jnp.where(where, leaf, buffer[i]))  # noqa: E731
    return jax.tree.map(put, buffers, values)


def _select(where: Array, new: PyTree, old: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: a if a is b else jnp.where(where, a, b), new, old)
