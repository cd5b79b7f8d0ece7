"""Underdamped Langevin dynamics: methods whose friction and noise are exact, or nearly so, between few gradients.

    dq = v dt,     dv = -gamma v dt - u grad U(t, q) dt + sqrt(2 gamma u) dW

x = (q, v); gamma and u positive, one number for all or one a component. With z = gamma h, rho = sqrt(2 gamma u) and
phi_k = phi_k(-z), the flow without the gradient takes v to e^(-z) v and q to q + h phi_1 v, and adds the noises

    of v    rho int e^(-gamma (h-r)) dW               = rho (phi_1 dW - sqrt(12) z S H)
    of q    rho int (1 - e^(-gamma (h-r)))/gamma dW   = rho h (phi_2 dW + sqrt(12) S H)

with S^2 = phi_1 (phi_2/2 - phi_3). Both sides have exactly the same joint law, and differ on the path by O(z^2):
gamma times the second plus the first is rho dW, and S is chosen for the variance.
"""

from abc import abstractmethod
from collections.abc import Callable
from math import sqrt
from typing import Any

import jax
import jax.numpy as jnp

from duhamel.core.phi_traced import phis
from duhamel.core.problem import LangevinProblem, Problem
from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.step import kept, step

from .base import Bound, Env, Method, Moment, Slots, like, tree_combine
from .fits import refuse

ROOT12, ROOT720 = sqrt(12.0), sqrt(720.0)
LEFT, RIGHT = 0.5 - sqrt(3.0) / 6.0, 0.5 + sqrt(3.0) / 6.0


class LangevinMethod(Method):
    """Rows on the halves q and v of the state, whose coefficients are functions of gamma h, one a component.

    A value saved inside a step is a step of that length along the same Brownian path.
    """

    @property
    @abstractmethod
    def pattern(self) -> Pattern:
        """Rows that build q1 and v1, and perhaps an error of v."""

    @property
    @abstractmethod
    def nodes(self) -> tuple[float, ...]:
        """Times of the gradients, in steps."""

    @abstractmethod
    def numbers(self, gamma: Any, u: Any, h: Any) -> list[Any]:
        """Coefficients in the order in which the rows read, for components with this gamma and u."""

    @property
    def error_order(self) -> int | None:
        return None

    @property
    def dense_order(self) -> int:
        return 0

    @property
    def noise(self) -> tuple[str, ...]:
        return self.pattern.draws

    @property
    def calls(self) -> int:
        return self.pattern.calls

    @property
    def started(self) -> int:
        return int("F" in self.pattern.slots)

    def fields(self, problem: Problem) -> tuple[Callable, ...]:
        if not isinstance(problem, LangevinProblem):
            refuse(f"{type(self).__name__}, which is for Langevin(gradient, gamma, u) with x = (q, v),", problem)
        return (lambda t, x, args: problem.gradient(t, x[0], args),)

    def start(self, bound: Bound, t: Any, x: Any) -> Slots:
        return {"x": x} | ({"F": bound.call(0, t, x)} if self.started else {})

    def attempt(self, bound: Bound, at: Moment, slots: Slots) -> Env:
        q, v = slots["x"]
        halves = {"q": q, "v": v} | {name: value for name, value in slots.items() if name != "x"}
        coef = [like(c, q) for c in self._coefficients(bound, at)]
        tau = [at.t + c * at.h for c in self.nodes]
        gradient = lambda t, q: bound.call(0, t, (q, v))  # noqa: E731
        env = step(self.pattern, coef, tau, halves | bound.draws(at), [gradient], tree_combine)
        found = env | {"x": slots["x"], "x1": (env["q1"], env["v1"])}
        return found | ({"error": (jax.tree.map(jnp.zeros_like, q), env["error"])} if "error" in env else {})

    def _coefficients(self, bound: Bound, at: Moment) -> list[Any]:
        """With lanes, one number a component stands in front of the lanes."""
        both = [jnp.asarray(p) for p in (bound.problem.gamma, bound.problem.u)]
        gamma, u = (jnp.expand_dims(p, -1) if bound.lanes and p.ndim else p for p in both)
        return self.numbers(gamma, u, at.h)

    def keep(self, env: Env) -> Slots:
        slots = {name: value for name, value in kept(self.pattern, env).items() if name not in ("q", "v")}
        return {"x": env["x1"]} | slots

    def densify(self, bound: Bound, at: Moment, env: Env) -> Env:
        return {"x": env["x"], "x1": env["x1"]}

    def interpolate(self, bound: Bound, at: Moment, theta: Any, basis: Env) -> Any:
        return tree_combine([theta, 1.0 - theta], [basis["x1"], basis["x"]])


