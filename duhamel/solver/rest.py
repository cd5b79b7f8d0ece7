"""Newton's method to a state of rest, its stability and its derivatives, for a dense Jacobian that may be singular.

Where the equation conserves w . x (a mass, a number of molecules), w^T J = 0 and f(x) = 0 is a surface. The state of
rest that the solution from x0 runs into is the point of it with W^T x = W^T x0, and every equation here is bordered so:

    (D J + P W^T) dx = -D f + P W^T (x0's change)        D scales rows to 1, P spans the left null space of D J, W = D P

whose solution keeps W^T x, is unique where the zero eigenvalues of J are simple, and is that of J dx = -f without them.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from duhamel.core.switches import own_arithmetic
from duhamel.methods.jacobian import Flat

STEPS = 20
LARGEST = 512  # components up to which the eigenvalues of the Jacobian are found


class Bordered(NamedTuple):
    """D (n,), P (n, n) and W (n, n), whose columns are zero but for conserved quantities."""

    rows: Float[Array, " n"]
    left: Float[Array, "n n"]
    kept: Float[Array, "n n"]

    def solve(self, J: Array, f: Array, change: Array) -> Array:
        """dx with J dx = f, and W^T dx = W^T change."""
        matrix = self.rows[:, None] * J + self.left @ self.kept.T
        return jnp.linalg.solve(matrix, self.rows * f + self.left @ (self.kept.T @ change))


def residual(theta: tuple, flat: Flat, v: Array) -> Array:
    problem, t, args = theta
    return flat.ravel(problem.field(t, flat.unravel(v), args))


def jacobian(theta: tuple, flat: Flat, v: Array) -> Array:
    return jax.jacfwd(lambda v: residual(theta, flat, v))(v)


def border(J: Float[Array, "n n"]) -> Bordered:
    """What a Jacobian leaves undetermined; singular values are looked at only where its pivots are suspicious."""
    n, eps = J.shape[0], jnp.finfo(J.dtype).eps
    J = jax.lax.stop_gradient(J)
    size = jnp.max(jnp.abs(J), axis=1)
    rows = 1.0 / jnp.where(size > 0, size, 1.0)
    scaled = rows[:, None] * J
    pivots = jnp.abs(jnp.diagonal(jax.scipy.linalg.lu_factor(scaled)[0]))
    whole = jnp.zeros((n, n), J.dtype)

    def conserved() -> tuple[Array, Array]:
        P, s, _ = jnp.linalg.svd(scaled)
        P = jnp.where(s <= 64 * n * eps * jnp.maximum(s[0], 1e-3), P, 0.0)
        W = rows[:, None] * P
        length = jnp.linalg.norm(W, axis=0)
        return P, W / jnp.where(length > 0, length, 1.0)

    suspicious = ~(jnp.min(pivots) > eps**0.5 * jnp.max(pivots))
    left, kept = jax.lax.cond(suspicious, conserved, lambda: (whole, whole))
    return Bordered(rows, left, kept)


class Polished(NamedTuple):
    """The state, whether Newton's method converged, the largest real part of the Jacobian's eigenvalues (NaN where
    there are too many), and whether that is above 0 by more than rounding."""

    v: Array
    ok: Array
    growth: Array
    unstable: Array


def polish(theta: tuple, flat: Flat, v: Float[Array, " n"]) -> Polished:
    eps = jnp.finfo(v.dtype).eps
    tol = eps**0.6

    def step(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        v, _, k = carry
        J = jacobian(theta, flat, v)
        dv = border(J).solve(J, -residual(theta, flat, v), jnp.zeros_like(v))
        return v + dv, jnp.all(jnp.abs(dv) <= tol * (1.0 + jnp.abs(v))), k + 1

    go_on = lambda carry: ~carry[1] & (carry[2] < STEPS)  # noqa: E731
    v, ok, _ = jax.lax.while_loop(go_on, step, (v, jnp.array(False), jnp.int32(0)))
    ok = ok & jnp.all(jnp.isfinite(v))
    n, J = v.shape[0], jacobian(theta, flat, v)
    if n > LARGEST:
        return Polished(v, ok, jnp.full((), jnp.nan, v.dtype), jnp.array(False))
    size = jnp.max(jnp.sum(jnp.abs(J), axis=1))
    growth = jnp.max(jnp.linalg.eigvals(jnp.where(jnp.isfinite(J), J, 0.0)).real)
    some = jnp.any(border(J).kept != 0)
    blur = jnp.where(some, eps**0.5, 1e4 * n * eps) * size
    return Polished(v, ok, growth, ok & (growth > blur))


@eqx.filter_custom_jvp
def differentiable(v: Array, theta: tuple, x0: PyTree, flat: Any) -> Array:
    """v, a state of rest, as the function of theta and of x0 that it is."""
    del theta, x0, flat
    return v


@differentiable.def_jvp
@own_arithmetic
def _differentiable_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    v, theta, x0, flat = primals
    _, theta_dot, x0_dot, _ = tangents
    v = differentiable(v, theta, x0, flat)
    _, f_dot = eqx.filter_jvp(lambda theta: residual(theta, flat, v), (theta,), (theta_dot,))
    f_dot = jnp.zeros_like(v) if f_dot is None else f_dot
    change = jax.tree.map(lambda x, d: jnp.zeros_like(x) if d is None else d, x0, x0_dot)
    J = jacobian(theta, flat, v)
    return v, border(J).solve(J, -f_dot, flat.ravel(change))
