"""Lie and Strang splitting: the parts of an equation in turn, each by its exact flow or by a base method.

    Lie     Phi_h = phi^m_h ... phi^2_h phi^1_h                                                     order 1
    Strang  S_h   = phi^1_{h/2} ... phi^{m-1}_{h/2} phi^m_h phi^{m-1}_{h/2} ... phi^1_{h/2}         order 2, symmetric
    order 4, 6    S_{w_1 h} S_{w_2 h} ... S_{w_1 h}, with Yoshida's weights, some of them negative

The last part is the one called least often. Each part has a clock of its own, which moves with its own substeps: that
keeps the order when parts depend on time.
Source: G. Strang, SIAM J. Numer. Anal. 5 (1968) 506-517; R. I. McLachlan, G. R. W. Quispel, Splitting methods, Acta
Numerica 11 (2002) 341-434.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import equinox as eqx
import jax.numpy as jnp

from duhamel.core.flows import FlowsProblem
from duhamel.core.linear import Zero
from duhamel.core.problem import Deterministic, Problem, SplitProblem

from .base import Bound, Env, Method, Moment, Slots, like, tree_combine
from .explicit import RK4, Midpoint
from .fits import fitting, kind
from .tableaux.symplectic import SOLUTION_A, TRIPLE_JUMP, closed
from .view import View, one_step

COMPOSITIONS = {2: (1.0,), 4: closed(TRIPLE_JUMP), 6: closed(SOLUTION_A)}


class Splitting(Method):
    """One step of each part in turn, for

    Flows(flow_1, ...)           the parts' exact flows
    Semilinear(L, N)             the exact flow of L, a step of the base on N: "split-step Fourier" where L is diagonal
    Split(explicit, implicit)    a step of the base on each; a pair of bases gives each its own

    composition  weights w_i of the Strang steps, or () for Lie's order
    bases        one-step methods, one for all parts or one for each
    """

    composition: tuple[float, ...] = eqx.field(static=True)
    claimed: int = eqx.field(static=True)
    bases: tuple[Method, ...]

    @property
    def order(self) -> int:
        """With exact flows. A base of lower order lowers it."""
        return self.claimed

    @property
    def error_order(self) -> None:
        return None

    @property
    def dense_order(self) -> int:
        return min(3, self.claimed)

    def fields(self, problem: Problem) -> tuple[Callable, ...]:
        if isinstance(problem, FlowsProblem):
            return tuple(lambda t, x, args, h, flow=flow: flow(t, h, x, args) for flow in problem.flows)
        if isinstance(problem, SplitProblem):
            return problem.explicit, problem.implicit
        if isinstance(problem, Deterministic) and not isinstance(problem.L, Zero):
            return (problem.N,)
        raise ValueError(
            "Lie() and Strang() need the parts of an equation: write Flows(flow_1, flow_2, ...), Semilinear(L, N) or "
            f"Split(explicit, implicit); for {kind(problem)} use {', '.join(fitting(problem)[:3])}."
        )

    def start(self, bound: Bound, t: Any, x: Any) -> Slots:
        del bound, t
        return {"x": x}

    def attempt(self, bound: Bound, at: Moment, slots: Slots) -> Env:
        problem: Any = bound.problem
        parts = len(problem.flows) if isinstance(problem, FlowsProblem) else 2
        clock = [0.0] * parts
        x, counts = slots["x"], {"nfe": jnp.zeros(at.h.shape, jnp.int32)}
        for part, weight in _moves(parts, self.composition):
            moment = Moment(at.index, at.s + clock[part] * at.h, at.t + clock[part] * at.h, weight * at.h)
            x, more = self._advance(bound, part, moment, x)
            clock[part] += weight
            counts = {name: counts.get(name, 0) + more.get(name, 0) for name in counts | more}
        failed = counts.pop("failed", None)
        return {"x": slots["x"], "x1": x} | counts | ({} if failed is None else {"failed": failed > 0})

    def keep(self, env: Env) -> Slots:
        return {"x": env["x1"]}

    def _advance(self, bound: Bound, part: int, at: Moment, x: Any) -> tuple[Any, Env]:
        """(x after a substep of one part, what it cost)."""
        problem: Any = bound.problem
        if isinstance(problem, FlowsProblem):
            return bound.call(part, at.t, x, at.h), {"nfe": 1}
        field = part
        if isinstance(problem, Deterministic):
            if part == 0:
                return tree_combine([like(bound.L.flow(at.t, at.h), x)], [x]), {}
            field = 0
        base = self.bases[part % len(self.bases)]
        env = View(bound, base, field).step(at, x)
        cost = {"nfe": base.started + env.get("nfe", base.calls)}
        cost |= {name: env[name] for name in ("jacobians", "factorizations") if name in env}
        return env["x1"], cost | ({"failed": env["failed"].astype(jnp.int32)} if "failed" in env else {})


@cache
def _moves(parts: int, composition: tuple[float, ...]) -> tuple[tuple[int, float], ...]:
    """(part, weight) in the order of a step; neighbours of the same part are one substep."""
    if not composition:
        return tuple((part, 1.0) for part in range(parts))
    moves: list[tuple[int, float]] = []
    there = [*range(parts - 1), parts - 1, *reversed(range(parts - 1))]
    for weight in composition:
        for part in there:
            share = weight if part == parts - 1 else 0.5 * weight
            if moves and moves[-1][0] == part:
                share += moves.pop()[1]
            moves.append((part, share))
    return tuple(moves)


def Lie(base: Any = None) -> Splitting:
    """Lie splitting, order 1: the parts one after another.

    base  how a part without an exact flow is advanced: Midpoint() unless told, or a method for each part
    """
    return Splitting((), 1, _bases("Lie", base, Midpoint()))


def Strang(base: Any = None, order: int = 2) -> Splitting:
    """Strang splitting, order 2; 4 or 6 as Yoshida's composition of it.

    base   how a part without an exact flow is advanced, to at least this order: Midpoint() unless told, RK4() for the
           higher orders; or a method for each part
    order  4 and 6 take substeps backwards in time, which parts that dissipate strongly (diffusion) do not survive
    """
    if order not in COMPOSITIONS:
        raise ValueError(f"Strang has the orders {', '.join(map(str, COMPOSITIONS))}, got order={order!r}.")
    return Splitting(COMPOSITIONS[order], order, _bases("Strang", base, Midpoint() if order == 2 else RK4()))


def _bases(name: str, base: Any, default: Method) -> tuple[Method, ...]:
    bases = base if isinstance(base, tuple | list) else (default if base is None else base,)
    if len(bases) not in (1, 2):
        raise ValueError(f"{name} takes one base, or one for each of the two parts, got {len(bases)}.")
    return tuple(one_step(method, name) for method in bases)
