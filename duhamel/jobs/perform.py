"""What every computing command does around its work: a progress bar before, numbers and a page after."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from duhamel.report.chapter import Chapter
from duhamel.report.console import Steps, records, say, table
from duhamel.report.context import Context
from duhamel.report.folder import Run
from duhamel.report.page import write_page
from duhamel.report.record import Record, write_json


def perform(
    run: Run,
    command: str,
    work: Callable[[Context], Chapter],
    *,
    fast: bool = False,
    json: Path | None = None,
    log: bool = True,
    to_records: Callable[[Chapter], Iterable[Record]] = lambda chapter: chapter.records,
    in_words: Callable[[], str] | None = None,
) -> Chapter:
    """Do the work, print its tables (or `in_words`, where that reads better) and records, and write metrics, `json` and
    the page of the run."""
    start = time.perf_counter()
    with Steps([run.folder.name]) as steps:
        chapter = work(Context(run, fast, steps.start(run.folder.name)))
        chapter = replace(chapter, seconds=round(time.perf_counter() - start, 2))
        steps.finish(run.folder.name, "done")
    found = list(to_records(chapter))
    if log:
        run.log(**{record.name: record.value for record in found})
    if json is not None:
        write_json(json, found)
    if in_words is not None:
        say(in_words())
    for one in () if in_words else chapter.tables:
        table(one.columns, one.rows, right=one.columns[1:])
    if chapter.records:
        records(chapter.records)
    say(f"The report: {write_page(run, chapter.title, chapter.question, [chapter], f'duhamel {command}')}")
    return chapter
