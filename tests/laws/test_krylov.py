"""Krylov solves inside Rosenbrock steps against LU, by lanes, in mass problems and in gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.testing import gradient_error

N = 12


def heat(t, x, k):
    wide = jnp.pad(x, 1)
    return k * (wide[2:] - 2 * x + wide[:-2]) * (N + 1.0) ** 2 + x * (1 - x)


X0 = jnp.sin(jnp.pi * jnp.arange(1, N + 1) / (N + 1))
KRYLOV = {"gmres": dh.Krylov(rtol=1e-10), "bicgstab": dh.Krylov(rtol=1e-10, restart=None)}


@pytest.mark.parametrize("name", KRYLOV)
def test_the_same_steps_as_with_lu(name):
    how = {"args": 0.1, "control": dh.PID(rtol=1e-5, atol=1e-7)}
    some = dh.solve(heat, X0, 0.4, method=dh.Rodas4(KRYLOV[name]), **how)
    full = dh.solve(heat, X0, 0.4, method=dh.Rodas4(), **how)
    np.testing.assert_allclose(some.x, full.x, rtol=1e-7)
    assert int(some.stats.accepted) == int(full.stats.accepted)


def test_lanes():
    """Each lane as it would be alone, with parameters of its own."""
    k, x0s = jnp.array([0.1, 0.02, 0.3]), jnp.stack([X0, 0.5 * X0, X0**2])
    how = {"method": dh.Ros23(KRYLOV["gmres"]), "control": dh.Fixed(6)}
    lanes = dh.ensemble(heat, x0s, 0.4, args=k, in_axes=0, **how)
    for i in range(3):
        alone = dh.solve(heat, x0s[i], 0.4, args=k[i], **how)
        np.testing.assert_allclose(lanes.x[i], alone.x, rtol=1e-9)


def test_gradient():
    @jax.jit
    def loss(x0, k):
        return jnp.sum(dh.solve(heat, x0, 0.2, args=k, method=dh.Ros23(KRYLOV["gmres"]), control=dh.Fixed(4)).x ** 3)

    assert gradient_error(loss, X0, jnp.array(0.1)) < 1e-6


def test_an_equation_of_index_1():
    def f(t, x):
        return jnp.stack([-x[1], x[1] - x[0] - 0.3 * x[0] ** 2])

    problem, x0 = dh.DAE(f, np.diag([1.0, 0.0])), jnp.array([1.0, 1.3])
    some = dh.solve(problem, x0, 1.0, method=dh.Rodas4(KRYLOV["gmres"]), control=dh.Fixed(8))
    full = dh.solve(problem, x0, 1.0, method=dh.Rodas4(), control=dh.Fixed(8))
    np.testing.assert_allclose(some.x, full.x, rtol=1e-8)


def test_a_solve_that_does_not_converge_is_a_rejected_step():
    method = dh.Rodas4(dh.Krylov(rtol=1e-10, steps=1))
    sol = dh.solve(heat, X0, 1.0, args=10.0, method=method, max_steps=50, throw=False)
    assert int(sol.stats.rejected) > 0


@pytest.mark.parametrize(("how", "sentence"), [({"rtol": 0.0}, "between 0 and 1"), ({"restart": 0}, "at least 1")])
def test_what_does_not_fit_is_said(how, sentence):
    with pytest.raises(ValueError, match=sentence):
        dh.Krylov(**how)
