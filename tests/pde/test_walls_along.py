"""What walls prescribe varies along them, in time, and meets in corners: spectral accuracy, and who contradicts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel import pde
from duhamel.pde import Chebyshev, Cosine, Dirichlet, Fourier, Legendre, Neumann, Robin, Sine, box, elliptic, periodic


def u(x, y):
    return jnp.exp(x) * jnp.sin(2 * y + 0.3) + x * y**2


def load(x, y):
    return 3 * jnp.exp(x) * jnp.sin(2 * y + 0.3) - 2 * x


def at(g, *places):
    """A function of numbers, at arrays that broadcast."""
    return jnp.vectorize(g)(*map(jnp.asarray, places))


def held(n, kind):
    """A box on whose four sides u is known, or its slope, or a mixture."""
    left, right = Dirichlet(lambda t, y: u(0.0, y)), Dirichlet(lambda t, y: u(1.0, y))
    low, high = Dirichlet(lambda t, x: u(x, 0.0)), Dirichlet(lambda t, x: u(x, 1.0))
    if kind == "chebyshev":
        return box(Chebyshev(n, 1.0, conditions=(left, right)), Legendre(n, 1.0, left=low, right=high))
    if kind == "mixed":
        left = Neumann(lambda t, y: -at(jax.grad(u, 0), 0.0, y))
        high = Robin(2.0, 1.0, lambda t, x: 2 * u(x, 1.0) + at(jax.grad(u, 1), x, 1.0))
    return box(Legendre(n, 1.0, left=left, right=right), Legendre(n, 1.0, left=low, right=high))


@pytest.mark.parametrize("kind", ["values", "mixed", "chebyshev"])
def test_poisson_with_data_that_vary_along_all_walls(kind):
    """Cells of el.discretise need 256 x 128 of them for 4e-3."""
    errors = []
    for n in (12, 28):
        space = held(n, kind)
        errors.append(float(np.abs(elliptic.spectral(space, load).u - u(*space.coordinates())).max()))
    assert 1e-11 < errors[0] < 1e-5 and errors[1] < 2e-12 * (10 if kind == "mixed" else 1)


def test_poisson_in_a_channel_and_its_screened_twin():
    w = lambda x, y: jnp.exp(jnp.sin(y)) * jnp.cosh(x)  # noqa: E731
    bent = lambda x, y: w(x, y) * (1 + jnp.cos(y) ** 2 - jnp.sin(y))  # noqa: E731
    wall = Dirichlet(lambda t, y: w(0.0, y))
    space = box(
        Legendre(24, 1.0, left=wall, right=Neumann(lambda t, y: jnp.exp(jnp.sin(y)) * np.sinh(1))),
        Fourier(40, 2 * np.pi),
    )
    for equation, c in ((elliptic.Poisson(), 0.0), (elliptic.ScreenedPoisson(0.5), 4.0)):
        found = equation.solve(space, lambda x, y, c=c: c * w(x, y) - bent(x, y)).u
        np.testing.assert_allclose(found, w(*space.coordinates()), atol=1e-11)


@pytest.mark.parametrize("axis", [Cosine(16, 1.0), Sine(16, 1.0)], ids=["cosine", "sine"])
def test_laplace_beside_walls_of_waves(axis):
    """u = wave(y) sinh(pi (1 - x))/sinh(pi), a wave that the other walls allow."""
    wave = (lambda y: jnp.cos(np.pi * y)) if isinstance(axis, Cosine) else (lambda y: jnp.sin(np.pi * y))
    space = box(Legendre(24, 1.0, left=Dirichlet(lambda t, y: wave(y))), axis)
    x, y = space.coordinates()
    truth = wave(y) * np.sinh(np.pi * (1 - x)) / np.sinh(np.pi)
    np.testing.assert_allclose(elliptic.spectral(space, 0.0).u, truth, atol=1e-12)


@pytest.mark.slow
def test_derivatives_by_the_source_and_by_the_walls():
    def end(a):
        left = Dirichlet(lambda t, y: a * y * (1 - y))
        space = pde.Space((Legendre(12, 1.0, left=left), Legendre(12, 1.0)))
        return jnp.sum(elliptic.spectral(space, a * a).u)

    step = 1e-5
    assert float(jax.grad(end)(1.3)) == pytest.approx(float(end(1.3 + step) - end(1.3 - step)) / 2 / step, rel=1e-8)


def test_a_box_without_walls():
    found = elliptic.spectral(periodic((12, 12), 2 * np.pi), lambda x, y: 2 * jnp.cos(x) * jnp.cos(y))
    np.testing.assert_allclose(
        found.u, np.cos(found_x := periodic(12, 2 * np.pi).coordinates()[0])[:, None] * np.cos(found_x), atol=1e-13
    )
    excess = elliptic.spectral(periodic(12, 1.0), 3.0, project=True)
    assert float(excess.imbalance) == pytest.approx(3.0) and float(jnp.abs(excess.u).max()) < 1e-12


D, K = 0.3, (1.3, 0.7)


def cooling(t, x, y):
    return jnp.exp(-D * (K[0] ** 2 + K[1] ** 2) * t) * jnp.cos(K[0] * x + 0.2) * jnp.cos(K[1] * y - 0.4)


def test_heat_between_walls_whose_values_vary_along_them_and_in_time():
    space = box(
        Legendre(
            18, 1.0, left=Dirichlet(lambda t, y: cooling(t, 0.0, y)), right=Dirichlet(lambda t, y: cooling(t, 1.0, y))
        ),
        Legendre(
            18, 1.0, left=Dirichlet(lambda t, x: cooling(t, x, 0.0)), right=Dirichlet(lambda t, x: cooling(t, x, 1.0))
        ),
    )
    x, y = space.coordinates()
    found = pde.solve(pde.Heat(D), space, np.asarray(cooling(0.0, x, y)), 1.0, steps=20).x
    np.testing.assert_allclose(found, cooling(1.0, x, y), atol=1e-9)


def wave(t, x):
    return jnp.exp(-D * t) * jnp.cos(x + 0.2)


def slope(t, x):
    return -jnp.exp(-D * t) * jnp.sin(x + 0.2)


MOVING = {
    "values": (Dirichlet(lambda t: wave(t, 0.0)), Dirichlet(lambda t: wave(t, 1.0))),
    "slopes": (Neumann(lambda t: -slope(t, 0.0)), Neumann(lambda t: slope(t, 1.0))),
    "mixtures": (
        Robin(1.0, 2.0, lambda t: wave(t, 0.0) - 2 * slope(t, 0.0)),
        Robin(3.0, 1.0, lambda t: 3 * wave(t, 1.0) + slope(t, 1.0)),
    ),
}


@pytest.mark.parametrize("kind", MOVING)
@pytest.mark.parametrize("axis", [Legendre, Chebyshev])
def test_walls_that_move_in_time(axis, kind):
    """u = e^(-D t) cos(x + 0.2), whose values, slopes and mixtures at both ends move: the lift's rate has its sign."""
    left, right = MOVING[kind]
    ends = {"left": left, "right": right} if axis is Legendre else {"conditions": (left, right)}
    space = box(axis(18, 1.0, **ends))
    (x,) = space.coordinates()
    found = pde.solve(pde.Heat(D), space, np.asarray(wave(0.0, x)), 1.0, steps=20).x
    np.testing.assert_allclose(found, wave(1.0, x), atol=1e-8)


