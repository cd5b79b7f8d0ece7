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
    def from_dict(cls, stored: Any) -> "Chapter":
        """The inverse of `as_dict`; a ValueError says what of it is no chapter."""
        try:
            found = _chapter(stored)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is no chapter of a report ({type(error).__name__}: {error}).") from None
        _check(found)
        return found


def _chapter(stored: Mapping[str, Any]) -> Chapter:
    return Chapter(
        id=stored["id"],
        title=stored["title"],
        question=stored["question"],
        headline=stored["headline"] and Measurement.from_dict(stored["headline"]),
        text=tuple(stored["text"]),
        records=tuple(Record.from_dict(record) for record in stored["records"]),
        figures=tuple(Figure(**figure) for figure in stored["figures"]),
        tables=tuple(
            Table(tuple(t["columns"]), tuple(tuple(row) for row in t["rows"]), t["caption"]) for t in stored["tables"]
        ),
        seconds=stored["seconds"],
    )


def _check(chapter: Chapter) -> None:
    """Types of what a file held: the page, which is made last, relies on them."""
    number, cell = int | float, int | float | str | None
    texts = [chapter.id, chapter.title, chapter.question, *chapter.text]
    texts += [text for figure in chapter.figures for text in (figure.path, figure.caption)]
    texts += [text for table in chapter.tables for text in (table.caption, *table.columns)]
    texts += [text for record in chapter.records for text in (record.name, record.unit)]
    cells = [value for table in chapter.tables for row in table.rows for value in row]
    cells += [record.value for record in chapter.records]
    numbers: list[Any] = [chapter.seconds, *(r.error for r in chapter.records if r.error is not None)]
    if chapter.headline is not None:
        texts += [chapter.headline.name, chapter.headline.unit, chapter.headline.note]
        numbers += [chapter.headline.value, chapter.headline.low, chapter.headline.high]
    for values, kind, word in (
        (texts, str, "text"),
        (cells, cell, "a number or a word"),
        (numbers, number, "a number"),
    ):
        for value in values:
            if not isinstance(value, kind):
                raise ValueError(f"this is no chapter of a report: {value!r} stands where {word} belongs.")
