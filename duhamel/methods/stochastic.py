"""Stochastic Runge-Kutta methods: every one is its tableau, turned into rows once.

    dx = f(t, x) dt + G(t, x) dW,        symbols as in `tableaux.stochastic`

G stands in the rows as the product G(t, z) w with a sum w of draws. A stage whose noise enters every sum with the same
mixture of draws makes one product, the others one for each mixture or each draw, whichever are fewer; G itself is
evaluated once a stage (the compiler merges equal evaluations).
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from duhamel.core.linear import Linear
from duhamel.core.problem import Problem, Stochastic
from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.step import Scaled, step

from .base import Bound, Env, Moment, RowMethod, Slots, calls, tree_combine
from .fits import listed, refuse
from .tableaux import stochastic as tableaux
from .tableaux.stochastic import StochasticTableau, Sum


class StochasticMethod(RowMethod):
    """What methods for SDEs share: which problems they take, and dense output.

    A value saved inside a step is a step of that length along the same Brownian path: of the method's own law.
    """

    @property
    @abstractmethod
    def calculus(self) -> str:
        """ "ito" or "stratonovich"; for additive noise the two agree."""

    @property
    @abstractmethod
    def strong(self) -> dict[str, float]:
        """Strong order for each kind of noise the method takes."""

    @property
    def order(self) -> int:
        return max(1, round(max(self.strong.values()) + 0.1))

    @property
    def dense_order(self) -> int:
        return 0

    def fields(self, problem: Problem) -> tuple[Callable, ...]:
        return self.stochastic_fields(self.check(problem))

    def check(self, problem: Problem) -> Stochastic:
        """The problem, or one sentence that names methods for it."""
        if not isinstance(problem, Stochastic):
            refuse(f"{self.name}, which needs a noise,", problem)
        calculus = problem.calculus if problem.noise == "additive" else self.calculus
        if problem.noise not in self.strong or problem.calculus != calculus:
            sense = {"ito": " in Ito's sense", "stratonovich": " in Stratonovich's sense"}[self.calculus]
            sense = "" if tuple(self.strong) == ("additive",) else sense
            refuse(f"{self.name}, which is for {listed(tuple(self.strong))} noise{sense},", problem)
        return problem

    @property
    def name(self) -> str:
        return type(self).__name__

    def stochastic_fields(self, problem: Stochastic) -> tuple[Callable, ...]:
        """The drift f(t, x, args) and the product G(t, x, args) w; more where a method calls more."""
        return problem.field, problem.diffuse

    def interpolant(self, L: Linear, t: Any, h: Any, theta: Any) -> tuple[list[Any], tuple[str, ...]]:
        del L, t, h
        return [theta, 1.0 - theta], ("x1", "x")


class StochasticRK(StochasticMethod):
    """The stochastic Runge-Kutta method of a tableau."""

    tableau: StochasticTableau = eqx.field(static=True)

    @property
    def name(self) -> str:
        return self.tableau.name

    @property
    def calculus(self) -> str:
        return self.tableau.calculus

    @property
    def strong(self) -> dict[str, float]:
        return dict(self.tableau.strong)

    @property
    def error_order(self) -> int | None:
        return self.tableau.error_order

    @property
    def noise(self) -> tuple[str, ...]:
        return ("dW", "H") if "H" in self.tableau.draws else ("dW",)

    @property
    def calls(self) -> int:
        """Evaluations of the drift and of the diffusion."""
        return _layout(self.tableau).evaluations

    @property
    def pattern(self) -> Pattern:
        return _layout(self.tableau).pattern

    def coef(self, L: Linear, t: Any, h: Any) -> list[Any]:
        del L, t
        return [Scaled(w, h) if of_drift else w for w, of_drift in _layout(self.tableau).weights]

    def tau(self, t: Any, h: Any) -> list[Any]:
        return [t + c * h for c in _layout(self.tableau).nodes]

    def attempt(self, bound: Bound, at: Moment, slots: Slots) -> Env:
        coef, tau = bound.coefficients(at, slots), self.tau(at.t, at.h)
        draws = iterated(self.tableau.draws, bound.draws(at), at.h)
        return step(self.pattern, coef, tau, slots | draws, calls(bound, self.pattern), tree_combine)


def iterated(names: tuple[str, ...], drawn: Env, h: Any) -> Env:
    """The draws of `tableaux.stochastic` from dW (and H) of the step; all are zero at h = 0."""
    size = jnp.maximum(jnp.abs(h), jnp.finfo(jnp.result_type(h)).tiny)
    rules: dict[str, Callable] = {
        "root": lambda w: jnp.broadcast_to(jnp.sqrt(jnp.abs(h)), w.shape).astype(w.dtype),
        "I11": lambda w: (w * w - h) / (2.0 * jnp.sqrt(size)),
        "I111": lambda w: w * (w * w - 3.0 * h) / (6.0 * size),
    }
    return {name: drawn[name] if name in drawn else jax.tree.map(rules[name], drawn["dW"]) for name in names}


class Layout(NamedTuple):
    """A tableau as rows.

    weights      (weight, whether h multiplies it) in reading order
    nodes        nodes of the calls
    evaluations  of the drift and of the diffusion, products with the same G counted once
    """

    pattern: Pattern
    weights: tuple[tuple[float, bool], ...]
    nodes: tuple[float, ...]
    evaluations: int


Mixture = tuple[tuple[str, float], ...]  # draws with their weights, the first weight 1


class _Builder:
    """Collects rows, weights and nodes."""

    def __init__(self, tableau: StochasticTableau):
        self.tableau = tableau
        self.rows: list[Row] = []
        self.weights: list[tuple[float, bool]] = []
        self.nodes: list[float] = []
        self.evaluations = 0
        self.sums = (*tableau.stages, tableau.end, tableau.error or ())
        self.products = [_products(self.sums, i) for i in range(len(tableau.stages))]

    def add(self, out: str, terms: list[tuple[str, float, bool]], call: str | None = None, *, model: int = 0) -> None:
        args = ()
        if model == 1 and call is not None:
            args = (call.replace("G", "w", 1),)
        self.rows.append(Row(out, tuple(name for name, _, _ in terms), call, model, args))
        self.weights.extend((w, of_drift) for _, w, of_drift in terms)

    def sum(self, terms: Sum, state: bool) -> list[tuple[str, float, bool]]:
        """Names and weights of a sum: the drift first, whose terms share the factor h; the state last."""
        found = [(f"f{j}", w, True) for w, j, *draw in terms if not draw]
        for i, mixtures in enumerate(self.products):
            found += [(f"G{i}{m}", w, False) for m, w in _in_mixtures(mixtures, _vector(terms, i))]
        return [*found, ("x", 1.0, False)] if state else found

    def stage(self, i: int) -> None:
        c, terms = self.tableau.c[i], self.tableau.stages[i]
        drift = any(len(term) == 2 and term[1] == i for terms in self.sums for term in terms)
        mixtures = self.products[i]
        self.evaluations += drift + bool(mixtures)
        for m, mixture in enumerate(mixtures):
            self.add(f"w{i}{m}", [(draw, w, False) for draw, w in mixture])
        if drift or len(mixtures) > 1:
            self.add(f"z{i}", self.sum(terms, state=True), f"f{i}" if drift else None)
            self.nodes += [c] * drift
            for m in range(len(mixtures)):
                self.add(f"y{i}{m}", [(f"z{i}", 1.0, False)], f"G{i}{m}", model=1)
        else:
            self.add(f"z{i}", self.sum(terms, state=True), f"G{i}0", model=1)
        self.nodes += [c] * len(mixtures)


@cache
def _layout(tableau: StochasticTableau) -> Layout:
    build = _Builder(tableau)
    for i in range(len(tableau.stages)):
        build.stage(i)
    build.add("x1", build.sum(tableau.end, state=True))
    if tableau.error is not None:
        build.add("error", build.sum(tableau.error, state=False))
    pattern = Pattern(tuple(build.rows), (("x", "x1"),), draws=tableau.draws)
    return Layout(pattern, tuple(build.weights), tuple(build.nodes), build.evaluations)


def _vector(terms: Sum, i: int) -> dict[str, float]:
    """Weights of the draws that multiply G_i in a sum."""
    return {term[2]: term[0] for term in terms if len(term) == 3 and term[1] == i}


def _products(sums: tuple[Sum, ...], i: int) -> tuple[Mixture, ...]:
    """The mixtures w for which G_i w is built."""
    vectors = [v for terms in sums if (v := _vector(terms, i))]
    directions = tuple(dict.fromkeys(_direction(v) for v in vectors))
    single = tuple(((draw, 1.0),) for draw in dict.fromkeys(draw for v in vectors for draw in v))
    return directions if len(directions) <= len(single) else single


def _direction(vector: dict[str, float]) -> Mixture:
    first = next(iter(vector.values()))
    return tuple((draw, w / first) for draw, w in vector.items())


def _in_mixtures(mixtures: tuple[Mixture, ...], vector: dict[str, float]) -> list[tuple[int, float]]:
    """A sum's draws as a combination of the mixtures: (number of the mixture, weight)."""
    if not vector:
        return []
    direction = _direction(vector)
    if direction in mixtures:
        return [(mixtures.index(direction), next(iter(vector.values())))]
    return [(mixtures.index(((draw, 1.0),)), w) for draw, w in vector.items()]


