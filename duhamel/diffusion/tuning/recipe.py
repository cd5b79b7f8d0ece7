"""A plan tuned for one network at one number of evaluations: the recipe that chooses by itself.

    1 noises   starts, and where the teacher (a fine plan, or an exact map) takes them; some are held out
    2 screen   every deterministic sampler of the registry on every grid, few noises for all, more for the best
    3 times    Levenberg-Marquardt on the timesteps of the best, their formulas following
    4 rows     dense tables by least squares along the teacher's path, at those times and on a few grids
    5 table    Levenberg-Marquardt on all numbers of the best two tables, and of the very best until nothing is gained

The loss is log(1 + |r|^2 / s^2): near a watershed of the flow a noise ends in another basin than its teacher,
whatever is tuned; squares would spend the plan on those few. Each stage is judged on the held-out noises and never
ends worse there than it began, so the result is never worse than the best published sampler.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np

from duhamel.rows.plan import Plan
from duhamel.rows.tune import Cases, Family, Progress, errors_of, fit

from ..denoiser import Denoiser
from ..plans.grid import check_steps
from ..plans.registry import build
from ..sampling import initial_noise
from ..schedule import Schedule
from .candidates import Candidate, candidates
from .dense import dense
from .families import table, times
from .regression import regressed
from .stages import Stages

SCALE = 3.0  # of the loss, in medians at the start of a stage: nearly squares for nine noises of ten

GRIDS = ("dm-nonuniform", "lam", "karras", "arctan")  # on which tables are regressed


@dataclass(frozen=True)
class Budget:
    """How much work the recipe does. The defaults take about two minutes on one core for the digits network.

    samples, held_out      noises fitted, and noises that judge; more than the table has numbers
    screen                 (noises, plans kept) of each round of the screening
    teacher                steps of the plan that makes the targets
    times, table, polish   iterations at most in each stage
    probes                 see `rows.tune.fit`
    """

    samples: int = 320
    held_out: int = 192
    screen: tuple[tuple[int, int], ...] = ((8, 100), (32, 12), (128, 2))
    teacher: int = 30
    times: int = 4
    table: int = 10
    polish: int = 30
    probes: int | None = 1


def tune(
    denoiser: Denoiser,
    schedule: Schedule,
    nfe: int,
    shape: Sequence[int],
    *,
    conditions: Any = None,
    teacher: Callable[[np.ndarray], np.ndarray] | None = None,
    seed: int = 0,
    t_max: float | None = None,
    t_min: float | None = None,
    budget: Budget | None = None,
    folder: str | Path | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Plan:
    """A plan of `nfe` evaluations that ends where the probability flow ends, as nearly as fits this denoiser.

        plan = tune(denoiser, EDM(0.01, 30.0), 8, (64,))

    denoiser    D(t, x) for x of shape (batch, *shape) and any batch; with `conditions`, denoiser(conditions) -> D
    shape       of one sample
    conditions  what the samples are conditioned on, such as labels: budget.samples + budget.held_out along axis 0
    teacher     x at t_max -> x at t_min, where the flow is known exactly; None: DPM-Solver++(3M) in many steps
    seed        of the noises; fold_in(key(seed), i) makes noise i
    folder      keeps every stage: a call that was killed goes on where it stopped
    progress    progress(what, share done)
    The plan's info["tuned"] says where it came from, and its held-out errors beside the best published sampler's.
    """
    nfe, budget = check_steps(nfe), budget or Budget()
    ends = (schedule.t_max if t_max is None else t_max, schedule.t_min if t_min is None else t_min)
    facts = {"nfe": nfe, "seed": seed, "shape": list(shape), "ends": list(ends), "schedule": repr(schedule)}
    stages = Stages(folder, facts | {"budget": json.loads(json.dumps(asdict(budget)))}, progress)
    stages.tell("noises and where they should end", 0.0)
    make = _Noises(denoiser, schedule, tuple(shape), conditions, budget, ends, seed)
    noises = replace(make, pair=stages.arrays("noises", lambda: make.drawn(teacher)))
    stages.tell("every sampler on every grid", 0.05)
    known = {c.label: c for c in candidates(schedule, nfe, *ends)}
    best, starts = _screened(noises, known, stages)
    moved = [_moved(noises, start, k, len(starts), stages) for k, start in enumerate(starts)]
    tables = _regressed(noises, moved, known, stages)
    tuned = [_tuned(noises, start, k, len(tables), stages) for k, start in enumerate(tables)]
    first = min(tuned, key=lambda plan: _score(errors_of(plan, None, noises.held_out)))
    stages.tell("polish", 0.7)
    last = stages.plan("polished", lambda: _fitted(noises, table(first, schedule), budget.polish, stages, 0.7, 0.98))
    plans = [best.table, *tuned, last]
    judged = [errors_of(plan, None, noises.held_out) for plan in plans]
    # among those that are no worse than the best published sampler where squares count
    no_worse = [k for k, errors in enumerate(judged) if _root_mean(errors) <= _root_mean(judged[0])]
    chosen = min(no_worse, key=lambda k: _score(judged[k]))
    provenance = {
        "from": best.label if chosen == 0 else plans[chosen].name,
        "improved": chosen > 0,
        "held_out": {"best published": best.label, "noises": budget.held_out} | _compared(judged[0], judged[chosen]),
        **facts,
    }
    stages.tell("done", 1.0)
    info = {key: value for key, value in best.plan.info.items() if key == "schedule"} | {"tuned": provenance}
    return replace(plans[chosen], name=f"tuned-{nfe}", info=info)


@dataclass(frozen=True)
class _Noises:
    """The starts and their ends, and the model that belongs to any stretch of them."""

    denoiser: Denoiser
    schedule: Schedule
    shape: tuple[int, ...]
    conditions: Any
    budget: Budget
    ends: tuple[float, float]
    seed: int
    pair: tuple[np.ndarray, ...] = ()

    def drawn(self, teacher: Callable | None) -> tuple[np.ndarray, np.ndarray]:
        top = self.ends[0]
        count = self.budget.samples + self.budget.held_out
        x = np.asarray(initial_noise(self.schedule, top, (count, *self.shape), jax.random.key(self.seed)))
        if teacher is not None:
            return x, np.asarray(teacher(x), x.dtype)
        fine = self.fine
        parts = np.array_split(np.arange(count), max(1, round(count / 256)))  # small batches stay in the caches
        return x, np.concatenate([np.asarray(fine.run(self.model(part), x[part])) for part in parts])

    @property
    def fine(self) -> Plan:
        """The teacher's plan."""
        top, bottom = self.ends
        steps = self.budget.teacher
        return build("dpmpp-3m", self.schedule, steps, grid="lam", t_max=top, t_min=bottom, terminal=False)

    def path(self) -> tuple[np.ndarray, np.ndarray]:
        """Times, and the states of the first noises there, (times, noises, ...): enough numbers for a regression."""
        count = min(self.budget.samples, int(np.clip(2**15 // max(1, np.prod(self.shape)), 32, 256)))
        fine = self.fine
        states = fine.run(self.model(np.arange(count)), self.pair[0][:count], save="steps")
        return np.asarray(fine.t), np.asarray(states)

    def model(self, which: np.ndarray) -> Denoiser:
        return self.denoiser if self.conditions is None else self.denoiser(np.asarray(self.conditions)[which])

    def cases(self, begin: int, count: int) -> Cases:
        which = np.arange(begin, begin + count)
        x, target = self.pair
        return Cases(x[which], target[which], models=self.model(which))

    @property
    def fitted(self) -> Cases:
        return self.cases(0, self.budget.samples)

    @property
    def held_out(self) -> Cases:
        return self.cases(self.budget.samples, self.budget.held_out)


def _screened(noises: _Noises, known: dict[str, Candidate], stages: Stages) -> tuple[Candidate, list[Candidate]]:
    """The best published sampler by held-out root mean square, and those to start from: best where most noises are."""

    def halve() -> tuple[np.ndarray, ...]:
        left = finalists = list(known)
        for count, keep in noises.budget.screen:
            cases = noises.cases(0, count)
            errors = {label: errors_of(known[label].table, None, cases) for label in left}
            typical = {label: _typical(e) for label, e in errors.items()}
            squares = {label: _root_mean(e) for label, e in errors.items()}
            # half by what most noises feel, the rest by squares: the two disagree near watersheds
            by_typical = sorted(left, key=typical.__getitem__)[: (keep + 1) // 2]
            by_squares = [label for label in sorted(left, key=squares.__getitem__) if label not in by_typical]
            by_squares = by_squares[: keep // 2]
            finalists, left = left, [*by_typical, *by_squares]
        judged = {label: _root_mean(errors_of(known[label].table, None, noises.held_out)) for label in finalists}
        return np.array([min(judged, key=judged.__getitem__), *left]), np.zeros(0)

    (best, *starts), _ = stages.arrays("screened", halve)
    return known[str(best)], [known[str(label)] for label in starts]


def _moved(noises: _Noises, start: Candidate, k: int, starts: int, stages: Stages) -> Plan:
    """Timesteps of one published sampler."""
    schedule, begin, share = noises.schedule, 0.2 + 0.1 * k / starts, 0.1 / starts
    stages.tell(f"timesteps of {start.label}", begin)
    formulas, theta = times(start.name, schedule, start.plan.t, **start.options)
    name = f"{start.label}, times moved"
    family = lambda theta: replace(dense(formulas(theta), schedule), name=name)  # noqa: E731
    fitted = lambda: _fitted(noises, (family, theta), noises.budget.times, stages, begin, begin + share)  # noqa: E731
    return stages.plan(f"times-{k}", fitted)


def _regressed(noises: _Noises, moved: list[Plan], known: dict[str, Candidate], stages: Stages) -> list[Plan]:
    """The best tables, as many as given, of those given, of the regressed ones at their times and on GRIDS."""
    stages.tell("rows along the teacher's path", 0.3)

    @cache
    def ranked() -> list[Plan]:
        on_grids = [replace(c.table, name=c.grid) for c in known.values() if c.name == "ddim" and c.grid in GRIDS]
        times, path = noises.path()
        denoiser = noises.model(np.arange(path.shape[1]))
        found = [(p.name, regressed(p, noises.schedule, denoiser, times, path)) for p in (*moved, *on_grids)]
        tables = [*moved, *(replace(p, name=f"rows regressed on {name}") for name, p in found if p is not None)]
        scores = [_score(errors_of(plan, None, noises.held_out)) for plan in tables]
        order = np.argsort(np.where(np.isfinite(scores), scores, np.inf))
        return [tables[k] for k in order]

    return [stages.plan(f"rows-{k}", lambda k=k: ranked()[k]) for k in range(len(moved))]


def _tuned(noises: _Noises, start: Plan, k: int, starts: int, stages: Stages) -> Plan:
    """The whole table, from a table."""
    begin, share = 0.35 + 0.35 * k / starts, 0.35 / starts
    stages.tell("table", begin)
    whole = lambda: _fitted(  # noqa: E731
        noises, table(start, noises.schedule), noises.budget.table, stages, begin, begin + share
    )
    return stages.plan(f"table-{k}", whole)


def _fitted(
    noises: _Noises, start: tuple[Family, np.ndarray], iterations: int, stages: Stages, begin: float, end: float
) -> Plan:
    def tell(p: Progress) -> None:
        share = begin + (end - begin) * p.iteration / p.iterations
        stages.tell(f"iteration {p.iteration}, held-out error {p.error:.3g}", share)

    cases = noises.fitted
    family, theta = start
    plan = family(theta)
    median = float(np.median(errors_of(plan, None, cases)))
    if median == 0:  # it ends where the teacher ends
        return plan
    found = fit(
        family,
        theta,
        cases.models,
        cases.x,
        cases.target,
        held_out=noises.held_out,
        loss="log",
        scale=SCALE * median,
        judge="loss",
        iterations=iterations,
        patience=6,
        tolerance=0.0,
        probes=noises.budget.probes,
        progress=tell,
    )
    return found.plan


def _compared(before: np.ndarray, after: np.ndarray) -> dict[str, list[float]]:
    return {
        "rms": [_root_mean(before), _root_mean(after)],
        "median": [float(np.median(before)), float(np.median(after))],
    }


def _typical(errors: np.ndarray) -> float:
    """The geometric mean: unlike the root mean square it is not made by the few noises near a watershed."""
    return float(np.exp(np.mean(np.log(np.maximum(errors, 1e-300)))))


def _score(errors: np.ndarray) -> float:
    """What most noises feel and what squares say, weighed equally."""
    return float(np.sqrt(_typical(errors) * _root_mean(errors)))


def _root_mean(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(errors**2)))
