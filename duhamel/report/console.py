"""What a command says on the terminal: tables, and live progress over named steps. Plain lines where nobody watches."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any

from .measurement import number
from .page import duration
from .record import Record

WIDTH = 120  # of a table that goes to a file or a pipe
EVERY = 30.0  # seconds between two lines of progress that goes there

Progress = Callable[[str, float | None], None]


def say(text: str = "") -> None:
    """One line on the terminal, as it is: square brackets are not markup."""
    _console().print(text, markup=False, highlight=False, soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "", right: Sequence[str] = ()) -> None:
    """Print a table; columns named in `right` are aligned on the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        grid.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(number(cell)) for cell in row))
    _console().print(grid)


def records(rows: Iterable[Record], title: str = "") -> None:
    """Print records; columns that no record fills are left out."""
    found = [{**record.as_dict(), "error": record.own_error} for record in rows]
    shown = ["name", "value", "unit", "error", "ratio", "peer", "peer_version"]
    columns = [c for c in shown if any(row.get(c) not in (None, "") for row in found)]
    right = ("value", "error", "ratio")
    table(columns, ([row.get(c) if row.get(c) is not None else "" for c in columns] for row in found), title, right)


class Steps:
    """Live progress over named steps, one bar each.

    with Steps(["ensemble", "digits"]) as steps:
        report = steps.start("ensemble")
        report("1024 lanes", 0.5)
        steps.finish("ensemble", "error 3 × 10⁻⁶")
    """

    def __init__(self, names: Sequence[str]):
        self.names = list(names)
        self.began: dict[str, float] = {}
        self.tasks: dict[str, Any] = {}
        self.bars = None
        self.now: dict[str, str] = {}  # what was last told of every step that runs
        self.done = threading.Event()

    def __enter__(self) -> "Steps":
        console = _console()
        if console.is_terminal:
            self.bars = _bars(console)
            self.bars.start()
        else:
            threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.done.set()
        if self.bars is not None:
            self.bars.stop()

    def _beat(self) -> None:
        """Where nobody watches a bar move: a line now and then, so that a log shows that work goes on, and how far."""
        while not self.done.wait(EVERY):
            for name, told in list(self.now.items()):
                say(f"{name}: {told}after {duration(time.perf_counter() - self.began[name])}")

    def start(self, name: str) -> Progress:
        """Begin a step; what is returned tells how it goes: report(what, fraction or None)."""
        self.began[name] = time.perf_counter()
        if self.bars is None:
            say(f"{name} ...")
            self.now[name] = ""

            def note(what: str, fraction: float | None = None) -> None:
                self.now[name] = f"{what}, " if fraction is None else f"{what}, {100 * fraction:.0f} %, "

            return note
        bars, task = self.bars, self._task(name)

        def report(what: str, fraction: float | None = None) -> None:
            bars.update(task, note=what, total=None if fraction is None else 1.0, completed=fraction or 0.0)

        return report

    def finish(self, name: str, note: str) -> None:
        self.now.pop(name, None)
        if self.bars is None:
            took = f" ({duration(time.perf_counter() - self.began[name])})" if name in self.began else ""
            say(f"{name}: {note}{took}")
            return
        task = self._task(name)
        self.bars.update(task, total=1.0, completed=1.0, note=note)
        self.bars.stop_task(task)

    def _task(self, name: str) -> Any:
        """The bar of a step, which appears when it is first spoken of."""
        if self.bars is not None and name not in self.tasks:
            width = max(map(len, self.names))
            self.tasks[name] = self.bars.add_task(name.ljust(width), total=None, note="")
        return self.tasks[name]


def _bars(console: Any) -> Any:
    """Name, bar and time keep their width on a narrow terminal; the note goes on below."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    bar = 24 if console.width >= 100 else 10
    note = Column(ratio=1, overflow="fold")
    columns = (
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=bar, table_column=Column(min_width=bar)),
        TimeElapsedColumn(table_column=Column(min_width=7, no_wrap=True)),
        TextColumn("{task.fields[note]}", table_column=note),
    )
    return Progress(*columns, console=console, expand=True)


def _console() -> Any:
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)
