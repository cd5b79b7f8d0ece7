"""Implicit-explicit Runge-Kutta methods: the stiff part implicitly, the rest explicitly, in the same stages.

    Y_i = x + h sum_{j<i} (a^E_ij E_j + a^I_ij I_j) + h gamma I_i,      E_i = f_E(t_i, Y_i),  I_i = f_I(t_i, Y_i)
    x1  = x + h sum_i (b^E_i E_i + b^I_i I_i)

`Semilinear(L, N)`: f_I = L x, and a stage is a multiplication with (1 - gamma h L)^-1: rows, whose coefficients are
found once on equal steps. `Split(explicit, implicit)`: f_I is nonlinear, and a stage is solved by Newton's iteration
(`newton`); lanes wait for each other at every stage. Symbols as in `tableaux.imex.ImexTableau`; r_i is the known part
of Y_i, and K_i = h I_i.
"""

from collections.abc import Callable
from functools import cache, reduce
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from duhamel.core.linear import Linear, Scalar, Zero
from duhamel.core.problem import Deterministic, Problem, SplitProblem
from duhamel.rows.pattern import Pattern, Row

from .base import Bound, Env, Moment, RowMethod, Slots, Tabled, like, tree_combine
from .fits import fitting, kind
from .implicit import checked, learnt, newton_env
from .linalg import DenseLU, LinearSolver
from .newton import (
    Iterations,
    Matrix,
    Newton,
    Rule,
    System,
    at_first,
    error_scale,
    iterate,
    prepared,
    solved,
    unprepared,
)
from .tableaux import imex as tableaux, kencarp
from .tableaux.imex import ImexTableau, Weights

EXPLICIT, IMPLICIT = 0, 1


class IMEXRK(Tabled, RowMethod):
    """The additive Runge-Kutta method of a tableau, for `Split(explicit, implicit)` or `Semilinear(L, N)`.

    tableau  numbers and their source
    linear   how the matrices of Newton's iterations are factored; without a role on a Semilinear
    newton   when those iterations stop
    """

    tableau: ImexTableau = eqx.field(static=True)
    linear: LinearSolver = DenseLU()
    newton: Newton = Newton()

    @property
    def pattern(self) -> Pattern:
        return _layout(self.tableau)[0]

    @property
    def tabulated(self) -> bool:
        return True

    def fields(self, problem: Problem) -> tuple[Callable, ...]:
        return parts(problem, self.tableau.name)

    def coef(self, L: Linear, t: Any, h: Any) -> list[Any]:
        weights, c = _layout(self.tableau)[1], self.tableau.c
        moving = isinstance(L, Scalar) and callable(L.value)
        found: dict[tuple, tuple[Any, Any]] = {}

        def resolvents(i: int) -> tuple[Any, Any]:
            a = self.tableau.diagonal[i]
            key = (a, c[i]) if moving else (a,)
            if key not in found:
                found[key] = L.resolvents(a, t + c[i] * h, h)
            return found[key]

        return [w.coefficient(h, resolvents) for w in weights]

    def tau(self, t: Any, h: Any) -> list[Any]:
        return [t + c * h for c in _layout(self.tableau)[2]]

    def start(self, bound: Bound, t: Any, x: Any) -> Slots:
        if not isinstance(bound.L, Zero):
            return {"x": x}
        return {"x": x, "matrix": first_matrix(self.linear, bound, t, x)}

    def attempt(self, bound: Bound, at: Moment, slots: Slots) -> Env:
        return super().attempt(bound, at, slots) if "matrix" not in slots else self.iterated(bound, at, slots)

    def iterated(self, bound: Bound, at: Moment, slots: Slots) -> Env:
        """The same stages with a nonlinear implicit part."""
        tableau, h, x = self.tableau, at.h, slots["x"]
        sums, used = _sums(tableau), _used(tableau)
        given, found = equations(self, bound, at, x, tableau.diagonal[-1], slots["matrix"])
        env: Env = {"x": x}
        calls = 0

        def add(name: str) -> Any:
            names, terms = sums[name]
            coef = [like(term.coefficient(h), x) for term in terms]
            return tree_combine(coef, [env[n] for n in names])

        for i, gamma in enumerate(tableau.diagonal, start=1):
            t, Y = at.t + tableau.c[i - 1] * h, add(f"r{i}")
            if gamma != 0.0:
                Y, w, found = solve_stage(given, t, Y, found)
                env[f"K{i}"] = tree_combine([1.0 / gamma], [w])
            elif f"K{i}" in used:
                env[f"K{i}"] = tree_combine([h], [bound.call(IMPLICIT, t, Y)])
                calls += 1
            env[f"Y{i}"] = Y
            if f"N{i}" in used:
                env[f"N{i}"] = bound.call(EXPLICIT, t, Y)
                calls += 1
        env |= {name: add(name) for name in ("x1", "error") if name in sums}
        return env | outcome(given, found, calls)

    def keep(self, env: Env) -> Slots:
        return {"x": env["x1"]} | ({"matrix": env["aged"]} if "aged" in env else {})

    def retry(self, env: Env, slots: Slots) -> Slots:
        return slots | {"matrix": learnt(env)} if "matrix" in slots else slots

    def interpolant(self, L: Linear, t: Any, h: Any, theta: Any) -> tuple[list[Any], tuple[str, ...]] | None:
        del L, t
        if self.tableau.dense is None:
            return None
        weights: list[Any] = []
        names: list[str] = []
        for i, polynomial in enumerate(self.tableau.dense, start=1):
            if any(polynomial):
                b = theta * reduce(lambda value, c: value * theta + c, polynomial[::-1])
                weights += [h * b, b]
                names += [f"N{i}", f"K{i}"]
        return [*weights, 1.0], (*names, "x")


