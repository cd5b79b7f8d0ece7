"""LU factors and solves by lanes: A x = b with A (n, n) or (n, n, lanes), b (n,) or (n, lanes).

`lanes_*` is unrolled over pivots, every operation vectorised over lanes, each lane with pivots of its own. `lapack_*`
calls LAPACK (or the accelerator's library), lane after lane. `band_*` walks down a band. All of them are linear in b
and can be transposed. A singular matrix gives infinities or NaN in its own lane and nowhere else.

Measured on two cores, one factorization and six solves, 256 lanes, float64: n = 3: 29 us unrolled, 226 by LAPACK;
n = 8: 132 and 396; n = 12: 560 and 794; n = 20: 2800 and 2000, and there the unrolled code compiles for 10 s. One
state: n = 3: 14 and 10; n = 8: 61 and 11.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class LanesLU(NamedTuple):
    """Factors with implicit pivoting: no row is moved.

    U      [k] the k-th pivot row, columns k and on, (n, n, lanes)
    m      [k] what was subtracted of it from each row, in the rows' own order, (n, n, lanes)
    pivot  [k] which row it was, (n, lanes)
    """

    U: jax.Array
    m: jax.Array
    pivot: jax.Array


@jax.jit  # so that a program with many solves traces them once
def lanes_factor(A: jax.Array) -> LanesLU:
    """Gaussian elimination with partial pivoting, lane by lane."""
    n = A.shape[0]
    free = jnp.ones(A.shape[1:], bool)  # (n, lanes): rows that have not been pivots
    rows, factors, pivots = [], [], []
    for k in range(n):
        column = A[:, 0]
        pivot = jnp.argmax(jnp.where(free, jnp.abs(column), -1.0), axis=0)
        hot = _hot(n, pivot)
        row = jnp.sum(jnp.where(hot[:, None], A, 0), axis=0)
        free = free & ~hot
        m = jnp.where(free, column / row[0], 0)
        A = A[:, 1:] - m[:, None] * row[1:]
        rows.append(jnp.concatenate([jnp.zeros((k, *row.shape[1:]), row.dtype), row]))
        factors.append(m)
        pivots.append(pivot.astype(jnp.int32))
    return LanesLU(jnp.stack(rows), jnp.stack(factors), jnp.stack(pivots))


@jax.jit
def lanes_solve(lu: LanesLU, b: jax.Array) -> jax.Array:
    n = b.shape[0]
    y = []
    for k in range(n):
        y.append(jnp.sum(jnp.where(_hot(n, lu.pivot[k]), b, 0), axis=0))
        b = b - lu.m[k] * y[k]
    x = [y[0]] * n
    for k in reversed(range(n)):
        rest = y[k]
        for j in range(k + 1, n):
            rest = rest - lu.U[k, j] * x[j]
        x[k] = rest / lu.U[k, k]
    return jnp.stack(x)


@jax.jit
def lanes_transposed(lu: LanesLU, b: jax.Array) -> jax.Array:
    """x with A^T x = b."""
    return jax.linear_transpose(lambda v: lanes_solve(lu, v), b)(b)[0]


def _hot(n: int, pivot: jax.Array) -> jax.Array:
    """(n, lanes): True at the pivot."""
    return jnp.arange(n).reshape(n, *(1,) * pivot.ndim) == pivot


class LapackLU(NamedTuple):
    """LAPACK's packed factors and pivots, the lanes last."""

    packed: jax.Array
    pivot: jax.Array


def lapack_factor(A: jax.Array) -> LapackLU:
    if A.ndim == 2:
        return LapackLU(*jax.scipy.linalg.lu_factor(A))
    return LapackLU(*jax.vmap(jax.scipy.linalg.lu_factor, in_axes=-1, out_axes=-1)(A))


def lapack_solve(lu: LapackLU, b: jax.Array) -> jax.Array:
    if b.ndim == 1:
        return jax.scipy.linalg.lu_solve(tuple(lu), b)
    return jax.vmap(jax.scipy.linalg.lu_solve, in_axes=-1, out_axes=-1)(tuple(lu), b)


class BandLU(NamedTuple):
    """Factors of a band with pivoting, which widens the upper part from `upper` to `lower + upper`.

    U      (n, lower + upper + 1[, lanes]) pivot rows from the diagonal on
    m      (n, lower[, lanes]) what was subtracted of them from the `lower` rows below
    pivot  (n[, lanes]) which of the `lower + 1` rows at hand was the pivot
    """

    U: jax.Array
    m: jax.Array
    pivot: jax.Array


def band_factor(band: jax.Array, lower: int) -> BandLU:
    """Factors of the matrix with entries [i, d] = A[i, i - lower + d]; one pass down the rows."""
    n, width = band.shape[:2]
    tail = band.shape[2:]
    # The rows at hand are k .. k + lower, each from column k on; row k + lower is new and has its own columns there.
    coming = jnp.concatenate([band[lower:], jnp.zeros((min(lower, n), width, *tail), band.dtype)])[:n]
    first = [
        jnp.concatenate([band[i, lower - i :], jnp.zeros((lower - i, *tail), band.dtype)])[: width - 1]
        if i < n
        else jnp.zeros((width - 1, *tail), band.dtype)
        for i in range(lower)
    ]
    pending = jnp.stack(first) if lower else jnp.zeros((0, width - 1, *tail), band.dtype)

    def eliminate(pending: jax.Array, row: jax.Array) -> tuple[jax.Array, tuple]:
        short = jnp.concatenate([pending, jnp.zeros((lower, 1, *tail), band.dtype)], axis=1)
        window = jnp.concatenate([short, row[None]])
        pivot = jnp.argmax(jnp.abs(window[:, 0]), axis=0)
        top, rest = _swap(window, pivot)
        m = rest[:, 0] / top[0]
        return rest[:, 1:] - m[:, None] * top[1:], (top, m, pivot.astype(jnp.int32))

    _, factors = lax.scan(eliminate, pending, coming)
    return BandLU(*factors)


def band_solve(lu: BandLU, b: jax.Array) -> jax.Array:
    n, lower, tail = b.shape[0], lu.m.shape[1], b.shape[1:]
    coming = jnp.concatenate([b[lower:], jnp.zeros((min(lower, n), *tail), b.dtype)])[:n]
    first = jnp.concatenate([b[:lower], jnp.zeros((max(lower - n, 0), *tail), b.dtype)])

    def down(pending: jax.Array, given: tuple) -> tuple[jax.Array, jax.Array]:
        new, m, pivot = given
        top, rest = _swap(jnp.concatenate([pending, new[None]]), pivot)
        return rest - m * top, top

    def up(later: jax.Array, given: tuple) -> tuple[jax.Array, jax.Array]:
        y, U = given
        x = (y - jnp.sum(U[1:] * later, axis=0)) / U[0]
        return jnp.concatenate([x[None], later])[: later.shape[0]], x

    _, y = lax.scan(down, first, (coming, lu.m, lu.pivot))
    _, x = lax.scan(up, jnp.zeros((lu.U.shape[1] - 1, *tail), b.dtype), (y, lu.U), reverse=True)
    return x


def _swap(window: jax.Array, pivot: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The pivot row, and the others with the first row in its place."""
    hot = _hot(window.shape[0], pivot)
    hot = hot.reshape(hot.shape[0], *(1,) * (window.ndim - hot.ndim), *hot.shape[1:])
    top = jnp.sum(jnp.where(hot, window, 0), axis=0)
    return top, jnp.where(hot[1:], window[0], window[1:])
