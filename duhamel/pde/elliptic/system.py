"""The linear system of a discretised equation, S u = b, never stored as a matrix.

    (S u)_i = sum over axes  k_{i-1/2} (u_i - u_{i-1}) + k_{i+1/2} (u_i - u_{i+1})  +  q_i u_i

k are links between neighbours (a/h^2 inside), a link beyond the last point leads to 0, and b = W f + what the sides
bring. W is 1, and 1/2 for each side on which a vertex lies: S = W A is symmetric while A u = f is consistent. All
differences are slices.
"""

from functools import reduce
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from duhamel.core.types import Field

from .boxes import Box


class System(eqx.Module):
    """Made by `discretise`. A pytree: differentiate or vmap what its numbers were made of.

    links    one array an axis, (.., n + 1, ..): k on both sides of every unknown, S-scaled
    absorb   q = W c, of the unknowns' shape
    brought  what the values on the sides add to b
    lines    the links of each axis as (n + 1,) arrays, W of the other axes taken out, where S is a sum of products:
             a of each axis depends on that axis alone, c is one number; else None
    level    that number c, else None
    uniform  a of each axis where it is one number, else None
    kinds    two letters an axis: P, D, N or R
    singular S u = 0 for constant u: no side holds u and c = 0
    """

    links: tuple[Array, ...]
    absorb: Array
    brought: Array
    lines: tuple[Array, ...] | None
    level: Array | None
    uniform: tuple[Array, ...] | None
    box: Box = eqx.field(static=True)
    kinds: tuple[str, ...] = eqx.field(static=True)
    singular: bool = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of unknowns along each axis."""
        return tuple(len(r) for r in self.rows)

    @property
    def dtype(self) -> Any:
        return self.absorb.dtype

    @property
    def rows(self) -> tuple[np.ndarray, ...]:
        """Coordinates of the unknowns along each axis."""
        return tuple(self.box.row(d, k == "PP")[inside(self.box, k)] for d, k in enumerate(self.kinds))

    def coordinates(self) -> tuple[np.ndarray, ...]:
        """One float64 array an axis, shaped to broadcast: x is (Nx, 1, 1), y is (1, Ny, 1), ..."""
        return tuple(np.meshgrid(*self.rows, indexing="ij", sparse=True))

    @property
    def weights(self) -> tuple[np.ndarray, ...]:
        """W along each axis."""
        return tuple(weights(self.box, k, n) for k, n in zip(self.kinds, self.shape, strict=True))

    @property
    def weight(self) -> np.ndarray:
        """W of every unknown."""
        return reduce(np.multiply.outer, self.weights)

    def mv(self, u: Any) -> Field:
        """S u."""
        total = self.absorb * u
        for axis, (k, kind) in enumerate(zip(self.links, self.kinds, strict=True)):
            flux = k * jnp.diff(surrounded(u, axis, kind == "PP"), axis=axis)
            total = total - jnp.diff(flux, axis=axis)
        return total

    def diagonal(self) -> Field:
        return self.absorb + sum(part(k, d, 0, -1) + part(k, d, 1, None) for d, k in enumerate(self.links))

    def right_side(self, f: Any) -> Field:
        """b for a source f: a number, an array of the unknowns' shape, or a function of the coordinates."""
        f = f(*self.coordinates()) if callable(f) else f
        traced = any(isinstance(x, Tracer) for x in (f, self.brought))
        dtype = jnp.result_type(self.dtype, f)
        f = jnp.asarray(f) if traced else np.asarray(f)
        try:
            f = (jnp if traced else np).broadcast_to(f, self.shape)
        except ValueError:
            raise ValueError(
                f"f has shape {f.shape} and the unknowns have {self.shape}; give a number, an array of that "
                "shape, or a function of the coordinates (`system.coordinates()`)."
            ) from None
        if not traced and not np.all(np.isfinite(f)):
            raise ValueError("f holds NaN or infinity; the source must be finite at every point.")
        weight = np.asarray(self.weight, np.finfo(self.dtype).dtype)
        return jnp.asarray(weight * f.astype(dtype) + (self.brought if traced else np.asarray(self.brought)))

    def lineax(self) -> lx.FunctionLinearOperator:
        """S as an operator of lineax, symmetric, and tagged positive where c >= 0 is known."""
        real = not jnp.issubdtype(self.dtype, jnp.complexfloating)
        known = not isinstance(self.absorb, Tracer)
        definite = real and known and not self.singular and bool(np.all(np.asarray(self.absorb) >= 0))
        tags = (lx.symmetric_tag, lx.positive_semidefinite_tag) if definite else lx.symmetric_tag
        return lx.FunctionLinearOperator(self.mv, jax.ShapeDtypeStruct(self.shape, self.dtype), tags)

    def mean(self, u: Any) -> Field:
        """The mean over the box."""
        w = jnp.asarray(self.weight, u.real.dtype)
        return jnp.sum(w * u) / jnp.sum(w)


def part(u: Any, axis: int, start: int | None, stop: int | None) -> Any:
    """u[.., start:stop, ..] along one axis."""
    return u[(slice(None),) * axis + (slice(start, stop),)]


def surrounded(u: Any, axis: int, periodic: bool) -> Any:
    """u with one more layer at both ends of the axis: its other end, or zeros."""
    first, last = part(u, axis, 0, 1), part(u, axis, -1, None)
    before, after = (last, first) if periodic else (jnp.zeros_like(first), jnp.zeros_like(last))
    return jnp.concatenate([before, u, after], axis=axis)


def inside(box: Box, kind: str) -> slice:
    """Which points of an axis are unknowns."""
    held = box.centre == "vertex"
    return slice(1 if held and kind[0] == "D" else 0, -1 if held and kind[1] == "D" else None)


def weights(box: Box, kind: str, n: int) -> np.ndarray:
    """W along one axis: 1/2 where the point lies on a side."""
    w = np.ones(n)
    if box.centre == "vertex":
        w[0] *= 0.5 if kind[0] in "NR" else 1.0
        w[-1] *= 0.5 if kind[1] in "NR" else 1.0
    return w
