"""Laws of the ensemble: lanes do not know of each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.core.status import Status

LANES = 300
MU = jnp.asarray(np.random.default_rng(0).uniform(1.0, 60.0, LANES))
X0 = jnp.tile(jnp.array([2.0, 0.0]), (LANES, 1))


def van_der_pol(t, x, mu):
    return jnp.stack([x[1], mu * (1 - x[0] ** 2) * x[1] - x[0]])


def lanes(x0, mu, **how):
    return dh.ensemble(van_der_pol, x0, 2.0, args=mu, in_axes=0, **how)


@pytest.fixture(scope="module")
def solves():
    return jax.jit(jax.vmap(lambda x, mu: dh.solve(van_der_pol, x, 2.0, args=mu, throw=False)))(X0, MU)


@pytest.mark.parametrize("chunk", [300, 64, 37])
def test_every_lane_equals_its_own_solve(chunk, solves):
    """Chunks, padding and gathering change nothing but the last bits, which the relaxation then amplifies."""
    sol = lanes(X0, MU, chunk=chunk)
    np.testing.assert_allclose(sol.x, solves.x, rtol=2e-8, atol=1e-10)
    np.testing.assert_array_equal(sol.stats.accepted, solves.stats.accepted)
    np.testing.assert_array_equal(sol.stats.rejected, solves.stats.rejected)
    np.testing.assert_array_equal(sol.stats.nfe, solves.stats.nfe)
    assert sol.stats.accepted.max() > 4 * sol.stats.accepted.min()


def test_a_lane_does_not_depend_on_its_neighbours():
    order = np.random.default_rng(1).permutation(LANES)
    one, other = lanes(X0, MU, chunk=64), lanes(X0[order], MU[order], chunk=64)
    np.testing.assert_array_equal(one.x[order], other.x)


def test_save_times_come_lanes_first():
    ts = jnp.linspace(0.0, 1.5, 4)
    sol = dh.ensemble(van_der_pol, X0[:50], ts, args=MU[:50], in_axes=0, chunk=16)
    one = jax.vmap(lambda mu: dh.solve(van_der_pol, X0[0], ts, args=mu).x)(MU[:50])
    assert sol.x.shape == (50, 4, 2)
    np.testing.assert_allclose(sol.x, one, rtol=1e-9, atol=1e-11)


def test_every_step_of_every_lane():
    sol = dh.ensemble(van_der_pol, X0[:5], 1.0, args=MU[:5], in_axes=0, save=dh.Save(steps=True), max_steps=200)
    for i in range(5):
        one = dh.solve(van_der_pol, X0[0], 1.0, args=MU[i], save=dh.Save(steps=True))
        n = one.t.shape[0]
        np.testing.assert_allclose(sol.t[i, :n], one.t, rtol=1e-9)
        np.testing.assert_allclose(sol.x[i, :n], one.x, rtol=1e-8, atol=1e-10)
        np.testing.assert_array_equal(sol.x[i, n:], np.broadcast_to(sol.x[i, n - 1], sol.x[i, n:].shape))


def test_a_lane_that_fails_leaves_the_others_alone():
    def f(t, x, limit):
        return jnp.where(t > limit, jnp.nan, -x)

    limits = jnp.where(jnp.arange(100) == 41, 0.5, 10.0)
    sol = dh.ensemble(f, jnp.ones((100, 1)), 1.0, args=limits, in_axes=0, throw=False)
    assert np.flatnonzero(sol.status).tolist() == [41]
    assert Status(int(sol.status[41])) is Status.nonfinite
    np.testing.assert_allclose(np.delete(sol.x[:, 0], 41), np.exp(-1.0), rtol=1e-5)
    with pytest.raises(dh.SolveError, match=r"1 of 100 lanes, first in lane 41, at t = 0.5"):
        dh.ensemble(f, jnp.ones((100, 1)), 1.0, args=limits, in_axes=0)


def test_pytrees_and_partly_shared_arguments():
    def f(t, x, args):
        return {"a": -args["k"] * x["a"], "b": args["m"] @ x["b"]}

    k, m = jnp.linspace(0.1, 2.0, 40), jnp.array([[0.0, 1.0], [-1.0, 0.0]])
    x0 = {"a": jnp.ones(40), "b": jnp.tile(jnp.array([1.0, 0.0]), (40, 1))}
    sol = dh.ensemble(f, x0, 1.0, args={"k": k, "m": m}, in_axes={"k": 0, "m": None})
    np.testing.assert_allclose(sol.x["a"], np.exp(-k), rtol=1e-5)
    np.testing.assert_allclose(sol.x["b"], np.tile([np.cos(1.0), -np.sin(1.0)], (40, 1)), atol=1e-5)


@pytest.mark.parametrize("kind", ["diagonal", "dense"])
def test_exponential_methods_on_a_fixed_grid(kind):
    values = np.array([-1.0, -20.0])
    L = dh.Diagonal(values) if kind == "diagonal" else dh.Dense(np.diag(values) + np.array([[0.0, 1.0], [0.0, 0.0]]))
    problem = dh.Semilinear(L, lambda t, x, a: a * jnp.sin(x))
    a = jnp.linspace(0.0, 2.0, 70)
    x0 = jnp.tile(jnp.array([1.0, 0.5]), (70, 1))
    sol = dh.ensemble(problem, x0, 1.0, args=a, in_axes=0, method=dh.ETDRK4(), control=dh.Fixed(10), chunk=32)
    one = jax.vmap(lambda a: dh.solve(problem, x0[0], 1.0, args=a, method=dh.ETDRK4(), control=dh.Fixed(10)).x)(a)
    np.testing.assert_allclose(sol.x, one, rtol=1e-12)
