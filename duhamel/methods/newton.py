"""Simplified Newton iterations for the implicit equations of a step, for one state or many lanes.

    M w = a f(t, r + w)            w: displacement, r: known, a: a positive multiple of h, M: 1 or a mass matrix

The matrix M - a J is factored rarely (`prepared`): its LU serves all stages of a step and the steps after it. The
iterations know nothing of derivatives; `solved` gives their result the one of the implicit function theorem.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from duhamel.core.problem import MassProblem
from duhamel.core.switches import own_arithmetic

from .jacobian import Flat
from .krylov import Krylov
from .linalg import LinearSolver

STALE = 1_000_000  # age of a Jacobian that was never evaluated, or failed


class Newton(eqx.Module):
    """How the implicit equations of a step are solved.

    tolerance   of the remaining iteration error, as a part of the step's error tolerance; 1e-2 to 1e-1. On Fixed steps
                iterations go on to rounding
    iterations  at most, per stage; if they would not suffice the step is rejected and the Jacobian evaluated again
    max_age     accepted steps after which the Jacobian is evaluated again
    drift       relative change of h after which M - a J is factored again
    slow        contraction rate above which the next step evaluates the Jacobian again
    """

    tolerance: float = eqx.field(static=True, default=0.05)
    iterations: int = eqx.field(static=True, default=7)
    max_age: int = eqx.field(static=True, default=20)
    drift: float = eqx.field(static=True, default=0.3)
    slow: float = eqx.field(static=True, default=0.02)

    def __check_init__(self) -> None:
        if self.iterations < 1 or not 0 < self.tolerance < 1:
            raise ValueError(
                f"Newton needs iterations of at least 1 and a tolerance between 0 and 1, got {self.iterations} and "
                f"{self.tolerance:g}."
            )


class System(eqx.Module):
    """A bound method's implicit field, and its mass matrix, as functions of vectors (n,) or (n, lanes).

    like   a state, for its layout; field: which of `Method.fields`
    """

    bound: Any
    like: Any
    field: int = eqx.field(static=True, default=0)

    @property
    def flat(self) -> Flat:
        return Flat(self.like, self.bound.lanes)

    @property
    def tol(self) -> Any:
        """(rtol, atol) for vectors: atol may have been given for each component."""
        tol = self.bound.tol
        if tol is None or jnp.ndim(tol[1]) == 0:
            return tol
        atol = tol[1].reshape(-1, *(1,) * self.bound.lanes)
        (leaf,) = jax.tree.leaves(self.like)
        return tol[0], jnp.concatenate([atol, atol]) if jnp.iscomplexobj(leaf) else atol

    @property
    def mass(self) -> Any:
        """M, (n, n), or None: the identity."""
        problem = self.bound.problem
        return problem.mass.astype(self.flat.dtype) if isinstance(problem, MassProblem) else None

    def f(self, t: Any, v: Any) -> Any:
        flat = self.flat
        return flat.ravel(self.bound.call(self.field, t, flat.unravel(v)))

    def M(self, v: Any) -> Any:
        mass = self.mass
        return v if mass is None else mass @ v

    def jacobian(self, linear: LinearSolver, t: Any, v: Any) -> Any:
        return linear.prepare(self.bound, self.field, t, self.flat.unravel(v))

    def still(self) -> "System":
        """The same, cut off from differentiation."""
        return jax.tree.map(lambda v: jax.lax.stop_gradient(v) if eqx.is_inexact_array(v) else v, self)


class Matrix(NamedTuple):
    """A factored M - a J and its history.

    J, factors  Jacobian and what `LinearSolver.factor` made of M - a J
    a           the multiple it was made with, per lane
    age         accepted steps since J was evaluated, per lane
    """

    J: Any
    factors: Any
    a: Any
    age: Any


def unprepared(linear: LinearSolver, system: System, t: Any, x: Any) -> Matrix:
    """Slots for the first step: nothing evaluated, so that the first attempt does."""
    old = jnp.zeros_like(t), jnp.full(jnp.shape(t), STALE, jnp.int32)
    if isinstance(linear, Krylov):
        return Matrix(None, None, *old)
    still = system.still()
    evaluate = lambda t, x: still.jacobian(linear, t, x)  # noqa: E731
    J = jax.eval_shape(evaluate, t, x)
    factors = jax.eval_shape(lambda J, t: linear.factor(J, jnp.ones_like(t), still.mass)._replace(matrix=None), J, t)
    zeros = lambda tree: jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), tree)  # noqa: E731
    return Matrix(zeros(J), zeros(factors), *old)


def afresh(slots: dict[str, Any], where: Any) -> dict[str, Any]:
    """The slots of a step whose matrix is to be made anew: one that another length serves has no second try."""
    matrix = slots.get("matrix")
    if not isinstance(matrix, Matrix):
        return slots
    return slots | {"matrix": matrix._replace(age=jnp.where(where, STALE, matrix.age).astype(jnp.int32))}


def prepared(
    newton: Newton, linear: LinearSolver, system: System, t: Any, x: Any, a: Any, old: Matrix, moving: Any
) -> tuple[Matrix, Any, Any]:
    """(a matrix fit for this step, whether J was evaluated, whether it was factored), per lane.

    All lanes compute when one has to, and only those take the result that had to: a lane does not depend on others.
    Krylov methods have nothing to keep: their matrix is that of the step's beginning.
    """
    if isinstance(linear, Krylov):
        factored = linear.factor(system.jacobian(linear, t, x), a, system.mass)
        return Matrix(None, factored, a, jnp.zeros_like(old.age)), moving, moving
    fresh = moving & (old.age >= newton.max_age)
    ratio = a / jnp.where(old.a == 0, 1.0, old.a)
    again = fresh | (moving & ((jnp.abs(ratio - 1.0) > newton.drift) | (old.a == 0)))

    def factor(J: Any) -> Any:
        return linear.factor(J, a, system.mass)._replace(matrix=None)

    J = jax.lax.cond(jnp.any(fresh), lambda: _where(fresh, system.jacobian(linear, t, x), old.J), lambda: old.J)
    factors = jax.lax.cond(jnp.any(again), lambda: _where(again, factor(J), old.factors), lambda: old.factors)
    a = jnp.where(again, a, jnp.where(old.a == 0, 1.0, old.a))
    return Matrix(J, factors, a, jnp.where(fresh, 0, old.age)), fresh, again


def _where(where: Any, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(where, a, b), new, old)


class Iterations(NamedTuple):
    """What the iterations of one step have arrived at, per lane.

    w       displacement, of the stage under way
    rate    contraction rate last seen
    before  size of the last correction, in units of the error scale
    step    iterations of the stage under way
    failed  they do not converge
    count   evaluations of f, all stages together
    """

    w: Any
    rate: Any
    before: Any
    step: Any
    failed: Any
    count: Any


def at_first(w: Any, h: Any) -> Iterations:
    """Before the first iteration from the guess w."""
    whole, number = jnp.zeros(jnp.shape(h), jnp.int32), jnp.ones(jnp.shape(h), w.dtype)
    return Iterations(w, 0.9 * number, number, whole, jnp.zeros(jnp.shape(h), bool), whole)


def norm(v: Any) -> Any:
    """Root mean square over the state, per lane."""
    return jnp.sqrt(jnp.mean(v * v, axis=0))


def error_scale(tol: Any, *xs: Any) -> Any:
    """atol + rtol |x|; on Fixed steps rounding times the largest component."""
    size = jnp.abs(xs[0])
    for x in xs[1:]:
        size = jnp.maximum(size, jnp.abs(x))
    if tol is None:
        eps = jnp.finfo(size.dtype).eps
        return 1e3 * eps * (size + 1e-3 * jnp.max(size, axis=0)) + jnp.finfo(size.dtype).tiny * 1e8
    rtol, atol = tol
    return (atol + rtol * size).astype(size.dtype)


class Rule(eqx.Module):
    """One Newton iteration, and the judgement of it."""

    newton: Newton
    linear: LinearSolver
    system: System
    matrix: Matrix
    scale: Any

    @property
    def exact(self) -> bool:
        """Fixed steps: no tolerance, iterations go on to rounding."""
        return self.system.bound.tol is None

    @property
    def limit(self) -> int:
        return 30 if self.exact else self.newton.iterations

    def __call__(self, it: Iterations, t: Any, a: Any, r: Any, active: Any) -> tuple[Iterations, Any]:
        """(iterations after one more in each active lane, which of those have converged).

        The error left after iteration k is at most rate/(1 - rate) |w_k - w_{k-1}|. A factor makes up for a matrix
        that was made for another step size. Source: Hairer, Wanner, Solving ODEs II, IV.8; Brown, Byrne, Hindmarsh,
        VODE: a variable-coefficient ODE solver, SIAM J. Sci. Stat. Comput. 10 (1989) 1038-1051.
        """
        system, tolerance = self.system, self.newton.tolerance
        residual = a * system.f(t, r + it.w) - system.M(it.w)
        delta = (2.0 / (1.0 + a / self.matrix.a)) * self.linear.solve(self.matrix.factors, residual)
        w, size, k = it.w + delta, norm(delta / self.scale), it.step
        rate = jnp.where(k > 0, size / it.before, it.rate)
        below = rate < 1.0
        left = size * jnp.where(below, rate / jnp.where(below, 1.0 - rate, 1.0), jnp.inf)
        floor = 10.0 * jnp.finfo(w.dtype).eps * norm((jnp.abs(r) + jnp.abs(w)) / self.scale)
        done = (left <= tolerance) | (size <= floor)
        last = k >= self.limit - 1
        if self.exact:
            done |= (k > 1) & (rate > 0.9) & (size < 1.0)  # as far as rounding lets it
            wrong = last & (size > 1e3)
            done |= last & ~wrong
        else:
            hopeless = left * jnp.maximum(rate, 1e-10) ** (self.limit - 1 - k) > tolerance
            wrong = ((k > 0) & ((rate >= 2.0) | hopeless)) | last
        wrong = (wrong & ~done) | ~jnp.isfinite(size)
        done &= ~wrong
        after = Iterations(
            w=jnp.where(active & ~wrong, w, it.w),
            rate=jnp.where(active, rate, it.rate),
            before=jnp.where(active, jnp.maximum(size, jnp.finfo(size.dtype).tiny), it.before),
            step=it.step + active,
            failed=it.failed | (active & wrong),
            count=it.count + active,
        )
        return after, active & done


def iterate(rule: Rule, t: Any, a: Any, r: Any, guess: Any, moving: Any) -> Iterations:
    """w with M w = a f(t, r + w), from a first guess."""

    def body(carry: tuple) -> tuple:
        it, active = carry
        it, done = rule(it, t, a, r, active)
        return it, active & ~done & ~it.failed

    it, _ = jax.lax.while_loop(lambda c: jnp.any(c[1]), body, (at_first(guess, a), moving))
    return it


def iterate_stages(
    rule: Rule, c: Any, a: Any, guess: Any, gamma: float, t: Any, h: Any, x: Any, hk: Any, moving: Any
) -> tuple[Any, Iterations]:
    """(h k_i of all stages (s, n) or (s, n, lanes), Iterations), stage after stage.

        M k_i = f(t + c_i h, r_i + h gamma k_i),    r_i = x + h sum_{j<i} a_ij k_j

    One loop for the whole step in which each lane is in a stage of its own: lanes wait for each other once a step, and
    the field stands once in the compiled program. c (s,), a and guess (s, s) below the diagonal; hk is h k_1.
    """
    s = len(c)
    index = jnp.arange(s).reshape(s, *(1,) * x.ndim)
    c, a, guess = (jnp.asarray(table, x.dtype) for table in (c, a, guess - a))

    def begin(stage: Any, hk: Any) -> tuple[Any, Any]:
        """(r, first w) of a stage."""
        rows = jnp.moveaxis(a[stage], -1, 0), jnp.moveaxis(guess[stage], -1, 0)  # (s,) or (s, lanes)
        first, second = (jnp.sum(jnp.expand_dims(row, 1) * hk, axis=0) for row in rows)
        return x + first, second

    def body(carry: tuple) -> tuple:
        it, hk, r, stage, active = carry
        it, done = rule(it, t + c[stage] * h, gamma * h, r, active)
        hk = jnp.where(done & (index == stage), it.w / gamma, hk)
        stage = jnp.minimum(stage + done, s - 1)
        r_next, w_next = begin(stage, hk)
        over = done & (carry[3] >= s - 1)
        it = it._replace(w=jnp.where(done, w_next, it.w), step=jnp.where(done, 0, it.step))
        return it, hk, jnp.where(done, r_next, r), stage, active & ~over & ~it.failed

    hk = jnp.concatenate([hk[None], jnp.zeros((s - 1, *hk.shape), hk.dtype)])
    stage = jnp.ones(jnp.shape(h), jnp.int32)
    r, w = begin(stage, hk)
    carry = (at_first(w, h), hk, r, stage, moving)
    it, hk, *_ = jax.lax.while_loop(lambda carry: jnp.any(carry[-1]), body, carry)
    return hk, it


def _solved(system: System, linear: LinearSolver, t: Any, a: Any, r: Any, w: Any) -> Any:
    """w, as a function of the system, t, a and r: its tangent is one linear solve with the Jacobian at the solution.

    (M - a J) dw = d[a f(t, r + w) - M w] at fixed w. Works in both modes and to any order of differentiation.
    """
    del system, linear, t, a, r
    return w


def _solved_jvp(primals: tuple, tangents: tuple) -> tuple:
    system, linear, t, a, r, w = primals
    w = solved(system, linear, t, a, r, w)
    given = (tangents[0], *tangents[2:5])
    if not jax.tree.leaves(given):
        return w, None
    residual = lambda system, t, a, r: a * system.f(t, r + w) - system.M(w)  # noqa: E731
    _, out = eqx.filter_jvp(residual, (system, t, a, r), given)
    factored = linear.factor(system.jacobian(linear, t, r + w), a, system.mass)
    return w, linear.solve(factored, out)


solved = eqx.filter_custom_jvp(_solved)
solved.def_jvp(own_arithmetic(_solved_jvp))
