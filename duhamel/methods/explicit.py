"""Explicit Runge-Kutta methods: every one is its tableau, turned into rows once.

    z_i = x + h sum_{j<i} a_ij k_j,      k_i = f(t + c_i h, z_i)
    x1  = x + h sum_i b_i k_i,           error = h sum_i (b_i - bhat_i) k_i

Symbols as in `tableaux.tableau.Tableau`.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from duhamel.core.linear import Linear
from duhamel.core.problem import LangevinProblem, MassProblem, Problem, Stochastic
from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.step import Scaled

from .base import Bound, DenseRows, Env, Moment, RowMethod, Tabled, hermite, norm
from .fits import refuse
from .tableaux.dopri import DOPRI5, DOPRI8
from .tableaux.low import BOSH3, EULER, HEUN, MIDPOINT, RALSTON, RK4 as RK4_TABLEAU
from .tableaux.ssp import SSPRK2 as SSPRK2_TABLEAU, SSPRK3 as SSPRK3_TABLEAU, SSPRK104 as SSPRK104_TABLEAU
from .tableaux.tableau import Tableau
from .tableaux.tsit5 import TSIT5
from .tableaux.verner import VERNER6, VERNER7, VERNER8, VERNER9


class ExplicitRK(Tabled, RowMethod):
    """The explicit Runge-Kutta method of a tableau, for dx/dt = f(t, x).

    With a linear part in the problem, f(t, x) = L(t) x + N(t, x); a split or separable one is summed.
    """

    tableau: Tableau = eqx.field(static=True)

    def fields(self, problem: Problem) -> tuple[Callable, ...]:
        if isinstance(problem, Stochastic | MassProblem | LangevinProblem):
            refuse("an explicit Runge-Kutta method", problem)
        return (problem.field,)

    @property
    def fsal(self) -> bool:
        return self.tableau.fsal

    @property
    def pattern(self) -> Pattern:
        return _layout(self.tableau)[0]

    def coef(self, L: Linear, t: Any, h: Any) -> list[Any]:
        return _scaled(_layout(self.tableau)[1], h)

    def tau(self, t: Any, h: Any) -> list[Any]:
        return [t + c * h for c in _layout(self.tableau)[2]]

    def stiffness(self, bound: Bound, at: Moment, env: Env) -> Any:
        """From the last two stages where both are at the end of the step, at no cost: Dopri5, Tsit5, Verner's pairs.

        Source: Hairer, Wanner, Solving ODEs II, IV.2.
        """
        c, stages = self.tableau.c, len(self.tableau.c)
        if not (self.tableau.fsal and c[-2] == c[-1] == 1.0):
            return super().stiffness(bound, at, env)
        change = jax.tree.map(jnp.subtract, env["F1"], env[_stage(self.tableau, stages - 2)])
        apart = jax.tree.map(jnp.subtract, env["x1"], env[f"z{stages - 1}"])
        length = norm(apart, bound.lanes)
        rho = norm(change, bound.lanes) / jnp.where(length > 0, length, 1.0)
        return jnp.abs(at.h) * rho

    def dense_rows(self, L: Linear, t: Any, h: Any) -> DenseRows | None:
        pattern, weights, nodes = _dense_layout(self.tableau)
        if pattern is None:
            return None
        return DenseRows(pattern, _scaled(weights, h), [t + c * h for c in nodes])

    def interpolant(self, L: Linear, t: Any, h: Any, theta: Any) -> tuple[list[Any], tuple[str, ...]]:
        tableau = self.tableau
        if tableau.dense is None:
            return hermite(h, theta, _stage(tableau, 0), "F1")
        weights, names = [], []
        basis = _chebyshev(len(tableau.dense[0]), theta)
        for i, polynomial in enumerate(tableau.dense):
            if any(polynomial):
                weights.append(h * theta * sum(p * T for p, T in zip(polynomial, basis, strict=True)))
                names.append(_stage(tableau, i))
        return [*weights, 1.0], (*names, "x")


def _stage(tableau: Tableau, i: int) -> str:
    """Name of k_{i+1} in the rows; the first and the last stage of a first-same-as-last method are slots."""
    if tableau.fsal and i == 0:
        return "F"
    if tableau.fsal and i == len(tableau.c) - 1:
        return "F1"
    return f"k{i + 1}"


def _chebyshev(n: int, theta: Any) -> list[Any]:
    """T_0, ..., T_(n-1) at 2 theta - 1: powers of theta would cancel, up to 1.4e6 against 60 (Verner8)."""
    s = 2.0 * theta - 1.0
    values = [1.0, s]
    while len(values) < n:
        values.append(2.0 * s * values[-1] - values[-2])
    return values[:n]


# A weight of None stands for the kept state, whose coefficient is 1 and carries no h.
Weights = tuple[float | None, ...]


def _scaled(weights: Weights, h: Any) -> list[Any]:
    return [1.0 if w is None else Scaled(w, h) for w in weights]


def _sum(tableau: Tableau, weights: tuple[float, ...], state: bool = True) -> tuple[tuple[str, ...], Weights]:
    used = [(i, w) for i, w in enumerate(weights) if w != 0.0]
    names = tuple(_stage(tableau, i) for i, _ in used)
    values = tuple(w for _, w in used)
    return ((*names, "x"), (*values, None)) if state else (names, values)


@cache
def _layout(tableau: Tableau) -> tuple[Pattern, Weights, tuple[float, ...]]:
    """(rows, weights in reading order, nodes of the calls) of one step."""
    rows: list[Row] = []
    weights: list[float | None] = []
    nodes: list[float] = []

    def add(out: str, reads: tuple[str, ...], values: Weights, call: str | None = None, node: float = 0.0) -> None:
        rows.append(Row(out, reads, call))
        weights.extend(values)
        if call is not None:
            nodes.append(node)

    stages = len(tableau.c)
    for i in range(1 if tableau.fsal else 0, stages - 1 if tableau.fsal else stages):
        add(f"z{i + 1}", *_sum(tableau, tableau.a[i]), _stage(tableau, i), tableau.c[i])
    if tableau.fsal:
        add("x1", *_sum(tableau, tableau.b), "F1", 1.0)
    else:
        add("x1", *_sum(tableau, tableau.b))
    if tableau.error is not None:
        add("error", *_sum(tableau, tableau.error, state=False))
    keep = (("x", "x1"), ("F", "F1")) if tableau.fsal else (("x", "x1"),)
    return Pattern(tuple(rows), keep), tuple(weights), tuple(nodes)


@cache
def _dense_layout(tableau: Tableau) -> tuple[Pattern | None, Weights, tuple[float, ...]]:
    """Rows of the stages that only dense output needs, on slots that stand for all that the step built."""
    rows: list[Row] = []
    weights: list[float | None] = []
    nodes: list[float] = []
    if tableau.dense is None and not tableau.fsal:  # Hermite wants the slope at the end
        rows.append(Row("z_end", ("x1",), "F1"))
        weights.append(None)
        nodes.append(1.0)
    for i, (c, a) in enumerate(zip(tableau.extra_c, tableau.extra_a, strict=True), start=len(tableau.c)):
        reads, values = _sum(tableau, a)
        rows.append(Row(f"z{i + 1}", reads, _stage(tableau, i)))
        weights.extend(values)
        nodes.append(c)
    if not rows:
        return None, (), ()
    built = {name for row in rows for name in (row.out, row.call)}
    given = sorted({name for row in rows for name in row.reads} - built)
    return Pattern(tuple(rows), tuple((name, name) for name in given)), tuple(weights), tuple(nodes)


def Euler() -> ExplicitRK:
    """Euler's method, order 1."""
    return ExplicitRK(EULER)


