"""Samplers with their grids as data, and grids beyond those of `grid.time_grid`. NumPy only.

A grid ends in one of three ways:

    "t_min"     all steps go to the schedule's smallest noise
    "denoise"   to t_min, and a last step to sigma = 0: the model's own word
    "straight"  the formula of the grid goes to sigma = 0 itself, so that the last step leaves from much more noise

and may be one of `GRIDS`, or

    "flow-s"    uniform in rho / (s + rho), the time of rectified flow, for any schedule; shifted where s is not 1
    "vp-t", "vp-quadratic"   the noise levels of VP's linear and quadratic times, for any schedule
    "linspace", "trailing"   whole times of a chain, as pipelines space them; they end in sigma = 0
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from duhamel.core import grid as spacing
from duhamel.rows.plan import Plan

from ..discrete_vp import DiscreteVP
from ..schedule import VP, Schedule
from .grid import check_steps, check_times, time_grid
from .registry import SAMPLERS, find

End = Literal["t_min", "denoise", "straight"]
SHIFTS = (0.3, 0.55, 1.0, 3.0)
LEVELS = (*(f"flow-{s:g}" for s in SHIFTS), "vp-t", "vp-quadratic")
STRAIGHT = ("t", "quadratic", "karras", "arctan", *LEVELS)  # grids whose formula reaches sigma = 0
WHOLE = ("linspace", "trailing")


def times(schedule: Schedule, steps: int, grid: str, end: str = "t_min") -> np.ndarray:
    """Falling times of a grid, shape (steps + 1,), float64; raises ValueError where the schedule has no such grid."""
    steps = check_steps(steps)
    if end not in get_args(End):
        raise ValueError(f"end = {end!r}; a grid ends in one of {', '.join(get_args(End))}.")
    if grid in WHOLE:
        return _whole(schedule, steps, grid)
    if end != "straight" and grid not in LEVELS:
        return time_grid(schedule, steps, grid, terminal=end == "denoise")
    if end == "straight" and grid not in STRAIGHT:
        raise ValueError(f"grid {grid!r} does not reach sigma = 0; straight ones are {', '.join(STRAIGHT)}.")
    n = steps - (end == "denoise")
    if n == 0:
        return np.array([schedule.t_max, schedule.t_zero])
    ts = _falling(schedule, n, grid, 0.0 if end == "straight" else float(schedule.rho(schedule.t_min)))
    ts[0], ts[-1] = schedule.t_max, schedule.t_zero if end == "straight" else schedule.t_min
    return check_times(schedule, np.append(ts, schedule.t_zero) if end == "denoise" else ts)


def _falling(schedule: Schedule, n: int, grid: str, bottom: float) -> np.ndarray:
    """From t_max to where rho = bottom; the ends only nearly."""
    rho, left = float(schedule.rho(schedule.t_max)), 1 - np.arange(n + 1) / n
    if grid in ("t", "quadratic"):
        power, zero = (1, 2)[grid == "quadratic"], schedule.t_zero
        return zero + (schedule.t_max - zero) * left**power
    if grid == "karras":
        return np.asarray(schedule.t_of_rho(spacing.karras(rho, bottom, n)))
    if grid == "arctan":
        return np.asarray(schedule.t_of_rho(np.tan(np.arctan(rho) * left)))
    if grid.startswith("flow-"):
        shift = float(grid.removeprefix("flow-"))
        first, last = rho / (shift + rho), bottom / (shift + bottom)
        s = last + (first - last) * left
        return np.asarray(schedule.t_of_rho(shift * s / (1 - s)))
    other, power = VP(), (1, 2)[grid == "vp-quadratic"]
    first, last = (float(other.t_of_rho(np.float64(r))) ** (1 / power) for r in (rho, bottom))
    return np.asarray(schedule.t_of_rho(np.asarray(other.rho((last + (first - last) * left) ** power))))


def _whole(schedule: Schedule, n: int, spaced: str) -> np.ndarray:
    if not isinstance(schedule, DiscreteVP):
        raise ValueError(f"grid {spaced!r} is one of whole times, and {type(schedule).__name__} is no chain.")
    N = len(schedule.log_rho)
    if n > N:
        raise ValueError(f"steps = {n}; the chain has {N} times, so at most {N} steps.")
    whole = (
        np.linspace(0, N - 1, n + 1).round()[:0:-1] if spaced == "linspace" else np.arange(N, 0, -N / n).round() - 1.0
    )
    return np.append(whole[:n], schedule.t_zero)


@dataclass(frozen=True)
class Contender:
    """A sampler of the registry with its options, on a grid with its end."""

    name: str
    options: Mapping[str, Any]
    grid: str
    end: End

    @property
    def label(self) -> str:
        quiet = find(self.name).still
        options = ", ".join(f"{key}={value}" for key, value in self.options.items() if key not in quiet)
        ends = {"t_min": "", "denoise": ", then sigma = 0", "straight": ", straight to sigma = 0"}[self.end]
        return f"{self.name}({options}) on {self.grid}{ends}" if options else f"{self.name} on {self.grid}{ends}"

    def plan(self, schedule: Schedule, calls: int) -> Plan:
        """The plan of exactly so many calls of the model; ValueError where there is none on this schedule."""
        for steps in range(calls, 0, -1):
            plan = SAMPLERS[self.name].make(schedule, times(schedule, steps, self.grid, self.end), **self.options)
            if plan.nfe == calls:
                return plan
            if plan.nfe < calls:
                break
        raise ValueError(f"{self.label} makes no plan of {calls} calls.")

    def code(self, schedule: str, calls: int) -> str:
        """The line of Python that builds it; `schedule` is written as it is."""
        said = "".join(f", {key}={value!r}" for key, value in self.options.items())
        whole = self.grid not in (*LEVELS, *WHOLE) and self.end != "straight"
        where = (
            f'{calls}, grid="{self.grid}", terminal={self.end == "denoise"}'
            if whole
            else f'ts=times({schedule}, {calls}, "{self.grid}", "{self.end}")'
        )
        return f'build("{self.name}", {schedule}, {where}{said})'
