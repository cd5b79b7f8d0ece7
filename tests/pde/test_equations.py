"""Every equation is what its docstring says: slopes against products in real space, invariants, symmetries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

from duhamel.pde import NLSE, Burgers, KdV, KdVBurgers, KuramotoSivashinsky, NavierStokes2D, periodic
from duhamel.pde.equation import Equation
from duhamel.pde.grid import Grid
from duhamel.pde.registry import EQUATIONS, equation_named

LINE = periodic(64, 7.0, start=-2.0)
PLANE = periodic((48, 36), (2 * np.pi, 3.0))
CASES = {
    "kdv": (KdV(5.0, 0.3), LINE),
    "kuramoto-sivashinsky": (KuramotoSivashinsky(0.7), LINE),
    "burgers": (Burgers(0.05), LINE),
    "kdv-burgers": (KdVBurgers(0.7, 0.05, 0.3), LINE),
    "nlse": (NLSE(0.4, 1.3), LINE),
    "nlse 2-D": (NLSE(0.4, -1.3), PLANE),
    "navier-stokes-2d": (NavierStokes2D(0.02, 0.1, 0.7, 3), PLANE),
}
REAL = {name: case for name, case in CASES.items() if case[0].real}


def smooth(equation: Equation, grid: Grid, seed: int = 0) -> np.ndarray:
    """A random field whose products up to the third order stay below the dealiasing cut: |m| <= N/10."""
    rng = np.random.default_rng(seed)
    u = rng.normal(size=grid.shape) + (0 if equation.real else 1j * rng.normal(size=grid.shape))
    u = u - np.mean(u)  # vorticity has no mean
    modes = np.asarray(equation.to_modes(grid, u)) * grid.mask(0.2, equation.real)
    return np.asarray(equation.to_points(grid, jnp.asarray(modes)))


def derivative(grid: Grid, u: np.ndarray, axis: int, order: int) -> np.ndarray:
    """By NumPy's full FFT along one axis, without any code of ours."""
    n, length = grid.shape[axis], grid.length[axis]
    k = (2 * np.pi / length * np.fft.fftfreq(n, 1 / n)).reshape([-1 if a == axis else 1 for a in range(grid.dim)])
    d = np.fft.ifft((1j * k) ** order * np.fft.fft(u, axis=axis), axis=axis)
    return d if np.iscomplexobj(u) else d.real


def expected_slope(equation: Equation, grid: Grid, u: np.ndarray) -> np.ndarray:
    """u_t as the docstring of each equation writes it, with products in real space."""
    d = lambda axis, order, f=u: derivative(grid, f, axis, order)  # noqa: E731
    if isinstance(equation, KdV):
        return -equation.convection * u * d(0, 1) - equation.dispersion * d(0, 3)
    if isinstance(equation, Burgers):
        return -u * d(0, 1) + equation.viscosity * d(0, 2)
    if isinstance(equation, KdVBurgers):
        return -2 * equation.alpha * u * d(0, 1) + equation.beta * d(0, 2) - equation.gamma * d(0, 3)
    if isinstance(equation, KuramotoSivashinsky):
        return -u * d(0, 1) - d(0, 2) - equation.hyperviscosity * d(0, 4)
    laplacian = sum(d(a, 2) for a in range(grid.dim))
    if isinstance(equation, NLSE):
        return 1j * (equation.dispersion * laplacian + equation.coupling * np.abs(u) ** 2 * u)
    assert isinstance(equation, NavierStokes2D)
    kx, ky = (2 * np.pi / s * np.fft.fftfreq(n, 1 / n) for s, n in zip(grid.length, grid.shape, strict=True))
    square = kx[:, None] ** 2 + ky**2
    psi = np.fft.ifft2(np.fft.fft2(u) / np.where(square, square, np.inf)).real
    u_x, u_y = d(1, 1, psi), -d(0, 1, psi)
    k = 2 * np.pi * equation.forcing_mode / grid.length[1]
    curl = -equation.forcing * k * np.cos(k * grid.coordinates()[1])  # of f = (forcing sin(k y), 0)
    return -u_x * d(0, 1) - u_y * d(1, 1) + equation.viscosity * laplacian - equation.drag * u + curl


def rates(equation: Equation, grid: Grid, modes: jax.Array) -> tuple[jax.Array, jax.Array]:
    problem = equation.problem(grid)
    return problem.field(0.0, modes, None), problem.N(0.0, modes, None)


