"""Fit the numbers of a plan: Levenberg-Marquardt on where the plan ends.

    minimise over theta   sum_i rho(|plan(theta)(x_i) - target_i|^2)        theta -> plan(theta): a *family* of plans

A family is a builder: float64 on the host, NumPy, few parameters, every plan of the same patterns. Its numbers are
differentiated by central differences there (builders have no derivatives, and need none), the run by forward mode,
vmapped over parameters, so the network stands once in one compiled program. Timesteps, coefficients, model times,
dense tables are all families: nothing here knows what theta means.

Every fit is judged on held-out noises, stops when they get worse, and never returns what is worse there than its start.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from .ends import Cases, Ends, Family, errors_of as errors_of, precision, squares_of, tangents_of
from .plan import Plan

Loss = Literal["squares", "soft-l1", "log"]


@dataclass(frozen=True)
class Progress:
    """What `progress` is told after every iteration: the loss fitted, and the root mean square held-out error."""

    iteration: int
    iterations: int
    loss: float
    error: float


@dataclass(frozen=True, eq=False)
class Fitted:
    """An ordinary plan, and how it came about.

    plan      family(theta), or the family's start where nothing better was found on the held-out cases
    theta     its parameters
    start, error     held-out root mean square distance to the target per component, before and after
    medians   (before, after): held-out median over samples
    improved  whether plan is not the start
    history   one `Progress` for every iteration
    """

    plan: Plan
    theta: np.ndarray
    start: float
    error: float
    medians: tuple[float, float]
    improved: bool
    history: tuple[Progress, ...]


def fit(
    family: Family,
    theta: Any,
    models: Callable | Sequence[Callable],
    x: Any,
    target: Any,
    *,
    held_out: Cases | tuple[Any, Any] | None = None,
    loss: Loss = "squares",
    scale: float | None = None,
    judge: Literal["rms", "loss"] = "rms",
    slots: Mapping[str, Any] | None = None,
    consts: Mapping[str, Any] | None = None,
    key: Any = None,
    save: str | None = None,
    iterations: int = 20,
    tolerance: float = 1e-4,
    patience: int = 3,
    chunk: int = 16,
    probes: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Levenberg-Marquardt over theta, from theta.

    family      theta (p,) -> Plan. A ValueError of the builder (a grid that is not monotone) is a step that is refused
    models      as for `Plan.run`; x float64 runs the plan in float64, around a network of whatever precision it has
    x, target   starts and where they should end; axis 0 counts samples
    held_out    `Cases`, or (x, target): not fitted; of all iterations the best there is returned. None: the fitted
                cases themselves, and no early stop
    loss        rho of a sample's squared distance z = |r|^2, in units of scale^2:
                "squares" z;  "soft-l1" 2 sqrt(1 + z) - 2;  "log" log(1 + z), which gives up on samples that end in
                another basin. Minimised by reweighting
    scale       None: the median distance at the start
    judge       what the held-out cases are compared by: "rms" or the "loss"
    save        "steps": target at every time of the plan, see `Cases`
    key         as for `Plan.run`: the draws are the same in every iteration
    iterations  Jacobians at most; good values 10 to 30
    tolerance   stop when an iteration improves the loss by less, relative
    patience    stop after as many iterations in a row without a better held-out error
    chunk       parameters differentiated at a time: memory against speed
    probes      None: whole Jacobians by forward mode. A number: the exact gradient by reverse mode, and J^T J from as
                many random directions of each sample's residual, which costs 3 (probes + 1) runs whatever the number of
                parameters: for many samples (a thousand, and 1 or 2 probes). Models must take one time a sample
    progress    told after every iteration
    """
    fitted = Cases(x, target, slots or {}, consts or {}, key, models)
    if isinstance(held_out, Cases):
        held_out = replace(held_out, models=models if held_out.models is None else held_out.models)
    elif held_out is not None and slots:
        raise ValueError("slots hold a value for every case; give held_out=Cases(x, target, slots=...) too.")
    elif held_out is not None:
        held_out = replace(fitted, x=held_out[0], target=held_out[1])
    return fit_batches(
        family,
        theta,
        [fitted],
        [held_out] if held_out is not None else None,
        loss=loss,
        scale=scale,
        judge=judge,
        save=save,
        iterations=iterations,
        tolerance=tolerance,
        patience=patience,
        chunk=chunk,
        probes=probes,
        progress=progress,
    )


