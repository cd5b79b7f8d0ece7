"""What happens where a step ends in a discontinuity: events, and times at which the field jumps.

The step ends at s1, just before it. From there one point moves along the solution, through everything that happens at
that instant, to the time s1 + gap just behind, which is frozen like every step's:

    y <- y + (d_k - d) v           to the event's own time s1 + d_k,   d_k - d = -g / (g_t + g_x v)
    y <- reset_k(t, y)             and what algebraic equations make of it
    v <- the velocity behind it
    y <- y + (gap - d) v

d_k is tiny, its derivative is that of the event's time: the implicit function rule and the saltation matrix in one.
Each v is evaluated on its own side of the discontinuity: just before it, or at the point behind it.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from duhamel.methods.base import Moment

from .crossing import all_rates, crossed, leaving, near_end, rates, side_of
from .event import Event, lanewise, values
from .save import select
from .stepper import Stepper, flowing, stilled

FARTHEST = 2.0**-12  # of a step: how far behind an event the solution may go on


class Mark(NamedTuple):
    """What a step ended in.

    ranks  (events + 1, ...): 0 for an event that did not happen, r for the r-th that did, -r if it was a reset of an
           earlier one that brought it about; last row: 1 where the step ended at a time at which the field jumps
    gap    time from the step's end to where the solution goes on, signed
    """

    ranks: Array
    gap: Array

    @property
    def broken(self) -> Array:
        """Where the solution is not smooth."""
        return jnp.any(self.ranks != 0, axis=0)

    @property
    def stopped(self) -> Array:
        return self.ranks[-1] != 0

    @property
    def happened(self) -> Array:
        """How many events."""
        return jnp.sum(self.ranks[:-1] != 0, axis=0).astype(jnp.int32)


def unmarked(events: tuple[Event, ...], like: Array) -> Mark:
    return Mark(jnp.zeros((len(events) + 1, *like.shape), jnp.int8), jnp.zeros_like(like))


def chosen(mark: Mark, r: Array) -> Array:
    """Which event is the r-th, (events, ...)."""
    return jnp.abs(mark.ranks[:-1]) == r


def terminates(events: tuple[Event, ...], mark: Mark) -> Array:
    """Whether one of the events ends the solve."""
    ends = jnp.asarray([event.terminate for event in events], bool).reshape(-1, *(1,) * mark.gap.ndim)
    return jnp.any((mark.ranks[:-1] != 0) & ends, axis=0)


def decide(
    stepper: Stepper,
    events: tuple[Event, ...],
    at: Moment,
    x1: PyTree,
    side: Any,
    struck: Any,
    stopping: Array,
    gap: Array,
    whole: Array,
) -> Mark:
    """What happens at the end of the step, in which order, and how far behind it the solution goes on.

    struck  the events that the step was cut for
    gap     what rounding asks for, signed
    whole   the length of the step before it was cut, beside which an event may be told from the step's end
    """
    stepper, events, at, x1 = stilled((stepper, events, at, x1))
    hit = jnp.any(struck, axis=0)
    broken, t1, sign = hit | stopping, at.t + at.h, jnp.sign(gap)

    def go() -> Mark:
        velocity = stepper.velocity(t1, x1)
        g, rate = all_rates(stepper, events, t1, x1, velocity)
        # A step may have crossed a zero in a direction that is not armed.
        now = jnp.where(struck, side, side_of(g, side))
        limit = jnp.maximum(FARTHEST * jnp.abs(at.h), 2.0 * (near_end(whole) + jnp.abs(gap)))
        off = jnp.abs(g / jnp.where(rate == 0, jnp.nan, rate))
        latest = jnp.max(jnp.where(struck & (off < limit), off, 0.0), axis=0)

        def beyond(length: Array) -> tuple[Array, PyTree]:
            behind = along(x1, sign * length, velocity)
            return crossed(events, now, values(stepper, events, t1 + sign * length, behind)), behind

        def short(length: Array) -> Array:
            return jnp.any(struck & ~beyond(length)[0], axis=0) & (length < limit)

        further = lambda length: jnp.where(short(length), 4.0 * length, length)  # noqa: E731
        length = jax.lax.while_loop(lambda length: jnp.any(short(length)), further, latest + jnp.abs(gap))
        length = jnp.minimum(4.0 * length, jnp.maximum(limit, length))  # taken again, the step is rounded differently
        crossing, y = beyond(length)
        ranks = _ranks(stepper, events, t1 + sign * length, y, now, broken & (crossing | struck), broken)
        ranks = jnp.concatenate([ranks, stopping[None].astype(jnp.int8)])
        return Mark(ranks, jnp.where(broken, sign * length, 0.0))

    return jax.lax.cond(jnp.any(broken), go, lambda: unmarked(events, at.h))


def _ranks(
    stepper: Stepper, events: tuple[Event, ...], t: Array, y: PyTree, side: Array, crossing: Array, broken: Array
) -> Array:
    """Events in the order in which they are handled: of those due, the first in the user's list; after each, those
    that its reset carried across their zeros are due as well. Each at most once."""
    index = jnp.arange(len(events)).reshape(-1, *(1,) * t.ndim)

    def one(carry: tuple[PyTree, Array], r: Array) -> tuple[tuple[PyTree, Array], None]:
        y, ranks = carry
        now = crossed(events, side, values(stepper, events, t, y)) & (r > 1)
        due = (crossing | now) & (ranks == 0) & broken
        pick = due & (index == jnp.argmax(due, axis=0))
        ranks = jnp.where(pick, jnp.where(crossing, r, -r), ranks)
        for k, event in enumerate(events):
            if event.reset is not None:
                y = select(pick[k], stepper.restored(t, lanewise(stepper, event.reset, t, y)), y)
        return (y, ranks), None

    none = jnp.zeros(crossing.shape, jnp.int32)
    (_, ranks), _ = jax.lax.scan(one, (y, none), jnp.arange(1, len(events) + 1, dtype=jnp.int32))
    return ranks.astype(jnp.int8)


class Landing(NamedTuple):
    """What the solution goes on from, and what is noted of the events, in the order in which they were handled.

    x       the state at `ahead`
    ahead   time of x since the step's end: the gap, frozen; where an event ends the solve, the event's own time
    dt      (events, ...): each one's time since the step's end
    before  (events, state): the state just before each
    """

    x: PyTree
    ahead: Array
    dt: Array
    before: PyTree


def land(stepper: Stepper, events: tuple[Event, ...], stops: Any, at: Moment, x1: PyTree, mark: Mark) -> Landing:
    """Carry out what a step ended in. Differentiable: see the module's first lines."""
    zero = jnp.zeros((len(events), *at.h.shape), at.h.dtype)
    if not events:
        return Landing(_past_stop(stepper, stops, at, x1, mark), mark.gap, zero, None)
    none = jax.tree.map(lambda leaf: jnp.zeros((len(events), *leaf.shape), leaf.dtype), x1)
    go = lambda: _through(stepper, events, stops, at, x1, mark)  # noqa: E731
    return jax.lax.cond(jnp.any(mark.broken), go, lambda: Landing(x1, jnp.zeros_like(at.h), zero, none))


