"""Noise schedules: x_t = alpha(t) x_0 + sigma(t) eps, t rising with the noise.

    rho = sigma / alpha     lam = log(alpha / sigma) = -log rho     (half the log signal-to-noise ratio)
    forward SDE      dx = f(t) x dt + g(t) dw,     f = (log alpha)',   g^2 = 2 sigma^2 (log rho)'
    probability-flow ODE of x / alpha in rho:      d(x / alpha) / d rho = eps

Everything follows from alpha(t), rho(t) and the inverse of rho. Times may be numbers, NumPy or JAX arrays (traced too):
the array's own namespace does the arithmetic, so that this module needs NumPy alone. Formulas are written so
that nothing cancels near sigma = 0.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import cos, inf, log, pi, sin
from typing import Any, Literal

import numpy as np

Times = Any  # a number, a NumPy array or a JAX array

Prediction = Literal["data", "noise", "score", "velocity", "flow"]
"""What a model says about x = alpha D + sigma eps: D, eps, -eps / sigma, alpha eps - sigma D, or eps - D."""


def _namespace(t: Times) -> Any:
    """The module whose exp, log, ... understand t."""
    return t.__array_namespace__() if hasattr(t, "__array_namespace__") else np


@dataclass(frozen=True)
class Schedule(ABC):
    """alpha and sigma as functions of time. `t_max` is where sampling begins and `t_min` where it usually ends."""

    @property
    @abstractmethod
    def t_max(self) -> float: ...

    @property
    @abstractmethod
    def t_min(self) -> float: ...

    @property
    def t_last(self) -> float:
        """The last time there is: a model was trained on none beyond it. Sampling may begin anywhere up to here."""
        return self.t_max

    @property
    def t_zero(self) -> float:
        """The time of sigma = 0: where a plan with a terminal step ends. No model is called there."""
        return 0.0

    @abstractmethod
    def alpha(self, t: Times) -> Times:
        """Scale of the data."""

    @abstractmethod
    def rho(self, t: Times) -> Times:
        """sigma / alpha."""

    @abstractmethod
    def t_of_rho(self, rho: Times) -> Times:
        """The inverse of rho(t)."""

    @abstractmethod
    def f(self, t: Times) -> Times:
        """Drift of the forward SDE: (log alpha)'."""

    @abstractmethod
    def g2(self, t: Times) -> Times:
        """Squared diffusion of the forward SDE."""

    def sigma(self, t: Times) -> Times:
        """Standard deviation of the noise."""
        return self.alpha(t) * self.rho(t)

    def lam(self, t: Times) -> Times:
        """log(alpha / sigma); infinite where sigma = 0."""
        with np.errstate(divide="ignore"):
            return -_namespace(t).log(self.rho(t))

    def t_of_lam(self, lam: Times) -> Times:
        """The inverse of lam(t)."""
        return self.t_of_rho(_namespace(lam).exp(-lam))


