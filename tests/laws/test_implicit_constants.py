"""The constants that steer implicit methods: BDF's error estimate and its choice of order, Newton's stopping rule.

A wrong one costs steps or accuracy and shows in no order of convergence, so each is held to what it means.
"""

from math import factorial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.methods.base import Moment
from duhamel.methods.linalg import DenseLU
from duhamel.methods.newton import Matrix, Rule, System, iterate
from duhamel.solver.stepper import Stepper, bind

RTOL, ATOL = 1e-6, 1e-9
# kappa of Shampine and Reichelt's formulas of order q, table 1; gamma_q = 1 + 1/2 + ... + 1/q.
KAPPA = {1: -0.1850, 2: -1 / 9, 3: -0.0823, 4: -0.0415, 5: 0.0}
CONSTANT = {q: KAPPA[q] * sum(1 / j for j in range(1, q + 1)) + 1 / (q + 1) for q in KAPPA}


def bound(method, field, x, tol):
    """A stepper of `method` on dx/dt = field(t, x) for one state."""
    problem = bind(dh.ODE(field), method, jnp.zeros(()), x, None).problem
    tol = None if tol is None else tuple(jnp.asarray(v) for v in tol)
    return Stepper(problem, None, None, None, tol, method, 0, None)


def differences(values):
    found, row = [], values
    for _ in range(len(values) - 1):
        row = row[:-1] - row[1:]
        found.append(row[0])
    return jnp.stack(found)


@jax.jit
def bdf_step(history, slope, h, q, equal, tol):
    """Of order q, from the states at t = 0, -h, -2 h, ... dx/dt is given: no iteration is left unfinished.

    equal  how many steps of length h there were
    """
    method = dh.BDF()
    stepper = bound(method, lambda t, x: slope, history[0], tol)
    slots = method.start(stepper, jnp.zeros(()), history[0])
    slots |= {"D": differences(history), "width": h, "q": q, "equal": equal}
    return method.attempt(stepper, Moment(jnp.int32(0), jnp.zeros(()), jnp.zeros(()), h), slots)


def step(q, x, dx, h, *, extra=0.0, equal=0, tol=(RTOL, ATOL)):
    history = np.stack([x(-k * h) for k in range(8)])
    return bdf_step(history, dx(h) + extra, jnp.asarray(h), jnp.int32(q), jnp.int32(equal), tol)


@pytest.mark.parametrize("q", KAPPA)
def test_the_error_estimate_of_bdf_is_the_formulas_own_defect(q):
    """On t^(q+1), for which the defect of a formula of order q is C_q (q + 1)! h^(q+1) and nothing else.

    The formula is alpha x1 = ... + h f, so that alpha is read off how x1 follows f.
    """
    h, size = 0.1, np.array([1.0, 2.0])
    x, dx = lambda t: size * t ** (q + 1), lambda t: size * (q + 1) * t**q
    env, pushed = step(q, x, dx, h), step(q, x, dx, h, extra=1.0)
    delta = factorial(q + 1) * h ** (q + 1) * size  # the difference of order q + 1
    alpha = h / (pushed["x1"] - env["x1"])
    missed = env["x1"] - x(h)
    np.testing.assert_allclose(alpha * missed / delta, CONSTANT[q], rtol=1e-7)
    # x1 leaves out `missed`, and so does the difference that the estimate is made of
    np.testing.assert_allclose(env["error"], CONSTANT[q] * (delta + missed), rtol=1e-7)
    assert int(env["k"]) == q + 1


