"""What is written down while a solve runs: every step, and the times asked for."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from duhamel.core.status import Status
from duhamel.methods.base import Env, Moment

from .control import CFL
from .save import inside, rows_like, write
from .sharding import vary_together
from .stepper import moved
from .task import State, Task, output, row_of


def first_rows(task: Task, x: PyTree, begin: Array) -> tuple[PyTree, Array]:
    """Rows for the save times, and how many are written: those of every time equal to the one at which x stands."""
    ts, shape = task.ts, task.span.shape
    good = ~out_of_order(task, begin)
    value = lambda time: output(task, task.t0 + time, moved(x, time + 0 * begin, task.t0, task.stepper))  # noqa: E731
    rows = rows_like(jax.eval_shape(value, ts[0]), ts.shape[0])
    rows, saved, _ = vary_together((rows, jnp.zeros(shape, jnp.int32), (x, ts, begin, task.t0)))

    def due(saved: Array) -> Array:
        return good & (saved < ts.shape[0]) & (ts[jnp.minimum(saved, ts.shape[0] - 1)] == begin)

    def body(carry: tuple[PyTree, Array]) -> tuple[PyTree, Array]:
        rows, saved = carry
        now = due(saved)
        time = ts[jnp.minimum(jnp.max(saved), ts.shape[0] - 1)]
        return write(rows, saved, value(time), now), saved + now

    return jax.lax.while_loop(lambda carry: jnp.any(due(carry[1])), body, (rows, saved))


def out_of_order(task: Task, begin: Array) -> Array:
    """Whether the save times do not run from `begin` to the end in one direction (repeats may stand): per lane."""
    ts = task.ts
    if ts is None:
        return jnp.zeros(task.span.shape, bool)
    every = ts.reshape(-1, *(1,) * task.span.ndim)
    sign = jnp.sign(task.span - begin)
    back = jnp.any((every[1:] - every[:-1]) * sign < 0, axis=0) | ((ts[0] - begin) * sign < 0)
    elsewhere = (sign == 0) & jnp.any(every != begin, axis=0)
    return back | elsewhere | ~jnp.all(jnp.isfinite(every), axis=0)


def record_step(task: Task, old: State, new: State, at: Moment, env: Env, move: Array, landing: Any) -> State:
    at_times, every, times, ends = new.saves
    end = old.s + at.h
    upto = new.s if landing is None else jnp.where(new.status == Status.event, end + landing.ahead, new.s)
    if every is not None:
        every = write(every, new.accepted, row_of(task, task.t0 + upto, new.slots), move)
        times = write(times, new.accepted, task.t0 + upto, move)
    if ends is not None:  # a discontinuity lies between the end of a step and the beginning of the next
        ends = write(ends, new.accepted, task.t0 + end, move)
    saved = new.saved
    if task.ts is not None:
        due = move & inside(task.ts, saved, upto, jnp.sign(task.span))
        at_times, saved = jax.lax.cond(
            jnp.any(due),
            lambda: _save_times(task, old, new, upto, at, env, move, due),
            lambda: (at_times, saved),
        )
    return new._replace(saves=(at_times, every, times, ends), saved=saved)


def _save_times(
    task: Task, old: State, new: State, upto: Array, at: Moment, env: Env, move: Array, due: Array
) -> tuple[PyTree, Array]:
    """Write every save time the step passed. On a grid that contains them, that is the end of the step, for which
    nothing is interpolated."""
    time = task.ts[jnp.minimum(new.saved, task.ts.shape[0] - 1)]
    eps = 4 * jnp.finfo(task.span.dtype).eps
    ends = due & (jnp.abs(time - upto) <= eps * jnp.maximum(jnp.abs(time), jnp.abs(upto)))
    if task.marked:  # an event or a discontinuity ends a step with a state of its own
        return _between(task, old, new, upto, at, env, move)

    late = upto - jax.lax.stop_gradient(upto)  # 0, but the end of the step may move, the time asked for does not

    def write_ends() -> tuple[PyTree, Array]:
        """All rows of one time: repeats are written, too."""

        def now(saved: Array) -> Array:
            return due & (saved < task.ts.shape[0]) & (when(saved) == time)

        def when(saved: Array) -> Array:
            return task.ts[jnp.minimum(saved, task.ts.shape[0] - 1)]

        def body(carry: tuple[PyTree, Array]) -> tuple[PyTree, Array]:
            rows, saved = carry
            x = moved(env["x1"], when(saved) - late, task.t0, task.stepper)
            return write(rows, saved, output(task, task.t0 + when(saved), x), now(saved)), saved + now(saved)

        return jax.lax.while_loop(lambda carry: jnp.any(now(carry[1])), body, (new.saves[0], new.saved))

    if isinstance(task.control, CFL):  # its steps end at the save times: nothing lies in between
        return write_ends()
    between = lambda: _between(task, old, new, upto, at, env, move)  # noqa: E731
    return jax.lax.cond(jnp.all(ends == due), write_ends, between)


def _between(
    task: Task, old: State, new: State, upto: Array, at: Moment, env: Env, move: Array
) -> tuple[PyTree, Array]:
    """By dense output; a lane that passed no more save times waits for the others."""
    stepper = task.stepper
    basis = stepper.inside(at, env)
    sign = jnp.sign(task.span)

    def due(carry: tuple) -> Array:
        return move & inside(task.ts, carry[1], upto, sign)

    def body(carry: tuple) -> tuple:
        buffer, saved = carry
        now = due(carry)
        time = task.ts[jnp.minimum(saved, task.ts.shape[0] - 1)]
        on_grid = task.edges is not None  # there the interpolant is differentiated, else the solution, by f(t, x)
        part = (time if on_grid else jax.lax.stop_gradient(time)) - old.s
        theta = jnp.where(now, part / jnp.where(now, at.h, 1.0), 0.0)
        x = stepper.value(at, theta, basis)
        x = x if on_grid else moved(x, time + jnp.zeros_like(old.s), task.t0, stepper)
        value = output(task, task.t0 + time, x)
        return write(buffer, saved, value, now), saved + now

    return jax.lax.while_loop(lambda carry: jnp.any(due(carry)), body, (new.saves[0], new.saved))
