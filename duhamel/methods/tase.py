"""Runge-Kutta methods made stable by filters: explicit stages, each multiplied by a function of a matrix W.

    k_i = T_i f(t + c_i h, x + h sum_j a_ij k_j),   T_i = sum_j beta_ij (I - alpha h W)^-j,   x1 = x + h sum_i b_i k_i

One factorization a step, and the order does not depend on W at all: only stability does, for which W = df/dx is the
right choice and anything near it will do. So W may be frozen, given by hand, or the Jacobian of the stiff part only.
Time is
one more component with dt/dt = 1, to which W extends by the column df/dt: without it the stiff limit of a problem
driven in time would be in error by O(h).
Symbols as in `tableaux.tase.TASETableau`.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp

from duhamel.core.problem import Deterministic, Problem, SeparableProblem, SplitProblem

from .base import Bound, Env, Moment, Slots, Tabled
from .fits import refuse
from .jacobian import Flat, time_derivative
from .linalg import DenseLU, LinearSolver
from .tableaux.tase import MSRKTASE2 as TABLEAU2, MSRKTASE3 as TABLEAU3, TASETableau


class TASE(Tabled):
    """A singly Runge-Kutta-TASE method.

    tableau  its numbers
    W        None: df/dx at the beginning of each step, for a split problem that of the implicit part alone. Or a matrix
             (n, n), used as it is, in the storage of `linear`: (n, bands) for Banded, (blocks, size, size) for
             BlockDiagonal
    frozen   with W None: the Jacobian at t0 serves all steps
    linear   how systems with I - alpha h W are solved
    """

    tableau: TASETableau = eqx.field(static=True)
    W: Any = None
    frozen: bool = eqx.field(static=True, default=False)
    linear: LinearSolver = DenseLU()

    def __check_init__(self) -> None:
        if self.frozen and self.W is not None:
            raise ValueError("frozen keeps the Jacobian of the start, but W is given; leave one of the two out.")

    def fields(self, problem: Problem) -> tuple[Callable, ...]:
        if isinstance(problem, SplitProblem):
            return problem.field, problem.implicit
        if not isinstance(problem, Deterministic | SeparableProblem):
            refuse(f"{self.tableau.name}, a filtered Runge-Kutta method,", problem)
        return problem.field, problem.field

    @property
    def dense_order(self) -> int:
        return self.tableau.order

    @property
    def carried(self) -> tuple[str, ...]:
        return ("W",) if self.frozen else ()

    @property
    def calls(self) -> int:
        return len(self.tableau.c)

    def start(self, bound: Bound, t: Any, x: Any) -> Slots:
        self.linear.check(Flat(x, bound.lanes).size)
        return {"x": x, "W": self.linear.prepare(bound, 1, t, x)} if self.frozen else {"x": x}

    def attempt(self, bound: Bound, at: Moment, slots: Slots) -> Env:
        tableau, linear, (t, h) = self.tableau, self.linear, at[2:]
        flat = Flat(slots["x"], bound.lanes)
        x = flat.ravel(slots["x"])
        F = linear.factor(self._matrix(bound, t, slots), h * tableau.alpha)
        drive = (h * tableau.alpha) * time_derivative(bound, 1, t, slots["x"])
        k, filtered = [], []
        for i, c in enumerate(tableau.c):
            z = _sum(h, tableau.a[i], k, x)
            powers = [flat.ravel(bound.call(0, t + c * h, flat.unravel(z)))]
            for _ in tableau.beta[i]:
                powers.append(linear.solve(F, powers[-1] + drive))
            filtered.append(powers[1:])
            k.append(_sum(1.0, tableau.beta[i], powers[1:]))
        x1 = _sum(h, tableau.b, k, x)
        one = jnp.ones(jnp.shape(h), jnp.int32)
        fresh = self.W is None and not self.frozen
        env = {"x": slots["x"], "x1": flat.unravel(x1), "jacobians": one * fresh, "factorizations": one}
        if tableau.embedded is not None:
            weights = [w for row in tableau.embedded for w in row]
            vectors = [v for row, vs in zip(tableau.embedded, filtered, strict=True) for v in vs[: len(row)]]
            env["error"] = flat.unravel(_sum(h, tableau.b, k) - _sum(h, weights, vectors))
        return env | {"W": slots["W"]} if self.frozen else env

    def _matrix(self, bound: Bound, t: Any, slots: Slots) -> Any:
        if self.frozen:
            return slots["W"]
        if self.W is None:
            return self.linear.prepare(bound, 1, t, slots["x"])
        W = jnp.asarray(self.W, jnp.result_type(t))
        return W.reshape(*W.shape, *(1,) * bound.lanes)

    def keep(self, env: Env) -> Slots:
        return {"x": env["x1"], "W": env["W"]} if self.frozen else {"x": env["x1"]}


def _sum(h: Any, weights: Any, vectors: Any, last: Any = None) -> Any:
    """h sum_i weights_i vectors_i (+ last)."""
    terms = [w * v for w, v in zip(weights, vectors, strict=False) if w]
    if not terms:
        return jnp.zeros_like(vectors[0]) if last is None else last
    total = h * sum(terms[1:], terms[0])
    return total if last is None else total + last


def MSRKTASE2(W: Any = None, *, frozen: bool = False, linear: LinearSolver = DenseLU()) -> TASE:
    """Modified singly Runge-Kutta-TASE method of order 2: 2 evaluations, 1 factorization, 3 solves a step; L-stable."""
    return TASE(TABLEAU2, W, frozen, linear)


def MSRKTASE3(W: Any = None, *, frozen: bool = False, linear: LinearSolver = DenseLU()) -> TASE:
    """Modified singly Runge-Kutta-TASE method of order 3: 3 evaluations, 1 factorization, 8 solves a step; L-stable.

    Order 3 as h goes to 0; where h |lambda| is large (60 and more on Prothero and Robinson's problem) errors fall like
    h^2, as those of MSRKTASE2 do.
    """
    return TASE(TABLEAU3, W, frozen, linear)
