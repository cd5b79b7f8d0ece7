"""The standard sets that operators are compared on, made by our own solvers.

Source of all: Li et al. 2021, Fourier Neural Operator (arXiv 2010.08895), appendix A.3 and the generators
published with it.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
import scipy.sparse
import scipy.sparse.linalg
from jaxtyping import Float

from duhamel.core.grid import Number
from duhamel.core.precision import enable_x64
from duhamel.pde.data.initial import draw
from duhamel.pde.data.named import FNO_BURGERS, FNO_NAVIER_STOKES
from duhamel.pde.dissipative import Burgers
from duhamel.pde.equation import Equation
from duhamel.pde.evolve import solve
from duhamel.pde.grid import Grid, periodic
from duhamel.pde.navier_stokes import NavierStokes2D

Samples = Float[np.ndarray, "samples channels *space"]


def resampled(u: np.ndarray, points: int, dim: int = 1) -> np.ndarray:
    """A periodic field on another number of points along each of its last `dim` axes, through its Fourier series.

    Waves that do not fit are cut off; on fewer points that is a projection, not a sampling.
    """
    for axis in range(-dim, 0):
        n = u.shape[axis]
        if n != points:
            modes = np.fft.rfft(np.moveaxis(u, axis, -1))[..., : (min(n, points) + 1) // 2]
            u = np.moveaxis(np.fft.irfft(modes, points) * (points / n), -1, axis)
    return u


def burgers_set(
    samples: int, points: int = 1024, seed: int = 0, *, viscosity: Number = 0.1, t1: Number = 1.0, steps: int = 100
) -> tuple[Samples, Samples]:
    """(u(0), u(1)) of u_t + u u_x = viscosity u_xx on the periodic unit interval, u(0) from `FNO_BURGERS`, float32

    Shapes (samples, 1, points). Drawn and solved (ETDRK4, float64) on 256 to 1024 points, then given at `points`
    through the Fourier series: sets of several resolutions hold the same functions, cut off where a grid ends.
    """
    grid = periodic(min(max(points, 256), 1024), 1.0)
    with enable_x64(True):
        first = np.asarray(draw(FNO_BURGERS, jax.random.key(seed), grid, np.arange(samples)))
    found = trajectories(Burgers(viscosity=float(viscosity)), grid, first, np.array([0.0, t1]), steps)
    u0, u1 = (resampled(found[:, i], points).astype(np.float32) for i in (0, 1))
    return u0, u1


def trajectories(
    equation: Equation, grid: Grid, first: Any, times: Any, steps: int
) -> Float[np.ndarray, "samples time 1 *space"]:
    """Fields at `times` from the first ones (samples, *space), by `steps` equal steps of ETDRK4 in float64, cut to what
    products keep. For one-component equations on a periodic box."""
    with enable_x64(True):
        run = jax.jit(jax.vmap(lambda u0: solve(equation, grid, u0, times, steps=steps).x))
        parts = np.split(np.asarray(first, np.float64), list(range(100, len(first), 100)))
        found = np.concatenate([np.asarray(run(jnp.asarray(part))) for part in parts])
    return found[:, :, None]


def stirred(viscosity: Number = 1e-3) -> NavierStokes2D:
    """Navier-Stokes as in FNO's sets: w_t + u.grad w = viscosity Laplacian(w) + 0.1 (sin + cos)(2 pi (x + y))."""
    return NavierStokes2D(viscosity=float(viscosity), forcing=0.1, forcing_mode=1, force="diagonal")


def navier_stokes_set(
    samples: int, points: int = 64, seed: int = 0, *, viscosity: Number = 1e-3, times: Any = None, steps: int = 20
) -> Samples:
    """Vorticity (samples, frames, 1, points, points) of `stirred` flow at `times`, 10, 11, ..., 50 unless told, float32

    The first fields, at t = 0, are drawn from `FNO_NAVIER_STOKES`; `steps` of ETDRK4 a unit of time, in float64. The
    published sets were solved on 256 x 256 points and given on every fourth; these are solved on the points they have.
    """
    times = np.arange(10.0, 51.0) if times is None else np.asarray(times, float)
    grid = periodic((points, points), 1.0)
    with enable_x64(True):
        first = np.asarray(draw(FNO_NAVIER_STOKES, jax.random.key(seed), grid, np.arange(samples)))
    found = trajectories(stirred(viscosity), grid, first, np.concatenate([[0.0], times]), round(steps * times[-1]))
    return found[:, 1:].astype(np.float32)


def darcy_set(
    samples: int, points: int = 85, seed: int = 0, *, low: Number = 3.0, high: Number = 12.0, waves: int = 40
) -> tuple[Samples, Samples]:
    """(a, u) of -div(a grad u) = 1 on the unit square, u = 0 at its edge, float32, shapes (samples, 1, points, points)

    a is `high` where a Gaussian field N(0, (-Laplacian + 9)^-2) with zero normal derivative at the edge is at least 0,
    else `low`; the points hold the edge (which the grids of `duhamel.pde.data` do not). The field has `waves` half
    waves along each side, so a seed draws the same materials on every grid of more points. Solved in float64 by the
    five-point scheme, with harmonic means of a between neighbours, and a direct sparse solve. The published set has 421
    points along each side, of which every fifth makes this size.
    """
    if points <= waves:
        raise ValueError(
            f"darcy_set: {points} points do not carry {waves} half waves; take more points or fewer waves."
        )
    rng = np.random.default_rng(seed)
    k = np.arange(waves)
    spread = (np.pi**2 * (k[:, None] ** 2 + k[None, :] ** 2) + 9.0) ** -1.0
    spread[0, 0] = 0.0  # no mean, so that both materials are as frequent
    a, u = (np.empty((samples, 1, points, points), np.float32) for _ in range(2))
    for i in range(samples):
        modes = np.zeros((points, points))
        modes[:waves, :waves] = spread * rng.standard_normal((waves, waves))
        field = np.asarray(scipy.fft.idctn(modes, type=1))
        coefficient = np.where(field >= 0, high, low)
        a[i, 0], u[i, 0] = coefficient, darcy(coefficient)
    return a, u


def darcy(a: Float[np.ndarray, "n n"], f: Number = 1.0) -> Float[np.ndarray, "n n"]:
    """u of -div(a grad u) = f, zero at the edge of the unit square, a and u at n x n points that hold the edge."""
    n = len(a)
    h = 1 / (n - 1)
    harmonic = lambda p, q: 2 * p * q / (p + q)  # noqa: E731
    across, along = harmonic(a[1:], a[:-1]), harmonic(a[:, 1:], a[:, :-1])  # (n-1, n), (n, n-1)
    inside = np.arange((n - 2) ** 2).reshape(n - 2, n - 2)
    middle = slice(1, -1)
    north, south = across[:-1, middle], across[1:, middle]
    west, east = along[middle, :-1], along[middle, 1:]
    rows = [inside, inside[1:], inside[:-1], inside[:, 1:], inside[:, :-1]]
    columns = [inside, inside[:-1], inside[1:], inside[:, :-1], inside[:, 1:]]
    values = [north + south + west + east, -north[1:], -south[:-1], -west[:, 1:], -east[:, :-1]]
    flat = lambda parts: np.concatenate([p.ravel() for p in parts])  # noqa: E731
    matrix = scipy.sparse.csc_matrix((flat(values) / h**2, (flat(rows), flat(columns))))
    u = np.zeros((n, n))
    found = np.asarray(scipy.sparse.linalg.spsolve(matrix, np.full((n - 2) ** 2, float(f))))
    u[middle, middle] = found.reshape(n - 2, n - 2)
    return u
