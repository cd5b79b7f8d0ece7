"""Numbers worth keeping: one record per number, and the JSON file they go to."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from duhamel.core.files import regular, whole


@dataclass(frozen=True)
class Record:
    """One measured number.

    name   what was measured
    value  the number (or a word, for a verdict)
    unit   its unit; empty for a pure number
    error  how far value is from the truth, where a truth is known
    more   further keys of the record: a bench adds ratio, peer, peer_version, machine
    """

    name: str
    value: float | int | str | None
    unit: str = ""
    error: float | int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def own_error(self) -> float | int | None:
        """The error, unless the number is itself an error: a table need not say it twice."""
        return None if self.error == self.value else self.error

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "value": self.value, "unit": self.unit, "error": self.error, **self.more}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Record":
        more = {key: value for key, value in stored.items() if key not in ("name", "value", "unit", "error")}
        return cls(stored["name"], stored["value"], stored.get("unit", ""), stored.get("error"), more)


def write_json(path: str | Path, records: Iterable[Record | Mapping[str, Any]]) -> None:
    """Write a list of records as JSON. NaN and infinities become null, as JSON knows neither."""
    rows = [record.as_dict() if isinstance(record, Record) else dict(record) for record in records]
    write_text(Path(path), json.dumps(plain(rows), indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def check_json(path: str | Path | None) -> None:
    """Fail now, rather than after an hour of work, if records cannot be written there."""
    if path is not None and not regular(path).exists():
        write_text(Path(path), "[]\n")
        Path(path).unlink()


def write_text(path: Path, text: str) -> None:
    """Write the whole file or nothing: a reader, or a process killed half-way, never sees a part of it."""
    with whole(path) as draft:
        draft.write_text(text, encoding="utf-8")


def plain(value: Any) -> Any:
    """Reduce NumPy and JAX scalars and arrays, paths, dataclass-like mappings and tuples to what JSON knows."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):  # NumPy and JAX scalars and arrays
        return plain(value.tolist())
    return str(value)
