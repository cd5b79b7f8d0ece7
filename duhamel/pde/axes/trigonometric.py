"""Sines and cosines at the midpoints of equal cells: walls with u = 0 or du/dx = 0, by fast transforms.

Source: Martucci, IEEE Trans. Signal Process. 42 (1994) 1038 (which transform belongs to which points).
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy import fft

from duhamel.core.grid import Number
from duhamel.core.linear import like

from .base import Axis


@dataclass(frozen=True)
class Midpoints(Axis):
    """Abstract: n equal cells, a value in the middle of each, and as many modes of half-integer wavelengths."""

    @property
    def modes(self) -> int:
        return self.n

    @property
    def points(self) -> np.ndarray:
        return self.start + self.length * (np.arange(self.n) + 0.5) / self.n

    @property
    def weights(self) -> np.ndarray:
        return np.full(self.n, self.length / self.n)

    @property
    @abstractmethod
    def numbers(self) -> np.ndarray:
        """(modes,): half wavelengths in the box."""

    @property
    def wavenumbers(self) -> np.ndarray:
        return np.pi / self.length * self.numbers

    @property
    def square(self) -> np.ndarray:
        return -(self.wavenumbers**2)

    def kept(self, fraction: Number) -> np.ndarray:
        return (self.numbers < fraction * self.n).astype(float)


@dataclass(frozen=True)
class Sine(Midpoints):
    """u = 0 at both ends: sin(m pi (x - start)/length), m = 1..n, at the midpoints of n equal cells (DST-II)."""

    @property
    def numbers(self) -> np.ndarray:
        return np.arange(1, self.n + 1)

    @property
    def norms(self) -> np.ndarray:
        return np.append(np.full(self.n - 1, self.length / 2), self.length)  # the last: its square is 1 at every point

    def forward(self, u: Any) -> Any:
        return like(1 / self._scale, u) * _dct(u * like(self._signs, u))[..., ::-1]

    def backward(self, modes: Any, order: int = 0) -> Any:
        power = self.wavenumbers**order * (-1) ** (order // 2)
        modes = modes * like(power, modes) if order else modes
        if order % 2 == 0:
            return like(self._signs, modes) * _inverse_dct((modes * like(self._scale, modes))[..., ::-1])
        padded = jnp.concatenate([jnp.zeros_like(modes[..., :1]), modes[..., :-1]], axis=-1)  # cos(n pi x) is 0 there
        return _inverse_dct(padded * like(_cosine_scale(self.n), modes))

    def forward_slope(self, u: Any) -> Any:
        """f is a sum of cosines, as the slope of a sum of sines is; cos(n pi x) is 0 at the points."""
        cosines = Cosine(self.n, self.length, self.start).forward(u)
        shifted = jnp.concatenate([cosines[..., 1:], jnp.zeros_like(cosines[..., :1])], axis=-1)
        return -like(self.wavenumbers, shifted) * shifted

    def at(self, x: np.ndarray, order: int = 0) -> np.ndarray:
        k = self.wavenumbers
        angle = np.outer(x - self.start, k) + order * np.pi / 2
        return k**order * np.sin(angle)

    @property
    def _signs(self) -> np.ndarray:
        return (-1.0) ** np.arange(self.n)

    @property
    def _scale(self) -> np.ndarray:
        return np.append(np.full(self.n - 1, float(self.n)), 2.0 * self.n)


@dataclass(frozen=True)
class Cosine(Midpoints):
    """du/dx = 0 at both ends: cos(m pi (x - start)/length), m = 0..n-1, at the midpoints of n equal cells (DCT-II)."""

    @property
    def numbers(self) -> np.ndarray:
        return np.arange(self.n)

    @property
    def norms(self) -> np.ndarray:
        return np.append(self.length, np.full(self.n - 1, self.length / 2))

    def forward(self, u: Any) -> Any:
        return _dct(u) * like(1 / _cosine_scale(self.n), u)

    def backward(self, modes: Any, order: int = 0) -> Any:
        power = self.wavenumbers**order * (-1) ** ((order + 1) // 2)
        modes = modes * like(power, modes) if order else modes
        if order % 2 == 0:
            return _inverse_dct(modes * like(_cosine_scale(self.n), modes))
        shifted = jnp.concatenate([modes[..., 1:], jnp.zeros_like(modes[..., :1])], axis=-1)  # sines 1..n
        sine = Sine(self.n, self.length, self.start)
        return sine.backward(shifted)

    def forward_slope(self, u: Any) -> Any:
        """f is a sum of sines, as the slope of a sum of cosines is."""
        sines = Sine(self.n, self.length, self.start).forward(u)
        shifted = jnp.concatenate([jnp.zeros_like(sines[..., :1]), sines[..., :-1]], axis=-1)
        return like(self.wavenumbers, shifted) * shifted

    def at(self, x: np.ndarray, order: int = 0) -> np.ndarray:
        k = self.wavenumbers
        return k**order * np.cos(np.outer(x - self.start, k) + order * np.pi / 2)


def _cosine_scale(n: int) -> np.ndarray:
    """DCT-II of cos(m pi (j + 1/2)/n), in mode m."""
    return np.append(2.0 * n, np.full(n - 1, float(n)))


def _dct(u: Any) -> Any:
    """2 sum_j u_j cos(pi m (j + 1/2)/n)."""
    if jnp.iscomplexobj(u):
        return fft.dct(u.real) + 1j * fft.dct(u.imag)
    return fft.dct(u)


def _inverse_dct(modes: Any) -> Any:
    if jnp.iscomplexobj(modes):
        return fft.idct(modes.real) + 1j * fft.idct(modes.imag)
    return fft.idct(modes)
