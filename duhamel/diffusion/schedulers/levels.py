"""The noise levels of a configuration and the times its network knows them by.

Wherever diffusers' own scheduler makes a grid of as many levels as it was asked for, that grid is taken from it, number
by number. Where it does not (a whole chain by "linspace", "leading" with more than half of it, "trailing" where a float
step gives one more), the grid is the one its spacing means.

    rho = sigma/alpha, falling, one more than calls; the last may be 0         times  what the network is told
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import diffusers
import numpy as np
from diffusers.utils import logging

from ..discrete_vp import DiscreteVP
from ..schedule import EDM, VE, Flow, Schedule
from .configuration import CONTINUOUS, UNFLOORED, Configuration, keys_of

NEARLY_ONE = 1 - 1e-6  # of rectified flow, where alpha is not quite 0
LEAST = 2.0**-24  # alpha^2 at the end of a chain with zero terminal SNR, as diffusers' multistep schedulers have it
# Schedulers without such a floor: alpha is 0 there, and this is what is left of it.
NOTHING = 2.0**-48
# Their grids are those of another class: they list half steps, or a time twice.
SAME_GRID = {
    "KDPM2DiscreteScheduler": "LMSDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler": "LMSDiscreteScheduler",
    "PNDMScheduler": "DDIMScheduler",
}
IN_RHO = ("EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler")
IN_RHO += ("KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler")
# Keys of the method, which no grid depends on.
NO_GRID = (
    "algorithm_type",
    "solver_type",
    "solver_p",
    "disable_corrector",
    "tau_func",
    "thresholding",
    "variance_type",
)


@dataclass(frozen=True)
class Grid:
    """rho    (steps + 1,)    times  (steps,), which are whole numbers if `whole`
    start  what pipelines multiply their first noise by, so that they begin as with diffusers' own scheduler
    """

    rho: np.ndarray
    times: np.ndarray
    whole: bool
    start: float = 1.0


@dataclass(frozen=True)
class Levels:
    """What a configuration says about noise. `shift` is a flow's, where `set_shift` changed it."""

    configuration: Configuration
    shift: float | None = None

    @cached_property
    def schedule(self) -> Schedule:
        c = self.configuration
        if c.flow:
            return Flow()
        if c.name == "ScoreSdeVeScheduler":
            return VE(float(c.get("sigma_min")), float(c.get("sigma_max")))
        if c.continuous:
            low, high = self.ends
            return EDM(low, high)
        return chain(c.values, NOTHING if c.name in UNFLOORED else LEAST)

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest sigma of a continuous configuration."""
        c = self.configuration
        low, high = c.get("sigma_min"), c.get("sigma_max")
        if low is None or high is None:
            whole = chain(c.values, LEAST)
            low, high = (whole.rho(0.0) if low is None else low), (whole.rho(whole.t_max) if high is None else high)
        return float(low), float(high)

    def time(self, rho: Any) -> Any:
        """What the network is told where sigma/alpha = rho."""
        c, rho = self.configuration, np.asarray(rho, np.float64)
        if c.flow:
            s = rho / (1 + rho)
            return c.get("num_train_timesteps") * (1 - s if c.get("invert_sigmas") else s)
        if c.name == "CosineDPMSolverMultistepScheduler":
            return np.arctan(rho) / np.pi * 2
        if c.continuous and (c.name != "EulerDiscreteScheduler" or self._log_time):
            return 0.25 * np.log(rho)
        return (chain(c.values, LEAST) if c.continuous else self.schedule).t_of_rho(rho)

    @property
    def _log_time(self) -> bool:
        c = self.configuration
        return c.get("timestep_type") == "continuous" and c.get("prediction_type") == "v_prediction"

    def rho_at(self, times: Any) -> np.ndarray:
        """sigma/alpha at the network's times: the inverse of `time`. Times that there are not are refused."""
        c, times = self.configuration, np.atleast_1d(np.asarray(times, np.float64))
        if c.flow:
            s = times / c.get("num_train_timesteps")
            s = 1 - s if c.get("invert_sigmas") else s
            self._within(times, s, 0.0, 1.0)
            s = np.minimum(s, NEARLY_ONE)
            return s / (1 - s)
        if c.name == "CosineDPMSolverMultistepScheduler":
            return np.tan(0.5 * np.pi * times)
        if c.continuous and (c.name != "EulerDiscreteScheduler" or self._log_time):
            return np.exp(4 * times)
        whole = chain(c.values, LEAST) if c.continuous else self.schedule
        self._within(times, times, whole.t_min, whole.t_max)
        return np.asarray(whole.rho(times))

    def _within(self, times: np.ndarray, places: np.ndarray, low: float, high: float) -> None:
        if np.any((places < low - 1e-6) | (places > high + 1e-6) | ~np.isfinite(places)):
            raise ValueError(
                f"timesteps from {np.min(times):g} to {np.max(times):g}; this model was trained on times from "
                f"{low:g} to {self._top(high):g}, so stay between them."
            )

    def _top(self, high: float) -> float:
        return high * self.configuration.get("num_train_timesteps") if self.configuration.flow else high

    def grid(self, steps: int, mu: float | None = None, sigmas: Any = None) -> Grid:
        """The grid of so many calls, or of the levels a pipeline gives to a flow (before its shift)."""
        c = self.configuration
        if c.name == "ScoreSdeVeScheduler":
            times = np.linspace(1.0, c.get("sampling_eps"), steps)
            rho = np.append(self.schedule.rho(times), 0.0)
            return Grid(rho, times, False, self.start(rho[0]))
        if c.name in CONTINUOUS:
            rho = self._between(steps)
            return Grid(np.append(rho, self._last(rho)), self.time(rho), False, self.start(rho[0]))
        return self._told(steps, mu, sigmas)

    def _between(self, steps: int) -> np.ndarray:
        """sigma from the largest to the smallest, equally spaced in sigma^(1/rho) or in log sigma."""
        c, (low, high) = self.configuration, self.ends
        places = np.linspace(0, 1, steps)
        if c.get("sigma_schedule") == "exponential":
            return np.exp(np.log(high) + places * np.log(low / high))
        p = float(c.get("rho"))
        return (high ** (1 / p) + places * (low ** (1 / p) - high ** (1 / p))) ** p

    def _last(self, rho: np.ndarray) -> float:
        return 0.0 if self.configuration.get("final_sigmas_type", "zero") == "zero" else _below(rho[-1], self.ends[0])

    def _told(self, steps: int, mu: float | None, sigmas: Any) -> Grid:
        """What diffusers' scheduler says, or what its spacing means where it does not say as many."""
        c = self.configuration
        if c.name == "UnCLIPScheduler":  # "linspace", and a division by zero of one step
            times = whole_times(int(c.get("num_train_timesteps")), steps, "linspace", c)
            return Grid(np.append(self.rho_at(times), 0.0), times, True)
        theirs = self._theirs(steps, mu, sigmas)
        times = np.asarray(theirs.timesteps.cpu(), np.float64)
        levels: Any = None if c.name in _OF_TIMES else np.asarray(theirs.sigmas.cpu(), np.float64)
        if c.name in _TWICE:
            times, levels = _once(times), _once(levels)
        floating = theirs.timesteps.is_floating_point()
        if c.flow:
            return self._flow(levels, times, steps, floating)
        end = 0.0 if levels is None or len(levels) <= steps else float(levels[steps])
        fit = not _wrong(times, steps) and times[0] <= self.schedule.t_max
        if levels is None or not (c.continuous or self._spaced or np.any(times != np.rint(times))):
            if not fit:
                times = whole_times(int(c.get("num_train_timesteps")), steps, c.get("timestep_spacing"), c)
            rho = self.rho_at(times)
        else:
            rho = levels[:steps]
            if _wrong(times, steps):  # several levels of one time: the network is told their own
                times, floating = self.time(rho), True
        if c.get("set_alpha_to_one") is False or c.get("final_sigmas_type") == "sigma_min":
            end = self.ends[0] if c.continuous else float(self.schedule.rho(self.schedule.t_min))
        end = _below(rho[-1], end) if end > 0 else 0.0
        whole = not floating and bool(np.all(times == np.rint(times)))
        return Grid(np.append(rho, end), times, whole, self.start(rho[0]))

    def _flow(self, s: Any, times: np.ndarray, steps: int, floating: bool) -> Grid:
        c = self.configuration
        s = (1 - s if c.get("invert_sigmas") else s)[: steps + 1]
        if c.get("final_sigmas_type") == "sigma_min" or (len(s) == steps + 1 and s[-1] == s[-2]):
            s[-1] = s[-2] * (1 - 1e-6)
        if len(s) != steps + 1 or not np.all(np.isfinite(s)) or np.any(np.diff(s) >= 0):
            told = f"noise levels {np.array2string(s, precision=4, threshold=6)}"
            raise ValueError(
                f"{c.name} makes of {steps} steps the {told}, which do not fall; take more steps, or another shift."
            )
        s = np.minimum(s, NEARLY_ONE * (1 - 1e-9 * np.arange(len(s))))
        if _wrong(times if not c.get("invert_sigmas") else -times, steps):
            times, floating = self.time(s[:-1] / (1 - s[:-1])), True
        return Grid(s / (1 - s), times, not floating and bool(np.all(times == np.rint(times))))

    def start(self, rho: float) -> float:
        """`init_noise_sigma` of a run that begins at rho, in our scale: with some of diffusers' schedulers it is the
        level itself, and with some the standard deviation of data and noise together."""
        c = self.configuration
        if c.name == "ScoreSdeVeScheduler":
            return float(c.get("sigma_max"))
        if c.name in CONTINUOUS:
            return float(np.hypot(1, self.ends[1]))
        if c.name not in IN_RHO:
            return 1.0
        whole = float(np.hypot(1, rho))
        top = float(rho) if c.get("timestep_spacing") in ("linspace", "trailing") else whole
        return top if c.continuous else top / whole

    @property
    def _spaced(self) -> bool:
        keys = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")
        c = self.configuration
        return any(c.get(key) for key in keys) or c.get("interpolation_type", "linear") != "linear"

    def _theirs(self, steps: int, mu: float | None, sigmas: Any) -> Any:
        c = self.configuration
        name = SAME_GRID.get(c.name, c.name)
        given = {key: c.get(key) for key in keys_of(name) if key in c.values and key not in NO_GRID}
        if mu is not None and not c.name.startswith(("FlowMatch", "UniPC")):
            given, mu = given | {"flow_shift": float(np.exp(mu)), "use_dynamic_shifting": False}, None
        more = {} if mu is None else {"mu": float(mu)}
        more |= {} if sigmas is None else {"sigmas": [float(s) for s in sigmas]}
        level = logging.get_verbosity()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.set_verbosity_error()
            try:
                theirs = getattr(diffusers, name)(**given)
                if self.shift is not None and hasattr(theirs, "set_shift"):
                    theirs.set_shift(self.shift)
                theirs.set_timesteps(steps if sigmas is None else None, **more)
            finally:
                logging.set_verbosity(level)
        return theirs


