"""Polynomials with any number of conditions at the ends: axes for operators that are no function of the Laplacian.

    u = sum_m a_m q_m(x),  q_m in V = {polynomials with the conditions}
    (p, u_t) = (p, L u + N)  for all p in W = {polynomials with the conditions of the adjoint}

V is the recombined basis of Shen, made orthonormal in L2 degree by degree. W is what integration by parts asks for:
with k conditions, int p d^k u/dx^k dx = (-1)^k int u d^k p/dx^k dx without boundary terms for u in V, p in W. Values,
slopes, fluxes and clamped ends give W = V (Galerkin); one end with a condition more than the other, as an equation of
odd order wants, gives Shen's dual Petrov-Galerkin method. Along the axis every derivative is then a matrix
G^-1 (p_i, d^j q_m/dx^j), G = (p_i, q_m).

Sources: Shen, SIAM J. Sci. Comput. 16 (1995) 74 (Chebyshev bases); Shen, SIAM J. Numer. Anal. 41 (2003) 1595 (odd
orders).
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.polynomial import chebyshev, legendre

from duhamel.core.grid import Number
from duhamel.core.linear import like

from ..boundary import Dirichlet, Side
from .base import Axis
from .walls import Ends, Walled


@dataclass(frozen=True)
class Chebyshev(Walled):
    """Polynomials of degree below 2n/3 at the n Chebyshev points; quadratic products are free of aliasing.

    conditions  (left, right), each one condition or a tuple of them: as many in all as the equation's order along the
                axis, half of them at either end, and one more where waves enter if it is odd

    Chebyshev(48, 1.0)                                                    # u = 0 at both ends: second order
    Chebyshev(48, 1.0, conditions=(Dirichlet(), ()))                      # inflow from the left: first order
    Chebyshev(64, 30.0, conditions=(Dirichlet(), (Dirichlet(), Neumann())))   # KdV: u = 0, and u_x = 0 at the right
    Chebyshev(64, 1.0, conditions=((Dirichlet(), Neumann()),) * 2)        # clamped: fourth order
    """

    conditions: tuple[Any, Any] = (Dirichlet(), Dirichlet())  # `Side` or a tuple of them, each

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(isinstance(side, Side) for end in self.conditions for side in (end if _many(end) else (end,))):
            raise ValueError(
                f"conditions = {self.conditions!r}: give (left, right), each a condition such as Dirichlet() or a "
                "tuple of them."
            )
        self.check_sides()
        if self.modes < 3:
            raise ValueError(
                f"n = {self.n} leaves {self.modes} modes with {self.count} conditions; a Chebyshev axis keeps two "
                f"thirds of its points and needs at least {(3 * (self.count + 3) + 1) // 2}."
            )
        _pair_of(self)

    @property
    def ends(self) -> Ends:
        left, right = (end if _many(end) else (end,) for end in self.conditions)
        return left, right

    @property
    def count(self) -> int:
        """How many conditions: the order of the operators that the axis is for."""
        return len(self.ends[0]) + len(self.ends[1])

    @property
    def diagonal(self) -> bool:
        return False

    @property
    def modes(self) -> int:
        return (2 * self.n) // 3 - self.count

    @property
    def points(self) -> np.ndarray:
        return self.start + self.length * (1 - np.cos(np.pi * (np.arange(self.n) + 0.5) / self.n)) / 2

    @property
    def weights(self) -> np.ndarray:
        """Fejer's first rule, exact below degree n."""
        l = np.arange(self.n)
        whole = np.where(l % 2 == 0, 2.0, 0.0) / (1.0 - np.where(l % 2 == 0, l, 0.0) ** 2)
        return self.length / 2 * whole @ _analysis(self.n, self.n)

    @property
    def square(self) -> np.ndarray:
        raise ValueError(
            "a Chebyshev axis has no number per mode, its derivatives are matrices; take a Legendre, Sine or Cosine "
            "axis where the Laplacian alone is wanted."
        )

    @property
    def norms(self) -> np.ndarray:
        return np.ones(self.modes)

    def matrix(self, order: int) -> np.ndarray:
        """(modes, modes): the `order`-th derivative, tested with W."""
        return _matrix(self, order)

    def restriction(self, fine: Axis) -> np.ndarray:
        assert isinstance(fine, Chebyshev)
        trial, test = _pair_of(self)
        return np.linalg.solve(test.T @ trial, test.T @ _pair_of(fine).trial[: len(trial)])

    def forward(self, u: Any) -> Any:
        return jnp.matmul(u, like(_projection(self).T, u), precision="highest")

    def backward(self, modes: Any, order: int = 0) -> Any:
        return jnp.matmul(modes, like(_values(self, order).T, modes), precision="highest")

    def forward_slope(self, u: Any) -> Any:
        return jnp.matmul(u, like(_weak(self).T, u), precision="highest")

    def tests(self, x: np.ndarray) -> np.ndarray:
        trial, test = _pair_of(self)
        s = 2 * (np.asarray(x) - self.start) / self.length - 1
        values = legendre.legvander(s, len(test) - 1) @ (_scale(len(test), self.length)[:, None] * test)
        return values @ np.linalg.inv(test.T @ trial).T

    def at(self, x: np.ndarray, order: int = 0) -> np.ndarray:
        basis = _pair_of(self).trial
        for _ in range(order):
            basis = _slope(len(basis), self.length) @ basis
        s = 2 * (np.asarray(x) - self.start) / self.length - 1
        return legendre.legvander(s, len(basis) - 1) @ (_scale(len(basis), self.length)[:, None] * basis)

    def kept(self, fraction: Number) -> np.ndarray:
        del fraction
        return np.ones(self.modes)


