"""A plan: a method tabulated on a grid of times, in float64, on the host.

    step n:   z = sum_i c_i[n] v_i,   F = N(tau[n], z, *args)        for every row of the segment's pattern

A plan is data. It is printed, compared, checked, saved and composed without a network, and `Plan.run` is the
only place that needs JAX. The numbers are arguments of the compiled program, so another plan of the same
patterns and the same number of steps runs without compiling again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .pattern import Pattern

RTOL = 1e-12  # builders work in float64: two formulas for one method agree to rounding, not bit for bit


@dataclass(frozen=True, eq=False)
class Segment:
    """Consecutive steps of one pattern.

    pattern  the rows
    coef     one array for each name a row reads (`pattern.positions`), of shape (steps, *element), or
             (1, *element) when it is the same in every step; `element` broadcasts against x: () for a number,
             (d,) for one number per component or mode, complex allowed
    tau      model times, shape (steps, calls), in the order of the calls; float64
    """

    pattern: Pattern
    coef: tuple[Any, ...]
    tau: Any

    def __post_init__(self):
        object.__setattr__(self, "tau", _host(self.tau, "tau"))
        names = [f"{read!r} in row {out!r}" for out, read in self.pattern.positions]
        if len(self.coef) != len(names):
            raise ValueError(
                f"coef holds {len(self.coef)} arrays, but the rows of the pattern read {len(names)} names."
            )
        coef = tuple(_host(c, f"the coefficient of {name}") for c, name in zip(self.coef, names, strict=True))
        object.__setattr__(self, "coef", coef)
        if self.tau.ndim < 2 or self.tau.shape[1] != self.pattern.calls or self.tau.shape[0] < 1:
            raise ValueError(
                f"tau has shape {self.tau.shape}; it must be (steps, calls) with steps >= 1 and calls = "
                f"{self.pattern.calls}, the model calls of one step."
            )
        for c, name in zip(coef, names, strict=True):
            if c.ndim < 1 or c.shape[0] not in (1, self.steps):
                raise ValueError(
                    f"the coefficient of {name} has shape {c.shape}; its first axis must be {self.steps} (steps) or 1."
                )

    @property
    def steps(self) -> int:
        return self.tau.shape[0]

    def at(self, n: int) -> tuple[list[Any], list[Any]]:
        """Coefficients and model times of step n, in the order in which `step` wants them."""
        return [c[n if c.shape[0] > 1 else 0] for c in self.coef], list(self.tau[n])


@dataclass(frozen=True, eq=False)
class Plan:
    """A method on a grid, ready to be run with any model.

    name        what papers call it
    segments    steps of equal pattern, in order
    t           the grid, shape (steps + 1,); slot "x" holds the state at t[n] when step n begins. It may rise and fall
    prediction  what the model must return: "data", "noise", "score", "velocity"; None: a plain vector field
    info        further facts for people (JSON types only), such as the schedule's parameters

    Two plans are equal when their patterns, numbers (to 1e-12 relative), grids and predictions are; names may differ.
    `canonical.plans_equal` compares what plans *do* instead: "ddim" equals "unipc of order 1" there.
    """

    name: str
    segments: tuple[Segment, ...]
    t: Any
    prediction: str | None = None
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "segments", tuple(self.segments))
        object.__setattr__(self, "t", _host(self.t, "t"))
        if not self.segments:
            raise ValueError(f"plan {self.name!r} has no segment; it must make at least one step.")
        if self.t.ndim < 1 or self.t.shape[0] != self.steps + 1:
            raise ValueError(f"t has shape {self.t.shape}; a plan of {self.steps} steps needs {self.steps + 1} times.")
        for pattern in self.patterns:
            if "x" not in pattern.slots:
                raise ValueError(f"a pattern of plan {self.name!r} keeps no slot 'x'; the state must be called x.")

    @property
    def steps(self) -> int:
        return sum(s.steps for s in self.segments)

    @property
    def nfe(self) -> int:
        """Number of model evaluations."""
        return sum(s.steps * s.pattern.calls for s in self.segments)

    @property
    def copies(self) -> int:
        """How often a model stands in the compiled program: compile time grows with this, not with `steps`."""
        return sum(s.pattern.calls for s in self.segments)

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        return tuple(s.pattern for s in self.segments)

    @property
    def models(self) -> int:
        """How many models `run` wants."""
        return 1 + max((row.model for p in self.patterns for row in p.rows if row.call is not None), default=-1)

    @property
    def slots(self) -> tuple[str, ...]:
        return _union(p.slots for p in self.patterns)

    @property
    def draws(self) -> tuple[str, ...]:
        return _union(p.draws for p in self.patterns)

    @property
    def consts(self) -> tuple[str, ...]:
        return _union(p.consts for p in self.patterns)

    @property
    def numbers(self) -> tuple[tuple[tuple[Any, ...], Any], ...]:
        """All numbers, as ((coef, tau) of each segment): a JAX pytree, to be fitted or vmapped."""
        return tuple((s.coef, s.tau) for s in self.segments)

    def with_numbers(self, numbers: Sequence[tuple[Sequence[Any], Any]]) -> "Plan":
        """The same patterns with other numbers, which may be JAX tracers: jax.grad and jax.vmap reach them here."""
        pairs = zip(self.segments, numbers, strict=True)
        return replace(self, segments=tuple(Segment(s.pattern, tuple(coef), tau) for s, (coef, tau) in pairs))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Plan):
            return NotImplemented
        same = self.patterns == other.patterns and self.prediction == other.prediction
        return (
            same
            and _close(self.t, other.t)
            and all(
                a.tau.shape == b.tau.shape and _close(a.tau, b.tau) and all(map(_close, a.coef, b.coef))
                for a, b in zip(self.segments, other.segments, strict=True)
            )
        )

    def __hash__(self) -> int:
        return hash((self.patterns, self.prediction, self.steps))

    def __repr__(self) -> str:
        from .show import summary

        return summary(self)

    def show(self, digits: int = 5) -> str:
        """Every row with its names and numbers, as a readable table."""
        from .show import table

        return table(self, digits)

    def run(
        self,
        models: Callable | Sequence[Callable],
        x: Any,
        *,
        slots: Mapping[str, Any] | None = None,
        consts: Mapping[str, Any] | None = None,
        key: Any = None,
        noise: Mapping[str, Any] | str | None = None,
        save: str | None = None,
        unroll: int = 1,
        progress: Callable[[int, int], None] | None = None,
        callback: Callable[[int, float, Any], None] | None = None,
        checkpoint: bool = True,
    ) -> Any:
        """Run the plan with JAX; see `rows.run.run`, which this calls."""
        from .run import run

        told = {"progress": progress, "callback": callback}
        options = {"save": save, "unroll": unroll, "checkpoint": checkpoint, **told}
        return run(self, models, x, slots=slots, consts=consts, key=key, noise=noise, **options)

    def run_torch(
        self,
        models: Callable | Sequence[Callable],
        x: Any,
        *,
        slots: Mapping[str, Any] | None = None,
        consts: Mapping[str, Any] | None = None,
        seed: int | Sequence[int] | None = None,
        noise: Mapping[str, Any] | None = None,
        save: str | None = None,
        progress: Callable[[int, int], None] | None = None,
        callback: Callable[[int, float, Any], None] | None = None,
    ) -> Any:
        """Run the plan on PyTorch tensors, without JAX; see `rows.run_torch.run_torch`, which this calls."""
        from .run_torch import run_torch

        options = {"save": save, "progress": progress, "callback": callback}
        return run_torch(self, models, x, slots=slots, consts=consts, seed=seed, noise=noise, **options)

    def canonical(self, prediction: str | None = None, alpha: Any = None, sigma: Any = None, **options: Any) -> Any:
        """The strictly lower-triangular form; see `rows.canonical.canonical`, which this calls."""
        from .canonical import canonical

        return canonical(self, prediction, alpha, sigma, **options)

    def reversed(self) -> "Plan":
        """The plan that undoes this one exactly; see `rows.reverse.reverse`, which this calls."""
        from .reverse import reverse

        return reverse(self)

    def tune(
        self, models: Callable | Sequence[Callable], x: Any, target: Any, *, family: Any = None, **options: Any
    ) -> Any:
        """Fit this plan's numbers so that it takes x to target; see `rows.tune.fit`, which this calls.

        family   (function theta -> Plan, first theta), such as `diffusion.tuning.families` builds; None: all numbers
                 that are given step by step
        options  of `fit`: held_out, loss, iterations, progress, ...
        Returns a `rows.tune.Fitted`. `duhamel.diffusion.tune` finds plan and family by itself.
        """
        from .tune import fit, free_numbers

        build, theta = free_numbers(self) if family is None else family
        return fit(build, theta, models, x, target, **options)

    def save(self, path: str | Path) -> Path:
        """Write numbers (NPZ) and names (JSON) into one file, without pickle."""
        from .io import save

        return save(self, path)

    @staticmethod
    def load(path: Any) -> "Plan":
        """Read a plan that `save` wrote."""
        from .io import load

        return load(path)


def tabulate(
    name: str,
    pattern: Pattern,
    coef: Callable[[float, float], Sequence[Any]],
    tau: Callable[[float, float], Sequence[float]],
    t: Any,
    prediction: str | None = None,
    info: Mapping[str, Any] | None = None,
) -> Plan:
    """The plan of a one-step method: coef(t, h) and tau(t, h) at every step of the grid t, shape (steps + 1,).

    An array coefficient (one number per mode) that is the same in every step is stored once.
    """
    t = _host(t, "t")
    if t.ndim != 1 or t.shape[0] < 2:
        raise ValueError(f"t has shape {t.shape}; a grid needs at least two times.")
    columns: list[list[np.ndarray]] = [[] for _ in pattern.positions]
    taus = []
    for start, h in zip(t[:-1], np.diff(t), strict=True):
        for column, c in zip(columns, coef(start, h), strict=True):
            c = np.asarray(c)
            if not (c.ndim and len(column) == 1 and np.array_equal(column[0], c)):
                column.append(c)
        taus.append(list(tau(start, h)))
    for column in columns:
        if 1 < len(column) < len(taus):  # equal at first, then not: the equal ones were stored once
            column[:0] = [column[0]] * (len(taus) - len(column))
    stacked = tuple(np.stack(column) for column in columns)
    return Plan(name, (Segment(pattern, stacked, np.reshape(taus, (len(taus), -1))),), t, prediction, info or {})


def compose(plans: Sequence[Plan], name: str | None = None) -> Plan:
    """One plan after the other. The time at which one ends is the time at which the next begins.

    A slot is handed on by name: a plan that reads a slot which an earlier one kept, finds it. Neighbours of one
    pattern become one segment, so that repeating a plan does not grow the compiled program.
    """
    first, *rest = plans
    segments, t = list(first.segments), first.t
    for plan in rest:
        if plan.prediction != first.prediction:
            raise ValueError(
                f"cannot compose {plan.name!r} (model returns {plan.prediction}) with {first.name!r} (model returns "
                f"{first.prediction}); build both for one prediction."
            )
        if not np.isclose(plan.t[0], t[-1], rtol=1e-9, atol=1e-12):
            raise ValueError(
                f"plan {plan.name!r} begins at t = {plan.t[0]:g}, but the plan before it ends at {t[-1]:g}."
            )
        t = np.concatenate([t, plan.t[1:]])
        for segment in plan.segments:
            if segment.pattern == segments[-1].pattern:
                segments[-1] = _join(segments[-1], segment)
            else:
                segments.append(segment)
    return Plan(name or " + ".join(p.name for p in plans), tuple(segments), t, first.prediction, first.info)


def _join(a: Segment, b: Segment) -> Segment:
    def column(c: np.ndarray, d: np.ndarray) -> np.ndarray:
        if c.shape == d.shape and c.shape[0] == 1 and np.array_equal(c, d):
            return c
        element = np.broadcast_shapes(c.shape[1:], d.shape[1:])
        return np.concatenate([np.broadcast_to(c, (a.steps, *element)), np.broadcast_to(d, (b.steps, *element))])

    return Segment(a.pattern, tuple(map(column, a.coef, b.coef)), np.concatenate([a.tau, b.tau]))


def _host(value: Any, what: str) -> Any:
    """Numbers become finite float64 or complex128 NumPy arrays; JAX arrays and tracers pass untouched."""
    if not isinstance(value, np.ndarray | np.generic | float | int | complex | list | tuple):
        if hasattr(value, "shape") and hasattr(value, "dtype"):
            return value
        raise TypeError(f"{what} must be an array of numbers, got {type(value).__name__}.")
    array = np.asarray(value)
    if array.dtype.kind not in "fiuc":
        raise TypeError(f"{what} must be an array of numbers, got dtype {array.dtype}.")
    array = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
    if not np.all(np.isfinite(array)):
        raise ValueError(
            f"{what} is not finite; a builder divided by zero or took log(0), look at the ends of the grid."
        )
    array.flags.writeable = False
    return array


def _close(a: Any, b: Any) -> bool:
    try:
        return bool(np.allclose(a, b, rtol=RTOL, atol=1e-14))
    except ValueError:  # shapes that do not broadcast
        return False


def _union(names: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for group in names for name in group))
