"""One step of a method on one problem, for one state or for many lanes at once."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from duhamel.core.linear import Linear
from duhamel.core.problem import Problem
from duhamel.methods.base import Method
from duhamel.rows.step import Scaled, combine, step

from .control import error_scale, squared_norm


class Stepper(eqx.Module):
    """A method bound to a problem and its arguments.

    rhs    f(t, x, args) of one lane: N for exponential methods, else L x + N; a pytree that holds every array the
           user's function closed over, so that each of them can be differentiated
    L      the linear part, for the coefficients of exponential methods
    args   the problem's arguments; with lanes, `axes` says which carry a leading lane axis (0), which are shared (None)
    table  coefficients of a fixed grid, tabulated beforehand: one row a step, or one row for all steps
    lanes  0: t is (), x any pytree. 1: t is (lanes,), each leaf of x is (..., lanes)
    """

    rhs: Any
    L: Linear
    args: PyTree
    table: list | None
    method: Method
    lanes: int = eqx.field(static=True)
    axes: Any = eqx.field(static=True)

    def field(self, t: Any, x: PyTree) -> PyTree:
        if self.lanes == 0:
            return self.rhs(t, x, self.args)
        return jax.vmap(self.rhs, in_axes=(0, -1, self.axes), out_axes=-1)(t, x, self.args)

    def slots(self, t: Any, x: PyTree) -> dict[str, PyTree]:
        """What the first step begins with."""
        return {"x": x, "F": self.field(t, x)} if self.method.fsal else {"x": x}

    def attempt(self, index: Any, t: Any, h: Any, slots: dict[str, PyTree]) -> dict[str, PyTree]:
        """Everything the step from t to t + h builds, by name."""
        method = self.method
        if self.table is None:
            coef = [like(c, slots["x"]) for c in method.coef(self.L, t, h)]
        else:
            coef = jax.tree.map(lambda rows: rows[0 if rows.shape[0] == 1 else index], self.table)
        return step(method.pattern, coef, method.tau(t, h), slots, [self.field], tree_combine)

    def densify(self, t: Any, h: Any, env: dict[str, PyTree]) -> dict[str, PyTree]:
        """What dense output combines: the names the interpolant reads, extra stages included."""
        method = self.method
        extra = method.dense_rows(self.L, t, h)
        if extra is not None:
            coef = [like(c, env["x"]) for c in extra.coef]
            env = step(extra.pattern, coef, extra.tau, env, [self.field], tree_combine)
        _, names = method.interpolant(self.L, t, h, jnp.ones_like(h))
        return {name: env[name] for name in names}

    def interpolate(self, t: Any, h: Any, theta: Any, basis: dict[str, PyTree]) -> PyTree:
        """x(t + theta h)."""
        coef, names = self.method.interpolant(self.L, t, h, theta)
        return tree_combine([like(c, basis[names[-1]]) for c in coef], [basis[name] for name in names])


def tree_combine(coef: Sequence[Any], values: Sequence[PyTree]) -> PyTree:
    """`rows.step.combine` on every leaf, in the leaf's own dtype."""
    return jax.tree.map(lambda *leaves: combine(coef, leaves).astype(leaves[-1].dtype), *values)


def like(coefficient: Any, x: PyTree) -> Any:
    """A coefficient in the precision of x: tables are float64 on the host and must not promote a float32 state."""
    precision = time_dtype(x)

    def cast(leaf: Any) -> Any:
        if isinstance(leaf, int | float | Scaled):
            return leaf
        complex_kind = jnp.result_type(precision, jnp.complex64)
        return jnp.asarray(leaf).astype(complex_kind if jnp.iscomplexobj(leaf) else precision)

    return jax.tree.map(cast, coefficient)


def time_dtype(x: PyTree) -> Any:
    """The real dtype of x's widest leaf: times and steps carry it."""
    return jnp.finfo(jnp.result_type(*jax.tree.leaves(x))).dtype


def bind(
    problem: Problem, method: Method, t: Any, x: PyTree, args: PyTree, *, lanes: int = 0, axes: Any = None
) -> Stepper:
    """A stepper for one lane's t, x and args (arrays, or their shapes); `args` in full is put in by the caller.

    Converting the vector field's closure makes every captured array an explicit input, and traces it once.
    """
    user = problem.N if method.exponential else problem.field
    rhs = eqx.filter_closure_convert(lambda t, x, args: _arrays(user(t, x, args)), t, x, args)
    return Stepper(rhs, problem.L, args, None, method, lanes, axes)


def _arrays(value: PyTree) -> PyTree:
    return jax.tree.map(jnp.asarray, value)


def initial_step(
    stepper: Stepper, t: Float[Array, "..."], x: PyTree, control: Any, span: Float[Array, "..."]
) -> Float[Array, "..."]:
    """A first step whose local error should be near the tolerance, two evaluations of f.

    Source: Hairer, Norsett, Wanner, Solving ODEs I, II.4, "starting step size".
    """
    order = stepper.method.error_order or stepper.method.order
    scale = error_scale(control, x, x)
    norm = lambda v: jnp.sqrt(squared_norm(v, scale, stepper.lanes))  # noqa: E731
    f0 = stepper.field(t, x)
    d0, d1 = norm(x), norm(f0)
    small = (d0 < 1e-5) | (d1 < 1e-5)
    h0 = jnp.where(small, 1e-6, 0.01 * d0 / jnp.where(small, 1.0, d1))
    h0 = jnp.sign(span) * jnp.minimum(h0.astype(span.dtype), jnp.abs(span))
    x1 = tree_combine([h0, 1.0], [f0, x])
    f1 = stepper.field(t + h0, x1)
    d2 = norm(jax.tree.map(jnp.subtract, f1, f0)) / jnp.where(h0 == 0, 1.0, jnp.abs(h0))
    bend = jnp.maximum(d1, d2)
    flat = bend <= 1e-15
    h1 = jnp.where(
        flat, jnp.maximum(1e-6, 1e-3 * jnp.abs(h0)), (0.01 / jnp.where(flat, 1.0, bend)) ** (1.0 / (order + 1))
    )
    h = jnp.minimum(jnp.minimum(100.0 * jnp.abs(h0), h1.astype(span.dtype)), jnp.abs(span))
    return jax.lax.stop_gradient(jnp.sign(span) * jnp.where(jnp.isfinite(h), h, jnp.abs(h0)))
