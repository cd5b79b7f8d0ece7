"""What a problem with a known answer is."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np

from duhamel.core.problem import DAE, ODE, SDE, Problem


@dataclass(frozen=True, eq=False)
class InitialValueProblem:
    """dx/dt = f(t, x) (or mass dx/dt = f), x(t0) = x0, with a known x(t1).

    name     as its test set calls it
    rule     f(t, x, m): the right-hand side with m's functions (sin, exp, ...), m being jax.numpy, numpy, torch or
             math. It returns an array, or a tuple of components; with `math` only tuples work
    x0       initial state, (n,)
    t1       end of the time span, which starts at t0
    known    x(t1) as published or computed, (n,); None where `exact` gives it
    source   where the answer comes from
    stiff    explicit methods are of no use
    exact    closed form x(t), where there is one
    scale    size below which a component need not be accurate: at rtol, ask for atol = rtol * scale
    digits   how many decimal digits of the answer can be trusted
    mass     (n, n), for differential-algebraic equations
    """

    name: str
    rule: Callable[[Any, Any, Any], Any]
    x0: tuple[float, ...]
    t1: float
    known: tuple[float, ...] | None = None
    source: str = ""
    t0: float = 0.0
    stiff: bool = False
    exact: Callable[[float], Any] | None = None
    scale: float = 1.0
    digits: int = 12
    mass: tuple[tuple[float, ...], ...] | None = None
    notes: str = field(default="", repr=False)

    def __call__(self, t: Any, x: Any, args: Any = None) -> Any:
        """f(t, x) on JAX arrays."""
        del args
        value = self.rule(t, x, jnp)
        return jnp.stack(value) if isinstance(value, tuple) else value

    @cached_property
    def problem(self) -> Problem:
        """The same object every time, so that a second solve does not compile again."""
        if self.mass is not None:
            return DAE(self.__call__, np.array(self.mass))
        return ODE(self.__call__)

    @cached_property
    def host(self) -> Callable[[float, np.ndarray], np.ndarray]:
        """f(t, x) on NumPy arrays, as quick as plain Python can be."""
        rule = self.rule
        if isinstance(rule(self.t0, np.array(self.x0), np), tuple):
            return lambda t, x: np.array(rule(t, x.tolist(), math))
        return lambda t, x: rule(t, x, np)

    @property
    def size(self) -> int:
        return len(self.x0)

    @cached_property
    def end(self) -> np.ndarray:
        """x(t1), (n,) in float64."""
        return np.array(self.exact(self.t1) if self.exact is not None else self.known, dtype=float)

    def error(self, x: Any) -> float:
        """Largest error of x(t1): max_i |x_i - end_i| / max(|end_i|, scale)."""
        return float(np.max(np.abs(np.asarray(x, float) - self.end) / np.maximum(np.abs(self.end), self.scale)))


@dataclass(frozen=True, eq=False)
class ExactSDE:
    """dx = f dt + g dW in one dimension, whose solution is a function of t and W(t).

    drift, diffusion  f(t, x) and g(t, x)
    exact             x(t) from (t, W(t))
    mean              E[x(t1)] where it has a closed form
    """

    name: str
    drift: Callable[[Any, Any], Any]
    diffusion: Callable[[Any, Any], Any]
    x0: float
    exact: Callable[[Any, Any], Any]
    t1: float = 1.0
    noise: str = "diagonal"
    calculus: str = "ito"
    mean: float | None = None

    @cached_property
    def problem(self) -> Problem:
        return SDE(self.drift, self.diffusion, noise=self.noise, calculus=self.calculus)

    @cached_property
    def with_path(self) -> Problem:
        """The equation beside its own Brownian motion: x = (x, W), scalar noise.

        A strong error needs the W(t1) that the solver has drawn; here it is the second component.
        """

        def drift(t: Any, x: Any) -> Any:
            return jnp.stack([self.drift(t, x[0]), jnp.zeros_like(x[1])])

        def diffusion(t: Any, x: Any) -> Any:
            return jnp.stack([self.diffusion(t, x[0]) * jnp.ones_like(x[0]), jnp.ones_like(x[1])])

        noise = "additive" if self.noise == "additive" else "scalar"
        if noise == "additive":
            columns = lambda t, x: diffusion(t, x)[:, None]  # noqa: E731
            return SDE(drift, columns, noise=noise, calculus=self.calculus)
        return SDE(drift, diffusion, noise=noise, calculus=self.calculus)
