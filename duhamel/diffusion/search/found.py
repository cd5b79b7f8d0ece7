"""What a search returns: times, what they were found for, and where they come from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from duhamel.rows.plan import Plan

from ..plans.registry import build
from ..schedule import Schedule

Progress = Callable[[str, float | None], None]


def silent(what: str, fraction: float | None = None) -> None:
    """Progress that nobody watches."""
    del what, fraction


@dataclass(frozen=True, eq=False)
class FoundGrid:
    """
    ts      falling times, shape (steps + 1,)
    value   what the search made small, at its end; `start` is what it was at the beginning
    info    the search, its options and its seed (JSON types only)
    """

    ts: np.ndarray
    value: float
    start: float
    info: Mapping[str, Any] = field(default_factory=dict)

    def build(self, name: str, schedule: Schedule, **options: Any) -> Plan:
        """A sampler on these times, which says in `info["grid"]` where they come from."""
        plan = build(name, schedule, ts=self.ts, **options)
        return replace(plan, info={**plan.info, "grid": {**self.info, "value": self.value, "start": self.start}})
