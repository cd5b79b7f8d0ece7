"""Grids that stop before the noise is gone: their formula, and a search that never ends above EDM's grid."""

import numpy as np
import pytest

from duhamel.diffusion.plans.grid import time_grid
from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.schedule import EDM, VP
from duhamel.diffusion.search.few_steps import search_stop, stopping_grid


def test_the_formula_contains_edm_s_grid():
    for schedule in (EDM(), VP()):
        ts = stopping_grid(schedule, 6, 7.0, float(schedule.rho(schedule.t_min)))
        np.testing.assert_allclose(ts, time_grid(schedule, 6, "karras", terminal=True), rtol=1e-9, atol=1e-15)
        left = stopping_grid(schedule, 6, 3.0, 0.2, denoise=False)
        assert len(left) == 7 and float(schedule.rho(left[-1])) == pytest.approx(0.2, rel=1e-9)
    with pytest.raises(ValueError, match="give a power of at least 1"):
        stopping_grid(EDM(), 5, 0.5, 0.2)


def test_the_search_finds_the_minimum_of_a_known_function():
    """The fitness sees power and end through the grid alone."""
    schedule = EDM()
    wanted = stopping_grid(schedule, 6, 4.0, 0.1)
    make = lambda ts: build("ddim", schedule, ts=ts)  # noqa: E731
    miss = lambda plan: float(np.sum((np.log(plan.t[:-1]) - np.log(wanted[:-1])) ** 2))  # noqa: E731
    found = search_stop(make, miss, schedule, 6, rounds=25)
    assert found.info["power"] == pytest.approx(4.0, rel=0.1) and found.info["end"] == pytest.approx(0.1, rel=0.1)
    again = search_stop(make, miss, schedule, 6, rounds=25)
    np.testing.assert_array_equal(found.ts, again.ts)


def test_the_search_never_ends_above_its_start():
    schedule = EDM()
    start = time_grid(schedule, 5, "karras", terminal=True)
    fitness = lambda plan: 0.0 if np.allclose(plan.t, start, rtol=1e-7, atol=1e-9) else 1.0  # noqa: E731
    found = search_stop(lambda ts: build("ddim", schedule, ts=ts), fitness, schedule, 5, rounds=1)
    assert found.value == found.start == 0.0 and found.info["power"] == 7.0
    np.testing.assert_allclose(found.ts, start, rtol=1e-9, atol=1e-15)
    with pytest.raises(ValueError, match="must be above the schedule's smallest rho"):
        search_stop(lambda ts: build("ddim", schedule, ts=ts), fitness, schedule, 5, largest=1e-4)
