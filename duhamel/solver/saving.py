"""What is written down while a solve runs: every step, and the times asked for."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from duhamel.core.status import Status
from duhamel.methods.base import Env, Moment

from .control import CFL
from .save import inside, write
from .stepper import moved
from .task import State, Task, output, row_of


def record_step(task: Task, old: State, new: State, at: Moment, env: Env, move: Array, landing: Any) -> State:
    at_times, every, times = new.saves
    end = old.s + at.h if task.marked else new.s
    if every is not None:
        t = task.t0 + (new.s if landing is None else jnp.where(landing.dt == 0, new.s, end + landing.dt))
        every = write(every, new.accepted, row_of(task, t, new.slots), move)
        times = write(times, new.accepted, t, move)
    saved = new.saved
    if task.ts is not None:
        upto = new.s if not task.marked else jnp.where(new.status == Status.event, end + _dt(landing), new.s)
        due = move & inside(task.ts, saved, upto, jnp.sign(task.span))
        landed = isinstance(task.control, CFL) and not task.marked
        at_times, saved = jax.lax.cond(
            jnp.any(due),
            lambda: _save_end(task, new, due) if landed else _save_times(task, old, new, upto, at, env, move),
            lambda: (at_times, saved),
        )
    return new._replace(saves=(at_times, every, times), saved=saved)


def _dt(landing: Any) -> Any:
    return 0.0 if landing is None else landing.dt


def _save_end(task: Task, new: State, due: Array) -> tuple[PyTree, Array]:
    """Steps by a CFL number end at the save times: nothing lies in between."""
    time = task.ts[jnp.minimum(new.saved, task.ts.shape[0] - 1)]
    x = moved(new.slots["x"], time + jnp.zeros_like(new.s), task.t0, task.stepper)
    return write(new.saves[0], new.saved, output(task, task.t0 + time, x), due), new.saved + due


def _save_times(
    task: Task, old: State, new: State, upto: Array, at: Moment, env: Env, move: Array
) -> tuple[PyTree, Array]:
    """Write every save time the step passed; a lane that passed none waits for the others."""
    stepper = task.stepper
    basis = stepper.densify(at, env)
    sign = jnp.sign(task.span)

    def due(carry: tuple) -> Array:
        return move & inside(task.ts, carry[1], upto, sign)

    def body(carry: tuple) -> tuple:
        buffer, saved = carry
        now = due(carry)
        time = task.ts[jnp.minimum(saved, task.ts.shape[0] - 1)]
        part = jax.lax.stop_gradient(time) - old.s
        theta = jnp.where(now, part / jnp.where(now, at.h, 1.0), 0.0)
        x = moved(stepper.interpolate(at, theta, basis), time + jnp.zeros_like(old.s), task.t0, stepper)
        value = output(task, task.t0 + time, x)
        return write(buffer, saved, value, now), saved + now

    return jax.lax.while_loop(lambda carry: jnp.any(due(carry)), body, (new.saves[0], new.saved))
