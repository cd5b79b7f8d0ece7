"""Any plan as a scheduler of Hugging Face's diffusers: a pipeline calls its network and `step`, the plan does the rest.

    pipe.scheduler = PlanScheduler.from_config(pipe.scheduler.config, plan="unipc", options={"order": 3})

The plan is built in float64 when the number of steps is known; a step then costs one sum a row. Needs torch and
diffusers, and no JAX.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils import logging
from diffusers.utils.outputs import BaseOutput
from diffusers.utils.torch_utils import randn_tensor

from duhamel.rows.canonical import affine
from duhamel.rows.host import asked
from duhamel.rows.plan import Plan

from .discrete_vp import DiscreteVP
from .plans.registry import build
from .schedule import Flow, Schedule

logger = logging.get_logger(__name__)
PREDICTIONS = {"epsilon": "noise", "sample": "data", "v_prediction": "velocity", "flow_prediction": "flow"}
# Options of diffusers' schedulers that change samples, and that a plan does not have.
DROPPED = ("thresholding", "clip_sample", "use_beta_sigmas", "use_lu_lambdas")
NEARLY_ONE = 1 - 1e-6  # of rectified flow, where alpha is not quite 0


@dataclass
class PlanSchedulerOutput(BaseOutput):
    """prev_sample: where the network is to be called next, at the end the sample. pred_original_sample: D."""

    prev_sample: torch.Tensor
    pred_original_sample: torch.Tensor | None = None


class PlanScheduler(SchedulerMixin, ConfigMixin):
    """A scheduler for `diffusers` pipelines that runs a plan of duhamel.

    plan       its name, as in `duhamel plan list`; options are those of its builder, such as {"order": 3}
    grid       one of `plans.grid.GRIDS`, in continuous times; None: the times that diffusers would choose
               (timestep_spacing, steps_offset), which are whole numbers
    flow       rectified flow (x = (1 - s) x_0 + s eps, times 1000 s) instead of a variance preserving chain
    prediction_type, beta_*, trained_betas, timestep_spacing, steps_offset, final_sigmas_type, shift
               as in diffusers' own schedulers, so that `from_config` of theirs works

    `timesteps` has one time for every network call. Between two calls a pipeline may change the sample (masks,
    guidance): the plan goes on from what it is given. A pipeline that starts later (image to image) gets a plan for the
    rest, its start-up included. Noise comes from the generator that the pipeline passes, or the list of them.
    """

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: list[float] | None = None,
        prediction_type: str = "epsilon",
        timestep_spacing: str = "linspace",
        steps_offset: int = 0,
        final_sigmas_type: str = "zero",
        shift: float = 1.0,
        flow: bool = False,
        plan: str = "dpmpp-2m",
        grid: str | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        if prediction_type not in PREDICTIONS:
            raise ValueError(f"prediction_type = {prediction_type!r}; known: {', '.join(PREDICTIONS)}.")
        if final_sigmas_type not in ("zero", "sigma_min"):
            raise ValueError(f"final_sigmas_type = {final_sigmas_type!r}; it is 'zero' or 'sigma_min'.")
        if flow:
            self.schedule: Schedule = Flow()
        else:
            betas = _betas(num_train_timesteps, beta_start, beta_end, beta_schedule, trained_betas)
            self.schedule = DiscreteVP.from_betas(betas)
        self.init_noise_sigma = 1.0
        self.num_inference_steps: int | None = None
        self.timesteps = torch.from_numpy(np.arange(num_train_timesteps - 1, -1, -1.0))
        self.begin_index: int | None = None
        self.plan: Plan | None = None
        self._generator: Any = None
        self._asking: Any = None
        self._now: Any = None
        self._sent: Any = None

    @property
    def order(self) -> int:
        """Network calls of a step, by which pipelines multiply the step at which they start; the last may have fewer.

        1 where steps differ: a start-up of Runge-Kutta, restarts.
        """
        calls = [] if self.plan is None else [n for s in self.plan.segments for n in [s.pattern.calls] * s.steps]
        return max(calls, default=1) if len(set(calls[:-1])) <= 1 else 1

    @classmethod
    def from_config(cls, config: Any = None, return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """From the configuration of any scheduler of a chain or of a flow; keyword arguments go first."""
        told = dict(config or {})
        # flows have a shift and no variances; other families say so in an option
        rectified = "shift" in told and "beta_schedule" not in told
        if rectified or told.get("use_flow_sigmas") or told.get("prediction_type") == "flow_prediction":
            kwargs.setdefault("flow", True)
            kwargs.setdefault("prediction_type", "flow_prediction")
            kwargs.setdefault("final_sigmas_type", "zero")
            kwargs.setdefault("shift", told.get("shift", told.get("flow_shift", 1.0)))
        if told.get("rescale_betas_zero_snr"):
            raise ValueError(
                "this configuration has rescale_betas_zero_snr: its last noise level has no signal, and a plan needs "
                "some; give trained_betas without it."
            )
        for option, grid in (("use_karras_sigmas", "karras"), ("use_exponential_sigmas", "lam")):
            if told.get(option):
                kwargs.setdefault("grid", grid)
        if dropped := [option for option in DROPPED if told.get(option)]:
            logger.warning(f"PlanScheduler does without {', '.join(dropped)} of the configuration it was given.")
        ours = {key: value for key, value in told.items() if key in cls._get_init_keys(cls)}
        return super().from_config(ours, return_unused_kwargs=return_unused_kwargs, **kwargs)

    @property
    def _told(self) -> Any:
        """The configuration, whose entries are attributes too."""
        return self.config

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        timesteps: list[float] | None = None,
        sigmas: list[float] | None = None,
        mu: float | None = None,
    ) -> None:
        """Build the plan: of so many steps, or for the given times or noise levels sigma/alpha (flows: s), falling.

        mu  of flows: shift = exp(mu) in place of the configuration's, as pipelines say it for large images
        """
        if (num_inference_steps is None) + (timesteps is None) + (sigmas is None) < 2:
            raise ValueError("give only one of num_inference_steps, timesteps and sigmas.")
        if mu is not None and not self._told.flow:
            raise ValueError(f"mu = {mu:g} shifts the noise levels of a flow, and this is a chain; leave it away.")
        shift = self._told.shift if mu is None else float(np.exp(mu))
        ts = self._grid(num_inference_steps, timesteps, sigmas, lambda s: shift * s / (1 + (shift - 1) * s))
        self.num_inference_steps = len(ts) - 1
        self._build(ts, device)
        self.begin_index = None

    def _grid(self, steps: int | None, timesteps: Any, sigmas: Any, shifted: Callable) -> np.ndarray:
        c, schedule = self._told, self.schedule
        if steps is not None and c.grid is not None:
            return np.asarray(
                build(c.plan, schedule, steps, grid=c.grid, terminal=c.final_sigmas_type == "zero", short=True).t
            )
        if sigmas is not None:
            levels = np.asarray(sigmas, np.float64)
            ts = np.minimum(shifted(levels), NEARLY_ONE) if c.flow else schedule.t_of_rho(levels)
            return ts if ts[-1] == schedule.t_zero else np.append(ts, schedule.t_zero)
        if timesteps is not None:
            ts = np.asarray(timesteps, np.float64)
            ts = np.minimum(ts / c.num_train_timesteps, NEARLY_ONE) if c.flow else ts
        elif steps is None:
            raise ValueError("give one of num_inference_steps, timesteps and sigmas.")
        elif c.flow:
            # diffusers shifts the smallest level twice
            s = shifted(np.linspace(1.0, shifted(1.0 / c.num_train_timesteps), steps))
            ts = np.minimum(s, NEARLY_ONE)
        else:
            ts = _whole_times(c.num_train_timesteps, steps, c.timestep_spacing, c.steps_offset)
        return np.append(ts, schedule.t_zero if c.final_sigmas_type == "zero" else _last(schedule, ts))

    def _build(self, ts: np.ndarray, device: Any, late: bool = False) -> None:
        options: dict[str, Any] = {"short": late, **(self._told.options or {})}
        self.plan = build(self._told.plan, self.schedule, ts=ts, **options)
        scale = self._told.num_train_timesteps if self._told.flow else 1.0
        calls = np.concatenate([segment.tau.ravel() for segment in self.plan.segments]) * scale
        whole = np.all(calls == np.rint(calls))
        self.timesteps = torch.from_numpy(calls).to(device=device, dtype=torch.int64 if whole else torch.float32)
        self._asking = self._now = self._sent = None

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Pipelines that start later (image to image) say so here: a plan for the steps that are left."""
        self.begin_index = int(begin_index)
        if not begin_index or self.plan is None:
            return
        starts = np.cumsum([0, *(n for s in self.plan.segments for n in [s.pattern.calls] * s.steps)])
        device, seen = self.timesteps.device, self.timesteps
        first = int(np.searchsorted(starts, begin_index))
        if starts[first] != begin_index:
            raise ValueError(
                f"call {begin_index} is inside a step of plan {self.plan.name!r}; start at one of {starts}."
            )
        self._build(np.asarray(self.plan.t[first:]), device, late=True)
        if len(self.timesteps) != len(seen) - begin_index:
            raise ValueError(f"plan {self.plan.name!r} needs other calls when it starts late; take a multistep plan.")
        self.timesteps = seen  # the pipeline has sliced it already

    def scale_model_input(self, sample: torch.Tensor, timestep: Any = None) -> torch.Tensor:
        """The network sees the sample itself."""
        del timestep
        return sample

    def step(
        self,
        model_output: torch.Tensor,
        timestep: Any,
        sample: torch.Tensor,
        eta: float = 0.0,
        use_clipped_model_output: bool | None = None,
        generator: Any = None,
        variance_noise: torch.Tensor | None = None,
        return_dict: bool = True,
    ) -> Any:
        """Take in what the network said at `sample`; the sample for its next call, or the last one."""
        if self.plan is None:
            raise ValueError("set_timesteps comes before step; call scheduler.set_timesteps(steps).")
        if eta:
            raise ValueError("eta belongs to the plan here: PlanScheduler(plan='ddim', options={'eta': 1.0}).")
        if self._asking is None:
            self._draw = lambda n, d: randn_tensor(
                sample.shape, generator=self._generator, device=sample.device, dtype=torch.float32
            )
            self._generator = generator
            self._asking = asked(self.plan, {"x": sample.to(torch.float32)}, draw=self._draw, cast=float)
            self._now = next(self._asking)
        now, self._generator = self._now, generator
        x = self._unrounded(sample)
        now.env[now.row.out] = x
        if now.row.reads == ("x",):
            now.env["x"] = x  # the pipeline may have changed it
        value, D = self._as_wanted(model_output.to(torch.float32), x, now.tau, self.plan.prediction)
        try:
            self._now = self._asking.send(value)
            out = self._now.z
        except StopIteration as done:
            out, self._asking, self._now = done.value["x"], None, None
        self._sent = (out, out.to(sample.dtype)) if self._now is not None and sample.dtype != out.dtype else None
        out = out.to(sample.dtype)
        return PlanSchedulerOutput(out, D.to(sample.dtype)) if return_dict else (out, D.to(sample.dtype))

    def _unrounded(self, sample: torch.Tensor) -> torch.Tensor:
        """The float32 state that a pipeline of half precision was given, wherever it has not changed it since."""
        if self._sent is None:
            return sample.to(torch.float32)
        exact, rounded = self._sent
        return torch.where(sample == rounded, exact, sample.to(torch.float32))

    def _as_wanted(
        self, value: torch.Tensor, x: torch.Tensor, tau: float, wanted: str | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The network's output as the prediction that is wanted, and as D. Each prediction is u x + w D."""
        alpha, sigma = float(self.schedule.alpha(np.float64(tau))), float(self.schedule.sigma(np.float64(tau)))
        u, w = affine(PREDICTIONS[self._told.prediction_type], alpha, sigma)
        D = (value - u * x) / w
        if wanted == PREDICTIONS[self._told.prediction_type]:
            return value, D
        u, w = affine(wanted, alpha, sigma)
        return u * x + w * D, D

    def add_noise(self, original_samples: torch.Tensor, noise: torch.Tensor, timesteps: Any) -> torch.Tensor:
        """alpha x_0 + sigma eps at the given times, one for each sample."""
        alpha, sigma = self._levels(timesteps, original_samples)
        return alpha * original_samples + sigma * noise

    def get_velocity(self, sample: torch.Tensor, noise: torch.Tensor, timesteps: Any) -> torch.Tensor:
        """alpha eps - sigma x_0, what models of prediction_type "v_prediction" are trained on."""
        alpha, sigma = self._levels(timesteps, sample)
        return alpha * noise - sigma * sample

    def scale_noise(self, sample: torch.Tensor, timestep: Any, noise: torch.Tensor) -> torch.Tensor:
        """`add_noise`, by the name that pipelines of flows use."""
        return self.add_noise(sample, noise, timestep)

    def _levels(self, timesteps: Any, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        t = np.atleast_1d(np.asarray(torch.as_tensor(timesteps).cpu(), np.float64))
        t = np.minimum(t / self._told.num_train_timesteps, NEARLY_ONE) if self._told.flow else t
        shape = (-1,) + (1,) * (like.ndim - 1)
        alpha, sigma = (
            torch.as_tensor(level, dtype=like.dtype, device=like.device).reshape(shape)
            for level in (self.schedule.alpha(t), self.schedule.sigma(t))
        )
        return alpha, sigma

    def __len__(self) -> int:
        return self._told.num_train_timesteps


def _betas(n: int, start: float, end: float, kind: str, trained: Any) -> np.ndarray:
    if trained is not None:
        return np.asarray(trained, np.float64)
    if kind == "linear":
        return np.linspace(start, end, n)
    if kind == "scaled_linear":
        return np.linspace(start**0.5, end**0.5, n) ** 2
    if kind == "squaredcos_cap_v2":
        a = np.cos((np.arange(n + 1) / n + 0.008) / 1.008 * np.pi / 2) ** 2
        return np.minimum(1 - a[1:] / a[:-1], 0.999)
    raise ValueError(
        f"beta_schedule = {kind!r}; known: linear, scaled_linear, squaredcos_cap_v2, or pass trained_betas."
    )


def _whole_times(n: int, steps: int, spacing: str, offset: int) -> np.ndarray:
    """The whole-numbered times of diffusers' multistep schedulers, falling."""
    if steps > n:
        raise ValueError(f"num_inference_steps = {steps}; the chain has {n} times, so at most {n} steps.")
    if spacing == "linspace":
        return np.linspace(0, n - 1, steps + 1).round()[::-1][:-1]
    if spacing == "leading":
        return (np.arange(0, steps + 1) * (n // (steps + 1))).round()[::-1][:-1] + offset
    if spacing == "trailing":
        return np.arange(n, 0, -n / steps).round() - 1.0
    raise ValueError(f"timestep_spacing = {spacing!r}; known: linspace, leading, trailing.")


def _last(schedule: Schedule, ts: np.ndarray) -> float:
    """The end of a grid that stops at the smallest noise of the chain."""
    return schedule.t_min if ts[-1] > schedule.t_min else ts[-1] / 2 + schedule.t_zero / 2
