"""What a scheduler says of noise at a time, beside sampling: for training, for image to image, for masks."""

from typing import Any

import numpy as np
import torch

from ..discrete_vp import DiscreteVP
from .given import place


class Noised:
    """The part of `PlanScheduler` that needs its noise levels alone."""

    plan: Any
    schedule: Any
    _about: Any
    _levels: Any
    _told: list[float]
    _call_rho: np.ndarray

    def _scale(self, rho: Any) -> tuple[Any, Any]:
        """alpha and sigma where sigma/alpha = rho."""
        alpha = np.asarray(self.schedule.alpha(np.asarray(self.schedule.t_of_rho(np.asarray(rho, np.float64)))))
        return alpha, alpha * rho

    def _rho_at(self, timesteps: Any) -> np.ndarray:
        """sigma/alpha of a call of this run, or of any time the network knows."""
        t = np.atleast_1d(np.asarray(torch.as_tensor(timesteps).cpu(), np.float64))
        told = self._told if self.plan is not None else []
        found = [place(s, told) for s in t]
        return np.array(
            [self._call_rho[k[0]] if k else self._levels.rho_at(s)[0] for k, s in zip(found, t, strict=True)]
        )

    def add_noise(self, original_samples: torch.Tensor, noise: torch.Tensor, timesteps: Any) -> torch.Tensor:
        """alpha x_0 + sigma eps at the given times, one for each sample."""
        alpha, sigma = self._levels_like(timesteps, original_samples)
        return alpha * original_samples + sigma * noise

    def get_velocity(self, sample: torch.Tensor, noise: torch.Tensor, timesteps: Any) -> torch.Tensor:
        """alpha eps - sigma x_0, what models of prediction_type "v_prediction" are trained on."""
        alpha, sigma = self._levels_like(timesteps, sample)
        return alpha * noise - sigma * sample

    def scale_noise(self, sample: torch.Tensor, timestep: Any, noise: torch.Tensor) -> torch.Tensor:
        """`add_noise`, by the name that pipelines of flows use."""
        return self.add_noise(sample, noise, timestep)

    def _levels_like(self, timesteps: Any, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        shape = (-1,) + (1,) * (like.ndim - 1)
        alpha, sigma = (
            torch.as_tensor(level, dtype=like.dtype, device=like.device).reshape(shape)
            for level in self._scale(self._rho_at(timesteps))
        )
        return alpha, sigma

    @property
    def alphas_cumprod(self) -> torch.Tensor:
        """alpha^2 of a chain at its times, which some pipelines read."""
        if not isinstance(self.schedule, DiscreteVP):
            raise AttributeError(f"{self._about.name} has no chain, so no alphas_cumprod.")
        rho = np.exp(np.asarray(self.schedule.log_rho))
        return torch.from_numpy(1 / (1 + rho**2)).to(torch.float32)

    @property
    def final_alpha_cumprod(self) -> torch.Tensor:
        """alpha^2 where a run of a chain ends."""
        last = self.alphas_cumprod[0]
        return last if self._about.get("set_alpha_to_one") is False else torch.ones_like(last)
