"""More data from the data there is: a change of coordinates takes a solved equation to another one of its family.

    -(a u_x)_x + b u_x = f on (0, 1)      x = X(xi), X(0) = 0, X(1) = 1, X' > 0
    -(a~ u~_xi)_xi + b~ u~_xi = f~        u~ = u(X),  a~ = a(X)/X',  b~ = b(X),  f~ = f(X) X'

An exact pair in the new coordinates, whatever the map: no equation is solved again. Fields are given at points that
hold both ends, equally spaced, and read between them by cubic splines, so a pair is exact to O(h^4).

Source: Fanaskov, Yu, Rudikov and Oseledets, General covariance data augmentation for neural PDE solvers, ICML 2023,
arXiv 2301.12730.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from duhamel.core.grid import Number


@dataclass(frozen=True)
class Map:
    """X(xi) = xi + sum_j c_j sin(2 pi j xi)/(2 pi j), j = 1, 2, ...; increasing while sum |c_j| < 1."""

    coefficients: tuple[float, ...]

    def __post_init__(self) -> None:
        if not sum(map(abs, self.coefficients)) < 1:
            raise ValueError(f"coefficients {self.coefficients}: the sum of their sizes must be below 1 for a map.")

    def __call__(self, xi: np.ndarray) -> np.ndarray:
        return xi + sum(c * np.sin(2 * np.pi * j * xi) / (2 * np.pi * j) for j, c in enumerate(self.coefficients, 1))

    def slope(self, xi: np.ndarray) -> np.ndarray:
        return np.ones_like(xi) + sum(c * np.cos(2 * np.pi * j * xi) for j, c in enumerate(self.coefficients, 1))


def random_map(rng: np.random.Generator, waves: int = 3, strength: Number = 0.7) -> Map:
    """Coefficients uniform in a box, scaled so that X' stays above 1 - strength."""
    if not 0 < strength < 1:
        raise ValueError(f"strength = {strength}; X' stays above 1 - strength, so give a number between 0 and 1.")
    c = rng.uniform(-1, 1, waves)
    return Map(tuple(float(v) for v in strength * rng.uniform() * c / np.abs(c).sum()))


def pull_back(
    by: Map, a: np.ndarray, f: np.ndarray, u: np.ndarray, b: np.ndarray | None = None
) -> tuple[np.ndarray, ...]:
    """(a~, f~, u~), and b~ where there is a b, at the points at which a, f, u (..., points) are given."""
    xi = np.linspace(0, 1, a.shape[-1])
    at, slope = np.clip(by(xi), 0, 1), by.slope(xi)
    read = lambda v: CubicSpline(xi, v, axis=-1)(at)  # noqa: E731
    found = (read(a) / slope, read(f) * slope, read(u))
    return found if b is None else (*found, read(b))


def elliptic(a: np.ndarray, f: np.ndarray) -> np.ndarray:
    """u of -(a u')' = f, u(0) = u(1) = 0: a u' = C - F twice integrated by the trapezoidal rule, error O(h^2)."""
    h = 1 / (a.shape[-1] - 1)

    def integral(v: np.ndarray) -> np.ndarray:
        parts = 0.5 * h * (v[..., 1:] + v[..., :-1])
        return np.concatenate([np.zeros((*v.shape[:-1], 1)), np.cumsum(parts, axis=-1)], axis=-1)

    F = integral(f)
    one, moment = integral(1 / a), integral(F / a)
    C = moment[..., -1:] / one[..., -1:]
    return C * one - moment
