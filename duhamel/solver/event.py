"""Events: where a function of the solution crosses zero. Found on dense output, polished on the step itself.

The step in which g(t, x) changes its side is taken again with the length h* at which its dense output crosses. One
Newton step in time then removes what is left, and is at the same time the implicit function rule that gives every
derivative:

    dt = -g / (g_t + g_x f)          t* = t + h* + dt,      x- = x + dt f,      x+ = reset(t*, x-)

Its value is tiny, its derivative is the event time's. What follows is written back to the frozen time t + h*, along the
flow after the event: x = x+ - dt f(t*, x+). That is the saltation matrix, and the steps after it know nothing of it.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from duhamel.core.calling import with_args
from duhamel.methods.base import Env, Moment

from .stepper import Stepper

NONE, RESTART = -1, -2  # marks of a step: nothing happened; the field is discontinuous at its end


class Event(eqx.Module):
    """Something that happens when g(t, x, args) crosses zero.

        Event(lambda t, x: x[0])                                      stops the solve where x[0] crosses zero
        Event(height, direction=-1, reset=bounce, terminate=False)    goes on from reset(t, x, args)

    g          a real number, smooth near its zeros; its derivative along the solution must not vanish there
    direction  +1: only rising crossings, -1: only falling ones, 0: both
    reset      the state after the event, reset(t, x, args) -> like x; None: the same
    terminate  the solve ends there with Status.event, and x1 is the state after the reset
    samples    points inside every step at which g is looked at, besides its ends, so that a step that crosses twice
               is noticed

    Times and states of events come back in `Solution.events`. They are exact to the tolerance of the solve, and so are
    their derivatives and those of all that follows (first derivatives; the implicit function rule).
    """

    g: Callable
    direction: int = eqx.field(static=True, default=0)
    reset: Callable | None = None
    terminate: bool = eqx.field(static=True, default=True)
    samples: int = eqx.field(static=True, default=3)

    def __check_init__(self) -> None:
        if self.direction not in (-1, 0, 1):
            raise ValueError(f"Event(direction) is -1 (falling), 0 (both) or 1 (rising), got {self.direction!r}.")
        if not isinstance(self.samples, int) or self.samples < 0:
            raise ValueError(f"Event(samples) counts points inside a step, 0 or more, got {self.samples!r}.")


class Hits(NamedTuple):
    """What happened: how many events, and of the first ones times (since t0), numbers and states before the reset."""

    total: Array
    s: Array
    which: Array
    x: PyTree


def bind_events(events: Any, t: Any, x: PyTree, args: PyTree) -> tuple[Event, ...]:
    """As a tuple, with every array their functions close over made an explicit input."""
    if events is None:
        return ()
    listed = (events,) if isinstance(events, Event) else tuple(events) if isinstance(events, Sequence) else (events,)
    bound = []
    for event in listed:
        if not isinstance(event, Event):
            raise TypeError(f"events must be an Event or a sequence of Events, got {type(event).__name__}.")
        g = with_args(event.g, "Event(g)")
        reset = None if event.reset is None else with_args(event.reset, "Event(reset)", "state")
        _check(g, reset, t, x, args)
        closed = eqx.filter_closure_convert(lambda t, x, args, g=g: _real(g(t, x, args), t), t, x, args)
        bound.append(
            Event(
                closed,
                event.direction,
                None if reset is None else eqx.filter_closure_convert(reset, t, x, args),
                event.terminate,
                event.samples,
            )
        )
    return tuple(bound)


def _real(value: Any, t: Any) -> Array:
    """g as a number: of a condition, +1 where it holds and -1 where it does not."""
    value = jnp.asarray(value)
    return jnp.where(value, 1.0, -1.0).astype(t.dtype) if value.dtype == bool else value


def _check(g: Callable, reset: Callable | None, t: Any, x: PyTree, args: PyTree) -> None:
    value = eqx.filter_eval_shape(lambda *given: _real(g(*given), t), t, x, args)
    if not hasattr(value, "shape") or value.shape != () or not jnp.issubdtype(value.dtype, jnp.floating):
        raise ValueError(
            f"Event(g) must return one real number whose sign changes, or one bool, got {value}; for instance a "
            "component minus its threshold."
        )
    if reset is None:
        return
    got = eqx.filter_eval_shape(reset, t, x, args)
    kinds = lambda tree: jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), tree)  # noqa: E731
    if kinds(got) != kinds(x):
        raise ValueError(f"Event(reset) must return what the state is, {kinds(x)}, and returned {kinds(got)}.")


def lanewise(stepper: Stepper, f: Callable, t: Any, x: PyTree) -> PyTree:
    """f(t, x, args) in every lane."""
    if stepper.lanes == 0:
        return f(t, x, stepper.args)
    return jax.vmap(f, in_axes=(0, -1, stepper.axes), out_axes=-1)(t, x, stepper.args)


def values(stepper: Stepper, events: tuple[Event, ...], t: Any, x: PyTree) -> Array:
    """g of every event, (events, ...)."""
    return jnp.stack([lanewise(stepper, event.g, t, x) for event in events])


def rates(stepper: Stepper, event: Event, t: Any, x: PyTree, slope: PyTree) -> tuple[Any, Any]:
    """(g, dg/dt along the solution)."""
    return jax.jvp(lambda t, x: lanewise(stepper, event.g, t, x), (t, x), (jnp.ones_like(t), slope))


def sides(stepper: Stepper, events: tuple[Event, ...], t: Any, x: PyTree, h: Array) -> Array:
    """+1 or -1: the side of each event's zero on which the solution is, or to which it leaves from the zero itself."""
    slope = stepper.slope(t, x)
    both = [rates(stepper, event, t, x, slope) for event in events]
    return jnp.stack([jnp.where(near(g, rate, h), jnp.sign(rate * h), jnp.sign(g)) for g, rate in both])


