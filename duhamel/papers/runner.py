"""Run the check of a card: verdict, time, and a failure that says what happened."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from duhamel.report.record import Record

from . import registry
from .card import Context, Measurement, Verdict, judge
from .numbers import differences


@dataclass(frozen=True)
class Outcome:
    """What a check gave. `verdict` is None when it could not be finished; `failure` then says why.

    differs  numbers that did not come out as numbers.tsv states, a sentence each
    """

    id: str
    area: str
    verdict: Verdict | None
    seconds: float
    measurements: Sequence[Measurement] = ()
    failure: str = ""
    differs: Sequence[str] = ()

    def as_record(self) -> Record:
        held = sum(m.holds for m in self.measurements)
        numbers = [m.as_dict() for m in self.measurements]
        more = {"id": self.id, "area": self.area, "verdict": self.verdict, "seconds": round(self.seconds, 3)}
        more |= {"measurements": numbers, "failure": self.failure or None}
        return Record(self.id, held if self.measurements else None, f"of {len(numbers)} numbers hold", None, more)


def run(id: str, context: Context) -> Outcome:
    """Check one card. A wrong id raises; a check that breaks is an outcome without a verdict."""
    card, entry = registry.card(id), registry.find(id)
    start = time.perf_counter()
    try:
        measurements = tuple(card.check(context))
        verdict = judge(measurements)
    except Exception as error:  # the next card should still be checked
        failure = f"{type(error).__name__}: {str(error).strip() or 'no message'}"
        return Outcome(id, entry.area, None, time.perf_counter() - start, failure=failure)
    seconds = time.perf_counter() - start
    return Outcome(id, entry.area, verdict, seconds, measurements, differs=differences(id, measurements, context.fast))
