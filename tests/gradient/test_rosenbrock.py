"""Gradients through Rosenbrock steps, Jacobians included, against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.testing import gradient_error

METHODS = {"Ros23": dh.Ros23, "Rodas4": dh.Rodas4, "Rodas5P": dh.Rodas5P}


def kaps(t, x, k):
    """Fast at rate 1000 k_0 towards x_0 = x_1^2."""
    fast = 1000.0 * k[0] * (x[1] ** 2 - x[0])
    return jnp.stack([fast - 2.0 * x[0] + 0.1 * jnp.sin(t), k[1] * x[0] - x[1] - k[2] * x[1] ** 2])


X0, K = jnp.array([1.0, 0.8]), jnp.array([0.9, 0.7, 1.2])


@pytest.mark.parametrize("name", METHODS)
def test_fixed_steps(name):
    """The steps do not move, so finite differences see what the tape sees."""

    @jax.jit
    def f(x0, k):
        sol = dh.solve(kaps, x0, jnp.array([0.3, 2.0]), args=k, method=METHODS[name](), control=dh.Fixed(9))
        return jnp.sum(sol.x * jnp.array([1.0, -2.0]))

    assert gradient_error(f, X0, K) < 1e-6


def test_adaptive_steps():
    @jax.jit
    def f(x0, k, t1):
        control = dh.PID(rtol=1e-10, atol=1e-12)
        return jnp.sum(jnp.sin(3 * dh.solve(kaps, x0, t1, args=k, method=dh.Rodas5P(), control=control).x))

    assert gradient_error(f, X0, K, 2.0) < 1e-6


def test_lanes_share_parameters():
    x0s = jnp.stack([X0, 1.3 * X0, 0.5 * X0])

    @jax.jit
    def lanes(x0s, k):
        return jnp.sum(dh.ensemble(kaps, x0s, 2.0, args=k, method=dh.Rodas5P(), control=dh.Fixed(8)).x ** 2)

    @jax.jit
    def one(x0, k):
        return jnp.sum(dh.solve(kaps, x0, 2.0, args=k, method=dh.Rodas5P(), control=dh.Fixed(8)).x ** 2)

    x_bar, k_bar = jax.grad(lanes, argnums=(0, 1))(x0s, K)
    each = [jax.grad(one, argnums=(0, 1))(x0, K) for x0 in x0s]
    np.testing.assert_allclose(x_bar, jnp.stack([x for x, _ in each]), rtol=1e-9)
    np.testing.assert_allclose(k_bar, sum(k for _, k in each), rtol=1e-9)


def test_mass_matrix_and_algebraic_equation():
    """y' = -p z, 0 = z - y - q y^2: the gradient through a singular mass matrix."""
    mass = np.diag([1.0, 0.0])

    @jax.jit
    def f(y0, p):
        def rhs(t, x, args):
            return jnp.stack([-args[0] * x[1], x[1] - x[0] - args[1] * x[0] ** 2])

        x0 = jnp.stack([y0, y0 + p[1] * y0**2])
        return jnp.sum(dh.solve(dh.DAE(rhs, mass), x0, 1.0, args=p, method=dh.Rodas4(), control=dh.Fixed(8)).x ** 2)

    assert gradient_error(f, jnp.array(1.2), jnp.array([0.7, 0.4])) < 1e-6
