"""The table of `duhamel.diffusion.advise`: which sampler on which grid ends nearest to the flow, network by network.

Networks: `advice_networks`. The truth of each is UniPC-3 in 240 steps on its own flow, from the same noises; a plan that
ends in sigma = 0 is held against the network's word at the truth's end. Errors are root mean squares over the spread
of the samples, without the worst 2 % of the noises: near a watershed of the flow a noise ends in another basin, one of
a thousand that does so outweighs all others, and who is spared by it is luck. `rms` keeps them.

`search` tries every deterministic sampler of the registry in all its orders, UniPC in three variables, with and without
lower final orders, on every grid with all its ends: 8 noises for all, 64 for those within 2.2 of the best, 256 for the
best 25. A *contender* is what came out first on some network, or near the first on several. `run` measures all
contenders on all networks, on 512 noises that the search has not seen, and judges the advice:

    in the table   the advised contender over the best of all, on a network the advice knows
    left out       the same, advised without that network
    measured       the best of 24 contenders, ranked without that network, on 64 other noises: advise(model=...)

Asked: at most 1.15 everywhere. An hour of one core with the training; `quick` takes two exact models and 64 noises.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from duhamel.diffusion.advice import CONTENDERS, Table, as_clean, ranked, run_on, table, trimmed
from duhamel.diffusion.plans.contenders import LEVELS, STRAIGHT, WHOLE, Contender
from duhamel.diffusion.plans.grid import GRIDS, PUBLISHED
from duhamel.diffusion.plans.registry import SAMPLERS, build
from duhamel.rows.canonical import affine
from duhamel.rows.plan import Plan

from .advice_networks import Subject, subjects

CALLS = (5, 6, 8, 10, 20)
NOISES, BATCH = 512, 256
SCREEN = ((8, 2.2, 60), (64, 1.5, 25), (256, 1.5, 25))  # noises, how far behind the best, how many go on
SAME = ("dpm-solver-fast", "dpm-solver-v3", "usf", "dc-solver", "restart")  # others of the list, until they are fitted
KARRAS, LAM = Contender("ipndm", {"order": 4}, "karras", "t_min"), Contender("unipc", {"order": 3}, "lam", "t_min")
YESTERDAY = {5: KARRAS, 6: KARRAS, 8: LAM, 10: LAM, 20: LAM}  # what docs/samplers.md said before there was a table
COLUMNS = {
    "": "name",
    "best of all": "best",
    "its error": "best_error",
    "in the table": "value",
    "left out": "left_out",
    "measured": "measured",
    "rules of before": "before",
}
CAPTION = "The advised sampler's error over that of the best of all samplers on all grids; 1 is the best."


def run(
    *, quick: bool = False, progress: Callable[[str], None] | None = None, folder: Path | None = None
) -> list[dict]:
    """Records of every network and number of calls. folder: keeps the weights of trained networks."""
    say = progress or (lambda text: None)
    some = subjects(("plane-vp", "plane-flow") if quick else None, folder=folder, say=say)
    found = []
    for calls in CALLS[:1] if quick else CALLS:
        measured = measure_all(some, calls, table(calls).contenders, noises=64 if quick else NOISES, say=say)
        found += [record(measured, subject, say) for subject in some]
    return found


# ---- the models


def as_model(subject: Subject, wanted: str | None) -> Callable:
    """The subject's call as another prediction, each being u x + w D."""
    schedule = subject.schedule

    def model(t: Any, x: np.ndarray) -> np.ndarray:
        F = subject.call(t, x)
        if wanted == subject.predicts:
            return F
        alpha, sigma = float(schedule.alpha(np.float64(t))), float(schedule.sigma(np.float64(t)))
        (u, w), (v, q) = affine(subject.predicts, alpha, sigma), affine(wanted, alpha, sigma)
        return v * x + q * (F - u * x) / w

    return model


def noises(subject: Subject, count: int, seed: int) -> np.ndarray:
    z = np.random.default_rng(seed).standard_normal((count, *subject.shape))
    return z * float(subject.schedule.sigma(np.float64(subject.schedule.t_max)))


def ends(subject: Subject, plan: Plan, x: np.ndarray) -> np.ndarray:
    """In batches of always the same samples, for labels go by their place in the batch."""
    model = as_model(subject, plan.prediction)
    return np.concatenate([run_on(plan, model, x[k : k + BATCH]) for k in range(0, len(x), BATCH)])