def _many(end: Any) -> bool:
    return isinstance(end, tuple)


class Pair(NamedTuple):
    """Columns of coefficients in the orthonormal Legendre polynomials."""

    trial: np.ndarray
    test: np.ndarray


@cache
def _pair_of(axis: Chebyshev) -> Pair:
    size, k = axis.modes + axis.count, axis.count
    steps = (-2 / axis.length, 2 / axis.length)
    conditions = [_on_derivatives(end, step, k) for step, end in zip(steps, axis.ends, strict=True)]
    swap = np.zeros((k, k))
    for i in range(k):
        swap[k - 1 - i, i] = (-1) ** i
    dual = [_null(rows).T @ swap for rows in conditions]
    if sum(map(len, dual)) != k:
        raise ValueError(f"the conditions {axis.ends} repeat each other at one end; each must say something new.")
    return Pair(_basis(conditions, size, axis), _basis(dual, size, axis))


def _on_derivatives(end: tuple[Side, ...], step: float, k: int) -> np.ndarray:
    """(conditions, k): each as a combination of d^r/ds^r, r < k, at one end of s in [-1, 1]."""
    rows = np.zeros((len(end), k))
    for row, side in zip(rows, end, strict=True):
        for order, c in side.terms.items():
            if order >= k and c != 0:
                raise ValueError(
                    f"{side} is of order {order} on an axis with {k} conditions, which is for operators of order {k}; "
                    "conditions must be of lower order than the operator."
                )
            if c != 0:
                row[order] = c * step**order
        row /= np.abs(row).max()
    return rows


def _null(rows: np.ndarray) -> np.ndarray:
    """Columns that span what the rows send to 0."""
    _, values, vectors = np.linalg.svd(rows)
    return vectors[int(np.sum(values > 1e-10 * values.max(initial=1e-300))) :].T


def _basis(conditions: list[np.ndarray], size: int, axis: Chebyshev) -> np.ndarray:
    """(size, size - k): compact combinations that satisfy the conditions, orthonormal, by rising degree."""
    slope, unit = _slope(size, 2.0), _scale(size, 2.0)
    rows = []
    for sign, end in zip((-1.0, 1.0), conditions, strict=True):
        values = [unit * sign ** np.arange(size)]
        for _ in range(end.shape[1] - 1):
            values.append(values[-1] @ slope)
        rows.append(end @ np.array(values).reshape(-1, size)[: end.shape[1]])
    system = np.concatenate(rows)
    k = len(system)
    found = np.zeros((size, size - k))
    for j in range(size - k):
        part = system[:, j : j + k + 1]
        columns = np.maximum(np.abs(part).max(axis=0), 1e-300) if k else np.ones(1)
        columns = np.where(columns > 1e-300, columns, 1.0)
        part = part / columns
        heights = np.abs(part).max(axis=1, keepdims=True)
        v = _null(part / np.where(heights > 0, heights, 1.0))[:, 0] / columns
        found[j : j + k + 1, j] = v / np.linalg.norm(v)
    q, r = np.linalg.qr(found)
    if np.abs(np.diag(r)).min() < 1e-10:
        raise ValueError(f"the conditions {axis.ends} contradict or repeat each other; each must say something new.")
    return q * np.sign(np.diag(r))


def _scale(size: int, length: float) -> np.ndarray:
    """Of Legendre's polynomials, to make them orthonormal on the axis."""
    return np.sqrt((2 * np.arange(size) + 1) / length)


@cache
def _slope(size: int, length: float) -> np.ndarray:
    """d/dx of the orthonormal Legendre polynomials."""
    i, j = np.indices((size, size))
    return np.where((i < j) & ((i + j) % 2 == 1), 2 / length * np.sqrt((2.0 * i + 1) * (2 * j + 1)), 0.0)


@cache
def _matrix(axis: Chebyshev, order: int) -> np.ndarray:
    trial, test = _pair_of(axis)
    bent = trial
    for _ in range(order):
        bent = _slope(len(trial), axis.length) @ bent
    return np.linalg.solve(test.T @ trial, test.T @ bent)


@cache
def _projection(axis: Chebyshev) -> np.ndarray:
    """(modes, n): values at the points to modes, by the interpolant's Chebyshev coefficients below degree 2n/3."""
    trial, test = _pair_of(axis)
    return np.linalg.solve(test.T @ trial, test.T @ _to_legendre(axis, len(trial)))


@cache
def _weak(axis: Chebyshev) -> np.ndarray:
    """(modes, n): -G^-1 (p_i', f) of values of f at the points."""
    trial, test = _pair_of(axis)
    bent = _slope(len(test), axis.length) @ test
    return -np.linalg.solve(test.T @ trial, bent.T @ _to_legendre(axis, len(trial)))


def _to_legendre(axis: Chebyshev, size: int) -> np.ndarray:
    """(size, n): values at the points to coefficients in the orthonormal Legendre polynomials, below degree 2n/3."""
    s, w = legendre.leggauss(size + 1)
    found = (legendre.legvander(s, size - 1) * _scale(size, axis.length)).T * w * axis.length / 2
    return found @ chebyshev.chebvander(s, size - 1) @ _analysis(axis.n, size)


def _analysis(n: int, size: int) -> np.ndarray:
    """(size, n): values at the Chebyshev points to the first Chebyshev coefficients of their interpolant."""
    l, j = np.arange(size)[:, None], np.arange(n)
    return np.where(l == 0, 1.0, 2.0) / n * (-1.0) ** l * np.cos(np.pi * l * (j + 0.5) / n)


@cache
def _values(axis: Chebyshev, order: int) -> np.ndarray:
    """(n, modes) at the points."""
    return axis.at(axis.points, order)
