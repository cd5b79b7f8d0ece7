"""Gains of the network's blocks: one is the network, zero leaves a block out, and levels follow the times of a plan."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.diffusion import digits
from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.schedule import EDM
from duhamel.diffusion.search.layers import layered

SCHEDULE = EDM(*digits.SIGMA_RANGE)


@pytest.fixture(scope="module")
def denoiser():
    return digits.conditioned(digits.load(), jnp.arange(4), SCHEDULE)


def test_gains_act_at_the_levels_of_the_plan_s_own_times(denoiser):
    """The network, one without its second block, and one whose third block counts double: each at its own level."""
    plan = build("dpmpp-2m", SCHEDULE, 3, grid="karras", terminal=True)
    branch = np.ones((3, 4))
    branch[1, 1], branch[2, 2] = 0.0, 2.0
    gained = layered(denoiser, plan.t, branch)
    blocks = denoiser.model.network.blocks
    where = lambda d: d.model.network.blocks  # noqa: E731
    without = eqx.tree_at(where, denoiser, (blocks[0], *blocks[2:]))
    x = jax.random.normal(jax.random.key(0), (4, 8, 8), jnp.float32)
    answer = eqx.filter_jit(lambda model, t: model(t, x))

    def doubled(t):
        class Twice(eqx.Module):
            block: eqx.Module

            def __call__(self, z, c):
                return 2 * self.block(z, c) - z

        return answer(eqx.tree_at(where, denoiser, (*blocks[:2], Twice(blocks[2]), blocks[3])), t)

    t0, t1, t2 = (float(t) for t in plan.t[:3])
    np.testing.assert_allclose(answer(gained, t0), answer(denoiser, t0), atol=1e-6)
    np.testing.assert_allclose(answer(gained, t1), answer(without, t1), atol=1e-6)
    np.testing.assert_allclose(answer(gained, t2), doubled(t2), atol=1e-6)
    np.testing.assert_allclose(answer(gained, 0.9 * t1), answer(without, 0.9 * t1), atol=1e-6)
    with pytest.raises(ValueError, match="do not fit 3 steps, 4 blocks"):
        layered(denoiser, plan.t, np.ones((2, 4)))


def test_gains_of_one_change_no_sample_and_others_do(denoiser):
    plan = build("dpmpp-2m", SCHEDULE, 4, grid="karras", terminal=True)
    x = 30.0 * jax.random.normal(jax.random.key(1), (4, 8, 8), jnp.float32)
    whole = plan.run(denoiser, x)
    np.testing.assert_allclose(plan.run(layered(denoiser, plan.t, 1.0), x), whole, atol=2e-5)
    changed = plan.run(layered(denoiser, plan.t, np.linspace(0.9, 1.0, 16).reshape(4, 4)), x)
    assert float(jnp.abs(changed - whole).max()) > 1e-3