class Truth:
    """Noises of a subject, and where its flow takes them: to t_min, and to the network's word there."""

    def __init__(self, subject: Subject, count: int, seed: int, steps: int = 240) -> None:
        self.subject, self.x = subject, noises(subject, count, seed)
        fine = build("unipc", subject.schedule, steps, order=3, grid="lam", terminal=False)
        self.end = ends(subject, fine, self.x)
        self.clean = ends(subject, as_clean(subject.schedule), self.end)
        self.spread = float(np.std(self.clean))

    def distances(self, plan: Plan, count: int | None = None) -> np.ndarray:
        """Of each noise, over the spread."""
        target = self.clean if plan.t[-1] == self.subject.schedule.t_zero else self.end
        gap = (ends(self.subject, plan, self.x[:count]) - target[:count]).reshape(len(self.x[:count]), -1)
        d = np.sqrt(np.mean(gap**2, axis=1)) / self.spread
        return np.where(np.isfinite(d), d, 1e6)


def rms(distances: np.ndarray) -> float:
    return float(np.sqrt(np.mean(distances**2)))


# ---- the search


def variants() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every deterministic sampler of the registry: name and options."""
    for name, sampler in SAMPLERS.items():
        if name in SAME:
            continue
        known = signature(sampler.make).parameters
        for order in sampler.orders or {None: 1}:
            options = dict(sampler.still) | ({} if order is None else {"order": order})
            more = [options]
            if name in ("unipc", "unip"):
                more += [options | {"basis": b} for b in ("t", "rho")] + [options | {"prediction": "noise"}]
            for these in more:
                yield name, these
                if "lower_final" in known:
                    yield name, these | {"lower_final": True}


def everything() -> Iterator[Contender]:
    published = [g for g in GRIDS if g not in PUBLISHED]
    spans = [(g, end) for g in published for end in ("t_min", "denoise")]
    spans += [(g, "t_min") for g in LEVELS] + [(g, "straight") for g in (*STRAIGHT, *WHOLE)]
    for name, options in variants():
        for grid, end in spans:
            yield Contender(name, options, grid, end)


def search(subject: Subject, calls: int, among: Iterable[Contender] | None = None) -> list[tuple[Contender, float]]:
    """(contender, error) of those that reach the last round, best first. One of several with equal ends is kept."""
    truth, left = Truth(subject, SCREEN[-1][0], seed=0), []
    for contender in everything() if among is None else among:
        try:
            plan = contender.plan(subject.schedule, calls)
        except ValueError:  # not on this schedule, or not of so many calls
            continue
        if not (plan.draws or plan.consts or plan.models > 1 or plan.prediction is None):
            left.append((contender, plan))
    found: list[tuple[Contender, float]] = []
    for count, factor, most in SCREEN:
        errors = [trimmed(truth.distances(plan, count)) for _, plan in left]
        order, seen, kept = np.argsort(errors), set(), []
        for k in order:
            if errors[k] <= factor * errors[order[0]] and round(errors[k], 9) not in seen and len(kept) < most:
                seen.add(round(errors[k], 9))
                kept.append(k)
        found = [(left[k][0], errors[k]) for k in kept]
        left = [left[k] for k in kept]
    return found


# ---- the table


def measure_all(
    some: Sequence[Subject],
    calls: int,
    contenders: Sequence[Contender],
    *,
    noises: int = NOISES,
    say: Callable[[str], None] = print,
    error: Callable[[np.ndarray], float] = trimmed,
) -> Table:
    """All contenders on all subjects, on noises that the search has not seen."""
    rows = []
    for subject in some:
        say(f"{subject.name}, {calls} calls")
        truth, row = Truth(subject, noises, seed=1), []
        for contender in contenders:
            try:
                row.append(error(truth.distances(contender.plan(subject.schedule, calls))))
            except ValueError:
                row.append(np.nan)
        rows.append(row)
    kinds = tuple(subject.kind for subject in some)
    return Table(calls, tuple(s.name for s in some), kinds, tuple(contenders), np.array(rows, np.float64))


def record(found: Table, subject: Subject, say: Callable[[str], None] = print) -> dict:
    """What the advice is worth on one network, and what is without it."""
    say(f"{subject.name}, {found.calls} calls: measured advice")
    k = found.networks.index(subject.name)
    errors, ratios = found.errors[k], found.ratios[k]
    possible = np.isfinite(errors)
    first = lambda order: next(i for i in order if possible[i])  # noqa: E731
    others = table(found.calls).without(subject.name)
    order = [i for i in ranked(others, subject.kind) if possible[i]]
    truth = Truth(subject, 64, seed=2)
    small = [trimmed(truth.distances(found.contenders[i].plan(subject.schedule, found.calls))) for i in order[:CONTENDERS]]
    best = int(np.nanargmin(errors))
    return {
        "name": f"{subject.name}, {found.calls} calls",
        "value": float(ratios[first(ranked(table(found.calls), subject.kind))]),
        "unit": "",
        "error": float(errors[best]),
        "best": found.contenders[best].label,
        "best_error": float(errors[best]),
        "left_out": float(ratios[order[0]]),
        "measured": float(ratios[order[int(np.argmin(small))]]),
        "before": float(ratios[found.contenders.index(YESTERDAY[found.calls])]),
    }
