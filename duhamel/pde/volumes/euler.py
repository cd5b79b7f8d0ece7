"""Gas dynamics without friction: the Euler equations of an ideal gas."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from .law import Law
from .mesh import Values


class Euler(Law):
    """Euler equations in one or two dimensions.

        rho_t + div(rho v) = 0,   (rho v)_t + div(rho v v) + grad p = 0,   E_t + div((E + p) v) = 0
        E = p/(gamma - 1) + rho |v|^2/2

    gamma  ratio of specific heats: 1.4 for air, 5/3 for a gas of single atoms
    Conserved: density, momentum, energy; primitive: density, velocity, pressure; any consistent units. What one sees:
    shocks, contacts and rarefactions. Good values: Sod's tube, (1, 0, 1) | (1/8, 0, 1/10), 400 cells to t = 0.2.
    """

    numbers: ClassVar[tuple[str, ...]] = ("gamma",)
    gamma: Any = 1.4
    dim: int = eqx.field(static=True, default=1)

    @property
    def names(self) -> tuple[str, ...]:
        return ("density", *(f"momentum {a}" for a in "xy"[: self.dim]), "energy")

    @property
    def primitives(self) -> tuple[str, ...]:
        return ("density", *(f"velocity {a}" for a in "xy"[: self.dim]), "pressure")

    @property
    def vectors(self) -> tuple[tuple[int, ...], ...]:
        return (tuple(range(1, 1 + self.dim)),)

    def primitive(self, u: Values) -> Array:
        rho, momentum, energy = u[0], u[1:-1], u[-1]
        v = momentum / rho
        p = (self.gamma - 1) * (energy - 0.5 * jnp.sum(momentum * v, axis=0))
        return jnp.concatenate([rho[None], v, p[None]])

    def conserved(self, w: Values) -> Array:
        rho, v, p = w[0], w[1:-1], w[-1]
        energy = p / (self.gamma - 1) + 0.5 * rho * jnp.sum(v * v, axis=0)
        return jnp.concatenate([rho[None], rho * v, energy[None]])

    def flux(self, w: Array, axis: int) -> Array:
        u, normal, p = self.conserved(w), w[1 + axis], w[-1]
        F = u * normal
        return F.at[1 + axis].add(p).at[-1].add(p * normal)

    def sound(self, w: Array) -> Array:
        """Speed of sound, sqrt(gamma p/rho)."""
        return jnp.sqrt(self.gamma * w[-1] / w[0])

    def speeds(self, w: Array, axis: int) -> tuple[Array, Array]:
        c = self.sound(w)
        return w[1 + axis] - c, w[1 + axis] + c

    def signals(self, left: Array, right: Array, axis: int) -> tuple[Array, Array]:
        """Widened by the speeds of Roe's average. Source: B. Einfeldt, SIAM J. Numer. Anal. 25 (1988) 294."""
        low, high = super().signals(left, right, axis)
        a, b = jnp.sqrt(left[0]), jnp.sqrt(right[0])
        mean = lambda p, q: (a * p + b * q) / (a + b)  # noqa: E731
        v = mean(left[1:-1], right[1:-1])
        H = mean(self.enthalpy(left), self.enthalpy(right))
        c = jnp.sqrt((self.gamma - 1) * (H - 0.5 * jnp.sum(v * v, axis=0)))
        return jnp.minimum(low, v[axis] - c), jnp.maximum(high, v[axis] + c)

    def enthalpy(self, w: Array) -> Array:
        """Total enthalpy of unit mass, (E + p)/rho."""
        return self.gamma / (self.gamma - 1) * w[-1] / w[0] + 0.5 * jnp.sum(w[1:-1] ** 2, axis=0)

    def positive(self, w: Array) -> dict[str, Array]:
        return {"density": w[0], "pressure": w[-1]}
