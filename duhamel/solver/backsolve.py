"""The continuous adjoint with the solution reconstructed backwards."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from duhamel.core.problem import Problem
from duhamel.methods.base import Method

from .backwards import walk_back
from .continuous import finished, prepared, refuse_noise
from .control import PID
from .loop import run
from .recorded import Recorded, has_stops
from .task import State, Task


class Backsolve(Recorded):
    """The continuous adjoint, solved backwards together with the solution itself, which is thus reconstructed.

    Memory does not grow with the number of steps. The price: the gradient is that of the exact solution, right to the
    tolerance of the backward solve and not to rounding, and where going back is unstable (diffusion, stiff or
    chaotic equations) the reconstruction is wrong. It is watched: if it misses x0 by more than `drift` of the state's
    size, the gradient is NaN. Reconstruction begins anew from every saved state.

    method    of the backward solve: the forward one where it is explicit, else Tsit5()
    control   of the backward solve: the forward one unless told
    seminorm  the integral that gives the weights' gradient does not shorten steps (Kidger, Chen, Lyons, 2021). False:
              it is part of the state and of its norm, for one state only (`solve`)
    drift     relative; 1e-2 is good, infinity switches the watch off
    Weights shared by the lanes of an ensemble get one cotangent, not one a lane.
    """

    method: Method | None = None
    control: PID | None = None
    seminorm: bool = eqx.field(static=True, default=True)
    drift: float = eqx.field(static=True, default=1e-2)

    def check(self, problem: Problem, method: Method, control: Any, save: Any, events: Any) -> None:
        refuse_noise("Backsolve()", problem, method)
        if events:
            raise NotImplementedError(
                "Backsolve() cannot go back through events, where the solution jumps: use adjoint=Tape()."
            )
        if has_stops(control):
            raise NotImplementedError(
                "Backsolve() does not heed discontinuities (stops): use adjoint=Tape() or Interpolating()."
            )

    @property
    def again(self) -> bool:
        return False

    def record(self, task: Task, x: PyTree, h: Array) -> tuple[State, None]:
        return run(task, x, h), None

    def pull_back(
        self, task: Task, x: PyTree, end: State, record: Any, grad: State, wanted: Task
    ) -> tuple[Task, PyTree]:
        del record
        work = prepared(self, task, end, grad, wanted, "Backsolve()", self.seminorm)
        edges = None if work.plan.control is not None else task.edges[:-1]
        plan = work.plan._replace(edges=edges)
        walk = walk_back(work.back, plan, work.first | {"x": end.slots["x"]}, end)
        missed = _missed(task, x, walk.slots["x"]["x"], end, self.drift)
        return finished(work, walk, x, missed)


def _missed(task: Task, x0: PyTree, found: PyTree, end: State, drift: float) -> Array:
    """Whether the reconstruction came out elsewhere, per lane."""
    lanes = task.stepper.lanes

    def size(tree: PyTree) -> Array:
        squares = [jnp.sum(jnp.abs(v) ** 2, axis=tuple(range(v.ndim - lanes))) for v in jax.tree.leaves(tree)]
        return jnp.sum(jnp.stack(squares), axis=0)

    apart = size(jax.tree.map(jnp.subtract, found, x0))
    return apart > drift**2 * (size(x0) + size(end.slots["x"]))
