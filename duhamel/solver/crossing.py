"""Where events happen inside a step: seen on its dense output, then stepped up to.

    side_k = sign g_k(t, x), 0 where g_k is not defined
    crossed: side_k g_k < 0, or g_k begins or ceases to be a number

A step that an event happened in is taken again up to just before it, and judged like any other. How far before is a
matter of rounding alone: the step must end where the field still is what it was (`landing` goes over to the other
side).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from duhamel.methods.base import Env, Moment, Slots
from duhamel.methods.newton import afresh

from .event import Event, lanewise, values
from .stepper import Stepper, stilled

ATTEMPTS = 5  # to end a step just before an event
FURTHER = 32.0  # before it than the last attempt, if that was beyond
AT_ONCE = 16  # points of a step at which events are looked at together


def rates(stepper: Stepper, event: Event, t: Any, x: PyTree, velocity: PyTree) -> tuple[Any, Any]:
    """(g, dg/dt along the solution)."""
    return jax.jvp(lambda t, x: lanewise(stepper, event.g, t, x), (t, x), (jnp.ones_like(t), velocity))


def all_rates(stepper: Stepper, events: tuple[Event, ...], t: Any, x: PyTree, velocity: PyTree) -> tuple[Array, Array]:
    """`rates` of every event, (events, ...) each."""
    both = [rates(stepper, event, t, x, velocity) for event in events]
    return jnp.stack([g for g, _ in both]), jnp.stack([rate for _, rate in both])


def sides(stepper: Stepper, events: tuple[Event, ...], t: Any, x: PyTree, h: Array) -> Array:
    """The side of each event's zero on which the solution is, or to which it leaves from the zero itself."""
    g, rate = all_rates(stepper, events, t, x, stepper.velocity(t, x))
    return leaving(g, rate, h)


def leaving(g: Array, rate: Array, h: Array) -> Array:
    """Where a zero is so near that rounding decides on which side of it the solution is, the rate does."""
    near = jnp.abs(g) <= jnp.sqrt(jnp.finfo(g.dtype).eps) * jnp.abs(rate * h)
    return side_of(jnp.where(near, rate * jnp.sign(h), g), jnp.zeros_like(g))


def side_of(g: Array, before: Array) -> Array:
    """sign g; 0 where g is not a number; what it was on the zero itself."""
    return jnp.where(jnp.isnan(g), 0.0, jnp.where(g == 0, before, jnp.sign(g)))


def crossed(events: tuple[Event, ...], side: Array, g: Array) -> Array:
    """Which events happened between a point on `side` and one with these g, (events, ...)."""
    armed = jnp.asarray([event.direction for event in events], g.dtype).reshape(-1, *(1,) * (g.ndim - 1))
    beyond = jnp.where(side == 0, ~jnp.isnan(g), (side * g < 0) | jnp.isnan(g))
    rising = jnp.where(side == 0, jnp.sign(g), -side)
    return beyond & ((armed == 0) | (armed == rising))


def near_end(h: Array) -> Array:
    """How near to an event a step of length h has to be cut: what is left is exact to rounding by one Newton step."""
    return jnp.sqrt(jnp.finfo(h.dtype).eps) * jnp.abs(h)


class Struck(NamedTuple):
    """How long the step is that ends just before its first events; which they are, (events, ...), none if it only goes
    nearer to them; how near, in time."""

    h: Array
    events: Array
    margin: Array


def strike(
    stepper: Stepper,
    events: tuple[Event, ...],
    at: Moment,
    slots: Slots,
    env: Env,
    side: Array,
    move: Array,
    margin: Array,
) -> Struck:
    """The step up to the first event inside it; the step itself where there is none. No derivatives pass here.

    margin  a few units in the last place of the time
    """
    stepper, events, at, slots, env, side = stilled((stepper, events, at, slots, env, side))
    basis = stepper.densify(at, env)
    seen = _look(stepper, events, at, basis, side)
    happened = jnp.any(seen.happened | seen.dips, axis=(0, 1)) & move

    def locate() -> Struck:
        theta = _locate(stepper, events, at, basis, side, seen)
        first = jnp.min(theta, axis=0)
        together = 8.0 * margin / jnp.abs(jnp.where(at.h == 0, 1.0, at.h))
        which = move & jnp.isfinite(theta) & (theta <= first + together)
        first = jnp.where(jnp.isfinite(first), first, 1.0)
        return _step_up_to(stepper, events, at, slots, side, which, first, margin)

    return jax.lax.cond(jnp.any(happened), locate, lambda: Struck(at.h, jnp.zeros(side.shape, bool), margin))


class _Seen(NamedTuple):
    """What a look at evenly spaced points of a step shows, interval by interval: (points - 1, events, ...).

    happened  the event is beyond its zero at the interval's end
    dips      it is not, but may have been in between: g falls towards its zero at the beginning and leaves at the end
    """

    thetas: Array
    happened: Array
    dips: Array


def _along(stepper: Stepper, events: tuple[Event, ...], at: Moment, basis: Env) -> Callable:
    """theta (...) -> (g, dg/dtheta) of every event."""

    def g(theta: Array) -> Array:
        return values(stepper, events, at.t + theta * at.h, stepper.interpolate(at, theta, basis))

    return lambda theta: jax.jvp(g, (theta,), (jnp.ones_like(theta),))


