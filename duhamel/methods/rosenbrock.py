"""Rosenbrock methods: implicit Runge-Kutta stages replaced by linear solves with one matrix, so nothing iterates.

    (M - h gamma J) u_i = gamma (h f(t + c_i h, x + sum_j a_ij u_j) + M sum_j C_ij u_j + h^2 d_i df/dt)
    x1                  = x + sum_i b_i u_i,                J = df/dx (t, x)

for dx/dt = f (M the identity) and M dx/dt = f with a singular M of index 1. A step is a closed formula: one Jacobian,
one factorization, as many solves as stages; lanes never wait for each other, and derivatives flow through J as well.
Symbols as in `tableaux.rosenbrock.RosenbrockTableau`.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from duhamel.core.problem import Deterministic, MassProblem, Problem, SeparableProblem, SplitProblem

from .base import Bound, Env, Moment, Slots, Tabled, tree_combine
from .fits import refuse
from .jacobian import Flat, time_derivative
from .linalg import DenseLU, LinearSolver, check_mass
from .tableaux.rosenbrock import RODAS4, RODAS5P, ROS23, RosenbrockTableau


class Rosenbrock(Tabled):
    """The Rosenbrock method of a tableau.

    tableau  its numbers
    linear   how systems with M - h gamma J are solved: DenseLU(), Banded(...), BlockDiagonal(...), Krylov(...)
    """

    tableau: RosenbrockTableau = eqx.field(static=True)
    linear: LinearSolver = DenseLU()

    def fields(self, problem: Problem) -> tuple[Callable, ...]:
        if isinstance(problem, MassProblem):
            check_mass(self.linear, problem.mass)
            if not self.tableau.dae:
                _refuse_singular(self.tableau.name, problem.mass)
        elif not isinstance(problem, Deterministic | SplitProblem | SeparableProblem):
            refuse(f"{self.tableau.name}, a Rosenbrock method,", problem)
        return (problem.field,)

    @property
    def calls(self) -> int:
        return self.tableau.stages - self.tableau.fsal

    @property
    def started(self) -> int:
        return int(self.tableau.fsal)

    def start(self, bound: Bound, t: Any, x: Any) -> Slots:
        self.linear.check(Flat(x, bound.lanes).size)
        return {"x": x, "F": bound.call(0, t, x)} if self.tableau.fsal else {"x": x}

    def attempt(self, bound: Bound, at: Moment, slots: Slots) -> Env:
        tableau, linear, (t, h) = self.tableau, self.linear, at[2:]
        flat = Flat(slots["x"], bound.lanes)
        x, F1 = flat.ravel(slots["x"]), None
        mass = mass_matrix(bound)
        J = linear.prepare(bound, 0, t, slots["x"])
        W = linear.factor(J, h * tableau.gamma, mass)
        dfdt = time_derivative(bound, 0, t, slots["x"])
        u, z = [], x
        for i, (c, d) in enumerate(zip(tableau.c, tableau.d, strict=True)):
            z = weighted(tableau.a[i], u, x)
            F1 = slots["F"] if i == 0 and tableau.fsal else bound.call(0, t + c * h, flat.unravel(z))
            rhs = h * flat.ravel(F1)
            if d:
                rhs = h * (h * d) * dfdt + rhs
            if any(tableau.C[i]):
                rhs = apply_mass(mass, weighted(tableau.C[i], u)) + rhs
            u.append(linear.solve(W, tableau.gamma * rhs))
        x1 = z if tableau.fsal else weighted(tableau.b, u, x)
        one = jnp.ones(jnp.shape(h), jnp.int32)
        env = {
            "x": slots["x"],
            "x1": flat.unravel(x1),
            "error": flat.unravel(weighted(tableau.error, u)),
            "u": tuple(u),
            "jacobians": one,
            "factorizations": one,
        }
        if mass is None and linear.bound(J) is not None:
            env["rho"] = linear.bound(J)
        return env | {"F1": F1} if tableau.fsal else env

    def keep(self, env: Env) -> Slots:
        return {"x": env["x1"], "F": env["F1"]} if self.tableau.fsal else {"x": env["x1"]}

    def stiffness(self, bound: Bound, at: Moment, env: Env) -> Any:
        """From the Jacobian, an upper bound: a smooth solution no longer shows how fast its neighbours decay."""
        return jnp.abs(at.h) * env["rho"] if "rho" in env else super().stiffness(bound, at, env)

    def densify(self, bound: Bound, at: Moment, env: Env) -> Env:
        del at
        flat = Flat(env["x"], bound.lanes)
        bends = {f"D{k}": flat.unravel(weighted(row, env["u"])) for k, row in enumerate(self.tableau.dense)}
        return {"x": env["x"], "x1": env["x1"], **bends}

    def interpolate(self, bound: Bound, at: Moment, theta: Any, basis: Env) -> Any:
        del bound, at
        bends = [basis[f"D{k}"] for k in range(len(self.tableau.dense))]
        bump = theta * (1.0 - theta)
        coef = [bump * theta**k for k in range(len(bends))]
        return tree_combine([*coef[::-1], theta, 1.0 - theta], [*bends[::-1], basis["x1"], basis["x"]])


def _refuse_singular(name: str, mass: Any) -> None:
    if not isinstance(mass, Tracer) and np.linalg.matrix_rank(np.asarray(mass)) < len(mass):
        raise ValueError(f"{name} needs a regular mass matrix, this one is singular; use Rodas5P() or Rodas4().")


def mass_matrix(bound: Bound) -> Any:
    """The mass matrix of the bound problem, or None for the identity."""
    problem = bound.problem
    return problem.mass if isinstance(problem, MassProblem) else None


def apply_mass(mass: Any, v: Any) -> Any:
    return v if mass is None else jnp.matmul(mass.astype(v.dtype), v, precision="highest")


def weighted(weights: tuple[float, ...], vectors: list[Any] | tuple[Any, ...], last: Any = None) -> Any:
    """sum_i weights_i vectors_i (+ last); weights of 0 cost nothing."""
    total = None
    for w, v in zip(weights, vectors, strict=False):
        if w:
            term = v if w == 1.0 else w * v
            total = term if total is None else total + term
    if last is None:
        return jnp.zeros_like(vectors[0]) if total is None else total
    return last if total is None else total + last


def Ros23(linear: LinearSolver = DenseLU()) -> Rosenbrock:
    """Shampine and Reichelt's 2(3) pair (ode23s), L-stable, 2 evaluations a step. Tolerances of 1e-2 to 1e-4; a mass
    matrix must be regular."""
    return Rosenbrock(ROS23, linear)


def Rodas4(linear: LinearSolver = DenseLU()) -> Rosenbrock:
    """Hairer and Wanner's RODAS 4(3), L-stable, stiffly accurate, 6 evaluations a step. Tolerances of 1e-3 to 1e-6."""
    return Rosenbrock(RODAS4, linear)


def Rodas5P(linear: LinearSolver = DenseLU()) -> Rosenbrock:
    """Steinebach's Rodas5P 5(4), L-stable, stiffly accurate, 8 evaluations a step; the method to try first on a stiff
    system of up to some dozens of equations. Tolerances of 1e-4 to 1e-10."""
    return Rosenbrock(RODAS5P, linear)
