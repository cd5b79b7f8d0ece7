"""The only arithmetic of every explicit method: sums of named arrays, and model calls on them.

The fixed-grid scan, the adaptive loop, the PyTorch executor and `Plan.canonical` all call `step`.
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .pattern import Pattern, Row


@dataclass(frozen=True)
class Scaled:
    """The coefficient weight * factor, kept apart: the factor, such as a step size, is shared by the terms of a sum."""

    weight: Any
    factor: Any

    def __mul__(self, value: Any) -> Any:
        return (self.weight * self.factor) * value

    def __float__(self) -> float:
        return float(self.weight * self.factor)


def combine(coef: Sequence[Any], values: Sequence[Any]) -> Any:
    """sum_i coef_i * values_i, left to right. Works on NumPy, JAX and PyTorch arrays.

    A coefficient is anything that multiplies a value from the left: a number, an array of one number
    per element or mode, or an operator (`core.linear.Matrix`). Leading terms that share a factor are summed
    before it multiplies: one multiplication a term less, 15-25 % of a Runge-Kutta step of many small lanes.
    """
    shared = coef[0].factor if isinstance(coef[0], Scaled) else None
    total = None
    for c, v in zip(coef, values, strict=True):
        if shared is not None and not (isinstance(c, Scaled) and c.factor is shared):
            total, shared = shared * total, None
        term = (c if shared is None else c.weight) * v
        total = term if total is None else total + term
    return total if shared is None else shared * total


@dataclass(frozen=True)
class Asked:
    """A row that waits for its model: F = models[row.model](tau, z, *args). `env` is what the step has built so far."""

    row: Row
    tau: Any
    z: Any
    args: tuple[Any, ...]
    env: dict[str, Any]


def evaluations(
    pattern: Pattern,
    coef: Iterable[Any],
    tau: Iterable[Any],
    env: Mapping[str, Any],
    combine: Callable[[Sequence[Any], Sequence[Any]], Any] = combine,
) -> Generator[Asked, Any, dict[str, Any]]:
    """`step`, which stops at every model call, says what it wants to know, and goes on with the value it is sent."""
    env, c, t = dict(env), iter(coef), iter(tau)
    for row in pattern.rows:
        env[row.out] = combine([next(c) for _ in row.reads], [env[name] for name in row.reads])
        if row.call is not None:
            args = tuple(env[name] for name in row.args)
            env[row.call] = yield Asked(row, next(t), env[row.out], args, env)
    return env


def step(
    pattern: Pattern,
    coef: Iterable[Any],
    tau: Iterable[Any],
    env: Mapping[str, Any],
    models: Sequence[Callable],
    combine: Callable[[Sequence[Any], Sequence[Any]], Any] = combine,
) -> dict[str, Any]:
    """Build every row of one step.

    coef  one coefficient for each name a row reads, in order
    tau   one model time for each row that calls a model, in order
    env   slots, draws and constants by name
    Returns env with everything the step built. The next slots are {slot: env[source] for slot, source in pattern.keep}.
    """
    asking, value = evaluations(pattern, coef, tau, env, combine), None
    while True:
        try:
            asked = asking.send(value)
        except StopIteration as done:
            return done.value
        value = models[asked.row.model](asked.tau, asked.z, *asked.args)


def kept(pattern: Pattern, env: Mapping[str, Any]) -> dict[str, Any]:
    """The slots with which the next step begins."""
    return {slot: env[source] for slot, source in pattern.keep}
