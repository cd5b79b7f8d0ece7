"""What a pipeline or a user hands to `PlanScheduler`: times, noise levels, plans. Each is a grid, or a sentence."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from duhamel.rows.pattern import ONES
from duhamel.rows.plan import Plan

from ..plans.grid import time_grid
from ..plans.registry import check_belongs, schedule_of
from ..schedule import Schedule
from .configuration import Configuration
from .levels import NEARLY_ONE, Grid, Levels

SHIFTS_ITSELF = ("FlowMatchEulerDiscreteScheduler", "FlowMatchLCMScheduler", "UniPCMultistepScheduler")


def checked_steps(levels: Levels, steps: Any) -> int:
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        raise ValueError(f"num_inference_steps = {steps!r}; a sampler makes a whole number of steps, at least one.")
    n = levels.configuration.get("num_train_timesteps")
    if not (levels.configuration.flow or levels.configuration.continuous) and n is not None and steps > n:
        raise ValueError(f"num_inference_steps = {steps}; the chain has {n} times, so at most {n} steps.")
    return int(steps)


def checked_mu(c: Configuration, mu: Any) -> float | None:
    """mu where it shifts. A FlowMatch scheduler of static shift leaves it unread, and its pipelines pass it always."""
    if mu is not None and not c.flow:
        raise ValueError(f"mu = {mu:g} shifts the noise levels of a flow, and this is a chain; leave it away.")
    if not c.get("use_dynamic_shifting"):
        if mu is not None and not c.name.startswith("FlowMatch"):
            raise ValueError(f"mu = {mu:g}, and the configuration has use_dynamic_shifting=False; leave mu away.")
        return None
    if c.flow and mu is None:
        raise ValueError("this configuration has use_dynamic_shifting, so the shift is exp(mu); pass mu=...")
    return None if mu is None else float(mu)


def of_sampler(levels: Levels, steps: int, grid: str) -> Grid:
    """A grid of ours, in continuous times."""
    terminal = levels.configuration.get("final_sigmas_type", "zero") == "zero"
    ts = time_grid(levels.schedule, steps, grid, terminal=terminal)
    rho = np.asarray(levels.schedule.rho(ts), np.float64)
    return Grid(rho, levels.time(rho[:-1]), False, levels.start(rho[0]))


def of_times(levels: Levels, times: Any) -> Grid:
    """The times a user gives, each with the noise level the network knows it by."""
    times = _falling("timesteps", times, rising=bool(levels.configuration.get("invert_sigmas")))
    rho = levels.rho_at(times)
    return Grid(_ended(levels, rho), times, bool(np.all(times == np.rint(times))), levels.start(rho[0]))


def of_levels(levels: Levels, sigmas: Any, mu: float | None) -> Grid:
    """sigma/alpha of a chain; s of a flow, which its shift moves."""
    c, sigmas = levels.configuration, _falling("sigmas", sigmas)
    sigmas = sigmas[:-1] if sigmas[-1] == 0 and len(sigmas) > 1 else sigmas
    if sigmas[-1] <= 0:
        raise ValueError(f"sigmas end in {sigmas[-1]:g}; a model is asked where there is noise, so above 0.")
    if c.flow:
        if sigmas[0] > 1:
            raise ValueError(f"sigmas begin with {sigmas[0]:g}; those of a flow are shares of noise, at most 1.")
        if c.name in SHIFTS_ITSELF:
            return levels.grid(len(sigmas), mu, sigmas)
        shift = float(c.get("shift") or c.get("flow_shift") or 1.0) if mu is None else float(np.exp(mu))
        s = np.minimum(shift * sigmas / (1 + (shift - 1) * sigmas), NEARLY_ONE)
        return Grid(np.append(s / (1 - s), 0.0), s * c.get("num_train_timesteps"), False)
    top = np.inf if c.continuous else float(levels.schedule.rho(levels.schedule.t_max))
    if sigmas[0] > top * 1.001:
        raise ValueError(
            f"sigmas begin with {sigmas[0]:g}, and the noisiest level of this chain is {top:g}; the model knows no "
            "time beyond it."
        )
    rho = np.minimum(sigmas, top)
    return Grid(_ended(levels, rho), levels.time(rho), False, levels.start(rho[0]))


def of_plan(levels: Levels, plan: Plan, steps: int | None) -> tuple[Grid, Schedule]:
    """The levels of a plan that was built, where they are this model's; and its schedule."""
    if plan.prediction is None or plan.t.ndim != 1:
        raise ValueError(f"plan {plan.name!r} is no plan of a sampler with one grid; build one for this model.")
    if steps is not None and steps not in (plan.steps, plan.nfe):
        raise ValueError(
            f"num_inference_steps = {steps}, and the plan that was given makes {plan.steps} steps; ask for {plan.steps}"
            ", or name a sampler, which is built for any number."
        )
    its, ours = schedule_of(plan), levels.schedule
    check_belongs(plan, its)
    rho = np.asarray(its.rho(plan.t), np.float64)
    top = float(ours.rho(ours.t_max if not levels.configuration.flow else NEARLY_ONE))
    if rho[0] > 1.001 * top:
        raise ValueError(
            f"plan {plan.name!r} begins at sigma/alpha = {rho[0]:g}, and this model knows levels up to {top:g} alone; "
            "build it on this scheduler's own schedule: build(..., scheduler.schedule, ...)."
        )
    alpha, wanted = its.alpha(plan.t), ours.alpha(np.asarray(ours.t_of_rho(rho)))
    if not np.allclose(alpha, wanted, rtol=1e-3, atol=1e-6):
        raise ValueError(
            f"plan {plan.name!r} was built on {type(its).__name__}, whose samples have another scale than this model's "
            f"({type(ours).__name__}); build it on scheduler.schedule."
        )
    return Grid(rho, levels.time(rho[:-1]), False, levels.start(rho[0])), its


