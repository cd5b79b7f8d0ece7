"""Stefan's front against Neumann's solution; finite elements against manufactured solutions, tractions included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.pde.elliptic.stefan import Stefan, neumann, similarity
from duhamel.testing import measured_order


def march(problem, cells, t=(0.1, 0.5)):
    """Largest error of T, and the error of s, at the end, from Neumann's solution at the first time."""
    xi = problem.points(cells)
    T0, s0 = neumann(problem, t[0], xi)
    sol = problem.solve(T0, float(s0), jnp.array(t))
    T, s = neumann(problem, t[1], xi)
    return float(np.abs(sol.x[0][-1] - T).max()), float(abs(sol.x[1][-1] - s))


def test_neumanns_number_is_the_published_one():
    """Stefan number 1: lambda = 0.620063 (Alexiades and Solomon 1993, section 2.1)."""
    assert similarity(Stefan()) == pytest.approx(0.620063, abs=2e-6)


def test_temperature_and_front_converge_at_second_order():
    problem = Stefan(diffusivity=0.7, stefan=2.0, wall=1.5)
    errors = {n: march(problem, n) for n in (16, 32, 64)}
    for which, within in ((0, 0.3), (1, 0.15)):
        assert measured_order(lambda n, i=which: errors[n][i], (16, 32, 64)) == pytest.approx(2.0, abs=within)
    assert max(errors[64]) < 5e-5


def test_a_front_driven_by_a_flux():
    """-a T_x(0) = e^t with a = ste = 1: T = e^(t - x) - 1, s = t (Zubov's solution of unit speed), second order."""
    problem = Stefan(wall=jnp.exp, flux=True)

    def error(n):
        xi = problem.points(n)
        sol = problem.solve(np.exp(0.3 * (1 - xi)) - 1, 0.3, jnp.array([0.3, 0.8]))
        return float(abs(sol.x[1][-1] - 0.8) + np.abs(sol.x[0][-1] - (np.exp(0.8 * (1 - xi)) - 1)).max())

    assert measured_order(error, (8, 12, 16)) == pytest.approx(2.0, abs=0.25)


def test_the_front_is_differentiable_in_the_diffusivity():
    """s = 2 lambda sqrt(a t) from a start that does not depend on a: against a central difference."""
    problem = Stefan()
    T0, s0 = neumann(problem, 0.1, problem.points(8))
    front = lambda a: Stefan(a).solve(T0, float(s0), jnp.array([0.0, 0.3])).x[1][-1]  # noqa: E731
    h = 1e-4
    assert jax.grad(front)(1.0) == pytest.approx(float((front(1 + h) - front(1 - h)) / (2 * h)), rel=1e-4)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: Stefan(-1.0), "diffusivity = -1.0: it must be positive"),
        (lambda: Stefan().solve(np.ones(7), 0.0, jnp.array([0.0, 1.0])), "s0 > 0"),
        (lambda: Stefan().points(2), "at least 4"),
        (lambda: Stefan().solve(np.ones((2, 2)), 1.0, jnp.array([0.0, 1.0])), "one temperature for each"),
        (lambda: similarity(Stefan(flux=True)), "constant temperature"),
    ],
)
def test_mistakes_of_a_front_are_named(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def fem():
    pytest.importorskip("skfem")
    from duhamel.pde.elliptic import fem

    return fem


def height(x, y):
    return np.sin(2 * x + 0.3) * np.exp(y)


@pytest.mark.parametrize(("degree", "order"), [(1, 2), (2, 3)])
def test_poisson_on_triangles(degree, order):
    """-div((1 + x) grad u) = f, u given on three sides and the flux on the right one."""
    elements = fem()
    a = lambda x, y: 1 + x  # noqa: E731
    du = lambda x, y: 2 * np.cos(2 * x + 0.3) * np.exp(y)  # noqa: E731
    f = lambda x, y: (1 + x) * 3 * height(x, y) - du(x, y)  # noqa: E731
    flux = {"right": lambda x, y: a(x, y) * du(x, y)}

    def error(n):
        return elements.poisson(elements.square(n), f, height, a=a, flux=flux, degree=degree).error(height)

    assert measured_order(error, (8, 12, 16, 24)) == pytest.approx(order, abs=0.2)


def displacement(x, y):
    return np.stack([np.sin(x) * np.cos(2 * y), np.cos(x + y)])


def stress_and_force(lam, mu):
    """sigma (2, 2) and -div sigma at points, of `displacement`, by automatic differentiation."""
    u = lambda p: jnp.stack([jnp.sin(p[0]) * jnp.cos(2 * p[1]), jnp.cos(p[0] + p[1])])  # noqa: E731

    def stress(p):
        g = jax.jacfwd(u)(p)
        e = (g + g.T) / 2
        return lam * jnp.trace(e) * jnp.eye(2) + 2 * mu * e

    force = lambda p: -jnp.trace(jax.jacfwd(stress)(p), axis1=1, axis2=2)  # noqa: E731

    def over(function):
        def at(x, y):
            flat = jax.vmap(function)(jnp.stack([x.ravel(), y.ravel()], axis=1))
            return np.moveaxis(np.asarray(flat), 0, -1).reshape(*flat.shape[1:], *x.shape)

        return at

    return over(stress), over(force)


@pytest.mark.parametrize(("degree", "order"), [(1, 2), (2, 3)])
def test_elasticity_with_a_pulled_side(degree, order):
    """Displacement on three sides, traction sigma n on the right one."""
    elements = fem()
    lam, mu = 2.0, 0.7
    stress, force = stress_and_force(lam, mu)
    pulled = {"right": lambda x, y: stress(x, y)[:, 0]}

    def error(n):
        how = {"lam": lam, "mu": mu, "traction": pulled, "degree": degree}
        return elements.elasticity(elements.square(n), force, displacement, **how).error(displacement)

    assert measured_order(error, (4, 6, 8, 12)) == pytest.approx(order, abs=0.25)


def test_rigid_motion_carries_no_stress():
    """A small rotation and shift on the boundary is one everywhere, to rounding."""
    elements = fem()
    rigid = lambda x, y: np.stack([0.1 - 0.3 * y, 0.2 + 0.3 * x])  # noqa: E731
    found = elements.elasticity(elements.square(5), lambda x, y: 0 * np.stack([x, y]), rigid, degree=1)
    assert found.error(rigid) < 1e-13 and found.corners.shape == (2, 36)


def test_mistakes_on_meshes_are_named():
    elements = fem()
    mesh = elements.square(2)
    zero = lambda x, y: 0 * x  # noqa: E731
    with pytest.raises(ValueError, match="no boundary called 'rigth'; it has left"):
        elements.poisson(mesh, zero, zero, flux={"rigth": zero})
    with pytest.raises(ValueError, match="degree = 3"):
        elements.poisson(mesh, zero, zero, degree=3)
    with pytest.raises(ValueError, match="given nowhere"):
        elements.poisson(mesh, zero, zero, flux=dict.fromkeys(("left", "right", "bottom", "top"), zero))
    with pytest.raises(ValueError, match="mu > 0"):
        elements.elasticity(mesh, zero, zero, mu=-1.0)
    with pytest.raises(ValueError, match="must be finite"):
        elements.poisson(mesh, lambda x, y: np.nan * x, zero)
