"""One axis of a box: its points, its quadrature, and the modes in which d^2/dx^2 is a number each.

    u(x_j) = sum_m a_m phi_m(x_j),    phi_m'' = square_m phi_m  with the conditions at both ends

`Sine` and `Cosine` are those modes for u = 0 and u' = 0 at the ends, by fast transforms. `Legendre` has any linear
condition at either end: the modes are polynomials, eigenvectors of d^2/dx^2 in Galerkin's sense, orthonormal in L2, so
the transforms are two matrices and a smooth field converges faster than any power of the number of modes. Whatever
needs a linear part with one number per mode (exponential and implicit-explicit methods, Poisson solvers) takes any
product of these axes. `Fourier` is the periodic axis of such products; a wholly periodic box is a `Grid`.

Sources: Shen, SIAM J. Sci. Comput. 15 (1994) 1489 (bases that satisfy the conditions); Martucci, IEEE Trans. Signal
Process. 42 (1994) 1038 (which sine transform belongs to which points).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax.scipy import fft
from numpy.polynomial import legendre

from duhamel.core.grid import Number
from duhamel.core.linear import like

from .boundary import Boundary, Dirichlet


@dataclass(frozen=True)
class Axis(ABC):
    """Abstract. n points on [start, start + length]; hashable, holds no arrays.

    Arrays carry the axis last in `forward` and `backward`; a `Space` moves it there and back.
    """

    n: int
    length: float
    start: float = 0.0

    def __post_init__(self) -> None:
        if self.n < 4:
            raise ValueError(f"n = {self.n}: an axis needs at least 4 points.")
        if not (np.isfinite(self.length) and self.length > 0):
            raise ValueError(f"length = {self.length}: the length of an axis must be positive and finite.")

    @property
    @abstractmethod
    def modes(self) -> int:
        """How many modes."""

    @property
    @abstractmethod
    def points(self) -> np.ndarray:
        """(n,) float64."""

    @property
    @abstractmethod
    def weights(self) -> np.ndarray:
        """(n,) of the quadrature int u dx = sum_j w_j u(x_j)."""

    @property
    @abstractmethod
    def square(self) -> np.ndarray:
        """(modes,): d^2/dx^2 of each mode."""

    @property
    def wavenumbers(self) -> np.ndarray:
        """(modes,): |k|, signed on a periodic axis."""
        return np.sqrt(np.maximum(-self.square, 0.0))

    def symbol(self, order: int) -> np.ndarray | None:
        """(modes,): the `order`-th derivative of each mode as a multiple of it, or None: it is no multiple."""
        return None if order % 2 else self.square ** (order // 2)

    @property
    @abstractmethod
    def norms(self) -> np.ndarray:
        """(modes,): int |phi_m|^2 dx by the axis' own quadrature."""

    @abstractmethod
    def forward(self, u: Any) -> Any:
        """(..., n) values at the points -> (..., modes): the projection onto the modes."""

    @abstractmethod
    def backward(self, modes: Any, order: int = 0) -> Any:
        """(..., modes) -> (..., n): the field at the points, or its `order`-th derivative."""

    @abstractmethod
    def at(self, x: np.ndarray, order: int = 0) -> np.ndarray:
        """(len(x), modes): phi_m, or a derivative, anywhere on the axis."""

    @abstractmethod
    def kept(self, fraction: Number) -> np.ndarray:
        """(modes,): 1 for the modes that a product keeps, of `fraction` as in `Equation.dealias`."""

    @property
    def complex(self) -> bool:
        """Whether modes of a real field are complex numbers."""
        return False

    @property
    def lift(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A smooth function with the inhomogeneous conditions at the points, its slope and its second derivative."""
        zero = np.zeros(self.n)
        return zero, zero, zero


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


@dataclass(frozen=True)
class Sine(Axis):
    """u = 0 at both ends: sin(m pi (x - start)/length), m = 1..n, at the midpoints of n equal cells (DST-II)."""

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
    def wavenumbers(self) -> np.ndarray:
        return np.pi / self.length * np.arange(1, self.n + 1)

    @property
    def square(self) -> np.ndarray:
        return -(self.wavenumbers**2)

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

    def at(self, x: np.ndarray, order: int = 0) -> np.ndarray:
        k = self.wavenumbers
        angle = np.outer(x - self.start, k) + order * np.pi / 2
        return k**order * np.sin(angle)

    def kept(self, fraction: Number) -> np.ndarray:
        return (np.arange(1, self.n + 1) < fraction * self.n).astype(float)

    @property
    def _signs(self) -> np.ndarray:
        return (-1.0) ** np.arange(self.n)

    @property
    def _scale(self) -> np.ndarray:
        return np.append(np.full(self.n - 1, float(self.n)), 2.0 * self.n)


@dataclass(frozen=True)
class Cosine(Axis):
    """du/dx = 0 at both ends: cos(m pi (x - start)/length), m = 0..n-1, at the midpoints of n equal cells (DCT-II)."""

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
    def wavenumbers(self) -> np.ndarray:
        return np.pi / self.length * np.arange(self.n)

    @property
    def square(self) -> np.ndarray:
        return -(self.wavenumbers**2)

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

    def at(self, x: np.ndarray, order: int = 0) -> np.ndarray:
        k = self.wavenumbers
        return k**order * np.cos(np.outer(x - self.start, k) + order * np.pi / 2)

    def kept(self, fraction: Number) -> np.ndarray:
        return (np.arange(self.n) < fraction * self.n).astype(float)


@dataclass(frozen=True)
class Legendre(Axis):
    """Polynomials with a linear condition at either end, of degree below 2n/3 (n Gauss points: products are exact).

    left, right  `Dirichlet(value)`, `Neumann(value)`, `Robin(alpha, beta, value)`
    """

    left: Boundary = field(default_factory=Dirichlet)
    right: Boundary = field(default_factory=Dirichlet)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n < 9:
            raise ValueError(f"n = {self.n}: a Legendre axis needs at least 9 points, two thirds of them for modes.")
        _modes_of(self)

    @property
    def insulated(self) -> bool:
        """Neumann's condition at both ends."""
        return self.left.alpha == 0 and self.right.alpha == 0

    @property
    def modes(self) -> int:
        return (2 * self.n) // 3 - 2

    @property
    def points(self) -> np.ndarray:
        return self.start + self.length * (legendre.leggauss(self.n)[0] + 1) / 2

    @property
    def weights(self) -> np.ndarray:
        return self.length / 2 * legendre.leggauss(self.n)[1]

    @property
    def square(self) -> np.ndarray:
        return _modes_of(self)[0]

    @property
    def norms(self) -> np.ndarray:
        return np.ones(self.modes)

    def forward(self, u: Any) -> Any:
        matrix = self.at(self.points) * self.weights[:, None]
        return jnp.matmul(u, like(matrix, u), precision="highest")

    def backward(self, modes: Any, order: int = 0) -> Any:
        return jnp.matmul(modes, like(_values(self, order).T, modes), precision="highest")

    def at(self, x: np.ndarray, order: int = 0) -> np.ndarray:
        s = 2 * (np.asarray(x) - self.start) / self.length - 1
        coefficients = _modes_of(self)[1]
        if order:
            coefficients = legendre.legder(coefficients, order) * (2 / self.length) ** order
        return legendre.legvander(s, len(coefficients) - 1) @ coefficients

    def kept(self, fraction: Number) -> np.ndarray:
        del fraction
        return np.ones(self.modes)

    @property
    def lift(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self.left.homogeneous and self.right.homogeneous:
            return super().lift
        a, b = self.start, self.start + self.length
        # c1 x + c0, or c2 x^2 + c1 x where a constant is invisible to both conditions
        powers = (2, 1) if self.insulated else (1, 0)
        value = lambda p, x: x**p  # noqa: E731
        slope = lambda p, x: p * x ** max(p - 1, 0)  # noqa: E731
        x0 = np.array([a, b]) - (a + b) / 2
        rows = [
            [c.alpha * value(p, x) + sign * c.beta * slope(p, x) for p in powers]
            for c, x, sign in ((self.left, x0[0], -1), (self.right, x0[1], 1))
        ]
        c = np.linalg.solve(np.array(rows), [self.left.value, self.right.value])
        polynomial = np.poly1d([*c, *[0.0] * powers[1]])
        x = self.points - (a + b) / 2
        return polynomial(x), polynomial.deriv(1)(x), polynomial.deriv(2)(x)


@cache
def _modes_of(axis: Legendre) -> tuple[np.ndarray, np.ndarray]:
    """(square, coefficients (degree + 1, modes) in Legendre polynomials of s in [-1, 1]), largest wave last."""
    m, J = axis.modes, 2 / axis.length
    basis = np.zeros((m + 2, m))
    for k in range(m):  # L_k + a L_{k+1} + b L_{k+2} with the homogeneous conditions, degree by degree
        degrees = np.arange(k, k + 3)
        slopes = degrees * (degrees + 1) / 2
        ends = []
        for c, sign in ((axis.left, -1), (axis.right, 1)):
            parity = np.where(degrees % 2 == 0, 1.0, sign)
            ends.append(c.alpha * parity + c.beta * J * slopes * parity)  # outward slope at -1 is minus the slope
        A = np.array(ends)
        try:
            tail = np.linalg.solve(A[:, 1:], -A[:, 0])
        except np.linalg.LinAlgError as error:
            raise ValueError(
                f"the conditions {axis.left} and {axis.right} leave no polynomial of degree {k + 2} that satisfies "
                "both: with alpha and beta of one sign there always is one."
            ) from error
        basis[k : k + 3, k] = [1.0, *tail]
    weight = axis.length / 2 * 2 / (2 * np.arange(m + 2) + 1)
    mass = basis.T @ (weight[:, None] * basis)
    s, w = legendre.leggauss(m + 3)
    slopes = legendre.legvander(s, m) @ legendre.legder(basis, 1) * J
    stiffness = slopes.T @ (axis.length / 2 * w[:, None] * slopes)
    for c, s_end in ((axis.left, -1.0), (axis.right, 1.0)):
        if c.beta:
            at_end = legendre.legvander(np.array([s_end]), m + 1) @ basis
            stiffness = stiffness + c.alpha / c.beta * at_end.T @ at_end
    scale = 1 / np.sqrt(np.diag(mass))
    square, vectors = scipy.linalg.eigh(scale[:, None] * stiffness * scale, scale[:, None] * mass * scale)
    return -square, basis @ (scale[:, None] * vectors)


@cache
def _values(axis: Legendre, order: int) -> np.ndarray:
    """(n, modes) at the points."""
    return axis.at(axis.points, order)


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
