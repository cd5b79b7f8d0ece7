"""What a user of `duhamel solve` asks for."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax


@dataclass(frozen=True)
class Wish:
    """None: the equation's own choice. points: of the grid, along each axis. steps: equal ones."""

    t1: float | int | None = None
    method: str | None = None
    rtol: float = 1e-8
    atol: float = 1e-10
    steps: int | None = None
    points: int | None = None


def given(value: Any, usual: Any) -> Any:
    """What was asked for, or the usual where nothing was: 0 and an empty word were asked for."""
    return usual if value is None else value


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """The value, and the seconds until it was there."""
    start = time.perf_counter()
    value = jax.block_until_ready(call())
    return value, time.perf_counter() - start
