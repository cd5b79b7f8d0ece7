"""Grids that stop before the noise is gone and leave the rest to the model's last word (Li, arXiv 2510.02390).

    rho_i = (rho_max^(1/p) + i/n (rho_end^(1/p) - rho_max^(1/p)))^p,   i = 0 .. n,   then sigma = 0: x_0 = D(x_end)

Two numbers: the power p, and where the grid stops. EDM's grid is p = 7 and the smallest noise of the schedule.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import differential_evolution

from duhamel.core import grid
from duhamel.rows.plan import Plan

from ..plans.grid import check_steps, check_times
from ..schedule import Schedule
from .found import FoundGrid, Progress, silent

POWERS = (1.0, 20.0)


def stopping_grid(schedule: Schedule, steps: int, power: float, end: float, *, denoise: bool = True) -> np.ndarray:
    """The times of the formula above, shape (steps + 1,).

    end      rho where the grid stops
    denoise  the last of the `steps` goes to sigma = 0; False: all steps are on the way to `end`, and noise is left
    """
    steps = check_steps(steps)
    top = float(schedule.rho(schedule.t_max))
    if not (power >= 1 and 0 < end < top):
        raise ValueError(f"power = {power:g} and end = {end:g}: give a power of at least 1 and an end below {top:g}.")
    n = steps - 1 if denoise else steps
    rho = grid.powers(top, end, n, power) if n else np.array([top])
    ts = np.asarray(schedule.t_of_rho(rho))
    ts[0] = schedule.t_max
    return check_times(schedule, np.append(ts, schedule.t_zero) if denoise else ts)


def search_stop(
    make: Callable[[np.ndarray], Plan],
    fitness: Callable[[Plan], float],
    schedule: Schedule,
    steps: int,
    *,
    largest: float = 0.5,
    rounds: int = 8,
    seed: int = 0,
    progress: Progress = silent,
) -> FoundGrid:
    """Power and end with the smallest fitness of make(ts), by SciPy's differential evolution in (log p, log end).

    fitness  of a plan: run it on noises that stay the same, and compare with data; judge the result on others
    largest  the most noise, as rho, that may be left to the last step
    `start` is EDM's grid down to the schedule's smallest noise; the result is never worse than that.
    """
    smallest = float(schedule.rho(schedule.t_min))
    if not smallest < largest:
        raise ValueError(f"largest = {largest:g} must be above the schedule's smallest rho, {smallest:g}.")
    times = lambda z: stopping_grid(schedule, steps, float(np.exp(z[0])), float(np.exp(z[1])))  # noqa: E731
    start = float(fitness(make(stopping_grid(schedule, steps, 7.0, smallest))))

    def watch(intermediate_result: Any) -> None:
        progress(f"power {np.exp(intermediate_result.x[0]):.3g}, end {np.exp(intermediate_result.x[1]):.3g}", None)

    done = differential_evolution(
        lambda z: fitness(make(times(z))),
        [tuple(np.log(POWERS)), (np.log(smallest), np.log(largest))],
        x0=np.log([7.0, smallest * 1.0001]),
        maxiter=rounds,
        popsize=5,
        polish=False,
        tol=0.0,
        rng=np.random.default_rng(seed),
        callback=watch,
    )
    power, end = (float(v) for v in np.exp(done.x))
    better = float(done.fun) < start
    facts = {"search": "few-steps", "power": power if better else 7.0, "end": end if better else smallest, "seed": seed}
    ts = times(done.x) if better else stopping_grid(schedule, steps, 7.0, smallest)
    return FoundGrid(ts, min(float(done.fun), start), start, facts)
