"""Every schedule keeps the relations by which the rest of the library reads it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.diffusion.schedule import EDM, VE, VP, Cosine, Flow, MeanReverting, SubVP

SCHEDULES = [
    *(VP(), VP(0.5, 12.0), SubVP(), VE(), VE(0.002, 80.0), Cosine(), EDM()),
    *(Flow(), Flow(shift=3.0), MeanReverting(sigma_inf=0.4)),
]


def times(schedule, n=201):
    return np.linspace(schedule.t_min, schedule.t_max, n)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_rho_is_sigma_over_alpha_and_its_inverse_returns_the_time(schedule):
    t = times(schedule)
    assert np.all(np.diff(schedule.rho(t)) > 0)
    np.testing.assert_allclose(schedule.rho(t), schedule.sigma(t) / schedule.alpha(t), rtol=1e-14)
    np.testing.assert_allclose(schedule.t_of_rho(schedule.rho(t)), t, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(schedule.t_of_lam(schedule.lam(t)), t, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_drift_and_diffusion_are_those_of_the_marginals(schedule):
    """d alpha = f alpha dt and d sigma^2 = (2 f sigma^2 + g^2) dt, against derivatives by JAX."""
    t = jnp.asarray(times(schedule, 50)[1:-1])
    d_alpha = jax.vmap(jax.grad(lambda s: schedule.alpha(s)))(t)
    d_square = jax.vmap(jax.grad(lambda s: schedule.sigma(s) ** 2))(t)
    np.testing.assert_allclose(d_alpha, schedule.f(t) * schedule.alpha(t), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(d_square, 2 * schedule.f(t) * schedule.sigma(t) ** 2 + schedule.g2(t), rtol=1e-10)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_the_noise_ends_at_t_zero_and_no_digits_are_lost_near_it(schedule):
    assert schedule.rho(schedule.t_zero) == 0 or abs(schedule.rho(schedule.t_zero)) < 1e-15
    rho = np.array([1e-12, 1e-9, 1e-6])
    if not isinstance(schedule, VE):  # VE's time does not begin at 0: near it, t itself carries only absolute digits
        np.testing.assert_allclose(schedule.rho(schedule.t_of_rho(rho)), rho, rtol=1e-13)


def test_vp_keeps_the_variance_and_matches_the_papers_numbers():
    t = times(VP())
    np.testing.assert_allclose(VP().alpha(t) ** 2 + VP().sigma(t) ** 2, 1, rtol=1e-14)
    np.testing.assert_allclose(VP().alpha(1.0), np.exp(-0.25 * 19.9 - 0.05), rtol=1e-15)
    np.testing.assert_allclose(VE().sigma(0.0), 0.01)
    np.testing.assert_allclose(VE().sigma(1.0), 50.0, rtol=1e-14)
    np.testing.assert_allclose(SubVP().sigma(t), 1 - SubVP().alpha(t) ** 2, rtol=1e-9)
    np.testing.assert_allclose(Cosine().alpha(t) ** 2 + Cosine().sigma(t) ** 2, 1, rtol=1e-13)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_jax_and_numpy_agree_and_float32_stays_float32(schedule):
    t = times(schedule, 20)
    traced = jax.jit(lambda s: (schedule.alpha(s), schedule.sigma(s), schedule.t_of_rho(schedule.rho(s))))(t)
    host = (schedule.alpha(t), schedule.sigma(t), schedule.t_of_rho(schedule.rho(t)))
    for a, b in zip(traced, host, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    assert schedule.sigma(jnp.float32(0.5)).dtype == jnp.float32


@pytest.mark.parametrize(
    "bad", [lambda: VP(2.0, 1.0), lambda: VE(1.0, 0.5), lambda: EDM(0.0, 1.0), lambda: Cosine(-1.0)]
)
def test_wrong_parameters_are_one_sentence(bad):
    with pytest.raises(ValueError, match="needs 0 <"):
        bad()