def _past_stop(stepper: Stepper, stops: Any, at: Moment, x1: PyTree, mark: Mark) -> PyTree:
    """x1 beyond the time at which the field jumps; the jump moves with that time."""
    s = _stop(stops, at, mark)
    ahead = flowing(x1, s, at.t + at.h, x1, stepper)
    t = at.t + at.h + mark.gap
    behind = stepper.restored(t + (s - jax.lax.stop_gradient(s)), ahead)
    return select(mark.stopped, flowing(behind, -s, t, behind, stepper), x1)


def _stop(stops: Any, at: Moment, mark: Mark) -> Array:
    """The time since t0 of the discontinuity at which the step ended."""
    end = jax.lax.stop_gradient(at.s + at.h + 0.5 * mark.gap)
    return stops[jnp.argmin(jnp.abs(stops.reshape(-1, *(1,) * end.ndim) - end), axis=0)]


def _through(stepper: Stepper, events: tuple[Event, ...], stops: Any, at: Moment, x1: PyTree, mark: Mark) -> Landing:
    gap, t1 = jax.lax.stop_gradient(mark.gap), at.t + at.h
    far = t1 + gap
    y, d, v = x1, jnp.zeros_like(at.h), stilled(_before(stepper, events, t1, x1, mark))
    if stops is not None:
        s = _stop(stops, at, mark)
        moved = jnp.where(mark.stopped, s - jax.lax.stop_gradient(s), 0.0)
        y = select(mark.stopped, stepper.restored(far + moved, along(y, moved, v)), y)
        d, v = moved, select(mark.stopped, stilled(stepper.velocity(far, along(y, gap, v))), v)

    def one(carry: tuple, r: Array) -> tuple[tuple, tuple[Array, PyTree]]:
        y, d, v = carry
        pick = chosen(mark, r)
        happened, crossing = jnp.any(pick, axis=0), jnp.any(pick & (mark.ranks[:-1] > 0), axis=0)
        g, rate = all_rates(stepper, events, t1 + d, y, v)
        g, rate = (jnp.sum(jnp.where(pick, each, 0.0), axis=0) for each in (g, rate))
        step = jnp.where(crossing, -g / jnp.where(crossing & (rate != 0), rate, jnp.nan), 0.0)
        # A g that jumps has no slope there: its zero is found, but does not move.
        step = jnp.where(jnp.abs(step) <= jnp.maximum(FARTHEST * jnp.abs(at.h), 2.0 * jnp.abs(gap)), step, 0.0)
        before, time = along(y, step, v), d + step
        after = before
        for k, event in enumerate(events):
            if event.reset is not None:
                after = select(pick[k], lanewise(stepper, event.reset, t1 + time, before), after)
        after = select(happened, stepper.restored(far + (time - jax.lax.stop_gradient(time)), after), after)
        new = _behind(stepper, events, far, stilled(after), gap - stilled(time), v, rate, pick)
        return (after, time, select(happened, new, v)), (time, before)

    (y, d, v), (dt, before) = jax.lax.scan(one, (y, d, v), jnp.arange(1, len(events) + 1, dtype=jnp.int32))
    over = terminates(events, mark)
    ahead = jnp.where(over, d, gap)
    return Landing(select(over, y, along(y, gap - d, v)), ahead, dt, before)