_OF_TIMES = ("DDIMScheduler", "DDIMParallelScheduler", "DDPMScheduler", "DDPMParallelScheduler", "PNDMScheduler")
_OF_TIMES += ("CogVideoXDDIMScheduler", "CogVideoXDPMScheduler", "UnCLIPScheduler")
_TWICE = ("HeunDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")


def _once(levels: np.ndarray) -> np.ndarray:
    return levels[np.append(True, np.diff(levels) != 0)]


def _wrong(times: np.ndarray, steps: int, rising: bool = False) -> bool:
    """Not so many, or not falling."""
    d = np.diff(times)
    return len(times) != steps or not np.all(np.isfinite(times)) or bool(np.any(d <= 0 if rising else d >= 0))


def _below(last: float, end: float) -> float:
    """The end of a grid, whose last level may be it already: diffusers steps by 0 there, we by very little."""
    return min(end, last * (1 - 1e-6))


def chain(values: Mapping[str, Any], least: float) -> DiscreteVP:
    """The chain of a configuration, in float64; least: alpha^2 at its last time where it has zero terminal SNR.

    rescale_betas_zero_snr  sqrt(a) -> (sqrt(a) - its last) scaled to keep its first (arXiv 2305.08891)
    snr_shift_scale s       rho -> sqrt(s) rho, that is a -> a / (s + (1 - s) a) (CogVideoX, arXiv 2408.06072)
    """
    scale, rescale = values.get("snr_shift_scale"), values.get("rescale_betas_zero_snr")
    values = {key: v for key, v in values.items() if v is not None}
    n, told = int(values.get("num_train_timesteps", 1000)), values.get("trained_betas")
    ends = float(values.get("beta_start", 0.0001)), float(values.get("beta_end", 0.02))
    betas = variances(n, *ends, values.get("beta_schedule", "linear"), told)
    if not (scale or rescale):
        return DiscreteVP.from_betas(betas)
    log_a = np.cumsum(np.log1p(-betas))
    a = np.exp(log_a - np.log(scale + (1 - scale) * np.exp(log_a))) if scale else np.exp(log_a)
    if rescale:
        root = np.sqrt(a)
        a = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
        a[-1] = min(least, 0.9 * a[-2])  # noise grows to the end
    return DiscreteVP(tuple(0.5 * (np.log1p(-a) - np.log(a))))


