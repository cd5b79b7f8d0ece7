"""Parameters that vary in space: each equation of the registry on each kind of axis is right, or says one sentence."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from scipy.integrate import solve_ivp

import duhamel as dh
from duhamel import pde
from duhamel.methods.imex import ARS443, KenCarp4
from duhamel.pde import Chebyshev, Cosine, Dirichlet, Fourier, Legendre, Neumann, Robin, Sine, box, periodic
from duhamel.pde.registry import EQUATIONS

OTHER = {("kdv-burgers", "forcing"), ("magnetic-flow-2d", "field")}  # a function of t and the box; two numbers
FIXED = [(name, p) for name, kind in EQUATIONS.items() for p in kind.numbers]


def first(x):
    return 1.3 + 0.4 * jnp.cos(np.pi * x)


def second(x):
    return 0.7 + 0.2 * jnp.cos(2 * np.pi * x)


def test_every_parameter_is_a_number_or_may_vary():
    for name, kind in EQUATIONS.items():
        fields = {f.name for f in dataclasses.fields(kind) if not f.metadata.get("static")}
        declared = {*kind.numbers, *kind.varying}
        assert fields == declared | {p for n, p in OTHER if n == name}, name


NOT_A_NUMBER = {
    "values": np.ones(8),
    "a function": lambda *x: 1 + 0 * x[0],
    "another shape": np.ones(3),
    "text": "fast",
    "NaN": np.nan,
    "complex": 1j,
}


@pytest.mark.parametrize("given", NOT_A_NUMBER.values(), ids=NOT_A_NUMBER)
@pytest.mark.parametrize(("name", "parameter"), FIXED)
def test_what_cannot_vary_is_named(name, parameter, given):
    grid = periodic((8,) * EQUATIONS[name].dims[0], 1.0)
    with pytest.raises((ValueError, TypeError), match=f"{EQUATIONS[name].__name__}: {parameter} "):
        EQUATIONS[name](**{parameter: given}).check(grid)


@pytest.mark.parametrize(
    "space", [periodic(16, 1.0), box(Cosine(16, 1.0)), box(Legendre(24, 1.0))], ids=["ring", "cos", "leg"]
)
@pytest.mark.parametrize(
    ("name", "parameter"), [(n, p) for n, kind in EQUATIONS.items() if 1 in kind.dims for p in kind.varying]
)
def test_arrays_of_another_shape_are_named(name, parameter, space):
    kind = EQUATIONS[name]
    if type(space) not in kind.spaces:
        return
    for given in (np.ones(7), np.ones((2, *space.shape)), lambda x: np.ones(5), np.full(space.shape, np.inf)):
        with pytest.raises(ValueError, match=rf"{kind.__name__}: {parameter}(\[0\])? (has shape|holds NaN)"):
            kind(**{parameter: given}).check(space)


def d(f, order=1):
    for _ in range(order):
        f = jax.grad(f)
    return f


def along(f, x):
    return jax.vmap(f)(jnp.asarray(x))


def diffused(D, u):
    return lambda x: d(lambda y: D(y) * d(u)(y))(x)


def slopes(u, v):
    """{equation with fields: its right-hand side, as the docstrings write it, from one function a field}."""
    r, D = second, first
    yield pde.Heat(D, r), [lambda x: diffused(D, u)(x) + r(x)]
    yield pde.FisherKPP(D, r), [lambda x: diffused(D, u)(x) + r(x) * u(x) * (1 - u(x))]
    yield pde.AllenCahn(D), [lambda x: diffused(lambda y: D(y) ** 2, u)(x) + u(x) - u(x) ** 3]
    feed = lambda x: -u(x) * v(x) ** 2 + r(x) * (1 - u(x))  # noqa: E731
    yield (
        pde.GrayScott(r, D, D, r),
        [
            lambda x: diffused(D, u)(x) + feed(x),
            lambda x: diffused(r, v)(x) + u(x) * v(x) ** 2 - (r(x) + D(x)) * v(x),
        ],
    )
    yield (
        pde.FitzHughNagumo(D, r, D),
        [
            lambda x: diffused(D, u)(x) + u(x) - u(x) ** 3 - D(x) - v(x),
            lambda x: diffused(r, v)(x) + u(x) - v(x),
        ],
    )
    pull = lambda x: D(x) ** 2 * d(u, 2)(x) - r(x) ** 2 * u(x) - D(x) * v(x)  # noqa: E731
    yield pde.Wave(D, D, r), [v, pull]
    yield pde.KleinGordon(D, r, D, D), [v, lambda x: pull(x) - D(x) * u(x) ** 3]
    yield pde.SineGordon(D, r, D), [v, lambda x: pull(x) - jnp.sin(u(x))]
    yield (
        pde.SwiftHohenberg(D, r, 1.2),
        [lambda x: D(x) * u(x) - 1.44**2 * u(x) - 2.88 * d(u, 2)(x) - d(u, 4)(x) + r(x) * u(x) ** 2 - u(x) ** 3],
    )
    yield pde.Advection(D, r), [lambda x: diffused(r, u)(x) - D(x) * d(u)(x)]


KINDS = {
    "ring": (periodic(64, 2.0), lambda x: jnp.exp(jnp.sin(np.pi * x)), lambda x: jnp.cos(np.pi * x + 0.3)),
    "padded": (periodic(64, 2.0, padded=True), lambda x: jnp.exp(jnp.sin(np.pi * x)), lambda x: jnp.cos(np.pi * x)),
    "cosine": (box(Cosine(48, 1.0)), lambda x: jnp.exp(jnp.cos(np.pi * x)), lambda x: jnp.cos(2 * np.pi * x)),
    "sine": (box(Sine(48, 1.0)), lambda x: jnp.sin(np.pi * x), lambda x: jnp.sin(2 * np.pi * x)),
    "legendre": (box(Legendre(48, 1.0)), lambda x: jnp.sin(np.pi * x) * jnp.exp(x), lambda x: jnp.sin(2 * np.pi * x)),
    "chebyshev": (box(Chebyshev(48, 1.0)), lambda x: jnp.sin(np.pi * x) * jnp.exp(x), lambda x: jnp.sin(np.pi * x)),
}
NAMES = ("heat", "fisher", "allen", "gray", "fitz", "wave", "klein", "sine", "swift", "advection")
CASES = [
    (kind, number)
    for kind in KINDS
    for number, name in enumerate(NAMES)
    if not (name == "advection" and kind in ("cosine", "sine", "legendre"))  # an odd derivative is no multiple there
    and not (kind == "padded" and name not in ("fisher", "gray", "klein", "advection"))  # a way of each kind
    and not (name == "swift" and kind in ("legendre", "chebyshev"))  # of fourth order
    and not (kind == "sine" and name in ("heat", "gray", "fitz"))  # a source is no sum of sines
]


@pytest.mark.parametrize(("kind", "number"), CASES)
def test_slope_is_the_equation_with_fields(kind, number):
    """L x + N(x) against the docstring by automatic differentiation, projected; functions and arrays alike."""
    space, u, v = KINDS[kind]
    (x,) = space.coordinates()
    equation, truth = list(slopes(u, v))[number]
    arrays = {p: along(value, x) for p in equation.varying if callable(value := getattr(equation, p))}
    fields = (u, v)[: len(equation.fields)]
    stacked = lambda rows: jnp.stack(rows) if len(rows) > 1 else rows[0]  # noqa: E731
    modes = equation.to_modes(space, stacked([along(f, x) for f in fields]))
    wanted = space.project(stacked([along(f, x) for f in truth]))
    low = np.s_[..., : modes.shape[-1] // 3]  # what products and masks leave alone
    for one in (equation, dataclasses.replace(equation, **arrays)):
        found = one.problem(space).field(0.0, modes, None)
        np.testing.assert_allclose(found[low], wanted[low], atol=2e-8 * float(np.abs(wanted).max()))


def test_nonlinear_optics_with_a_coupling_of_its_own_at_every_point():
    space, psi = periodic(96, 2.0), lambda x: np.exp(np.sin(np.pi * x) + 1j * np.cos(np.pi * x))
    (x,) = space.coordinates()
    g = 1 + 0.5 * np.cos(np.pi * x)
    modes = space.to_modes(jnp.asarray(psi(x)), real=False)
    found = pde.NLSE(0.5, g).problem(space).field(0.0, modes, None)
    bent = space.to_points(0.5j * space.laplacian(real=False) * modes, real=False)
    wanted = space.to_modes(bent + jnp.asarray(1j * g * np.abs(psi(x)) ** 2 * psi(x)), real=False)
    np.testing.assert_allclose(found[:12], wanted[:12], atol=1e-9 * np.abs(wanted).max())


c, e, sn = jnp.cos, jnp.exp, jnp.sin
BOXES = {
    "plane": (periodic((32, 30), 2.0), lambda x, y: e(sn(np.pi * x)) * c(np.pi * y)),
    "channel": (
        box(Legendre(30, 1.0, left=Neumann()), Fourier(32, 2.0)),
        lambda x, y: c(np.pi * x / 2) * e(sn(np.pi * y)),
    ),
    "padded walls": (box(Cosine(16, 1.0), Sine(16, 1.0), padded=True), lambda x, y: c(np.pi * x) * sn(np.pi * y)),
    "tube": (
        box(Cosine(12, 1.0), Fourier(12, 2.0), Chebyshev(24, 1.0)),
        lambda x, y, z: c(np.pi * x) * c(np.pi * y) * sn(np.pi * z),
    ),
}


@pytest.mark.parametrize(
    "name", ["channel", *(pytest.param(n, marks=pytest.mark.slow) for n in BOXES if n != "channel")]
)
def test_diffusion_with_a_field_in_more_dimensions(name):
    space, u = BOXES[name]
    D = lambda *x: 1.5 + 0.3 * sum(c(np.pi * y) for y in x)  # noqa: E731
    at = jnp.stack(jnp.broadcast_arrays(*space.coordinates()), -1).reshape(-1, space.dim)
    flux = lambda x: D(*x) * jax.grad(lambda x: u(*x))(x)  # noqa: E731
    truth = jax.vmap(lambda x: jnp.trace(jax.jacfwd(flux)(x)))(at).reshape(space.shape)
    modes, wanted = (space.project(f) for f in (jax.vmap(lambda x: u(*x))(at).reshape(space.shape), truth))
    low = tuple(slice(0, n // 3) for n in modes.shape)
    for one in (D, D(*space.coordinates()) + np.zeros(space.shape)):
        found = pde.Heat(one, dealias=2 / 3).problem(space).field(0.0, modes, None)
        np.testing.assert_allclose(found[low], wanted[low], atol=2e-8 * float(np.abs(wanted).max()))


WALLS = {
    "cosine": (Cosine(48, 1.0), (0.0, 1.0, 0.0), (0.0, 1.0, 0.0)),
    "values": (Legendre(36, 1.0, left=Dirichlet(0.3)), (1.0, 0.0, 0.3), (1.0, 0.0, 0.0)),
    "fluxes": (Legendre(36, 1.0, left=Neumann(0.3), right=Robin(2.0, 1.0, 0.7)), (0.0, 1.0, 0.3), (2.0, 1.0, 0.7)),
    "chebyshev": (
        Chebyshev(36, 1.0, conditions=(Robin(1.0, 2.0, 0.1), Neumann(-0.2))),
        (1.0, 2.0, 0.1),
        (0.0, 1.0, -0.2),
    ),
}


def collocated(left, right, u0, t, n=40):
    """u(t) of u_t = (D u_x)_x as a polynomial, by Chebyshev collocation and the matrix exponential of SciPy."""
    C = np.polynomial.chebyshev
    x = (1 - np.cos(np.pi * np.arange(n + 1) / n)) / 2
    V = C.chebvander(2 * x - 1, n)
    slope = 2 * C.chebval(2 * x - 1, C.chebder(np.eye(n + 1))).T @ np.linalg.inv(V)
    A = slope @ (np.asarray(first(x))[:, None] * slope)
    B = np.stack([-left[1] * slope[0], right[1] * slope[-1]])
    B[0, 0] += left[0]
    B[1, -1] += right[0]
    ends, inner = [0, n], slice(1, n)
    S, g = -np.linalg.solve(B[:, ends], B[:, inner]), np.linalg.solve(B[:, ends], [left[2], right[2]])
    M, f = A[inner, inner] + A[inner][:, ends] @ S, A[inner][:, ends] @ g
    whole = scipy.linalg.expm(t * np.block([[M, f[:, None]], [np.zeros((1, n))]]))
    values = np.zeros(n + 1)
    values[inner] = (whole @ np.append(u0(x[inner]), 1.0))[:-1]
    values[ends] = S @ values[inner] + g
    return lambda y: C.chebval(2 * y - 1, np.linalg.solve(V, values))


@pytest.mark.parametrize("kind", WALLS)
def test_heat_with_a_conductivity_of_its_own_at_every_point(kind):
    axis, left, right = WALLS[kind]
    space = box(axis)
    (x,) = space.coordinates()
    bump = lambda y: 64 * y**3 * (1 - y) ** 3  # noqa: E731
    if space.has_lift:
        lift = np.polynomial.Polynomial.fit(x, np.asarray(space.lift), 4)
        u0 = lambda y: bump(y) + lift(y)  # noqa: E731
    else:
        u0 = lambda y: np.cos(np.pi * y)  # noqa: E731
    truth = collocated(left, right, u0, 0.05)(x)
    found = pde.solve(pde.Heat(first), space, u0(x), 0.05, steps=100).x
    assert float(np.abs(found - truth).max()) < 1e-8
    if kind == "values":  # implicit-explicit methods too, where they damp what is explicit
        found = pde.solve(pde.Heat(first), space, u0(x), 0.05, steps=100, method=ARS443()).x
        assert float(np.abs(found - truth).max()) < 5e-6
        with pytest.raises(ValueError, match=r"needs .* steps; take method=ETDRK4"):
            pde.solve(pde.Heat(first), space, u0(x), 0.05, steps=100, method=KenCarp4())


def test_growth_on_half_of_a_dish():
    """A rate that jumps, against cells and SciPy."""
    space, n = box(Cosine(64, 1.0)), 256
    (x,), cells = space.coordinates(), (np.arange(n) + 0.5) / n
    rate = lambda x: np.where(x < 0.5, 0.0, 5.0)  # noqa: E731

    def slope(t, u):
        flux = np.concatenate([[0.0], np.diff(u) * n, [0.0]])
        return 0.01 * np.diff(flux) * n + rate(cells) * u * (1 - u)

    truth = solve_ivp(slope, (0, 0.5), np.full(n, 0.1), "LSODA", rtol=1e-8, atol=1e-10, lband=1, uband=1).y[:, -1]
    found = pde.solve(pde.FisherKPP(0.01, rate(x)), space, np.full(64, 0.1), 0.5, steps=50).x
    np.testing.assert_allclose(found, truth.reshape(64, 4).mean(axis=1), atol=2e-3)
    assert abs(truth[-20] - 0.575) < 1e-3


def test_derivatives_by_every_value_of_a_field():
    space = box(Legendre(12, 1.0, left=Dirichlet(1.0)))
    (x,) = space.coordinates()

    def end(D):
        return jnp.sum(pde.solve(pde.Heat(D), space, None, 0.1, steps=8).x ** 2)

    D, step = jnp.asarray(first(x)), 1e-5
    found = jax.grad(end)(D)
    way = jnp.asarray(np.random.default_rng(0).normal(size=12))
    assert float(found @ way) == pytest.approx(float(end(D + step * way) - end(D - step * way)) / (2 * step), rel=1e-5)


def test_single_precision_stays_single_with_fields():
    found = pde.solve(pde.FisherKPP(first, second), periodic(32, 2.0), np.full(32, 0.5, np.float32), 0.1, steps=4)
    assert found.x.dtype == np.float32


def test_a_flow_that_turns_needs_both_walls():
    space = box(Chebyshev(24, 1.0, conditions=(Dirichlet(), ())))
    with pytest.raises(ValueError, match="changes its sign"):
        pde.Advection(lambda x: x - 0.5).check(space)


ILL = [
    (pde.Burgers(-0.05), 1.0, "Burgers is ill-posed forwards"),
    (pde.Heat(lambda x: np.cos(x)), 1.0, "Heat is ill-posed forwards"),
    (pde.KuramotoSivashinsky(-1.0), 1.0, "ill-posed forwards"),
    (pde.CahnHilliard(0.3, -1.0), 1.0, "ill-posed forwards"),
    (pde.Heat(), -1.0, "ill-posed backwards.*cannot be undone"),
    (pde.FitzHughNagumo(1.0, -1.0), 1.0, "ill-posed forwards"),
    (pde.Advection(1.0, 0.1), -1.0, "ill-posed backwards"),
]


@pytest.mark.parametrize(("equation", "t1", "words"), ILL, ids=lambda v: getattr(type(v), "__name__", ""))
def test_ill_posed_problems_are_named(equation, t1, words):
    with pytest.raises(ValueError, match=words):
        pde.solve(equation, periodic(128, 2 * np.pi), None, t1, steps=20)


def test_well_posed_ones_are_not():
    """Long waves that grow, dispersion, waves backwards, a few modes of diffusion undone: all have right digits."""
    ring = periodic(128, 100.0)
    for equation, t1 in ((pde.KuramotoSivashinsky(), 1e6), (pde.SwiftHohenberg(0.9), 1e6), (pde.KdV(), -1e6)):
        dh.pde.posed.check_posed(equation, ring, 0.0, t1, 2e-16)
    for equation in (pde.Wave(), pde.NLSE(), pde.Boussinesq(0.0, 0.0, -1.0)):
        grid = periodic((16,) * equation.dims[-1], 1.0)
        dh.pde.posed.check_posed(equation, grid, 0.0, -1e6 if equation.dims[-1] == 3 else 1e6, 2e-16)
    few = periodic(8, 2 * np.pi)
    (x,) = few.coordinates()
    back = pde.solve(pde.Heat(0.1), few, np.cos(x), -1.0, steps=1).x
    np.testing.assert_allclose(back, np.exp(0.1) * np.cos(x), atol=1e-10)


def test_walls_that_feed_are_named_where_steps_cannot_help():
    space = box(Legendre(32, 1.0, left=Robin(1.0, -0.03)))
    with pytest.raises(dh.SolveError, match=re.escape("no step length helps; look at the signs of alpha and beta")):
        pde.solve(pde.Heat(), space, None, 1.0, steps=50)
