"""Align Your Steps: noise levels that make a bound on the reverse SDE small."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .card import Card, Context, Measurement, Verdict, in_turn

END = 0.03  # rho where all grids end
GRIDS = ("karras", "lam", "t")


def check(context: Context) -> Sequence[Measurement]:
    return in_turn(context, (_gaussian, _mixture))


def _gaussian(context: Context) -> list[Measurement]:
    import jax

    from duhamel.diffusion.compare import on_host
    from duhamel.diffusion.exact import gaussian
    from duhamel.diffusion.schedule import EDM
    from duhamel.diffusion.search.ays import Klub, align, gaussian_klub, information_levels

    schedule, c2, d = EDM(), 0.5, 3
    data = gaussian(schedule, np.zeros(d), c2)
    model = on_host(data.denoiser, schedule, "data")
    x = np.asarray(data.sample(jax.random.key(0), 2000 if context.fast else 24000))
    bound, apart = Klub(model, x, schedule), []
    for rho in (np.geomspace(60.0, END, 7), information_levels(60.0, END, 6, c2)):
        apart.append(abs(bound(rho) / gaussian_klub(rho, c2, d) - 1))
    excess = []
    for steps in (6,) if context.fast else (5, 10, 20):
        found = align(model, x, schedule, steps, t_min=END, sweeps=2 if context.fast else 3)
        best = gaussian_klub(information_levels(schedule.t_max, END, steps, c2), c2, d)
        excess.append(gaussian_klub(found.ts, c2, d) / best - 1)
    return [
        Measurement(
            "Gaussian data: Monte Carlo bound against its closed form, largest relative difference",
            max(apart),
            high=0.03,
            note="d/2 sum (r - 1 - log r), r the ratio of 1 + c^2/rho^2 over a step",
        ),
        Measurement(
            "Gaussian data: bound of the optimised grid above the closed optimum, largest",
            max(excess),
            high=0.01,
            note="the optimum makes all ratios r equal",
        ),
    ]


def _mixture(context: Context) -> list[Measurement]:
    """Six modes: bound, energy distance of stochastic samplers, RMS error of those of the ODE, against three grids."""
    import jax

    from duhamel.diffusion.plans.grid import time_grid
    from duhamel.diffusion.plans.registry import build
    from duhamel.diffusion.schedule import EDM
    from duhamel.diffusion.search.ays import Klub, align
    from duhamel.diffusion.search.distances import energy_to

    from .planar import Bench, six_modes

    schedule = EDM()
    data = six_modes(schedule)
    bench = Bench(data, points=500 if context.fast else 3000, t_min=END, reference=300)
    x = np.asarray(data.sample(jax.random.key(1), 400 if context.fast else 2000))
    judge = Klub(bench.models["data"], np.asarray(data.sample(jax.random.key(2), 1000)), schedule, 7)
    distance = energy_to(np.asarray(data.sample(jax.random.key(3), 1500 if context.fast else 6000, END)))
    stochastic: list[tuple[str, dict[str, Any]]] = [("ddim", {"eta": 1.0}), ("sde-dpmpp-2m", {})]
    ode: list[tuple[str, dict[str, Any]]] = [("ddim", {}), ("dpmpp-2m", {}), ("unipc", {}), ("deis-tab", {})]
    wins: dict[str, list[bool]] = {"bound": [], "sde": [], "ode": [], "linear": []}
    for steps in (5, 8) if context.fast else (5, 8, 10, 20):
        context.progress(f"{steps} steps", 0.5)
        found = align(bench.models["data"], x, schedule, steps, t_min=END, sweeps=1 if context.fast else 3)
        grids = [found.ts, *(time_grid(schedule, steps, kind, t_min=END) for kind in GRIDS)]
        wins["bound"].append(_first(judge, [schedule.rho(ts) for ts in grids]))
        for name, options in stochastic:
            plans = [build(name, schedule, ts=ts, **options) for ts in grids]
            wins["sde"].append(_first(lambda plan: distance(_end(bench, plan)), plans))
        for name, options in ode:
            plans = [build(name, schedule, ts=ts, **options) for ts in grids]
            wins["ode"].append(_first(bench.error, plans))
            wins["linear"].append(_first(bench.error, [plans[0], plans[-1]]))
    why = (
        "exact scores: the bound spends its steps where the reverse SDE is hard, near the end, and makes the first one "
        "enormous; on the ODE, uniform log-SNR is the better grid for most"
    )
    return [
        Measurement(
            "six modes: share of step numbers where its bound is below that of EDM's, the log-SNR and the linear grid",
            float(np.mean(wins["bound"])),
            low=0.8,
            note="on samples the optimiser has not seen",
        ),
        Measurement(
            "stochastic samplers: share of (sampler, steps) with an energy distance below all three grids'",
            float(np.mean(wins["sde"])),
            low=0.8,
            note="DDIM with eta = 1, SDE-DPM-Solver++(2M)",
        ),
        Measurement(
            "samplers of the ODE: share of (sampler, steps) with an RMS error below all three grids'",
            float(np.mean(wins["ode"])),
            low=0.8,
            note=why,
        ),
        Measurement("the same below the linear grid's alone", float(np.mean(wins["linear"])), low=0.8),
    ]


def _first(value: Callable[[Any], float], things: Sequence[Any]) -> bool:
    """Whether the first has the smallest value."""
    own, *others = (value(thing) for thing in things)
    return own < min(others)


def _end(bench: Any, plan: Any) -> np.ndarray:
    from duhamel.rows.host import march

    rng = np.random.default_rng(3)
    draw = lambda n, d: rng.standard_normal(bench.x.shape)  # noqa: E731
    *_, last = march(plan, bench.models[plan.prediction], {"x": bench.x}, draw=draw)
    return last["x"]


card = Card(
    id="align-your-steps",
    claim="Noise levels that minimise the bound are, for Gaussians, the closed optimum; on other data they lower the "
    "bound and the error of the end against EDM's, the log-SNR and the linear grid in most cases, for stochastic "
    "samplers and for those of the ODE.",
    source="Sabour, Fidler and Kreis, Align Your Steps: Optimizing Sampling Schedules in Diffusion Models, 2024, "
    "arXiv 2404.14507",
    check=check,
    expects=Verdict.in_part,
    seconds=60,
)
