"""JAX's own switches: strict promotion of dtypes and ranks, and the search for NaN, in every family of methods."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh

X0, TS = np.array([1.0, 0.5], np.float32), np.array([0.0, 0.5, 1.0], np.float32)
KNOTS = np.linspace(0, 1, 5, dtype=np.float32)
CONTROL = dh.PID(1e-3, 1e-4)


def decay(t, x, k):
    return -k * x


def slope(problem, x0, **how):
    """Of the sum of what x' = -k x has at TS, by k."""
    return jax.grad(lambda k: jnp.sum(dh.solve(problem, x0, TS, args=k, **how).x))(jnp.float32(1.0))


def by_path(control):
    path = dh.LinearPath(KNOTS, np.stack([KNOTS, np.sin(KNOTS)], axis=1))
    return slope(dh.CDE(lambda t, x, k: jnp.stack([-k * x, 0 * x], -1), path), X0, control=control)


def in_lanes(method):
    x = lambda k: dh.ensemble(decay, X0[:, None], TS, args=k, method=method, control=CONTROL).x  # noqa: E731
    return jax.grad(lambda k: jnp.sum(x(k)))(jnp.float32(1.0))


SEMILINEAR = dh.Semilinear(dh.Diagonal(-0.5 * np.ones(2, np.float32)), lambda t, x, k: (0.5 - k) * x)
GOES_ON = dh.Event(lambda t, x: x[0] - 0.8, terminate=False)
SLOPES = {
    "explicit, events": lambda: slope(decay, X0, control=CONTROL, events=GOES_ON),
    "ESDIRK": lambda: slope(decay, X0, control=CONTROL, method=dh.Kvaerno3()),
    "Rosenbrock, lanes": lambda: in_lanes(dh.Ros23()),
    "exponential": lambda: slope(SEMILINEAR, X0, method=dh.ETDRK4(), control=dh.Fixed(8)),
    "CDE": lambda: by_path(CONTROL),
}
NOISY = dh.SDE(decay, lambda t, x: 0.0 * x)
VALUES = {
    "SDE": lambda: dh.solve(NOISY, X0, TS, args=1.0, method=dh.SOSRI(), control=dh.Fixed(32), key=jax.random.key(0)),
}


@pytest.mark.parametrize("family", [*SLOPES, *VALUES])
def test_no_family_of_methods_minds_strict_promotion(family):
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        if family in SLOPES:
            right = -X0.sum() * (TS * np.exp(-TS)).sum()
            assert float(SLOPES[family]()) == pytest.approx(right, rel=1e-2)
        else:
            assert np.allclose(VALUES[family]().x, np.exp(-TS)[:, None] * X0, rtol=2e-2)


def test_a_users_own_arithmetic_is_held_to_the_switches():
    wide = np.ones(2)
    with jax.numpy_dtype_promotion("strict"), pytest.raises(Exception, match="promotion"):
        dh.solve(lambda t, x: -(x * wide).astype(x.dtype), X0, 1.0)
    with jax.numpy_rank_promotion("raise"), pytest.raises(ValueError, match="rank_promotion"):
        dh.solve(lambda t, x: -(x * jnp.ones((1, 2), x.dtype))[0], X0, 1.0)


def test_the_search_for_nan_does_not_stop_at_rows_not_written():
    with jax.debug_nans(True):
        stopped = dh.solve(decay, X0, TS, args=2.0, control=CONTROL, events=dh.Event(lambda t, x: x[0] - 0.7))
        assert (
            stopped.status == dh.Status.event and np.isinf(stopped.x[1:]).all() and np.isinf(stopped.events.t[1:]).all()
        )
        short = dh.solve(decay, X0, TS, args=2.0, control=CONTROL, max_steps=1, throw=False)
        assert short.status == dh.Status.max_steps_reached
