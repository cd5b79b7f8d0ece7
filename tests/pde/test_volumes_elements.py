"""Spectral differences: orders p + 1, conservation, shocks, and the tables against polynomials."""

import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.pde import volumes as fv
from duhamel.pde.volumes.spectral_difference import ElementResidual, _tables
from duhamel.problems.riemann import SOD, shock_tube
from duhamel.testing import measured_order


@pytest.mark.parametrize("p", range(1, 6))
def test_averages_fix_a_polynomial(p):
    """x^k for k <= p, from its averages, at the flux points; p + 2 of those, symmetric."""
    tables = _tables(p)
    assert len(tables.nodes) == p + 2
    np.testing.assert_allclose(tables.nodes, -tables.nodes[::-1], atol=1e-15)
    for k in range(p + 1):
        averages = np.diff(tables.nodes ** (k + 1)) / (k + 1) / np.diff(tables.nodes)
        np.testing.assert_allclose(tables.values @ averages, tables.nodes**k, atol=1e-12)


@pytest.mark.parametrize("p", [1, 2, 3, 4])
def test_order_on_a_travelling_wave(p):
    law, scheme = fv.Advection((1.0,)), fv.SpectralDifference(p)

    def error(n):
        mesh = fv.box(n)
        u0 = scheme.averages(mesh, lambda x: np.sin(2 * np.pi * x)[None])
        cfl = 0.4 if p < 3 else 0.2 * (6 / n) ** ((p - 2) / 3)
        sol = fv.solve(law, mesh, u0, 1.0, reconstruct=scheme, cfl=cfl)
        assert float(scheme.integral(mesh, sol.x)[0]) == pytest.approx(0.0, abs=1e-14)
        return float(np.abs(sol.x - u0).mean())

    assert p + 0.5 < measured_order(error, (10, 15, 20) if p < 4 else (6, 9, 12)) < p + 1.6


@pytest.mark.parametrize("sides", [fv.Periodic(), fv.Outflow(), fv.Wall(), fv.Inflow((1.0, 0.3, 1.0))], ids=str)
def test_a_uniform_state_stays_uniform_inside(sides):
    law, mesh, scheme = fv.Euler(), fv.box(8, sides=sides), fv.SpectralDifference(3)
    velocity = 0.0 if isinstance(sides, fv.Wall) else 0.3
    w = jnp.broadcast_to(jnp.array([1.0, velocity, 1.0])[:, None], (3, 32))
    rate = ElementResidual(law, mesh, scheme, fv.HLLC())(0.0, law.conserved(w))
    assert float(jnp.abs(rate).max()) < 1e-12


def test_sod_in_elements():
    """Fifty elements of degree 3: shocks stay inside an element, and the error is that of 200 cells by MUSCL."""
    law, mesh, scheme = fv.Euler(), fv.box(50, sides=fv.Outflow()), fv.SpectralDifference(3)
    left, right = (np.array(side)[:, None] for side in SOD)
    start = lambda x: np.asarray(law.conserved(jnp.asarray(np.where(x < 0.5, left, right))))  # noqa: E731
    sol = fv.solve(law, mesh, scheme.averages(mesh, start), 0.2, reconstruct=scheme)
    exact = scheme.averages(mesh, lambda x: shock_tube(*SOD, (x - 0.5) / 0.2)[:1])
    error = np.sum(np.abs(sol.x[0] - exact[0]) * scheme.widths(mesh))
    assert error < 0.0035
    assert float(sol.x[0].min()) > 0.12 and float(sol.x[0].max()) < 1.005


def test_polynomials_alone_do_not_hold_a_shock():
    """What the limited fluxes are for: without them Burgers' shock overshoots by more than a tenth."""
    mesh = fv.box(20)
    peaks = {}
    for shocks in (True, False):
        scheme = fv.SpectralDifference(3, shocks=shocks)
        u0 = scheme.averages(mesh, lambda x: 1 + np.sin(2 * np.pi * x)[None])
        peaks[shocks] = float(fv.solve(fv.Burgers(), mesh, u0, 0.3, reconstruct=scheme).x.max())
    assert peaks[True] < 2.0 < 2.1 < peaks[False]


def test_elements_refuse_two_dimensions_and_high_degrees():
    with pytest.raises(ValueError, match="written in one dimension"):
        law = fv.Euler(dim=2)
        u0 = law.conserved(jnp.ones((4, 8, 32)))
        fv.solve(law, fv.box((8, 8)), u0, 0.1, reconstruct=fv.SpectralDifference(3))
    with pytest.raises(ValueError, match="is 1 to 5, got 9"):
        fv.SpectralDifference(9)
