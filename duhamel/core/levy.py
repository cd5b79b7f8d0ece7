"""Levy areas: the part of a step's second iterated integrals that increments do not determine.

    A_ij = 1/2 int (W_i dW_j - W_j dW_i),     W = 0 where the step begins
    int W_i dW_j = (dW_i dW_j - h delta_ij) / 2 + A_ij     (Ito)

In orthonormal Legendre coefficients z_0, z_1, ... of white noise on the step (dW = sqrt(h) z_0, H = -sqrt(h/12) z_1,
K = sqrt(h/720) z_2)

    A = (h/2) sum_{n >= 1} (z_{n-1} z_n^T - z_n z_{n-1}^T) / sqrt(4 n^2 - 1)

N terms leave entries of variance h^2 / (4 (2N + 1)), uncorrelated with one another and with z_0, ..., z_N. Normal
entries of that variance in their place keep every covariance given z_0, ..., z_{N-1}, and the law of A up to O(h/N):

    "davie"   N = 1: H dW^T - dW H^T + N(0, h^2/12)
    "foster"  N = 2: given (dW, H), the rest has variance h^2/20 + h/5 (H_i^2 + H_j^2)
    "series"  N = terms

Kuznetsov's expansion; Davie, KMT theory applied to approximations of SDE, 2014; Foster, Numerical approximations for
stochastic differential equations, PhD thesis, Oxford, 2020; Foster and Habermann, Brownian bridge expansions for Levy
area approximations, 2021, arXiv 2102.10095.
"""

from math import sqrt
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from .threefry import normal, words

TERMS = {"davie": 1, "foster": 2}
METHODS = (*TERMS, "series")


def area(
    key: Any,
    dW: Float[Array, " m"],
    H: Float[Array, " m"],
    h: Any,
    *,
    K: Float[Array, " m"] | None = None,
    method: str = "foster",
    terms: int = 10,
) -> Float[Array, "m m"]:
    """The antisymmetric matrix A of a step of length h > 0, given its increment and space-time area (zero where h = 0).

    key     a key of `jax.random` of this step alone, other than those dW, H and K were drawn with
    K       space-time-time area, if the step has drawn it
    method  "davie" and "foster" keep means and covariances: enough for weak order 2; "series" with terms above
            1/sqrt(h) is as near in law as strong order 1 asks for
    terms   N of "series"
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}.")
    if terms < 1:
        raise ValueError(f"terms must be at least 1, got {terms}.")
    drawn = {"dW": dW, "H": H} | ({} if K is None else {"K": K})
    return counted_area(words(key), 0, drawn, h, method, terms)


def counted_area(key: Any, counter: Any, drawn: dict[str, Any], h: Any, method: str, terms: int) -> Float[Array, "m m"]:
    """`area` from a key of two words and the number of the step; drawn: its "dW", "H" and perhaps "K"."""
    dW, (m,) = drawn["dW"], drawn["dW"].shape
    N = max(TERMS.get(method, terms), len(drawn) - 1)
    positive = h > 0
    root = jnp.sqrt(jnp.where(positive, h, 1.0)).astype(dW.dtype)
    scales = {"dW": 1.0, "H": -sqrt(12), "K": sqrt(720)}
    z = [scale * drawn[name] / root for name, scale in scales.items() if name in drawn]
    fresh = normal(key, counter, (m + N + 1 - len(z), m), dW.dtype)
    G, z = fresh[:m], [*z, *fresh[m:]]
    total = sqrt(0.5 / (2 * N + 1)) * G
    for n in reversed(range(1, N + 1)):
        total = total + jnp.outer(z[n - 1], z[n]) / sqrt(4 * n * n - 1)
    return jnp.where(positive, 0.5 * h, 0.0).astype(dW.dtype) * (total - total.T)
