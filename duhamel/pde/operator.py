"""Linear operators with constant coefficients, as formulas: what `laplacian` and `derivative` are between walls where
no mode is an eigenfunction.

    A = sum over alpha of c_alpha d^alpha,    alpha one order of differentiation per axis

Operators add, multiply with numbers and with each other; `Space.matrices` makes matrices of the result. The order
matters: the square of a matrix for d^2/dx^2 would ask each factor for the conditions, which hold for u alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax.core import Tracer


@dataclass(frozen=True, eq=False)
class Operator:
    """terms: {(order along axis 0, ...): coefficient}; coefficients may be traced."""

    dim: int
    terms: Mapping[tuple[int, ...], Any]
    __array_ufunc__ = None  # NumPy scalars then leave `c * Operator` to us

    def __add__(self, other: Any) -> "Operator":
        found = dict(self.terms)
        for alpha, c in self._of(other).terms.items():
            found[alpha] = found[alpha] + c if alpha in found else c
        return Operator(self.dim, found)

    def __mul__(self, other: Any) -> "Operator":
        found: dict[tuple[int, ...], Any] = {}
        for alpha, a in self.terms.items():
            for beta, b in self._of(other).terms.items():
                both = tuple(i + j for i, j in zip(alpha, beta, strict=True))
                found[both] = found[both] + a * b if both in found else a * b
        return Operator(self.dim, found)

    def __pow__(self, power: int) -> "Operator":
        found = self._of(1.0)
        for _ in range(power):
            found = found * self
        return found

    def __neg__(self) -> "Operator":
        return self * -1.0

    def __sub__(self, other: Any) -> "Operator":
        return self + -1.0 * self._of(other)

    def __rsub__(self, other: Any) -> "Operator":
        return self._of(other) - self

    __radd__ = __add__
    __rmul__ = __mul__

    def orders(self, axis: int) -> dict[int, Any]:
        """{order: coefficient} of the derivatives along one axis alone; coefficients that are 0 are left out."""
        alone = {
            alpha[axis]: c for alpha, c in self.terms.items() if all(a == 0 for k, a in enumerate(alpha) if k != axis)
        }
        return {order: c for order, c in alone.items() if isinstance(c, Tracer) or np.any(c != 0)}

    def _of(self, value: Any) -> "Operator":
        return value if isinstance(value, Operator) else Operator(self.dim, {(0,) * self.dim: value})


def derivative(dim: int, axis: int, order: int) -> Operator:
    """d^order along one axis."""
    return Operator(dim, {tuple(order if k == axis else 0 for k in range(dim)): 1.0})


def rows_of(symbol: Any) -> tuple[tuple[Any, ...], ...]:
    """An equation's symbol as a square of operators and numbers, one row per field."""
    if isinstance(symbol, Operator):
        return ((symbol,),)
    if not isinstance(symbol[0], tuple):
        return tuple(tuple(entry if i == j else 0.0 for j in range(len(symbol))) for i, entry in enumerate(symbol))
    return symbol