def parts(problem: Problem, name: str) -> tuple[Callable, ...]:
    """(f_E, f_I) of a split equation, (N,) of a semilinear one."""
    if isinstance(problem, SplitProblem):
        return problem.explicit, problem.implicit
    if isinstance(problem, Deterministic) and not isinstance(problem.L, Zero):
        return (problem.N,)
    raise ValueError(
        f"{name} needs to know which part is stiff: write Split(explicit, implicit) or Semilinear(L, N); for "
        f"{kind(problem)} use {', '.join(fitting(problem)[:3])} or, if all of it is stiff, Kvaerno5()."
    )


def first_matrix(linear: LinearSolver, bound: Bound, t: Any, x: Any) -> Matrix:
    """Nothing evaluated or factored yet."""
    system = System(bound, x, IMPLICIT)
    return unprepared(linear, system, t, checked(linear, system).ravel(x))


class Equations(NamedTuple):
    """The implicit equations of one step, w = a f_I(t, r + w), which share one factored matrix."""

    rule: Rule
    system: System
    a: Any
    moving: Any
    new_J: Any
    new_LU: Any


def equations(method: Any, bound: Bound, at: Moment, x: Any, gamma: float, old: Matrix) -> tuple[Equations, Iterations]:
    """(the equations, what is known before the first)."""
    cut, system, moving = jax.lax.stop_gradient, System(bound, x, IMPLICIT), at.h != 0
    a = gamma * jnp.where(moving, at.h, 1.0)  # a lane that stands still must not divide by zero
    still, v = system.still(), cut(system.flat.ravel(x))
    matrix, new_J, new_LU = prepared(method.newton, method.linear, still, cut(at.t), v, cut(a), old, moving)
    rule = Rule(method.newton, method.linear, still, matrix, error_scale(bound.tol, v))
    return Equations(rule, system, a, moving, new_J, new_LU), at_first(jnp.zeros_like(v), at.h)


def solve_stage(given: Equations, t: Any, r: Any, before: Iterations) -> tuple[Any, Any, Iterations]:
    """(Y, w, iterations so far) with Y = r + w. The displacement before is the first guess; counts add up."""
    cut, flat = jax.lax.stop_gradient, given.system.flat
    known, moving = flat.ravel(r), given.moving & ~before.failed
    found = iterate(given.rule, cut(t), cut(given.a), cut(known), before.w, moving)
    found = found._replace(failed=found.failed | before.failed, count=found.count + before.count)
    w = solved(given.system, given.rule.linear, t, given.a, known, found.w)
    return flat.unravel(known + w), flat.unravel(w), found


def outcome(given: Equations, found: Iterations, explicit: int) -> Env:
    """What the loop and the next attempt read of the iterations of a step with so many explicit evaluations."""
    env = newton_env(given.rule.newton, given.rule.matrix, found, given.new_J, given.new_LU)
    return env | {"nfe": found.count + explicit}


class Term(NamedTuple):
    """A coefficient to be: `weight`, times h, or the resolvent ("R") or its partner h L R ("Q") of stage `stage`."""

    weight: float
    kind: str = ""
    stage: int = 0

    def coefficient(self, h: Any, resolvents: Callable | None = None) -> Any:
        if self.kind == "h":
            return self.weight * h
        if resolvents is None or not self.kind:
            return self.weight
        return resolvents(self.stage)["RQ".index(self.kind)]


def known(explicit: Weights, implicit: Weights, state: str | None = "x") -> tuple[tuple[str, ...], tuple[Term, ...]]:
    """sum_j explicit_j h N_j + implicit_j K_j + state: (names read, what multiplies them)."""
    reads = [(f"N{j}", Term(w, "h")) for j, w in enumerate(explicit, start=1) if w != 0.0]
    reads += [(f"K{j}", Term(w)) for j, w in enumerate(implicit, start=1) if w != 0.0]
    reads += [(state, Term(1.0))] if state else []
    names, terms = zip(*reads, strict=True)
    return names, terms


