"""Exponential Runge-Kutta: the order claimed is the order measured, whatever L is.

Nonstiff and periodic stiff problems support the classical order. With Dirichlet conditions the solution is rough for L
and only `stiff_order` is claimed: Hochbruck and Ostermann (2005), example 6.1, is that test.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

from duhamel.core.linear import Dense, Diagonal, Linear, Scalar, Zero
from duhamel.methods.base import Method
from duhamel.methods.exponential import ETD1, ETDRK2, ETDRK3, ETDRK4, HochbruckOstermann, Krogstad
from duhamel.methods.tableaux.tableau import Tableau
from duhamel.rows.run import combine_trees
from duhamel.rows.step import combine, kept, step

METHODS = {m().tableau.name: m() for m in (ETD1, ETDRK2, ETDRK3, ETDRK4, Krogstad, HochbruckOstermann)}


@dataclass(frozen=True)
class Case:
    """dx/dt = L x + N(t, x) with solution exact(t), and the number of steps of the coarsest run."""

    L: Linear
    N: Callable
    exact: Callable
    t1: float
    steps: int


def manufactured(L: Linear, complex_state: bool = False, steps: int = 8) -> Case:
    """N(t, x) = g(x) - g(y(t)) + y'(t) - L y(t) has the solution y; g couples the components."""
    turn = 1j if complex_state else 0.0

    def y(t: Any) -> Any:
        real = jnp.stack([jnp.cos(2 * t), 1 + 0.5 * jnp.sin(3 * t), jnp.exp(-t)])
        return real + turn * jnp.stack([jnp.sin(t), t * t, jnp.cos(t)]) if complex_state else real

    def g(x: Any) -> Any:
        return jnp.sin(x) * jnp.roll(x, 1) - x * x

    def N(t: Any, x: Any) -> Any:
        slope = jax.jvp(y, (t,), (jnp.ones_like(t),))[1]
        return g(x) - g(y(t)) + slope - L.apply(t, y(t))

    return Case(L, N, y, 1.0, steps)


def burgers() -> Case:
    """u_t + u u_x = 0.05 u_xx on 64 modes: |h L| up to 25, and the solution is analytic. Reference: Radau, 1e-12."""
    k = np.arange(33.0)
    symbol = Diagonal(-0.05 * k**2 - 0.02 * k**4)
    k = jnp.asarray(k)

    def N(t: Any, x: Any) -> Any:
        u = jnp.fft.irfft(jnp.where(k < 21, x, 0))
        return jnp.where(k < 21, -0.5j * k * jnp.fft.rfft(u * u), 0)

    start = np.fft.rfft(1 + np.sin(np.arange(64) * 2 * np.pi / 64))

    def slope(t: float, packed: np.ndarray) -> np.ndarray:
        x = packed[:33] + 1j * packed[33:]
        f = symbol.values * x + np.asarray(jitted(t, x))
        return np.concatenate([f.real, f.imag])

    jitted = jax.jit(N)
    solution = scipy.integrate.solve_ivp(
        slope,
        (0, 1),
        np.concatenate([start.real, start.imag]),
        method="LSODA",
        rtol=1e-12,
        atol=1e-12,
        dense_output=True,
    ).sol

    def exact(t: Any) -> Any:
        packed = solution(float(t))
        return jnp.asarray(packed[:33] + 1j * packed[33:])

    return Case(symbol, N, exact, 1.0, 16)


A = np.random.default_rng(0).normal(size=(3, 3)) - np.eye(3)
CASES = {
    "zero": lambda: manufactured(Zero()),
    "real": lambda: manufactured(Diagonal(np.array([-3.0, -0.5, 1.0])), steps=24),
    "imaginary": lambda: manufactured(Diagonal(np.array([2j, -5j, 0.5j])), True),
    "scalar of t": lambda: manufactured(
        Scalar(lambda t: -1 - 2 * jnp.cos(3 * t), lambda t: -t - 2 / 3 * jnp.sin(3 * t))
    ),
    "dense": lambda: manufactured(Dense(A)),
    "complex dense": lambda: manufactured(Dense(A + 1j * A.T), True),
    "stiff periodic": burgers,
}
CACHE: dict[str, Case] = {}


def case_of(name: str) -> Case:
    if name not in CACHE:
        CACHE[name] = CASES[name]()
    return CACHE[name]


