"""Starts of differential-algebraic equations: M dx/dt = f(t, x) with singular M asks for U^T f(t0, x0) = 0.

U are the left null vectors of M. Of the states near x0 that satisfy these equations, `consistent_start` gives the one
that leaves M x0, and so the differential components, as they are; it is unique exactly if the index is 1.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from duhamel.core.problem import MassProblem, Problem
from duhamel.core.switches import own_arithmetic

from .jacobian import Flat

TOLERATED = 1e-3  # how far, relative to 1 + |x|, a start may lie off: an iteration would remove it in the first step


@own_arithmetic
def consistent_start(problem: MassProblem, x0: Any, *, t0: Any = 0.0, args: Any = None, rtol: float = 1e-10) -> Any:
    """The state nearest to a guess that the algebraic equations of `DAE(f, mass)` allow at t0; M x0 is kept.

        x0 = consistent_start(problem, guess)
        sol = solve(problem, x0, t1, method=BDF())

    Differentiable in the guess, args and t0. Raises if Newton's method from the guess finds no such state.
    """
    import optimistix as optx  # not with every solve

    problem = problem.real(x0)
    flat, residual = _equations(problem, x0, t0, args)
    found = optx.root_find(
        lambda v, _: residual(v), optx.Newton(rtol=rtol, atol=rtol * 1e-2), flat.ravel(x0), max_steps=50, throw=False
    )
    ok = (found.result == optx.RESULTS.successful) & jnp.all(jnp.isfinite(found.value))
    if not isinstance(ok, Tracer) and not bool(ok):
        raise ValueError(
            "consistent_start found no state near x0 that satisfies the algebraic equations: give a better guess, or "
            "check that the index of the equation is 1."
        )
    return flat.unravel(found.value)


def velocity(problem: MassProblem, t: Any, x: Any, args: Any) -> Any:
    """dx/dt of one state that satisfies the algebraic equations P f = 0, P = 1 - M M^+.

        M x' = f(t, x),    P (f_t + f_x x') = 0,    together (M + P f_x) x' = f - P f_t

    M + P f_x is regular exactly if the index is at most 1.
    """
    flat, M, P = _projected(problem, x)
    f = lambda t, v: flat.ravel(problem.f(t, flat.unravel(v), args))  # noqa: E731
    v = flat.ravel(x)
    value, rate = jax.jvp(lambda t: f(t, v), (t,), (jnp.ones_like(t),))
    return flat.unravel(jnp.linalg.solve(M + P @ jax.jacfwd(f, 1)(t, v), value - P @ (value + rate)))


def restored(problem: MassProblem, t: Any, x: Any, args: Any) -> Any:
    """The state nearest to x that the algebraic equations allow at t; M x is kept. NaN if there is none near by.

    Newton's method on P f(t, v) + M (v - x) = 0, and once more for the derivative. Made for loops: nothing raises.
    """
    flat, M, P = _projected(problem, x)

    def residual(problem: MassProblem, t: Any, x: Any, args: Any, v: Any) -> Any:
        return P @ flat.ravel(problem.f(t, flat.unravel(v), args)) + M @ (v - flat.ravel(x))

    cut = lambda leaf: jax.lax.stop_gradient(leaf) if eqx.is_inexact_array(leaf) else leaf  # noqa: E731
    still, eps = [jax.tree.map(cut, part) for part in (problem, t, x, args)], jnp.finfo(flat.dtype).eps

    def at_rest(v: Any) -> Any:
        return residual(still[0], still[1], still[2], still[3], v)

    def newton(carry: tuple) -> tuple:
        v, _, count = carry
        step = jnp.linalg.solve(jax.jacfwd(at_rest)(v), at_rest(v))
        size = jnp.max(jnp.abs(step) / (1.0 + jnp.abs(v)))
        return v - step, size, count + 1

    going = lambda carry: (carry[1] > 4.0 * eps) & (carry[2] < NEWTON) & jnp.isfinite(carry[1])  # noqa: E731
    start = newton((flat.ravel(still[2]), jnp.asarray(jnp.inf, flat.dtype), 0))
    v, size, _ = jax.lax.while_loop(going, newton, start)
    v = jnp.where(size <= jnp.sqrt(eps), v, jnp.nan)
    return flat.unravel(v - jnp.linalg.solve(jax.jacfwd(at_rest)(v), residual(problem, t, x, args, v)))


NEWTON = 30  # iterations at most


def _projected(problem: MassProblem, x: Any) -> tuple[Flat, Any, Any]:
    """The layout of x, M, and the projection P on what M x' does not reach."""
    flat = Flat(x, 0)
    M = problem.mass.astype(flat.dtype)
    still = jax.lax.stop_gradient(M)
    return flat, M, jnp.eye(flat.size, dtype=flat.dtype) - still @ jnp.linalg.pinv(still)


