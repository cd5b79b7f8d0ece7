"""Gradients through Newton's method: against finite differences, an explicit method, forward mode and themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.testing import gradient_error

X0, ARGS, T = jnp.array([2.0, 0.1, 0.4]), jnp.array([5.0, 30.0]), 1.3
TIGHT = dh.Newton(tolerance=1e-3)
# What Newton leaves moves the steps, and steps amplify it: where two programs must agree, there is nothing to leave.
EXACT = dh.Newton(tolerance=1e-6, iterations=10)


def field(t, x, args):
    """A relaxation oscillation that drags a stiff component along; mild enough for explicit methods."""
    mu, rate = args
    return jnp.stack([x[1], mu * ((1.0 - x[0] ** 2) * x[1] - x[0]), -rate * (x[2] - x[0] * jnp.cos(t))])


def end(x0, args, t1=T, **how):
    x = dh.solve(field, x0, t1, args=args, max_steps=5000, **how).x
    return jnp.sum(x**2) + jnp.sum(jnp.sin(x))


def close(a, b, tolerance):
    for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert np.abs(p - q).max() < tolerance * np.abs(q).max()


@pytest.mark.parametrize("method", [dh.ImplicitEuler, dh.Kvaerno5])
def test_fixed_steps_against_finite_differences(method):
    f = jax.jit(lambda x0, args: end(x0, args, method=method(), control=dh.Fixed(20)))
    assert gradient_error(f, X0, ARGS) < 1e-7


@pytest.mark.parametrize("method", [dh.Kvaerno5, dh.ESDIRK43, dh.BDF])
def test_adaptive_steps_against_an_explicit_method(method):
    """State, arguments and end time. The steps are frozen, so what is left is the solution's own error."""
    f = lambda control, m: jax.jit(jax.grad(lambda *a: end(*a, method=m, control=control), (0, 1, 2)))(X0, ARGS, T)  # noqa: E731
    close(f(dh.PID(1e-9, 1e-11), method(newton=TIGHT)), f(dh.PID(1e-12, 1e-13), dh.Dopri8()), 5e-7)


@pytest.mark.parametrize("method", [dh.Kvaerno5, dh.BDF])
def test_forward_mode_is_reverse_mode(method):
    """The tape begins each step anew, with a Jacobian of its own: the difference is what Newton left."""
    how = {"method": method(newton=EXACT), "control": dh.PID(1e-6, 1e-8)}
    reverse = jax.jit(jax.grad(lambda *a: end(*a, **how), (0, 1)))(X0, ARGS)
    forward = jax.jit(jax.jacfwd(lambda *a: end(*a, **how, adjoint=dh.Forward()), (0, 1)))(X0, ARGS)
    close(reverse, forward, 1e-8)


def test_second_derivatives():
    """Forward over forward, of one implicit step after another: the implicit function rule is itself differentiable."""

    def f(a):
        how = {"method": dh.Kvaerno3(), "control": dh.Fixed(6), "adjoint": dh.Forward()}
        return dh.solve(lambda t, x, a: -a * x**3, 1.0, 1.0, args=a, **how).x

    first = jax.jit(jax.jacfwd(f))
    second = jax.jit(jax.jacfwd(jax.jacfwd(f)))(3.0)
    step = 1e-5
    np.testing.assert_allclose(second, (first(3.0 + step) - first(3.0 - step)) / (2 * step), rtol=1e-7)


def test_an_ensemble_with_shared_weights():
    """One cotangent for what the lanes share, equal to the sum over solves; idle lanes add nothing."""
    lanes = X0 * jnp.linspace(0.4, 1.2, 5)[:, None]
    how = {"method": dh.Kvaerno3(newton=EXACT), "control": dh.PID(1e-6, 1e-8)}
    together = jax.jit(jax.grad(lambda args: dh.ensemble(field, lanes, T, args=args, **how).x.sum()))(ARGS)
    one = jax.jit(jax.grad(lambda args, x0: dh.solve(field, x0, T, args=args, **how).x.sum()))
    close(together, sum(one(ARGS, x0) for x0 in lanes), 1e-7)
