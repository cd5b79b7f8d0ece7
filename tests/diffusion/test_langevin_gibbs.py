"""Langevin and Gibbs over states and noise levels: the exact product law stays, and samplers start where it ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from duhamel.diffusion.denoiser import as_prediction
from duhamel.diffusion.exact import gaussian
from duhamel.diffusion.langevin_gibbs import from_levels, langevin_gibbs
from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.schedule import EDM

SCHEDULE = EDM(0.1, 5.0)
TIMES = np.array([0.2, 0.5, 1.2, 3.0])
DATA = gaussian(SCHEDULE, [0.3], 0.25)


def sweep(x, level, keys, count, steps=0.1 * TIMES**2):
    logits = lambda x: jnp.stack([DATA.log_density(t, x) for t in TIMES], axis=-1)  # noqa: E731
    run = jax.jit(lambda x, level, keys: langevin_gibbs(
        DATA.score, logits, x, level, keys, times=TIMES, steps=steps, count=count))  # fmt: skip
    return run(x, level, keys)


def test_the_product_law_stays():
    """Started from far off: levels become equally likely, and x given its level is the noised Gaussian."""
    n = 4000
    keys = jax.random.split(jax.random.key(0), n)
    chain = sweep(jnp.full((n, 1), 3.0), jnp.full(n, 3, jnp.int32), keys, 200)
    assert chisquare(np.bincount(chain.level, minlength=4)).pvalue > 1e-3
    for k, t in enumerate(TIMES):
        here = np.asarray(chain.x)[np.asarray(chain.level) == k, 0]
        assert kstest((here - 0.3) / np.sqrt(0.25 + t**2), "norm").pvalue > 1e-3
    assert bool(jnp.all(chain.low_level <= chain.level))


def test_a_chain_is_its_own():
    keys = jax.random.split(jax.random.key(0), 6)
    x, level = jnp.ones((6, 1)), jnp.zeros(6, jnp.int32)
    large, small = (sweep(x[:n], level[:n], keys[:n], 20) for n in (6, 2))
    np.testing.assert_allclose(large.x[:2], small.x, rtol=1e-12)
    np.testing.assert_array_equal(large.low_level[:2], small.low_level)


@pytest.mark.parametrize("name", ["dpmpp-2m", "heun"])
def test_a_batch_starts_at_its_own_levels(name):
    make = lambda t: build(name, SCHEDULE, 4, t_max=t, terminal=False)  # noqa: E731
    level, x = np.array([2, 0, 2]), np.array([[1.0], [0.1], [-2.0]])
    plan = from_levels(make, TIMES, level)
    model = as_prediction(DATA.denoiser, SCHEDULE, plan.prediction)
    together = plan.run(model, x)
    alone = [make(TIMES[k]).run(model, x[i : i + 1]) for i, k in enumerate(level)]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-12)


def test_bad_input_is_one_sentence():
    keys = jax.random.split(jax.random.key(0), 2)
    with pytest.raises(ValueError, match="must be alike"):
        sweep(jnp.ones((2, 1)), jnp.zeros(2, jnp.int32), keys, 5, steps=np.ones(3))
