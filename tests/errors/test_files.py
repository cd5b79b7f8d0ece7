"""Files are whole or not there, folders have one writer, and a full disk is told: what file, how much, what is kept."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from duhamel.core.files import is_full, only_writer, readable, regular, size, sweep, whole
from duhamel.report.record import check_json, write_json, write_text

ROOT = Path(__file__).parents[2]
DEAD = 2**22 - 7  # a process id above what Linux hands out


def full(path, text="x" * 5000):
    """Write as to a disk that fills up half-way."""
    with whole(path) as draft:
        draft.write_text(text[: len(text) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("old", [None, "precious"])
def test_a_full_disk_leaves_the_old_file_or_none(tmp_path, old):
    path = tmp_path / "a.json"
    if old is not None:
        path.write_text(old)
    kept = "is kept as it was" if old else "no part of it is left"
    with pytest.raises(
        OSError, match=rf"cannot write {path}: the disk is full after 2.5 kB of it \(.*free\); .*{kept}"
    ):
        full(path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"] * (old is not None)
    assert old is None or path.read_text() == old


@pytest.mark.parametrize(
    "error",
    [RuntimeError("HDF5: No space left on device"), ValueError("[OS error 28: ENOSPC No space left on device]")],
)
def test_a_librarys_word_for_a_full_disk_is_understood(tmp_path, error):
    assert is_full(error)
    with pytest.raises(OSError, match="the disk is full"), whole(tmp_path / "a") as draft:
        draft.write_bytes(b"half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_full_disk_passes_and_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), whole(tmp_path / "a") as draft:
        draft.write_text("half")
        _ = 1 // 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_only_regular_files_are_written_and_read(tmp_path, kind):
    """A pipe is waited for by whoever opens it: it must be refused before."""
    path = tmp_path / "special"
    os.mkfifo(path) if kind == "pipe" else path.mkdir()
    for call in (regular, check_json, lambda p: write_json(p, []), readable):
        with pytest.raises(ValueError, match=f"special is a {kind}, not a regular file"):
            call(path)
    assert [p.name for p in tmp_path.iterdir()] == ["special"] and not path.is_file()


def test_a_symbolic_link_is_followed_not_replaced(tmp_path):
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    write_text(tmp_path / "link.json", "new")
    assert (tmp_path / "link.json").is_symlink() and (tmp_path / "real.json").read_text() == "new"


def test_drafts_of_dead_writers_are_swept_and_those_of_living_ones_are_not(tmp_path):
    for pid, name in ((DEAD, "a.json"), (DEAD, "b.json"), (os.getppid(), "a.json")):
        (tmp_path / f".{pid}.{name}").write_text("half")
    (tmp_path / ".profile").write_text("somebody's")
    write_text(tmp_path / "a.json", "{}")
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {"a.json", f".{DEAD}.b.json", f".{os.getppid()}.a.json", ".profile"}
    sweep(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"a.json", f".{os.getppid()}.a.json", ".profile"}


def test_a_folder_has_one_writer(tmp_path):
    with only_writer(tmp_path):
        with (
            pytest.raises(RuntimeError, match=rf"another run \(process {os.getpid()}\); wait for it"),
            only_writer(tmp_path),
        ):
            pass
        assert [p.name for p in tmp_path.iterdir()] == [".writer"]
    assert list(tmp_path.iterdir()) == []
    code = "import sys, time\nfrom pathlib import Path\nfrom duhamel.core.files import only_writer\n"
    code += "with only_writer(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(RuntimeError, match=f"process {holder.pid}"), only_writer(tmp_path):
        pass
    holder.send_signal(signal.SIGKILL)  # a lock does not outlive its owner
    holder.wait()
    holder.stdout.close()
    with only_writer(tmp_path):
        pass


def test_sizes():
    assert [size(n) for n in (0, 999, 1234, 48_000_000_000)] == ["0 bytes", "999 bytes", "1.23 kB", "48 GB"]
