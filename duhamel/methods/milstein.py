"""Milstein's method: the Euler-Maruyama step and every iterated integral of the noise of order h.

    x1 = x + h f + G dW + sum_jk (g_j . grad) g_k I_jk,        I_jk = int_0^h int_0^s dW_j(r) dW_k(s)

In Ito's sense I_jk = (dW_j dW_k - delta_jk h) / 2 + A_jk, in Stratonovich's without h; A is the Levy area of the step,
A_jk = (1/2) int (W_j dW_k - W_k dW_j). Where noise commutes A cancels. Derivatives are Jacobian-vector products: one
for diagonal, scalar and Stratonovich commutative noise, else one for each Brownian motion.

Source: G. N. Milstein, Theory Probab. Appl. 19 (1975) 557; P. E. Kloeden, E. Platen, Numerical Solution of Stochastic
Differential Equations (1992), section 10.3.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from duhamel.core.linear import Linear
from duhamel.core.problem import Problem, Stochastic
from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.step import Scaled, step

from .base import Bound, Env, Moment, Slots, calls, tree_combine
from .fits import refuse
from .stochastic import StochasticMethod


class Milstein(StochasticMethod):
    """Strong order 1, in Ito's or Stratonovich's sense as the problem says. Fixed steps.

    areas  draw Levy areas too, which general noise needs; noise with columns only
    """

    areas: bool = eqx.field(static=True, default=False)

    @property
    def calculus(self) -> str:
        return "ito"

    @property
    def strong(self) -> dict[str, float]:
        kinds = ("commutative", "general") if self.areas else ("additive", "scalar", "diagonal", "commutative")
        return dict.fromkeys(kinds, 1.0)

    @property
    def error_order(self) -> int | None:
        return None

    @property
    def noise(self) -> tuple[str, ...]:
        return ("dW", "A") if self.areas else ("dW",)

    @property
    def calls(self) -> int:
        """The drift and the diffusion."""
        return 2

    @property
    def pattern(self) -> Pattern:
        args = ("dW", "h", "A") if self.areas else ("dW", "h")
        rows = (
            Row("z", ("x",), "f"),
            Row("y", ("z",), "m", model=1, args=args),
            Row("x1", ("f", "m", "x")),
        )
        return Pattern(rows, (("x", "x1"),), draws=args)

    def check(self, problem: Problem) -> Stochastic:
        if not isinstance(problem, Stochastic):
            refuse(f"{self.name}, which needs a noise,", problem)
        if problem.noise == "general" and not self.areas:
            refuse("Milstein() without Levy areas", problem)
        if problem.noise not in self.strong:
            refuse("Milstein(areas=True), which needs noise with columns,", problem)
        return problem

    def stochastic_fields(self, problem: Stochastic) -> tuple[Callable, ...]:
        return problem.field, noise_terms(problem)

    def coef(self, L: Linear, t: Any, h: Any) -> list[Any]:
        del L, t
        return [1.0, 1.0, Scaled(1.0, h), 1.0, 1.0]

    def tau(self, t: Any, h: Any) -> list[Any]:
        del h
        return [t, t]

    def attempt(self, bound: Bound, at: Moment, slots: Slots) -> Env:
        coef, tau = bound.coefficients(at, slots), self.tau(at.t, at.h)
        env = slots | bound.draws(at) | {"h": at.h}
        return step(self.pattern, coef, tau, env, calls(bound, self.pattern), tree_combine)


def noise_terms(problem: Stochastic) -> Callable:
    """G dW + sum_jk (g_j . grad) g_k I_jk as a function of (t, x, args, dW, h[, A])."""
    ito = problem.calculus == "ito"

    def additive(t: Any, x: Any, args: Any, dW: Any, h: Any) -> Any:
        del h
        return problem.diffuse(t, x, args, dW)

    def elementwise(t: Any, x: Any, args: Any, dW: Any, h: Any) -> Any:
        one = jax.tree.map(jnp.ones_like, dW)
        twice = jax.tree.map(lambda w: 0.5 * (w * w - h) if ito else 0.5 * w * w, dW)
        along = problem.diffuse(t, x, args, twice)
        _, bend = jax.jvp(lambda x: problem.diffuse(t, x, args, one), (x,), (along,))
        return jax.tree.map(jnp.add, problem.diffuse(t, x, args, dW), bend)

    def symmetric(t: Any, x: Any, args: Any, dW: Any, h: Any) -> Any:
        del h
        shift = problem.diffuse(t, x, args, dW)
        _, bend = jax.jvp(lambda x: problem.diffuse(t, x, args, dW), (x,), (shift,))
        return jax.tree.map(lambda g, b: g + 0.5 * b, shift, bend)

    def columns(t: Any, x: Any, args: Any, dW: Any, h: Any, A: Any = None) -> Any:
        eye = jnp.eye(dW.shape[0], dtype=dW.dtype)
        twice = 0.5 * (jnp.outer(dW, dW) - h * eye) if ito else 0.5 * jnp.outer(dW, dW)
        twice = twice if A is None else twice + A

        def one(column: Any, unit: Any) -> Any:
            along = problem.diffuse(t, x, args, column)
            return jax.jvp(lambda x: problem.diffuse(t, x, args, unit), (x,), (along,))[1]

        bends = jax.vmap(one)(twice.T, eye)
        return jax.tree.map(lambda g, b: g + b.sum(0), problem.diffuse(t, x, args, dW), bends)

    if problem.noise == "additive":
        return additive
    if problem.noise in ("scalar", "diagonal"):
        return elementwise

    def by_columns(t: Any, x: Any, args: Any, dW: Any, h: Any, A: Any = None) -> Any:
        if not ito and problem.noise == "commutative":
            return symmetric(t, x, args, dW, h)  # areas cancel
        return columns(t, x, args, dW, h, A)

    return by_columns
