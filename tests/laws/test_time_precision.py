"""Small steps at large times, and tiny times: a time is kept as the time since t0, so it loses no digits.

In float32 the neighbours of 1000 are 6e-5 apart: a clock that adds steps of 1e-3 to 1000 is wrong by 3 % at each. Times
of 1e-9 are where controllers with absolute floors stop (both are reported against other solvers).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh

METHODS = [dh.RK4, dh.Tsit5, dh.Verner7]
ADAPTIVE = [dh.Bosh3, dh.Tsit5, dh.Verner7]
START = np.array([1.0, 0.0], np.float32)
named = pytest.mark.parametrize("method", METHODS, ids=lambda m: m.__name__)
adaptive = pytest.mark.parametrize("method", ADAPTIVE, ids=lambda m: m.__name__)


def turn(t, x, rate):
    return rate * jnp.stack([-x[1], x[0]])


def circle(angle):
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


@named
def test_a_thousand_steps_of_a_thousandth_at_a_thousand(method):
    """float32, t0 = 1000, h = 1e-3: as accurate as the same solve at t0 = 0, which rounds a thousand sums."""
    sol = dh.solve(turn, START, 1001.0, t0=1e3, method=method(), control=dh.Fixed(1000), args=1.0)
    at_zero = dh.solve(turn, START, 1.0, method=method(), control=dh.Fixed(1000), args=1.0)
    assert sol.x.dtype == jnp.float32
    np.testing.assert_array_equal(sol.x, at_zero.x)
    np.testing.assert_allclose(sol.x, circle(1.0), atol=2e-6)


@adaptive
def test_adaptive_steps_at_a_thousand_equal_those_at_zero(method):
    """An autonomous equation with fast oscillations: steps of about 1e-3, chosen by the controller."""
    how = {"method": method(), "control": dh.PID(1e-5, 1e-5), "max_steps": 20_000}
    late = dh.solve(turn, START, 1000.5, t0=1e3, **how, args=300.0)
    early = dh.solve(turn, START, 0.5, **how, args=300.0)
    assert int(late.stats.accepted) == int(early.stats.accepted) > 40
    np.testing.assert_array_equal(late.x, early.x)
    drift = 3e-2 if method is dh.Bosh3 else 3e-3  # 24 revolutions
    np.testing.assert_allclose(late.x, circle(150.0), atol=drift)


def test_save_times_at_a_thousand_are_told_apart_as_far_as_float32_can():
    """Save times are differences to t0, exact in float32 where they are themselves multiples of its spacing there."""
    since = np.arange(1, 65, dtype=np.float32) / 64
    late = dh.solve(turn, START, np.float32(1000) + since, t0=1e3, control=dh.PID(1e-6, 1e-6), args=3.0)
    np.testing.assert_allclose(late.x, circle(3.0 * since.astype(float)), atol=3e-5)


def test_a_field_that_depends_on_time_sees_the_time():
    """dx/dt = cos(t) from t0 = 1000: float32 rounds the argument of the cosine, and nothing else."""
    sol = dh.solve(lambda t, x: jnp.cos(t), jnp.float32(0), 1001.0, t0=1e3, control=dh.Fixed(1000))
    np.testing.assert_allclose(sol.x, np.sin(1001.0) - np.sin(1000.0), atol=5e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@adaptive
def test_times_of_a_billionth(method, dtype):
    """t1 = 2e-9 with rates of 1e9 is t1 = 2 with rates of 1."""
    tol = 1e-5 if dtype == np.float32 else 1e-8
    x0 = START.astype(dtype)
    tiny = dh.solve(turn, x0, 2e-9, method=method(), control=dh.PID(tol, tol), args=1e9)
    unit = dh.solve(turn, x0, 2.0, method=method(), control=dh.PID(tol, tol), args=1.0)
    assert tiny.x.dtype == dtype
    # Rounding may decide a rejection; nothing in the first step or in the controller has a unit of time.
    assert abs(int(tiny.stats.accepted) - int(unit.stats.accepted)) <= 1
    np.testing.assert_allclose(tiny.x, circle(2.0), atol=50 * tol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fixed_steps_and_save_times_of_a_billionth(dtype):
    ts = np.linspace(0.0, 2e-9, 9).astype(dtype)
    for control in (dh.Fixed(200), dh.PID(1e-6, 1e-6)):
        sol = dh.solve(turn, START.astype(dtype), ts, control=control, args=1e9)
        np.testing.assert_allclose(sol.x, circle(1e9 * ts.astype(float)), atol=2e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_step_of_a_billionth_is_taken_whole(dtype):
    """One step of exactly 1e-9 is one step: no sliver of time is left over."""
    sol = dh.solve(turn, START.astype(dtype), 1e-9, control=dh.Fixed(1), save=dh.Save(steps=True), args=1.0)
    assert int(sol.stats.accepted) == 1
    assert float(sol.t[-1]) == float(dtype(1e-9))
    adaptive = dh.solve(turn, START.astype(dtype), 1e-9, dt0=1e-9, args=1.0)
    assert int(adaptive.stats.accepted) == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_start_from_zero_at_a_billionth(dtype):
    """x0 = 0 gives the first step no scale."""
    sol = dh.solve(lambda t, x: 1e9 * (1.0 - x), dtype(0.0), 1e-8, control=dh.PID(1e-6, 1e-6))
    np.testing.assert_allclose(sol.x, 1.0 - np.exp(-10.0), atol=5e-6)


def test_lanes_keep_their_digits_too():
    """An ensemble at t0 = 1000 in float32 equals the one at 0, bit for bit."""
    x0s, rates = np.tile(START, (8, 1)), np.linspace(50.0, 300.0, 8, dtype=np.float32)
    how = {"args": rates, "in_axes": 0, "control": dh.PID(1e-5, 1e-5)}
    late = dh.ensemble(turn, x0s, 1000.5, t0=1e3, **how)
    early = dh.ensemble(turn, x0s, 0.5, **how)
    np.testing.assert_array_equal(late.x, early.x)
    np.testing.assert_allclose(late.x, circle(0.5 * rates.astype(float)), atol=5e-3)


def test_the_gradient_keeps_its_digits_too():
    """d x(t0 + 1)/d x0 of the rotation, in float32 at t0 = 1000."""

    def end(x0):
        return dh.solve(turn, x0, 1001.0, t0=1e3, args=1.0, control=dh.Fixed(500)).x[0]

    np.testing.assert_allclose(jax.grad(end)(jnp.asarray(START)), [np.cos(1.0), -np.sin(1.0)], atol=2e-6)
