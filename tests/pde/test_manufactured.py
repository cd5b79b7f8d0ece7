"""Every spectral equation on every kind of box, forced so that the solution is known: orders in time and in space."""

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel import pde
from duhamel.pde import Cosine, Dirichlet, Fourier, Legendre, Neumann, Robin, Sine, box, periodic
from duhamel.pde.registry import EQUATIONS, equation_named

# Parameters with which steps of 1/8 on a side of 2 pi are neither stiff beyond measure nor without effect.
TAME = {
    "advection": {"diffusivity": 0.1},
    "allen-cahn": {"width": 0.3},
    "boussinesq": {"viscosity": 0.05, "diffusivity": 0.03, "stratification": 1.5},
    "burgers": {"viscosity": 0.1},
    "cahn-hilliard": {"width": 0.4, "mobility": 0.05},
    "fitzhugh-nagumo": {"diffusivity_u": 0.05, "diffusivity_v": 0.1},
    "gray-scott": {"diffusivity_u": 0.02, "diffusivity_v": 0.01},
    "heat": {"diffusivity": 0.3, "source": 0.5},
    "kdv": {"convection": 1.0, "dispersion": 0.02},
    "klein-gordon": {"damping": 0.1},
    "kuramoto-sivashinsky": {"hyperviscosity": 0.1},
    "magnetic-flow-2d": {"viscosity": 0.05, "resistivity": 0.03, "field": (0.5, 0.2)},
    "navier-stokes-2d": {"viscosity": 0.05, "drag": 0.1, "forcing": 0.3, "forcing_mode": 2},
    "navier-stokes-3d": {"viscosity": 0.05},
    "schroedinger": {"potential": lambda *x: sum(np.cos(each) for each in x)},
    "swift-hohenberg": {"quadratic": 0.3},
    "wave": {"damping": 0.2},
}


SIDES = {"swift-hohenberg": 8 * np.pi}  # else 2 pi


def turning(equation, dim, side=2 * np.pi):
    """Periodic on a side, every field another; velocities in three dimensions without divergence.

    Analytic with modes of every length in one and two dimensions; in three of single waves, so that what products of
    three make of them fits on eight points."""

    def solution(t, *x):
        x = [2 * np.pi / side * each for each in x]
        if equation.fields == ("u", "v", "w"):
            return tuple(jnp.sin(x[i - 1] + t + i) * jnp.cos(x[i - 2] - t) for i in range(3))
        rows = []
        for i in range(len(equation.fields)):
            waves = [jnp.sin(each - (1 + 0.3 * k) * t + i + k) for k, each in enumerate(x)]
            u = 0.4 + 0.1 * sum(waves) if dim == 3 else jnp.exp(0.4 / dim * sum(waves))
            rows.append(u if equation.real else u * jnp.exp(1j * t) if dim == 3 else u * jnp.exp(0.4j * waves[0]))
        return tuple(rows)

    return solution


def periodic_case(name, dim, points=None):
    equation = equation_named(name, **TAME.get(name, {}))
    side = SIDES.get(name, 2 * np.pi)
    grid = periodic((points or {1: 48, 2: 28, 3: 8}[dim],) * dim, side)
    return pde.manufactured(equation, turning(equation, dim, side)), grid


def errors_of(equation, grid, method, t1=1.0, steps=8, halvings=2):
    """Errors at t1 with steps, 2 steps, ... by one compiled program, which is called for a part of the time."""
    u0, truth, errors = equation.initial(grid), equation.exact(grid, t1), []
    for parts in (2**k for k in range(halvings + 1)):
        u, ends = u0, np.linspace(0.0, t1, parts + 1)
        for a, b in pairwise(ends):
            u = pde.solve(equation, grid, u, b, t0=a, steps=steps, method=method).x
        errors.append(float(np.abs(u - truth).max() / np.abs(truth).max()))
    return np.array(errors)


def order(errors):
    return float(np.log2(errors[-2] / errors[-1]))


SMALLEST = [(name, kind.dims[0]) for name, kind in EQUATIONS.items()]
LARGER = [(name, dim) for name, kind in EQUATIONS.items() for dim in kind.dims[1:]]


@pytest.mark.parametrize(("name", "dim"), SMALLEST)
def test_order_in_time_on_a_periodic_box(name, dim):
    errors = errors_of(*periodic_case(name, dim), dh.ETDRK4())
    assert errors[-1] < 1e-6
    assert order(errors) == pytest.approx(4, abs=0.2)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dim"), LARGER)
def test_order_in_time_in_more_dimensions(name, dim):
    test_order_in_time_on_a_periodic_box(name, dim)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "expected"), [(dh.KenCarp4(), 4), (dh.ETDRK2(), 2)], ids=["imex", "etdrk2"])
