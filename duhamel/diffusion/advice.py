"""Which sampler on which grid, for a number of calls: read off a table of measurements, or measured on your own model.

    advise(VP(), 8)                                       what was best over the table's networks of this kind
    advise(VP(), 8, model=F, x=noises, predicts="noise")  the table's contenders, measured on your model

The table, `advice.json`, is made by `duhamel bench advice`: on every network the error of every *contender* (a sampler
with its options on a grid), the root mean square distance to a fine solution of the same network's flow, over the
spread of the samples. A *ratio* is a contender's error over the least that any sampler reached on any grid there.

No contender is the best everywhere, nor near it: what the first steps cost depends on how well a network knows the
noise at the noisy end, and what the last ones cost on how fine its data are. So the table's word is the contender
whose worst ratio over its networks is smallest, and comes with its ratios; and a few seconds of a model's own calls
are worth more than any rule. NumPy only, but for the model.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from duhamel.rows.host import march
from duhamel.rows.plan import Plan
from duhamel.rows.predict import predicting

from .plans.contenders import Contender
from .plans.registry import build
from .schedule import EDM, VE, Flow, Prediction, Schedule

TABLE = Path(__file__).with_name("advice.json")
KINDS = {
    "noise": "a variance preserving chain whose network predicts the noise",
    "chain": "a variance preserving chain with another prediction",
    "edm": "noise levels as in EDM, or VE",
    "flow": "a rectified flow",
}
CONTENDERS = 32  # how many are measured on a model
FEW = 16  # noises on which all of them are, before the best third meets all noises


@dataclass(frozen=True)
class Table:
    """What was measured at one number of calls: errors (networks, contenders), NaN where a plan does not exist."""

    calls: int
    networks: tuple[str, ...]
    kinds: tuple[str, ...]
    contenders: tuple[Contender, ...]
    errors: np.ndarray

    @property
    def ratios(self) -> np.ndarray:
        return self.errors / np.nanmin(self.errors, axis=1, keepdims=True)

    def without(self, network: str) -> "Table":
        keep = [k for k, name in enumerate(self.networks) if name != network]
        return Table(
            self.calls,
            tuple(self.networks[k] for k in keep),
            tuple(self.kinds[k] for k in keep),
            self.contenders,
            self.errors[keep],
        )


@dataclass(frozen=True)
class Advice:
    """A contender for a number of calls, and how it did.

    ratios    by network of its kind: its error over the best of all samplers on all grids
    elsewhere the same on networks of other kinds
    measured  (contender, error) on the caller's own model, best first; empty where none was given
    """

    contender: Contender
    calls: int
    kind: str
    schedule: Schedule | None
    ratios: Mapping[str, float]
    elsewhere: Mapping[str, float] = field(default_factory=dict)
    measured: tuple[tuple[Contender, float], ...] = ()

    def plan(self, schedule: Schedule | None = None, model: Prediction | None = None) -> Plan:
        """The plan, for a model that returns `model` where that is not what the sampler is made for."""
        schedule = schedule or self.schedule
        if schedule is None:
            raise ValueError("this advice was given for a kind of model; pass plan(schedule=...).")
        plan = self.contender.plan(schedule, self.calls)
        return plan if model is None else predicting(plan, model, schedule.alpha, schedule.sigma)

    @property
    def code(self) -> str:
        known = self.schedule is not None and len(repr(self.schedule)) < 60
        return self.contender.code(repr(self.schedule) if known else "schedule", self.calls)

    def __str__(self) -> str:
        lines = [f"{self.calls} calls: {self.contender.label}", f"    {self.code}"]
        if self.measured:
            lines.append("measured on your model, error over the spread of the samples:")
            lines += [f"    {error:.3g}  {contender.label}" for contender, error in self.measured[:5]]
        if self.ratios:
            values = sorted(self.ratios.values())
            lines.append(
                f"over the best of all samplers and grids, {KINDS[self.kind]}: least {values[0]:.2f}, median "
                f"{np.median(values):.2f}, most {values[-1]:.2f} ({len(values)} networks)"
            )
        return "\n".join(lines)


def advise(
    where: Schedule | str,
    calls: int | np.integer,
    *,
    predicts: str | None = None,
    model: Callable | None = None,
    x: Any = None,
    contenders: int = CONTENDERS,
) -> Advice:
    """The sampler, its options and its grid for so many calls of a model.

    where       the model's schedule, or a kind of `KINDS`
    calls       5 to 20 are measured; others take the nearest
    predicts    what the model returns; chains that predict the noise are a kind of their own
    model, x    F(t, x) and noises at t_max (JAX, NumPy or PyTorch, as F takes them): the table's first `contenders`
                are measured there, against a fine plan on the same noises; 128 noises are enough. One compiled batch
                size; for PyTorch call under `torch.no_grad()`
    """
    if isinstance(calls, bool) or not isinstance(calls, int | np.integer) or calls < 1:
        raise ValueError(f"calls = {calls!r}; a sampler calls its model a whole number of times, at least once.")
    if predicts is not None and predicts not in get_args(Prediction):
        raise ValueError(f"predicts = {predicts!r}; known: {', '.join(get_args(Prediction))}.")
    if (model is None) != (x is None):
        raise ValueError("to measure a model give both model=F and x=, the noises at t_max that it starts from.")
    calls = int(calls)
    kind, schedule = kind_of(where, predicts), where if isinstance(where, Schedule) else None
    found = table(min(tabulated(), key=lambda n: abs(np.log(n / calls))))
    possible = (k for k in ranked(found, kind) if _exists(found.contenders[k], schedule, calls))
    order = list(islice(possible, 1 if model is None else contenders))
    if not order:
        raise ValueError(f"no sampler of the table makes {calls} calls on this schedule; take 5 or more.")
    measured: tuple[tuple[Contender, float], ...] = ()
    best = order[0]
    if model is not None:
        if schedule is None or predicts is None:
            raise ValueError("to measure a model give its schedule, and predicts= what it returns.")
        some = [found.contenders[k] for k in order]
        measured = measure(some, schedule, calls, model, x, cast(Prediction, predicts))
        best = found.contenders.index(measured[0][0])
    ratios = dict(zip(found.networks, found.ratios[:, best].tolist(), strict=True))
    mine = {name: r for (name, r), k in zip(ratios.items(), found.kinds, strict=True) if k == kind and np.isfinite(r)}
    other = {name: r for name, r in ratios.items() if name not in mine and np.isfinite(r)}
    return Advice(found.contenders[best], calls, kind, schedule, mine, other, measured)


def kind_of(where: Schedule | str, predicts: str | None = None) -> str:
    """The kind of model by its schedule and its prediction."""
    if isinstance(where, str):
        if where not in KINDS:
            raise ValueError(f"{where!r} is not a kind of model; known: {', '.join(KINDS)}, or give a schedule.")
        return where
    if isinstance(where, Flow):
        return "flow"
    if isinstance(where, EDM | VE):
        return "edm"
    return "noise" if predicts in ("noise", "score", None) else "chain"


@cache
def _read() -> dict[str, Any]:
    return json.loads(TABLE.read_text())


def tabulated() -> tuple[int, ...]:
    """The numbers of calls of the table."""
    return tuple(int(calls) for calls in _read()["errors"])


@cache
def table(calls: int) -> Table:
    """The measurements at a number of calls that the table has."""
    told = _read()
    part = told["errors"][str(calls)]
    contenders = tuple(Contender(**told["contenders"][k]) for k in part["contenders"])
    networks = tuple(part["rows"])
    errors = np.array([[np.nan if e is None else e for e in part["rows"][name]] for name in networks], np.float64)
    return Table(calls, networks, tuple(told["networks"][name]["kind"] for name in networks), contenders, errors)


def ranked(found: Table, kind: str) -> list[int]:
    """Contenders in the order in which they are worth trying on a model of this kind.

    First the one whose worst ratio over the networks of the kind is smallest; then always the one that brings most:
    that lowers the mean logarithm of the least ratio reached so far, networks of other kinds counted at a quarter.
    """
    ratios = np.where(np.isfinite(found.ratios), found.ratios, 1e3)
    own = np.array([k == kind for k in found.kinds])
    weights = np.where(own, 1.0, 0.25)
    if not own.any():
        own, weights = ~own, np.ones(len(own))
    order = [int(np.argmin(ratios[own].max(axis=0)))]
    reached = ratios[:, order[0]]
    while len(order) < ratios.shape[1]:
        gain = weights @ np.log(reached[:, None] / np.minimum(reached[:, None], ratios))
        gain[order] = -1.0
        if gain.max() <= 1e-9:  # everything is reached: the rest by their mean ratio
            rest = [k for k in np.argsort(weights @ np.log(ratios)) if k not in order]
            return [*order, *map(int, rest)]
        order.append(int(np.argmax(gain)))
        reached = np.minimum(reached, ratios[:, order[-1]])
    return order


def _exists(contender: Contender, schedule: Schedule | None, calls: int) -> bool:
    if schedule is None:
        return True
    try:
        contender.plan(schedule, calls)
    except ValueError:
        return False
    return True


def measure(
    contenders: Sequence[Contender],
    schedule: Schedule,
    calls: int,
    model: Callable,
    x: Any,
    predicts: Prediction,
    *,
    fine: int = 120,
) -> tuple[tuple[Contender, float], ...]:
    """(contender, error) on a model, best first: root mean square distance to a plan of `fine` calls, over the spread.

    All contenders on the first `FEW` noises, the best third of them on all.
    """
    reference = predicting(
        build("unipc", schedule, fine, order=3, grid="lam", terminal=False), predicts, schedule.alpha, schedule.sigma
    )
    end = run_on(reference, model, x)
    clean = run_on(predicting(as_clean(schedule), predicts, schedule.alpha, schedule.sigma), model, end)
    spread = float(np.std(_host(clean)))
    if not (np.isfinite(spread) and spread > 0):
        raise ValueError("model leads the noises to NaN, infinity or one point in fine steps; check it, and predicts=.")

    def judged(some: Sequence[Contender], count: int) -> list[tuple[Contender, float]]:
        found = []
        for one in some:
            plan = predicting(one.plan(schedule, calls), predicts, schedule.alpha, schedule.sigma)
            target = clean if plan.t[-1] == schedule.t_zero else end
            gap = _host(run_on(plan, model, x[:count])) - _host(target)[:count]
            error = trimmed(np.sqrt(np.mean(gap.reshape(len(gap), -1) ** 2, axis=1))) / spread
            found.append((one, error if np.isfinite(error) else float("inf")))
        return sorted(found, key=lambda pair: pair[1])

    first = judged(contenders, min(FEW, len(x)))
    if len(x) <= FEW:
        return tuple(first)
    keep = max(3, -(-len(first) // 3))
    return (*judged([one for one, _ in first[:keep]], len(x)), *first[keep:])


def as_clean(schedule: Schedule) -> Plan:
    """From t_min to sigma = 0 in one step of DDIM: the model's word on the clean sample."""
    return build("ddim", schedule, ts=[schedule.t_min, schedule.t_zero])


def run_on(plan: Plan, model: Callable, x: Any) -> Any:
    """The end of a plan from x, in x's own kind of array; the model is called from the host."""
    with np.errstate(all="ignore"):
        *_, slots = march(plan, model, {"x": x}, cast=float)
    return slots["x"]


def trimmed(distances: np.ndarray) -> float:
    """Root mean square without the worst 2 %, at least one: near a watershed of the flow a noise ends elsewhere, and
    one of a thousand that does so outweighs all others."""
    return float(np.sqrt(np.mean(np.sort(distances)[: -max(1, len(distances) // 50)] ** 2)))


def _host(x: Any) -> np.ndarray:
    return np.asarray(x.detach().cpu() if hasattr(x, "detach") else x, np.float64)
