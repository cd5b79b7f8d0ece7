"""The linear systems inside implicit steps: (M - a J) x = b, a = h gamma, for one state or for many lanes at once.

A user chooses a `LinearSolver` by what the Jacobian looks like:

    DenseLU()                 any J; with `sparsity`, fewer Jacobian columns
    Banded(lower, upper)      a band: lines of finite differences
    BlockDiagonal(size)       equal blocks: many independent small systems in one state
    Krylov(rtol, restart)     J never formed: GMRES on jvps, for large n

and a method uses it:

    J = linear.prepare(bound, k, t, x)      Jacobian of the k-th field, in the solver's own storage
    F = linear.factor(J, a, mass)           factors of M - a J, a () or (lanes,)
    x = linear.solve(F, b)                  b (n,) or (n, lanes), a vector as `jacobian.Flat` lays it out

`solve` is linear in b, differentiable in b, in J and in a, any number of times, never through the elimination
itself.
"""

from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer

from . import jacobian as jac, lu

UNROLLED = (
    10  # largest n that is unrolled over pivots, by lanes; above it LAPACK is as fast and compiles sooner (see lu)
)


class Factored(NamedTuple):
    """A matrix and its factors. Without the matrix (None) the factors are constants to differentiation: what a method
    that keeps factors over several steps stores."""

    matrix: Any
    factors: Any


class LinearSolver(eqx.Module):
    """Abstract: how systems with M - a J are stored, factored and solved."""

    @abstractmethod
    def prepare(self, bound: Any, k: int, t: Any, x: Any) -> Any:
        """The Jacobian of the k-th field at (t, x), in this solver's storage."""

    @abstractmethod
    def matrix(self, J: Any, a: Any, mass: Any) -> Any:
        """M - a J; mass None is the identity."""

    @abstractmethod
    def multiply(self, matrix: Any, v: Any) -> Any:
        """matrix v. With a Jacobian in place of the matrix, J v."""

    @abstractmethod
    def decompose(self, matrix: Any) -> Any:
        """Factors of the matrix."""

    @abstractmethod
    def substitute(self, factors: Any, b: Any) -> Any:
        """x from the factors: linear in b."""

    def substitute_transposed(self, factors: Any, b: Any) -> Any:
        """x with the transposed matrix, for reverse mode."""
        return jax.linear_transpose(lambda v: self.substitute(factors, v), b)(b)[0]

    def check(self, n: int) -> None:
        """Raises one sentence if a state of n reals does not fit."""
        del n

    def bound(self, J: Any) -> Any:
        """A bound on the absolute eigenvalues of J, its largest row sum; () or (lanes,). None: not known."""
        return jnp.max(jnp.sum(jnp.abs(J), axis=1), axis=0)

    def factor(self, J: Any, a: Any, mass: Any = None) -> Factored:
        """Factors of M - a J."""
        matrix = self.matrix(J, a, mass)
        return Factored(matrix, jax.lax.stop_gradient(self.decompose(jax.lax.stop_gradient(matrix))))

    def solve(self, factored: Factored, b: Any) -> Any:
        """x with (M - a J) x = b."""
        matrix, factors = factored
        if matrix is None:
            return self.substitute(factors, b)
        return lax.custom_linear_solve(
            lambda v: self.multiply(matrix, v),
            b,
            solve=lambda _, v: self.substitute(factors, v),
            transpose_solve=lambda _, v: self.substitute_transposed(factors, v),
        )


class DenseLU(LinearSolver):
    """J as a full matrix, LU with partial pivoting. With lanes and n <= 10 unrolled over pivots, else LAPACK.

    sparsity  an (n, n) array of booleans, False where J is known to vanish: Jacobian columns that share no row are then
              found together. J itself stays a full matrix.
    """

    sparsity: Any = eqx.field(static=True, default=None, converter=lambda s: None if s is None else _freeze(s))

    def check(self, n: int) -> None:
        if self.sparsity is not None and len(self.sparsity) != n:
            side = len(self.sparsity)
            raise ValueError(
                f"sparsity is ({side}, {side}), but the state has {n} real entries; give an ({n}, {n}) array."
            )

    def prepare(self, bound: Any, k: int, t: Any, x: Any) -> Any:
        if self.sparsity is None:
            return jac.dense(bound, k, t, x)
        return jac.coloured(bound, k, t, x, np.array(self.sparsity))

    def matrix(self, J: Any, a: Any, mass: Any) -> Any:
        mass = jnp.eye(J.shape[0], dtype=J.dtype) if mass is None else mass.astype(J.dtype)
        return mass.reshape(*mass.shape, *(1,) * (J.ndim - 2)) - a * J

    def multiply(self, matrix: Any, v: Any) -> Any:
        return jnp.sum(matrix * v, axis=1)

    def decompose(self, matrix: Any) -> Any:
        unrolled = matrix.ndim == 3 and matrix.shape[0] <= UNROLLED
        return lu.lanes_factor(matrix) if unrolled else lu.lapack_factor(matrix)

    def substitute(self, factors: Any, b: Any) -> Any:
        return lu.lanes_solve(factors, b) if isinstance(factors, lu.LanesLU) else lu.lapack_solve(factors, b)

    def substitute_transposed(self, factors: Any, b: Any) -> Any:
        if isinstance(factors, lu.LanesLU):
            return lu.lanes_transposed(factors, b)
        return super().substitute_transposed(factors, b)


