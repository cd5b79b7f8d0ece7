"""Align Your Steps: noise levels that bound the error of the reverse SDE (Sabour et al., arXiv 2404.14507).

    K(rho_0 > ... > rho_n) = sum_i E int_{rho_(i+1)}^{rho_i} rho^-3 |D(rho, x_rho) - D(rho_i, x_rho_i)|^2 d rho

By Girsanov's theorem this is the divergence between the paths of the reverse SDE and of the sampler that keeps D over
each step (SDE-DPM-Solver++ of order 1, DDIM with eta = 1), so it bounds that of their ends; a constant factor moves no
minimum. For the posterior mean, D(rho, x_rho) is a martingale as rho falls, and with s = rho^-2

    K = 1/2 [int v d s - sum_i v(s_i) (s_(i+1) - s_i)],     v(s) = E |D|^2:   a Riemann sum of an increasing function.

For Gaussian data of variance c^2 in d dimensions K = d/2 sum_i (r_i - 1 - log r_i), r_i the ratio of 1 + c^2 / rho^2
over step i: least where all ratios are equal (`information_levels`).
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from ..plans.grid import check_steps, check_times
from ..schedule import Schedule
from .found import FoundGrid, Progress, silent

Model = Callable[[Any, Any], np.ndarray]
Number = float | int | np.floating


def information_levels(first: Number, last: Number, steps: int, variance: Number = 1.0) -> np.ndarray:
    """rho from `first` down to `last`, shape (steps + 1,): the minimum of K for Gaussian data of that variance."""
    told = np.log1p(variance * np.array([first, last], np.float64) ** -2.0)
    levels = np.sqrt(variance / np.expm1(np.linspace(told[0], told[1], steps + 1)))
    levels[[0, -1]] = first, last
    return levels


def gaussian_klub(rho: np.ndarray, variance: Number = 1.0, dimension: int = 1) -> float:
    """K in closed form for Gaussian data: d/2 sum (r - 1 - log r)."""
    r = np.exp(np.diff(np.log1p(variance * np.asarray(rho, np.float64) ** -2.0)))
    return float(0.5 * dimension * np.sum(r - 1 - np.log(r)))


class Klub:
    """K by Monte Carlo, with the same random numbers for every grid, so that grids can be compared.

    model    D(t, x) on NumPy arrays, t one number per point
    data     clean samples, shape (points, ...)
    rho is drawn, in equal parts of probability, from what the integrand would be for Gaussian data of that variance.
    """

    def __init__(self, model: Model, data: np.ndarray, schedule: Schedule, seed: int = 0):
        rng = np.random.default_rng(seed)
        self.model, self.schedule = model, schedule
        self.data = np.asarray(data, np.float64)
        self.variance = float(np.mean(np.var(self.data, axis=0)))
        count = len(self.data)
        self.places = rng.permutation((np.arange(count) + rng.random(count)) / count)
        self.noise = rng.standard_normal((2, *self.data.shape))

    def step(self, first: float, last: float) -> float:
        """The part of K between two noise levels, first > last."""
        c2 = self.variance
        # with r = (1 + c^2/rho^2) / (1 + c^2/first^2) the Gaussian's integral is r - 1 - log r
        whole = np.log1p(c2 / last**2) - np.log1p(c2 / first**2)
        log_r = whole * np.linspace(0.0, 1.0, 513) ** 2
        share = np.expm1(log_r) - log_r
        drawn = np.interp(self.places * share[-1], share, log_r)
        rho = np.sqrt(c2 / np.expm1(drawn + np.log1p(c2 / first**2)))
        along = (-1, *(1,) * (self.data.ndim - 1))
        near = self.data + rho.reshape(along) * self.noise[0]
        far = near + np.sqrt(np.maximum(first**2 - rho**2, 0.0)).reshape(along) * self.noise[1]
        gap = (self._denoise(rho, near) - self._denoise(np.full(len(rho), first), far)) ** 2
        square = np.sum(gap.reshape(len(rho), -1), axis=1)
        # rho^-3 over the density expm1(drawn) |d log r / d rho| / share, d log r / d rho = -2 c^2 / (rho^3 + c^2 rho)
        weight = share[-1] * (1 + c2 / rho**2) / (2 * c2 * np.maximum(np.expm1(drawn), 1e-300))
        return float(np.mean(square * weight))

    def __call__(self, rho: np.ndarray) -> float:
        return sum(self.step(float(a), float(b)) for a, b in pairwise(rho))

    def _denoise(self, rho: np.ndarray, y: np.ndarray) -> np.ndarray:
        """D at x = alpha y."""
        t = np.asarray(self.schedule.t_of_rho(rho))
        alpha = np.broadcast_to(np.asarray(self.schedule.alpha(t)), t.shape)
        return np.asarray(self.model(t, alpha.reshape(-1, *(1,) * (y.ndim - 1)) * y), np.float64)


def align(
    model: Model,
    data: np.ndarray,
    schedule: Schedule,
    steps: int,
    *,
    t_max: float | None = None,
    t_min: float | None = None,
    sweeps: int = 3,
    seed: int = 0,
    progress: Progress = silent,
) -> FoundGrid:
    """The grid of `steps` steps with the smallest K, by the paper's hierarchy: few levels first, then twice as many.

    model, data  see `Klub`; a thousand samples give a grid to a few per cent
    sweeps       how often every inner level is moved to its best place between its neighbours (three are enough: K is
                 flat around its minimum, and the paper stops early as well)
    `value` and `start` are K of the result and of uniform log-SNR, on samples that the optimiser has not seen.
    """
    steps = check_steps(steps)
    top = schedule.t_max if t_max is None else float(t_max)
    bottom = schedule.t_min if t_min is None else float(t_min)
    ends = (float(schedule.rho(top)), float(schedule.rho(bottom)))
    half = len(data) // 2
    if half < 8:
        raise ValueError(f"data holds {len(data)} samples; align needs at least 16, and a thousand are better.")
    bound, judge = Klub(model, data[:half], schedule, seed), Klub(model, data[half:], schedule, seed + 1)
    counts = [steps]
    while counts[0] > 4:
        counts.insert(0, (counts[0] + 1) // 2)
    told = np.log1p(bound.variance / np.square(information_levels(ends[0], ends[1], counts[0], bound.variance)))
    for k, count in enumerate(counts):
        told = _subdivided(told, count)
        for sweep in range(sweeps):
            progress(f"{count} steps, sweep {sweep + 1} of {sweeps}", (k + sweep / sweeps) / len(counts))
            # successive over-relaxation: near its minimum the bound is a chain of springs between the levels
            relax = 2 / (1 + np.sin(np.pi / count)) if sweep < sweeps - 1 else 1.0
            told = _swept(bound, told, ends, relax)
    rho = _levels(told, bound.variance, ends)
    ts = np.asarray(schedule.t_of_rho(rho))
    ts[0], ts[-1] = top, bottom
    even = np.geomspace(ends[0], ends[1], steps + 1)
    found, start = judge(rho), judge(even)
    facts = {"search": "align-your-steps", "samples": half, "sweeps": sweeps, "seed": seed}
    return FoundGrid(check_times(schedule, ts), found, start, facts)


def _levels(told: np.ndarray, variance: float, ends: tuple[float, float]) -> np.ndarray:
    rho = np.sqrt(variance / np.expm1(told))
    rho[0], rho[-1] = ends
    return rho


def _subdivided(told: np.ndarray, count: int) -> np.ndarray:
    """New levels in the middle of the widest steps, until there are `count` steps."""
    while len(told) - 1 < count:
        widest = int(np.argmax(np.diff(told)))
        told = np.insert(told, widest + 1, 0.5 * (told[widest] + told[widest + 1]))
    return told


def _swept(bound: Klub, told: np.ndarray, ends: tuple[float, float], relax: float) -> np.ndarray:
    """Every inner level to its best place between its neighbours, in turn, and `relax` times as far."""
    told = told.copy()
    for i in range(1, len(told) - 1):
        low, high = told[i - 1], told[i + 1]
        before, after = _levels(told, bound.variance, ends)[[i - 1, i + 1]]

        def parts(z: Any, before: float = before, after: float = after) -> float:
            rho = float(np.sqrt(bound.variance / np.expm1(float(z))))
            return bound.step(before, rho) + bound.step(rho, after)

        margin = 0.02 * (high - low)
        found: Any = minimize_scalar(
            parts, bounds=(low + margin, high - margin), method="bounded", options={"xatol": 0.01 * (high - low)}
        )
        told[i] = np.clip(told[i] + relax * (float(found.x) - told[i]), low + margin, high - margin)
    return told
