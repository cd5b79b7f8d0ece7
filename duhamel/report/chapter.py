"""A chapter of a report: what was done, one number against a truth, the other numbers, the figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .measurement import Measurement
from .record import Record


@dataclass(frozen=True)
class Figure:
    """path is relative to the run's folder; caption is one or two sentences that say what to see."""

    path: str
    caption: str


@dataclass(frozen=True)
class Table:
    """Numbers side by side: the first column names the rows."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class Chapter:
    """
    id        one word, also the anchor on the page
    title     a few words
    question  what was done and asked, in two or three sentences
    headline  the number, the interval in which it must lie, and (its note) the truth it is held against; None where
              there is no truth to hold it against
    text      further paragraphs
    records   the other numbers
    """

    id: str
    title: str
    question: str
    headline: Measurement | None = None
    text: tuple[str, ...] = ()
    records: tuple[Record, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    seconds: float | int = 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "question": self.question,
            "headline": self.headline and self.headline.as_dict(),
            "text": list(self.text),
            "records": [record.as_dict() for record in self.records],
            "figures": [{"path": figure.path, "caption": figure.caption} for figure in self.figures],
            "tables": [{"columns": t.columns, "rows": t.rows, "caption": t.caption} for t in self.tables],
            "seconds": self.seconds,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Chapter":
        return cls(
            id=stored["id"],
            title=stored["title"],
            question=stored["question"],
            headline=stored["headline"] and Measurement.from_dict(stored["headline"]),
            text=tuple(stored["text"]),
            records=tuple(Record.from_dict(record) for record in stored["records"]),
            figures=tuple(Figure(**figure) for figure in stored["figures"]),
            tables=tuple(
                Table(tuple(t["columns"]), tuple(tuple(row) for row in t["rows"]), t["caption"])
                for t in stored["tables"]
            ),
            seconds=stored["seconds"],
        )
