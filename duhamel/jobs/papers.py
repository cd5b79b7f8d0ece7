"""`duhamel papers`: what is published, what it claims, and whether the claim holds here."""

from collections.abc import Sequence
from pathlib import Path

from duhamel.papers import registry, runner
from duhamel.papers.numbers import stated
from duhamel.report.chapter import Chapter, Figure, Table
from duhamel.report.console import Steps, say, table
from duhamel.report.context import Context
from duhamel.report.folder import DEFAULT_ROOT, Run
from duhamel.report.measurement import Measurement
from duhamel.report.page import duration, write_page
from duhamel.report.record import Record, check_json, write_json

WORDS = {"holds": "yes", "fails": "no", "time": "yes, on a quiet machine", "edge": "by a hair", "?": "not run yet"}


def list_papers(area: str | None = None, state: str | None = None, json: Path | None = None) -> None:
    """Print the systems of an area or state, carded ones first."""
    entries = sorted(registry.select(area, state), key=lambda e: (e.state != "carded", e.area, e.id))
    if json is not None:
        write_json(json, [Record(e.id, e.state, more=_keys(e.id, e.area)) for e in entries])
    table(("id", "area", "state", "title"), ((e.id, e.area, e.state, e.title) for e in entries))
    carded = sum(e.state == "carded" for e in entries)
    say(f"{len(entries)} systems, {carded} with a check. `duhamel papers show ID` prints the claim.")


def show_paper(id: str, json: Path | None = None) -> None:
    """Print what is claimed, and what our check decides."""
    entry = registry.find(id)
    say(f"{entry.title}\n{entry.id} · {entry.area} · {entry.state}\n")
    if entry.state == "carded":
        card = registry.card(id)
        say(f"{card.claim}\n\nSource: {card.source}\nLast verdict: {card.expects}.")
        say(f"Check it: duhamel papers run {id}   (about {duration(card.seconds)})")
        table(("number", "holds"), ((name, WORDS[what]) for name, what in stated(id).items()))
    else:
        say(f"{entry.claim}\n\nNo check yet.")
    if json is not None:
        write_json(json, [Record(entry.id, entry.state, more=_keys(entry.id, entry.area) | {"claim": entry.claim})])


def run_papers(
    ids: Sequence[str],
    fast: bool = False,
    json: Path | None = None,
    name: str = "papers",
    root: str | Path = DEFAULT_ROOT,
) -> bool:
    """Check the cards of these ids (all that have one, if none is named). True when every check could be finished."""
    ids = tuple(ids) or tuple(e.id for e in registry.select(state="carded"))
    if not ids:
        raise ValueError("no paper has a check yet; `duhamel papers list` shows what is open.")
    cards = {id: registry.card(id) for id in ids}  # a wrong id stops here, before anything is computed
    check_json(json)
    run = Run.create(name, {"command": "papers run", "ids": list(ids), "fast": fast}, root)
    outcomes: list[runner.Outcome] = []
    with Steps(ids) as steps:
        for id in ids:
            outcome = runner.run(id, Context(run, fast, steps.start(id)))
            run.log(**outcome.as_record().as_dict())
            steps.finish(id, str(outcome.verdict) if outcome.verdict else f"could not be checked: {outcome.failure}")
            outcomes.append(outcome)
    if json is not None:
        write_json(json, [outcome.as_record() for outcome in outcomes])
    for outcome in outcomes:
        rows = ((m.name, m.value, m.unit, m.expected, "yes" if m.holds else "no") for m in outcome.measurements)
        if outcome.measurements:
            table(
                ("what", "measured", "unit", "asked", "holds"), rows, f"{outcome.id}: {outcome.verdict}", ("measured",)
            )
    for outcome in outcomes:
        for sentence in outcome.differs:
            say(f"{outcome.id}, otherwise than published: {sentence}")
    lede = "What each paper claims, measured again with our own code and data."
    chapters = [_chapter(o, cards[o.id].claim, registry.find(o.id).title, run) for o in outcomes]
    say(f"The report: {write_page(run, 'Claims, checked', lede, chapters, 'duhamel papers run ' + ' '.join(ids))}")
    return all(outcome.verdict is not None for outcome in outcomes)


def _chapter(outcome: runner.Outcome, claim: str, title: str, run: Run) -> Chapter:
    held, total = sum(m.holds for m in outcome.measurements), max(len(outcome.measurements), 1)
    name = f"{str(outcome.verdict or 'not finished').capitalize()}: numbers that lie where the paper says"
    headline = Measurement(name, held, total, total, f"of {total}", note=outcome.failure)
    rows = tuple(
        (f"{m.name} ({m.note})" if m.note else m.name, m.value, m.expected, "✓" if m.holds else "✗")
        for m in outcome.measurements
    )
    tables = (Table(("what", "measured", "asked", ""), rows),) if rows else ()
    drawn = sorted((run.folder / "figures").glob(f"{outcome.id}*.svg"))
    figures = tuple(Figure(f"figures/{path.name}", path.stem.replace("-", " ")) for path in drawn)
    return Chapter(outcome.id, title, claim, headline, figures=figures, tables=tables, seconds=outcome.seconds)


def _keys(id: str, area: str) -> dict[str, str | float | None]:
    """The keys that every record about a paper has; nothing was run, so there is no verdict."""
    return {"id": id, "area": area, "verdict": None, "seconds": None}
