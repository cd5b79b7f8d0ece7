"""Exponential methods for dx = (L(t) x + N(t, x)) dt + G(t, x) dW: the linear drift is exact, however stiff.

Exponential Euler-Maruyama, Ito:

    x1 = e^(hL) x + h phi_1(hL) N + S G dW,                S^2 = phi_1(2 h Re L)

S gives int e^((h-s)L) G dW its variance where L is a number or diagonal: with N = 0 and constant G the law of the path
at the grid points is that of the Ornstein-Uhlenbeck process for every h. For a dense L, S = phi_1(hL), the mean given
dW.

Exponential Heun, Stratonovich (N as in ETDRK2, noise as in Lawson's transformation of Heun's method):

    z  = e^(hL) (x + G(t, x) dW) + h phi_1 N(t, x)
    x1 = e^(hL) (x + G(t, x) dW / 2) + h (phi_1 - phi_2) N(t, x) + h phi_2 N(t + h, z) + G(t + h, z) dW / 2

Sources: G. Lord, A. Tambue, IMA J. Numer. Anal. 33 (2013) 515; A. Jentzen, P. Kloeden, Proc. R. Soc. A 465 (2009) 649;
K. Debrabant, A. Kvaerno, N. Mattsson, arXiv:1909.05117 (stochastic Lawson); S. Cox, P. Matthews, J. Comput. Phys. 176
(2002) 430.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from duhamel.core.linear import Diagonal, Linear, Scalar, Zero
from duhamel.core.problem import Stochastic
from duhamel.rows.pattern import Pattern, Row

from .stochastic import StochasticMethod

_KEEP = (("x", "x1"),)
_EULER = Pattern(
    (
        Row("z", ("x",), "N"),
        Row("y", ("z",), "Gw", model=1, args=("dW",)),
        Row("x1", ("N", "Gw", "x")),
    ),
    _KEEP,
    draws=("dW",),
)
_HEUN = Pattern(
    (
        Row("z", ("x",), "N"),
        Row("y", ("z",), "Gw", model=1, args=("dW",)),
        Row("z1", ("N", "Gw", "x"), "N1"),
        Row("y1", ("z1",), "G1w", model=1, args=("dW",)),
        Row("x1", ("N", "N1", "Gw", "G1w", "x")),
        Row("error", ("N", "N1", "Gw", "G1w")),
    ),
    _KEEP,
    draws=("dW",),
)


class ExponentialEulerMaruyama(StochasticMethod):
    """Ito, every noise: strong order 1 for additive noise, else 0.5, for every L. Fixed steps."""

    @property
    def calculus(self) -> str:
        return "ito"

    @property
    def strong(self) -> dict[str, float]:
        return {"additive": 1.0, "scalar": 0.5, "diagonal": 0.5, "commutative": 0.5, "general": 0.5}

    @property
    def error_order(self) -> int | None:
        return None

    @property
    def calls(self) -> int:
        """The nonlinear part and the diffusion."""
        return 2

    @property
    def pattern(self) -> Pattern:
        return _EULER

    @property
    def tabulated(self) -> bool:
        return True

    def stochastic_fields(self, problem: Stochastic) -> tuple[Callable, ...]:
        return problem.N, problem.diffuse

    def coef(self, L: Linear, t: Any, h: Any) -> list[Any]:
        flow, phi = L.phis(1, t, h)
        return [1.0, 1.0, h * phi, spread(L, t, h), flow]

    def tau(self, t: Any, h: Any) -> list[Any]:
        del h
        return [t, t]


class ExponentialHeun(StochasticMethod):
    """Stratonovich, every noise: strong order 1 where noise commutes, else 0.5; deterministic order 2; adaptive."""

    @property
    def calculus(self) -> str:
        return "stratonovich"

    @property
    def strong(self) -> dict[str, float]:
        return {"additive": 1.0, "scalar": 1.0, "diagonal": 1.0, "commutative": 1.0, "general": 0.5}

    @property
    def error_order(self) -> int | None:
        return 0

    @property
    def calls(self) -> int:
        """The nonlinear part and the diffusion, twice."""
        return 4

    @property
    def pattern(self) -> Pattern:
        return _HEUN

    @property
    def tabulated(self) -> bool:
        return True

    def stochastic_fields(self, problem: Stochastic) -> tuple[Callable, ...]:
        return problem.N, problem.diffuse

    def coef(self, L: Linear, t: Any, h: Any) -> list[Any]:
        flow, phi1, phi2 = L.phis(2, t, h)
        half = 0.5 * flow
        return [
            *(1.0, 1.0, h * phi1, flow, flow, 1.0),
            *(h * (phi1 - phi2), h * phi2, half, 0.5, flow),
            *((-h) * phi2, h * phi2, -half, 0.5),
        ]

    def tau(self, t: Any, h: Any) -> list[Any]:
        return [t, t, t + h, t + h]


def spread(L: Linear, t: Any, h: Any) -> Any:
    """S, the weight of G dW in exponential Euler-Maruyama."""
    if isinstance(L, Zero):
        return 1.0
    if isinstance(L, Diagonal):
        return Diagonal(2.0 * _real(L.values)).phi(1, t, h) ** 0.5
    if isinstance(L, Scalar):
        value, integral = L.value, L.integral
        if integral is None:
            return Scalar(2.0 * _real(value)).phi(1, t, h) ** 0.5
        twice = Scalar(lambda t: 2.0 * _real(value(t)), lambda t: 2.0 * _real(integral(t)), L.nodes)
        return twice.phi(1, t, h) ** 0.5
    return L.phi(1, t, h)


def _real(value: Any) -> Any:
    return np.real(value) if isinstance(value, int | float | complex | np.ndarray | np.generic) else jnp.real(value)
