"""The second front door: many initial value problems at once, each with steps of its own."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import PyTree

from duhamel.core.switches import own_arithmetic
from duhamel.methods.base import Method, RowMethod, like
from duhamel.methods.consistent import check_start

from . import checks
from .adjoint import Adjoint
from .control import PID, Control
from .event import Event
from .failed import visible
from .habits import refuse
from .programs import bounded
from .request import Request, below_atol, hint, prepare, request
from .save import Save
from .sharding import vary_together
from .solution import Solution
from .solve import solution_of
from .stepper import Stepper, bind
from .times import Times, coarse_times

CACHE = 2**15  # bytes of state and stages a chunk may take: the first-level cache of a core


@own_arithmetic
def ensemble(
    problem: Any,
    x0s: PyTree,
    t1_or_ts: Any,
    *,
    t0: Any = 0.0,
    args: PyTree = None,
    in_axes: PyTree = None,
    method: Method | None = None,
    control: Control | None = None,
    adjoint: Adjoint | None = None,
    save: Save | None = None,
    events: Event | Sequence[Event] | None = None,
    key: Any = None,
    noise: Any = None,
    progress: Callable | None = None,
    dt0: Any = None,
    max_steps: int = 4096,
    chunk: int | None = None,
    throw: bool = True,
    **other: Any,
) -> Solution:
    """Solve dx/dt = f(t, x, args) from many initial states or with many parameters, every lane with its own steps.

        sols = ensemble(lorenz, x0s, 1.0, args=rhos, in_axes=0)       # sols.x: (lanes, 3)

    The result equals `solve` lane by lane, and a lane does not depend on its neighbours. It is faster than
    `jax.vmap(solve)`: the lanes are the last axis inside, run in chunks that stay in cache, and slow lanes are gathered
    so that finished ones cost nothing. Its gradient carries one cotangent for weights that the lanes share.

    x0s       each leaf (lanes, ...)
    args      arguments of f
    in_axes   which of them have a leading lane axis: 0 or None for all, or a pytree of those, args' upper part
    key       one key, from which lane i draws with fold_in(key, i), or one key a lane
    chunk     lanes run together; chosen from the size of the state unless told. Give more (256 and up) if f is
              dominated by matrix products, fewer if the state is large
    The other arguments are those of `solve`. The solution has the lanes first: x (lanes, ...) or (lanes, times, ...).
    """
    refuse(ensemble, other)
    x0s, t0, begin, resume = checks.beginning(x0s, t0, problem, throw)
    x0s, lanes = _states(x0s)
    if save is not None and save.dense:
        raise ValueError("an ensemble has no dense output; give save times, or vmap solve(..., save=Save(dense=True)).")
    asked = request(
        problem,
        jax.tree.map(lambda leaf: leaf[0], x0s),
        t1_or_ts,
        t0,
        begin,
        resume,
        args=args,
        method=method,
        control=control,
        adjoint=adjoint,
        save=save,
        events=events,
        key=key,
        noise=noise,
        progress=progress,
        dt0=dt0,
        max_steps=max_steps,
    )
    axes = _axes(asked.args, in_axes, lanes)
    check_start(asked.problem, x0s, begin, asked.args, lanes, axes)
    coarse_times(asked.problem, asked.times, *_first_lane(x0s, asked.args, axes))
    width = None if chunk is None else checks.max_steps(chunk)
    keys = None if asked.noise is None else _keys(key, lanes)
    solution = _ensemble(asked, x0s, axes, keys, width)
    bounded(_ensemble)
    if throw and isinstance(solution.status, Tracer):
        return visible(solution)
    if throw:
        solution.raise_if_failed(hint(asked))
    below_atol(asked, x0s, solution)
    return solution


@eqx.filter_jit
def _ensemble(asked: Request, x0s: PyTree, axes: PyTree, keys: Any, width: int | None) -> Solution:
    lanes = jax.tree.leaves(x0s)[0].shape[0]
    x0s, times, args, dt0 = vary_together((x0s, asked.times, asked.args, asked.dt0))
    t0 = times.t0
    x_one, one = _first_lane(x0s, args, axes)
    stepper = bind(asked.problem, asked.method, t0, x_one, one, lanes=1, axes=axes)
    checks.field(stepper.problem, t0, x_one, one)
    x = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, -1), x0s)
    stepper = stepper.given(args, _lane_table(asked.table, x), _lane_noise(asked, stepper, times, x_one, one, keys))
    asked = _lane_tolerances(asked.bound(t0, x_one, one))
    task, h = prepare(asked, stepper, x, times.lanes(lanes), dt0)
    task, x, h = vary_together((task, x, h))
    chunk = min(lanes, _width(stepper, x_one) if width is None else width)
    solution = solution_of(task, asked.adjoint.march_lanes(task, x, h, chunk), times, asked.control, dt0)
    return _lanes_first(solution, times.ts is None or asked.save.every_step)


def _first_lane(x0s: PyTree, args: PyTree, axes: PyTree) -> tuple[PyTree, PyTree]:
    first = lambda axis, leaf: leaf[0] if axis == 0 else leaf  # noqa: E731
    one = jax.tree.map(first, axes, args, is_leaf=lambda axis: axis is None)
    return jax.tree.map(lambda leaf: leaf[0], x0s), one


def _lane_table(table: list | None, x: PyTree) -> list | None:
    if table is None:
        return None
    return jax.tree.map(lambda rows: rows[..., None] if _elementwise(rows) else rows, like(table, x))


def _lane_noise(asked: Request, stepper: Stepper, times: Times, x: PyTree, args: PyTree, keys: Any) -> Any:
    """Every lane's noise, all its arrays with the lanes in front. x, args: one lane's."""
    if asked.noise is None:
        return None
    shape = stepper.problem.noise_shape(times.t0, x, args)
    return jax.vmap(lambda key: asked.noise.bind(key, shape, times.span, asked.method.noise))(keys)


def _lane_tolerances(asked: Request) -> Request:
    if not isinstance(asked.control, PID) or jnp.ndim(asked.control.atol) == 0:
        return asked
    return eqx.tree_at(lambda r: r.control.atol, asked, asked.control.atol[..., None])


def _lanes_first(solution: Solution, times: bool) -> Solution:
    """Inside, the lanes are the last axis. `times`: whether every lane has times of its own."""
    first = lambda tree: jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), tree)  # noqa: E731
    if times:
        solution = eqx.tree_at(lambda s: s.t, solution, first(solution.t))
    if solution.events is not None:
        solution = eqx.tree_at(lambda s: s.events, solution, first(solution.events))
    return eqx.tree_at(lambda s: (s.x, s.x1), solution, (first(solution.x), first(solution.x1)))


def _keys(key: Any, lanes: int) -> Any:
    """One key a lane: a lane's path does not depend on how many others there are."""
    if key.ndim == 0:
        return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(lanes))
    if key.shape != (lanes,):
        raise ValueError(f"key must be one key or one for each of the {lanes} lanes, got shape {key.shape}.")
    return key


