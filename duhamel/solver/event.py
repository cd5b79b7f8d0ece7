"""Events: where a function of the solution crosses zero. What happens there is said in docs/semantics.md.

`crossing` finds them on dense output, `landing` carries them out.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from duhamel.core.calling import with_args
from duhamel.core.problem import close

from .stepper import Stepper


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
        bound.append(
            Event(
                close(lambda t, x, args, g=g: _real(g(t, x, args), t), t, x, args),
                event.direction,
                None if reset is None else close(reset, t, x, args),
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
