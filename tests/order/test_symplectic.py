"""Measured orders of symplectic methods on a field that depends on time, with velocities not linear in p."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import duhamel as dh
from duhamel.testing import marcher, measured_order

METHODS = {
    "SemiImplicitEuler": (dh.SemiImplicitEuler, 1),
    "StormerVerlet": (dh.StormerVerlet, 2),
    "PositionVerlet": (dh.PositionVerlet, 2),
    "Yoshida4": (dh.Yoshida4, 4),
    "McLachlan4": (dh.McLachlan4, 4),
    "Yoshida6": (dh.Yoshida6, 6),
    "Yoshida8": (dh.Yoshida8, 8),
    "McLachlan8": (dh.McLachlan8, 8),
}
T = 2.0


def velocity(t, p):
    return jnp.stack([p[0] / jnp.sqrt(1 + p @ p), p[1] * (1 + 0.3 * jnp.cos(t))])


def force(t, q):
    return jnp.stack([-jnp.sin(q[0]) + 0.3 * q[1] * jnp.cos(2 * t), -(q[1] ** 3) + 0.3 * q[0]])


PROBLEM = dh.Separable(velocity, force)
START = (jnp.array([0.5, -0.3]), jnp.array([0.2, 0.7]))


def reference(ts):
    def f(t, y):
        return jnp.concatenate(PROBLEM.field(t, (y[:2], y[2:]), None))

    return solve_ivp(jax.jit(f), (0, T), np.concatenate(START), "DOP853", t_eval=ts, rtol=1e-13, atol=1e-15).y


def ladder(order):
    return {1: (128, 256, 512, 1024), 2: (64, 96, 144, 216), 4: (16, 24, 36, 54), 6: (12, 16, 22, 30)}.get(
        order, (5, 7, 9, 11)
    )


@pytest.mark.parametrize("name", METHODS)
def test_order(name):
    make, order = METHODS[name]
    exact, run = reference([T])[:, -1], marcher(PROBLEM, make(), START, T)
    slope = measured_order(lambda n: np.abs(np.concatenate(run(n)) - exact).max(), ladder(order), floor=1e-13)
    # At order 8 leading errors are so small that the next order shows before rounding does.
    assert abs(slope - order) < (0.2 if order < 8 else 0.4)


@pytest.mark.parametrize("name", ["SemiImplicitEuler", "StormerVerlet", "McLachlan4"])
def test_dense_output(name):
    """Cubic Hermite: a quarter of the step divides the error inside steps by 4^4, or by the method's own power."""
    make, order = METHODS[name]
    ts = np.sort(np.random.default_rng(0).uniform(0, T, 200))
    exact, errors = reference(ts), []
    for n in (16, 64):
        x = dh.solve(PROBLEM, START, ts, method=make(), control=dh.Fixed(n)).x
        errors.append(np.abs(np.concatenate(x, axis=-1).T - exact).max())
    assert np.log(errors[0] / errors[1]) / np.log(4) > min(order, 4) - 0.2


@pytest.mark.parametrize("name", ["SemiImplicitEuler", "StormerVerlet", "PositionVerlet", "McLachlan4"])
def test_lanes_equal_solves(name):
    make, _ = METHODS[name]
    problem = dh.Separable(lambda t, p, a: p / a, lambda t, q, a: -a * jnp.sin(q))
    q, p, a = jnp.linspace(0.1, 2.0, 5)[:, None], jnp.linspace(-1.0, 1.0, 5)[:, None], jnp.linspace(0.5, 2.0, 5)
    ts = jnp.array([0.3, 1.0])
    together = dh.ensemble(problem, (q, p), ts, args=a, in_axes=0, method=make(), control=dh.Fixed(12))
    for i in range(5):
        alone = dh.solve(problem, (q[i], p[i]), ts, args=a[i], method=make(), control=dh.Fixed(12))
        for x, y in zip(together.x, alone.x, strict=True):
            np.testing.assert_allclose(x[i], y, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", ["SemiImplicitEuler", "PositionVerlet", "McLachlan4", "McLachlan8"])
def test_float32_stays_float32(name):
    make, _ = METHODS[name]
    start = jax.tree.map(lambda v: v.astype(jnp.float32), START)
    problem = dh.Separable(lambda t, p: p, lambda t, q: -q)
    q, p = dh.solve(problem, start, 1.0, method=make(), control=dh.Fixed(64)).x
    assert q.dtype == p.dtype == jnp.float32
    tolerance = {1: 2e-2, 2: 1e-4}.get(METHODS[name][1], 2e-6)
    np.testing.assert_allclose(q, np.cos(1) * start[0] + np.sin(1) * start[1], atol=tolerance)


def test_evaluations_are_counted():
    """Velocity Verlet calls each field once a step, and the force once more at the start."""
    sol = dh.solve(PROBLEM, START, T, method=dh.StormerVerlet(), control=dh.Fixed(10))
    assert int(sol.stats.nfe) == 21