def check_start(problem: Problem, x0: Any, t0: Any, args: Any, lanes: int | None = None, axes: Any = None) -> None:
    """Raises one sentence if x0 breaks the algebraic equations of a `DAE`, or if these do not determine a state.

    lanes  how many starts x0 holds, along the first axis of its leaves; None: it is one
    axes   0 for the leaves of args that have lanes, else None
    """
    if not isinstance(problem, MassProblem):
        return
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((problem, x0, t0, args))):
        return
    with jax.ensure_compile_time_eval():  # inside somebody's jit, numbers are still numbers
        x0 = jax.tree.map(jnp.asarray, x0)
        one = x0 if lanes is None else jax.tree.map(lambda leaf: leaf[0], x0)
        size = Flat(one, 0).size
        if np.shape(problem.mass)[0] != size or np.linalg.matrix_rank(np.asarray(problem.mass, float)) == size:
            return  # the one is said by the method, the other has no algebraic equations

        def linearised(x0: Any, args: Any) -> tuple[Any, Any, Any]:
            flat, residual = _equations(problem, x0, t0, args)
            v = flat.ravel(x0)
            return jax.jacfwd(residual)(v), residual(v), v

        found = linearised(x0, args) if lanes is None else jax.vmap(linearised, (0, axes))(x0, args)
    if any(isinstance(part, Tracer) for part in found):  # f closes over something traced
        return
    J, off, v = (np.asarray(part, float) for part in found)
    if lanes is None:
        _judge(J, off, v, "x0")
        return
    for lane in range(lanes):
        _judge(J[lane], off[lane], v[lane], f"x0s[{lane}]")


def _judge(J: np.ndarray, off: np.ndarray, v: np.ndarray, name: str) -> None:
    if not np.all(np.isfinite(J)) or np.linalg.cond(_rows_scaled(J)) > 1e13:
        raise ValueError(
            "the algebraic equations do not determine the components that mass leaves without a derivative: this "
            "differential-algebraic equation has an index above 1; differentiate its constraints, or change variables."
        )
    away = np.abs(np.linalg.solve(J, off))
    worst = int(np.argmax(away / (1.0 + np.abs(v))))
    if away[worst] > TOLERATED * (1.0 + abs(v[worst])):
        raise ValueError(
            f"{name} does not satisfy the algebraic equations of the problem at t0: component {worst} is off by "
            f"about {away[worst]:.2g}; use consistent_start(problem, x0)."
        )


class _Residual:
    """v -> (U^T f, V^T (v - v0)): algebraic equations, and the differential part of v held where it was."""

    def __init__(self, f: Any, mass: Any, v0: Any):
        left, size, right = np.linalg.svd(np.asarray(mass, float))
        rank = int(np.sum(size > size[0] * len(size) * np.finfo(float).eps)) if size[0] > 0 else 0
        self.f, self.v0 = f, jax.lax.stop_gradient(v0)
        self.left, self.right = jnp.asarray(left[:, rank:].T, v0.dtype), jnp.asarray(right[:rank], v0.dtype)
        self.given = self.right @ v0

    def __call__(self, v: Any) -> Any:
        return jnp.concatenate([self.left @ self.f(v), self.right @ v - self.given])


def _equations(problem: MassProblem, x0: Any, t0: Any, args: Any) -> tuple[Flat, _Residual]:
    if isinstance(problem.mass, Tracer):
        raise ValueError("consistent_start takes the null vectors of mass on the host: pass a mass that is not traced.")
    x0 = jax.tree.map(jnp.asarray, x0)
    flat = Flat(x0, 0)
    t0 = jnp.asarray(t0, flat.dtype)
    f = lambda v: flat.ravel(problem.f(t0, flat.unravel(v), args))  # noqa: E731
    return flat, _Residual(f, problem.mass, flat.ravel(x0))


def _rows_scaled(J: np.ndarray) -> np.ndarray:
    size = np.abs(J).max(axis=1, keepdims=True)
    return J / np.where(size > 0, size, 1.0)
