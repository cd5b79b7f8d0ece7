"""Shallow water over a bed: lakes at rest, Thacker's bowl, simple waves, positivity."""

import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.pde import volumes as fv
from duhamel.problems.water import bowl, simple_wave

MUSCLS = [fv.PiecewiseConstant(), fv.MUSCL("minmod"), fv.MUSCL("van-leer"), fv.MUSCL("mc")]
PERIOD = 2 * np.pi / np.sqrt(2 * 9.81 * 0.5)


@pytest.mark.parametrize("reconstruct", MUSCLS, ids=str)
def test_a_lake_stays_at_rest_around_its_islands(reconstruct):
    """A bed of random heights, about a third of it above the water, in both directions."""
    bed = np.random.default_rng(0).uniform(0.0, 1.5, (16, 12))
    h = np.maximum(0.0, 1.0 - bed)
    assert 0.2 < np.mean(h == 0) < 0.5
    law = fv.ShallowWater(bathymetry=bed, dim=2)
    mesh = fv.box((16, 12), sides=(fv.Wall(), fv.Periodic()))
    sol = fv.solve(law, mesh, np.stack([h, 0 * h, 0 * h]), 1.0, reconstruct=reconstruct)
    assert np.abs(sol.x[0] - h).max() < 1e-12
    assert np.abs(sol.x[1:]).max() < 1e-12


def swing(n, part, reconstruct=fv.MUSCL()):
    mesh = fv.box(n, 4.0, -2.0, sides=fv.Outflow())
    (x,) = mesh.centres()
    h, u, bed = bowl(x, 0.0)
    sol = fv.solve(fv.ShallowWater(bathymetry=bed), mesh, np.stack([h, h * u]), part * PERIOD, reconstruct=reconstruct)
    error = np.abs(sol.x[0] - bowl(x, part * PERIOD)[0]).mean()
    return float(error), sol, h


def test_water_swings_in_a_bowl_and_comes_back():
    """Thacker: shores that move. Nothing is lost, no depth is negative, the error falls with order one or better."""
    errors = []
    for n in (50, 100, 200):
        error, sol, h = swing(n, 1.0)
        errors.append(error)
        assert float(sol.x[0].min()) >= 0
        assert float(sol.x[0].sum()) == pytest.approx(h.sum(), rel=1e-13)
    assert errors[-1] < 1e-3
    assert -np.polyfit(np.log([50, 100, 200]), np.log(errors), 1)[0] > 1.0


def test_second_order_beats_first_in_the_bowl():
    assert swing(100, 0.25)[0] < 0.15 * swing(100, 0.25, fv.PiecewiseConstant())[0]


def test_second_order_on_a_simple_wave():
    x, weights = np.polynomial.legendre.leggauss(4)

    def averages(n, t):
        points = (np.arange(n) + 0.5)[:, None] / n + 0.5 * x / n
        h, u = simple_wave(points, t)
        return np.stack([h @ weights, (h * u) @ weights]) / 2

    errors = []
    for n in (32, 64, 128):
        sol = fv.solve(fv.ShallowWater(1.0), fv.box(n), averages(n, 0.0), 0.3)
        errors.append(float(np.abs(sol.x - averages(n, 0.3)).mean()))
    assert -np.polyfit(np.log([32, 64, 128]), np.log(errors), 1)[0] == pytest.approx(2.0, abs=0.15)


def test_the_simple_wave_solves_the_equations():
    """Central differences of the closed form."""
    x, t, d = np.linspace(0, 1, 50), 0.3, 1e-5
    h, u = simple_wave(x, t)
    in_t = (simple_wave(x, t + d) - simple_wave(x, t - d)) / (2 * d)
    in_x = (simple_wave(x + d, t) - simple_wave(x - d, t)) / (2 * d)
    np.testing.assert_allclose(in_t[0] + u * in_x[0] + h * in_x[1], 0, atol=1e-7)
    np.testing.assert_allclose(in_t[1] + u * in_x[1] + in_x[0], 0, atol=1e-7)


def test_a_flood_over_a_dry_plane_stays_positive():
    """A dam breaks over dry random ground in two dimensions: no water is lost, none is negative."""
    rng = np.random.default_rng(1)
    bed = 0.3 * rng.random((20, 16))
    h = np.where(np.arange(20)[:, None] < 6, 1.0, 0.0) * np.ones((20, 16))
    mesh = fv.box((20, 16), sides=fv.Wall())
    sol = fv.solve(fv.ShallowWater(bathymetry=bed, dim=2), mesh, np.stack([h, 0 * h, 0 * h]), jnp.array([0.1, 0.3]))
    assert float(sol.x[:, 0].min()) > -1e-12
    assert float(sol.x[-1, 0].sum()) == pytest.approx(h.sum(), rel=1e-13)
    assert np.mean(sol.x[-1, 0] > 1e-3) > 0.5  # and it did flood
