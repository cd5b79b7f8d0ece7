"""Gradients and vmap through whole solves of partial differential equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.pde import Burgers, KdV, NavierStokes2D, periodic, solve


def energy_after(make, grid):
    """Energy of the field at t = 0.5 as a function of viscosity."""
    u0 = make(0.1).initial(grid)
    return jax.jit(lambda nu: jnp.sum(jnp.square(solve(make(nu), grid, u0, 0.5, steps=10).x)))


@pytest.mark.parametrize(
    ("make", "grid"),
    [(Burgers, periodic(48, 2 * np.pi)), (NavierStokes2D, periodic((16, 16), 2 * np.pi))],
    ids=["burgers", "navier-stokes"],
)
def test_gradient_with_respect_to_viscosity(make, grid):
    """Through symbol, phi-functions and steps, against central differences."""
    energy, h = energy_after(make, grid), 1e-5
    assert np.isclose(jax.grad(energy)(0.1), (energy(0.1 + h) - energy(0.1 - h)) / (2 * h), rtol=1e-6)


def test_vmap_over_viscosity_is_a_loop():
    energy, many = energy_after(Burgers, periodic(48, 2 * np.pi)), jnp.array([0.05, 0.1, 0.2])
    assert np.allclose(jax.vmap(energy)(many), [energy(nu) for nu in many], rtol=1e-12)


def test_gradient_with_respect_to_the_first_field():
    equation, grid = KdV(), periodic(32, 10.0)
    u0 = jnp.asarray(equation.soliton(grid, 0.0, 2.0, 4.0))
    loss = jax.jit(lambda u: jnp.sum(solve(equation, grid, u, 0.1, steps=20).x ** 3))
    v, h = jnp.sin(2 * np.pi * grid.coordinates()[0] / 10), 1e-5
    assert np.isclose(jnp.vdot(jax.grad(loss)(u0), v), (loss(u0 + h * v) - loss(u0 - h * v)) / (2 * h), rtol=1e-7)
