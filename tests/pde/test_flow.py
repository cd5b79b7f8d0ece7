"""Flow with several fields: exact solutions that feel the nonlinear term, balances, and slopes against real space."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel import pde
from duhamel.pde import Boussinesq, MagneticFlow2D, NavierStokes3D, periodic

CUBE = periodic((16, 12, 18), 2 * np.pi)
PLANE = periodic((48, 36), (2 * np.pi, 3.0))


def random_modes(equation, grid, seed=0):
    """Below every cut, without mean; divergence-free in three dimensions."""
    rng = np.random.default_rng(seed)
    modes = np.asarray(equation.to_modes(grid, rng.normal(size=equation.shape(grid)))) * grid.mask(0.3)
    modes[(slice(None), *[0] * grid.dim)] = 0
    if isinstance(equation, NavierStokes3D):
        k = np.stack(np.broadcast_arrays(*grid.wavenumbers()))
        square = np.where((k**2).sum(0) > 0, (k**2).sum(0), 1)
        modes = modes - k * (k * modes).sum(0) / square
    return jnp.asarray(modes)


def d(grid, u, axis):
    n, length = grid.shape[axis], grid.length[axis]
    k = (2 * np.pi / length * np.fft.fftfreq(n, 1 / n)).reshape([-1 if a == axis else 1 for a in range(grid.dim)])
    return np.fft.ifft(1j * k * np.fft.fft(u, axis=axis), axis=axis).real


def laplacian(grid, u):
    return sum(d(grid, d(grid, u, axis), axis) for axis in range(grid.dim))


def velocity(grid, w):
    """Of a vorticity, by NumPy's full transform."""
    kx, ky = (2 * np.pi / s * np.fft.fftfreq(n, 1 / n) for s, n in zip(grid.length, grid.shape, strict=True))
    square = kx[:, None] ** 2 + ky**2
    psi = np.fft.ifft2(np.fft.fft2(w) / np.where(square, square, np.inf)).real
    return d(grid, psi, 1), -d(grid, psi, 0)


def slope(equation, grid, modes):
    return np.asarray(equation.to_points(grid, equation.problem(grid).field(0.0, modes, None)))


def test_stratified_flow_in_real_space():
    equation = Boussinesq(0.02, 0.03, 1.7)
    modes = random_modes(equation, PLANE)
    w, b = np.asarray(equation.to_points(PLANE, modes))
    u, v = velocity(PLANE, w)
    advect = lambda f: u * d(PLANE, f, 0) + v * d(PLANE, f, 1)  # noqa: E731
    truth = np.stack(
        [
            -advect(w) + 0.02 * laplacian(PLANE, w) + d(PLANE, b, 0),
            -advect(b) + 0.03 * laplacian(PLANE, b) - 1.7 * v,
        ]
    )
    np.testing.assert_allclose(slope(equation, PLANE, modes), truth, atol=1e-11 * np.abs(truth).max())


def test_magnetised_flow_in_real_space():
    """Against u_t = -u.grad u + b.grad b and b_t = curl (u x b), in curls."""
    equation = MagneticFlow2D(0.02, 0.05, (0.3, -0.2))
    modes = random_modes(equation, PLANE)
    plus, minus = np.asarray(equation.to_points(PLANE, modes))
    w, j = (plus + minus) / 2, (plus - minus) / 2
    u, b = velocity(PLANE, w), velocity(PLANE, j)
    full = b[0] + 0.3, b[1] - 0.2
    along = lambda a, f: a[0] * d(PLANE, f, 0) + a[1] * d(PLANE, f, 1)  # noqa: E731
    w_t = -along(u, w) + along(full, j) + 0.02 * laplacian(PLANE, w)
    electric = u[0] * full[1] - u[1] * full[0]  # b_t = (E_y, -E_x), so j_t = -Laplacian(E)
    j_t = -laplacian(PLANE, electric) + 0.05 * laplacian(PLANE, j)
    truth = np.stack([w_t + j_t, w_t - j_t])
    np.testing.assert_allclose(slope(equation, PLANE, modes), truth, atol=1e-10 * np.abs(truth).max())


