"""Automatic switching: the explicit method where it will do, the stiff one where it must, lane by lane."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.problems.bari import BARI

CONTROL = dh.PID(rtol=1e-6, atol=1e-9)


def van_der_pol(t, x, mu):
    return jnp.stack([x[1], mu * ((1 - x[0] ** 2) * x[1]) - x[0]])


def test_both_are_used_where_stiffness_comes_and_goes():
    """Relaxation oscillations: slow stiff arcs, fast jumps. The published end value, by fewer Jacobians than steps."""
    p = BARI["VDPOL-1000"]
    sol = dh.solve(p.problem, jnp.array(p.x0), p.t1, method=dh.Auto(), control=CONTROL, max_steps=3000)
    assert np.max(np.abs(sol.x - p.end) / np.abs(p.end)) < 1e-5
    steps = int(sol.stats.accepted + sol.stats.rejected)
    assert 0.2 * steps < int(sol.stats.jacobians) < 0.8 * steps
    assert int(sol.stats.nfe) < 6000


def test_never_stiff_is_the_explicit_method():
    how = {"args": 1.0, "control": CONTROL}
    auto = dh.solve(van_der_pol, jnp.array([2.0, 0.0]), jnp.array([3.0, 8.0]), method=dh.Auto(), **how)
    tsit = dh.solve(van_der_pol, jnp.array([2.0, 0.0]), jnp.array([3.0, 8.0]), method=dh.Tsit5(), **how)
    assert int(auto.stats.jacobians) == 0
    assert int(auto.stats.accepted) == int(tsit.stats.accepted)
    # as many steps; their sizes differ by the rounding of the error estimate, far below the tolerance
    np.testing.assert_allclose(auto.x[-1], tsit.x[-1], rtol=CONTROL.rtol / 2)
    np.testing.assert_allclose(auto.x[0], tsit.x[0], rtol=1e-4)  # cubic dense output


def test_lanes_choose_for_themselves():
    mu = jnp.array([0.5, 2000.0, 1.0, 500.0])
    x0s = jnp.tile(jnp.array([2.0, 0.0]), (4, 1))
    sols = dh.ensemble(van_der_pol, x0s, 5.0, args=mu, in_axes=0, method=dh.Auto(), control=CONTROL)
    jacobians = np.asarray(sols.stats.jacobians)
    assert (jacobians[[0, 2]] == 0).all() and (jacobians[[1, 3]] > 0).all()
    for i in range(4):
        alone = dh.solve(van_der_pol, x0s[i], 5.0, args=mu[i], method=dh.Auto(), control=CONTROL)
        np.testing.assert_allclose(sols.x[i], alone.x, rtol=CONTROL.rtol / 2)
        assert int(jacobians[i]) == int(alone.stats.jacobians)


def test_gradient_across_a_switch():
    """A transient that Tsit5 resolves, then a slow arc on which only the stiff method takes long steps."""

    def f(t, x, k):
        return jnp.stack([-k[0] * 1e3 * (x[0] - x[1] ** 2), k[1] * x[0] - x[1]])

    x0, k = jnp.array([1.5, 0.8]), jnp.array([0.9, 0.7])
    auto = {"method": dh.Auto(), "control": dh.PID(rtol=1e-6, atol=1e-8)}
    tight = {"method": dh.Rodas5P(), "control": dh.PID(rtol=1e-9, atol=1e-11)}

    def gradient(how):
        return jax.jit(jax.grad(lambda x0, k: jnp.sum(dh.solve(f, x0, 2.0, args=k, **how).x ** 2), argnums=(0, 1)))(
            x0, k
        )

    assert int(dh.solve(f, x0, 2.0, args=k, **auto).stats.jacobians) > 0
    for found, exact in zip(gradient(auto), gradient(tight), strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-6)


def test_what_does_not_fit_is_said():
    with pytest.raises(ValueError, match="must estimate its error"):
        dh.Auto(explicit=dh.RK4())
    with pytest.raises(ValueError, match="one half of which is explicit, cannot solve an equation with a mass matrix"):
        dh.solve(dh.DAE(lambda t, x: x, np.eye(2)), jnp.ones(2), 1.0, method=dh.Auto())
