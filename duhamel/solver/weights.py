"""Lanes whose result nobody asked for: they weigh nothing, whatever became of them.

A lane that failed leaves NaN behind, and 0 * NaN is NaN: the cotangents of weights that all lanes share would be lost
with it. So a lane without a cotangent goes back as another lane did, with that one's states and arguments, which are
finite, times its own zeros.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from duhamel.core.status import Status

from .control import PID
from .cotangents import where_or_zero
from .task import State, Task


class Weights(NamedTuple):
    """idle: whether a lane has no cotangent, () or (lanes,). donor: the lane that stands in, ()."""

    idle: Array
    donor: Array

    def heal(self, tree: PyTree) -> PyTree:
        """Leaves (..., lanes): idle lanes are the donor's."""
        return tree if self.idle.ndim == 0 else jax.tree.map(self._heal, tree)

    def _heal(self, leaf: Any) -> Any:
        if not eqx.is_array(leaf) or leaf.ndim == 0:  # the index that all lanes share
            return leaf
        return jnp.where(self.idle, jnp.take(leaf, self.donor, axis=-1)[..., None], leaf)

    def heal_task(self, task: Task) -> Task:
        if self.idle.ndim == 0:
            return task
        (args, noise, bounds), _ = lane_args(task)
        front = lambda leaf: jnp.moveaxis(self._heal(jnp.moveaxis(leaf, 0, -1)), -1, 0)  # noqa: E731
        return with_lanes(task, self._heal(task.span), (jax.tree.map(front, args), noise, bounds))

    def weighed(self, task_bar: Task, x_bar: PyTree) -> tuple[Task, PyTree]:
        """Cotangents of (task, x), exactly 0 for idle lanes."""
        if self.idle.ndim == 0:
            return where_or_zero(~self.idle, (task_bar, x_bar))
        x_bar = where_or_zero(~self.idle, x_bar)
        task_bar = where_or_zero(~jnp.all(self.idle), task_bar)
        (args, *_), shared = lane_args(task_bar)
        front = lambda leaf: jnp.moveaxis(where_or_zero(~self.idle, jnp.moveaxis(leaf, 0, -1)), -1, 0)  # noqa: E731
        args = eqx.combine(jax.tree.map(front, args), shared)
        span = where_or_zero(~self.idle, task_bar.span)
        return eqx.tree_at(lambda t: (t.span, t.stepper.args), task_bar, (span, args), is_leaf=_none), x_bar


def weights_of(grad: State, end: State) -> Weights:
    """Which lanes have a cotangent. The donor has one, and succeeded if any of those did."""
    shape = end.s.shape
    hits = None if grad.hits is None else (grad.hits.s, grad.hits.x)
    idle = jnp.ones(shape, bool)
    for leaf in jax.tree.leaves((grad.slots["x"], grad.saves[:2], grad.sums, hits)):
        idle &= jnp.all(leaf == 0, axis=tuple(range(leaf.ndim - len(shape))))
    if not shape:
        return Weights(idle, jnp.zeros((), jnp.int32))
    arrived = (end.status == Status.success) | (end.status == Status.event)
    return Weights(idle, jnp.argmax(jnp.where(idle, 0, 1 + arrived)).astype(jnp.int32))


def lane_args(task: Task) -> tuple[PyTree, PyTree]:
    """((arguments with a leading lane axis, noise of every lane, bounds on its steps), shared arguments), None where
    the other is not."""
    axes, noise = task.stepper.axes, task.stepper.noise
    per = jax.tree.map(lambda axis, leaf: leaf if axis == 0 else None, axes, task.stepper.args, is_leaf=_none)
    shared = jax.tree.map(lambda axis, leaf: None if axis == 0 else leaf, axes, task.stepper.args, is_leaf=_none)
    return (per, noise, lane_bounds(task)), shared


def lane_bounds(task: Task) -> tuple:
    """(min_step, max_step) of each lane, None where all share one."""
    control = task.control
    if not isinstance(control, PID):
        return None, None
    return tuple(v if v is not None and jnp.ndim(v) else None for v in (control.min_step, control.max_step))


def with_bounds(task: Task, bounds: tuple) -> Task:
    for name, value in zip(("min_step", "max_step"), bounds, strict=True):
        if value is not None:
            task = eqx.tree_at(lambda t, n=name: getattr(t.control, n), task, value)
    return task


def without_lanes(task: Task) -> Task:
    """What lanes share."""
    (_, _, bounds), shared = lane_args(task)
    for name, value in zip(("min_step", "max_step"), bounds, strict=True):
        if value is not None:
            task = eqx.tree_at(lambda t, n=name: getattr(t.control, n), task, None)
    return eqx.tree_at(lambda t: (t.span, t.stepper.args), task, (None, shared), is_leaf=_none)


def with_lanes(task: Task, span: Array, per: PyTree) -> Task:
    """The task of some of the lanes."""
    _, shared = lane_args(task)
    args, noise, bounds = per
    task = eqx.tree_at(lambda t: (t.span, t.stepper.args), task, (span, eqx.combine(args, shared)), is_leaf=_none)
    task = with_bounds(task, bounds)
    return task if noise is None else eqx.tree_at(lambda t: t.stepper.noise, task, noise)


def _none(value: Any) -> bool:
    return value is None
