"""Underdamped Langevin methods: strong orders, laws against closed forms, lanes, gradients, adaptive steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.linalg import solve_discrete_lyapunov

import duhamel as dh
from duhamel.testing import gradient_error, measured_order

METHODS = (dh.UBU(), dh.ALIGN(), dh.QUICSORT(), dh.BAOAB())
NAMES = [type(m).__name__ for m in METHODS]
GAMMA = jnp.array([0.7, 1.5, 3.0])
X0 = (jnp.array([0.5, -1.0, 0.2]), jnp.array([0.0, 1.0, -0.5]))


def rough(t, q, args):
    return q + 0.3 * q**3 + jnp.sin(2.0 * q + t)


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_strong_order(method):
    """Errors in the mean square over samples, against many more steps on the same path."""
    problem = dh.Langevin(rough, GAMMA, 0.8)
    keys = jax.random.split(jax.random.key(1), 48)

    def ends(n):
        def one(key):
            noise = dh.VirtualTree(10)
            return dh.solve(problem, X0, 2.0, key=key, method=method, control=dh.Fixed(n), noise=noise).x

        return np.stack(jax.jit(jax.vmap(one))(keys))

    truth = ends(256)
    errors = {n: np.sqrt(np.mean((ends(n) - truth) ** 2)) for n in (4, 8, 16, 32)}
    order = measured_order(errors.__getitem__, list(errors), ceiling=1.0)
    assert abs(order - method.order) < 0.2, (order, errors)


@pytest.mark.parametrize("h", (1e-6, 0.1, 2.0, 30.0))
def test_noise_has_the_exact_law(h):
    """Covariances of the noises at the end of a step, and in the middle of UBU's, against quadrature."""
    gamma, u = 1.3, 0.7
    rho = np.sqrt(2 * gamma * u)
    numbers = [float(c) for c in dh.UBU().numbers(jnp.asarray(gamma), jnp.asarray(u), jnp.asarray(h))]
    middle, end_q, end_v = numbers[0:3], (numbers[7], numbers[6], 0.0), (numbers[12], numbers[11], 0.0)
    scale = np.sqrt([h, h / 12, h / 720])
    found = np.array([middle, end_q, end_v]) * scale
    kernels = (
        lambda r: rho * (1 - np.exp(-gamma * (h / 2 - r))) / gamma * (r < h / 2),
        lambda r: rho * (1 - np.exp(-gamma * (h - r))) / gamma,
        lambda r: rho * np.exp(-gamma * (h - r)),
    )
    points = (h / 2, max(h - 5 / gamma, h / 4), max(h / 2 - 5 / gamma, h / 8))
    for i, a in enumerate(kernels):
        for j, b in enumerate(kernels):
            exact = quad(lambda r, a=a, b=b: a(r) * b(r), 0, h, points=points, epsabs=0, epsrel=1e-11, limit=200)[0]
            np.testing.assert_allclose(found[i] @ found[j], exact, rtol=1e-7)
    align = [float(c) for c in dh.ALIGN().numbers(jnp.asarray(gamma), jnp.asarray(u), jnp.asarray(h))]
    np.testing.assert_allclose([align[1], align[2], align[7], align[8]], [*end_q[1::-1], *end_v[1::-1]], rtol=1e-14)


def chain(method, k, h, gamma=1.3, u=0.7):
    """(A, B) of a step x1 = A x + B xi on the potential k q^2 / 2, xi standard normal: the method's rows, by hand."""
    built = {name: np.eye(5)[i] for i, name in enumerate(("q", "v", "dW", "H", "K"))}
    built["F"] = k * built["q"]
    coef = iter([float(c) for c in method.numbers(jnp.asarray(gamma), jnp.asarray(u), jnp.asarray(h))])
    for row in method.pattern.rows:
        built[row.out] = sum(next(coef) * built[name] for name in row.reads)
        if row.call is not None:
            built[row.call] = k * built[row.out]
    step = np.stack([built["q1"], built["v1"]])
    return step[:, :2], step[:, 2:] * np.sqrt([h, h / 12, h / 720])


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_stationary_law_of_a_harmonic_potential(method):
    """Variances of q and v against 1/k and u, by Lyapunov's equation of the chain."""
    k, errors = 2.0, []
    for h in (0.2, 0.1, 0.05):
        A, B = chain(method, k, h)
        assert np.max(np.abs(np.linalg.eigvals(A))) < 1
        S = solve_discrete_lyapunov(A, B @ B.T)
        errors.append([abs(S[0, 0] - 1 / k), abs(S[1, 1] - 0.7)])
    if isinstance(method, dh.BAOAB):
        assert max(e[0] for e in errors) < 1e-12
        return
    q, v = np.log2(np.array(errors[:-1]) / np.array(errors[1:])).T
    if isinstance(method, dh.QUICSORT):
        assert np.all(np.abs(v - 3.0) < 0.25) and errors[-1][0] < 1e-6  # q's error changes sign
    else:
        assert np.all(np.abs(q - 2.0) < 0.1) and np.all(v > 1.9)


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_without_a_potential_velocities_have_their_stationary_law(method):
    for h in (0.5, 2.0):
        A, B = chain(method, 0.0, h)
        np.testing.assert_allclose(A[1, 1], np.exp(-1.3 * h), rtol=1e-13)
        tolerance = 0.02 * h**4 if isinstance(method, dh.QUICSORT) else 1e-13  # QUICSORT's path is a polynomial
        np.testing.assert_allclose(B[1] @ B[1] / (1 - A[1, 1] ** 2), 0.7, rtol=tolerance)


