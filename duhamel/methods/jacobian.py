"""Jacobians of a bound field, column by column through `jax.jvp`, for one state or for many lanes at once.

    J_ij = df_i/dx_j        (n, n), or (n, n, lanes): every column is one jvp that serves all lanes

States are pytrees; a `Flat` lays one out as a vector of n real numbers (a complex entry counts as two) and back.
Where J is sparse, columns that share no row are found by one jvp together (Curtis, Powell, Reid 1974): a band of
width w needs w jvps and blocks of size s need s, whatever n is.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


class Flat:
    """The layout of a state as a vector: `ravel` and `unravel` are inverse to each other.

    x      a state (arrays or their shapes); with lanes = 1 its leaves are (..., lanes)
    size   n, the number of reals in one lane
    dtype  of the vector: the real dtype of x's widest leaf
    """

    def __init__(self, x: Any, lanes: int):
        leaves, self.structure = jax.tree.flatten(x)
        self.lanes = lanes
        self.shapes = [leaf.shape for leaf in leaves]
        self.dtypes = [leaf.dtype for leaf in leaves]
        self.dtype = jnp.finfo(jnp.result_type(*leaves)).dtype
        count = lambda shape: int(np.prod(shape[: len(shape) - lanes], dtype=int))  # noqa: E731
        self.counts = [
            count(shape) * (2 if jnp.issubdtype(dtype, jnp.complexfloating) else 1)
            for shape, dtype in zip(self.shapes, self.dtypes, strict=True)
        ]
        self.size = sum(self.counts)

    def ravel(self, x: Any) -> jax.Array:
        """(n,) or (n, lanes)."""
        parts = [self._column(leaf) for leaf in jax.tree.leaves(x)]
        return parts[0] if len(parts) == 1 else jnp.concatenate(parts)

    def _column(self, leaf: Any) -> jax.Array:
        flat = leaf.reshape(-1, *leaf.shape[leaf.ndim - self.lanes :])
        if jnp.iscomplexobj(flat):
            flat = jnp.concatenate([flat.real, flat.imag])
        return flat.astype(self.dtype)

    def unravel(self, v: Any) -> Any:
        """x from its vector, every leaf in its own shape and dtype."""
        leaves, begin = [], 0
        for shape, dtype, count in zip(self.shapes, self.dtypes, self.counts, strict=True):
            part = v[begin : begin + count]
            begin += count
            if jnp.issubdtype(dtype, jnp.complexfloating):
                part = jax.lax.complex(part[: count // 2], part[count // 2 :])
            leaves.append(part.reshape(shape).astype(dtype))
        return jax.tree.unflatten(self.structure, leaves)


def field(bound: Any, k: int, t: Any, flat: Flat) -> Callable:
    """The k-th field at time t as a function of vectors."""
    return lambda v: flat.ravel(bound.call(k, t, flat.unravel(v)))


def time_derivative(bound: Any, k: int, t: Any, x: Any) -> jax.Array:
    """df/dt at (t, x) as a vector. Costs nothing where f does not depend on t."""
    flat = Flat(x, bound.lanes)
    return jax.jvp(lambda t: flat.ravel(bound.call(k, t, x)), (t,), (jnp.ones_like(t),))[1]


def products(bound: Any, k: int, t: Any, x: Any, seeds: np.ndarray) -> jax.Array:
    """J S for the seeds S (n, c): (n, c) or (n, c, lanes), by c jvps in one."""
    flat = Flat(x, bound.lanes)
    v = flat.ravel(x)
    f = field(bound, k, t, flat)
    seeds = np.asarray(seeds.T, flat.dtype).reshape(*seeds.T.shape, *(1,) * bound.lanes)

    def product(seed: jax.Array) -> jax.Array:
        return jax.jvp(f, (v,), (jnp.broadcast_to(seed, v.shape),))[1]

    return jax.vmap(product, out_axes=1)(jnp.asarray(seeds))


def dense(bound: Any, k: int, t: Any, x: Any) -> jax.Array:
    """The whole Jacobian, n jvps: (n, n) or (n, n, lanes)."""
    return products(bound, k, t, x, np.eye(Flat(x, bound.lanes).size))


def coloured(bound: Any, k: int, t: Any, x: Any, sparsity: np.ndarray) -> jax.Array:
    """The Jacobian whose entries vanish where `sparsity` (n, n) is False, as a full matrix; one jvp a colour."""
    colours = colour(sparsity)
    compressed = products(bound, k, t, x, colours[:, None] == np.arange(colours.max() + 1))
    mask = sparsity.reshape(*sparsity.shape, *(1,) * bound.lanes)
    return jnp.where(mask, compressed[:, colours], 0)


def banded(bound: Any, k: int, t: Any, x: Any, lower: int, upper: int) -> jax.Array:
    """The band of the Jacobian, row by row: [i, d] = J[i, i - lower + d], 0 outside.

    (n, lower + upper + 1), or with the lanes behind.
    """
    n, width = Flat(x, bound.lanes).size, lower + upper + 1
    row, column = band_columns(n, lower, upper)
    compressed = products(bound, k, t, x, np.arange(n)[:, None] % width == np.arange(width))
    inside = ((column >= 0) & (column < n)).reshape(n, width, *(1,) * bound.lanes)
    return jnp.where(inside, compressed[row, column % width], 0)


def block_diagonal(bound: Any, k: int, t: Any, x: Any, size: int) -> jax.Array:
    """The diagonal blocks of the Jacobian: (n / size, size, size[, lanes])."""
    n = Flat(x, bound.lanes).size
    compressed = products(bound, k, t, x, np.arange(n)[:, None] % size == np.arange(size))
    return compressed.reshape(n // size, size, *compressed.shape[1:])


def band_columns(n: int, lower: int, upper: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column, which may lie outside 0..n-1, of every entry of a band's storage."""
    row = np.arange(n)[:, None]
    return row, row - lower + np.arange(lower + upper + 1)


def colour(sparsity: np.ndarray) -> np.ndarray:
    """A colour for each column such that columns of one colour share no row, greedily; (n,) ints from 0."""
    sparsity = np.asarray(sparsity, bool)
    colours = np.zeros(sparsity.shape[1], int)
    rows: list[np.ndarray] = []  # which rows each colour already fills
    for j, column in enumerate(sparsity.T):
        free = (c for c, taken in enumerate(rows) if not (taken & column).any())
        colours[j] = next(free, len(rows))
        if colours[j] == len(rows):
            rows.append(column.copy())
        else:
            rows[colours[j]] |= column
    return colours
