"""What a run says while it trains: metrics.jsonl on disk, and a progress bar for the reader."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from duhamel.core.files import readable, unwritten, whole

Record = dict[str, float | int]


def read_metrics(path: Path | str) -> list[Record]:
    """The records of a metrics.jsonl, in order. A last line that a kill cut short is left out."""
    path, records = Path(path), []
    if not path.exists():
        return records
    lines = readable(path).read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        found = _record(line)
        if found is not None:
            records.append(found)
        elif number < len(lines) or line.endswith(b"\n"):
            raise ValueError(
                f'{path}: line {number} is no record of a training (one JSON object with a whole number "step" and '
                "numbers); move the file away and start again."
            )
    return records


def _record(line: bytes) -> Record | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("step"), int):
        return None
    return found if all(isinstance(value, int | float) for value in found.values()) else None


class Metrics:
    """An append-only metrics.jsonl: one JSON object a line, each with "step"."""

    def __init__(self, path: Path | None, step: int = 0):
        """Keep the records up to `step`, drop later ones: they belong to steps that a kill undid."""
        self.path = path
        self.records = [r for r in read_metrics(path) if r["step"] <= step] if path is not None else []
        if path is not None:
            with whole(path) as draft:  # a kill leaves the old file whole
                draft.write_text("".join(json.dumps(r) + "\n" for r in self.records))

    def write(self, record: Record) -> None:
        self.records.append(record)
        if self.path is not None:
            line = json.dumps(record) + "\n"
            try:
                with self.path.open("a") as file:
                    file.write(line)
            except OSError as error:
                raise unwritten(self.path, error, len(line), "the training needs it to go on") from error


class Bar:
    """Progress of a loop: a rich bar, a caller's function of (done, total), or silence."""

    def __init__(self, title: str, total: int, progress: bool | Callable[[int, int], None]):
        self.total = total
        self.call = progress if callable(progress) else None
        self.rich = None
        if progress is True:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self.rich = Progress(*columns, TextColumn("{task.fields[note]}"))
            self.task = self.rich.add_task(title, total=total, note="")

    def __enter__(self) -> "Bar":
        if self.rich is not None:
            self.rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.rich is not None:
            self.rich.stop()

    def to(self, done: int, record: Record | None = None) -> None:
        if self.call is not None:
            self.call(done, self.total)
        if self.rich is not None:
            note = "  ".join(f"{k} {v:.4g}" for k, v in (record or {}).items() if k != "step" and math.isfinite(v))
            self.rich.update(self.task, completed=done, note=note)
