"""Streams: what a window shows is what the equation does, a batch is a function of (key, step), solves are reused."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from duhamel import pde
from duhamel.pde import data
from duhamel.train.fit import fit

KEY = jax.random.key(1)
GRID = pde.periodic(32, 2 * np.pi)
BURGERS = data.Stream(pde.Burgers(viscosity=0.1), GRID, data.TruncatedFourier(), 0.05, history=2, ahead=1, batch=6)


def test_a_window_is_what_the_equation_does():
    """The last frame of the past, solved once more, is the future."""
    batch = jax.jit(lambda step: BURGERS(KEY, step))
    window = batch(3)
    assert window.past.shape == (6, 2, 1, 32) and window.future.shape == (6, 1, 1, 32)
    once = jax.jit(jax.vmap(lambda u: pde.solve(BURGERS.equation, GRID, u, 0.05, steps=10).x))
    np.testing.assert_allclose(once(window.past[:, 1, 0]), window.future[:, 0, 0], atol=1e-12)
    np.testing.assert_allclose(once(window.past[:, 0, 0]), window.past[:, 1, 0], atol=1e-12)
    np.testing.assert_array_equal(batch(3).past, window.past)
    assert np.abs(batch(4).past - window.past).max() > 0.1


def test_several_cuts_skips_and_fields():
    """Windows of one trajectory differ by their starts; `skip` frames are not seen; two unknowns are two channels."""
    ks = data.Stream(
        pde.KuramotoSivashinsky(),
        pde.periodic(32, 22.0),
        data.TruncatedFourier(),
        1.0,
        frames=5,
        skip=3,
        batch=2,
        cuts=3,
    )
    window = jax.jit(ks)(KEY, 0)
    assert window.past.shape == (6, 1, 1, 32)
    u = jax.jit(ks.trajectories)(jax.random.split(jax.random.fold_in(KEY, 0))[0])
    assert u.shape == (2, 5, 1, 32)
    match = np.abs(np.asarray(u)[:, :, None] - np.asarray(window.past).reshape(2, 1, 3, 1, 32)).max((-1, -2))
    assert np.all(match.min(axis=1) < 1e-12)  # each cut is a frame of its own trajectory
    alone = pde.solve(ks.equation, ks.grid, u[0, 0, 0], 4.0, steps=40).x
    np.testing.assert_allclose(alone, u[0, 4, 0], atol=1e-9)

    wave = data.Stream(pde.Wave(), GRID, data.Stacked(data.TruncatedFourier(), 2), 0.1, frames=3, batch=2)
    assert jax.eval_shape(lambda: wave(KEY, 0)).future.shape == (2, 1, 2, 32)
    psi = data.Stream(pde.NLSE(), GRID, data.Complex(data.TruncatedFourier()), 0.1, frames=2, batch=2)
    assert jax.eval_shape(lambda: psi(KEY, 0)).future.shape == (2, 1, 2, 32)


def test_training_without_files_learns_the_decay_of_heat():
    """One wave decays by exp(-D k^2 dt) a frame; the only weight of the model finds it, the solver in the same jit."""
    heat = data.Stream(pde.Heat(diffusivity=0.5), GRID, data.TruncatedFourier(cutoff=1), 0.3, frames=2, batch=4)
    loss = lambda c, window, key: jnp.mean((c * window.past - window.future) ** 2)  # noqa: E731
    found = fit(loss, jnp.array(0.0), heat, optimiser=optax.sgd(0.5), steps=60, key=KEY).model
    assert found == pytest.approx(np.exp(-0.5 * 0.3), rel=1e-4)


def test_a_reservoir_reuses_solves_and_forgets_the_oldest():
    pool = data.Reservoir(BURGERS, capacity=24, size=8, every=3)
    assert pool.uses == 4
    ring = eqx.filter_jit(data.Reservoir.start)(pool, KEY)
    assert ring.windows.shape == (24, 3, 1, 32)
    step = eqx.filter_jit(data.Reservoir.step)
    seen, first = [], np.asarray(ring.windows)
    for i in range(12):  # four solves of six windows: a whole turn
        before = np.asarray(ring.windows)
        ring, window = step(pool, ring, KEY, jnp.asarray(i))
        after = np.asarray(ring.windows)
        changed = np.flatnonzero(np.any(before != after, axis=(1, 2, 3)))
        place = 6 * (i // 3)
        assert changed.tolist() == (list(range(place, place + 6)) if i % 3 == 2 else [])
        drawn = np.concatenate([window.past, window.future], axis=1)
        held = {w.tobytes() for w in after}
        assert len({w.tobytes() for w in drawn}) == 8 and all(w.tobytes() in held for w in drawn)
        seen += [w.tobytes() for w in drawn]
    assert not {w.tobytes() for w in first} & {w.tobytes() for w in np.asarray(ring.windows)}
    counts = np.unique(np.array(seen, dtype=object), return_counts=True)[1]
    assert counts.max() > 1  # some were met more than once


def test_iterators_give_the_batches_of_their_steps():
    batch = jax.jit(lambda step: BURGERS(KEY, step))
    for i, window in enumerate(itertools.islice(BURGERS.batches(KEY), 2)):
        np.testing.assert_allclose(window.past, batch(i).past, atol=1e-14)
    pool = data.Reservoir(BURGERS, capacity=12, size=4)
    two = [np.asarray(w.past) for w in itertools.islice(pool.batches(KEY), 2)]
    assert two[0].shape == (4, 2, 1, 32) and np.abs(two[0] - two[1]).max() > 0


def test_bad_streams_are_told_in_a_sentence():
    for change, message in (
        ({"frames": 2}, "does not fit"),
        ({"interval": -1.0}, "must be positive"),
        ({"batch": 0}, "must be at least 1"),
        ({"sampler": data.Stacked(data.TruncatedFourier(), 2)}, "gives fields of shape"),
    ):
        with pytest.raises(ValueError, match=message):
            data.Stream(**{**vars(BURGERS), **change})
    with pytest.raises(ValueError, match="must be a multiple of the stream's 6"):
        data.Reservoir(BURGERS, capacity=10, size=4)
    with pytest.raises(ValueError, match="every = 0"):
        data.Reservoir(BURGERS, capacity=12, size=4, every=0)
