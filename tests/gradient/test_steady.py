"""States of rest, and their derivatives by the implicit function theorem."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import duhamel as dh


def cube(t, x, k):
    return k - x**3


def rest(k, **how):
    return dh.steady_state(cube, 1.0, args=k, **how).x


def test_value_and_derivatives_of_any_order():
    np.testing.assert_allclose(rest(8.0), 2.0, rtol=1e-14)
    np.testing.assert_allclose(jax.grad(rest)(8.0), 8 ** (-2 / 3) / 3, rtol=1e-12)
    np.testing.assert_allclose(jax.jvp(rest, (8.0,), (1.0,))[1], 8 ** (-2 / 3) / 3, rtol=1e-12)
    np.testing.assert_allclose(jax.grad(jax.grad(rest))(8.0), -2 / 9 * 8 ** (-5 / 3), rtol=1e-12)


@pytest.mark.parametrize("solver", [None, lx.GMRES(rtol=1e-12, atol=1e-12)], ids=["factorized", "GMRES"])
def test_a_pytree_with_captured_weights(solver):
    """tanh(W x) + b - x = 0, W in the closure, against one linear solve written out."""
    rng = np.random.default_rng(0)
    W, b = jnp.asarray(0.3 * rng.normal(size=(3, 3))), jnp.asarray(rng.normal(size=3))

    def loss(W, b):
        field = lambda t, x: {"u": jnp.tanh(W @ x["u"]) + b - x["u"]}  # noqa: E731
        return jnp.sum(dh.steady_state(field, {"u": jnp.zeros(3)}, linear_solver=solver).x["u"] ** 2)

    x = dh.steady_state(lambda t, x: jnp.tanh(W @ x) + b - x, jnp.zeros(3)).x
    slope = 1 - jnp.tanh(W @ x) ** 2
    lam = np.linalg.solve((np.eye(3) - np.asarray(slope[:, None] * W)).T, 2 * np.asarray(x))
    dW, db = jax.grad(loss, (0, 1))(W, b)
    np.testing.assert_allclose(db, lam, rtol=1e-9)
    np.testing.assert_allclose(dW, np.outer(lam * slope, x), rtol=1e-9, atol=1e-12)


def test_vmap_and_the_basin_of_the_start():
    ks = jnp.array([1.0, 8.0, 27.0])
    np.testing.assert_allclose(jax.vmap(rest)(ks), ks ** (1 / 3), rtol=1e-13)
    well = lambda x0: dh.steady_state(lambda t, x: x - x**3, x0).x  # noqa: E731
    np.testing.assert_allclose([well(0.1), well(-0.1)], [1.0, -1.0], rtol=1e-13)
    assert float(jax.grad(well)(0.1)) == 0.0


def test_what_never_comes_to_rest_is_said():
    turning = lambda t, x: jnp.stack([-x[1], x[0]])  # noqa: E731
    with pytest.raises(RuntimeError, match="max_steps_reached"):
        dh.steady_state(turning, jnp.array([1.0, 0.0]), max_steps=100)
    found = dh.steady_state(turning, jnp.array([1.0, 0.0]), max_steps=100, throw=False)
    assert not bool(found.ok)
    sde = dh.SDE(lambda t, x, a: -x, lambda t, x, a: 0.1 * x)
    with pytest.raises(ValueError, match="noise"):
        dh.steady_state(sde, 1.0)
    with pytest.raises(ValueError, match="not both zero"):
        dh.steady_state(cube, 1.0, args=1.0, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("atol", [1e-2, 1e-5])
def test_the_march_ends_where_the_slope_is_within_the_tolerance(atol):
    """dx/dt = -x falls to atol at t = -log(atol), and no explicit step of Tsit5 is longer than 3.6 there."""
    found = dh.steady_state(lambda t, x: -x, 1.0, rtol=0.0, atol=atol)
    assert found.ok and -np.log(atol) <= float(found.t) < -np.log(atol) + 3.6