def fit_batches(
    family: Family,
    theta: Any,
    fitted: Sequence[Cases],
    held_out: Sequence[Cases] | None = None,
    *,
    loss: Loss = "squares",
    scale: float | None = None,
    judge: Literal["rms", "loss"] = "rms",
    save: str | None = None,
    iterations: int = 20,
    tolerance: float = 1e-4,
    patience: int = 3,
    chunk: int = 16,
    probes: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    """`fit` on cases that come in batches with models of their own, such as a network bound to each batch's classes.

    A network on a CPU is quickest where batch times `chunk` tangents stay in its caches: about 128 for a small one.
    """
    theta = np.array(theta, np.float64)
    if theta.ndim != 1 or not len(theta) or not np.all(np.isfinite(theta)):
        raise ValueError(f"theta has shape {theta.shape}; fit needs a vector of finite parameters to start from.")
    with precision(fitted[0].x):
        ends = Ends(None, fitted, save)
        judging = ends if held_out is None else Ends(None, held_out, save)
        marquardt = _Marquardt(
            family, ends, judging, Robust(loss, scale), by_loss=judge == "loss", chunk=chunk, probes=probes
        )
        return marquardt(theta, iterations, tolerance, iterations if held_out is None else patience, progress)


@dataclass(frozen=True)
class Robust:
    """rho and its slope, as functions of a sample's squared distance."""

    loss: Loss
    scale: float | None = None  # None: not known yet

    def __post_init__(self) -> None:
        if self.loss not in get_args(Loss):
            raise ValueError(f"loss = {self.loss!r}; known: {', '.join(get_args(Loss))}.")
        if self.scale is not None and not self.scale > 0:
            raise ValueError(f"scale = {self.scale}; it is the distance from which cases count less, above 0.")

    def scaled(self, squares: np.ndarray) -> "Robust":
        """With the median distance as scale where none is given."""
        return self if self.scale is not None else Robust(self.loss, float(np.sqrt(np.median(squares))) or 1.0)

    def __call__(self, squares: np.ndarray) -> tuple[float, np.ndarray]:
        """(mean loss in the units of squares, weight of each case)."""
        unit = (self.scale or 1.0) ** 2
        z = squares / unit
        if self.loss == "squares":
            return float(np.mean(squares)), np.ones_like(z)
        if self.loss == "log":
            return float(unit * np.mean(np.log1p(z))), 1 / (1 + z)
        root = np.sqrt(1 + z)
        return float(unit * np.mean(2 * root - 2)), 1 / root


class _Marquardt:
    """The iteration: a Jacobian, then as much damping as it takes for the loss to fall."""

    def __init__(
        self,
        family: Family,
        fitted: Ends,
        judged: Ends,
        robust: Robust,
        *,
        by_loss: bool,
        chunk: int,
        probes: int | None,
    ):
        self.family, self.fitted, self.judged = family, fitted, judged
        self.robust, self.by_loss, self.chunk, self.probes = robust, by_loss, chunk, probes
        self.rng = np.random.default_rng(0)

    def __call__(
        self, theta: np.ndarray, iterations: int, tolerance: float, patience: int, progress: Callable | None
    ) -> Fitted:
        plan = self.family(theta)
        residual, errors = self.fitted.residual(plan), squares_of(self.judged.residual(plan))
        if not np.all(np.isfinite(residual)):
            raise ValueError("the plan at the first theta ends in NaN or infinity; start from a plan that works.")
        self.robust = self.robust.scaled(squares_of(residual))
        loss, _ = self.robust(squares_of(residual))
        best = first = (self._score(errors), plan, theta, errors)
        history, waited, damping = [], 0, 1e-3
        for iteration in range(1, iterations + 1):
            found = self._step(theta, plan, residual, loss, damping)
            if found is None:
                break
            before, (theta, plan, residual, loss, damping) = loss, found
            errors = squares_of(self.judged.residual(plan))
            score = self._score(errors)
            waited = 0 if score < best[0] else waited + 1
            best = (score, plan, theta, errors) if score < best[0] else best
            history.append(Progress(iteration, iterations, loss, _root_mean(errors)))
            if progress is not None:
                progress(history[-1])
            if waited >= patience or loss > (1 - tolerance) * before:
                break
        medians = [float(np.sqrt(np.median(squares))) for squares in (first[3], best[3])]
        ends = (_root_mean(first[3]), _root_mean(best[3]))
        return Fitted(best[1], best[2], *ends, (medians[0], medians[1]), best is not first, tuple(history))

    def _step(
        self, theta: np.ndarray, plan: Plan, residual: np.ndarray, loss: float, damping: float
    ) -> tuple[np.ndarray, Plan, np.ndarray, float, float] | None:
        """The next theta with its plan, residual, loss and damping; None where no step lowers the loss."""
        rows, gradient = self._linear(theta, plan, residual)
        if not (np.all(np.isfinite(rows)) and np.all(np.isfinite(gradient))):
            return None
        propose = damped_steps(rows, gradient)
        growth = 2.0
        for _ in range(12):
            step, promised = propose(damping)
            try:
                plan = self.family(theta - step)
            except ValueError:  # outside of the family, such as a grid that turns back
                damping, growth = damping * growth, 2 * growth
                continue
            moved = self.fitted.residual(plan)
            new, _ = self.robust(squares_of(moved))
            if new < loss:  # false for NaN
                gain = (loss - new) * residual.size / promised  # 1 where the linear model is right (Nielsen 1999)
                damping = max(damping * max(1 / 3, 1 - (2 * gain - 1) ** 3), 1e-12)
                return theta - step, plan, moved, new, damping
            damping, growth = damping * growth, 2 * growth
        return None

    def _linear(self, theta: np.ndarray, plan: Plan, residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows R with R^T R = J^T W J, or an estimate of it, and the gradient J^T W r."""
        weights, tangents = self.robust(squares_of(residual))[1], tangents_of(self.family, theta)
        if self.probes is None:
            root = np.sqrt(weights)[:, None]
            J = (self.fitted.jacobian(plan, tangents, self.chunk) * root[..., None]).reshape(-1, len(theta))
            return J, J.T @ (residual * root).ravel()
        signs = self.rng.choice([-1.0, 1.0], (self.probes, *residual.shape))  # their outer products average to one
        sides = np.concatenate([(residual * weights[:, None])[None], signs * np.sqrt(weights)[:, None]])
        pulled = self.fitted.pulled(plan, tangents, sides)
        rows = pulled[1:].reshape(-1, len(theta)) / np.sqrt(self.probes)
        return rows, np.sum(pulled[0], axis=0)

    def _score(self, squares: np.ndarray) -> float:
        return self.robust(squares)[0] if self.by_loss else _root_mean(squares)


def free_numbers(plan: Plan) -> tuple[Family, np.ndarray]:
    """All real coefficients that a plan gives step by step, and where they are now. Numbers stored once for all steps
    (copies of a state, as a rule) and model times stay."""
    free = [[c.shape[0] == s.steps and np.isrealobj(c) for c in s.coef] for s in plan.segments]
    chosen = [c for s, which in zip(plan.segments, free, strict=True) for c, w in zip(s.coef, which, strict=True) if w]
    ends = np.cumsum([c.size for c in chosen])[:-1]

    def family(theta: np.ndarray) -> Plan:
        parts = iter(np.split(theta, ends))
        numbers = [
            (tuple(next(parts).reshape(c.shape) if w else c for c, w in zip(s.coef, which, strict=True)), s.tau)
            for s, which in zip(plan.segments, free, strict=True)
        ]
        return plan.with_numbers(numbers)

    return family, np.concatenate([c.ravel() for c in chosen]) if chosen else np.zeros(0)


def damped_steps(rows: np.ndarray, gradient: np.ndarray) -> Callable[[float], tuple[np.ndarray, float]]:
    """mu -> (s, |r|^2 - |r - J s|^2), s = argmin |J s - r|^2 + mu |D s|^2, D the norms of J's columns

    rows  R with R^T R = J^T J; gradient J^T r. One QR decomposition of R serves every mu.
    """
    norms = np.linalg.norm(rows, axis=0)
    norms = np.where(norms > 0, norms, 1.0)
    _, s, Vt = np.linalg.svd(np.linalg.qr(rows / norms, mode="r"), full_matrices=False)
    along = Vt @ (gradient / norms)

    def step(mu: float) -> tuple[np.ndarray, float]:
        moved = along / (s**2 + mu)
        return Vt.T @ moved / norms, float(np.sum((2 * along - s**2 * moved) * moved))

    return step


def _root_mean(squares: np.ndarray) -> float:
    return float(np.sqrt(np.mean(squares)))
