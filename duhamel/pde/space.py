"""Boxes with walls: a product of axes, each periodic or with a condition at either end.

    u(x, y) = lift(x, y) + sum_mn a_mn phi_m(x) psi_n(y)

Where the axes are Fourier, Sine, Cosine or Legendre, the Laplacian of a mode is a number, whatever the conditions, so
every equation whose linear part is a function of the Laplacian is solved here by the same exponential and
implicit-explicit methods as on a periodic `Grid`. A Chebyshev axis makes the linear part a matrix along it, one for
each mode of the other axes, and takes operators of any order. The lift carries inhomogeneous conditions, which may
vary along the walls and in time: `at(t)` is the box at that time.

The methods are those of `Grid`, which equations call; batch axes may stand in front.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from duhamel.core.along import Along
from duhamel.core.grid import Number
from duhamel.core.linear import like
from duhamel.core.types import Field, Spectrum

from .axes.base import Axis
from .lifting import bent, blended, check_corners, varies_along
from .operator import Operator, derivative, rows_of


@dataclass(frozen=True)
class Space:
    """A box in 1 to 3 dimensions; hashable, holds no arrays. Write `box(Sine(64, 1.0), Fourier(128, 2.0))`."""

    parts: tuple[Axis, ...]
    padded: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.parts) <= 3:
            raise ValueError(f"a box has 1 to 3 axes, got {len(self.parts)}.")
        if self.dim == 1 and any(varies_along(value) for value in self.parts[0].values):
            raise ValueError(
                "a value is a function of t and of coordinates along the wall, and the wall of a line is a point: "
                "write a function of t alone."
            )
        if self._blends and not self.moves:
            check_corners(self.parts, None)

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
    def mixed(self) -> tuple[int, ...]:
        """Axes along which the linear part is a matrix."""
        return tuple(k for k, axis in enumerate(self.parts) if not axis.diagonal)

    @property
    def formal(self) -> bool:
        """Whether `laplacian` and `derivative` are formulas (`Operator`) rather than one number per mode."""
        return bool(self.mixed)

    @property
    def _lifted(self) -> list[int]:
        return [k for k, axis in enumerate(self.parts) if any(callable(v) or v != 0 for v in axis.values)]

    @property
    def _blends(self) -> bool:
        """Whether the lift is more than polynomials in one axis."""
        lifted = self._lifted
        rest = [axis for k, axis in enumerate(self.parts) if lifted and k != lifted[0]]
        meet = len(lifted) > 1 or any(not axis.takes_constants for axis in rest)
        return meet or any(varies_along(value) for axis in self.parts for value in axis.values)

    def check_walls(self, t: Any) -> None:
        """One sentence where walls that meet contradict each other at time t."""
        if self._blends:
            check_corners(self.parts, t)

    @property
    def has_lift(self) -> bool:
        return bool(self._lifted)

    @property
    def moves(self) -> bool:
        """Whether what is prescribed at the walls varies in time."""
        return any(callable(v) for axis in self.parts for v in axis.values)

    def at(self, t: Any) -> "Space":
        """The box with the values that hold at its walls at time t."""
        return Moment(self.parts, self.padded, t) if self.moves else self

    def with_parts(self, parts: tuple[Axis, ...]) -> "Space":
        """The same box with other axes."""
        return Space(parts, self.padded)

    @property
    def lift(self) -> Any:
        """The lift at the points."""
        return self.lift_slope((0,) * self.dim)

    def lift_slope(self, orders: tuple[int, ...], rate: bool = False) -> Any:
        """A derivative of the lift at the points, or of its rate of change in time."""
        if self._blends:
            return bent(self.parts, self._blend(rate), orders)
        total = np.zeros(self.shape)
        for k in self._lifted:
            if all(order == 0 for j, order in enumerate(orders) if j != k):
                row = self._end_values(k, rate) @ self.parts[k].lifts(orders[k])
                total = total + row.reshape([-1 if j == k else 1 for j in range(self.dim)])
        return total

    def _blend(self, rate: bool) -> Any:
        if self.moves:
            raise ValueError("what is prescribed at the walls is a function of t; take the box at(t).")
        return np.zeros(self.shape) if rate else blended(self.parts, None)

    def _end_values(self, axis: int, rate: bool) -> Any:
        values = self.parts[axis].values
        if any(callable(v) for v in values):
            raise ValueError(f"what is prescribed at the ends of axis {axis} varies in time; take the box at(t).")
        return np.zeros(len(values)) if rate else np.array(values, float)

    def modes_shape(self, real: bool = True) -> tuple[int, ...]:
        del real
        return tuple(axis.modes for axis in self.parts)

    def coordinates(self) -> tuple[np.ndarray, ...]:
        """One float64 array per axis, shaped to broadcast against each other."""
        return tuple(np.meshgrid(*(axis.points for axis in self.parts), indexing="ij", sparse=True))

    def laplacian(self, real: bool = True) -> Any:
        """One number per mode, or an `Operator`."""
        del real
        if self.formal:
            return sum((derivative(self.dim, k, 2) for k in range(1, self.dim)), derivative(self.dim, 0, 2))
        return np.sum(np.broadcast_arrays(*np.meshgrid(*(a.square for a in self.parts), indexing="ij", sparse=True)), 0)

    def wavenumbers(self, real: bool = True) -> tuple[np.ndarray, ...]:
        """One array per axis, shaped to broadcast: signed on a periodic axis, sqrt(-square) between walls."""
        del real
        rows = [axis.wavenumbers for axis in self.parts]
        return tuple(np.meshgrid(*rows, indexing="ij", sparse=True))

    def derivative(self, axis: int = -1, order: int = 1, real: bool = True) -> Any:
        """Symbol of the `order`-th derivative along one axis, where there is one, or an `Operator`."""
        del real
        axis = axis % self.dim
        if self.formal:
            return derivative(self.dim, axis, order)
        symbol = self.parts[axis].symbol(order)
        if symbol is None:
            raise ValueError(
                f"axis {axis} is a {type(self.parts[axis]).__name__} axis, where an odd derivative of a mode is no "
                "multiple of it: take a Chebyshev axis, or the derivative at the points, slope(modes, axis)."
            )
        return symbol.reshape([-1 if k == axis else 1 for k in range(self.dim)])

    def mask(self, fraction: Number = 2 / 3, real: bool = True) -> np.ndarray:
        """1 for the modes that products keep, else 0 (`Equation.dealias`). Polynomial axes have only such."""
        del real
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction = {fraction} of the modes is kept; give a number in (0, 1], such as 2/3.")
        fraction = 1 if self.padded else fraction
        kept = np.meshgrid(*(axis.kept(fraction) for axis in self.parts), indexing="ij", sparse=True)
        return np.prod(np.broadcast_arrays(*kept), axis=0)

    def to_modes(self, u: Field, real: bool = True) -> Field:
        """Modes of a field with the conditions' values; for products and forces, which have none, see `project`."""
        return self.project(u - like(self.lift, u) if self.has_lift else u, real)

    def project(self, u: Field, real: bool = True, slope: int | None = None) -> Field:
        """Modes of any function: its L2 projection onto them. slope: see `project_slope`."""
        del real
        for k, axis in enumerate(self.parts):
            u = along(axis.forward_slope if k == slope else axis.forward, u, k - self.dim)
        return u

    def project_slope(self, u: Field, axis: int, real: bool = True) -> Field:
        """Modes of du/dx along one axis in the weak sense, of a function given at the points: (phi, du/dx) = -(phi',
        u), without what stands at walls."""
        return self.project(u, real, axis)

    def to_points(self, modes: Spectrum | Field, real: bool = True) -> Field:
        return self.slope(modes, 0, 0, real)

    def slope(self, modes: Spectrum | Field, axis: int = 0, order: int = 1, real: bool = True) -> Field:
        """The `order`-th derivative along one axis, at the points, lift included."""
        axis = axis % self.dim
        for k, part in enumerate(self.parts):
            modes = along(lambda v, part=part, k=k: part.backward(v, order if k == axis else 0), modes, k - self.dim)
        u = modes.real if real else modes
        orders = tuple(order if k == axis else 0 for k in range(self.dim))
        return u + like(self.lift_slope(orders), u) if self.has_lift else u

    def curvature(self, modes: Spectrum | Field, real: bool = True) -> Field:
        """The Laplacian at the points, lift included."""
        return sum((self.slope(modes, k, 2, real) for k in range(1, self.dim)), self.slope(modes, 0, 2, real))

    def linear(self, symbol: Any) -> Along:
        """An equation's operators as matrices: along the mixed axes, and the fields where the symbol mixes them.

        symbol  an `Operator`, a tuple of them, one per field, or a square of them
        """
        if isinstance(symbol, Operator):
            return Along(self.matrices(symbol), self.mixed)
        mixed = tuple(k + 1 for k in self.mixed)
        if not isinstance(symbol[0], tuple):
            return Along(_stack([self.matrices(one) for one in symbol], 0), mixed)
        rows = [_stack([self.matrices(one) for one in row], -2) for row in symbol]  # (*others, m, fields, m)
        blocks = _stack(rows, -4)
        fields, m = blocks.shape[-4], blocks.shape[-3]
        return Along(blocks.reshape(*blocks.shape[:-4], fields * m, fields * m), (0, *mixed))

    def matrices(self, operator: Any) -> Any:
        """(*modes of the other axes, m, m): an `Operator` (or a number) along the mixed axes."""
        others = [axis for axis in self.parts if axis.diagonal]
        total: Any = 0.0
        for alpha, c in operator.terms.items() if isinstance(operator, Operator) else [((0,) * self.dim, operator)]:
            along, across = np.ones((1, 1)), np.ones(())
            for axis, order in zip(self.parts, alpha, strict=True):
                if not axis.diagonal:
                    along = np.kron(along, axis.matrix(order) if order else np.eye(axis.modes))
                    continue
                symbol = axis.symbol(order)
                if symbol is None:
                    raise ValueError(
                        f"a {type(axis).__name__} axis has no derivative of order {order} in the linear part; take a "
                        "Chebyshev or a Fourier axis."
                    )
                across = np.multiply.outer(across, symbol)
            total = total + c * (across[..., None, None] * along)
        return _broadcast(total, (*(axis.modes for axis in others), *total.shape[-2:]))

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


