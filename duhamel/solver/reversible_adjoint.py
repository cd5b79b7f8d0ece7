"""The exact gradient at constant memory, for methods whose steps can be undone."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from duhamel.core.problem import Problem
from duhamel.methods.base import Method, Moment, Slots

from .loop import advance, finish, run, start, unfinished
from .record import Row, carried
from .recorded import Recorded, has_stops
from .row_back import Cotangents, Way, pull_row
from .save import select
from .tape import pull_through
from .task import State, Task


class ReversibleAdjoint(Recorded):
    """Reverse mode over the accepted steps, each state computed from the one after it by the method's own inverse.

    For methods that have one: `ReversibleHeun()`, and any explicit method in `Reversible(...)`. The gradient is
    that of the numbers computed, as with `Tape()`, up to the rounding that going back magnifies. Memory: the times
    of the steps (two numbers for each of max_steps under PID, else the grid), whatever the size of the state.
    """

    def check(self, problem: Problem, method: Method, control: Any, save: Any, events: Any) -> None:
        del problem, save
        if not hasattr(method, "inverse"):
            raise ValueError(
                f"ReversibleAdjoint() undoes every step, and {type(method).__name__} has no inverse: wrap it in "
                "Reversible(...), or use adjoint=Tape()."
            )
        if events:
            raise NotImplementedError(
                "ReversibleAdjoint() cannot undo events, where the solution jumps: use adjoint=Tape()."
            )
        if has_stops(control):
            raise NotImplementedError(
                "ReversibleAdjoint() does not undo steps that end at discontinuities (stops): use adjoint=Tape()."
            )

    def record(self, task: Task, x: PyTree, h: Array) -> tuple[State, Any]:
        if task.edges is not None:
            return run(task, x, h), None
        times = jnp.zeros((task.max_steps, *task.span.shape), task.span.dtype)

        def body(carry: tuple) -> tuple:
            state, s, h, j = carry
            new, move = advance(task, state)
            return new, s.at[j].set(move.s), h.at[j].set(move.h), j + move.any.astype(jnp.int32)

        first = (start(task, x, h), times, times, jnp.zeros((), jnp.int32))
        state, *rows = jax.lax.while_loop(lambda carry: unfinished(carry[0]), body, first)
        return finish(task, state), tuple(rows)

    def pull_back(
        self, task: Task, x: PyTree, end: State, record: Any, grad: State, wanted: Task
    ) -> tuple[Task, PyTree]:
        def walk(way: Way, cot: Cotangents) -> Cotangents:
            task, end = way.task, way.end
            written = way.rows(jnp.max(end.accepted) if record is None else record[2])

            def one(i: Array, carry: tuple[Slots, Cotangents]) -> tuple[Slots, Cotangents]:
                slots, cot = carry
                at = _moment(task, record, written - 1 - i, end)
                at = at._replace(h=jnp.where(way.weights.idle, 0.0, at.h))
                slots = undone(task, at, slots)
                row = Row(at.index, at.s, at.h, None, carried(task, slots))
                return slots, pull_row(way, row, cot)

            return jax.lax.fori_loop(0, written, one, (end.slots, cot))[1]

        return pull_through(task, x, end, grad, wanted, walk)


def _moment(task: Task, record: Any, j: Array, end: State) -> Moment:
    if record is None:
        s, h = jnp.broadcast_to(task.edges[j], task.span.shape), task.edges[j + 1] - task.edges[j]
        h = jnp.where(j < end.accepted, h, 0.0)
    else:
        s, h = record[0][j], record[1][j]
    return Moment(j, s, task.t0 + s, h)


def undone(task: Task, at: Moment, slots: Slots) -> Slots:
    """The slots at the beginning of a step, from those at its end. A lane with h = 0 stays."""
    method: Any = task.stepper.method
    before = method.inverse(task.stepper, at, slots)
    return select(at.h != 0, {name: before[name] for name in slots}, slots) if task.stepper.lanes else before
