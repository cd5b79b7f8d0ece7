"""Forced KdV-Burgers: closed forms where it is linear, one method against the other where it is not, and the sets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel import pde
from duhamel.pde import volumes as fv
from duhamel.pde.emulate import family
from duhamel.pde.emulate.family import FAMILIES, Family
from duhamel.pde.forcing import SineForcing, drawn_forcing

FORCE = SineForcing(np.array([0.4, -0.3]), np.array([0.3, -0.2]), np.array([1.0, 3.0]), np.array([0.5, 2.0]))


def linear(x, t, beta, gamma, length=16.0):
    """u of the equation with alpha = 0 from u(0) = f(0), wave by wave: c' = z c + A e^(i(omega t + phi))."""
    u = 0.0
    for A, omega, waves, phi in zip(FORCE.amplitude, FORCE.frequency, FORCE.waves, FORCE.phase, strict=True):
        k = 2 * np.pi * waves / length
        z = -beta * k**2 + 1j * gamma * k**3
        driven = A * np.exp(1j * phi) / (1j * omega - z)
        c = (A * np.exp(1j * phi) - driven) * np.exp(z * t) + driven * np.exp(1j * omega * t)
        u = u + (c * np.exp(1j * k * x)).imag
    return u


def test_the_linear_equation_is_its_closed_form():
    grid = pde.periodic(32, 16.0)
    equation = pde.KdVBurgers(0.0, 0.2, 0.7, FORCE)
    u = pde.solve(equation, grid, FORCE(0.0, grid), 3.0, steps=100).x
    assert np.allclose(u, linear(grid.coordinates()[0], 3.0, 0.2, 0.7), atol=1e-9)


def test_in_cells_the_linear_equation_is_of_fourth_order():
    """Both fluxes and the averages of the force, against averages of the closed form (Gauss)."""
    nodes, weights = np.polynomial.legendre.leggauss(6)
    errors = []
    for cells in (24, 48):
        mesh = fv.box(cells, 16.0)
        (x,), h = mesh.centres(), mesh.width[0]
        mean = sum(w / 2 * linear(x + h / 2 * s, 2.0, 0.3, 0.4) for s, w in zip(nodes, weights, strict=True))
        law = fv.KdVBurgers(0.0, 0.3, 0.4)
        u = fv.solve(law, mesh, FORCE(0.0, mesh)[None], 2.0, steps=400, reconstruct=fv.WENO5(), forcing=FORCE).x
        errors.append(np.abs(np.asarray(u[0]) - mean).max())
    assert 3.7 < np.log2(errors[0] / errors[1]) < 4.5


def test_forces_at_points_and_in_cells_are_one_force():
    grid, mesh = pde.periodic(4000, 16.0, start=-3.0), fv.box(40, 16.0, start=-3.0)
    fine = fv.box(4000, 16.0, start=-3.0)
    assert np.allclose(FORCE(1.3, mesh), family.averages(FORCE(1.3, fine), 40), atol=1e-14)
    assert np.allclose(family.wave_averages(FORCE(1.3, grid), 40), FORCE(1.3, mesh), atol=1e-12)
    with pytest.raises(ValueError, match="no multiple of 40"):
        family.averages(np.zeros(90), 40)
    with pytest.raises(ValueError, match="written on a line"):
        FORCE(0.0, pde.periodic((8, 8), 1.0))


def test_the_two_methods_agree_where_there_is_no_shock():
    """All three terms and the force: cells against waves, which 256 points resolve to rounding."""
    times = np.linspace(0, 1.5, 4)
    given = family.problems(Family((0.2, 0.5), (0.35, 0.4), (0.0, 0.05)), 3, seed=1)
    waves = family.in_waves(given, 256, times, 100)
    assert float(jnp.abs(waves).max()) > 1
    errors = []
    for cells, steps in ((40, 20), (80, 80)):
        found = np.asarray(family.in_cells(given, cells, times, steps))
        errors.append(np.sqrt(np.mean((found - family.wave_averages(waves, cells)) ** 2)))
    assert errors[1] < 5e-5 and np.log2(errors[0] / errors[1]) > 3.3


