"""Fields on other numbers of points, and products on finer ones: exact for what is resolved, without aliasing."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from duhamel import pde
from duhamel.pde import Chebyshev, Cosine, Dirichlet, Fourier, Legendre, Neumann, Sine, box, periodic, resample
from duhamel.pde.equation import NonlinearTerm
from duhamel.pde.forced import restricted


@pytest.mark.parametrize(("old", "new"), [(8, 12), (8, 9), (9, 16), (12, 8), (12, 9), (9, 8), (15, 6), (8, 8)])
def test_waves_move_as_scipy_moves_them(old, new):
    u = np.random.default_rng(0).normal(size=(3, old))
    truth = scipy.signal.resample(u, new, axis=-1)
    np.testing.assert_allclose(resample(u, periodic(old, 2.0), periodic(new, 2.0)), truth, atol=1e-14)
    psi = u + 1j * u[::-1]
    both = resample(psi, box(Fourier(old, 2.0)), box(Fourier(new, 2.0)))
    np.testing.assert_allclose(both, scipy.signal.resample(psi, new, axis=-1), atol=1e-14)


def smooth(space):
    X, Y = space.coordinates()
    return np.broadcast_to(np.sin(np.pi * X) ** 2 * (1 + Y) + X * (1 - Y) + Y * np.exp(-Y), space.shape)


@pytest.mark.parametrize(("up", "down"), [((24, 12), (15, 8)), ((15, 8), (24, 12))])
def test_products_of_axes(up, down):
    grids = [periodic(shape, (1.0, 2.0), (0.5, 0.0)) for shape in (up, down)]
    waves = lambda X, Y: np.cos(2 * np.pi * (2 * X - Y)) + np.sin(np.pi * Y)  # noqa: E731
    moved = resample(waves(*grids[0].coordinates()), *grids)
    np.testing.assert_allclose(moved, waves(*grids[1].coordinates()), atol=1e-13)


WALLS = {
    "sine": (Sine, {}, lambda x: np.sin(np.pi * x) - np.sin(4 * np.pi * x)),
    "cosine": (Cosine, {}, lambda x: 1 + np.cos(3 * np.pi * x)),
    "legendre": (Legendre, {"left": Dirichlet(2.0), "right": Neumann()}, lambda x: 2 - x**3 + 1.5 * x**2),
    "chebyshev": (Chebyshev, {"conditions": (Dirichlet(2.0), (Neumann(),) * 1)}, lambda x: 2 - x**3 + 1.5 * x**2),
    "inflow": (Chebyshev, {"conditions": (Dirichlet(1.0), ())}, lambda x: 1 + x - x**4),
}


@pytest.mark.parametrize("name", WALLS)
@pytest.mark.parametrize(("old", "new"), [(24, 36), (36, 24)])
def test_between_walls(name, old, new):
    kind, how, u = WALLS[name]
    a, b = (box(kind(n, 1.0, **how), Fourier(n // 3, 2.0)) for n in (old, new))
    field = lambda space: u(space.coordinates()[0]) + 0 * space.coordinates()[1]  # noqa: E731
    np.testing.assert_allclose(resample(field(a), a, b), field(b), atol=2e-12)


POLYNOMIAL = ["burgers", "kdv", "kuramoto-sivashinsky", "navier-stokes-2d", "navier-stokes-3d", "boussinesq"]
POLYNOMIAL += ["allen-cahn", "cahn-hilliard", "swift-hohenberg", "gray-scott", "fisher-kpp", "klein-gordon", "nlse"]


@pytest.mark.parametrize(
    ("name", "n"), [*((name, 8) for name in POLYNOMIAL), ("kdv", 7), ("nlse", 7), ("boussinesq", 7)]
)
def test_padded_products_are_exact(name, n):
    """N of a field with every wave below the Nyquist one, as on three times the points with nothing masked."""
    if name == "nlse":
        equation, exact = pde.NLSE(dealias=1 / 2), pde.NLSE(dealias=1)
    else:
        equation, exact = pde.equation_named(name), pde.equation_named(name, dealias=1)
    dim = max(d for d in equation.dims if d < 3 or equation.dims == (3,))
    grid, fine = (periodic((size,) * dim, 2 * np.pi, padded=size == n) for size in (n, 3 * n))
    rng = np.random.default_rng(0)
    u = rng.normal(size=equation.shape(grid)) + (0 if equation.real else 1j * rng.normal(size=equation.shape(grid)))
    modes = equation.to_modes(grid, u) * grid.mask(1, equation.real)
    wide = equation.to_modes(fine, resample(equation.to_points(grid, modes), grid, fine))
    found = NonlinearTerm(equation, grid)(0.0, modes, None)
    truth = restricted(NonlinearTerm(exact, fine)(0.0, wide, None), fine, grid, equation.real)
    truth = truth * grid.mask(1, equation.real)
    np.testing.assert_allclose(found, truth, atol=1e-11 * np.abs(truth).max())


@pytest.mark.slow
@pytest.mark.parametrize("axis", [Sine(12, 1.0), Fourier(12, 1.0)])
def test_padded_products_between_walls(axis):
    space = box(axis, Cosine(8, 2.0), padded=True)
    fine = box(type(axis)(36, 1.0), Cosine(24, 2.0))
    equation, exact = pde.AllenCahn(), pde.AllenCahn(dealias=1)
    modes = np.random.default_rng(0).normal(size=(12, 8)) + 0j * space.laplacian()
    modes = equation.to_modes(space, equation.to_points(space, jnp.asarray(modes)))  # of a real field
    modes = modes * space.mask(1)
    wide = equation.to_modes(fine, resample(equation.to_points(space, modes), space, fine))
    found = NonlinearTerm(equation, space)(0.0, modes, None)
    truth = restricted(NonlinearTerm(exact, fine)(0.0, wide, None), fine, space) * space.mask(1)
    np.testing.assert_allclose(found, truth, atol=1e-12 * np.abs(truth).max())


def test_padding_resolves_more_with_the_same_points():
    equation, errors = pde.KdV(), []
    for padded in (False, True):
        grid = periodic(96, 20.0, -10.0, padded=padded)
        first, truth = (equation.soliton(grid, t, 4.0, 0.0) for t in (0.0, 0.3))
        sol = pde.solve(equation, grid, first, 0.3, steps=300)
        errors.append(np.abs(np.asarray(sol.x) - truth).max())
    assert errors[1] < 0.05 * errors[0]


def test_walls_that_move_on_a_padded_box():
    """An insulated axis, padded, beside one whose value rises as 2 t: u = x^2 + 2 t."""
    line = Legendre(24, 1.0, left=Dirichlet(lambda t: 2 * t), right=Neumann(2.0))
    space = box(line, Cosine(8, 1.0), padded=True)
    X, Y = space.coordinates()
    sol = pde.solve(pde.manufactured(pde.FisherKPP(), lambda t, x, y: x**2 + 2 * t + 0 * y), space, None, 0.2, steps=20)
    np.testing.assert_allclose(sol.x, X**2 + 0.4 + 0 * Y, atol=1e-7)


def test_boxes_of_another_kind():
    with pytest.raises(ValueError, match="same sides, starts and kinds"):
        resample(np.zeros(8), periodic(8, 1.0), periodic(16, 2.0))
    with pytest.raises(ValueError, match="same sides, starts and kinds"):
        resample(np.zeros(8), box(Sine(8, 1.0)), box(Cosine(8, 1.0)))
