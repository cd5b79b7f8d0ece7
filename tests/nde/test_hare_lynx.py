"""The table, the vector fields, and that forecasts are made without looking."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from duhamel.nde import hare_lynx
from duhamel.nde.forecast import Trajectory, forecast, learn, long_loss, paths, rmse, short_loss
from duhamel.nde.models import LotkaVolterra, untrained

KINDS = ("lotka-volterra", "universal", "neural")
RATES = np.array([0.55, 0.028, 0.84, 0.026])  # the means of Carpenter's posterior (Stan case study, 2018), rounded


def lotka_volterra(t, x):
    alpha, beta, gamma, delta = RATES
    return [alpha * x[0] - beta * x[0] * x[1], -gamma * x[1] + delta * x[0] * x[1]]


def test_table():
    table = hare_lynx.table()
    assert np.array_equal(table.years, np.arange(1900, 1921))
    assert table.pelts[0].tolist() == [30.0, 4.0] and table.pelts[-1].tolist() == [24.7, 8.6]
    assert np.allclose(table.pelts.sum(0), [715.7, 423.5])  # added up by hand from the published columns
    assert table.years[table.pelts.argmax(0)].tolist() == [1903, 1904]  # the lynx peak a year after the hares


def test_paths_are_the_solution_in_populations():
    """SciPy solves the textbook form in populations; we solve the logarithms on the training grid."""
    truth = solve_ivp(lotka_volterra, (0, 20), [30.0, 4.0], t_eval=np.arange(21), rtol=1e-11, atol=1e-11).y.T
    found = paths(LotkaVolterra(jnp.log(RATES)), jnp.log(jnp.array([30.0, 4.0])), 20)
    assert found.shape == (21, 2)
    assert rmse(found, np.log(truth)) < 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_lanes_are_single_states(kind):
    field = untrained(kind, jax.random.key(0))
    starts = jnp.asarray(np.random.default_rng(0).uniform(2, 4, (2, 5)))
    together = paths(field, starts, 3)
    alone = jnp.stack([paths(field, starts[:, i], 3) for i in range(5)], -1)
    assert np.allclose(together, alone, rtol=1e-12)


def test_a_universal_equation_begins_as_lotka_volterra():
    universal = untrained("universal", jax.random.key(0))
    silent = eqx.tree_at(lambda f: f.network, universal, jax.tree.map(jnp.zeros_like, universal.network))
    u = jnp.asarray([3.0, 2.0])
    assert np.allclose(silent(0.0, u), untrained("lotka-volterra", jax.random.key(0))(0.0, u), rtol=1e-14)


@pytest.mark.parametrize("loss", ["short", "long"])
def test_gradient_is_the_finite_difference(loss):
    u = jnp.asarray(hare_lynx.table().log)
    model = Trajectory(untrained("universal", jax.random.key(0)), u[0])
    value = (lambda m: short_loss(m, u, 14, 4)) if loss == "short" else (lambda m: long_loss(m, u, 14))
    value = eqx.filter_jit(value)
    gradient = eqx.filter_grad(value)(model)
    rng = np.random.default_rng(1)
    floats = lambda tree: jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))  # noqa: E731
    direction = [rng.standard_normal(x.shape) for x in floats(model)]
    arrays, rest = eqx.partition(model, eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(arrays)

    def moved(h):
        return eqx.combine(structure.unflatten([x + h * d for x, d in zip(leaves, direction, strict=True)]), rest)

    h = 1e-5
    difference = (value(moved(h)) - value(moved(-h))) / (2 * h)
    exact = sum(np.sum(g * d) for g, d in zip(floats(gradient), direction, strict=True))
    assert np.allclose(exact, difference, rtol=1e-6)


def test_years_after_the_origin_are_not_seen():
    """Other counts after the origin, even absurd ones, change no bit of the fit; nor do other origins beside it."""
    u = hare_lynx.table().log
    other = u.copy()
    other[17:] = 50.0
    fitted = [
        learn(untrained("lotka-volterra", jax.random.key(0)), series, origins, weight=0.0, steps=(15, 15))
        for series, origins in ((u, (12, 16)), (other, (12, 14)))
    ]
    starts, rates = zip(*((m.start[0], m.field.log_rates[0]) for m in fitted), strict=True)
    assert np.array_equal(*starts) and np.array_equal(*rates)
    assert not np.array_equal(fitted[0].start[0], fitted[0].start[1])


def test_the_rates_of_a_known_system_are_found():
    """From its own noiseless counts of 15 years, Lotka-Volterra's four rates return and the next years are forecast."""
    truth = solve_ivp(lotka_volterra, (0, 20), [30.0, 4.0], t_eval=np.arange(21), rtol=1e-10, atol=1e-10).y.T
    u = np.log(truth)
    model = learn(untrained("lotka-volterra", jax.random.key(0)), u, (14,), weight=0.0, steps=(300, 500))
    assert np.allclose(np.exp(model.field.log_rates[0]), RATES, rtol=0.02)
    assert rmse(forecast(model, 20)[0, 15:], u[15:]) < 0.03


def test_a_finished_stage_of_a_study_is_read_back(tmp_path):
    table, told = hare_lynx.table(), []
    tell = lambda *p: told.append(p)  # noqa: E731
    first = hare_lynx.learn_kind(table, "lotka-volterra", (1911, 1914), 0.0, (100, 200), tmp_path, tell)
    assert told[0] == (0, 300) and told[-1] == (300, 300)
    told.clear()
    again = hare_lynx.learn_kind(table, "lotka-volterra", (1911, 1914), 0.0, (100, 200), tmp_path, tell)
    assert told == [(100, 300), (300, 300)]
    assert np.array_equal(again.paths, first.paths)


def test_baselines_by_hand():
    table = hare_lynx.table()
    u = table.log
    rolling, drawn = hare_lynx.baseline(table, 0, (1914,))
    assert np.isclose(drawn, np.sqrt(np.mean((u[15:] - u[14]) ** 2)))
    assert np.isclose(rolling, np.sqrt(np.mean((u[15:19] - u[14]) ** 2)))
    rolling, drawn = hare_lynx.baseline(table, 10, (1916, 1910))
    assert np.isclose(drawn, np.sqrt(np.mean((u[15:] - u[5:11]) ** 2)))
    both = np.concatenate([u[17:21] - u[7:11], u[11:15] - u[1:5]])
    assert np.isclose(rolling, np.sqrt(np.mean(both**2)))


def test_origins_are_checked():
    u = hare_lynx.table().log
    with pytest.raises(ValueError, match=r"origins must lie in 5\.\.20"):
        learn(untrained("neural", jax.random.key(0)), u, (21,), weight=0.0)
    with pytest.raises(ValueError, match="kind must be"):
        untrained("lotka", jax.random.key(0))


@pytest.mark.slow
def test_the_study_beats_persistence():
    found = hare_lynx.study(fast=True)
    idle = found.baselines["persistence"][0]
    for one in found.learnt.values():
        assert one.rolling(found.table) < 0.5 * idle
    assert found.learnt["universal"].seen(found.table) < 0.6 * found.learnt["lotka-volterra"].seen(found.table)
