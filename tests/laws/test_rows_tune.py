"""Fits of plans: against linear least squares, against SciPy, and never worse than the start."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import least_squares

from duhamel.diffusion.compare import on_host, three_peaks
from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.schedule import EDM
from duhamel.rows import Pattern, Plan, Row, Segment
from duhamel.rows.host import march
from duhamel.rows.tune import Cases, errors_of, fit, tangents_of

RNG = np.random.default_rng(0)
AFFINE = Pattern((Row("y", ("x",), call="F"), Row("x_next", ("m", "F", "x"))), (("x", "x_next"),), consts=("m",))
SPAN = EDM(0.05, 10.0)
DATA = three_peaks(SPAN)
X = 10.0 * RNG.standard_normal(120)
EXACT = DATA.quantile_map(X, 10.0, 0.05)


def affine(theta):
    """x_next = theta_0 m + theta_1 F(x) + theta_2 x"""
    return Plan("affine", (Segment(AFFINE, (np.ones(1), *theta[:, None]), np.zeros((1, 1))),), [1.0, 0.0])


def sine(tau, z):
    return jnp.sin(z)


def falling_times(theta):
    """DDIM on times whose logarithms fall by exp(theta), from 10 to 0.05."""
    parts = np.exp(theta - theta[0])
    lam = np.concatenate([[0.0], np.cumsum(parts) / np.sum(parts)])
    return build("dpmpp-2m", SPAN, ts=10.0 * (0.05 / 10.0) ** lam)


def scipy_residual(build, x, target):
    model = on_host(DATA.denoiser, SPAN, "data")

    def residual(theta):
        *_, last = march(build(theta), model, {"x": x})
        return last["x"] - target

    return residual


def test_one_step_is_linear_least_squares():
    x, m, target = RNG.standard_normal((40, 3)), RNG.standard_normal((40, 3)), RNG.standard_normal((40, 3))
    found = fit(affine, np.zeros(3), sine, x, target, consts={"m": m}, iterations=40, tolerance=0.0)
    A = np.stack([m.ravel(), np.sin(x).ravel(), x.ravel()], axis=1)
    exact, squares, *_ = np.linalg.lstsq(A, target.ravel())
    assert np.allclose(found.theta, exact, atol=1e-10)
    assert found.improved and abs(found.error - np.sqrt(squares[0] / target.size)) < 1e-12
    assert found.plan == affine(found.theta)


@pytest.mark.parametrize(("loss", "theirs"), [("squares", "linear"), ("soft-l1", "soft_l1"), ("log", "cauchy")])
def test_timesteps_as_scipy_finds_them(loss, theirs):
    start = np.array([0.3, 0.0, -0.3])
    family = lambda free: falling_times(np.concatenate([[0.0], free]))  # noqa: E731  the first part is the unit
    found = fit(
        family, start, DATA.denoiser, X, EXACT, loss=loss, scale=0.2, judge="loss", iterations=60, tolerance=1e-9
    )
    residual = scipy_residual(family, X, EXACT)
    peer = least_squares(residual, start, loss=theirs, f_scale=0.2, x_scale="jac", xtol=1e-12, ftol=1e-12, gtol=1e-12)
    cost = lambda theta: least_squares(residual, theta, loss=theirs, f_scale=0.2, max_nfev=1).cost  # noqa: E731
    assert cost(found.theta) < cost(start) * 0.9
    assert cost(found.theta) < peer.cost * (1 + 1e-6)


def test_tangents_are_those_of_the_builder():
    """AB2's weights and times move with the grid; a linear family's tangents are its matrix."""
    theta = np.array([0.1, -0.2, 0.3, 0.0])
    tangents = jax.tree.leaves(tangents_of(falling_times, theta))
    h = np.array([0.0, 1e-4, 0.0, 0.0])
    up, down = (jax.tree.leaves(falling_times(theta + s * h).numbers) for s in (1, -1))
    for a, b, tangent in zip(up, down, tangents, strict=True):
        assert np.allclose((a - b) / 2e-4, tangent[1], atol=1e-5 * max(1.0, np.abs(a).max()))
    ((coef, _),) = tangents_of(affine, np.array([3.0, -1.0, 2.0]))
    assert np.allclose(np.stack(coef)[1:, :, 0], np.eye(3), atol=1e-9)


def test_never_worse_than_its_start_on_held_out_noises():
    """Held-out cases whose target is where the start goes: any step is worse there, so the start comes back."""
    start = np.array([0.0, 0.0, 0.5])
    x = RNG.standard_normal((30, 2))
    held = Cases(x, 0.5 * x, consts={"m": np.zeros(2)})
    found = fit(affine, start, sine, x, np.cos(x), held_out=held, consts={"m": np.ones(2)}, patience=2)
    assert not found.improved and found.start == found.error < 1e-15
    assert np.array_equal(found.theta, start) and len(found.history) <= 2
    assert found.plan == affine(start)


def test_early_stop_takes_the_best_of_held_out_noises():
    """Twelve coefficients and eight noisy cases: the fitted loss goes on falling when the held-out error rises."""
    x = RNG.standard_normal((8, 1))
    target = np.sin(2 * x) + 0.5 * RNG.standard_normal(x.shape)
    fresh = RNG.standard_normal((200, 1))
    told = []
    found = fit(
        falling_times, np.zeros(6), DATA.denoiser, 10 * x[:, 0], 3 * target[:, 0],
        held_out=(10 * fresh[:, 0], 3 * np.sin(2 * fresh[:, 0])), progress=told.append, tolerance=0.0,
    )  # fmt: skip
    assert told == list(found.history) and all(a.loss > b.loss for a, b in pairwise(told))
    assert found.error == min(found.start, *(p.error for p in told)) <= found.start


def test_float64_state_around_a_float32_network():
    seen = []

    def network(tau, z):
        seen.append(z.astype(jnp.float32).dtype)
        return jnp.sin(z.astype(jnp.float32)).astype(z.dtype)

    x = RNG.standard_normal((50, 2))
    found = fit(affine, np.zeros(3), network, x, x - 0.25 * np.sin(x), consts={"m": np.ones(2)})
    assert np.allclose(found.theta, [0.0, -0.25, 1.0], atol=1e-6) and seen


def test_two_models_slots_draws_and_all_times():
    """A guided pair, a slot with a first value, a draw and the states on the way, all as `Plan.run` takes them."""
    rows = (Row("y", ("x",), call="F"), Row("w", ("x",), call="G", model=1), Row("x_next", ("z", "v", "G", "F", "x")))
    pattern = Pattern(rows, (("x", "x_next"), ("v", "v")), draws=("z",))

    def family(theta):
        one = np.ones(1)
        c = (one, one, 0.1 * one, *(np.full(3, value) for value in theta), one)
        return Plan("pair", (Segment(pattern, c, np.zeros((3, 2))),), np.arange(4.0))

    x, v, key = RNG.standard_normal((20, 2)), RNG.standard_normal((20, 2)), jax.random.key(1)
    models, truth = (sine, lambda tau, z: jnp.cos(z)), np.array([0.3, -0.2, 0.4])
    target = family(truth).run(models, x, slots={"v": v}, key=key, save="steps")
    found = fit(family, np.zeros(3), models, x, target, slots={"v": v}, key=key, save="steps", iterations=30)
    assert np.allclose(found.theta, truth, atol=1e-6)
    errors = errors_of(family(truth), models, Cases(x, target, {"v": v}, key=key), "steps")
    assert errors.shape == (20,) and errors.max() < 1e-14


def test_bad_input():
    x = np.ones((4, 2))
    with pytest.raises(ValueError, match="theta has shape"):
        fit(affine, np.zeros(0), sine, x, x, consts={"m": x})
    with pytest.raises(ValueError, match="target has"):
        fit(affine, np.zeros(3), sine, x, x[:2], consts={"m": x})
    with pytest.raises(ValueError, match=r"theta\[0\] changes the rows"):
        fit(lambda theta: build("ddim", SPAN, 3 if theta[0] <= 0 else 4), np.zeros(1), sine, x, x)
    with pytest.raises(ValueError, match="NaN or infinity"):
        fit(affine, np.zeros(3), lambda tau, z: z / 0.0, x, x, consts={"m": x})


def test_probes_find_what_whole_jacobians_find():
    """Reverse mode with random directions: the same minimum, and for one component a sample the same steps."""
    start = np.array([0.3, 0.0, -0.3])
    family = lambda free: falling_times(np.concatenate([[0.0], free]))  # noqa: E731
    whole = fit(family, start, DATA.denoiser, X, EXACT, iterations=5, tolerance=0.0)
    pulled = fit(family, start, DATA.denoiser, X, EXACT, iterations=5, tolerance=0.0, probes=1)
    assert np.allclose(whole.theta, pulled.theta, atol=1e-6)
    x, m, target = RNG.standard_normal((60, 2, 3)), RNG.standard_normal((60, 2, 3)), RNG.standard_normal((60, 2, 3))
    found = fit(affine, np.zeros(3), sine, x, target, consts={"m": m}, iterations=40, tolerance=0.0, probes=2)
    exact, *_ = np.linalg.lstsq(np.stack([m.ravel(), np.sin(x).ravel(), x.ravel()], axis=1), target.ravel())
    assert np.allclose(found.theta, exact, atol=1e-6)


def test_plan_tune_fits_what_is_given_step_by_step():
    """DDIM's two numbers a step, fitted: better on held-out noises, the times and the rows as they were."""
    plan = build("ddim", SPAN, 4)
    held = 10.0 * RNG.standard_normal(100)
    found = plan.tune(DATA.denoiser, X, EXACT, held_out=(held, DATA.quantile_map(held, 10.0, 0.05)))
    assert found.improved and found.error < 0.7 * found.start and len(found.theta) == 8
    assert found.plan.patterns == plan.patterns and np.array_equal(found.plan.t, plan.t)
