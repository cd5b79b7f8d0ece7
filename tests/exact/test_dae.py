"""Differential-algebraic equations of index 1: published and closed-form ends, starts, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.methods.consistent import check_start
from duhamel.problems.bari import BARI
from duhamel.testing import gradient_error

METHODS = {"Kvaerno3": dh.Kvaerno3, "Kvaerno5": dh.Kvaerno5, "ESDIRK43": dh.ESDIRK43, "BDF": dh.BDF}
each = pytest.mark.parametrize("name", METHODS)


def robertson(t, x):
    a = -0.04 * x[0] + 1e4 * x[1] * x[2]
    return jnp.stack([a, -a - 3e7 * x[1] ** 2, x[0] + x[1] + x[2] - 1.0])


ROBERTSON = dh.DAE(robertson, np.diag([1.0, 1.0, 0.0]))


@pytest.mark.parametrize("name", ["Kvaerno5", "BDF"])
def test_transistor_amplifier(name):
    """Eight equations, a mass matrix of rank 5 that is not diagonal."""
    problem = BARI["TRANSAMP"]
    control = dh.PID(1e-7, 1e-7)
    sol = dh.solve(
        problem.problem, jnp.array(problem.x0), problem.t1, method=METHODS[name](), control=control, max_steps=40_000
    )
    assert problem.error(sol.x) < 1e-6


@each
def test_robertson_with_a_conservation_law_instead_of_the_third_rate(name):
    sol = dh.solve(ROBERTSON, jnp.array([1.0, 0.0, 0.0]), 1e11, method=METHODS[name](), control=dh.PID(1e-7, 1e-14))
    np.testing.assert_allclose(sol.x, BARI["ROBER"].end, rtol=2e-5)
    np.testing.assert_allclose(sol.x.sum(), 1.0, atol=1e-12)


def wave(t, x, w):
    """u' = -w u + v, 0 = v - u^2 - cos(w t), in mixed rows so that M is neither diagonal nor block-wise."""
    u, v = x
    return jnp.stack([-w * u + v, -w * u + 2.0 * v - u**2 - jnp.cos(w * t)])


MIXED = np.array([[1.0, 0.0], [1.0, 0.0]])


@each
def test_same_as_with_the_algebraic_component_eliminated(name):
    ts = jnp.linspace(0.2, 2.0, 10)
    control = dh.PID(1e-8, 1e-8)
    sol = dh.solve(dh.DAE(wave, MIXED), jnp.array([0.2, 1.04]), ts, args=2.0, method=METHODS[name](), control=control)
    ode = dh.solve(
        lambda t, u: -2.0 * u + u**2 + jnp.cos(2.0 * t), 0.2, ts, method=dh.Dopri8(), control=dh.PID(1e-12, 1e-12)
    )
    np.testing.assert_allclose(sol.x[:, 0], ode.x, atol=2e-6)
    np.testing.assert_allclose(sol.x[:, 1], ode.x**2 + jnp.cos(2.0 * ts), atol=1e-4 if name != "BDF" else 1e-5)


@pytest.mark.parametrize("name", ["Kvaerno5", "BDF"])
def test_gradient(name):
    """With respect to the differential start and to an argument; the algebraic start follows."""

    @jax.jit
    def end(u, w):
        x0 = jnp.stack([u, u**2 + 1.0])
        control = dh.PID(1e-10, 1e-10)
        sol = dh.solve(dh.DAE(wave, MIXED), x0, 1.5, args=w, method=METHODS[name](), control=control, max_steps=20_000)
        return jnp.sum(sol.x * jnp.array([1.0, 2.0]))

    assert gradient_error(end, jnp.array(0.2), jnp.array(2.0), step=1e-4) < 1e-5


def test_lanes():
    x0 = jnp.array([[0.2, 1.04], [0.1, 1.01], [0.0, 1.0]])
    problem, w = dh.DAE(wave, MIXED), jnp.array([2.0, 1.0, 3.0])
    control = dh.PID(1e-6, 1e-6)
    sols = dh.ensemble(problem, x0, 2.0, args=w, in_axes=0, method=dh.BDF(), control=control)
    for i in range(3):
        sol = dh.solve(problem, x0[i], 2.0, args=w[i], method=dh.BDF(), control=control)
        np.testing.assert_allclose(sols.x[i], sol.x, rtol=1e-9)

    def total(w):
        return dh.ensemble(problem, x0, 2.0, args=w, in_axes=0, method=dh.BDF(), control=control).x.sum()

    grads = jax.grad(total)(w)
    alone = jax.grad(lambda v: dh.solve(problem, x0[1], 2.0, args=v, method=dh.BDF(), control=control).x.sum())(w[1])
    assert np.all(np.isfinite(grads))
    np.testing.assert_allclose(grads[1], alone, rtol=1e-7)


