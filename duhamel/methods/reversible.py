"""Any explicit method made algebraically reversible: a second state lets every step be undone to rounding.

    y1 = lam y + (1 - lam) z + Psi_h(t, z)            Psi_h(t, x) = Phi_h(t, x) - x, the increment of a step of the base
    z1 = z - Psi_{-h}(t + h, y1)

and, in the other direction, z = z1 + Psi_{-h}(t + h, y1) and then y = (y1 - (1 - lam) z - Psi_h(t, z)) / lam. y, the
solution, keeps the order of the base. Gradients can walk the solution backwards instead of storing it.
A step back multiplies what the base damps: for stiff or strongly damped equations steps must stay short.
Source: S. McCallum, J. Foster, Efficient, accurate and stable gradients for neural ODEs, arXiv 2410.11648 (2024).
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax

from duhamel.core.problem import Problem

from .base import Bound, Env, Method, Moment, RowMethod, Slots
from .explicit import Tsit5
from .view import View, one_step


class Reversible(Method):
    """The reversible form of a one-step method made of rows. Twice the evaluations of the base, one more state.

    base      Tsit5() unless told; its embedded error estimate, if any, chooses the steps
    coupling  lam, in (0, 1]: pulls y and z together. Undoing n steps multiplies rounding errors by up to lam^-n, so
              0.99 and more; 1 leaves y and z to drift apart
    """

    base: Any = Tsit5()
    coupling: float = eqx.field(static=True, default=0.999)

    def __check_init__(self) -> None:
        if not isinstance(one_step(self.base, "Reversible"), RowMethod):
            raise ValueError(
                f"Reversible takes an explicit method, and {type(self.base).__name__} is not made of rows: use "
                "Tsit5(), RK4() or another explicit one."
            )
        if not 0.0 < self.coupling <= 1.0:
            raise ValueError(f"coupling must be greater than 0 and at most 1, such as 0.999, got {self.coupling:g}.")

    @property
    def order(self) -> int:
        return self.base.order

    @property
    def error_order(self) -> int | None:
        return self.base.error_order

    @property
    def dense_order(self) -> int:
        return min(3, self.base.order)

    @property
    def carried(self) -> tuple[str, ...]:
        return ("z",)

    @property
    def calls(self) -> int:
        # The last call of a first-same-as-last base serves the error estimate, which a backward step has no use for.
        return 2 * (self.base.started + self.base.calls) - (1 if self.base.fsal else 0)

    def fields(self, problem: Problem) -> tuple[Callable, ...]:
        return self.base.fields(problem)

    def start(self, bound: Bound, t: Any, x: Any) -> Slots:
        del bound, t
        return {"x": x, "z": x}

    def attempt(self, bound: Bound, at: Moment, slots: Slots) -> Env:
        y, z, lam = slots["x"], slots["z"], self.coupling
        there = self._there(bound, at, z)
        y1 = jax.tree.map(lambda end, y, z: lam * (y - z) + end, there["x1"], y, z)
        z1 = jax.tree.map(lambda z, y1, back: z + (y1 - back), z, y1, self._back(bound, at, y1))
        env = {"x": y, "z": z, "x1": y1, "z1": z1}
        return env | ({"error": there["error"]} if "error" in there else {})

    def inverse(self, bound: Bound, at: Moment, after: Slots) -> Slots:
        """Slots "x" and "z" at the beginning of the step `at`, from those at its end."""
        y1, z1, lam = after["x"], after["z"], self.coupling
        z = jax.tree.map(lambda z1, y1, back: z1 - (y1 - back), z1, y1, self._back(bound, at, y1))
        there = self._there(bound, at, z)
        return {"x": jax.tree.map(lambda y1, z, end: z + (y1 - end) / lam, y1, z, there["x1"]), "z": z}

    def keep(self, env: Env) -> Slots:
        return {"x": env["x1"], "z": env["z1"]}

    def _there(self, bound: Bound, at: Moment, z: Any) -> Env:
        return View(bound, self.base).step(at, z)

    def _back(self, bound: Bound, at: Moment, y1: Any) -> Any:
        h = -at.h
        return View(bound, self.base).step(Moment(at.index, at.s + at.h, at.t + at.h, h), y1)["x1"]
