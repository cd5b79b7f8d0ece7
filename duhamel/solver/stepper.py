"""A method bound to a problem: what it may ask while it attempts a step, for one state or for many lanes at once."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Float, PyTree

from duhamel.core.brownian import BoundNoise
from duhamel.core.linear import Linear
from duhamel.core.problem import MassProblem, Problem
from duhamel.core.switches import own_arithmetic
from duhamel.methods.base import Env, Method, Moment, RowMethod, Slots, like, tree_combine
from duhamel.methods.consistent import restored, velocity

from .control import error_scale, squared_norm


class Stepper(eqx.Module):
    """Implements `methods.base.Bound`.

    problem  its functions hold every array they close over as a leaf (`Problem.closed`)
    args   the problem's arguments; with lanes, `axes` says which carry a leading lane axis (0), which are shared (None)
    table  coefficients of a fixed grid, tabulated beforehand: one row a step, or one row for all steps
    noise  Brownian increments, or None; with lanes all its arrays have the lanes in front
    tol    (rtol, atol), or None on a fixed grid
    lanes  0: t is (), x any pytree. 1: t is (lanes,), each leaf of x is (..., lanes)
    """

    problem: Problem
    args: PyTree
    table: list | None
    noise: Any
    tol: Any
    method: Method
    lanes: int = eqx.field(static=True)
    axes: Any = eqx.field(static=True)

    def given(self, args: PyTree, table: list | None, noise: Any) -> "Stepper":
        """With what belongs to the whole solve: all lanes' arguments, coefficients and noise."""
        where = lambda s: (s.args, s.table, s.noise)  # noqa: E731
        return eqx.tree_at(where, self, (args, table, noise), is_leaf=lambda v: v is None)

    @property
    def L(self) -> Linear:
        return self.problem.linear()

    def call(self, k: int, t: Any, x: PyTree, *more: PyTree) -> PyTree:
        return self._lanewise(self.method.fields(self.problem)[k], t, x, *more)

    def slope(self, t: Any, x: PyTree) -> PyTree:
        return self._lanewise(self.problem.field, t, x)

    def velocity(self, t: Any, x: PyTree) -> PyTree:
        """dx/dt: the slope, or what a mass matrix makes of it. Of algebraic variables too."""
        if not isinstance(self.problem, MassProblem):
            return self.slope(t, x)
        return self._lanewise(partial(velocity, self.problem), t, x)

    def restored(self, t: Any, x: PyTree) -> PyTree:
        """x, with algebraic variables as the equations of a singular mass matrix have them at t."""
        if not isinstance(self.problem, MassProblem):
            return x
        return self._lanewise(partial(restored, self.problem), t, x)

    def each(self, f: Any, t: Any, x: PyTree) -> Any:
        """f(t, x, args) lane by lane."""
        return self._lanewise(f, t, x)

    def _lanewise(self, f: Any, t: Any, x: PyTree, *more: PyTree) -> PyTree:
        if self.lanes == 0:
            return f(t, x, self.args, *more)
        each = (0, -1, self.axes, *(-1 for _ in more))
        return jax.vmap(f, in_axes=each, out_axes=-1)(t, x, self.args, *more)

    def start(self, t: Any, x: PyTree) -> Slots:
        """What the first step begins with."""
        return self.method.start(self, t, x)

    def attempt(self, at: Moment, slots: Slots) -> Env:
        """Everything the step from t to t + h builds, by name."""
        return self.method.attempt(self, at, slots)

    def draws(self, at: Moment) -> Env:
        if self.noise is None:
            return {}
        one = lambda noise, s, h: noise.increment(at.index, s, h)  # noqa: E731
        every = jax.vmap(one, in_axes=0, out_axes=-1) if self.lanes else one
        return _made_once(at.index, every, self.noise, at.s, at.h)

    def coefficients(self, at: Moment, slots: Slots) -> list[Any]:
        method = self.method
        if not isinstance(method, RowMethod):
            raise TypeError(f"{type(method).__name__} has no coefficients: it is not made of rows.")
        if self.table is None:
            return [like(c, slots["x"]) for c in method.coef(self.L, at.t, at.h)]
        return jax.tree.map(lambda rows: rows[0 if rows.shape[0] == 1 else at.index], self.table)

    def densify(self, at: Moment, env: Env) -> Env:
        return self.method.densify(self, at, env)

    def interpolate(self, at: Moment, theta: Any, basis: Env) -> PyTree:
        """x(t + theta h) on the curve through the step: cheap, and where events are looked for."""
        return self.method.interpolate(self, at, theta, basis)

    @property
    def steps_inside(self) -> bool:
        return self.noise is not None or self.method.steps_inside

    def inside(self, at: Moment, env: Env) -> Env:
        """What `value` needs of a step."""
        if self.steps_inside:  # a part of the step begins as the whole one did
            return {name: env[name] for name in ("x", *self.method.carried)}
        return self.densify(at, env)

    def value(self, at: Moment, theta: Any, basis: Env) -> PyTree:
        """x(t + theta h) as it is saved: on the curve through the step, or by the method's own step of that length.

        No curve through the ends of a step has the law of what lies between where there is noise, and none is as good
        as an implicit step where a stiff equation multiplies what the ends err.
        """
        if not self.steps_inside:
            return self.interpolate(at, theta, basis)
        noise = None if self.noise is None else Part(self.noise, at.h)
        part = eqx.tree_at(lambda s: (s.noise, s.table), self, (noise, None), is_leaf=_none)
        env = part.attempt(at._replace(h=theta * at.h), part.start(at.t, basis["x"]) | basis)
        if "failed" not in env:
            return env["x1"]
        return jax.tree.map(lambda leaf: jnp.where(env["failed"], jnp.nan, leaf).astype(leaf.dtype), env["x1"])


