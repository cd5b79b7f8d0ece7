"""The continuous adjoint along the forward solution's dense output."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from duhamel.core.problem import Problem
from duhamel.methods.base import Method

from .backwards import walk_back
from .continuous import finished, prepared, refuse_noise
from .control import PID
from .record import record
from .recorded import Recorded
from .task import State, Task

EVERYTHING = 2**62  # bytes: every state is kept


class Interpolating(Recorded):
    """The continuous adjoint solved backwards along the forward solution, whose every step is kept and interpolated.

    Stable where `Backsolve()` is not, for the solution is never reconstructed. The adjoint takes steps of its own
    inside the forward ones, so it may be solved to a tolerance of its own. The gradient is that of the exact solution,
    right to both tolerances. Memory: one state an accepted step (max_steps of them are set aside).

    method      of the backward solve: the forward one where it is explicit, else Tsit5()
    control     of the backward solve: the forward one unless told
    quadrature  "gauss": the integral that gives the weights' gradient is a Gauss-Legendre sum over each step (SciML
                calls this GaussAdjoint). "state": it is part of the state and its norm, for one state only (`solve`)
    Weights shared by the lanes of an ensemble get one cotangent, not one a lane.
    """

    method: Method | None = None
    control: PID | None = None
    quadrature: str = eqx.field(static=True, default="gauss")

    def __check_init__(self) -> None:
        if self.quadrature not in ("gauss", "state"):
            raise ValueError(f'Interpolating(quadrature) is "gauss" or "state", got {self.quadrature!r}.')

    def check(self, problem: Problem, method: Method, control: Any, save: Any, events: Any) -> None:
        refuse_noise("Interpolating()", problem, method)
        if events:
            raise NotImplementedError(
                "Interpolating() cannot go back through events, where the solution jumps: use adjoint=Tape()."
            )

    def record(self, task: Task, x: PyTree, h: Array) -> tuple[State, Any]:
        return record(task, x, h, EVERYTHING)

    def pull_back(
        self, task: Task, x: PyTree, end: State, record: Any, grad: State, wanted: Task
    ) -> tuple[Task, PyTree]:
        work = prepared(self, task, end, grad, wanted, "Interpolating()", self.quadrature == "gauss")
        order = jnp.argsort(record.h == 0, axis=0, stable=True)
        plan = work.plan._replace(rows=record, order=order, edges=jnp.take_along_axis(record.s, order, axis=0))
        return finished(work, walk_back(work.back, plan, work.first, end), x, False)