def _elementwise(rows: Any) -> bool:
    """Coefficients with one number per component: (steps, n), which must broadcast against (n, lanes)."""
    return rows.ndim == 2


def _states(x0s: PyTree) -> tuple[PyTree, int]:
    leaves = jax.tree.leaves(x0s)
    sizes = {leaf.shape[0] if leaf.ndim else None for leaf in leaves}
    if len(sizes) != 1 or None in sizes or 0 in sizes:
        raise ValueError(
            f"x0s needs the same number of lanes, at least one, as the first axis of every leaf, got shapes "
            f"{', '.join(str(leaf.shape) for leaf in leaves)}."
        )
    return x0s, leaves[0].shape[0]


def _axes(args: PyTree, in_axes: PyTree, lanes: int) -> PyTree:
    """One of 0 or None for every leaf of args; what is no number has no lanes."""
    none = lambda v: v is None  # noqa: E731
    spread = lambda axis, leaf: axis if eqx.is_array_like(leaf) else None  # noqa: E731
    try:
        axes = jax.tree.map(
            lambda axis, part: jax.tree.map(lambda leaf: spread(axis, leaf), part), in_axes, args, is_leaf=none
        )
    except ValueError as error:
        raise ValueError(
            f"in_axes {in_axes!r} does not match args: give 0 or None, or a pytree of those like args."
        ) from error
    for axis, leaf in zip(jax.tree.leaves(axes, is_leaf=none), jax.tree.leaves(args, is_leaf=none), strict=True):
        if axis not in (0, None):
            raise ValueError(f"in_axes holds {axis!r}; lanes are the first axis (0), or the argument is shared (None).")
        if axis == 0 and leaf is not None and np.shape(leaf)[:1] != (lanes,):
            raise ValueError(
                f"in_axes says that an argument of shape {np.shape(leaf)} has {lanes} lanes as its first axis."
            )
    return axes


def _components(x: PyTree) -> int:
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(x))


def _width(stepper: Stepper, x: PyTree) -> int:
    """Lanes whose state and stages fit the cache; at least 256 where weights make matrix products of them."""
    size = sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(x))
    method = stepper.method
    stages = len(method.pattern.rows) if isinstance(method, RowMethod) else 8 + _components(x)
    fits = CACHE // max(size * (stages + 2), 1)
    width = int(2 ** np.clip(np.floor(np.log2(max(fits, 1))), 5, 8))
    weights = jax.tree.leaves(eqx.filter(stepper.problem, eqx.is_inexact_array))
    return max(width, 256) if any(w.ndim >= 2 for w in weights) else width
