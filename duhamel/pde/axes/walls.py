"""What polynomial axes share: conditions at both ends, and the polynomials that carry what is prescribed there."""

from abc import abstractmethod
from functools import cache
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev

from ..boundary import Side
from .base import Axis

Ends = tuple[tuple[Side, ...], tuple[Side, ...]]


class Walled(Axis):
    """Abstract: an axis with conditions at its ends, whose values are numbers or functions of t."""

    @property
    @abstractmethod
    def ends(self) -> Ends:
        """The conditions at the left and at the right end."""

    @property
    def values(self) -> tuple[Any, ...]:
        return tuple(side.value for side in (*self.ends[0], *self.ends[1]))

    def lifts(self, order: int = 0) -> np.ndarray:
        return _lifts(self, order)

    @abstractmethod
    def tests(self, x: np.ndarray) -> np.ndarray:
        """(len(x), modes): what the equation is tested with, as `forward` scales it."""

    def interpolation(self, x: np.ndarray, order: int = 0) -> np.ndarray:
        """(len(x), n): values at the points to those of their polynomial, or of a derivative of it, anywhere."""
        return self.polynomials(x, order) @ self.coefficients

    def polynomials(self, x: np.ndarray, order: int = 0) -> np.ndarray:
        """(len(x), n): Chebyshev's polynomials of degree below n on the axis, or a derivative of them."""
        s = 2 * (np.asarray(x, float) - self.start) / self.length - 1
        bent = chebyshev.chebder(np.eye(self.n), order) if order else np.eye(self.n)
        return chebyshev.chebval(s, bent).T * (2 / self.length) ** order  # chebval: (columns, len(s))

    @property
    def coefficients(self) -> np.ndarray:
        """(n, n): values at the points to the Chebyshev coefficients of their polynomial."""
        return _coefficients(self)

    def functionals(self) -> np.ndarray:
        """(conditions, n): each condition on Chebyshev's polynomials."""
        return on_polynomials(self.ends, self.length, np.eye(self.n))

    @property
    def takes_constants(self) -> bool:
        return all(side.terms.get(0, 0) == 0 for end in self.ends for side in end)

    def check_sides(self) -> None:
        for name, end in zip(("left", "right"), self.ends, strict=True):
            for side in end:
                if not side.terms:
                    raise ValueError(f"{name}: {side} is no condition at a wall; a periodic axis is a Fourier axis.")
                if not all(np.ndim(c) == 0 and np.isfinite(c) for c in side.terms.values()):
                    raise ValueError(f"{name}: the coefficients of {side} must be finite numbers.")
                if not (callable(side.value) or (np.ndim(side.value) == 0 and np.isfinite(side.value))):
                    raise ValueError(
                        f"{name}: the value of {side} must be a finite number, a function of t, or one of t and the "
                        "coordinates along the wall: lambda t, y: ..."
                    )


def on_polynomials(ends: Ends, length: float, coefficients: np.ndarray) -> np.ndarray:
    """(conditions, columns): each condition on polynomials of s in [-1, 1], given by Chebyshev coefficients."""
    rows = []
    for sign, end in zip((-1.0, 1.0), ends, strict=True):
        for side in end:
            row = 0.0
            for order, c in side.terms.items():
                slope = chebyshev.chebder(coefficients, order) if order else coefficients
                row = row + c * (sign * 2 / length) ** order * chebyshev.chebval(sign, slope)
            rows.append(row)
    return np.array(rows).reshape(len(rows), coefficients.shape[1])


@cache
def _coefficients(axis: Walled) -> np.ndarray:
    s = 2 * (axis.points - axis.start) / axis.length - 1
    return np.linalg.inv(chebyshev.chebvander(s, axis.n - 1))


@cache
def _lifts(axis: Walled, order: int) -> np.ndarray:
    """Polynomials of the least degree, and the smallest coefficients, that tell the conditions apart."""
    count = len(axis.values)
    for degree in range(max(count - 1, 0), 2 * count + 2):
        system = on_polynomials(axis.ends, axis.length, np.eye(degree + 1))
        size = np.abs(system).max(axis=1, keepdims=True)
        if np.all(size > 0) and np.linalg.matrix_rank(system / size, tol=1e-9) == count:
            break
    else:
        raise ValueError(f"the conditions {axis.ends} contradict or repeat each other; each must say something new.")
    coefficients = np.linalg.lstsq(system / size, np.diag(1 / size[:, 0]), rcond=None)[0]
    slope = chebyshev.chebder(coefficients, order) if order else coefficients
    s = 2 * (axis.points - axis.start) / axis.length - 1
    return (2 / axis.length) ** order * chebyshev.chebval(s, slope)
