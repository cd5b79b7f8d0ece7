"""The forced Burgers and KdV-Burgers sets that message passing solvers are trained on, made by our own solvers.

Source: Brandstetter, Worrall, Welling, Message Passing Neural PDE Solvers (ICLR 2022, arXiv 2202.03376), and the
generator published with it, which made its tables: its flux is half the square, so alpha is 1/2 where it says 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from duhamel.core.grid import Number
from duhamel.core.precision import enable_x64
from duhamel.pde import volumes
from duhamel.pde.evolve import solve
from duhamel.pde.forcing import SineForcing, drawn_forcing
from duhamel.pde.grid import periodic
from duhamel.pde.kdv_burgers import KdVBurgers
from duhamel.solver.adjoint import Forward

LENGTH, FRAMES = 16.0, 250
Range = tuple[Number, Number]
Trajectories = Float[np.ndarray, "samples frames 1 cells"]


@dataclass(frozen=True)
class Family:
    """Ranges of the parameters of u_t + (alpha u^2 - beta u_x + gamma u_xx)_x = f, and the end time."""

    alpha: Range = (0.5, 0.5)
    beta: Range = (0.0, 0.0)
    gamma: Range = (0.0, 0.0)
    t1: Number = 4.0

    @property
    def times(self) -> np.ndarray:
        return np.linspace(0.0, float(self.t1), FRAMES)


FAMILIES = {
    "e1": Family(),
    "e2": Family(beta=(0.0, 0.2)),
    "e3": Family(alpha=(0.0, 3.0), beta=(0.1, 0.4), gamma=(0.0, 1.0), t1=2.0),
}
"""E1 shocks, E2 a viscosity that varies, E3 everything varies. E3 as the generator has it; the paper lets beta start
at 0 and says t1 = 4."""


class Problems(eqx.Module):
    """Parameters (samples, 3), alpha, beta and gamma; the force of each sample, which is its first field, too."""

    parameters: Float[Array, "samples 3"]
    forcing: SineForcing


def problems(family: Family, samples: int, seed: int = 0) -> Problems:
    """Sample i is a function of (seed, i) alone. In double precision where that is enabled."""

    def one(index: Any) -> tuple[Array, SineForcing]:
        of_force, of_numbers = jax.random.split(jax.random.fold_in(jax.random.key(seed), index))
        low, high = jnp.asarray([family.alpha, family.beta, family.gamma], float).T
        return low + (high - low) * jax.random.uniform(of_numbers, (3,)), drawn_forcing(of_force)

    return Problems(*jax.vmap(one)(np.arange(samples)))


def in_cells(given: Problems, cells: int, times: Any, steps: int) -> Float[Array, "samples frames cells"]:
    """Cell averages by WENO5, `steps` equal steps of SSPRK3 between two frames; compiled once for each size."""
    return _in_cells(given, cells, tuple(map(float, times)), steps)


@eqx.filter_jit
def _in_cells(given: Problems, cells: int, times: tuple[float, ...], steps: int) -> Array:
    mesh = volumes.box(cells, LENGTH)

    def one(parameters: Array, forcing: SineForcing) -> Array:
        return volumes.solve(
            volumes.KdVBurgers(*parameters),
            mesh,
            forcing(0.0, mesh)[None],
            np.asarray(times, parameters.dtype),
            steps=steps * (len(times) - 1),
            reconstruct=volumes.WENO5(),
            forcing=forcing,
            adjoint=Forward(),
            throw=False,
        ).x[:, 0]

    return jax.vmap(one)(given.parameters, given.forcing)


def in_waves(given: Problems, points: int, times: Any, steps: int) -> Float[Array, "samples frames points"]:
    """The same by Fourier modes and ETDRK4, at points x_j = j length/points; for beta well above 0."""
    return _in_waves(given, points, tuple(map(float, times)), steps)


@eqx.filter_jit
def _in_waves(given: Problems, points: int, times: tuple[float, ...], steps: int) -> Array:
    grid = periodic(points, LENGTH)

    def one(parameters: Array, forcing: SineForcing) -> Array:
        equation, ts = KdVBurgers(*parameters, forcing=forcing), np.asarray(times, parameters.dtype)
        count = steps * (len(times) - 1)
        return solve(equation, grid, forcing(0.0, grid), ts, steps=count, adjoint=Forward(), throw=False).x

    return jax.vmap(one)(given.parameters, given.forcing)


def stable_steps(family: Family, cells: int, fastest: Number = 3.5) -> int:
    """Steps of SSPRK3 between two frames that WENO5 and the central fluxes stand, for |u| up to `fastest`."""
    dt, dx = float(family.t1) / (FRAMES - 1), LENGTH / cells
    needed = (
        2 * family.alpha[1] * fastest / (0.6 * dx),
        family.beta[1] / (0.4 * dx**2),
        family.gamma[1] / (0.3 * dx**3),
    )
    return max(1, int(np.ceil(dt * max(needed))))


def averages(u: Any, cells: int) -> Any:
    """Cell averages on fewer cells, exact."""
    *batch, fine = u.shape
    if fine % cells:
        raise ValueError(f"{fine} cells are no multiple of {cells}; average over whole ones.")
    return u.reshape(*batch, cells, fine // cells).mean(-1)


def wave_averages(u: Any, cells: int) -> np.ndarray:
    """Averages over cells [i, i + 1] length/cells of periodic fields at points j length/n, through their modes."""
    u = np.asarray(u, np.float64)
    n = u.shape[-1]
    m = np.arange(n // 2 + 1)
    modes = np.fft.rfft(u) / n * np.sinc(m / cells) * np.exp(1j * np.pi * m / cells)
    places = np.exp(2j * np.pi * np.outer(m, np.arange(cells)) / cells)
    twice = np.where((m == 0) | (2 * m == n), 1.0, 2.0)
    return ((twice * modes) @ places).real


def truth(family: Family, samples: int, cells: int, seed: int = 0, fine: int = 400, size: int = 64) -> Trajectories:
    """Cell averages of the solutions, float32, solved on `fine` cells (WENO5) in double precision

    Where gamma varies explicit steps are too short: then by Fourier modes on twice as many points.
    """
    spectral = family.gamma[1] > 0
    with enable_x64(True):
        given = problems(family, samples, seed)
        parts = []
        for part in _parts(given, samples, size):
            if spectral:
                parts.append(wave_averages(in_waves(part, 2 * fine, family.times, 4), cells))
            else:
                found = in_cells(part, fine, family.times, stable_steps(family, fine))
                parts.append(averages(np.asarray(found), cells))
    return np.concatenate(parts)[:samples, :, None].astype(np.float32)


def _parts(given: Problems, samples: int, size: int) -> Iterator[Problems]:
    """Batches of one size, so that one program serves; the last is filled up with repetitions."""
    size = min(size, samples)
    for begin in range(0, samples, size):
        at = np.minimum(np.arange(begin, begin + size), samples - 1)
        yield jax.tree.map(lambda a, at=at: a[at], given)


def accumulated(prediction: Any, truth: Any) -> np.ndarray:
    """sum over frames of the mean over cells of the squared error, of each sample: the paper's accumulated error."""
    error = np.asarray(prediction, np.float64) - np.asarray(truth, np.float64)
    return np.sum(np.mean(error.reshape(*error.shape[:2], -1) ** 2, axis=2), axis=1)
