"""Magnetohydrodynamics and the isentropic vortex: waves in closed form, shocks, div B."""

import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.pde import volumes as fv
from duhamel.testing import measured_order


def alfven(x, t):
    """Circularly polarised Alfven wave of speed 1 and any amplitude: exact (Toth 2000, section 6.3.1)."""
    s, c, one = 0.1 * np.sin(2 * np.pi * (x - t)), 0.1 * np.cos(2 * np.pi * (x - t)), np.ones_like(x)
    return np.stack([one, 0 * x, -s, -c, one, s, c, 0.1 * one])


def conserved(law, w):
    return np.array(law.conserved(jnp.asarray(w)))


@pytest.mark.parametrize(
    ("reconstruct", "low", "high"), [(fv.MUSCL("van-leer"), 1.6, 2.2), (fv.WENO5(), 4.8, 5.2)], ids=str
)
def test_alfven_waves_converge(reconstruct, low, high):
    law = fv.MHD()

    def error(n):
        (x,) = fv.box(n).centres()

        def averages(t):  # means of sines are sines
            u = conserved(law, alfven(x, t))
            u[[2, 3, 5, 6]] *= np.sinc(1 / n)
            return u

        cfl = 0.4 * (16 / n) ** (2 / 3) if isinstance(reconstruct, fv.WENO5) else 0.4
        sol = fv.solve(law, fv.box(n), averages(0.0), 1.0, reconstruct=reconstruct, cfl=cfl)
        return float(np.abs(sol.x - averages(1.0)).mean())

    grids = (16, 20, 24) if isinstance(reconstruct, fv.WENO5) else (32, 48, 64)
    assert low < measured_order(error, grids) < high


def brio_wu(n, **how):
    law, mesh = fv.MHD(2.0), fv.box(n, sides=fv.Outflow())
    (x,) = mesh.centres()
    left, right = np.array([1, 0, 0, 0, 0.75, 1, 0, 1.0]), np.array([0.125, 0, 0, 0, 0.75, -1, 0, 0.1])
    w0 = np.where(x < 0.5, left[:, None], right[:, None])
    return np.asarray(law.primitive(fv.solve(law, mesh, conserved(law, w0), 0.1, **how).x)), x


def test_brio_and_wu_s_tube():
    """Compound wave, contact and fast waves where everybody has them; HLLD closer to a fine solution than HLL."""
    fine = brio_wu(800)[0][0].reshape(-1, 8).mean(axis=1)
    w, x = brio_wu(100)
    rough = brio_wu(100, riemann=fv.HLL())[0]
    errors = [np.abs(v[0] - fine).mean() / fine.mean() for v in (w, rough)]
    assert errors[0] < 0.02
    assert errors[0] < 0.8 * errors[1]
    assert np.abs(w[4] - 0.75).max() < 1e-14  # the normal field
    # Density between the compound wave and the contact, and behind it (Brio and Wu 1988, figure 2).
    assert w[0][np.abs(x - 0.53).argmin()] == pytest.approx(0.69, abs=0.03)
    assert w[0][np.abs(x - 0.60).argmin()] == pytest.approx(0.25, abs=0.03)
    # Across a contact through which the field passes, everything but the density is continuous (within 100 cells).
    behind, ahead = (w[:, np.abs(x - at).argmin()] for at in (0.53, 0.60))
    np.testing.assert_allclose(behind[1:], ahead[1:], atol=0.06)


def orszag_tang(n):
    law, mesh = fv.MHD(dim=2), fv.box((n, n))
    x, y = np.broadcast_arrays(*mesh.centres())
    one, B = np.ones((n, n)), 1 / np.sqrt(4 * np.pi)
    w = [25 / (36 * np.pi) * one, -np.sin(2 * np.pi * y), np.sin(2 * np.pi * x), 0 * one]
    w += [-B * np.sin(2 * np.pi * y), B * np.sin(4 * np.pi * x), 0 * one, 5 / (12 * np.pi) * one]
    return law, mesh, conserved(law, np.stack(w))


def test_orszag_and_tang_s_vortex_keeps_div_b():
    law, mesh, u0 = orszag_tang(32)
    sol = fv.solve(law, mesh, u0, 0.25)
    assert np.abs(law.divergence(mesh, sol.x)).max() * mesh.width[0] < 1e-13
    assert np.abs(mesh.integral(sol.x) - mesh.integral(u0)).max() < 1e-13
    w = np.asarray(law.primitive(sol.x))
    assert w[0].min() > 0.05 and w[7].min() > 0.01
    assert w[0].max() > 1.5 * w[0].mean()  # shocks have formed
    # The flow repeats itself turned by 180 degrees, about the centre of the box.
    np.testing.assert_allclose(w[0], w[0][::-1, ::-1], atol=1e-10)


@pytest.mark.slow
def test_an_alfven_wave_along_the_diagonal_converges():
    """Constrained transport is second order: the wave leaves both axes at 45 degrees."""
    law = fv.MHD(dim=2)

    def fields(n, t):
        x, y = np.broadcast_arrays(*fv.box((n, n)).centres())
        w = alfven(x + y, np.sqrt(2) * t)
        r = np.sqrt(0.5)
        turn = lambda a, b: (r * (a - b), r * (a + b))  # noqa: E731
        w[1], w[2] = turn(w[1], w[2])
        w[4], w[5] = turn(w[4], w[5])
        return conserved(law, w)

    def error(n):
        mesh = fv.box((n, n))
        sol = fv.solve(law, mesh, fields(n, 0.0), 0.3, reconstruct=fv.MUSCL("van-leer"))
        assert np.abs(law.divergence(mesh, sol.x)).max() < 1e-11
        return float(np.abs(sol.x - fields(n, 0.3)).mean())

    assert np.log2(error(16) / error(32)) > 1.6


@pytest.mark.slow
def test_the_isentropic_vortex_converges():
    """C.-W. Shu (1998): a vortex carried along the diagonal without a change; a box of 10, strength 5.

    One flux at the middle of each face holds WENO5 to order 2 in the end; from 24 to 48 cells its slope is 3.2."""
    law, gamma, L = fv.Euler(dim=2), 1.4, 10.0
    nodes, weights = np.polynomial.legendre.leggauss(3)

    def averages(n, t):
        edges = (np.arange(n) + 0.5)[:, None] * L / n + 0.5 * L / n * nodes
        x, y = np.meshgrid(edges.ravel(), edges.ravel(), indexing="ij")
        x, y = ((v - t) % L - L / 2 for v in (x, y))
        bump = 5 / (2 * np.pi) * np.exp(0.5 * (1 - x**2 - y**2))
        T = 1 - (gamma - 1) / (2 * gamma) * bump**2
        rho = T ** (1 / (gamma - 1))
        u = conserved(law, np.stack([rho, 1 - y * bump, 1 + x * bump, rho * T])).reshape(4, n, 3, n, 3)
        return np.einsum("faibj,i,j->fab", u, weights / 2, weights / 2)

    def error(n, reconstruct):
        sol = fv.solve(law, fv.box((n, n), L), averages(n, 0.0), 1.0, reconstruct=reconstruct)
        return float(np.abs(sol.x[0] - averages(n, 1.0)[0]).mean())

    muscl = [error(n, fv.MUSCL("van-leer")) for n in (24, 48)]
    weno = [error(n, fv.WENO5()) for n in (24, 48)]
    assert np.log2(muscl[0] / muscl[1]) == pytest.approx(2, abs=0.1)
    assert np.log2(weno[0] / weno[1]) > 3
    assert weno[0] < 0.4 * muscl[0] and weno[1] < 0.2 * muscl[1]
