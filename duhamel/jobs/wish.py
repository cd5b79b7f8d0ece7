"""What a user of `duhamel solve` asks for."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax


@dataclass(frozen=True)
class Wish:
    """None: the equation's own choice. points: of the grid, along each axis. steps: equal ones. parameters: of the
    equation, ("viscosity=0.01", ...)."""

    t1: float | int | None = None
    method: str | None = None
    rtol: float = 1e-8
    atol: float = 1e-10
    steps: int | None = None
    points: int | None = None
    parameters: tuple[str, ...] = ()

    def numbers(self, name: str, known: Mapping[str, Any]) -> dict[str, float]:
        """The parameters by name; `known` are those that the equation `name` has, with their usual values."""
        found = {}
        for text in self.parameters:
            key, equals, value = text.partition("=")
            try:
                number = float(value)
            except ValueError:
                number = math.nan
            if not (equals and math.isfinite(number)):
                raise ValueError(f"parameter {text!r} is not NAME=NUMBER, such as viscosity=0.01.")
            if key not in known:
                has = f"it has {', '.join(f'{k} = {v:.3g}' for k, v in known.items())}" if known else "it has none"
                raise ValueError(f"{name} has no parameter {key!r}; {has}.")
            found[key] = number
        return found


def told(parameters: Mapping[str, float]) -> str:
    """ " with viscosity = 0.01, ..."; nothing where nothing was asked."""
    return " with " + ", ".join(f"{k} = {v:g}" for k, v in parameters.items()) if parameters else ""


def given(value: Any, usual: Any) -> Any:
    """What was asked for, or the usual where nothing was: 0 and an empty word were asked for."""
    return usual if value is None else value


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """The value, and the seconds until it was there."""
    start = time.perf_counter()
    value = jax.block_until_ready(call())
    return value, time.perf_counter() - start
