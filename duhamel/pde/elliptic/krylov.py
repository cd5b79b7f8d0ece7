"""Conjugate gradients with a preconditioner, stopped by the residual itself.

The residual that the recurrence carries drifts from b - S u by rounding, and JAX's and lineax's loops stop on their
own one and do not say how many steps they took. Here, whenever the carried one claims to be small enough, b - S u is
computed; if it is not small enough the recurrence starts again from there.
Source: Hestenes and Stiefel 1952; restarts after van der Vorst and Ye, SIAM J. Sci. Comput. 22 (2000) 835.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from duhamel.core.types import Field

from .relax import Jacobi
from .solving import Operator, Solver, norm
from .system import System


class PCG(Solver):
    """Conjugate gradients for positive systems: c >= 0 and real coefficients.

    preconditioner  Jacobi() (n along an axis: about n iterations), Multigrid() (about 8, whatever n), Fourier() or
                    Diagonalise() (the mean coefficients: about the square root of the contrast), SSOR()
    """

    preconditioner: Any = Jacobi()
    max_steps: int = eqx.field(static=True, default=5000)

    def __check_init__(self) -> None:
        if not hasattr(self.preconditioner, "preconditioner"):
            raise ValueError(
                f"PCG: {self.preconditioner!r} is no preconditioner; take Jacobi(), SSOR(), Multigrid(), Fourier() or "
                "Diagonalise()."
            )

    def check(self, system: System) -> None:
        check_positive(system, "PCG")
        for name in ("check_box", "check_sides", "check_real"):
            getattr(self.preconditioner, name, lambda system: None)(system)

    def run(self, system: System, b: Field, rtol: Float[Array, ""]) -> tuple[Field, Int[Array, ""]]:
        apply = self.preconditioner.preconditioner(system)
        if system.singular:  # rounding puts a little of the constant back in every step
            weight = jnp.asarray(system.weight, b.dtype)
            bare, apply = apply, lambda r: _without_mean(bare(r), weight)
        return conjugate_gradients(system.mv, apply, b, rtol, self.max_steps)


def _without_mean(u: Field, weight: Array) -> Field:
    return u - jnp.sum(weight * u) / jnp.sum(weight)


class _Carry(NamedTuple):
    """rz = 0 where the recurrence begins: the next direction is then the preconditioned residual."""

    u: Field
    r: Field
    p: Field
    rz: Field
    steps: Int[Array, ""]
    going: Bool[Array, ""]


def conjugate_gradients(
    mv: Operator, apply: Operator, b: Field, rtol: Float[Array, ""], max_steps: int
) -> tuple[Field, Int[Array, ""]]:
    """u with |b - S u| <= rtol |b| from u = 0, and the number of steps; stops early where S is not positive."""
    bound = rtol * norm(b)

    def step(c: _Carry) -> _Carry:
        z = apply(c.r)
        rz = jnp.vdot(c.r, z)
        p = z + jnp.where(c.rz > 0, rz / jnp.where(c.rz > 0, c.rz, 1), 0) * c.p
        q = mv(p)
        curvature = jnp.vdot(p, q)
        positive = (curvature > 0) & (rz > 0)
        alpha = jnp.where(positive, rz / jnp.where(positive, curvature, 1), 0)
        u, r = c.u + alpha * p, c.r - alpha * q
        claims = norm(r) <= bound
        r = lax.cond(claims, lambda: b - mv(u), lambda: r)
        return _Carry(u, r, p, jnp.where(claims, 0, rz), c.steps + 1, positive & (norm(r) > bound))

    nothing, zero = jnp.zeros_like(b), jnp.zeros((), jnp.int32)
    first = _Carry(nothing, b, nothing, jnp.zeros((), b.dtype), zero, norm(b) > bound)
    last = lax.while_loop(lambda c: c.going & (c.steps < max_steps), step, first)
    return last.u, last.steps


def check_positive(system: System, name: str) -> None:
    """These iterations converge for symmetric positive systems only."""
    if jnp.issubdtype(system.dtype, jnp.complexfloating):
        raise ValueError(f"{name} needs real coefficients; take Band() for complex ones.")
    q = system.absorb
    if not isinstance(q, Tracer) and bool(np.any(np.asarray(q) < 0)):
        raise ValueError(
            f"{name} needs c >= 0, and c is negative somewhere (Helmholtz): take Fourier(), Diagonalise() or Band()."
        )
