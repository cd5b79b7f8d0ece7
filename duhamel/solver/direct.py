"""Differentiation straight through the steps, any number of times."""

from typing import Any, NamedTuple

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, PyTree

from duhamel.methods.base import Moment, Slots

from .adjoint import Adjoint
from .loop import advance, finish, start
from .pace import CHOSEN
from .record import carried
from .save import Save, fill_after, read, rows_like, select
from .stepper import moved
from .task import RUNNING, State, Task, begin_of, output

GROUP = 16  # attempts in a group, groups in the next one, and so on


class Direct(Adjoint):
    """Forward and reverse mode through the steps themselves, in any order and any number of times: Hessians, the
    gradient of a gradient, `jax.jvp` of `jax.grad`.

    The loop is a scan of groups of 16 attempts, of groups of groups, and so on up to max_steps; what lies beyond the
    end of the solve is skipped, so the time is that of the steps taken (each group is stepped again on the way back).

    Memory of a gradient: a state for each 16 of max_steps, whether taken or not, what the controller chose in each of
    max_steps, and all that 16 attempts compute; with save times or Save(steps=True) a state for each of max_steps. Set
    max_steps no higher than needed. For a single gradient `Tape()` is faster and smaller.

    Steps are frozen as with `Forward()`: sizes that the controller chose are not differentiated. In an ensemble a lane
    whose arguments are NaN makes the gradient by shared weights NaN even if it is masked: `Tape()` does not.
    """

    def march(self, task: Task, x: PyTree, h: Any) -> State:
        bare = eqx.tree_at(lambda t: (t.ts, t.save), task, (None, Save(events=task.save.events)), is_leaf=_none)
        wants_rows = task.ts is not None or task.save.every_step
        state, rows = _bounded(bare, x, h, wants_rows)
        state = finish(bare, state)
        if not wants_rows:
            return state
        taken = _gathered(task, rows)
        at_times = None if task.ts is None else _at_times(task, state, taken, x)
        every, times = _every(task, state, taken, x) if task.save.every_step else (None, None)
        return state._replace(saves=(at_times, every, times, None))


class _Row(NamedTuple):
    """An attempt that moved a lane (h = 0: it did not), from s and the carried slots to x1 at s1."""

    s: Array
    h: Array
    slots: Slots
    s1: Array
    x1: PyTree


def _none(value: Any) -> bool:
    return value is None


def _decided(leaf: Array) -> Array:
    """Orders and switches that a method keeps are choices too."""
    return leaf if jnp.issubdtype(leaf.dtype, jnp.inexact) else checkpoint_name(leaf, CHOSEN)


def _bounded(task: Task, x: PyTree, h: Array, wants_rows: bool) -> tuple[State, Any]:
    """The loop as nested scans; rows are (max_steps or a little more, ...), those of no attempt have h = 0."""

    def attempt(state: State) -> tuple[State, Any]:
        new, move = advance(task, state)
        new = new._replace(slots=jax.tree.map(_decided, new.slots))
        if not wants_rows:
            return new, None
        return new, _Row(move.s, move.h, carried(task, state.slots), new.s, new.slots["x"])

    def level(inner: Any, length: int) -> Any:
        def unless_over(state: State, _: Any) -> tuple[State, Any]:
            blank = jax.eval_shape(inner, state)[1]
            skip = lambda s: (s, jax.tree.map(lambda v: jnp.zeros(v.shape, v.dtype), blank))  # noqa: E731
            return jax.lax.cond(eqxi.unvmap_any(state.status == RUNNING), inner, skip, state)

        def group(state: State) -> tuple[State, Any]:
            state, rows = jax.lax.scan(unless_over, state, None, length=length)
            return state, rows

        return group

    run, size = attempt, 1
    while size < task.max_steps:
        length = min(GROUP, -(-task.max_steps // size))
        run = level(run, length)
        if size == 1:
            # Taken again, the attempts keep their steps: rounding that differs there must not choose others.
            run = jax.checkpoint(run, policy=jax.checkpoint_policies.save_only_these_names(CHOSEN))  # pyright: ignore[reportPrivateImportUsage]
        size *= length
    state, rows = run(start(task, x, jax.lax.stop_gradient(h)))
    if wants_rows:
        flat = lambda v, like: v.reshape(-1, *like.shape)  # noqa: E731
        like = jax.eval_shape(attempt, state)[1]
        rows = jax.tree.map(flat, rows, like)
    return state, rows


def _gathered(task: Task, rows: _Row) -> _Row:
    """Each lane's own accepted steps first, in order."""
    order = jnp.argsort(rows.h == 0, axis=0, stable=True)

    def take(leaf: Array) -> Array:
        if order.ndim == 1:
            return leaf[order]
        index = order.reshape(order.shape[0], *(1,) * (leaf.ndim - 2), order.shape[1])
        return jnp.take_along_axis(leaf, index, axis=0)

    return jax.tree.map(take, rows)


def _at_times(task: Task, state: State, rows: _Row, x0: PyTree) -> PyTree:
    """Values at the save times: the step that holds each is taken again and interpolated."""
    stepper, sign = task.stepper, jnp.sign(task.span)
    begun = jnp.arange(rows.s.shape[0]).reshape(-1, *(1,) * task.span.ndim) < state.accepted

    def one(time: Array) -> PyTree:
        j = jnp.sum(begun & (rows.s * sign < time * sign), axis=0) - 1
        j = jnp.maximum(j, 0)
        s, h, slots = read(rows.s, j), read(rows.h, j), read(rows.slots, j)
        at = Moment(j if j.ndim == 0 else j[0], s, task.t0 + s, h)
        env = stepper.attempt(at, stepper.start(at.t, slots["x"]) | slots)
        on_grid = task.edges is not None  # there the interpolant is differentiated, else the solution, by f(t, x)
        in_step = time if on_grid else jax.lax.stop_gradient(time)
        part = jnp.where(h == 0, 0.0, (in_step - s) / jnp.where(h == 0, 1.0, h))
        x = stepper.value(at, part, stepper.inside(at, env))
        x = select(h == 0, x0, x)
        if not on_grid:
            x = moved(x, time + jnp.zeros_like(s), task.t0, stepper)
        value = output(task, task.t0 + time, x)
        reached = time * sign <= state.s * sign
        return select(reached, value, rows_like_one(value))

    return jax.vmap(one)(task.ts)


def rows_like_one(value: PyTree) -> PyTree:
    return jax.tree.map(lambda rows: rows[0], rows_like(value, 1))


def _every(task: Task, state: State, rows: _Row, x0: PyTree) -> tuple[PyTree, Array]:
    """Values after every accepted step, the initial one first."""
    n = task.max_steps
    s = jnp.concatenate([begin_of(task)[None], rows.s1[:n]])
    x = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b[:n]]), x0, rows.x1)
    every = jax.vmap(lambda s, x: output(task, task.t0 + s, x))(s, x)
    return fill_after(every, state.accepted + 1), fill_after(task.t0 + s, state.accepted + 1)
