"""Searches by evolution: they find what is known to be best, repeat themselves, and never end above their start."""

from itertools import combinations

import jax
import numpy as np
import pytest

from duhamel.diffusion.compare import on_host, three_peaks
from duhamel.diffusion.mixture1d import Mixture1D
from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.schedule import EDM, VP
from duhamel.diffusion.search.autodiffusion import choose_times
from duhamel.diffusion.search.distances import energy_to
from duhamel.diffusion.search.evolve import evolve
from duhamel.diffusion.search.s3 import search_recipe
from duhamel.rows.checks import consistency
from duhamel.rows.host import march


def bits(rng, a, b):
    """One bit of a, with another of b."""
    child = list(a)
    child[int(rng.integers(len(a)))] ^= 1
    k = int(rng.integers(len(a)))
    child[k] = b[k]
    return tuple(child)


@pytest.mark.parametrize("predictor", [False, True])
def test_evolution_finds_the_smallest_of_a_quadratic_form_over_bits(predictor):
    """All 4096 genomes are known; the predictor sees the bits."""
    rng = np.random.default_rng(1)
    A = rng.standard_normal((12, 12))
    form = lambda g: float(np.sum((A @ (np.array(g) - 0.4)) ** 2))  # noqa: E731
    best = min(form(tuple(int(c) for c in f"{k:012b}")) for k in range(4096))
    options = {"features": (lambda g: [float(x) for x in g])} if predictor else {}
    found = evolve(form, [(0,) * 12, (1,) * 12], bits, generations=25, children=12, seed=2, **options)
    assert found.score == pytest.approx(best, rel=1e-12) and found.score == form(found.best)
    assert found.measured < 400 and list(found.history) == sorted(found.history, reverse=True)
    again = evolve(form, [(0,) * 12, (1,) * 12], bits, generations=25, children=12, seed=2, **options)
    assert again == found


def test_evolution_never_ends_above_its_start_and_leaves_the_impossible_alone():
    start = (1, 0, 0)
    found = evolve(lambda g: 0.5 if g == start else np.nan, [start], bits, generations=3)
    assert found.best == start and found.history == (0.5,) * 4
    with pytest.raises(ValueError, match="no genome has a finite fitness"):
        evolve(lambda g: np.inf, [start], bits, generations=1)
    with pytest.raises(ValueError, match="population is empty"):
        evolve(lambda g: 0.0, [], bits)


def case(schedule, points):
    data = three_peaks(schedule)
    x = data.quantile((np.arange(points) + 0.5) / points, schedule.t_max)
    exact = data.quantile_map(x, schedule.t_max, schedule.t_min)
    models = {p: on_host(data.denoiser, schedule, p) for p in ("data", "noise")}

    def error(plan):
        *_, last = march(plan, models[plan.prediction], {"x": x})
        return float(np.sqrt(np.mean((last["x"] - exact) ** 2)))

    return error


def test_chosen_times_are_the_best_of_the_pool():
    """Three steps from a pool of twelve times: all 45 choices are tried."""
    schedule = VP()
    error = case(schedule, 200)
    make = lambda ts: build("ddim", schedule, ts=ts)  # noqa: E731
    pool = schedule.t_of_lam(np.linspace(schedule.lam(1.0), schedule.lam(1e-3), 12))
    pool[[0, -1]] = 1.0, 1e-3
    every = {inner: error(make(pool[[0, *inner, 11]])) for inner in combinations(range(1, 11), 2)}
    found = choose_times(make, error, schedule, 3, pool=pool, generations=10, children=5)
    assert found.value == pytest.approx(min(every.values()), rel=1e-12) and found.value <= found.start
    plan = found.build("unipc", schedule)
    assert plan.info["grid"]["search"] == "autodiffusion" and plan.info["grid"]["measured"] <= 46
    with pytest.raises(ValueError, match="enough for 11 steps"):
        choose_times(make, error, schedule, 12, pool=pool)
    with pytest.raises(ValueError, match="pool must be falling times"):
        choose_times(make, error, schedule, 1, pool=[0.1, 1.0])


def test_a_searched_grid_is_better_on_other_noises_and_other_data():
    """Four steps of DDIM by energy distance to samples, judged on others: 30 % below uniform and quadratic times."""
    schedule = VP()
    data = three_peaks(schedule)
    assert isinstance(data, Mixture1D)
    model = on_host(data.denoiser, schedule, "data")

    def judge(seed, points):
        x = np.random.default_rng(seed).standard_normal(points)
        distance = energy_to(np.asarray(data.sample(jax.random.key(seed), points))[:, None])
        return lambda plan: distance(list(march(plan, model, {"x": x}))[-1]["x"][:, None])

    make = lambda ts: build("ddim", schedule, ts=ts)  # noqa: E731
    found = choose_times(make, judge(0, 400), schedule, 4, generations=8)
    held = judge(1, 2000)
    own = held(found.build("ddim", schedule))
    assert own < 0.7 * min(held(build("ddim", schedule, 4, grid=kind)) for kind in ("t", "quadratic"))


def test_a_searched_recipe_is_better_than_every_uniform_one():
    """Five evaluations on the one-dimensional mixture; the plan is consistent and says where it comes from."""
    schedule = EDM()
    fitness, held = case(schedule, 100), case(schedule, 1111)
    said = []
    found = search_recipe(fitness, schedule, 5, generations=6, progress=lambda what, fraction: said.append(what))
    assert held(found.plan) < 0.8 * held(found.uniform) and found.value < 0.8 * found.start
    assert found.plan.nfe == 5 and found.plan.info["start"] == found.start and len(said) == 6
    assert consistency(found.plan, schedule.alpha, schedule.sigma) < 1e-11
    again = search_recipe(fitness, schedule, 5, generations=6)
    assert again.plan == found.plan
