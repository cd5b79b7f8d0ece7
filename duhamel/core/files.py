"""Files that are whole or not there, folders with one writer, and what to say when a disk is full.

A file is written beside its name, as `.PID.NAME`, and renamed when it is complete: a process that is killed or runs out
of disk never leaves a part of it under its name, and an old file stays until the new one takes its place.
"""

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FULL_WORDS = ("No space left on device", "Disk quota exceeded", "File too large")
DRAFT = re.compile(r"\.(?P<pid>\d+)\.(?P<name>.+)")
WHERE = "name a file in a folder that exists and is writable"


@contextmanager
def whole(path: str | Path, remedy: str = WHERE) -> Iterator[Path]:
    """`with whole(path) as draft:` write to `draft`; it takes the name `path` at the end, or nothing does.

    A symbolic link is followed, not replaced. An OSError, or a library's word for a full disk, becomes one sentence
    that names the file and ends in `remedy`.
    """
    path = Path(path)
    regular(path)
    target = Path(os.path.realpath(path))
    draft = target.with_name(f".{os.getpid()}.{target.name}")  # the suffix stays: writers go by it
    try:
        sweep(target.parent, target.name)
        yield draft
        os.replace(draft, target)
    except BaseException as error:
        written = _drop(draft)
        if isinstance(error, OSError) or (isinstance(error, Exception) and is_full(error)):
            raise unwritten(path, error, written, remedy) from error
        raise


def regular(path: str | Path) -> Path:
    """The path, where a file may be written: a device, pipe, socket or folder is refused, and stays what it is."""
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except OSError:  # not there yet, or not to be seen: the writing itself tells
        return path
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path} is {kind(mode)}, not a regular file; name another file to write to.")
    return path


def kind(mode: int) -> str:
    """What a path is that is no regular file: "a pipe"."""
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((word for of, word in kinds if of(mode)), "no file of numbers")


def readable(path: str | Path) -> Path:
    """The path, when it is a regular file: reading a pipe would wait for ever."""
    path = Path(path)
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path} is {kind(mode)}, not a regular file; name the file itself.")
    return path


def memory() -> int | None:
    """Bytes of memory that a process may still take; None where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError, AttributeError, IndexError):
        return None


def is_full(error: BaseException) -> bool:
    """Whether an error, of whatever library, says that the disk, the quota or the allowed size is used up."""
    seen: BaseException | None = error
    while seen is not None:
        if getattr(seen, "errno", None) in FULL or any(words in str(seen) for words in FULL_WORDS):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def unwritten(path: str | Path, error: BaseException, written: int = 0, remedy: str = WHERE) -> OSError:
    """The sentence for a file that could not be written."""
    path = Path(path)
    if not is_full(error):
        why = getattr(error, "strerror", None) or str(error).split("\n")[0]
        return OSError(f"cannot write {path}: {why}; {remedy}.")
    kept = "the file of that name is kept as it was" if path.exists() else "no part of it is left"
    return OSError(
        f"cannot write {path}: the disk is full after {size(written)} of it ({_free(path)}); {kept}. Make room, or "
        "choose another disk, and run the same again."
    )


def size(count: int) -> str:
    """12 bytes, 3.4 MB, 48 GB."""
    value, units = float(count), iter(("bytes", "kB", "MB", "GB", "TB", "PB"))
    unit = next(units)
    while value >= 1000 and unit != "PB":
        value, unit = value / 1000, next(units)
    return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.3g} {unit}"


def sweep(folder: Path, name: str | None = None) -> list[Path]:
    """Delete the drafts that dead processes left in a folder (of one name, or of all); what was deleted."""
    gone = []
    for path in folder.glob(".[0-9]*") if folder.is_dir() else ():
        found = DRAFT.fullmatch(path.name)
        if found and (name is None or found["name"] == name) and path.is_file() and not _alive(int(found["pid"])):
            path.unlink(missing_ok=True)
            gone.append(path)
    return gone


@contextmanager
def only_writer(folder: Path, name: str = ".writer") -> Iterator[None]:
    """One process (and one call in it) writes into a folder at a time; a second is told who does.

    The lock is the system's, so it is freed when its process ends, by kill -9 as well; the file goes with the work.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        yield
        return
    path = folder / name
    while True:
        try:
            file = path.open("a+")
        except OSError as error:
            raise unwritten(path, error, remedy="choose a folder you may write to") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            who = file.read().strip()
            file.close()
            raise RuntimeError(
                f"{folder} is being written by another run{f' (process {who})' if who else ''}; wait for it, or give "
                "this one a folder of its own."
            ) from None
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            break
        file.close()  # its owner deleted it between our opening and our locking
    try:
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _drop(draft: Path) -> int:
    """Delete a draft; how many bytes it had."""
    try:
        written = draft.stat().st_size
        shutil.rmtree(draft) if draft.is_dir() else draft.unlink()
    except OSError:
        return 0
    return written


def _free(path: Path) -> str:
    try:
        return f"{size(shutil.disk_usage(path.parent).free)} are free"
    except OSError:
        return "its folder cannot be asked"


def _alive(pid: int) -> bool:
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
