"""What a one-step method is: a pattern, and a function that gives its coefficients."""

from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx

from duhamel.core.linear import Linear
from duhamel.rows.pattern import Pattern


class DenseRows(NamedTuple):
    """Rows that only dense output needs: run with `rows.step` on what the step built."""

    pattern: Pattern
    coef: list[Any]
    tau: list[Any]


class Method(eqx.Module):
    """A one-step method for dx/dt = L(t) x + N(t, x).

    Slots of its pattern: "x", and "F" when the last call of a step is the first of the next one (`fsal`).
    The adaptive loop reads the row "error" (the embedded error estimate, dimension of x) if `error_order` is not None.
    Lanes: t and h may be arrays of shape (lanes,) and x of shape (..., lanes); coefficients then broadcast over
    the last axis.
    """

    @property
    @abstractmethod
    def order(self) -> int:
        """Global order p: the error at a fixed time is O(h^p)."""

    @property
    @abstractmethod
    def error_order(self) -> int | None:
        """The error row is O(h^(error_order + 1)); None: no estimate, so fixed steps only."""

    @property
    @abstractmethod
    def dense_order(self) -> int:
        """The interpolant's error inside a step is O(h^(dense_order + 1))."""

    @property
    @abstractmethod
    def fsal(self) -> bool:
        """Whether the last call of a step is the first of the next one."""

    @property
    @abstractmethod
    def exponential(self) -> bool:
        """True: rows call N and coefficients carry L. False: rows call L x + N."""

    @property
    @abstractmethod
    def pattern(self) -> Pattern:
        """The rows of a step."""

    @abstractmethod
    def coef(self, L: Linear, t: Any, h: Any) -> list[Any]:
        """Coefficients of the step from t to t + h, in the order in which the rows read."""

    @abstractmethod
    def tau(self, t: Any, h: Any) -> list[Any]:
        """Model times of the calls of the step, in order."""

    @abstractmethod
    def dense_rows(self, L: Linear, t: Any, h: Any) -> DenseRows | None:
        """Rows to run after the step before `interpolant` may be used; None if the step built all it needs."""

    @abstractmethod
    def interpolant(self, L: Linear, t: Any, h: Any, theta: Any) -> tuple[list[Any], tuple[str, ...]]:
        """Dense output: coefficients and the names they multiply; combine(...) = x(t + theta h), 0 <= theta <= 1.

        "x" names the state at the beginning of the step, "x1" the one at its end.
        """
