"""A box of equal cells in one or two dimensions, and what lies beyond each of its sides.

    x_i = start + length (i + 1/2)/N,   i = 0..N-1: centres of cells; a field holds one average for each

Arrays have the axes of the box last and the fields in front of them: (..., fields, Nx) or (..., fields, Nx, Ny).
Boundary conditions are ghost cells, made by slicing and concatenation.
"""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..arguments import Counts, Lengths, counts, each

Values = Array | np.ndarray


class Side(eqx.Module):
    """What lies beyond one side of the box. Abstract."""

    @abstractmethod
    def ghosts(self, near: Array, far: Array, given: Any, signs: Any) -> Array:
        """Ghost cells, in the order of the axis, as many as `near` holds.

        near   the cells next to this side, far those next to the opposite side, both in the order of the axis
        given  conserved state of an `Inflow`, else None
        signs  -1 for the fields that a mirror turns around, else 1; ready to multiply
        The axis is the last one: the caller moved it there.
        """


class Periodic(Side):
    """What leaves here comes in at the other side; both sides of an axis must be periodic."""

    def ghosts(self, near: Array, far: Array, given: Any, signs: Any) -> Array:
        return far


class Outflow(Side):
    """Zero gradient: waves leave, nearly without reflection."""

    low: bool = eqx.field(static=True, default=True)

    def ghosts(self, near: Array, far: Array, given: Any, signs: Any) -> Array:
        edge = near[..., :1] if self.low else near[..., -1:]
        return jnp.broadcast_to(edge, near.shape)


class Wall(Side):
    """A reflecting wall: the mirror image, with the normal momentum (and magnetic field) turned around."""

    def ghosts(self, near: Array, far: Array, given: Any, signs: Any) -> Array:
        return signs * near[..., ::-1]


class Inflow(Side):
    """A given state comes in: primitive values, one number a field (for Euler density, velocity, pressure)."""

    state: Any

    def ghosts(self, near: Array, far: Array, given: Any, signs: Any) -> Array:
        return jnp.broadcast_to(given.astype(near.dtype), near.shape)


class Mesh(eqx.Module):
    """A box of equal cells; write `box(...)`. The states of `Inflow` sides are leaves, all else is static.

    shape, length, start   cells, side lengths and lowest corner, one number per axis
    sides                  (low, high) for each axis
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    length: tuple[float, ...] = eqx.field(static=True)
    start: tuple[float, ...] = eqx.field(static=True)
    sides: tuple[tuple[Side, Side], ...]

    @property
    def dim(self) -> int:
        return len(self.shape)

    @property
    def width(self) -> tuple[float, ...]:
        """Widths of a cell."""
        return tuple(s / n for s, n in zip(self.length, self.shape, strict=True))

    @property
    def cell(self) -> float:
        """Volume of a cell."""
        return float(np.prod(self.width))

    def centres(self) -> tuple[np.ndarray, ...]:
        """One float64 array per axis, shaped to broadcast against each other."""
        rows = [a + s * (np.arange(n) + 0.5) / n for n, s, a in zip(self.shape, self.length, self.start, strict=True)]
        return tuple(np.meshgrid(*rows, indexing="ij", sparse=True))

    def integral(self, u: Values) -> Array:
        """int u dx of a field given by its averages: what schemes conserve on periodic boxes."""
        return self.cell * jnp.sum(u, axis=tuple(range(-self.dim, 0)))

    def padded(self, u: Array, axis: int, n: int, given: tuple[Any, Any], signs: Any) -> Array:
        """u with n ghost cells in front of and behind one axis of the box. given, signs: see `Side.ghosts`."""
        u = jnp.moveaxis(u, axis - self.dim, -1)
        first, last = u[..., :n], u[..., -n:]
        low, high = self.sides[axis]
        parts = (low.ghosts(first, last, given[0], signs), u, high.ghosts(last, first, given[1], signs))
        return jnp.moveaxis(jnp.concatenate(parts, axis=-1), -1, axis - self.dim)

    def stretched(self, u: Array, axis: int, n: int) -> Array:
        """As `padded` for a field that is not transported (a bed, fluxes along faces): periodic, else zero gradient."""
        u = jnp.moveaxis(u, axis - self.dim, -1)
        if isinstance(self.sides[axis][0], Periodic):
            parts = (u[..., -n:], u, u[..., :n])
        else:
            edge = lambda row: jnp.broadcast_to(row, (*row.shape[:-1], n))  # noqa: E731
            parts = (edge(u[..., :1]), u, edge(u[..., -1:]))
        return jnp.moveaxis(jnp.concatenate(parts, axis=-1), -1, axis - self.dim)


def cut(u: Array, begin: int, end: int, axis: int) -> Array:
    """u[begin:end] along one axis, counted from the last; end = 0: to the end."""
    size = u.shape[axis]
    return jax.lax.slice_in_dim(u, begin, size + end if end <= 0 else end, axis=axis % u.ndim)


def box(
    shape: Counts,
    length: Lengths = 1.0,
    start: Lengths = 0.0,
    sides: Any = Periodic(),
) -> Mesh:
    """A box of cells: `box(400, sides=Outflow())`, `box((64, 32), (2.0, 1.0), sides=(Periodic(), (Wall(), Wall())))`.

    sides  one condition for all sides; or one entry for each axis, either a condition or a pair (low, high)
    """
    cells = counts(shape)
    dim = len(cells)
    lengths, starts = each(length, dim, "length"), each(start, dim, "start")
    if dim not in (1, 2) or not dim == len(lengths) == len(starts):
        raise ValueError(
            f"a box has 1 or 2 axes with one length and one start each, got shape {cells}, length {lengths}, "
            f"start {starts}."
        )
    if min(cells) < 6:
        raise ValueError(f"shape {cells}: an axis needs at least 6 cells, as many as a stencil reads.")
    if not all(np.isfinite(s) and s > 0 for s in lengths):
        raise ValueError(f"length {lengths}: side lengths must be positive and finite.")
    return Mesh(cells, lengths, starts, _sides(sides, dim))


def _sides(sides: Any, dim: int) -> tuple[tuple[Side, Side], ...]:
    per_axis = (sides,) * dim if isinstance(sides, Side) else tuple(sides)
    if dim == 1 and len(per_axis) == 2 and all(isinstance(s, Side) for s in per_axis):
        per_axis = (per_axis,)  # box(100, sides=(Inflow(...), Outflow())) says what it means
    if len(per_axis) != dim:
        raise ValueError(f"sides has {len(per_axis)} entries for {dim} axes; give one for all, or one for each axis.")
    found = []
    for axis, entry in enumerate(per_axis):
        pair = (entry, entry) if isinstance(entry, Side) else tuple(entry)
        if len(pair) != 2 or not all(isinstance(side, Side) for side in pair):
            raise TypeError(
                f"sides of axis {axis} must be Periodic(), Outflow(), Wall() or Inflow(state), or a pair of those, got "
                f"{entry!r}."
            )
        if len({isinstance(side, Periodic) for side in pair}) != 1:
            raise ValueError(f"sides of axis {axis}: one is periodic and the other is not; make both periodic.")
        low, high = (Outflow(i == 0) if isinstance(side, Outflow) else side for i, side in enumerate(pair))
        found.append((low, high))
    return tuple(found)
