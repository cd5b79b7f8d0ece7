"""Linear controlled differential equations, solved at all times at once.

    dx = sum_i (A_i x + b_i) dX^i

On a window the solution is an affine flow x -> P x + q that depends on the path only, so all flows are built side by
side and then composed: one after the other, or by `jax.lax.associative_scan` in log2(windows) rounds.

The structure of A is read from its shape; n is the size of x, k that of a block:

    (channels, n)             diagonal
    (channels, n / k, k, k)   block-diagonal
    (channels, n, n)          dense

Sources: Blelloch, Prefix sums and their applications (1990); Cirone, Orvieto, Walker, Salvi, Lyons, Theoretical
Foundations of Deep Selective State-Space Models, arXiv 2402.19047; Walker and others, Structured Linear CDEs, arXiv
2505.17761.
"""

from functools import partial
from math import factorial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from duhamel.core.cde import LogPath, window_bounds
from duhamel.core.path import Path
from duhamel.core.phi_traced import phis
from duhamel.core.signature import Word, factors, lyndon_words

UNROLLED = 16  # up to this size a product of matrices is a sum of outer products, which XLA vectorises over the windows
SQUARINGS = 12  # the exponential of a matrix with norm up to 2^12
FLOWS = ("exp", "euler")


def linear_cde(
    A: Any,
    path: Path | LogPath,
    x0: Any,
    *,
    b: Any = None,
    windows: Any = None,
    depth: int = 1,
    flow: str = "exp",
    parallel: bool | None = None,
) -> Float[Array, "bounds n"]:
    """x at every bound of the windows, x0 first, of dx = sum_i (A_i x + b_i) dX^i.

    A         (channels, n), (channels, n / k, k, k) or (channels, n, n): diagonal, block-diagonal, dense
    path      a `Path`; or a `LogPath`, which has windows and a depth of its own
    b         (channels, n), or None for 0
    windows   their number, or their bounds; the knots of the path unless told
    depth     of the log-signature. Depth 1 uses the increments; it is exact between the knots of a linear path
    flow      "exp": the log-ODE method, its equation solved exactly; "euler": x + sum_i (A_i x + b_i) c_i, order 1
    parallel  compose the flows by an associative scan: log2(windows) rounds, each over all windows, instead of one
              window after the other. Unless told, wherever the default device is not a CPU: two cores compose small
              flows faster in turn
    Differentiable in everything but the number of windows; batches go through `jax.vmap`. An exponent whose 1-norm is
    above 4096 gives NaN.
    """
    if flow not in FLOWS:
        raise ValueError(f"flow must be 'exp' or 'euler', got {flow!r}.")
    x0 = jnp.asarray(x0)
    A, b = jnp.asarray(A, x0.dtype), None if b is None else jnp.asarray(b, x0.dtype)
    c, depth = _controls(path, windows, depth)
    _check(A, b, x0, path.channels)
    parallel = jax.default_backend() != "cpu" if parallel is None else parallel
    return _solve(A, b, c.astype(x0.dtype), x0, depth, flow, parallel)


@partial(jax.jit, static_argnames=("depth", "flow", "parallel"))
def _solve(
    A: Array, b: Array | None, c: Array, x0: Array, depth: int, flow: str, parallel: bool
) -> Float[Array, "bounds n"]:
    channels = A.shape[0]
    if A.ndim == 2:
        return _diagonal(A, b, c, x0, channels, depth, flow, parallel)
    blocks = A[:, None] if A.ndim == 3 else A  # (channels, blocks, k, k)
    x = x0.reshape(blocks.shape[1], blocks.shape[2])
    if b is not None:  # one more component, always 1
        column = b.reshape(channels, *x.shape, 1)
        blocks = jnp.concatenate([blocks, column], axis=-1)
        blocks = jnp.concatenate([blocks, jnp.zeros_like(blocks[..., :1, :])], axis=-2)
        x = jnp.concatenate([x, jnp.ones_like(x[:, :1])], axis=-1)
    M = jnp.tensordot(c, _matrix_brackets(blocks, depth), axes=1, precision="highest")
    P = _expm(M) if flow == "exp" else M + jnp.eye(M.shape[-1], dtype=M.dtype)
    rows = _compose(P, x, parallel)
    return rows[..., : blocks.shape[-1] - (b is not None)].reshape(-1, x0.shape[0])


def _diagonal(
    A: Array, b: Array | None, c: Array, x0: Array, channels: int, depth: int, flow: str, parallel: bool
) -> Float[Array, "bounds n"]:
    m = c[:, :channels] @ A  # brackets of diagonal matrices vanish
    if b is None:  # everything commutes: no scan of flows is needed
        flows = jnp.cumprod(1 + m, axis=0) if flow == "euler" else jnp.exp(jnp.cumsum(m, axis=0))
        return jnp.concatenate([x0[None], flows * x0])
    growth, phi1 = (1 + m, jnp.ones_like(m)) if flow == "euler" else phis(1, m)
    v = c @ _vector_brackets(A, b, depth)
    first = (growth, phi1 * v)
    if parallel:
        P, q = jax.lax.associative_scan(lambda f, g: (g[0] * f[0], g[0] * f[1] + g[1]), first)
        return jnp.concatenate([x0[None], P * x0 + q])

    def step(x: Array, f: tuple[Array, Array]) -> tuple[Array, Array]:
        x = f[0] * x + f[1]
        return x, x

    return jnp.concatenate([x0[None], jax.lax.scan(step, x0, first)[1]])


