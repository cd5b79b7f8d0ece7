"""Ideal magnetohydrodynamics: a conducting gas and its magnetic field."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from .law import Interfaces, Law
from .mesh import Mesh, Values, cut


class MHD(Law):
    """Ideal magnetohydrodynamics in one or two dimensions; vectors always have three components.

        rho_t + div(rho v) = 0,   (rho v)_t + div(rho v v - B B) + grad(p + |B|^2/2) = 0
        B_t + div(v B - B v) = 0,   E_t + div((E + p + |B|^2/2) v - B (v.B)) = 0
        E = p/(gamma - 1) + rho |v|^2/2 + |B|^2/2,   div B = 0

    gamma  5/3, or 2 in Brio and Wu's tube
    Conserved: density, momentum, B, energy; primitive: density, velocity, B, pressure; B in units in which its pressure
    is |B|^2/2. What one sees: fast, Alfven and slow waves, and shocks of each kind.

    In one dimension the normal component is constant: give the same everywhere. In two dimensions div B at the
    corners of cells keeps its first value to rounding: the fluxes of B are averaged so that both axes see the same
    electric field there (flux-CT, G. Toth, J. Comput. Phys. 161 (2000) 605).
    """

    only_waves: ClassVar[bool | None] = True  # what `interfaces` adds keeps div B = 0 in two dimensions
    numbers: ClassVar[tuple[str, ...]] = ("gamma",)
    gamma: Any = 5 / 3
    dim: int = eqx.field(static=True, default=1)

    @property
    def names(self) -> tuple[str, ...]:
        return "density", *(f"momentum {a}" for a in "xyz"), *(f"field {a}" for a in "xyz"), "energy"

    @property
    def primitives(self) -> tuple[str, ...]:
        return "density", *(f"velocity {a}" for a in "xyz"), *(f"field {a}" for a in "xyz"), "pressure"

    @property
    def vectors(self) -> tuple[tuple[int, ...], ...]:
        return (1, 2, 3), (4, 5, 6)

    def primitive(self, u: Values) -> Array:
        v = u[1:4] / u[0]
        p = (self.gamma - 1) * (u[7] - 0.5 * jnp.sum(u[1:4] * v, axis=0) - 0.5 * jnp.sum(u[4:7] ** 2, axis=0))
        return jnp.concatenate([u[:1], v, u[4:7], p[None]])

    def conserved(self, w: Values) -> Array:
        square = w[0] * jnp.sum(w[1:4] ** 2, axis=0) + jnp.sum(w[4:7] ** 2, axis=0)
        energy = w[7] / (self.gamma - 1) + 0.5 * square
        return jnp.concatenate([w[:1], w[:1] * w[1:4], w[4:7], energy[None]])

    def flux(self, w: Array, axis: int) -> Array:
        v, B, normal, Bn = w[1:4], w[4:7], w[1 + axis], w[4 + axis]
        total = w[7] + 0.5 * jnp.sum(B * B, axis=0)
        momentum = (w[:1] * v * normal - Bn * B).at[axis].add(total)
        energy = (self.conserved(w)[7] + total) * normal - Bn * jnp.sum(v * B, axis=0)
        return jnp.concatenate([(w[0] * normal)[None], momentum, normal * B - Bn * v, energy[None]])

    def fast(self, w: Array, axis: int) -> Array:
        """Fast magnetosonic speed along an axis."""
        a2, b2, n2 = self.gamma * w[7] / w[0], jnp.sum(w[4:7] ** 2, axis=0) / w[0], w[4 + axis] ** 2 / w[0]
        total = a2 + b2
        inner = jnp.maximum(total**2 - 4 * a2 * n2, 1e-30 * total**2)  # a square root with a derivative everywhere
        return jnp.sqrt(0.5 * (total + jnp.sqrt(inner)))

    def speeds(self, w: Array, axis: int) -> tuple[Array, Array]:
        c = self.fast(w, axis)
        return w[1 + axis] - c, w[1 + axis] + c

    def signals(self, left: Array, right: Array, axis: int) -> tuple[Array, Array]:
        c = jnp.maximum(self.fast(left, axis), self.fast(right, axis))
        a, b = left[1 + axis], right[1 + axis]
        return jnp.minimum(a, b) - c, jnp.maximum(a, b) + c

    def positive(self, w: Array) -> dict[str, Array]:
        return {"density": w[0], "pressure": w[7]}

    def interfaces(self, mesh: Mesh, reconstruct: Any, riemann: Any, u: Array, axis: int) -> Interfaces:
        """Both sides of a face get the mean of the normal field, and its flux is none."""
        minus, plus = reconstruct.edges(self, self.padded(mesh, u, axis, reconstruct.ghosts), axis)
        along = axis - self.dim
        left, right = cut(plus, 0, -1, along), cut(minus, 1, 0, along)
        normal = 0.5 * (left[4 + axis] + right[4 + axis])
        left, right = (side.at[4 + axis].set(normal) for side in (left, right))
        flux = riemann(self, left, right, axis).at[4 + axis].set(0.0)
        return Interfaces(flux, flux, None)

    def coupled(self, mesh: Mesh, fluxes: list[Interfaces]) -> list[Interfaces]:
        """One electric field for both axes: E at a corner is the mean of what its four faces say."""
        if self.dim == 1:
            return fluxes
        along_x, along_y = fluxes[0].left, fluxes[1].left
        x, y = mesh.stretched(along_x[5], 1, 1), mesh.stretched(along_y[4], 0, 1)
        two = lambda v, axis: cut(v, 0, -1, axis) + cut(v, 1, 0, axis)  # noqa: E731
        corner = 0.25 * (two(y, -2) - two(x, -1))
        along_x = along_x.at[5].set(-0.5 * two(corner, -1))
        along_y = along_y.at[4].set(0.5 * two(corner, -2))
        return [Interfaces(F, F, None) for F in (along_x, along_y)]

    def divergence(self, mesh: Mesh, u: Values) -> Array:
        """div B at the corners inside the box, (..., Nx - 1, Ny - 1): differences of the means of two cells."""
        bx, by = jnp.moveaxis(jnp.asarray(u), -self.dim - 1, 0)[4:6]
        dx, dy = mesh.width
        jump = lambda b, axis: cut(b, 1, 0, axis) - cut(b, 0, -1, axis)  # noqa: E731
        mean = lambda b, axis: 0.5 * (cut(b, 1, 0, axis) + cut(b, 0, -1, axis))  # noqa: E731
        return jump(mean(bx, -1), -2) / dx + jump(mean(by, -2), -1) / dy
