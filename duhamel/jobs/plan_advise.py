"""`duhamel plan advise`: which sampler on which grid, by the table of measurements or on a model of your own."""

import importlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from duhamel.diffusion import digits
from duhamel.diffusion.advice import CONTENDERS, Advice, advise
from duhamel.diffusion.compare import on_host
from duhamel.diffusion.discrete_vp import DiscreteVP
from duhamel.diffusion.schedule import EDM, Schedule
from duhamel.report.console import say
from duhamel.report.nearest import nearest
from duhamel.report.record import Record, check_json, write_json

from .plan import schedule_named

OURS = ("digits", "mixture")


def advise_plan(
    schedule: str,
    calls: Sequence[int],
    predicts: str | None = None,
    model: str | None = None,
    shape: Sequence[int] = (),
    noises: int = 128,
    contenders: int = CONTENDERS,
    json: Path | None = None,
) -> list[Advice]:
    """Print the advice for each number of calls: sampler, grid, expected ratios, and the line that builds it."""
    check_json(json)
    if noises < 8:
        raise ValueError(f"noises = {noises}; fewer than 8 say nothing, and 128 are usual.")
    where = _schedule(schedule, model)
    told: dict[str, Any] = {"predicts": predicts}
    if model is not None:
        call, shape, own = _model(model, tuple(shape), where)
        if predicts is None and own is None:
            raise ValueError(f"say what {model} returns: --predicts data, noise, score, velocity or flow.")
        z = np.random.default_rng(0).standard_normal((noises, *shape))
        told = {"predicts": predicts or own, "model": call, "contenders": contenders}
        told["x"] = z * float(where.sigma(np.float64(where.t_max)))
    found, start = [], time.perf_counter()
    for n in calls:
        found.append(advise(where, n, **told))
        say(str(found[-1]))
    if model is not None:
        say(f"Measured on {noises} noises in {time.perf_counter() - start:.1f} s.")
    else:
        say("No rule is best on every network: --model MODULE:FUNCTION measures these contenders on yours.")
    if json is not None:
        write_json(json, [_record(one) for one in found])
    return found


def _schedule(name: str, model: str | None) -> Schedule:
    if model in OURS:
        return EDM(*digits.SIGMA_RANGE)
    if name.lower() == "chain":
        return DiscreteVP.from_betas(np.linspace(1e-4, 0.02, 1000))
    return schedule_named(name)


def _model(said: str, shape: tuple[int, ...], schedule: Schedule) -> tuple[Callable, tuple[int, ...], str | None]:
    """F(t, x) on NumPy arrays, the shape of a sample, and what F returns where that is known."""
    if said == "mixture":
        return on_host(digits.class_gaussians(schedule).denoiser, schedule, "data"), (64,), "data"
    if said == "digits":
        return _digits(schedule), (8, 8), "data"
    module, _, name = said.partition(":")
    if not name:
        raise ValueError(f"no model is called {said!r}; {nearest(said, OURS)} Your own is MODULE:FUNCTION.")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"--model {said}: {error}; name a module on the path, and a function F(t, x) in it.") from None
    if not shape:
        raise ValueError(f"say what shape a sample of {said} has, such as --shape 1 28 28.")
    return lambda t, x: np.asarray(found(t, x)), shape, getattr(found, "prediction", None)


def _digits(schedule: Schedule) -> Callable:
    """The network that ships, sample k of a batch asked for the digit k modulo 10."""
    import equinox as eqx

    network, compiled = digits.load(), {}

    def call(t: Any, x: np.ndarray) -> np.ndarray:
        if len(x) not in compiled:
            compiled[len(x)] = eqx.filter_jit(digits.conditioned(network, np.arange(len(x)) % 10, schedule))
        return np.asarray(compiled[len(x)](np.float32(t), np.asarray(x, np.float32)), np.float64)

    return call


def _record(advice: Advice) -> Record:
    values = sorted(advice.ratios.values()) or [float("nan")]
    return Record(
        f"{advice.calls} calls",
        float(np.median(values)),
        "",
        advice.measured[0][1] if advice.measured else None,
        {
            "sampler": advice.contender.name,
            "options": dict(advice.contender.options),
            "grid": advice.contender.grid,
            "end": advice.contender.end,
            "code": advice.code,
            "ratios": dict(advice.ratios),
            "measured": [{"contender": c.label, "error": e} for c, e in advice.measured],
        },
    )
