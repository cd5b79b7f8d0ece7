"""The network, its preconditioning and loss, and the weights that ship."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.diffusion import digits
from duhamel.diffusion.loss import EDMLoss
from duhamel.diffusion.network import PatchTransformer, Preconditioned
from duhamel.diffusion.schedule import EDM, VP
from duhamel.train.weights import metadata


@pytest.fixture(scope="module")
def model():
    return digits.load()


def small(key=0):
    network = PatchTransformer(4, 2, classes=3, width=8, depth=1, heads=2, frequencies=4, key=jax.random.key(key))
    noise = lambda x: x + 0.1 * jax.random.normal(jax.random.key(1), x.shape, x.dtype)  # noqa: E731
    return Preconditioned(jax.tree.map(lambda x: noise(x) if eqx.is_inexact_array(x) else x, network), 0.5)


def test_weights_are_small_named_and_recorded(model):
    assert digits.WEIGHTS.stat().st_size < 2_000_000
    assert sum(x.size for x in jax.tree.leaves(eqx.filter(model, eqx.is_array))) == 315_652
    assert metadata(digits.WEIGHTS)["command"] == "duhamel train digits --steps 5000 --seed 0"
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array)))


def test_held_out_loss_is_what_the_weights_record(model):
    """Rounding to float16 costs less than 1 %, and held-out images are not much worse than seen ones."""
    (_, _), (images, labels) = digits.data()
    batch = (jnp.tile(images, (4, 1, 1)), jnp.tile(labels, 4))
    found = float(eqx.filter_jit(digits.loss(drop=0.0))(model, batch, jax.random.key(3)))
    recorded = metadata(digits.WEIGHTS)
    assert abs(found / float(recorded["held_out"]) - 1) < 0.05
    assert float(recorded["held_out"]) < 1.2 * float(recorded["seen"])


@pytest.mark.parametrize("schedule", [EDM(0.01, 30.0), VP()], ids=["EDM", "VP"])
def test_held_out_digits_are_denoised(model, schedule):
    """At rho = sigma / alpha = 0.5 the error is under half of the best answer that knows mean and covariance only."""
    (train, _), (images, labels) = digits.data()
    rho, n = 0.5, len(images)
    t = float(schedule.t_of_rho(np.float64(rho)))
    alpha = np.float32(schedule.alpha(t))
    noisy = images + rho * np.random.default_rng(0).standard_normal(images.shape).astype(np.float32)
    D = eqx.filter_jit(digits.conditioned(model, labels, schedule))
    error = np.mean((np.asarray(D(t, jnp.asarray(alpha * noisy))) - images) ** 2)
    flat = train.reshape(-1, 64)
    mean, C = flat.mean(0), np.cov(flat.T)
    wiener = mean + (noisy.reshape(n, 64) - mean) @ np.linalg.solve(C + rho**2 * np.eye(64), C)
    assert error < 0.6 * np.mean((wiener - images.reshape(n, 64)) ** 2)
    per_sample = D(jnp.full(n, t, jnp.float32), jnp.asarray(alpha * noisy))
    assert np.allclose(per_sample, D(t, jnp.asarray(alpha * noisy)), atol=1e-5)


def test_label_tells(model):
    """From pure noise the answer is the mean of the class asked for, and of all digits for label 10."""
    (images, labels), _ = digits.data()
    sigma = 30.0
    x = sigma * jax.random.normal(jax.random.key(0), (64, 8, 8), jnp.float32)
    answer = eqx.filter_jit(lambda D: D(sigma, x).mean(0))
    means = np.stack([*(images[labels == k].mean(0) for k in range(10)), images.mean(0)])
    for label in range(digits.CLASSES + 1):
        D = np.asarray(answer(digits.conditioned(model, label, EDM(0.01, 30.0), batch=64)))
        assert int(np.argmin(((D - means) ** 2).sum((1, 2)))) == label


def test_preconditioning_at_its_ends():
    """sigma -> 0: the identity.  sigma large: x is ignored but for c_skip.  Before training: c_skip x."""
    model, x = eqx.filter_jit(small()), jax.random.normal(jax.random.key(2), (4, 4))
    assert np.allclose(model(1e-6, x, 0), x, atol=1e-5)
    untrained = Preconditioned(PatchTransformer(4, 2, width=8, depth=1, heads=2, key=jax.random.key(0)), 0.5)
    answer = eqx.filter_jit(untrained)
    for sigma in (0.1, 0.5, 7.0):
        assert np.allclose(answer(jnp.asarray(sigma), x, 0), 0.25 / (0.25 + sigma**2) * x, rtol=1e-12)


def test_patches_return_to_their_places():
    """With linear maps that copy a patch, the network is the identity on the image's geometry."""
    network = PatchTransformer(4, 2, width=4, depth=0, heads=2, key=jax.random.key(0))
    eye, zero = jnp.eye(4), jnp.zeros((4, 4))
    where = lambda n: (n.patches.weight, n.out.weight, n.positions)  # noqa: E731
    network = eqx.tree_at(where, network, (eye, eye, zero))
    x = jnp.arange(16.0).reshape(4, 4)
    found = np.asarray(network(x, 0.0, 0))
    for i, j in ((0, 0), (0, 2), (2, 0), (2, 2)):
        patch = np.asarray(x)[i : i + 2, j : j + 2]
        expected = (patch - patch.mean()) / np.sqrt(patch.var() + 1e-6)
        assert np.allclose(found[i : i + 2, j : j + 2], expected)


