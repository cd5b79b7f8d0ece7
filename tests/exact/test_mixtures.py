"""The exact mixtures against somebody else's truth: quadrature, SciPy, automatic derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.stats import kstest, multivariate_normal, norm

from duhamel.diffusion.exact import gaussian, gaussian_flow, mixture
from duhamel.diffusion.mixture1d import Mixture1D
from duhamel.diffusion.schedule import EDM, VE, VP, Cosine

WEIGHTS, MEANS, DEVIATIONS = np.array([0.3, 0.5, 0.2]), np.array([-2.0, 0.5, 1.5]), np.array([0.2, 0.4, 0.1])
SCHEDULES = [VP(), VE(), Cosine(), EDM()]


def line(schedule):
    return Mixture1D(schedule, WEIGHTS, MEANS, DEVIATIONS**2)


def plane(schedule, kind):
    rng = np.random.default_rng(0)
    means, factors = rng.normal(size=(4, 3)), rng.normal(size=(4, 3, 3))
    covariances = {
        "isotropic": np.array([0.1, 0.2, 0.3, 0.4]),
        "diagonal": rng.uniform(0.05, 0.5, (4, 3)),
        "full": 0.2 * factors @ np.swapaxes(factors, 1, 2),
    }[kind]
    return mixture(schedule, [1.0, 2.0, 3.0, 4.0], means, covariances), means, covariances


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_line_denoiser_is_the_conditional_expectation(schedule):
    """E[x_0 | x_t = x] by SciPy's quadrature over x_0."""
    data, t = line(schedule), 0.5 * (schedule.t_min + schedule.t_max)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    for x in (-1.3, 0.2, 2.5):

        def joint(x0, x=x):
            return float(np.sum(WEIGHTS * norm.pdf(x0, MEANS, DEVIATIONS))) * norm.pdf(x, alpha * x0, sigma)

        options = {"points": [-2.0, 0.5, 1.5], "epsabs": 1e-14, "epsrel": 1e-12, "limit": 200}
        mean = quad(lambda x0, f=joint: x0 * f(x0), -8, 8, **options)[0] / quad(joint, -8, 8, **options)[0]
        np.testing.assert_allclose(data.denoiser(t, jnp.array(x)), mean, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("kind", ["isotropic", "diagonal", "full"])
def test_density_score_and_denoiser_agree_with_scipy_and_with_each_other(schedule, kind):
    data, means, covariances = plane(schedule, kind)
    x = jnp.asarray(np.random.default_rng(1).normal(size=(6, 3)))
    for t in (schedule.t_max, 0.3 * schedule.t_max):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        density = 0.0
        for k in range(4):
            C = {"isotropic": lambda c: c * np.eye(3), "diagonal": np.diag, "full": lambda c: c}[kind](covariances[k])
            density += 0.1 * (k + 1) * multivariate_normal.pdf(x, alpha * means[k], alpha**2 * C + sigma**2 * np.eye(3))
        np.testing.assert_allclose(data.log_density(t, x), np.log(density), rtol=1e-11, atol=1e-11)
        score = jax.vmap(jax.grad(lambda v, t=t: data.log_density(t, v)))(x)
        np.testing.assert_allclose(data.score(t, x), score, rtol=1e-9, atol=1e-12)
        tweedie = (x + sigma**2 * score) / alpha
        np.testing.assert_allclose(data.denoiser(t, x), tweedie, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_samples_have_the_moments_of_the_data(kind):
    data, _, _ = plane(VP(), kind)
    x = np.asarray(data.sample(jax.random.key(0), 40_000))
    np.testing.assert_allclose(x.mean(0), data.mean(), atol=0.02)
    np.testing.assert_allclose(np.cov(x.T), data.covariance(), atol=0.04)
    t = 0.4
    x = np.asarray(data.sample(jax.random.key(1), 40_000, t))
    expected = VP().alpha(t) ** 2 * np.asarray(data.covariance()) + VP().sigma(t) ** 2 * np.eye(3)
    np.testing.assert_allclose(np.cov(x.T), expected, atol=0.04)


def test_line_samples_follow_the_distribution_function():
    data = line(VP())
    for t in (None, 0.3):
        x = np.asarray(data.sample(jax.random.key(2), 4000, t))
        assert kstest(x, lambda v, t=t: np.exp(data.log_cdf(v, t))).pvalue > 1e-3


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_quantile_map_is_the_probability_flow_ode(schedule):
    """Against DOP853 at tolerance 1e-13 on d(x/alpha)/d(log rho) = rho eps."""
    data, t_end = line(schedule), schedule.t_of_rho(0.05)
    t0 = schedule.t_of_rho(min(20.0, 0.999 * schedule.rho(schedule.t_max)))
    x = schedule.sigma(t0) * np.array([-2.2, -0.4, 0.1, 1.0, 3.0])

    @jax.jit
    def field(log_rho, y):
        t = schedule.t_of_rho(jnp.exp(log_rho))
        return y - data.denoiser(t, schedule.alpha(t) * y)

    span = (np.log(schedule.rho(t0)), np.log(schedule.rho(t_end)))
    y = solve_ivp(field, span, x / schedule.alpha(t0), method="DOP853", rtol=1e-13, atol=1e-14).y[:, -1]
    np.testing.assert_allclose(data.quantile_map(x, t0, t_end), schedule.alpha(t_end) * y, rtol=2e-12, atol=2e-12)


def test_quantile_map_of_one_gaussian_is_its_closed_form_far_into_the_tails():
    data, T = Mixture1D(VP(), np.ones(1), np.array([0.7]), np.array([0.09])), 1.0
    flat = gaussian(VP(), [0.7], 0.09)
    x = np.linspace(-30, 30, 121)  # thirty standard deviations: probabilities of 1e-197
    np.testing.assert_allclose(
        data.quantile_map(x, T, 1e-3), gaussian_flow(flat, x[:, None], T, 1e-3)[:, 0], rtol=1e-12
    )


def test_quantile_map_there_and_back_in_the_tails_and_between_far_modes():
    data = Mixture1D(EDM(), np.array([0.4, 0.6]), np.array([-1.0, 1.0]), np.array([0.01, 0.04]))
    x = np.concatenate([np.linspace(-400, 400, 101), np.linspace(-40, 40, 101)])
    y = data.quantile_map(x, 80.0, None)
    assert np.all(np.diff(np.sort(x)) >= 0) and np.all(np.isfinite(y))
    gain = np.exp(
        data.log_density(80.0, x) - data.log_density(None, y)
    )  # dy/dx: rounding of y comes back divided by it
    back = data.quantile_map(data.quantile_map(y, 1e-3, 80.0), 80.0, 1e-3)
    np.testing.assert_allclose(back, y, rtol=1e-12, atol=1e-12 * np.max(gain))
    assert data.quantile_map(np.zeros((2, 3)), 80.0).shape == (2, 3)


def test_quantile_inverts_the_distribution_function():
    data, p = line(VE()), np.array([1e-300, 1e-12, 0.2, 0.5, 0.8, 1 - 1e-12])
    for t in (None, 0.5):
        np.testing.assert_allclose(np.exp(data.log_cdf(data.quantile(p, t), t)), p, rtol=1e-11)


def test_flow_of_a_full_gaussian_carries_covariances():
    factor = np.random.default_rng(3).normal(size=(3, 3))
    data = gaussian(VP(), [1.0, -2.0, 0.5], factor @ factor.T)
    x = np.asarray(data.sample(jax.random.key(3), 20_000, 1.0))
    y = gaussian_flow(data, x, 1.0, 0.0)
    np.testing.assert_allclose(np.cov(y.T), factor @ factor.T, atol=0.15)
    np.testing.assert_allclose(gaussian_flow(data, y, 0.0, 1.0), x, atol=1e-9)
    axis = factor @ np.ones(3)  # the field of the ODE, by differences in t
    t, h = 0.5, 1e-6
    slope = (gaussian_flow(data, axis, t, t + h) - gaussian_flow(data, axis, t, t - h)) / (2 * h)
    expected = VP().f(t) * axis - 0.5 * VP().g2(t) * np.asarray(data.score(t, jnp.asarray(axis)))
    np.testing.assert_allclose(slope, expected, rtol=1e-6, atol=1e-8)


def test_classes_and_posterior():
    data, means, _ = plane(VP(), "full")
    one = data.components(1, 3)
    np.testing.assert_allclose(one.mean(), (2 * means[1] + 4 * means[3]) / 6)
    x = jnp.asarray(means)
    np.testing.assert_allclose(np.sum(np.asarray(data.posterior(0.5, x)), axis=1), 1, rtol=1e-12)


def test_float32_in_is_float32_out():
    data, _, _ = plane(VP(), "full")
    x = jnp.ones((2, 3), jnp.float32)
    assert {data.denoiser(0.5, x).dtype, data.score(0.5, x).dtype, data.log_density(0.5, x).dtype} == {
        jnp.dtype("float32")
    }
    assert line(VP()).denoiser(0.5, x).dtype == jnp.float32


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (lambda: mixture(VP(), [1.0], [0.0], 1.0), "means"),
        (lambda: mixture(VP(), [1.0, 1.0], [[0.0], [1.0]], [1.0, 1.0, 1.0]), "covariances have shape"),
        (lambda: mixture(VP(), [1.0], [[0.0, 1.0]], [[[1.0, 2.0], [0.0, 1.0]]]), "symmetric"),
        (lambda: mixture(VP(), [1.0], [[0.0]], [-1.0]), "negative"),
        (lambda: Mixture1D(VP(), np.array([1.0, 1.0]), np.zeros(2), np.ones(2)), "sum to 1"),
        (lambda: line(VP()).quantile([0.0]), "between 0 and 1"),
        (lambda: gaussian_flow(plane(VP(), "full")[0], np.zeros(3), 1.0, 0.1), "one Gaussian"),
    ],
)
def test_bad_input_is_one_sentence(bad, words):
    with pytest.raises(ValueError, match=words):
        bad()
