"""GITS: the best subset of a teacher's times, by dynamic programming (Chen et al., arXiv 2405.11326).

Along an exact trajectory y(rho) = x / alpha, one step of Euler's method (DDIM) from rho_i to rho_j misses it by

    c_ij = E |y_i + (rho_j - rho_i) eps_i - y_j|

and n steps through i_0 = 0 < i_1 < ... < i_n = N cost sum_k gamma^(n - 1 - k) c_(i_k, i_(k+1)). With gamma > 1, errors
that are made early weigh more, for the steps after them carry them along; the paper takes 1.15 on images.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from duhamel.methods.tableaux.low import RK4
from duhamel.rows.host import march

from ..plans.grid import check_steps, check_times, time_grid
from ..plans.singlestep import rho_rk
from ..schedule import Schedule
from .found import FoundGrid, Progress, silent

Model = Callable[[Any, Any], np.ndarray]


def deviations(model: Model, x: np.ndarray, schedule: Schedule, ts: np.ndarray, *, inner: int = 1) -> np.ndarray:
    """c_ij, shape (N + 1, N + 1), for i < j; above a teacher that makes `inner` steps of order 4 between its times.

    model  eps(t, x) on NumPy arrays;   x  noises at ts[0], samples along axis 0
    """
    ts = check_times(schedule, ts)
    lam = np.asarray(schedule.lam(ts))
    fine = np.interp(np.arange(inner * (len(ts) - 1) + 1) / inner, np.arange(len(ts)), lam)
    times = np.asarray(schedule.t_of_lam(fine))
    times[::inner] = ts
    states = [slots["x"] for slots in march(rho_rk(schedule, times, RK4), model, {"x": x})][::inner]
    rho, alpha = np.asarray(schedule.rho(ts)), np.broadcast_to(np.asarray(schedule.alpha(ts)), ts.shape)
    y = np.stack([s.reshape(len(s), -1) / a for s, a in zip(states, alpha, strict=True)])
    eps = np.stack([model(t, s).reshape(len(s), -1) for t, s in zip(ts[:-1], states[:-1], strict=True)])
    cost = np.full((len(ts), len(ts)), np.inf)
    for i in range(len(ts) - 1):
        miss = y[i] + (rho[i + 1 :] - rho[i])[:, None, None] * eps[i] - y[i + 1 :]
        cost[i, i + 1 :] = np.mean(np.linalg.norm(miss, axis=2), axis=1)
    return cost


def cheapest(cost: np.ndarray, steps: int, gamma: float = 1.0) -> tuple[float, np.ndarray]:
    """The cheapest way of `steps` steps from the first index to the last, and its indices, shape (steps + 1,)."""
    N = len(cost) - 1
    if not 1 <= steps <= N:
        raise ValueError(f"steps = {steps}; between 1 and {N} steps can be chosen from a teacher of {N} steps.")
    best = np.full((steps + 1, N + 1), np.inf)
    best[0, 0] = 0.0
    came = np.zeros((steps + 1, N + 1), int)
    for k in range(1, steps + 1):
        total = gamma * best[k - 1][:, None] + cost
        came[k] = np.argmin(total, axis=0)
        best[k] = np.min(total, axis=0)
    way = [N]
    for k in range(steps, 0, -1):
        way.append(int(came[k, way[-1]]))
    return float(best[steps, N]), np.array(way[::-1])


def gits(
    model: Model,
    x: np.ndarray,
    schedule: Schedule,
    steps: int,
    *,
    teacher: int = 60,
    gamma: float = 1.15,
    t_max: float | None = None,
    t_min: float | None = None,
    progress: Progress = silent,
) -> FoundGrid:
    """`steps` of the times of a teacher of `teacher` steps (uniform in log-SNR): no better choice of them exists.

    model, x  see `deviations`; a few hundred noises are enough, for the trajectories of all samples bend alike
    `start` is the cost of equal steps through the same times.
    """
    steps = check_steps(steps)
    if gamma <= 0:
        raise ValueError(f"gamma = {gamma}; the factor of earlier errors is positive, 1 to 1.2 usually.")
    ts = time_grid(schedule, teacher, "lam", t_max=t_max, t_min=t_min)
    progress("the teacher's trajectories", 0.0)
    cost = deviations(model, np.asarray(x, np.float64), schedule, ts, inner=max(1, 120 // teacher))
    progress("dynamic programming", 0.9)
    value, way = cheapest(cost, steps, gamma)
    even = np.unique(np.round(np.linspace(0, teacher, steps + 1)).astype(int))
    start = sum(gamma ** (steps - 1 - k) * cost[a, b] for k, (a, b) in enumerate(pairwise(even)))
    facts = {"search": "gits", "teacher": teacher, "gamma": gamma, "samples": len(x)}
    return FoundGrid(ts[way], value, float(start), facts)
