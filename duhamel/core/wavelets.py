"""White noise in piecewise polynomials on a dyadic tree: what a step [s, u] needs of it, in closed form.

On [0, span], dW = sum over psi of z_psi psi(r), z standard normal and psi an orthonormal basis: the polynomials of
degree below k, and k wavelets a node of the tree, polynomials on either half of the node and orthogonal to the
polynomials on all of it (Haar's for k = 1; Alpert, A class of bases in L2 for the sparse representation of integral
operators, SIAM J. Math. Anal. 24, 1993). With p_j the orthonormal Legendre polynomials of [s, u],

    F_j = int_s^u p_j(r) dW(r) = sum over psi of z_psi int_s^u p_j psi dr

where a node drops out unless s or u lies inside it: at most two a level are left. The cells below the last level are
cut where s and u lie, not at their middle, which makes the law of F exact.

Small (k, k) matrices are lists of rows whose entries are vectors over the nodes, so that everything fuses.
"""

from math import sqrt
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Matrix = list[list[Any]]


def weights(depth: int, k: int, span: Any, s: Any, u: Any) -> tuple[Any, Any, Matrix]:
    """(length of the step, numbers of the nodes it needs, W) with F_j = sum_n sum_i W[j][i][n] z_i(number n).

    depth  levels of the tree: cells have length span / 2^depth
    k      polynomials a part: 1, 2 or 3

    Numbers: 0 the root's polynomials, 2^level + index the wavelets of a node. Times are counted in cells, as an integer
    and a fraction, from the middle of each node: short steps late in a float32 solve keep their digits.
    """
    (qs, fs), (qu, fu) = (_cell(depth, x / span) for x in (s, u))
    kind = fs.dtype
    total = jnp.maximum((qu - qs).astype(kind) + (fu - fs), 0.0)
    below = np.arange(depth, 0, -1, dtype=np.int32)  # levels between a node and the cells
    same = qs == qu  # one cell: it is cut at s, then the rest of it at u
    numbers = [jnp.stack([(1 << depth) + qs, jnp.where(same, 2 << depth, 1 << depth) + qu])]
    left, right = jnp.stack([fs, jnp.where(same, fu - fs, fu)]), jnp.stack([1.0 - fs, 1.0 - fu])
    x, y, on = [jnp.stack([0.0 * total, -total])], [jnp.stack([total, 0.0 * total])], [jnp.ones(2, kind)]
    for q, shown in ((qs, True), (qu, (qs >> below) != (qu >> below))):  # a node shared by s and u counts once
        middle = ((q >> below) << below) + (1 << (below - 1))
        numbers.append((1 << (depth - below)) + (q >> below))
        x.append((qs - middle).astype(kind) + fs)
        y.append((qu - middle).astype(kind) + fu)
        on.append(jnp.broadcast_to(jnp.asarray(shown, kind), below.shape))
    half = jnp.asarray(2.0 ** (below - 1), kind)
    left, right = (jnp.concatenate([cell, half, half]) for cell in (left, right))
    x, y, on = (jnp.concatenate(v) for v in (x, y, on))
    X, Y = _wavelets(k, left, right)
    before = _overlap(k, x, y, total, -left, jnp.zeros_like(left), X)
    after = _overlap(k, x, y, total, jnp.zeros_like(right), right, Y)
    root = _restrict(k, ((qs.astype(kind) + fs) + 0.5 * total) / 2.0**depth - 0.5, total / 2.0**depth)
    W = [[jnp.append(on * (before[j][i] + after[j][i]), root[i][j]) for i in range(k)] for j in range(k)]
    return total * (span / 2.0**depth).astype(kind), jnp.append(jnp.concatenate(numbers), 0).astype(jnp.uint32), W


def _cell(depth: int, x: Any) -> tuple[Any, Any]:
    """(q, f): x in [0, 1] is q + f cells, q an integer."""
    x = jnp.clip(jax.lax.stop_gradient(x), 0.0, 1.0) * 2.0**depth
    q = jnp.minimum(jnp.floor(x), 2.0**depth - 1)
    return q.astype(jnp.int32), x - q


def _overlap(k: int, x: Any, y: Any, total: Any, a: Any, b: Any, wavelet: Matrix) -> Matrix:
    """Inner products, where [x, y] and the part [a, b] overlap, of the step's polynomials and the part's wavelets."""
    lower, upper = jnp.clip(x, a, b), jnp.clip(y, a, b)
    length = jnp.where((lower == x) & (upper == y), total, upper - lower)
    width = jnp.where(b > a, b - a, 1.0)
    size = jnp.where(total > 0, total, 1.0)
    step = _restrict(k, ((lower - x) + (upper - y)) / (2.0 * size), length / size)
    part = _restrict(k, ((lower - a) + (upper - b)) / (2.0 * width), length / width)
    return _product(_product(step, _transpose(part)), wavelet)


def _restrict(k: int, c: Any, ratio: Any) -> Matrix:
    """R: on a part of an interval, the interval's orthonormal Legendre polynomials are R times the part's.

    c, ratio  centre of the part from the interval's centre, and length of the part, in lengths of the interval
    """
    r = jnp.sqrt(ratio)
    zero = jnp.zeros_like(r)
    rows = [
        [r, zero, zero],
        [2 * sqrt(3) * c * r, ratio * r, zero],
        [sqrt(5) * (6 * c * c + 0.5 * (ratio * ratio - 1.0)) * r, 2 * sqrt(15) * c * ratio * r, ratio * ratio * r],
    ]
    return [row[:k] for row in rows[:k]]


def _wavelets(k: int, left: Any, right: Any) -> tuple[Matrix, Matrix]:
    """(X, Y): the wavelets of an interval cut in two, in the orthonormal Legendre polynomials of its parts.

    They complete the interval's own polynomials to an orthonormal basis of the pairs of polynomials: Householder
    reflections of orthonormal columns, exact to rounding wherever the cut is.
    """
    whole = left + right
    f, g = (part / jnp.where(whole > 0, whole, 1.0) for part in (left, right))
    parts = [_restrict(k, -0.5 * g, f), _restrict(k, 0.5 * f, g)]
    columns = [parts[0][i] + parts[1][i] for i in range(k)]
    mirrors = []
    for j in range(k):
        tail = columns[j][j:]
        norm = jnp.sqrt(sum(v * v for v in tail))
        tail = [tail[0] + jnp.where(tail[0] < 0, -norm, norm), *tail[1:]]
        mirrors.append((tail, 2.0 / sum(v * v for v in tail)))
        columns = [_reflect(tail, mirrors[j][1], c) for c in columns]
    basis = []
    for i in range(k):
        e = [jnp.full_like(f, m == k + i) for m in range(2 * k)]
        for v, scale in reversed(mirrors):
            e = _reflect(v, scale, e)
        basis.append(e)
    rows = _transpose(basis)
    return rows[:k], rows[k:]


def _reflect(v: list[Any], scale: Any, x: list[Any]) -> list[Any]:
    """(1 - scale v v^T) x, where v fills the last entries."""
    head, tail = x[: len(x) - len(v)], x[len(x) - len(v) :]
    along = scale * sum(a * b for a, b in zip(v, tail, strict=True))
    return head + [b - along * a for a, b in zip(v, tail, strict=True)]


def _transpose(a: Matrix) -> Matrix:
    return [list(row) for row in zip(*a, strict=True)]


def _product(a: Matrix, b: Matrix) -> Matrix:
    return [[sum(x * y for x, y in zip(row, column, strict=True)) for column in zip(*b, strict=True)] for row in a]