def _compose(P: Float[Array, "windows blocks k k"], x0: Float[Array, "blocks k"], parallel: bool) -> Array:
    """x0, P_1 x0, P_2 P_1 x0, ..."""
    if parallel:
        flows = jax.lax.associative_scan(lambda f, g: _matmul(g, f), P)
        return jnp.concatenate([x0[None], jnp.sum(flows * x0[:, None], axis=-1)])

    def step(x: Array, p: Array) -> tuple[Array, Array]:
        x = jnp.sum(p * x[:, None], axis=-1)
        return x, x

    return jnp.concatenate([x0[None], jax.lax.scan(step, x0, P)[1]])


def _matrix_brackets(A: Float[Array, "channels blocks k k"], depth: int) -> Float[Array, "words blocks k k"]:
    """[A]_w for every Lyndon word. Of the fields x -> A_u x and x -> A_v x it is x -> (A_v A_u - A_u A_v) x."""
    found: dict[Word, Array] = {(i,): A[i] for i in range(A.shape[0])}
    for w in lyndon_words(A.shape[0], depth)[A.shape[0] :]:
        u, v = (found[part] for part in factors(w))
        found[w] = _matmul(v, u) - _matmul(u, v)
    return jnp.stack(list(found.values()))


def _vector_brackets(A: Float[Array, "channels n"], b: Float[Array, "channels n"], depth: int) -> Array:
    """The constant part of [f]_w for f_i = A_i x + b_i, A_i diagonal; beyond the letters nothing else is left."""
    channels = A.shape[0]
    found: dict[Word, tuple[Array, Array]] = {(i,): (A[i], b[i]) for i in range(channels)}
    for w in lyndon_words(channels, depth)[channels:]:
        (Au, bu), (Av, bv) = (found[part] for part in factors(w))
        found[w] = (jnp.zeros_like(Au), Av * bu - Au * bv)
    return jnp.stack([pair[1] for pair in found.values()])


def _matmul(a: Array, b: Array) -> Array:
    n = a.shape[-1]
    if n > UNROLLED:
        return jnp.matmul(a, b, precision="highest")
    return sum(
        (a[..., :, k, None] * b[..., None, k, :] for k in range(1, n)), start=a[..., :, 0, None] * b[..., None, 0, :]
    )


def _expm(M: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
    """exp of many matrices: Taylor's polynomial of M / 2^s in Paterson and Stockmeyer's order, squared s times.

    s serves the largest of them, so that a `cond` can skip the squarings nobody needs; reverse mode works.
    """
    degree, stride, radius = (12, 4, 1.5) if jnp.finfo(M.dtype).bits <= 32 else (18, 6, 1.2)
    norm = jnp.max(jnp.sum(jnp.abs(jax.lax.stop_gradient(M)), axis=-2))
    s = jnp.maximum(jnp.ceil(jnp.log2(norm / radius)), 0.0)
    s = jnp.where(norm == 0, 0.0, s)
    small = M * 0.5**s
    powers = [jnp.eye(M.shape[-1], dtype=M.dtype), small]
    while len(powers) <= stride:
        powers.append(_matmul(powers[-1], small))
    value = powers[stride] / factorial(degree)
    for j in reversed(range(degree // stride)):
        part = sum((powers[i] / factorial(j * stride + i) for i in range(stride)), start=jnp.zeros_like(M))
        value = part + (value if j == degree // stride - 1 else _matmul(powers[stride], value))

    def body(value: Array, i: Array) -> tuple[Array, None]:
        return jax.lax.cond(i < s, lambda v: _matmul(v, v), lambda v: v, value), None

    value, _ = jax.lax.scan(body, value, jnp.arange(SQUARINGS))
    return jnp.where(s <= SQUARINGS, value, jnp.nan)


def _controls(path: Path | LogPath, windows: Any, depth: int) -> tuple[Float[Array, "windows words"], int]:
    """What multiplies the brackets on each window."""
    if isinstance(path, LogPath):
        if windows is not None:
            raise ValueError("linear_cde: a LogPath has windows of its own; leave windows out, or pass a Path.")
        return path.values, path.depth
    if windows is None:
        bounds = path.knots
    else:
        bounds = window_bounds(path, windows)
    if depth > 1:
        return LogPath.of(path, depth, bounds).values, depth
    at = path(bounds)
    return at[1:] - at[:-1], 1


def _check(A: Array, b: Array | None, x0: Array, channels: int) -> None:
    n = x0.shape[0] if x0.ndim == 1 else -1
    if n < 0 or not jnp.issubdtype(x0.dtype, jnp.floating):
        raise ValueError(f"linear_cde: x0 must be one vector of floating numbers, got {x0.dtype.name}{list(x0.shape)}.")
    fits = {2: (channels, n), 3: (channels, n, n)}.get(A.ndim)
    if A.ndim == 4 and A.shape[2] == A.shape[3]:
        fits = (channels, n // A.shape[2], *A.shape[2:]) if n % A.shape[2] == 0 else None
    if fits is None or A.shape != fits:
        raise ValueError(
            f"linear_cde: A has shape {A.shape}, with {channels} channels and {n} numbers in x0 it must be "
            f"({channels}, {n}) for diagonal, ({channels}, {n}, {n}) for dense or ({channels}, {n} / k, k, k) for "
            "block-diagonal matrices."
        )
    if b is not None and b.shape != (channels, n):
        raise ValueError(f"linear_cde: b has shape {b.shape}; it must be (channels, n) = ({channels}, {n}).")
