"""Grids of times for samplers: from noise to data, so times fall. NumPy only.

`steps` counts the steps, so a grid has steps + 1 times. A *terminal* grid ends in sigma = 0: its last step is the
model's own word on the clean sample, and the steps before it go to `t_min`.
"""

from difflib import get_close_matches
from typing import Any

import numpy as np

from duhamel.core import grid

from ..schedule import Schedule

GRIDS = ("lam", "t", "quadratic", "karras")


def time_grid(
    schedule: Schedule,
    steps: int,
    kind: str = "lam",
    *,
    t_max: float | None = None,
    t_min: float | None = None,
    terminal: bool = False,
) -> np.ndarray:
    """Times from t_max down to t_min (or to sigma = 0), shape (steps + 1,), float64.

    kind      "lam" uniform in log(alpha / sigma); "t" uniform; "quadratic" uniform in sqrt(t) (DEIS, PNDM);
              "karras" uniform in rho^(1/7) (EDM)
    terminal  True: the last time is that of sigma = 0, and counts as one of the steps
    """
    steps = check_steps(steps)
    top = schedule.t_max if t_max is None else float(t_max)
    bottom = schedule.t_min if t_min is None else float(t_min)
    if not (bottom < top and schedule.rho(bottom) > 0):
        raise ValueError(
            f"t_max = {top:g} and t_min = {bottom:g}: sampling goes from t_max down to t_min, where sigma is above 0. "
            "For a last step to sigma = 0 pass terminal=True."
        )
    n = steps - 1 if terminal else steps
    ts = np.array([top]) if n == 0 else _interior(schedule, top, bottom, n, kind)
    return np.append(ts, schedule.t_zero) if terminal else ts


def _interior(schedule: Schedule, top: float, bottom: float, n: int, kind: str) -> np.ndarray:
    if kind == "t":
        return grid.uniform(top, bottom, n)
    if kind == "quadratic":
        return grid.quadratic(top, bottom, n)
    if kind == "lam":
        ts = schedule.t_of_lam(grid.uniform(float(schedule.lam(top)), float(schedule.lam(bottom)), n))
    elif kind == "karras":
        ts = schedule.t_of_rho(grid.karras(float(schedule.rho(top)), float(schedule.rho(bottom)), n))
    else:
        near = get_close_matches(str(kind), GRIDS, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"grid = {kind!r} is not a grid; known: {', '.join(GRIDS)}.{hint}")
    ts[0], ts[-1] = top, bottom
    return ts


def check_steps(steps: Any) -> int:
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        raise ValueError(f"steps = {steps!r}; a sampler makes a whole number of steps, at least one.")
    return int(steps)


def check_times(schedule: Schedule, ts: Any) -> np.ndarray:
    """`ts` as float64, or a sentence: at least two falling times with positive sigma; the last may have sigma = 0."""
    ts = grid.check_grid(ts)
    if ts[0] < ts[-1]:
        raise ValueError(
            f"ts rises from {ts[0]:g} to {ts[-1]:g}; a sampler goes from noise to data, so give falling times."
        )
    rho = np.asarray(schedule.rho(ts))
    if ts[-1] < schedule.t_zero or not (
        np.all(np.isfinite(rho)) and np.all(rho[:-1] > 0) and rho[-1] >= 0 and np.all(np.diff(rho) < 0)
    ):
        raise ValueError(
            f"ts goes from {ts[0]:g} to {ts[-1]:g}, which {type(schedule).__name__} does not cover; stay between "
            f"t_max = {schedule.t_max:g} and t_zero = {schedule.t_zero:g}."
        )
    return ts
