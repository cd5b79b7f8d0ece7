"""Which numbers of a card hold: stated one by one in numbers.tsv, and compared by name with what a check measures.

A verdict alone would hide most damage: "holds in part" is all that happens when a second number fails.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from duhamel.report.measurement import Measurement

from .card import Verdict

HOLDS, FAILS, TIME, EDGE, ABSENT, OPEN = "holds", "fails", "time", "edge", "-", "?"


@dataclass(frozen=True)
class Number:
    """One number of a card, under its `name`, in the full check and in the fast one

    "holds", "fails"   what we measured
    "time"             holds on a machine that is not busy
    "edge"             holds by so little that rounding may decide; it is not compared
    "-"                not measured in this form
    "?"                not stated yet: the verdict alone is compared
    """

    id: str
    full: str
    fast: str
    name: str

    def __post_init__(self) -> None:
        known = (HOLDS, FAILS, TIME, EDGE, ABSENT, OPEN)
        if self.full not in known or self.fast not in known[:5]:
            raise ValueError(f"numbers.tsv, {self.id}, {self.name!r}: {self.full!r} and {self.fast!r}; use {known}.")


@cache
def _all() -> tuple[Number, ...]:
    text = files("duhamel.papers").joinpath("numbers.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return tuple(Number(**row) for row in rows)


def stated(id: str, fast: bool = False) -> dict[str, str]:
    """What is stated of each number that the check of this card measures, by name."""
    of = {n.name: n.fast if fast else n.full for n in _all() if n.id == id}
    return {name: what for name, what in of.items() if what != ABSENT}


def verdict(id: str) -> Verdict | None:
    """What follows from the numbers of the full check; None while some are not stated."""
    found = list(stated(id).values())
    if OPEN in found or not found:
        return None
    held = sum(what != FAILS for what in found)
    return Verdict.reproduced if held == len(found) else Verdict.in_part if held else Verdict.not_reproduced


def differences(id: str, measured: Sequence[Measurement], fast: bool = False) -> list[str]:
    """One sentence for every number that does not come out as stated, is missing, or is not known."""
    expected, found = stated(id, fast), {m.name: m for m in measured}
    said = [f"{name!r} stands twice" for name in found if sum(m.name == name for m in measured) > 1]
    partly = OPEN in expected.values()
    for name, what in expected.items():
        if name not in found:
            said += [] if what == OPEN else [f"{name!r} was not measured"]
        elif what in (HOLDS, FAILS) and found[name].holds != (what == HOLDS):
            m = found[name]
            said.append(f"{name!r}: {m.value:g}, asked {m.expected}; stated: {what}")
    if not partly:
        said += [f"{name!r} is not in numbers.tsv" for name in found if name not in expected]
    return said
