"""The times of a solve: checked, and counted from t0 on the host, before they lose digits in the state's precision."""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from duhamel.core.problem import Problem
from duhamel.methods.exponential import depends

from . import checks
from .control import PID, Control, Fixed
from .event import Event
from .task import Resume

COARSE = 1000  # a span with fewer representable times than this is too coarse for a field that asks for the time


class Times(NamedTuple):
    """
    t0        from where times are counted
    low       what t0 loses in its precision (0 where it is traced)
    begin     where the state stands: t0, or where an earlier solve ended
    t1, ts    the end, and the save times or None, as they were given
    span      t1 - t0; () or (lanes,)
    relative  ts - t0
    """

    t0: Any
    low: Any
    begin: Any
    t1: Any
    ts: Any
    span: Any
    relative: Any

    def lanes(self, lanes: int) -> "Times":
        return self._replace(span=jnp.broadcast_to(self.span, (lanes,)))


def times(t1_or_ts: Any, t0: Any, begin: Any, dtype: Any, resume: Resume | None, endless: bool, x: PyTree) -> Times:
    """Finite times that run from `begin` in one direction. They may repeat: the padding of ragged series does.

    endless  t1 may be infinite, since an event ends the solve
    """
    shape = checks.numbers(t1_or_ts).shape
    habit = ""
    if isinstance(x, tuple) and len(x) == 2 and not any(np.ndim(leaf) for leaf in x):
        habit = " The order is solve(f, x0, t1, t0=...), not SciPy's f, (t0, t1), x0."
    if np.ndim(t0) != 0:
        raise ValueError(f"t0 must be one number, got shape {np.shape(t0)}.{habit}")
    if len(shape) > 1 or 0 in shape:
        raise ValueError(f"the end time must be one number t1 or a 1-D array of save times, got shape {shape}.{habit}")
    if not checks.concrete((t1_or_ts, t0, begin, resume)):
        t0, ts = jnp.asarray(t0, dtype), jnp.asarray(t1_or_ts, dtype)
        t1, span = (ts, ts - t0) if ts.ndim == 0 else (ts[-1], ts[-1] - t0)
        given, relative = (None, None) if ts.ndim == 0 else (ts, ts - t0)
        return Times(t0, jnp.zeros((), dtype), jnp.asarray(begin, dtype), t1, given, span, relative)
    host, start = _number(t1_or_ts, "the end or save times"), float(_number(begin, "t0"))
    _judge(np.atleast_1d(host), start, endless and host.ndim == 0, habit)
    # Counted in float64: what is lost of t0 in the state's precision is not lost of the times since then.
    zero = float(np.asarray(t0)) + (0.0 if resume is None else float(resume.low))
    cast = lambda v: np.asarray(v, dtype)  # noqa: E731
    low = zero - float(np.asarray(zero, dtype))
    relative = host - zero
    t1, span = (host, relative) if host.ndim == 0 else (host[-1], relative[-1])
    given, since = (None, None) if host.ndim == 0 else (cast(host), cast(relative))
    return Times(cast(zero), cast(low), cast(start), cast(t1), given, cast(span), since)


def _number(value: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be numbers, got {type(value).__name__}.") from None


def _judge(host: np.ndarray, start: float, endless: bool, habit: str) -> None:
    ends = np.isinf(host[-1]) and not np.isnan(host[-1])
    if ends and not endless and host.size == 1:
        raise ValueError(
            "t1 is infinite, and nothing else ends the solve: give events=Event(g), which does, and control=PID(...), "
            "or a finite t1."
        )
    if not (np.isfinite(start) and (np.all(np.isfinite(host)) or (ends and endless))):
        raise ValueError("t0 and the end or save times must be finite numbers.")
    steps = np.diff(np.concatenate([[start], host]))
    if not (np.all(steps >= 0) or np.all(steps <= 0)):
        raise ValueError(
            "the save times must be increasing from t0, or decreasing for a solve backwards in time (repeats may "
            f"stand); sort them.{habit}"
        )


def endless(control: Control, events: Any) -> bool:
    """Whether a solve may have an infinite t1: an event can end it, and its steps do not depend on t1."""
    listed = events if isinstance(events, Sequence) else () if events is None else (events,)
    return isinstance(control, PID) and any(isinstance(event, Event) and event.terminate for event in listed)


def fixed_grid(control: Control, when: Times) -> None:
    """A grid of times runs from t0 to t1 without turning back."""
    if not isinstance(control, Fixed) or control.grid is None:
        return
    grid = checks.numbers(control.grid)
    if grid.ndim != 1 or grid.shape[0] < 2:
        raise ValueError(f"Fixed(grid=...) needs a 1-D array of at least two times, got shape {grid.shape}.")
    if not checks.concrete((grid, when)):
        return
    host = np.asarray(grid, np.float64)
    steps = np.diff(host)
    if not (np.all(steps > 0) or np.all(steps < 0)):
        raise ValueError(
            "Fixed(grid=...) must be strictly increasing, or strictly decreasing for a solve backwards in time."
        )
    t0, t1 = float(when.begin), float(when.t1)
    single = any(array.dtype == np.float32 for array in (np.asarray(grid), when.t0))
    eps = float(np.finfo(np.float32 if single else np.float64).eps)
    slack = 1e-6 * abs(t1 - t0) + 4 * eps * max(abs(t0), abs(t1))
    if max(abs(host[0] - t0), abs(host[-1] - t1)) > slack:
        raise ValueError(
            f"Fixed(grid=...) runs from {host[0]:g} to {host[-1]:g}, but the solve from t0 = {t0:g} to t1 = {t1:g}; "
            "make its ends t0 and the end (or last save) time."
        )


def from_t0(control: Control, when: Times, dtype: Any) -> Control:
    """The control with its times counted from where the state stands (a grid) or from t0 (stops)."""
    if isinstance(control, Fixed) and control.grid is not None:
        return Fixed(grid=_since(control.grid, when.begin, when, dtype), stops=control.stops)
    if isinstance(control, PID) and control.stops is not None:
        return type(control)(**(vars(control) | {"stops": _since(control.stops, when.t0, when, dtype)}))
    return control


def _since(given: Any, zero: Any, when: Times, dtype: Any) -> Any:
    if not checks.concrete((given, zero, when.low)):
        return jnp.asarray(given, dtype) - zero
    low = float(when.low) if float(zero) == float(when.t0) else 0.0
    return np.asarray(np.asarray(given, np.float64) - (float(zero) + low), dtype)


def coarse_times(problem: Problem, when: Times, x: PyTree, args: PyTree) -> None:
    """Warn of a field that asks for the time where the state's precision hardly tells times apart."""
    if not checks.concrete((when.t0, when.span)):
        return
    t0, span = float(when.t0), abs(float(when.span))
    gap = float(np.spacing(np.asarray(max(abs(t0), abs(t0 + float(when.span))), when.t0.dtype)))
    if not np.isfinite(span) or span == 0 or span > COARSE * gap:
        return
    if depends(lambda t: problem.field(t, x, args), when.t0):
        warnings.warn(
            f"the field depends on t, and near t0 = {t0:g} times are {gap:.2g} apart in {when.t0.dtype.name}: count "
            "times from t0, or make x0 float64.",
            stacklevel=4,
        )
