"""Implicit-explicit multistep formulas: BDF for the stiff part, extrapolation for the rest. Equal steps.

    x_{n+1} - gamma h f_I(t_{n+1}, x_{n+1}) = sum_j (alpha_j x_{n-j} + h beta_j E_{n-j}),      E_n = f_E(t_n, x_n)

One evaluation of f_E and one implicit equation a step, whatever the order. The first steps are those of an additive
Runge-Kutta method. Symbols as in `tableaux.imex.MultistepTableau`.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from duhamel.core.linear import Linear, Zero
from duhamel.core.problem import Problem
from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.step import step

from .base import Bound, Env, Moment, RowMethod, Slots, calls, like, tree_combine
from .imex import EXPLICIT, IMEXRK, equations, first_matrix, outcome, parts, solve_stage
from .implicit import learnt
from .linalg import DenseLU, LinearSolver
from .newton import Newton
from .tableaux import imex as tableaux
from .tableaux.imex import ImexTableau, MultistepTableau
from .tableaux.kencarp import KENCARP4


class SBDF(RowMethod):
    """The formula of a tableau, for `Split(explicit, implicit)` or `Semilinear(L, N)`, on `Fixed(steps)`.

    tableau  numbers and their source
    first    additive Runge-Kutta method of the first order - 1 steps
    linear, newton   as in `IMEXRK`
    """

    tableau: MultistepTableau = eqx.field(static=True)
    first: ImexTableau = eqx.field(static=True)
    linear: LinearSolver = DenseLU()
    newton: Newton = Newton()

    @property
    def order(self) -> int:
        return self.tableau.order

    @property
    def error_order(self) -> None:
        return None

    @property
    def dense_order(self) -> int:
        return min(3, self.order)

    @property
    def equal_steps(self) -> bool:
        return True

    @property
    def carried(self) -> tuple[str, ...]:
        """x and f_E of earlier steps, newest first."""
        past = range(1, self.order)
        return (*(f"x_{j}" for j in past), *(f"E_{j}" for j in past))

    @property
    def starter(self) -> IMEXRK:
        return IMEXRK(self.first, self.linear, self.newton)

    @property
    def pattern(self) -> Pattern:
        return _layout(self.tableau)

    @property
    def tabulated(self) -> bool:
        return True

    def fields(self, problem: Problem) -> tuple[Callable, ...]:
        return parts(problem, self.tableau.name)

    def coef(self, L: Linear, t: Any, h: Any) -> list[Any]:
        """Of the step, and after them those of a first step."""
        tableau = self.tableau
        R, _ = L.resolvents(tableau.gamma, t + h, h)
        explicit = [beta * h for beta in reversed(tableau.beta)]
        return [1.0, *explicit, *reversed(tableau.alpha), R, *self.starter.coef(L, t, h)]

    def tau(self, t: Any, h: Any) -> list[Any]:
        del h
        return [t]

    def start(self, bound: Bound, t: Any, x: Any) -> Slots:
        slots = {"x": x} | dict.fromkeys(self.carried, x)
        return slots if not isinstance(bound.L, Zero) else slots | {"matrix": first_matrix(self.linear, bound, t, x)}

    def attempt(self, bound: Bound, at: Moment, slots: Slots) -> Env:
        now = slots | {"E0": bound.call(EXPLICIT, at.t, slots["x"])}
        walk = self._rows if "matrix" not in slots else self._iterated
        found = jax.lax.cond(
            at.index < self.order - 1, lambda: walk(bound, at, now, True), lambda: walk(bound, at, now, False)
        )
        return now | found

    def keep(self, env: Env) -> Slots:
        kept = {slot: env[source] for slot, source in self.pattern.keep}
        return kept | ({"matrix": env["aged"]} if "aged" in env else {})

    def retry(self, env: Env, slots: Slots) -> Slots:
        return slots | {"matrix": learnt(env)} if "matrix" in slots else slots

    def _rows(self, bound: Bound, at: Moment, now: Env, first: bool) -> Env:
        coef, own = bound.coefficients(at, now), len(self.pattern.positions)
        cost = lambda n: {"nfe": jnp.full(at.h.shape, n, jnp.int32)}  # noqa: E731
        if first:
            starter = self.starter
            models = calls(bound, starter.pattern)
            env = step(starter.pattern, coef[own:], starter.tau(at.t, at.h), {"x": now["x"]}, models, tree_combine)
            return {"x1": env["x1"]} | cost(1 + starter.calls)
        env = step(self.pattern, coef[:own], self.tau(at.t, at.h), now, [lambda t, x: now["E0"]], tree_combine)
        return {"x1": env["x1"]} | cost(1)

    def _iterated(self, bound: Bound, at: Moment, now: Env, first: bool) -> Env:
        """With a nonlinear implicit part."""
        if first:
            env = self.starter.iterated(bound, at, now)
            env["nfe"] = env["nfe"] + 1
        else:
            tableau, h = self.tableau, at.h
            given, before = equations(self, bound, at, now["x"], tableau.gamma, now["matrix"])
            weights = [*(beta * h for beta in reversed(tableau.beta)), *reversed(tableau.alpha)]
            r = tree_combine([like(w, now["x"]) for w in weights], [now[name] for name in _reads(tableau)])
            x1, _, found = solve_stage(given, at.t + h, r, before)
            env = {"x1": x1} | outcome(given, found, 1)
        names = ("x1", "matrix", "aged", "failed", "stale", "nfe", "jacobians", "factorizations")
        return {name: env[name] for name in names}


def _reads(tableau: MultistepTableau) -> tuple[str, ...]:
    """What the formula sums: the oldest values first, the newest state last."""
    past = range(tableau.order - 1, 0, -1)
    return (*(f"E_{j}" for j in past), "E0", *(f"x_{j}" for j in past), "x")


@cache
def _layout(tableau: MultistepTableau) -> Pattern:
    rows = (Row("z", ("x",), "E0"), Row("r", _reads(tableau)), Row("x1", ("r",)))
    keep = [("x", "x1"), ("x_1", "x"), ("E_1", "E0")]
    keep += [(f"{v}_{j}", f"{v}_{j - 1}") for j in range(2, tableau.order) for v in "xE"]
    return Pattern(rows, tuple(keep))


def SBDF2(*, linear: LinearSolver = DenseLU(), newton: Newton = Newton()) -> SBDF:
    """Order 2 (extrapolated Gear), strongly damping. Fixed steps."""
    return SBDF(tableaux.SBDF2, tableaux.ARS222, linear, newton)


def SBDF3(*, linear: LinearSolver = DenseLU(), newton: Newton = Newton()) -> SBDF:
    """Order 3; stable for f_E with imaginary eigenvalues up to h |lambda| = 0.6. Fixed steps."""
    return SBDF(tableaux.SBDF3, tableaux.ARS443, linear, newton)


def SBDF4(*, linear: LinearSolver = DenseLU(), newton: Newton = Newton()) -> SBDF:
    """Order 4; stable for f_E with imaginary eigenvalues up to h |lambda| = 0.5. Fixed steps."""
    return SBDF(tableaux.SBDF4, KENCARP4, linear, newton)
