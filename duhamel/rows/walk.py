"""Walk through a plan call by call, for those who call the model themselves. What has been done so far is plain data:
a walk can be copied and pickled in the middle of a step."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .pattern import ONES, Row
from .plan import Plan
from .step import combine, kept

Draw = Callable[[], Any]


class Walk:
    """`ask()` says at which time and state the model is wanted next, `tell(value)` takes its answer.

    tau, z   what is asked for; None when the plan is at its end, and `slots["x"]` is the result
    slots    what the steps so far have kept
    """

    def __init__(self, plan: Plan, x: Any) -> None:
        self.plan, self.step, self.row, self.calls = plan, 0, 0, 0
        self.slots = dict.fromkeys(plan.slots, x * 0) | {"x": x}
        self.consts = {ONES: x * 0 + 1} if ONES in plan.consts else {}
        self.env: dict[str, Any] = {**self.slots, **self.consts}
        self.tau: Any = None
        self.z: Any = None

    def _here(self) -> tuple[Any, list[Any], list[Any]]:
        n = self.step
        for segment in self.plan.segments:
            if n < segment.steps:
                return (segment.pattern, *segment.at(n))
            n -= segment.steps
        raise IndexError(f"plan {self.plan.name!r} has {self.plan.steps} steps.")

    def ask(self, draw: Draw) -> Row | None:
        """Build rows up to the next call. A draw is made when a row reads it."""
        while self.step < self.plan.steps:
            pattern, coef, tau = self._here()
            for place in range(self.row, len(pattern.rows)):
                row = pattern.rows[place]
                for name in row.reads:
                    if name in pattern.draws and name not in self.env:
                        self.env[name] = draw()
                first = sum(len(r.reads) for r in pattern.rows[:place])
                numbers = [_number(c, self.env["x"]) for c in coef[first : first + len(row.reads)]]
                z = combine(numbers, [self.env[name] for name in row.reads])
                self.env[row.out] = z
                if row.call is not None:
                    self.row, self.tau, self.z = place, float(tau[self.calls]), z
                    return row
            for name in pattern.draws:  # kept, though no row of this step read it
                if name not in self.env and any(source == name for _, source in pattern.keep):
                    self.env[name] = draw()
            self.slots = {**self.slots, **kept(pattern, self.env)}
            self.step, self.row, self.calls = self.step + 1, 0, 0
            self.env = {**self.slots, **self.consts}
        self.tau = self.z = None
        return None

    @property
    def row_asked(self) -> Row:
        """The row that waits for its model."""
        return self._here()[0].rows[self.row]

    def tell(self, value: Any) -> None:
        """What the model answered."""
        pattern = self._here()[0]
        self.env[str(pattern.rows[self.row].call)] = value
        self.row, self.calls = self.row + 1, self.calls + 1


def _number(c: Any, like: Any) -> Any:
    """A coefficient as what multiplies a tensor from the left."""
    c = np.asarray(c)
    return float(c) if c.ndim == 0 else like.new_tensor(c) if hasattr(like, "new_tensor") else c
