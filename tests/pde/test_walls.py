"""Equations between walls and reaction-diffusion anywhere: closed forms, orders, balances, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel import pde
from duhamel.pde import Cosine, Dirichlet, Fourier, Legendre, Neumann, Robin, Sine, box, periodic


def error(found, truth):
    return float(np.abs(np.asarray(found) - truth).max() / np.abs(truth).max())


def test_heat_between_walls_that_give_and_take():
    """-0.3 u'' = 2, u(0) = 1, u(1) + u'(1)/2 = 2: a parabola, reached to rounding."""
    space = box(Legendre(36, 1.0, left=Dirichlet(1.0), right=Robin(1.0, 0.5, 2.0)))
    (x,) = space.coordinates()
    slope = (2 - 1 + 10 / 3 + 10 / 3) / 1.5
    sol = pde.solve(pde.Heat(0.3, source=2.0), space, None, 50.0, steps=20)
    assert error(sol.x, -10 / 3 * x**2 + slope * x + 1) < 1e-12


def test_flux_through_the_walls_is_what_the_mass_gains():
    space = box(Legendre(36, 2.0, left=Neumann(0.7), right=Neumann(-0.2)))
    equation = pde.Heat(0.5)
    u0 = equation.initial(space)
    sol = pde.solve(equation, space, u0, 3.0, steps=10)
    kept = space.to_points(space.to_modes(jnp.asarray(u0)))  # what the modes hold of the first field
    gained = float(space.integral(sol.x) - space.integral(kept))
    assert gained == pytest.approx(0.5 * (0.7 - 0.2) * 3.0, rel=1e-10)


@pytest.mark.parametrize("method", [dh.ETDRK4(), dh.KenCarp4()])
def test_heat_in_a_box_of_three_kinds_of_walls(method):
    space = box(Cosine(16, 2.0), Sine(16, 1.0), Fourier(8, 3.0))
    X, Y, Z = space.coordinates()
    u0 = np.cos(np.pi * X / 2) * np.sin(2 * np.pi * Y) * np.cos(2 * np.pi * Z / 3)
    rate = 0.1 * ((np.pi / 2) ** 2 + (2 * np.pi) ** 2 + (2 * np.pi / 3) ** 2)
    sol = pde.solve(pde.Heat(0.1), space, u0, 0.2, control=dh.PID(1e-10, 1e-12), method=method)
    assert error(sol.x, u0 * np.exp(-0.2 * rate)) < 1e-8


def fronts():
    wide = box(Legendre(288, 140.0, -60.0, Neumann(), Neumann()))
    fisher = pde.FisherKPP()
    yield pytest.param(fisher, wide, lambda t: fisher.front(wide.coordinates()[0], t), 2.0, (8, 16), id="fisher-kpp")
    line = box(Cosine(384, 8.0, -4.0))
    allen = pde.AllenCahn(0.1)
    yield pytest.param(allen, line, lambda t: allen.front(line.coordinates()[0], t), 2.0, (8, 16), id="allen-cahn")
    ring = periodic(512, 80.0, -40.0)
    sine = pde.SineGordon()
    breather = lambda t: np.stack([sine.breather(ring.coordinates()[0], t, 0.5), moving(sine, ring, t)])  # noqa: E731
    yield pytest.param(sine, ring, breather, 4.0, (20, 40), id="sine-gordon")
    well = pde.Schroedinger(lambda x: x**2 / 2)
    for name, space in (("walls", box(Legendre(128, 20.0, -10.0))), ("periodic", periodic(96, 20.0, -10.0))):
        truth = lambda t, space=space: well.coherent(space.coordinates()[0], t, 1.5)  # noqa: E731
        yield pytest.param(well, space, truth, 3.0, (200, 400), id=f"schroedinger {name}")


def moving(equation, grid, t):
    (x,) = grid.coordinates()
    return (equation.breather(x, t + 1e-5, 0.5) - equation.breather(x, t - 1e-5, 0.5)) / 2e-5


@pytest.mark.parametrize(("equation", "space", "truth", "t1", "steps"), list(fronts()))
def test_fourth_order_to_the_closed_form(equation, space, truth, t1, steps):
    errors = [error(pde.solve(equation, space, truth(0.0), t1, steps=n).x, truth(t1)) for n in steps]
    assert errors[1] < 1e-5
    assert abs(np.log2(errors[0] / errors[1]) - 4) < 0.3


def expected_slope(equation, grid, u):
    """The docstring's formula at the points, with derivatives by NumPy's full transform."""

    def lap(f):
        k2 = sum(
            (2 * np.pi / s * np.fft.fftfreq(n, 1 / n)).reshape([-1 if a == axis else 1 for a in range(grid.dim)]) ** 2
            for axis, (n, s) in enumerate(zip(grid.shape, grid.length, strict=True))
        )
        out = np.fft.ifftn(-k2 * np.fft.fftn(f))
        return out if np.iscomplexobj(f) else out.real

    match type(equation).__name__:
        case "FisherKPP":
            return equation.diffusivity * lap(u) + equation.growth * u * (1 - u)
        case "AllenCahn":
            return equation.width**2 * lap(u) + u - u**3
        case "CahnHilliard":
            return equation.mobility * lap(u**3 - u - equation.width**2 * lap(u))
        case "SwiftHohenberg":
            q2 = equation.wavenumber**2
            inner = q2 * u + lap(u)
            return equation.drive * u - (q2 * inner + lap(inner)) + equation.quadratic * u**2 - u**3
        case "GrayScott":
            a, b = u
            return np.stack(
                [
                    equation.diffusivity_u * lap(a) - a * b**2 + equation.feed * (1 - a),
                    equation.diffusivity_v * lap(b) + a * b**2 - (equation.feed + equation.kill) * b,
                ]
            )
        case "FitzHughNagumo":
            a, b = u
            return np.stack(
                [
                    equation.diffusivity_u * lap(a) + a - a**3 - equation.threshold - b,
                    equation.diffusivity_v * lap(b) + a - b,
                ]
            )
        case "KleinGordon":
            a, b = u
            pull = equation.speed**2 * lap(a) - equation.mass**2 * a - equation.coupling * a**3 - equation.damping * b
            return np.stack([b, pull])
    raise AssertionError(equation)


