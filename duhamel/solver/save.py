"""What a solve returns: the end, given times, every step, or a function of the state at those."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from duhamel.core.calling import with_args
from duhamel.core.problem import close


class Save(eqx.Module):
    """What to save beside the times given to `solve`.

    steps  every accepted step: t and x get one row a step, the initial state first. Called outside `jit` the rows are
           exactly those taken; inside, there are max_steps + 1 of them and the last state fills the rest
    dense  the solution may be evaluated at any time, `sol(t)`; implies `steps`
    stiffness  add up |h| rho over the steps, rho an estimate of the largest eigenvalue of the Jacobian: `sol.stiffness`
    events how many events are written down (times, numbers, states); more are counted only
    fn     save fn(t, x, args) instead of x, for instance one component, an energy, or a field in real space
    """

    steps: bool = eqx.field(static=True, default=False)
    dense: bool = eqx.field(static=True, default=False)
    fn: Callable | None = None
    events: int = eqx.field(static=True, default=16)
    stiffness: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        if self.dense and self.fn is not None:
            raise ValueError("Save(dense=True) interpolates the state itself; apply fn to sol(t) instead.")
        if not isinstance(self.events, int) or self.events < 1:
            raise ValueError(f"Save(events) is how many events to write down, at least 1, got {self.events!r}.")

    @property
    def every_step(self) -> bool:
        return self.steps or self.dense


def bind_save(save: Save, t: Any, x: PyTree, args: PyTree) -> Save:
    """With every array that fn closes over made an explicit input, so that it can be differentiated."""
    if save.fn is None:
        return save
    return Save(save.steps, save.dense, close(with_args(save.fn, "Save(fn)"), t, x, args), save.events, save.stiffness)


def rows_like(value: PyTree, rows: int) -> PyTree:
    """Empty rows for `rows` values; NaN until written, so that a row never written cannot pass for a result."""

    def empty(leaf: Any) -> Array:
        # JAX's search for NaN would stop at these; what it finds then is a NaN of the user's own.
        nothing = jnp.inf if jax.config.jax_debug_nans else jnp.nan  # pyright: ignore[reportAttributeAccessIssue]
        fill = nothing if jnp.issubdtype(leaf.dtype, jnp.inexact) else 0
        return jnp.full((rows, *leaf.shape), fill, leaf.dtype)

    return jax.tree.map(empty, value)


def write(buffer: PyTree, index: Int[Array, "..."], value: PyTree, where: Bool[Array, "..."]) -> PyTree:
    """buffer[index] = value where `where`; with lanes (last axis) each lane has its own index."""

    def one(rows: Array, leaf: Array) -> Array:
        if index.ndim == 0:
            return rows.at[jnp.where(where, index, rows.shape[0])].set(leaf, mode="drop")
        lanes = jnp.arange(index.shape[0])
        at = jnp.where(where, index, rows.shape[0])
        # The indexed axes, split by slices, come first in NumPy's rule: (lanes, ...).
        middle = (slice(None),) * (rows.ndim - 2)
        return rows.at[(at, *middle, lanes)].set(jnp.moveaxis(leaf, -1, 0), mode="drop")

    return jax.tree.map(one, buffer, value)


def read(buffer: PyTree, index: Int[Array, "..."]) -> PyTree:
    """buffer[index]; with lanes (last axis) each lane has its own index."""

    def one(rows: Array) -> Array:
        if index.ndim == 0:
            return rows[index]
        middle = (slice(None),) * (rows.ndim - 2)
        return jnp.moveaxis(rows[(index, *middle, jnp.arange(index.shape[0]))], 0, -1)

    return jax.tree.map(one, buffer)


def fill_after(buffer: PyTree, count: Int[Array, "..."]) -> PyTree:
    """Rows from `count` on repeat the last written one."""

    def one(rows: Array) -> Array:
        index = jnp.arange(rows.shape[0])
        if count.ndim == 0:
            return rows[jnp.minimum(index, count - 1)]
        index = jnp.minimum(index[:, None], count - 1)  # (rows, lanes)
        shape = (index.shape[0], *(1,) * (rows.ndim - 2), index.shape[1])
        return jnp.take_along_axis(rows, index.reshape(shape), axis=0)

    return jax.tree.map(one, buffer)


def select(where: Bool[Array, "..."], new: PyTree, old: PyTree) -> PyTree:
    """new where `where` (a scalar, or one flag per lane on the last axis), else old."""
    return jax.tree.map(lambda a, b: jnp.where(where, a, b), new, old)


def inside(
    ts: Float[Array, " n"], index: Int[Array, "..."], end: Float[Array, "..."], sign: Float[Array, "..."]
) -> Bool[Array, "..."]:
    """Whether the index-th save time lies no later than `end`, in the direction of `sign`."""
    time = ts[jnp.minimum(index, ts.shape[0] - 1)]
    return (index < ts.shape[0]) & (time * sign <= end * sign)
