"""Noise in plans: one stream per (sample, step, draw), so that no sample depends on its batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.plan import Plan, Segment, compose

t = np.linspace(1.0, 0.2, 9) ** 2
h = np.diff(t)
steps = len(h)
ones = np.ones(1)
x0 = jax.random.normal(jax.random.key(1), (5, 3))


def F(tau, x):
    return jnp.sin(x) * tau - 0.3 * x


def one(pattern, coef, tau, name="plan", grid=t):
    return Plan(name, (Segment(pattern, tuple(coef), np.reshape(tau, (len(grid) - 1, pattern.calls))),), grid)


euler = Pattern((Row("y", ("x",), "F"), Row("next", ("F", "x"))), keep=(("x", "next"),))
noisy = Pattern((Row("y", ("z", "x"), "F"), Row("next", ("w", "F", "y"))), keep=(("x", "next"),), draws=("z", "w"))
pure = Pattern((Row("next", ("z",)),), keep=(("x", "next"),), draws=("z",))


def down():
    return one(euler, [ones, h, ones], t[:-1])


def loop(x):
    for n in range(steps):
        x = h[n] * F(t[n], x) + x
    return x


def test_restart_goes_up_in_time():
    """Down, noise up, down again."""
    up = Pattern((Row("next", ("z", "x")),), keep=(("x", "next"),), draws=("z",))
    jump = one(up, [0.4 * ones, 1.1 * ones], np.zeros((1, 0)), "up", np.array([t[-1], t[0]]))
    plan = compose([down(), jump, down()], "restart")
    assert (plan.copies, plan.nfe, plan.steps) == (2, 2 * steps, 2 * steps + 1)
    key = jax.random.key(3)
    low = loop(x0)
    z = jnp.stack([jax.random.normal(draw_key(key, i, steps, 0), (3,)) for i in range(5)])
    expected = loop(1.1 * low + 0.4 * z)
    np.testing.assert_allclose(plan.run(F, x0, key=key), expected, rtol=1e-13)


def draw_key(key, sample, n, d):
    return jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(key, sample), n), d)


def noisy_plan():
    return one(noisy, [0.1 * ones, ones, 0.2 * np.sqrt(-h), h, ones], t[:-1], "noisy")


def test_noise_is_what_the_docstring_says():
    key, x = jax.random.key(7), x0
    for n in range(steps):
        z, w = (jnp.stack([jax.random.normal(draw_key(key, i, n, d), (3,)) for i in range(5)]) for d in (0, 1))
        y = 0.1 * z + x
        x = 0.2 * np.sqrt(-h[n]) * w + h[n] * F(t[n], y) + y
    np.testing.assert_allclose(noisy_plan().run(F, x0, key=key), x, rtol=1e-13)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_noise_of_a_sample_does_not_depend_on_its_batch(dtype):
    key = jax.random.key(11)
    noise = one(pure, [ones], np.zeros((steps, 0)))
    x = x0.astype(dtype)
    whole = noise.run(F, x, key=key, save="steps")[1:]
    np.testing.assert_array_equal(whole[:, :2], noise.run(F, x[:2], key=key, save="steps")[1:])  # bit for bit
    own = jax.random.fold_in(key, 3)[None]
    np.testing.assert_array_equal(whole[:, 3:4], noise.run(F, x[3:4], key=own, save="steps")[1:])
    assert len(np.unique(np.asarray(whole).ravel())) == whole.size  # no two draws alike
    result = noisy_plan().run(F, x, key=key)
    np.testing.assert_allclose(result[:2], noisy_plan().run(F, x[:2], key=key), rtol=2e-6)


def test_further_draws_do_not_renumber_the_first():
    more = Pattern(noisy.rows, noisy.keep, draws=("z", "w", "unused"))
    plan = noisy_plan()
    padded = one(more, plan.segments[0].coef, t[:-1])
    key = jax.random.key(0)
    np.testing.assert_array_equal(plan.run(F, x0, key=key), padded.run(F, x0, key=key))


def test_noise_has_mean_zero_and_variance_one():
    z = one(pure, [ones], np.zeros((2, 0)), grid=np.arange(3.0)).run(F, jnp.zeros((20_000, 2)), key=jax.random.key(5))
    np.testing.assert_allclose(np.mean(z, axis=0), 0, atol=5 / np.sqrt(20_000))
    np.testing.assert_allclose(np.cov(z.T), np.eye(2), atol=8 / np.sqrt(20_000))


def test_model_arguments_receive_draws():
    """Milstein-like: a second model receives the state and the draw."""
    pattern = Pattern(
        (Row("y", ("x",), "f"), Row("y2", ("x",), "gz", model=1, args=("z",)), Row("next", ("gz", "f", "x"))),
        keep=(("x", "next"),),
        draws=("z",),
    )
    plan = one(pattern, [ones, ones, np.sqrt(-h), h, ones], np.stack([t[:-1]] * 2, 1))
    key, x = jax.random.key(4), x0
    for n in range(steps):
        z = jnp.stack([jax.random.normal(draw_key(key, i, n, 0), (3,)) for i in range(5)])
        x = np.sqrt(-h[n]) * jnp.cos(x) * z + h[n] * F(t[n], x) + x
    np.testing.assert_allclose(plan.run((F, lambda tau, x, z: jnp.cos(x) * z), x0, key=key), x, rtol=1e-13)
