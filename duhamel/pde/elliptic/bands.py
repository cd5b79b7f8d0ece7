"""Elimination without fill beyond the band: a tridiagonal line, and boxes of any kind up to a moderate width.

A singular system is closed by a link from the first unknown to 0: with b in balance no flux passes through it, and the
solution is the one with u_0 = 0, of which `solve` takes the mean.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from duhamel.core.types import Field
from duhamel.methods import lu

from .solving import Solver
from .system import System, part

BAND_ENTRIES = 30_000_000


class Tridiagonal(Solver):
    """Direct, O(n), for one dimension without a periodic axis. No pivoting: c >= 0, or a c < 0 away from resonance."""

    def check(self, system: System) -> None:
        if system.box.dim != 1 or system.kinds[0] == "PP":
            raise ValueError(
                "Tridiagonal() solves one dimension with two ends; take Fourier(), Diagonalise(), Band() or PCG() here."
            )

    def run(self, system: System, b: Field, rtol: Float[Array, ""]) -> tuple[Field, Int[Array, ""]]:
        k, zero = system.links[0], jnp.zeros(1, b.dtype)
        lower = jnp.concatenate([zero, -part(k, 0, 1, -1).astype(b.dtype)])
        upper = jnp.concatenate([-part(k, 0, 1, -1).astype(b.dtype), zero])
        u = lax.linalg.tridiagonal_solve(lower, closed(system).astype(b.dtype), upper, b[:, None])
        return u[:, 0], jnp.zeros((), jnp.int32)


class Band(Solver):
    """Direct, with pivoting, for any coefficients, c < 0 and complex Robin sides included; the axes have two ends.

    n unknowns with the longest axis in front cost n m^2 operations and n m numbers, m the unknowns of the other axes:
    good up to 100^2 or 12^3.
    """

    def check(self, system: System) -> None:
        if any(kind == "PP" for kind in system.kinds):
            raise ValueError("Band() wants axes with two ends, as a periodic one fills the matrix; take PCG() here.")
        n, m = int(np.prod(system.shape)), int(np.prod(sorted(system.shape)[:-1]))
        if n * (3 * m + 1) > BAND_ENTRIES:
            raise ValueError(
                f"Band() would keep {n * (3 * m + 1):,} numbers for {n:,} unknowns; take PCG(Multigrid()) "
                "or fewer cells."
            )

    def run(self, system: System, b: Field, rtol: Float[Array, ""]) -> tuple[Field, Int[Array, ""]]:
        order = sorted(range(b.ndim), key=lambda d: -system.shape[d])
        shape = tuple(system.shape[d] for d in order)
        m = int(np.prod(shape[1:]))
        flat = lambda x: jnp.transpose(x, order).reshape(-1)  # noqa: E731
        rows = jnp.zeros((b.size, 2 * m + 1), b.dtype).at[:, m].set(flat(closed(system)))
        stride = m
        for place, d in enumerate(order):
            before = flat(part(system.links[d], d, 0, -1).at[_first(d)].set(0))
            after = flat(part(system.links[d], d, 1, None).at[_last(d)].set(0))
            rows = rows.at[:, m - stride].add(-before).at[:, m + stride].add(-after)
            stride //= shape[place + 1] if place + 1 < len(shape) else 1
        u = lu.band_solve(lu.band_factor(rows, m), flat(b).astype(rows.dtype))
        return jnp.transpose(u.reshape(shape), [order.index(d) for d in range(b.ndim)]), jnp.zeros((), jnp.int32)


def closed(system: System) -> Field:
    """The diagonal, with one unknown tied to 0 where nothing else holds u."""
    diagonal = system.diagonal()
    if system.singular:
        first = (0,) * diagonal.ndim
        diagonal = diagonal.at[first].mul(2.0)
    return diagonal


def _first(axis: int) -> tuple[slice, ...]:
    return (slice(None),) * axis + (slice(0, 1),)


def _last(axis: int) -> tuple[slice, ...]:
    return (slice(None),) * axis + (slice(-1, None),)
