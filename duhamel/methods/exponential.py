"""Exponential Runge-Kutta methods: every one is its tableau, turned into rows once.

    z_i = e^(c_i h L) x + h sum_{j<i} a_ij(h L) N_j,      N_i = N(t + c_i h, z_i)
    x1  = e^(h L) x + h sum_i b_i(h L) N_i,               error = h sum_i (b_i - bhat_i)(h L) N_i

The linear part is exact, however stiff or oscillatory; steps are as long as N allows. With L = 0 each is a classical
Runge-Kutta method. For L(t) that varies, phi_k is the generalised one of `core.linear`, over [t, t + c h].
"""

from collections.abc import Callable, Iterable
from functools import cache, reduce
from operator import add
from typing import Any

import equinox as eqx
import jax
from jax.extend.core import Var

from duhamel.core.linear import Linear
from duhamel.core.problem import Deterministic, Problem
from duhamel.rows.pattern import Pattern, Row

from .base import Bound, Method, RowMethod, Tabled
from .fits import refuse
from .tableaux import exponential as tableaux
from .tableaux.exponential import Entry, ExponentialTableau


class ExponentialRK(Tabled, RowMethod):
    """The exponential Runge-Kutta method of a tableau, for dx/dt = L(t) x + N(t, x).

    Coefficients of a constant L and equal steps never change: on a fixed grid they are computed once.
    """

    tableau: ExponentialTableau = eqx.field(static=True)

    def fields(self, problem: Problem) -> tuple[Callable, ...]:
        if not isinstance(problem, Deterministic):
            refuse("an exponential Runge-Kutta method", problem)
        return (problem.N,)

    def limiting(self, bound: Bound, t: Any, x: Any) -> Any:
        return bound.call(0, t, x)  # the linear part, exact, limits nothing

    def estimating(self, problem: Problem, t: Any, x: Any, args: Any) -> Method:
        """With an estimate that sees time, where N depends on time."""
        if isinstance(problem, Deterministic) and self.tableau.fsal and depends(lambda t: problem.N(t, x, args), t):
            return ExponentialRK(tableaux.watching(self.tableau))
        return self

    @property
    def tabulated(self) -> bool:
        return True

    @property
    def fsal(self) -> bool:
        return self.tableau.fsal

    @property
    def pattern(self) -> Pattern:
        return _layout(self.tableau)[0]

    def coef(self, L: Linear, t: Any, h: Any) -> list[Any]:
        entries = _layout(self.tableau)[1]
        phis = _phis(L, t, h, entries)
        return [_flow_or_sum(entry, phis, h) for entry in entries]

    def tau(self, t: Any, h: Any) -> list[Any]:
        return [t + c * h for c in _layout(self.tableau)[2]]

    def interpolant(self, L: Linear, t: Any, h: Any, theta: Any) -> tuple[list[Any], tuple[str, ...]]:
        used = [(i, entry) for i, entry in enumerate(self.tableau.b) if entry]
        phis = L.phis(max(k for _, entry in used for _, k, _ in entry), t, theta * h)
        weights = [h * reduce(add, [(w * theta**k) * phis[k] for w, k, _ in entry]) for _, entry in used]
        return [*weights, phis[0]], (*(_stage(self.tableau, i) for i, _ in used), "x")


def depends(f: Callable, t: Any) -> bool:
    """Whether f(t) reads t, as far as its program tells: True where a subprogram is handed t and may ignore it."""
    program = jax.make_jaxpr(f)(t).jaxpr
    read = set(program.invars)
    for equation in program.eqns:
        if any(isinstance(v, Var) and v in read for v in equation.invars):
            read.update(equation.outvars)
    return any(isinstance(v, Var) and v in read for v in program.outvars)


Node = float  # the coefficient of the kept state is the flow to a node, not an entry


def _phis(L: Linear, t: Any, h: Any, entries: Iterable[Entry | Node]) -> dict[float, list[Any]]:
    """phi_0, phi_1, ... over [t, t + c h] for every node c that occurs, each list computed in one go."""
    highest: dict[float, int] = {}
    for entry in entries:
        for k, c in [(k, c) for _, k, c in entry] if isinstance(entry, tuple) else [(0, entry)]:
            if c:  # the state at node 0 is the state itself
                highest[c] = max(highest.get(c, 0), k)
    return {c: L.phis(kmax, t, c * h) for c, kmax in highest.items()}


def _flow_or_sum(entry: Entry | Node, phis: dict[float, list[Any]], h: Any) -> Any:
    if isinstance(entry, tuple):
        return h * reduce(add, [w * phis[c][k] for w, k, c in entry])
    return phis[entry][0] if entry else 1.0


def _stage(tableau: ExponentialTableau, i: int) -> str:
    """Name of N_{i+1} in the rows; the first and the last of a first-same-as-last method are slots."""
    if tableau.fsal and i in (0, tableau.stages):
        return "F" if i == 0 else "F1"
    return f"N{i + 1}"


@cache
def _layout(tableau: ExponentialTableau) -> tuple[Pattern, tuple[Entry | Node, ...], tuple[float, ...]]:
    """(rows, entries in reading order, nodes of the calls) of one step."""
    rows: list[Row] = []
    entries: list[Entry | Node] = []
    nodes: list[float] = []

    def row(out: str, weights: tuple[Entry, ...], state: float | None, call: str | None = None) -> None:
        used = [(i, entry) for i, entry in enumerate(weights) if entry]
        names = [_stage(tableau, i) for i, _ in used]
        entries.extend(entry for _, entry in used)
        if state is not None:
            names.append("x")
            entries.append(state)
        rows.append(Row(out, tuple(names), call))
        if call is not None and state is not None:
            nodes.append(state)

    for i in range(1 if tableau.fsal else 0, tableau.stages):
        row(f"z{i + 1}", tableau.a[i], tableau.c[i], _stage(tableau, i))
    row("x1", tableau.b, 1.0, "F1" if tableau.fsal else None)
    if tableau.error is not None:
        row("error", tableau.error, None)
    keep = (("x", "x1"), ("F", "F1")) if tableau.fsal else (("x", "x1"),)
    return Pattern(tuple(rows), keep), tuple(entries), tuple(nodes)


def ETD1() -> ExponentialRK:
    """Exponential Euler, order 1. No error estimate: use a fixed grid."""
    return ExponentialRK(tableaux.ETD1)


def ETDRK2() -> ExponentialRK:
    """Cox-Matthews, order 2, two calls a step, embedded ETD1."""
    return ExponentialRK(tableaux.ETDRK2)


def ETDRK3() -> ExponentialRK:
    """Cox-Matthews, order 3, three calls a step, embedded exponential midpoint rule."""
    return ExponentialRK(tableaux.ETDRK3)


def ETDRK4() -> ExponentialRK:
    """Cox-Matthews, order 4, four calls a step: the standard for periodic spectral problems, dispersive ones included.

    Where boundary conditions make the solution rough for L (Dirichlet), the order falls towards 2: use
    HochbruckOstermann there.
    """
    return ExponentialRK(tableaux.ETDRK4)


def Krogstad() -> ExponentialRK:
    """Krogstad's order 4, four calls a step, stiff order 3: usually a smaller error than ETDRK4."""
    return ExponentialRK(tableaux.KROGSTAD)


def HochbruckOstermann() -> ExponentialRK:
    """Order 4 for every stiff problem, five calls a step."""
    return ExponentialRK(tableaux.HOCHBRUCK_OSTERMANN)