class Banded(LinearSolver):
    """J_ij = 0 for i - j > lower and j - i > upper. Costs O(n (lower + upper) lower) and lower + upper + 1 jvps."""

    lower: int = eqx.field(static=True)
    upper: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if self.lower < 0 or self.upper < 0:
            raise ValueError(f"Banded takes two numbers of diagonals, 0 or more, got {self.lower} and {self.upper}.")

    def check(self, n: int) -> None:
        if max(self.lower, self.upper) >= n:
            raise ValueError(f"Banded({self.lower}, {self.upper}) does not fit in a state of {n} real entries.")

    def prepare(self, bound: Any, k: int, t: Any, x: Any) -> Any:
        return jac.banded(bound, k, t, x, self.lower, self.upper)

    def matrix(self, J: Any, a: Any, mass: Any) -> Any:
        n, width = J.shape[:2]
        if mass is None:
            mass = jnp.zeros((n, width), J.dtype).at[:, self.lower].set(1.0)
        else:
            row, column = jac.band_columns(n, self.lower, self.upper)
            inside = (column >= 0) & (column < n)
            mass = jnp.where(inside, mass.astype(J.dtype)[row, np.clip(column, 0, n - 1)], 0)
        return mass.reshape(*mass.shape, *(1,) * (J.ndim - 2)) - a * J

    def multiply(self, matrix: Any, v: Any) -> Any:
        pad = [(self.lower, self.upper)] + [(0, 0)] * (v.ndim - 1)
        wide, n = jnp.pad(v, pad), v.shape[0]
        return sum(matrix[:, d] * wide[d : d + n] for d in range(self.lower + self.upper + 1))

    def decompose(self, matrix: Any) -> Any:
        return lu.band_factor(matrix, self.lower)

    def substitute(self, factors: Any, b: Any) -> Any:
        return lu.band_solve(factors, b)


class BlockDiagonal(LinearSolver):
    """J is blocks of (size, size) down its diagonal; each is a lane of its own to the elimination."""

    size: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"BlockDiagonal takes the size of a block, 1 or more, got {self.size}.")

    def check(self, n: int) -> None:
        if n % self.size:
            raise ValueError(f"BlockDiagonal({self.size}) does not divide a state of {n} real entries into blocks.")

    def prepare(self, bound: Any, k: int, t: Any, x: Any) -> Any:
        return jac.block_diagonal(bound, k, t, x, self.size)

    def matrix(self, J: Any, a: Any, mass: Any) -> Any:
        blocks, size = J.shape[:2]
        if mass is None:
            mass = jnp.eye(size, dtype=J.dtype)[None]
        else:
            b = np.arange(blocks)
            mass = mass.astype(J.dtype).reshape(blocks, size, blocks, size)[b, :, b, :]
        return mass.reshape(*mass.shape, *(1,) * (J.ndim - 3)) - a * J

    def bound(self, J: Any) -> Any:
        return jnp.max(jnp.sum(jnp.abs(J), axis=2), axis=(0, 1))

    def multiply(self, matrix: Any, v: Any) -> Any:
        parts = v.reshape(-1, 1, self.size, *v.shape[1:])
        return jnp.sum(matrix * parts, axis=2).reshape(v.shape)

    def decompose(self, matrix: Any) -> Any:
        # (blocks, size, size, ...) -> (size, size, blocks * lanes)
        lanes = jnp.moveaxis(matrix, 0, 2).reshape(self.size, self.size, -1)
        return DenseLU().decompose(lanes)

    def substitute(self, factors: Any, b: Any) -> Any:
        parts = b.reshape(-1, self.size, *b.shape[1:])
        x = DenseLU().substitute(factors, jnp.moveaxis(parts, 0, 1).reshape(self.size, -1))
        return jnp.moveaxis(x.reshape(self.size, parts.shape[0], *b.shape[1:]), 1, 0).reshape(b.shape)


def check_mass(linear: LinearSolver, mass: Any) -> None:
    """Raises one sentence if a mass matrix has entries where the solver's storage has none."""
    if isinstance(mass, Tracer) or isinstance(linear, DenseLU):
        return
    n = mass.shape[0]
    i, j = np.indices((n, n))
    outside: np.ndarray | bool = False
    if isinstance(linear, Banded):
        outside = (i - j > linear.lower) | (j - i > linear.upper)
    elif isinstance(linear, BlockDiagonal):
        outside = i // linear.size != j // linear.size
    if np.any(np.asarray(mass)[outside] != 0) if isinstance(outside, np.ndarray) else False:
        raise ValueError(f"mass has entries outside of what {linear} stores; widen it, or use DenseLU().")


def _freeze(sparsity: Any) -> tuple[tuple[bool, ...], ...]:
    """An array as static data: nested tuples compare and hash."""
    array = np.asarray(sparsity, bool)
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise ValueError(f"sparsity must be one square array of booleans, got shape {array.shape}.")
    return tuple(tuple(bool(v) for v in row) for row in array)
