"""Ordinary equations by name, each with a start, a time, and somebody else's truth."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Ordinary:
    """dx/dt = f(t, x), x(0) = x0, up to t1; `axes` are the names of the components, `truth` says whose x(t1) we trust.

    plot: the two components to draw against each other.
    """

    name: str
    formula: str
    f: Callable[[Any, Any], Any]
    x0: tuple[float, ...]
    t1: float
    axes: tuple[str, ...]
    plot: tuple[int, int] = (0, 1)
    exact: Callable[[float], np.ndarray] | None = None

    def truth(self, t1: float) -> tuple[np.ndarray, str]:
        """x(t1), and where it comes from: a closed form, or SciPy's DOP853 at its tightest tolerance."""
        if self.exact is not None:
            return self.exact(t1), "the closed form"
        from scipy.integrate import solve_ivp

        right = lambda t, x: np.array(self.f(t, x), dtype=float)  # noqa: E731
        found = solve_ivp(right, (0.0, t1), self.x0, method="DOP853", rtol=2.3e-14, atol=1e-15)
        return found.y[:, -1], "SciPy's DOP853 at rtol 2.3e-14"


def _lorenz(t: Any, x: Any) -> Any:
    return _stack(10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2])


def _van_der_pol(t: Any, x: Any) -> Any:
    return _stack(x[1], 10 * (1 - x[0] ** 2) * x[1] - x[0])


def _lotka_volterra(t: Any, x: Any) -> Any:
    return _stack(1.1 * x[0] - 0.4 * x[0] * x[1], 0.1 * x[0] * x[1] - 0.4 * x[1])


def _pendulum(t: Any, x: Any) -> Any:
    sin = np.sin if isinstance(x, np.ndarray) else jnp.sin
    return _stack(x[1], -sin(x[0]))


def _pendulum_exact(t: float) -> np.ndarray:
    """theta(t) = 2 asin(k sn(K - t, k)) with k = sin(theta(0) / 2), released from rest (Lawden 1989, section 5.1)."""
    from scipy.special import ellipj, ellipk

    k = np.sin(1.5)
    sn, cn, dn, _ = ellipj(ellipk(k**2) - t, k**2)
    theta = 2 * np.arcsin(k * sn)
    return np.array([theta, -2 * k * cn * dn / np.sqrt(1 - (k * sn) ** 2)])


def _stack(*parts: Any) -> Any:
    """An array of the library that the parts belong to: SciPy should not pay for JAX."""
    return np.array(parts) if isinstance(parts[0], np.floating | float) else jnp.stack(parts)


ORDINARY = {
    equation.name: equation
    for equation in (
        Ordinary(
            "lorenz",
            "x' = 10 (y - x), y' = x (28 - z) - y, z' = x y - 8/3 z",
            _lorenz,
            (1.0, 1.0, 1.0),
            20.0,
            ("x", "y", "z"),
            (0, 2),
        ),
        Ordinary("van-der-pol", "x'' = 10 (1 - x²) x' - x", _van_der_pol, (2.0, 0.0), 40.0, ("x", "x'")),
        Ordinary(
            "lotka-volterra",
            "x' = 1.1 x - 0.4 x y, y' = 0.1 x y - 0.4 y",
            _lotka_volterra,
            (10.0, 5.0),
            50.0,
            ("prey", "predators"),
        ),
        Ordinary("pendulum", "θ'' = -sin θ", _pendulum, (3.0, 0.0), 40.0, ("angle", "speed"), exact=_pendulum_exact),
    )
}
