"""Signatures and log-signatures of paths: the iterated integrals that say what a path does to a controlled equation.

    S(w) = int_{0 < s_1 < ... < s_k < 1} dX^{w_1}(s_1) ... dX^{w_k}(s_k)          for a word w = w_1 ... w_k

The signature of a concatenation is the product of signatures in the tensor algebra (Chen's identity); its logarithm is
a Lie polynomial

    log S = sum over Lyndon words w of c_w [w],     [w] = [[u], [v]],  w = uv, v the longest proper Lyndon suffix

and the log-signature is (c_w), by length of w, then alphabetically. The coefficient that log S, expanded in words, has
at w is not yet c_w: brackets of smaller words contain w as well. The triangular map between the two is inverted.

Everything here takes one path; batches go through `jax.vmap`. Levels k = 1, ..., depth are kept as arrays (..., d^k).

Sources: Reizenstein, Graham, The iisignature library, arXiv 1802.08252; Kidger, Lyons, Signatory, arXiv 2001.00706
(sections 4.3 and A.2.3: the linear map).
"""

from functools import lru_cache, partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .path import Path

Word = tuple[int, ...]
Levels = list[Array]


def words(channels: int, depth: int) -> list[Word]:
    """All words over 0, ..., channels - 1 of length 1 to depth, in the order of `signature`."""
    _check(channels, depth)
    return [w for k in range(1, depth + 1) for w in product(range(channels), repeat=k)]


def lyndon_words(channels: int, depth: int) -> list[Word]:
    """Words smaller than all their proper suffixes, in the order of `logsignature`."""
    return [w for level in _lyndon_levels(channels, depth) for w in level]


def factors(w: Word) -> tuple[Word, Word]:
    """w = uv with v the longest proper Lyndon suffix: the standard factorisation, so [w] = [[u], [v]]."""
    cut = next(i for i in range(1, len(w)) if _is_lyndon(w[i:]))
    return w[:cut], w[cut:]


def bracket(w: Word) -> str:
    """[w] for the reader: bracket((0, 0, 1)) == "[0,[0,1]]"."""
    if len(w) == 1:
        return str(w[0])
    u, v = factors(w)
    return f"[{bracket(u)},{bracket(v)}]"


@partial(jax.jit, static_argnames=("depth", "stream"))
def signature(x: Any, depth: int, *, stream: bool = False) -> Float[Array, "..."]:
    """The signature of a path, (channels + channels^2 + ... + channels^depth,), in the order of `words`.

    x       points (points, channels), joined by straight lines, or a `Path`, whose cubic pieces are integrated exactly
    stream  one signature for each piece's end instead: (pieces, ...)
    """
    levels = _pieces(_coefficients(x, depth), depth)
    levels = jax.lax.associative_scan(jax.vmap(multiply), levels) if stream else _product(levels)
    return jnp.concatenate(levels, axis=-1)


@partial(jax.jit, static_argnames=("depth", "stream"))
def logsignature(x: Any, depth: int, *, stream: bool = False) -> Float[Array, "..."]:
    """The log-signature of a path in the Lyndon basis, in the order of `lyndon_words`. Arguments of `signature`."""
    c = _coefficients(x, depth)
    levels = _pieces(c, depth)
    levels = jax.lax.associative_scan(jax.vmap(multiply), levels) if stream else _product(levels)
    return _lyndon(levels, c.shape[-1])


@partial(jax.jit, static_argnames="depth")
def window_logsignatures(path: Path, windows: Float[Array, " bounds"], depth: int) -> Float[Array, "windows words"]:
    """The log-signature of the path over each [windows[i], windows[i + 1]].

    The bounds need not be knots; pieces are cut there. All windows are done by one scan over the pieces, in which a
    window's first piece forgets what stood before it.
    """
    _check(path.channels, depth)
    windows = jnp.asarray(windows, path.knots.dtype)
    fine, places = path.refined(windows)
    first = jnp.zeros(fine.knots.shape[0] - 1, bool).at[places[:-1]].set(True)
    pieces = _pieces(fine.coefficients, depth)
    _, prefix = jax.lax.associative_scan(_restart, (first, pieces))
    ends = [level[places[1:] - 1] for level in prefix]
    return _lyndon(ends, path.channels)


def multiply(a: Levels, b: Levels) -> Levels:
    """Chen: the signature of a path a followed by a path b; (a b)_k = a_k + a_{k-1} b_1 + ... + b_k."""
    return [
        a[k] + b[k] + sum((_outer(a[i], b[k - 1 - i]) for i in range(k)), start=jnp.zeros_like(a[k]))
        for k in range(len(a))
    ]


def logarithm(s: Levels) -> Levels:
    """log(1 + s) = s - s^2/2 + s^3/3 - ... in the truncated tensor algebra, by Horner's rule."""
    depth = len(s)
    out = [level / depth for level in s[:1]]
    for n in reversed(range(1, depth)):
        # out = s (1/n - out), one level longer each time: s begins at level 1
        grown = []
        for k in range(depth - n + 1):
            value = s[k] / n
            for i in range(min(k, len(out))):
                value = value - _outer(s[k - 1 - i], out[i])
            grown.append(value)
        out = grown
    return out


def _outer(a: Array, b: Array) -> Array:
    """Tensor product of flat tensors, batch axes in front."""
    return (a[..., :, None] * b[..., None, :]).reshape(*a.shape[:-1], a.shape[-1] * b.shape[-1])


