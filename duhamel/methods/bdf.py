"""Backward differentiation formulas of variable order 1 to 5, in quasi-constant steps."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from duhamel.core.problem import Problem

from .base import Bound, Env, Method, Moment, Slots
from .implicit import checked, first_slope, implicit_fields, learnt, newton_env
from .linalg import DenseLU, LinearSolver
from .newton import Newton, Rule, System, error_scale, iterate, norm, prepared, solved, unprepared

HIGHEST = 5
KAPPA = np.array([0.0, -0.1850, -1 / 9, -0.0823, -0.0415, 0.0])
GAMMA = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, HIGHEST + 1))])
ALPHA = (1.0 - KAPPA) * GAMMA
# Of order q at index q. Index 6: order 5 cannot be raised.
ERROR = np.concatenate([KAPPA * GAMMA + 1.0 / np.arange(1, HIGHEST + 2), [0.0]])


class BDF(Method):
    """Numerical differentiation formulas of orders 1 to 5, stiff and differential-algebraic equations of index 1.

        M (d + psi) = h / alpha_q f(t + h, x_p + d),    x(t + h) = x_p + d,    error = C_q d
        x_p = sum_{i=0..q} D_i,    psi = sum_{i=1..q} gamma_i D_i / alpha_q

    D_i are backward differences of the solution on steps of equal length; a new length interpolates them. After q + 1
    equal steps the order goes to whichever of q - 1, q and q + 1 allows the longest step. Order and length are each
    lane's own. Dense output is the interpolating polynomial. For long smooth solutions at tolerances of 1e-3 to 1e-8,
    and for large systems: one implicit equation a step. Orders 3 to 5 damp badly near the imaginary axis; use Kvaerno5
    there. Adaptive steps only.

    linear   how M - a J is factored and solved: DenseLU() unless told
    newton   when iterations stop, when Jacobians are kept
    highest  highest order; 2 is A-stable

    Source: L. Shampine, M. Reichelt, The MATLAB ODE suite, SIAM J. Sci. Comput. 18 (1997) 1-22.
    """

    linear: LinearSolver = DenseLU()
    newton: Newton = Newton(iterations=4, slow=0.3)
    highest: int = eqx.field(static=True, default=HIGHEST)

    def __check_init__(self) -> None:
        if not 1 <= self.highest <= HIGHEST:
            raise ValueError(f"BDF(highest) must be an order from 1 to {HIGHEST}, got {self.highest!r}.")

    @property
    def order(self) -> int:
        return self.highest

    @property
    def error_order(self) -> int | None:
        return 1  # of the first step; env["k"] says what later ones have

    @property
    def dense_order(self) -> int:
        return self.highest

    @property
    def carried(self) -> tuple[str, ...]:
        return ("D", "width", "q")

    @property
    def started(self) -> int:
        return 1

    def fields(self, problem: Problem) -> tuple[Callable, ...]:
        return implicit_fields("BDF", problem)

    def start(self, bound: Bound, t: Any, x: Any) -> Slots:
        """D is scaled with a first step of 1."""
        if bound.tol is None:
            raise ValueError(
                "BDF chooses its order with its steps and needs control=PID(...); on a fixed grid use Kvaerno3(), "
                "Kvaerno5() or ImplicitEuler()."
            )
        system = System(bound, x)
        v = checked(self.linear, system).ravel(x)
        slope = first_slope(system, t, v)
        D = jnp.concatenate([slope[None], jnp.zeros((HIGHEST + 1, *v.shape), v.dtype)])
        one = jnp.ones_like(t)
        return {
            "x": x,
            "D": D,
            "width": one.astype(v.dtype),
            "q": one.astype(jnp.int32),
            "equal": jnp.zeros_like(one, jnp.int32),
            "matrix": unprepared(self.linear, system, t, v),
        }

    def attempt(self, bound: Bound, at: Moment, slots: Slots) -> Env:
        system, q, cut = System(bound, slots["x"]), slots["q"], jax.lax.stop_gradient
        h, moving = at.h, at.h != 0
        still, x = system.still(), system.flat.ravel(slots["x"])
        factor = cut(h / slots["width"]).astype(x.dtype)
        moved = jnp.abs(factor - 1.0) > 1e-6
        D = jax.lax.cond(jnp.any(moved), lambda D: rescaled(D, q, factor), lambda D: D, slots["D"])
        held = jnp.where(_index(D[:HIGHEST]) <= q, D[:HIGHEST], 0.0)
        alpha = _of_order(ALPHA, q, x)
        predicted = x + jnp.sum(held, axis=0)
        psi = jnp.sum(GAMMA[1:].reshape(-1, *(1,) * x.ndim).astype(x.dtype) * held, axis=0) / alpha
        a = jnp.where(moving, h, 1.0) / alpha  # a lane that stands still must not divide by zero
        t, r = at.t + h, predicted - psi
        matrix, new_J, new_LU = prepared(
            self.newton, self.linear, still, t, cut(predicted), cut(a), slots["matrix"], moving
        )
        rule = Rule(self.newton, self.linear, still, matrix, error_scale(system.tol, cut(x)))
        found = iterate(rule, cut(t), cut(a), cut(r), cut(psi), moving)
        w = solved(system, self.linear, t, a, r, found.w)
        d = w - psi
        x1, D1 = r + w, _differences(D, d, q)
        env = {
            "x": slots["x"],
            "x1": system.flat.unravel(x1),
            "error": system.flat.unravel(_of_order(ERROR, q, x) * d),
            "D": D1,
            "basis": jnp.where(_index(D1[:HIGHEST]) <= q, D1[:HIGHEST], 0.0),
            "width": h.astype(x.dtype),
            "k": q + 1,
        }
        env |= newton_env(self.newton, matrix, found, new_J, new_LU)
        equal = jnp.where(moved, 0, slots["equal"]) + 1
        return env | self._next(system.tol, cut(x1), cut(D1), q, equal, found.count)

    def _next(self, tol: Any, x1: Any, D: Any, q: Any, equal: Any, count: Any) -> Env:
        """Order, growth and number of equal steps after this step, should it be accepted."""
        scale = error_scale(tol, x1)
        index = _index(D)

        def allowed(order: Any) -> Any:
            """How much longer a step of this order could be."""
            difference = jnp.sum(jnp.where(index == order + 1, D, 0.0), axis=0)
            size = norm(_of_order(ERROR, order, x1) * difference / scale)
            return jnp.maximum(size, 1e-10) ** (-1.0 / (order + 1))

        lower = jnp.where(q > 1, allowed(q - 1), 0.0)
        same = allowed(q)
        higher = jnp.where(q < self.highest, allowed(q + 1), 0.0)
        best = jnp.maximum(jnp.maximum(lower, same), higher)
        change = jnp.where(same >= best, 0, jnp.where(lower >= best, -1, 1))
        iterations = 2 * self.newton.iterations + 1
        growth = jnp.minimum(0.9 * iterations / (iterations - 1 + count) * best, 10.0)
        due = (equal > q) & ((change != 0) | (growth > 1.2) | (growth < 0.9)) & jnp.isfinite(growth)
        return {
            "growth": jnp.where(due, growth, 1.0),
            "q": (q + jnp.where(due, change, 0)).astype(jnp.int32),
            "equal": jnp.where(due, 0, equal).astype(jnp.int32),
        }

    def keep(self, env: Env) -> Slots:
        return {name: env[name] for name in ("D", "width", "q", "equal")} | {"x": env["x1"], "matrix": env["aged"]}

    def retry(self, env: Env, slots: Slots) -> Slots:
        return slots | {"matrix": learnt(env)}

    def densify(self, bound: Bound, at: Moment, env: Env) -> Env:
        del bound, at
        return {"x1": env["x1"], "D": env["basis"]}

    def interpolate(self, bound: Bound, at: Moment, theta: Any, basis: Env) -> Any:
        """sum_j D_j prod_{m<j} (s + m) / (m + 1), s = theta - 1: the polynomial through the last points."""
        del at
        flat = System(bound, basis["x1"]).flat
        total, weight = flat.ravel(basis["x1"]), 1.0
        for j in range(HIGHEST):
            weight = weight * ((theta - 1.0 + j) / (j + 1)).astype(total.dtype)
            total = total + weight * basis["D"][j]
        return flat.unravel(total)


def _index(D: Any) -> Any:
    """1, 2, ... along the first axis of D, to be compared with an order per lane."""
    return jnp.arange(1, D.shape[0] + 1).reshape(-1, *(1,) * (D.ndim - 1))


def _of_order(table: np.ndarray, q: Any, like: Any) -> Any:
    return jnp.asarray(table, like.dtype)[q]


def _differences(D: Any, d: Any, q: Any) -> Any:
    """D at t + h: D_i' = D_i + D_{i+1}' down from D_{q+1}' = d, and D_{q+2}' = d - D_{q+1}."""
    index = _index(D)
    held = jnp.where(index <= q, D, 0.0)
    sums = jnp.flip(jnp.cumsum(jnp.flip(held, 0), axis=0), 0) + d
    before = jnp.concatenate([jnp.zeros_like(D[:1]), D[:-1]])
    return jnp.where(index <= q + 1, sums, jnp.where(index == q + 2, d - before, D))


def rescaled(D: Any, q: Any, factor: Any) -> Any:
    """Differences on steps that are `factor` times as long: those of the same polynomial of degree q.

    D'_i = sum_j (R(factor) R(1))_ji D_j,    R_ij(c) = prod_{m=1..i} (m - 1 - c j) / m
    """
    lanes = (1,) * factor.ndim
    i = np.arange(1, HIGHEST + 1)
    R = _powers(factor, i.reshape(-1, *lanes))  # (row, column, lanes)
    U = _powers(np.ones(()), i.astype(float)).reshape(1, HIGHEST, HIGHEST, *lanes)
    RU = jnp.sum(R[:, :, None] * U.astype(factor.dtype), axis=1)
    inside = (i.reshape(-1, 1, *lanes) <= q) & (i.reshape(1, -1, *lanes) <= q)
    RU = jnp.where(inside, RU, np.eye(HIGHEST).reshape(HIGHEST, HIGHEST, *lanes).astype(factor.dtype))
    new = jnp.sum(jnp.expand_dims(RU, 2) * D[:HIGHEST, None], axis=0)
    return jnp.concatenate([new, D[HIGHEST:]])


def _powers(factor: Any, j: Any) -> Any:
    """R_ij(factor), rows i and columns j from 1."""
    rows = [(m - 1 - factor * j) / m for m in range(1, HIGHEST + 1)]
    if isinstance(factor, np.ndarray):
        return np.cumprod(np.stack(rows), axis=0)
    return jnp.cumprod(jnp.stack(rows), axis=0)
