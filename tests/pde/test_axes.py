"""Axes and boxes with walls: transforms, derivatives, conditions, quadrature and lifts against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from duhamel.pde import Cosine, Dirichlet, Fourier, Legendre, Neumann, Robin, Sine, box

AXES = {
    "fourier even": Fourier(16, 2.0, 0.3),
    "fourier odd": Fourier(15, 2.0),
    "sine": Sine(16, 1.5, 0.2),
    "cosine": Cosine(16, 1.5, -0.2),
    "values": Legendre(24, 2.0, 1.0),
    "fluxes": Legendre(24, 2.0, 1.0, Neumann(), Neumann()),
    "losses": Legendre(25, 1.0, 0.0, Robin(2, 1), Dirichlet()),
    "inhomogeneous": Legendre(48, 1.0, 0.5, Robin(2, 1, 3.0), Dirichlet(1.0)),
}
each = pytest.mark.parametrize("name", AXES)


def some_modes(axis, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=axis.modes)
    if axis.complex:
        a = a + 1j * rng.normal(size=axis.modes)
        if axis.n % 2 == 0:
            a[axis.n // 2] = a[axis.n // 2].real  # all the points see of the Nyquist mode
    return jnp.asarray(a)


@each
def test_forward_undoes_backward(name):
    axis, modes = AXES[name], some_modes(AXES[name])
    np.testing.assert_allclose(axis.forward(axis.backward(modes)), modes, atol=1e-12)


@each
@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_derivatives_are_those_of_the_written_out_modes(name, order):
    axis, modes = AXES[name], some_modes(AXES[name])
    truth = axis.at(axis.points, order) @ np.asarray(modes)
    np.testing.assert_allclose(axis.backward(modes, order), truth, atol=1e-12 * np.abs(truth).max())
    x, step = np.linspace(axis.start + 0.1, axis.start + axis.length - 0.1, 7), 1e-4
    if order:  # the written-out ones by differences
        low, high = axis.at(x - step, order - 1), axis.at(x + step, order - 1)
        written = axis.at(x, order)
        np.testing.assert_allclose((high - low) / (2 * step), written, atol=2e-5 * np.abs(written).max())


@each
def test_modes_are_orthogonal_in_the_quadrature(name):
    axis = AXES[name]
    values = axis.at(axis.points)
    gram = (values.conj().T * axis.weights) @ values
    np.testing.assert_allclose(gram, np.diag(axis.norms), atol=1e-12 * axis.norms.max())


@each
def test_the_conditions_hold(name):
    axis = AXES[name]
    if isinstance(axis, Legendre):
        ends = ((axis.left, axis.start, -1), (axis.right, axis.start + axis.length, 1))
        for c, x, sign in ((end.terms, np.array([x]), sign) for end, x, sign in ends):
            off = c.get(0, 0) * axis.at(x) + sign * c.get(1, 0) * axis.at(x, 1)
            assert np.abs(off).max() < 1e-11 * np.abs(axis.at(x, 1)).max() + 1e-11
    elif isinstance(axis, Sine | Cosine):
        ends = np.array([axis.start, axis.start + axis.length])
        assert np.abs(axis.at(ends, 0 if isinstance(axis, Sine) else 1)).max() < 1e-11


def test_polynomial_modes_converge_to_the_eigenfunctions():
    """u(0) = 0 and 2 u(1) + u'(1) = 0: sin(k x) with k cos(k) + 2 sin(k) = 0, to 1e-12 with 30 modes."""
    axis = Legendre(48, 1.0, 0.0, Dirichlet(), Robin(2, 1))
    condition = lambda k: k * np.cos(k) + 2 * np.sin(k)  # noqa: E731
    exact = [scipy.optimize.brentq(condition, (m + 0.5) * np.pi, (m + 1) * np.pi, xtol=1e-14) for m in range(6)]
    np.testing.assert_allclose(np.sort(-axis.square)[:6], np.square(exact), rtol=1e-12)


def test_the_lift_has_the_values():
    for left, right in (
        (Robin(2, 1, 3.0), Dirichlet(1.0)),
        (Neumann(2.0), Neumann(-0.5)),
        (Dirichlet(1.0), Neumann(3.0)),
    ):
        axis = Legendre(24, 2.0, 1.0, left, right)
        lift = [np.array(axis.values) @ axis.lifts(order) for order in range(3)]
        p = np.polynomial.Polynomial.fit(axis.points, lift[0], 2).convert()
        np.testing.assert_allclose(p.deriv(1)(axis.points), lift[1], atol=1e-11)
        np.testing.assert_allclose(p.deriv(2)(axis.points) + 0 * axis.points, lift[2], atol=1e-11)
        for end, x, sign in ((left, 1.0, -1), (right, 3.0, 1)):
            c = end.terms
            held = c.get(0, 0) * p(x) + sign * c.get(1, 0) * p.deriv(1)(x)
            assert held == pytest.approx(end.value, abs=1e-12)


def test_a_box_of_three_kinds():
    space = box(Cosine(12, 2.0), Legendre(24, 1.0, left=Dirichlet(), right=Neumann()), Fourier(8, 3.0))
    X, Y, Z = space.coordinates()
    u = np.cos(np.pi * X / 2) * np.sin(1.5 * np.pi * Y) * np.cos(2 * np.pi * Z / 3)
    modes = space.to_modes(jnp.asarray(u))
    np.testing.assert_allclose(space.to_points(modes), u, atol=1e-12)
    truth = -np.pi / 2 * np.sin(np.pi * X / 2) * np.sin(1.5 * np.pi * Y) * np.cos(2 * np.pi * Z / 3)
    np.testing.assert_allclose(space.slope(modes, 0), truth, atol=1e-11)
    square = (np.pi / 2) ** 2 + (1.5 * np.pi) ** 2 + (2 * np.pi / 3) ** 2
    np.testing.assert_allclose(space.to_points(space.laplacian() * modes), -square * u, atol=1e-9)
    np.testing.assert_allclose(space.inner(modes, modes), 2.0 * 1.0 * 3.0 / 8, rtol=1e-12)
    np.testing.assert_allclose(space.integral(jnp.asarray(u) ** 2), 2.0 * 1.0 * 3.0 / 8, rtol=1e-12)
    batched = jnp.stack([modes, 2 * modes])
    np.testing.assert_allclose(space.to_points(batched)[1], 2 * u, atol=1e-12)


def test_precision_and_gradients_follow_the_state():
    space = box(Legendre(24, 1.0), Sine(16, 1.0))
    u = jnp.ones(space.shape, jnp.float32)
    assert space.to_modes(u).dtype == jnp.float32
    assert space.to_points(space.to_modes(u)).dtype == jnp.float32
    grad = jax.grad(lambda u: space.inner(space.to_modes(u), space.to_modes(u)))(u)
    assert np.all(np.isfinite(grad))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Sine(3, 1.0), "at least 4 points"),
        (lambda: Cosine(8, -1.0), "positive and finite"),
        (lambda: Robin(0, 0), "says nothing"),
        (lambda: box(Legendre(16, 1.0, left=Dirichlet(1.0)), Sine(8, 1.0)), "contradict each other in the corners"),
        (
            lambda: box(Legendre(16, 1.0, left=Dirichlet(1.0)), Legendre(16, 1.0, left=Dirichlet(2.0))),
            "contradict each other in the corners",
        ),
        (lambda: box(Sine(8, 1.0)).mask(0.0), r"fraction = 0.0"),
        (lambda: box(), "1 to 3 axes"),
    ],
)
def test_boxes_that_cannot_be(build, words):
    with pytest.raises(ValueError, match=words):
        build()
