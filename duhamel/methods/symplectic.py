"""Symplectic splitting: kicks and drifts in turn, each the exact flow of its half of the equation.

    kick:   p <- p + b_i h F(t_q, q)          drift:   q <- q + a_i h v(t_p, p)

for dq/dt = v(t, p), dp/dt = F(t, q), such as Hamilton's equations of H(q, p) = T(p) + U(q): v = dT/dp, F = -dU/dq. Each
map is symplectic, so is the step, and energy neither grows nor decays over exponentially long times. t_q moves with the
drifts and t_p with the kicks, which keeps the order when v and F depend on time.
Source: E. Hairer, C. Lubich, G. Wanner, Geometric Numerical Integration (2006), II.4-5, V.3.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import equinox as eqx

from duhamel.core.linear import Linear
from duhamel.core.problem import Problem, SeparableProblem
from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.step import Scaled, step

from .base import Bound, Env, Moment, RowMethod, Slots, tree_combine
from .fits import fitting, kind
from .tableaux import symplectic as tableaux
from .tableaux.symplectic import SplittingTableau

VELOCITY, FORCE = 0, 1


class Symplectic(RowMethod):
    """The splitting method of a tableau, for `Separable(velocity, force)` with x = (q, p). Equal steps only.

    Where a step ends in the kind of move with which the next one begins, the field's value there is kept (slot "F").
    """

    tableau: SplittingTableau = eqx.field(static=True)

    @property
    def order(self) -> int:
        return self.tableau.order

    @property
    def error_order(self) -> None:
        """None: steps that follow the local error would destroy the long-time behaviour of the energy."""
        return None

    @property
    def dense_order(self) -> int:
        return min(3, self.order)

    @property
    def fsal(self) -> bool:
        return self.tableau.moves[0][0] == self.tableau.moves[-1][0]

    @property
    def pattern(self) -> Pattern:
        return _layout(self.tableau)[0]

    def fields(self, problem: Problem) -> tuple[Callable, ...]:
        if not isinstance(problem, SeparableProblem):
            raise ValueError(
                f"{self.tableau.name} alternates between dq/dt = v(t, p) and dp/dt = F(t, q): write the problem as "
                f"Separable(velocity, force) with x = (q, p); for {kind(problem)} use {', '.join(fitting(problem))}."
            )
        return (
            lambda t, x, args: problem.velocity(t, x[1], args),
            lambda t, x, args: problem.force(t, x[0], args),
        )

    def coef(self, L: Linear, t: Any, h: Any) -> list[Any]:
        del L, t
        return [1.0 if w is None else Scaled(w, h) for w in _layout(self.tableau)[1]]

    def tau(self, t: Any, h: Any) -> list[Any]:
        return [t + c * h for c in _layout(self.tableau)[2]]

    def start(self, bound: Bound, t: Any, x: Any) -> Slots:
        first = FORCE if self.tableau.moves[0][0] == "p" else VELOCITY
        return {"x": x, "F": bound.call(first, t, x)} if self.fsal else {"x": x}

    def attempt(self, bound: Bound, at: Moment, slots: Slots) -> Env:
        q, p = slots["x"]
        halves = {"q": q, "p": p} | {name: value for name, value in slots.items() if name != "x"}
        # Each field reads its own half of the state; the other half is only there to complete it.
        models = [lambda t, p: bound.call(VELOCITY, t, (q, p)), lambda t, q: bound.call(FORCE, t, (q, p))]
        coef, tau = bound.coefficients(at, slots), self.tau(at.t, at.h)
        env = step(self.pattern, coef, tau, halves, models, tree_combine)
        end = dict(self.pattern.keep)
        return env | {"x": slots["x"], "x1": (env[end["q"]], env[end["p"]])}

    def keep(self, env: Env) -> Slots:
        kept = {slot: env[source] for slot, source in self.pattern.keep if slot not in ("q", "p")}
        return {"x": env["x1"]} | kept


# A weight of None stands for the kept half of the state, whose coefficient is 1 and carries no h.
Weights = tuple[float | None, ...]


@cache
def _layout(tableau: SplittingTableau) -> tuple[Pattern, Weights, tuple[float, ...]]:
    """(rows, weights in reading order, nodes of the calls) of one step on the halves q and p."""
    rows: list[Row] = []
    weights: list[float | None] = []
    nodes: list[float] = []
    moves = tableau.moves
    other, field = {"q": "p", "p": "q"}, {"q": FORCE, "p": VELOCITY}  # what is evaluated at a half
    at, time = {"q": "q", "p": "p"}, {"q": 0.0, "p": 0.0}
    fsal = moves[0][0] == moves[-1][0]
    value = "F"
    if not fsal:
        first = other[moves[0][0]]
        value = "F0"
        rows.append(Row(f"{first}0", (first,), value, field[first]))
        weights.append(None)
        nodes.append(0.0)
    for i, (half, weight) in enumerate(moves, start=1):
        last = i == len(moves)
        out, call = f"{half}{i}", None if last else f"F{i}"
        rows.append(Row(out, (value, at[half]), call, field[half]))
        weights.extend((weight, None))
        at[half], time[half] = out, time[half] + weight
        if call is not None:
            nodes.append(time[half])
            value = call
    keep = (("q", at["q"]), ("p", at["p"])) + ((("F", value),) if fsal else ())
    return Pattern(tuple(rows), keep), tuple(weights), tuple(nodes)


def SemiImplicitEuler() -> Symplectic:
    """Symplectic Euler, order 1: a kick, then a drift with the new momentum."""
    return Symplectic(tableaux.SEMI_IMPLICIT_EULER)


def StormerVerlet() -> Symplectic:
    """Stormer-Verlet in its velocity form (leapfrog): half a kick, a drift, half a kick. Order 2, one force a step."""
    return Symplectic(tableaux.VELOCITY_VERLET)


def PositionVerlet() -> Symplectic:
    """Stormer-Verlet in its position form: half a drift, a kick, half a drift. Order 2, one force a step."""
    return Symplectic(tableaux.POSITION_VERLET)


def Yoshida4() -> Symplectic:
    """Yoshida's triple jump, order 4, three forces a step. McLachlan4 is more accurate for the same work."""
    return Symplectic(tableaux.YOSHIDA4)


def Yoshida6() -> Symplectic:
    """Yoshida's order 6 (solution A), seven forces a step."""
    return Symplectic(tableaux.YOSHIDA6)


def Yoshida8() -> Symplectic:
    """Yoshida's order 8 (solution D), fifteen forces a step."""
    return Symplectic(tableaux.YOSHIDA8)


def McLachlan4() -> Symplectic:
    """McLachlan's optimised order 4, five forces a step: the choice for long runs at moderate accuracy."""
    return Symplectic(tableaux.MCLACHLAN4)


def McLachlan8() -> Symplectic:
    """Order 8 with the least error among fifteen-stage compositions, fifteen forces a step. Use it in float64."""
    return Symplectic(tableaux.MCLACHLAN8)
