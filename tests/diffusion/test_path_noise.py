"""Noise along a Wiener path: the same path on every grid, and samples that converge one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.diffusion.exact import mixture
from duhamel.diffusion.plans.registry import SAMPLERS, build
from duhamel.diffusion.sampling import lam_clock, sample
from duhamel.diffusion.schedule import EDM, VP
from duhamel.rows.noise import drawn, path_noise

KEY = jax.random.key(3)
SCHEDULE = VP()


def increments(plan, n=4, dtype=jnp.float64, key=KEY, levels=20):
    clock, span = lam_clock(SCHEDULE, plan.t)
    z = path_noise(plan, jnp.zeros((n, 2), dtype), key, clock=clock, span=span, levels=levels)["z"]
    cells = np.round(clock / span * 2**levels) / 2**levels
    return np.asarray(z, np.float64) * np.sqrt(np.diff(cells))[:, None, None], np.asarray(z)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_a_finer_grid_sees_the_same_path(dtype):
    coarse, fine = (build("ddim", SCHEDULE, n, eta=1.0) for n in (6, 24))
    (dW, _), (parts, _) = (increments(plan, dtype=dtype) for plan in (coarse, fine))
    np.testing.assert_allclose(parts.reshape(6, 4, 4, 2).sum(1), dW, atol=2e-6 if dtype == jnp.float32 else 1e-13)


def test_a_step_that_two_grids_share_draws_the_same_numbers_bit_for_bit():
    ts = build("ddim", SCHEDULE, 8).t
    refined = np.insert(ts, 3, float(SCHEDULE.t_of_lam(0.5 * (SCHEDULE.lam(ts[2]) + SCHEDULE.lam(ts[3])))))
    one, two = (increments(build("ddim", SCHEDULE, ts=t, eta=1.0))[1] for t in (ts, refined))
    np.testing.assert_array_equal(np.delete(two, [2, 3], axis=0), np.delete(one, 2, axis=0))
    assert np.max(np.abs(one[2] - two[2])) > 0.1


def test_noise_along_a_path_is_standard_normal_and_a_samples_own():
    plan = build("ddim", SCHEDULE, 5, eta=1.0)
    z = increments(plan, n=4000)[1].reshape(5, -1)
    np.testing.assert_allclose(np.cov(z), np.eye(5), atol=6 / np.sqrt(8000))
    large, small = (increments(plan, n)[1] for n in (7, 3))
    np.testing.assert_array_equal(large[:, :3], small)


STOCHASTIC = [name for name in SAMPLERS if build(name, SCHEDULE, 8).draws]


@pytest.mark.parametrize("name", STOCHASTIC)
def test_every_stochastic_plan_draws_the_same_bits_in_any_batch(name):
    plan = build(name, SCHEDULE, 8)
    large, small = (drawn(plan, jnp.zeros((n, 2)), KEY) for n in (5, 2))
    for z in plan.draws:
        np.testing.assert_array_equal(large[z][:, :2], small[z])
        assert np.unique(large[z]).size == np.size(large[z]) or len(plan.segments) > 1


@pytest.mark.parametrize(
    ("name", "options", "order"), [("sde-dpmpp-2m", {}, 1), ("ddim", {"eta": 1.0}, 1), ("sde-dpmpp-2s", {}, 1)]
)
def test_samples_converge_one_by_one(name, options, order):
    """Strong order 1: the noise is additive, and a step sees its increment alone. Against 512 steps of that path."""
    data = mixture(SCHEDULE, [0.3, 0.7], [[-1.0, 0.0], [0.6, 0.4]], 0.2)
    ends = {}
    for n in (16, 32, 64, 512):
        plan = build(name, SCHEDULE, n, t_min=0.05, **options)
        ends[n] = sample(plan, data.denoiser, (50, 2), KEY, dtype=jnp.float64, noise="path")
    errors = [float(jnp.sqrt(jnp.mean((ends[n] - ends[512]) ** 2))) for n in (16, 32, 64)]
    slopes = np.log2(np.array(errors[:-1]) / errors[1:])
    assert slopes[-1] > order - 0.25, (errors, slopes)
    other = sample(build(name, SCHEDULE, 64, t_min=0.05, **options), data.denoiser, (50, 2), KEY, dtype=jnp.float64)
    assert float(jnp.sqrt(jnp.mean((other - ends[512]) ** 2))) > 10 * errors[-1]  # by steps it is another sample


def test_run_takes_its_own_time_as_clock_and_a_last_step_to_zero_is_fine():
    plan = build("euler-maruyama", EDM(), 6)
    score = lambda t, x: -x / (1 + t**2)  # noqa: E731
    x = 80 * jnp.ones((3, 2))
    given = path_noise(plan, x, KEY)
    np.testing.assert_array_equal(plan.run(score, x, key=KEY, noise="path"), plan.run(score, x, noise=given))
    terminal = build("sde-dpmpp-2m", SCHEDULE, 6, terminal=True)
    assert bool(jnp.all(jnp.isfinite(sample(terminal, lambda t, x: 0 * x, (3, 2), KEY, noise="path"))))
    still = build("ddim", SCHEDULE, 6)
    assert sample(still, lambda t, x: 0 * x, (3, 2), KEY, noise="path").shape == (3, 2)


def test_bad_input_is_one_sentence():
    plan, x = build("ddim", SCHEDULE, 4, eta=1.0), jnp.zeros((2, 2))
    with pytest.raises(ValueError, match="one number for each"):
        path_noise(plan, x, KEY, clock=[0.0, 1.0])
    with pytest.raises(ValueError, match="must rise"):
        path_noise(plan, x, KEY, clock=[0.0, 1.0, 1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="no single path"):
        path_noise(build("restart", EDM(), 8), x, KEY, clock=None)
    with pytest.raises(ValueError, match="levels"):
        path_noise(plan, x, KEY, levels=40)
    with pytest.raises(ValueError, match="by 'steps' or along a 'path'"):
        sample(plan, lambda t, x: x, (2, 2), KEY, noise="loud")
    with pytest.raises(ValueError, match="give 'path', or"):
        plan.run(lambda t, x: x, x, key=KEY, noise="loud")
