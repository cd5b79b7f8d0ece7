"""A card: what a published system claims, and a check that measures it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from duhamel.report.context import Context as Context


class Verdict(StrEnum):
    reproduced = "reproduced"
    in_part = "holds in part"
    not_reproduced = "does not reproduce"


@dataclass(frozen=True)
class Measurement:
    """One number of a claim, and the interval in which the claim says it lies.

    name   what was measured, such as "slope of tAB3 over 80..320 calls"
    value  what we measured
    low, high  the claim holds when low <= value <= high (a NaN never holds)
    unit   empty for a pure number
    note   one sentence on what differs from the paper, if anything does
    """

    name: str
    value: float
    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if self.low == -math.inf and self.high == math.inf:
            raise ValueError(f"measurement {self.name!r} cannot fail; give it low, high or both.")

    @property
    def holds(self) -> bool:
        return self.low <= self.value <= self.high

    @property
    def expected(self) -> str:
        """What the claim says, in words: "at least 1.9"."""
        unit = f" {self.unit}" if self.unit else ""
        if self.low == self.high:
            return f"exactly {self.low:.4g}{unit}"
        if self.high == math.inf:
            return f"at least {self.low:.4g}{unit}"
        if self.low == -math.inf:
            return f"at most {self.high:.4g}{unit}"
        return f"{self.low:.4g} to {self.high:.4g}{unit}"


def judge(measurements: Sequence[Measurement]) -> Verdict:
    """All hold: reproduced. Some: holds in part. None: does not reproduce."""
    if not measurements:
        raise ValueError("a check returned no measurement; it must return at least one.")
    held = sum(m.holds for m in measurements)
    if held == len(measurements):
        return Verdict.reproduced
    return Verdict.in_part if held else Verdict.not_reproduced


@dataclass(frozen=True)
class Card:
    """A published system.

    id       as in the registry, such as "dpm-solver-pp"
    claim    one or two sentences: what the check decides
    source   authors, title, year, arXiv id
    check    measures the claim; receives a `Context` (fast, progress, figure) and returns every number of the claim.
             Heavy imports belong inside it. With `context.fast` it takes below 20 seconds.
    expects  the verdict we measured, which a test holds: "does not reproduce" is a result, too
    seconds  what the full check takes on two cores, roughly
    """

    id: str
    claim: str
    source: str
    check: Callable[[Context], Sequence[Measurement]]
    expects: Verdict = Verdict.reproduced
    seconds: float = 10.0
