"""The same field on another number of points: interpolation, and products on a finer grid.

`resample` moves a field between boxes of one extent. `for_products` is the box on which a nonlinear term is evaluated
where the user asked for padding: modes are filled up with zeros to 1/dealias times their number, multiplied at those
points, and cut back, so that every mode but the Nyquist one is kept and none is aliased (Orszag, J. Atmos. Sci. 28
(1971) 1074: the 3/2 rule).
"""

from dataclasses import dataclass, field, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy.fft import next_fast_len

from duhamel.core.grid import Number
from duhamel.core.linear import like
from duhamel.core.types import Field, Spectrum

from .axes.base import Axis
from .axes.fourier import Fourier
from .axes.trigonometric import Midpoints
from .grid import Grid
from .space import Space, along


def resample(u: Any, old: Grid | Space, new: Grid | Space) -> Field:
    """A field at the points of `old`, at those of `new`; batch axes may stand in front.

        fine = resample(u, periodic(64, 1.0), periodic(256, 1.0))

    Exact for what both boxes resolve. Along an axis that becomes coarser, modes that it cannot hold are dropped, not
    aliased; of two waves that meet in an even number's Nyquist mode, the cosine is kept. Both boxes have the same
    extent; axes with walls keep their kind and conditions.
    """
    parts = _axes(old), _axes(new)
    if len(parts[0]) != len(parts[1]) or any(not _fits(a, b) for a, b in zip(*parts, strict=True)):
        raise ValueError(
            f"a field moves between boxes with the same sides, starts and kinds of axes; got {old} and {new}."
        )
    u = jnp.asarray(u)
    v = u - like(old.lift, u) if isinstance(old, Space) and old.has_lift else u
    for k, (a, b) in enumerate(zip(*parts, strict=True)):
        if a.n != b.n:
            v = along(lambda row, a=a, b=b: _line(row, a, b), v, k - old.dim)
    v = v + like(new.lift, v) if isinstance(new, Space) and new.has_lift else v
    return v if jnp.iscomplexobj(u) else v.real


def _axes(box: Grid | Space) -> tuple[Axis, ...]:
    if isinstance(box, Space):
        return box.parts
    return tuple(Fourier(n, s, a) for n, s, a in zip(box.shape, box.length, box.start, strict=True))


def _fits(a: Axis, b: Axis) -> bool:
    return replace(a, n=b.n) == b


def _line(u: Any, old: Axis, new: Axis) -> Any:
    """Along the last axis."""
    if isinstance(old, Fourier):
        return _waves(u, old.n, new.n)
    modes = old.forward(u)
    if new.modes < old.modes:
        return new.backward(jnp.matmul(modes, like(new.restriction(old).T, modes), precision="highest"))
    return jnp.matmul(modes, like(old.at(new.points).T, modes), precision="highest")


