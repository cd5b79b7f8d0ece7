"""Reverse mode from outside the loop: a tape of accepted steps, walked backwards.

Forward, every attempt in which a lane moved writes one row: s, h (0 for lanes that stood still, whose step is then the
identity) and, for every K-th row, x. Backward, each row's step is run once more under `jax.vjp` with h frozen:

    lam_j      = (d x_{j+1} / d x_j)^T lam_{j+1} + what was saved in the step
    theta_bar += (d x_{j+1} / d theta)^T lam_{j+1}

theta are the weights, shared by all lanes: their cotangent is one array, whatever the number of lanes.
"""

from math import ceil, sqrt
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from duhamel.rows.step import kept

from .loop import Move, State, Task, advance, finish, local_error, output, run, start, unfinished
from .save import read
from .stepper import Stepper


class Rows(NamedTuple):
    """The tape: s and h of each row, x of every K-th, and how many rows were written."""

    s: Array
    h: Array
    x: PyTree
    written: Array


def segment_length(x: PyTree, rows: int, memory: int) -> int:
    """K: one state in K is kept. 1 if all `rows` fit, else the kept ones and one segment take half the memory each."""
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(x))
    fits = max(1, memory // max(size, 1))
    return 1 if fits >= rows else min(ceil(2 * rows / fits), ceil(sqrt(rows)))


@eqx.filter_custom_vjp
def taped(diff: tuple, h: Float[Array, "..."], memory: int) -> State:
    """`run`, with the tape for its reverse mode. diff = (task, x): whatever may be differentiated."""
    task, x = diff
    return run(task, x, h)


@taped.def_fwd
def _forward(perturbed: PyTree, diff: tuple, h: Array, memory: int) -> tuple[State, tuple[State, Rows]]:
    del perturbed
    task, x = diff
    state, rows = record(task, x, h, memory)
    return state, (state, rows)


@taped.def_bwd
def _backward(residuals: tuple, grad: State, perturbed: PyTree, diff: tuple, h: Array, memory: int) -> tuple:
    del h
    state, rows = residuals
    task, x0 = diff
    return pull_back(task, x0, state, rows, grad, times_perturbed(perturbed[0]), memory)


def record(task: Task, x: PyTree, h: Array, memory: int) -> tuple[State, Rows]:
    """`run`, writing the tape."""
    K = segment_length(x, task.max_steps, memory)
    kept_states = jax.tree.map(lambda leaf: jnp.zeros((ceil(task.max_steps / K), *leaf.shape), leaf.dtype), x)
    times = jnp.zeros((task.max_steps, *task.span.shape), task.span.dtype)

    def body(carry: tuple[State, Rows]) -> tuple[State, Rows]:
        state, rows = carry
        new, move = advance(task, state)
        return new, _append(rows, move, state.slots["x"], K)

    empty = Rows(times, times, kept_states, jnp.zeros((), jnp.int32))
    state, rows = jax.lax.while_loop(lambda carry: unfinished(carry[0]), body, (start(task, x, h), empty))
    return finish(task, state), rows


def _append(rows: Rows, move: Move, x: PyTree, K: int) -> Rows:
    """A row that no lane moved in is overwritten by the next one, so it costs nothing later."""
    j = rows.written
    slot = j // K
    keep = j % K == 0

    def put(buffer: Array, leaf: Array) -> Array:
        old = buffer[slot]
        return buffer.at[slot].set(leaf if K == 1 else jnp.where(keep, leaf, old))

    return Rows(
        rows.s.at[j].set(move.s), rows.h.at[j].set(move.h), jax.tree.map(put, rows.x, x), j + move.any.astype(jnp.int32)
    )


class Cotangents(NamedTuple):
    """What the walk backwards carries.

    x       of the state at the beginning of the rows still to come
    theta   of everything else that may be differentiated (the task without its times)
    ts      of the save times
    saved   save times not yet passed on the way back
    steps   accepted steps not yet passed on the way back
    """

    x: PyTree
    theta: PyTree
    ts: Any
    saved: Array
    steps: Array


def pull_back(
    task: Task, x0: PyTree, end: State, rows: Rows, grad: State, times: bool, memory: int
) -> tuple[Task, PyTree]:
    """Cotangents of (task, x0), given those of the final state. `times`: whether t0, t1 or the save times want one."""
    theta, rest = eqx.partition(_untimed(task), eqx.is_inexact_array)
    out = _Incoming(grad.slots["x"], grad.saves[0], grad.saves[1], grad.error)
    s1 = end.s
    cot = Cotangents(
        x=_dense(out.x, x0),
        theta=jax.tree.map(jnp.zeros_like, theta),
        ts=None if task.ts is None else jnp.zeros_like(task.ts),
        saved=end.saved,
        steps=end.accepted,
    )
    if times and not _empty(out.every):
        raise NotImplementedError(
            "Derivatives with respect to t0 and t1 are not defined for Save(steps=True), whose times the controller "
            "chooses; save at given times instead."
        )
    late = _time_cotangent(task, s1, end.slots["x"], cot.x) if times else jnp.zeros_like(s1)
    cot = _walk(task, theta, rest, rows, out, cot, segment_length(x0, task.max_steps, memory))
    cot = _first_row(task, theta, rest, x0, out, cot)
    early = _time_cotangent(task, jnp.zeros_like(s1), x0, cot.x) if times else jnp.zeros_like(s1)
    return _assemble(task, cot, early, late), cot.x


class _Incoming(NamedTuple):
    """Cotangents of the outputs; None where nothing downstream depends on one."""

    x: PyTree
    at_times: PyTree
    every: PyTree
    error: Any


def times_perturbed(task: Task) -> bool:
    return any(flag for flag in jax.tree.leaves((task.t0, task.span, task.ts)))


def _untimed(task: Task) -> Task:
    """The task without the times, whose cotangents have closed forms, and without the tolerances, which have none."""
    where = lambda t: (t.t0, t.span, t.ts, t.edges, t.control)  # noqa: E731
    return eqx.tree_at(where, task, (None,) * 5, is_leaf=lambda v: v is None)


def _timed(task: Task, theta: PyTree, rest: PyTree) -> Task:
    where = lambda t: (t.t0, t.span, t.ts, t.edges, t.control)  # noqa: E731
    return eqx.tree_at(where, eqx.combine(theta, rest), where(task), is_leaf=lambda v: v is None)


def _dense(cotangent: PyTree, like: PyTree) -> PyTree:
    """The cotangent with zeros where nothing came in."""
    if _empty(cotangent):
        return jax.tree.map(jnp.zeros_like, like)
    return jax.tree.map(lambda z, c: jnp.zeros_like(z) if c is None else c, like, cotangent)


def _empty(cotangent: PyTree) -> bool:
    return not jax.tree.leaves(cotangent)


def _walk(task: Task, theta: PyTree, rest: PyTree, rows: Rows, out: _Incoming, cot: Cotangents, K: int) -> Cotangents:
    if K == 1:

        def one(i: Array, cot: Cotangents) -> Cotangents:
            j = rows.written - 1 - i
            x = jax.tree.map(lambda buffer: buffer[j], rows.x)
            return _pull(task, theta, rest, out, j, rows.s[j], rows.h[j], x, cot)

        return jax.lax.fori_loop(0, rows.written, one, cot)

    def segment(i: Array, cot: Cotangents) -> Cotangents:
        index = (rows.written - 1) // K - i
        begin, end = index * K, jnp.minimum((index + 1) * K, rows.written)
        x = jax.tree.map(lambda buffer: buffer[index], rows.x)
        states = jax.tree.map(lambda leaf: jnp.zeros((K, *leaf.shape), leaf.dtype), x)

        def again(j: Array, carry: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
            x, states = carry
            states = jax.tree.map(lambda buffer, leaf: buffer.at[j - begin].set(leaf), states, x)
            return _step(task, j, rows.s[j], rows.h[j], x)[0], states

        _, states = jax.lax.fori_loop(begin, end, again, (x, states))

        def one(i: Array, cot: Cotangents) -> Cotangents:
            j = end - 1 - i
            x = jax.tree.map(lambda buffer: buffer[j - begin], states)
            return _pull(task, theta, rest, out, j, rows.s[j], rows.h[j], x, cot)

        return jax.lax.fori_loop(0, end - begin, one, cot)

    return jax.lax.fori_loop(0, (rows.written + K - 1) // K, segment, cot)


def _step(task: Task, j: Any, s: Array, h: Array, x: PyTree) -> tuple[PyTree, dict]:
    """(x at the end of the row's step, everything the step built). A lane with h = 0 stays."""
    stepper = task.stepper
    t = task.t0 + s
    env = stepper.attempt(j, t, h, stepper.slots(t, x))
    x1 = kept(stepper.method.pattern, env)["x"]
    if stepper.lanes:
        x1 = jax.tree.map(lambda new, old: jnp.where(h == 0, old, new), x1, x)
    return x1, env


def _pull(
    task: Task, theta: PyTree, rest: PyTree, out: _Incoming, j: Array, s: Array, h: Array, x: PyTree, cot: Cotangents
) -> Cotangents:
    """Take the cotangents of one row's outputs back to its inputs."""
    moved = h != 0
    timed, wants_error = out.at_times is not None and not _empty(out.at_times), not _empty(out.error)

    def forward(x: PyTree, theta: PyTree) -> tuple:
        full = _timed(task, theta, rest)
        x1, env = _step(full, j, s, h, x)
        every = output(full, task.t0 + s + h, x1) if not _empty(out.every) else None
        basis = full.stepper.densify(task.t0 + s, h, env) if timed else None
        error = jnp.where(moved, local_error(full.stepper, env), 0.0) if wants_error else None
        return x1, every, basis, error

    (x1, every, basis, error), pull = jax.vjp(forward, x, theta)
    del x1, error
    every_bar = basis_bar = error_bar = None
    theta_bar, ts_bar, saved = cot.theta, cot.ts, cot.saved
    if every is not None:
        every_bar = _where(moved, _dense(read(out.every, cot.steps), every))
    if timed:
        basis_bar, theta_bar, ts_bar, saved = _pull_times(task, theta, rest, out, s, h, basis, cot)
    if wants_error:
        error_bar = jnp.where(moved, out.error, 0.0)
    x_bar, step_bar = pull((cot.x, every_bar, basis_bar, error_bar))
    return Cotangents(x_bar, _add(theta_bar, step_bar), ts_bar, saved, cot.steps - moved)


def _where(where: Array, value: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.where(where, leaf, jnp.zeros((), leaf.dtype)), value)


def _add(a: PyTree, b: PyTree) -> PyTree:
    return jax.tree.map(jnp.add, a, b)


def _pull_times(
    task: Task, theta: PyTree, rest: PyTree, out: _Incoming, s: Array, h: Array, basis: PyTree, cot: Cotangents
) -> tuple[PyTree, PyTree, Any, Array]:
    """Cotangents that the values saved inside the row's step give to its stages, the weights and the save times."""
    moved, sign = h != 0, jnp.sign(task.span)
    times = task.ts

    def due(saved: Array) -> Array:
        time = times[jnp.maximum(saved - 1, 0)]
        return moved & (saved > 0) & (time * sign > s * sign)

    def value(basis: PyTree, theta: PyTree, time: Array, now: Array) -> PyTree:
        full = _timed(task, theta, rest)
        part = jnp.where(now, (time - s) / jnp.where(now, h, 1.0), 0.0)
        return output(full, task.t0 + time, full.stepper.interpolate(task.t0 + s, h, part, basis))

    def body(carry: tuple) -> tuple:
        basis_bar, theta_bar, ts_bar, saved = carry
        now, index = due(saved), jnp.maximum(saved - 1, 0)
        saved_value, pull = jax.vjp(lambda b, p, t: value(b, p, t, now), basis, theta, times[index])
        b, p, t = pull(_where(now, _dense(read(out.at_times, index), saved_value)))
        ts_bar = ts_bar.at[index].add(jnp.where(now, t, 0.0))
        return _add(basis_bar, b), _add(theta_bar, p), ts_bar, saved - now

    zeros = jax.tree.map(jnp.zeros_like, basis)
    carry = (zeros, cot.theta, cot.ts, cot.saved)
    return jax.lax.while_loop(lambda carry: jnp.any(due(carry[3])), body, carry)


def _first_row(task: Task, theta: PyTree, rest: PyTree, x0: PyTree, out: _Incoming, cot: Cotangents) -> Cotangents:
    """What was saved before the first step: a save time equal to t0, and the first of every step's rows."""
    shape, dtype = task.span.shape, task.span.dtype
    stepper, index = task.stepper, jnp.zeros(shape, jnp.int32)

    def first(x: PyTree, theta: PyTree, dt: Array) -> PyTree:
        full = _timed(task, theta, rest)
        shifted = (
            x if task.ts is None else jax.tree.map(lambda a, f: a + dt * f, x, _slope(stepper, task.t0 + 0 * dt, x0))
        )
        return output(full, task.t0 + dt, shifted)

    if _empty(out.at_times) and _empty(out.every):
        return cot
    value, pull = jax.vjp(first, x0, theta, jnp.zeros(shape, dtype))
    if not _empty(out.every):
        x_bar, theta_bar, _ = pull(_dense(read(out.every, index), value))
        cot = cot._replace(x=_add(cot.x, x_bar), theta=_add(cot.theta, theta_bar))
    if not _empty(out.at_times):
        now = jnp.broadcast_to(task.ts[0] == 0, shape)
        x_bar, theta_bar, dt_bar = pull(_where(now, _dense(read(out.at_times, index), value)))
        ts_bar = cot.ts.at[0].add(jnp.sum(dt_bar))
        cot = cot._replace(x=_add(cot.x, x_bar), theta=_add(cot.theta, theta_bar), ts=ts_bar)
    return cot


def _slope(stepper: Stepper, t: Array, x: PyTree) -> PyTree:
    """dx/dt, the linear part included."""
    slope = stepper.field(t, x)
    return jax.tree.map(jnp.add, slope, stepper.L.apply(t, x)) if stepper.method.exponential else slope


def _time_cotangent(task: Task, s: Array, x: PyTree, x_bar: PyTree) -> Array:
    """<x_bar, dx/dt> in each lane: how the exact solution's end moves with time."""
    stepper, t = task.stepper, task.t0 + s
    slope = _slope(stepper, t, x)
    total = jnp.zeros(s.shape, s.dtype)
    for a, b in zip(jax.tree.leaves(x_bar), jax.tree.leaves(slope), strict=True):
        axes = tuple(range(a.ndim - stepper.lanes))
        total = total + jnp.sum((a * b).real, axis=axes).astype(s.dtype)
    return total


def _assemble(task: Task, cot: Cotangents, early: Array, late: Array) -> Task:
    """Cotangents in the task's own structure. x(t0 + span): span moves the end; t0 moves both ends."""
    where = lambda t: (t.t0, t.span, t.ts, t.edges, t.control)  # noqa: E731
    ts_bar = cot.ts
    t0_bar = late - early + (0.0 if ts_bar is None else jnp.sum(ts_bar))
    t0_bar = jnp.sum(t0_bar) if task.t0.ndim == 0 else t0_bar
    untouched = jax.tree.map(jnp.zeros_like, eqx.filter((task.edges, task.control), eqx.is_inexact_array))
    return eqx.tree_at(where, cot.theta, (t0_bar, late, ts_bar, *untouched), is_leaf=lambda v: v is None)
