"""Polynomials between two walls, one condition at each, as eigenvectors of d^2/dx^2 in Galerkin's sense.

Source: Shen, SIAM J. Sci. Comput. 15 (1994) 1489 (bases that satisfy the conditions).
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.linalg
from numpy.polynomial import legendre

from duhamel.core.grid import Number
from duhamel.core.linear import like

from ..boundary import Dirichlet, Side
from .walls import Ends, Walled


@dataclass(frozen=True)
class Legendre(Walled):
    """Polynomials with a linear condition at either end, of degree below 2n/3 (n Gauss points: products are exact).

    left, right  `Dirichlet(value)`, `Neumann(value)`, `Robin(alpha, beta, value)`
    """

    left: Side = Dirichlet()
    right: Side = Dirichlet()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n < 9:
            raise ValueError(f"n = {self.n}: a Legendre axis needs at least 9 points, two thirds of them for modes.")
        self.check_sides()
        for side in (self.left, self.right):
            if max(side.terms) > 1:
                raise ValueError(f"{side}: a Legendre axis takes values, slopes and mixtures of them; use Chebyshev.")
        _modes_of(self)

    @property
    def ends(self) -> Ends:
        return (self.left,), (self.right,)

    @property
    def modes(self) -> int:
        return (2 * self.n) // 3 - 2

    @property
    def points(self) -> np.ndarray:
        return self.start + self.length * (legendre.leggauss(self.n)[0] + 1) / 2

    @property
    def weights(self) -> np.ndarray:
        return self.length / 2 * legendre.leggauss(self.n)[1]

    @property
    def square(self) -> np.ndarray:
        return _modes_of(self)[0]

    @property
    def norms(self) -> np.ndarray:
        return np.ones(self.modes)

    def forward(self, u: Any) -> Any:
        matrix = _values(self, 0) * self.weights[:, None]
        return jnp.matmul(u, like(matrix, u), precision="highest")

    def backward(self, modes: Any, order: int = 0) -> Any:
        return jnp.matmul(modes, like(_values(self, order).T, modes), precision="highest")

    def forward_slope(self, u: Any) -> Any:
        matrix = -_values(self, 1) * self.weights[:, None]
        return jnp.matmul(u, like(matrix, u), precision="highest")

    def tests(self, x: np.ndarray) -> np.ndarray:
        return self.at(x)

    def at(self, x: np.ndarray, order: int = 0) -> np.ndarray:
        s = 2 * (np.asarray(x) - self.start) / self.length - 1
        coefficients = _modes_of(self)[1]
        if order:
            coefficients = legendre.legder(coefficients, order) * (2 / self.length) ** order
        return legendre.legvander(s, len(coefficients) - 1) @ coefficients

    def kept(self, fraction: Number) -> np.ndarray:
        del fraction
        return np.ones(self.modes)


@cache
def _modes_of(axis: Legendre) -> tuple[np.ndarray, np.ndarray]:
    """(square, coefficients (degree + 1, modes) in Legendre polynomials of s in [-1, 1]), largest wave last."""
    m, J = axis.modes, 2 / axis.length
    basis = np.zeros((m + 2, m))
    for k in range(m):  # L_k + a L_{k+1} + b L_{k+2} with the homogeneous conditions, degree by degree
        degrees = np.arange(k, k + 3)
        slopes = degrees * (degrees + 1) / 2
        ends = []
        for (alpha, beta), sign in ((_mixture(axis.left), -1), (_mixture(axis.right), 1)):
            parity = np.where(degrees % 2 == 0, 1.0, sign)
            ends.append(alpha * parity + beta * J * slopes * parity)  # outward slope at -1 is minus the slope
        A = np.array(ends)
        try:
            tail = np.linalg.solve(A[:, 1:], -A[:, 0])
        except np.linalg.LinAlgError as error:
            raise ValueError(
                f"the conditions {axis.left} and {axis.right} leave no polynomial of degree {k + 2} that satisfies "
                "both: with alpha and beta of one sign there always is one."
            ) from error
        basis[k : k + 3, k] = [1.0, *tail]
    weight = axis.length / 2 * 2 / (2 * np.arange(m + 2) + 1)
    mass = basis.T @ (weight[:, None] * basis)
    s, w = legendre.leggauss(m + 3)
    slopes = legendre.legvander(s, m) @ legendre.legder(basis, 1) * J
    stiffness = slopes.T @ (axis.length / 2 * w[:, None] * slopes)
    for (alpha, beta), s_end in ((_mixture(axis.left), -1.0), (_mixture(axis.right), 1.0)):
        if beta:
            at_end = legendre.legvander(np.array([s_end]), m + 1) @ basis
            stiffness = stiffness + alpha / beta * at_end.T @ at_end
    scale = 1 / np.sqrt(np.diag(mass))
    square, vectors = scipy.linalg.eigh(scale[:, None] * stiffness * scale, scale[:, None] * mass * scale)
    return -square, basis @ (scale[:, None] * vectors)


def _mixture(side: Side) -> tuple[float, float]:
    """alpha, beta of alpha u + beta du/dn."""
    return float(side.terms.get(0, 0.0)), float(side.terms.get(1, 0.0))


@cache
def _values(axis: Legendre, order: int) -> np.ndarray:
    """(n, modes) at the points."""
    return axis.at(axis.points, order)
