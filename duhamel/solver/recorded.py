"""Reverse mode wrapped around the loop, for every adjoint that pulls cotangents back by a rule of its own."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, PyTree

from duhamel.core.switches import own_arithmetic

from .adjoint import Adjoint
from .lanes import backward_chunks, march_lanes
from .task import State, Task


class Recorded(Adjoint):
    """The forward pass leaves a record, and `pull_back` takes cotangents of the final state to those of (task, x)."""

    @property
    def again(self) -> bool:
        """Whether chunks of an ensemble are run forward once more for their record; else the end is all it takes."""
        return True

    @abstractmethod
    def record(self, task: Task, x: PyTree, h: Array) -> tuple[State, Any]:
        """`loop.run`, and what the reverse pass wants to know of it."""

    @abstractmethod
    def pull_back(
        self, task: Task, x: PyTree, end: State, record: Any, grad: State, wanted: Task
    ) -> tuple[Task, PyTree]:
        """Cotangents of (task, x), given those of the final state. `wanted` flags the leaves that want one."""

    def march(self, task: Task, x: PyTree, h: Any) -> State:
        return _wrapped((task, x), jax.lax.stop_gradient(h), self, None)

    def march_lanes(self, task: Task, x: PyTree, h: Any, width: int) -> State:
        return _wrapped((task, x), jax.lax.stop_gradient(h), self, width)


@eqx.filter_custom_vjp
def _wrapped(diff: tuple, h: Array, adjoint: Recorded, width: int | None) -> State:
    task, x = diff
    return adjoint.record(task, x, h)[0] if width is None else march_lanes(task, x, h, width)


def _in_chunks(task: Task, width: int | None) -> bool:
    return width is not None and task.span.shape[0] > width


@_wrapped.def_fwd
@own_arithmetic
def _forward(perturbed: PyTree, diff: tuple, h: Array, adjoint: Recorded, width: int | None) -> tuple[State, tuple]:
    del perturbed
    task, x = diff
    if width is not None and _in_chunks(task, width):
        state = march_lanes(task, x, h, width)
        return state, (None if adjoint.again else state, None)
    state, record = adjoint.record(task, x, h)
    return state, (state, record)


@_wrapped.def_bwd
@own_arithmetic
def _backward(
    residuals: tuple, grad: State, perturbed: PyTree, diff: tuple, h: Array, adjoint: Recorded, width: int | None
) -> tuple[Task, PyTree]:
    end, record = residuals
    task, x = diff
    wanted = perturbed[0]
    if width is None or not _in_chunks(task, width):
        return adjoint.pull_back(task, x, end, record, grad, wanted)

    def pull(own: Task, x: PyTree, h: Array, grad: State, end: Any) -> tuple[Task, PyTree]:
        record = None
        if end is None:
            end, record = adjoint.record(own, x, h)
        return adjoint.pull_back(own, x, end, record, grad, wanted)

    return backward_chunks(task, x, h, grad, end, width, pull)


def has_stops(control: Any) -> bool:
    """Whether steps end at discontinuities of the field, `PID(stops=...)` or `Fixed(stops=True)`."""
    return not any(getattr(control, "stops", None) is nothing for nothing in (None, False))
