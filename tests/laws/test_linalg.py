"""Linear systems of implicit steps: every solver against NumPy, with lanes and without, and its derivatives."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.methods import jacobian as jac, lu
from duhamel.methods.linalg import Banded, BlockDiagonal, DenseLU, check_mass
from duhamel.testing import gradient_error


def bound(f, lanes, args=None, axes=None):
    """What a method sees of a problem with the one field f(t, x, args)."""

    def call(k, t, x):
        if lanes == 0:
            return f(t, x, args)
        return jax.vmap(f, in_axes=(0, -1, axes), out_axes=-1)(t, x, args)

    return types.SimpleNamespace(call=call, slope=lambda t, x: call(0, t, x), lanes=lanes, args=args, axes=axes)


def banded_matrix(n, lower, upper, seed=0):
    A = np.random.default_rng(seed).normal(size=(n, n))
    i, j = np.indices((n, n))
    return np.where((i - j <= lower) & (j - i <= upper), A, 0.0)


def block_matrix(blocks, size, seed=0):
    A = np.random.default_rng(seed).normal(size=(blocks * size, blocks * size))
    i, j = np.indices(A.shape)
    return np.where(i // size == j // size, A, 0.0)


SPARSITY = np.abs(np.subtract.outer(np.arange(6), np.arange(6))) != 2
SYSTEMS = {
    "dense 2": (DenseLU(), np.random.default_rng(1).normal(size=(2, 2))),
    "dense 8": (DenseLU(), np.random.default_rng(2).normal(size=(8, 8))),
    "dense 14": (DenseLU(), np.random.default_rng(3).normal(size=(14, 14))),
    "sparsity": (DenseLU(sparsity=SPARSITY), np.where(SPARSITY, np.random.default_rng(4).normal(size=(6, 6)), 0)),
    "diagonal": (Banded(0, 0), banded_matrix(5, 0, 0)),
    "tridiagonal": (Banded(1, 1), banded_matrix(9, 1, 1)),
    "band (2, 1)": (Banded(2, 1), banded_matrix(9, 2, 1)),
    "band (0, 3)": (Banded(0, 3), banded_matrix(9, 0, 3)),
    "band (3, 0)": (Banded(3, 0), banded_matrix(4, 3, 0)),
    "blocks": (BlockDiagonal(3), block_matrix(4, 3)),
}
LANES = 5


def problem(A, lanes):
    """A field with a Jacobian of A's pattern that differs from lane to lane."""
    pattern = jnp.asarray(0.4 * A)

    def f(t, x, args):
        return pattern @ jnp.sin(x) * (1.0 + t) + (jnp.cos(x) - x) * args

    rng = np.random.default_rng(9)
    n, tail = A.shape[0], (LANES,) * lanes
    x, b = jnp.asarray(rng.normal(size=(n, *tail))), jnp.asarray(rng.normal(size=(n, *tail)))
    t, a = jnp.asarray(rng.uniform(size=tail)), jnp.asarray(rng.uniform(0.2, 0.9, size=tail))
    args = jnp.asarray(rng.uniform(1, 2, size=tail))
    return bound(f, lanes, args, 0), t, x, a, b


def exact(A, t, x, args, a, mass):
    J = 0.4 * A * np.cos(x) * (1.0 + t) - np.diag((np.sin(x) + 1.0) * args)
    return mass - a * J


@pytest.mark.parametrize("with_mass", [False, True])
@pytest.mark.parametrize("lanes", [0, 1])
@pytest.mark.parametrize("name", SYSTEMS)
def test_solves_like_numpy(name, lanes, with_mass):
    linear, A = SYSTEMS[name]
    B, t, x, a, b = problem(A, lanes)
    n = A.shape[0]
    mass = np.diag(np.arange(n) % 3.0) if with_mass else np.eye(n)
    linear.check(n)

    @jax.jit
    def solutions(t, x, a, b):
        F = linear.factor(linear.prepare(B, 0, t, x), a, jnp.asarray(mass) if with_mass else None)
        return linear.solve(F, b), linear.solve(F._replace(matrix=None), b)

    found, frozen = map(np.asarray, solutions(t, x, a, b))
    parts = [np.asarray(v).reshape(*v.shape[: v.ndim - lanes], -1) for v in (t, x, B.args, a, b, found, frozen)]
    for lane in range(parts[0].shape[-1]):
        ti, xi, args, ai, bi, here, kept = (p[..., lane] for p in parts)
        truth = np.linalg.solve(exact(A, ti, xi, args, ai, mass), bi)
        np.testing.assert_allclose(here, truth, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(kept, truth, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "lanes"), [("dense 2", 1), ("dense 14", 0), ("sparsity", 0), ("band (2, 1)", 1), ("blocks", 1)]
)
def test_derivatives_of_a_solve(name, lanes):
    """Through b, a and J: reverse mode against differences, once and twice."""
    linear, A = SYSTEMS[name]
    B, t, x, a, b = problem(A, lanes)

    @jax.jit
    def loss(x, a, b):
        return jnp.sum(jnp.sin(linear.solve(linear.factor(linear.prepare(B, 0, t, x), a), b)))

    assert gradient_error(loss, x, a, b) < 1e-6
    v = jnp.ones_like(b)
    second = jax.jit(lambda x, a: jnp.vdot(jax.grad(loss, argnums=2)(x, a, b), v))
    assert gradient_error(second, x, a) < 1e-6


