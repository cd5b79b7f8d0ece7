"""Fit the numbers of a plan step by step, against where a teacher stands after each step. NumPy only.

    for n = 0, 1, ...:   p_n = argmin_p  mean | step_n(p)(x_n) - teacher(n, x_n) |^2,   x_{n+1} = step_n(p_n)(x_n)

Where a step is linear in its parameters the first Gauss-Newton step is the least-squares solution, and the model is
called no more often than in a run, for its values are remembered. The numbers of different steps are not weighed
against each other: `tune.fit` does that, and may start from here.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .host import advance, as_models, march
from .plan import Plan

Family = Callable[[np.ndarray], Plan]
"""theta -> plan, of equal patterns and steps for every theta."""

Teacher = Callable[[int, np.ndarray], np.ndarray]
"""(n, the state before step n) -> where step n should arrive."""


@dataclass(frozen=True)
class Greedy:
    """A plan whose numbers were fitted step by step.

    plan    the fitted one; the start where `better` is false
    theta   its parameters, shape (steps, parameters of a step)
    before, after   root mean square distance to the teacher's end on noises not used in the fit, of the start and of
            what was fitted
    calls   model calls of the fit, each on the whole batch; the teacher's are not counted
    """

    plan: Plan
    theta: np.ndarray
    before: float
    after: float
    calls: int

    @property
    def better(self) -> bool:
        return self.after < self.before


def fit_steps(
    family: Family,
    theta: Any,
    models: Callable | Sequence[Callable],
    x: np.ndarray,
    teacher: Teacher,
    held_out: tuple[np.ndarray, np.ndarray],
    *,
    free: Any = True,
    ahead: int = 0,
    slot: str = "x",
    delta: float = 1e-4,
    rounds: int = 10,
    name: str | None = None,
) -> Greedy:
    """The plan family(theta) whose row theta[n] brings step n closest to the teacher.

    theta     the start, shape (steps, parameters of a step); the result is never worse than it on `held_out`
    models    F(tau, x) on NumPy arrays, as in `host.march`
    x         states at the beginning, shape (batch, ...); 64 are enough for a few parameters a step
    teacher   see `along` and `from_here`
    held_out  states at the beginning that are not in x, and where the teacher ends from there
    free      which of theta may change, broadcast to its shape
    ahead, slot   compare this slot `ahead` steps later: a corrected state is known one step after the predicted one
    delta     step of the differences: 1e-4 for models in float64, 1e-2 in float32
    rounds    Gauss-Newton steps, each halved until the error falls
    name      of the fitted plan; `info["fitted"]` says how it came about
    """
    start = np.array(theta, np.float64)
    theta, first = start.copy(), family(start)
    if theta.ndim != 2 or len(theta) != first.steps:
        raise ValueError(f"theta has shape {theta.shape}; give one row for each of the plan's {first.steps} steps.")
    free = np.broadcast_to(free, theta.shape)
    remembered = [_Remembered(model, 2 * first.nfe // first.steps + 2) for model in as_models(first, models)]
    slots: dict[str, Any] = {"x": np.asarray(x)}
    for n in range(first.steps - ahead):
        target = teacher(n + ahead, slots["x"])

        def miss(row: np.ndarray, n: int = n, slots: dict = slots, target: np.ndarray = target) -> np.ndarray:
            trial = theta.copy()
            trial[n, free[n]] = row
            plan, state = family(trial), slots
            for later in range(n, n + ahead + 1):
                state = advance(plan, later, remembered, state)
            return (state[slot] - target).ravel()

        if np.any(free[n]):
            theta[n, free[n]] = _gauss_newton(miss, theta[n, free[n]], delta, rounds)
        slots = advance(family(theta), n, remembered, slots)
    calls = sum(model.calls for model in remembered)
    fitted = family(theta)
    before, after = (_error(plan, models, *held_out) for plan in (first, fitted))
    facts = {"how": "greedy", "noises": len(x), "held_out": len(held_out[0]), "before": before, "after": after}
    better = after < before
    plan = replace(fitted, name=name or fitted.name, info={**fitted.info, "fitted": facts}) if better else first
    return Greedy(plan, theta if better else start, before, after, calls)


def along(states: Any) -> Teacher:
    """The teacher that went ahead from the same noises: states (steps + 1, batch, ...) at the times of the plan."""
    return lambda n, x: states[n + 1]


def from_here(plan: Callable[[int], Plan], models: Callable | Sequence[Callable]) -> Teacher:
    """The teacher that starts where the pupil stands: plan(n) goes from the time before step n to the one after it."""

    def teacher(n: int, x: np.ndarray) -> np.ndarray:
        *_, last = march(plan(n), models, {"x": x})
        return last["x"]

    return teacher


def _gauss_newton(miss: Callable[[np.ndarray], np.ndarray], p: np.ndarray, delta: float, rounds: int) -> np.ndarray:
    r = miss(p)
    for _ in range(rounds):
        units = delta * np.eye(len(p))
        J = np.stack([(miss(p + unit) - r) / delta for unit in units], axis=1)
        move = np.linalg.lstsq(J, -r, rcond=1e-10)[0]
        for _ in range(6):
            new = miss(p + move)
            if np.all(np.isfinite(new)) and new @ new < r @ r:
                break
            move = 0.5 * move
        else:
            return p
        settled = r @ r - new @ new <= 1e-8 * (r @ r)
        p, r = p + move, new
        if settled:
            break
    return p


def _error(plan: Plan, models: Any, x: np.ndarray, end: np.ndarray) -> float:
    *_, last = march(plan, models, {"x": x})
    return float(np.sqrt(np.mean(np.sum((last["x"] - end).reshape(len(x), -1) ** 2, axis=1))))


class _Remembered:
    """A model that is not called again where it has just been called: differences of linear parameters cost nothing."""

    def __init__(self, model: Callable, kept: int):
        self.model, self.calls, self.known = model, 0, deque(maxlen=kept)

    def __call__(self, tau: Any, z: np.ndarray, *args: Any) -> Any:
        for t, x, more, value in self.known:
            if t == tau and np.array_equal(x, z) and all(map(np.array_equal, more, args)):
                return value
        self.calls += 1
        value = self.model(tau, z, *args)
        self.known.append((float(tau), z, args, value))
        return value
