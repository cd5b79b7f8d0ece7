"""Grids of times: their definitions, their ends, and that they fall."""

import numpy as np
import pytest
from scipy import stats

from duhamel.diffusion.plans.grid import GRIDS, PUBLISHED, time_grid
from duhamel.diffusion.schedule import EDM, VE, VP, Cosine, Flow

SCHEDULES = [VP(), VE(), Cosine(), EDM(), Flow()]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("steps", [2, 5, 10, 40])
def test_times_fall_between_the_ends_that_were_asked_for(kind, schedule, steps):
    if kind == "ays-svd" and schedule.rho(schedule.t_max) < 700:
        with pytest.raises(ValueError, match="does not cover"):
            time_grid(schedule, steps, kind)
        return
    for terminal in (False, True):
        ts = time_grid(schedule, steps, kind, terminal=terminal)
        assert ts.shape == (steps + 1,) and np.all(np.diff(ts) < 0)
        if kind not in PUBLISHED:
            inner = ts[:-1] if terminal else ts
            assert ts[0] == schedule.t_max and (steps == 1 or inner[-1] == schedule.t_min)
        assert not terminal or ts[-1] == schedule.t_zero


def test_the_beta_grid_has_the_quantiles_of_its_law():
    ts = time_grid(VP(), 20, "beta")
    share = (ts - VP().t_min) / (VP().t_max - VP().t_min)
    np.testing.assert_allclose(stats.beta(0.6, 0.6).cdf(share), np.linspace(1, 0, 21), atol=1e-12)


def test_half_of_a_linear_quadratic_grid_is_linear_and_its_parabola_joins_smoothly():
    ts = time_grid(Flow(), 40, "linear-quadratic")
    gone = (ts[0] - ts) / (ts[0] - ts[-1])
    np.testing.assert_allclose(gone[:21], np.linspace(0, 0.025, 21), atol=1e-15)
    rest = np.diff(gone[20:])
    np.testing.assert_allclose(np.diff(rest, 2), 0, atol=1e-15)
    assert rest[0] - np.diff(rest)[0] / 2 == pytest.approx(0.025 / 20, rel=1e-9)


@pytest.mark.parametrize("kind", ["ays-sd15", "ays-sdxl"])
def test_ten_steps_to_zero_are_the_published_levels(kind):
    ts = time_grid(VP(), 10, kind, terminal=True)
    np.testing.assert_allclose(VP().rho(ts[:-1]), PUBLISHED[kind], rtol=1e-12)


def test_fewer_published_steps_keep_the_ends():
    """Three intervals in place of nine: every third level; in between log rho is interpolated linearly."""
    levels = np.log(PUBLISHED["ays-sd15"])
    rho = EDM().rho(time_grid(EDM(), 3, "ays-sd15"))
    np.testing.assert_allclose(np.log(rho), levels[[0, 3, 6, 9]], rtol=1e-12)