def _waves(u: Any, old: int, new: int) -> Any:
    modes, least = jnp.fft.fft(u, axis=-1), min(old, new)
    low, high = modes[..., : (least + 1) // 2], modes[..., modes.shape[-1] - (least - 1) // 2 :]
    middle = jnp.zeros((*u.shape[:-1], new - low.shape[-1] - high.shape[-1]), modes.dtype)
    found = jnp.concatenate([low, middle, high], axis=-1)
    if least % 2 == 0:
        half = least // 2
        if new > old:  # one cosine is two waves
            found = found.at[..., half].set(modes[..., half] / 2).at[..., new - half].set(modes[..., half] / 2)
        else:
            found = found.at[..., half].set(modes[..., half] + modes[..., old - half])
    return jnp.fft.ifft(found, axis=-1) * (new / old)


def for_products(box: Grid | Space, fraction: Number) -> Grid | Space:
    """The box on which products are evaluated: `box` itself, or one that goes through finer points."""
    if not box.padded or fraction >= 1:
        return box
    if isinstance(box, Grid):
        fine = replace(box, shape=tuple(_enough(n, fraction) for n in box.shape))
        return PaddedGrid(box.shape, box.length, box.start, True, fine=fine)
    return PaddedSpace(box.parts, True, fine=tuple(_finer(axis, fraction) for axis in box.parts), plain=box)


def _enough(n: int, fraction: Number) -> int:
    least = int(np.ceil(n / fraction - 1e-9))
    return next_fast_len(least, real=True) or least


def _finer(axis: Axis, fraction: Number) -> Axis:
    """Polynomial axes have more points than modes as they are."""
    return replace(axis, n=_enough(axis.n, fraction)) if isinstance(axis, Fourier | Midpoints) else axis


@dataclass(frozen=True)
class PaddedGrid(Grid):
    """A grid whose fields live on finer points; modes, symbols and inner products are those of the grid itself."""

    fine: Grid = field(kw_only=True)

    def coordinates(self) -> tuple[np.ndarray, ...]:
        return self.fine.coordinates()

    def to_points(self, modes: Spectrum, real: bool = True) -> Field:
        modes = like(self.mask(1, real) * self._scale, modes) * modes
        for axis, size in zip(self.axes, self.fine.modes_shape(real), strict=True):
            modes = jnp.moveaxis(modes, axis, -1)
            n, halved = modes.shape[-1], real and axis == -1
            zeros = jnp.zeros((*modes.shape[:-1], size - n), modes.dtype)
            cut = n if halved else (n + 1) // 2
            modes = jnp.moveaxis(jnp.concatenate([modes[..., :cut], zeros, modes[..., cut:]], axis=-1), -1, axis)
        return self.fine.to_points(modes, real)

    def to_modes(self, u: Field, real: bool = True) -> Spectrum:
        modes = self.fine.to_modes(u, real)
        for axis, n in zip(self.axes, self.modes_shape(real), strict=True):
            rows = np.arange(n) if real and axis == -1 else np.r_[0 : (n + 1) // 2, -(n // 2) : 0]
            modes = jnp.take(modes, rows, axis=axis)
        return like(self.mask(1, real) / self._scale, modes) * modes

    @property
    def _scale(self) -> float:
        return float(np.prod(self.fine.shape) / np.prod(self.shape))


@dataclass(frozen=True, eq=False)
class PaddedSpace(Space):
    """The same between walls: `plain` is the box itself, perhaps at a time."""

    fine: tuple[Axis, ...] = field(kw_only=True)
    plain: Space = field(kw_only=True)

    def coordinates(self) -> tuple[np.ndarray, ...]:
        return Space(self.fine).coordinates()

    @property
    def lift(self) -> Any:
        return self.lift_slope((0,) * self.dim)

    def lift_slope(self, orders: tuple[int, ...], rate: bool = False) -> Any:
        return self.plain.with_parts(self.fine).lift_slope(orders, rate)

    def project(self, u: Field, real: bool = True, slope: int | None = None) -> Field:
        modes = Space(self.fine).project(u, real, slope)
        for k, (axis, fine) in enumerate(zip(self.parts, self.fine, strict=True)):
            modes = along(lambda v, axis=axis, fine=fine: cut(v, axis, fine), modes, k - self.dim)
        return modes

    def slope(self, modes: Spectrum | Field, axis: int = 0, order: int = 1, real: bool = True) -> Field:
        for k, (old, fine) in enumerate(zip(self.parts, self.fine, strict=True)):
            modes = along(lambda v, old=old, fine=fine: _filled(v, old, fine), modes, k - self.dim)
        return self.plain.with_parts(self.fine).slope(modes, axis, order, real)

    def integral(self, u: Field) -> Field:
        return Space(self.fine).integral(u)


def cut(modes: Any, axis: Axis, fine: Axis) -> Any:
    """Modes of an axis, from those of a finer one."""
    if axis == fine:
        return modes
    first = (axis.modes + 1) // 2 if isinstance(axis, Fourier) else axis.modes
    rows = np.r_[0:first, first - axis.modes : 0] if first < axis.modes else np.arange(first)
    return like(axis.kept(1), modes) * jnp.take(modes, rows, axis=-1)


def _filled(modes: Any, axis: Axis, fine: Axis) -> Any:
    if axis == fine:
        return modes
    modes = like(axis.kept(1), modes) * modes
    first = (axis.modes + 1) // 2 if isinstance(axis, Fourier) else axis.modes
    zeros = jnp.zeros((*modes.shape[:-1], fine.modes - axis.modes), modes.dtype)
    return jnp.concatenate([modes[..., :first], zeros, modes[..., first:]], axis=-1)
