"""What every axis of a box has: points, a quadrature, modes, and the way between them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from duhamel.core.grid import Number

from ..arguments import number, whole


@dataclass(frozen=True)
class Axis(ABC):
    """Abstract. n points on [start, start + length]; hashable, holds no arrays.

    Arrays carry the axis last in `forward` and `backward`; a `Space` moves it there and back.
    """

    n: Any  # int and floats once it is made
    length: Any
    start: Any = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", whole(self.n, "n"))  # NumPy's numbers are welcome
        object.__setattr__(self, "length", number(self.length, "length"))
        object.__setattr__(self, "start", number(self.start, "start"))
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

    def forward_slope(self, u: Any) -> Any:
        """(..., n) -> (..., modes): the modes of df/dx in the weak sense, -(phi_m', f), without what the walls add."""
        raise NotImplementedError(f"a {type(self).__name__} axis has no weak derivative.")

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
    def diagonal(self) -> bool:
        """Whether d^2/dx^2 is a number per mode."""
        return True

    @property
    def values(self) -> tuple[Any, ...]:
        """What is prescribed at the ends, numbers or functions of t: nothing but 0 unless the axis says so."""
        return ()

    def lifts(self, order: int = 0) -> np.ndarray:
        """(values, n): smooth functions with 1 in one condition and 0 in the others, or a derivative of them."""
        del order
        return np.zeros((0, self.n))

    @property
    def takes_constants(self) -> bool:
        """Whether a constant satisfies the homogeneous conditions."""
        return bool(np.any(np.abs(self.square) < 1e-8 / self.length**2))

    def restriction(self, fine: "Axis") -> np.ndarray:
        """(modes, modes of the finer axis): the projection of one's modes onto the other's, by the finer quadrature."""
        overlap = np.conj(self.at(fine.points)).T * fine.weights @ fine.at(fine.points)
        return overlap / self.norms[:, None]

    def matrix(self, order: int) -> np.ndarray:
        """(modes, modes): the `order`-th derivative, of an axis where it mixes modes."""
        raise NotImplementedError(f"order {order}: a {type(self).__name__} axis has `symbol`.")