def test_a_lane_with_an_inconsistent_start_is_named():
    problem, x0s = dh.DAE(wave, MIXED), jnp.array([[0.2, 1.04], [0.1, 1.01], [0.0, 1.2]])
    with pytest.raises(ValueError, match=r"x0s\[2\] does not satisfy .* component 1 is off by about 0.2; use"):
        dh.ensemble(problem, x0s, 2.0, args=jnp.array([2.0, 1.0, 3.0]), in_axes=0, method=dh.BDF())


def test_a_regular_mass_matrix_is_a_change_of_rates():
    M = np.array([[2.0, 1.0], [0.0, 1.0]])
    A = np.array([[-3.0, 1.0], [1.0, -2.0]])
    x0, control = jnp.array([1.0, 0.5]), dh.PID(1e-9, 1e-9)
    sol = dh.solve(dh.DAE(lambda t, x: A @ x, M), x0, 1.0, method=dh.Kvaerno5(), control=control)
    exact = jax.scipy.linalg.expm(jnp.asarray(np.linalg.solve(M, A))) @ x0
    np.testing.assert_allclose(sol.x, exact, rtol=1e-7)


def test_the_mass_matrix_is_differentiated():
    @jax.jit
    def end(m):
        problem = dh.DAE(lambda t, x: -x, m * jnp.eye(2))
        return dh.solve(problem, jnp.array([1.0, 2.0]), 1.0, method=dh.Kvaerno5(), control=dh.PID(1e-9, 1e-9)).x.sum()

    np.testing.assert_allclose(jax.grad(end)(2.0), 3.0 * np.exp(-0.5) / 4.0, rtol=1e-7)


def test_consistent_start():
    problem = dh.DAE(wave, MIXED)
    x0 = dh.consistent_start(problem, jnp.array([0.3, 7.0]), args=2.0)
    np.testing.assert_allclose(x0, [0.3, 1.09], rtol=1e-9)
    check_start(problem, x0, 0.0, 2.0)
    slope = jax.grad(lambda u: dh.consistent_start(problem, jnp.stack([u, jnp.asarray(7.0)]), args=2.0)[1])(0.3)
    np.testing.assert_allclose(slope, 0.6, rtol=1e-8)
    transistor = BARI["TRANSAMP"]
    found = dh.consistent_start(transistor.problem, jnp.array(transistor.x0) + 0.01)
    check_start(transistor.problem, found, 0.0, None)


def test_an_inconsistent_start_is_named():
    with pytest.raises(ValueError, match=r"component 1 is off by about 0.96; use consistent_start"):
        dh.solve(dh.DAE(wave, MIXED), jnp.array([0.2, 2.0]), 1.0, args=2.0, method=dh.BDF())


def test_starts_are_looked_at_where_they_are_numbers():
    problem, x0 = dh.DAE(wave, MIXED), jnp.array([0.2, 2.0])
    with pytest.raises(ValueError, match="consistent_start"):
        jax.jit(lambda: check_start(problem, x0, 0.0, 2.0))()
    jax.jit(lambda w: check_start(problem, x0, 0.0, w))(2.0)  # nothing is known yet
    jax.jit(lambda w: check_start(dh.DAE(lambda t, x: wave(t, x, w), MIXED), x0, 0.0, None))(2.0)


def test_a_higher_index_is_named():
    """A pendulum whose constraint is on positions: index 3."""

    def pendulum(t, x):
        p, q, u, v, lam = x
        return jnp.stack([u, v, -lam * p, -lam * q - 1.0, p**2 + q**2 - 1.0])

    with pytest.raises(ValueError, match="index above 1"):
        check_start(
            dh.DAE(pendulum, np.diag([1.0, 1.0, 1.0, 1.0, 0.0])), jnp.array([1.0, 0.0, 0.0, 0.0, 0.0]), 0.0, None
        )


def test_a_mass_matrix_of_another_size_is_named():
    with pytest.raises(ValueError, match=r"mass is \(2, 2\), but the state has 3"):
        dh.solve(dh.DAE(lambda t, x: -x, np.eye(2)), jnp.ones(3), 1.0, method=dh.BDF())


def test_explicit_methods_are_refused():
    with pytest.raises(ValueError, match="mass matrix"):
        dh.solve(ROBERTSON, jnp.array([1.0, 0.0, 0.0]), 1.0, method=dh.Tsit5())