@pytest.mark.slow
def test_shocks_converge_and_nothing_is_lost():
    """E1: under refinement the accumulated error falls, mass stays what the force makes of it, 0."""
    short = Family(t1=4.0)
    given = family.problems(short, 4, seed=0)
    times = np.linspace(0, 4.0, 9)
    found = {n: family.averages(np.asarray(family.in_cells(given, n, times, n // 2)), 40) for n in (40, 80, 160)}
    errors = [float(np.mean((found[n] - found[160]) ** 2)) for n in (40, 80)]
    assert errors[0] > 3 * errors[1] > 0
    for u in found.values():
        assert np.abs(u.mean(axis=2)).max() < 1e-13
    assert np.abs(found[160][:, -1]).max() > np.abs(found[160][:, 0]).max()  # the force did work


def test_samples_are_functions_of_their_number():
    few, many = (family.problems(FAMILIES["e3"], n, seed=2) for n in (2, 300))
    assert np.array_equal(few.parameters, many.parameters[:2])
    assert np.array_equal(few.forcing.phase, many.forcing.phase[:2])
    low, high = np.min(many.parameters, axis=0), np.max(many.parameters, axis=0)
    assert np.allclose(low, [0, 0.1, 0], atol=0.03) and np.allclose(high, [3, 0.4, 1], atol=0.03)
    assert set(np.unique(many.forcing.waves)) == {1.0, 2.0, 3.0}
    assert 0.49 < np.abs(many.forcing.amplitude).max() <= 0.5
    assert 0.39 < np.abs(many.forcing.frequency).max() <= 0.4
    with pytest.raises(ValueError, match="at least one term"):
        drawn_forcing(jax.random.key(0), terms=0)


@pytest.mark.parametrize("name", ["e2", pytest.param("e3", marks=pytest.mark.slow)])
def test_a_set_starts_with_its_force(name):
    made = family.truth(Family(FAMILIES[name].alpha, FAMILIES[name].beta, FAMILIES[name].gamma, 0.4), 3, 20, 4, fine=40)
    assert made.shape == (3, family.FRAMES, 1, 20) and made.dtype == np.float32 and np.isfinite(made).all()
    given = family.problems(FAMILIES[name], 3, 4)
    for i in range(3):
        force = jax.tree.map(lambda a, i=i: a[i], given.forcing)
        assert np.allclose(made[i, 0, 0], force(0.0, fv.box(20, family.LENGTH)), atol=1e-6)


def test_the_accumulated_error_is_the_sum_over_frames_of_means_over_cells():
    a, b = np.random.default_rng(0).standard_normal((2, 3, 5, 1, 4))
    expected = [
        sum(sum((a[i, t, 0, x] - b[i, t, 0, x]) ** 2 for x in range(4)) / 4 for t in range(5)) for i in range(3)
    ]
    assert np.allclose(family.accumulated(a, b), expected)


@pytest.mark.slow
def test_a_force_may_be_learnt():
    """The derivative of the end by an amplitude, against a difference."""
    mesh = fv.box(20, 16.0)

    def end(a):
        force = SineForcing(jnp.stack([a, jnp.asarray(0.2)]), FORCE.frequency, FORCE.waves, FORCE.phase)
        u = fv.solve(fv.KdVBurgers(0.5, 0.1), mesh, FORCE(0.0, mesh)[None], 1.0, steps=20, forcing=force).x
        return jnp.sum(u**2)

    slope = (end(jnp.asarray(0.4 + 1e-5)) - end(jnp.asarray(0.4 - 1e-5))) / 2e-5
    assert np.isclose(jax.grad(end)(jnp.asarray(0.4)), slope, rtol=1e-6)