@pytest.mark.parametrize(("name", "dim"), SMALLEST)
def test_order_of_other_methods(name, dim, method, expected):
    errors = errors_of(*periodic_case(name, dim), method, steps=16)
    assert order(errors) == pytest.approx(expected, abs=0.2)


# Roots of alpha = beta = 1: cos(k x) + sin(k x)/k gives off at both ends of [0, 1] what it holds there.
K1, K2 = 1.3065423741888063, 3.673194406304256  # of 2 k cos k + (1 - k^2) sin k


def held(t, x):
    """u(0) = 1, u(1) = 2."""
    return 1 + x + jnp.sin(np.pi * x) * jnp.exp(0.5 * jnp.sin(2 * t)) / 2 + 0.2 * jnp.sin(2 * np.pi * x) * jnp.cos(t)


def fed(t, x):
    """-u'(0) = 0.1, u'(1) = 0.4."""
    return 0.25 * x**2 - 0.1 * x + 0.5 * jnp.cos(np.pi * x) * jnp.exp(0.5 * jnp.sin(2 * t))


def cooled(t, x):
    """u - u' = 0.6 at 0, u + u' = 0.6 at 1."""
    first, second = (jnp.cos(k * x) + jnp.sin(k * x) / k for k in (K1, K2))
    return 0.6 + 0.2 * first * jnp.exp(jnp.sin(2 * t)) + 0.3 * second * jnp.cos(t)


def odd(t, x):
    return 0.7 * jnp.sin(x) * jnp.exp(0.5 * jnp.cos(2 * x) * jnp.sin(t))


def even(t, x):
    return 0.7 * jnp.exp(0.5 * jnp.cos(x) * jnp.sin(t))


def two(u):
    return lambda t, x: (u(t, x), jnp.cos(t) * u(t + 1, x))


HELD, FED, COOLED = (Dirichlet(1.0), Dirichlet(2.0)), (Neumann(0.1), Neumann(0.4)), (Robin(1.0, 1.0, 0.6),) * 2
WALLS = {
    "heat held": (pde.Heat(0.1, source=0.5), lambda n: box(Legendre(n, 1.0, 0.0, *HELD)), held),
    "heat fed": (pde.Heat(0.1), lambda n: box(Legendre(n, 1.0, 0.0, *FED)), fed),
    "heat cooled": (pde.Heat(0.1), lambda n: box(Legendre(n, 1.0, 0.0, *COOLED)), cooled),
    "fisher-kpp held": (pde.FisherKPP(0.1), lambda n: box(Legendre(n, 1.0, 0.0, *HELD)), held),
    "allen-cahn fed": (pde.AllenCahn(0.3), lambda n: box(Legendre(n, 1.0, 0.0, *FED)), fed),
    "fisher-kpp cooled": (pde.FisherKPP(0.1), lambda n: box(Legendre(n, 1.0, 0.0, *COOLED)), cooled),
    "klein-gordon": (pde.KleinGordon(), lambda n: box(Sine(n, np.pi)), two(odd)),
    "sine-gordon": (pde.SineGordon(), lambda n: box(Cosine(n, np.pi)), two(even)),
    "wave cooled": (
        pde.Wave(),
        lambda n: box(Legendre(n, 1.0, 0.0, Robin(1.0, 1.0), Robin(1.0, 1.0))),
        two(lambda t, x: cooled(t, x) - 0.6),
    ),
    "schroedinger": (
        pde.Schroedinger(potential=lambda x: x),
        lambda n: box(Legendre(n, np.pi)),
        lambda t, x: jnp.sin(x) * jnp.exp(0.3j * jnp.sin(2 * t) * jnp.cos(x) + 1j * t),
    ),
    "cahn-hilliard": (
        pde.CahnHilliard(0.4, 0.1),
        lambda n: box(Cosine(n, np.pi), Fourier(n, 2 * np.pi)),
        lambda t, x, y: 0.6 * even(t, x) * (1 + 0.3 * jnp.sin(y - t)),
    ),
    "swift-hohenberg": (pde.SwiftHohenberg(), lambda n: box(Sine(n, 4 * np.pi)), lambda t, x: odd(t, x / 4)),
    "gray-scott": (
        pde.GrayScott(diffusivity_u=0.02, diffusivity_v=0.01),
        lambda n: box(Legendre(n, 1.0, 0.0, *HELD), Fourier(n, 2 * np.pi)),
        lambda t, x, y: tuple(
            0.3 * jnp.sin(np.pi * x) * jnp.exp(0.3 * jnp.sin(y + t + i)) + held(t + i, x) for i in range(2)
        ),
    ),
}


