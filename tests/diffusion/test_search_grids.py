"""Grids that are optimised for a model: against closed forms for Gaussians, and against every other choice."""

from functools import partial
from itertools import combinations, pairwise

import jax
import numpy as np
import pytest
from scipy.integrate import quad

from duhamel.diffusion.compare import on_host
from duhamel.diffusion.exact import gaussian, mixture
from duhamel.diffusion.plans.grid import time_grid
from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.schedule import EDM, VP
from duhamel.diffusion.search.ays import Klub, align, gaussian_klub, information_levels
from duhamel.diffusion.search.distances import energy_distance, energy_to, sliced_w2
from duhamel.diffusion.search.gits import cheapest, deviations, gits
from duhamel.rows.host import march


def test_the_gaussian_s_bound_is_its_integral():
    """E |D(rho) - D(rho_i)|^2 of a Gaussian is c^4/(c^2 + rho^2) - c^4/(c^2 + rho_i^2), integrated by SciPy."""
    c2, rho = 0.7, np.array([30.0, 2.0, 0.5, 0.05])
    signal = lambda r: c2**2 / (c2 + r * r)  # noqa: E731
    total = sum(
        quad(lambda r, a=a: (signal(r) - signal(a)) / r**3, b, a, epsabs=1e-12, epsrel=1e-11)[0]
        for a, b in pairwise(rho)
    )
    assert gaussian_klub(rho, c2, 3) == pytest.approx(3 * total, rel=1e-9)


@pytest.mark.parametrize("schedule", [EDM(), VP()], ids=str)
def test_the_estimate_agrees_with_the_closed_form(schedule):
    data = gaussian(schedule, np.zeros(3), 0.5)
    x = np.asarray(data.sample(jax.random.key(0), 4000))
    bound = Klub(on_host(data.denoiser, schedule, "data"), x, schedule)
    for rho in (np.geomspace(60, 0.02, 6), information_levels(60, 0.02, 5, 0.5)):
        assert bound(rho) == pytest.approx(gaussian_klub(rho, 0.5, 3), rel=0.02)


def test_the_optimiser_finds_the_closed_optimum():
    """Of a Gaussian: equal ratios of 1 + c^2/rho^2. K is flat there: levels to 10 %, K itself to 1 %."""
    schedule = EDM()
    data = gaussian(schedule, np.zeros(3), 0.5)
    x = np.asarray(data.sample(jax.random.key(1), 2000))
    found = align(on_host(data.denoiser, schedule, "data"), x, schedule, 6, t_min=0.02)
    best = information_levels(80.0, 0.02, 6, 0.5)
    np.testing.assert_allclose(schedule.rho(found.ts), best, rtol=0.1)
    assert gaussian_klub(found.ts, 0.5, 3) < 1.01 * gaussian_klub(best, 0.5, 3)
    assert found.value < found.start and found.ts[0] == 80.0 and found.ts[-1] == 0.02
    plan = found.build("dpmpp-2m", schedule)
    assert plan.info["grid"]["search"] == "align-your-steps" and plan.info["grid"]["seed"] == 0


def six(schedule):
    angle = np.arange(6) * np.pi / 3
    return mixture(schedule, np.ones(6), 1.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1), 0.25**2)


def test_a_search_repeats_itself_and_lowers_the_bound_of_a_mixture():
    schedule = EDM()
    data = six(schedule)
    x, model = np.asarray(data.sample(jax.random.key(2), 600)), on_host(data.denoiser, schedule, "data")
    said = []
    found = align(model, x, schedule, 4, t_min=0.03, sweeps=1, progress=lambda what, fraction: said.append(fraction))
    again = align(model, x, schedule, 4, t_min=0.03, sweeps=1)
    np.testing.assert_array_equal(found.ts, again.ts)
    judge = Klub(model, np.asarray(data.sample(jax.random.key(3), 2000)), schedule, 5)
    for kind in ("lam", "karras", "t"):
        assert judge(schedule.rho(found.ts)) < judge(schedule.rho(time_grid(schedule, 4, kind, t_min=0.03)))
    assert said == sorted(said) and said[0] == 0


