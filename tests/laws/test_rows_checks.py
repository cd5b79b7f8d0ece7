"""The checks of a plan, against closed forms; each must also find a plan that is wrong."""

import numpy as np
import pytest

from duhamel.rows.checks import amplification, consistency, gaussian_gain, inversion_margin, noise_variance, order
from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.plan import Plan, Segment, tabulate

ones = np.ones(1)
alpha, sigma = np.cos, np.sin  # the time is the angle
one_step = Pattern((Row("y", ("x",), "F"), Row("next", ("F", "x"))), keep=(("x", "next"),))
two_step = Pattern((Row("y", ("x",), "F"), Row("next", ("F1", "F", "x"))), keep=(("x", "next"), ("F1", "F")))
sde_step = Pattern((Row("y", ("x",), "F"), Row("next", ("z", "F", "x"))), keep=(("x", "next"),), draws=("z",))
far_step = Pattern((Row("y", ("x",), "F"), Row("next", ("F", "y", "far"))), keep=(("x", "next"), ("far", "y")))


def euler(n):
    return tabulate("euler", one_step, lambda t, h: (1.0, h, 1.0), lambda t, h: (t,), np.linspace(0, 1, n + 1) ** 1.5)


def ab2(n):
    t = np.linspace(0, 1, n + 1) ** 1.5
    h = np.diff(t)
    w = np.concatenate([[0.0], h[1:] / h[:-1] / 2])
    return Plan("ab2", (Segment(two_step, (ones, -h * w, h * (1 + w), ones), t[:-1, None]),), t)


def angles(n):
    return np.linspace(1.5, 0.05, n + 1)


def dpmpp(n, second=True, noise=0.0):
    """DDIM, DPM-Solver++(2M), or DDIM with eta = noise (arXiv 2010.02502), data prediction."""
    t = angles(n)
    a, s = alpha(t), sigma(t)
    h = np.diff(np.log(a / s))
    if noise:
        std = noise * s[1:] * np.sqrt(-np.expm1(-2 * h))
        eps = np.sqrt(s[1:] ** 2 - std**2) / s[:-1]
        return Plan("ddim", (Segment(sde_step, (ones, std, a[1:] - eps * a[:-1], eps), t[:-1, None]),), t, "data")
    w = np.concatenate([[0.0], h[1:] / h[:-1] / 2]) * second
    c = -a[1:] * np.expm1(-h)
    return Plan("2m", (Segment(two_step, (ones, -w * c, (1 + w) * c, s[1:] / s[:-1]), t[:-1, None]),), t, "data")


