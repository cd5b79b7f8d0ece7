"""A failure that nobody can raise: inside `jit` and `vmap` the numbers of a solve that failed are NaN."""

from typing import Any

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .solution import Solution


def visible(solution: Solution) -> Solution:
    """The solution with NaN for every number that a failed solve computed, and for every derivative of one.

    A lane that failed but that nobody asks for (its cotangent is 0) has derivative 0: `jnp.where(sol.ok, ..., 0.0)`
    masks it. Times, counts and the status stay. `throw=False` leaves the numbers alone, too.
    """
    failed = ~solution.ok
    events = solution.events
    happened = None if events is None else (events.t, events.x, events.last)
    dense = None if solution.dense is None else solution.dense.slots
    numbers = (solution.x, solution.x1, solution.error, solution.stiffness, happened, dense)
    x, x1, error, stiffness, happened, dense = _spoiled(numbers, failed)
    where = lambda s: (s.x, s.x1, s.error, s.stiffness)  # noqa: E731
    solution = eqx.tree_at(where, solution, (x, x1, error, stiffness), is_leaf=lambda v: v is None)
    if happened is not None:
        solution = eqx.tree_at(lambda s: (s.events.t, s.events.x, s.events.last), solution, happened)
    return solution if dense is None else eqx.tree_at(lambda s: s.dense.slots, solution, dense)


@eqx.filter_custom_jvp
def _spoiled(numbers: PyTree, failed: Array) -> PyTree:
    def one(leaf: Any) -> Any:
        if not eqx.is_inexact_array(leaf):
            return leaf
        return jnp.where(_beside(failed, leaf), jnp.asarray(jnp.nan, leaf.dtype), leaf)

    return jax.tree.map(one, numbers)


@_spoiled.def_jvp
def _spoiled_jvp(primals: tuple, tangents: tuple) -> tuple[PyTree, PyTree]:
    numbers, failed = primals
    # Every tangent is batched where `failed` is, so that one shared by all lanes sums what comes back.
    none = jnp.where(failed, 0.0, 0.0)
    spoil = lambda dot: eqxi.filter_primitive_bind(  # noqa: E731
        _spoil, dot + _beside(none, dot).astype(dot.dtype), failed
    )
    return _spoiled(numbers, failed), jax.tree.map(spoil, tangents[0])


def _beside(failed: Array, leaf: Any) -> Array:
    """Lanes come first."""
    return failed.reshape(failed.shape + (1,) * (leaf.ndim - failed.ndim))


@eqxi.filter_primitive_def
def _spoil_impl(dot: Array, failed: Array) -> Array:
    return jnp.where(_beside(failed, dot), jnp.asarray(jnp.nan, dot.dtype), dot)


@eqxi.filter_primitive_def
def _spoil_shape(dot: Any, failed: Any) -> Any:
    del failed
    return dot


@eqxi.filter_primitive_jvp
def _spoil_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    dot, failed = primals
    bind = lambda dot: eqxi.filter_primitive_bind(_spoil, dot, failed)  # noqa: E731
    return bind(dot), bind(eqxi.materialise_zeros(dot, tangents[0]))


@eqxi.filter_primitive_transpose  # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
def _spoil_transpose(inputs: tuple, bar: Array) -> tuple:
    """A derivative that does not exist, unless nobody asks for it."""
    failed = inputs[1]
    return jnp.where(_beside(failed, bar) & (bar != 0), jnp.asarray(jnp.nan, bar.dtype), bar), None


_spoil = eqxi.create_vprim("spoil", _spoil_impl, _spoil_shape, _spoil_jvp, _spoil_transpose)
