"""One method inside another: what a base method sees of the problem that the outer one is bound to."""

from typing import Any

import equinox as eqx

from duhamel.core.linear import Linear, Zero

from .base import Env, Method, Moment, RowMethod, Slots, like


class View(eqx.Module):
    """A `Bound` for `method`, on the whole problem or on one of its parts.

    bound  the outer method's; its fields are those of `method`, or contain the part's
    part   number of the field that alone drives x, or None: the whole problem
    """

    bound: Any
    method: Method
    part: int | None = eqx.field(static=True, default=None)

    @property
    def lanes(self) -> int:
        return self.bound.lanes

    @property
    def args(self) -> Any:
        return self.bound.args

    @property
    def tol(self) -> Any:
        return self.bound.tol

    @property
    def problem(self) -> Any:
        """The whole problem, or None: a part is a plain vector field."""
        return self.bound.problem if self.part is None else None

    @property
    def L(self) -> Linear:
        return self.bound.L if self.part is None else Zero()

    def call(self, k: int, t: Any, x: Any, *more: Any) -> Any:
        return self.bound.call(k if self.part is None else self.part, t, x, *more)

    def slope(self, t: Any, x: Any) -> Any:
        return self.bound.slope(t, x) if self.part is None else self.bound.call(self.part, t, x)

    def draws(self, at: Moment) -> Env:
        return self.bound.draws(at)

    def coefficients(self, at: Moment, slots: Slots) -> list[Any]:
        if not isinstance(self.method, RowMethod):
            raise TypeError(f"{type(self.method).__name__} has no coefficients: it is not made of rows.")
        return [like(c, slots["x"]) for c in self.method.coef(self.L, at.t, at.h)]

    def step(self, at: Moment, x: Any) -> Env:
        """One step of the method from x, with nothing kept from before."""
        bound: Any = self
        return self.method.attempt(bound, at, self.method.start(bound, at.t, x))


def one_step(method: Any, name: str) -> Method:
    """The method, if it needs no history, no second state and no noise."""
    if not isinstance(method, Method):
        raise TypeError(f"{name} takes a duhamel method such as Tsit5(), got {type(method).__name__}; call the class.")
    if method.carried or method.noise:
        what = "noise" if method.noise else f"slots of its own ({', '.join(method.carried)})"
        raise ValueError(
            f"{name} takes a one-step method for ODEs, and {type(method).__name__} needs {what}; use Tsit5() or RK4()."
        )
    return method
