"""Where a run ends, differentiated with respect to the numbers of its plan: forward mode, one step at a time.

A number of step n changes nothing before step n. So numbers are taken in the order in which they first act, a chunk at
a time, and every chunk begins at its first step, from slots that were kept: for a dense table half the work of carrying
all tangents through the whole run. One compiled program takes one step of a pattern.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .carried import first_memories
from .host import as_models
from .noise import checked_key, draw, sample_keys
from .pattern import Pattern
from .plan import Plan
from .run import advanced, all_consts, all_slots, cast, first_slots


def tangents_of_run(
    plan: Plan,
    moves: Any,
    models: Any,
    x: Any,
    slots: Mapping[str, Any],
    consts: Mapping[str, Any],
    key: Any,
    *,
    chunk: int,
    every: bool = False,
) -> list[Any]:
    """d x / d theta for each theta: at the end, or, where `every` is true, at every time along a new axis 0.

    moves  d numbers / d theta, the structure of plan.numbers, theta along a new axis 0 of every leaf
    chunk  tangents carried at a time
    """
    models, x = as_models(plan, models), jax.tree.map(jnp.asarray, x)
    consts, first = all_consts(plan, x, consts), first_slots(plan, x, slots)
    before = [all_slots(plan.patterns, first) | first_memories(models, x)]  # the slots before every step
    keys = sample_keys(checked_key(key, x, plan.name), x) if plan.draws else None
    steps, starts = _steps(plan.patterns, plan.numbers, moves), _first_steps(moves)
    order = np.argsort(starts, kind="stable")
    chunk = -(-len(order) // -(-len(order) // chunk))  # as many in each, so that one program does
    found: dict[int, Any] = {}
    for some in np.split(order, range(chunk, len(order), chunk)):
        which = np.concatenate([some, np.repeat(some[-1:], chunk - len(some))])  # the last one again: same shapes
        begin = min(int(starts[some[0]]), len(before) - 1)
        now = before[begin]
        along = jax.tree.map(lambda a: jnp.zeros((chunk, *a.shape), a.dtype), eqx.filter(now, eqx.is_inexact_array))
        path = [along["x"]] * (begin + 1)
        for n in range(begin, len(steps)):
            pattern, numbers, shifts = steps[n]
            names = [name for name in now if name in pattern.slots or name not in plan.slots]
            inner, moving = ({name: slots[name] for name in names} for slots in (now, along))
            shifts = jax.tree.map(lambda a, which=which: a[which], shifts)
            after, moved = _step(pattern, numbers, shifts, inner, moving, models, keys, np.int32(n), consts)
            now, along = now | after, along | moved
            before += [now] if len(before) == n + 1 else []
            path.append(along["x"])
        ends = jax.tree.map(lambda *a: jnp.stack(a, 1), *path) if every else path[-1]
        found |= {int(k): jax.tree.map(lambda a, j=j: np.asarray(a[j]), ends) for j, k in enumerate(some)}
    return [found[k] for k in range(len(order))]


@eqx.filter_jit
def _step(
    pattern: Pattern,
    numbers: Any,
    shifts: Any,
    slots: dict[str, Any],
    moving: dict[str, Any],
    models: Sequence[Any],
    keys: Any,
    n: Any,
    consts: dict[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The slots after one step, and their tangents along each of the shifts of its numbers."""
    draws = {name: draw(keys, n, d, slots["x"]) for d, name in enumerate(pattern.draws)}
    dtype = jnp.result_type(*jax.tree.leaves([slots[name] for name in pattern.slots]))
    numbers, shifts = cast(numbers, dtype), cast(shifts, dtype)
    state, still = eqx.partition(slots, eqx.is_inexact_array)

    def after(numbers: Any, state: Any) -> dict[str, Any]:
        coef, tau = numbers
        return advanced(pattern, coef, tau, eqx.combine(state, still), models, draws, consts)

    inexact = lambda *a: eqx.filter(after(*a), eqx.is_inexact_array)  # noqa: E731
    along = lambda *tangents: jax.jvp(inexact, (numbers, state), tangents)[1]  # noqa: E731
    return after(numbers, state), jax.vmap(along)(shifts, moving)


def _steps(patterns: Sequence[Pattern], numbers: Any, moves: Any) -> list[tuple[Pattern, Any, Any]]:
    """(pattern, its numbers, their moves) of every step."""
    found = []
    for pattern, own, move in zip(patterns, numbers, moves, strict=True):
        for k in range(len(own[1])):
            here = jax.tree.map(lambda a, k=k: np.asarray(a)[k if len(a) > 1 else 0], own)
            shift = jax.tree.map(lambda a, k=k: np.asarray(a)[:, k if a.shape[1] > 1 else 0], move)
            found.append((pattern, here, shift))
    return found


def _first_steps(moves: Any) -> np.ndarray:
    """The step in which each theta first changes a number."""
    found, begin = [], 0
    for coef, tau in moves:
        for leaf in jax.tree.leaves((coef, tau)):
            acts = np.any(np.reshape(np.asarray(leaf) != 0, (*leaf.shape[:2], -1)), axis=2)
            found.append(np.where(np.any(acts, axis=1), begin + np.argmax(acts, axis=1), np.inf))
        begin += tau.shape[1]
    return np.minimum(np.min(found, axis=0), begin - 1)
