"""RK45 on the probability-flow ODE: against the quantile map, each sample with steps of its own."""

import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.diffusion.adaptive import rk45
from duhamel.diffusion.compare import three_peaks
from duhamel.diffusion.schedule import EDM, VP


@pytest.mark.parametrize("schedule", [VP(), EDM(0.02, 20.0)], ids=str)
def test_the_error_follows_the_tolerance(schedule):
    data = three_peaks(schedule)
    x = data.quantile((np.arange(20) + 0.5) / 20, schedule.t_max)
    exact = data.quantile_map(x, schedule.t_max, schedule.t_min)
    errors, calls = [], []
    for tolerance in (1e-4, 1e-7):
        found = rk45(data.denoiser, schedule, jnp.asarray(x), rtol=tolerance, atol=tolerance)
        assert bool(jnp.all(found.arrived))
        errors.append(float(np.max(np.abs(found.x - exact))))
        calls.append(float(jnp.mean(found.nfe)))
    assert errors[1] < 1e-4 and errors[1] < 0.05 * errors[0], errors
    assert calls[0] < calls[1] and len(np.unique(found.nfe)) > 1


def test_a_sample_has_steps_of_its_own():
    data, x = three_peaks(VP()), jnp.linspace(-2, 2, 6)
    large, small = (rk45(data.denoiser, VP(), x[:n]) for n in (6, 2))
    np.testing.assert_allclose(large.x[:2], small.x, rtol=1e-10)
    np.testing.assert_array_equal(large.nfe[:2], small.nfe)
    with pytest.raises(ValueError, match="lambda is infinite"):
        rk45(data.denoiser, VP(), x, t_min=0.0)
