"""phi-functions in a trace: jit, vmap and gradients, real or complex, float32 without cancellation.

The formulas and regimes of `core.phi`, without data-dependent branches: |z| < 8 is always scaled by 1/8 and doubled
three times. Each branch of a `where` is fed a harmless argument where it is not chosen, so gradients stay finite.
"""

from math import factorial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact

from .phi import DOUBLINGS, LARGE, doubled

MATRIX_DOUBLINGS = 40  # norms up to 2^39


def phi(k: int, z: Inexact[Array, "..."]) -> Inexact[Array, "..."]:
    """phi_k(z) elementwise, in z's dtype."""
    return phis(k, z)[k]


def phis(kmax: int, z: Inexact[Array, "*shape"]) -> list[Inexact[Array, "*shape"]]:
    """[phi_0(z), ..., phi_kmax(z)] elementwise, in z's dtype."""
    z = jnp.asarray(z)
    exp = jnp.exp(z)
    if kmax == 0:
        return [exp]
    large = ~(jnp.abs(jax.lax.stop_gradient(z)) < LARGE)
    inner = _scaled_series(kmax, jnp.where(large, 0.0, z).astype(z.dtype))
    outer, far = [exp], jnp.where(large, z, LARGE).astype(z.dtype)
    power = jnp.where(large, exp, 1.0).astype(z.dtype)
    for k in range(1, kmax + 1):
        power = (power - 1 / factorial(k - 1)) / far
        outer.append(power)
    return [exp, *(jnp.where(large, b, a) for a, b in zip(inner[1:], outer[1:], strict=True))]


def phis_matrix(kmax: int, A: Inexact[Array, "n n"]) -> list[Inexact[Array, "n n"]]:
    """[phi_0(A), ..., phi_kmax(A)] of a square matrix, by scaling, series and doubling; norms above 2^39 give NaN."""
    return phis_matrices(kmax, A)


def phis_matrices(kmax: int, A: Inexact[Array, "*many n n"]) -> list[Inexact[Array, "*many n n"]]:
    """[phi_0(A), ..., phi_kmax(A)] of many matrices, each with doublings of its own.

    The number of doublings depends on the largest norm: a scan with a `cond`, so reverse mode works.
    """
    top = max(kmax, 1)
    eye = jnp.broadcast_to(jnp.eye(A.shape[-1], dtype=A.dtype), A.shape)
    norm = jnp.abs(jax.lax.stop_gradient(A)).sum(axis=-2, keepdims=True).max(axis=-1, keepdims=True)
    s = jnp.ceil(jnp.log2(jnp.maximum(norm, 0.5) / 0.5))
    small = A / (2.0**s).astype(norm.dtype)
    terms = _terms(A.dtype)
    series = eye * (1 / factorial(top + terms))
    for j in reversed(range(terms)):
        series = _matmul(small, series) + eye * (1 / factorial(top + j))
    values = [series]
    for k in reversed(range(top)):
        values.insert(0, _matmul(small, values[0]) + eye * (1 / factorial(k)))

    def body(values: list[Array], i: Array) -> tuple[list[Array], None]:
        def double(values: list[Array]) -> list[Array]:
            twice = [doubled(k, values, _matmul) for k in range(top + 1)]
            return [jnp.where(i < s, new, old) for new, old in zip(twice, values, strict=True)]

        return jax.lax.cond(jnp.any(i < s), double, lambda v: v, values), None

    values, _ = jax.lax.scan(body, values, jnp.arange(MATRIX_DOUBLINGS))
    bad = ~(s <= MATRIX_DOUBLINGS)
    return [jnp.where(bad, jnp.nan, v) for v in values[: kmax + 1]]


def _scaled_series(kmax: int, z: Array) -> list[Array]:
    w = z / 2.0**DOUBLINGS
    terms = _terms(z.dtype)
    series = jnp.full_like(w, 1 / factorial(kmax + terms))
    for j in reversed(range(terms)):
        series = w * series + 1 / factorial(kmax + j)
    values = [series]
    for k in reversed(range(1, kmax)):
        values.insert(0, w * values[0] + 1 / factorial(k))
    values.insert(0, jnp.exp(w))
    for _ in range(DOUBLINGS):
        values = [doubled(k, values, jnp.multiply) for k in range(kmax + 1)]
    return values


def _terms(dtype: jnp.dtype) -> int:
    """Terms of the series at |z| <= 1: the remainder is below a tenth of the dtype's eps."""
    return 11 if jnp.finfo(dtype).bits <= 32 else 19


def _matmul(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision="highest")