def EulerMaruyama() -> StochasticRK:
    """Euler-Maruyama, Ito: strong order 0.5, 1 for additive noise, for every kind of noise. Fixed steps."""
    return StochasticRK(tableaux.EULER_MARUYAMA)


def EulerHeun() -> StochasticRK:
    """Euler-Heun, Stratonovich: strong order 1 where noise commutes, else 0.5; one call of the drift. Fixed steps."""
    return StochasticRK(tableaux.EULER_HEUN)


def StochasticHeun() -> StochasticRK:
    """Heun's method, Stratonovich: strong order 1 where noise commutes, else 0.5. Two calls, embedded Euler."""
    return StochasticRK(tableaux.STOCHASTIC_HEUN)


def StochasticMidpoint() -> StochasticRK:
    """Midpoint rule, Stratonovich: strong order 1 where noise commutes, else 0.5. Two calls, embedded Euler."""
    return StochasticRK(tableaux.STOCHASTIC_MIDPOINT)


def SRA1() -> StochasticRK:
    """Roessler's SRA1, strong order 1.5 for additive noise, adaptive."""
    return StochasticRK(tableaux.SRA1)


def ShARK() -> StochasticRK:
    """Shifted additive-noise Runge-Kutta, strong order 1.5 for additive noise, adaptive; more accurate than SRA1."""
    return StochasticRK(tableaux.SHARK)


def SRIW1() -> StochasticRK:
    """Roessler's SRIW1, Ito: strong order 1.5 for diagonal and scalar noise, adaptive."""
    return StochasticRK(tableaux.SRIW1)


def SOSRI() -> StochasticRK:
    """Stability-optimised SRI, Ito: strong order 1.5 for diagonal and scalar noise, adaptive; stabler than SRIW1."""
    return StochasticRK(tableaux.SOSRI)


def SPaRK() -> StochasticRK:
    """Splitting path Runge-Kutta, Stratonovich, every noise: strong order 1.5 additive, 1 commutative, 0.5 general;
    the choice for adaptive steps."""
    return StochasticRK(tableaux.SPARK)


def SlowRK() -> StochasticRK:
    """SlowRK, Stratonovich: strong order 1.5 where noise commutes, else 0.5; two calls of the drift, five of the
    diffusion. Fixed steps."""
    return StochasticRK(tableaux.SLOWRK)