def Midpoint() -> ExplicitRK:
    """Explicit midpoint rule, order 2."""
    return ExplicitRK(MIDPOINT)


def Heun() -> ExplicitRK:
    """Heun's method (explicit trapezoidal rule), order 2."""
    return ExplicitRK(HEUN)


def Ralston() -> ExplicitRK:
    """Ralston's method, order 2 with the smallest error bound."""
    return ExplicitRK(RALSTON)


def RK4() -> ExplicitRK:
    """The classical Runge-Kutta method, order 4."""
    return ExplicitRK(RK4_TABLEAU)


def Bosh3() -> ExplicitRK:
    """Bogacki-Shampine 3(2). Loose tolerances, 1e-2 to 1e-4."""
    return ExplicitRK(BOSH3)


def Dopri5() -> ExplicitRK:
    """Dormand-Prince 5(4)."""
    return ExplicitRK(DOPRI5)


def Tsit5() -> ExplicitRK:
    """Tsitouras 5(4), the default: tolerances of 1e-3 to 1e-8."""
    return ExplicitRK(TSIT5)


def Dopri8() -> ExplicitRK:
    """Dormand-Prince 8(5), known as DOP853, with dense output of order 7. Tolerances below 1e-8."""
    return ExplicitRK(DOPRI8)


def Verner6() -> ExplicitRK:
    """Verner's most efficient 6(5)."""
    return ExplicitRK(VERNER6)


def Verner7() -> ExplicitRK:
    """Verner's most efficient 7(6). Tolerances of 1e-8 to 1e-12."""
    return ExplicitRK(VERNER7)


def Verner8() -> ExplicitRK:
    """Verner's most efficient 8(7)."""
    return ExplicitRK(VERNER8)


def Verner9() -> ExplicitRK:
    """Verner's most efficient 9(8). Tolerances near rounding, in float64."""
    return ExplicitRK(VERNER9)


def SSPRK2() -> ExplicitRK:
    """Two stages, order 2, strong-stability-preserving (C = 1): with second-order finite volumes."""
    return ExplicitRK(SSPRK2_TABLEAU)


def SSPRK3() -> ExplicitRK:
    """Three stages, order 3, strong-stability-preserving (C = 1): the usual companion of WENO schemes."""
    return ExplicitRK(SSPRK3_TABLEAU)


def SSPRK104() -> ExplicitRK:
    """Ten stages, order 4, strong-stability-preserving (C = 6): CFL numbers up to 6, per stage 1.8 times SSPRK3's."""
    return ExplicitRK(SSPRK104_TABLEAU)
