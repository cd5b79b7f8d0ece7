"""Tables by least squares along a teacher's path."""

import jax.numpy as jnp
import numpy as np

from duhamel.diffusion import VP, build, gaussian, gaussian_flow
from duhamel.diffusion.compare import three_peaks
from duhamel.diffusion.tuning.dense import dense
from duhamel.diffusion.tuning.regression import regressed
from duhamel.rows.host import march


def end(plan, model, x):
    *_, last = march(plan, [lambda t, z: np.asarray(model(jnp.asarray(t), jnp.asarray(z)))], {"x": x})
    return last["x"]


def test_a_linear_flow_is_met_exactly():
    """Data of one variance: every state is a multiple of the start, whatever the steps."""
    schedule = VP()
    data = gaussian(schedule, [0.0, 0.0], 0.3)
    plan = dense(build("ddim", schedule, 3, grid="lam", terminal=False), schedule)
    fine = build("ddim", schedule, 60, grid="lam", terminal=False).t
    x, unseen = np.random.default_rng(0).standard_normal((2, 32, 2))
    path = np.stack([gaussian_flow(data, x, fine[0], t) for t in fine])
    found = regressed(plan, schedule, data.denoiser, fine, path)
    np.testing.assert_allclose(
        end(found, data.denoiser, unseen), gaussian_flow(data, unseen, fine[0], fine[-1]), rtol=1e-5
    )


def test_on_a_mixture_it_beats_the_sampler_whose_times_it_uses():
    schedule = VP()
    data = three_peaks(schedule)
    plan = dense(build("ddim", schedule, 6, grid="lam", terminal=False), schedule)
    fine = build("ddim", schedule, 60, grid="lam", terminal=False).t
    x, unseen = np.random.default_rng(1).standard_normal((2, 200))
    path = np.stack([data.quantile_map(x, fine[0], t) for t in fine])
    found = regressed(plan, schedule, data.denoiser, fine, path)
    exact = data.quantile_map(unseen, fine[0], fine[-1])
    before, after = (np.sqrt(np.mean((end(p, data.denoiser, unseen) - exact) ** 2)) for p in (plan, found))
    assert after < 0.5 * before


def test_times_that_turn_back_are_left_out():
    schedule = VP()
    plan = dense(build("dpmpp-3s", schedule, 2, grid="lam", terminal=False), schedule)
    heun = dense(build("heun", schedule, 3, terminal=True), schedule)
    path = np.ones((60, 4, 2))
    fine = build("ddim", schedule, 59, grid="lam", terminal=False).t
    data = gaussian(schedule, [0.0, 0.0], 0.3)
    assert regressed(heun, schedule, data.denoiser, fine, path) is None
    assert regressed(plan, schedule, data.denoiser, fine, path) is not None
