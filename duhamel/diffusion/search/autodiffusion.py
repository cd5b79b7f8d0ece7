"""AutoDiffusion: times chosen from a pool by evolution, for any sampler (Li et al., arXiv 2309.10438).

A genome is a subset of the pool, `steps` + 1 of its times with the first and the last; its fitness is what a user of
the samples would say, such as an energy distance to data: no teacher, and no derivative of anything.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from duhamel.rows.plan import Plan

from ..plans.grid import check_steps, time_grid
from ..schedule import Schedule
from .evolve import evolve
from .found import FoundGrid, Progress, silent

STARTS = ("lam", "t", "quadratic", "karras", "information", "dm-nonuniform")


def choose_times(
    make: Callable[[np.ndarray], Plan],
    fitness: Callable[[Plan], float],
    schedule: Schedule,
    steps: int,
    *,
    pool: Sequence[float] | np.ndarray | int = 100,
    t_max: float | None = None,
    t_min: float | None = None,
    generations: int = 20,
    children: int = 20,
    predictor: bool = False,
    seed: int = 0,
    progress: Progress = silent,
) -> FoundGrid:
    """The times from the pool with the smallest fitness of make(ts).

    make     ts -> plan, such as lambda ts: build("ddim", schedule, ts=ts)
    fitness  of a plan: run it on noises that stay the same, and compare the samples with data
    pool     the times to choose from, falling, or how many: then half are uniform in t and half in log-SNR
    It begins with the fixed grids, moved to the pool. `value` and `start` are its fitness and that of the best of
    those: judge the result on other noises and other data.
    """
    steps = check_steps(steps)
    times = _pool(schedule, pool, t_max, t_min)
    last = len(times) - 1
    if steps > last:
        raise ValueError(f"steps = {steps}: the pool has {len(times)} times, enough for {last} steps.")
    ends: dict[str, Any] = {"t_max": float(times[0]), "t_min": float(times[-1])}
    population = [_nearest(times, time_grid(schedule, steps, kind, **ends)) for kind in STARTS]

    def vary(rng: np.random.Generator, a: tuple, b: tuple) -> tuple:
        """Times of both parents, then one or two of them moved."""
        union = np.array(sorted({*a, *b}))
        picked = set(rng.choice(union, min(steps - 1, len(union)), replace=False).tolist())
        if rng.random() < 0.5:
            picked = set(a)
        for _ in range(int(rng.integers(1, 3))):
            if picked:
                old = int(rng.choice(sorted(picked)))
                width = 1 + int(abs(rng.normal()) * last / 12)
                picked.discard(old)
                picked.add(int(np.clip(old + rng.integers(-width, width + 1), 1, last - 1)))
        while len(picked) < steps - 1:
            picked.add(int(rng.integers(1, last)))
        return tuple(sorted(picked))

    grid = lambda genome: times[[0, *genome, last]]  # noqa: E731
    lam = np.asarray(schedule.lam(times))
    found = evolve(
        lambda genome: fitness(make(grid(genome))),
        population,
        vary,
        generations=generations if steps > 1 else 0,
        children=children,
        features=(lambda genome: lam[list(genome)].tolist()) if predictor else None,
        seed=seed,
        progress=progress,
    )
    facts = {"search": "autodiffusion", "pool": len(times), "measured": found.measured, "seed": seed}
    return FoundGrid(grid(found.best), found.score, min(found.first), facts)


def _pool(schedule: Schedule, pool: Any, t_max: float | None, t_min: float | None) -> np.ndarray:
    if isinstance(pool, int):
        both = [time_grid(schedule, max(1, pool // 2), kind, t_max=t_max, t_min=t_min) for kind in ("lam", "t")]
        return np.unique(np.concatenate(both))[::-1].copy()
    times = np.asarray(pool, np.float64)
    if times.ndim != 1 or len(times) < 2 or not np.all(np.diff(times) < 0):
        raise ValueError("pool must be falling times, at least two, or their number.")
    return times


def _nearest(times: np.ndarray, ts: np.ndarray) -> tuple[int, ...]:
    """Indices in the pool of the inner times of a grid, each one once."""
    taken: set[int] = set()
    for t in ts[1:-1]:
        free = [i for i in range(1, len(times) - 1) if i not in taken]
        taken.add(min(free, key=lambda i: abs(float(times[i]) - float(t))))
    return tuple(sorted(taken))
