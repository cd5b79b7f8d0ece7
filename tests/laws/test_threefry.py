"""Threefry against the published known answers, and the law of the normal numbers made of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from duhamel.core.threefry import fold, jax_normal, normal, threefry, words, written_out

# Random123's table of known answers, threefry2x32 with 20 rounds: (counter, key, result).
KNOWN = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_known_answers(counter, key, result):
    u = lambda pair: [jnp.uint32(v) for v in pair]  # noqa: E731
    assert tuple(int(v) for v in threefry(jnp.stack(u(key)), *u(counter))) == result


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_written_out_it_is_jax_random_bit_for_bit(dtype):
    key = jax.random.key(11)
    pair = tuple(jax.random.key_data(key))
    assert written_out(key) and not written_out(jax.random.key(11, impl="rbg"))
    for n in (0, 7, 2**31):
        assert tuple(map(int, fold(pair, n))) == tuple(map(int, jax.random.key_data(jax.random.fold_in(key, n))))
    z = jax_normal(pair, (37, 19), dtype)
    assert z.dtype == dtype
    np.testing.assert_array_equal(z, jax.random.normal(key, (37, 19), dtype))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_law(dtype):
    z = jax.vmap(lambda i: normal(words(jax.random.key(3)), i, (20,), dtype))(jnp.arange(10_000))
    assert z.dtype == dtype
    assert stats.kstest(np.asarray(z, np.float64).ravel(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(np.asarray(z).T) - np.eye(20)).max() < 0.05
    assert np.all(np.isfinite(z)) and abs(float(jnp.mean(z))) < 0.01


def test_a_number_depends_on_key_counter_and_place_alone():
    a = normal(words(jax.random.key(3)), 7, (20,), jnp.float32)
    np.testing.assert_array_equal(a[:5], normal(words(jax.random.key(3)), jnp.int32(7), (5,), jnp.float32))
    assert not np.any(a == normal(words(jax.random.key(4)), 7, (20,), jnp.float32))
    assert not np.any(a == normal(words(jax.random.key(3)), 8, (20,), jnp.float32))
    assert words(jax.random.key(3, impl="rbg")).shape == (2,)
