"""Any plan as a scheduler of Hugging Face's diffusers: a pipeline calls its network and `step`, the plan does the rest.

    pipe.scheduler = PlanScheduler.from_config(pipe.scheduler.config, plan="unipc", options={"order": 3})

The plan is built in float64 when the number of steps is known; a step then costs one sum a row. Needs torch and
diffusers, and no JAX.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils.outputs import BaseOutput
from diffusers.utils.torch_utils import randn_tensor

from duhamel.rows.canonical import affine
from duhamel.rows.plan import Plan
from duhamel.rows.walk import Walk

from .plans.registry import build, find
from .schedulers.configuration import Configuration, check_signal, read
from .schedulers.given import (
    calls_before,
    checked_mu,
    checked_plan,
    checked_steps,
    memoryless,
    of_levels,
    of_plan,
    of_sampler,
    of_times,
    place,
    rest_of,
)
from .schedulers.levels import Grid, Levels
from .schedulers.method import options_of, own
from .schedulers.network import network_of
from .schedulers.noised import Noised
from .schedulers.saved import PLAN_FILE, plain, saved_plan, written

OURS = ("plan", "grid", "options", "scheduler")


@dataclass
class PlanSchedulerOutput(BaseOutput):
    """prev_sample: where the network is to be called next, at the end the sample. pred_original_sample: D."""

    prev_sample: torch.Tensor
    pred_original_sample: torch.Tensor | None = None


class PlanScheduler(Noised, SchedulerMixin, ConfigMixin):
    """A scheduler for `diffusers` pipelines that runs a plan of duhamel.

    plan       its name, as in `duhamel plan list`; or a `Plan`, or the path of one that was saved: then its steps and
               its own times. None: the method of the configuration, number for number as diffusers has it
    options    of the plan's builder, such as {"order": 3}. Left out, `order` and `lower_final` follow solver_order,
               lower_order_final and euler_at_final of the configuration
    grid       one of `plans.grid.GRIDS`, in continuous times; None: the noise levels and times that diffusers chooses
    scheduler  the class of diffusers whose configuration this is; None: a chain, or with `flow` a rectified flow
    keys       of that class (num_train_timesteps, beta_*, prediction_type, timestep_spacing, shift, ...): each is
               honoured, or known to change nothing, or refused; see docs/schedulers.md

    `timesteps` has one time for every network call, and `step` wants them in that order: the first one again begins
    anew, a later one of them first begins there (image to image), any other is refused. Between two calls a pipeline
    may change the sample (masks, guidance): the plan goes on from what it is given. Noise comes from the generator that
    the pipeline passes, or the list of them. States of a chain are those of x = alpha D + sigma eps, in whichever
    scale diffusers' own scheduler keeps them; those of continuous levels are x = D + sigma eps, shown to the network
    by `scale_model_input`.
    """

    def __init__(
        self,
        plan: str | Path | Plan | None = None,
        grid: str | None = None,
        options: Mapping[str, Any] | None = None,
        scheduler: str | None = None,
        flow: bool = False,
        **keys: Any,
    ) -> None:
        keys = {key: value for key, value in keys.items() if not key.startswith("_")}
        bare = scheduler is None
        if scheduler is None:
            scheduler = "FlowMatchEulerDiscreteScheduler" if flow else "DPMSolverMultistepScheduler"
            plan = ("flow-euler" if flow else "dpmpp-2m") if plan is None else plan
        named = read({"_class_name": scheduler, **({} if bare else keys)}, keys if bare else {})
        # told of nothing, a bare chain has no opinion on orders
        silent = ("solver_order", "lower_order_final", "euler_at_final") if bare else ()
        values = {key: v for key, v in named.values.items() if key not in silent or key in keys}
        self._about = Configuration(scheduler, values)
        self._levels = Levels(self._about)
        self._network = network_of(self._about)
        check_signal(self._about, self._network.kind)
        self._given = saved_plan(plan)
        name = None if self._given is not None else plan
        if isinstance(name, str):
            find(name)
        elif name is None and self._given is None:
            own(self._about, 20)
        if grid is not None and self._given is not None:
            raise ValueError(f"grid = {grid!r}: a plan that was built has its own times; leave grid away.")
        plain_options = plain(dict(options or {}))
        self.register_to_config(**values, plan=plan, grid=grid, options=plain_options, scheduler=scheduler)
        self.schedule = self._levels.schedule
        self._told: list[float] = []
        n = int(values.get("num_train_timesteps") or 1000)
        self.timesteps = torch.from_numpy(np.arange(n - 1, -1, -1.0))
        self.sigmas: torch.Tensor | None = None
        self.init_noise_sigma = 1.0
        self.num_inference_steps: int | None = None
        self.plan: Plan | None = None
        self.begin_index: int | None = None
        self._forget()

    @property
    def _said(self) -> Any:
        """The configuration, whose entries are attributes too."""
        return self.config

    def _forget(self) -> None:
        self._step_index: int | None = None
        self._walk: Walk | None = None
        self._first = 0
        self._sent: Any = None

    @property
    def order(self) -> int:
        """Network calls of a step, by which pipelines multiply the step at which they start; the last may have fewer.

        1 where steps differ: a start-up of Runge-Kutta, restarts.
        """
        calls = [] if self.plan is None else [n for s in self.plan.segments for n in [s.pattern.calls] * s.steps]
        return max(calls, default=1) if len(set(calls[:-1])) <= 1 else 1

    @property
    def step_index(self) -> int | None:
        """The call that comes next; None before the first."""
        return self._step_index

    @classmethod
    def from_config(cls, config: Any = None, return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """From the configuration of a scheduler of diffusers, or the scheduler itself; keyword arguments go first."""
        told = config
        if isinstance(config, SchedulerMixin):
            told = {**getattr(config, "config"), "_class_name": type(config).__name__}  # noqa: B009
            told.pop("_use_default_values", None)
        if not isinstance(told, Mapping):
            raise ValueError(
                f"config is a {type(config).__name__}; pass a scheduler of diffusers, or its configuration."
            )
        ours = {key: kwargs.pop(key) for key in OURS if key in kwargs}
        keys = {key: kwargs.pop(key) for key in list(kwargs) if key not in _LOADING}
        if told.get("_class_name") == cls.__name__ or "scheduler" in told:
            kept = {key: value for key, value in told.items() if not key.startswith("_")}
            made = cls(**{**kept, **keys, **ours})
        else:
            about = read(told, keys)
            if about.also and ours.get("plan") is None:
                own(about, 20)
            made = cls(scheduler=about.name, **{**about.values, **ours})
        return (made, kwargs) if return_unused_kwargs else made

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: Any = None,
        subfolder: str | None = None,
        return_unused_kwargs: bool = False,
        **kwargs: Any,
    ) -> Any:
        """From a folder (or a repository) that `save_pretrained` wrote, or that holds another scheduler's."""
        loading = {key: kwargs[key] for key in list(kwargs) if key in _LOADING}
        told: Any = cls.load_config(pretrained_model_name_or_path, subfolder=subfolder, **loading)
        if told.get("plan") == PLAN_FILE:
            file = Path(str(pretrained_model_name_or_path), subfolder or "", PLAN_FILE)
            kwargs.setdefault("plan", str(file))
        return cls.from_config(told, return_unused_kwargs, **kwargs)

    def save_pretrained(self, save_directory: Any, push_to_hub: bool = False, **kwargs: Any) -> None:
        """Write the configuration, and a plan that was given beside it."""
        with written(self, save_directory, self._given):
            super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)

    def set_timesteps(
        self,
        num_inference_steps: Any = None,
        device: Any = None,
        timesteps: Any = None,
        sigmas: Any = None,
        mu: float | None = None,
    ) -> None:
        """Build the plan: of so many steps, or for the given times or noise levels sigma/alpha (flows: s), falling.

        mu  of flows with use_dynamic_shifting: shift = exp(mu), or mu itself by time_shift_type "linear"
        """
        grid = self._grid(num_inference_steps, timesteps, sigmas, mu)
        self.num_inference_steps, self.init_noise_sigma = len(grid.times), grid.start
        if self._given is None:
            self._at = np.asarray(self.schedule.t_of_rho(grid.rho), np.float64)
            self.plan = self._build(self._at, len(grid.times))
        else:
            self._at, self.plan = np.asarray(self._given.t, np.float64), checked_plan(self._given)
        tau = np.concatenate([segment.tau.ravel() for segment in self.plan.segments])
        if tau[0] != self._at[0]:  # noise is added before the first call
            self.init_noise_sigma *= float(self._clock.sigma(tau[0]) / self._clock.sigma(self._at[0]))
        self._call_rho = np.asarray(self._clock.rho(tau), np.float64)
        named = dict(zip(self._at.tolist(), grid.times.tolist(), strict=False))
        told = [
            named[t] if t in named else float(self._levels.time(rho))
            for t, rho in zip(tau.tolist(), self._call_rho, strict=True)
        ]
        whole = grid.whole and all(t == round(t) for t in told)
        self.timesteps = torch.tensor(told, device=device, dtype=torch.int64 if whole else torch.float32)
        self._told = told
        levels = grid.rho / (1 + grid.rho) if self._about.flow else grid.rho
        self.sigmas = torch.from_numpy(1 - levels if self._about.get("invert_sigmas") else levels).to(torch.float32)
        self.begin_index = None
        self._forget()

    def _grid(self, steps: Any, timesteps: Any, sigmas: Any, mu: Any) -> Grid:
        levels, given = self._levels, [v is not None for v in (steps, timesteps, sigmas)]
        if given[0] and sum(given) == 2 and len(sigmas if given[2] else timesteps) == steps:
            steps, given = None, [False, *given[1:]]  # said twice
        if sum(given) > 1:
            raise ValueError("give only one of num_inference_steps, timesteps and sigmas.")
        if self._given is not None:
            if timesteps is not None or sigmas is not None:
                raise ValueError("a plan that was built has its own times; give num_inference_steps alone.")
            grid, self._clock = of_plan(levels, self._given, steps)
            return grid
        self._clock = self.schedule
        if timesteps is not None:
            return of_times(levels, timesteps)
        mu = checked_mu(self._about, mu)
        if sigmas is not None:
            return of_levels(levels, sigmas, mu)
        if steps is None:
            raise ValueError("give one of num_inference_steps, timesteps and sigmas.")
        steps = checked_steps(levels, steps)
        return levels.grid(steps, mu) if self._said.grid is None else of_sampler(levels, steps, self._said.grid)

    def _build(self, ts: np.ndarray, steps: int) -> Plan:
        """The plan on these times, of a run of so many steps. One to three are its start-up alone."""
        options = dict(self._said.options or {})
        if self._said.plan is None:
            name, said = own(self._about, steps)
        else:
            name, said = self._said.plan, options_of(self._said.plan, self._about, steps)
        return checked_plan(build(name, self.schedule, ts=ts, **{**said, **options, "short": True}))

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Pipelines that start later (image to image) say so here: a plan for the steps that are left."""
        self.begin_index = int(begin_index)
        self._forget()
        if self.plan is not None:
            self._rest(self.begin_index)

    def set_shift(self, shift: float) -> None:
        """Another static shift of a flow, from the next `set_timesteps` on."""
        if not self._about.flow or self._about.name not in SHIFTED:
            raise ValueError(f"shift = {shift!r}: {self._about.name} has none to be set.")
        self._levels = Levels(self._about, float(shift))

    def _rest(self, call: int) -> Plan:
        """The plan from a call on, its start-up included."""
        plan = self.plan
        assert plan is not None
        starts = calls_before(plan)
        n = int(np.searchsorted(starts, call))
        if n >= plan.steps or starts[n] != call:
            raise ValueError(f"call {call} is inside a step of plan {plan.name!r}; start at one of {starts[:-1]}.")
        if n == 0:
            return plan
        if memoryless(plan):
            return rest_of(plan, n)
        if self._given is not None:
            raise ValueError(
                f"plan {plan.name!r} was given as numbers, and a step of it reads those before; it cannot begin at "
                f"call {call}. Name a sampler, which is built for the steps that are left."
            )
        rest = self._build(self._at[n:], plan.steps)
        if rest.nfe != plan.nfe - call:
            raise ValueError(f"plan {plan.name!r} needs other calls when it starts late; take a multistep plan.")
        return rest

    def index_for_timestep(self, timestep: Any, schedule_timesteps: Any = None) -> int:
        """The first call of this time."""
        del schedule_timesteps
        if not (found := place(timestep, self._told)):
            raise ValueError(f"timestep = {_shown(timestep)} is none of this run's, {_listed(self._told)}.")
        return found[0]

    def _place(self, timestep: Any) -> int:
        """The call that is made at this time: the next one, or one where a run may begin."""
        plan, now = self.plan, self._step_index
        assert plan is not None
        found = place(timestep, self._told)
        if now in found:
            return int(now)  # type: ignore[arg-type]
        begins = [k for k in found if k in calls_before(plan)[:-1]]
        if now is None:
            wanted = begins if self.begin_index is None else [k for k in found if k == self.begin_index]
        else:
            wanted = begins if memoryless(plan) else [k for k in found if k == self._first]
        if wanted:
            return wanted[0]
        n = len(self._told)
        expected = (
            "none, for all calls are made" if now == n else f"{self._told[self._begin if now is None else now]:g}"
        )
        raise ValueError(
            f"step was given timestep = {_shown(timestep)}, and expects {expected}; a scheduler walks one sample "
            "through timesteps in their order. Begin anew with the first, and give a second sample a copy.deepcopy of "
            "its own."
        )

    @property
    def _begin(self) -> int:
        return self.begin_index or 0

    def scale_model_input(self, sample: torch.Tensor, timestep: Any = None) -> torch.Tensor:
        """The network sees the sample itself, where the configuration does not scale it."""
        if not self._network.scaled:
            return sample
        if timestep is None:
            raise ValueError("scale_model_input needs the timestep: the scale of this model depends on it.")
        return self._network.shown(sample, float(self._rho_at(timestep)[0]))

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
        del use_clipped_model_output  # where D is clipped, its noise always follows
        if self.plan is None:
            raise ValueError("set_timesteps comes before step; call scheduler.set_timesteps(steps).")
        if eta:
            raise ValueError("eta belongs to the plan here: PlanScheduler(plan='ddim', options={'eta': 1.0}).")
        if variance_noise is not None and not self.plan.draws:
            raise ValueError(f"variance_noise: plan {self.plan.name!r} draws none; leave it away.")

        def draw() -> torch.Tensor:
            if variance_noise is not None:
                return variance_noise.to(sample.device, torch.float32)
            return randn_tensor(sample.shape, generator=generator, device=sample.device, dtype=torch.float32)

        call = self._place(timestep)
        if self._walk is None or call != self._step_index:
            self._first, self._sent = call, None
            self._walk = Walk(self._rest(call), sample.to(torch.float32))
        walk, x = self._walk, self._unrounded(sample)
        row: Any = walk.ask(draw) if walk.z is None else walk.row_asked
        walk.env[row.out] = x
        if row.reads == ("x",):
            walk.env["x"] = x  # the pipeline may have changed it
        value, D = self._as_wanted(model_output.to(torch.float32), x, call, walk.plan.prediction)
        walk.tell(value)
        out: Any = walk.slots["x"] if walk.ask(draw) is None else walk.z
        self._step_index = call + 1
        if walk.z is None:
            self._walk = None
        self._sent = (out, out.to(sample.dtype)) if walk.z is not None and sample.dtype != out.dtype else None
        out, D = out.to(sample.dtype), D.to(sample.dtype)
        return PlanSchedulerOutput(out, D) if return_dict else (out, D)

    def _unrounded(self, sample: torch.Tensor) -> torch.Tensor:
        """The float32 state that a pipeline of half precision was given, wherever it has not changed it since."""
        if self._sent is None:
            return sample.to(torch.float32)
        exact, rounded = self._sent
        return torch.where(sample == rounded, exact, sample.to(torch.float32))

    def _as_wanted(
        self, value: torch.Tensor, x: torch.Tensor, call: int, wanted: str | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The network's output as the prediction that is wanted, and as D. Each prediction is u x + w D."""
        alpha, sigma = self._scale(self._call_rho[call])
        value = self._network.mean(value, x)
        D = self._network.data(value, x, float(alpha), float(sigma))
        if wanted == self._network.kind and not self._network.bounded:
            return value, D
        D = self._network.bound(D)
        u, w = affine(wanted, float(alpha), float(sigma))
        return u * x + w * D, D

    def __len__(self) -> int:
        return int(self._said.num_train_timesteps)


SHIFTED = ("FlowMatchEulerDiscreteScheduler", "FlowMatchLCMScheduler")
# Arguments of from_pretrained that are no keys of a configuration.
_LOADING = ("cache_dir", "force_download", "proxies", "token", "local_files_only", "revision", "return_commit_hash")
_LOADING += ("local_dir", "local_dir_use_symlinks", "mirror", "user_agent", "dduf_entries", "torch_dtype")


def _shown(timestep: Any) -> str:
    return f"{float(torch.as_tensor(timestep).flatten()[0]):g}"


def _listed(times: list[float]) -> str:
    return ", ".join(f"{t:g}" for t in times[:3]) + (", ..." if len(times) > 3 else "")
