"""The schedule of models that were trained on a chain of N noise levels, as DDPM's. NumPy alone, as `schedule`."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .schedule import Schedule, Times, _namespace


@dataclass(frozen=True)
class DiscreteVP(Schedule):
    """Variance preserving, known at t = 0, 1, ..., N - 1 only; log rho is linear in between.

    Below t = 0, rho goes on straight to 0 at t = -1, where a terminal step ends.

    log_rho  log(sigma/alpha) at the N times, rising: (log(1 - a) - log a)/2 for the products a of 1 - beta
    """

    log_rho: tuple[float, ...]

    def __post_init__(self) -> None:
        values = np.asarray(self.log_rho, np.float64)
        if values.ndim != 1 or len(values) < 2 or not (np.all(np.isfinite(values)) and np.all(np.diff(values) > 0)):
            raise ValueError(
                "log_rho must hold at least two finite numbers that rise, for noise grows with time. A chain that ends "
                "without signal (zero terminal SNR) has none at its last time: leave that away."
            )
        object.__setattr__(self, "log_rho", tuple(values.tolist()))

    @staticmethod
    def from_betas(betas: Any) -> "DiscreteVP":
        """From the variances of a chain, such as DDPM's np.linspace(1e-4, 0.02, 1000) (arXiv 2006.11239)."""
        betas = np.asarray(betas, np.float64)
        if not np.all((betas > 0) & (betas < 1)):
            raise ValueError("betas are variances of steps and must lie strictly between 0 and 1.")
        log_a = np.cumsum(np.log1p(-betas))
        return DiscreteVP(tuple(0.5 * (np.log(-np.expm1(log_a)) - log_a)))

    @property
    def t_max(self) -> float:
        return len(self.log_rho) - 1.0

    @property
    def t_min(self) -> float:
        return 0.0

    @property
    def t_zero(self) -> float:
        return -1.0

    def alpha(self, t: Times) -> Times:
        rho = self.rho(t)
        return 1 / _namespace(rho).sqrt(1 + rho * rho)

    def rho(self, t: Times) -> Times:
        xp, values = _namespace(t), np.asarray(self.log_rho)
        inside = xp.exp(xp.interp(xp.maximum(t, 0.0), np.arange(len(values)), values))
        return xp.where(t >= 0, inside, np.exp(values[0]) * (1 + t))

    def t_of_rho(self, rho: Times) -> Times:
        xp, values = _namespace(rho), np.asarray(self.log_rho)
        first = np.exp(values[0])
        inside = xp.interp(xp.log(xp.maximum(rho, first)), values, np.arange(len(values)))
        return xp.where(rho >= first, inside, rho / first - 1)

    def f(self, t: Times) -> Times:
        return -(self.sigma(t) ** 2) * self._slope(t)

    def g2(self, t: Times) -> Times:
        return 2 * self.sigma(t) ** 2 * self._slope(t)

    def _slope(self, t: Times) -> Times:
        """(log rho)', constant between two times; at one of them that of the interval which begins there."""
        xp, slopes = _namespace(t), np.diff(np.asarray(self.log_rho))
        k = xp.clip(xp.floor(t), 0, len(slopes) - 1).astype(int)
        return xp.where(t >= 0, xp.asarray(slopes)[k], 1 / (1 + t))