@pytest.mark.parametrize(
    ("q", "frequency", "change"),
    [
        (1, 1, 1),
        (2, 8, 1),
        (3, 8, 1),
        (3, 12, 0),
        (3, 16, 0),
        (4, 12, 1),
        (4, 16, -1),
        (4, 20, 0),
        (5, 1, 0),
        (5, 20, -1),
    ],
)
def test_bdf_goes_to_the_order_that_allows_the_longest_step(q, frequency, change):
    """After q + 1 equal steps: E_p^(-1/(p+1)) for p = q - 1, q, q + 1, E_p = rms(C_p difference_(p+1) / scale)."""
    h, tol, rate = 0.05, (1e-4, 1e-6), frequency * np.array([1.0, 1.5])
    x, dx = lambda t: np.sin(rate * t + [0.5, 1.0]), lambda t: rate * np.cos(rate * t + [0.5, 1.0])
    env = step(q, x, dx, h, equal=q, tol=tol)
    after = differences(np.stack([env["x1"], *(x(-k * h) for k in range(7))]))
    scale = tol[1] + tol[0] * np.abs(env["x1"])
    longer = {
        p: float(np.sqrt(np.mean((CONSTANT[p] * after[p] / scale) ** 2))) ** (-1 / (p + 1))
        for p in (q - 1, q, q + 1)
        if 1 <= p <= 5
    }
    best = max(longer, key=longer.get)
    safety = 0.9 * 9 / (8 + int(env["nfe"]))  # four iterations at most; each one that was made costs a little
    assert int(env["q"]) == best == q + change
    np.testing.assert_allclose(env["growth"], min(safety * longer[best], 10.0), rtol=1e-6)
    early = step(q, x, dx, h, equal=q - 1, tol=tol)
    assert int(early["q"]) == q and float(early["growth"]) == 1.0


@pytest.mark.parametrize("tolerance", [0.05, 0.3])
@pytest.mark.parametrize("mistaken", [0.8, 1.2, 1.9, 0.4])
def test_newton_stops_at_the_first_iterate_within_its_part_of_the_tolerance(mistaken, tolerance):
    """By the bound rate/(1 - rate) |w_k - w_(k-1)|, on a linear field with a Jacobian that is wrong by a factor: errors
    shrink geometrically, and the bound is the error itself, or with a sign that alternates a known multiple of it."""
    lam, a, r = -3.0, 0.7, 2.0
    method = dh.ImplicitEuler(newton=dh.Newton(tolerance=tolerance, iterations=20))
    stepper = bound(method, lambda t, x: lam * x, jnp.ones(1), (RTOL, ATOL))
    system = System(stepper, jnp.ones(1))
    J, linear, scale = jnp.array([[mistaken * lam]]), DenseLU(), jnp.array([RTOL * 2.0 + ATOL])
    factors = linear.factor(J, jnp.asarray(a))._replace(matrix=None)
    matrix = Matrix(J, factors, jnp.asarray(a), jnp.int32(0))
    rule = Rule(method.newton, linear, system, matrix, scale)
    found = iterate(rule, jnp.zeros(()), jnp.asarray(a), jnp.array([r]), jnp.zeros(1), jnp.asarray(True))
    exact = a * lam * r / (1 - a * lam)
    rate = 1 - (1 - a * lam) / (1 - a * mistaken * lam)
    left = np.abs(exact * rate ** np.arange(40)) / float(scale[0])  # before the k-th iteration
    bounds = left * (1 - rate) / (1 - abs(rate))
    enough = next((k for k in range(2, 40) if bounds[k] <= tolerance), 40)  # a rate is seen from the second on
    if enough <= method.newton.iterations:
        assert int(found.count) == enough and not bool(found.failed)
        np.testing.assert_allclose(abs(float(found.w[0]) - exact) / float(scale[0]), left[enough], rtol=1e-6)
    else:  # and with the rate that they will not suffice
        assert bool(found.failed) and int(found.count) == 2


def test_a_step_of_another_length_leaves_no_more_than_its_part_of_the_tolerance():
    """Factors made for h serve 1.25 h; what iterations leave undone is below 5 % of the tolerance, not far below."""
    method, lam, x = dh.ImplicitEuler(), -3.0, jnp.array([2.0, -1.0])
    stepper = bound(method, lambda t, x: lam * x, x, (RTOL, ATOL))
    zero, h = jnp.zeros(()), 0.4
    first = method.attempt(stepper, Moment(jnp.int32(0), zero, zero, jnp.asarray(h)), method.start(stepper, zero, x))
    slots = method.keep(first) | {"matrix": first["matrix"]}
    env = method.attempt(stepper, Moment(jnp.int32(1), zero, zero, jnp.asarray(1.25 * h)), slots)
    assert not bool(env["factorizations"])
    exact = slots["x"] / (1 - 1.25 * h * lam)
    undone = float(np.sqrt(np.mean(((env["x1"] - exact) / (ATOL + RTOL * np.abs(slots["x"]))) ** 2)))
    rate = abs(1 - 2 / 2.25 * (1 - 1.25 * h * lam) / (1 - h * lam))
    assert rate * 0.05 < undone < 0.05