def variances(n: int, start: float, end: float, kind: str, trained: Any) -> np.ndarray:
    """beta of each step of a chain."""
    if trained is not None:
        trained = np.asarray(trained, np.float64)
        if trained.shape != (n,):
            raise ValueError(f"trained_betas has shape {trained.shape}; it holds one number for each of {n} times.")
        return trained
    if kind == "linear":
        return np.linspace(start, end, n)
    if kind == "scaled_linear":
        return np.linspace(start**0.5, end**0.5, n) ** 2
    if kind == "sigmoid":
        return start + (end - start) / (1 + np.exp(-np.linspace(-6, 6, n)))
    places = np.arange(n + 1) / n
    if kind == "squaredcos_cap_v2":
        a = np.cos((places + 0.008) / 1.008 * np.pi / 2) ** 2
        return np.minimum(1 - a[1:] / a[:-1], 0.999)
    if kind == "exp":
        return np.full(n, -np.expm1(-12 / n))
    raise ValueError(
        f"beta_schedule = {kind!r}; known: linear, scaled_linear, squaredcos_cap_v2, sigmoid, exp, or pass "
        "trained_betas."
    )


def whole_times(n: int, steps: int, spacing: str, told: Mapping[str, Any] | Configuration) -> np.ndarray:
    """As many whole times of a chain as asked for, falling, by the spacing's own rule without its rounding faults."""
    if spacing == "linspace":
        return np.linspace(0, n - 1, steps).round()[::-1] if steps > 1 else np.array([n - 1.0])
    if spacing == "leading":
        times = (np.arange(steps) * (n // steps))[::-1]
        return times + min(int(told.get("steps_offset", 0) or 0), n - 1 - times[0])
    return np.rint(n - np.arange(steps) * (n / steps)) - 1.0
