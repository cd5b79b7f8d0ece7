"""Changes of coordinates: transformed pairs solve their own equations, to the order of the scheme that checks them."""

import numpy as np
import pytest

from duhamel.pde.data.covariance import Map, elliptic, pull_back, random_map


def pair(points):
    x = np.linspace(0, 1, points)
    return x, np.exp(0.5 * np.sin(2 * np.pi * x)), np.cos(3 * x) + 2


def slope(errors):
    return -np.polyfit(np.arange(len(errors)), np.log2(errors), 1)[0]


def test_elliptic_in_closed_form():
    """a = 1 + x, f = 1: u = log(1 + x)/log(2) - x."""
    errors = []
    for points in (33, 65, 129):
        x = np.linspace(0, 1, points)
        errors.append(np.abs(elliptic(1 + x, np.ones(points)) - np.log1p(x) / np.log(2) + x).max())
    assert slope(errors) == pytest.approx(2, abs=0.1)


def test_a_transformed_pair_solves_its_own_equation():
    by, errors = Map((0.4, -0.2, 0.1)), []
    for points in (65, 129, 257):
        _, a, f = pair(points)
        new_a, new_f, new_u = pull_back(by, a, f, elliptic(a, f))
        errors.append(np.abs(elliptic(new_a, new_f) - new_u).max())
    assert slope(errors) == pytest.approx(2, abs=0.2)
    assert np.abs(new_a - a).max() > 0.5


def test_convection_is_carried_along():
    """Residual of -(a u')' + b u' = f for u = sin(pi x), in new coordinates, by differences: second order."""
    by, errors = Map((0.4, -0.2)), []
    for points in (65, 129, 257):
        x, a, _ = pair(points)
        b = 1 + x**2
        da = 0.5 * a * 2 * np.pi * np.cos(2 * np.pi * x)
        f = a * np.pi**2 * np.sin(np.pi * x) + (b - da) * np.pi * np.cos(np.pi * x)
        a, f, u, b = pull_back(by, a, f, np.sin(np.pi * x), b)
        h = 1 / (points - 1)
        flux = 0.5 * (a[1:] + a[:-1]) * np.diff(u) / h
        residual = -np.diff(flux) / h + b[1:-1] * (u[2:] - u[:-2]) / (2 * h) - f[1:-1]
        errors.append(np.abs(residual).max())
    assert slope(errors) == pytest.approx(2, abs=0.2)


def test_maps_increase_and_keep_the_ends():
    xi = np.linspace(0, 1, 401)
    for seed in range(20):
        by = random_map(np.random.default_rng(seed), strength=0.9)
        assert by.slope(xi).min() > 0.1 - 1e-12 and by(np.array([0.0, 1.0])) == pytest.approx([0, 1], abs=1e-15)
        np.testing.assert_allclose(np.gradient(by(xi), xi)[1:-1], by.slope(xi)[1:-1], atol=1e-2)
    with pytest.raises(ValueError, match="below 1 for a map"):
        Map((0.6, 0.5))
    with pytest.raises(ValueError, match="between 0 and 1"):
        random_map(np.random.default_rng(0), strength=1.0)