def kept_matrices(newton, lengths):
    """(whether the Jacobian was evaluated, whether M - a J was factored) in steps of these lengths on dx/dt = -3 x."""
    method, x = dh.ImplicitEuler(newton=newton), jnp.array([2.0, -1.0])
    stepper, zero = bound(method, lambda t, x: -3.0 * x, x, (RTOL, ATOL)), jnp.zeros(())

    @jax.jit
    def forward(slots, h):
        env = method.attempt(stepper, Moment(jnp.int32(0), zero, zero, h), slots)
        return method.keep(env), (env["jacobians"], env["factorizations"], env["failed"])

    slots, seen = method.start(stepper, zero, x), []
    for h in lengths:
        slots, counts = forward(slots, jnp.asarray(h))
        assert not bool(counts[2])
        seen.append((int(counts[0]), int(counts[1])))
    return seen


def test_jacobians_and_factors_are_kept_as_long_as_newton_says():
    """Evaluated again after `max_age` steps, factored again where h changed by more than `drift`, and both after a step
    whose iterations contracted slower than `slow`."""
    both, none, factors = (1, 1), (0, 0), (0, 1)
    aged = kept_matrices(dh.Newton(max_age=4), [0.1] * 9)
    assert aged == [both, none, none, none] * 2 + [both]
    drifted = kept_matrices(dh.Newton(drift=0.3, slow=0.99), [0.1, 0.129, 0.131, 0.131, 0.09, 0.13])
    assert drifted == [both, none, factors, none, factors, factors]
    slowed = kept_matrices(dh.Newton(drift=0.3, slow=0.02), [0.1, 0.101, 0.101, 0.125, 0.125, 0.125])
    assert slowed == [both, none, none, none, both, none]


def test_auto_changes_over_after_as_many_steps_as_it_says():
    """`patience` stiff steps in a row hand over, `return_after` harmless ones in a row hand back; one other step
    between them begins the count anew. Beyond 0.9 of the stability limit a step is stiff."""
    auto = dh.Auto(limit=3.0, patience=5, return_after=2)
    slots = {"mode": jnp.int32(0), "streak": jnp.int32(0)}
    stiff, harmless, modes = 2.71, 2.69, []
    for rho in [*[stiff] * 4, harmless, *[stiff] * 5, harmless, stiff, harmless, harmless, stiff]:
        slots = auto._vote(slots, jnp.asarray(rho))
        modes.append(int(slots["mode"]))
    assert modes == [0] * 9 + [1] * 4 + [0, 0]


@pytest.mark.parametrize("restart", [3, None], ids=["GMRES", "BiCGStab"])
@pytest.mark.parametrize("rtol", [1e-3, 1e-7])
def test_krylov_stops_at_its_residual(restart, rtol):
    """Within rtol of b, and not at rounding: each iteration is a product with the Jacobian."""
    n, a = 30, jnp.asarray(0.05)
    A = np.diag(np.linspace(-2000.0, -1.0, n)) + np.diag(np.full(n - 1, 30.0), 1)
    linear, x = dh.Krylov(rtol=rtol, restart=restart), jnp.ones(n)
    stepper = bound(dh.Ros23(linear), lambda t, x: A @ x, x, (RTOL, ATOL))
    b = jnp.asarray(np.random.default_rng(0).normal(size=n))
    found = jax.jit(lambda b: linear.solve(linear.factor(linear.prepare(stepper, 0, jnp.zeros(()), x), a), b))(b)
    residual = float(jnp.linalg.norm(found - a * (A @ found) - b) / jnp.linalg.norm(b))
    assert 1e-5 * rtol < residual < 1.5 * rtol
