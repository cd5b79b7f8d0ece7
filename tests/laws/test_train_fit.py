"""What `fit` computes: optax by hand, the average's formula, the batches, the log, the mistakes."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from duhamel.nn.mlp import MLP
from duhamel.train.data import Batches, Whole
from duhamel.train.ema import EMA
from duhamel.train.fit import fit
from duhamel.train.log import read_metrics
from duhamel.train.weights import metadata, read, write


class Line(eqx.Module):
    slope: jax.Array
    name: str = eqx.field(static=True, default="line")
    count: jax.Array = eqx.field(default_factory=lambda: jnp.arange(3))  # an integer array: carried, not trained


def line_loss(model, x, key):
    del key
    return jnp.mean((model.slope * x - 2 * x) ** 2)


def fit_line(steps=7, **more):
    x = jnp.asarray([1.0, 2.0])
    options = {"optimiser": optax.sgd(0.05), "key": jax.random.key(0), "scan": 3} | more
    return fit(line_loss, Line(jnp.asarray(0.5)), Whole(x), steps=steps, **options)


def test_gradient_descent_by_hand():
    slope, losses = 0.5, []
    for _ in range(7):
        losses.append(2.5 * (slope - 2) ** 2)
        slope -= 0.05 * 5 * (slope - 2)
    done = fit_line()
    assert np.allclose(done.model.slope, slope, rtol=1e-14)
    assert np.array_equal(done.model.count, np.arange(3)) and done.model.name == "line"
    means = [np.mean(losses[:3]), np.mean(losses[3:6]), losses[6]]
    assert [r["step"] for r in done.metrics] == [3, 6, 7]
    assert np.allclose([r["loss"] for r in done.metrics], means, rtol=1e-14)


def test_steps_in_a_compiled_call_change_nothing():
    assert len({float(fit_line(scan=n).model.slope) for n in (1, 2, 7, 50)}) == 1


def test_ema_formula():
    w = np.random.default_rng(0).standard_normal(40)
    average, expected = jnp.asarray(w[0]), w[0]
    for n, x in enumerate(w[1:]):
        d = min(0.9, (1 + n) / (10 + n))
        expected = d * expected + (1 - d) * x
        average = EMA(0.9).update(average, jnp.asarray(x), n)
    assert np.allclose(average, expected, rtol=1e-13)


def test_ema_inside_fit():
    average, slope = 0.5, 0.5
    for n in range(7):
        slope -= 0.05 * 5 * (slope - 2)
        d = min(0.6, (1 + n) / (10 + n))
        average = d * average + (1 - d) * slope
    done = fit_line(ema=EMA(0.6))
    assert np.allclose(done.average.slope, average, rtol=1e-13)
    assert np.array_equal(done.average.count, np.arange(3))
    assert fit_line().average is not None and np.array_equal(fit_line().average.slope, fit_line().model.slope)


def test_batches_see_every_row_once_an_epoch_and_need_no_memory():
    rows, size, key = 23, 5, jax.random.key(3)
    batches = Batches((jnp.arange(rows), jnp.arange(rows) * 10), size)
    epochs = [[batches(key, epoch * 4 + i) for i in range(4)] for epoch in range(3)]
    for epoch in epochs:
        seen = np.concatenate([a for a, _ in epoch])
        assert len(set(seen.tolist())) == 20
        assert all(np.array_equal(b, 10 * a) for a, b in epoch)
    assert not np.array_equal(epochs[0][0][0], epochs[1][0][0])
    assert np.array_equal(batches(key, 9)[0], epochs[2][1][0])
    traced = jax.jit(lambda step: batches(key, step)[0])(jnp.asarray(9))
    assert np.array_equal(traced, epochs[2][1][0])


def test_metrics_file_and_progress(tmp_path):
    told = []
    checks = {"checkpoint_every": 3, "validate": lambda model: {"slope": model.slope}}
    done = fit_line(folder=tmp_path, progress=lambda *p: told.append(p), **checks)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == done.metrics == read_metrics(tmp_path / "metrics.jsonl")
    assert lines[-1]["slope"] == float(done.model.slope)
    assert told == [(0, 7), (3, 7), (6, 7), (7, 7)]


def test_progress_bar_draws(capsys):
    fit_line(progress=True, title="a line")
    assert "a line" in capsys.readouterr().out


def test_a_broken_metrics_file_is_named(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"step": 1}\nnonsense\n{"step": 2}\n')
    with pytest.raises(ValueError, match="line 2 is no record of a training"):
        read_metrics(tmp_path / "m.jsonl")


def test_divergence_is_a_sentence_and_keeps_the_last_checkpoint(tmp_path):
    with pytest.raises(FloatingPointError, match=r"not finite at step \d+; lower the learning rate.*step 30, is kept"):
        fit_line(steps=100, optimiser=lambda_schedule(), scan=10, folder=tmp_path, checkpoint_every=10)
    assert sorted(p.name for p in (tmp_path / "checkpoints").glob("*.sha256")) == ["20.sha256", "30.sha256"]


def lambda_schedule():
    return optax.sgd(lambda step: jnp.where(step < 35, 0.01, jnp.inf))


@pytest.mark.parametrize("name", ["steps", "scan", "checkpoint_every"])
def test_counts_must_be_positive(name):
    with pytest.raises(ValueError, match=f"fit: {name} must be at least 1, got 0"):
        fit_line(**{name: 0})


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_ema_decay_is_checked(decay):
    with pytest.raises(ValueError, match="decay must lie in"):
        EMA(decay)


def test_batches_are_checked():
    with pytest.raises(ValueError, match="share their first axis, got lengths \\[2, 3\\]"):
        Batches((jnp.zeros(2), jnp.zeros(3)), 1)
    with pytest.raises(ValueError, match=r"size must lie in 1\.\.2"):
        Batches(jnp.zeros(2), 3)


def test_weights_return_with_their_metadata(tmp_path):
    model = MLP(2, 3, width=5, depth=1, key=jax.random.key(0))
    write(tmp_path / "w.safetensors", model, command="make it")
    like = MLP(2, 3, width=5, depth=1, key=jax.random.key(1))
    back = read(tmp_path / "w.safetensors", like, jnp.float64)
    for a, b in zip(jax.tree.leaves(model), jax.tree.leaves(back), strict=True):
        assert np.array_equal(np.asarray(a, np.float16), b)
    assert metadata(tmp_path / "w.safetensors")["command"] == "make it"


def test_foreign_weights_are_a_sentence(tmp_path):
    like = MLP(2, 3, width=5, depth=1, key=jax.random.key(1))
    with pytest.raises(ValueError, match="there is no weight file"):
        read(tmp_path / "absent.safetensors", like)
    (tmp_path / "bad.safetensors").write_bytes(b"no tensors here")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        read(tmp_path / "bad.safetensors", like)
    write(tmp_path / "w.safetensors", MLP(2, 3, width=4, depth=1, key=jax.random.key(0)))
    with pytest.raises(ValueError, match=r"holds another model: weights\[0\] is \(4, 2\) there and \(5, 2\) here"):
        read(tmp_path / "w.safetensors", like)
