"""Riemann solvers: the flux through a face from the states at its two sides.

Each is called as riemann(law, left, right, axis) with primitive states, the fields first.
"""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from .euler import Euler
from .law import Law


class Riemann(eqx.Module):
    """Abstract."""

    def check(self, law: Law) -> None:
        """Raises one sentence if the solver is not for this law."""
        del law

    @abstractmethod
    def __call__(self, law: Any, left: Array, right: Array, axis: int) -> Array:
        """Flux of the conserved fields."""


class Rusanov(Riemann):
    """Local Lax-Friedrichs: the mean flux less half the fastest speed times the jump. Robust, and it smears contacts.

    Source: V. V. Rusanov, USSR Comput. Math. Math. Phys. 1 (1961) 267.
    """

    def __call__(self, law: Law, left: Array, right: Array, axis: int) -> Array:
        low, high = law.signals(left, right, axis)
        speed = jnp.maximum(jnp.abs(low), jnp.abs(high))
        jump = law.conserved(right) - law.conserved(left)
        return 0.5 * (law.flux(left, axis) + law.flux(right, axis) - speed * jump)


class HLL(Riemann):
    """One mean state between the slowest and the fastest wave. For any law; the solver for shallow water.

    Source: A. Harten, P. D. Lax, B. van Leer, SIAM Review 25 (1983) 35.
    """

    def __call__(self, law: Law, left: Array, right: Array, axis: int) -> Array:
        low, high = law.signals(left, right, axis)
        low, high = jnp.minimum(low, 0.0), jnp.maximum(high, 0.0)
        apart = high - low
        still = apart == 0  # nothing moves on either side
        jump = law.conserved(right) - law.conserved(left)
        top = high * law.flux(left, axis) - low * law.flux(right, axis) + low * high * jump
        return jnp.where(still, law.flux(left, axis), top / jnp.where(still, 1.0, apart))


class HLLC(Riemann):
    """HLL with the contact restored, for `Euler`: contacts and shear waves that stand still stay sharp.

    Source: E. F. Toro, M. Spruce, W. Speares, Shock Waves 4 (1994) 25; Toro (2009), section 10.4.
    """

    def check(self, law: Law) -> None:
        if not isinstance(law, Euler):
            other = "HLLD()" if type(law).__name__ == "MHD" else "HLL()"
            raise ValueError(f"HLLC() solves the Euler equations, and the law is {type(law).__name__}: use {other}.")

    def __call__(self, law: Euler, left: Array, right: Array, axis: int) -> Array:
        low, high = law.signals(left, right, axis)
        a, b = _mass(left, low, axis), _mass(right, high, axis)
        middle = (right[-1] - left[-1] + a * left[1 + axis] - b * right[1 + axis]) / (a - b)
        below, above = self._side(law, left, low, middle, axis, -1), self._side(law, right, high, middle, axis, 1)
        return jnp.where(middle >= 0, below, above)

    def _side(self, law: Euler, w: Array, wave: Array, middle: Array, axis: int, sign: int) -> Array:
        """Flux between this side's outer wave and the contact, or outside that wave."""
        u, v = law.conserved(w), w[1 + axis]
        rho = _mass(w, wave, axis) / (wave - middle)
        energy = u[-1] / w[0] + (middle - v) * (middle + w[-1] / _mass(w, wave, axis))
        velocity = w[1:-1].at[axis].set(middle)
        star = jnp.concatenate([rho[None], rho * velocity, (rho * energy)[None]])
        flux = law.flux(w, axis)
        return jnp.where(sign * wave < 0, flux, flux + wave * (star - u))


def _mass(w: Array, wave: Array, axis: int) -> Array:
    """Mass that a wave sweeps up, rho (S - v)."""
    return w[0] * (wave - w[1 + axis])
