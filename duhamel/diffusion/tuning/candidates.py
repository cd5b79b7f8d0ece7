"""Every deterministic sampler on every grid, at one number of evaluations: where tuning starts. NumPy only."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np

from duhamel.rows.plan import Plan

from ..plans.grid import GRIDS, time_grid
from ..plans.registry import SAMPLERS
from ..schedule import Schedule
from .dense import dense, dense_table


@dataclass(frozen=True, eq=False)
class Candidate:
    """A published sampler on a grid: its name in the registry, its options, the grid, and the plan as a dense table."""

    name: str
    options: dict[str, Any]
    grid: str
    plan: Plan
    table: Plan

    @property
    def label(self) -> str:
        options = ", ".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.name}({options}) on {self.grid}"


def candidates(schedule: Schedule, nfe: int, t_max: float | None = None, t_min: float | None = None) -> list[Candidate]:
    """All deterministic samplers of the registry, of all their orders, with and without lower final orders, on all
    grids, ending at t_min or at sigma = 0, that make exactly `nfe` evaluations. Each method once, by its first name.

    Left out: grids that bring other ends, and plans that are no dense table (constants, several models).
    """
    grids = _grids(schedule, nfe, t_max, t_min)
    found: dict[bytes, Candidate] = {}
    for name, options in _variants():
        for steps in range(nfe, 0, -1):
            fewest = 0
            for kind, ts in grids[steps]:
                plan = _build(name, schedule, ts, options)
                fewest = max(fewest, plan.nfe if plan else 0)
                table = _table(plan, schedule) if plan is not None and plan.nfe == nfe else None
                if plan is not None and table is not None:
                    key = np.round(np.concatenate([np.ravel(part) for part in dense_table(table)]), 10).tobytes()
                    found.setdefault(key, Candidate(name, options, kind, plan, table))
            if 0 < fewest <= nfe:
                break  # fewer steps make fewer evaluations
    return list(found.values())


def _variants() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, sampler in SAMPLERS.items():
        if name == "dpm-solver-fast":  # chooses its own grid; its orders, given, are those of dpm-solver
            continue
        known = signature(sampler.make).parameters
        for order in sampler.orders or {None: 1}:
            options = dict(sampler.still) | ({} if order is None else {"order": order})
            yield name, options
            if "lower_final" in known:
                yield name, options | {"lower_final": True}


def _grids(
    schedule: Schedule, nfe: int, t_max: float | None, t_min: float | None
) -> dict[int, list[tuple[str, np.ndarray]]]:
    """By the number of steps: every grid between the ends, and with its last step going to sigma = 0."""
    top, bottom = (schedule.t_max if t_max is None else t_max), (schedule.t_min if t_min is None else t_min)
    grids: dict[int, list[tuple[str, np.ndarray]]] = {}
    for steps in range(1, nfe + 1):
        grids[steps] = [
            (kind + " to sigma = 0" if terminal else kind, ts)
            for kind in GRIDS
            for terminal in (False, True)
            for _, ts in grids_between(schedule, steps, top, bottom, (kind,), terminal=terminal)
        ]
    return grids


def grids_between(
    schedule: Schedule, steps: int, top: float, bottom: float, kinds: Sequence[str], *, terminal: bool = False
) -> list[tuple[str, np.ndarray]]:
    """Those of the grids that this schedule has, from `top` to `bottom`, or with their last step going to sigma = 0."""
    found = []
    for kind in kinds:
        try:
            ts = time_grid(schedule, steps, kind, t_max=top, t_min=bottom, terminal=terminal)
        except ValueError:
            continue
        if ts[0] == top and ts[-1] == (schedule.t_zero if terminal else bottom):
            found.append((kind, ts))
    return found


def _build(name: str, schedule: Schedule, ts: np.ndarray, options: dict[str, Any]) -> Plan | None:
    try:
        return SAMPLERS[name].make(schedule, ts, **options)
    except ValueError:  # too few steps for it, or an end where it cannot evaluate
        return None


def _table(plan: Plan, schedule: Schedule) -> Plan | None:
    try:
        return dense(plan, schedule)
    except ValueError:
        return None