def _before(stepper: Stepper, events: tuple[Event, ...], t1: Array, x1: PyTree, mark: Mark) -> PyTree:
    """The velocity before a discontinuity. A step that is taken again is rounded differently, and an iteration may end
    elsewhere within its tolerance: so a little before the step's end, farther than that."""
    v = stepper.velocity(t1, x1)
    g, rate = all_rates(stepper, events, t1, x1, v)
    off = jnp.abs(g / jnp.where(rate == 0, jnp.nan, rate))
    off = jnp.max(jnp.where((mark.ranks[:-1] > 0) & (off < jnp.inf), off, 0.0), axis=0)
    off = jnp.minimum(off, 1e6 * jnp.abs(mark.gap))
    back = -jnp.sign(mark.gap) * (jnp.abs(mark.gap) + 2.0 * off)
    return stepper.velocity(t1 + back, along(x1, back, v))


def _behind(
    stepper: Stepper, events: tuple[Event, ...], far: Array, y: PyTree, left: Array, v: PyTree, rate: Array, pick: Array
) -> PyTree:
    """The velocity behind an event: where the old one leads to, unless the solution turns back from there."""
    new = stilled(stepper.velocity(far, along(y, left, v)))
    turned = jnp.zeros(left.shape, bool)
    for k, event in enumerate(events):
        now = rates(stepper, event, far, y, new)[1]
        turned |= pick[k] & (now * rate < 0)
    back = stilled(stepper.velocity(far, along(y, left, new)))
    return select(turned, back, new)


def along(x: PyTree, dt: Array, velocity: PyTree) -> PyTree:
    return jax.tree.map(lambda a, f: (a + dt * f).astype(a.dtype), x, velocity)


def sides_after(
    stepper: Stepper, events: tuple[Event, ...], at: Moment, x: PyTree, mark: Mark, landing: Landing, side: Array
) -> Array:
    """Sides after a step. Where an event has just been, its zero is too near to judge by: the rate decides."""
    t = at.t + at.h + jax.lax.stop_gradient(landing.ahead)
    smooth = side_of(values(stepper, events, t, x), side)

    def anew() -> Array:
        g, rate = all_rates(stepper, events, t, x, stepper.velocity(t, x))
        return jnp.where(mark.ranks[:-1] != 0, leaving(g, rate, at.h), smooth)

    return jax.lax.cond(jnp.any(mark.broken), anew, lambda: smooth)