@pytest.mark.parametrize("name", CASES)
def test_slope_is_the_equation(name: str):
    """For the vorticity this is Basdevant's form against the advective one."""
    equation, grid = CASES[name]
    u = smooth(equation, grid)
    slope, _ = rates(equation, grid, equation.to_modes(grid, u))
    truth = expected_slope(equation, grid, u)
    assert np.allclose(equation.to_points(grid, slope), truth, atol=1e-11 * np.abs(truth).max())


@pytest.mark.parametrize("name", REAL)
def test_slopes_of_real_fields_are_spectra_of_real_fields(name: str):
    """Hermitian symmetry, with energy up to the cut: going to the points and back changes nothing."""
    equation, grid = REAL[name]
    u = np.random.default_rng(0).normal(size=grid.shape)
    for slope in rates(equation, grid, equation.to_modes(grid, u)):
        back = equation.to_modes(grid, equation.to_points(grid, slope))
        assert np.allclose(back, slope, atol=1e-11 * float(jnp.abs(slope).max()))


CONSERVED = {
    "kdv": ("mass", "momentum", "energy"),
    "nlse": ("mass", "momentum", "energy"),
    "nlse 2-D": ("mass", "momentum x", "momentum y", "energy"),
    "burgers": ("mass",),
    "kdv-burgers": ("mass",),
    "kuramoto-sivashinsky": ("mass",),
    "navier-stokes-2d": (),
}


@pytest.mark.parametrize("name", CASES)
def test_invariants_do_not_change(name: str):
    """Their derivative along the slope is zero; the energies of dissipative terms are conserved by N alone."""
    equation, grid = CASES[name]
    equation = NavierStokes2D(0.02) if name == "navier-stokes-2d" else equation
    modes = equation.to_modes(grid, smooth(equation, grid))
    slope, nonlinear = rates(equation, grid, modes)
    invariants = lambda x: equation.invariants(grid, x)  # noqa: E731
    value, change = jax.jvp(invariants, (modes,), (slope,))
    _, by_products = jax.jvp(invariants, (modes,), (nonlinear,))
    for key in CONSERVED[name]:
        assert abs(change[key]) < 1e-9 * (abs(value[key]) + 1)
    if name in ("burgers", "kdv-burgers", "kuramoto-sivashinsky", "navier-stokes-2d"):
        for key in value:
            assert abs(by_products[key]) < 1e-10 * (abs(value[key]) + 1)
        assert abs(change["energy"]) > 1e-3
    if name == "navier-stokes-2d":
        assert np.isclose(change["energy"], -2 * 0.02 * value["enstrophy"], rtol=1e-9)


def test_invariants_are_the_integrals_they_are_called():
    equation, grid = CASES["nlse"]
    psi = smooth(equation, grid)
    cell, psi_x = grid.spacing[0], derivative(grid, psi, 0, 1)
    values = equation.invariants(grid, equation.to_modes(grid, psi))
    assert np.isclose(values["mass"], cell * np.sum(np.abs(psi) ** 2))
    assert np.isclose(values["momentum"], cell * np.sum(np.conj(psi) * psi_x).imag)
    assert np.isclose(values["energy"], cell * np.sum(0.4 * np.abs(psi_x) ** 2 - 0.65 * np.abs(psi) ** 4))


def test_reflected_flow_is_the_flow_reflected():
    """w(x, y) -> -w(y, x) is a symmetry: the same numbers on the transposed box, anisotropy included."""
    equation, turned = NavierStokes2D(0.02), periodic(PLANE.shape[::-1], PLANE.length[::-1])
    w = smooth(equation, PLANE)
    a, _ = rates(equation, PLANE, PLANE.to_modes(jnp.asarray(w)))
    b, _ = rates(equation, turned, turned.to_modes(jnp.asarray(-w.T)))
    assert np.allclose(PLANE.to_points(a), -turned.to_points(b).T, atol=1e-11)