@dataclass(frozen=True, eq=False)
class Moment(Space):
    """A box whose walls move, at the time t, which may be traced."""

    t: Any = 0.0

    @property
    def has_lift(self) -> bool:
        return True

    def at(self, t: Any) -> Space:
        return Moment(self.parts, self.padded, t)

    def with_parts(self, parts: tuple[Axis, ...]) -> Space:
        return Moment(parts, self.padded, self.t)

    def _blend(self, rate: bool) -> Any:
        t = jnp.asarray(self.t, float)
        whole = lambda t: jnp.asarray(blended(self.parts, t))  # noqa: E731
        return jax.jvp(whole, (t,), (jnp.ones_like(t),))[1] if rate else whole(t)

    def _end_values(self, axis: int, rate: bool) -> Any:
        t = jnp.asarray(self.t, float)
        return jnp.stack([_value_at(value, t, rate) for value in self.parts[axis].values])


@dataclass(frozen=True, eq=False)
class Formal(Moment):
    """A box whose `laplacian` and `derivative` are formulas, whatever its axes."""

    @property
    def formal(self) -> bool:
        return True


def lift_force(equation_symbol: Any, space: Space) -> Any:
    """What the walls' values put into an equation at the points, L lift - d(lift)/dt, with one row per field."""
    rows = []
    still = (0,) * space.dim
    for row in rows_of(equation_symbol):
        total = -space.lift_slope(still, rate=True)
        for entry in row:
            terms = entry.terms if isinstance(entry, Operator) else {still: entry}
            for alpha, c in terms.items():
                total = total + c * space.lift_slope(alpha)
        rows.append(total)
    return rows[0] if len(rows) == 1 else _stack(rows, 0)


