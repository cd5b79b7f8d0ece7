"""HLLD: the Riemann solver of ideal magnetohydrodynamics with contact and Alfven waves restored."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from .law import Law
from .mhd import MHD
from .riemann import Riemann


class HLLD(Riemann):
    """Five waves: two fast, two Alfven, one contact. Positive where the fast speeds are, exact on isolated contacts and
    Alfven waves.

    Source: T. Miyoshi, K. Kusano, J. Comput. Phys. 208 (2005) 315; the numbers below are its equations.
    """

    def check(self, law: Law) -> None:
        if not isinstance(law, MHD):
            other = "HLLC()" if type(law).__name__ == "Euler" else "HLL()"
            raise ValueError(f"HLLD() solves magnetohydrodynamics, and the law is {type(law).__name__}: use {other}.")

    def __call__(self, law: MHD, left: Array, right: Array, axis: int) -> Array:
        low, high = law.signals(left, right, axis)
        n, Bn = 1 + axis, left[4 + axis]
        pressure = lambda w: w[7] + 0.5 * jnp.sum(w[4:7] ** 2, axis=0)  # noqa: E731
        a, b = left[0] * (low - left[n]), right[0] * (high - right[n])  # a < 0 < b
        pa, pb = pressure(left), pressure(right)
        middle = (b * right[n] - a * left[n] - pb + pa) / (b - a)  # (38)
        p = (b * pa - a * pb + a * b * (right[n] - left[n])) / (b - a)  # (41)
        L, R = _star(law, left, low, middle, pa, p, axis), _star(law, right, high, middle, pb, p, axis)
        ra, rb = jnp.sqrt(L.u[0]), jnp.sqrt(R.u[0])
        slow, swift = middle - jnp.abs(Bn) / ra, middle + jnp.abs(Bn) / rb  # (51)
        sign = jnp.sign(Bn)
        v = (ra * L.v + rb * R.v + sign * (R.B - L.B)) / (ra + rb)  # (59), (60): tangential parts
        B = (ra * R.B + rb * L.B + ra * rb * sign * (R.v - L.v)) / (ra + rb)  # (61), (62)
        v, B = v.at[axis].set(middle), B.at[axis].set(Bn)
        inner_l, inner_r = _inner(L, v, B, -ra * sign), _inner(R, v, B, rb * sign)
        FL, FR = law.flux(left, axis), law.flux(right, axis)
        FL1, FR1 = FL + low * (L.u - law.conserved(left)), FR + high * (R.u - law.conserved(right))
        FL2, FR2 = FL1 + slow * (inner_l - L.u), FR1 + swift * (inner_r - R.u)
        below = jnp.where(low > 0, FL, jnp.where(slow >= 0, FL1, FL2))
        above = jnp.where(high < 0, FR, jnp.where(swift <= 0, FR1, FR2))
        return jnp.where(middle >= 0, below, above)


class _Star(NamedTuple):
    """The state between a fast wave and the Alfven wave behind it: conserved fields, velocity, magnetic field."""

    u: Array
    v: Array
    B: Array


def _star(law: MHD, w: Array, wave: Array, middle: Array, total: Array, p: Array, axis: int) -> _Star:
    n, Bn = 1 + axis, w[4 + axis]
    mass = w[0] * (wave - w[n])
    rho = mass / (wave - middle)  # (43)
    gap = mass * (wave - middle) - Bn**2
    # Where a fast wave is an Alfven wave (no tangential field) both gap and numerators vanish: nothing turns.
    turns = jnp.abs(gap) > 1e-8 * (jnp.abs(mass * (wave - middle)) + Bn**2)
    safe = jnp.where(turns, gap, 1.0)
    v = w[1:4] - jnp.where(turns, Bn * (middle - w[n]) / safe, 0.0) * w[4:7]  # (44), (46)
    B = w[4:7] * jnp.where(turns, (mass * (wave - w[n]) - Bn**2) / safe, 1.0)  # (45), (47)
    v, B = v.at[axis].set(middle), B.at[axis].set(Bn)
    work = jnp.sum(w[1:4] * w[4:7], axis=0) - jnp.sum(v * B, axis=0)
    energy = law.conserved(w)[7]
    energy = ((wave - w[n]) * energy - total * w[n] + p * middle + Bn * work) / (wave - middle)  # (48)
    return _Star(jnp.concatenate([rho[None], rho * v, B, energy[None]]), v, B)


def _inner(star: _Star, v: Array, B: Array, weight: Array) -> Array:
    """Conserved fields between the Alfven wave and the contact; weight: -+sqrt(rho) sgn(Bn), (63)."""
    energy = star.u[7] + weight * (jnp.sum(star.v * star.B, axis=0) - jnp.sum(v * B, axis=0))
    return jnp.concatenate([star.u[:1], star.u[0] * v, B, energy[None]])
