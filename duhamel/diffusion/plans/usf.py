"""Samplers that decide anew at every step (USF: Liu et al., arXiv 2312.07243). NumPy only.

    predict   x_(i+1) = carry x_i + sum_(k < order) F^(k)(t_i) int kernel(u) (u - u_i)^k / k! du
    correct   the same sum once more when the value at t_(i+1) is known, which joins in the derivatives

A step chooses what F is (data or noise), how far the Taylor series goes, from which earlier values its derivatives are
estimated, by how much the first one is relaxed, in which variable u the series is one, and whether it is corrected. The
usual samplers are the uniform choices: `uniform` names them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial
from typing import Any, cast

import numpy as np

from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.plan import Plan, Segment

from ..schedule import Prediction, Schedule
from .grid import check_times
from .multistep import describe
from .weights import Basis, carry, coordinate, kernel

Relaxation = str | float | int | None
RELAXATIONS = ("bh1", "bh2", "half", "minus-half")


@dataclass(frozen=True)
class Taylor:
    """
    order     terms of the series: derivatives 0 to order - 1
    points    for each derivative from the first: the values it is estimated from, counted in steps back from the start
              of the step (1 is the value before; -1, in a corrector, the one ahead). k values give it to order k
    relax     what multiplies the first derivative: with z = h for noise and -h for data, h the step in lambda,
              "bh1"  z^2 / 2 (e^z - 1 - z),  "bh2"  z (e^z - 1) / 2 (e^z - 1 - z):  UniPC's; DPM-Solver's is bh2
              "half", "minus-half"  1 +- (e^z - 1) / 2;  a number c: 1 + c h
    variable  u: "lam", "t" or "rho"
    """

    order: int = 1
    points: tuple[tuple[int, ...], ...] = ()
    relax: Relaxation = None
    variable: Basis = "lam"

    def __post_init__(self) -> None:
        if self.order < 1 or len(self.points) != self.order - 1:
            raise ValueError(
                f"a Taylor series of order {self.order} needs the points of {self.order - 1} derivatives, got "
                f"{len(self.points)}."
            )
        for k, back in enumerate(self.points, start=1):
            if len(set(back)) != len(back) or len(back) < k or 0 in back or min(back) < -1:
                raise ValueError(
                    f"derivative {k} is estimated from points {back}; give at least {k} different ones, counted in "
                    "steps back (1, 2, ...), with -1 for the value ahead in a corrector."
                )
        if isinstance(self.relax, str) and self.relax not in RELAXATIONS:
            raise ValueError(f"relax = {self.relax!r}; known: {', '.join(RELAXATIONS)}, a number, or None.")

    @property
    def deepest(self) -> int:
        """How many steps back the oldest value lies."""
        return max((0, *(b for back in self.points for b in back)))


@dataclass(frozen=True)
class Decision:
    """How one step is made; `correct` None: its end is not corrected."""

    prediction: str = "data"
    predict: Taylor = Taylor()
    correct: Taylor | None = None

    def __post_init__(self) -> None:
        if self.prediction not in ("data", "noise"):
            raise ValueError(f"prediction = {self.prediction!r}; a decision chooses 'data' or 'noise'.")
        if any(-1 in back for back in self.predict.points):
            raise ValueError("a predictor cannot use the value ahead (-1), which is not known yet.")


def nearest(order: int, *, ahead: bool = False, relax: Relaxation = None, variable: Basis = "lam") -> Taylor:
    """The series whose derivatives all come from the nearest values: the polynomial through `order` values, exactly."""
    back = ((-1,) if ahead else ()) + tuple(range(1, order - ahead))
    return Taylor(order, (back,) * (order - 1), relax if order > 1 else None, variable)


def uniform(
    steps: int,
    order: int = 3,
    *,
    prediction: str = "data",
    corrector: bool = False,
    relax: Relaxation = None,
    variable: Basis = "lam",
    lower_final: bool = False,
) -> list[Decision]:
    """The same decision at every step, as far as there are values to estimate from.

    order 1: DDIM.  order 2, relax "bh2": DPM-Solver++(2M).  prediction "noise", variable "t": DEIS tAB.
    corrector: UniPC; "bh1" and "bh2" are its variants, which matter only where two values meet.
    """
    decisions = []
    for i in range(steps):
        k = min(order, i + 1, steps - i if lower_final else order)
        two = relax if k == 2 else None
        correct = nearest(k + 1, ahead=True, relax=relax if k == 1 else None, variable=variable)
        last = i == steps - 1
        predict = nearest(k, relax=two, variable=variable)
        decisions.append(Decision(prediction, predict, correct if corrector and not last else None))
    return decisions


def usf(schedule: Schedule, ts: Any, decisions: Sequence[Decision] | None = None, *, first: str = "model") -> Plan:
    """The sampler of one decision a step, for a model that returns the data.

    decisions  one for each step; None: order 3 with corrector everywhere, UniPC-3
    first      where the first value comes from: the "model"; "zero", the data's mean taken as 0, or "mean", a constant
               of that name given to `run`: both save an evaluation
    A step that predicts noise reads eps = (x - alpha D) / sigma of the states at which the model was called.
    """
    ts = check_times(schedule, ts)
    steps = len(ts) - 1
    if decisions is None:
        decisions = uniform(steps, 3, corrector=True)
        decisions[-1] = decisions[-1] if schedule.rho(ts[-1]) > 0 else Decision()
    _check(schedule, ts, decisions, first)
    corrects = any(d.correct for d in decisions)
    noise = any(d.prediction == "noise" for d in decisions)
    depth = max(max(d.predict.deepest, 0 if d.correct is None else 1 + d.correct.deepest) for d in decisions)
    predict = np.zeros((2, steps, depth + 1))  # coefficients of values and of the states they were found at
    correct, own, back = np.zeros((2, steps, depth + 1)), np.ones(steps), np.zeros(steps)
    carries = np.array(
        [carry(schedule, a, b, cast(Prediction, d.prediction)) for a, b, d in zip(ts, ts[1:], decisions, strict=False)]
    )
    for n, d in enumerate(decisions):
        for b, w in _weights(schedule, ts, n, d.prediction, d.predict).items():
            predict[:, n, b] += _of_data(schedule, ts[n - b], d.prediction, w)
        if n and (before := decisions[n - 1]).correct:
            for b, w in _weights(schedule, ts, n - 1, before.prediction, before.correct).items():
                correct[:, n, b + 1] += _of_data(schedule, ts[n - 1 - b], before.prediction, w)
            own[n], back[n] = 0.0, carries[n - 1]
    table = _Table(predict, correct if corrects else None, own, back, carries, noise)
    segments = [table.segment(ts, 0, 1, first)] if first != "model" else []
    if len(segments) < steps:
        segments.append(table.segment(ts, len(segments), steps, "model"))
    facts = {"decisions": [_as_json(d) for d in decisions], "first": first}
    return Plan("usf", tuple(segments), ts, "data", describe(schedule) | facts)


@dataclass(frozen=True)
class _Table:
    """All coefficients; arrays (2, steps, values): of values F, F1, ... and of the states x, x1, ... they belong to."""

    predict: np.ndarray
    correct: np.ndarray | None
    own: np.ndarray  # of the predicted state in the corrected one: 1 where nothing is corrected
    back: np.ndarray  # of the corrected state one step before
    carries: np.ndarray
    noise: bool

    def segment(self, ts: np.ndarray, begin: int, end: int, first: str) -> Segment:
        depth = self.predict.shape[2]
        values, states = _names("F", depth), _names("x", depth) if self.noise else ("x",)
        evaluate: list[tuple[Row, list[np.ndarray]]] = [(Row("y", ("x",), call="F"), [np.ones(1)])]
        if first != "model":
            source, c = ("mean", 1.0) if first == "mean" else ("x", 0.0)
            evaluate = [(Row("y", ("x",)), [np.ones(1)]), (Row("F", (source,)), [np.array([c])])]
        rows, keep = [*evaluate], [("x", "x_next")]
        if self.correct is None:
            rows.append(self._sum("x_next", self.predict, values, states, ("x",), [self.carries]))
        else:
            rows.append(self._sum("corrected", self.correct, values, states, ("base", "x"), [self.back, self.own]))
            rows.append(self._sum("x_next", self.predict, values, states, ("corrected",), [self.carries]))
            keep.append(("base", "corrected"))
        keep += [*zip(values[1:], values, strict=False), *zip(states[1:], states, strict=False)]
        pattern = Pattern(tuple(r for r, _ in rows), tuple(keep), consts=("mean",) if first == "mean" else ())
        coef = [c if len(c) == 1 and not r.out.startswith(("x", "c")) else c[begin:end] for r, cs in rows for c in cs]
        return Segment(pattern, tuple(coef), np.reshape(ts[begin:end], (-1, 1))[:, : pattern.calls])

    def _sum(
        self,
        out: str,
        table: np.ndarray,
        values: Sequence[str],
        states: Sequence[str],
        kept: tuple[str, ...],
        own: list,
    ) -> tuple[Row, list[np.ndarray]]:
        """Small terms first: old values and states, then the kept state, which may be among the states."""
        terms = dict(zip(values[::-1], table[0].T[::-1], strict=True))
        if self.noise:
            terms |= dict(zip(states[::-1], table[1].T[::-1], strict=True))
        for name, c in zip(kept, own, strict=True):
            terms[name] = terms.pop(name, 0.0) + c
        return Row(out, tuple(terms)), list(terms.values())


def _names(letter: str, depth: int) -> tuple[str, ...]:
    return (letter, *(f"{letter}{j}" for j in range(1, depth)))


def _weights(schedule: Schedule, ts: np.ndarray, n: int, prediction: Any, series: Taylor) -> dict[int, float]:
    """Weight of each value in the step from ts[n], by steps back."""
    s, t = ts[n], ts[n + 1]
    rho_s, rho_t = float(schedule.rho(s)), float(schedule.rho(t))
    if rho_t == 0 and prediction == "data":
        return {0: float(schedule.alpha(t))}
    rho, w = kernel(rho_s, rho_t, prediction)
    w = float(schedule.alpha(t)) * w
    u = lambda r: coordinate(schedule, series.variable, r)  # noqa: E731
    scale = float(u(np.asarray(rho_t)) - u(np.asarray(rho_s)))
    place = (u(rho) - u(np.asarray(rho_s))) / scale
    found = {0: float(np.sum(w))}
    for k, back in enumerate(series.points, start=1):
        nodes = (u(schedule.rho(ts[n - np.array(back)])) - u(np.asarray(rho_s))) / scale
        powers = np.arange(1, len(back) + 1)
        a = np.linalg.solve(
            nodes ** powers[:, None], (powers == k) * 1.0
        )  # of F_b - F_0, in the k-th Taylor coefficient
        a = a * float(np.sum(w * place**k)) * (_relaxation(series.relax, prediction, rho_s, rho_t) if k == 1 else 1.0)
        for b, c in zip(back, a, strict=True):
            found[b] = found.get(b, 0.0) + float(c)
        found[0] -= float(np.sum(a))
    return found


def _relaxation(relax: Relaxation, prediction: str, rho_s: float, rho_t: float) -> float:
    if relax is None:
        return 1.0
    h = np.log(rho_s / rho_t)
    if not isinstance(relax, str):
        return float(1 + relax * h)
    z = h if prediction == "noise" else -h
    if relax in ("half", "minus-half"):
        return float(1 + (0.5 if relax == "half" else -0.5) * np.expm1(z))
    # exp(z) - 1 - z by its series where it cancels
    rest = np.expm1(z) - z if abs(z) > 0.1 else sum(z**k / factorial(k) for k in range(2, 14))
    return float(0.5 * z * (z if relax == "bh1" else np.expm1(z)) / rest)


def _of_data(schedule: Schedule, tau: float, prediction: str, w: float) -> np.ndarray:
    """w F in terms of (D, x), F being the data or the noise (x - alpha D) / sigma."""
    if prediction == "data":
        return np.array([w, 0.0])
    return np.array([-w / float(schedule.rho(tau)), w / float(schedule.sigma(tau))])


def _check(schedule: Schedule, ts: np.ndarray, decisions: Sequence[Decision], first: str) -> None:
    if first not in ("model", "zero", "mean"):
        raise ValueError(f"first = {first!r}; the first value comes from the 'model', is 'zero' or the data's 'mean'.")
    if len(decisions) != len(ts) - 1:
        raise ValueError(f"{len(decisions)} decisions for {len(ts) - 1} steps; give one for each step.")
    for n, d in enumerate(decisions):
        if max(d.predict.deepest, 0 if d.correct is None else d.correct.deepest) > n:
            raise ValueError(
                f"step {n} is estimated from a value {d.predict.deepest} steps back, and there are {n} before it."
            )
    last = decisions[-1]
    if last.correct is not None:
        raise ValueError("the last step is corrected, which costs an evaluation of its own; leave that corrector out.")
    if schedule.rho(ts[-1]) == 0 and last.predict.order > 1:
        raise ValueError("the step to sigma = 0 is infinitely long in lambda: its order must be 1.")


def _as_json(d: Decision) -> dict[str, Any]:
    series = lambda s: {"order": s.order, "points": [list(b) for b in s.points], "relax": s.relax, "in": s.variable}  # noqa: E731
    return {"prediction": d.prediction, "predict": series(d.predict)} | (
        {"correct": series(d.correct)} if d.correct else {}
    )
