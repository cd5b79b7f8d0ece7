"""Random fields drawn mode by mode: Gaussian fields with a stated spectrum, and truncated Fourier series.

The random numbers of a mode are a function of the key and of the mode's integers alone. So a key names one function of
space, and a grid shows as much of it as it can carry: the field on a coarse grid is the finer one's, cut off.
"""

from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from duhamel.core.grid import Number
from duhamel.core.linear import like
from duhamel.core.threefry import normal_at, uniform_at, words
from duhamel.core.types import Field, Spectrum
from duhamel.pde.equation import Box
from duhamel.pde.grid import Grid

from .initial import Boundary, Sampler, fractions

MOST = 2**15  # the counters hold 16 bits of each of a mode's integers


class GaussianField(Sampler):
    """A Gaussian random field of mean zero on a box, N(0, sigma^2 (-Laplacian + tau^2)^(-alpha))

        u = sum over modes of sigma (lam + tau^2)^(-alpha/2) xi phi,   xi ~ N(0, 1),   -Laplacian phi = lam phi

    with phi of norm 1 in L^2 of the box and no constant mode. tau is one over a length: waves much longer than
    2 pi/tau are all alike; smoothness grows with alpha, which must exceed dim/2 for the variance to be finite.

    boundary  "periodic" (lam = |2 pi m/length|^2), "neumann" (cosines) or "dirichlet" (sines, lam = |pi m/length|^2),
              the latter two from `start` to `start + length` of every axis

    Named sets, all on the unit box: `FNO_BURGERS`, `FNO_DARCY`, `FNO_NAVIER_STOKES`.
    Source: Li et al., Fourier neural operator, ICLR 2021.
    """

    sigma: Number = 1.0
    tau: Number = 5.0
    alpha: Number = 2.0
    boundary: Boundary = eqx.field(static=True, default="periodic")

    def __check_init__(self):
        if not (self.sigma > 0 and self.tau >= 0 and self.alpha >= 0):
            raise ValueError(
                f"sigma = {self.sigma}, tau = {self.tau}, alpha = {self.alpha}: a spectrum needs sigma > 0, tau >= 0 "
                "and alpha >= 0."
            )

    def __call__(self, key: PRNGKeyArray, grid: Box) -> Field:
        if self.boundary == "periodic":
            if not isinstance(grid, Grid):
                raise ValueError("GaussianField is periodic and the box has walls; choose another boundary.")
            modes = white_modes(key, grid)
            return grid.to_points(like(self._size(-grid.laplacian()), modes) * modes)
        return self._in_a_box(key, grid)

    def _size(self, lam: np.ndarray) -> np.ndarray:
        """sigma (lam + tau^2)^(-alpha/2), 0 for the constant mode."""
        inside = np.where(lam > 0, lam, 1) + float(self.tau) ** 2
        return np.where(lam > 0, float(self.sigma) * inside ** (-float(self.alpha) / 2), 0.0)

    def _in_a_box(self, key: PRNGKeyArray, grid: Box) -> Field:
        """Sums of cosines or sines, an axis at a time, with as many modes as points."""
        wave = np.cos if self.boundary == "neumann" else np.sin
        first = 0 if self.boundary == "neumann" else 1
        numbers = [np.arange(first, n) for n in grid.shape]
        m = np.meshgrid(*numbers, indexing="ij", sparse=True)
        lam = sum((np.pi * mi / side) ** 2 for mi, side in zip(m, grid.length, strict=True))
        x0, x1 = counters(m)
        u: Array = normal_at(words(key), x0, x1, _dtype())
        u = like(self._size(np.asarray(lam)), u) * u
        bases = []
        for s, side, mi in zip(fractions(grid), grid.length, numbers, strict=True):
            bases.append(wave(np.pi * s[:, None] * mi) * np.where(mi > 0, np.sqrt(2 / side), np.sqrt(1 / side)))
        return _evaluate(u, bases)


