"""Spectral differences in one dimension: polynomials inside elements, Riemann solvers between them, order p + 1.

The flux points of an element, its ends and the p Gauss points, part it into p + 1 sub-cells; the unknowns are the
averages over those. They fix the polynomial, it gives the fluxes at the points, and

    d u_i/dt = -(F_{i+1} - F_i)/width_i

is at once the spectral difference scheme and a finite volume scheme on the sub-cells: mass is conserved whatever the
fluxes are. So where the polynomial is not smooth, the fluxes of limited linear profiles on the sub-cells take over.

Source: Y. Liu, M. Vinokur, Z. J. Wang, J. Comput. Phys. 216 (2006) 780 (the scheme); D. A. Velasco Romero,
M. Han-Veiga, R. Teyssier, MNRAS 520 (2023) 3591 (as finite volumes); S. Hennemann, A. M. Rueda-Ramirez,
F. J. Hindenlang, G. J. Gassner, J. Comput. Phys. 426 (2021) 109935 (sensor and blending).
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .law import Law
from .mesh import Mesh, Values, cut
from .reconstruction import minmod
from .riemann import Riemann


class SpectralDifference(eqx.Module):
    """Polynomials of degree p on every cell of a mesh, which is then called an element.

    degree  p = 1 to 5: smooth waves converge with order p + 1
    shocks  False leaves the polynomials alone: for smooth flows, and faster
    Fields have shape (..., fields, elements (p + 1)): averages over the sub-cells, in order; `averages` makes them.
    """

    degree: int = eqx.field(static=True, default=3)
    shocks: bool = eqx.field(static=True, default=True)

    def __check_init__(self) -> None:
        if not 1 <= self.degree <= 5:
            raise ValueError(f"SpectralDifference(degree) is 1 to 5, got {self.degree}; 3 is a good choice.")

    @property
    def points(self) -> int:
        """Sub-cells of an element."""
        return self.degree + 1

    def widths(self, mesh: Mesh) -> np.ndarray:
        """Of all sub-cells, (elements (p + 1),)."""
        return np.tile(0.5 * mesh.width[0] * np.diff(_tables(self.degree).nodes), mesh.shape[0])

    def centres(self, mesh: Mesh) -> np.ndarray:
        """Of all sub-cells, (elements (p + 1),)."""
        widths = self.widths(mesh)
        return mesh.start[0] + np.cumsum(widths) - 0.5 * widths

    def averages(self, mesh: Mesh, f: Callable[[np.ndarray], np.ndarray], nodes: int = 8) -> np.ndarray:
        """Averages over the sub-cells of a function of x that returns (..., points), by Gauss quadrature."""
        x, weights = np.polynomial.legendre.leggauss(nodes)
        places = self.centres(mesh)[:, None] + 0.5 * self.widths(mesh)[:, None] * x
        values = np.asarray(f(places.ravel()))
        return values.reshape(*values.shape[:-1], *places.shape) @ (0.5 * weights)

    def integral(self, mesh: Mesh, u: Values) -> Array:
        """int u dx: what the scheme conserves."""
        return jnp.sum(u * self.widths(mesh), axis=-1)


class ElementResidual(eqx.Module):
    """du/dt of the averages over sub-cells: the vector field of `SpectralDifference`, for any explicit method."""

    law: Law
    mesh: Mesh
    scheme: SpectralDifference
    riemann: Riemann

    def __call__(self, t: Any, u: Array, args: Any = None) -> Array:
        del t, args
        law, scheme = self.law, self.scheme
        q = jnp.moveaxis(u, -2, 0)
        q = q.reshape(*q.shape[:-1], self.mesh.shape[0], scheme.points)
        tables = _tables(scheme.degree)
        values = jnp.einsum("...i,ki->...k", q, jnp.asarray(tables.values, q.dtype))
        rough = None
        if scheme.shocks:
            bad = _negative(law, q, values)
            values = jnp.where(bad[..., None], jnp.mean(q, axis=-1, keepdims=True), values)
            rough = _spread(self.mesh, jnp.where(bad, 1.0, _roughness(law, q, scheme.degree)))
        flux = self._smooth(values)
        if rough is not None:
            inside = jnp.broadcast_to(rough[..., 1:-1, None], rough[..., 1:-1].shape + (scheme.points,))
            edge = jnp.maximum(rough[..., :-1], rough[..., 1:])
            theta = _in_order(inside[..., 1:], edge)
            flux = flux + theta * (self._limited(q) - flux)
        rate = -(cut(flux, 1, 0, -1) - cut(flux, 0, -1, -1)) / jnp.asarray(scheme.widths(self.mesh), q.dtype)
        return jnp.moveaxis(rate, 0, -2)

    def _smooth(self, values: Array) -> Array:
        """Fluxes at all flux points, in order: the polynomial's inside, the Riemann solver's between elements."""
        law = self.law
        below, above = law.beyond(self.mesh, values[..., 0], values[..., -1])
        left = law.primitive(jnp.concatenate([below, values[..., -1]], axis=-1))
        right = law.primitive(jnp.concatenate([values[..., 0], above], axis=-1))
        inner = law.flux(law.primitive(values[..., 1:-1]), 0)
        return _in_order(inner, self.riemann(law, left, right, 0))

    def _limited(self, q: Array) -> Array:
        """Fluxes of limited linear profiles on the sub-cells."""
        law, flat = self.law, q.reshape(*q.shape[:-2], -1)
        w = law.primitive(law.padded(self.mesh, flat, 0, 2))
        widths = self.scheme.widths(self.mesh)
        widths = np.concatenate([widths[1::-1], widths, widths[:-3:-1]])  # elements are symmetric
        widths = jnp.asarray(widths, q.dtype)
        slope = (cut(w, 1, 0, -1) - cut(w, 0, -1, -1)) / (0.5 * (widths[1:] + widths[:-1]))
        half = 0.5 * widths[1:-1] * minmod(cut(slope, 0, -1, -1), cut(slope, 1, 0, -1))
        middle = cut(w, 1, -1, -1)
        return self.riemann(law, cut(middle + half, 0, -1, -1), cut(middle - half, 1, 0, -1), 0)


class _Tables(NamedTuple):
    """nodes: flux points (p + 2,); values: from averages to the flux points (p + 2, p + 1); modes: to Legendre's."""

    nodes: np.ndarray
    values: np.ndarray
    modes: np.ndarray