def test_kuramoto_sivashinsky_against_scipy():
    equation, grid = KuramotoSivashinsky(), periodic(32, 22.0)
    from duhamel.pde import solve

    u0 = 2 * equation.initial(grid)
    keep = np.abs(np.fft.fftfreq(32, 1 / 32)) < 32 / 3
    k = 2 * np.pi / 22 * np.fft.fftfreq(32, 1 / 32) * keep

    def slope(t: float, u: np.ndarray) -> np.ndarray:
        x = np.fft.fft(u) * keep
        v = np.fft.ifft(x).real
        return np.fft.ifft((k**2 - k**4) * x - 0.5j * k * np.fft.fft(v * v)).real

    truth = scipy.integrate.solve_ivp(slope, (0, 20), u0, method="LSODA", rtol=1e-11, atol=1e-11).y[:, -1]
    assert np.abs(truth).max() > 1
    assert np.allclose(solve(equation, grid, u0, 20.0, steps=400).x, truth, atol=2e-6)


@pytest.mark.parametrize("name", EQUATIONS)
def test_every_equation_starts_and_moves(name: str):
    equation = equation_named(name)
    grid = periodic((16 if equation.dims[0] == 3 else 32,) * equation.dims[0], 2 * np.pi)
    u0 = equation.initial(grid)
    assert u0.shape == equation.shape(grid) and np.all(np.isfinite(u0))
    assert u0.dtype == (np.float64 if equation.real else np.complex128)
    slope, _ = rates(equation, grid, equation.to_modes(grid, u0))
    fields = equation.shape(grid)[: -grid.dim]
    assert slope.shape == (*fields, *grid.modes_shape(equation.real)) and float(jnp.abs(slope).max()) > 1e-3


@pytest.mark.parametrize("n", [14, 15], ids=["even", "odd"])
@pytest.mark.parametrize("name", [name for name, kind in EQUATIONS.items() if kind.real])
def test_slopes_of_every_real_equation_are_real(name: str, n: int):
    """Hermitian symmetry and the Nyquist mode: noise in every mode, to the points and back, changes nothing."""
    equation = equation_named(name)
    grid = periodic((n,) * equation.dims[0], 2 * np.pi)
    u = 0.1 * np.random.default_rng(0).normal(size=equation.shape(grid))
    slope, _ = rates(equation, grid, equation.to_modes(grid, u))
    back = equation.to_modes(grid, equation.to_points(grid, slope))
    assert np.allclose(back, slope, atol=1e-12 * float(jnp.abs(slope).max()))


LASTING = {
    "advection": (equation_named("advection"), ("mass", "energy")),
    "klein-gordon": (equation_named("klein-gordon", coupling=0.7), ("energy",)),
    "sine-gordon": (equation_named("sine-gordon"), ("energy",)),
    "wave": (equation_named("wave", speed=1.3), ("energy",)),
    "schroedinger": (equation_named("schroedinger", potential=lambda x: np.cos(2 * np.pi * x / 7)), ("mass", "energy")),
    "cahn-hilliard": (equation_named("cahn-hilliard", width=0.3), ("mass",)),
    "heat": (equation_named("heat"), ("mass",)),
}


@pytest.mark.parametrize("name", LASTING)
def test_what_waves_and_diffusion_keep_does_not_change(name: str):
    """The derivative of each invariant along the slope is 0."""
    equation, kept = LASTING[name]
    rng = np.random.default_rng(1)
    u = rng.normal(size=equation.shape(LINE)) + (0 if equation.real else 1j * rng.normal(size=equation.shape(LINE)))
    modes = equation.to_modes(LINE, u) * LINE.mask(0.2, equation.real)
    slope, _ = rates(equation, LINE, modes)
    value, change = jax.jvp(lambda x: equation.invariants(LINE, x), (modes,), (slope,))
    for key in kept:
        assert abs(change[key]) < 1e-10 * (abs(value[key]) + float(jnp.abs(slope).max())), key


@pytest.mark.parametrize("name", CASES)
def test_single_precision_stays_single(name: str):
    equation, grid = CASES[name]
    u = smooth(equation, grid)
    modes = equation.to_modes(grid, u.astype(np.complex64 if np.iscomplexobj(u) else np.float32))
    for slope in rates(equation, grid, modes):
        assert slope.dtype == jnp.complex64
    for value in equation.invariants(grid, modes).values():
        assert value.dtype == jnp.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KdV().problem(PLANE), "KdV is written in 1 dimensions, and the grid has 2"),
        (lambda: NavierStokes2D().problem(LINE), "written in 2"),
        (lambda: NavierStokes2D(forcing_mode=40).problem(PLANE), "forcing_mode = 40"),
        (lambda: equation_named("kvd"), "did you mean kdv"),
        (lambda: equation_named("burgers", viscocity=1.0), "it has viscosity"),
    ],
)
def test_mistakes_are_named(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()
