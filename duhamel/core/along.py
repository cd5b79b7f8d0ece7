"""A linear part that is a full matrix along some axes of the state, one for each index of the others.

    (L x)[k, i] = sum_j L[k, i, j] x[k, j],    i, j over the mixed axes together, k over the others

Polynomials between walls make one of these: no mode is an eigenfunction, but waves along a periodic axis stay apart.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from . import phi as host, phi_traced as traced
from .linear import Linear, concrete, like


class Mixing(eqx.Module):
    """Matrices as a coefficient: `Mixing(A, axes, ndim) * v`; scalars multiply from the left, matrices add.

    array  (*others, m, m), with the lanes last where there are any
    axes   which axes of v it mixes, m values in all
    ndim   how many axes v has without lanes
    """

    array: Any
    axes: tuple[int, ...] = eqx.field(static=True)
    ndim: int = eqx.field(static=True)
    __array_ufunc__ = None  # NumPy scalars then leave `c * Mixing` to us

    def __mul__(self, v: Any) -> Any:
        host_only = isinstance(self.array, np.ndarray) and isinstance(v, np.ndarray)
        xp: Any = np if host_only else jnp
        others = [axis for axis in range(self.ndim) if axis not in self.axes]
        lanes = v.ndim - self.ndim
        order = [*others, *self.axes, *range(self.ndim, v.ndim)]
        rows = xp.transpose(v, order)
        sizes, flat = rows.shape, (*rows.shape[: len(others)], -1, *v.shape[self.ndim :])
        own = self.array.ndim - len(others) - 2
        rule = ("...ijl,...jl->...il" if own else "...ij,...jl->...il") if lanes else "...ij,...j->...i"
        how = {} if host_only else {"precision": "highest"}
        found = xp.einsum(rule, xp.asarray(self.array), rows.reshape(flat), **how).reshape(sizes)
        return xp.transpose(found, np.argsort(order))

    def __rmul__(self, scalar: Any) -> "Mixing":
        return self._with(scalar * self.array)

    def __add__(self, other: "Mixing") -> "Mixing":
        return self._with(self.array + other.array)

    def __sub__(self, other: "Mixing") -> "Mixing":
        return self._with(self.array - other.array)

    def __neg__(self) -> "Mixing":
        return self._with(-self.array)

    def _with(self, array: Any) -> "Mixing":
        return Mixing(array, self.axes, self.ndim)


class Along(Linear):
    """L x with a matrix along `axes` of x for each index of its other axes.

    matrices  (*others, m, m), real or complex; m is the product of the mixed axes, in the order of `axes`
    axes      axes of x, counted from the front
    """

    matrices: Any = eqx.field(converter=lambda v: v if isinstance(v, jax.Array) else np.asarray(v))
    axes: tuple[int, ...] = eqx.field(static=True)

    def __check_init__(self) -> None:
        if self.matrices.ndim < 2 or self.matrices.shape[-1] != self.matrices.shape[-2]:
            raise ValueError(f"Along takes square matrices, (*others, m, m), got shape {self.matrices.shape}.")

    @property
    def ndim(self) -> int:
        """Axes of the state."""
        return self.matrices.ndim - 2 + len(self.axes)

    def apply(self, t: Any, x: Any) -> Any:
        del t
        return self._coefficient(like(self.matrices, x)) * x

    def phis(self, kmax: int, t: Any, h: Any) -> list[Mixing]:
        if concrete(self.matrices, t, h):
            found = host.phis_matrices(kmax, self._times(np, np.asarray(h, np.float64)))
            return [self._coefficient(self._lanes_last(np, one, h)) for one in found]
        h = jnp.asarray(h)
        z = self._times(jnp, h)
        found = traced.phis_matrices(kmax, z if jnp.issubdtype(z.dtype, jnp.inexact) else z.astype(float))
        return [self._coefficient(self._lanes_last(jnp, one, h)) for one in found]

    def resolvents(self, a: float, t: Any, h: Any) -> tuple[Mixing, Mixing]:
        xp: Any = np if concrete(self.matrices, t, h) else jnp
        z = self._times(xp, xp.asarray(h))
        eye = xp.broadcast_to(xp.eye(z.shape[-1], dtype=z.dtype), z.shape)
        both = xp.linalg.solve(eye - a * z, xp.concatenate([eye, z], axis=-1))
        n = z.shape[-1]
        R, Q = (self._coefficient(self._lanes_last(xp, part, h)) for part in (both[..., :n], both[..., n:]))
        return R, Q

    def _coefficient(self, array: Any) -> Mixing:
        return Mixing(array, self.axes, self.ndim)

    def _times(self, xp: Any, h: Any) -> Any:
        """h L, lanes in front."""
        A = xp.asarray(self.matrices)
        return h.reshape(-1, *[1] * A.ndim) * A if h.ndim else h * A

    def _lanes_last(self, xp: Any, found: Any, h: Any) -> Any:
        return xp.moveaxis(found, 0, -1) if np.ndim(h) else found
