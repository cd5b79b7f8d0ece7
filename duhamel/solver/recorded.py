"""Reverse mode wrapped around the loop, for every adjoint that pulls cotangents back by a rule of its own."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, PyTree

from duhamel.core.switches import own_arithmetic

from .adjoint import Adjoint
from .lanes import backward_chunks, march_lanes
from .loop import run
from .modes import March, marched
from .task import State, Task
from .weights import weights_of


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
        return marched(task, x, jax.lax.stop_gradient(h), _Pulled(self, None))

    def march_lanes(self, task: Task, x: PyTree, h: Any, width: int) -> State:
        return marched(task, x, jax.lax.stop_gradient(h), _Pulled(self, width))


class _Pulled(March):
    """An adjoint's record and rule, for one state or (`width`) for lanes in chunks."""

    adjoint: Recorded
    width: int | None = eqx.field(static=True)

    def run(self, task: Task, x: PyTree, h: Array) -> State:
        return run(task, x, h) if self.width is None else march_lanes(task, x, h, self.width)

    @own_arithmetic
    def forward(self, task: Task, x: PyTree, h: Array) -> tuple[State, PyTree]:
        adjoint, width = self.adjoint, self.width
        if width is not None and _in_chunks(task, width):
            state = march_lanes(task, x, h, width)
            return state, (None if adjoint.again else state, None)
        state, record = adjoint.record(task, x, h)
        return state, (state, record)

    @own_arithmetic
    def backward(self, task: Task, x: PyTree, h: Array, kept: PyTree, grad: State, wanted: Task) -> tuple[Task, PyTree]:
        adjoint, width = self.adjoint, self.width
        end, record = kept
        if width is None or not _in_chunks(task, width):
            return _weighed(adjoint, task, x, end, record, grad, wanted)

        def pull(own: Task, x: PyTree, h: Array, grad: State, end: Any) -> tuple[Task, PyTree]:
            record = None
            if end is None:
                end, record = adjoint.record(own, x, h)
            return _weighed(adjoint, own, x, end, record, grad, wanted)

        return backward_chunks(task, x, h, grad, end, width, pull)


def _weighed(
    adjoint: Recorded, task: Task, x: PyTree, end: State, record: Any, grad: State, wanted: Task
) -> tuple[Task, PyTree]:
    weights = weights_of(grad, end)
    task, x, end, record = weights.heal_task(task), weights.heal(x), weights.heal(end), weights.heal(record)
    return weights.weighed(*adjoint.pull_back(task, x, end, record, grad, wanted))


def _in_chunks(task: Task, width: int) -> bool:
    return task.span.shape[0] > width


def has_stops(control: Any) -> bool:
    """Whether steps end at discontinuities of the field, `PID(stops=...)` or `Fixed(stops=True)`."""
    return not any(getattr(control, "stops", None) is nothing for nothing in (None, False))
