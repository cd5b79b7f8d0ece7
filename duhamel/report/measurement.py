"""A number of a claim, and the interval in which the claim says it lies."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Measurement:
    """
    name   what was measured, such as "slope of tAB3 over 80..320 calls"
    value  what we measured
    low, high  the claim holds when low <= value <= high (a NaN never holds)
    unit   empty for a pure number
    note   one sentence: what the truth is, or what differs from the paper
    """

    name: str
    value: float | int
    low: float | int = -math.inf
    high: float | int = math.inf
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
            return f"exactly {number(self.low)}{unit}"
        if self.high == math.inf:
            return f"at least {number(self.low)}{unit}"
        if self.low == -math.inf:
            return f"at most {number(self.high)}{unit}"
        return f"{number(self.low)} to {number(self.high)}{unit}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON: an open end is null, and whether it holds is said as well."""
        ends = {end: value if math.isfinite(value) else None for end, value in (("low", self.low), ("high", self.high))}
        return {**asdict(self), **ends, "expected": self.expected, "holds": self.holds}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Measurement":
        low = -math.inf if stored["low"] is None else stored["low"]
        high = math.inf if stored["high"] is None else stored["high"]
        value = math.nan if stored["value"] is None else stored["value"]
        return cls(stored["name"], value, low, high, stored["unit"], stored["note"])


_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: Any, digits: int = 3) -> str:
    """A number as people write it: 0.0123, 1 024, 3.1 × 10⁻⁸; words as they are."""
    if value is None:
        return "–"
    if isinstance(value, str | bool):
        return str(value)
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "not a number")
    if float(value).is_integer() and abs(value) < 1e6:
        return f"{int(value):,}".replace(",", "\u202f").replace("-", "−")
    if 1e-3 <= abs(value) < 1e5:
        text = f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"
        return text.replace("-", "−")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    times = {"1": "", "-1": "−"}.get(mantissa, f"{mantissa} × ")
    return f"{times}10{str(int(exponent)).translate(_SUPERSCRIPT)}".replace("-", "−")
