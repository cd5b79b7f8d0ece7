"""What symplectic methods promise: the form is kept, time can be turned back, energy stays near its value for ever."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh

METHODS = [
    dh.SemiImplicitEuler, dh.StormerVerlet, dh.PositionVerlet, dh.Yoshida4, dh.McLachlan4, dh.Yoshida6, dh.Yoshida8,
    dh.McLachlan8,
]  # fmt: skip
SYMMETRIC = [m for m in METHODS if m is not dh.SemiImplicitEuler]
named = lambda methods: [m.__name__ for m in methods]  # noqa: E731

KEPLER = dh.Separable(lambda t, p: p, lambda t, q: -q / jnp.sum(q * q) ** 1.5)
PENDULUM = dh.Separable(lambda t, p: p, lambda t, q: -jnp.sin(q))
CURVED = dh.Separable(lambda t, p: p / jnp.sqrt(1 + p @ p), lambda t, q: -jnp.sin(q) - jnp.roll(q, 1))


def kepler_start(eccentricity):
    return jnp.array([1 - eccentricity, 0.0]), jnp.array([0.0, np.sqrt((1 + eccentricity) / (1 - eccentricity))])


def kepler_energy(x):
    q, p = x
    return jnp.sum(p * p, axis=-1) / 2 - 1 / jnp.linalg.norm(q, axis=-1)


@pytest.mark.parametrize("make", METHODS, ids=named(METHODS))
@pytest.mark.parametrize("problem", [KEPLER, CURVED], ids=["kepler", "curved"])
def test_the_flow_is_symplectic(make, problem):
    """J^T S J = S for the Jacobian of ten steps."""
    q, p = kepler_start(0.3)

    def flow(z):
        return jnp.concatenate(dh.solve(problem, (z[:2], z[2:]), 1.0, method=make(), control=dh.Fixed(10)).x)

    J = jax.jacrev(flow)(jnp.concatenate([q, p]))
    S = np.block([[np.zeros((2, 2)), np.eye(2)], [-np.eye(2), np.zeros((2, 2))]])
    np.testing.assert_allclose(J.T @ S @ J, S, atol=1e-12)


@pytest.mark.parametrize("make", SYMMETRIC, ids=named(SYMMETRIC))
def test_forward_then_back_returns(make):
    x0 = kepler_start(0.2)
    there = dh.solve(KEPLER, x0, 3.0, method=make(), control=dh.Fixed(40)).x
    back = dh.solve(KEPLER, there, 0.0, t0=3.0, method=make(), control=dh.Fixed(40)).x
    for a, b in zip(back, x0, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-12)


@pytest.mark.parametrize("make", SYMMETRIC, ids=named(SYMMETRIC))
def test_reversing_the_momentum_turns_back(make):
    q, p = kepler_start(0.2)
    q1, p1 = dh.solve(KEPLER, (q, p), 3.0, method=make(), control=dh.Fixed(40)).x
    q2, p2 = dh.solve(KEPLER, (q1, -p1), 3.0, method=make(), control=dh.Fixed(40)).x
    np.testing.assert_allclose(q2, q, atol=2e-12)
    np.testing.assert_allclose(p2, -p, atol=2e-12)


# Step, and the bound that energy keeps over 1e5 steps; about ten times the error of the first revolution.
BOUNDS = {
    dh.SemiImplicitEuler: (0.02, 3e-2),
    dh.StormerVerlet: (0.05, 2e-3),
    dh.PositionVerlet: (0.05, 2e-3),
    dh.Yoshida4: (0.1, 2e-3),
    dh.McLachlan4: (0.1, 2e-5),
    dh.Yoshida6: (0.1, 2e-4),
    dh.Yoshida8: (0.1, 1e-6),
    dh.McLachlan8: (0.1, 1e-9),
}


@pytest.mark.parametrize("make", METHODS, ids=named(METHODS))
def test_energy_stays_bounded_on_kepler(make):
    """1e5 steps, up to 1600 revolutions: the error of the second half is that of the first."""
    h, bound = BOUNDS[make]
    x0 = kepler_start(0.2)
    span = 1e5 * h
    ts = jnp.linspace(0, span, 2001)[1:]
    x = dh.solve(KEPLER, x0, ts, method=make(), control=dh.Fixed(100_000)).x
    drift = np.abs(kepler_energy(x) - kepler_energy(x0))
    assert drift.max() < bound
    assert drift[1000:].max() < 1.5 * drift[:1000].max() + 1e-12


def test_energy_stays_bounded_on_the_pendulum_where_runge_kutta_drifts():
    x0 = (jnp.array(2.0), jnp.array(0.0))
    energy = lambda x: x[1] ** 2 / 2 - jnp.cos(x[0])  # noqa: E731
    drift = {}
    for method in (dh.McLachlan4(), dh.RK4()):
        x = dh.solve(PENDULUM, x0, 2e4, method=method, control=dh.Fixed(100_000)).x
        drift[type(method).__name__] = abs(float(energy(x) - energy(x0)))
    assert drift["Symplectic"] < 1e-5
    assert drift["ExplicitRK"] > 100 * drift["Symplectic"]


def test_angular_momentum_is_kept_to_rounding():
    q, p = kepler_start(0.2)
    q1, p1 = dh.solve(KEPLER, (q, p), 50.0, method=dh.StormerVerlet(), control=dh.Fixed(1000)).x
    np.testing.assert_allclose(q1[0] * p1[1] - q1[1] * p1[0], q[0] * p[1] - q[1] * p[0], rtol=1e-12)


def test_harmonic_oscillator_has_its_closed_form():
    """One step of velocity Verlet on q'' = -q is the matrix [[1 - h^2/2, h], [-h + h^3/4, 1 - h^2/2]]."""
    h = 0.3
    M = np.array([[1 - h**2 / 2, h], [-h + h**3 / 4, 1 - h**2 / 2]])
    problem = dh.Separable(lambda t, p: p, lambda t, q: -q)
    x = dh.solve(problem, (jnp.array(0.7), jnp.array(-0.2)), 8 * h, method=dh.StormerVerlet(), control=dh.Fixed(8)).x
    np.testing.assert_allclose(np.array(x), np.linalg.matrix_power(M, 8) @ [0.7, -0.2], rtol=1e-13)


REFUSED = {
    "not separable": (
        lambda: dh.solve(lambda t, x: -x, jnp.ones(2), 1.0, method=dh.Yoshida4(), control=dh.Fixed(2)),
        r"Separable\(velocity, force\) with x = \(q, p\); for an ordinary differential equation use Tsit5\(\)",
    ),
    "adaptive": (
        lambda: dh.solve(KEPLER, kepler_start(0.1), 1.0, method=dh.StormerVerlet(), control=dh.PID()),
        r"no error estimate.*control=Fixed\(steps\)",
    ),
    "one array": (
        lambda: dh.solve(KEPLER, jnp.ones(2), 1.0, method=dh.StormerVerlet(), control=dh.Fixed(2)),
        r"x = \(q, p\), a pair of arrays",
    ),
    "half a state": (
        lambda: dh.solve(
            dh.Separable(lambda t, p: p[:1], lambda t, q: -q), (jnp.ones(2), jnp.ones(2)), 1.0,
            method=dh.StormerVerlet(), control=dh.Fixed(2),
        ),
        r"returned shape \(1,\) where the state has \(2,\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_one_sentence(case):
    call, sentence = REFUSED[case]
    with pytest.raises((ValueError, TypeError), match=sentence) as caught:
        call()
    assert str(caught.value).count("\n") == 0
