"""A card: what a published system claims, and a check that measures it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from duhamel.core.precision import enable_x64
from duhamel.report.context import Context as Context
from duhamel.report.measurement import Measurement as Measurement


class Verdict(StrEnum):
    reproduced = "reproduced"
    in_part = "holds in part"
    not_reproduced = "does not reproduce"


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
    expects  the verdict we measured, which a test holds: "does not reproduce" is a result, too. Which numbers hold
             stands in numbers.tsv, one by one
    seconds  what the full check takes on two cores, roughly
    """

    id: str
    claim: str
    source: str
    check: Callable[[Context], Sequence[Measurement]]
    expects: Verdict = Verdict.reproduced
    seconds: float | int = 10


def measured_of(parts: int, of: int, note: str) -> Measurement:
    """How much of what is claimed a check measures: a number that fails as long as something is missing.

    note  what is measured, and what is not
    """
    return Measurement(f"parts of the claim measured here, of {of}", parts, low=of, note=note)


def in_turn(context: Context, parts: Sequence[Callable[[Context], list[Measurement]]]) -> list[Measurement]:
    """Measurements of the parts of a check, in double precision, each named in the progress."""
    found: list[Measurement] = []
    with enable_x64(True):
        for i, part in enumerate(parts):
            context.progress(part.__name__.replace("_", " "), i / len(parts))
            found += part(context)
    return found