def test_the_cheapest_way_is_the_best_of_all_ways():
    rng = np.random.default_rng(0)
    cost = np.where(np.triu(np.ones((9, 9)), 1) > 0, rng.random((9, 9)), np.inf)

    def price(way, gamma):
        return sum(gamma ** (len(way) - 2 - k) * cost[a, b] for k, (a, b) in enumerate(pairwise(way)))

    for steps, gamma in ((1, 1.0), (3, 1.0), (4, 1.3), (8, 1.15)):
        ways = [(0, *inner, 8) for inner in combinations(range(1, 8), steps - 1)]
        best = min(ways, key=partial(price, gamma=gamma))
        value, way = cheapest(cost, steps, gamma)
        assert value == pytest.approx(price(best, gamma), rel=1e-12) and tuple(way) == best
    with pytest.raises(ValueError, match="between 1 and 8 steps"):
        cheapest(cost, 9)


def test_deviations_are_those_of_ddim_from_the_exact_trajectory():
    """For one Gaussian the trajectory is known: y_j = y_i sqrt((c^2 + rho_j^2) / (c^2 + rho_i^2))."""
    schedule, c2 = VP(), 0.3
    eps = lambda t, x: x * schedule.sigma(t) / (schedule.alpha(t) ** 2 * c2 + schedule.sigma(t) ** 2)  # noqa: E731
    ts = time_grid(schedule, 6, "lam")
    x = np.random.default_rng(0).standard_normal((50, 2))
    cost = deviations(eps, x, schedule, ts, inner=40)
    rho = schedule.rho(ts)
    size = np.mean(np.linalg.norm(x / schedule.alpha(ts[0]), axis=1))
    for i in range(6):
        for j in range(i + 1, 7):
            y = np.sqrt((c2 + rho[[i, j]] ** 2) / (c2 + rho[0] ** 2))
            miss = abs(y[0] * (1 + (rho[j] - rho[i]) * rho[i] / (c2 + rho[i] ** 2)) - y[1]) * size
            assert cost[i, j] == pytest.approx(miss, rel=1e-4, abs=1e-6)


def test_gits_beats_equal_steps_of_ddim():
    """On six modes, new noises: 8 steps of DDIM with chosen times against equal steps in log-SNR and EDM's."""
    schedule = EDM()
    data = six(schedule)
    model = on_host(data.denoiser, schedule, "noise")
    rng = np.random.default_rng(0)
    found = gits(model, 80.0 * rng.standard_normal((200, 2)), schedule, 8, gamma=1.0, t_min=0.03)
    x = 80.0 * rng.standard_normal((400, 2))

    def end(plan):
        *_, last = march(plan, on_host(data.denoiser, schedule, plan.prediction), {"x": x})
        return last["x"]

    exact = end(build("deis-rho-rk4", schedule, 400, t_min=0.03))
    error = lambda plan: np.sqrt(np.mean(np.sum((end(plan) - exact) ** 2, axis=1)))  # noqa: E731
    own = error(found.build("ddim", schedule))
    fixed = [error(build("ddim", schedule, 8, grid=kind, t_min=0.03)) for kind in ("lam", "karras", "t")]
    assert own < 0.85 * min(fixed), (own, fixed)
    assert found.value < found.start and len(found.ts) == 9


def test_distances_vanish_for_equal_laws_and_grow_with_the_shift():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 1500, 3))
    assert abs(energy_distance(a, b)) < 0.01 and energy_to(b)(a) == pytest.approx(energy_distance(a, b), abs=1e-12)
    assert sliced_w2(a, a) == 0 and sliced_w2(a, a + 2.0 / np.sqrt(3)) == pytest.approx(2 / np.sqrt(3), rel=0.15)
    assert energy_distance(a, b + 1) > 0.5
    with pytest.raises(ValueError, match="two sets of equal shape"):
        sliced_w2(a, b[:10])
