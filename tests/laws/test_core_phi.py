"""phi-functions against integer arithmetic with 900 bits, closed forms, the expm block trick and finite differences."""

from itertools import pairwise
from math import factorial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from duhamel.core import phi as host, phi_traced as traced
from duhamel.core.quadrature import gauss_legendre

BITS = 900
RAYS = {
    "negative": np.array([-1.0]),
    "positive": np.array([1.0]),
    "imaginary": np.array([1j, -1j]),
    "complex": np.exp(1j * np.linspace(0.1, 6.2, 11)),
}
SIZES = np.array(
    [0.0, 1e-15, 1e-8, 1e-3, 0.1, 0.5, 0.99, 1.0, 1.01, 2.0, 3.99, 4.01, 6.3, 7.99, 8.0, 8.01, 12.0, 30.0, 80.0]
)


def exact_phi(k: int, z: complex) -> complex:
    """sum_j z^j / (j + k)! in fixed point: every float is an exact fraction, and 900 bits absorb all cancellation."""
    one = 1 << BITS
    re, im = (int(np.ldexp(part, 300)) << (BITS - 300) for part in (complex(z).real, complex(z).imag))
    a, b = one // factorial(k), 0
    total_a = total_b = 0
    for j in range(1, 600):
        total_a, total_b = total_a + a, total_b + b
        a, b = (a * re - b * im) // ((j + k) << BITS), (a * im + b * re) // ((j + k) << BITS)
    return complex(total_a / one, total_b / one)


def points(ray: str) -> np.ndarray:
    z = (SIZES[:, None] * RAYS[ray]).ravel()
    return z.real if ray in ("negative", "positive") else z


def relative(value: np.ndarray, exact: np.ndarray, k: int, z: np.ndarray) -> float:
    """Error over |phi_k|; off the real axis, where phi_1 has zeros, over at least a third of its typical size."""
    typical = np.where(np.imag(z) != 0, 0.3 / (factorial(max(k - 1, 0)) * (max(k, 1) + np.abs(z))), 0.0)
    return float(np.max(np.abs(np.asarray(value) - exact) / np.maximum(np.abs(exact), typical)))


@pytest.mark.parametrize("ray", RAYS)
@pytest.mark.parametrize("k", range(7))
def test_phi_is_exact_to_rounding(k: int, ray: str):
    z = points(ray)
    exact = np.array([exact_phi(k, q) for q in z])
    assert relative(host.phi(k, z), exact, k, z) < 2e-15
    assert relative(traced.phi(k, jnp.asarray(z)), exact, k, z) < 4e-15


@pytest.mark.parametrize("ray", RAYS)
@pytest.mark.parametrize("k", range(1, 5))
def test_phi_in_float32_does_not_cancel(k: int, ray: str):
    z = points(ray)
    z = z.astype(np.complex64 if np.iscomplexobj(z) else np.float32)
    exact = np.array([exact_phi(k, complex(q)) for q in z])
    value = traced.phi(k, jnp.asarray(z))
    assert value.dtype == z.dtype
    assert relative(value, exact, k, z) < 1.5e-6


@pytest.mark.parametrize(
    "phi", [host.phi, lambda k, z: np.asarray(traced.phi(k, jnp.asarray(z)))], ids=["host", "traced"]
)
def test_phi_of_very_stiff_modes_is_the_closed_form(phi):
    x = np.array([1e3, 1e6, 1e12, 1e100])
    for z, e in ((-x, 0.0), (1j * x, np.exp(1j * x)), (-1j * x, np.exp(-1j * x))):
        first = (e - 1) / z
        second = (first - 1) / z
        assert np.allclose(phi(1, z), first, rtol=1e-14, atol=0)
        assert np.allclose(phi(2, z), second, rtol=1e-14, atol=0)
        assert np.allclose(phi(3, z), (second - 0.5) / z, rtol=1e-14, atol=0)


def test_shapes_dtypes_and_nan():
    z = np.linspace(-20, 3, 24).reshape(2, 3, 4)
    assert all(p.shape == z.shape and p.dtype == np.float64 for p in host.phis(4, z))
    assert host.phi(2, 3).shape == () and host.phi(2, 1j).dtype == np.complex128
    assert np.isnan(host.phi(3, np.nan)) and np.isnan(traced.phi(3, jnp.asarray(np.nan)))
    assert [float(p) for p in host.phis(5, 0.0)] == [1 / factorial(k) for k in range(6)]
    with pytest.raises(ValueError, match="phi-function"):
        host.phi(-1, 0.0)


