"""What every reverse pass does with cotangents: part the task, fill in zeros, add, pair with the slope."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .task import Task


def parted(task: Task, wanted: Task, on_grid: bool = False) -> tuple[PyTree, PyTree]:
    """(theta, rest): what is differentiated of the task beside its times, and everything else.

    `on_grid`: t0 is a parameter like any other, for the steps are functions of it and of the grid.
    """
    return eqx.partition(_untimed(task, on_grid), _untimed(wanted, on_grid))


def folded(rows: PyTree, last: Array) -> PyTree:
    """Cotangents of every step's rows: those behind the last row, which repeat it, belong to it."""

    def one(leaf: Array) -> Array:
        index = jnp.arange(leaf.shape[0]).reshape(-1, *(1,) * (leaf.ndim - 1))
        behind = jnp.sum(jnp.where(index > last, leaf, 0), axis=0)
        return leaf + jnp.where(index == last, behind, 0)

    return jax.tree.map(one, rows)


def times_perturbed(task: Task) -> bool:
    return any(flag for flag in jax.tree.leaves((task.t0, task.span, task.ts, task.edges)))


def _untimed(task: Task, on_grid: bool) -> Task:
    """The task without what `times_of` names."""
    where = lambda t: times_of(t, on_grid)  # noqa: E731
    return eqx.tree_at(where, task, (None,) * len(where(task)), is_leaf=lambda v: v is None)


def times_of(t: Task, on_grid: bool = False) -> tuple:
    """Times, whose cotangents have rules of their own; the controller, its tolerances and the noise, which have none.

    On a grid the steps are functions of t0, which is then no exception.
    """
    frozen = t.control, t.stepper.tol, t.stepper.noise
    return (t.span, t.ts, t.edges, *frozen) if on_grid else (t.t0, t.span, t.ts, t.edges, *frozen)


def with_times(task: Task, theta: PyTree, rest: PyTree) -> Task:
    return eqx.combine(theta, rest, task)


def dense(cotangent: PyTree, like: PyTree) -> PyTree:
    """The cotangent with zeros where nothing came in."""
    if nothing(cotangent):
        return jax.tree.map(jnp.zeros_like, like)
    return jax.tree.map(lambda z, c: jnp.zeros_like(z) if c is None else c, like, cotangent)


def nothing(cotangent: PyTree) -> bool:
    return not jax.tree.leaves(cotangent)


def where_or_zero(where: Array, value: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.where(where, leaf, jnp.zeros((), leaf.dtype)), value)


def add(a: PyTree, b: PyTree) -> PyTree:
    return jax.tree.map(jnp.add, a, b)


def time_cotangent(task: Task, s: Array, x: PyTree, x_bar: PyTree) -> Array:
    """<x_bar, dx/dt> in each lane: how the exact solution's end moves with time."""
    stepper, t = task.stepper, task.t0 + s
    slope = stepper.velocity(t, x)
    total = jnp.zeros(s.shape, s.dtype)
    for a, b in zip(jax.tree.leaves(x_bar), jax.tree.leaves(slope), strict=True):
        axes = tuple(range(a.ndim - stepper.lanes))
        total = total + jnp.sum((a * b).real, axis=axes).astype(s.dtype)
    return total