@cache
def _tables(p: int) -> _Tables:
    legendre = np.polynomial.legendre
    nodes = np.concatenate([[-1.0], legendre.leggauss(p)[0], [1.0]])
    integrals = [legendre.legval(nodes, legendre.legint(row)) for row in np.eye(p + 1)]
    averages = np.stack([np.diff(I) / np.diff(nodes) for I in integrals], axis=1)
    modes = np.linalg.inv(averages)
    return _Tables(nodes, legendre.legvander(nodes, p) @ modes, modes)


def _in_order(inner: Array, edges: Array) -> Array:
    """(..., elements, p) inside and (..., elements + 1) between -> (..., elements (p + 1) + 1)."""
    joined = jnp.concatenate([edges[..., :-1, None], inner], axis=-1)
    joined = joined.reshape(*joined.shape[:-2], -1)
    return jnp.concatenate([joined, edges[..., -1:]], axis=-1)


def _measured(law: Law, u: Array) -> Array:
    """What the sensor looks at: the product of everything positive (density times pressure), else the first field."""
    product = jnp.ones(())
    positive = law.positive(law.primitive(u))
    for value in positive.values():
        product = product * value
    return product if positive else u[0]


def _roughness(law: Law, q: Array, p: int) -> Array:
    """0 smooth to 1 rough, (..., elements): the part of the energy in the last mode, or of the rest in the one before.

    alpha = 1/(1 + exp(-s/T (E - T))),   T = 10^(-1.8 (p + 1)^(1/4))/2,   s = 9.21; below 1e-3: 0
    """
    modes = jnp.einsum("...i,ki->...k", _measured(law, q), jnp.asarray(_tables(p).modes, q.dtype))
    power = modes**2 * (2.0 / (2.0 * np.arange(p + 1) + 1.0))
    total = jnp.cumsum(power, axis=-1)
    tiny = jnp.finfo(q.dtype).tiny ** 0.5
    E = power[..., -1] / (total[..., -1] + tiny)
    if p > 2:  # of a parabola the second last is its slope, which alone says nothing
        E = jnp.maximum(E, power[..., -2] / (total[..., -2] + tiny))
    T = 0.5 * 10 ** (-1.8 * (p + 1) ** 0.25)
    alpha = 1 / (1 + jnp.exp(-9.21024 / T * (E - T)))
    return jnp.where(alpha < 1e-3, 0.0, jnp.where(alpha > 1 - 1e-3, 1.0, alpha))


def _negative(law: Law, q: Array, values: Array) -> Array:
    """Elements whose polynomial loses a hundredth part of positivity, (..., elements)."""
    bad = jnp.zeros(q.shape[1:-1], bool)
    means, ends = law.positive(law.primitive(q)), law.positive(law.primitive(values))
    for name, value in ends.items():
        bad = bad | (jnp.min(value, axis=-1) < 0.01 * jnp.min(means[name], axis=-1))
    return bad


def _spread(mesh: Mesh, alpha: Array) -> Array:
    """Half as rough as the neighbours at least; one element more at both ends, (..., elements + 2)."""
    wide = mesh.stretched(alpha, 0, 2)
    return jnp.maximum(wide[..., 1:-1], 0.5 * jnp.maximum(wide[..., :-2], wide[..., 2:]))