def checked_plan(plan: Plan) -> Plan:
    """A plan that a pipeline can run: one model of time and state, and no field beside them."""
    beside = [name for name in plan.consts if name != ONES]
    if beside or plan.models > 1 or any(row.args for pattern in plan.patterns for row in pattern.rows):
        what = f"the field {beside[0]!r}" if beside else "more than one model of t and x"
        raise ValueError(f"plan {plan.name!r} needs {what}, which a pipeline does not give; run it by plan.run_torch.")
    return plan


def calls_before(plan: Plan) -> np.ndarray:
    """How many calls were made when step n begins, (steps + 1,)."""
    return np.cumsum([0, *(n for s in plan.segments for n in [s.pattern.calls] * s.steps)])


def memoryless(plan: Plan) -> bool:
    """Does a step need nothing of those before it?"""
    return all(pattern.slots == ("x",) for pattern in plan.patterns)


def rest_of(plan: Plan, n: int) -> Plan:
    """The steps from n on, of a plan without memory."""
    segments, left = [], n
    for s in plan.segments:
        if left < s.steps:
            coef = tuple(c[left:] if c.shape[0] > 1 else c for c in s.coef)
            segments.append(replace(s, coef=coef, tau=s.tau[left:]))
        left = max(0, left - s.steps)
    return replace(plan, segments=tuple(segments), t=plan.t[n:])


def place(timestep: Any, times: Sequence[float]) -> list[int]:
    """The calls of this time."""
    flat = np.unique(np.asarray(getattr(timestep, "cpu", lambda: timestep)(), np.float64))
    if flat.size != 1:
        raise ValueError(f"timestep holds {flat.size} times; a plan moves all samples at once, so pass one.")
    t = float(flat[0])
    return [k for k, own in enumerate(times) if abs(t - own) <= 1e-6 + 1e-5 * abs(own)]


def _falling(name: str, values: Any, rising: bool = False) -> np.ndarray:
    values = np.asarray(getattr(values, "cpu", lambda: values)(), np.float64)
    if values.ndim != 1 or values.size == 0 or not np.all(np.isfinite(values)):
        raise ValueError(f"{name} = {values.tolist()!r}; give a list of at least one finite number.")
    d = np.diff(values)
    if np.any(d <= 0 if rising else d >= 0):
        k = int(np.argmax(d <= 0 if rising else d >= 0))
        raise ValueError(
            f"{name} must all {'rise' if rising else 'fall'}, from noise to data, and {name}[{k}] = {values[k]:g} is "
            f"followed by {values[k + 1]:g}."
        )
    return values


def _ended(levels: Levels, rho: np.ndarray) -> np.ndarray:
    """The grid with its end: 0, or the smallest level that the model was trained on."""
    c, schedule = levels.configuration, levels.schedule
    if c.get("final_sigmas_type", "zero") == "zero" and c.get("set_alpha_to_one") is not False:
        return np.append(rho, 0.0)
    low = levels.ends[0] if c.continuous else float(schedule.rho(schedule.t_min))
    return np.append(rho, min(low, rho[-1] * (1 - 1e-6)))
