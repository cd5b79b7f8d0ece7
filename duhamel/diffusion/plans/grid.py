"""Grids of times for samplers: from noise to data, so times fall. NumPy only.

`steps` counts the steps, so a grid has steps + 1 times. A *terminal* grid ends in sigma = 0: its last step is the
model's own word on the clean sample, and the steps before it go to `t_min`.
"""

from difflib import get_close_matches
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import special

from duhamel.core import grid

from ..schedule import Schedule
from .nonuniform import nonuniform_levels

# sigma/alpha of ten steps that Align Your Steps (Sabour et al., arXiv 2404.14507) found for Stable Diffusion 1.5, SDXL
# and Stable Video Diffusion, as the authors published them; sigma = 0 follows.
PUBLISHED = {
    "ays-sd15": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152),
    "ays-sdxl": (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113),
    "ays-svd": (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034),
}
GRIDS = (
    *("lam", "t", "quadratic", "karras", "polyexponential", "beta", "linear-quadratic"),
    *("arctan", "information", "dm-nonuniform"),
    *PUBLISHED,
)

ALIASES = {"logsnr": "lam", "exponential": "lam", "uniform": "t"}  # other names of the same grids


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

    kind      "lam"              uniform in log(alpha / sigma); also "logsnr" and "exponential"
              "t", "quadratic"   uniform in t (also "uniform"), in sqrt(t) (DEIS, PNDM)
              "karras"           uniform in rho^(1/7) (EDM)
              "polyexponential"  log rho falls as (1 - i/n)^1.5: denser in small noise
              "beta"             quantiles in t of Beta(0.6, 0.6): denser at both ends (Lee et al., arXiv 2407.12173)
              "linear-quadratic" half of the steps as small as those of a thousand, at the noisy end, then growing
                                 quadratically (Movie Gen, arXiv 2410.13720; for flows)
              "arctan"           uniform in arctan(rho): DDIM's best for Gaussian data of variance 1 (arXiv 2404.14507)
              "information"      uniform in log(1 + rho^-2), twice what x_t tells of such data: the best for the reverse
                                 SDE by the bound that `search.ays` makes small
              "dm-nonuniform"    the smallest weights of a third-order sampler; see `nonuniform` (arXiv 2402.17376)
              "ays-sd15", "ays-sdxl", "ays-svd"  published noise levels, log rho interpolated to other numbers of steps;
                                 they bring their own ends
    terminal  True: the last time is that of sigma = 0, and counts as one of the steps
    """
    steps, kind = check_steps(steps), ALIASES.get(kind, kind)
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


def refined(schedule: Schedule, ts: Any, parts: int) -> np.ndarray:
    """`ts` with each step cut into `parts` of equal log rho (of equal rho towards sigma = 0): what a teacher walks."""
    ts, parts = check_times(schedule, ts), check_steps(parts)
    rho, places = np.asarray(schedule.rho(ts)), np.arange(1, parts + 1) / parts
    fine = [rho[:1]]
    for a, b in pairwise(rho):
        fine.append(a * (b / a) ** places if b > 0 else a * (1 - places))
    out = np.asarray(schedule.t_of_rho(np.concatenate(fine)), np.float64)
    out[::parts] = ts
    return out


def _interior(schedule: Schedule, top: float, bottom: float, n: int, kind: str) -> np.ndarray:
    places = np.linspace(0.0, 1.0, n + 1)
    if kind in PUBLISHED:
        return _published(schedule, kind, n)
    if kind == "t":
        ts = grid.uniform(top, bottom, n)
    elif kind == "quadratic":
        ts = grid.quadratic(top, bottom, n)
    elif kind == "beta":
        ts = top + (bottom - top) * special.betaincinv(0.6, 0.6, places)
    elif kind == "linear-quadratic":
        ts = top + (bottom - top) * _linear_quadratic(n)
    elif kind in ("lam", "polyexponential"):
        first, last = float(schedule.lam(top)), float(schedule.lam(bottom))
        even = grid.uniform(first, last, n)
        ts = schedule.t_of_lam(even if kind == "lam" else last + (first - last) * (1 - places) ** 1.5)
    elif kind == "karras":
        ts = schedule.t_of_rho(grid.karras(float(schedule.rho(top)), float(schedule.rho(bottom)), n))
    elif kind == "arctan":
        first, last = np.arctan(schedule.rho(np.array([top, bottom])))
        ts = schedule.t_of_rho(np.tan(grid.uniform(first, last, n)))
    elif kind == "information":
        first, last = np.log1p(np.asarray(schedule.rho(np.array([top, bottom]))) ** -2.0)
        ts = schedule.t_of_rho(np.expm1(grid.uniform(first, last, n)) ** -0.5)
    elif kind == "dm-nonuniform":
        ts = schedule.t_of_lam(nonuniform_levels(schedule.lam(top), schedule.lam(bottom), n))
    else:
        near = get_close_matches(str(kind), GRIDS, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"grid = {kind!r} is not a grid; known: {', '.join(GRIDS)}.{hint}")
    ts[0], ts[-1] = top, bottom
    return ts


def _linear_quadratic(n: int, threshold: float = 0.025) -> np.ndarray:
    """From 0 to 1 in n steps: n // 2 equal ones up to `threshold`, then a parabola with the same slope."""
    linear = n // 2
    if linear == 0:
        return np.linspace(0.0, 1.0, n + 1)
    rest = n - linear
    j, slope = np.arange(rest + 1), threshold / linear
    curve = (1 - threshold - slope * rest) / rest**2
    return np.concatenate([slope * np.arange(linear), threshold + slope * j + curve * j**2])


def _published(schedule: Schedule, kind: str, n: int) -> np.ndarray:
    levels = np.array(PUBLISHED[kind])
    if not schedule.rho(schedule.t_min) <= levels[-1] < levels[0] <= schedule.rho(schedule.t_max):
        raise ValueError(
            f"grid {kind!r} has noise levels sigma/alpha from {levels[0]:g} to {levels[-1]:g}, which "
            f"{type(schedule).__name__} does not cover; take another grid."
        )
    places = np.linspace(0.0, len(levels) - 1.0, n + 1)
    return np.asarray(schedule.t_of_rho(np.exp(np.interp(places, np.arange(len(levels)), np.log(levels)))))


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
    if ts[0] > schedule.t_last * (1 + 1e-9):
        raise ValueError(
            f"ts begins at {ts[0]:g}, and {type(schedule).__name__} ends at t = {schedule.t_last:g}; these may be "
            "noise levels or another program's times: schedule.t_of_rho(sigma / alpha) has the time of a level."
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