def near(g: Array, rate: Any, h: Array) -> Array:
    """Whether a zero is so near that rounding decides on which side of it the solution is."""
    return jnp.abs(g) <= jnp.sqrt(jnp.finfo(g.dtype).eps) * jnp.abs(rate * h)


def crossed(stepper: Stepper, events: tuple[Event, ...], side: Array, g: Array) -> Array:
    """How far beyond its zero the event that is furthest beyond is, (...): negative if one that counts has happened."""
    armed = jnp.asarray([event.direction for event in events], g.dtype).reshape(-1, *(1,) * (g.ndim - 1))
    counts = (armed == 0) | (side == -armed)
    return jnp.where(counts, side * g, jnp.inf)


class Found(NamedTuple):
    """Per lane: the mark of the step (an event's number, or NONE), and the part of the step to take."""

    mark: Array
    theta: Array


def search(stepper: Stepper, events: tuple[Event, ...], at: Moment, env: Env, side: Array, move: Array) -> Found:
    """The first event seen inside a step, and where on its dense output."""
    dtype = at.h.dtype
    samples = max(event.samples for event in events)
    points = [jnp.full_like(at.h, (i + 1) / (samples + 1)) for i in range(samples + 1)]
    end = crossed(stepper, events, side, values(stepper, events, at.t + at.h, env["x1"]))
    shape = at.h.shape
    nothing = Found(jnp.full(shape, NONE, jnp.int32), jnp.ones(shape, dtype))

    def located(basis: Env, beyond: Any) -> Found:
        """The first sample beyond a zero, then halving."""
        high, low = jnp.ones(shape, dtype), jnp.zeros(shape, dtype)
        happened = jnp.zeros(shape, bool)
        for point in points:
            here = beyond(point, basis)
            high = jnp.where(here & ~happened, point, high)
            low = jnp.where(~here & ~happened, point, low)
            happened |= here

        def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            middle = 0.5 * (low + high)
            here = beyond(middle, basis)
            return jnp.where(here, low, middle), jnp.where(here, middle, high)

        low, high = jax.lax.fori_loop(0, jnp.finfo(dtype).nmant, halve, (low, high))
        which = jnp.argmin(scores(high, basis), axis=0).astype(jnp.int32)
        return Found(jnp.where(happened & move, which, NONE), jnp.where(happened & move, high, 1.0))

    def scores(theta: Array, basis: Env) -> Array:
        x = stepper.interpolate(at, theta, basis)
        return crossed(stepper, events, side, values(stepper, events, at.t + theta * at.h, x))

    beyond = lambda theta, basis: jnp.any(scores(theta, basis) < 0, axis=0)  # noqa: E731
    if samples:
        return located_if_any(located, beyond, stepper.densify(at, env), move, points, nothing)
    at_end = jnp.any(end < 0, axis=0) & move
    return jax.lax.cond(jnp.any(at_end), lambda: located(stepper.densify(at, env), beyond), lambda: nothing)


def located_if_any(
    located: Callable, beyond: Callable, basis: Env, move: Array, points: list[Array], nothing: Found
) -> Found:
    seen = jnp.zeros_like(move)
    for point in points:
        seen |= beyond(point, basis)
    return jax.lax.cond(jnp.any(seen & move), lambda: located(basis, beyond), lambda: nothing)


class Landing(NamedTuple):
    """After a step that may end in an event: the state to go on from at the step's own end time (or at the event, if
    it ends the solve), the event's time after the step's end, and the state just before it."""

    x: PyTree
    dt: Array
    before: PyTree


def land(stepper: Stepper, events: tuple[Event, ...], at: Moment, x1: PyTree, mark: Array) -> Landing:
    """Carry out the event a step ended in. Differentiable: see the module's first lines."""
    t1 = at.t + at.h
    slope = stepper.slope(t1, x1)
    dt = jnp.zeros_like(at.h)
    for k, event in enumerate(events):
        g, rate = rates(stepper, event, t1, x1, slope)
        hit = mark == k
        dt = jnp.where(hit, -g / jnp.where(hit, rate, 1.0), dt)
    before = jax.tree.map(lambda x, f: x + dt * f, x1, slope)
    x = x1
    for k, event in enumerate(events):
        if event.reset is None and not event.terminate:
            continue
        after = before if event.reset is None else lanewise(stepper, event.reset, t1 + dt, before)
        if not event.terminate:
            back = stepper.slope(t1 + dt, after)
            after = jax.tree.map(lambda x, f: x - dt * f, after, back)
        x = jax.tree.map(lambda a, b, k=k: jnp.where(mark == k, a, b), after, x)
    return Landing(x, dt, before)


def new_sides(stepper: Stepper, events: tuple[Event, ...], at: Moment, x: PyTree, mark: Array, side: Array) -> Array:
    """Sides after a step. Where the event has just been, its zero is too near to judge by: the rate decides."""
    t1 = at.t + at.h
    slope = stepper.slope(t1, x)
    rows = []
    for k, event in enumerate(events):
        g, rate = rates(stepper, event, t1, x, slope)
        now = jnp.where(g == 0, side[k], jnp.sign(g))
        rows.append(jnp.where((mark == k) & near(g, rate, at.h), jnp.sign(rate * at.h), now))
    return jnp.stack(rows)


def terminates(events: tuple[Event, ...], mark: Array) -> Array:
    """Whether the event a step ended in ends the solve."""
    ends = jnp.asarray([event.terminate for event in events])
    return (mark >= 0) & ends[jnp.maximum(mark, 0)]