def _look(stepper: Stepper, events: tuple[Event, ...], at: Moment, basis: Env, side: Array) -> _Seen:
    samples = max(event.samples for event in events)
    thetas = jnp.linspace(0.0, 1.0, samples + 2, dtype=at.h.dtype)
    along = _along(stepper, events, at, basis)
    look = lambda theta: along(jnp.broadcast_to(theta, at.h.shape))  # noqa: E731
    g, rate = jax.lax.map(look, thetas, batch_size=AT_ONCE) if samples + 2 > AT_ONCE else jax.vmap(look)(thetas)
    here, there = (side * g)[:-1], (side * g)[1:]
    falls, leaves = (side * rate)[:-1], (side * rate)[1:]
    width = thetas[1]
    # Where two tangents meet lies below a curve that is convex between them.
    turns = (here > 0) & (there > 0) & (falls < 0) & (leaves > 0)
    meet = jnp.where(turns, (there - here - leaves * width) / jnp.where(turns, falls - leaves, 1.0), 0.0)
    dips = turns & (here + falls * meet < 0)
    return _Seen(thetas, jax.vmap(lambda g: crossed(events, side, g))(g[1:]), dips)


def _locate(stepper: Stepper, events: tuple[Event, ...], at: Moment, basis: Env, side: Array, seen: _Seen) -> Array:
    """theta of each event's first crossing, (events, ...); infinite where there is none. Just beyond it."""
    digits = jnp.finfo(at.h.dtype).nmant

    def each(theta: Array) -> tuple[Array, Array]:
        """(g, dg/dtheta), each event at a theta of its own."""

        def g(theta: Array) -> Array:
            x = jax.vmap(lambda theta: stepper.interpolate(at, theta, basis))(theta)
            own = lambda k: jax.tree.map(lambda leaf: leaf[k], x)  # noqa: E731
            rows = [lanewise(stepper, e.g, at.t + theta[k] * at.h, own(k)) for k, e in enumerate(events)]
            return jnp.stack(rows)

        return jax.jvp(g, (theta,), (jnp.ones_like(theta),))

    def lowest(low: Array, high: Array) -> Array:
        """Where side g is least between two points at which it falls and rises."""

        def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            middle = 0.5 * (ends[0] + ends[1])
            falls = side * each(middle)[1] < 0
            return jnp.where(falls, middle, ends[0]), jnp.where(falls, ends[1], middle)

        return jax.lax.fori_loop(0, digits // 2 + 4, halve, (low, high))[1]

    def interval(i: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        low, high, found = carry
        here, there = jnp.full_like(low, seen.thetas[i]), jnp.full_like(low, seen.thetas[i + 1])
        bottom = jax.lax.cond(jnp.any(seen.dips[i] & ~found), lambda: lowest(here, there), lambda: there)
        dipped = seen.dips[i] & crossed(events, side, each(bottom)[0])
        new = ~found & (seen.happened[i] | dipped)
        end = jnp.where(seen.happened[i], there, bottom)
        return jnp.where(new, here, low), jnp.where(new, end, high), found | new

    zero = jnp.zeros(side.shape, at.h.dtype)
    low, high, found = jax.lax.fori_loop(
        0, seen.thetas.shape[0] - 1, interval, (zero, zero, jnp.zeros(side.shape, bool))
    )

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        middle = 0.5 * (ends[0] + ends[1])
        here = crossed(events, side, each(middle)[0])
        return jnp.where(here, ends[0], middle), jnp.where(here, middle, ends[1])

    return jnp.where(found, jax.lax.fori_loop(0, digits, halve, (low, high))[1], jnp.inf)


def _step_up_to(
    stepper: Stepper,
    events: tuple[Event, ...],
    at: Moment,
    slots: Slots,
    side: Array,
    which: Array,
    theta: Array,
    margin: Array,
) -> Struck:
    """The step that ends before the events `which`, the first of which lies at theta on the dense output.

    What dense output errs in theta is taken off by Newton's method on the step itself; the last digits are
    `landing`'s, who also finds what g does not have: a slope.
    """
    hit = jnp.any(which, axis=0)
    whole, sign = jnp.abs(at.h), jnp.sign(at.h)
    near = jnp.maximum(near_end(at.h), 2.0 * margin)
    again = afresh(slots, hit)

    def attempt(carry: tuple) -> tuple:
        length, low, high, back, count, _ = carry
        t1, x1 = at.t + sign * length, stepper.attempt(at._replace(h=sign * length), again)["x1"]
        g, rate = all_rates(stepper, events, t1, x1, stepper.velocity(t1, x1))
        ahead = -g * sign / jnp.where(rate == 0, jnp.nan, rate)
        off = jnp.min(jnp.where(which & jnp.isfinite(ahead), ahead, jnp.inf), axis=0)
        known = (off > -length) & (off < whole)
        beyond = jnp.any(which & crossed(events, side, g), axis=0)
        low, high = jnp.where(beyond, low, length), jnp.where(beyond, length, high)
        right = ~hit | (~beyond & ((off <= near) | ~known))
        back = jnp.where(beyond, FURTHER * back, back)
        nearer = length + jnp.where(known, off, 0.0) - back
        nearer = jnp.where((nearer > low) & (nearer < high), nearer, 0.5 * (low + high))
        return jnp.where(right, length, nearer), low, high, back, count + 1, right

    first = theta * whole
    first = jnp.where(first > 2.0 * margin, first - margin, 0.5 * first)
    going = lambda carry: (carry[4] < ATTEMPTS) & ~jnp.all(carry[5])  # noqa: E731
    begin = (jnp.where(hit, first, whole), jnp.zeros_like(whole), whole, margin, jnp.int32(0), jnp.zeros_like(hit))
    length, low, _, back, _, right = jax.lax.while_loop(going, attempt, begin)
    # Where the field jumps a step that crosses is no function of its length: go as far as was certain, and look anew.
    short = jnp.where(low > 0, low, 0.5 * length)
    h = sign * jnp.where(hit & ~right, short, length)
    return Struck(h, which & right, jnp.where(hit, back, margin))
