"""Diagonally implicit Runge-Kutta methods (ESDIRK) for stiff equations and differential-algebraic ones of index 1."""

from collections.abc import Callable
from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from duhamel.core.problem import LangevinProblem, Problem, Stochastic

from .base import Bound, Env, Moment, Slots, Tabled, tree_combine
from .fits import refuse
from .jacobian import Flat
from .linalg import DenseLU, LinearSolver, check_mass
from .newton import (
    STALE,
    Iterations,
    Matrix,
    Newton,
    Rule,
    System,
    error_scale,
    iterate_stages,
    prepared,
    solved,
    unprepared,
)
from .tableaux import esdirk
from .tableaux.esdirk import DiagonallyImplicit, dense_weights, predictors


class ESDIRK(Tabled):
    """A stiffly accurate, singly diagonally implicit method with an explicit first stage.

        z_i = x + h (sum_{j<i} a_ij k_j + gamma k_i),    M k_i = f(t + c_i h, z_i),    x(t + h) = z_s

    The stages share one factored matrix M - h gamma J, which serves later steps as well (`Newton`). The error
    estimate is multiplied with (M - h gamma J)^-1 M, so that stiff components, and the algebraic ones of a singular
    M, do not spoil it. Cubic Hermite dense output. x is any pytree of real or complex arrays.

    tableau  numbers and their source
    linear   how M - a J is factored and solved: DenseLU() unless told
    newton   when iterations stop, when Jacobians are kept

    Source: Hairer, Wanner, Solving ODEs II, IV.6 and IV.8.
    """

    tableau: DiagonallyImplicit = eqx.field(static=True)
    linear: LinearSolver = DenseLU()
    newton: Newton = Newton()

    @property
    def dense_order(self) -> int:
        return min(3, self.tableau.order)

    @property
    def carried(self) -> tuple[str, ...]:
        return ("F",)

    @property
    def steps_inside(self) -> bool:
        return True

    @property
    def started(self) -> int:
        return 1

    def fields(self, problem: Problem) -> tuple[Callable, ...]:
        return implicit_fields(self.tableau.name, problem)

    def start(self, bound: Bound, t: Any, x: Any) -> Slots:
        system = System(bound, x)
        v = checked(self.linear, system).ravel(x)
        return {"x": x, "F": first_slope(system, t, v), "matrix": unprepared(self.linear, system, t, v)}

    def attempt(self, bound: Bound, at: Moment, slots: Slots) -> Env:
        system, tableau, cut = System(bound, slots["x"]), self.tableau, jax.lax.stop_gradient
        h, moving = at.h, at.h != 0
        a = tableau.gamma * jnp.where(moving, h, 1.0)  # a lane that stands still must not divide by zero
        still, x = system.still(), system.flat.ravel(slots["x"])
        matrix, new_J, new_LU = prepared(self.newton, self.linear, still, at.t, cut(x), cut(a), slots["matrix"], moving)
        rule = Rule(self.newton, self.linear, still, matrix, error_scale(system.tol, cut(x)))
        k, z, r, w = [h * slots["F"]], [], x, x
        ahead, found = iterate_stages(rule, *_tables(tableau), tableau.gamma, at.t, cut(h), cut(x), cut(k[0]), moving)
        for i in range(1, tableau.stages):
            r = _sum(tableau.a[i], k, x)
            w = solved(system, self.linear, at.t + tableau.c[i] * h, a, r, tableau.gamma * ahead[i])
            k.append(w / tableau.gamma)
            z.append(r + w)
        env = {"x": slots["x"], "x1": system.flat.unravel(r + w), "F": slots["F"], "F1": w / a, "z": tuple(z)}
        if tableau.error is not None:
            estimate = system.M(_sum(tableau.error, k))
            env["error"] = system.flat.unravel(self.linear.solve(matrix.factors, estimate))
        return env | newton_env(self.newton, matrix, found, new_J, new_LU)

    def keep(self, env: Env) -> Slots:
        return {"x": env["x1"], "F": env["F1"], "matrix": env["aged"]}

    def retry(self, env: Env, slots: Slots) -> Slots:
        return slots | {"matrix": learnt(env)}

    def densify(self, bound: Bound, at: Moment, env: Env) -> Env:
        del at
        flat, W = System(bound, env["x"]).flat, dense_weights(self.tableau)
        basis = {"x": env["x"], "x1": env["x1"]}
        if W is None:
            return basis | {"F": flat.unravel(env["F"]), "F1": flat.unravel(env["F1"])}
        apart = [z - flat.ravel(env["x"]) for z in env["z"]]
        return basis | {f"D{p}": flat.unravel(_sum(W[:, p], apart)) for p in range(W.shape[1]) if np.any(W[:, p])}

    def interpolate(self, bound: Bound, at: Moment, theta: Any, basis: Env) -> Any:
        if "F" in basis:
            return super().interpolate(bound, at, theta, basis)
        degrees = [name for name in basis if name.startswith("D")]
        coef = [theta ** (int(name[1:]) + 1) for name in degrees]
        return tree_combine([*coef, 1.0], [*(basis[name] for name in degrees), basis["x"]])


