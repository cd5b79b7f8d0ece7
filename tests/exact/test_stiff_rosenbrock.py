"""Rosenbrock methods on the stiff problems of the Bari test set, to their published end values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.problems.bari import BARI

# (problem, method) -> (rtol, atol, what the largest relative error of a component may be, evaluations that suffice)
RUNS = {
    ("HIRES", "Rodas4"): (1e-6, 1e-10, 1e-6, 3200),
    ("HIRES", "Rodas5P"): (1e-8, 1e-12, 1e-8, 7900),
    ("ROBER", "Rodas5P"): (1e-8, 1e-16, 2e-7, 8500),
    ("OREGO", "Rodas5P"): (1e-7, 1e-11, 1e-7, 24000),
    ("VDPOL", "Rodas4"): (1e-6, 1e-10, 1e-6, 10000),
    ("VDPOL", "Rodas5P"): (1e-8, 1e-11, 1e-7, 22000),
    ("POLLU", "Rodas5P"): (1e-8, 1e-13, 1e-7, 1900),
    ("TRANSAMP", "Rodas4"): (1e-5, 1e-6, 1e-4, 25500),
}


@pytest.mark.parametrize("run", RUNS, ids=" ".join)
def test_published_end_values(run):
    name, method = run
    rtol, atol, allowed, evaluations = RUNS[run]
    p = BARI[name]
    control = dh.PID(rtol=rtol, atol=atol)
    sol = dh.solve(p.problem, jnp.array(p.x0), p.t1, method=getattr(dh, method)(), control=control, max_steps=20000)
    error = np.abs(np.asarray(sol.x) - p.end) / np.abs(p.end)
    assert error.max() < allowed
    assert int(sol.stats.nfe) < evaluations
    attempts = int(sol.stats.accepted + sol.stats.rejected)
    assert int(sol.stats.jacobians) == int(sol.stats.factorizations) == attempts


@pytest.mark.parametrize("name", ["HIRES", "ROBER", "OREGO", "VDPOL"])
def test_lanes(name):
    """Lanes that start elsewhere arrive as they would alone; the first one at the published values."""
    p = BARI[name]
    x0s = jnp.array(p.x0) * jnp.array([1.0, 1.02, 0.97])[:, None]
    control = dh.PID(rtol=1e-6, atol=1e-14 if name == "ROBER" else 1e-9)
    sols = dh.ensemble(p.problem, x0s, p.t1, method=dh.Rodas5P(), control=control, max_steps=20000)
    assert np.max(np.abs(np.asarray(sols.x[0]) - p.end) / np.abs(p.end)) < 1e-5
    alone = dh.solve(p.problem, x0s[2], p.t1, method=dh.Rodas5P(), control=control, max_steps=20000)
    assert abs(int(sols.stats.accepted[2]) - int(alone.stats.accepted)) <= 3
    np.testing.assert_allclose(sols.x[2], alone.x, rtol=1e-5)


def test_singular_systems_are_said_or_end_in_a_status():
    """0 = x_0 - t leaves x_1 free: the pencil M - a J is singular whatever a is."""
    problem = dh.DAE(lambda t, x: jnp.stack([x[0], x[0] - t]), np.diag([1.0, 0.0]))
    with pytest.raises(ValueError, match="index above 1"):
        dh.solve(problem, jnp.zeros(2), 1.0, method=dh.Rodas4())
    traced = jax.jit(lambda x0: dh.solve(problem, x0, 1.0, method=dh.Rodas4(), throw=False).status)
    assert int(traced(jnp.zeros(2))) != dh.Status.success


def test_what_does_not_fit_is_said():
    dae = dh.DAE(lambda t, x: x, np.diag([1.0, 0.0]))
    with pytest.raises(ValueError, match=r"singular; use Rodas5P\(\) or Rodas4\(\)"):
        dh.solve(dae, jnp.ones(2), 1.0, method=dh.Ros23())
    noisy = dh.SDE(lambda t, x: -x, lambda t, x: x)
    with pytest.raises(ValueError, match="Rodas5P, a Rosenbrock method, cannot solve a stochastic equation"):
        dh.solve(noisy, jnp.ones(2), 1.0, method=dh.Rodas5P())
    with pytest.raises(ValueError, match="does not divide"):
        dh.solve(lambda t, x: -x, jnp.ones(5), 1.0, method=dh.Rodas5P(dh.BlockDiagonal(2)))


@pytest.mark.parametrize("linear", [dh.Banded(1, 1), dh.BlockDiagonal(1)], ids=["banded", "blocks"])
def test_structured_solvers(linear):
    """The heat equation by finite differences as a band, and uncoupled decays as blocks."""
    n = 24

    def heat(t, x):
        wide = jnp.pad(x, 1)
        return (wide[2:] - 2 * x + wide[:-2]) * (n + 1.0) ** 2

    field = heat if isinstance(linear, dh.Banded) else (lambda t, x: -(jnp.arange(1.0, n + 1) ** 3) * (x - jnp.cos(t)))
    x0 = jnp.sin(jnp.pi * jnp.arange(1, n + 1) / (n + 1))
    control = dh.PID(rtol=1e-6, atol=1e-9)
    some = dh.solve(field, x0, 0.3, method=dh.Rodas5P(linear), control=control)
    full = dh.solve(field, x0, 0.3, method=dh.Rodas5P(), control=control)
    np.testing.assert_allclose(some.x, full.x, rtol=1e-9, atol=1e-12)
    assert int(some.stats.accepted) == int(full.stats.accepted)


def test_complex_states_and_pytrees():
    """i dz/dt = H z with a stiff decaying part beside it."""
    x0 = {"z": jnp.array([1.0 + 0.5j, -0.3j]), "w": jnp.array(1.0)}

    def field(t, x):
        return {"z": 1j * jnp.array([2.0, -3.0]) * x["z"], "w": -1e5 * (x["w"] - jnp.cos(t))}

    sol = dh.solve(field, x0, 1.0, method=dh.Rodas5P(), control=dh.PID(rtol=1e-9, atol=1e-11))
    np.testing.assert_allclose(sol.x["z"], x0["z"] * np.exp(1j * np.array([2.0, -3.0])), rtol=1e-7)
    assert abs(float(sol.x["w"]) - np.cos(1.0)) < 1e-4
