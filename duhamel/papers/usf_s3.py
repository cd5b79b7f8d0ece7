"""USF and S3: decisions that differ from step to step, found by evolution."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .card import Card, Context, Measurement, Verdict, in_turn

# Deterministic samplers of one evaluation a step, with their options: everything a fixed solver may be.
FIXED: list[tuple[str, dict[str, Any]]] = [
    ("ddim", {}),
    *(("deis-tab", {"order": q}) for q in (1, 2, 3)),
    *(("deis-rho-ab", {"order": q}) for q in (1, 2, 3)),
    *(("dpmpp-2m", {"lower_final": low}) for low in (False, True)),
    *(("dpmpp-3m", {"lower_final": low}) for low in (False, True)),
    *(("unipc", {"order": p, "lower_final": low}) for p in (1, 2, 3) for low in (False, True)),
    ("unipc", {"order": 2, "prediction": "noise"}),
    *(("ipndm", {"order": p}) for p in (2, 3, 4)),
    ("ge", {}),
]
GRIDS = ("lam", "t", "quadratic", "karras", "polyexponential", "beta", "arctan", "information", "dm-nonuniform")


def check(context: Context) -> Sequence[Measurement]:
    return in_turn(context, (_identities, _search))


def _identities(context: Context) -> list[Measurement]:
    from duhamel.diffusion.plans.grid import time_grid
    from duhamel.diffusion.plans.registry import build
    from duhamel.diffusion.plans.usf import uniform, usf
    from duhamel.diffusion.schedule import EDM, VP
    from duhamel.rows.canonical import distance

    worst = 0.0
    known: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
        ({"order": 1}, "ddim", {}),
        ({"order": 2, "relax": "bh2"}, "dpmpp-2m", {}),
        *(({"order": q + 1, "prediction": "noise", "variable": "t"}, "deis-tab", {"order": q}) for q in (1, 2, 3)),
        *(({"order": p, "corrector": True, "relax": "bh2"}, "unipc", {"order": p}) for p in (1, 2, 3)),
    ]
    for schedule in (VP(), EDM()):
        ts = time_grid(schedule, 8)
        for forced, name, options in known:
            plans = usf(schedule, ts, uniform(8, **forced)), build(name, schedule, ts=ts, **options)
            worst = max(worst, distance(*plans, schedule.alpha, schedule.sigma))
    return [
        Measurement(
            "uniform decisions against DDIM, DPM-Solver++(2M), DEIS tAB 1-3 and UniPC 1-3: largest relative difference "
            "of any coefficient",
            worst,
            high=1e-10,
        )
    ]


def _search(context: Context) -> list[Measurement]:
    """Searched on some noises, judged on others, against the best of all fixed solvers and grids on those."""
    from duhamel.diffusion.schedule import EDM, VP
    from duhamel.diffusion.search.s3 import search_recipe

    from .planar import Bench, six_modes

    found, gains = [], []
    for schedule in (EDM(),) if context.fast else (VP(), EDM()):
        bench = Bench(six_modes(schedule), points=700 if context.fast else 1500, t_min=schedule.t_min, reference=300)
        fitness, held = _error(bench, slice(0, 200)), _error(bench, slice(200, None))
        kind = type(schedule).__name__
        for steps in (5, 10):
            context.progress(f"{kind}, {steps} evaluations", 0.5)
            grids = GRIDS[::2] if context.fast else GRIDS
            fixed = min(held(bench.build(n, steps, grid=g, **o)) for n, o in FIXED for g in grids)
            options: dict[str, Any] = {"generations": 12 if context.fast else 40}
            recipe = search_recipe(fitness, schedule, steps, **options)
            found.append(
                Measurement(
                    f"{kind}, {steps} evaluations: end error of the searched schedule over the best fixed solver and "
                    "grid's, noises of neither",
                    held(recipe.plan) / fixed,
                    high=0.8,
                    note=f"{held(recipe.plan):.3g} against {fixed:.3g}, the best of {len(FIXED) * len(grids)}",
                )
            )
            if steps == 5 or not context.fast:
                ranked = search_recipe(fitness, schedule, steps, predictor=True, **options)
                gains.append(np.log(held(ranked.plan) / held(recipe.plan)))
    return [
        *found,
        Measurement(
            "searched with a predictor over without, equal numbers of measured schedules: error, geometric mean",
            float(np.exp(np.mean(gains))),
            high=1.0,
            note="kernel ridge regression on the decisions ranks eight times as many proposals; it saves nothing where "
            "a schedule is measured in milliseconds",
        ),
    ]


def _error(bench: Any, part: slice) -> Callable[[Any], float]:
    from duhamel.rows.host import march

    def error(plan: Any) -> float:
        *_, last = march(plan, bench.models[plan.prediction], {"x": bench.x[part]})
        return float(np.sqrt(np.mean(np.sum((last["x"] - bench.truth[part]) ** 2, axis=1))))

    return error


card = Card(
    id="usf-s3",
    claim="Every step may choose its level, prediction, order, derivative estimator and corrector; forced to agree, "
    "they are the known samplers, and searched they beat the best fixed one at 5 and 10 evaluations by 20 % and more.",
    source="Liu, Ning, Lin, Yang and Wang, A Unified Sampling Framework for Solver Searching of Diffusion "
    "Probabilistic Models, 2023, arXiv 2312.07243",
    check=check,
    expects=Verdict.in_part,
    seconds=100,
)
