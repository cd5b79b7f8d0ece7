"""What a method is: something that attempts one step of a problem, for one state or for many lanes at once.

`Method` is the protocol that the loop drives. `RowMethod` implements it for everything that is a list of rows
(`rows.step`): such a method is numbers. Newton iterations and linear solves are code behind the same protocol.

Lanes: with `bound.lanes == 1` times and counts have shape (lanes,) and every leaf of a state has the lanes as its last
axis; with 0 they are scalars and plain states. Code that uses `bound.call` for fields and broadcasts over the last
axis needs no second version.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp

from duhamel.core.linear import Linear
from duhamel.core.problem import Problem
from duhamel.rows.pattern import Pattern
from duhamel.rows.step import Scaled, combine, kept, step

Slots = dict[str, Any]
Env = dict[str, Any]


class Moment(NamedTuple):
    """Where an attempt stands.

    index  number of the attempt; on a fixed grid, of the step
    s      time since t0: small steps at large times keep their digits
    t      t0 + s, for the fields
    h      the step to try, signed
    """

    index: Any
    s: Any
    t: Any
    h: Any


@runtime_checkable
class Bound(Protocol):
    """A method's view of the problem it is bound to (`solver.stepper.Stepper`)."""

    method: Any
    problem: Any
    lanes: int
    args: Any
    tol: Any  # (rtol, atol) or None on a fixed grid

    @property
    def L(self) -> Linear:
        """The linear part."""
        ...

    def call(self, k: int, t: Any, x: Any, *more: Any) -> Any:
        """The k-th of `Method.fields` at (t, x, args, *more), lane by lane."""
        ...

    def slope(self, t: Any, x: Any) -> Any:
        """dx/dt of the whole deterministic right-hand side."""
        ...

    def draws(self, at: Moment) -> Env:
        """The Brownian quantities of the step, by name (`Method.noise`)."""
        ...

    def coefficients(self, at: Moment, slots: Slots) -> list[Any]:
        """`RowMethod.coef` for the step, from a table where there is one, in the state's precision."""
        ...


