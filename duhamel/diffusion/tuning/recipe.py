"""A plan tuned for one network at one number of evaluations: the recipe that chooses by itself.

    1 noises   starts, and where the teacher (a fine plan, or an exact map) takes them; some are held out
    2 screen   every deterministic sampler of the registry on every grid, few noises for all, more for the best
    3 times    tables by least squares along the teacher's path on a few grids; the times of the best, moved
    4 table    Levenberg-Marquardt on all numbers of each table, then on the best

The loss is log(1 + |r|^2 / s^2): near a watershed of the flow a noise ends in another basin than its teacher,
whatever is tuned; squares would spend the plan on those few. The result is chosen on the held-out noises, where it is
never worse than the best published sampler.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from duhamel.rows.plan import Plan
from duhamel.rows.tune import Cases, Progress, errors_of, fit_batches

from ..denoiser import Denoiser
from ..plans.grid import check_steps
from ..plans.registry import build
from ..sampling import initial_noise
from ..schedule import Schedule
from .candidates import Candidate, candidates, grids_between
from .families import table
from .regression import Teacher
from .stages import Stages

SCALE = 3.0  # of the loss, in medians at the start of a stage: nearly squares for nine noises of ten

GRIDS = ("lam", "karras", "dm-nonuniform", "arctan")  # on which tables are regressed first

CHUNK = 8  # tangents of a Jacobian at a time


@dataclass(frozen=True)
class Budget:
    """How much work the recipe does. The defaults take about two minutes on one core for the digits network.

    samples, held_out   noises fitted, and noises that judge; more than the table has numbers
    screen              (noises, plans kept) of each round of the screening; all held-out noises judge the last ones
    teacher             steps of the plan that makes the targets, whose error should be small beside the pupil's
    path                of the fitted noises, those along whose paths rows are regressed
    starts              grids whose times are moved
    times               iterations at most on the times of each
    trial, table        iterations at most on each of the tables, and then on the best of them
    batch               noises at a time; 16 keep a small network's tangents in a core's caches, a model that costs
                        nothing should have all
    """

    samples: int = 224
    held_out: int = 192
    screen: tuple[tuple[int, int], ...] = ((8, 100), (32, 12))
    teacher: int = 60
    path: int = 128
    starts: int = 2
    times: int = 14
    trial: int = 2
    table: int = 4
    batch: int = 16


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
    best = _screened(noises, {c.label: c for c in candidates(schedule, nfe, *ends)}, stages)
    rows = _regressed(noises, nfe, stages)
    tried = [
        _fitted(noises, plan, f"table-{k}", budget.trial, stages, 0.5 + 0.25 * k / len(rows), 0.25 / len(rows))
        for k, plan in enumerate(rows)
    ]
    first = min(tried, key=lambda plan: _score(errors_of(plan, None, noises.held_out)))
    last = _fitted(noises, first, "table", budget.table, stages, 0.75, 0.2)
    plans = [best.table, *rows, *tried, last]
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
        ends = np.concatenate([np.asarray(fine.run(self.model(part), x[part])) for part in parts])
        if not np.all(np.isfinite(ends)):
            raise ValueError(
                "denoiser leads some noises to NaN or infinity in fine steps; check it between t_max and t_min."
            )
        return x, ends

    @property
    def fine(self) -> Plan:
        """The teacher's plan."""
        top, bottom = self.ends
        steps = self.budget.teacher
        return build("dpmpp-3m", self.schedule, steps, grid="lam", t_max=top, t_min=bottom, terminal=False)

    def teacher(self) -> Teacher:
        """The paths of the first noises. They end where the targets are, should these come from elsewhere."""
        part = np.arange(min(self.budget.samples, self.budget.path))
        fine, model = self.fine, self.model(part)
        x, target = (side[part] for side in self.pair)
        path = np.asarray(fine.run(model, x, save="steps"))
        return Teacher(self.schedule, model, np.asarray(fine.t), np.concatenate([path[:-1], target[None]]))

    def model(self, which: np.ndarray) -> Denoiser:
        return self.denoiser if self.conditions is None else self.denoiser(np.asarray(self.conditions)[which])

    def cases(self, begin: int, count: int) -> list[Cases]:
        x, target = self.pair
        whole = np.arange(begin, begin + count)
        parts = np.array_split(whole, max(1, round(count / self.budget.batch)))
        return [Cases(x[part], target[part], models=self.model(part)) for part in parts]

    @cached_property
    def fitted(self) -> list[Cases]:
        return self.cases(0, self.budget.samples)

    @cached_property
    def held_out(self) -> list[Cases]:
        return self.cases(self.budget.samples, self.budget.held_out)


