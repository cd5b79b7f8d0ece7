"""What a network's output says about x = alpha D + sigma eps, and what is done to D before a plan sees it."""

from dataclasses import dataclass
from typing import Any

import torch

from duhamel.rows.canonical import affine

from .configuration import Configuration

PREDICTIONS = {"epsilon": "noise", "sample": "data", "v_prediction": "velocity", "flow_prediction": "flow"}


@dataclass(frozen=True)
class Network:
    """kind        as in `schedule.Prediction`; "inverted": a flow whose time runs from noise to data; "edm": F of
                   D = x sd^2/(s^2 + sd^2) + F s sd/sqrt(s^2 + sd^2), sd = sigma_data (Karras et al. 2022, section 5)
    sign           -1 where the network of "edm" returns -F, a velocity
    scaled         the network is shown x / sqrt(s^2 + sd^2)
    clip           D is kept within +-clip;  threshold  (ratio, largest) of dynamic thresholding (arXiv 2205.11487)
    half           the network returns a variance too, in as many channels again
    """

    kind: str
    sigma_data: float = 1.0
    sign: float = 1.0
    scaled: bool = False
    clip: float | None = None
    threshold: tuple[float, float] | None = None
    half: bool = False

    def shown(self, x: torch.Tensor, rho: float) -> torch.Tensor:
        return x / (rho**2 + self.sigma_data**2) ** 0.5 if self.scaled else x

    def data(self, value: torch.Tensor, x: torch.Tensor, alpha: float, sigma: float) -> torch.Tensor:
        """D, from what the network returned at x."""
        if self.kind == "edm":
            whole = sigma**2 + self.sigma_data**2
            return x * (self.sigma_data**2 / whole) + value * (self.sign * sigma * self.sigma_data / whole**0.5)
        if self.kind == "inverted":
            return x + sigma * value
        u, w = affine(self.kind, alpha, sigma)
        return (value - u * x) / w

    def mean(self, value: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The prediction alone, where a variance stands beside it."""
        if not self.half or value.ndim < 2 or value.shape[1] == x.shape[1]:
            return value
        if value.shape[1] != 2 * x.shape[1]:
            raise ValueError(
                f"the network returned {value.shape[1]} channels for a sample of {x.shape[1]}; with a learned variance "
                "they are as many or twice as many."
            )
        return value[:, : x.shape[1]]

    @property
    def bounded(self) -> bool:
        return self.clip is not None or self.threshold is not None

    def bound(self, D: torch.Tensor) -> torch.Tensor:
        if self.threshold is not None:
            ratio, largest = self.threshold
            s = torch.quantile(D.abs().flatten(1).float(), ratio, dim=1).clamp(1, largest)
            s = s.reshape(-1, *(1,) * (D.ndim - 1)).to(D.dtype)
            return torch.clamp(D, -s, s) / s
        return D if self.clip is None else D.clamp(-self.clip, self.clip)


def network_of(c: Configuration) -> Network:
    told = c.get("prediction_type", "epsilon")
    clip = float(c.get("clip_sample_range", 1.0) or 1.0) if c.get("clip_sample") else None
    dynamic = None
    if c.get("thresholding"):
        dynamic = float(c.get("dynamic_thresholding_ratio", 0.995)), float(c.get("sample_max_value", 1.0))
    bounds: dict[str, Any] = {"clip": clip, "threshold": dynamic}
    bounds["half"] = str(c.get("variance_type")).startswith("learned")
    if c.name.startswith("FlowMatch"):
        return Network("inverted" if c.get("invert_sigmas") else "flow", **bounds)
    if c.name == "ScoreSdeVeScheduler":
        return Network("score", **bounds)
    if c.continuous and c.name != "EulerDiscreteScheduler":
        if told not in ("epsilon", "v_prediction"):
            raise ValueError(f"prediction_type = {told!r}; {c.name} knows 'epsilon' and 'v_prediction'.")
        sign = -1.0 if told == "v_prediction" else 1.0
        return Network("edm", float(c.get("sigma_data")), sign, True, **bounds)
    if told not in PREDICTIONS and told != "original_sample":
        raise ValueError(f"prediction_type = {told!r}; known: {', '.join(PREDICTIONS)}.")
    if told == "flow_prediction" and not c.flow:
        raise ValueError("prediction_type = 'flow_prediction' is of a flow; say use_flow_sigmas=True as well.")
    if c.continuous and told == "v_prediction":
        return Network("edm", 1.0, -1.0, True, **bounds)
    return Network(PREDICTIONS.get(told, "data"), scaled=c.continuous, **bounds)
