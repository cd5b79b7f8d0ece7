"""Korteweg-de Vries-Burgers in cells: a Riemann solver for the steepening, central fluxes for the rest."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from .law import Interfaces, ScalarLaw
from .mesh import Mesh, cut

_half = np.linspace(0, np.pi / 2, 2001)  # half the phase between neighbours, of all waves on the cells
_third = 7 * np.cos(3 * _half) - 6 * np.cos(_half) - np.cos(5 * _half)
DECAY = 16 / 3  # largest eigenvalue of the difference for -u_xx, times dx^2: that of the shortest wave
OSCILLATION = float(np.abs(_third * np.sin(_half) / 2).max())  # and of that for u_xxx, times dx^3


class KdVBurgers(ScalarLaw):
    """u_t + (alpha u^2 - beta u_x + gamma u_xx)_x = 0

    alpha  1/2 for Burgers;   beta  viscosity;   gamma  dispersion

    The viscous and dispersive fluxes are central and of fourth order in the averages L3 L2 L1 | R1 R2 R3 around a face,

        u_x = (15 (R1 - L1) - (R2 - L2))/(12 dx),    u_xx = (-6 (R1 + L1) + 7 (R2 + L2) - (R3 + L3))/(8 dx^2)

    They are explicit, and limit a step to about 0.47 dx^2/beta and 0.35 dx^3/gamma with SSPRK3, which `cfl` and `steps`
    know. What one sees: as `pde.KdVBurgers`, and shocks where beta = 0. Good values: 100 to 400 cells on
    a length of 16, WENO5(), beta up to 0.2, gamma = 0.
    """

    numbers: ClassVar[tuple[str, ...]] = ("alpha", "beta", "gamma")
    alpha: Any = 0.5
    beta: Any = 0.0
    gamma: Any = 0.0
    dim: int = eqx.field(static=True, default=1)

    def flux(self, w: Array, axis: int) -> Array:
        return jnp.asarray(self.alpha, w.dtype) * w * w

    def speeds(self, w: Array, axis: int) -> tuple[Array, Array]:
        speed = 2 * jnp.asarray(self.alpha, w.dtype) * w[0]
        return speed, speed

    def check(self, mesh: Mesh) -> None:
        super().check(mesh)
        if not isinstance(self.beta, Tracer) and self.beta < 0:
            raise ValueError(
                f"KdVBurgers: beta = {float(self.beta):g} is a negative viscosity, with which the equation is "
                "ill-posed: waves grow the faster the shorter they are. Give beta >= 0."
            )

    def stiffness(self, mesh: Mesh) -> tuple[Any, Any]:
        dx = mesh.width[0]
        return DECAY / dx**2 * self.beta, OSCILLATION / dx**3 * jnp.abs(jnp.asarray(self.gamma, float))

    def interfaces(self, mesh: Mesh, reconstruct: Any, riemann: Any, u: Array, axis: int) -> Interfaces:
        steep = super().interfaces(mesh, reconstruct, riemann, u, axis).left
        wide, dx = self.padded(mesh, u, axis, 3), mesh.width[axis]
        l3, l2, l1, r1, r2, r3 = (cut(wide, k, k - 5, -1) for k in range(6))
        u_x = (15 * (r1 - l1) - (r2 - l2)) / (12 * dx)
        u_xx = (7 * (r2 + l2) - 6 * (r1 + l1) - (r3 + l3)) / (8 * dx**2)
        beta, gamma = jnp.asarray(self.beta, u.dtype), jnp.asarray(self.gamma, u.dtype)
        flux = steep - beta * u_x + gamma * u_xx
        return Interfaces(flux, flux, None)
