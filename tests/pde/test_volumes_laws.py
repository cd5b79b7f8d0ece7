"""Laws and Riemann solvers against what defines them: Jacobians, consistency, upwinding, symmetries."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.pde import volumes as fv
from duhamel.problems.riemann import SOD, shock_tube
from duhamel.problems.water import dam_break

LAWS = {
    "advection": fv.Advection((0.7, -0.4)),
    "burgers": fv.Burgers(2),
    "kdv-burgers": fv.KdVBurgers(0.7, 0.1, 0.2),
    "euler-1d": fv.Euler(),
    "euler-2d": fv.Euler(5 / 3, 2),
    "shallow-1d": fv.ShallowWater(),
    "shallow-2d": fv.ShallowWater(1.0, dim=2),
    "mhd-1d": fv.MHD(2.0),
    "mhd-2d": fv.MHD(5 / 3, 2),
}
SOLVERS = {"rusanov": fv.Rusanov(), "hll": fv.HLL(), "hllc": fv.HLLC(), "hlld": fv.HLLD()}
each_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)


def states(law, n=6, seed=0, fast=0.0):
    """Random primitive states, positive where they must be; `fast` is added to the first velocity."""
    w = np.random.default_rng(seed).uniform(-0.8, 0.9, (len(law.primitives), n))
    for i, name in enumerate(law.primitives):
        if name in ("density", "pressure", "depth"):
            w[i] = np.abs(w[i]) + 0.3
        if name in ("velocity x", "u"):
            w[i] = w[i] + fast
    return jnp.asarray(w)


def flux_of(law, axis, u):
    return law.flux(law.primitive(u[:, None]), axis)[:, 0]


def pairs():
    for name, law in LAWS.items():
        for solver in SOLVERS:
            fits = {"hllc": "euler", "hlld": "mhd"}.get(solver, "")
            if name.startswith(fits):
                yield pytest.param(law, SOLVERS[solver], id=f"{name}-{solver}")


@each_law
def test_primitive_and_conserved_fields_are_two_views_of_one_state(law):
    w = states(law)
    np.testing.assert_allclose(law.primitive(law.conserved(w)), w, rtol=1e-13, atol=1e-14)
    assert len(law.names) == len(law.primitives) == w.shape[0]


@each_law
def test_speeds_are_the_extreme_eigenvalues_of_the_flux(law):
    for axis in range(law.dim):
        w = states(law)
        low, high = law.speeds(w, axis)
        for i in range(w.shape[1]):
            J = jax.jacfwd(partial(flux_of, law, axis))(law.conserved(w)[:, i])
            eigen = np.linalg.eigvals(np.asarray(J))
            assert np.abs(eigen.imag).max() < 1e-6
            # MHD's Jacobian without div B terms has the further eigenvalue 0, that of the normal field.
            real = [e for e in eigen.real if abs(e) > 1e-9]
            assert min(real) == pytest.approx(float(low[i]), rel=1e-7) or (float(low[i]) > 0 and 0 in eigen.round(9))
            assert max(real) == pytest.approx(float(high[i]), rel=1e-7) or float(high[i]) < 0


@pytest.mark.parametrize(("law", "riemann"), list(pairs()))
def test_a_riemann_solver_is_consistent_and_takes_the_side_the_wind_comes_from(law, riemann):
    w = states(law)
    if isinstance(law, fv.MHD):
        w = w.at[4].set(0.6)
    np.testing.assert_allclose(riemann(law, w, w, 0), law.flux(w, 0), rtol=1e-11, atol=1e-12)
    if isinstance(riemann, fv.Rusanov) or isinstance(law, fv.Advection):
        return
    left, right = states(law, seed=1, fast=9.0), states(law, seed=2, fast=9.0)
    if isinstance(law, fv.MHD):
        left, right = left.at[4].set(0.6), right.at[4].set(0.6)
    assert np.min(law.signals(left, right, 0)[0]) > 0
    np.testing.assert_allclose(riemann(law, left, right, 0), law.flux(left, 0), rtol=1e-12)


@pytest.mark.parametrize(("law", "riemann"), list(pairs()))
def test_the_mirror_image_has_the_mirrored_flux(law, riemann):
    """Seen from behind, mass flows the other way and pressure is the same."""
    if isinstance(law, fv.Advection | fv.Burgers | fv.KdVBurgers):
        pytest.skip("a given velocity and u^2 have no mirror image")
    left, right = states(law, seed=3), states(law, seed=4)
    if isinstance(law, fv.MHD):
        left, right = left.at[4].set(0.6), right.at[4].set(0.6)
    turned = [i for vector in law.vectors for i in vector[:1]]
    signs = np.ones((len(law.names), 1))
    signs[turned] = -1
    mirrored = riemann(law, signs * right, signs * left, 0)
    np.testing.assert_allclose(mirrored, -signs * riemann(law, left, right, 0), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["euler-2d", "shallow-2d", "mhd-2d"])
def test_both_axes_have_the_same_physics(name):
    """Exchanging x and y exchanges the fluxes, solver included."""
    law = LAWS[name]
    order = list(range(len(law.names)))
    for vector in law.vectors:
        order[vector[0]], order[vector[1]] = vector[1], vector[0]
    left, right = states(law, seed=5), states(law, seed=6)
    if name == "mhd-2d":
        left, right = left.at[4].set(0.6), right.at[4].set(0.6)
    riemann = {"euler-2d": fv.HLLC(), "shallow-2d": fv.HLL(), "mhd-2d": fv.HLLD()}[name]
    order = np.array(order)
    turned = riemann(law, left[order], right[order], 1)
    np.testing.assert_allclose(turned[order], riemann(law, left, right, 0), rtol=1e-11, atol=1e-13)


def test_hllc_and_hlld_keep_a_standing_contact():
    """Exactly: pressure and velocity equal, density jumps; HLL smears it."""
    w = jnp.array([[1.0, 0.0, 1.0], [0.2, 0.0, 1.0]]).T[..., None]
    law = fv.Euler()
    assert np.abs(fv.HLLC()(law, w[:, 0], w[:, 1], 0)[0]).max() < 1e-15
    assert np.abs(fv.HLL()(law, w[:, 0], w[:, 1], 0)[0]).max() > 0.1
    v = jnp.array([[1.0, 0, 0, 0, 0.5, 0.3, 0.1, 1.0], [0.2, 0, 0, 0, 0.5, 0.3, 0.1, 1.0]]).T[..., None]
    law = fv.MHD()
    assert np.abs(fv.HLLD()(law, v[:, 0], v[:, 1], 0)[0]).max() < 1e-15


def test_hlld_keeps_a_standing_rotational_discontinuity():
    """An Alfven wave that stands still: v_n = B_n/sqrt(rho), the tangential field turned by 90 degrees."""
    law, rho, Bn = fv.MHD(), 1.3, 0.8
    left = np.array([rho, Bn / np.sqrt(rho), 0.5 / np.sqrt(rho), 0.0, Bn, 0.5, 0.0, 0.9])
    right = np.array([rho, Bn / np.sqrt(rho), 0.0, 0.5 / np.sqrt(rho), Bn, 0.0, 0.5, 0.9])
    left, right = jnp.asarray(left)[:, None], jnp.asarray(right)[:, None]
    np.testing.assert_allclose(law.flux(left, 0), law.flux(right, 0), atol=1e-14)  # it does stand still
    np.testing.assert_allclose(fv.HLLD()(law, left, right, 0), law.flux(left, 0), atol=1e-13)


def test_the_exact_shock_tube_has_toro_s_values():
    """Toro (2009), table 4.2: pressure and velocity between the waves of five problems, to the digits printed."""
    cases = [
        (SOD, 0.30313, 0.92745),
        (((1.0, -2.0, 0.4), (1.0, 2.0, 0.4)), 0.00189, 0.0),
        (((1.0, 0.0, 1000.0), (1.0, 0.0, 0.01)), 460.894, 19.5975),
        (((1.0, 0.0, 0.01), (1.0, 0.0, 100.0)), 46.0950, -6.19633),
        (((5.99924, 19.5975, 460.894), (5.99242, -6.19633, 46.0950)), 1691.64, 8.68975),
    ]
    for (left, right), p, u in cases:
        values = shock_tube(left, right, np.array([u + 1e-6, u - 1e-6]))
        np.testing.assert_allclose(values[2], p, rtol=3e-3 if p < 0.01 else 2e-5)
        np.testing.assert_allclose(values[1], u, rtol=2e-5, atol=1e-5)


def test_the_exact_dam_break_solves_the_equations():
    """Across the bore mass and momentum balance; through the fan u + 2c is constant."""
    xi = np.linspace(-1.2, 2.5, 20001)
    h, u = dam_break(1.0, 0.1, xi, 1.0)
    edge = np.argmax(np.abs(np.diff(h)))
    (h1, h2), (u1, u2), s = h[edge : edge + 2], u[edge : edge + 2], xi[edge]
    assert h2 * u2 - h1 * u1 == pytest.approx(s * (h2 - h1), rel=1e-3)
    assert h1 * u1**2 + h1**2 / 2 - h2**2 / 2 == pytest.approx(s * (h1 * u1), rel=1e-3)
    np.testing.assert_allclose((u + 2 * np.sqrt(h))[:edge], 2.0, atol=1e-12)
