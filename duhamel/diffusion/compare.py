"""Samplers against the exact probability flow of a one-dimensional mixture: how wrong is who, after how many calls."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from duhamel.core.precision import enable_x64
from duhamel.rows.host import march
from duhamel.rows.plan import Plan

from .denoiser import Denoiser, as_prediction
from .mixture1d import Mixture1D
from .plans.registry import build, find
from .schedule import EDM, Prediction, Schedule

# label: (name in the registry, options)
CONTENDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "DDIM": ("ddim", {}),
    "EDM Heun": ("heun", {"terminal": False}),
    "DPM-Solver-3 (fast)": ("dpm-solver-fast", {}),
    "DPM-Solver++(2M)": ("dpmpp-2m", {}),
    "DPM-Solver++(3M)": ("dpmpp-3m", {}),
    "UniPC-2": ("unipc", {"order": 2}),
    "UniPC-3": ("unipc", {"order": 3}),
    "DEIS-tAB3": ("deis-tab", {"order": 3}),
    "iPNDM-4": ("ipndm", {"order": 4}),
}


def three_peaks(schedule: Schedule) -> Mixture1D:
    """The mixture of the comparison: three peaks of different weight and width in [-2.5, 2.5]."""
    return Mixture1D(schedule, np.array([0.3, 0.5, 0.2]), np.array([-2.0, 0.5, 1.5]), np.array([0.2, 0.4, 0.3]) ** 2)


def compare_plans(
    contenders: Mapping[str, tuple[str, Mapping[str, Any]]] = CONTENDERS,
    nfes: Sequence[int] = (5, 8, 10, 15, 20, 40),
    *,
    data: Mixture1D | None = None,
    points: int = 1000,
) -> list[dict[str, Any]]:
    """One record for each contender and budget: label, name, budget, nfe (never above the budget), steps, error.

    error  root mean square of plan(x_T) - F_0^-1(F_T(x_T)) over `points` equally likely starts, in the units of x; both
           end at the schedule's t_min. Schedule and mixture: EDM, `three_peaks`, unless `data` is given.
    """
    data = three_peaks(EDM()) if data is None else data
    schedule = data.schedule
    plans = {
        (label, budget): within(budget, name, schedule, options)
        for label, (name, options) in contenders.items()
        for budget in nfes
    }
    if noisy := [label for (label, _), plan in plans.items() if plan.draws]:
        raise ValueError(f"{noisy[0]} draws noise, so that its end points have no exact values; switch it off.")
    x = data.quantile((np.arange(points) + 0.5) / points, schedule.t_max)
    exact = data.quantile_map(x, schedule.t_max, schedule.t_min)
    models = {p: on_host(data.denoiser, schedule, p) for p in get_args(Prediction)}
    records = []
    for (label, budget), plan in plans.items():
        *_, last = march(plan, models[plan.prediction or "data"], {"x": x})
        error = float(np.sqrt(np.mean((last["x"] - exact) ** 2)))
        counts = {"budget": budget, "nfe": plan.nfe, "steps": plan.steps}
        records.append({"label": label, "name": contenders[label][0], **counts, "error": error})
    return records


def named(names: Sequence[str]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Contenders by their names in the registry, "unipc" or "unipc:2" for its order 2, with their noise off."""
    contenders: dict[str, tuple[str, dict[str, Any]]] = {}
    for text in names:
        name, _, order = text.partition(":")
        options = {"terminal": False, **find(name).still}
        if order:
            if not order.isdecimal():
                raise ValueError(f"{text!r}: after the colon stands the order, a whole number, such as unipc:2.")
            options["order"] = int(order)
        contenders[text] = (name, options)
    return contenders


def within(budget: int, name: str, schedule: Schedule, options: Mapping[str, Any] | None = None) -> Plan:
    """The plan with the most steps that calls the model at most `budget` times."""
    how: dict[str, Any] = {"short": True, **(options or {})}
    for steps in range(budget, 0, -1):
        plan = build(name, schedule, steps, **how)
        if plan.nfe <= budget:
            return plan
    raise ValueError(f"{name} needs more than {budget} evaluations for a single step.")


def on_host(denoiser: Denoiser, schedule: Schedule, prediction: Prediction) -> Callable[[Any, Any], np.ndarray]:
    """A denoiser as `prediction`, on NumPy arrays in float64: one compiled call, whatever plan makes it."""
    call = eqx.filter_jit(as_prediction(denoiser, schedule, prediction))

    def model(t: Any, x: Any) -> np.ndarray:
        with enable_x64(True):  # the user's own precision is left alone
            return np.asarray(call(jnp.asarray(t, jnp.float64), jnp.asarray(x, jnp.float64)))

    return model
