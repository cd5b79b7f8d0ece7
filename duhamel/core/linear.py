"""The linear part L of dx/dt = L(t) x + N(t, x): its action, its flow and its phi-functions.

    flow(t, h) x   = Phi(t+h, t) x                 the solution of dx/dt = L x after a step h
    phi(k, t, h) v = (1/h) int_0^h Phi(t+h, t+s) (s/h)^(k-1)/(k-1)! v ds        (phi_k(h L) when L is constant)

Each returns a *coefficient*, anything with `c * v`: a number, an array (one number per component or mode), a `Matrix`.
If L, t and h are concrete numbers, coefficients are computed on the host in float64/complex128 and returned as NumPy
arrays (the executor casts them). If anything is traced they are JAX arrays, differentiable in L and h.

Lanes: t and h may be arrays of shape (lanes,); coefficients then carry the lanes as their last axis.
"""

from abc import abstractmethod
from collections.abc import Callable
from math import factorial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from . import phi as host, phi_traced as traced
from .quadrature import gauss_legendre


class Linear(eqx.Module):
    """Abstract: `apply` and `phis`; flow and phi follow."""

    @abstractmethod
    def apply(self, t: Any, x: Any) -> Any:
        """L(t) x, in x's precision."""

    @abstractmethod
    def phis(self, kmax: int, t: Any, h: Any) -> list[Any]:
        """[flow, phi_1, ..., phi_kmax] over [t, t + h], in one go."""

    def resolvents(self, a: float, t: Any, h: Any) -> tuple[Any, Any]:
        """(R, h L(t) R) with R = (1 - a h L(t))^-1: what an implicit stage multiplies with."""
        del a, t, h
        raise ValueError(f"implicit stages need (1 - a h L)^-1, which {type(self).__name__} does not offer.")

    def flow(self, t: Any, h: Any) -> Any:
        """Phi(t + h, t)."""
        return self.phis(0, t, h)[0]

    def phi(self, k: int, t: Any, h: Any) -> Any:
        """phi_k over [t, t + h]; phi(0, ...) is the flow."""
        return self.phis(k, t, h)[k]


class Matrix(eqx.Module):
    """A matrix as a coefficient: `Matrix(A) * v` is A v; scalars multiply from the left, matrices add.

    array  (n, n), or (n, n, lanes) with one matrix per lane
    v      (n,) or (n, lanes)
    """

    array: Any
    __array_ufunc__ = None  # NumPy scalars then leave `c * Matrix` to us

    def __mul__(self, v: Any) -> Any:
        if isinstance(self.array, np.ndarray) and isinstance(v, np.ndarray):
            return np.einsum("ijl,jl->il", self.array, v) if self.array.ndim == 3 else self.array @ v
        A = jnp.asarray(self.array)
        return (
            jnp.einsum("ijl,jl->il", A, v, precision="highest")
            if A.ndim == 3
            else jnp.matmul(A, v, precision="highest")
        )

    def __rmul__(self, scalar: Any) -> "Matrix":
        return Matrix(scalar * self.array)

    def __add__(self, other: "Matrix") -> "Matrix":
        return Matrix(self.array + other.array)

    def __sub__(self, other: "Matrix") -> "Matrix":
        return Matrix(self.array - other.array)

    def __neg__(self) -> "Matrix":
        return Matrix(-self.array)


class Zero(Linear):
    """L = 0: the flow is 1 and phi_k = 1/k!, so exponential methods become Runge-Kutta methods."""

    def apply(self, t: Any, x: Any) -> Any:
        del t
        return jax.tree.map(jnp.zeros_like, x)

    def phis(self, kmax: int, t: Any, h: Any) -> list[float]:
        del t, h
        return [1 / factorial(k) for k in range(kmax + 1)]

    def resolvents(self, a: float, t: Any, h: Any) -> tuple[float, float]:
        del a, t, h
        return 1.0, 0.0


class Scalar(Linear):
    """L(t) = a(t), one number for all of x (any pytree).

    value     a number, or a function a(t)
    integral  with a function: A(t) with dA/dt = a(t), known in closed form. The flow is exp(A(t+h) - A(t)); phi_k is
              Gauss-Legendre quadrature of it with `nodes` nodes (1e-12 for |A(t+h) - A(t)| < 30).
    """

    value: Any
    integral: Callable | None = None
    nodes: int = eqx.field(static=True, default=24)

    def __check_init__(self) -> None:
        if callable(self.value) and self.integral is None:
            raise ValueError("Scalar(a) with a function a(t) needs its integral: Scalar(a, A) with dA/dt = a.")
        if not callable(self.value) and self.integral is not None:
            raise ValueError("Scalar(a, A): a is a constant, which needs no integral; write Scalar(a).")
        if not callable(self.value) and np.ndim(self.value) != 0:
            raise ValueError(f"Scalar takes one number, got shape {np.shape(self.value)}; use Diagonal(values).")

    def apply(self, t: Any, x: Any) -> Any:
        a = self.value(t) if callable(self.value) else self.value
        return jax.tree.map(lambda leaf: like(a, leaf) * leaf, x)

    def phis(self, kmax: int, t: Any, h: Any) -> list[Any]:
        if self.integral is None:
            return _phis(kmax, self.value, h)
        s, w = gauss_legendre(self.nodes)
        if concrete(t, h):
            t, h = np.asarray(t, np.float64), np.asarray(h, np.float64)
        end = self.integral(t + h)
        decay = [self._exp(end - self.integral(t + si * h)) for si in s]  # Phi(t+h, t+s)
        weights = [w * s ** (k - 1) / factorial(k - 1) for k in range(1, kmax + 1)]
        return [
            self._exp(end - self.integral(t)),
            *(sum(wi * d for wi, d in zip(wk, decay, strict=True)) for wk in weights),
        ]

    def resolvents(self, a: float, t: Any, h: Any) -> tuple[Any, Any]:
        return _resolvents(a, self.value(t) if callable(self.value) else self.value, h)

    @staticmethod
    def _exp(exponent: Any) -> Any:
        return np.exp(np.asarray(exponent)) if concrete(exponent) else jnp.exp(exponent)


