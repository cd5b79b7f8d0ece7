"""Kernels of neural operators against the sums they are defined by, and one function on every grid."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.nn.kernel import Fourier, KernelOperator, LowRank, Multilevel, Radius, finer

KERNELS = [Fourier, LowRank, partial(Radius, radius=0.1), partial(Multilevel, radius=0.1, levels=2)]
run = eqx.filter_jit(lambda f, *args: f(*args))


def noise(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def test_a_low_rank_kernel_is_its_double_sum():
    kernel, v, places = LowRank(3, 2, 1, rank=4, key=jax.random.key(0)), noise(3, 7), noise(2, 7, seed=1)
    phi, psi = (np.asarray(net(places)).reshape(4, 3, 7) for net in (kernel.left, kernel.right))
    kappa = np.einsum("rox,riy->oixy", phi, psi)
    assert np.allclose(run(kernel, v, places), np.einsum("oixy,iy->ox", kappa, v) / 7, atol=1e-13)
    assert np.linalg.matrix_rank(kappa.transpose(0, 2, 1, 3).reshape(21, 21)) == 4


def test_a_radius_kernel_is_a_mean_over_neighbours():
    kernel, n = Radius(2, 3, 2, radius=0.3, key=jax.random.key(0)), 6
    v, places = noise(2, 4, n, n), noise(3, 4, n, n, seed=1)
    found = np.asarray(run(kernel, v, places))
    at = np.stack(np.meshgrid(*(np.linspace(0, 1, n),) * 2, indexing="ij"), -1)
    for lane, i, j in ((0, 0, 0), (3, 2, 4), (1, 5, 3)):
        near = np.argwhere(np.linalg.norm(at - at[i, j], axis=-1) <= 0.3 + 1e-9)
        pairs = [np.concatenate([places[:, lane, i, j], places[:, lane, p, q]]) for p, q in near]
        weights = np.asarray(kernel.kappa(jnp.asarray(np.stack(pairs, 1))))
        expected = np.mean([weights[:, k] * v[:, lane, p, q] for k, (p, q) in enumerate(near)], axis=0)
        assert np.allclose(found[:, lane, i, j], expected, atol=1e-13)


def test_linear_functions_are_interpolated_exactly():
    f = lambda n: jnp.asarray(np.add.outer(2 * np.linspace(0, 1, n), -np.linspace(0, 1, n)))[None] + 1  # noqa: E731
    assert np.allclose(finer(f(5), (17, 17)), f(17), atol=1e-14)


@pytest.mark.parametrize("kind", KERNELS, ids=["fourier", "low-rank", "graph", "multipole"])
def test_the_same_weights_are_nearly_the_same_operator_on_a_finer_grid(kind):
    """Sums tend to integrals: halving the step brings the answers closer, to one limit."""
    net = KernelOperator(1, 1, 1, kind, width=6, depth=2, key=jax.random.key(0))
    answers = {n: np.asarray(run(net, jnp.sin(3 * jnp.linspace(0, 1, n))[None, None])) for n in (21, 41, 81, 161)}
    apart = [np.abs(answers[2 * n - 1][..., ::2] - answers[n]).max() for n in (21, 41, 81)]
    assert apart[2] < 0.6 * apart[0] and apart[2] < 0.1 * np.abs(answers[161]).max()
