"""All published systems we know of, and the cards of those we have checked."""

import csv
import importlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from duhamel.report.nearest import nearest

from .card import Card


@dataclass(frozen=True)
class Entry:
    """One published system: `state` is "carded" when a check exists, else "open"."""

    id: str
    area: str
    title: str
    claim: str
    state: str


@cache
def entries() -> tuple[Entry, ...]:
    """Every system of systems.tsv, in its order."""
    text = files("duhamel.papers").joinpath("systems.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return tuple(Entry(**row) for row in rows)


def find(id: str) -> Entry:
    """The system of that id."""
    for entry in entries():
        if entry.id == id:
            return entry
    raise ValueError(
        f"no paper is called {id!r}; {nearest(id, [e.id for e in entries()], 'see `duhamel papers list`.')}"
    )


def select(area: str | None = None, state: str | None = None) -> tuple[Entry, ...]:
    """The systems of an area, a state, or both."""
    areas = sorted({entry.area for entry in entries()})
    for name, value, known in (("area", area, areas), ("state", state, ["carded", "open"])):
        if value is not None and value not in known:
            raise ValueError(f"no {name} is called {value!r}; {nearest(value, known)}")
    return tuple(e for e in entries() if area in (None, e.area) and state in (None, e.state))


def card(id: str) -> Card:
    """The card of that id; its module is imported only now."""
    entry = find(id)
    if entry.state != "carded":
        carded = ", ".join(e.id for e in select(state="carded"))
        raise ValueError(f"{id!r} has no check yet; those that have one: {carded or 'none'}.")
    return importlib.import_module(f"duhamel.papers.{id.replace('-', '_')}").card
