"""The folder of a run: what was asked, what was measured, and the page that shows it."""

import json
import os
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duhamel.core.files import DRAFT, is_full, readable, sweep, unwritten

from .record import plain, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEFAULT_ROOT = Path("runs")


class Run:
    """runs/NAME/ with config.json, metrics.jsonl, checkpoints/, figures/ and, in the end, index.html.

    Make one with `Run.create`, which never reuses a folder, or with `Run.resume`, which goes on with an
    interrupted run of the same name and configuration.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    @classmethod
    def create(cls, name: str, config: Mapping[str, Any], root: str | Path = DEFAULT_ROOT) -> "Run":
        """A new folder root/NAME; root/NAME-2 and so on if that exists already. Nothing is overwritten."""
        _check_name(name)
        root = Path(root)
        for attempt in range(1, 10_000):
            folder = root / (name if attempt == 1 else f"{name}-{attempt}")
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                if not _barely_begun(folder):
                    continue
            except OSError as error:
                raise _unwritable(folder, error) from error
            run = cls(folder)
            if not (run._claim() and _barely_begun(folder)):  # another process was quicker
                continue
            run.write_json("config.json", config)
            return run
        raise OSError(f"{root} holds 9999 runs named {name}; delete some or choose another name.")

    @classmethod
    def resume(cls, name: str, config: Mapping[str, Any], root: str | Path = DEFAULT_ROOT) -> "Run":
        """Go on with the newest unfinished root/NAME (-2, -3, ...) that was asked the same and that no other process is
        writing; else a new folder."""
        _check_name(name)
        for folder in reversed(_attempts(Path(root), name)):
            run = cls(folder)
            asked_the_same = run.config == plain(config) or _barely_begun(folder)
            if asked_the_same and not run.finished and run._claim():
                run._tidy()
                if run.config is None:
                    run.write_json("config.json", config)
                return run
        return cls.create(name, config, root)

    @classmethod
    def finished_as(cls, name: str, config: Mapping[str, Any], root: str | Path = DEFAULT_ROOT) -> "Run | None":
        """The newest finished root/NAME (-2, -3, ...) that was asked the same."""
        _check_name(name)
        runs = (cls(folder) for folder in reversed(_attempts(Path(root), name)))
        return next((run for run in runs if run.finished and run.config == plain(config)), None)

    @property
    def config(self) -> Any:
        """What config.json holds; None when there is none, or it cannot be read."""
        return self.read_json("config.json")

    @property
    def finished(self) -> bool:
        return (self.folder / "index.html").exists()

    def _claim(self) -> bool:
        """Whether this process may write here: the lock goes to one process at a time, and is freed when it
        drops the run or ends, by kill -9 as well."""
        try:
            import fcntl
        except ImportError:  # no such locks on this system
            return True
        lock = os.open(self.folder / ".lock", os.O_CREAT | os.O_WRONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return False
        weakref.finalize(self, os.close, lock)
        return True

    def _tidy(self) -> None:
        """Delete the drafts that killed processes left; whoever holds the lock is the only one who writes here."""
        for folder in (self.folder, *(path for path in self.folder.iterdir() if path.is_dir())):
            sweep(folder)
            for draft in folder.glob(".*.plan.*"):  # of `Plan.save`
                draft.unlink()

    def subfolder(self, name: str) -> Path:
        folder = self.folder / name
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise _unwritable(folder, error) from error
        return folder

    def log(self, **metrics: Any) -> None:
        """Append one line to metrics.jsonl."""
        line = json.dumps(plain({"time": round(time.time(), 3), **metrics}), allow_nan=False, ensure_ascii=False)
        path = self.folder / "metrics.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise (unwritten(path, error, len(line)) if is_full(error) else _unwritable(path, error)) from error

    def figure(self, name: str, figure: "Figure") -> str:
        """Save a matplotlib figure as figures/NAME.svg, close it, and return that path, relative to the run."""
        from .figure import save_svg

        path = self.subfolder("figures") / f"{name}.svg"
        save_svg(figure, path)
        return str(path.relative_to(self.folder))

    def film(self, name: str, figure: "Figure", update: Callable[[int], None], frames: int) -> str:
        """Save figures/NAME.gif (.png of the last frame and, where ffmpeg is installed, .mp4 beside it), close the
        figure, and return that path, relative to the run. update(i) draws frame i."""
        from .film import save_film

        path = self.subfolder("figures") / f"{name}.gif"
        save_film(figure, update, frames, path)
        return str(path.relative_to(self.folder))

    def write_json(self, name: str, value: Any) -> None:
        write_text(self.folder / name, json.dumps(plain(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n")

    def read_json(self, name: str) -> Any:
        """What root/NAME/name holds; None when it is missing or not JSON."""
        try:
            return json.loads(readable(self.folder / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
            return None


def inside(folder: Path, path: str | Path) -> Path:
    """A path as chapters name it, relative to the folder of their run; one that leads out of it is refused."""
    found = (folder / path).resolve()
    if not found.is_relative_to(folder.resolve()):
        raise ValueError(f"{str(path)!r} leads out of {folder}; the files of a run lie in its folder.")
    return found


def _attempts(root: Path, name: str) -> list[Path]:
    """root/NAME, root/NAME-2, ... as far as they exist, oldest first."""
    numbered = {1: root / name}
    for folder in root.glob(f"{name}-*") if root.is_dir() else ():
        number = folder.name.removeprefix(f"{name}-")
        if number.isdecimal():
            numbered[int(number)] = folder
    return [numbered[number] for number in sorted(numbered) if numbered[number].is_dir()]


def _barely_begun(folder: Path) -> bool:
    """Whether its maker wrote no file there yet, and may have died before it did: nothing in it is worth keeping."""
    try:
        return all(path.name == ".lock" or DRAFT.fullmatch(path.name) for path in folder.iterdir())
    except OSError:
        return False


def _check_name(name: str) -> None:
    if not name or name != Path(name).name or name in (".", ".."):
        raise ValueError(f"a run is named by one word, got {name!r}; use letters, digits and dashes, without slashes.")


def _unwritable(path: Path, error: OSError) -> OSError:
    return OSError(
        f"cannot write to {path}: {error.strerror}; run in a folder you may write to, or name one with --runs."
    )
