"""The canonical form: what a plan does, and plans that are one method in different clothes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.rows.canonical import canonical, distance, plans_equal
from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.plan import Plan, Segment

phi = np.linspace(1.5, 0.05, 9)  # angles: alpha = cos, sigma = sin, so that t is the angle
ones = np.ones(1)
alpha, sigma = np.cos, np.sin
lam = np.log(alpha(phi) / sigma(phi))
h = np.diff(lam)
one_step = Pattern((Row("y", ("x",), "F"), Row("next", ("F", "x"))), keep=(("x", "next"),))
two_step = Pattern((Row("y", ("x",), "F"), Row("next", ("F1", "F", "x"))), keep=(("x", "next"), ("F1", "F")))


def plan(name, pattern, coef, tau, prediction, grid=phi):
    return Plan(
        name, (Segment(pattern, tuple(coef), np.reshape(tau, (len(grid) - 1, pattern.calls))),), grid, prediction
    )


def ddim_data():
    return plan(
        "ddim", one_step, [ones, -alpha(phi[1:]) * np.expm1(-h), sigma(phi[1:]) / sigma(phi[:-1])], phi[:-1], "data"
    )


def ddim_noise():
    """DPM-Solver-1 (arXiv 2206.00927): x_t = alpha_t / alpha_s x - sigma_t (e^h - 1) eps."""
    return plan(
        "dpm-solver-1", one_step, [ones, -sigma(phi[1:]) * np.expm1(h), alpha(phi[1:]) / alpha(phi[:-1])], phi[:-1],
        "noise",
    )  # fmt: skip


def ddim_velocity():
    """A rotation in the plane of x and v (arXiv 2202.00512): x_t = cos(phi_s - phi_t) x - sin(phi_s - phi_t) v."""
    d = phi[:-1] - phi[1:]
    return plan("ddim", one_step, [ones, -np.sin(d), np.cos(d)], phi[:-1], "velocity")


def ddim_score():
    """dx = (alpha'/alpha x - g^2/2 S) dt integrated as DDIM: eps = -sigma_s S."""
    c = sigma(phi[1:]) * np.expm1(h) * sigma(phi[:-1])
    return plan("ddim", one_step, [ones, c, alpha(phi[1:]) / alpha(phi[:-1])], phi[:-1], "score")


def multistep(order):
    """DPM-Solver++(2M) (arXiv 2211.01095); order 1 has zeros where the history would count."""
    w = np.zeros_like(h) if order == 1 else np.concatenate([[0.0], h[1:] / h[:-1] / 2])
    c = -alpha(phi[1:]) * np.expm1(-h)
    return plan("2m", two_step, [ones, -w * c, (1 + w) * c, sigma(phi[1:]) / sigma(phi[:-1])], phi[:-1], "data")


DDIM = [ddim_data, ddim_noise, ddim_velocity, ddim_score]


@pytest.mark.parametrize("a", DDIM, ids=lambda f: f.__name__)
@pytest.mark.parametrize("b", DDIM, ids=lambda f: f.__name__)
def test_ddim_is_one_method_in_every_prediction(a, b):
    assert distance(a(), b(), alpha, sigma) < 1e-11


def test_zeros_in_a_longer_pattern_are_the_shorter_method():
    assert plans_equal(multistep(1), ddim_data(), rtol=1e-15)
    assert multistep(1) != ddim_data()  # they are written in other rows
    assert not plans_equal(multistep(2), ddim_data())
    assert distance(multistep(2), ddim_data()) > 0.01
    assert not plans_equal(multistep(2), ddim_noise(), alpha, sigma)


def test_plans_that_cannot_be_compared_are_infinitely_far():
    shorter = Plan("short", (Segment(one_step, (ones,) * 3, np.zeros((1, 1))),), np.zeros(2), "data")
    assert distance(ddim_data(), shorter) == np.inf
    late = ddim_data().with_numbers([(c, tau + 1e-3) for c, tau in ddim_data().numbers])
    assert distance(ddim_data(), late) == np.inf
    other = Pattern((Row("y", ("x",), "F", model=1), Row("next", ("F", "x"))), keep=(("x", "next"),))
    assert distance(ddim_data(), plan("other", other, ddim_data().segments[0].coef, phi[:-1], "data")) == np.inf


def test_heun_by_hand():
    pattern = Pattern(
        (Row("y", ("x",), "k1"), Row("y2", ("k1", "x"), "k2"), Row("next", ("k1", "k2", "x"))), keep=(("x", "next"),)
    )
    form = Plan(
        "heun", (Segment(pattern, (ones, 0.1 * ones, ones, 0.05 * ones, 0.05 * ones, ones), [[0, 0.1], [0.1, 0.2]]),),
        [0, 0.1, 0.2],
    ).canonical()  # fmt: skip
    assert form.basis == ("x", "F1", "F2", "F3", "F4")
    expected = [[1, 0, 0, 0, 0], [1, 0.1, 0, 0, 0], [1, 0.05, 0.05, 0, 0], [1, 0.05, 0.05, 0.1, 0]]
    np.testing.assert_allclose(form.points, expected, rtol=1e-15)
    np.testing.assert_allclose(form.states, [[1, 0.05, 0.05, 0.05, 0.05]], rtol=1e-15)
    np.testing.assert_array_equal(form.tau, [0, 0.1, 0.1, 0.2])
    assert form.coefficient(1, "F1") == 0.1
    assert form.coefficient(None, "F4") == 0.05


noisy = Pattern(
    (Row("y", ("z", "x"), "F", args=("z",)), Row("next", ("mu", "F1", "w", "F", "x"))),
    keep=(("x", "next"), ("F1", "F")),
    draws=("z", "w"),
    consts=("mu",),
)


@pytest.mark.parametrize("element", [(), (3,)], ids=["numbers", "one number per component"])
@pytest.mark.parametrize("kind", [float, complex])
def test_the_canonical_form_does_what_the_plan_does(element, kind):
    """Evaluating the lower-triangular form row by row gives the result of `run`, draws and constants included."""
    rng = np.random.default_rng(0)
    coef = [rng.normal(size=(8, *element)).astype(kind) * (1 + 0.3j if kind is complex else 1) for _ in range(7)]
    p = plan("noisy", noisy, coef, phi[:-1], None)
    form = canonical(p)
    n = len(form.tau)
    assert all(np.all(form.points[k][1 + k : 1 + n] == 0) for k in range(n))  # strictly lower triangular

    key = jax.random.key(0)
    x = jax.random.normal(jax.random.key(1), (2, 3)).astype(kind)
    mu = jnp.ones(3, dtype=kind)
    draw = [
        [jnp.stack([jax.random.normal(key_of(key, i, k, d), (3,), x.dtype) for i in range(2)]) for d in (0, 1)]
        for k in range(8)
    ]
    flat = [z for pair in draw for z in pair]

    def model(tau, y, z):
        return jnp.sin(y) * tau + 0.1 * z

    values = [x, *[jnp.zeros_like(x)] * n, *flat, mu]

    def total(row):
        return sum(c * v for c, v in zip(row, values, strict=True))

    for k in range(n):
        (arg,) = form.args[k]
        values[1 + k] = model(form.tau[k], total(form.points[k]), total(arg))
    np.testing.assert_allclose(total(form.states[0]), p.run(model, x, consts={"mu": mu}, key=key), rtol=1e-10)


def key_of(key, i, k, d):
    return jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(key, i), k), d)


