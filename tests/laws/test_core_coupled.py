"""Linear parts that mix fields mode by mode: phi-functions against SciPy, lanes, gradients, methods of every family."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import duhamel as dh
from duhamel.core.coupled import Coupled

RNG = np.random.default_rng(0)
BLOCKS = RNG.normal(size=(3, 3, 4, 5)) * 10.0 ** RNG.uniform(-3, 2, size=(4, 5))


def phi_by_scipy(k: int, A: np.ndarray) -> np.ndarray:
    """phi_k(A) from one exponential of a block matrix (Sidje)."""
    n = len(A)
    big = np.zeros((n * (k + 1), n * (k + 1)), A.dtype)
    big[:n, :n] = A
    for j in range(k):
        big[j * n : (j + 1) * n, (j + 1) * n : (j + 2) * n] = np.eye(n)
    return scipy.linalg.expm(big)[:n, k * n :]


@pytest.mark.parametrize("traced", [False, True])
def test_phis_of_every_mode_against_scipy(traced):
    h = 0.3
    call = lambda b, h: [p.array for p in Coupled(b).phis(3, 0.0, h)]  # noqa: E731
    found = jax.jit(call)(BLOCKS, h) if traced else call(BLOCKS, h)
    for k in range(4):
        for i, j in np.ndindex(4, 5):
            truth = phi_by_scipy(k, h * BLOCKS[:, :, i, j])
            np.testing.assert_allclose(found[k][:, :, i, j], truth, rtol=1e-11, atol=1e-12 * np.abs(truth).max())


def test_lanes_are_steps_of_their_own():
    h, x = np.array([0.1, 0.4]), jnp.asarray(RNG.normal(size=(3, 4, 5, 2)))
    together = Coupled(BLOCKS).phis(2, np.zeros(2), h)
    for lane in range(2):
        alone = Coupled(BLOCKS).phis(2, 0.0, h[lane])
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose((a * x)[..., lane], b * x[..., lane], rtol=1e-12, atol=1e-13)


def test_resolvents_solve_the_implicit_stage():
    x = RNG.normal(size=(3, 4, 5))
    R, Q = Coupled(BLOCKS).resolvents(0.4, 0.0, 0.3)
    z = R * x
    again = z - 0.4 * 0.3 * np.asarray(Coupled(BLOCKS).apply(0.0, jnp.asarray(z)))
    np.testing.assert_allclose(again, x, atol=1e-11)
    np.testing.assert_allclose(Q * x, 0.3 * np.asarray(Coupled(BLOCKS).apply(0.0, jnp.asarray(z))), atol=1e-10)


def oscillators(frequencies):
    """x'' = -w^2 x - x^3, as (x, v), the linear part exact."""
    w2 = jnp.asarray(frequencies) ** 2
    zero, one = jnp.zeros_like(w2), jnp.ones_like(w2)
    L = Coupled(jnp.stack([jnp.stack([zero, one]), jnp.stack([-w2, zero])]))
    return dh.Semilinear(L, lambda t, x: jnp.stack([jnp.zeros_like(x[0]), -(x[0] ** 3)]))


X0 = jnp.stack([jnp.array([1.0, 0.5, 0.2]), jnp.array([0.0, 0.3, -1.0])])


@pytest.mark.parametrize(("method", "order"), [(dh.ETDRK2(), 2), (dh.ETDRK4(), 4), (dh.ARS343(), 3)])
def test_orders_against_an_explicit_method(method, order):
    problem = oscillators([1.0, 3.0, 6.0])
    truth = dh.solve(problem, X0, 2.0, method=dh.Dopri8(), control=dh.PID(1e-13, 1e-13)).x
    errors = [
        float(jnp.abs(dh.solve(problem, X0, 2.0, method=method, control=dh.Fixed(n)).x - truth).max())
        for n in (160, 320)
    ]
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.2


def test_gradient_to_the_blocks_and_adaptive_steps():
    def end(w):
        return dh.solve(oscillators(w), X0, 1.0, method=dh.ETDRK4(), control=dh.PID(1e-9, 1e-9)).x.sum()

    w = jnp.array([1.0, 3.0, 6.0])
    step = 1e-5 * jnp.array([0.0, 1.0, 0.0])
    exact = lambda w: dh.solve(oscillators(w), X0, 1.0, method=dh.Dopri8(), control=dh.PID(1e-13, 1e-13)).x.sum()  # noqa: E731
    difference = (exact(w + step) - exact(w - step)) / 2e-5
    np.testing.assert_allclose(jax.grad(end)(w)[1], difference, rtol=1e-6)


def test_shapes_that_are_no_matrices():
    with pytest.raises(ValueError, match="one square matrix per mode"):
        Coupled(np.zeros((2, 3, 8)))