class Part(BoundNoise):
    """The noise of parts of a step that is `whole` long."""

    noise: Any
    whole: Any

    def increment(self, index: Any, s: Any, h: Any) -> Any:
        return self.noise.within(index, s, self.whole, h)


def _none(value: Any) -> bool:
    return value is None


def _made_once(index: Any, make: Callable, *inputs: Any) -> PyTree:
    """make(*inputs), as arrays in memory with the lanes innermost.

    XLA's CPU compiler would make the draws again in every sum that reads them: a step of ShARK on 1000 paths took seven
    times as long. It cannot look into a branch; that the index is never negative, it does not know.
    """
    if jax.default_backend() != "cpu":
        return make(*inputs)
    row_major = lambda a: with_layout_constraint(a, Layout(tuple(range(a.ndim))))  # noqa: E731
    laid = lambda *inputs: jax.tree.map(row_major, make(*inputs))  # noqa: E731
    shapes = jax.eval_shape(make, *inputs)
    none = lambda *_: jax.tree.map(lambda a: row_major(jnp.zeros(a.shape, a.dtype)), shapes)  # noqa: E731
    return jax.lax.cond(index >= 0, laid, none, *inputs)


def bind(
    problem: Problem, method: Method, t: Any, x: PyTree, args: PyTree, *, lanes: int = 0, axes: Any = None
) -> Stepper:
    """A stepper for one lane's t, x and args (arrays, or their shapes); `args` in full is put in by the caller."""
    method.fields(problem)  # a method that does not fit says so before anything is traced
    return Stepper(problem.closed(t, x, args), args, None, None, None, method, lanes, axes)


