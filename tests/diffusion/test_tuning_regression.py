"""Tables by least squares along a teacher's path."""

import jax.numpy as jnp
import numpy as np

from duhamel.diffusion import VP, build, gaussian, gaussian_flow
from duhamel.diffusion.compare import three_peaks
from duhamel.diffusion.tuning.dense import dense
from duhamel.diffusion.tuning.regression import Teacher
from duhamel.rows.host import march


def end(plan, model, x):
    *_, last = march(plan, [lambda t, z: np.asarray(model(jnp.asarray(t), jnp.asarray(z)))], {"x": x})
    return last["x"]


def test_a_linear_flow_is_met_exactly():
    """Data of one variance: every state is a multiple of the start, whatever the steps; no times are better."""
    schedule = VP()
    data = gaussian(schedule, [0.0, 0.0], 0.3)
    times, fine = (build("ddim", schedule, n, grid="lam", terminal=False).t for n in (3, 60))
    x, unseen = np.random.default_rng(0).standard_normal((2, 32, 2))
    path = np.stack([gaussian_flow(data, x, fine[0], t) for t in fine])
    teacher = Teacher(schedule, data.denoiser, fine, path)
    found, residual = teacher.regressed(times)
    assert np.abs(residual).max() < 1e-5
    np.testing.assert_allclose(
        end(found, data.denoiser, unseen), gaussian_flow(data, unseen, fine[0], fine[-1]), rtol=1e-5
    )


def test_on_a_mixture_it_beats_the_sampler_whose_times_it_uses_and_better_times_go_further():
    schedule = VP()
    data = three_peaks(schedule)
    plan = dense(build("ddim", schedule, 6, grid="lam", terminal=False), schedule)
    fine = build("ddim", schedule, 60, grid="lam", terminal=False).t
    x, unseen = np.random.default_rng(1).standard_normal((2, 200))
    path = np.stack([data.quantile_map(x, fine[0], t) for t in fine])
    teacher = Teacher(schedule, data.denoiser, fine, path)
    times = teacher.best_times(plan.t, 3.0, 8)
    found, residual = teacher.regressed(plan.t)
    moved, _ = teacher.regressed(times)
    assert np.allclose(end(found, data.denoiser, x) - path[-1], residual[:, 0], atol=1e-5)
    assert times[0] == plan.t[0] and times[-1] == plan.t[-1] and np.all(np.diff(times) < 0)
    exact = data.quantile_map(unseen, fine[0], fine[-1])
    typical = lambda p: np.exp(np.mean(np.log(np.abs(end(p, data.denoiser, unseen) - exact))))  # noqa: E731
    assert typical(found) < 0.5 * typical(plan)
    assert typical(moved) < 0.7 * typical(found)
