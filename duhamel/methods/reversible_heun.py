"""Reversible Heun: an SDE method whose step can be undone exactly, with one evaluation of each field a step.

    xhat1 = 2 x - xhat + f(t, xhat) h + G(t, xhat) dW
    x1    = x + (f(t, xhat) + f(t + h, xhat1)) h / 2 + (G(t, xhat) + G(t + h, xhat1)) dW / 2

Undone by the same step with -h and -dW from (x1, xhat1): the path is rebuilt backwards from its end.

Source: P. Kidger, J. Foster, X. Li, T. Lyons, Efficient and accurate gradients for neural SDEs, 2021, arXiv:2105.13493.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from duhamel.core.linear import Linear
from duhamel.core.problem import Stochastic
from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.step import Scaled, step

from .base import Bound, Moment, Slots, calls, like, tree_combine
from .stochastic import StochasticMethod

_ROWS = (
    Row("y", ("G",), "Gw", model=2, args=("dW", "x")),
    Row("xhat1", ("F", "Gw", "xhat", "x"), "F1"),
    Row("z1", ("xhat1",), "G1", model=1),
    Row("y1", ("G1",), "G1w", model=2, args=("dW", "x")),
    Row("x1", ("F", "F1", "Gw", "G1w", "x")),
    Row("error", ("F", "F1", "Gw", "G1w")),
)
_KEEP = (("x", "x1"), ("xhat", "xhat1"), ("F", "F1"), ("G", "G1"))
_PATTERN = Pattern(_ROWS, _KEEP, draws=("dW",))


class ReversibleHeun(StochasticMethod):
    """Stratonovich, every noise: strong order 1 where noise commutes, else 0.5; adaptive. Two states, x and xhat."""

    @property
    def calculus(self) -> str:
        return "stratonovich"

    @property
    def strong(self) -> dict[str, float]:
        return {"additive": 1.0, "scalar": 1.0, "diagonal": 1.0, "commutative": 1.0, "general": 0.5}

    @property
    def error_order(self) -> int | None:
        return 0

    @property
    def carried(self) -> tuple[str, ...]:
        return ("xhat", "F", "G")

    @property
    def calls(self) -> int:
        """The drift and the diffusion."""
        return 2

    @property
    def started(self) -> int:
        return 2

    @property
    def pattern(self) -> Pattern:
        return _PATTERN

    def stochastic_fields(self, problem: Stochastic) -> tuple[Callable, ...]:
        def product(t: Any, G: Any, args: Any, dW: Any, x: Any) -> Any:
            del t, args
            return multiply(problem, G, x, dW)

        return problem.field, problem.G, product

    def start(self, bound: Bound, t: Any, x: Any) -> Slots:
        return {"x": x, "xhat": x, "F": bound.call(0, t, x), "G": bound.call(1, t, x)}

    def coef(self, L: Linear, t: Any, h: Any) -> list[Any]:
        del L, t
        half = Scaled(0.5, h)
        return [
            *(1.0, Scaled(1.0, h), 1.0, -1.0, 2.0, 1.0, 1.0),
            *(half, half, 0.5, 0.5, 1.0),
            *(Scaled(-0.5, h), half, -0.5, 0.5),
        ]

    def tau(self, t: Any, h: Any) -> list[Any]:
        return [t, t + h, t + h, t + h]

    def inverse(self, bound: Bound, at: Moment, after: Slots) -> Slots:
        """Slots at the beginning of the step `at`, from those at its end: the same rows with -h and -dW."""
        t, h = at.t + at.h, -at.h
        coef = [like(c, after["x"]) for c in self.coef(bound.L, t, h)]
        given = after | {"dW": jax.tree.map(jnp.negative, bound.draws(at)["dW"])}
        return self.keep(step(_PATTERN, coef, self.tau(t, h), given, calls(bound, _PATTERN), tree_combine))


def multiply(problem: Stochastic, G: Any, x: Any, w: Any) -> Any:
    """G w with the value G of the diffusion at x."""
    if problem.noise == "scalar":
        return jax.tree.map(lambda leaf: leaf * w, G)
    if all(a.ndim == jnp.ndim(b) for a, b in zip(jax.tree.leaves(G), jax.tree.leaves(x), strict=True)):
        return jax.tree.map(jnp.multiply, G, w)
    return jax.tree.map(lambda leaf: leaf @ w, G)
