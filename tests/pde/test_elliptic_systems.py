"""Finite differences on boxes: one operator in two forms, and second order with every kind of side."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

from duhamel import pde
from duhamel.pde import elliptic as el
from duhamel.testing import measured_order

KINDS = [("DD",), ("NR",), ("PP",), ("RD", "PP"), ("NN", "DN"), ("PP", "DN", "RD")]


def some_sides(kinds):
    side = {"D": el.Dirichlet(0.3), "N": el.Neumann(0.2), "R": el.Robin(2.0, 0.7, 0.1), "P": el.Periodic()}
    return [(side[k[0]], side[k[1]]) for k in kinds]


def some_system(kinds, centre, seed=0):
    rng = np.random.default_rng(seed)
    box = el.box((4, 6, 5)[: len(kinds)], (1.0, 2.0, 0.7)[: len(kinds)], centre=centre)
    points = [len(box.row(d, kind == "PP")) for d, kind in enumerate(kinds)]
    return el.discretise(box, some_sides(kinds), np.exp(rng.normal(size=points)), 0.4)


@pytest.mark.parametrize("centre", ["cell", "vertex"])
@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
def test_the_operator_is_its_matrix_and_symmetric(kinds, centre):
    system = some_system(kinds, centre)
    matrix = el.matrix(system)
    u = np.random.default_rng(1).normal(size=system.shape)
    assert np.allclose(matrix @ u.ravel(), np.ravel(system.mv(u)), rtol=1e-13)
    assert abs(matrix - matrix.T).max() < 1e-12
    assert np.linalg.eigvalsh(matrix.toarray()).min() > 0


def wave(*x):
    """Periodic over the box in every axis, and not symmetric in any."""
    return sum(jnp.sin(2 * jnp.pi * s + 0.3 + d) for d, s in enumerate(x)) + jnp.exp(
        sum(jnp.cos(2 * jnp.pi * s) for s in x) / 2 / len(x)
    )


def medium(*x):
    return 2.0 + sum(jnp.sin(2 * jnp.pi * s) for s in x) / 2


@pytest.mark.parametrize("centre", ["cell", "vertex"])
@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
def test_second_order_with_every_side(kinds, centre):
    """Manufactured solutions with a variable a, the values on the sides included; largest error of any point."""
    sides, f = el.manufactured(wave, el.box((4,) * len(kinds), 1.0), kinds, medium, 0.5, (2.0, 0.5))

    def error(n):
        box = el.box(tuple(n * (4 + d) // 4 for d in range(len(kinds))), 1.0, centre=centre)
        system = el.discretise(box, sides, medium, 0.5)
        found = el.solve(system, f, el.PCG(el.Jacobi()))
        return float(np.abs(found.u - wave(*system.coordinates())).max())

    steps = (8, 12, 16) if len(kinds) == 3 else (16, 24, 32)
    assert measured_order(error, steps, ceiling=2.0) == pytest.approx(2.0, abs=0.25)


def test_a_jump_of_the_coefficient_on_a_face_is_exact_in_one_dimension():
    """Layers a = 1 and 50 with u(0) = 0, u(1) = 1: u is linear in each, and the harmonic mean finds it to rounding."""
    box = el.box(16, 1.0)
    (x,) = el.discretise(box, el.Dirichlet()).coordinates()
    a = np.where(x < 0.5, 1.0, 50.0)
    found = el.Darcy(a, [(el.Dirichlet(0.0), el.Dirichlet(1.0))]).solve(box, 0.0)
    flux = 1 / (0.5 / 1.0 + 0.5 / 50.0)
    assert np.allclose(found.u, np.where(x < 0.5, flux * x, 1 - flux / 50 * (1 - x)), rtol=1e-12)


def test_a_user_may_hand_the_operator_to_lineax():
    system = some_system(("RD", "DN"), "cell")
    b = system.right_side(lambda x, y: jnp.cos(x) * y)
    theirs = lx.linear_solve(system.lineax(), b, lx.CG(rtol=1e-12, atol=1e-12)).value
    assert np.allclose(theirs, el.solve(system, lambda x, y: jnp.cos(x) * y).u, rtol=1e-8)


def test_sides_take_arrays_and_functions_alike():
    box, g = el.box((6, 5), 1.0), lambda x, y: 1 + x * y
    y = el.discretise(box, el.Dirichlet()).rows[1]
    of = [el.solve(el.discretise(box, [(el.Neumann(v), el.Dirichlet()), el.Periodic()]), 1.0).u for v in (g, 1 + 0 * y)]
    assert np.allclose(*of)


def test_single_precision_stays_single():
    box = el.box((8, 8), 1.0)
    system = el.discretise(box, el.Dirichlet(), jnp.ones((8, 8), jnp.float32), jnp.float32(0.0))
    found = el.solve(system, jnp.ones((8, 8), jnp.float32), el.PCG())
    assert found.u.dtype == jnp.float32 and float(found.residual) < 1e-5


BOX = el.box((8, 6), 1.0)
MISTAKES = {
    "three axes of sides": (lambda: el.discretise(BOX, [el.Dirichlet()] * 3), "one entry for each of its 2 axes"),
    "half periodic": (
        lambda: el.discretise(BOX, [(el.Periodic(), el.Neumann()), el.Neumann()]),
        "both sides or on none",
    ),
    "a word": (lambda: el.discretise(BOX, ["dirichlet", "dirichlet"]), "neither a Side nor a pair"),
    "a <= 0": (lambda: el.discretise(BOX, el.Dirichlet(), lambda x, y: x - 0.5), "must be positive at every point"),
    "NaN in a": (lambda: el.discretise(BOX, el.Dirichlet(), np.full((8, 6), np.nan)), "a holds NaN"),
    "shape of a": (lambda: el.discretise(BOX, el.Dirichlet(), np.ones((6, 8))), r"a has shape \(6, 8\)"),
    "shape of a side": (lambda: el.discretise(BOX, el.Dirichlet(np.ones(5))), "side of axis 0 has shape"),
    "NaN on a side": (lambda: el.discretise(BOX, el.Neumann(np.inf)), "holds NaN or infinity"),
    "Robin without beta": (lambda: el.discretise(BOX, el.Robin(1.0, 0.0)), "for 0 write Dirichlet"),
    "shape of f": (lambda: el.solve(el.discretise(BOX, el.Dirichlet()), np.ones(5)), r"f has shape \(5,\)"),
    "NaN in f": (lambda: el.solve(el.discretise(BOX, el.Dirichlet()), np.nan), "f holds NaN"),
    "one cell": (lambda: el.box((1, 8), 1.0), "at least 2 cells"),
    "no length": (lambda: el.box(8, -1.0), "lengths must be positive"),
    "centre": (lambda: el.box(8, 1.0, centre="node"), "'cell' or at a 'vertex'"),
    "too coarse a wave": (lambda: el.Helmholtz(40.0).solve(BOX, 1.0), "points a wavelength"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_named(case):
    call, sentence = MISTAKES[case]
    with pytest.raises(ValueError, match=sentence):
        call()


def test_coefficients_may_be_traced():
    """d/da of u(1/2) for -a u'' = 1 with u = 0 at both ends: u = x (1 - x)/(2 a)."""
    box = el.box(16, 1.0, centre="vertex")
    middle = lambda a: el.solve(el.discretise(box, el.Dirichlet(), a), 1.0).u[7]  # noqa: E731
    assert np.isclose(jax.jit(jax.grad(middle))(2.0), -1 / 8 / 2.0**2)


def test_one_condition_means_the_same_in_every_box():
    """-3 u'' = 0, u(0) = 1, u'(1) + u(1)/2 = 2: a line, also where heat comes to rest between the same walls."""
    sides = (el.Dirichlet(1.0), el.Robin(0.5, 1.0, 2.0))
    line = lambda x: 1 + x  # noqa: E731
    found = el.Darcy(lambda x: 3.0 + 0 * x, [sides]).solve(el.box(16, 1.0), 0.0)
    np.testing.assert_allclose(found.u, line((np.arange(16) + 0.5) / 16), atol=1e-12)
    rod = pde.box(pde.Legendre(24, 1.0, 0.0, *sides))
    warm = pde.solve(pde.Heat(3.0), rod, None, 20.0, steps=4)
    np.testing.assert_allclose(warm.x, line(rod.coordinates()[0]), atol=1e-9)