@pytest.mark.parametrize("name", ["dense 2", "dense 14", "sparsity", "band (2, 1)", "blocks"])
def test_float32_stays_float32(name):
    (linear, A), lanes = SYSTEMS[name], 1
    B, t, x, a, b = problem(A.astype(np.float32), lanes)
    B.args, t, x, a, b = (v.astype(jnp.float32) for v in (B.args, t, x, a, b))

    @jax.jit
    def run(t, x, a, b):
        F = linear.factor(linear.prepare(B, 0, t, x), a, jnp.eye(A.shape[0]))
        found = linear.solve(F, b)
        return found, linear.multiply(F.matrix, found) - b

    found, residual = run(t, x, a, b)
    assert found.dtype == jnp.float32
    assert float(jnp.max(jnp.abs(residual))) < 1e-3


@pytest.mark.parametrize("name", ["dense 2", "dense 8", "dense 14", "band (2, 1)", "blocks"])
def test_a_singular_lane_stays_alone(name):
    linear, A = SYSTEMS[name]
    n = A.shape[0]
    B = bound(lambda t, x, args: jnp.asarray(A) @ x * args, 1, jnp.asarray([1.0, 0.0, 1.0]), 0)

    @jax.jit
    def run(x):
        J = linear.prepare(B, 0, jnp.zeros(3), x)
        return linear.solve(linear.factor(J, jnp.ones(3), jnp.zeros((n, n))), x)  # lane 1: a matrix of zeros

    x = np.asarray(run(jnp.ones((n, 3))))
    truth = np.linalg.solve(-A, np.ones(n))
    np.testing.assert_allclose(x[:, 0], truth, rtol=1e-8)
    np.testing.assert_allclose(x[:, 2], truth, rtol=1e-8)
    assert not np.isfinite(x[:, 1]).all()


def test_pivoting_by_lanes():
    """Zeros on the diagonal, in one lane or another, and entries of very different size."""
    A = np.stack([[[0.0, 1.0], [1.0, 0.0]], [[1e-20, 1.0], [1.0, 1.0]], [[2.0, 1.0], [4.0, 1e-9]]], axis=-1)
    b = np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]])
    truth = np.stack([np.linalg.solve(A[..., i], b[:, i]) for i in range(3)], axis=-1)
    for factor, solve in ((lu.lanes_factor, lu.lanes_solve), (lu.lapack_factor, lu.lapack_solve)):
        np.testing.assert_allclose(solve(factor(jnp.asarray(A)), jnp.asarray(b)), truth, rtol=1e-14)


@pytest.mark.parametrize("lanes", [0, 1])
def test_a_state_is_a_vector_and_back(lanes):
    tail = (3,) * lanes
    x = {"a": jnp.ones((2, 2, *tail)), "b": (jnp.full(tail, 2.0), jnp.full((3, *tail), 1.0 + 2.0j))}
    flat = jac.Flat(x, lanes)
    v = flat.ravel(x)
    assert v.shape == (4 + 1 + 6, *tail) and flat.size == 11
    back = flat.unravel(v)
    assert jax.tree.structure(back) == jax.tree.structure(x)
    for one, other in zip(jax.tree.leaves(back), jax.tree.leaves(x), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_jacobian_of_a_complex_field():
    """dz/dt = conj(z)^2 has no complex derivative; as two reals it has a Jacobian."""
    B = bound(lambda t, z, args: jnp.conj(z) ** 2, 0)
    J = jac.dense(B, 0, jnp.asarray(0.0), jnp.asarray([1.0 + 2.0j]))
    np.testing.assert_allclose(J, [[2.0, -4.0], [-4.0, -2.0]])


def test_time_derivative():
    B = bound(lambda t, x, args: x * t**3, 1)
    found = jac.time_derivative(B, 0, jnp.asarray([1.0, 2.0]), jnp.ones((2, 2)))
    np.testing.assert_allclose(found, [[3.0, 12.0], [3.0, 12.0]])


def test_colours_of_a_band_are_its_width():
    i, j = np.indices((30, 30))
    assert jac.colour(np.abs(i - j) <= 2).max() + 1 == 5
    assert jac.colour(i // 5 == j // 5).max() + 1 == 5


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Banded(-1, 0), "two numbers of diagonals"),
        (lambda: BlockDiagonal(0), "size of a block"),
        (lambda: BlockDiagonal(3).check(7), "does not divide"),
        (lambda: Banded(4, 1).check(4), "does not fit"),
        (lambda: DenseLU(sparsity=np.ones((2, 3))), "one square array"),
        (lambda: DenseLU(sparsity=np.ones((2, 2))).check(3), "3 real entries"),
        (lambda: check_mass(Banded(1, 1), np.ones((4, 4))), "mass has entries outside"),
        (lambda: check_mass(BlockDiagonal(2), np.ones((4, 4))), "mass has entries outside"),
    ],
)
def test_what_does_not_fit_is_said(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
