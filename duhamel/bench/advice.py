"""The table of `duhamel.diffusion.advise`: which sampler on which grid ends nearest to the flow, network by network.

Networks: `advice_networks`. The truth of each is UniPC-3 in 120 steps on its own flow, from the same noises; a plan
that ends in sigma = 0 is held against the network's word at the truth's end. Errors are root mean squares over the
spread of the samples, without the worst 2 % of the noises: near a watershed of the flow a noise ends in another basin,
one of a hundred that does so outweighs all others, and which plan is spared that is luck.

`search` tries the deterministic samplers of the registry in their orders, UniPC in three variables, with and without
lower final orders, on all grids with all their ends: 8 noises for all, 64 for the 40 best. A *contender* is what came
out first on some network, or near the first on several. `run` measures all contenders on all networks, on other
noises, and judges the advice:

    in the table   the advised contender over the best of all, on a network the advice knows
    left out       the same, advised without that network
    measured       the first of 32 contenders on 128 other noises, as advise(model=...) finds it; and ranked without
                   that network

Asked: at most 1.15 everywhere. Reached, of 59 cells of 12 networks: by rule 26, the worst 2.5; left out 18, the worst
6.1; measured all, the worst 1.12; measured and left out 55, the worst 1.9. An hour of one core with the training;
`quick` takes two exact models, and 64 noises.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, cast

import numpy as np

from duhamel.diffusion.advice import CONTENDERS, Table, ranked, run_on, table, trimmed
from duhamel.diffusion.plans.contenders import LEVELS, STRAIGHT, WHOLE, Contender, End
from duhamel.diffusion.plans.grid import GRIDS, PUBLISHED
from duhamel.diffusion.plans.registry import SAMPLERS, build
from duhamel.diffusion.schedule import Schedule
from duhamel.rows.canonical import affine
from duhamel.rows.host import march
from duhamel.rows.plan import Plan

from .advice_networks import Subject, subjects

CALLS = (5, 6, 8, 10, 20)
NOISES, BATCH = 256, 1024
FIRST, FAR = 16, 2.5  # noises for all contenders, and how far behind there a contender is left alone
SCREEN = ((8, 2.2, 40), (64, 1.4, 12))  # noises, how far behind the best, how many go on
SAME = ("dpm-solver-fast", "dpm-solver-v3", "usf", "dc-solver", "restart")  # others of the list, until they are fitted
KARRAS, LAM = Contender("ipndm", {"order": 4}, "karras", "t_min"), Contender("unipc", {"order": 3}, "lam", "t_min")
YESTERDAY = {5: KARRAS, 6: KARRAS, 8: LAM, 10: LAM, 20: LAM}  # what docs/samplers.md said before there was a table
# Behind by 1.7 to far more than 2 times in a search with them on two exact models at 5 and 6 calls.
BEHIND = (
    "hb",
    "f-pndm",
    "s-pndm",
    "dpm-solver",
    "dpmpp-2s",
    "dpmpp-3s",
    "sde-dpmpp-2s",
    "heun",
    "deis-rho-rk4",
    "deis-rho-ab",
)
COLUMNS = {
    "": "name",
    "best of all": "best",
    "its error": "best_error",
    "in the table": "value",
    "left out": "left_out",
    "measured": "measured",
    "measured, left out": "measured_left_out",
    "rules of before": "before",
}
CAPTION = "The advised sampler's error over that of the best of all samplers on all grids; 1 is the best."


def run(
    *, quick: bool = False, progress: Callable[[str], None] | None = None, folder: Path | None = None
) -> list[dict]:
    """Records of every network and number of calls. folder: keeps the weights of trained networks."""
    say = progress or (lambda text: None)
    some = subjects(("plane-vp", "mixture-flow") if quick else None, folder=folder, say=say)
    found = []
    for calls in CALLS[:1] if quick else CALLS:
        measured = measure_all(some, calls, table(calls).contenders, noises=64 if quick else NOISES, say=say)
        found += [record(measured, subject, say) for subject in some]
    return found


# ---- running plans: many at a time, each as the triangle of its numbers


def triangle(plan: Plan, schedule: Schedule) -> tuple[np.ndarray, np.ndarray]:
    """Times (n,) of the calls, and over x, D_1, ..., D_n the points of the calls and the end, (n + 1, n + 1)."""
    n = plan.nfe
    times, points = [], []

    def model(t: Any, y: np.ndarray) -> np.ndarray:
        u, w = affine(plan.prediction, *(float(f(np.float64(t))) for f in (schedule.alpha, schedule.sigma)))
        value = u * y
        value[1 + len(points)] += w
        times.append(float(t))
        points.append(y)
        return value

    *_, last = march(plan, model, {"x": np.eye(n + 1)[0]})
    return np.array(times), np.stack([*points, last["x"]])


def denoised(subject: Subject, t: np.ndarray, x: np.ndarray, which: np.ndarray) -> np.ndarray:
    """D at (t, x): the subject's own prediction is u x + w D."""
    F = subject.call(t, x, which)
    if subject.predicts == "data":
        return F
    schedule = subject.schedule
    u, w = affine(subject.predicts, schedule.alpha(t), schedule.sigma(t))
    wide = (-1, *[1] * (x.ndim - 1))
    return (F - np.reshape(u, wide) * x) / np.reshape(w, wide)