class TruncatedFourier(Sampler):
    """Fourier series of random coefficients, with waves up to `cutoff` along each axis (|m| <= cutoff)

        u = offset + sum a_m cos(k.x + phase_m),   a_m uniform in `amplitude`, phase_m in (0, 2 pi)

    norm      "max": divided by max |u|, taken on the grid; "rms": by the root mean square, taken there too; or "none"
    boundary  "periodic", or "neumann" or "dirichlet" for products of cosines or sines of half waves between walls

    APEBench and exponax draw so (cutoff 5, amplitudes in (-1, 1), "max"). Any number of dimensions.
    Source: Koehler et al., APEBench, NeurIPS 2024.
    """

    cutoff: int = eqx.field(static=True, default=5)
    amplitude: tuple[Number, Number] = (-1.0, 1.0)
    offset: Number = 0.0
    norm: Literal["none", "max", "rms"] = eqx.field(static=True, default="max")
    boundary: Boundary = eqx.field(static=True, default="periodic")

    def __check_init__(self):
        if self.cutoff < 1:
            raise ValueError(f"cutoff = {self.cutoff} waves in the box; let it be 1 or more.")

    def __call__(self, key: PRNGKeyArray, grid: Box) -> Field:
        carried = (min(grid.shape) - 1) // (2 if self.boundary == "periodic" else 1)
        if carried < self.cutoff:
            raise ValueError(
                f"cutoff = {self.cutoff}: the grid {grid.shape} carries waves up to {carried}; take more points or a "
                "smaller cutoff."
            )
        u = self._waves(key, grid) if self.boundary == "periodic" else self._half_waves(key, grid)
        if self.norm == "max":
            u = u / jnp.max(jnp.abs(u))
        elif self.norm == "rms":
            u = u / jnp.sqrt(jnp.mean(u**2))
        return u + self.offset

    def _waves(self, key: PRNGKeyArray, grid: Box) -> Field:
        K = self.cutoff
        numbers = [np.arange(-K, K + 1)] * (grid.dim - 1) + [np.arange(K + 1)]
        m = np.meshgrid(*numbers, indexing="ij", sparse=True)
        x0, x1, sign = _symmetric(m)
        a = self._amplitudes(key, x0, x1)
        phase = np.pi * uniform_at(words(key), x0, x1 | STREAM, a.dtype) * like(sign, a)
        # m and -m are one wave: both stand where the last number is 0, only one elsewhere
        c = like(np.where(sign == 0, 0.0, np.where(m[-1] == 0, 0.5, 1.0)), a) * a * jnp.exp(1j * phase)
        waves = [np.exp(2j * np.pi * s[:, None] * mi) for s, mi in zip(fractions(grid), numbers, strict=True)]
        return jnp.real(_evaluate(c, waves))

    def _half_waves(self, key: PRNGKeyArray, grid: Box) -> Field:
        numbers = [np.arange(int(self.boundary == "dirichlet"), self.cutoff + 1)] * grid.dim
        m = np.meshgrid(*numbers, indexing="ij", sparse=True)
        a = self._amplitudes(key, *counters(m))
        a = a * like(np.any(np.broadcast_arrays(*(mi > 0 for mi in m)), axis=0), a)
        wave = np.cos if self.boundary == "neumann" else np.sin
        return _evaluate(a, [wave(np.pi * s[:, None] * n) for s, n in zip(fractions(grid), numbers, strict=True)])

    def _amplitudes(self, key: PRNGKeyArray, x0: np.ndarray, x1: np.ndarray) -> Array:
        low, high = self.amplitude
        return 0.5 * (low + high) + 0.5 * (high - low) * uniform_at(words(key), x0, x1, _dtype())


def _evaluate(c: Array, bases: list[np.ndarray]) -> Array:
    """Sums of products of functions of one axis each: bases (points, modes) of every axis, an axis at a time."""
    for axis, basis in enumerate(bases):
        c = jnp.moveaxis(jnp.tensordot(like(basis, c), c, axes=(1, axis), precision="highest"), 0, axis)
    return c


STREAM = np.uint32(1 << 31)  # a second number for the same mode


def white_modes(key: PRNGKeyArray, grid: Grid) -> Spectrum:
    """Modes of real white noise, whose integral against any phi of norm 1 in L^2(box) is N(0, 1); no Nyquist modes."""
    numbers = grid.numbers()
    x0, x1, sign = _symmetric(numbers)
    a = normal_at(words(key), x0, x1, _dtype())
    b = normal_at(words(key), x0, x1 | STREAM, _dtype())
    # The coefficient of e^(ikx) is (a + i b)/sqrt(2 volume); the unscaled transform holds (number of points) times it.
    scale = float(np.prod(grid.shape)) / np.sqrt(grid.volume) * grid.mask(1)
    mean = np.all(np.broadcast_arrays(*(m == 0 for m in numbers)), axis=0)
    return like(scale * np.sqrt(0.5), a) * (like(np.where(mean, np.sqrt(2), 1), a) * a + 1j * like(sign, a) * b)


def counters(m: Any) -> tuple[np.ndarray, np.ndarray]:
    """Two uint32 arrays from up to three arrays of integers, one pair for each mode."""
    m = np.broadcast_arrays(*m)
    if max(np.abs(mi).max() for mi in m) >= MOST:
        raise ValueError(f"a mode has a number of {MOST} or more; grids of up to {2 * MOST} points an axis are drawn.")
    full = [np.asarray(mi, np.int64) + MOST for mi in m] + [np.zeros(m[0].shape, np.int64)] * (3 - len(m))
    return (full[0] << 16 | full[1]).astype(np.uint32), full[2].astype(np.uint32)


def _symmetric(m: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counters that m and -m share, and the sign by which the imaginary part of m follows (0 for the mean)."""
    m = np.broadcast_arrays(*m)
    sign = np.zeros(m[0].shape)
    for mi in m[::-1]:  # the sign of the first number that is not zero, from the last axis on
        sign = np.where(sign == 0, np.sign(mi), sign)
    return *counters([np.where(sign < 0, -mi, mi) for mi in m]), sign


def _dtype() -> Any:
    return jnp.result_type(float)
