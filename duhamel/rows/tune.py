"""Fit the numbers of a plan: Levenberg-Marquardt on where the plan ends.

    minimise over theta   sum_i rho(|plan(theta)(x_i) - target_i|^2)        theta -> plan(theta): a *family* of plans

A family is a builder: float64 on the host, NumPy, few parameters, every plan of the same patterns. Its numbers are
differentiated by central differences there (builders have no derivatives, and need none), the run by forward mode,
vmapped over parameters, so the network stands once in one compiled program. Timesteps, coefficients, model times,
dense tables are all families: nothing here knows what theta means.

Every fit is judged on held-out noises, stops when they get worse, and never returns what is worse there than its start.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .pattern import Pattern
from .plan import Plan, Segment
from .run import run

Family = Callable[[np.ndarray], Plan]
Loss = Literal["squares", "soft-l1", "log"]
STEP = 6e-6  # of the central differences, relative: the cube root of float64's rounding


@dataclass(frozen=True)
class Cases:
    """Starts of a plan and where it should end.

    x, target     states of one structure; axis 0 counts samples. With save="steps" the target is at every time of the
                  plan, along a further axis in front
    slots, consts, key   as for `Plan.run`
    models        where they differ from those of `fit`, as a network conditioned on these cases' classes does
    """

    x: Any
    target: Any
    slots: Mapping[str, Any] = field(default_factory=dict)
    consts: Mapping[str, Any] = field(default_factory=dict)
    key: Any = None
    models: Any = None


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
    progress    told after every iteration
    """
    fitted = Cases(x, target, slots or {}, consts or {}, key)
    if held_out is None or isinstance(held_out, Cases):
        judged = held_out or fitted
    elif slots:
        raise ValueError("slots hold a value for every case; give held_out=Cases(x, target, slots=...) too.")
    else:
        judged = replace(fitted, x=held_out[0], target=held_out[1])
    theta = np.array(theta, np.float64)
    if theta.ndim != 1 or not len(theta) or not np.all(np.isfinite(theta)):
        raise ValueError(f"theta has shape {theta.shape}; fit needs a vector of finite parameters to start from.")
    with _precision(x):
        ends, judging = (_Runs(models, cases, save) for cases in (fitted, judged))
        marquardt = _Marquardt(family, ends, judging, Robust(loss, scale), by_loss=judge == "loss", chunk=chunk)
        return marquardt(theta, iterations, tolerance, patience if held_out is not None else iterations, progress)


def errors_of(plan: Plan, models: Any, cases: Cases, save: str | None = None) -> np.ndarray:
    """Root mean square distance of each case's end to its target, over its components: shape (samples,)."""
    with _precision(cases.x):
        return np.sqrt(_squares(_Runs(models, cases, save).residual(plan)))


def tangents_of(family: Family, theta: np.ndarray) -> Any:
    """d numbers / d theta by central differences: the numbers' structure, the parameters along a new axis 0."""
    here, columns = family(theta), []
    for k, h in enumerate(STEP * np.maximum(1.0, np.abs(theta))):
        ends = [family(np.where(np.arange(len(theta)) == k, theta + s * h, theta)) for s in (1, -1)]
        for plan in ends:
            if plan.patterns != here.patterns or _shapes(plan) != _shapes(here):
                raise ValueError(
                    f"theta[{k}] changes the rows or the shapes of the plan; all plans of a family must have the same "
                    "patterns, as many steps, and coefficients of the same shapes."
                )
        columns.append(jax.tree.map(lambda a, b, h=h: (a - b) / (2 * h), *(plan.numbers for plan in ends)))
    return jax.tree.map(lambda *c: np.stack(c), *columns)


def _precision(x: Any) -> Any:
    """Float64 where the state is, whatever the process's own setting."""
    wide = any(np.result_type(leaf) in (np.float64, np.complex128) for leaf in jax.tree.leaves(x))
    return jax.enable_x64(True) if wide else nullcontext()


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