def initial_step(
    stepper: Stepper, t: Float[Array, "..."], x: PyTree, control: Any, span: Float[Array, "..."]
) -> Float[Array, "..."]:
    """A first step whose local error should be near the tolerance, two evaluations of f.

    h = T (0.01 / max(|x|, T^2 |x''|))^(1/(p+1)), at most T, with the time T = |x| / |f| in which x would change by
    itself, in the norm of the tolerances. No unit of time is built in: seconds and nanoseconds give the same steps.

    Source: Hairer, Norsett, Wanner, Solving ODEs I, II.4, "starting step size", where T = 1.
    """
    order = stepper.method.error_order or stepper.method.order
    # Without an end and without a rate there is no scale of time but one.
    scale, reach = error_scale(control, x, x), jnp.where(jnp.isfinite(span), jnp.abs(span), 1.0)
    norm = lambda v: _rms(v, scale, stepper.lanes).astype(span.dtype)  # noqa: E731
    f0 = stepper.method.limiting(stepper, t, x)
    d0, d1 = norm(x), norm(f0)
    small = (d0 < 1e-5) | (d1 * reach < 1e-5)
    T = jnp.where(small, reach, d0 / jnp.where(small, 1.0, d1))
    h0 = jnp.minimum(jnp.where(small, 1e-6, 1e-2) * T, reach)
    f1 = stepper.method.limiting(stepper, t + jnp.sign(span) * h0, tree_combine([jnp.sign(span) * h0, 1.0], [f0, x]))
    bends = norm(jax.tree.map(jnp.subtract, f1, f0)) * T * (T / jnp.where(h0 == 0, 1.0, h0))  # T^2 |x''|
    bend = jnp.maximum(d1 * T, bends)
    flat = bend <= 1e-15
    h1 = T * (0.01 / jnp.where(flat, 1.0, bend)) ** (1.0 / (order + 1))
    h1 = jnp.where(flat, jnp.maximum(1e-6 * reach, 1e-3 * h0), h1)
    h = jnp.minimum(jnp.minimum(100.0 * h0, h1), reach)
    h = jnp.where(jnp.isfinite(d1), jnp.where(jnp.isfinite(h), h, h0), jnp.nan)  # without a rate no step is worth a try
    return jax.lax.stop_gradient(jnp.sign(span) * h)


def _rms(v: PyTree, scale: PyTree, lanes: int) -> Array:
    """Root mean square of v / scale; once more in units of its largest entry where squares are too large."""
    plain = jnp.sqrt(squared_norm(v, scale, lanes))
    ratio = jax.tree.map(lambda a, s: jnp.abs(a / s), v, scale)
    over = lambda leaf: jnp.max(leaf, axis=tuple(range(leaf.ndim - lanes)), initial=0.0)  # noqa: E731
    largest = jnp.max(jnp.stack([over(leaf) for leaf in jax.tree.leaves(ratio)]), axis=0)
    unit = jnp.where(largest > 0, largest, 1.0)
    scaled = unit * jnp.sqrt(squared_norm(ratio, jax.tree.map(lambda _: unit, ratio), lanes))
    return jnp.where(jnp.isfinite(plain), plain, scaled)


def moved(x: PyTree, s: Array, t0: Array, stepper: Stepper) -> PyTree:
    """x, which was found at the time t0 + s, as the function of s that the equation makes of it."""
    return flowing(x, s, t0 + s, x, stepper)


@eqx.filter_custom_jvp
def flowing(x: PyTree, s: Array, t: Array, at: PyTree, stepper: Stepper) -> PyTree:
    """x as the function of s that moves with the velocity at (t, at)."""
    del s, t, at, stepper
    return x


@flowing.def_jvp
@own_arithmetic
def _flowing_jvp(primals: tuple, tangents: tuple) -> tuple[PyTree, PyTree]:
    x, s, t, at, stepper = primals
    x_dot, s_dot, *_ = tangents
    x = flowing(x, s, t, at, stepper)
    x_dot = jax.tree.map(lambda v, d: jnp.zeros_like(v) if d is None else d, x, x_dot)
    if s_dot is None:
        return x, x_dot
    velocity = stepper.velocity(t, at)
    return x, jax.tree.map(lambda d, f: (d + s_dot * f).astype(d.dtype), x_dot, velocity)


def stilled(tree: PyTree) -> PyTree:
    """The same, cut off from differentiation."""
    return jax.tree.map(lambda v: jax.lax.stop_gradient(v) if eqx.is_inexact_array(v) else v, tree)