def test_a_moving_wall_and_a_conductivity_that_varies():
    """u = e^(-t) (2 + x) under (D u_x)_x = D' e^(-t), D = 1 + x/2: source e^(-t) (-(2 + x) - 1/2)."""
    decay = lambda t: jnp.exp(-t)  # noqa: E731
    space = box(Legendre(18, 1.0, left=Neumann(lambda t: -decay(t)), right=Robin(1.0, 1.0, lambda t: 4 * decay(t))))
    equation = pde.manufactured(pde.Heat(lambda x: 1 + x / 2), lambda t, x: jnp.exp(-t) * (2 + x + 0 * x))
    found = pde.solve(equation, space, None, 1.0, steps=20)
    np.testing.assert_allclose(found.x, equation.exact(space, 1.0), atol=1e-8)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            lambda: box(Legendre(12, 1.0, left=Dirichlet(1.0)), Legendre(12, 1.0)),
            "contradict each other in the corners",
        ),
        (lambda: solve_on(Legendre(12, 1.0)), "contradict each other in the corners"),
        (lambda: solve_on(Sine(12, 1.0)), "contradict each other in the corners"),
        (lambda: solve_on(Cosine(12, 1.0)), "contradict each other in the corners"),
        (lambda: box(Legendre(12, 1.0, left=Dirichlet(lambda t, y: y))), "the wall of a line is a point"),
        (lambda: solve_on(Fourier(12, 1.0), lambda t, y: jnp.ones(5)), r"has shape \(5,\), and the wall \(12,\)"),
        (lambda: elliptic.spectral(box(Cosine(12, 1.0)), 1.0), "known up to a constant only"),
        (lambda: elliptic.spectral(box(Cosine(12, 1.0)), 1.0, -(np.pi**2)), "resonance"),
        (lambda: elliptic.spectral(box(Cosine(12, 1.0)), np.ones(5), 1.0), r"f has shape \(5,\)"),
        (lambda: elliptic.spectral(box(Cosine(12, 1.0)), 1.0, np.ones(12)), r"c has shape \(12,\)"),
        (lambda: elliptic.Darcy(2.0).solve(box(Sine(12, 1.0)), 1.0), "a box of cells"),
        (lambda: elliptic.Poisson(Dirichlet(1.0)).solve(box(Sine(12, 1.0)), 1.0), "conditions of their own"),
    ],
)
def test_what_contradicts_itself_is_named(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def solve_on(other, wall=lambda t, y: 1 + y):
    return pde.solve(pde.Heat(), box(Legendre(12, 1.0, left=Dirichlet(wall)), other), None, 1.0, steps=2)