def _screened(noises: _Noises, known: dict[str, Candidate], stages: Stages) -> Candidate:
    """The best published sampler by held-out root mean square."""

    def halve() -> tuple[np.ndarray, ...]:
        left = list(known)
        for count, keep in noises.budget.screen:
            cases = noises.cases(0, count)
            errors = {label: errors_of(known[label].table, None, cases) for label in left}
            typical = {label: _typical(e) for label, e in errors.items()}
            squares = {label: _root_mean(e) for label, e in errors.items()}
            # half by what most noises feel, the rest by squares: few noises know little of the worst
            by_typical = sorted(left, key=typical.__getitem__)[: (keep + 1) // 2]
            by_squares = [label for label in sorted(left, key=squares.__getitem__) if label not in by_typical]
            left = [*by_typical, *by_squares[: keep // 2]]
        judged = {label: _root_mean(errors_of(known[label].table, None, noises.held_out)) for label in left}
        return (np.array(min(judged, key=judged.__getitem__)),)

    (best,) = stages.arrays("screened", halve)
    return known[str(best)]


def _regressed(noises: _Noises, nfe: int, stages: Stages) -> list[Plan]:
    """Tables regressed along the teacher's path at times moved from the best of GRIDS."""
    stages.tell("rows along the teacher's path", 0.25)
    budget, (top, bottom) = noises.budget, noises.ends

    @cache
    def teacher() -> Teacher:
        return noises.teacher()

    @cache
    def ranked() -> list[tuple[str, np.ndarray]]:
        found = []
        for grid, times in grids_between(noises.schedule, nfe, top, bottom, GRIDS):
            errors = np.sqrt(np.mean(teacher().regressed(times)[1] ** 2, axis=1))
            found.append((_score(errors), grid, times))
        return [(grid, times) for _, grid, times in sorted(found, key=lambda entry: entry[0])]

    def moved(k: int) -> Plan:
        grid, times = ranked()[k]
        stages.tell(f"times moved from {grid}", 0.25 + 0.25 * k / budget.starts)
        plan, _ = teacher().regressed(teacher().best_times(times, SCALE, budget.times))
        return replace(plan, name=f"rows regressed on {grid}, times moved")

    starts = min(budget.starts, len(grids_between(noises.schedule, nfe, top, bottom, GRIDS)))
    return [stages.plan(f"rows-{k}", lambda k=k: moved(k)) for k in range(starts)]


def _fitted(
    noises: _Noises, start: Plan, name: str, iterations: int, stages: Stages, begin: float, share: float
) -> Plan:
    """The whole table, from a table."""

    def tell(p: Progress) -> None:
        done = begin + share * p.iteration / p.iterations
        stages.tell(f"{name}, iteration {p.iteration}, held-out error {p.error:.3g}", done)

    def make() -> Plan:
        median = float(np.median(errors_of(start, None, noises.fitted)))
        if median == 0:  # it ends where the teacher ends
            return start
        return fit_batches(
            *table(start, noises.schedule),
            noises.fitted,
            noises.held_out,
            loss="log",
            scale=SCALE * median,
            judge="loss",
            iterations=iterations,
            patience=6,
            tolerance=0.0,
            chunk=CHUNK,
            progress=tell,
        ).plan

    stages.tell(name, begin)
    return stages.plan(name, make)


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