class Diagonal(Linear):
    """L x = values * x: one number per component or mode, real or complex.

    values  array that broadcasts against x (one array), e.g. the symbol of a PDE on its Fourier modes
    """

    values: Any = eqx.field(converter=lambda v: v if isinstance(v, jax.Array) else np.asarray(v))

    def apply(self, t: Any, x: Any) -> Any:
        return like(_with_lanes(self.values, t), x) * x

    def phis(self, kmax: int, t: Any, h: Any) -> list[Any]:
        if concrete(self.values, t, h):
            return _phis(kmax, _with_lanes(np.asarray(self.values), t, h), h)
        return _phis(kmax, _with_lanes(self.values, t, h), h)

    def resolvents(self, a: float, t: Any, h: Any) -> tuple[Any, Any]:
        return _resolvents(a, _with_lanes(self.values, t, h), h)


class Dense(Linear):
    """L x = A x with a full matrix A (n, n), real or complex; x has shape (n,) or (n, lanes)."""

    matrix: Any = eqx.field(converter=lambda A: A if isinstance(A, jax.Array) else np.asarray(A))

    def __check_init__(self) -> None:
        if self.matrix.ndim != 2 or self.matrix.shape[0] != self.matrix.shape[1]:
            raise ValueError(f"Dense takes one square matrix, got shape {self.matrix.shape}.")

    def apply(self, t: Any, x: Any) -> Any:
        del t
        return Matrix(like(self.matrix, x)) * x

    def phis(self, kmax: int, t: Any, h: Any) -> list[Matrix]:
        if concrete(self.matrix, t, h):
            A, h = np.asarray(self.matrix), np.asarray(h, np.float64)
            if h.ndim == 0:
                return [Matrix(p) for p in host.phis_matrix(kmax, h * A)]
            lanes = [host.phis_matrix(kmax, hi * A) for hi in h]
            return [Matrix(np.stack(p, axis=-1)) for p in zip(*lanes, strict=True)]
        A, h = jnp.asarray(self.matrix), jnp.asarray(h)
        A = A if jnp.issubdtype(A.dtype, jnp.inexact) else A.astype(h.dtype)
        if h.ndim == 0:
            return [Matrix(p) for p in traced.phis_matrix(kmax, h * A)]
        one = lambda hi: traced.phis_matrix(kmax, hi * A)  # noqa: E731
        return [Matrix(p) for p in jax.vmap(one, out_axes=-1)(h)]

    def resolvents(self, a: float, t: Any, h: Any) -> tuple[Matrix, Matrix]:
        if concrete(self.matrix, t, h):
            one, h = _resolvent_matrices(np, a, np.asarray(self.matrix)), np.asarray(h, np.float64)
            if h.ndim == 0:
                R, Q = one(h)
            else:
                R, Q = (np.stack(part, axis=-1) for part in zip(*(one(hi) for hi in h), strict=True))
            return Matrix(R), Matrix(Q)
        A, h = jnp.asarray(self.matrix), jnp.asarray(h)
        one = _resolvent_matrices(jnp, a, A if jnp.issubdtype(A.dtype, jnp.inexact) else A.astype(h.dtype))
        R, Q = one(h) if h.ndim == 0 else jax.vmap(one, out_axes=-1)(h)
        return Matrix(R), Matrix(Q)


def _phis(kmax: int, a: Any, h: Any) -> list[Any]:
    if concrete(a, h):
        return host.phis(kmax, np.asarray(a) * np.asarray(h, np.float64))
    z = a * h
    return traced.phis(kmax, z if jnp.issubdtype(jnp.result_type(z), jnp.inexact) else z.astype(float))


def _resolvents(a: float, value: Any, h: Any) -> tuple[Any, Any]:
    """(R, z R) of numbers z = h L."""
    z = np.asarray(value) * np.asarray(h, np.float64) if concrete(value, h) else value * h
    R = 1.0 / (1.0 - a * z)
    return R, z * R


def _resolvent_matrices(xp: Any, a: float, A: Any) -> Callable:
    """h -> (R, h A R), from one factorization."""

    def one(h: Any) -> tuple[Any, Any]:
        eye = xp.eye(A.shape[0], dtype=A.dtype)
        both = xp.linalg.solve(eye - (a * h) * A, xp.concatenate([eye, h * A], axis=1))
        return both[:, : A.shape[0]], both[:, A.shape[0] :]

    return one


def concrete(*values: Any) -> bool:
    return not any(isinstance(v, Tracer) for v in values)


def _with_lanes(values: Any, *times: Any) -> Any:
    """values with a last axis for the lanes, if any of the times has one."""
    return values[..., None] if any(np.ndim(t) == 1 for t in times) else values


def like(values: Any, x: Any) -> Any:
    """values as JAX numbers in x's precision, real or complex as they are: float64 must not promote a float32 state."""
    precision = jnp.finfo(jnp.result_type(x)).dtype
    kind = jnp.result_type(precision, 1j) if jnp.iscomplexobj(values) else precision
    return jnp.asarray(values).astype(kind)