@pytest.mark.parametrize(
    "equation",
    [
        pde.FisherKPP(0.3, 1.7),
        pde.AllenCahn(0.2),
        pde.CahnHilliard(0.3, 0.5),
        pde.SwiftHohenberg(0.3, 0.8, 1.2),
        pde.GrayScott(0.03, 0.06, 0.02, 0.01),
        pde.FitzHughNagumo(0.01, 0.03, 0.1),
        pde.KleinGordon(1.3, 0.7, -0.5, 0.2),
    ],
    ids=lambda e: type(e).__name__,
)
def test_slope_is_the_equation(equation):
    grid, rng = periodic((48, 40), (5.0, 3.0)), np.random.default_rng(1)
    modes = np.asarray(equation.to_modes(grid, rng.normal(size=equation.shape(grid)))) * grid.mask(0.15)
    u = np.asarray(equation.to_points(grid, jnp.asarray(modes)))
    found = equation.to_points(grid, equation.problem(grid).field(0.0, jnp.asarray(modes), None))
    truth = expected_slope(equation, grid, u)
    np.testing.assert_allclose(found, truth, atol=1e-11 * np.abs(truth).max())


@pytest.mark.parametrize(
    ("equation", "space", "t1"),
    [
        (pde.AllenCahn(0.1), box(Cosine(48, 1.0), Cosine(32, 1.0)), 2.0),
        (pde.CahnHilliard(0.05), box(Cosine(64, 1.0)), 0.02),
        (pde.SwiftHohenberg(), box(Sine(48, 30.0)), 10.0),
    ],
    ids=["allen-cahn", "cahn-hilliard", "swift-hohenberg"],
)
def test_energy_only_falls(equation, space, t1):
    keep = lambda t, modes: equation.invariants(space, modes)  # noqa: E731
    kept = pde.solve(equation, space, None, np.linspace(0, t1, 41), steps=400, save=keep).x
    assert np.all(np.diff(kept["energy"]) < 1e-13)
    if "mass" in kept and isinstance(equation, pde.CahnHilliard):
        np.testing.assert_allclose(kept["mass"], kept["mass"][0], atol=1e-14)


@pytest.mark.parametrize("axis", [Sine(48, 1.0), Cosine(48, 1.0), Legendre(48, 1.0)])
def test_waves_come_back_from_walls(axis):
    """After two crossings of the box a wave is where it began, whatever the walls; in two steps."""
    space, equation = box(axis), pde.Wave(2.0)
    modes = jnp.zeros((2, axis.modes)).at[0, 1].set(1.0).at[1, 3].set(0.5)
    u0 = np.asarray(equation.to_points(space, modes))
    sol = pde.solve(equation, space, u0, 1.0, steps=2)
    assert error(sol.x, u0) < 1e-9
    kept = equation.invariants(space, equation.to_modes(space, jnp.stack([jnp.asarray(u0), sol.x])))
    np.testing.assert_allclose(kept["energy"][1], kept["energy"][0], rtol=1e-9)


def test_gradients_and_vmap_over_parameters():
    space = box(Legendre(30, 1.0, left=Dirichlet(1.0)))

    def end(D):
        return pde.solve(pde.Heat(D), space, None, 0.1, steps=10).x.sum()

    D, step = jnp.array([0.2, 0.5]), 1e-6
    difference = (jax.vmap(end)(D + step) - jax.vmap(end)(D - step)) / (2 * step)
    np.testing.assert_allclose(jax.vmap(jax.grad(end))(D), difference, rtol=1e-7)


def test_float32_stays_float32():
    sol = pde.solve(pde.KleinGordon(), periodic(32, 10.0), np.zeros((2, 32), np.float32), 1.0, steps=4)
    assert sol.x.dtype == np.float32


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: pde.solve(pde.KdV(), box(Sine(16, 1.0)), None, 1.0, steps=4), "take a Chebyshev axis"),
        (
            lambda: pde.solve(pde.CahnHilliard(), box(Legendre(16, 1.0, left=Dirichlet(1.0))), None, 1.0, steps=4),
            "homogeneous conditions only",
        ),
        (lambda: pde.solve(pde.GrayScott(), periodic((8, 8), 1.0), np.zeros((8, 8)), 1.0, steps=4), "for each of u, v"),
        (
            lambda: pde.solve(pde.Advection((1.0, 2.0)), periodic(8, 1.0), None, 1.0, steps=4),
            "velocity has 2 components",
        ),
    ],
)
def test_what_does_not_fit_is_named(build, words):
    with pytest.raises(ValueError, match=words):
        build()
