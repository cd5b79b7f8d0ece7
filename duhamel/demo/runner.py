"""Run the chapters in order, store each one when it is finished, and write the page."""

import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from duhamel.core.extras import need
from duhamel.report.chapter import Chapter
from duhamel.report.console import Steps, say
from duhamel.report.context import Context
from duhamel.report.folder import DEFAULT_ROOT, Run, inside
from duhamel.report.measurement import number
from duhamel.report.page import write_page

Write = Callable[[Context], Chapter]

TITLE = "Differential equations, solved and learned"
LEDE = (
    "One engine on five jobs: an ensemble swept, an equation learned from twenty-one years of real data, images "
    "sampled, two partial differential equations solved, and samplers compared. Each chapter holds one number "
    "against a truth that is not ours."
)
CHAPTERS = ("ensemble", "hare_lynx", "digits", "pde", "plans")


@dataclass(frozen=True)
class Demo:
    """chapters in order; page: the index.html that shows them."""

    chapters: tuple[Chapter, ...]
    page: Path

    @property
    def holds(self) -> bool:
        """Whether every headline lies where it must."""
        return all(c.headline is None or c.headline.holds for c in self.chapters)


def run(
    name: str = "demo",
    fast: bool = False,
    root: str | Path = DEFAULT_ROOT,
    chapters: Mapping[str, Write] | None = None,
    again: bool = False,
) -> Demo:
    """Run the demo in root/NAME.

    An unfinished run of the same name and the same `fast` is taken up again: chapters that it stored are not computed
    a second time. Of a finished one the results are returned; `again` computes everything anew, in root/NAME-2.
    """
    if chapters is None:
        need("the demo", ["sklearn"], "data")
        chapters = {id: _lazy(id) for id in CHAPTERS}
    config = {"command": "demo", "fast": fast, "chapters": list(chapters)}
    finished = None if again else Run.finished_as(name, config, root)
    if finished is not None and (demo := _finished(finished, chapters)) is not None:
        say(f"This demo is done: {demo.page}\n`duhamel demo{' --fast' if fast else ''} --again` does it once more.")
        return demo
    run = Run.resume(name, config, root)
    done: list[Chapter] = []
    with Steps([id.replace("_", " and ") for id in chapters]) as steps:
        for id, write in chapters.items():
            label = id.replace("_", " and ")
            chapter = _stored(run, id)
            if chapter is None:
                context = Context(run, fast, steps.start(label))
                start = time.perf_counter()
                chapter = replace(write(context), seconds=round(time.perf_counter() - start, 2))
                _store(run, id, chapter)
            done.append(chapter)
            steps.finish(label, _summary(chapter))
    page = write_page(run, TITLE, LEDE, done, f"duhamel demo{' --fast' if fast else ''}")
    say(f"\nThe report: {page}")
    return Demo(tuple(done), page)


def _finished(run: Run, chapters: Mapping[str, Write]) -> Demo | None:
    """The demo of a finished run; None where a part of it is gone."""
    found = [_stored(run, id) for id in chapters]
    stored = tuple(chapter for chapter in found if chapter is not None)
    return Demo(stored, run.folder / "index.html") if len(stored) == len(found) else None


def _summary(chapter: Chapter) -> str:
    headline = chapter.headline
    if headline is None:
        return "done"
    mark = "" if headline.holds else f"  MISSED, asked: {headline.expected}"
    return f"{headline.name}: {number(headline.value)} {headline.unit}".rstrip() + mark


def _lazy(id: str) -> Write:
    def write(context: Context) -> Chapter:
        return importlib.import_module(f"duhamel.demo.{id}").chapter(context)

    return write


def _store(run: Run, id: str, chapter: Chapter) -> None:
    """The figures are on disk by now, and the file appears whole or not at all: a stored chapter is a finished one."""
    run.subfolder("chapters")
    run.write_json(f"chapters/{id}.json", chapter.as_dict())
    run.log(chapter=id, summary=_summary(chapter), seconds=chapter.seconds)


def _stored(run: Run, id: str) -> Chapter | None:
    """The chapter, where a run before this one finished it. A file that is none, or whose figures are gone, is
    computed again, and that is said."""
    stored = run.read_json(f"chapters/{id}.json")
    if stored is None:
        return None
    try:
        found = Chapter.from_dict(stored)
        missing = [figure.path for figure in found.figures if not inside(run.folder, figure.path).is_file()]
    except ValueError as error:
        say(f"chapters/{id}.json is damaged and computed again: {error}")
        return None
    if missing:
        say(f"chapters/{id}.json is computed again: {missing[0]} is gone.")
        return None
    return found