def _flow(gamma: Any, u: Any, h: Any) -> tuple[Any, Any, Any, list[Any], Any]:
    """(z, rho, e^(-z), [phi_0, ..., phi_3](-z), S)."""
    z = gamma * h
    p = phis(3, -z)
    return z, jnp.sqrt(2.0 * gamma * u), p[0], p, jnp.sqrt(p[1] * (0.5 * p[2] - p[3]))


class UBU(LangevinMethod):
    """Half the flow of friction and noise, one gradient, the other half: strong order 2, one gradient a step.

    Exact where there is no gradient; where there is, the chain has exactly the law of UBU: the noise of the position at
    the middle and both noises at the end are made of dW, H and K. The usual choice for sampling. Good steps: up to
    1 / sqrt(u times the largest curvature of U).

    Sanz-Serna and Zygalakis, Wasserstein distance estimates for the distributions of numerical approximations to
    ergodic stochastic differential equations, JMLR 22, 2021, arXiv 2104.12384; Zapatero, PhD thesis, Valladolid, 2017.
    """

    @property
    def order(self) -> int:
        return 2

    @property
    def pattern(self) -> Pattern:
        return _UBU

    @property
    def nodes(self) -> tuple[float, ...]:
        return (0.5,)

    def numbers(self, gamma: Any, u: Any, h: Any) -> list[Any]:
        z, rho, E, p, S = _flow(gamma, u, h)
        half = phis(3, -0.5 * z)
        # The position's noise at the middle, c0 dW + c1 H + c2 K, from its covariances with both noises at the end.
        along = 0.5 * (half[1] + half[0]) - half[3] * (1.0 + half[0] + 0.5 * z * half[0])
        c0, c1 = 0.25 * half[2], half[1] * along / S
        left = 0.125 * (4.0 * p[3] - 2.0 * half[3]) - c0 * c0 - c1 * c1 / 256.0
        middle = [rho * h * c0, rho * h * (ROOT12 / 16.0) * c1, rho * h * ROOT720 * jnp.sqrt(left)]
        kick = -u * h
        return [
            *(*middle, 0.5 * h * half[1], 1.0),
            *(kick * 0.5 * h * half[1], rho * h * ROOT12 * S, rho * h * p[2], h * p[1], 1.0),
            *(kick * half[0], -rho * ROOT12 * z * S, rho * p[1], E),
        ]


_UBU = Pattern(
    (
        Row("y", ("dW", "H", "K", "v", "q"), "g"),
        Row("q1", ("g", "H", "dW", "v", "q")),
        Row("v1", ("g", "H", "dW", "v")),
    ),
    (("q", "q1"), ("v", "v1")),
    ("dW", "H", "K"),
)


class ALIGN(LangevinMethod):
    """Gradients interpolated between both ends: strong order 2, one gradient a step, with an error estimate.

    Source: as diffrax's method of this name, after Foster, Lyons and Oberhauser, The shifted ODE method for underdamped
    Langevin MCMC, 2021, arXiv 2101.03446, definition 4.2.
    """

    @property
    def order(self) -> int:
        return 2

    @property
    def error_order(self) -> int:
        return 1

    @property
    def pattern(self) -> Pattern:
        return _ALIGN

    @property
    def nodes(self) -> tuple[float, ...]:
        return (1.0,)

    def numbers(self, gamma: Any, u: Any, h: Any) -> list[Any]:
        z, rho, E, p, S = _flow(gamma, u, h)
        kick = -u * h
        return [
            *(kick * h * p[2], rho * h * ROOT12 * S, rho * h * p[2], h * p[1], 1.0),
            *(kick * p[2], kick * (p[1] - p[2]), -rho * ROOT12 * z * S, rho * p[1], E),
            *(kick * p[2], -kick * p[2]),
        ]