def test_conversion_needs_a_schedule_and_a_known_prediction():
    with pytest.raises(ValueError, match=r"needs alpha\(tau\) and sigma\(tau\)"):
        ddim_data().canonical("noise")
    with pytest.raises(ValueError, match="prediction must be one of"):
        ddim_data().canonical("nose", alpha, sigma)
    at_zero = ddim_data().with_numbers([(c, 0 * tau) for c, tau in ddim_data().numbers])
    with pytest.raises(ValueError, match="sigma = 0"):
        at_zero.canonical("noise", alpha, sigma)


def test_a_slot_named_like_a_model_value_is_refused():
    with pytest.raises(ValueError, match="share a name"):
        multistep(2).canonical(slots=("x", "F1"))


def test_a_second_state_is_a_slot_of_the_basis():
    pattern = Pattern((Row("y", ("x",), "F"), Row("next", ("F", "y", "far"))), keep=(("x", "next"), ("far", "y")))
    p = plan("two", pattern, [ones, h, 0.5 * ones, 0.5 * ones], phi[:-1], None)
    form = p.canonical(slots=("x", "far"))
    assert form.basis[:2] == ("x", "far")
    assert form.states.shape == (2, len(form.basis))
    np.testing.assert_allclose(form.states[:, :2].sum(axis=1), 1, rtol=1e-14)  # x = far = 1 and F = 0 stays 1
