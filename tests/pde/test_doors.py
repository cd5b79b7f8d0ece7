"""What first users pass to pde.solve: functions, lists, NumPy's integers, half precision, solutions, own equations."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel import pde
from duhamel.pde import Chebyshev, Cosine, Fourier, Legendre, box, elliptic, periodic, volumes

RING = periodic(32, 2 * np.pi)
(X,) = RING.coordinates()


def test_sizes_and_lengths_as_people_have_them():
    for shape, length in (
        ([16, 8], [1.0, 2.0]),
        (np.array([16, 8]), np.array([1, 2])),
        ((np.int64(16), np.int32(8)), (1, 2)),
    ):
        assert periodic(shape, length) == periodic((16, 8), (1.0, 2.0))
        assert elliptic.box(shape, length) == elliptic.box((16, 8), (1.0, 2.0))
        assert volumes.box(shape, length).shape == (16, 8) and volumes.box(shape, length).length == (1.0, 2.0)
    assert periodic(np.int64(16), np.float32(1.0)) == periodic(16, 1.0)
    assert Cosine(np.int64(16), np.float64(1.0)) == Cosine(16, 1.0) and type(Cosine(np.int64(16), 1.0).n) is int
    assert box(Fourier(np.uint8(16), 1.0), Legendre(np.int16(16), 1.0)) == box(Fourier(16, 1.0), Legendre(16, 1.0))
    for wrong in (
        lambda: periodic((16.0,), 1.0),
        lambda: periodic((16, 8), [1.0, "a"]),
        lambda: periodic((16, 8), [1.0]),
    ):
        with pytest.raises((TypeError, ValueError), match=r"whole number|give a number|one length"):
            wrong()


def test_kolmogorov_flow_on_a_box_from_minus_pi():
    """f = sin(k y) in the coordinates of the box; odd k tells."""
    grid = periodic((8, 16), 2 * np.pi, -np.pi)
    equation = pde.NavierStokes2D(0.1, 0.2, 0.5, 1)
    w = -0.5 / (0.1 + 0.2) * np.cos(grid.coordinates()[1]) + np.zeros(grid.shape)
    np.testing.assert_allclose(pde.solve(equation, grid, w, 3.0, steps=20).x, w, atol=1e-12)
    x, y = grid.coordinates()
    term = (
        pde.NavierStokes2D(0.1, 0.0, 0.1, 1, "diagonal")
        .problem(grid)
        .N(0.0, grid.to_modes(jnp.zeros(grid.shape)), None)
    )
    np.testing.assert_allclose(grid.to_points(term), 0.1 * (np.sin(x + y) + np.cos(x + y)), atol=1e-13)


@pytest.mark.parametrize("name", ["taylor-green", "abc", "orszag-tang"])
def test_first_fields_in_the_coordinates_of_the_box(name):
    """As they are written, wherever the box begins."""
    if name == "orszag-tang":
        x, y = (grid := periodic((8, 8), 2 * np.pi, -np.pi)).coordinates()
        plus, minus = pde.MagneticFlow2D().initial(grid)
        np.testing.assert_allclose((plus + minus) / 2, np.cos(x) + np.cos(y), atol=1e-13)  # v_x - u_y
        return
    x, y, z = (grid := periodic((8, 8, 8), 2 * np.pi, -np.pi)).coordinates()
    if name == "abc":
        found, truth = pde.NavierStokes3D().beltrami(grid, 0.0)[0], np.sin(z) + np.cos(y) + 0 * x
    else:
        found, truth = pde.NavierStokes3D().initial(grid)[0], np.sin(x) * np.cos(y) * np.cos(z)
    np.testing.assert_allclose(found, truth, atol=1e-13)


class Decay(pde.ReactionDiffusion):
    """An own equation, as short as it gets."""

    def linear_part(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return (0.1,), (-1.0,)

    def reaction(self, u):
        return 0.0 * u


def test_an_own_equation_needs_no_more_than_its_terms():
    found = pde.solve(Decay(), RING, np.cos(X), 1.0, steps=2, monitor=True).x
    np.testing.assert_allclose(found.u, np.exp(-1.1) * np.cos(X), atol=1e-12)
    with pytest.raises(ValueError, match="Decay has no first field of its own; pass u0"):
        pde.solve(Decay(), RING, None, 1.0, steps=2)


class Pair(Decay):
    fields = ("u", "v")


class Lopsided(Decay):
    def reaction(self, u):
        return u[:1]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: pde.solve(lambda t, u: u, RING, None, 1.0, steps=2), "equation is a function"),
        (lambda: pde.solve(pde.Heat, RING, None, 1.0, steps=2), r"make one of it: pde.Heat\(\)"),
        (lambda: pde.solve(RING, pde.Heat(), None, 1.0, steps=2), "equation is a Grid"),
        (lambda: pde.solve(pde.Heat(), volumes.box(32), None, 1.0, steps=2), "grid is a Mesh"),
        (lambda: pde.forecast(lambda t, u: u, RING), "equation is a function"),
        (lambda: pde.solve(Pair(), RING, np.ones((2, 32)), 1.0, steps=2), r"1 diffusivities for 2 fields \(u, v\)"),
        (lambda: pde.solve(Lopsided(), RING, np.ones(32), 1.0, steps=2), r"reaction\(u\) has shape \(1,\) where u"),
        (lambda: pde.solve(pde.Heat(), RING, np.array(["a"] * 32), 1.0, steps=2), "array of numbers|not a valid"),
        (lambda: pde.solve(pde.MagneticFlow2D(field=(1.0,)), periodic((8, 8), 1.0), None, 1.0, steps=2), "two numbers"),
        (lambda: pde.solve(pde.Heat(), RING, np.ones(32), 1.0, steps=2.5), "whole number"),
    ],
)
def test_what_does_not_fit_is_named(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()


@pytest.mark.parametrize("kind", [np.float16, jnp.bfloat16, int, list])
def test_first_fields_of_any_kind_of_number(kind):
    u0 = [0.0, 1.0, 1.0, 0.0] * 8 if kind is list else np.asarray([0, 1, 1, 0] * 8, kind)
    found = pde.solve(pde.Heat(0.0), RING, u0, 1.0, steps=1).x
    assert found.dtype == (np.float32 if kind in (np.float16, jnp.bfloat16) else np.float64)
    np.testing.assert_allclose(found, [0.0, 1.0, 1.0, 0.0] * 8, atol=1e-6)


def test_a_solution_goes_on_and_progress_is_told():
    equation, parts = pde.Burgers(0.1), []
    first = pde.solve(equation, RING, np.sin(X), 0.5, steps=20, progress=lambda part: parts.append(float(part)))
    jax.effects_barrier()
    assert parts[-1] == 1.0 and parts == sorted(parts)
    whole = pde.solve(equation, RING, np.sin(X), 1.0, steps=40).x
    for how in ({"steps": 20}, {"dt": 0.025}):
        np.testing.assert_allclose(pde.solve(equation, RING, first, 1.0, **how).x, whole, atol=1e-13)
    with pytest.raises(ValueError, match="u0 is a Solution whose state has shape"):
        pde.solve(equation, periodic(16, 1.0), first, 1.0, steps=2)


def test_another_python_number_does_not_compile_again():
    traced = []

    class Counting(pde.Burgers):
        def nonlinear(self, grid) -> Callable:
            traced.append(grid)
            return super().nonlinear(grid)

    ends, once = [], 0
    for viscosity in (0.1, 0.2, 1, np.float64(0.3)):
        ends.append(pde.solve(Counting(viscosity), RING, np.sin(X), 0.5, steps=10).x)
        once = once or len(traced)
    assert len(traced) == once
    np.testing.assert_allclose(
        ends[1], pde.solve(pde.Burgers(jnp.asarray(0.2)), RING, np.sin(X), 0.5, steps=10).x, atol=1e-14
    )


@pytest.mark.parametrize("f", [np.sin, lambda x: np.exp(np.sin(x) + 0.3 * np.cos(x))])
def test_an_end_that_is_sampled_twice_is_hinted_at(f):
    both = np.linspace(0, 2 * np.pi, 32)
    with pytest.warns(UserWarning, match="both ends of the periodic axis 0"):
        pde.solve(pde.Heat(), RING, f(both), 0.1, steps=1)
    channel = box(Fourier(32, 2 * np.pi), Chebyshev(12, 1.0))
    (_, y) = channel.coordinates()
    with pytest.warns(UserWarning, match="both ends of the periodic axis 0"):
        pde.solve(pde.Heat(), channel, f(both)[:, None] * y * (1 - y), 0.1, steps=1)


@pytest.mark.parametrize(
    "f", [np.sin, np.cos, np.ones_like, lambda x: np.exp(-9 * (x - 3) ** 2), lambda x: np.sign(x - 3.1)]
)
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_no_hint_without_cause(f, shift):
    """Warnings are errors here."""
    dh.pde.posed.check_seam(RING, f(X + shift * X[1]))
