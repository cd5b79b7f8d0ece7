"""Any number of conditions at two walls: eigenvalues of beams, solitons through walls, inflow, orders, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from numpy.polynomial import legendre

import duhamel as dh
from duhamel import pde
from duhamel.core.along import Along
from duhamel.core.linear import Dense
from duhamel.pde import Chebyshev, Cosine, Derivative, Dirichlet, Fourier, Legendre, Neumann, Robin, box

U, FLAT, HINGE, FREE = Dirichlet(), Neumann(), Derivative(2), Derivative(3)
AXES = {
    "none": Chebyshev(24, 2.0, 1.0, ((), ())),
    "inflow": Chebyshev(24, 2.0, 1.0, (U, ())),
    "held": Chebyshev(24, 2.0, 1.0),
    "losses": Chebyshev(25, 1.0, 0.0, (Robin(2.0, 1.0), U)),
    "kdv": Chebyshev(24, 2.0, -1.0, (U, (U, FLAT))),
    "clamped": Chebyshev(24, 1.0, 0.0, ((U, FLAT), (U, FLAT))),
    "cantilever": Chebyshev(30, 1.0, 0.0, ((U, FLAT), (HINGE, FREE))),
    "closed": Chebyshev(30, 3.0, 0.0, ((FLAT, FREE), (FLAT, FREE))),
    "mixed": Chebyshev(30, 1.5, 0.0, ((Robin(1.0, 0.5), FREE), (U, HINGE))),
}
each = pytest.mark.parametrize("name", AXES)


def error(found, truth):
    return float(np.abs(np.asarray(found) - truth).max() / np.abs(truth).max())


@each
def test_modes_are_orthonormal_satisfy_the_conditions_and_come_back(name):
    axis = AXES[name]
    s, w = legendre.leggauss(axis.n)
    values = axis.at(axis.start + axis.length * (s + 1) / 2)
    np.testing.assert_allclose((values.T * w) @ values * axis.length / 2, np.eye(axis.modes), atol=1e-12)
    modes = jnp.asarray(np.random.default_rng(0).normal(size=axis.modes))
    np.testing.assert_allclose(axis.forward(axis.backward(modes)), modes, atol=1e-11)
    for sign, x, end in zip((-1, 1), (axis.start, axis.start + axis.length), axis.ends, strict=True):
        for side in end:
            held = sum(c * sign**order * axis.at(np.array([x]), order) for order, c in side.terms.items())
            assert np.abs(held).max() < 1e-12 * max(np.abs(axis.at(np.array([x]), k)).max() for k in range(5))


@each
@pytest.mark.parametrize("order", [1, 3])
def test_derivatives_at_the_points(name, order):
    axis, x = AXES[name], AXES[name].points[3:-3]
    written = axis.at(x, order)
    low, high = axis.at(x - 1e-5, order - 1), axis.at(x + 1e-5, order - 1)
    np.testing.assert_allclose((high - low) / 2e-5, written, atol=1e-6 * np.abs(written).max())
    modes = jnp.arange(1.0, axis.modes + 1)
    np.testing.assert_allclose(axis.backward(modes, order)[3:-3], written @ modes, rtol=1e-9)


def roots(condition, low, high, count):
    x = np.linspace(low, high, 4000)
    f = condition(x)
    at = np.flatnonzero(f[:-1] * f[1:] < 0)[:count]
    return np.array([scipy.optimize.brentq(condition, x[i], x[i + 1], xtol=1e-14) for i in at])


BEAMS = {  # of d^4/dx^4 on [0, 1]: Rayleigh's frequency equations
    "clamped": (((U, FLAT), (U, FLAT)), lambda z: np.cos(z) - 1 / np.cosh(z)),
    "cantilever": (((U, FLAT), (HINGE, FREE)), lambda z: np.cos(z) + 1 / np.cosh(z)),
    "hinged": (((U, HINGE), (U, HINGE)), np.sin),
    "propped": (((U, FLAT), (U, HINGE)), lambda z: np.sin(z) - np.tanh(z) * np.cos(z)),
}


@pytest.mark.parametrize("beam", BEAMS)
def test_frequencies_of_beams(beam):
    conditions, equation = BEAMS[beam]
    found = np.sort(np.linalg.eigvals(Chebyshev(40, 1.0, conditions=conditions).matrix(4)).real)[:4]
    np.testing.assert_allclose(found, roots(equation, 1.0, 15.0, 4) ** 4, rtol=1e-8)


def test_the_third_derivative_has_the_written_eigenvalues():
    """-u''' = lam u, u(0) = u(1) = u'(1) = 0: u = sum of e^(r x), r^3 = -lam. Its determinant vanishes."""
    found = -Chebyshev(48, 1.0, conditions=(U, (U, FLAT))).matrix(3)
    real = np.sort(-np.linalg.eigvals(found).real)[:3]

    def determinant(c):
        r = c * np.array([1.0, np.exp(2j * np.pi / 3), np.exp(-2j * np.pi / 3)])
        rows = np.array([np.ones(3), np.exp(r), r * np.exp(r)])
        return np.linalg.det(rows).imag * np.exp(-c)

    lams = roots(np.vectorize(determinant), 2.0, 15.0, 3) ** 3
    np.testing.assert_allclose(real, lams, rtol=1e-9)
    assert np.linalg.eigvals(found).real.max() < 0  # all decay


@pytest.mark.slow
@pytest.mark.parametrize("kappa", [1.0])
def test_a_soliton_leaves_through_a_wall(kappa):
    """u(-4), u(4) and u_x(4) move as the closed form; spectral in space, at the method's order in time."""
    equation = pde.KdV()
    crest = lambda x, t: 2 * kappa**2 / jnp.cosh(kappa * (x - 4 * kappa**2 * t - 1.0)) ** 2  # noqa: E731
    slope = lambda t: jax.grad(crest)(4.0, t)  # noqa: E731
    right = (Dirichlet(lambda t: crest(4.0, t)), Neumann(slope))

    def end(n, steps):
        space = box(Chebyshev(n, 8.0, -4.0, (Dirichlet(lambda t: crest(-4.0, t)), right)))
        (x,) = space.coordinates()
        sol = pde.solve(equation, space, crest(x, 0.0), 0.5, steps=steps, method=dh.HochbruckOstermann())
        return error(sol.x, np.asarray(crest(x, 0.5)))

    rough, fine = end(32, 200), end(64, 200)
    assert fine < 1e-6 and rough / fine > 1e3
    assert 3.0 < np.log2(end(64, 50) / end(64, 100)) < 5


METHODS = [dh.HochbruckOstermann(), dh.KenCarp4(), dh.Kvaerno5()]


@pytest.mark.parametrize("method", METHODS, ids=["exponential", "implicit-explicit", "implicit"])
def test_inflow(method):
    """u_t + 2 u_x = 0 with u(0, t) = sin(3 t): what came in travels to the right."""
    space = box(Chebyshev(36, 1.0, conditions=(Dirichlet(lambda t: jnp.sin(3 * t)), ())))
    (x,) = space.coordinates()
    truth = lambda t: np.sin(3 * (t - x / 2))  # noqa: E731
    sol = pde.solve(pde.Advection(2.0), space, truth(0.0), 1.0, control=dh.PID(1e-6, 1e-6), method=method)
    assert error(sol.x, truth(1.0)) < 5e-6


@pytest.mark.parametrize("side", ["values", "slopes"])
@pytest.mark.parametrize("axis", [Chebyshev, Legendre])
def test_burgers_front_between_walls_that_move_with_it(axis, side):
    """u = 1 - 2 tanh((x - t)/(2 nu) 2): a shock layer that enters through one wall, of four times its width."""
    nu, step = 0.25, 1e-3
    front = lambda x, t: 1 - 2 * jnp.tanh((x - t) / nu)  # noqa: E731
    if side == "values":
        ends = tuple(Dirichlet(lambda t, x=x: front(x, t)) for x in (-1.0, 1.0))
    else:
        ends = tuple(Neumann(lambda t, x=x: x * jax.grad(front)(x, t)) for x in (-1.0, 1.0))
    line = axis(64, 2.0, -1.0, ends) if axis is Chebyshev else axis(64, 2.0, -1.0, *ends)
    space = box(line)
    (x,) = space.coordinates()
    sol = pde.solve(pde.Burgers(nu), space, front(x, 0.0), 0.5, dt=5 * step, method=dh.HochbruckOstermann())
    assert error(sol.x, np.asarray(front(x, 0.5))) < 2e-6


TWINS = {  # the same problem in modes that need no matrix
    "cahn-hilliard": (pde.CahnHilliard(0.1), ((FLAT, FREE),) * 2, Cosine(64, 1.0), 0.01),
    "swift-hohenberg": (pde.SwiftHohenberg(0.3), ((U, HINGE),) * 2, pde.Sine(64, 12.0), 4.0),
    "gray-scott": (pde.GrayScott(diffusivity_u=2e-3, diffusivity_v=1e-3), (FLAT, FLAT), Cosine(64, 1.0), 10.0),
    "klein-gordon": (pde.KleinGordon(), (U, U), pde.Sine(64, 12.0), 2.0),
}


@pytest.mark.parametrize("name", TWINS)
def test_the_same_as_in_sines_and_cosines(name):
    equation, conditions, twin, t1 = TWINS[name]
    space, other = box(Chebyshev(72, twin.length, 0.0, conditions)), box(twin)
    s = lambda x: np.pi * x / twin.length  # noqa: E731

    def first(x):
        if isinstance(twin, Cosine):
            u = 0.3 * np.cos(s(x)) + 0.2 * np.cos(3 * s(x)) + 0.4
        else:
            u = 0.5 * np.sin(s(x)) - 0.3 * np.sin(4 * s(x))
        return np.stack([u, 0.5 * u]) if len(equation.fields) > 1 else u

    sol = pde.solve(equation, space, first(space.coordinates()[0]), t1, steps=200)
    truth = pde.solve(equation, other, first(other.coordinates()[0]), t1, steps=200)
    at = np.einsum("xm,...m->...x", twin.at(space.parts[0].points), np.asarray(truth.x1))
    assert error(sol.x, at) < 1e-6
    kept = equation.invariants(space, sol.x1), equation.invariants(other, truth.x1)
    for quantity, value in kept[0].items():
        np.testing.assert_allclose(value, kept[1][quantity], rtol=1e-5, atol=1e-9)


def test_a_channel():
    """Advection and diffusion, held at two walls and periodic along them: one matrix per wave along the channel."""
    space, drift, D = box(Chebyshev(30, 1.0), Fourier(12, 2.0)), 0.7, 0.05
    X, Y = space.coordinates()
    wave = lambda t: np.sin(np.pi * X) * np.cos(np.pi * (Y - drift * t)) * np.exp(-2 * D * np.pi**2 * t)  # noqa: E731
    equation = pde.Advection((0.0, drift), D)
    assert equation.linear(space).matrices.shape == (12, 18, 18)
    sol = pde.solve(equation, space, wave(0.0), 2.0, steps=2)
    assert error(sol.x, wave(2.0)) < 1e-11
    turned = box(Fourier(12, 2.0), Chebyshev(30, 1.0))
    sol = pde.solve(pde.Advection((drift, 0.0), D), turned, wave(0.0).T, 2.0, steps=2)
    assert error(sol.x, wave(2.0).T) < 1e-11


def test_two_walled_axes():
    space = box(Chebyshev(18, 1.0), Chebyshev(16, 2.0, conditions=(FLAT, U)))
    X, Y = space.coordinates()
    first = np.sin(np.pi * X) * np.cos(np.pi * Y / 4)
    sol = pde.solve(pde.Heat(), space, first, 0.1, steps=2)
    assert error(sol.x, first * np.exp(-0.1 * np.pi**2 * (1 + 1 / 16))) < 1e-9


@pytest.mark.parametrize(
    ("equation", "wave", "left", "steps", "order"),
    [
        (pde.Burgers(0.25), lambda x, t: 1 - 2 * jnp.tanh((x - t) / 0.25), -1.0, (20, 80), 3.8),
        (pde.Burgers(0.25), lambda x, t: 1 - 2 * jnp.tanh((x - t - 0.5) / 0.25), 0.0, (20, 80), 2.8),
    ],
    ids=["a layer inside", "a layer that leaves"],
)
def test_order_in_time_where_walls_move(equation, wave, left, steps, order):
    """The lift enters as a force that does not vanish at the walls: ETDRK4 shows an order between its stiff order 2
    and 4, the lower the more happens at the wall."""
    space = box(Chebyshev(72, 1.0 - left, left, tuple(Dirichlet(lambda t, x=x: wave(x, t)) for x in (left, 1.0))))
    (x,) = space.coordinates()
    ends = [pde.solve(equation, space, wave(x, 0.0), 0.5, steps=n, method=dh.ETDRK4()).x for n in steps]
    errors = [error(end, np.asarray(wave(x, 0.5))) for end in ends]
    assert abs(np.log2(errors[0] / errors[1]) / 2 - order) < 0.25


def test_gradients_to_coefficients_of_the_matrix():
    space = box(Chebyshev(18, 1.0, conditions=(U, (U, FLAT))))
    (x,) = space.coordinates()
    first = jnp.asarray(np.sin(np.pi * x) ** 2)

    @jax.jit
    def end(c):
        return pde.solve(pde.KdV(1.0, c), space, first, 1e-2, steps=4, method=dh.ETDRK2()).x.sum()

    difference = (end(0.5 + 1e-5) - end(0.5 - 1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(end)(0.5), difference, rtol=1e-5)


def test_along_is_dense_for_each_of_the_others():
    rng = np.random.default_rng(0)
    A, x, h = rng.normal(size=(3, 8, 8)), jnp.asarray(rng.normal(size=(2, 3, 4))), np.array([0.3, -0.2])
    L = Along(A, (0, 2))
    lanes = jnp.stack([x, 2 * x], axis=-1)
    for k, coefficient in enumerate([*L.phis(2, 0.0, 0.3), *L.resolvents(0.4, 0.0, 0.3)]):
        for i in range(3):
            dense = [*Dense(A[i]).phis(2, 0.0, 0.3), *Dense(A[i]).resolvents(0.4, 0.0, 0.3)][k]
            np.testing.assert_allclose((coefficient * x)[:, i].reshape(-1), dense * x[:, i].reshape(-1), atol=1e-12)
        twice = coefficient * lanes
        np.testing.assert_allclose(twice[..., 1], 2 * (coefficient * x), atol=1e-12)
    for many, traced in zip(
        L.phis(2, np.zeros(2), h), jax.jit(lambda h: L.phis(2, 0.0, h))(jnp.asarray(h)), strict=True
    ):
        np.testing.assert_allclose(many * lanes, traced * lanes, atol=1e-12)
    np.testing.assert_allclose(L.apply(0.0, x)[:, 1].reshape(-1), A[1] @ x[:, 1].reshape(-1), atol=1e-12)
    with pytest.raises(ValueError, match="square matrices"):
        Along(np.zeros((3, 4)), (0,))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Chebyshev(16, 1.0, conditions=(U, 1.0)), "tuple of them"),
        (lambda: Chebyshev(6, 1.0), "needs at least"),
        (lambda: Chebyshev(24, 1.0, conditions=((U, U), ())), "something new"),
        (lambda: Chebyshev(24, 1.0, conditions=(U, HINGE)), "of lower order than the operator"),
        (lambda: pde.KdV().problem(box(Chebyshev(24, 1.0))), "order 3 along axis 0, whose ends have 2 conditions"),
        (lambda: pde.KdV().problem(box(Chebyshev(24, 1.0, conditions=((U, FLAT), U)))), "1 on the left and 2 on"),
        (lambda: pde.Advection(-1.0).problem(box(Chebyshev(24, 1.0, conditions=(U, ())))), "0 on the left and 1 on"),
        (lambda: pde.CahnHilliard().problem(box(Chebyshev(24, 1.0))), "order 4"),
        (lambda: pde.Burgers().problem(box(Cosine(24, 1.0))), "no sum of cosines"),
        (lambda: Legendre(24, 1.0, left=HINGE), "use Chebyshev"),
        (lambda: Legendre(24, 1.0, left=Dirichlet(np.nan)), "finite number, a function of t"),
        (lambda: box(Chebyshev(24, 1.0, conditions=(Dirichlet(jnp.sin), U))).lift, r"take the box at\(t\)"),
    ],
)
def test_what_does_not_fit(build, words):
    with pytest.raises(ValueError, match=words):
        build()
