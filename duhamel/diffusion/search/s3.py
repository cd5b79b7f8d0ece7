"""S3: search over the decisions of every step (Liu et al., arXiv 2312.07243).

A genome holds the inner noise levels and, for each step, the prediction, the order, the points of the derivatives, the
relaxation of the first one and whether the step is corrected: everything that `plans.usf` leaves free. Evolution starts
from the known solvers, which are genomes too, and measures what a cheap predictor finds promising.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from duhamel.rows.plan import Plan

from ..plans.grid import check_steps, time_grid
from ..plans.usf import Decision, Taylor, nearest, uniform, usf
from ..schedule import Schedule
from .evolve import evolve
from .found import Progress, silent

STARTS = ("lam", "t", "quadratic", "karras", "information", "dm-nonuniform")
MOST = 4  # values of a predictor


@dataclass(frozen=True)
class Recipe:
    """The best plan, its fitness and that of the best plan of one decision for all steps, which it began with."""

    plan: Plan
    value: float
    start: float
    uniform: Plan


@dataclass(frozen=True)
class Genome:
    """Inner noise levels as shares of the way in log-SNR, and a decision a step."""

    shares: tuple[float, ...]
    decisions: tuple[Decision, ...]


def search_recipe(
    fitness: Callable[[Plan], float],
    schedule: Schedule,
    steps: int,
    *,
    t_max: float | None = None,
    t_min: float | None = None,
    generations: int = 30,
    children: int = 20,
    predictor: bool = False,
    seed: int = 0,
    progress: Progress = silent,
) -> Recipe:
    """The plan of `steps` evaluations with the smallest fitness found.

    fitness  of a plan for the data: run it on noises that stay the same. Judge the result on others
    predictor  half of those measured are the most promising, to a kernel ridge regression, of eight times as many. It
             pays where a fitness costs much more than a plan; on mixtures it finds no more than chance does
    It begins with DDIM, DPM-Solver++(2M, 3M), DEIS and UniPC, each on every fixed grid; `generations * children` plans
    are measured after them.
    """
    steps = check_steps(steps)
    ends: dict[str, Any] = {"t_max": t_max, "t_min": t_min}
    corners = time_grid(schedule, 1, **ends)
    first, last = (float(schedule.lam(t)) for t in corners)

    def plan_of(genome: Genome) -> Plan:
        lam = first + (last - first) * np.array([0.0, *genome.shares, 1.0])
        ts = np.asarray(schedule.t_of_lam(lam))
        ts[[0, -1]] = corners
        return usf(schedule, ts, genome.decisions)

    def measured(genome: Genome) -> float:
        shares = np.array([0.0, *genome.shares, 1.0])
        return fitness(plan_of(genome)) if np.all(np.diff(shares) > 1e-4) else np.inf

    population = []
    for kind in STARTS:
        lam = np.asarray(schedule.lam(time_grid(schedule, steps, kind, **ends)))
        shares = tuple(float(s) for s in ((lam - first) / (last - first))[1:-1])
        population += [Genome(shares, tuple(d)) for d in _known(steps)]
    population = list(dict.fromkeys(population))  # with few steps some coincide
    found = evolve(
        measured,
        population,
        _vary,
        generations=generations,
        children=children,
        features=_features if predictor else None,
        seed=seed,
        progress=progress,
    )
    start = min(found.first)
    fixed = plan_of(population[found.first.index(start)])
    facts = {"search": "s3", "measured": found.measured, "seed": seed, "value": found.score, "start": start}
    best = plan_of(found.best)
    return Recipe(replace(best, name="s3", info={**best.info, **facts}), found.score, start, fixed)


def _known(steps: int) -> list[list[Decision]]:
    """DDIM, 2M, 3M, the noise in lambda and in t (DEIS), UniPC of order 1 to 3; some with low orders at the end."""
    options: list[dict[str, Any]] = [
        {"order": 1},
        *({"order": 2, "relax": "bh2", "lower_final": low} for low in (False, True)),
        *({"order": 3, "lower_final": low} for low in (False, True)),
        *({"order": p, "prediction": "noise"} for p in (2, 3)),
        *({"order": p, "prediction": "noise", "variable": "t"} for p in (2, 3, 4)),
        *({"order": p, "corrector": True, "lower_final": low} for p in (1, 2, 3) for low in (False, True)),
        {"order": 2, "corrector": True, "prediction": "noise"},
    ]
    return [uniform(steps, **o) for o in options]


def _vary(rng: np.random.Generator, a: Genome, b: Genome) -> Genome:
    """Steps of a, from some step on those of b; then levels are moved, or a decision is changed, or both."""
    steps = len(a.decisions)
    cut = int(rng.integers(1, steps + 1)) if rng.random() < 0.4 else steps
    decisions = [*a.decisions[:cut], *b.decisions[cut:]]
    shares = np.array(a.shares)
    if rng.random() < 0.3:
        blend = rng.random()
        shares = blend * shares + (1 - blend) * np.array(b.shares)
    kind = rng.random()
    if kind < 0.7 and steps > 1:
        width = 0.1 * 10.0 ** (-1.5 * rng.random()) / steps
        moved = shares + 4 * width * rng.standard_normal(steps - 1) * (rng.random(steps - 1) < max(0.3, 1.5 / steps))
        shares = np.sort(np.clip(moved, 1e-3, 1 - 1e-3))
    if kind > 0.4:
        n = int(rng.integers(steps))
        decisions[n] = _changed(rng, decisions[n], n, n == steps - 1)
    return Genome(tuple(float(s) for s in shares), tuple(decisions))


def _changed(rng: np.random.Generator, d: Decision, n: int, last: bool) -> Decision:
    """One of the choices of step n, anew."""
    what = rng.choice(["prediction", "order", "points", "relax", "corrector", "variable"])
    if what == "prediction":
        return replace(d, prediction="noise" if d.prediction == "data" else "data")
    if what == "order":
        order = int(rng.integers(1, min(MOST, n + 1) + 1))
        return replace(d, predict=nearest(order, variable=d.predict.variable))
    if what == "points" and n >= 1:
        deepest = int(rng.integers(1, min(MOST - 1, n) + 1))
        order = int(rng.integers(2, deepest + 2))  # fewer terms than values: a truncated series
        series = Taylor(order, (tuple(range(1, deepest + 1)),) * (order - 1), variable=d.predict.variable)
        return replace(d, predict=series)
    if what == "relax" and d.predict.order > 1:
        old = d.predict.relax if isinstance(d.predict.relax, float) else 0.0
        return replace(d, predict=replace(d.predict, relax=round(old + 0.1 * float(rng.standard_normal()), 4)))
    if what == "variable":
        variable = str(rng.choice(["lam", "t", "rho"]))
        return replace(d, predict=replace(d.predict, variable=variable))
    if what == "corrector" and not last:
        if d.correct is not None and rng.random() < 0.5:
            return replace(d, correct=None)
        order = int(rng.integers(2, min(MOST, n + 2) + 1))
        return replace(d, correct=nearest(order, ahead=True))
    return d


def _features(genome: Genome) -> list[float]:
    """Levels (they matter most), and of every step its choices as numbers."""
    out = [10.0 * s for s in genome.shares]
    for d in genome.decisions:
        relax = d.predict.relax if isinstance(d.predict.relax, float) else 0.0
        corrected = 0.0 if d.correct is None else float(d.correct.order)
        out += [float(d.prediction == "noise"), float(d.predict.order), float(d.predict.deepest), relax, corrected]
        out += [float(d.predict.variable == "t"), float(d.predict.variable == "rho")]
    return out
