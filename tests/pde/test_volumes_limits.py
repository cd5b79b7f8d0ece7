"""Steps that know every term of a law, coefficients in space, and what is said at the door of finite volumes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel import pde
from duhamel.methods.tableaux import ssp
from duhamel.pde import volumes
from duhamel.pde.volumes.kdv_burgers import DECAY, OSCILLATION
from duhamel.pde.volumes.reach import reach

LINE = volumes.box(20)
WAVE = np.sin(2 * np.pi * (np.arange(20) + 0.5) / 20)[None]


def test_how_far_methods_are_stable():
    """The known intervals: of RK3 2.51 and sqrt 3, of Euler's polynomial pair 2 and none, of SSPRK(10,4) 13.9."""
    assert reach(ssp.SSPRK3) == pytest.approx((2.5127, 3**0.5), abs=4e-3)
    assert reach(ssp.SSPRK2) == pytest.approx((2.0, 0.0), abs=2e-3)
    assert reach(ssp.SSPRK104)[0] == pytest.approx(13.917, abs=2e-2)


def test_largest_eigenvalues_of_viscosity_and_dispersion():
    """Of the scheme's own matrix, by NumPy."""
    n, mesh = 24, volumes.box(24, 24.0)
    for law, largest in ((volumes.KdVBurgers(0.0, 1.0), DECAY), (volumes.KdVBurgers(0.0, 0.0, 1.0), OSCILLATION)):
        field = volumes.Residual(law, mesh, volumes.PiecewiseConstant(), volumes.HLL())
        matrix = np.stack([np.asarray(field(0.0, jnp.asarray(row[None])))[0] for row in np.eye(n)[:1]])[0]
        values = np.fft.fft(matrix)  # circulant
        assert np.abs(values).max() == pytest.approx(largest, rel=2e-2) and np.abs(values).max() < largest * 1.0001


@pytest.mark.parametrize(
    ("beta", "gamma", "scheme"),
    [(0.2, 0.0, None), (0.1, 0.02, volumes.WENO5())],
    ids=["viscous", "dispersive"],
)
def test_default_steps_of_kdv_burgers_are_stable(beta, gamma, scheme):
    mesh, grid = volumes.box(200, 16.0), pde.periodic(400, 16.0)
    (x,), (fine,) = mesh.centres(), grid.coordinates()
    found = volumes.solve(
        volumes.KdVBurgers(0.5, beta, gamma), mesh, np.sin(np.pi * x / 8)[None], 4.0, reconstruct=scheme
    )
    truth = pde.solve(pde.KdVBurgers(0.5, beta, gamma), grid, np.sin(np.pi * fine / 8), 4.0, steps=400).x
    assert np.abs(np.asarray(found.x[0]) - np.asarray(truth)[1::2]).max() < 0.02


def test_other_methods_have_their_own_limits():
    """With SSPRK(10,4) steps are six times as long, with either stable."""
    law, mesh = volumes.KdVBurgers(0.0, 0.5), volumes.box(64, 2 * np.pi)
    (x,) = mesh.centres()
    truth = np.exp(-0.5) * np.sin(x)
    found = volumes.solve(law, mesh, np.sin(x)[None], 1.0, method=dh.SSPRK104())
    assert np.abs(found.x[0] - truth).max() < 1e-3 and int(found.stats.accepted) < 80


def speed(x):
    return 2 + np.sin(2 * np.pi * x)


def carried(x, t):
    """u of u_t + (a u)_x = 0 on a ring of length 1, a = 2 + sin 2 pi x: u a is constant along dx/dt = a. Closed form:

    tan(pi x) = s tan(pi s (tau + t)) - 1/2, s = sqrt(3)/2, tau the time at which it would be at 0
    """
    s, first = 3**0.5 / 2, lambda x: 1 + 0.5 * np.sin(2 * np.pi * x)
    tau = (np.arctan((np.tan(np.pi * x) + 0.5) / s) / (np.pi * s * 2)) * 1.0
    at = np.arctan(s * np.tan(np.pi * s * 2 * (tau - t)) - 0.5) / np.pi
    return first(at) * speed(at) / speed(x)


@pytest.mark.parametrize("given", ["function", "array"])
@pytest.mark.parametrize(
    ("scheme", "order", "n"), [(volumes.MUSCL(), 2, 80), (volumes.WENO5(), 5, 40)], ids=["muscl", "weno"]
)
def test_advection_with_a_velocity_that_varies(given, scheme, order, n):
    nodes, weights = np.polynomial.legendre.leggauss(6)
    errors = []
    for cells in (n, 2 * n):
        mesh = volumes.box(cells)
        (x,) = mesh.centres()
        mean = lambda f, x=x, cells=cells: (f(x[:, None] + nodes / (2 * cells)) * weights / 2).sum(axis=1)  # noqa: E731
        law = volumes.Advection((speed if given == "function" else mean(speed),))
        u0 = mean(lambda y: carried(y, 0.0))
        found = volumes.solve(law, mesh, u0[None], 0.15, reconstruct=scheme, cfl=0.2)
        assert float(jnp.sum(found.x)) == pytest.approx(u0.sum(), rel=1e-13)
        errors.append(np.abs(found.x[0] - mean(lambda y: carried(y, 0.15))).mean())
    assert np.log2(errors[0] / errors[1]) > order - 0.4 and errors[1] < 3e-3


