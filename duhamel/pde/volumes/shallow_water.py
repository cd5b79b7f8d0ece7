"""Shallow water over a bed that may rise out of it: well-balanced, with wetting and drying."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from .law import Interfaces, Law
from .mesh import Mesh, Values, cut
from .reconstruction import WENO5


class ShallowWater(Law):
    """Shallow water equations in one or two dimensions.

        h_t + div(h v) = 0,   (h v)_t + div(h v v) + grad(g h^2/2) = -g h grad b

    gravity     9.81 in metres and seconds
    bathymetry  height b of the bed in each cell, of the mesh's shape, or a function of the coordinates; None: flat
    dry         depth below which the velocity is taken as 0, in units of the depth; 1e-9 is far below what is resolved
    Conserved: depth h and discharge h v; primitive: depth and velocity. What one sees: bores, rarefactions, shorelines
    that move. A lake at rest stays at rest to rounding, its shores included, and depths stay positive.

    At a face the beds of its two sides are made one, b* = max(b_L, b_R), and the depths h* = max(0, h + b - b*); the
    pressure that this hides is put back on each side. Depth and surface are reconstructed; the bed is their difference.
    Source: E. Audusse et al., SIAM J. Sci. Comput. 25 (2004) 2050.
    """

    numbers: ClassVar[tuple[str, ...]] = ("gravity",)
    gravity: Any = 9.81
    bathymetry: Any = None
    dim: int = eqx.field(static=True, default=1)
    dry: float | int = eqx.field(static=True, default=1e-9)

    @property
    def names(self) -> tuple[str, ...]:
        return ("depth", *(f"discharge {a}" for a in "xy"[: self.dim]))

    @property
    def primitives(self) -> tuple[str, ...]:
        return ("depth", *(f"velocity {a}" for a in "xy"[: self.dim]))

    @property
    def vectors(self) -> tuple[tuple[int, ...], ...]:
        return (tuple(range(1, 1 + self.dim)),)

    def primitive(self, u: Values) -> Array:
        wet = u[0] > self.dry
        h = jnp.maximum(u[0], 0.0)
        v = jnp.where(wet, u[1:] / jnp.where(wet, u[0], 1.0), 0.0)
        return jnp.concatenate([h[None], v])

    def conserved(self, w: Values) -> Array:
        return jnp.concatenate([w[:1], w[:1] * w[1:]])

    def flux(self, w: Array, axis: int) -> Array:
        F = self.conserved(w) * w[1 + axis]
        return F.at[1 + axis].add(0.5 * self.gravity * w[0] ** 2)

    def celerity(self, w: Array) -> Array:
        """sqrt(g h), with the derivative 0 where it is dry."""
        wet = w[0] > 0
        return jnp.where(wet, jnp.sqrt(self.gravity * jnp.where(wet, w[0], 1.0)), 0.0)

    def speeds(self, w: Array, axis: int) -> tuple[Array, Array]:
        c = self.celerity(w)
        return w[1 + axis] - c, w[1 + axis] + c

    def signals(self, left: Array, right: Array, axis: int) -> tuple[Array, Array]:
        """Onto dry ground the front runs with u + 2c, not u + c. Source: Toro (2001), section 10.5."""
        low, high = super().signals(left, right, axis)
        low = jnp.where(left[0] <= self.dry, right[1 + axis] - 2 * self.celerity(right), low)
        high = jnp.where(right[0] <= self.dry, left[1 + axis] + 2 * self.celerity(left), high)
        return low, high

    def positive(self, w: Array) -> dict[str, Array]:
        return {"depth": w[0]}

    def check(self, mesh: Mesh) -> None:
        super().check(mesh)
        self.bed(mesh, jnp.zeros((1, *mesh.shape)))

    def measured(self, u: Array) -> dict[str, Array]:
        return {"depth": u[0]}  # `primitive` has no depth below 0

    def admissible(self, u: Array) -> Array:
        """Dry cells are fine; less than nothing, but for rounding, is not."""
        return u[0] > -1e-3 * self.dry

    def interfaces(self, mesh: Mesh, reconstruct: Any, riemann: Any, u: Array, axis: int) -> Interfaces:
        if isinstance(reconstruct, WENO5):
            raise ValueError(
                "WENO5() mixes wet and dry cells at a shore, where the water would not stay at rest: use MUSCL() or "
                "PiecewiseConstant() for ShallowWater."
            )
        g, n, along = self.gravity, reconstruct.ghosts, axis - self.dim
        w = self.primitive(self.padded(mesh, u, axis, n))
        bed = mesh.stretched(self.bed(mesh, u), axis, n)
        low, high = reconstruct.both(jnp.concatenate([w, (w[:1] + bed)]), along)  # the surface as one more field
        minus, plus = (_Edge(edge[:-1], edge[-1] - edge[0]) for edge in (low, high))
        left, right = plus.cut(0, -1, along), minus.cut(1, 0, along)
        top = jnp.maximum(left.bed, right.bed)
        below, above = (side.raised(top) for side in (left, right))
        flux = riemann(self, below, above, axis)
        hidden = lambda side, star: 0.5 * g * (side.w[0] ** 2 - star[0] ** 2)  # noqa: E731
        to_left = flux.at[1 + axis].add(hidden(left, below))
        to_right = flux.at[1 + axis].add(hidden(right, above))
        a, b = minus.cut(1, -1, along), plus.cut(1, -1, along)
        slope = -0.5 * g * (a.w[0] + b.w[0]) * (b.bed - a.bed) / mesh.width[axis]
        source = jnp.zeros_like(u).at[1 + axis].set(slope)
        return Interfaces(to_left, to_right, source)

    def bed(self, mesh: Mesh, u: Array) -> Array:
        """(1, ..., *cells), the height of the bed."""
        if self.bathymetry is None:
            return jnp.zeros_like(u[:1])
        given = self.bathymetry(*mesh.centres()) if callable(self.bathymetry) else self.bathymetry
        b = jnp.asarray(given, u.dtype)
        if callable(self.bathymetry) and b.ndim in (0, mesh.dim):
            b = jnp.broadcast_to(b, mesh.shape)
        if b.shape != mesh.shape:
            raise ValueError(f"bathymetry has shape {b.shape} and the mesh {mesh.shape}; give one height per cell.")
        return jnp.broadcast_to(b, u[:1].shape)


class _Edge(eqx.Module):
    """Primitive state and height of the bed at one edge of every cell."""

    w: Array
    bed: Array

    def cut(self, begin: int, end: int, along: int) -> "_Edge":
        return _Edge(cut(self.w, begin, end, along), cut(self.bed, begin, end, along))

    def raised(self, top: Array) -> Array:
        """The state over the higher bed of the face."""
        h = jnp.maximum(self.w[0] + (self.bed - top), 0.0)
        return jnp.concatenate([h[None], self.w[1:]])
