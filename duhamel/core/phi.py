"""phi-functions on the host, in float64 or complex128, with no cancellation.

    phi_0(z) = e^z        phi_k(z) = int_0^1 e^((1-s) z) s^(k-1)/(k-1)! ds        phi_k(0) = 1/k!
    z phi_k(z) = phi_{k-1}(z) - 1/(k-1)!

Three regimes, chosen per element, all of them sums of terms that do not cancel:

    |z| <= 1      Taylor series of phi_K, then phi_{k-1} = z phi_k + 1/(k-1)! downwards
    1 < |z| < 8   the series at z / 2^s, then s times the doubling formula
                  phi_k(2w) = 2^-k ( e^w phi_k(w) + sum_{j=1..k} phi_j(w)/(k-j)! )
    |z| >= 8      the recurrence upwards; it divides by z, so errors shrink

Matrices take the first two (scaling and doubling), like `expm`. NumPy only: a plan is built without JAX.
"""

from collections.abc import Callable, Sequence
from math import factorial
from typing import Any

import numpy as np

SMALL = 1.0
LARGE = 8.0
DOUBLINGS = 3  # LARGE / 2**DOUBLINGS <= SMALL
TERMS = 19  # of the series at |z| <= 1: the remainder is below 1e-18 relative


def phi(k: int, z: object) -> np.ndarray:
    """phi_k(z) elementwise; z real or complex of any size, k >= 0. Relative error about 1e-15 for k <= 6."""
    return phis(k, z)[k]


def phis(kmax: int, z: object) -> list[np.ndarray]:
    """[phi_0(z), ..., phi_kmax(z)] elementwise, each of z's shape."""
    if kmax < 0:
        raise ValueError(f"k = {kmax} has no phi-function; k counts from 0 (phi_0 = exp).")
    z = _as_inexact(z)
    result = np.zeros((kmax + 1, *z.shape), z.dtype)
    result[0] = np.exp(z)
    size = np.abs(z)
    large = ~(size < LARGE)  # NaN goes through the recurrence and stays NaN
    result[:, large] = _recurrence(kmax, z[large], result[0][large])
    halvings = np.where(size > SMALL, np.ceil(np.log2(np.maximum(size, SMALL))), 0).astype(int)
    for s in range(DOUBLINGS + 1):
        here = ~large & (halvings == s)
        if here.any():
            result[1:, here] = _scaled_series(kmax, z[here], s)[1:]
    return [result[k, ...] for k in range(kmax + 1)]  # the ellipsis keeps a scalar an array


def phi_matrix(k: int, A: object) -> np.ndarray:
    """phi_k(A) of a square matrix."""
    return phis_matrix(k, A)[k]


def phis_matrix(kmax: int, A: object) -> list[np.ndarray]:
    """[phi_0(A), ..., phi_kmax(A)] of a square matrix, by scaling, series and doubling."""
    A = _as_inexact(A)
    if A.ndim != 2 or A.shape[0] != A.shape[1]:
        raise ValueError(f"A must be a square matrix, got shape {A.shape}.")
    return phis_matrices(kmax, A)


def phis_matrices(kmax: int, A: object) -> list[np.ndarray]:
    """[phi_0(A), ..., phi_kmax(A)] of many square matrices (..., n, n), each with doublings of its own."""
    A = _as_inexact(A)
    norm = np.abs(A).sum(axis=-2).max(axis=-1)
    result = np.full((kmax + 1, *A.shape), np.nan, A.dtype)
    finite = np.isfinite(norm)
    doublings = np.ceil(np.log2(np.maximum(norm, 0.5, where=finite, out=np.ones_like(norm)) / 0.5)).astype(int)
    for s in np.unique(doublings[finite]):
        here = finite & (doublings == s)
        result[:, here] = _doubled_series(kmax, A[here], int(s))
    return list(result)


def _doubled_series(kmax: int, A: np.ndarray, s: int) -> list[np.ndarray]:
    small, eye = A / 2.0**s, np.eye(A.shape[-1], dtype=A.dtype)
    top = max(kmax, 1)
    series = eye / factorial(top + TERMS)
    for j in reversed(range(TERMS)):
        series = small @ series + eye / factorial(top + j)
    values = [series]
    for k in reversed(range(top)):
        values.insert(0, small @ values[0] + eye / factorial(k))
    for _ in range(s):
        values = [doubled(k, values, np.matmul) for k in range(top + 1)]
    return values[: kmax + 1]


def _recurrence(kmax: int, z: np.ndarray, exp: np.ndarray) -> np.ndarray:
    values = [exp]
    for k in range(1, kmax + 1):
        with np.errstate(invalid="ignore"):  # exp may have overflowed to inf, which is then the answer
            values.append((values[-1] - 1 / factorial(k - 1)) / z)
    return np.array(values)


def _scaled_series(kmax: int, z: np.ndarray, s: int) -> np.ndarray:
    w = z / 2.0**s
    series = np.full_like(w, 1 / factorial(kmax + TERMS))
    for j in reversed(range(TERMS)):
        series = w * series + 1 / factorial(kmax + j)
    values = [series]
    for k in reversed(range(1, kmax)):
        values.insert(0, w * values[0] + 1 / factorial(k))
    values = [np.exp(w), *(values if kmax else [])]
    for i in range(s):
        values = [np.exp(w * 2.0 ** (i + 1)), *(doubled(k, values, np.multiply) for k in range(1, kmax + 1))]
    return np.array(values)


def doubled(k: int, values: Sequence[Any], product: Callable[[Any, Any], Any]) -> Any:
    """phi_k(2w) from phi_0(w), ..., phi_k(w)."""
    if k == 0:
        return product(values[0], values[0])
    total = product(values[0], values[k])
    for j in range(1, k + 1):
        total = total + values[j] / factorial(k - j)
    return total / 2.0**k


def _as_inexact(z: object) -> np.ndarray:
    z = np.asarray(z)
    return z.astype(np.complex128 if np.iscomplexobj(z) else np.float64)
