"""Walls whose prescribed values move: exact solutions of the heat equation, on every kind of axis that lifts them."""

import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel import pde
from duhamel.pde import Chebyshev, Dirichlet, Fourier, Legendre, Neumann, Robin, box

K, PHASE, LEFT, LENGTH = 2.0, 0.4, -0.5, 1.5


def value(x, t):
    return jnp.exp(-(K**2) * t) * jnp.cos(K * x + PHASE)


def slope(x, t):
    return -K * jnp.exp(-(K**2) * t) * jnp.sin(K * x + PHASE)


def sides(kind):
    """The conditions at both walls that the solution meets; n points out of the box."""
    ends = ((LEFT, -1.0), (LEFT + LENGTH, 1.0))
    return {
        "values": [Dirichlet(lambda t, x=x: value(x, t)) for x, _ in ends],
        "slopes": [Neumann(lambda t, x=x, n=n: n * slope(x, t)) for x, n in ends],
        "losses": [Robin(2.0, 0.5, lambda t, x=x, n=n: 2.0 * value(x, t) + 0.5 * n * slope(x, t)) for x, n in ends],
    }[kind]


@pytest.mark.parametrize("kind", ["values", "slopes", "losses"])
@pytest.mark.parametrize("axis", ["Legendre", "Chebyshev"])
def test_heat_follows_what_moves_at_the_walls(axis, kind):
    """u = exp(-K^2 t) cos(K x + phase) between walls along x, the same all along a periodic second axis."""
    left, right = sides(kind)
    walled = (
        Legendre(20, LENGTH, LEFT, left, right) if axis == "Legendre" else Chebyshev(20, LENGTH, LEFT, (left, right))
    )
    space = box(walled, Fourier(4, 1.0))
    x = space.coordinates()[0]
    first = value(x, 0.0) + jnp.zeros(space.shape)
    found = pde.solve(pde.Heat(), space, first, 0.3, steps=40, method=dh.ETDRK4()).x
    np.testing.assert_allclose(found, value(x, 0.3) + np.zeros(space.shape), atol=2e-7)
