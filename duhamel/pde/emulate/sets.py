"""The standard sets that operators are compared on, made by our own solvers.

Source of all three: Li et al. 2021, Fourier Neural Operator (arXiv 2010.08895), appendix A.3 and the generators
published with it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
import scipy.sparse
import scipy.sparse.linalg
from jaxtyping import Float

from duhamel.core.grid import Number
from duhamel.pde.dissipative import Burgers
from duhamel.pde.evolve import solve
from duhamel.pde.grid import periodic

Samples = Float[np.ndarray, "samples channels *space"]


def smooth_noise(
    samples: int, points: int, seed: int, *, sigma: Number = 25.0, tau: Number = 5.0, waves: int = 340
) -> Float[np.ndarray, "samples points"]:
    """Draws of N(0, sigma^2 (-Laplacian + tau^2)^-2) on the periodic unit interval, without the mean, float64

        u(x) = sum over k = 1..waves of  sqrt(2) sigma/((2 pi k)^2 + tau^2) (xi_k cos 2 pi k x + eta_k sin 2 pi k x)

    A seed draws the same functions on every grid: they have `waves` waves at most, and those that a grid of fewer
    points does not resolve alias, as in any sampling. The defaults are those of the Burgers set.
    """
    k = np.arange(1, waves + 1)
    size = np.sqrt(2) * sigma / ((2 * np.pi * k) ** 2 + tau**2)
    xi, eta = np.random.default_rng(seed).standard_normal((2, samples, waves))
    fine = max(points, 2 * waves + 2)
    fine = -(-fine // points) * points  # a multiple, of which every few points are taken
    modes = np.zeros((samples, fine // 2 + 1), complex)
    modes[:, 1 : waves + 1] = 0.5 * fine * size * (xi - 1j * eta)
    return np.fft.irfft(modes, fine)[:, :: fine // points]


def burgers_set(
    samples: int, points: int = 1024, seed: int = 0, *, viscosity: Number = 0.1, t1: Number = 1.0, steps: int = 200
) -> tuple[Samples, Samples]:
    """(u(0), u(1)) of u_t + u u_x = viscosity u_xx on the periodic unit interval, from `smooth_noise`, float32

    Shapes (samples, 1, points). Solved by ETDRK4 in float64 on 1024 points whatever is asked for, then given at
    `points` through the Fourier series, so that sets of several resolutions hold the same functions.
    """
    grid = periodic(1024, 1.0)
    equation = Burgers(viscosity=float(viscosity))
    first = smooth_noise(samples, 1024, seed)
    with jax.enable_x64(True):
        run = jax.jit(jax.vmap(lambda u0: solve(equation, grid, u0, t1, steps=steps).x))
        last = np.concatenate([np.asarray(run(jnp.asarray(part))) for part in np.split(first, _parts(samples))])
    given = first if points == 1024 else smooth_noise(samples, points, seed)
    found = np.fft.irfft(np.fft.rfft(last)[:, : points // 2 + 1], points) * (points / 1024)
    return given[:, None].astype(np.float32), found[:, None].astype(np.float32)


def _parts(samples: int, size: int = 100) -> list[int]:
    """Where to split so that at most two sizes are compiled."""
    return list(range(size, samples, size))


def darcy_set(
    samples: int, points: int = 85, seed: int = 0, *, low: Number = 3.0, high: Number = 12.0, waves: int = 40
) -> tuple[Samples, Samples]:
    """(a, u) of -div(a grad u) = 1 on the unit square, u = 0 at its edge, float32, shapes (samples, 1, points, points)

    a is `high` where a Gaussian field N(0, (-Laplacian + 9)^-2) with zero normal derivative at the edge is at least 0,
    else `low`; the points hold the edge. The field has `waves` half waves along each side, so a seed draws the same
    materials on every grid of more points. Solved in float64 by the five-point scheme, with harmonic means of a between
    neighbours, and a direct sparse solve. The published set has 421 points along each side, of which every fifth makes
    this size.
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
