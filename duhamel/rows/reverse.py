"""Undo a plan exactly: the plan whose rows solve those of each step for what the step began with.

A step keeps sums of its slots and its model values F. If the last F was evaluated at a state that can be formed from
what is kept, F can be evaluated again, counts as known, and the one before it is tried; at the end the first slots
must be sums of what is known. BDIA, EDICT and leapfrog are undone so; Euler is not, as it keeps no state at which it
called the model.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .checks import inversion_margin
from .pattern import Pattern, Row
from .plan import Plan, Segment
from .step import kept, step

TOLERANCE = 1e-9  # of a least-squares residual, relative to the row it should reproduce


def reverse(plan: Plan) -> Plan:
    """The plan that takes the last slots of `plan` back to its first ones, with the same model values.

    Start it with every slot: `back.run(model, end["x"], slots={...})` where end = plan.run(..., save="slots").
    Its info holds `checks.inversion_margin`, by how much it magnifies rounding: it does not run in a dtype that has
    not the digits. ValueError when a step cannot be undone.
    """
    first = plan.segments[0]
    segments = tuple(_undo(segment, plan.name, segment is first) for segment in reversed(plan.segments))
    info = {**plan.info, "inversion_margin": inversion_margin(plan, plan.slots)}
    return replace(plan, name=f"{plan.name} reversed", segments=segments, t=plan.t[::-1], info=info)


def _undo(segment: Segment, name: str, first: bool) -> Segment:
    pattern = segment.pattern
    calls = [row for row in pattern.rows if row.call is not None]
    if pattern.draws:
        raise ValueError(
            f"plan {name!r} draws noise and cannot be undone; build it without, or keep its draws yourself."
        )
    if any(set(row.args) - set(pattern.consts) for row in calls):
        raise ValueError(f"plan {name!r} passes states to its model as further arguments; it cannot be undone.")
    if shared := {row.call for row in calls} & set(pattern.slots):
        raise ValueError(f"plan {name!r} keeps a model value in slot {min(map(str, shared))!r}; it cannot be undone.")
    if any(c.ndim > 1 for c in segment.coef):
        raise ValueError(f"plan {name!r} has array coefficients; only numbers can be undone.")

    basis = [*pattern.consts, *(str(row.call) for row in calls), *pattern.slots]
    points, ends = _matrices(segment, basis)
    units = {name: np.tile(row, (segment.steps, 1)) for name, row in zip(basis, np.eye(len(basis)), strict=True)}
    known = {c: units[c] for c in pattern.consts}
    state = dict(zip(pattern.slots, np.moveaxis(ends, 1, 0), strict=True))
    rows: list[Row] = []
    coef: list[np.ndarray] = []
    order: list[int] = []

    def solve(target: np.ndarray) -> tuple[tuple[str, ...], list[np.ndarray]] | None:
        rows = known | state  # small terms first, kept state last
        weights = _combination(target, np.stack(list(rows.values()), axis=2))
        return None if weights is None else (tuple(rows), [w[::-1] for w in weights.T])

    while len(order) < len(calls):
        for k in reversed([k for k in range(len(calls)) if k not in order]):
            found = solve(points[:, k])
            if found:
                rows.append(replace(calls[k], out=f"at_{calls[k].call}", reads=found[0]))
                coef += found[1]
                order.append(k)
                known[str(calls[k].call)] = units[str(calls[k].call)]
                break
        else:
            raise ValueError(
                f"plan {name!r} cannot be undone: a step calls its model at a state that it does not keep; "
                "use an invertible plan such as BDIA."
            )
    for slot in pattern.slots:
        column = basis.index(slot)
        target = units[slot].copy()
        if first and not np.any(points[0, :, column]) and not np.any(ends[0, :, column]):
            target[0] = 0.0  # a first step that does not read the slot leaves no trace of it: zero, as slots begin
        found = solve(target)
        if not found:
            raise ValueError(f"plan {name!r} cannot be undone: slot {slot!r} does not follow from what a step keeps.")
        rows.append(Row(f"before_{slot}", found[0]))
        coef += found[1]
    keep = tuple((slot, f"before_{slot}") for slot in pattern.slots)
    return Segment(Pattern(tuple(rows), keep, (), pattern.consts), tuple(coef), segment.tau[::-1, order])


def _matrices(segment: Segment, basis: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Evaluation points (steps, calls, B) and kept slots (steps, slots, B) of every step over the basis."""
    pattern = segment.pattern
    unit = dict(zip(basis, np.eye(len(basis)), strict=True))
    calls = [row for row in pattern.rows if row.call is not None]
    points, ends = [], []
    for n in range(segment.steps):
        values = iter([unit[str(row.call)] for row in calls])
        models = [lambda tau, z, *args, values=values: next(values)] * (
            1 + max((row.model for row in calls), default=0)
        )
        env = step(pattern, *segment.at(n), {name: unit[name] for name in (*pattern.slots, *pattern.consts)}, models)
        points.append([env[row.out] for row in calls])
        ends.append(list(kept(pattern, env).values()))
    return np.array(points).reshape(segment.steps, len(calls), len(basis)), np.array(ends)


def _combination(target: np.ndarray, rows: np.ndarray) -> np.ndarray | None:
    """Weights w (steps, q) with rows (steps, B, q) @ w = target (steps, B), or None if a step has none."""
    weights = np.stack([np.linalg.lstsq(A, b, rcond=None)[0] for A, b in zip(rows, target, strict=True)])
    residual = np.einsum("nbq,nq->nb", rows, weights) - target
    size = np.max(np.abs(target), axis=1) + np.max(np.abs(rows), axis=(1, 2)) * np.max(np.abs(weights), axis=1)
    return weights if np.all(np.max(np.abs(residual), axis=1) <= TOLERANCE * size) else None
