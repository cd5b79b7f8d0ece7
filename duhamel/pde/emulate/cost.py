"""What an emulator is worth: its cost beside a coarse classical solver of equal accuracy, and where it breaks even.

Comparisons with a solver run finer than the emulator's own error flatter the emulator (McGreivy and Hakim 2024, arXiv
2407.07218: 79 % of papers). So the solver is coarsened here until it is only as accurate as the emulator.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from duhamel.pde.metrics import relative_l2


@dataclass(frozen=True)
class Run:
    """One way to answer: its name, mean relative L2 error, and seconds for one sample (of a batch)."""

    name: str
    error: float
    seconds: float


@dataclass(frozen=True)
class Cost:
    """An emulator beside the quickest classical run that is no less accurate

        N* = (data + training) / (classical - emulator)

    solves after which the emulator has paid for itself. Infinite when the classical run is as quick.

    data, training  seconds spent before the first answer;   emulator  its error and seconds a sample
    classical       all coarse runs that were measured;   matched  the one of equal accuracy, None if none is
    """

    data: float
    training: float
    emulator: Run
    classical: tuple[Run, ...]

    @property
    def matched(self) -> Run | None:
        good = [run for run in self.classical if run.error <= self.emulator.error]
        return min(good, key=lambda run: run.seconds) if good else None

    @property
    def break_even(self) -> float:
        """N*; infinite where the emulator never pays, NaN where no classical run was as accurate."""
        if self.matched is None:
            return math.nan
        saved = self.matched.seconds - self.emulator.seconds
        return (self.data + self.training) / saved if saved > 0 else math.inf

    @property
    def speed_up(self) -> float:
        """Seconds of the matched classical run over the emulator's; below 1 the classical run is quicker."""
        return self.matched.seconds / self.emulator.seconds if self.matched else math.nan

    def sentence(self) -> str:
        if self.matched is None:
            return (
                f"No coarse run was as accurate as the emulator ({100 * self.emulator.error:.3g} %): measure "
                "finer ones before this counts for the emulator."
            )
        told = f"At equal error ({100 * self.matched.error:.2g} % against {100 * self.emulator.error:.2g} %) "
        if not math.isfinite(self.break_even):
            return (
                f"{told}the classical run ({self.matched.name}) takes {1 / self.speed_up:.1f} times less time than the "
                "emulator, which therefore never pays for its training."
            )
        return (
            f"{told}the emulator is {self.speed_up:.1f} times quicker than the classical run ({self.matched.name}), "
            f"and has paid for its data and training after {self.break_even:,.0f} solves."
        )


def measured_run(
    name: str,
    answer: Callable[[], Any],
    truth: Any,
    finish: Callable[[Any], Any] = lambda found: found,
    repeats: int = 3,
) -> Run:
    """finish(answer()) -> fields like truth (samples, ...); the least of `repeats` times of answer() after a first call

    The first call compiles; `finish`, which brings fields to the points of the truth, is not counted.
    """
    truth = np.asarray(truth, np.float64)
    found = np.asarray(finish(jax.block_until_ready(answer())), np.float64)
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(answer())
        seconds.append(time.perf_counter() - begin)
    return Run(name, float(np.mean(relative_l2(found, truth))), min(seconds) / len(truth))


def coarse_runs(
    solve: Callable[[int, int], tuple[Callable[[], Any], Callable[[Any], Any]]],
    settings: Sequence[tuple[int, int]],
    truth: Any,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[Run, ...]:
    """Error and time of (answer, finish) = solve(points, steps) for each setting, quickest first; without blow-ups."""
    runs = []
    for points, steps in settings:
        progress(f"classical solver, {points} points, {steps} steps")
        answer, finish = solve(points, steps)
        name = f"{points} points" + (f", {steps} steps" if steps else "")
        run = measured_run(name, answer, truth, finish)
        if math.isfinite(run.error):
            runs.append(run)
    return tuple(sorted(runs, key=lambda run: run.seconds))