class _Runs:
    """Where plans end on some cases, against the target: float64 on the host."""

    def __init__(self, models: Any, cases: Cases, save: str | None):
        models = models if cases.models is None else cases.models
        self.inputs = (models, cases.x, dict(cases.slots), dict(cases.consts), cases.key, save)
        self.target = np.asarray(_flat(cases.target, save), np.float64)

    def residual(self, plan: Plan) -> np.ndarray:
        """(samples, components)"""
        ends = np.asarray(_ends(plan.patterns, plan.numbers, *self.inputs), np.float64)
        if ends.shape != self.target.shape:
            raise ValueError(
                f"the plan ends with {ends.shape} (samples, numbers), but the target has {self.target.shape}; it must "
                "have the structure of x, and every time of the plan in front where save='steps'."
            )
        return ends - self.target

    def jacobian(self, plan: Plan, tangents: Any, chunk: int) -> np.ndarray:
        """(samples, components, parameters)"""
        count = jax.tree.leaves(tangents)[0].shape[0]
        chunk = -(-count // -(-count // chunk))  # as many in each, so that one program does
        parts = []
        for begin in range(0, count, chunk):
            take = np.minimum(np.arange(begin, begin + chunk), count - 1)  # the last ones again: same shapes
            part = jax.tree.map(lambda a, take=take: a[take], tangents)
            parts.append(np.asarray(_tangent_ends(plan.patterns, plan.numbers, part, *self.inputs), np.float64))
        return np.moveaxis(np.concatenate(parts)[:count], 0, -1)


@eqx.filter_jit
def _ends(
    patterns: tuple[Pattern, ...], numbers: Any, models: Any, x: Any, slots: Any, consts: Any, key: Any, save: Any
) -> Any:
    """(samples, components). One program for all plans of the patterns and as many steps."""
    segments = tuple(Segment(p, tuple(coef), tau) for p, (coef, tau) in zip(patterns, numbers, strict=True))
    plan = Plan("fitted", segments, np.arange(1.0 + sum(s.steps for s in segments)))
    return _flat(run(plan, models, x, slots=slots, consts=consts, key=key, save=save, checkpoint=False), save)


@eqx.filter_jit
def _tangent_ends(patterns: tuple[Pattern, ...], numbers: Any, tangents: Any, *rest: Any) -> Any:
    """d ends along each of the tangents of the numbers: (tangents, samples, components)."""

    def along(tangent: Any) -> Any:
        return jax.jvp(lambda moved: _ends(patterns, moved, *rest), (numbers,), (tangent,))[1]

    return jax.vmap(along)(tangents)


class _Marquardt:
    """The iteration: a Jacobian, then as much damping as it takes for the loss to fall."""

    def __init__(self, family: Family, fitted: _Runs, judged: _Runs, robust: Robust, *, by_loss: bool, chunk: int):
        self.family, self.fitted, self.judged = family, fitted, judged
        self.robust, self.by_loss, self.chunk = robust, by_loss, chunk

    def __call__(
        self, theta: np.ndarray, iterations: int, tolerance: float, patience: int, progress: Callable | None
    ) -> Fitted:
        plan = self.family(theta)
        residual, errors = self.fitted.residual(plan), _squares(self.judged.residual(plan))
        if not np.all(np.isfinite(residual)):
            raise ValueError("the plan at the first theta ends in NaN or infinity; start from a plan that works.")
        self.robust = self.robust.scaled(_squares(residual))
        loss, _ = self.robust(_squares(residual))
        best = first = (self._score(errors), plan, theta, errors)
        history, waited, damping = [], 0, 1e-3
        for iteration in range(1, iterations + 1):
            found = self._step(theta, plan, residual, loss, damping)
            if found is None:
                break
            before, (theta, plan, residual, loss, damping) = loss, found
            errors = _squares(self.judged.residual(plan))
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
        root = np.sqrt(self.robust(_squares(residual))[1])[:, None]
        J = self.fitted.jacobian(plan, tangents_of(self.family, theta), self.chunk)
        if not np.all(np.isfinite(J)):
            return None
        propose = damped_steps((J * root[..., None]).reshape(-1, len(theta)), (residual * root).ravel())
        growth = 2.0
        for _ in range(12):
            step, promised = propose(damping)
            try:
                plan = self.family(theta - step)
            except ValueError:  # outside of the family, such as a grid that turns back
                damping, growth = damping * growth, 2 * growth
                continue
            moved = self.fitted.residual(plan)
            new, _ = self.robust(_squares(moved))
            if new < loss:  # false for NaN
                gain = (loss - new) * residual.size / promised  # 1 where the linear model is right (Nielsen 1999)
                damping = max(damping * max(1 / 3, 1 - (2 * gain - 1) ** 3), 1e-12)
                return theta - step, plan, moved, new, damping
            damping, growth = damping * growth, 2 * growth
        return None

    def _score(self, squares: np.ndarray) -> float:
        return self.robust(squares)[0] if self.by_loss else _root_mean(squares)


def damped_steps(J: np.ndarray, r: np.ndarray) -> Callable[[float], tuple[np.ndarray, float]]:
    """mu -> (s, |r|^2 - |r - J s|^2), s = argmin |J s - r|^2 + mu |D s|^2, D the norms of J's columns

    One QR decomposition and the singular values of its small factor serve every mu.
    """
    norms = np.linalg.norm(J, axis=0)
    norms = np.where(norms > 0, norms, 1.0)
    Q, R = np.linalg.qr(J / norms)
    U, s, Vt = np.linalg.svd(R, full_matrices=False)
    along = U.T @ (Q.T @ r)

    def step(mu: float) -> tuple[np.ndarray, float]:
        kept = s**2 / (s**2 + mu)
        return Vt.T @ (s / (s**2 + mu) * along) / norms, float(np.sum((2 - kept) * kept * along**2))

    return step


def _flat(tree: Any, save: str | None) -> Any:
    """A state, or one at every time, as real numbers (samples, components). NumPy or JAX arrays."""

    def leaf(a: Any) -> Any:
        a = jnp.asarray(a)
        a = jnp.moveaxis(a, 1, 0) if save == "steps" else a
        a = a.reshape(a.shape[0], -1)
        return jnp.concatenate([a.real, a.imag], axis=1) if jnp.iscomplexobj(a) else a

    return jnp.concatenate([leaf(a) for a in jax.tree.leaves(tree)], axis=1)


def _squares(residual: np.ndarray) -> np.ndarray:
    """Mean square of each case's components."""
    return np.mean(residual**2, axis=1)


def _root_mean(squares: np.ndarray) -> float:
    return float(np.sqrt(np.mean(squares)))


def _shapes(plan: Plan) -> list[tuple[int, ...]]:
    return [np.shape(a) for a in jax.tree.leaves(plan.numbers)]
