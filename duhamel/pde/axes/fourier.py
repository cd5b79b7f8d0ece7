"""The periodic axis of a box that has walls elsewhere."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from duhamel.core.grid import Number
from duhamel.core.linear import like

from .base import Axis


@dataclass(frozen=True)
class Fourier(Axis):
    """A periodic axis inside a `Space`: e^(i k x), k = 2 pi m/length, points start + length j/n.

    Modes are a full complex FFT scaled by 1/n, so that they are coefficients like those of the other axes.
    """

    @property
    def modes(self) -> int:
        return self.n

    @property
    def points(self) -> np.ndarray:
        return self.start + self.length * np.arange(self.n) / self.n

    @property
    def weights(self) -> np.ndarray:
        return np.full(self.n, self.length / self.n)

    @property
    def numbers(self) -> np.ndarray:
        return np.rint(np.fft.fftfreq(self.n, 1 / self.n))

    @property
    def wavenumbers(self) -> np.ndarray:
        return 2 * np.pi / self.length * self.numbers

    @property
    def square(self) -> np.ndarray:
        return -(self.wavenumbers**2)

    @property
    def norms(self) -> np.ndarray:
        return np.full(self.n, self.length)

    @property
    def complex(self) -> bool:
        return True

    def symbol(self, order: int) -> np.ndarray:
        k = self.wavenumbers
        k = np.where(2 * np.abs(self.numbers) == self.n, 0.0, k) if order % 2 else k  # sines that the grid does not see
        return (1j * k) ** order

    def forward(self, u: Any) -> Any:
        return jnp.fft.fft(u, axis=-1) / self.n

    def backward(self, modes: Any, order: int = 0) -> Any:
        modes = modes if order == 0 else like(self.symbol(order), modes) * modes
        return jnp.fft.ifft(modes * self.n, axis=-1)

    def forward_slope(self, u: Any) -> Any:
        modes = self.forward(u)
        return like(self.symbol(1), modes) * modes

    def at(self, x: np.ndarray, order: int = 0) -> np.ndarray:
        k = self.wavenumbers
        angle = np.outer(x - self.start, k)
        waves = (1j * k) ** order * np.exp(1j * angle)
        if self.n % 2 == 0:  # the Nyquist mode is cos(n/2 ...), whose odd derivatives are 0 at the points
            last = self.n // 2
            waves[:, last] = np.abs(k[last]) ** order * np.cos(np.abs(angle[:, last]) + order * np.pi / 2)
        return waves

    def kept(self, fraction: Number) -> np.ndarray:
        return (np.abs(self.numbers) < fraction * self.n / 2).astype(float)