def test_a_vortex_in_a_square_carries_mass_around():
    """u = 1 stays 1 in a flow without divergence: differences of the face velocities cancel."""
    mesh = volumes.box((24, 24))
    flow = (
        lambda x, y: np.sin(2 * np.pi * x) * np.cos(2 * np.pi * y),
        lambda x, y: -np.cos(2 * np.pi * x) * np.sin(2 * np.pi * y),
    )
    found = volumes.solve(volumes.Advection(flow), mesh, np.ones((1, 24, 24)), 0.3)
    np.testing.assert_allclose(found.x, 1.0, atol=1e-12)


def test_an_own_law_with_a_field():
    class Traffic(volumes.law.ScalarLaw):
        """u_t + (v(x) u (1 - u))_x = 0"""

        varying = ("v",)
        v: object = 1.0
        dim: int = 1

        def flux(self, w, axis):
            return self.v * w * (1 - w)

        def speeds(self, w, axis):
            c = self.v * (1 - 2 * w[0])
            return c, c

    mesh = volumes.box(40)
    found = volumes.solve(
        Traffic(lambda x: 1.5 + 0 * x), mesh, 0.3 + 0.1 * np.sin(2 * np.pi * mesh.centres()[0])[None], 0.2
    )
    same = volumes.solve(Traffic(1.5), mesh, 0.3 + 0.1 * np.sin(2 * np.pi * mesh.centres()[0])[None], 0.2)
    np.testing.assert_allclose(found.x, same.x, atol=1e-13)


@pytest.mark.slow
def test_gradients_by_a_field():
    mesh = volumes.box(12)
    u0 = 1 + 0.1 * np.sin(2 * np.pi * mesh.centres()[0])[None]
    scheme = volumes.PiecewiseConstant()

    def end(a):
        return jnp.sum(volumes.solve(volumes.Advection((a,)), mesh, u0, 0.1, steps=4, reconstruct=scheme).x ** 2)

    a, step = jnp.asarray(speed(mesh.centres()[0])), 1e-6
    one = jnp.zeros(12).at[3].set(step)
    assert float(jax.grad(end)(a)[3]) == pytest.approx(float(end(a + one) - end(a - one)) / 2 / step, rel=1e-6)


dry = np.stack([np.where(np.arange(20) == 7, -0.1, 1.0), np.zeros(20)])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: volumes.solve(volumes.ShallowWater(), LINE, dry, 0.1), "smallest depth is -0.1, at x = 0.375"),
        (lambda: volumes.solve(volumes.KdVBurgers(0.5, -0.1), LINE, WAVE, 0.1), "ill-posed"),
        (
            lambda: volumes.solve(volumes.KdVBurgers(0.5, 0.1), LINE, WAVE, 0.1, steps=10),
            r"viscosity and dispersion counted with it\).* take \d+ steps or more",
        ),
        (
            lambda: volumes.solve(volumes.KdVBurgers(0.5, 0.0, 1.0), LINE, WAVE, 0.1, method=dh.SSPRK2()),
            "amplifies waves that only oscillate",
        ),
        (
            lambda: volumes.solve(
                volumes.KdVBurgers(), LINE, np.ones((1, 80)), 0.1, reconstruct=volumes.SpectralDifference()
            ),
            "knows nothing but the waves",
        ),
        (lambda: volumes.solve(volumes.KdVBurgers(np.ones(20)), LINE, WAVE, 0.1), "KdVBurgers: alpha is one number"),
        (lambda: volumes.solve(volumes.Euler(np.ones(20)), LINE, np.ones((3, 20)), 0.1), "Euler: gamma is one number"),
        (lambda: volumes.solve(volumes.Advection((np.ones(19),)), LINE, WAVE, 0.1), r"velocity\[0\] has shape \(19,\)"),
        (lambda: volumes.solve(volumes.Advection((lambda x: x / 0 * 0,)), LINE, WAVE, 0.1), "NaN or infinity"),
        (lambda: volumes.Advection(np.ones((100,))), "velocity has 100 entries"),
        (lambda: volumes.solve(lambda t, u: u, LINE, WAVE, 0.1), "law is a function"),
        (lambda: volumes.solve(volumes.Burgers, LINE, WAVE, 0.1), r"make one of it: volumes.Burgers\(\)"),
        (lambda: volumes.solve(volumes.Burgers(), pde.periodic(20, 1.0), WAVE, 0.1), "mesh is a Grid"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_what_does_not_fit_is_named(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()


def test_progress_and_going_on():
    law, u0, parts = volumes.Burgers(), WAVE + 2, []
    first = volumes.solve(law, LINE, u0, 0.05, progress=lambda part: parts.append(float(part)))
    jax.effects_barrier()
    assert parts[-1] == 1.0 and parts == sorted(parts)
    whole = volumes.solve(law, LINE, u0, [0.05, 0.1]).x
    np.testing.assert_allclose(volumes.solve(law, LINE, first, 0.1).x, whole[1], atol=1e-14)


def test_a_bed_as_a_function():
    mesh = volumes.box(20)
    lake = np.stack([1 - 0.3 * np.sin(np.pi * mesh.centres()[0]), np.zeros(20)])
    law = volumes.ShallowWater(bathymetry=lambda x: 0.3 * np.sin(np.pi * x))
    np.testing.assert_allclose(volumes.solve(law, mesh, lake, 0.1).x, lake, atol=1e-13)