@cache
def _sums(tableau: ImexTableau) -> dict[str, tuple[tuple[str, ...], tuple[Term, ...]]]:
    """Every sum of a step, by the name of its row. The implicit half ends in the last stage: x1 goes on from there."""
    stages = zip(tableau.explicit, tableau.implicit, strict=True)
    sums = {f"r{i}": known(explicit, implicit[:-1]) for i, (explicit, implicit) in enumerate(stages, start=1)}
    last = (*tableau.explicit[-1], 0.0)
    rest = tuple(b - a for b, a in zip(tableau.b_explicit, last, strict=True))
    sums["x1"] = known(rest, (), f"Y{tableau.stages}")
    if tableau.error is not None:
        sums["error"] = known(tableau.error, tableau.error, None)
    return sums


def _used(tableau: ImexTableau) -> set[str]:
    """Names that some sum of the step or its dense output reads."""
    dense = {f"{v}{i}" for i, row in enumerate(tableau.dense or (), start=1) if any(row) for v in "NK"}
    return dense.union(*(names for names, _ in _sums(tableau).values()))


@cache
def _layout(tableau: ImexTableau) -> tuple[Pattern, tuple[Term, ...], tuple[float, ...]]:
    """(rows, coefficients in reading order, nodes of the calls) of one step on a semilinear equation."""
    rows: list[Row] = []
    terms: list[Term] = []
    nodes: list[float] = []
    sums, used = _sums(tableau), _used(tableau)

    def row(out: str, reads: tuple[str, ...], weights: tuple[Term, ...], call: str | None = None) -> None:
        rows.append(Row(out, reads, call))
        terms.extend(weights)

    for i in range(1, tableau.stages + 1):
        row(f"r{i}", *sums[f"r{i}"])
        call = f"N{i}" if f"N{i}" in used else None
        row(f"Y{i}", (f"r{i}",), (Term(1.0, "R", i - 1),), call)
        if call is not None:
            nodes.append(tableau.c[i - 1])
        if f"K{i}" in used:
            row(f"K{i}", (f"r{i}",), (Term(1.0, "Q", i - 1),))
    row("x1", *sums["x1"])
    if tableau.error is not None:
        row("error", *sums["error"])
    return Pattern(tuple(rows), (("x", "x1"),)), tuple(terms), tuple(nodes)


def ARS222(*, linear: LinearSolver = DenseLU(), newton: Newton = Newton()) -> IMEXRK:
    """Ascher-Ruuth-Spiteri (2,2,2): order 2, two implicit stages, L-stable. Fixed steps."""
    return IMEXRK(tableaux.ARS222, linear, newton)


def ARS232(*, linear: LinearSolver = DenseLU(), newton: Newton = Newton()) -> IMEXRK:
    """Ascher-Ruuth-Spiteri (2,3,2): order 2, two implicit stages, for f_E with imaginary eigenvalues. Fixed steps."""
    return IMEXRK(tableaux.ARS232, linear, newton)


def ARS343(*, linear: LinearSolver = DenseLU(), newton: Newton = Newton()) -> IMEXRK:
    """Ascher-Ruuth-Spiteri (3,4,3): order 3, three implicit stages, for f_E with imaginary eigenvalues. Fixed steps."""
    return IMEXRK(tableaux.ARS343, linear, newton)


def ARS443(*, linear: LinearSolver = DenseLU(), newton: Newton = Newton()) -> IMEXRK:
    """Ascher-Ruuth-Spiteri (4,4,3): order 3, four implicit stages with gamma = 1/2: strong damping. Fixed steps."""
    return IMEXRK(tableaux.ARS443, linear, newton)


def KenCarp3(*, linear: LinearSolver = DenseLU(), newton: Newton = Newton()) -> IMEXRK:
    """Kennedy-Carpenter 3(2), three implicit stages. Tolerances of 1e-2 to 1e-4."""
    return IMEXRK(kencarp.KENCARP3, linear, newton)


def KenCarp4(*, linear: LinearSolver = DenseLU(), newton: Newton = Newton()) -> IMEXRK:
    """Kennedy-Carpenter 4(3), five implicit stages: the first to try on a split equation. Tolerances 1e-4 to 1e-7."""
    return IMEXRK(kencarp.KENCARP4, linear, newton)


def KenCarp5(*, linear: LinearSolver = DenseLU(), newton: Newton = Newton()) -> IMEXRK:
    """Kennedy-Carpenter 5(4), seven implicit stages. Tolerances below 1e-7."""
    return IMEXRK(kencarp.KENCARP5, linear, newton)