class Method(eqx.Module):
    """Attempts a step from t to t + h.

    Names in what an attempt builds (`env`) that the loop reads:

    x1               the state at t + h; required
    error            local error estimate, like the state; required if `error_order` is not None
    failed           True (per lane): the attempt is worthless, for instance Newton diverged; it is rejected
    growth           the factor by which the method itself wants the next step to change, should this one be accepted
    k                exponent of h in the error estimate, where it varies (variable order)
    nfe, jacobians, factorizations   counts of this attempt (int32, per lane), where they are not `calls`, 0 and 0
    """

    @property
    @abstractmethod
    def order(self) -> int:
        """Global order p: the error at a fixed time is O(h^p). Strong order for SDE methods, rounded up."""

    @property
    @abstractmethod
    def error_order(self) -> int | None:
        """The error estimate is O(h^(error_order + 1)); None: no estimate, so fixed steps only."""

    @property
    @abstractmethod
    def dense_order(self) -> int:
        """The interpolant's error inside a step is O(h^(dense_order + 1))."""

    @abstractmethod
    def fields(self, problem: Problem) -> tuple[Callable, ...]:
        """The functions of (t, x, args, *more) that a step calls. Raises one sentence, naming methods that do fit,
        for a problem this method cannot solve."""

    @property
    def carried(self) -> tuple[str, ...]:
        """Slots that (t, x) does not determine, beside "x": the tape keeps them. A second state, a history."""
        return ()

    @property
    def equal_steps(self) -> bool:
        """Whether every step must have the same length, as in a multistep formula."""
        return False

    @property
    def steps_inside(self) -> bool:
        """Whether a value between the ends of a step is a step of its own: where the slopes at the ends, which a curve
        through them reads, hold the stiff part of an equation times what the ends err."""
        return False

    @property
    def noise(self) -> tuple[str, ...]:
        """Brownian quantities of a step: "dW"; "H" space-time area; "K" space-time-time area. () for ODEs."""
        return ()

    @property
    def calls(self) -> int:
        """Evaluations of the vector field in one attempt, where that number is fixed."""
        return 0

    @property
    def started(self) -> int:
        """Evaluations that `start` makes."""
        return 0

    @abstractmethod
    def start(self, bound: Bound, t: Any, x: Any) -> Slots:
        """What the first step begins with: slot "x" and whatever else the method keeps."""

    @abstractmethod
    def attempt(self, bound: Bound, at: Moment, slots: Slots) -> Env:
        """Everything the step builds, by name."""

    @abstractmethod
    def keep(self, env: Env) -> Slots:
        """Slots after an accepted step."""

    def retry(self, env: Env, slots: Slots) -> Slots:
        """Slots after a rejected one: the same, unless the attempt learnt something (a fresh Jacobian)."""
        del env
        return slots

    def limiting(self, bound: Bound, t: Any, x: Any) -> Any:
        """The part of dx/dt that limits the step: the first one is guessed from it."""
        return bound.slope(t, x)

    def estimating(self, problem: Problem, t: Any, x: Any, args: Any) -> "Method":
        """The method with the error estimate that this problem needs; asked where steps are chosen by it."""
        del problem, t, x, args
        return self

    def stiffness(self, bound: Bound, at: Moment, env: Env) -> Any:
        """|h| rho, rho an estimate of the Jacobian's largest eigenvalue at the end of the step; per lane.

        Explicit methods are limited by stability where it stays near their stability bound (about 3).
        Here: one evaluation in the direction of the slope.
        """
        t1, x1 = at.t + at.h, env["x1"]
        F1 = bound.slope(t1, x1)
        length = norm(F1, bound.lanes)
        reach = jnp.sqrt(jnp.finfo(at.h.dtype).eps) * (1.0 + norm(x1, bound.lanes)) / jnp.where(length > 0, length, 1.0)
        moved = tree_combine([reach, 1.0], [F1, x1])
        change = jax.tree.map(jnp.subtract, bound.slope(t1, moved), F1)
        return jnp.abs(at.h) * norm(change, bound.lanes) / jnp.where(length > 0, reach * length, 1.0)

    def densify(self, bound: Bound, at: Moment, env: Env) -> Env:
        """What dense output needs of the step. Cubic Hermite through both ends unless the method knows better."""
        return {
            "x": env["x"],
            "x1": env["x1"],
            "F": bound.slope(at.t, env["x"]),
            "F1": bound.slope(at.t + at.h, env["x1"]),
        }

    def interpolate(self, bound: Bound, at: Moment, theta: Any, basis: Env) -> Any:
        """x(t + theta h)."""
        coef, names = hermite(at.h, theta, "F", "F1")
        return tree_combine([like(c, basis["x"]) for c in coef], [basis[name] for name in names])


class Tabled(Method):
    """A method whose tableau states its orders. A mixin: put it in front."""

    tableau: eqx.AbstractVar[Any]

    @property
    def order(self) -> int:
        return self.tableau.order

    @property
    def error_order(self) -> int | None:
        return self.tableau.error_order

    @property
    def dense_order(self) -> int:
        return self.tableau.dense_order


class DenseRows(NamedTuple):
    """Rows that only dense output needs: run with `rows.step` on what the step built."""

    pattern: Pattern
    coef: list[Any]
    tau: list[Any]


