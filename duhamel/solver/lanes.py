"""Many lanes through the forward loop: in chunks that stay in cache, with the slow lanes gathered together.

A chunk runs until it is done, or until half its lanes are and it has run long enough that gathering pays. What
is left of all chunks is then gathered and run on, until nothing is. The reverse pass takes the chunks one by one; the
cotangents of shared weights are summed over lanes inside each step's own matrix products, and over chunks.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from duhamel.core.status import Status
from duhamel.core.switches import own_arithmetic

from .loop import advance, finish, start
from .modes import March
from .sharding import vary_together
from .tape import pull_back, write
from .task import RUNNING, State, Task
from .weights import lane_args, with_lanes, without_lanes

PATIENCE = 128  # attempts a chunk makes before it may leave its slow lanes to the next round
TAIL = 64  # width of the chunks once few lanes are left


class Bundle(NamedTuple):
    """Everything that belongs to lanes. `ids` says where a lane came from; `args` are the per-lane arguments, and the
    noise."""

    state: State
    span: Array
    args: PyTree
    ids: Array


def _none(value: Any) -> bool:
    return value is None


def lanes_of(tree: PyTree, pick: Any) -> PyTree:
    """Apply pick to the lane axis, the last one, of each leaf; leaves without lanes (the shared index) stay."""
    return jax.tree.map(lambda leaf: pick(leaf, leaf.ndim - 1) if leaf.ndim else leaf, tree)


def slice_lanes(bundle: Bundle, begin: Array, width: int) -> Bundle:
    cut = lambda leaf, axis: jax.lax.dynamic_slice_in_dim(leaf, begin, width, axis)  # noqa: E731
    return Bundle(
        lanes_of(bundle.state, cut),
        cut(bundle.span, 0),
        jax.tree.map(lambda a: cut(a, 0), bundle.args),
        cut(bundle.ids, 0),
    )


def put_lanes(bundle: Bundle, state: State, begin: Array) -> Bundle:
    def put(leaf: Array, part: Array) -> Array:
        return jax.lax.dynamic_update_slice_in_dim(leaf, part, begin, leaf.ndim - 1) if leaf.ndim else leaf

    return bundle._replace(state=jax.tree.map(put, bundle.state, state))


def take_lanes(bundle: Bundle, order: Array) -> Bundle:
    take = lambda leaf, axis: jnp.take(leaf, order, axis=axis)  # noqa: E731
    return Bundle(
        lanes_of(bundle.state, take),
        take(bundle.span, 0),
        jax.tree.map(lambda a: take(a, 0), bundle.args),
        take(bundle.ids, 0),
    )


def march_lanes(task: Task, x: PyTree, h: Array, width: int) -> State:
    """`loop.run` over all lanes; the same numbers, lane by lane."""
    lanes = task.span.shape[0]
    if lanes <= TAIL or (task.edges is not None and lanes <= width):
        loop = jax.lax.while_loop(_any_running, lambda state: advance(task, state)[0], start(task, x, h))
        return finish(task, loop)
    per, _ = lane_args(task)
    bundle = vary_together(Bundle(start(task, x, h), task.span, per, jnp.arange(lanes)))
    bundle = _pad(bundle, -lanes % width)
    bundle = _round(task, bundle, width)
    if task.edges is None:  # on a fixed grid all lanes end together
        bundle = jax.lax.cond(_running(bundle) > 0, lambda b: _gathered_rounds(task, b, width), lambda b: b, bundle)
    state = lanes_of(bundle.state, lambda leaf, axis: jax.lax.slice_in_dim(leaf, 0, lanes, axis=axis))
    return finish(task, state)


def _gathered_rounds(task: Task, bundle: Bundle, width: int) -> Bundle:
    """Run the lanes that are left, gathered again after each round, and put all lanes back where they came from."""
    wide, narrow = 2 * TAIL, min(TAIL, width)
    bundle = jax.lax.while_loop(lambda b: _running(b) > wide, lambda b: _round(task, _gather(b), width), bundle)
    bundle = jax.lax.while_loop(lambda b: _running(b) > 0, lambda b: _round(task, _gather(b), narrow), bundle)
    return take_lanes(bundle, _inverse(bundle.ids))


def _any_running(state: State) -> Array:
    return jnp.any(state.status == RUNNING)


def _running(bundle: Bundle) -> Array:
    return jnp.sum(bundle.state.status == RUNNING)


def _gather(bundle: Bundle) -> Bundle:
    """Running lanes first. A sort would do the same; two running sums take a tenth of its time."""
    running = bundle.state.status == RUNNING
    place = jnp.where(running, jnp.cumsum(running), jnp.sum(running) + jnp.cumsum(~running)) - 1
    return take_lanes(bundle, _inverse(place))


def _inverse(permutation: Array) -> Array:
    lanes = jnp.arange(permutation.shape[0])
    return jnp.zeros_like(lanes).at[permutation].set(lanes, unique_indices=True)


def _pad(bundle: Bundle, extra: int) -> Bundle:
    """Lanes that have already ended, so that every chunk is full."""
    if extra == 0:
        return bundle

    def pad(leaf: Array, axis: int) -> Array:
        first = jax.lax.slice_in_dim(leaf, 0, 1, axis=axis)
        return jnp.concatenate([leaf, jnp.repeat(first, extra, axis=axis)], axis=axis)

    lanes = bundle.span.shape[0]
    padded = Bundle(
        lanes_of(bundle.state, pad),
        pad(bundle.span, 0),
        jax.tree.map(lambda a: pad(a, 0), bundle.args),
        jnp.arange(lanes + extra),
    )
    status = jnp.where(jnp.arange(lanes + extra) < lanes, padded.state.status, Status.success).astype(jnp.int32)
    return padded._replace(state=padded.state._replace(status=status))


def _round(task: Task, bundle: Bundle, width: int) -> Bundle:
    """Each chunk with a running lane runs until it is done, or half of it is after PATIENCE attempts."""
    running = bundle.state.status == RUNNING
    last = jnp.max(jnp.where(running, jnp.arange(running.shape[0]), -1))

    def chunk(i: Array, bundle: Bundle) -> Bundle:
        begin = i * width
        part = slice_lanes(bundle, begin, width)
        own = with_lanes(task, part.span, part.args)
        first = part.state.attempts

        def go_on(state: State) -> Array:
            left = jnp.sum(state.status == RUNNING)
            stay = (2 * left > width) | (state.attempts - first < PATIENCE) | (task.edges is not None)
            return (left > 0) & stay

        state = jax.lax.while_loop(go_on, lambda state: advance(own, state)[0], part.state)
        return put_lanes(bundle, state, begin)

    return jax.lax.fori_loop(0, last // width + 1, chunk, bundle)


class TapedLanes(March):
    """`march_lanes`, with its way back."""

    memory: int = eqx.field(static=True)
    width: int = eqx.field(static=True)

    def run(self, task: Task, x: PyTree, h: Array) -> State:
        return march_lanes(task, x, h, self.width)

    @own_arithmetic
    def forward(self, task: Task, x: PyTree, h: Array) -> tuple[State, PyTree]:
        if task.span.shape[0] <= self.width:
            state, rows = write(task, x, h, self.memory)
            return state, (state, rows)
        return march_lanes(task, x, h, self.width), None

    @own_arithmetic
    def backward(self, task: Task, x: PyTree, h: Array, kept: PyTree, grad: State, wanted: Task) -> tuple[Task, PyTree]:
        if kept is not None:
            state, rows = kept
            return pull_back(task, x, state, rows, grad, wanted, self.memory)

        def pull(own: Task, x: PyTree, h: Array, grad: State, kept: None) -> tuple[Task, PyTree]:
            del kept
            state, rows = write(own, x, h, self.memory)
            return pull_back(own, x, state, rows, grad, wanted, self.memory)

        return backward_chunks(task, x, h, grad, None, self.width, pull)


def backward_chunks(
    task: Task, x: PyTree, h: Array, grad: State, kept: PyTree, width: int, pull: Callable
) -> tuple[Task, PyTree]:
    """Chunk after chunk, pull(task, x, h, grad, kept) -> cotangents of (task, x): one tape is alive at a time.

    kept  what else pull wants to know of its lanes, leaves (..., lanes)
    """
    lanes = task.span.shape[0]
    extra = -lanes % width
    per, _ = lane_args(task)
    pad = lambda leaf, axis: jnp.concatenate(  # noqa: E731
        [leaf, jnp.repeat(jax.lax.slice_in_dim(leaf, 0, 1, axis=axis), extra, axis=axis)], axis=axis
    )
    pad_zero = lambda leaf, axis: jnp.pad(leaf, [(0, 0)] * axis + [(0, extra)])  # noqa: E731
    x, h, span = lanes_of(x, pad), pad(h, 0), pad_zero(task.span, 0)  # a span of 0: nothing to do
    per = jax.tree.map(lambda a: pad(a, 0), per)
    grad, kept = lanes_of(grad, pad_zero), lanes_of(kept, pad)

    def chunk(total: PyTree, i: Array) -> tuple[PyTree, tuple]:
        cut = lambda leaf, axis: jax.lax.dynamic_slice_in_dim(leaf, i * width, width, axis)  # noqa: E731
        own = with_lanes(task, cut(span, 0), jax.tree.map(lambda a: cut(a, 0), per))
        x_part, h_part = lanes_of(x, cut), cut(h, 0)
        task_bar, x_bar = pull(own, x_part, h_part, lanes_of(grad, cut), lanes_of(kept, cut))
        per_bar, _ = lane_args(task_bar)
        return jax.tree.map(jnp.add, total, without_lanes(task_bar)), (x_bar, task_bar.span, per_bar)

    none = without_lanes(jax.tree.map(jnp.zeros_like, eqx.filter(task, eqx.is_inexact_array)))
    total, bars = jax.lax.scan(chunk, none, jnp.arange((lanes + extra) // width))
    x_bar, span_bar, per_bar = bars
    x_bar = jax.tree.map(lambda leaf: _unchunk(leaf, lanes, -1), x_bar)
    span_bar = _unchunk(span_bar, lanes, -1)
    per_bar = jax.tree.map(lambda leaf: _unchunk(leaf, lanes, 0), per_bar)
    _, shared_bar = lane_args(total)
    bars = (span_bar, eqx.combine(per_bar[0], shared_bar))
    total = eqx.tree_at(lambda t: (t.span, t.stepper.args), total, bars, is_leaf=_none)
    for name, bar in zip(("min_step", "max_step"), per_bar[2], strict=True):
        if bar is not None:
            total = eqx.tree_at(lambda t, n=name: getattr(t.control, n), total, bar, is_leaf=_none)
    return total, x_bar


def _unchunk(leaf: Array, lanes: int, axis: int) -> Array:
    """(chunks, ..., width, ...) with the lanes at `axis` of a chunk -> all lanes at that axis."""
    if axis == 0:
        return leaf.reshape(-1, *leaf.shape[2:])[:lanes]
    leaf = jnp.moveaxis(leaf, 0, -2)
    return leaf.reshape(*leaf.shape[:-2], -1)[..., :lanes]
