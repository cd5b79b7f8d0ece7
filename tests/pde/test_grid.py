"""Fourier grids: derivatives of what the grid resolves are exact, in 1-3 dimensions, whatever N and L."""

import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.pde.grid import Grid, periodic

GRIDS = [
    periodic(16, 3.0, start=-1.0),
    periodic(15, 2 * np.pi),
    periodic((12, 20), (1.0, 4.0), start=(0.5, -2.0)),
    periodic((9, 8), (2.0, 1.0)),
    periodic((8, 10, 12), (1.0, 2.0, 3.0)),
    periodic((6, 6, 7), 5.0),
]
NAMES = [f"{g.shape}" for g in GRIDS]


def field(grid: Grid, complex_field: bool = False) -> np.ndarray:
    u = np.random.default_rng(0).normal(size=grid.shape)
    return u + 1j * np.random.default_rng(1).normal(size=grid.shape) if complex_field else u


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("grid", GRIDS, ids=NAMES)
def test_derivatives_of_waves_are_exact(grid: Grid, real: bool):
    """Along every axis, orders 1 to 4, the second wave of the box times a wave of the other axes."""
    for axis in range(grid.dim):
        k = [2 * np.pi / s for s in grid.length]
        m = [2 if a == axis else 1 for a in range(grid.dim)]
        phase = sum((m[a] * k[a] * (x - grid.start[a]) for a, x in enumerate(grid.coordinates())), np.zeros(grid.shape))
        u, K = np.cos(phase) + 0.5, m[axis] * k[axis]
        expected = [-K * np.sin(phase), -(K**2) * np.cos(phase), K**3 * np.sin(phase), K**4 * np.cos(phase)]
        modes = grid.to_modes(jnp.asarray(u if real else u + 0j), real)
        assert modes.shape == grid.modes_shape(real)
        for order, truth in enumerate(expected, start=1):
            value = grid.to_points(grid.derivative(axis, order, real) * modes, real)
            assert np.allclose(value, truth, atol=1e-11 * K**order)


@pytest.mark.parametrize("grid", GRIDS, ids=NAMES)
def test_laplacian_is_the_sum_of_second_derivatives(grid: Grid):
    for real in (True, False):
        total = sum(grid.derivative(axis, 2, real) for axis in range(grid.dim))
        assert np.allclose(grid.laplacian(real), total + np.zeros(grid.modes_shape(real)))


@pytest.mark.parametrize("n", [8, 9])
def test_the_nyquist_mode_has_no_odd_derivative(n: int):
    """On an even grid cos(pi j) looks like a constant sign change; its slope vanishes at every point."""
    grid = periodic(n, 2 * np.pi)
    for real in (True, False):
        first, second = grid.derivative(0, 1, real), grid.derivative(0, 2, real)
        top = np.abs(grid.numbers(real)[0]) == n / 2
        assert top.sum() == (1 if n % 2 == 0 else 0)
        assert np.all(first[top] == 0) and np.all(second[top] != 0)
    u = (-1.0) ** np.arange(n)
    slope = grid.to_points(grid.derivative(0, 1, False) * grid.to_modes(jnp.asarray(u + 0j), False), False)
    assert np.allclose(slope.imag, 0, atol=1e-12)  # a real field has a real slope
    if n % 2 == 0:
        assert np.allclose(slope, 0, atol=1e-12)


@pytest.mark.parametrize("grid", GRIDS, ids=NAMES)
def test_parseval(grid: Grid):
    u, v = field(grid), np.roll(field(grid), 1, axis=-1)
    cell = grid.volume / np.prod(grid.shape)
    a, b = (grid.to_modes(jnp.asarray(f)) for f in (u, v))
    assert np.isclose(grid.inner(a, b), cell * np.sum(u * v), rtol=1e-12)
    assert np.isclose(grid.integral(jnp.asarray(u)), cell * np.sum(u), rtol=1e-12)
    f, g = field(grid, True), np.roll(field(grid, True), 1, axis=0)
    a, b = (grid.to_modes(jnp.asarray(f), False) for f in (f, g))
    assert np.isclose(grid.inner(a, b, False), cell * np.sum(np.conj(f) * g), rtol=1e-12)


@pytest.mark.parametrize("grid", GRIDS, ids=NAMES)
def test_half_and_full_spectra_agree(grid: Grid):
    """rfftn symbols are fftn symbols on the half with m >= 0 (the Nyquist column up to its sign)."""
    half = grid.modes_shape()[-1]
    for axis in range(grid.dim):
        for order in (1, 2, 3):
            full = np.broadcast_to(grid.derivative(axis, order, False), grid.shape)[..., :half]
            assert np.allclose(np.broadcast_to(grid.derivative(axis, order), grid.modes_shape()), full)
    assert np.array_equal(grid.mask(), grid.mask(real=False)[..., :half])


@pytest.mark.parametrize("n", [12, 15, 16, 32])
def test_the_two_thirds_rule_removes_all_aliasing_of_products(n: int):
    """A product of two kept waves either stays where it belongs or falls on a mode that is dropped."""
    grid = periodic(n, 1.0)
    kept = np.flatnonzero(grid.mask()[: n // 2 + 1])
    a, b = np.meshgrid(kept, kept)
    wrapped = np.abs((a + b + n // 2) % n - n // 2)
    assert not np.any((a + b > n // 2) & (grid.mask()[wrapped] == 1))
    assert 2 / 3 - 2 / n < len(kept) / (n / 2) <= 2 / 3 + 2 / n


def test_batch_axes_stand_in_front():
    grid = GRIDS[2]
    u = np.random.default_rng(0).normal(size=(3, 2, *grid.shape))
    modes = grid.to_modes(jnp.asarray(u))
    assert modes.shape == (3, 2, *grid.modes_shape())
    assert np.allclose(grid.to_points(modes), u)
    assert grid.inner(modes, modes).shape == (3, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: periodic((4, 4, 4, 4), 1.0), "1 to 3 axes"),
        (lambda: periodic((8, 8), (1.0,)), "one length"),
        (lambda: periodic(2, 1.0), "at least 4"),
        (lambda: periodic(8, -1.0), "positive"),
        (lambda: periodic(8, 1.0).mask(0), "fraction"),
    ],
)
def test_bad_grids(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()