@dataclass(frozen=True)
class VP(Schedule):
    """Variance preserving, beta linear in t on [0, 1] (Song et al. 2021, arXiv 2011.13456; DDPM's limit)

    log alpha = -(beta_max - beta_min) t^2 / 4 - beta_min t / 2,     sigma^2 = 1 - alpha^2
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.beta_min < self.beta_max:
            raise ValueError(f"VP needs 0 < beta_min < beta_max, got {self.beta_min} and {self.beta_max}.")

    @property
    def t_max(self) -> float:
        return 1.0

    @property
    def t_min(self) -> float:
        return 1e-3

    def log_alpha(self, t: Times) -> Times:
        return -t * (0.25 * (self.beta_max - self.beta_min) * t + 0.5 * self.beta_min)

    def alpha(self, t: Times) -> Times:
        return _namespace(t).exp(self.log_alpha(t))

    def rho(self, t: Times) -> Times:
        xp = _namespace(t)
        return xp.sqrt(xp.expm1(-2 * self.log_alpha(t)))

    def t_of_rho(self, rho: Times) -> Times:
        return self._t_of_integral(_namespace(rho).log1p(rho * rho))

    def _t_of_integral(self, B: Times) -> Times:
        """t with int_0^t beta = B, by the root that does not cancel."""
        span = self.beta_max - self.beta_min
        return 2 * B / (_namespace(B).sqrt(self.beta_min**2 + 2 * span * B) + self.beta_min)

    def beta(self, t: Times) -> Times:
        return self.beta_min + (self.beta_max - self.beta_min) * t

    def f(self, t: Times) -> Times:
        return -0.5 * self.beta(t)

    def g2(self, t: Times) -> Times:
        return self.beta(t)


@dataclass(frozen=True)
class SubVP(VP):
    """The sub-VP SDE of arXiv 2011.13456: VP's alpha, and sigma = 1 - alpha^2, always below VP's."""

    def rho(self, t: Times) -> Times:
        return -2 * _namespace(t).sinh(self.log_alpha(t))

    def t_of_rho(self, rho: Times) -> Times:
        return self._t_of_integral(2 * _namespace(rho).arcsinh(0.5 * rho))

    def g2(self, t: Times) -> Times:
        return -self.beta(t) * _namespace(t).expm1(4 * self.log_alpha(t))


@dataclass(frozen=True)
class VE(Schedule):
    """Variance exploding on [0, 1] (arXiv 2011.13456): alpha = 1, sigma = sigma_min (sigma_max / sigma_min)^t.

    The paper's schedule stops at t = 0 with sigma = sigma_min. Below, sigma goes straight on to 0 (with the same
    slope), so that a last step to sigma = 0 has a time: t_zero = -1 / log(sigma_max / sigma_min).
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(f"VE needs 0 < sigma_min < sigma_max, got {self.sigma_min} and {self.sigma_max}.")

    @property
    def t_max(self) -> float:
        return 1.0

    @property
    def t_min(self) -> float:
        return 0.0

    @property
    def t_zero(self) -> float:
        return -1.0 / self._rate

    def alpha(self, t: Times) -> Times:
        return _namespace(t).ones_like(t) * 1.0

    def rho(self, t: Times) -> Times:
        xp, u = _namespace(t), self._rate * t
        return self.sigma_min * xp.where(u >= 0, xp.exp(xp.maximum(u, 0.0)), 1 + u)

    def t_of_rho(self, rho: Times) -> Times:
        xp, r = _namespace(rho), rho / self.sigma_min
        return xp.where(r >= 1, xp.log(xp.maximum(r, 1.0)), r - 1) / self._rate

    def f(self, t: Times) -> Times:
        return 0.0 * t

    def g2(self, t: Times) -> Times:
        rho = self.rho(t)
        return 2 * self._rate * rho * _namespace(t).maximum(rho, self.sigma_min)

    @property
    def _rate(self) -> float:
        return log(self.sigma_max / self.sigma_min)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Nichol and Dhariwal 2021 (arXiv 2102.09672): alpha = cos(a) / cos(a_0), a = (pi/2)(t + s)/(1 + s), VP.

    Sampling begins at t = 0.9946, as in DPM-Solver (arXiv 2206.00927): alpha is 0 at t = 1.
    """

    s: float = 0.008

    def __post_init__(self) -> None:
        if not 0 < self.s < 1:
            raise ValueError(f"Cosine needs 0 < s < 1, got {self.s}; the paper uses 0.008.")

    @property
    def t_max(self) -> float:
        return 0.9946

    @property
    def t_last(self) -> float:
        return 1.0

    @property
    def t_min(self) -> float:
        return 1e-3

    def _angle(self, t: Times) -> Times:
        return 0.5 * pi * (t + self.s) / (1 + self.s)

    def alpha(self, t: Times) -> Times:
        return _namespace(t).cos(self._angle(t)) / cos(self._angle(0.0))

    def rho(self, t: Times) -> Times:
        # 1 - alpha^2 = sin(a - a_0) sin(a + a_0) / cos(a_0)^2
        xp, a, a0 = _namespace(t), self._angle(t), self._angle(0.0)
        return xp.sqrt(xp.sin(0.5 * pi * t / (1 + self.s)) * xp.sin(a + a0)) / xp.cos(a)

    def t_of_rho(self, rho: Times) -> Times:
        xp, a0 = _namespace(rho), self._angle(0.0)
        square = rho * rho / (1 + rho * rho) * cos(a0) ** 2  # sin(a - a_0) sin(a + a_0)
        cos_a, sin_a = cos(a0) / xp.sqrt(1 + rho * rho), xp.sqrt(sin(a0) ** 2 + square)
        sin_sum, cos_difference = sin_a * cos(a0) + cos_a * sin(a0), cos_a * cos(a0) + sin_a * sin(a0)
        return (2 / pi) * (1 + self.s) * xp.arctan2(square / sin_sum, cos_difference)

    def f(self, t: Times) -> Times:
        return -0.5 * pi / (1 + self.s) * _namespace(t).tan(self._angle(t))

    def g2(self, t: Times) -> Times:
        return -2 * self.f(t)


@dataclass(frozen=True)
class EDM(Schedule):
    """Karras et al. 2022 (arXiv 2206.00364): alpha = 1 and sigma = t."""

    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(f"EDM needs 0 < sigma_min < sigma_max, got {self.sigma_min} and {self.sigma_max}.")

    @property
    def t_max(self) -> float:
        return self.sigma_max

    @property
    def t_last(self) -> float:
        return inf

    @property
    def t_min(self) -> float:
        return self.sigma_min

    def alpha(self, t: Times) -> Times:
        return _namespace(t).ones_like(t) * 1.0

    def rho(self, t: Times) -> Times:
        return 1.0 * t

    def t_of_rho(self, rho: Times) -> Times:
        return 1.0 * rho

    def f(self, t: Times) -> Times:
        return 0.0 * t

    def g2(self, t: Times) -> Times:
        return 2.0 * t


@dataclass(frozen=True)
class Flow(Schedule):
    """Rectified flow (Liu et al., arXiv 2209.03003; Lipman et al., arXiv 2210.02747): alpha = 1 - t and sigma = t.

    Its models predict the flow eps - D = dx/dt. Times here fall from noise (t near 1) to data (t = 0), as everywhere.
    alpha is 0 at t = 1, so sampling begins a little before; `shift` s moves noise levels, rho -> s rho (arXiv
    2403.03206: s = 3 for large images).
    """

    shift: float = 1.0

    def __post_init__(self) -> None:
        if not self.shift > 0:
            raise ValueError(f"shift = {self.shift}: the factor of the noise levels must be positive; 1 is none.")

    @property
    def t_max(self) -> float:
        return 0.999

    @property
    def t_last(self) -> float:
        return 1.0

    @property
    def t_min(self) -> float:
        return 1e-3

    def alpha(self, t: Times) -> Times:
        return (1.0 - t) / (1.0 + (self.shift - 1.0) * t)

    def rho(self, t: Times) -> Times:
        return self.shift * t / (1.0 - t)

    def t_of_rho(self, rho: Times) -> Times:
        return rho / (self.shift + rho)

    def f(self, t: Times) -> Times:
        return -1.0 / (1.0 - t) - (self.shift - 1.0) / (1.0 + (self.shift - 1.0) * t)

    def g2(self, t: Times) -> Times:
        return 2 * self.sigma(t) ** 2 / (t * (1.0 - t))


@dataclass(frozen=True)
class MeanReverting(VP):
    """dx = f (mu - x) dt + g dw with g^2 = 2 sigma_inf^2 f (IR-SDE, arXiv 2301.11699)

    alpha is VP's and sigma is sigma_inf times VP's: x_t = alpha x_0 + (1 - alpha) mu + sigma eps. Plans for x - mu are
    plans for x with a column for mu; see `plans.mean_reverting`.
    """

    sigma_inf: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sigma_inf > 0:
            raise ValueError(f"sigma_inf = {self.sigma_inf}: the noise that remains must be positive.")

    def rho(self, t: Times) -> Times:
        return self.sigma_inf * super().rho(t)

    def t_of_rho(self, rho: Times) -> Times:
        return super().t_of_rho(rho / self.sigma_inf)

    def g2(self, t: Times) -> Times:
        return self.sigma_inf**2 * self.beta(t)
