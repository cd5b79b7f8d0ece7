"""How a solve is differentiated: each adjoint wraps the forward loop from outside."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
from jaxtyping import PyTree

from duhamel.core.problem import Problem
from duhamel.methods.base import Method

from .lanes import TapedLanes, march_lanes
from .loop import run
from .modes import marched, reverse_refused
from .tape import Taped
from .task import State, Task

REVERSE = (
    "Reverse mode (jax.grad) cannot go through adjoint=Forward(), which is for jax.jvp and jax.jacfwd: leave the "
    "default, Tape(), which serves both, or use Direct() for higher derivatives in reverse."
)


class Adjoint(eqx.Module):
    """Runs the loop so that the final `State` can be differentiated with respect to (task, x)."""

    def check(self, problem: Problem, method: Method, control: Any, save: Any, events: Any) -> None:
        """Raise one sentence for what this adjoint cannot differentiate."""
        del problem, method, control, save, events

    @abstractmethod
    def march(self, task: Task, x: PyTree, h: Any) -> State:
        """One state from t0 to t0 + span; h is the first step to try."""

    def march_lanes(self, task: Task, x: PyTree, h: Any, width: int) -> State:
        """Many lanes, in chunks of `width`."""
        del width
        return self.march(task, x, h)


class Tape(Adjoint):
    """Both modes, reverse over the accepted steps only; the default.

    The forward pass writes (t, h) of every accepted step and x of as many as `memory` bytes hold. The reverse pass
    walks the steps backwards with their sizes frozen, taking each step's own vector-Jacobian product: the exact
    gradient of the numbers computed, without work for rejected steps. If not every state fits, each segment is stepped
    again from the state at its beginning (twice the forward work, memory O(sqrt(steps)) at the least). Above 4096
    max_steps the tape holds 2048 attempts and checkpoints, and the others are made again: memory follows the square
    root of max_steps, time the steps taken.

    memory  bytes for saved states, 64 MiB unless told
    Weights shared by the lanes of an ensemble get one cotangent, not one a lane. A lane that nobody asks for (its
    cotangent is 0) adds exactly 0 to it, even if it failed and holds NaN.

    By t0, t1 and the save times: with Fixed steps everything is the derivative of the numbers computed, whose grid (and
    whatever is tabulated on it) moves with the times; finite differences agree to rounding. Where a controller chooses
    the steps it is that of the exact solution, f(t, x), to the tolerance.

    Forward mode (`jax.jvp`, `jax.jacfwd`, `jax.linearize`) runs through the loop as `Forward()` does, and forward over
    reverse (`jax.hessian`) through both. Reverse over reverse is for `Direct()`.
    """

    memory: int = eqx.field(static=True, default=64 * 2**20)

    def __check_init__(self) -> None:
        if self.memory < 1:
            raise ValueError(f"Tape(memory) is a number of bytes of at least 1, got {self.memory}.")

    def march(self, task: Task, x: PyTree, h: Any) -> State:
        return marched(task, x, jax.lax.stop_gradient(h), Taped(self.memory))

    def march_lanes(self, task: Task, x: PyTree, h: Any, width: int) -> State:
        return marched(task, x, jax.lax.stop_gradient(h), TapedLanes(self.memory, width))


class Forward(Adjoint):
    """Forward mode (`jax.jvp`, `jax.jacfwd`) straight through the loop; step sizes are frozen there too.

    For few parameters and many outputs, without the tape that the other adjoints write beside. Reverse mode through it
    is refused by a sentence.
    """

    def march(self, task: Task, x: PyTree, h: Any) -> State:
        return reverse_refused(run(task, x, h), REVERSE)

    def march_lanes(self, task: Task, x: PyTree, h: Any, width: int) -> State:
        return reverse_refused(march_lanes(task, x, h, width), REVERSE)
