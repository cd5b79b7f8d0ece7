"""The front door, the conversions behind it, the likelihood, and the comparison table."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest

from duhamel.diffusion.compare import CONTENDERS, compare_plans, three_peaks, within
from duhamel.diffusion.denoiser import Converted, Guided, Thresholded, as_prediction, check_prediction, convert
from duhamel.diffusion.exact import gaussian, mixture
from duhamel.diffusion.likelihood import log_likelihood
from duhamel.diffusion.mixture1d import Mixture1D
from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.sampling import initial_noise, sample
from duhamel.diffusion.schedule import EDM, VE, VP
from duhamel.rows.plan import Plan

PREDICTIONS = ("data", "noise", "score", "velocity")


@pytest.mark.parametrize("source", PREDICTIONS)
@pytest.mark.parametrize("target", PREDICTIONS)
def test_predictions_say_the_same_thing(source, target):
    alpha, sigma, D, eps = 0.6, 1.7, np.array([1.0, -2.0]), np.array([0.3, 0.4])
    values = {"data": D, "noise": eps, "score": -eps / sigma, "velocity": alpha * eps - sigma * D}
    x = alpha * D + sigma * eps
    np.testing.assert_allclose(convert(values[source], x, alpha, sigma, source, target), values[target], rtol=1e-13)


def test_a_converted_model_takes_one_time_or_one_per_sample():
    data = mixture(VP(), [0.5, 0.5], [[0.0, 1.0], [1.0, 0.0]], 0.1)
    score = Converted(data.denoiser, VP(), "data", "score")
    x = jnp.arange(6.0).reshape(3, 2) / 3
    np.testing.assert_allclose(score(0.5, x), data.score(0.5, x), rtol=1e-9)
    t = jnp.array([0.2, 0.5, 0.9])
    np.testing.assert_allclose(score(t, x), data.score(t, x), rtol=1e-9)
    assert as_prediction(score, VP(), "score", "score") is score


def test_an_unknown_prediction_is_one_sentence():
    with pytest.raises(ValueError, match="Did you mean 'velocity'"):
        check_prediction("velocty", "source")


def test_guidance_and_thresholding():
    D = Guided(lambda t, x: x + 1, lambda t, x: x, 3.0)
    np.testing.assert_allclose(D(0.1, jnp.zeros((2, 2))), 3.0)
    clipped = Thresholded(lambda t, x: x, bound=1.0, q=1.0)
    x = jnp.array([[0.5, -0.2], [4.0, -2.0]])
    np.testing.assert_allclose(clipped(0.1, x), [[0.5, -0.2], [1.0, -0.5]], rtol=1e-12)


@pytest.mark.parametrize("name", ["unipc", "predictor-corrector"])
def test_a_sample_does_not_depend_on_its_batch(name):
    data, key = three_peaks(VP()), jax.random.key(7)
    plan = build(name, VP(), 12)
    noise = [initial_noise(VP(), 1.0, (n, 3), key) for n in (5, 64)]
    np.testing.assert_array_equal(noise[0], noise[1][:5])
    small, large = (sample(plan, data.denoiser, (n, 3), key) for n in (5, 64))
    np.testing.assert_allclose(small, large[:5], rtol=2e-5, atol=2e-5)
    later = sample(plan, data.denoiser, (5, 3), key, first=59)
    np.testing.assert_allclose(later, large[59:], rtol=2e-5, atol=2e-5)
    assert small.dtype == jnp.float32


@pytest.mark.parametrize(
    ("name", "schedule", "options"),
    [
        ("unipc", VP(), {"steps": 20, "terminal": True}),
        ("heun", EDM(), {"steps": 24}),
        ("ddim", VP(), {"steps": 150, "eta": 1.0, "terminal": True}),
        ("sde-dpmpp-2m", EDM(), {"steps": 50, "terminal": True}),
        ("heun", EDM(), {"steps": 60, "churn": 10.0}),
        ("ancestral", VE(), {"steps": 400}),
    ],
)
def test_samples_follow_the_exact_distribution(name, schedule, options):
    data = Mixture1D(schedule, np.array([0.4, 0.6]), np.array([-1.0, 1.0]), np.array([0.1, 0.2]))
    x = sample(build(name, schedule, **options), data.denoiser, (3000,), jax.random.key(1), dtype=jnp.float64)
    assert kstest(np.asarray(x), lambda v: np.exp(data.log_cdf(v))).pvalue > 1e-3


def test_every_prediction_of_one_model_gives_the_same_samples():
    data, plan = three_peaks(VP()), build("unipc", VP(), 8)
    options = {"key": jax.random.key(0), "shape": (16,), "dtype": jnp.float64}
    base = sample(plan, data.denoiser, **options)
    for prediction in PREDICTIONS[1:]:
        model = as_prediction(data.denoiser, VP(), prediction)
        np.testing.assert_allclose(sample(plan, model, prediction=prediction, **options), base, rtol=1e-8, atol=1e-9)


def test_states_and_bad_input():
    data, plan, key = three_peaks(VP()), build("ddim", VP(), 4), jax.random.key(0)
    assert sample(plan, data.denoiser, (3, 2), key, save="steps").shape == (5, 3, 2)
    with pytest.raises(ValueError, match="counts the samples"):
        sample(plan, data.denoiser, (0, 2), key)
    bare = Plan("bare", plan.segments, plan.t, "data")
    with pytest.raises(ValueError, match="schedule"):
        sample(bare, data.denoiser, (3,), key)
    np.testing.assert_allclose(
        sample(bare, data.denoiser, (3,), key, schedule=VP()), sample(plan, data.denoiser, (3,), key), rtol=1e-6
    )


@pytest.mark.parametrize("schedule", [VP(), EDM()], ids=str)
def test_likelihood_of_a_gaussian_and_of_a_mixture(schedule):
    """Against the exact log-density at t_min; RK4 with 60 steps."""
    factor = np.random.default_rng(0).normal(size=(3, 3))
    single = gaussian(schedule, [0.5, -0.2, 0.1], 0.3 * factor @ factor.T)
    several = mixture(schedule, [0.3, 0.7], [[-1.0, 0.0], [0.6, 0.4]], [0.04, 0.2])
    for data in (single, several):
        x = data.sample(jax.random.key(0), 20, schedule.t_min)
        found = log_likelihood(data.denoiser, schedule, x, steps=60)
        np.testing.assert_allclose(found, data.log_density(schedule.t_min, x), atol=2e-2)


def test_hutchinsons_estimate_is_unbiased_and_needs_a_key():
    data = gaussian(VP(), [0.0, 0.0], [[1.0, 0.6], [0.6, 0.5]])
    x = data.sample(jax.random.key(0), 6, VP().t_min)
    exact = log_likelihood(data.denoiser, VP(), x, steps=30)
    estimate = log_likelihood(data.denoiser, VP(), x, steps=30, probes=400, key=jax.random.key(1))
    np.testing.assert_allclose(estimate, exact, atol=0.5)
    with pytest.raises(ValueError, match="key"):
        log_likelihood(data.denoiser, VP(), x, probes=4)
    with pytest.raises(ValueError, match="sigma > 0"):
        log_likelihood(data.denoiser, VP(), x, t_min=0.0)


def test_the_comparison_has_a_record_for_each_and_more_evaluations_help():
    records = compare_plans(nfes=(10, 40), points=200)
    assert len(records) == 2 * len(CONTENDERS)
    assert all(r["nfe"] <= r["budget"] and np.isfinite(r["error"]) for r in records)
    by = {(r["label"], r["budget"]): r["error"] for r in records}
    assert all(by[label, 40] < by[label, 10] for label in CONTENDERS)
    assert by["UniPC-3", 40] < 0.1 * by["DDIM", 40]


def test_within_counts_evaluations_not_steps():
    assert within(20, "dpm-solver", VP()).nfe == 18
    with pytest.raises(ValueError, match="needs more than 2"):
        within(2, "dpm-solver", VP())
