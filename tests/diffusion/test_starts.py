"""Where a run may begin: at noise, or at states that are given; and no time is asked for that a schedule has not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.diffusion import EDM, VE, VP, Cosine, DiscreteVP, Flow, build, gaussian, sample

CHAIN = DiscreteVP.from_betas(np.linspace(1e-4, 0.02, 1000))


@pytest.mark.parametrize(
    ("schedule", "t"), [(VP(), 0.4), (EDM(), 1.0), (Flow(), 0.5), (CHAIN, 200.0)], ids=["VP", "EDM", "Flow", "chain"]
)
def test_a_run_that_begins_among_the_data_wants_states(schedule, t):
    """Data N(3, 0.5^2): from noise alone the mean came out as 2.28, 1.66 and 1.66 for 3."""
    mean, c = jnp.array([3.0]), jnp.array([0.25])
    plan, model = build("unipc", schedule, 20, t_max=t), gaussian(schedule, mean, c).denoiser
    with pytest.raises(ValueError, match=r"the data show there.*pass x="):
        sample(plan, model, (400, 1), jax.random.key(0))
    z, w = jax.random.normal(jax.random.key(1), (2, 4000, 1))
    x = schedule.alpha(np.float64(t)) * (3 + 0.5 * w) + schedule.sigma(np.float64(t)) * z
    found = sample(plan, model, (4000, 1), jax.random.key(0), x=x, dtype=jnp.float64)
    np.testing.assert_allclose([found.mean(), found.std()], [3.0, 0.5], atol=0.03)
    with pytest.raises(ValueError, match="x has shape"):
        sample(plan, model, (40, 1), jax.random.key(0), x=x)


@pytest.mark.parametrize(
    ("schedule", "ts"),
    [
        (VE(), [50.0, 1.0, 0.01]),  # levels, taken for times
        (CHAIN, [1200.0, 500.0, 0.0]),
        (CHAIN, [1000.0, 500.0, 0.0]),
        (VP(), [999.0, 500.0, 0.5]),
        (Cosine(), [1.2, 0.5, 0.1]),
        (Flow(), [1000.0, 0.5]),
    ],
    ids=["VE", "chain", "chain, one too far", "VP", "Cosine", "Flow"],
)
def test_times_that_a_schedule_has_not_are_refused(schedule, ts):
    with pytest.raises(ValueError, match=r"ts begins at .*schedule.t_of_rho"):
        build("ddim", schedule, ts=ts)
