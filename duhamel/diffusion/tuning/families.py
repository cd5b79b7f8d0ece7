"""Families of plans: theta -> plan, and the theta of a known plan to start from. NumPy only.

A family is what `rows.tune.fit` fits. Each is a pure function of theta; every plan of it has the same rows.
"""

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np

from duhamel.core import grid
from duhamel.rows.canonical import affine
from duhamel.rows.plan import Plan
from duhamel.rows.step import kept, step

from ..plans.registry import find
from ..schedule import Schedule
from .dense import dense_plan, dense_table

Family = Callable[[np.ndarray], Plan]


def times(name: str, schedule: Schedule, ts: Any, **options: Any) -> tuple[Family, np.ndarray]:
    """The timesteps of any registered sampler, its formulas following them: n - 1 numbers.

    lam_(i+1) - lam_i is proportional to exp(theta_i), so every theta is a grid that falls, between the ends of `ts`.
    Where ts ends in sigma = 0, the last time above it is free too.
    """
    ts = grid.check_grid(ts)
    terminal = float(schedule.rho(ts[-1])) == 0
    lam = np.asarray(schedule.lam(ts[:-1] if terminal else ts))
    steps = np.log(np.diff(lam))
    theta = steps if terminal else steps[1:] - steps[0]

    def family(theta: np.ndarray) -> Plan:
        parts = np.exp(theta) if terminal else np.exp(np.concatenate([[0.0], theta]))
        whole = 1.0 if terminal else (lam[-1] - lam[0]) / np.sum(parts)
        inner = np.asarray(schedule.t_of_lam(lam[0] + whole * np.cumsum(parts)))
        moved = np.concatenate([ts[:1], inner, ts[-1:]]) if terminal else np.concatenate([ts[:1], inner[:-1], ts[-1:]])
        return find(name).make(schedule, moved, **options)

    return family, theta


def coefficients(plan: Plan, schedule: Schedule, *, model_times: bool = True) -> tuple[Family, np.ndarray]:
    """All coefficients of a plan, constant data and constant noise being kept: theta = 0 is the plan itself.

    A row that reads k names on which these two constants fix two equations has k - 2 numbers: theta moves its
    coefficients in their null space. With `model_times` the model is told the noise level of another time, moved in
    lam. Slots that nothing has been kept in yet, and numbers stored once for all steps, stay as they are.
    """
    moves = _null_spaces(plan, schedule)
    free = sum(basis.shape[1] for *_, basis in moves)
    lams = [np.asarray(schedule.lam(s.tau)) for s in plan.segments] if model_times else []

    def family(theta: np.ndarray) -> Plan:
        used = count()
        coef = [[np.array(c) for c in s.coef] for s in plan.segments]
        for part, n, places, basis in moves:
            shift = basis @ theta[[next(used) for _ in range(basis.shape[1])]]
            for place, move in zip(places, shift, strict=True):
                coef[part][place][n] += move
        taus, begin = [s.tau for s in plan.segments], free
        for part, lam in enumerate(lams):
            taus[part] = np.asarray(schedule.t_of_lam(lam + theta[begin : begin + lam.size].reshape(lam.shape)))
            begin += lam.size
        return plan.with_numbers([(tuple(c), tau) for c, tau in zip(coef, taus, strict=True)])

    return family, np.zeros(free + sum(lam.size for lam in lams))


def _null_spaces(plan: Plan, schedule: Schedule) -> list[tuple[int, int, list[int], np.ndarray]]:
    """(segment, step, places of coefficients, basis of moves that change nothing for constant data and noise)."""

    def model(tau: Any, z: np.ndarray, *args: Any) -> np.ndarray:  # columns: parts of x_0 and of eps
        u, w = affine(plan.prediction, float(schedule.alpha(tau)), float(schedule.sigma(tau)))
        return u * z + w * np.array([1.0, 0.0])

    begin = plan.t[0]
    slots = dict.fromkeys(plan.slots, np.zeros(2)) | {
        "x": np.array([float(schedule.alpha(begin)), float(schedule.sigma(begin))])
    }
    moves = []
    for part, segment in enumerate(plan.segments):
        pattern = segment.pattern
        for n in range(segment.steps):
            env = step(pattern, *segment.at(n), slots, [model] * max(plan.models, 1))
            place = 0
            for row in pattern.rows:
                places = range(place, place + len(row.reads))
                place += len(row.reads)
                # a slot may be built anew under its own name: what a row reads is the value before
                values = [env[name] if name not in slots else slots[name] for name in row.reads]
                used = [
                    k
                    for k, v in zip(places, values, strict=True)
                    if np.any(v) and segment.coef[k].shape == (segment.steps,)
                ]
                matrix = (
                    np.stack([v for k, v in zip(places, values, strict=True) if k in used], axis=1) if used else None
                )
                if matrix is None or matrix.shape[1] < 2:
                    continue
                basis = _null(matrix)
                if basis.shape[1]:
                    moves.append((part, n, used, basis))
            slots = {**slots, **kept(pattern, env)}
    return moves


def _null(matrix: np.ndarray) -> np.ndarray:
    """Orthonormal columns that the matrix sends to zero."""
    scaled = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-300)
    _, s, vt = np.linalg.svd(scaled)
    return vt[np.sum(s > 1e-10) :].T


def table(plan: Plan, schedule: Schedule) -> tuple[Family, np.ndarray]:
    """All numbers of a dense table: a, b, and the model times in lam. Nothing is kept but the shape."""
    a, b, tau = dense_table(plan)
    n = len(a)
    below = np.tril_indices(n)
    end, info, lam = float(plan.t[-1]), dict(plan.info), np.asarray(schedule.lam(tau))

    def family(theta: np.ndarray) -> Plan:
        b = np.zeros((n, n))
        b[below] = theta[n : n + len(below[0])]
        with np.errstate(over="ignore"):  # a trial step may leave all numbers: its end is not finite, and is refused
            tau = np.asarray(schedule.t_of_lam(theta[n + len(below[0]) :]))
        return dense_plan(theta[:n], b, tau, end, name=plan.name, info=info)

    return family, np.concatenate([a, b[below], lam])
