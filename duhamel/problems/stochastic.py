"""Stochastic equations whose solution is a function of time and of the Brownian motion at that time.

From the collections of Kloeden and Platen, "Numerical solution of stochastic differential equations" (1992), chapter
4.4, and of Tocino and Ardanuy (J. Comput. Appl. Math. 138 (2002) 219-241). In each, x(0) = x0 and W(0) = 0.
"""

import math
from typing import Any

import jax.numpy as jnp

from .known import ExactSDE

_A, _B = 1.01, 0.87


def _linear(t: Any, w: Any) -> Any:
    return 0.5 * jnp.exp((_A - 0.5 * _B**2) * t + _B * w)


def _linear_stratonovich(t: Any, w: Any) -> Any:
    return 0.5 * jnp.exp(_A * t + _B * w)


def _tanh(grown: Any, x0: float) -> Any:
    """The solution through x0 of equations that a hyperbolic tangent linearises."""
    return ((1.0 + x0) * grown + x0 - 1.0) / ((1.0 + x0) * grown + 1.0 - x0)


def _wave(t: Any, w: Any) -> Any:
    return jnp.arctan(0.1 * w + math.tan(1.0))


def _additive(t: Any, w: Any) -> Any:
    return 1.0 / jnp.sqrt(1.0 + t) + 0.05 * (t + 0.1 * w) / jnp.sqrt(1.0 + t)


def _tocino(t: Any, w: Any) -> Any:
    return (2.0 * t + 1.0 + w / 3.0) ** 3


STOCHASTIC = {
    problem.name: problem
    for problem in (
        ExactSDE(
            "linear", lambda t, x: _A * x, lambda t, x: _B * x, 0.5, _linear, noise="diagonal", mean=0.5 * math.exp(_A)
        ),
        ExactSDE(
            "linear-stratonovich",
            lambda t, x: _A * x,
            lambda t, x: _B * x,
            0.5,
            _linear_stratonovich,
            calculus="stratonovich",
            mean=0.5 * math.exp(_A + 0.5 * _B**2),
        ),
        ExactSDE(
            "cubic",
            lambda t, x: -0.25 * x * (1.0 - x**2),
            lambda t, x: 0.5 * (1.0 - x**2),
            0.5,
            lambda t, w: _tanh(jnp.exp(w), 0.5),
        ),
        ExactSDE(
            "wave",
            lambda t, x: -0.01 * jnp.sin(x) * jnp.cos(x) ** 3,
            lambda t, x: 0.1 * jnp.cos(x) ** 2,
            1.0,
            _wave,
        ),
        ExactSDE(
            "additive",
            lambda t, x: 0.05 / jnp.sqrt(1.0 + t) - x / (2.0 * (1.0 + t)),
            lambda t, x: 0.005 / jnp.sqrt(1.0 + t),
            1.0,
            _additive,
            noise="additive",
            mean=1.05 / math.sqrt(2.0),
        ),
        ExactSDE(
            "tocino",
            lambda t, x: jnp.cbrt(x) / 3.0 + 6.0 * jnp.cbrt(x) ** 2,
            lambda t, x: jnp.cbrt(x) ** 2,
            1.0,
            _tocino,
            mean=28.0,
        ),
        ExactSDE(
            "stiff-quadratic",
            lambda t, x: -(4.0 + x) * (1.0 - x**2),
            lambda t, x: 1.0 - x**2,
            0.5,
            lambda t, w: _tanh(jnp.exp(-8.0 * t + 2.0 * w), 0.5),
        ),
    )
}
