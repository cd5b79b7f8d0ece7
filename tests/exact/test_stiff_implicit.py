"""Stiff problems of the Bari test set to their published ends, by ESDIRK and BDF, and what that costs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.problems.bari import BARI

METHODS = {"Kvaerno5": dh.Kvaerno5, "BDF": dh.BDF}
# name: (rtol, atol, error allowed to Kvaerno5, to BDF), errors relative to components or to their scale
ASKED = {
    "HIRES": (1e-7, 1e-11, 1e-6, 1e-5),
    "ROBER": (1e-7, 1e-15, 1e-6, 1e-5),
    "OREGO": (1e-7, 1e-9, 5e-6, 5e-5),
    "VDPOL": (1e-7, 1e-9, 5e-6, 5e-5),
    "POLLU": (1e-7, 1e-14, 1e-6, 1e-5),
    "PLEIADES": (1e-8, 1e-8, 5e-4, 5e-3),
}


def relative(x, end):
    """Largest error relative to each component; POLLU has one of 4e-18, which no atol would ask for."""
    return float(np.max(np.abs(np.asarray(x) - end) / np.maximum(np.abs(end), 1e-13)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ASKED)
def test_published_end(name, method):
    problem = BARI[name]
    rtol, atol, *allowed = ASKED[name]
    sol = dh.solve(
        problem.problem, jnp.array(problem.x0), problem.t1, method=METHODS[method](), control=dh.PID(rtol, atol)
    )
    assert relative(sol.x, problem.end) < allowed[list(METHODS).index(method)]
    stats = jax.tree.map(int, sol.stats)
    tried = stats.accepted + stats.rejected
    assert stats.rejected < 0.3 * stats.accepted
    assert 0 < stats.jacobians <= stats.factorizations <= tried
    if method == "BDF":  # one implicit equation a step, its matrix kept over many
        assert stats.nfe < 3.5 * tried
        assert stats.factorizations < 0.3 * tried
        assert stats.jacobians < 0.15 * tried
    else:  # six equations a step
        assert stats.nfe < 6 * 4.0 * tried
        assert stats.jacobians < 0.6 * tried


@pytest.mark.slow
def test_ring_modulator():
    """Stiff and oscillating at 10 MHz: some 1e5 steps; BDF, whose orders 3 to 5 are not A-stable, takes more."""
    problem = BARI["RING"]
    sol = dh.solve(
        problem.problem, jnp.zeros(15), problem.t1, method=dh.Kvaerno5(), control=dh.PID(1e-7, 1e-10), max_steps=400_000
    )
    np.testing.assert_allclose(sol.x[:7], problem.end[:7], atol=2e-4)


@pytest.mark.parametrize("method", METHODS)
def test_an_ensemble_is_its_solves(method):
    """Lanes share loops, not results: the same numbers, steps, Jacobians and factorizations as alone."""
    # Rounding that differs moves what Newton leaves, and that moves the steps: leave nothing.
    make = METHODS[method](newton=dh.Newton(tolerance=1e-6, iterations=10))
    problem, control = BARI["OREGO"].problem, dh.PID(1e-6, 1e-8)
    x0 = jnp.array([1.0, 2.0, 3.0]) * jnp.linspace(1.0, 1.6, 5)[:, None]
    sols = dh.ensemble(problem, x0, 40.0, method=make, control=control)
    for i in (0, 4):
        sol = dh.solve(problem, x0[i], 40.0, method=make, control=control)
        np.testing.assert_allclose(sols.x[i], sol.x, rtol=1e-7)
        for name in ("accepted", "rejected", "nfe", "jacobians", "factorizations"):
            assert int(getattr(sols.stats, name)[i]) == int(getattr(sol.stats, name))


def test_dense_output_between_long_steps():
    """Robertson's first component on logarithmic times, where steps are longer than the gaps between saves."""
    ts = jnp.geomspace(1e-2, 1e4, 13)
    problem = BARI["ROBER"].problem
    found = [
        dh.solve(problem, jnp.array([1.0, 0.0, 0.0]), ts, method=m, control=dh.PID(1e-8, 1e-14)).x
        for m in (dh.Kvaerno5(), dh.BDF())
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=2e-5)
    np.testing.assert_allclose(found[0].sum(1), 1.0, rtol=1e-9)


def test_a_linear_problem_in_float32():
    sol = dh.solve(
        lambda t, x: -1e3 * (x - jnp.cos(t)), jnp.float32(0.0), 1.0, method=dh.BDF(), control=dh.PID(1e-4, 1e-6)
    )
    assert sol.x.dtype == jnp.float32
    exact = (1e6 * np.cos(1.0) + 1e3 * np.sin(1.0)) / (1e6 + 1.0)
    np.testing.assert_allclose(sol.x, exact, rtol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_a_complex_pytree(method):
    """x' = i w x - 50 (|x|^2 - 1) x, which is not holomorphic, stays on the unit circle."""

    def f(t, x):
        z = x["z"]
        return {"z": 3j * z - 50.0 * (jnp.abs(z) ** 2 - 1.0) * z, "r": -x["r"]}

    x0 = {"z": jnp.array([0.5 + 0.1j, 1j]), "r": jnp.array(1.0)}
    sol = dh.solve(f, x0, 2.0, method=METHODS[method](), control=dh.PID(1e-7, 1e-9))
    np.testing.assert_allclose(sol.x["z"], np.exp(1j * (6.0 + np.angle([0.5 + 0.1j, 1j]))), atol=1e-4)
    np.testing.assert_allclose(sol.x["r"], np.exp(-2.0), rtol=1e-5)


def test_a_newton_that_diverges_is_a_status():
    """On fixed steps far too long for f, whose slope jumps, there is no solution to find."""
    f = lambda t, x: 1e8 * jnp.sign(x - 0.3) * (1.0 + x**2)  # noqa: E731
    sol = dh.solve(f, 0.3001, 1.0, method=dh.ImplicitEuler(), control=dh.Fixed(2), throw=False)
    assert dh.Status(int(sol.status)) is dh.Status.not_converged
    with pytest.raises(dh.SolveError, match="nonlinear system inside a step"):
        dh.solve(f, 0.3001, 1.0, method=dh.ImplicitEuler(), control=dh.Fixed(2))


def test_equations_with_noise_are_refused():
    sde = dh.SDE(lambda t, x: -x, lambda t, x: x)
    for method in (dh.Kvaerno3(), dh.BDF()):
        with pytest.raises(ValueError, match="cannot solve a stochastic equation"):
            dh.solve(sde, 1.0, 1.0, method=method, key=jax.random.key(0))
