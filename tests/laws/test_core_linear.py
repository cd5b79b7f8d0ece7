"""Flows and phi-functions of every L: Duhamel's formula, traced = host, lanes, dtypes."""

from math import factorial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg

from duhamel.core.linear import Dense, Diagonal, Linear, Matrix, Scalar, Zero

A = np.random.default_rng(0).normal(size=(3, 3)) - np.eye(3)
LINEARS = {
    "zero": Zero(),
    "scalar": Scalar(-0.7),
    "scalar of t": Scalar(lambda t: -1.0 - 0.5 * t, lambda t: -t - 0.25 * t * t),
    "diagonal": Diagonal(np.array([-300.0, -0.1, 0.4])),
    "complex diagonal": Diagonal(np.array([3j, -0.2 + 40j, -1.0 + 0j])),
    "dense": Dense(A),
    "complex dense": Dense(A + 1j * A.T),
}


def dense_of(L: Linear, t: float) -> np.ndarray:
    return np.stack([np.asarray(L.apply(t, jnp.asarray(e))) for e in np.eye(3) + 0j], axis=1)


@pytest.mark.parametrize("name", LINEARS)
@pytest.mark.parametrize("k", range(4))
def test_phi_solves_the_forced_equation(name: str, k: int):
    """h phi_k v = x(t + h) where dx/ds = L x + v ((s-t)/h)^(k-1)/(k-1)!, x(t) = 0, by SciPy's DOP853."""
    L, t, h, v = LINEARS[name], 0.3, 0.8, np.array([1.0, -2.0, 0.5])

    def slope(s: float, x: np.ndarray) -> np.ndarray:
        force = v * ((s - t) / h) ** (k - 1) / factorial(k - 1) if k else 0.0
        return dense_of(L, s) @ x + force

    start = v + 0j if k == 0 else np.zeros(3, complex)
    truth = scipy.integrate.solve_ivp(slope, (t, t + h), start, method="DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
    value = np.asarray(L.phi(k, t, h) * v) * (h if k else 1.0)
    assert np.allclose(value, truth, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", LINEARS)
def test_traced_equals_host(name: str):
    L, v = LINEARS[name], np.array([1.0, -2.0, 0.5])
    here = [c * v for c in L.phis(4, 0.3, 0.8)]
    there = jax.jit(lambda t, h, v: [c * v for c in L.phis(4, t, h)])(0.3, 0.8, v)
    for a, b in zip(here, there, strict=True):
        assert isinstance(a, np.ndarray)
        assert np.allclose(a, b, rtol=1e-12, atol=1e-14)
    assert np.allclose(L.flow(0.3, 0.8) * v, here[0], rtol=1e-14)


def test_traced_values_trace():
    slope = jax.grad(lambda a: jnp.sum(Diagonal(a * jnp.arange(3.0)).phi(2, 0.0, 0.5)))(-1.0)
    f = lambda a: np.sum(Diagonal(a * np.arange(3.0)).phi(2, 0.0, 0.5))  # noqa: E731
    assert np.isclose(slope, (f(-1.0 + 1e-5) - f(-1.0 - 1e-5)) / 2e-5, rtol=1e-8)


@pytest.mark.parametrize("name", LINEARS)
def test_flows_compose_and_invert(name: str):
    L, v = LINEARS[name], np.array([1.0, -2.0, 0.5])
    there = L.flow(0.2, 0.1) * (L.flow(0.0, 0.2) * v)
    assert np.allclose(there, L.flow(0.0, 0.3) * v, rtol=1e-12)
    small = L.flow(0.01, -0.01) * (L.flow(0.0, 0.01) * v)
    assert np.allclose(small, v, rtol=1e-12)


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("name", LINEARS)
def test_lanes_are_columns(name: str, traced: bool):
    L = LINEARS[name]
    t, h = np.array([0.0, 0.5]), np.array([0.1, 0.9])
    v = np.random.default_rng(3).normal(size=(3, 2))
    both = lambda t, h, v: (L.phi(2, t, h) * v, L.apply(t, v))  # noqa: E731
    lanes, applied = (jax.jit(both) if traced else both)(t, h, v)
    for i in range(2):
        assert np.allclose(lanes[:, i], L.phi(2, t[i], h[i]) * v[:, i], rtol=1e-12)
        assert np.allclose(applied[:, i], L.apply(t[i], v[:, i]), rtol=1e-12)


@pytest.mark.parametrize("name", LINEARS)
def test_apply_keeps_the_precision_of_the_state(name: str):
    x = jnp.ones(3, jnp.complex64 if "complex" in name else jnp.float32)
    assert LINEARS[name].apply(0.0, x).dtype == x.dtype


def test_matrix_algebra():
    M, v = Matrix(A), np.array([1.0, -2.0, 0.5])
    assert np.array_equal(M * v, A @ v)
    for total in (2.0 * M + M - M, np.float64(2.0) * M, jnp.asarray(2.0) * M, -(-2.0 * M)):
        assert np.allclose(total * v, 2 * A @ v)
    assert len(jax.tree.leaves(M)) == 1
    lanes = np.random.default_rng(4).normal(size=(3, 2))
    assert np.allclose(M * lanes, A @ lanes)


def test_scalar_acts_on_pytrees():
    x = {"a": jnp.ones(2, jnp.float32), "b": jnp.ones((2, 2))}
    assert jax.tree.map(jnp.shape, Scalar(2.0).apply(0.0, x)) == {"a": (2,), "b": (2, 2)}
    assert Scalar(2.0).apply(0.0, x)["a"].dtype == jnp.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Scalar(lambda t: t), "needs its integral"),
        (lambda: Scalar(1.0, lambda t: t), "write Scalar"),
        (lambda: Scalar(np.ones(3)), "Diagonal"),
        (lambda: Dense(np.ones((2, 3))), "square"),
    ],
)
def test_bad_input_names_the_remedy(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()