def ends(subject: Subject, plans: Sequence[Plan], x: np.ndarray) -> np.ndarray:
    """Where plans of equally many calls take the noises: (plans, *x.shape). A network sees all of them in one batch."""
    tables = [triangle(plan, subject.schedule) for plan in plans]
    times, rows = np.stack([t for t, _ in tables]), np.stack([r for _, r in tables])
    count, n = times.shape
    which = np.tile(np.arange(len(x)), count)
    known = [np.broadcast_to(x, (count, *x.shape))]
    sums = lambda k: sum((c * v for c, v in zip(_wide(rows[:, k], x), known, strict=False)), np.zeros(()))  # noqa: E731
    with np.errstate(all="ignore"):
        for k in range(n):
            y = sums(k).reshape(-1, *subject.shape)
            known.append(denoised(subject, np.repeat(times[:, k], len(x)), y, which).reshape(count, *x.shape))
        return sums(n)


def _wide(row: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Coefficients (plans, values) as (values, plans, 1, ..., 1), to multiply (plans, *x.shape)."""
    return row.T.reshape(*row.T.shape, *[1] * x.ndim)


class Truth:
    """Noises of a subject, and where its flow takes them: to t_min, and to the network's word there."""

    def __init__(self, subject: Subject, count: int, seed: int, steps: int = 120) -> None:
        schedule = subject.schedule
        z = np.random.default_rng(seed).standard_normal((count, *subject.shape))
        self.subject, self.x = subject, z * float(schedule.sigma(np.float64(schedule.t_max)))
        fine = build("unipc", schedule, steps, order=3, grid="lam", terminal=False)
        which = np.arange(count)
        model = lambda t, y: denoised(subject, np.full(count, float(t)), y, which)  # noqa: E731
        self.end = run_on(fine, model, self.x)
        self.clean = model(schedule.t_min, self.end)
        self.spread = float(np.std(self.clean))

    def distances(self, plans: Sequence[Plan], count: int | None = None) -> np.ndarray:
        """Of each noise, over the spread: (plans, noises)."""
        x, zero, found = self.x[:count], self.subject.schedule.t_zero, []
        size = max(1, BATCH // len(x))
        for k in range(0, len(plans), size):
            some = plans[k : k + size]
            target = np.stack([(self.clean if plan.t[-1] == zero else self.end)[: len(x)] for plan in some])
            gap = (ends(self.subject, some, x) - target).reshape(len(some), len(x), -1)
            found.append(np.sqrt(np.mean(gap**2, axis=2)) / self.spread)
        found = np.concatenate(found)
        return np.where(np.isfinite(found), found, 1e6)


# ---- the search


def variants(full: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every deterministic sampler of the registry: name and options. Not `full`: without those of `BEHIND`."""
    for name, sampler in SAMPLERS.items():
        if name in SAME or (name in BEHIND and not full):
            continue
        known = signature(sampler.make).parameters
        for order in sampler.orders or {None: 1}:
            if not full and order is not None and order > 4:
                continue
            options = dict(sampler.still) | ({} if order is None else {"order": order})
            more = [options]
            if name == "unipc" or (name == "unip" and order is not None and order < 4):
                more += [options | {"basis": "t"}, options | {"basis": "rho"} if name == "unipc" else options]
            for these in more:
                yield name, these
                if "lower_final" in known:
                    yield name, these | {"lower_final": True}


def everything(full: bool = False) -> Iterator[Contender]:
    published = [g for g in GRIDS if g not in PUBLISHED]
    spans = [(g, end) for g in published for end in ("t_min", "denoise")]
    spans += [(g, "t_min") for g in LEVELS] + [(g, "straight") for g in (*STRAIGHT, *WHOLE)]
    for name, options in variants(full):
        for grid, end in spans:
            yield Contender(name, options, grid, cast(End, end))


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
        errors = [trimmed(d) for d in truth.distances([plan for _, plan in left], count)]
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
) -> Table:
    """All contenders on all subjects, on noises that the search has not seen; those far behind on the first few of
    them keep what was measured there."""
    rows = []
    for subject in some:
        say(f"{subject.name}, {calls} calls")
        truth, plans = Truth(subject, noises, seed=1), possible(subject, calls, contenders)
        row = np.full(len(contenders), np.nan)
        row[list(plans)] = [trimmed(d) for d in truth.distances(list(plans.values()), FIRST)]
        near = [k for k in plans if row[k] <= FAR * np.nanmin(row)]
        row[near] = [trimmed(d) for d in truth.distances([plans[k] for k in near])]
        rows.append(row)
    kinds = tuple(subject.kind for subject in some)
    return Table(calls, tuple(s.name for s in some), kinds, tuple(contenders), np.array(rows, np.float64))


def possible(subject: Subject, calls: int, contenders: Sequence[Contender]) -> dict[int, Plan]:
    """The plans of those that make so many calls on the subject's schedule."""
    found = {}
    for k, contender in enumerate(contenders):
        try:
            found[k] = contender.plan(subject.schedule, calls)
        except ValueError:
            continue
    return found


def record(found: Table, subject: Subject, say: Callable[[str], None] = print, noises: int = 128) -> dict:
    """What the advice is worth on one network, and what is without it."""
    say(f"{subject.name}, {found.calls} calls: measured advice")
    k = found.networks.index(subject.name)
    errors, ratios = found.errors[k], found.ratios[k]
    known = table(found.calls)
    plans = {i: p for i, p in possible(subject, found.calls, found.contenders).items() if np.isfinite(ratios[i])}
    knowing, without = (
        [i for i in ranked(t, subject.kind) if i in plans][:CONTENDERS] for t in (known, known.without(subject.name))
    )
    both = list(dict.fromkeys((*knowing, *without)))
    small = Truth(subject, noises, seed=2)
    few = dict(zip(both, map(trimmed, small.distances([plans[i] for i in both], FIRST)), strict=True))
    thirds = [sorted(some, key=few.__getitem__)[: -(-len(some) // 3)] for some in (knowing, without)]
    both = list({*thirds[0], *thirds[1]})
    judged = dict(zip(both, map(trimmed, small.distances([plans[i] for i in both])), strict=True))
    chosen = [min(some, key=judged.__getitem__) for some in thirds]  # as `diffusion.advice.measure` does
    best = int(np.nanargmin(errors))
    return {
        "name": f"{subject.name}, {found.calls} calls",
        "value": float(ratios[knowing[0]]),
        "unit": "",
        "error": float(errors[best]),
        "best": found.contenders[best].label,
        "best_error": float(errors[best]),
        "left_out": float(ratios[without[0]]),
        "measured": float(ratios[chosen[0]]),
        "measured_left_out": float(ratios[chosen[1]]),
        "before": float(ratios[found.contenders.index(YESTERDAY[found.calls])]),
    }


def write(path: Path, some: Sequence[Subject], tables: Sequence[Table]) -> None:
    """The file that `diffusion.advice` reads: four digits, a contender once, JSON that a person can read."""
    contenders = list({c.label: c for found in tables for c in found.contenders}.values())
    places = {c.label: k for k, c in enumerate(contenders)}
    number = lambda e: float(f"{e:.3g}") if np.isfinite(e) and e < 1e3 else None  # noqa: E731
    errors = {
        str(found.calls): {
            "contenders": [places[c.label] for c in found.contenders],
            "rows": {n: [number(e) for e in row] for n, row in zip(found.networks, found.errors, strict=True)},
        }
        for found in tables
    }
    lines = lambda d: ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in d.items())  # noqa: E731
    networks = {s.name: {"kind": s.kind, "about": s.about, "ours": s.ours} for s in some}
    listed = ",\n".join(
        "  " + json.dumps({"name": c.name, "options": dict(c.options), "grid": c.grid, "end": c.end})
        for c in contenders
    )
    parts = [f' "networks": {{\n{lines(networks)}\n }}', f' "contenders": [\n{listed}\n ]']
    told = ",\n".join(
        f' "{calls}": {{"contenders": {json.dumps(part["contenders"])}, "rows": {{\n{lines(part["rows"])}\n }}}}'
        for calls, part in errors.items()
    )
    path.write_text("{\n" + ",\n".join([*parts, f' "errors": {{\n{told}\n }}']) + "\n}\n")
