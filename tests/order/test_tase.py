"""Filtered Runge-Kutta methods: order conditions for every W, measured orders, stability and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import duhamel as dh
from duhamel.methods.base import Moment
from duhamel.methods.tableaux import tase
from duhamel.solver.stepper import bind
from duhamel.testing import gradient_error, measured_order

TABLEAUX = {
    "MSRKTASE2": tase.MSRKTASE2,
    "MSRKTASE3": tase.MSRKTASE3,
    "SRKTASE2": tase.srktase2(),
    "SRKTASE3": tase.srktase3(),
}
MODIFIED = {"MSRKTASE2": dh.MSRKTASE2, "MSRKTASE3": dh.MSRKTASE3}


def conditions(t, weights):
    """Residuals by order, for arbitrary W. weights_ij multiplies R^j f_i.

    R^j = 1 + j alpha h W + j (j + 1) / 2 (alpha h W)^2 + ..., so a filter has moments s (which is 1), u and v.
    """
    stages = len(t.c)
    a = np.zeros((stages, stages))
    for i in range(stages):
        a[i, :i] = t.a[i]
    j = np.arange(1, 4)

    def moments(rows):
        padded = np.array([[*row, *([0.0] * (3 - len(row)))] for row in rows])
        return padded.sum(1), t.alpha * padded @ j, t.alpha**2 * padded @ (j * (j + 1) / 2)

    c = np.array(t.c)
    u = moments(t.beta)[1]
    b, bu, bv = moments(weights)
    return {
        1: [b.sum() - 1],
        2: [b @ c - 1 / 2, bu.sum()],
        3: [b @ c**2 - 1 / 3, b @ a @ c - 1 / 6, b @ a @ u, bu @ c, bv.sum()],
    }


def order(t, weights):
    return next((q for q, r in conditions(t, weights).items() if np.abs(r).max() > 1e-12), 4) - 1


@pytest.mark.parametrize("name", TABLEAUX)
def test_order_conditions_for_every_matrix(name):
    t = TABLEAUX[name]
    np.testing.assert_allclose([sum(row) for row in t.a], t.c, atol=1e-15)
    assert order(t, [[b * w for w in row] for b, row in zip(t.b, t.beta, strict=True)]) == t.order
    if t.embedded is not None:
        assert order(t, t.embedded) == t.error_order


def growth(t, z):
    """R(z): a step on dx/dt = lambda x with W = lambda, z = h lambda."""
    r = 1 / (1 - t.alpha * z)
    k = []
    for i in range(len(t.c)):
        filter = sum(w * r ** (j + 1) for j, w in enumerate(t.beta[i]))
        k.append(z * filter * (1 + sum(a * kj for a, kj in zip(t.a[i], k, strict=False))))
    return 1 + sum(b * ki for b, ki in zip(t.b, k, strict=True))


@pytest.mark.parametrize("name", MODIFIED)
def test_stability(name):
    """A-stable (no pole in the left half-plane, at most 1 on the imaginary axis), and damping at 1e6 and beyond."""
    t = TABLEAUX[name]
    assert t.alpha > 0
    axis = np.concatenate([np.linspace(0, 20, 4000), np.logspace(1, 8, 2000)])
    assert np.abs(growth(t, 1j * axis)).max() < 1 + 1e-12
    assert abs(growth(t, -1e6)) < 1e-4


A = np.random.default_rng(3).normal(size=(2, 2))
PROBLEMS = {
    "van der pol": (lambda t, x, m: m.stack([x[1], 5.0 * (1 - x[0] ** 2) * x[1] - x[0] + m.sin(t)]), [1.2, 0.4], 1.0),
    "prothero robinson": (
        lambda t, x, m: m.stack([-30.0 * (x[0] - m.cos(t)) - m.sin(t), x[0] * x[1]]),
        [1.0, 0.5],
        1.0,
    ),
}
MATRICES = {"exact": {}, "frozen": {"frozen": True}, "arbitrary": {"W": A}}


@pytest.mark.parametrize("W", MATRICES)
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", MODIFIED)
def test_order(name, problem, W):
    f, x0, span = PROBLEMS[problem]
    method, x0 = MODIFIED[name](**MATRICES[W]), jnp.array(x0)
    exact = solve_ivp(lambda t, x: f(t, x, np), (0, span), x0, method="DOP853", rtol=3e-14, atol=1e-16).y[:, -1]
    bound = bind(dh.ODE(lambda t, x: f(t, x, jnp)), method, jnp.zeros(()), x0, None)

    @jax.jit
    def march(n):
        h = span / n
        body = lambda i, slots: method.keep(method.attempt(bound, Moment(i, i * h, i * h, h), slots))  # noqa: E731
        return jax.lax.fori_loop(0, n, body, method.start(bound, jnp.zeros(()), x0))["x"]

    first = {2: 400, 3: 200}[method.order] * (2 if problem == "prothero robinson" else 1)
    steps = [int(first * 1.5**k) for k in range(6)]
    slope = measured_order(lambda n: np.abs(march(n) - exact).max(), steps, floor=3e-12)
    assert abs(slope - method.order) < 0.2


def test_adaptive_steps_on_a_stiff_problem():
    """Van der Pol at mu = 1000: the tolerance is met, and each attempt costs one factorization."""

    def f(t, x):
        return jnp.stack([x[1], 1000.0 * ((1 - x[0] ** 2) * x[1] - x[0])])

    exact = solve_ivp(lambda t, x: np.array(f(t, x)), (0, 0.5), [2.0, 0.0], method="Radau", rtol=1e-9, atol=1e-11).y[
        :, -1
    ]
    control = dh.PID(rtol=1e-5, atol=1e-7)
    sol = dh.solve(f, jnp.array([2.0, 0.0]), 0.5, method=dh.MSRKTASE3(), control=control)
    np.testing.assert_allclose(sol.x, exact, rtol=1e-3)
    assert int(sol.stats.accepted) < 600
    assert int(sol.stats.factorizations) == int(sol.stats.accepted + sol.stats.rejected)


def test_the_stiff_part_alone_makes_it_stable():
    """A split problem: W is the Jacobian of the implicit part."""
    stiff = lambda t, x: -1e6 * (x - jnp.cos(t))  # noqa: E731
    mild = lambda t, x: 0.5 * jnp.sin(x)  # noqa: E731
    split = dh.solve(dh.Split(mild, stiff), jnp.ones(2), 1.0, method=dh.MSRKTASE3(), control=dh.Fixed(20))
    np.testing.assert_allclose(split.x, np.cos(1.0), atol=3e-3)
    lanes = dh.ensemble(dh.Split(mild, stiff), jnp.ones((3, 2)), 1.0, method=dh.MSRKTASE2(), control=dh.Fixed(20))
    np.testing.assert_allclose(lanes.x, np.cos(1.0), atol=3e-2)


@pytest.mark.parametrize("frozen", [False, True])
def test_gradient(frozen):
    @jax.jit
    def loss(x0, k):
        def f(t, x, k):
            return jnp.stack([-50.0 * k[0] * (x[0] - x[1] ** 2), k[1] * x[0] - x[1]])

        how = {"method": dh.MSRKTASE3(frozen=frozen), "control": dh.Fixed(7)}
        return jnp.sum(dh.solve(f, x0, 1.0, args=k, **how).x ** 2)

    assert gradient_error(loss, jnp.array([1.0, 0.8]), jnp.array([0.9, 0.7])) < 1e-6


def test_what_does_not_fit_is_said():
    with pytest.raises(ValueError, match="leave one of the two out"):
        dh.MSRKTASE2(np.eye(2), frozen=True)
    with pytest.raises(ValueError, match="mass matrix; use Rodas5P"):
        dh.solve(dh.DAE(lambda t, x: x, np.eye(2)), jnp.ones(2), 1.0, method=dh.MSRKTASE3())
