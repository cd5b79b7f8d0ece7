"""What solving partial equations and conservation laws have in common: the time asked for, and what is told."""

import numpy as np

from duhamel.report.chapter import Figure
from duhamel.report.context import Context
from duhamel.report.fields import draw_drift
from duhamel.report.record import Record

from .wish import Wish


def end_time(wish: Wish, usual: float, what: str) -> float:
    """The end time, held against common sense, and the steps with it."""
    t1 = usual if wish.t1 is None else float(wish.t1)
    if not (np.isfinite(t1) and t1 > 0):
        raise ValueError(f"t1 = {t1:g}: {what} is solved forwards, to a time above 0.")
    if wish.steps is not None and wish.steps < 1:
        raise ValueError(f"steps = {wish.steps}; make at least one.")
    return t1


def at_least(points: int, least: int) -> int:
    """Points of a grid, along each axis."""
    if points < least:
        raise ValueError(f"points = {points}; take at least {least} points along each axis.")
    return points


def costs(steps: int, first: float, again: float) -> tuple[Record, ...]:
    return (
        Record("steps", steps),
        Record("first call, compiling included", first, "s"),
        Record("second call", again, "s"),
    )


def drift(
    context: Context, name: str, t: np.ndarray, kept: dict[str, np.ndarray]
) -> tuple[tuple[Record, ...], tuple[Figure, ...]]:
    """Largest change of each integral over the run, relative to its first value, and their course; those that begin
    near 0 have no relative change."""
    told = {each: np.asarray(v) for each, v in kept.items() if abs(v[0]) > 1e-10}
    if not told:
        return (), ()
    found = tuple(
        Record(f"{each}, largest change, relative", float(np.abs(v - v[0]).max() / abs(v[0])))
        for each, v in told.items()
    )
    path = context.figure(f"{name}-invariants", draw_drift(t, told))
    return found, (
        Figure(
            str(path),
            "Integrals over the box, relative to where they began. What the equation conserves changes by rounding or "
            "by the error in time; of the others this is their course.",
        ),
    )
