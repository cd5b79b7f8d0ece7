"""What a solve is asked to do, and what it is in the middle of doing."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from duhamel.methods.base import Slots

from . import event
from .control import CFL, PID
from .event import Event, Hits
from .save import Save
from .stepper import Stepper

RUNNING = -1


class Task(eqx.Module):
    """What a solve is asked to do, times measured from t0 so that small steps at large times keep their digits.

    span  t1 - t0, signed; () or (lanes,)
    ts    save times minus t0, (n,), or None: the end only
    edges a fixed grid minus t0, (n + 1,), or None: adaptive
    stops times minus t0, (m,), at which the field is discontinuous, or None; on a fixed grid, its own
    """

    stepper: Stepper
    t0: Float[Array, "..."]
    span: Float[Array, "..."]
    ts: Any
    edges: Any
    stops: Any
    control: PID | CFL | None
    save: Save
    events: tuple[Event, ...]
    resume: "Resume | None"
    progress: Callable | None = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)

    @property
    def marked(self) -> bool:
        """Whether a step may end in something that the tape has to know of."""
        return bool(self.events) or self.stops is not None


class Resume(NamedTuple):
    """Where an earlier solve of the same problem stopped: what to go on from as if it had not.

    t0      from where its times are counted
    s, h    time since t0, and the step it would have tried next
    slots   what its method carries beside x
    before  what its controller remembers
    low     what t0 loses in its own precision: seconds since 1970 are 128 apart in float32
    """

    t0: Array
    s: Array
    h: Array
    slots: Slots
    before: tuple[Array, ...]
    low: Array


class State(NamedTuple):
    """Between two attempts.

    s         time since t0
    h         the step to try
    slots     what the method keeps: "x", perhaps "F" and more
    before    log of the squared error norms of earlier accepted steps, as many as the controller's gains need; for CFL
              the step that its number allows
    rejected  whether the last attempt was rejected
    status    RUNNING, or a Status
    accepted, tried  steps taken, and attempts, so far
    sums      over accepted steps: of the root mean square of the error estimate, of the stiffness if asked for
    saved     rows written of `saves`
    saves     values at the save times; every step's value; every step's time; where every step ended
    counts    evaluations, Jacobians, factorizations, as far as the method counts them itself
    side      on which side of each event's zero the solution is, (events, ...); None without events
    hits      what happened so far
    attempts  of any lane so far
    """

    s: Array
    h: Array
    slots: Slots
    before: tuple[Array, ...]
    rejected: Array
    status: Array
    accepted: Array
    tried: Array
    sums: dict[str, Array]
    saved: Array
    saves: tuple[PyTree, PyTree, Any, Any]
    counts: dict[str, Array]
    side: Any
    hits: Hits | None
    attempts: Array


class Move(NamedTuple):
    """What an attempt did: it moved each lane from s by h (0: rejected, or not running), and ended in `mark`."""

    s: Array
    h: Array
    mark: Any
    any: Bool[Array, ""]


def output(task: Task, t: Any, x: PyTree) -> PyTree:
    """What is saved of the state."""
    fn = task.save.fn
    return x if fn is None else event.lanewise(task.stepper, fn, t, x)


def row_of(task: Task, t: Any, slots: Slots) -> PyTree:
    """What is saved of every step: for dense output, whatever taking the step again needs."""
    if task.save.dense:
        return {name: slots[name] for name in ("x", *task.stepper.method.carried)}
    return output(task, t, slots["x"])


def begin_of(task: Task) -> Array:
    """Time since t0 at which the solve begins: 0, or where an earlier one ended."""
    return jnp.zeros_like(task.span) if task.resume is None else jnp.broadcast_to(task.resume.s, task.span.shape)


def clearance(task: Task, stop: Any) -> Any:
    """How far from a discontinuity a step keeps: a few units in the last place of the time there."""
    return 4 * jnp.finfo(task.span.dtype).eps * (jnp.abs(task.t0) + jnp.abs(stop))
