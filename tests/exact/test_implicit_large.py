"""Many components: band, blocks and Krylov methods inside Newton's give what a dense matrix gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.methods.krylov import Krylov
from duhamel.methods.linalg import Banded, BlockDiagonal

CONTROL = dh.PID(1e-6, 1e-6)


def brusselator(t, x, args):
    """u' = 1 + u^2 v - 4 u + D u_xx, v' = 3 u - u^2 v + D v_xx on (0, 1), u = 1, v = 3 at the ends; u and v in turn."""
    diffusion = args
    u, v = x.reshape(-1, 2).T
    lap = lambda w, end: jnp.diff(jnp.pad(w, 1, constant_values=end), 2) * (len(w) + 1) ** 2  # noqa: E731
    du = 1.0 + u**2 * v - 4.0 * u + diffusion * lap(u, 1.0)
    dv = 3.0 * u - u**2 * v + diffusion * lap(v, 3.0)
    return jnp.stack([du, dv], axis=1).reshape(-1)


def start(points):
    s = np.arange(1, points + 1) / (points + 1)
    return jnp.asarray(np.stack([1.0 + np.sin(2 * np.pi * s), np.full(points, 3.0)], axis=1).reshape(-1))


def end(diffusion, method, points, t1=1.0):
    return dh.solve(brusselator, start(points), t1, args=diffusion, method=method, control=CONTROL)


@pytest.mark.parametrize("make", [dh.Kvaerno5, dh.BDF])
def test_a_band_of_two_hundred(make):
    band, full = end(0.02, make(linear=Banded(2, 2)), 100), end(0.02, make(), 100)
    np.testing.assert_allclose(band.x, full.x, rtol=2e-5)
    assert int(band.stats.factorizations) < int(band.stats.accepted + band.stats.rejected)


def test_gradient_through_the_band():
    f = lambda linear: jax.grad(lambda D: jnp.sum(end(D, dh.BDF(linear=linear), 20, 0.3).x ** 2))(0.02)  # noqa: E731
    np.testing.assert_allclose(f(Banded(2, 2)), f(dh.BDF().linear), rtol=1e-4)


def test_blocks():
    """Forty oscillators that do not know of each other, each with a stiffness of its own."""
    mu = jnp.linspace(1.0, 50.0, 40)

    def f(t, x):
        x = x.reshape(-1, 2)
        return jnp.stack([x[:, 1], mu * (1.0 - x[:, 0] ** 2) * x[:, 1] - x[:, 0]], axis=1).reshape(-1)

    x0 = jnp.tile(jnp.array([2.0, 0.0]), 40)
    blocks = dh.solve(f, x0, 3.0, method=dh.Kvaerno5(linear=BlockDiagonal(2)), control=CONTROL).x
    np.testing.assert_allclose(blocks, dh.solve(f, x0, 3.0, method=dh.Kvaerno5(), control=CONTROL).x, rtol=1e-4)


@pytest.mark.parametrize("make", [dh.Kvaerno3, dh.BDF])
def test_krylov(make):
    krylov, full = end(0.02, make(linear=Krylov()), 12, 0.2), end(0.02, make(), 12, 0.2)
    np.testing.assert_allclose(krylov.x, full.x, rtol=2e-5)


def test_a_band_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match="Banded"):
        dh.solve(brusselator, start(1), 1.0, args=0.02, method=dh.BDF(linear=Banded(2, 2)))