class RowMethod(Method):
    """A method whose step is rows; its coefficients are a function of (t, h).

    Slots of its pattern: "x", "F" when the last call of a step is the first of the next one (`fsal`), and `carried`.
    """

    @property
    @abstractmethod
    def pattern(self) -> Pattern:
        """The rows of a step. They build "x1", and "error" if there is an estimate."""

    @property
    def fsal(self) -> bool:
        """Whether the last call of a step is the first of the next one."""
        return False

    @abstractmethod
    def coef(self, L: Linear, t: Any, h: Any) -> list[Any]:
        """Coefficients of the step from t to t + h, in the order in which the rows read."""

    @abstractmethod
    def tau(self, t: Any, h: Any) -> list[Any]:
        """Model times of the calls of the step, in order."""

    @property
    def tabulated(self) -> bool:
        """Whether coefficients are worth a table on a fixed grid (those of exponential methods are)."""
        return False

    def dense_rows(self, L: Linear, t: Any, h: Any) -> DenseRows | None:
        """Rows to run after the step before `interpolant` may be used; None if the step built all it needs."""
        del L, t, h
        return None

    def interpolant(self, L: Linear, t: Any, h: Any, theta: Any) -> tuple[list[Any], tuple[str, ...]] | None:
        """Dense output: coefficients and the names they multiply; combine(...) = x(t + theta h), 0 <= theta <= 1.

        "x" names the state at the beginning of the step, "x1" the one at its end. None: cubic Hermite.
        """
        del L, t, h, theta
        return None

    @property
    def noise(self) -> tuple[str, ...]:
        return self.pattern.draws

    @property
    def calls(self) -> int:
        return self.pattern.calls

    @property
    def started(self) -> int:
        return 1 if self.fsal else 0

    def start(self, bound: Bound, t: Any, x: Any) -> Slots:
        first = {"x": x, "F": bound.call(0, t, x)} if self.fsal else {"x": x}
        return first | dict.fromkeys(self.carried, x)

    def attempt(self, bound: Bound, at: Moment, slots: Slots) -> Env:
        coef, tau = bound.coefficients(at, slots), self.tau(at.t, at.h)
        return step(self.pattern, coef, tau, slots | bound.draws(at), calls(bound, self.pattern), tree_combine)

    def keep(self, env: Env) -> Slots:
        return kept(self.pattern, env)

    def densify(self, bound: Bound, at: Moment, env: Env) -> Env:
        found = self.interpolant(bound.L, at.t, at.h, jnp.ones_like(at.h))
        if found is None:
            return super().densify(bound, at, env)
        extra = self.dense_rows(bound.L, at.t, at.h)
        if extra is not None:
            coef = [like(c, env["x"]) for c in extra.coef]
            env = step(extra.pattern, coef, extra.tau, env, calls(bound, extra.pattern), tree_combine)
        return {name: env[name] for name in found[1]}

    def interpolate(self, bound: Bound, at: Moment, theta: Any, basis: Env) -> Any:
        found = self.interpolant(bound.L, at.t, at.h, theta)
        if found is None:
            return super().interpolate(bound, at, theta, basis)
        coef, names = found
        return tree_combine([like(c, basis[names[-1]]) for c in coef], [basis[name] for name in names])


def calls(bound: Bound, pattern: Pattern) -> list[Callable]:
    """The bound fields as the rows call them."""
    highest = max((row.model for row in pattern.rows), default=0)
    return [lambda t, x, *more, k=k: bound.call(k, t, x, *more) for k in range(highest + 1)]


def hermite(h: Any, theta: Any, slope: str, slope1: str) -> tuple[list[Any], tuple[str, ...]]:
    """Cubic Hermite interpolation through both ends of a step."""
    s = theta
    cubic = s * s * (3.0 - 2.0 * s)
    return [h * s * s * (s - 1.0), h * s * (1.0 - s) * (1.0 - s), cubic, 1.0 - cubic], (slope1, slope, "x1", "x")


def norm(x: Any, lanes: int) -> Any:
    """Euclidean norm of a state, one number a lane; its gradient at 0 is 0."""
    square = sum(
        jnp.sum(
            leaf.real**2 + leaf.imag**2 if jnp.iscomplexobj(leaf) else leaf**2, axis=tuple(range(leaf.ndim - lanes))
        )
        for leaf in jax.tree.leaves(x)
    )
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)


def tree_combine(coef: Any, values: Any) -> Any:
    """`rows.step.combine` on every leaf, in the leaf's own dtype."""
    return jax.tree.map(lambda *leaves: combine(coef, leaves).astype(leaves[-1].dtype), *values)


def like(coefficient: Any, x: Any) -> Any:
    """A coefficient in the precision of x: tables are float64 on the host and must not promote a float32 state."""
    precision = time_dtype(x)

    def cast(leaf: Any) -> Any:
        if isinstance(leaf, int | float | Scaled):
            return leaf
        complex_kind = jnp.result_type(precision, jnp.complex64)
        return jnp.asarray(leaf).astype(complex_kind if jnp.iscomplexobj(leaf) else precision)

    return jax.tree.map(cast, coefficient)


def time_dtype(x: Any) -> Any:
    """The real dtype of x's widest leaf: times and steps carry it."""
    return jnp.finfo(jnp.result_type(*jax.tree.leaves(x))).dtype