def start(method: Method, case: Case, t: Any, x: Any) -> dict[str, Any]:
    return {"x": x, "F": case.N(jnp.asarray(t), x)} if method.fsal else {"x": x}


def marcher(method: Method, case: Case) -> Callable[[int], Any]:
    """n -> x(t1) after n equal steps, compiled once. Coefficients come from the host unless L changes in time."""
    x0 = jnp.asarray(case.exact(0.0))

    @jax.jit
    def march(coef: Any, n: Any) -> Any:
        h = case.t1 / n

        def body(i: Any, slots: dict[str, Any]) -> dict[str, Any]:
            t = i * h
            c = method.coef(case.L, t, h) if coef is None else coef
            env = step(method.pattern, c, method.tau(t, h), slots, [case.N], combine_trees)
            return kept(method.pattern, env)

        return jax.lax.fori_loop(0, n, body, start(method, case, 0.0, x0))["x"]

    def run(n: int) -> Any:
        return march(None if isinstance(case.L, Scalar) else method.coef(case.L, 0.0, case.t1 / n), n)

    return run


def slope(errors: list[float]) -> float:
    """Order from the last halving."""
    return float(np.log2(errors[-2] / errors[-1]))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_order(method: Method, name: str):
    case = case_of(name)
    fine = case.steps * (8 if method.order == 1 else 4)
    run, truth = marcher(method, case), case.exact(case.t1)
    measured = slope([float(jnp.linalg.norm(run(n) - truth)) for n in (fine // 2, fine)])
    assert abs(measured - method.order) < 0.2, f"measured {measured:.2f}"


@pytest.mark.parametrize("name", ["zero", "real", "imaginary", "dense", "stiff periodic"])
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_dense_output(method: Method, name: str):
    """Inside a step from an exact state the error is O(h^(dense_order + 1)); at its end dense output is x1 exactly."""
    case, thetas, errors = case_of(name), (0.25, 0.6), []
    t = 0.375 * case.t1
    for n in (4 * case.steps, 8 * case.steps):
        h = case.t1 / n
        env = one_step(method, case, t, h)
        built = [dense(method, case, t, h, theta, env) for theta in thetas]
        errors.append(
            max(float(jnp.linalg.norm(x - case.exact(t + theta * h))) for theta, x in zip(thetas, built, strict=True))
        )
        assert np.allclose(dense(method, case, t, h, 1.0, env), env["x1"], rtol=1e-13, atol=1e-14)
        assert np.allclose(dense(method, case, t, h, 0.0, env), env["x"], rtol=1e-13, atol=1e-14)
    measured = slope(errors)
    assert measured > method.dense_order + 1 - 0.2, f"measured {measured:.2f}"


def one_step(method: Method, case: Case, t: float, h: float) -> dict[str, Any]:
    x = jnp.asarray(case.exact(t))
    return step(
        method.pattern, method.coef(case.L, t, h), method.tau(t, h), start(method, case, t, x), [case.N], combine_trees
    )


def dense(method: Method, case: Case, t: float, h: float, theta: float, env: dict) -> Any:
    coef, names = method.interpolant(case.L, t, h, theta)
    return combine(coef, [env[name] for name in names])


@pytest.mark.parametrize("name", ["zero", "real", "imaginary", "dense", "stiff periodic"])
@pytest.mark.parametrize("method", [m for m in METHODS.values() if m.error_order], ids=lambda m: m.tableau.name)
def test_error_estimate(method: Method, name: str):
    """The error row is O(h^(error_order + 1)): it is the local error of a lower-order solution, not less."""
    case = case_of(name)
    norms = [
        float(jnp.linalg.norm(one_step(method, case, 0.375, case.t1 / n)["error"]))
        for n in (4 * case.steps, 8 * case.steps)
    ]
    assert abs(slope(norms) - (method.error_order + 1)) < 0.3, f"measured {slope(norms):.2f}"


def dirichlet(n: int = 60) -> Case:
    """u_t = u_xx + 1/(1 + u^2) + Phi(t, x) on [0, 1], u = 0 at the ends; Phi such that u = x (1 - x) e^t.

    Central differences are exact for this u. Hochbruck and Ostermann (2005), example 6.1.
    """
    x = np.arange(1, n + 1) / (n + 1)
    A = (np.eye(n, k=1) - 2 * np.eye(n) + np.eye(n, k=-1)) * (n + 1) ** 2
    shape = jnp.asarray(x * (1 - x))

    def N(t: Any, u: Any) -> Any:
        exact = shape * jnp.exp(t)
        return 1 / (1 + u * u) + exact + 2 * jnp.exp(t) - 1 / (1 + exact * exact)

    return Case(Dense(A), N, lambda t: shape * jnp.exp(t), 1.0, 4)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_stiff_order_with_dirichlet_conditions(method: Method):
    """|h L| is 200 to 500 here. The claim is `stiff_order`; ETDRK3 and ETDRK4 lose order, as they must."""
    case = dirichlet()
    run = marcher(method, case)
    errors = [float(jnp.max(jnp.abs(run(n) - case.exact(1.0)))) for n in (32, 64)]
    measured = slope(errors)
    assert measured > method.tableau.stiff_order - 0.2, f"measured {measured:.2f}"
    if method.tableau.stiff_order == method.order:
        assert measured < method.order + 0.3, f"measured {measured:.2f}"


BUTCHER = {
    "ETD1": ([[]], [1]),
    "ETDRK2": ([[], [1]], [1 / 2, 1 / 2]),
    "ETDRK3": ([[], [1 / 2], [-1, 2]], [1 / 6, 2 / 3, 1 / 6]),
    "ETDRK4": ([[], [1 / 2], [0, 1 / 2], [0, 0, 1]], [1 / 6, 1 / 3, 1 / 3, 1 / 6]),
    "Krogstad": ([[], [1 / 2], [0, 1 / 2], [0, 0, 1]], [1 / 6, 1 / 3, 1 / 3, 1 / 6]),
    "Hochbruck-Ostermann": (
        [[], [1 / 2], [0, 1 / 2], [0, 1 / 2, 1 / 2], [1 / 4, 1 / 8, 1 / 8, 0]],
        [1 / 6, 0, 0, 1 / 6, 2 / 3],
    ),
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_without_a_linear_part_it_is_runge_kutta(method: Method):
    """Coefficients at L = 0 are the classical tables (Kutta's third order, the classical fourth, ...)."""
    a, b = BUTCHER[method.tableau.name]
    h = 0.3
    given = dict(zip(method.pattern.positions, method.coef(Zero(), 0.0, h), strict=True))
    stages = ["F" if method.fsal and i == 0 else f"N{i + 1}" for i in range(len(b))]
    for i, row in enumerate([*a, b]):
        out = f"z{i + 1}" if i < len(b) else "x1"
        for j, weight in enumerate(row):
            assert np.isclose(given.get((out, stages[j]), 0.0), h * weight, atol=1e-15)
        assert given.get((out, "x"), 1.0) == 1.0


@pytest.mark.parametrize("method", [ETDRK4(), HochbruckOstermann()], ids=lambda m: m.tableau.name)
def test_traced_coefficients_are_the_tabulated_ones(method: Method):
    for L in (Diagonal(np.array([-1e4, -1.0, 0.0, 0.3])), Diagonal(np.array([1e3j, -1j + 0.1]))):
        host = method.coef(L, 0.0, 0.1)
        traced = jax.jit(lambda h, L=L: method.coef(L, 0.0, h))(0.1)
        for a, b in zip(jax.tree.leaves(host), jax.tree.leaves(traced), strict=True):
            assert np.allclose(a, b, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_calls_are_counted(method: Method):
    assert method.pattern.calls == {"Hochbruck-Ostermann": 5}.get(method.tableau.name, method.order)
    assert len(method.tau(0.0, 0.1)) == method.pattern.calls
    assert len(method.coef(Zero(), 0.0, 0.1)) == len(method.pattern.positions)


def test_linear_problems_are_exact():
    """N = 0: one step of any size is the flow."""
    L = Diagonal(np.array([-1e6, -2.0 + 50j, 3j]))
    case = Case(L, lambda t, x: jnp.zeros_like(x), lambda t: jnp.exp(jnp.asarray(L.values) * t), 1.0, 1)
    for method in METHODS.values():
        x1 = one_step(method, case, 0.0, 2.0)["x1"]
        assert np.allclose(x1, np.exp(2.0 * L.values), rtol=1e-14)


def test_explicit_tableaux_are_another_class():
    """An exponential tableau holds functions of L; it must not pass for a classical one."""
    assert not any(isinstance(m.tableau, Tableau) for m in METHODS.values())
