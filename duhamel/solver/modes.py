"""Forward and reverse mode of a march, each by a rule of its own.

JAX lets a function have a rule for one mode only. Here the rule is that of forward mode, and the tangent it returns is
a primitive of its own which knows both ways: evaluated, it is the derivative of the loop; transposed, it is the walk
backwards. So `jax.jvp`, `jax.jacfwd` and `jax.linearize` work with every adjoint, and `jax.grad` walks its tape.

What cannot be differentiated once more in reverse (loops whose length is found on the way) says so in one sentence.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import unmapped_aval
from jax.interpreters import ad, batching
from jaxtyping import Array, PyTree

from .task import State, Task

AGAIN = (
    "Second derivatives in reverse mode (jax.grad of jax.grad, jax.jacrev of jax.grad) go through the steps "
    "themselves: use adjoint=Direct(), or forward over reverse (jax.hessian, jax.jvp of jax.grad)."
)


class March(eqx.Module):
    """From t0 to the end, and both ways to differentiate it with respect to (task, x)."""

    @abstractmethod
    def run(self, task: Task, x: PyTree, h: Array) -> State:
        """The march alone; forward mode is its own."""

    @abstractmethod
    def forward(self, task: Task, x: PyTree, h: Array) -> tuple[State, PyTree]:
        """`run`, and what the way backwards wants to know of it."""

    @abstractmethod
    def backward(self, task: Task, x: PyTree, h: Array, kept: PyTree, grad: State, wanted: Task) -> tuple[Task, PyTree]:
        """Cotangents of (task, x), given those of the final state, None where nothing depends on one. `wanted` flags
        the leaves of the task that want one."""


@eqx.filter_custom_jvp
def marched(task: Task, x: PyTree, h: Array, march: March) -> State:
    return _together(march.run(task, x, h), (task, x, h, march))


@marched.def_jvp
def _marched_jvp(primals: tuple, tangents: tuple) -> tuple[State, State]:
    task, x, h, march = primals
    task_dot, x_dot, *_ = tangents
    state, kept = reverse_refused(march.forward(task, x, h), AGAIN)
    state = _together(state, (task, x, h, march))
    leaves, tree = jax.tree.flatten(eqx.filter(state, eqx.is_inexact_array))
    shapes = _Shapes(tuple(jax.typeof(leaf).to_tangent_aval() for leaf in leaves), tree)
    dot = eqxi.filter_primitive_bind(_push, _Each(), shapes, (march, task, x, h, kept), (task_dot, x_dot))
    return state, dot


def _together(state: State, given: PyTree) -> State:
    """The state, all of it batched wherever anything given is: JAX wants values batched as their tangents are."""
    never = eqxi.filter_primitive_bind(_never, eqx.filter(given, eqx.is_array))
    one = lambda leaf: jnp.where(never, leaf, leaf) if eqx.is_inexact_array(leaf) else leaf  # noqa: E731
    return jax.tree.map(one, state)


@eqxi.filter_primitive_def
def _never_impl(given: PyTree) -> Array:
    del given
    return jnp.zeros((), bool)


@eqxi.filter_primitive_def
def _never_shape(given: PyTree) -> Any:
    del given
    return jax.typeof(np.zeros((), bool))


@eqxi.filter_primitive_jvp
def _never_jvp(primals: tuple, tangents: tuple) -> tuple[Array, None]:
    del tangents
    return eqxi.filter_primitive_bind(_never, *primals), None


_never = eqxi.create_vprim("never", _never_impl, _never_shape, _never_jvp, None)


@dataclass(frozen=True)
class _Shapes:
    """What the tangent of a state is made of: to JAX a constant, no pytree."""

    avals: tuple
    tree: Any


@dataclass(frozen=True)
class _Each:
    """One march."""

    def push(self, given: tuple, dots: tuple) -> PyTree:
        """Forward mode through the loop; the step sizes that a controller chose are held there too."""
        march, task, x, h, _ = given
        varied, still = eqx.partition((task, x), _flags((task, x), dots))

        def run(varied: PyTree) -> PyTree:
            task, x = eqx.combine(varied, still)
            return eqx.filter(march.run(task, x, h), eqx.is_inexact_array)

        return reverse_refused(jax.jvp(run, (varied,), (dots,))[1], AGAIN)

    def pull(self, given: tuple, asked: tuple, grad: State) -> tuple:
        """The walk backwards. `asked` is True where a cotangent is wanted."""
        march, task, x, h, kept = given
        bars = march.backward(task, x, h, kept, grad, _flags(task, asked[0]))
        bars = jax.tree.map(lambda ask, bar: bar if ask else None, asked, bars, is_leaf=_none)
        return reverse_refused(bars, AGAIN)


@dataclass(frozen=True)
class _Many:
    """Many of them under `jax.vmap`. axes: of the arrays in `given`; tangents have theirs in front."""

    one: Any
    axes: tuple

    def push(self, given: tuple, dots: tuple) -> PyTree:
        arrays, rest = self._split(given)
        each = lambda arrays, dots: self.one.push(eqx.combine(self._joined(arrays, given), rest), dots)  # noqa: E731
        return jax.vmap(each, in_axes=(self.axes, 0))(arrays, dots)

    def pull(self, given: tuple, asked: tuple, grad: State) -> tuple:
        arrays, rest = self._split(given)
        each = lambda arrays, grad: self.one.pull(eqx.combine(self._joined(arrays, given), rest), asked, grad)  # noqa: E731
        return jax.vmap(each, in_axes=(self.axes, 0))(arrays, grad)

    def _split(self, given: tuple) -> tuple[tuple, PyTree]:
        arrays, rest = eqx.partition(given, eqx.is_array)
        return tuple(jax.tree.leaves(arrays)), rest

    def _joined(self, arrays: tuple, given: tuple) -> PyTree:
        return jax.tree.unflatten(jax.tree.structure(eqx.filter(given, eqx.is_array)), arrays)


def _flags(primal: PyTree, dots: PyTree) -> PyTree:
    """In the structure of the primal: whether a leaf has a tangent."""
    leaves, tree = jax.tree.flatten(primal, is_leaf=_none)
    have = [dot is not None for dot in jax.tree.leaves(dots, is_leaf=_none)]
    return jax.tree.unflatten(tree, [None if leaf is None else flag for leaf, flag in zip(leaves, have, strict=True)])


def _none(leaf: Any) -> bool:
    return leaf is None


def _undefined(leaf: Any) -> bool:
    return isinstance(leaf, ad.UndefinedPrimal)


@eqxi.filter_primitive_def
def _push_impl(how: Any, shapes: _Shapes, given: tuple, dots: tuple) -> PyTree:
    del shapes
    return how.push(given, dots)


@eqxi.filter_primitive_def
def _push_shapes(how: Any, shapes: _Shapes, given: tuple, dots: tuple) -> PyTree:
    del how, given, dots
    return jax.tree.unflatten(shapes.tree, shapes.avals)


@eqxi.filter_primitive_jvp
def _push_jvp(primals: tuple, tangents: tuple) -> tuple[PyTree, PyTree]:
    how, _, given, dots = primals
    varied, still = eqx.partition((given, dots), eqx.is_inexact_array)
    zeros = jax.tree.map(eqxi.materialise_zeros, varied, eqx.filter(tangents[2:], True), is_leaf=_none)
    return jax.jvp(lambda varied: how.push(*eqx.combine(varied, still)), (varied,), (zeros,))


@eqxi.filter_primitive_transpose  # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
def _push_transpose(inputs: tuple, grad: State) -> tuple:
    how, shapes, given, dots = inputs
    asked = jax.tree.map(lambda leaf: True if _undefined(leaf) else None, dots, is_leaf=_undefined)
    nothing = jax.tree.map(lambda _: None, (how, shapes, given))
    return (*nothing, how.pull(given, asked, grad))


def _push_batched(size: int, name: Any, kind: Any, inputs: Any, axes: Any, **params: Any) -> Any:
    """The same primitive for many; a tangent that all share counts for each, so that its cotangents are summed."""
    del name, kind
    if all(axis is None for axis in axes):
        outs = _push.bind(*inputs, **params)
        return outs, [None] * len(outs)

    def rule(inputs: tuple, axes: tuple) -> tuple[PyTree, PyTree]:
        how, shapes, given, dots = inputs
        leaves, places = (jax.tree.leaves(tree, is_leaf=_none) for tree in (given, axes[2]))
        of_arrays = tuple(place for leaf, place in zip(leaves, places, strict=True) if eqx.is_array(leaf))
        dots = jax.tree.map(in_front, dots, axes[3], is_leaf=_none)
        wider = _Shapes(tuple(unmapped_aval(size, 0, aval) for aval in shapes.avals), shapes.tree)
        out = eqxi.filter_primitive_bind(_push, _Many(how, of_arrays), wider, given, dots)
        return out, jax.tree.map(lambda _: 0, out)

    def in_front(leaf: Any, axis: Any) -> Any:
        if leaf is None:
            return None
        return jnp.broadcast_to(leaf, (size, *leaf.shape)) if axis is None else jnp.moveaxis(leaf, axis, 0)

    return eqxi.filter_primitive_batching(rule)(inputs, axes, **params)


_push = eqxi.create_vprim("march", _push_impl, _push_shapes, _push_jvp, _push_transpose)
batching.axis_primitive_batchers[_push] = _push_batched  # pyright: ignore[reportArgumentType]


@eqx.filter_custom_jvp
def reverse_refused(tree: PyTree, sentence: str) -> PyTree:
    """The tree, whose derivatives exist in forward mode only."""
    del sentence
    return tree


@reverse_refused.def_jvp
def _reverse_refused_jvp(primals: tuple, tangents: tuple) -> tuple[PyTree, PyTree]:
    tree, sentence = primals
    return tree, eqxi.filter_primitive_bind(_refuse, tangents[0], sentence)


@eqxi.filter_primitive_def
def _refuse_impl(dot: PyTree, sentence: str) -> PyTree:
    del sentence
    return dot


@eqxi.filter_primitive_jvp
def _refuse_jvp(primals: tuple, tangents: tuple) -> tuple[PyTree, PyTree]:
    dot, sentence = primals
    second = jax.tree.map(eqxi.materialise_zeros, dot, tangents[0], is_leaf=_none)
    return dot, eqxi.filter_primitive_bind(_refuse, second, sentence)


@eqxi.filter_primitive_transpose  # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
def _refuse_transpose(inputs: tuple, bar: PyTree) -> tuple:
    del bar
    raise NotImplementedError(inputs[1])


_refuse = eqxi.create_vprim("forward_mode_only", _refuse_impl, _refuse_impl, _refuse_jvp, _refuse_transpose)