TREE = ({"a": jnp.array([0.1, -0.4]), "b": jnp.array(0.3)}, {"a": jnp.array([1.0, 0.0]), "b": jnp.array(-1.0)})


@pytest.mark.parametrize(
    ("method", "gamma", "one"), ((dh.UBU(), 1.5, TREE), (dh.ALIGN(), GAMMA, X0)), ids=("tree", "array")
)
def test_lanes_are_independent(method, gamma, one):
    problem = dh.Langevin(lambda t, q, args: jax.tree.map(lambda leaf: args * jnp.sinh(leaf), q), gamma, 0.8)
    x0s = jax.tree.map(lambda leaf: jnp.stack([leaf, -leaf]), one)
    keys = jax.random.split(jax.random.key(3), 2)
    together = dh.ensemble(problem, x0s, 1.0, args=1.2, key=keys, method=method, control=dh.Fixed(8)).x
    x0 = jax.tree.map(lambda leaf: leaf[1], x0s)
    alone = dh.solve(problem, x0, 1.0, args=1.2, key=keys[1], method=method, control=dh.Fixed(8)).x
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[1], atol=1e-13), alone, together)


LONG = [pytest.param(m, id=n, marks=pytest.mark.slow) for m, n in zip(METHODS[:3], NAMES, strict=False)]


@pytest.mark.parametrize("method", [*LONG, pytest.param(METHODS[3], id=NAMES[3])])
def test_gradients_and_float32(method):
    def end(gamma, k, q):
        problem = dh.Langevin(lambda t, q, args: args * q + q**3, gamma, 0.8)
        q1, v1 = dh.solve(
            problem, (q, 0.0 * q), 1.0, args=k, key=jax.random.key(0), method=method, control=dh.Fixed(8)
        ).x
        return jnp.sum(q1**2 + v1)

    assert gradient_error(end, jnp.asarray(1.1), jnp.asarray(0.7), jnp.array([0.3, -0.2])) < 1e-7
    problem = dh.Langevin(lambda t, q, args: q, 1.0)
    x0 = (jnp.ones(2, jnp.float32), jnp.zeros(2, jnp.float32))
    x1 = dh.solve(problem, x0, 1.0, key=jax.random.key(0), method=method, control=dh.Fixed(4)).x
    assert all(leaf.dtype == jnp.float32 for leaf in x1)


def test_align_chooses_its_own_steps():
    problem = dh.Langevin(lambda t, q, args: 4.0 * q**3, 1.0)
    x0, key = (jnp.array([1.5]), jnp.array([0.0])), jax.random.key(2)
    truth = dh.solve(problem, x0, 3.0, key=key, method=dh.ALIGN(), control=dh.Fixed(4096), noise=dh.VirtualTree(20)).x
    errors, steps = [], []
    for tol in (1e-2, 1e-3, 1e-4):
        sol = dh.solve(problem, x0, 3.0, key=key, method=dh.ALIGN(), control=dh.PID(rtol=tol, atol=tol))
        errors.append(float(max(jnp.max(jnp.abs(a - b)) for a, b in zip(sol.x, truth, strict=True))))
        steps.append(int(sol.stats.accepted))
    assert errors[2] < errors[0] / 10 and errors[2] < 1e-3 and steps[0] < steps[1] < steps[2], (errors, steps)


def test_other_problems_and_states_are_refused_in_a_sentence():
    with pytest.raises(ValueError, match=r"UBU, which is for Langevin\(gradient, gamma, u\)"):
        dh.solve(lambda t, x: -x, jnp.ones(2), 1.0, method=dh.UBU(), control=dh.Fixed(4))
    with pytest.raises(ValueError, match=r"UBU\(\), QUICSORT\(\)"):
        dh.solve(dh.Langevin(lambda t, q, args: q, 1.0), X0, 1.0, key=jax.random.key(0), method=dh.Tsit5())
