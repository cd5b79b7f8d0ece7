"""What every reverse pass does with cotangents: part the task, fill in zeros, add, pair with the slope."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .task import Task


def parted(task: Task, wanted: Task) -> tuple[PyTree, PyTree]:
    """(theta, rest): what is differentiated of the task beside its times, and everything else."""
    return eqx.partition(_untimed(task), _untimed(wanted))


def folded(rows: PyTree, last: Array) -> PyTree:
    """Cotangents of every step's rows: those behind the last row, which repeat it, belong to it."""

    def one(leaf: Array) -> Array:
        index = jnp.arange(leaf.shape[0]).reshape(-1, *(1,) * (leaf.ndim - 1))
        behind = jnp.sum(jnp.where(index > last, leaf, 0), axis=0)
        return leaf + jnp.where(index == last, behind, 0)

    return jax.tree.map(one, rows)


def times_perturbed(task: Task) -> bool:
    return any(flag for flag in jax.tree.leaves((task.t0, task.span, task.ts)))


def _untimed(task: Task) -> Task:
    """The task without the times, whose cotangents have closed forms, and without the tolerances, which have none."""
    return eqx.tree_at(times_of, task, (None,) * 7, is_leaf=lambda v: v is None)


def times_of(t: Task) -> tuple:
    return t.t0, t.span, t.ts, t.edges, t.control, t.stepper.tol, t.stepper.noise


def with_times(task: Task, theta: PyTree, rest: PyTree) -> Task:
    return eqx.tree_at(times_of, eqx.combine(theta, rest), times_of(task), is_leaf=lambda v: v is None)


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
