"""Gauss-Legendre and Lagrange on the host, in float64. NumPy only.

Nodes are shifted and scaled to [-1, 1] before any product is formed: nearby times then keep their digits.
"""

from collections.abc import Callable

import numpy as np

from .grid import Number


def gauss_legendre(n: int, a: Number = 0.0, b: Number = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights, each (n,), with sum_i w_i f(s_i) = int_a^b f(s) ds exact for polynomials of degree 2n - 1."""
    if n < 1:
        raise ValueError(f"n = {n} quadrature nodes; at least one is needed.")
    s, w = np.polynomial.legendre.leggauss(n)
    return 0.5 * (a + b) + 0.5 * (b - a) * s, 0.5 * (b - a) * w


def lagrange(nodes: object, x: object) -> np.ndarray:
    """Lagrange basis l_j(x), shape (len(nodes), *x.shape): l_j is 1 at node j and 0 at the others."""
    nodes, x = np.asarray(nodes, np.float64), np.asarray(x, np.float64)
    if nodes.ndim != 1 or len(set(nodes.tolist())) != len(nodes):
        raise ValueError(f"nodes must be distinct numbers in one row, got {nodes.tolist()}.")
    middle, half = _middle_and_half(nodes)
    u, v = (nodes - middle) / half, (x - middle) / half
    basis = np.ones((len(u), *v.shape))
    for j in range(len(u)):
        for m in range(len(u)):
            if m != j:
                basis[j] *= (v - u[m]) / (u[j] - u[m])
    return basis


def lagrange_integrals(
    nodes: object, a: Number, b: Number, weight: Callable[[np.ndarray], np.ndarray] | None = None, n: int = 32
) -> np.ndarray:
    """int_a^b weight(s) l_j(s) ds for each node, shape (len(nodes),); a > b integrates backwards.

    weight  a function of an array of times, real or complex; None is 1
    n       Gauss-Legendre nodes; without a weight the result is exact as soon as 2n >= len(nodes)
    """
    nodes = np.asarray(nodes, np.float64)
    s, w = gauss_legendre(max(n, (len(nodes) + 1) // 2), a, b)
    if weight is not None:
        w = w * np.asarray(weight(s))
    return lagrange(nodes, s) @ w


def _middle_and_half(nodes: np.ndarray) -> tuple[float, float]:
    low, high = float(np.min(nodes)), float(np.max(nodes))
    return 0.5 * (low + high), 0.5 * (high - low) or 1.0
