"""Periodic boxes in 1, 2 or 3 dimensions, each axis with its own length and number of points.

    x_j = start + length j/N, j = 0..N-1 (the end is not repeated)       k_m = 2 pi m/length, |m| <= N/2

A real field is kept as its `rfftn`, half of the last axis; a complex one as its `fftn`. Modes are the plain sums of
NumPy's FFT, unscaled. Any number of batch axes may stand in front of the axes of the box.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from duhamel.core.grid import Number
from duhamel.core.linear import like
from duhamel.core.types import Field, Spectrum

from .arguments import Counts, Lengths, counts, each


@dataclass(frozen=True)
class Grid:
    """A periodic box; hashable, holds no arrays. Write `periodic(256, 40.0)`.

    shape   points per axis; even numbers with small prime factors are fast
    length  side lengths
    start   coordinate of the first point of each axis
    padded  products are evaluated on 1/dealias times the points, and `mask` keeps all but the Nyquist mode: sharper by
            half at about twice the cost of masking the same points (`Equation.dealias` says which fraction)
    """

    shape: tuple[int, ...]
    length: tuple[float, ...]
    start: tuple[float, ...]
    padded: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.shape) <= 3 or not len(self.shape) == len(self.length) == len(self.start):
            raise ValueError(
                f"a grid has 1 to 3 axes with one length and one start each, got shape {self.shape}, length "
                f"{self.length}, start {self.start}."
            )
        if min(self.shape) < 4:
            raise ValueError(f"shape {self.shape}: an axis needs at least 4 points to carry a wave.")
        if not all(np.isfinite(s) and s > 0 for s in self.length):
            raise ValueError(f"length {self.length}: side lengths must be positive and finite.")

    @property
    def dim(self) -> int:
        return len(self.shape)

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of the box in an array with batch axes in front."""
        return tuple(range(-self.dim, 0))

    @property
    def spacing(self) -> tuple[float, ...]:
        return tuple(s / n for s, n in zip(self.length, self.shape, strict=True))

    @property
    def has_lift(self) -> bool:
        return False

    @property
    def formal(self) -> bool:
        return False

    def at(self, t: Any) -> "Grid":
        """The box at time t: a periodic one has no walls that move."""
        del t
        return self

    @property
    def volume(self) -> float:
        return float(np.prod(self.length))

    def modes_shape(self, real: bool = True) -> tuple[int, ...]:
        return (*self.shape[:-1], self.shape[-1] // 2 + 1) if real else self.shape

    def coordinates(self) -> tuple[np.ndarray, ...]:
        """One float64 array per axis, shaped to broadcast against each other: x is (Nx, 1, 1), y is (1, Ny, 1), ..."""
        rows = [a + s * np.arange(n) / n for n, s, a in zip(self.shape, self.length, self.start, strict=True)]
        return tuple(np.meshgrid(*rows, indexing="ij", sparse=True))

    def numbers(self, real: bool = True) -> tuple[np.ndarray, ...]:
        """The integers m of the modes, one array per axis, shaped to broadcast against each other."""
        rows = [np.fft.fftfreq(n, 1 / n) for n in self.shape]
        if real:
            rows[-1] = np.fft.rfftfreq(self.shape[-1], 1 / self.shape[-1])
        return tuple(np.meshgrid(*(np.rint(row) for row in rows), indexing="ij", sparse=True))

    def wavenumbers(self, real: bool = True) -> tuple[np.ndarray, ...]:
        """k = 2 pi m/length, one array per axis; for odd powers use `derivative`, which knows the Nyquist mode."""
        return tuple(2 * np.pi / s * m for m, s in zip(self.numbers(real), self.length, strict=True))

    def derivative(self, axis: int = -1, order: int = 1, real: bool = True) -> np.ndarray:
        """Symbol of the `order`-th derivative along one axis: (ik)^order.

        With an even number of points, cos(N/2 x) is all the grid sees of the Nyquist mode. Its odd derivatives are
        sines that vanish on the grid, so the symbol is 0 there.
        """
        axis = axis % self.dim
        k, m = self.wavenumbers(real)[axis], self.numbers(real)[axis]
        k = np.where(2 * np.abs(m) == self.shape[axis], 0.0, k) if order % 2 else k
        power = k**order * (-1) ** (order // 2)
        return 1j * power if order % 2 else power

    def laplacian(self, real: bool = True) -> np.ndarray:
        """Symbol of the Laplacian, -|k|^2, of the modes' full shape."""
        return -np.sum(np.broadcast_arrays(*(k**2 for k in self.wavenumbers(real))), axis=0)

    def mask(self, fraction: Number = 2 / 3, real: bool = True) -> np.ndarray:
        """1 where |m| < fraction N/2 along every axis, else 0, of the modes' full shape.

        fraction 2/3 removes all aliasing of products of two fields, 1/2 of three; 1 only drops the Nyquist mode.
        """
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction = {fraction} of the modes is kept; give a number in (0, 1], such as 2/3.")
        fraction = 1 if self.padded else fraction
        inside = [np.abs(m) < fraction * n / 2 for m, n in zip(self.numbers(real), self.shape, strict=True)]
        return np.prod(np.broadcast_arrays(*inside), axis=0).astype(float)

    def to_modes(self, u: Field, real: bool = True) -> Spectrum:
        return jnp.fft.rfftn(u, axes=self.axes) if real else jnp.fft.fftn(u, axes=self.axes)

    def to_points(self, modes: Spectrum, real: bool = True) -> Field:
        return jnp.fft.irfftn(modes, s=self.shape, axes=self.axes) if real else jnp.fft.ifftn(modes, axes=self.axes)

    def project(self, u: Field, real: bool = True) -> Spectrum:
        """`to_modes`: on a periodic box, which has no lift, the two are one."""
        return self.to_modes(u, real)

    def project_slope(self, u: Field, axis: int, real: bool = True) -> Spectrum:
        """Modes of du/dx along one axis, of a function given at the points."""
        modes = self.to_modes(u, real)
        return like(self.derivative(axis, 1, real), modes) * modes

    def slope(self, modes: Spectrum, axis: int = 0, order: int = 1, real: bool = True) -> Field:
        """The `order`-th derivative along one axis, at the points."""
        return self.to_points(like(self.derivative(axis, order, real), modes) * modes, real)

    def inner(self, a: Spectrum, b: Spectrum, real: bool = True) -> Field:
        """int conj(a) b dx of two fields given by their modes (Parseval), summed over the axes of the box.

        For real fields, modes off the first and the Nyquist column of the last axis stand for two.
        """
        points = int(np.prod(self.shape))
        scale = self.volume / points**2
        if not real:
            return scale * jnp.sum(jnp.conj(a) * b, axis=self.axes)
        twice = np.full(self.modes_shape()[-1], 2.0)
        twice[0] = 1.0
        if self.shape[-1] % 2 == 0:
            twice[-1] = 1.0
        product = a.real * b.real + a.imag * b.imag
        return scale * jnp.sum(product * jnp.asarray(twice, product.dtype), axis=self.axes)

    def integral(self, u: Field) -> Field:
        """int u dx of a field given at the points: the trapezoidal rule, exact for what the grid resolves."""
        return self.volume * jnp.mean(u, axis=self.axes)


def periodic(
    shape: Counts,
    length: Lengths,
    start: Lengths = 0.0,
    padded: bool = False,
) -> Grid:
    """A periodic box: `periodic(256, 40.0)`, `periodic((128, 64), (2.0, 1.0))`, `periodic((64, 64), 2 * np.pi)`.

    A single length or start serves every axis; several are a tuple, a list or an array.
    padded: products on a finer grid instead of fewer modes (`Grid`).
    """
    points = counts(shape)
    return Grid(points, each(length, len(points), "length"), each(start, len(points), "start"), padded)
