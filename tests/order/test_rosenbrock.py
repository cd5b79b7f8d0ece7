"""Rosenbrock methods: their coefficients against the order conditions, and measured orders."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import duhamel as dh
from duhamel.methods.base import Moment
from duhamel.methods.tableaux.rosenbrock import RODAS4, RODAS5P, ROS23
from duhamel.solver.stepper import bind
from duhamel.testing import measured_order

METHODS = {"Ros23": dh.Ros23, "Rodas4": dh.Rodas4, "Rodas5P": dh.Rodas5P}
TABLEAUX = {"Ros23": ROS23, "Rodas4": RODAS4, "Rodas5P": RODAS5P}
A = np.random.default_rng(0).normal(size=(3, 3))
L = {
    "zero": np.zeros((3, 3)),
    "imaginary": 1j * np.diag([1.0, -2.0, 3.0]),
    "stiff": np.diag([-1.0, -10.0, -30.0]),
    "dense": A - A.T - 0.3 * np.eye(3),
}
T = 2.0


def conditions(alpha, beta, b, theta=1.0):
    """Residuals by order: b^T Phi(tree) = theta^q / density for every rooted tree of q nodes, Hairer-Wanner IV.7.

    alpha stands below a meager vertex with several branches, beta = alpha + Gamma below one with a single branch.
    """
    a, one = alpha.sum(1), beta.sum(1)
    trees = {
        1: [(np.ones_like(a), 1)],
        2: [(one, 2)],
        3: [(a**2, 3), (beta @ one, 6)],
        4: [(a**3, 4), (a * (alpha @ one), 8), (beta @ a**2, 12), (beta @ beta @ one, 24)],
        5: [
            (a**4, 5),
            (a**2 * (alpha @ one), 10),
            (a * (alpha @ a**2), 15),
            (a * (alpha @ beta @ one), 30),
            ((alpha @ one) ** 2, 20),
            (beta @ a**3, 20),
            (beta @ (a * (alpha @ one)), 40),
            (beta @ beta @ a**2, 60),
            (beta @ beta @ beta @ one, 120),
        ],
    }
    return {q: max(abs(b @ phi - theta**q / gamma) for phi, gamma in some) for q, some in trees.items()}


@pytest.mark.parametrize("name", METHODS)
def test_order_conditions(name):
    t = TABLEAUX[name]
    s = t.stages
    a, C = np.zeros((s, s)), np.zeros((s, s))
    for i in range(s):
        a[i, :i], C[i, :i] = t.a[i], t.C[i]
    gamma = np.linalg.inv(np.eye(s) / t.gamma - C)
    alpha = a @ gamma
    np.testing.assert_allclose(alpha.sum(1), t.c, atol=2e-14)
    np.testing.assert_allclose(gamma.sum(1), t.d, atol=2e-14)

    def order(weights, theta=1.0):
        residuals = conditions(alpha, alpha + gamma, np.asarray(weights) @ gamma, theta)
        return next((q for q, r in residuals.items() if r > 1e-12), 6) - 1

    b, error = np.array(t.b), np.array(t.error)
    assert order(b) == t.order
    assert order(b - error) == t.error_order
    inside = [
        theta * b + theta * (1 - theta) * sum(theta**k * np.array(row) for k, row in enumerate(t.dense))
        for theta in (0.3, 0.8)
    ]
    assert [order(w, theta) for w, theta in zip(inside, (0.3, 0.8), strict=True)] == [t.dense_order] * 2


def field(kind, m=np):
    """A nonlinear, time-dependent field with the linear part `kind`."""
    M, strength = L[kind], 0.5 if kind == "imaginary" else 2.0

    def f(t, x):
        turn = m.stack([x[1] * x[2], -x[0] * x[2], -0.55 * x[0] * x[1]])
        return M @ x + strength * turn + m.stack([m.cos(2 * t) + 0 * x[0], 0 * x[0], 0.5 * m.sin(x[2])])

    return f


def start(kind):
    x0 = np.array([1.0, -0.7, 0.9])
    return x0 * (0.4 + 0.1j) if kind == "imaginary" else x0


def reference(kind, ts=(T,)):
    return solve_ivp(field(kind), (0, T), start(kind), method="DOP853", rtol=3e-14, atol=1e-16, t_eval=ts).y


def marcher(method, problem, x0, span=T, theta=0.37):
    """march(n): the state after n equal steps; and inside(n): the states at theta in each of n steps."""
    x0 = jnp.asarray(x0)
    bound = bind(problem, method, jnp.zeros(()), x0, None)

    def one(i, h, slots):
        at = Moment(jnp.int32(0), i * h, i * h, h)
        env = method.attempt(bound, at, slots)
        return env, method.interpolate(bound, at, theta, method.densify(bound, at, env))

    @jax.jit
    def march(n):
        h = span / n
        body = lambda i, slots: method.keep(one(i, h, slots)[0])  # noqa: E731
        return jax.lax.fori_loop(0, n, body, method.start(bound, jnp.zeros(()), x0))["x"]

    @jax.jit
    def rows(n):
        h = span / n

        def body(i, carry):
            slots, out = carry
            env, value = one(i, h, slots)
            return method.keep(env), out.at[i].set(value)

        out = jnp.zeros((1500, *x0.shape), x0.dtype)
        return jax.lax.fori_loop(0, n, body, (method.start(bound, jnp.zeros(()), x0), out))[1]

    return march, lambda n: (np.asarray(rows(n))[:n], (np.arange(n) + theta) * span / n)


def refinements(order, kind="dense"):
    first = {2: 200, 4: 40, 5: 24}[order] * (3 if kind == "stiff" else 1)
    return sorted({int(first * 1.3**k) for k in range(7)})


@pytest.mark.parametrize("kind", L)
@pytest.mark.parametrize("name", METHODS)
def test_order(name, kind):
    method = METHODS[name]()
    exact = reference(kind)[:, -1]
    march, _ = marcher(method, dh.ODE(field(kind, jnp)), start(kind))
    slope = measured_order(
        lambda n: np.abs(march(n) - exact).max(), refinements(method.order, kind), floor=3e-12, ceiling=0.05
    )
    allowed = 0.2 if method.order < 5 else 0.3
    assert slope > method.order - allowed
    if kind != "stiff":  # there the next order still shows when rounding begins
        assert slope < method.order + allowed


@pytest.mark.parametrize("name", METHODS)
def test_order_of_dense_output(name):
    method = METHODS[name]()
    claim = min(method.order, method.dense_order + 1)
    _, inside = marcher(method, dh.ODE(field("dense", jnp)), start("dense"))

    def error(n):
        found, ts = inside(n)
        return np.abs(found.T - reference("dense", ts)).max()

    assert measured_order(error, refinements(method.order)[:5], floor=1e-11, ceiling=0.05) > claim - 0.2


def algebraic(t, x):
    """Index 1, solved by (sin t, cos t): dy/dt = z + y - sin t, 0 = z^3 + z - cos^3 t - cos t + 2 (y - sin t)."""
    y, z = x
    s, c = jnp.sin(t), jnp.cos(t)
    return jnp.stack([z + (y - s), z**3 + z - c**3 - c + 2.0 * (y - s)])


@pytest.mark.parametrize("name", ["Rodas4", "Rodas5P"])
def test_order_on_an_equation_of_index_1(name):
    method = METHODS[name]()
    problem = dh.DAE(algebraic, np.diag([1.0, 0.0]))
    march, _ = marcher(method, problem, np.array([0.0, 1.0]), span=1.0)
    exact = np.array([np.sin(1.0), np.cos(1.0)])
    steps = [4, 6, 8, 11, 15, 20, 27]
    slope = measured_order(lambda n: np.abs(march(n) - exact).max(), steps, floor=1e-12)
    assert slope > method.order - 0.25


def test_a_regular_mass_matrix_is_the_equation_solved_for_its_slope():
    M = np.array([[2.0, 0.3, 0.0], [0.1, 1.0, 0.0], [0.0, 0.5, 3.0]])
    f = field("dense", jnp)
    for make in (dh.Ros23, dh.Rodas4):
        plain, _ = marcher(make(), dh.ODE(f), start("dense"))
        weighted, _ = marcher(make(), dh.DAE(lambda t, x: M @ f(t, x), M), start("dense"))
        np.testing.assert_allclose(weighted(20), plain(20), rtol=1e-12)


@pytest.mark.parametrize("name", METHODS)
def test_stable_at_a_million(name):
    """Prothero and Robinson at h lambda = -1e6, ten steps: the solution is followed, and a start off it is damped."""
    method = METHODS[name]()
    march, _ = marcher(method, dh.ODE(lambda t, x: -1e7 * (x - jnp.sin(t)) + jnp.cos(t)), np.zeros(2), span=1.0)
    limit = {"Ros23": 1e-3, "Rodas4": 1e-5, "Rodas5P": 1e-6}[name]
    assert np.abs(march(10) - np.sin(1.0)).max() < limit
    march, _ = marcher(method, dh.ODE(lambda t, x: -1e7 * (x - jnp.sin(t)) + jnp.cos(t)), np.ones(2), span=1.0)
    assert np.abs(march(10) - np.sin(1.0)).max() < limit