def test_loss_of_an_untrained_network_is_one():
    """The weight makes the raw network's target have variance 1 when the data's is sigma_data^2."""
    untrained = Preconditioned(PatchTransformer(4, 2, width=8, depth=1, heads=2, key=jax.random.key(0)), 0.5)
    x = 0.5 * jax.random.normal(jax.random.key(1), (4000, 4, 4))
    value = eqx.filter_jit(EDMLoss())(untrained, (x, jnp.zeros(4000, int)), jax.random.key(2))
    assert abs(float(value) - 1) < 0.03


def test_a_sample_does_not_depend_on_its_batch(model):
    x = jax.random.normal(jax.random.key(0), (5, 8, 8), jnp.float32)
    labels = jnp.arange(5)
    answer = eqx.filter_jit(lambda D, x: D(1.0, x))
    D = answer(digits.conditioned(model, labels, EDM()), x)
    assert np.allclose(answer(digits.conditioned(model, labels[2:3], EDM()), x[2:3]), D[2:3], atol=1e-5)


def test_labels_are_checked(model):
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.10"):
        digits.conditioned(model, 11, EDM())


def test_training_writes_weights(tmp_path, monkeypatch):
    (images, labels), _ = digits.data()
    few = (images[:32], labels[:32])
    tiny = lambda key: Preconditioned(PatchTransformer(8, 4, width=8, depth=1, heads=2, key=key), 0.75)  # noqa: E731
    monkeypatch.setattr(digits, "data", lambda: (few, few))
    monkeypatch.setattr(digits, "untrained", tiny)
    done = digits.train(tmp_path / "run", 2, batch=16, progress=False)
    file = tmp_path / "run" / "digits.safetensors"
    back = digits.load(file)
    assert np.allclose(back.network.positions, done.average.network.positions, atol=2e-3)
    assert metadata(file)["command"] == "duhamel train digits --steps 2 --seed 0"
    assert file.stat().st_mode & 0o777 == 0o644
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        digits.train(tmp_path / "none", 0, batch=16, progress=False)
    assert not (tmp_path / "none").exists()


def test_quality_tells_good_from_bad():
    (_, _), (images, labels) = digits.data()
    real = digits.quality(images, labels)
    wrong = digits.quality(np.random.default_rng(0).uniform(-1, 1, images.shape), labels)
    assert real["accuracy"] == real["accuracy_real"] > 0.95 and wrong["accuracy"] < 0.3
    assert real["energy"] < 0.02 < real["energy_gaussian"] < wrong["energy"]


def test_gaussians_of_the_classes_have_the_digits_moments():
    """Mean and covariance of the mixture are those of the images, plus rounding; classes are told apart."""
    (images, _), (held, held_labels) = digits.data()
    flat = images.reshape(-1, 64).astype(float)
    data = digits.class_gaussians(EDM(0.01, 30.0))
    assert np.allclose(data.mean(), flat.mean(0), atol=1e-6)
    assert np.allclose(data.covariance(), np.cov(flat.T) + np.eye(64) / 768, atol=5e-3)
    told = np.argmax(data.posterior(0.1, held.reshape(-1, 64).astype(float)), axis=1)
    assert np.mean(told == held_labels) > 0.9
