"""The page of a run: one self-contained HTML file, figures and style inside, nothing fetched from anywhere."""

import base64
import datetime
import importlib.metadata
import mimetypes
import os
import platform
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from .chapter import Chapter
from .folder import Run, inside
from .measurement import number
from .record import write_text

VERSIONS = ("duhamel", "jax", "equinox", "numpy")


def write_page(run: Run, title: str, lede: str, chapters: Sequence[Chapter], command: str = "") -> Path:
    """Write run.folder/index.html, which also marks the run as finished."""
    path = run.folder / "index.html"
    write_text(path, render(run.folder, title, lede, chapters, command))
    return path


def render(folder: Path, title: str, lede: str, chapters: Sequence[Chapter], command: str = "") -> str:
    """The page as text; the chapters' figures are read from folder."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = number
    environment.filters["duration"] = duration
    environment.filters["data_uri"] = lambda path: data_uri(inside(folder, path))
    template = environment.from_string(files("duhamel.report").joinpath("page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        title=title,
        lede=lede,
        chapters=chapters,
        command=command,
        date=datetime.date.today().strftime("%-d %B %Y"),
        machine=machine(),
        versions=[(name, version) for name in VERSIONS if (version := _version(name))],
        seconds=sum(chapter.seconds for chapter in chapters),
    )


def data_uri(path: Path) -> str:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def duration(seconds: float | int) -> str:
    """3.2 s, 48 s, 2 min 5 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def machine() -> str:
    """The kind of machine, without its name: "Linux x86_64, 2 cores, Python 3.11.7"."""
    cores = os.cpu_count() or 1
    plural = "s" if cores > 1 else ""
    return f"{platform.system()} {platform.machine()}, {cores} core{plural}, Python {platform.python_version()}"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
