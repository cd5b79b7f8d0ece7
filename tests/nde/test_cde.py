"""Neural CDEs on irregular series: what they may not see, their gradient, and that they learn."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from duhamel.core.path import HermitePath
from duhamel.nde import vowels
from duhamel.nde.cde import GRUDelta, NeuralCDE, cross_entropy, parameters
from duhamel.testing import gradient_error
from duhamel.train.data import Batches
from duhamel.train.fit import fit

POINTS = 12


def series(count=6, seed=0):
    """Two channels at random times of their own, a third of the rows missing; labels: which way round they turn."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    ts = np.linspace(0.0, 1.0, POINTS) * np.ones((count, 1))
    ts[:, 1:-1] += rng.uniform(-0.03, 0.03, (count, POINTS - 2))
    angle = (2 * labels - 1)[:, None] * 5 * ts + rng.uniform(0, 2 * np.pi, (count, 1))
    xs = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    for x in xs:
        x[rng.permutation(POINTS)[: POINTS // 3]] = np.nan
    return ts, xs, labels


def with_time(ts, xs):
    return jax.vmap(lambda t, x: HermitePath(t, jnp.concatenate([t[:, None], x], axis=1)))(ts, xs)


def small(key=0):
    return NeuralCDE(3, 2, hidden=6, width=8, steps=POINTS - 1, key=jax.random.key(key))


def inputs(kind, ts, xs):
    return with_time(ts, xs) if kind == "neural CDE" else (jnp.asarray(ts), jnp.asarray(xs))


def models(kind):
    return small() if kind == "neural CDE" else GRUDelta(2, 2, hidden=8, key=jax.random.key(0))


@pytest.mark.parametrize("kind", ["neural CDE", "GRU-dt"])
def test_a_series_does_not_depend_on_its_batch(kind):
    ts, xs, _ = series()
    model = models(kind)
    together = model(inputs(kind, ts, xs))
    assert together.shape == (6, 2) and np.all(np.isfinite(together))
    alone = model(inputs(kind, ts[2:3], xs[2:3]))
    np.testing.assert_allclose(together[2:3], alone, atol=1e-13)


def test_padding_moves_nothing():
    """A series padded with missing rows rests after its end: what counts is the path, not the length of its array."""
    ts, xs, _ = series(3)
    clock = np.where(np.arange(POINTS) < 8, ts, np.nan)
    cut = np.where((np.arange(POINTS) < 8)[:, None], xs, np.nan)
    rows = np.concatenate([clock[..., None], cut], axis=-1)
    paths = jax.vmap(HermitePath)(ts, rows)
    rest = np.asarray(jax.vmap(lambda p, t: p.derivative(t))(paths, jnp.asarray(ts[:, 9:])))
    np.testing.assert_allclose(rest, 0, atol=1e-12)
    gru = models("GRU-dt")
    padded, short = inputs("GRU-dt", ts, cut), inputs("GRU-dt", ts[:, :8], xs[:, :8])
    np.testing.assert_allclose(gru(padded), gru(short), atol=1e-14)


@pytest.mark.parametrize("kind", ["neural CDE", "GRU-dt"])
def test_gradient(kind):
    ts, xs, labels = series(3)
    model = models(kind)
    floats, rest = eqx.partition(model, eqx.is_inexact_array)
    batch = (inputs(kind, ts, xs), jnp.asarray(labels))
    assert gradient_error(jax.jit(lambda m: cross_entropy(eqx.combine(m, rest), batch)), floats) < 1e-6


def test_a_neural_cde_learns_which_way_a_curve_turns():
    train, test = series(64), series(64, seed=1)
    data = Batches((with_time(*train[:2]), jnp.asarray(train[2])), 32)
    found = fit(cross_entropy, small(), data, optimiser=optax.adam(1e-2), steps=120, key=jax.random.key(0))
    answers = np.argmax(np.asarray(eqx.filter_jit(found.model)(with_time(*test[:2]))), axis=1)
    assert np.mean(answers == test[2]) > 0.9


def test_reading_the_files(tmp_path):
    file = tmp_path / "A.ts"
    file.write_text("#words\n@problemName A\n@data\n1.0,2.0,3.0:4.0,5.0,6.0:2\n-1.5,0.5:2.5,1e-1:1\n")
    xs, labels = vowels.read(file)
    assert xs.shape == (2, 29, 2) and list(labels) == [1, 0]
    np.testing.assert_array_equal(xs[0, :3], [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(xs[1, :2], [[-1.5, 2.5], [0.5, 0.1]])
    assert np.all(np.isnan(xs[0, 3:])) and np.all(np.isnan(xs[1, 2:]))


def test_the_vowels():
    if not _shipped():
        pytest.skip("the data extra ships the vowels")
    train, test = vowels.load()
    assert train.xs.shape == (270, 29, 12) and test.xs.shape == (370, 29, 12)
    assert list(np.bincount(train.labels)) == [30] * 9
    assert list(np.bincount(test.labels)) == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    for half in (train, test):
        kept = ~np.isnan(half.xs)
        assert np.all(kept.all(axis=-1) == kept.any(axis=-1))  # whole points are dropped
        np.testing.assert_array_equal(kept[..., 0].sum(1), half.ends + 1 - (half.ends + 1) // 2)
    whole = vowels.load(dropped=0.0)[0].xs
    np.testing.assert_allclose(np.nanmean(whole, (0, 1)), 0, atol=1e-12)
    np.testing.assert_array_equal(whole[~np.isnan(train.xs)], train.xs[~np.isnan(train.xs)])
    paths = vowels.paths(train)
    assert paths.channels == 13 and np.all(np.isfinite(paths.coefficients))


def _shipped():
    try:
        vowels._folder()
    except ModuleNotFoundError:
        return False
    return True


def test_equal_budgets():
    counts = [parameters(vowels.untrained(kind, jax.random.key(0))) for kind in ("neural CDE", "GRU-dt")]
    assert max(counts) < 1.03 * min(counts)


@pytest.mark.slow
def test_both_networks_know_the_speakers():
    found = vowels.study(fast=True)
    assert found["neural CDE"].mean > 0.8 and found["GRU-dt"].mean > 0.85


def test_bad_input(monkeypatch):
    with pytest.raises(ValueError, match="NeuralCDE needs channels, classes, hidden, width and steps of at least 1"):
        NeuralCDE(3, 0, hidden=6, width=8, steps=4, key=jax.random.key(0))
    with pytest.raises(ValueError, match="GRUDelta needs channels, classes and hidden of at least 1"):
        GRUDelta(3, 2, hidden=0, key=jax.random.key(0))
    with pytest.raises(ValueError, match="dropped is a share of the points"):
        vowels.load(dropped=1.0)
    with pytest.raises(ValueError, match="kind must be 'neural CDE' or 'GRU-dt'"):
        vowels.untrained("LSTM", jax.random.key(0))
    monkeypatch.setattr(vowels, "PACKAGES", ("no_such_package",))
    with pytest.raises(ModuleNotFoundError, match=r"sktime or aeon.*pip install -e .*\[data\]"):
        vowels.load()