def _value_at(value: Any, t: Any, rate: bool) -> Any:
    if not callable(value):
        return jnp.zeros_like(t) if rate else jnp.full_like(t, value)
    function = lambda t: jnp.asarray(value(t), t.dtype)  # noqa: E731
    return jax.jvp(function, (t,), (jnp.ones_like(t),))[1] if rate else function(t)


def _stack(arrays: list[Any], axis: int) -> Any:
    """On the host where all are concrete, so that matrices stay in double precision."""
    on_host = all(isinstance(one, np.ndarray) for one in arrays)
    return (np if on_host else jnp).stack(arrays, axis)


def _broadcast(array: Any, shape: tuple[int, ...]) -> Any:
    return (np if isinstance(array, np.ndarray) else jnp).broadcast_to(array, shape)


def box(*axes: Axis, padded: bool = False) -> Space:
    """A box with walls. padded: products on a finer grid instead of fewer modes, as in `Grid`; polynomial axes have
    more points than modes anyway.

    box(Sine(64, 1.0))                                                        # u = 0 at both ends
    box(Legendre(48, 1.0, left=Dirichlet(1.0), right=Neumann()), Fourier(64, 2.0))
    box(Chebyshev(64, 30.0, conditions=(Dirichlet(), (Dirichlet(), Neumann()))))   # three conditions: KdV
    """
    return Space(axes, padded)


def along(transform: Any, u: Any, axis: int) -> Any:
    """A transform of last axes, applied to another one."""
    if axis == -1:
        return transform(u)
    return jnp.moveaxis(transform(jnp.moveaxis(u, axis, -1)), -1, axis)