@pytest.mark.parametrize("z", [-1e4, -9.0, -7.9, -1.2, -1e-9, 0.0, 1e-9, 0.7, 5.0, 8.5])
@pytest.mark.parametrize("k", range(1, 5))
def test_derivative_is_the_integral_of_the_derivative(k: int, z: float):
    """phi_k'(z) = int_0^1 (1-s) e^((1-s)z) s^(k-1)/(k-1)! ds, by quadrature on pieces that shrink towards s = 1."""
    ends = 1 - np.array([1, 0.6, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 0])
    integral = 0.0
    for a, b in pairwise(ends):
        s, w = gauss_legendre(20, a, b)
        integral += float(w @ ((1 - s) * np.exp((1 - s) * z) * s ** (k - 1) / factorial(k - 1)))
    slope = jax.grad(lambda z: traced.phi(k, z))(jnp.asarray(z))
    assert np.isclose(slope, integral, rtol=2e-11)


def test_derivative_along_complex_directions():
    z, d = jnp.asarray([0.3 + 2j, -5 + 4j, 20j, -1e5 + 3j]), 1e-5
    for k in range(4):
        slope = jax.jvp(lambda z, k=k: traced.phi(k, z), (z,), (jnp.full_like(z, 1 + 1j),))[1]
        difference = (host.phi(k, z + d * (1 + 1j)) - host.phi(k, z - d * (1 + 1j))) / (2 * d)
        assert np.allclose(slope, difference, rtol=1e-7, atol=1e-11)


def test_gradient_stays_finite_next_to_extreme_modes():
    z = jnp.asarray([-1e30, -1e8, 0.0, 600.0])
    grads = jax.grad(lambda z: sum(jnp.sum(p) for p in traced.phis(4, z)))(z)
    assert bool(jnp.all(jnp.isfinite(grads)))


def blocks(kmax: int, A: np.ndarray) -> list[np.ndarray]:
    """phi_k(A) is block (0, k) of expm [[A, I, 0], [0, 0, I], [0, 0, 0]] (Al-Mohy and Higham 2011)."""
    n = len(A)
    big = np.zeros(((kmax + 1) * n,) * 2, A.dtype)
    big[:n, :n] = A
    for k in range(kmax):
        big[k * n : (k + 1) * n, (k + 1) * n : (k + 2) * n] = np.eye(n)
    return [scipy.linalg.expm(big)[:n, k * n : (k + 1) * n] for k in range(kmax + 1)]


@pytest.mark.parametrize("scale", [0.0, 1e-6, 0.3, 3.0, 40.0])
@pytest.mark.parametrize("kind", ["real", "complex", "nilpotent"])
def test_matrix_phi_is_the_block_of_an_exponential(kind: str, scale: float):
    rng = np.random.default_rng(0)
    A = rng.normal(size=(5, 5)) - 2 * np.eye(5)
    A = {"real": A, "complex": A + 1j * rng.normal(size=(5, 5)), "nilpotent": np.triu(A, 1)}[kind] * scale
    expected = blocks(4, A)
    for k, (a, b) in enumerate(zip(host.phis_matrix(4, A), traced.phis_matrix(4, jnp.asarray(A)), strict=True)):
        size = np.abs(expected[k]).max()
        assert np.abs(a - expected[k]).max() < 1e-11 * size
        assert np.abs(np.asarray(b) - expected[k]).max() < 1e-11 * size


def test_matrix_phi_of_a_stiff_matrix_is_its_spectrum():
    """Heat matrix: eigenvalues from -10 to -4e6, where the block trick would lose digits."""
    n = 40
    Q = np.linalg.qr(np.random.default_rng(1).normal(size=(n, n)))[0]
    lam = -np.geomspace(10, 4e6, n)
    A = (Q * lam) @ Q.T
    for k in range(4):
        expected = (Q * host.phi(k, lam)) @ Q.T
        assert np.abs(host.phi_matrix(k, A) - expected).max() < 1e-9 * max(np.abs(expected).max(), 1e-3)
        assert np.abs(np.asarray(traced.phis_matrix(k, jnp.asarray(A))[k]) - expected).max() < 1e-9


def test_matrix_phi_has_gradients():
    A = jnp.asarray(np.random.default_rng(2).normal(size=(3, 3)))
    loss = lambda h: sum(jnp.sum(p**2) for p in traced.phis_matrix(3, h * A))  # noqa: E731
    assert np.isclose(jax.grad(loss)(1.7), (loss(1.7 + 1e-5) - loss(1.7 - 1e-5)) / 2e-5, rtol=1e-8)


def test_not_a_matrix():
    with pytest.raises(ValueError, match="square"):
        host.phi_matrix(1, np.zeros((2, 3)))
    assert np.isnan(host.phi_matrix(1, np.array([[np.nan]]))).all()
