"""Boxes with walls: a product of axes, each periodic or with a condition at either end.

    u(x, y) = lift(x, y) + sum_mn a_mn phi_m(x) psi_n(y)

The Laplacian of a mode is a number, whatever the conditions, so every equation whose linear part is a function of the
Laplacian is solved here by the same exponential and implicit-explicit methods as on a periodic `Grid`. The lift carries
inhomogeneous conditions; it is a polynomial in one axis.

The methods are those of `Grid`, which equations call; batch axes may stand in front.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from duhamel.core.grid import Number
from duhamel.core.linear import like
from duhamel.core.types import Field, Spectrum

from .axes.base import Axis


@dataclass(frozen=True)
class Space:
    """A box in 1 to 3 dimensions; hashable, holds no arrays. Write `box(Sine(64, 1.0), Fourier(128, 2.0))`."""

    parts: tuple[Axis, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.parts) <= 3:
            raise ValueError(f"a box has 1 to 3 axes, got {len(self.parts)}.")
        lifted = [k for k, axis in enumerate(self.parts) if np.any(axis.lift[0])]
        if len(lifted) > 1:
            raise ValueError(
                f"axes {lifted} both have inhomogeneous conditions, which meet in the corners; give values other than "
                "0 on one axis, and put the rest into the equation."
            )
        for k, axis in enumerate(self.parts):
            if lifted and k != lifted[0] and not axis_takes_constants(axis):
                raise ValueError(
                    f"axis {lifted[0]} has inhomogeneous conditions and axis {k} asks for more than du/dn = 0 at its "
                    "ends: the two contradict each other in the corners."
                )

    @property
    def dim(self) -> int:
        return len(self.parts)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(axis.n for axis in self.parts)

    @property
    def length(self) -> tuple[float, ...]:
        return tuple(axis.length for axis in self.parts)

    @property
    def start(self) -> tuple[float, ...]:
        return tuple(axis.start for axis in self.parts)

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of the box in an array with batch axes in front."""
        return tuple(range(-self.dim, 0))

    @property
    def volume(self) -> float:
        return float(np.prod(self.length))

    @property
    def has_lift(self) -> bool:
        return bool(np.any(self.lift))

    @property
    def lift(self) -> np.ndarray:
        """The lift at the points, float64."""
        return self._sum_of_lifts(0)

    @property
    def laplacian_of_lift(self) -> np.ndarray:
        return self._sum_of_lifts(2)

    def modes_shape(self, real: bool = True) -> tuple[int, ...]:
        del real
        return tuple(axis.modes for axis in self.parts)

    def coordinates(self) -> tuple[np.ndarray, ...]:
        """One float64 array per axis, shaped to broadcast against each other."""
        return tuple(np.meshgrid(*(axis.points for axis in self.parts), indexing="ij", sparse=True))

    def laplacian(self, real: bool = True) -> np.ndarray:
        """One number per mode."""
        del real
        return np.sum(np.broadcast_arrays(*np.meshgrid(*(a.square for a in self.parts), indexing="ij", sparse=True)), 0)

    def wavenumbers(self, real: bool = True) -> tuple[np.ndarray, ...]:
        """One array per axis, shaped to broadcast: signed on a periodic axis, sqrt(-square) between walls."""
        del real
        rows = [axis.wavenumbers for axis in self.parts]
        return tuple(np.meshgrid(*rows, indexing="ij", sparse=True))

    def derivative(self, axis: int = -1, order: int = 1, real: bool = True) -> np.ndarray:
        """Symbol of the `order`-th derivative along one axis, where there is one."""
        del real
        axis = axis % self.dim
        symbol = self.parts[axis].symbol(order)
        if symbol is None:
            raise ValueError(
                f"axis {axis} has walls, where an odd derivative of a mode is not a multiple of it: take the "
                "derivative at the points, with slope(modes, axis)."
            )
        return symbol.reshape([-1 if k == axis else 1 for k in range(self.dim)])

    def mask(self, fraction: Number = 2 / 3, real: bool = True) -> np.ndarray:
        """1 for the modes that products keep, else 0 (`Equation.dealias`). A Legendre axis has only such modes."""
        del real
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction = {fraction} of the modes is kept; give a number in (0, 1], such as 2/3.")
        kept = np.meshgrid(*(axis.kept(fraction) for axis in self.parts), indexing="ij", sparse=True)
        return np.prod(np.broadcast_arrays(*kept), axis=0)

    def to_modes(self, u: Field, real: bool = True) -> Field:
        """Modes of a field with the conditions' values; for products and forces, which have none, see `project`."""
        return self.project(u - like(self.lift, u) if self.has_lift else u, real)

    def project(self, u: Field, real: bool = True) -> Field:
        """Modes of any function: its L2 projection onto them."""
        del real
        for k, axis in enumerate(self.parts):
            u = _along(axis.forward, u, k - self.dim)
        return u

    def to_points(self, modes: Spectrum | Field, real: bool = True) -> Field:
        return self.slope(modes, 0, 0, real)

    def slope(self, modes: Spectrum | Field, axis: int = 0, order: int = 1, real: bool = True) -> Field:
        """The `order`-th derivative along one axis, at the points, lift included."""
        axis = axis % self.dim
        for k, part in enumerate(self.parts):
            modes = _along(lambda v, part=part, k=k: part.backward(v, order if k == axis else 0), modes, k - self.dim)
        u = modes.real if real else modes
        return u + like(self._lift_slope(axis, order), u) if self.has_lift else u

    def integral(self, u: Field) -> Field:
        """int u dx of a field given at the points, by the quadrature of each axis."""
        for axis in reversed(self.parts):
            u = jnp.matmul(u, like(axis.weights, u), precision="highest")
        return u

    def inner(self, a: Spectrum | Field, b: Spectrum | Field, real: bool = True) -> Field:
        """int conj(a) b dx of two fields given by their modes (Parseval), lifts not counted."""
        norms = np.prod(
            np.broadcast_arrays(*np.meshgrid(*(axis.norms for axis in self.parts), indexing="ij", sparse=True)), axis=0
        )
        product = jnp.conj(a) * b
        return jnp.sum((product.real if real else product) * like(norms, product.real), axis=self.axes)

    def _sum_of_lifts(self, order: int) -> np.ndarray:
        rows = [axis.lift[order] for axis in self.parts]
        return np.sum(np.broadcast_arrays(*np.meshgrid(*rows, indexing="ij", sparse=True)), axis=0)

    def _lift_slope(self, axis: int, order: int) -> np.ndarray:
        if order == 0:
            return self.lift
        if order > 2:
            return np.zeros(self.shape)
        row = self.parts[axis].lift[order].reshape([-1 if k == axis else 1 for k in range(self.dim)])
        return np.broadcast_to(row, self.shape)


def axis_takes_constants(axis: Axis) -> bool:
    """Whether a constant satisfies the homogeneous conditions of the axis."""
    return bool(np.any(np.abs(axis.square) < 1e-8 / axis.length**2))


def box(*axes: Axis) -> Space:
    """A box with walls.

    box(Sine(64, 1.0))                                                        # u = 0 at both ends
    box(Legendre(48, 1.0, left=Dirichlet(1.0), right=Neumann()), Fourier(64, 2.0))
    """
    return Space(axes)


def _along(transform: Any, u: Any, axis: int) -> Any:
    if axis == -1:
        return transform(u)
    return jnp.moveaxis(transform(jnp.moveaxis(u, axis, -1)), -1, axis)