def test_three_dimensional_flow_in_real_space():
    """The rotational form, projected; divergence stays zero."""
    equation = NavierStokes3D(0.02)
    modes = random_modes(equation, CUBE)
    u = np.asarray(equation.to_points(CUBE, modes))
    rate = np.stack([-sum(u[j] * d(CUBE, u[i], j) for j in range(3)) + 0.02 * laplacian(CUBE, u[i]) for i in range(3)])
    k = np.stack(np.broadcast_arrays(*CUBE.wavenumbers()))
    hat = np.stack([np.fft.rfftn(r) for r in rate])
    hat = hat - k * (k * hat).sum(0) / np.where((k**2).sum(0) > 0, (k**2).sum(0), 1)
    truth = np.stack([np.fft.irfftn(h, s=CUBE.shape, axes=(0, 1, 2)) for h in hat])
    found = slope(equation, CUBE, modes)
    np.testing.assert_allclose(found, truth, atol=1e-11 * np.abs(truth).max())
    assert np.abs(sum(d(CUBE, found[i], i) for i in range(3))).max() < 1e-11 * np.abs(found).max()


CASES = {
    "beltrami": (NavierStokes3D(0.1), periodic((16,) * 3, 2 * np.pi), lambda e, g, t: e.beltrami(g, t)),
    "internal wave": (Boussinesq(0.05, 0.05, 2.0), PLANE, lambda e, g, t: e.internal_wave(g, t, (2, -1), 0.5)),
    "alfven wave": (
        MagneticFlow2D(0.03, 0.03, (1.0, 0.5)),
        PLANE,
        lambda e, g, t: e.alfven_wave(g, np.asarray(e.to_points(g, random_modes(e, g)))[0], t),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_exact_solutions(name):
    """Waves and decay are in L: what remains is the nonlinear term, which must vanish to rounding."""
    equation, grid, exact = CASES[name]
    sol = pde.solve(equation, grid, exact(equation, grid, 0.0), 1.5, steps=10)
    truth = exact(equation, grid, 1.5)
    np.testing.assert_allclose(sol.x, truth, atol=1e-11 * np.abs(truth).max())


IDEAL = [NavierStokes3D(0.0), Boussinesq(0.0, 0.0, 2.0), MagneticFlow2D(0.0, 0.0, (0.4, 0.1))]


@pytest.mark.parametrize("equation", IDEAL, ids=lambda e: type(e).__name__)
def test_invariants_stay_without_viscosity(equation):
    """Slope of each along the flow, relative to the size of the parts that cancel."""
    grid = CUBE if isinstance(equation, NavierStokes3D) else PLANE
    modes = random_modes(equation, grid)
    rate = equation.problem(grid).field(0.0, modes, None)
    # real and imaginary parts apart: invariants are real functions of complex modes
    values, rates = jax.jvp(lambda m: equation.invariants(grid, m), (modes,), (rate,))
    for name in set(values) - {"kinetic energy"}:
        assert abs(float(rates[name])) < 1e-11 * max(1.0, abs(float(values[name]))), name


def test_orszag_tang_turns_field_into_flow():
    """Energy falls at viscosity enstrophy + resistivity current squared."""
    equation, grid = MagneticFlow2D(0.02, 0.02), periodic((48, 48), 2 * np.pi)
    ts = np.linspace(0.0, 1.0, 101)
    sol = pde.solve(
        equation, grid, None, ts, steps=200, save=lambda t, m: (equation.invariants(grid, m), grid.inner(m, m))
    )
    kept, square = sol.x
    loss = 0.02 * np.sum(np.asarray(square), axis=1) / 2
    work = np.sum((loss[1:] + loss[:-1]) / 2 * np.diff(ts))
    lost = float(kept["energy"][0] - kept["energy"][-1])
    assert lost > 1.0
    assert lost == pytest.approx(work, rel=1e-4)
