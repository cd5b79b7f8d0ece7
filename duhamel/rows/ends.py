"""Where plans end, against where they should: residuals and their derivatives, as float64 on the host.

Forward mode (`rows.forward`) gives whole Jacobians; reverse mode gives each sample its own gradient along a few
directions, whatever the number of parameters. The plan's one compiled run is under both.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from duhamel.core.precision import enable_x64

from .forward import tangents_of_run
from .pattern import Pattern
from .plan import Plan, Segment
from .run import run

Family = Callable[[np.ndarray], Plan]
STEP = 6e-6  # of central differences, relative: the cube root of float64's rounding


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


def errors_of(plan: Plan, models: Any, cases: Cases | Sequence[Cases], save: str | None = None) -> np.ndarray:
    """Root mean square distance of each case's end to its target, over its components: shape (samples,)."""
    with precision(cases.x if isinstance(cases, Cases) else cases[0].x):
        return np.sqrt(squares_of(Ends(models, cases, save).residual(plan)))


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


def precision(x: Any) -> Any:
    """Float64 where the state is, whatever the process's own setting."""
    wide = any(np.result_type(leaf) in (np.float64, np.complex128) for leaf in jax.tree.leaves(x))
    return enable_x64(True) if wide else nullcontext()


class Ends:
    """Where plans end on some cases, against the target: float64 on the host. Several `Cases` are taken one after the
    other, each with models of its own: small batches stay in the caches."""

    def __init__(self, models: Any, cases: Cases | Sequence[Cases], save: str | None):
        parts = [cases] if isinstance(cases, Cases) else list(cases)
        self.save = save
        self.inputs = [
            (models if part.models is None else part.models, part.x, dict(part.slots), dict(part.consts), part.key)
            for part in parts
        ]
        self.targets = [np.asarray(_flat(part.target, save), np.float64) for part in parts]

    def residual(self, plan: Plan) -> np.ndarray:
        """(samples, components)"""
        parts = []
        for inputs, target in zip(self.inputs, self.targets, strict=True):
            with np.errstate(over="ignore"):  # a trial step may leave float32: it ends in infinity, and is refused
                ends = np.asarray(_ends(plan.patterns, plan.numbers, *inputs, self.save), np.float64)
            if ends.shape != target.shape:
                raise ValueError(
                    f"the plan ends with {ends.shape} (samples, numbers), but the target has {target.shape}; it must "
                    "have the structure of x, and every time of the plan in front where save='steps'."
                )
            parts.append(ends - target)
        return np.concatenate(parts)

    def jacobian(self, plan: Plan, tangents: Any, chunk: int) -> np.ndarray:
        """(samples, components, parameters)"""
        every = self.save == "steps"
        flat = lambda end: np.asarray(_flat(end, self.save), np.float64)  # noqa: E731
        parts = (tangents_of_run(plan, tangents, *inputs, chunk=chunk, every=every) for inputs in self.inputs)
        return np.concatenate([np.stack([flat(end) for end in ends], axis=-1) for ends in parts])

    def pulled(self, plan: Plan, tangents: Any, sides: np.ndarray) -> np.ndarray:
        """sides . d residual / d theta of each sample by itself: (sides, samples, parameters)."""
        cuts = np.cumsum([len(target) for target in self.targets])[:-1]
        parts = zip(self.inputs, np.split(sides, cuts, axis=1), strict=True)
        return np.concatenate([self._pulled(plan, tangents, part, inputs) for inputs, part in parts], axis=1)

    def _pulled(self, plan: Plan, tangents: Any, sides: np.ndarray, inputs: tuple) -> np.ndarray:
        rank = jax.tree.leaves(inputs[1])[0].ndim
        numbers = tuple(
            (tuple(_each(c, sides.shape[1], rank) for c in coef), np.repeat(tau[..., None], sides.shape[1], axis=-1))
            for coef, tau in plan.numbers
        )
        found = _pulled_back(plan.patterns, numbers, sides, *inputs, self.save)

        def along(pulled: Any, tangent: np.ndarray, samples: int) -> np.ndarray:
            pulled = np.moveaxis(np.asarray(pulled, np.float64), samples, 1).reshape(*sides.shape[:2], -1)
            return pulled @ tangent.reshape(len(tangent), -1).T

        parts = []
        for (coef, tau), (coef_moves, tau_moves) in zip(found, tangents, strict=True):
            parts += [along(c, move, 2) for c, move in zip(coef, coef_moves, strict=True)]
            parts.append(along(tau, tau_moves, -1))
        return np.sum(parts, axis=0)


def _each(c: np.ndarray, samples: int, rank: int) -> np.ndarray:
    """A coefficient (steps, *element) for each sample: (steps, samples, 1, ..., *element)."""
    c = c.reshape(c.shape[0], *(1,) * (rank - c.ndim + 1), *c.shape[1:])
    return np.repeat(c, samples, axis=1)


@eqx.filter_jit
def _ends(
    patterns: tuple[Pattern, ...], numbers: Any, models: Any, x: Any, slots: Any, consts: Any, key: Any, save: Any
) -> Any:
    """(samples, components). One program for all plans of the patterns and as many steps."""
    segments = tuple(Segment(p, tuple(coef), tau) for p, (coef, tau) in zip(patterns, numbers, strict=True))
    plan = Plan("fitted", segments, np.arange(1.0 + sum(s.steps for s in segments)))
    return _flat(run(plan, models, x, slots=slots, consts=consts, key=key, save=save), save)


@eqx.filter_jit
def _pulled_back(patterns: tuple[Pattern, ...], numbers: Any, sides: Any, *rest: Any) -> Any:
    """sides . d ends / d numbers: the numbers' structure, the sides along a new axis 0.

    Every sample has numbers of its own, so that one reverse run gives the gradient of each. No family is in here: one
    program serves them all.
    """
    ends, pull = jax.vjp(lambda moved: _ends(patterns, moved, *rest), numbers)
    return jax.vmap(lambda side: pull(side)[0])(sides.astype(ends.dtype))


def _flat(tree: Any, save: str | None) -> Any:
    """A state, or one at every time, as real numbers (samples, components). NumPy or JAX arrays."""

    def leaf(a: Any) -> Any:
        a = jnp.asarray(a)
        a = jnp.moveaxis(a, 1, 0) if save == "steps" else a
        a = a.reshape(a.shape[0], -1)
        return jnp.concatenate([a.real, a.imag], axis=1) if jnp.iscomplexobj(a) else a

    return jnp.concatenate([leaf(a) for a in jax.tree.leaves(tree)], axis=1)


def squares_of(residual: np.ndarray) -> np.ndarray:
    """Mean square of each case's components."""
    return np.mean(residual**2, axis=1)


def _shapes(plan: Plan) -> list[tuple[int, ...]]:
    return [np.shape(a) for a in jax.tree.leaves(plan.numbers)]
