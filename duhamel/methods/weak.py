"""DRI1, of weak order 2 for every Ito noise: for expectations, not for paths.

    x1 = x + h sum_i alpha_i f_i + S,           f_i = f(t + c_i h, x + h sum_j A0_ij f_j + B0_i G(x) dW)

    S = sum_k sum_i g_k(H_i^k) (beta1_i dW_k + beta2_i I_kk / sqrt(h))
      + sum_k sum_(l != k) sum_i g_k(Hh_i^l) (beta3_i dW_k + beta4_i I_kl / sqrt(h))

    H_1^k  = x,     H_2,3^k  = x + a h f +- b g_k(x) sqrt(h)
    Hh_1^l = x,     Hh_2,3^l = x -+ (p g_l(x) + q g_l(H_2^l) + q g_l(H_3^l)) sqrt(h)
    I_kk = (dW_k^2 - h) / 2,   I_kl = (dW_k dW_l -+ h e_min(k, l)) / 2 for k < l (-) and k > l (+),   e_k = +-1

g_k is the k-th column of G. The sum over l != k vanishes for diagonal and scalar noise. The signs e_k are those of the
space-time areas of the step, which do not depend on dW. Numbers in `tableaux.weak`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from duhamel.core.linear import Linear
from duhamel.core.problem import Stochastic
from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.step import Scaled, step

from .base import Bound, Env, Moment, Slots, calls, tree_combine
from .stochastic import StochasticMethod, iterated
from .tableaux import weak as tableaux


class DRI1(StochasticMethod):
    """Weak order 2, Ito, every noise; three calls of the drift, deterministic order 3. Fixed steps.

    With m columns of noise the diffusion is evaluated 4 m + 1 times a step, else three times.
    """

    @property
    def calculus(self) -> str:
        return "ito"

    @property
    def strong(self) -> dict[str, float]:
        return {"additive": 1.0, "scalar": 1.0, "diagonal": 1.0, "commutative": 1.0, "general": 0.5}

    @property
    def error_order(self) -> int | None:
        return None

    @property
    def noise(self) -> tuple[str, ...]:
        return ("dW", "H")

    @property
    def calls(self) -> int:
        """The drift and, for elementwise noise, the diffusion."""
        return 6

    @property
    def pattern(self) -> Pattern:
        rows = (
            Row("z0", ("x",), "f0"),
            Row("y0", ("z0",), "G", model=1, args=("dW",)),
            Row("z1", ("f0", "G", "x"), "f1"),
            Row("z2", ("f0", "f1", "G", "x"), "f2"),
            Row("y", ("z0",), "S", model=2, args=("f0", "dW", "H", "h")),
            Row("x1", ("f0", "f1", "f2", "S", "x")),
        )
        return Pattern(rows, (("x", "x1"),), draws=("dW", "H", "h"))

    def stochastic_fields(self, problem: Stochastic) -> tuple[Callable, ...]:
        return problem.field, problem.diffuse, noise_of_step(problem, tableaux.DRI1)

    def coef(self, L: Linear, t: Any, h: Any) -> list[Any]:
        del L, t
        n = tableaux.DRI1
        scaled = lambda weights: [Scaled(w, h) for w in weights]  # noqa: E731
        second = [*scaled(n.A0[1]), n.B0[1], 1.0]
        third = [*scaled(n.A0[2]), n.B0[2], 1.0]
        return [1.0, 1.0, *second, *third, 1.0, *scaled(n.alpha), 1.0, 1.0]

    def tau(self, t: Any, h: Any) -> list[Any]:
        first, second, third = (t + c * h for c in tableaux.DRI1.c)
        return [first, first, second, third, first]

    def attempt(self, bound: Bound, at: Moment, slots: Slots) -> Env:
        coef, tau = bound.coefficients(at, slots), self.tau(at.t, at.h)
        env = slots | bound.draws(at) | {"h": at.h}
        return step(self.pattern, coef, tau, env, calls(bound, self.pattern), tree_combine)


def noise_of_step(problem: Stochastic, n: tableaux.Weak) -> Callable:
    """The sum S as a function of (t, x, args, f, dW, H, h)."""

    def chain(t: Any, x: Any, args: Any, f: Any, h: Any, up: Any, w: Any, w2: Any) -> tuple[Any, Any, Any]:
        """G w at x, and G (w + ...) at H_2 and H_3, where `up` points along the noise with the size sqrt(h)."""
        lift = problem.diffuse(t, x, args, up)
        ahead = [jax.tree.map(lambda x, f, g, s=s: x + n.a * h * f + s * n.b * g, x, f, lift) for s in (1.0, -1.0)]
        first = problem.diffuse(t, x, args, w)
        plus, minus = (problem.diffuse(t + n.a * h, z, args, v) for z, v in zip(ahead, (w2[0], w2[1]), strict=True))
        return first, plus, minus

    def elementwise(t: Any, x: Any, args: Any, f: Any, dW: Any, H: Any, h: Any) -> Any:
        del H
        draws = iterated(("root", "I11"), {"dW": dW}, h)
        mixed = [
            jax.tree.map(lambda w, i, s=s: n.beta1[1] * w + s * n.beta2 * i, dW, draws["I11"]) for s in (1.0, -1.0)
        ]
        first, plus, minus = chain(t, x, args, f, h, draws["root"], dW, mixed)
        return jax.tree.map(lambda g, p, m: n.beta1[0] * g + p + m, first, plus, minus)

    def columns(t: Any, x: Any, args: Any, f: Any, dW: Any, H: Any, h: Any) -> Any:
        eye = jnp.eye(dW.shape[0], dtype=dW.dtype)
        root = iterated(("root",), {"dW": dW}, h)["root"]
        size = jnp.where(root[0] > 0, root[0], 1.0)
        twice = _mixed_integrals(dW, H, h) / size  # I_kl / sqrt(h) at [k, l], k the column of g that it multiplies

        def one(unit: Any, w: Any, own: Any, across: Any) -> Any:
            """Terms with H^l and Hh^l of one l: unit e_l, w = dW_l e_l, own I_ll / sqrt(h) e_l, across I_kl over k."""
            up = unit * root
            mixed = (n.beta1[1] * w + n.beta2 * own, n.beta1[1] * w - n.beta2 * own)
            first, plus, minus = chain(t, x, args, f, h, up, w, mixed)
            total = jax.tree.map(lambda g, p, m: n.beta1[0] * g + p + m, first, plus, minus)
            lifted, g2, g3 = chain(t, x, args, f, h, up, up, (up, up))
            others = (1.0 - unit) * dW
            total = _add(total, problem.diffuse(t, x, args, n.beta3[0] * others))
            for sign in (-1.0, 1.0):
                z = jax.tree.map(lambda x, g, g2, g3, s=sign: x + s * (n.p * g + n.q * (g2 + g3)), x, lifted, g2, g3)
                w3 = n.beta3[1] * others - sign * n.beta4 * across
                total = _add(total, problem.diffuse(t, z, args, w3))
            return total

        each = jax.vmap(one)(eye, eye * dW, eye * jnp.diag(twice), (twice * (1.0 - eye)).T)
        return jax.tree.map(lambda leaf: leaf.sum(0), each)

    return columns if problem.noise in ("commutative", "general") else elementwise


def _mixed_integrals(dW: Any, H: Any, h: Any) -> Any:
    """I_kl at [k, l]."""
    m = dW.shape[0]
    k, l = jnp.arange(m)[:, None], jnp.arange(m)[None, :]
    sign = jnp.where(H < 0, -1.0, 1.0).astype(dW.dtype)[jnp.minimum(k, l)]
    turn = jnp.where(k < l, -sign, jnp.where(k > l, sign, -1.0)).astype(dW.dtype)
    return 0.5 * (jnp.outer(dW, dW) + turn * h)


def _add(a: Any, b: Any) -> Any:
    return jax.tree.map(jnp.add, a, b)