@cache
def _tables(tableau: DiagonallyImplicit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(c, a below the diagonal, weights of the first guesses), rows padded with zeros."""
    square = lambda rows: np.array([[*row, *[0.0] * (tableau.stages - len(row))] for row in rows])  # noqa: E731
    return np.array(tableau.c), square(tableau.a), square(predictors(tableau))


def _sum(weights: Any, values: list, last: Any = None) -> Any:
    total = None
    for c, v in zip(weights, values, strict=True):
        if c != 0.0:
            total = c * v if total is None else total + c * v
    if total is None:
        return jnp.zeros_like(values[0]) if last is None else last
    return total if last is None else total + last


def implicit_fields(name: str, problem: Problem) -> tuple[Callable, ...]:
    """The right-hand side f of M dx/dt = f."""
    if isinstance(problem, Stochastic | LangevinProblem):
        refuse(name, problem)
    return (problem.field,)


def checked(linear: LinearSolver, system: System) -> Flat:
    """The layout of the state, which the linear solver has to fit."""
    flat = system.flat
    linear.check(flat.size)
    if system.mass is not None:
        if system.mass.shape[0] != flat.size:
            side = system.mass.shape[0]
            raise ValueError(f"mass is ({side}, {side}), but the state has {flat.size} real entries; make them equal.")
        check_mass(linear, system.bound.problem.mass)
    return flat


def newton_env(newton: Newton, matrix: Matrix, found: Iterations, new_J: Any, new_LU: Any) -> Env:
    """What every implicit method adds to its env, for the loop's counts and for the next attempt."""
    if matrix.J is None:  # Krylov: nothing outlives the step
        matrix = matrix._replace(factors=None)
    return {
        "matrix": matrix,
        "aged": aged(newton, matrix, found.rate),
        "failed": found.failed,
        "stale": found.failed & ~new_J,
        "nfe": found.count,
        "jacobians": new_J.astype(jnp.int32),
        "factorizations": new_LU.astype(jnp.int32),
    }


def aged(newton: Newton, matrix: Matrix, rate: Any) -> Matrix:
    """The matrix after an accepted step: one step older, and given up if iterations contracted slowly."""
    age = jnp.where(rate > newton.slow, STALE, matrix.age + 1)
    return matrix._replace(age=age.astype(jnp.int32))


def learnt(env: Env) -> Matrix:
    """The matrix after a rejected step: a Jacobian evaluated in it still holds; an old one that failed does not."""
    matrix = env["matrix"]
    return matrix._replace(age=jnp.where(env["stale"], STALE, matrix.age).astype(jnp.int32))


def first_slope(system: System, t: Any, x: Any) -> Any:
    """k with M k = f(t, x), of least norm where M is singular: components without a derivative begin flat."""
    f = system.f(t, x)
    if system.mass is None:
        return f
    cut = jax.lax.stop_gradient
    P = jnp.linalg.pinv(cut(system.mass))
    k = cut(P @ f)
    return k + P @ (f - system.M(k))  # the second term is zero; its derivative is that of M k = f


def ImplicitEuler(*, linear: LinearSolver = DenseLU(), newton: Newton = Newton()) -> ESDIRK:
    """Implicit Euler, order 1, L-stable."""
    return ESDIRK(esdirk.IMPLICIT_EULER, linear, newton)


def Trapezoid(*, linear: LinearSolver = DenseLU(), newton: Newton = Newton()) -> ESDIRK:
    """Implicit trapezoidal rule (Crank-Nicolson), order 2, A-stable and undamped; fixed steps only."""
    return ESDIRK(esdirk.TRAPEZOID, linear, newton)


def TRBDF2(*, linear: LinearSolver = DenseLU(), newton: Newton = Newton()) -> ESDIRK:
    """Trapezoidal rule and BDF2 in one step, order 2, L-stable. Loose tolerances."""
    return ESDIRK(esdirk.TRBDF2, linear, newton)


def Kvaerno3(*, linear: LinearSolver = DenseLU(), newton: Newton = Newton()) -> ESDIRK:
    """Kvaerno 3(2), L-stable. Tolerances of 1e-2 to 1e-5."""
    return ESDIRK(esdirk.KVAERNO3, linear, newton)


def Kvaerno4(*, linear: LinearSolver = DenseLU(), newton: Newton = Newton()) -> ESDIRK:
    """Kvaerno 4(3), L-stable."""
    return ESDIRK(esdirk.KVAERNO4, linear, newton)


def Kvaerno5(*, linear: LinearSolver = DenseLU(), newton: Newton = Newton()) -> ESDIRK:
    """Kvaerno 5(4), L-stable. Tolerances of 1e-5 and less."""
    return ESDIRK(esdirk.KVAERNO5, linear, newton)


def ESDIRK32(*, linear: LinearSolver = DenseLU(), newton: Newton = Newton()) -> ESDIRK:
    """Kennedy-Carpenter 3(2), L-stable: KenCarp3 with everything implicit."""
    return ESDIRK(esdirk.ESDIRK32, linear, newton)


def ESDIRK43(*, linear: LinearSolver = DenseLU(), newton: Newton = Newton()) -> ESDIRK:
    """Kennedy-Carpenter 4(3), L-stable: KenCarp4 with everything implicit. A good first choice."""
    return ESDIRK(esdirk.ESDIRK43, linear, newton)


def ESDIRK54(*, linear: LinearSolver = DenseLU(), newton: Newton = Newton()) -> ESDIRK:
    """Kennedy-Carpenter 5(4), L-stable: KenCarp5 with everything implicit."""
    return ESDIRK(esdirk.ESDIRK54, linear, newton)