def _coefficients(x: Any, depth: int) -> Float[Array, "pieces terms channels"]:
    if not isinstance(x, Path):
        x = jnp.asarray(x)
        if x.ndim != 2 or x.shape[0] < 2:
            raise ValueError(
                f"a signature takes points of shape (points, channels), at least two, got {x.shape}; "
                "write batches with jax.vmap."
            )
        x = x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float)
        _check(x.shape[1], depth)
        return jnp.stack([x[:-1], x[1:] - x[:-1]], axis=1)
    _check(x.channels, depth)
    return x.coefficients


def _pieces(c: Float[Array, "pieces terms channels"], depth: int) -> Levels:
    """Signatures of polynomial pieces X(u) = sum_j c_j u^j, 0 <= u <= 1.

    A line has the tensor exponential. Else S_k(u) = int S_{k-1} (x) X' du is a polynomial in u, and integrated as such.
    """
    degree = c.shape[1] - 1
    if degree == 1:
        levels = [c[:, 1]]
        for k in range(2, depth + 1):
            levels.append(_outer(levels[-1], c[:, 1]) / k)
        return levels
    slope = {j: (j + 1) * c[:, j + 1] for j in range(degree)}
    powers = {j + 1: s / (j + 1) for j, s in slope.items()}
    levels = [_total(powers)]
    for _ in range(1, depth):
        new: dict[int, Array] = {}
        for m, p in powers.items():
            for j, s in slope.items():
                term = _outer(p, s)
                new[m + j + 1] = new[m + j + 1] + term if m + j + 1 in new else term
        powers = {m: p / m for m, p in new.items()}
        levels.append(_total(powers))
    return levels


def _total(powers: dict[int, Array]) -> Array:
    return sum(powers.values(), start=jnp.zeros_like(next(iter(powers.values()))))


def _product(levels: Levels) -> Levels:
    """The product of all pieces, in order, by halves: log2(pieces) products of long arrays."""
    while levels[0].shape[0] > 1:
        pairs = levels[0].shape[0] // 2
        rest = [level[2 * pairs :] for level in levels]
        halved = multiply(
            [level[0 : 2 * pairs : 2] for level in levels], [level[1 : 2 * pairs : 2] for level in levels]
        )
        levels = [jnp.concatenate(both) for both in zip(halved, rest, strict=True)]
    return [level[0] for level in levels]


def _restart(a: tuple[Array, Levels], b: tuple[Array, Levels]) -> tuple[Array, Levels]:
    """Chen's product where b does not begin a window, b itself where it does."""
    (first_a, sa), (first_b, sb) = a, b
    both = [jnp.where(first_b[:, None], y, z) for y, z in zip(sb, multiply(sa, sb), strict=True)]
    return first_a | first_b, both


def _lyndon(levels: Levels, channels: int) -> Float[Array, "..."]:
    """The logarithm of a signature in the Lyndon basis."""
    out = []
    for k, level in enumerate(logarithm(levels), start=1):
        index, rows, columns, values = _projection(channels, k)
        a = level[..., index]
        if rows.size:
            a = a.at[..., rows].add(a[..., columns] * values.astype(a.dtype))
        out.append(a)
    return jnp.concatenate(out, axis=-1)


@lru_cache(maxsize=64)
def _projection(channels: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(flat places of the Lyndon words of length k in level k; rows, columns, values of M^-1 - 1)

    M[v, w] is the coefficient of the word v in [w]; it is unit lower triangular in alphabetical order, with whole
    numbers, and so is its inverse. It couples words of the same letters only.
    """
    level = _lyndon_levels(channels, k)[-1]
    index = np.array([sum(letter * channels ** (k - 1 - i) for i, letter in enumerate(w)) for w in level], int)
    groups: dict[Word, list[int]] = {}
    for i, w in enumerate(level):
        groups.setdefault(tuple(sorted(w)), []).append(i)
    rows, columns, values = [], [], []
    for members in groups.values():
        expanded = [_expansion(level[i]) for i in members]
        M = np.array([[e.get(level[i], 0) for e in expanded] for i in members], dtype=np.int64)
        inverse = np.rint(np.linalg.inv(M)).astype(np.int64)
        assert np.array_equal(M @ inverse, np.eye(len(members), dtype=np.int64))
        for a, b in zip(*np.nonzero(inverse - np.eye(len(members), dtype=np.int64)), strict=True):
            rows.append(members[a])
            columns.append(members[b])
            values.append(inverse[a, b])
    return index, np.array(rows, int), np.array(columns, int), np.array(values, float)


@lru_cache(maxsize=65536)
def _expansion(w: Word) -> dict[Word, int]:
    """[w] as a combination of words."""
    if len(w) == 1:
        return {w: 1}
    u, v = (_expansion(part) for part in factors(w))
    out: dict[Word, int] = {}
    for a, i in u.items():
        for b, j in v.items():
            out[a + b] = out.get(a + b, 0) + i * j
            out[b + a] = out.get(b + a, 0) - i * j
    return {word: value for word, value in out.items() if value}


@lru_cache(maxsize=64)
def _lyndon_levels(channels: int, depth: int) -> list[list[Word]]:
    """Lyndon words by length, each level in alphabetical order (Duval's algorithm)."""
    _check(channels, depth)
    levels: list[list[Word]] = [[] for _ in range(depth)]
    w = [-1]
    while w:
        w[-1] += 1
        levels[len(w) - 1].append(tuple(w))
        length = len(w)
        while len(w) < depth:
            w.append(w[-length])
        while w and w[-1] == channels - 1:
            w.pop()
    return levels


@lru_cache(maxsize=65536)
def _is_lyndon(w: Word) -> bool:
    return all(w < w[i:] for i in range(1, len(w)))


def _check(channels: int, depth: int) -> None:
    if channels < 1 or depth < 1:
        raise ValueError(f"a signature needs at least one channel and depth 1, got {channels} and {depth}.")
