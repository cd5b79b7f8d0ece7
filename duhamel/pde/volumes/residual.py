"""du/dt of the averages in cells: minus the differences of the fluxes, and the sources."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .law import Law
from .mesh import Mesh, cut
from .placing import beside, has_fields
from .riemann import Riemann


class Residual(eqx.Module):
    """The vector field of a law on a mesh, for any explicit method: `dh.solve(Residual(...), u0, t1, ...)`.

    u (..., fields, *cells), conserved averages; the sum over cells changes only through the sides.
    """

    law: Law
    mesh: Mesh
    reconstruct: Any
    riemann: Riemann

    def __call__(self, t: Any, u: Array, args: Any = None) -> Array:
        del t, args
        law, mesh = self.law, self.mesh
        q = fields_first(law, u)
        fluxes = [law.interfaces(mesh, self.reconstruct, self.riemann, q, axis) for axis in range(law.dim)]
        rate = jnp.zeros_like(q)
        for axis, found in enumerate(law.coupled(mesh, fluxes)):
            along = axis - law.dim
            change = cut(found.left, 1, 0, along) - cut(found.right, 0, -1, along)
            rate = rate - change / mesh.width[axis]
            if found.source is not None:
                rate = rate + found.source
        return jnp.moveaxis(rate, 0, -law.dim - 1)


class Forced(eqx.Module):
    """du/dt of a scheme and a given source: field(t, u) + forcing(t, mesh), averages that broadcast against u."""

    field: Any
    forcing: Callable
    mesh: Mesh

    def __call__(self, t: Any, u: Array, args: Any = None) -> Array:
        return self.field(t, u, args) + jnp.asarray(self.forcing(t, self.mesh), u.dtype)


class Rate(eqx.Module):
    """max over cells of sum_a |fastest wave along a|/width_a, what `CFL` divides its number by; and what viscosity and
    dispersion add, so that number/rate is a step that all of them allow:

        1/h = waves/number + decay/decays + oscillation/oscillates

    decays, oscillates  h times the largest eigenvalues of `Law.stiffness` that the method bears
    number              Courant's
    """

    law: Law
    mesh: Mesh
    number: Any = 1.0
    decays: float = eqx.field(static=True, default=1.0)
    oscillates: float = eqx.field(static=True, default=1.0)

    def __call__(self, t: Any, u: Array, args: Any = None) -> Float[Array, ""]:
        del t, args
        w = self.law.primitive(fields_first(self.law, u))
        total = jnp.zeros(w.shape[1:], w.dtype)
        for axis, width in enumerate(self.mesh.width):
            total = total + self._fastest(w, axis) / width
        decay, oscillation = self.law.stiffness(self.mesh)
        more = jnp.asarray(decay, w.dtype) / self.decays + jnp.asarray(oscillation, w.dtype) / self.oscillates
        return jnp.max(total) + jnp.asarray(self.number, w.dtype) * more

    def _fastest(self, w: Array, axis: int) -> Array:
        laws = [self.law]
        if has_fields(self.law):
            laws = [beside(self.law, self.mesh, axis, upper, w.dtype) for upper in (False, True)]
        speeds = [jnp.abs(speed) for law in laws for speed in law.speeds(w, axis)]
        return reduce(jnp.maximum, speeds)


class Admissible(eqx.Module):
    """Whether density, pressure or depth is what it must be in every cell."""

    law: Law

    def __call__(self, t: Any, u: Array, args: Any = None) -> Bool[Array, ""]:
        del t, args
        return jnp.all(self.law.admissible(fields_first(self.law, u)))


def fields_first(law: Law, u: Array) -> Array:
    return jnp.moveaxis(u, -law.dim - 1, 0)