_ALIGN = Pattern(
    (
        Row("q1", ("F", "H", "dW", "v", "q"), "F1"),
        Row("v1", ("F1", "F", "H", "dW", "v")),
        Row("error", ("F1", "F")),
    ),
    (("q", "q1"), ("v", "v1"), ("F", "F1")),
    ("dW", "H"),
)


class QUICSORT(LangevinMethod):
    """Two gradients a step at the Gauss points of a path made of dW, H and K: strong order 3 where U is smooth enough.

    Scott, O'Kane, Jelincic and Foster, Underdamped Langevin MCMC with third order convergence, 2025, arXiv 2508.16485.
    """

    @property
    def order(self) -> int:
        return 3

    @property
    def pattern(self) -> Pattern:
        return _QUICSORT

    @property
    def nodes(self) -> tuple[float, ...]:
        return (LEFT, RIGHT)

    def numbers(self, gamma: Any, u: Any, h: Any) -> list[Any]:
        z, rho = gamma * h, jnp.sqrt(2.0 * gamma * u)
        (El, al, bl), (Er, ar, br), (E, a, b) = (_to(c, z, h) for c in (LEFT, RIGHT, 1.0))
        third = _to(1.0 / 3.0, z, h)[1]
        kick, phi1 = -u * h, phis(1, -z)[1]
        return [
            *(6.0 * rho, rho, 1.0),
            *(-12.0 * rho * bl, rho * bl, al, 1.0),
            *(kick * third, -12.0 * rho * br, rho * br, ar, 1.0),
            *(0.5 * kick * ar, 0.5 * kick * al, -12.0 * rho * b, rho * b, a, 1.0),
            *(0.5 * kick * Er, 0.5 * kick * El, (6.0 - 12.0 * phi1) * rho, -rho, rho * phi1, E),
        ]


def _to(c: float, z: Any, h: Any) -> tuple[Any, Any, Any]:
    """(e^(-gamma r), int_0^r e^(-gamma s) ds, its integral over h) at r = c h."""
    p = phis(2, -c * z)
    return p[0], c * h * p[1], c * c * h * p[2]


_QUICSORT = Pattern(
    (
        Row("w", ("K", "H", "v")),
        Row("y1", ("K", "dW", "w", "q"), "g1"),
        Row("y2", ("g1", "K", "dW", "w", "q"), "g2"),
        Row("q1", ("g1", "g2", "K", "dW", "w", "q")),
        Row("v1", ("g1", "g2", "K", "H", "dW", "w")),
    ),
    (("q", "q1"), ("v", "v1")),
    ("dW", "H", "K"),
)


class BAOAB(LangevinMethod):
    """Kick, drift, friction and noise, drift, kick: strong order 1, averages of q to order 2, one gradient a step.

    Leimkuhler and Matthews, Rational construction of stochastic numerical methods for molecular sampling, Appl. Math.
    Res. Express, 2013, arXiv 1203.5428: for a harmonic potential the stationary law of q is exact, whatever the step.
    """

    @property
    def order(self) -> int:
        return 1

    @property
    def pattern(self) -> Pattern:
        return _BAOAB

    @property
    def nodes(self) -> tuple[float, ...]:
        return (1.0,)

    def numbers(self, gamma: Any, u: Any, h: Any) -> list[Any]:
        z, half = gamma * h, 0.5 * h
        rho = jnp.sqrt(2.0 * gamma * u * phis(1, -2.0 * z)[1])
        return [-half * u, 1.0, half, 1.0, rho, jnp.exp(-z), half, 1.0, -half * u, 1.0]


_BAOAB = Pattern(
    (
        Row("b", ("F", "v")),
        Row("a", ("b", "q")),
        Row("o", ("dW", "b")),
        Row("q1", ("o", "a"), "F1"),
        Row("v1", ("F1", "o")),
    ),
    (("q", "q1"), ("v", "v1"), ("F", "F1")),
    ("dW",),
)