def between_walls(name, points=None):
    equation, space, solution = WALLS[name]
    space = space(points or (24 if name in ("cahn-hilliard", "gray-scott") else 36))
    return pde.manufactured(equation, solution), space


LONG = ("allen-cahn fed", "cahn-hilliard", "fisher-kpp held", "gray-scott", "klein-gordon", "sine-gordon")
SHORT_FIRST = [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in WALLS]


@pytest.mark.parametrize("name", SHORT_FIRST)
def test_order_in_time_between_walls(name):
    errors = errors_of(*between_walls(name), dh.HochbruckOstermann(), steps=16)
    assert errors[-1] < 2e-5
    assert order(errors) == pytest.approx(4, abs=0.2)


@eqx.filter_jit
def residual(equation, grid, t=0.3):
    """Largest u*_t - L u* - N(u*) - f, relative to u*_t."""

    def at(s):
        rows = equation.solution(s, *grid.coordinates())
        rows = [jnp.broadcast_to(row, grid.shape) for row in (rows if isinstance(rows, tuple) else (rows,))]
        return jnp.stack(rows).reshape(equation.shape(grid))

    u, u_t = jax.jvp(at, (t,), (1.0,))
    modes = equation.to_modes(grid, u)
    rate = equation.problem(grid).field(t, modes, None)
    moved = equation.to_points(grid, modes + rate) - equation.to_points(grid, modes)  # the lift stands in both
    return jnp.abs(moved - u_t).max() / jnp.abs(u_t).max()


def falls_faster_than_any_power(make):
    """By more than n^-4 from 10 to 15 points and by more than n^-8 from there to 23."""
    coarse, middle, fine = (float(residual(*make(n))) for n in (10, 15, 23))
    assert middle < (10 / 15) ** 4 * coarse
    assert fine < max((15 / 23) ** 8 * middle, 1e-11)
    assert fine < 2e-5


@pytest.mark.parametrize(("name", "dim"), [each for each in SMALLEST if each[1] < 3])
def test_error_in_space_on_a_periodic_box(name, dim):
    falls_faster_than_any_power(lambda n: periodic_case(name, dim, n))


@pytest.mark.parametrize("name", SHORT_FIRST)
def test_error_in_space_between_walls(name):
    falls_faster_than_any_power(lambda n: between_walls(name, n))


@pytest.mark.parametrize("method", [dh.ETDRK4(), dh.KenCarp4()], ids=lambda m: m.tableau.name)
def test_steps_chosen_by_the_error_keep_the_order(method):
    """Error against the number of steps, along a ladder of tolerances."""
    equation, grid = periodic_case("burgers", 1)
    errors, steps = [], []
    for tolerance in (1e-6, 1e-8):
        sol = pde.solve(equation, grid, None, 2.0, control=dh.PID(tolerance, tolerance), method=method)
        errors.append(np.abs(sol.x - equation.exact(grid, 2.0)).max())
        steps.append(int(sol.stats.accepted))
    slope = np.log(errors[0] / errors[1]) / np.log(steps[1] / steps[0])
    assert slope == pytest.approx(4, abs=0.2)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: pde.manufactured(pde.Heat(), 3.0), "solution is a function of t and the coordinates, got float"),
        (lambda: pde.manufactured(pde.Heat(), held, 0), "refine = 0 multiplies the points"),
        (
            lambda: pde.manufactured(pde.Heat(), held).problem(box(Legendre(16, 1.0, 0.0, *FED))),
            r"contradicts the start of axis 0: Neumann\(value=.*\) is off by .* for u at t = 0",
        ),
        (lambda: pde.manufactured(pde.Heat(), cooled).problem(box(Sine(16, 1.0))), "contradicts the start of axis 0"),
        (lambda: pde.manufactured(pde.GrayScott(), held).initial(box(Cosine(16, 1.0))), "returns 1 fields, and GrayS"),
        (lambda: pde.manufactured(pde.KdV(), held).problem(box(Sine(16, 1.0))), "take a Chebyshev axis"),
    ],
    ids=range(6),
)
def test_a_solution_that_cannot_be_one_is_a_sentence(build, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        build()


def test_parameters_are_still_traced():
    """The forcing follows the parameter, so the end does not depend on it: derivatives of the error vanish."""
    grid = periodic(24, 2 * np.pi)

    def end(viscosity):
        equation = pde.manufactured(pde.Burgers(viscosity), turning(pde.Burgers(), 1))
        return pde.solve(equation, grid, equation.initial(grid), 0.5, steps=40).x

    assert np.abs(jax.jacrev(end)(0.1)).max() < 1e-6
