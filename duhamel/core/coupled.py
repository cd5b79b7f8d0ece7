"""Several fields whose linear part mixes them, mode by mode: a small matrix for each mode, and its phi-functions.

    dx_i/dt = sum_j L_ij(k) x_j,    i, j = 1..fields, for every mode k

A wave equation as a first-order system is one of these; so are coupled diffusion and magnetised flow.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from . import phi as host, phi_traced as traced
from .linear import Linear, concrete, like


class Blocks(eqx.Module):
    """A small matrix per mode, as a coefficient: `Blocks(A) * v`; scalars multiply from the left, blocks add.

    array  (fields, fields, *modes), with the lanes last where there are any
    v      (fields, *modes)
    """

    array: Any
    __array_ufunc__ = None  # NumPy scalars then leave `c * Blocks` to us

    def __mul__(self, v: Any) -> Any:
        return (self.array * v[None]).sum(1)

    def __rmul__(self, scalar: Any) -> "Blocks":
        return Blocks(scalar * self.array)

    def __add__(self, other: "Blocks") -> "Blocks":
        return Blocks(self.array + other.array)

    def __sub__(self, other: "Blocks") -> "Blocks":
        return Blocks(self.array - other.array)

    def __neg__(self) -> "Blocks":
        return Blocks(-self.array)


class Coupled(Linear):
    """L x = sum_j blocks[i, j] x[j], mode by mode.

    blocks  (fields, fields, *modes), real or complex; x has shape (fields, *modes)
    """

    blocks: Any = eqx.field(converter=lambda v: v if isinstance(v, jax.Array) else np.asarray(v))

    def __check_init__(self) -> None:
        if self.blocks.ndim < 3 or self.blocks.shape[0] != self.blocks.shape[1]:
            raise ValueError(
                f"Coupled takes one square matrix per mode, (fields, fields, *modes), got shape {self.blocks.shape}."
            )

    def apply(self, t: Any, x: Any) -> Any:
        A = self.blocks[..., None] if np.ndim(t) == 1 else self.blocks
        return Blocks(like(A, x)) * x

    def phis(self, kmax: int, t: Any, h: Any) -> list[Blocks]:
        if concrete(self.blocks, t, h):
            A, h = np.moveaxis(np.asarray(self.blocks), (0, 1), (-2, -1)), np.asarray(h, np.float64)
            found = host.phis_matrices(kmax, (A[..., None, :, :] * h[:, None, None]) if h.ndim else h * A)
            return [Blocks(np.moveaxis(one, (-2, -1), (0, 1))) for one in found]
        A, h = jnp.moveaxis(jnp.asarray(self.blocks), (0, 1), (-2, -1)), jnp.asarray(h)
        A = A if jnp.issubdtype(A.dtype, jnp.inexact) else A.astype(h.dtype)
        z = A[..., None, :, :] * h[:, None, None] if h.ndim else h * A
        found = traced.phis_matrices(kmax, z)
        return [Blocks(jnp.moveaxis(one, (-2, -1), (0, 1))) for one in found]

    def resolvents(self, a: float, t: Any, h: Any) -> tuple[Blocks, Blocks]:
        xp: Any = np if concrete(self.blocks, t, h) else jnp
        A = xp.moveaxis(xp.asarray(self.blocks), (0, 1), (-2, -1))
        z = A[..., None, :, :] * h[:, None, None] if np.ndim(h) else h * A
        eye = xp.eye(A.shape[-1], dtype=z.dtype)
        both = xp.linalg.solve(eye - a * z, xp.concatenate([xp.broadcast_to(eye, z.shape), z], axis=-1))
        n = A.shape[-1]
        R, Q = (xp.moveaxis(part, (-2, -1), (0, 1)) for part in (both[..., :n], both[..., n:]))
        return Blocks(R), Blocks(Q)