def spoilt(plan, k, factor):
    """One coefficient of one step is off."""
    coef, tau = plan.numbers[0]
    wrong = coef[k].copy()
    wrong[wrong.shape[0] // 2] *= factor
    return plan.with_numbers([((*coef[:k], wrong, *coef[k + 1 :]), tau)])


def test_consistency_is_rounding_and_finds_a_spoilt_number():
    assert consistency(euler(9)) < 1e-14
    assert consistency(ab2(9)) < 1e-14
    assert consistency(dpmpp(9), alpha, sigma) < 1e-14
    assert consistency(dpmpp(9, noise=1.0), alpha, sigma) < 1e-14
    assert consistency(spoilt(ab2(9), 2, 1.01)) > 1e-3
    assert consistency(spoilt(dpmpp(9), 3, 1.01), alpha, sigma) > 1e-3


@pytest.mark.parametrize("build, claim", [(euler, 1), (ab2, 2)])
def test_order_of_plans_on_an_equation_with_a_known_solution(build, claim):
    """dx/dt = x cos t: x = exp(sin t)."""
    slopes = order(build, lambda t, x: x * np.cos(t), 1.0, np.exp(np.sin(1.0)))
    np.testing.assert_allclose(slopes[-1], claim, atol=0.2)


@pytest.mark.parametrize("second, claim", [(False, 1), (True, 2)])
def test_order_of_diffusion_plans_on_gaussian_data(second, claim):
    c = np.array([0.3, 1.7])
    gain = gaussian_gain("data", alpha, sigma, c)
    scale = np.sqrt((alpha(0.05) ** 2 * c + sigma(0.05) ** 2) / (alpha(1.5) ** 2 * c + sigma(1.5) ** 2))
    slopes = order(lambda n: dpmpp(n, second), lambda t, x: gain(t) * x, np.ones(2), scale, (40, 80, 160))
    np.testing.assert_allclose(slopes[-1], claim, atol=0.2)


def test_amplification_is_the_stability_polynomial():
    """Euler multiplies by 1 + h z; the step 0.1 is stable for -20 < z < 0."""
    z = np.array([-1.0, -19.0, -21.0, 3j])
    plan = tabulate("euler", one_step, lambda t, h: (1, h, 1), lambda t, h: (t,), np.linspace(0, 5, 51))
    grown = amplification(plan, lambda tau: z)
    np.testing.assert_allclose(grown, (1 + 0.1 * z) ** np.arange(51)[:, None], rtol=1e-12)
    np.testing.assert_array_equal(np.abs(grown[-1]) < 1, [True, True, False, False])


@pytest.mark.parametrize("prediction", ["data", "noise", "score", "velocity"])
def test_gaussian_gain_is_the_exact_model(prediction):
    """Along the exact flow x_t = s(t) x, the data prediction reconstructs the drift: d(x/sigma)/dlam = e^lam D."""
    c, t = np.array([0.2, 1.0, 4.0]), 0.8
    D = alpha(t) * c / (alpha(t) ** 2 * c + sigma(t) ** 2)
    eps = (1 - alpha(t) * D) / sigma(t)
    exact = {"data": D, "noise": eps, "score": -eps / sigma(t), "velocity": alpha(t) * eps - sigma(t) * D}
    np.testing.assert_allclose(gaussian_gain(prediction, alpha, sigma, c)(t), exact[prediction], rtol=1e-13, atol=1e-15)


def test_noise_variance_is_kept_whatever_eta():
    assert noise_variance(dpmpp(7, noise=1.0), alpha, sigma) < 1e-13
    assert noise_variance(dpmpp(7, noise=0.4), alpha, sigma) < 1e-13
    assert noise_variance(dpmpp(7), alpha, sigma) < 1e-13
    assert noise_variance(spoilt(dpmpp(7, noise=1.0), 1, 1.1), alpha, sigma) > 0.05


def test_noise_variance_for_gaussian_data_falls_with_the_step():
    errors = [noise_variance(dpmpp(n, noise=1.0), alpha, sigma, [0.3, 2.0]) for n in (50, 100, 200)]
    assert errors[0] > errors[1] > errors[2]
    np.testing.assert_allclose(errors[1] / errors[2], 2, atol=0.3)  # first order


def bdia(gamma, n=50):
    """BDIA in x / alpha (arXiv 2307.10829): x_{i-1} = gamma x_{i+1} + (1 - gamma) x_i + c F."""
    t = np.linspace(0, 1, n + 1)
    return Plan("bdia", (Segment(far_step, (ones, 0.1 * ones, (1 - gamma) * ones, gamma * ones), t[:-1, None]),), t)


def test_inversion_margin_of_bdia_is_a_power_of_gamma():
    for gamma in (0.5, 0.8):
        margin = inversion_margin(bdia(gamma), ("x", "far"))
        assert 0.3 < margin * gamma**50 / (1 + gamma) < 3
    assert inversion_margin(bdia(1.0), ("x", "far")) < 2
    assert inversion_margin(bdia(0.0), ("x", "far")) == np.inf


def test_the_margin_bounds_what_float32_loses():
    """Round trips in float32, undone by hand with the same model values."""
    rng = np.random.default_rng(0)
    for gamma in (0.96, 0.8):
        x, far = rng.normal(size=(2, 1000)).astype(np.float32)
        first = x.copy()
        g = np.float32(gamma)
        path = []
        for _ in range(50):
            F = np.sin(x)
            path.append(x)
            x, far = np.float32(0.1) * F + (1 - g) * x + g * far, x
        for _ in range(50):
            x, far = far, (x - (1 - g) * far - np.float32(0.1) * np.sin(far)) / g
        lost = np.max(np.abs(x - first))
        assert lost < 20 * inversion_margin(bdia(gamma), ("x", "far"), lambda tau: 1.0) * np.finfo(np.float32).eps
        assert lost > 0
