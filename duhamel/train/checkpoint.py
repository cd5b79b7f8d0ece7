"""Checkpoints of a training run, written by orbax, in a folder that says whose it is.

checkpoints/duhamel.json     marker: the format, the leaves of the state and the key of the run
checkpoints/500/             one orbax checkpoint a step, complete or absent: orbax renames it into place
checkpoints/500.sha256       digest of its files
"""

import hashlib
import json
import logging
import shutil
import threading
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from duhamel.core.files import is_full, size

FORMAT = "duhamel checkpoints 1"
MARKER = "duhamel.json"
PATIENCE = 60.0  # seconds that a checkpoint may take; more for large ones


class CheckpointError(ValueError):
    """A checkpoint folder that is not ours, of another run, or damaged: one sentence with the remedy."""


class Checkpoints:
    """The checkpoints of one run. Opening creates the folder or recognises it; nothing foreign is ever changed."""

    def __init__(self, folder: Path | str, state: Any, key: Any, keep: int = 2):
        """state: what will be saved, a pytree of arrays; key: the key of the run, which must not change on resume."""
        self.folder, self.keep = Path(folder).absolute(), keep
        self.marker = {"format": FORMAT, "key": _key_text(key), "leaves": _describe(state)}
        try:
            self._open()
        except OSError as error:
            raise CheckpointError(
                f"checkpoint folder {self.folder} cannot be written ({error.strerror}); "
                "choose a folder you may write to."
            ) from None

    def _open(self) -> None:
        marker = self.folder / MARKER
        if not marker.exists():
            begun = {MARKER + ".part"}  # all that a kill between the folder and its marker leaves
            if self.folder.exists() and {path.name for path in self.folder.iterdir()} - begun:
                raise CheckpointError(
                    f"checkpoint folder {self.folder} holds files that duhamel did not write (no {MARKER}); "
                    "choose an empty or new folder."
                )
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write(MARKER, json.dumps(self.marker, indent=1))
            return
        self._compare(_read_marker(marker))
        for left in (*self.folder.glob("*.orbax-checkpoint-tmp*"), *self.folder.glob("*.part")):
            shutil.rmtree(left) if left.is_dir() else left.unlink()  # begun by a run that was killed

    def _compare(self, found: dict[str, Any]) -> None:
        ours, theirs = self.marker["leaves"], found.get("leaves", {})
        differ = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
        if differ:
            name = differ[0]
            raise CheckpointError(
                f"checkpoint folder {self.folder} belongs to another model or optimiser: {name} is "
                f"{theirs.get(name, 'absent')} there and {ours.get(name, 'absent')} here; choose another folder."
            )
        if found.get("key") != self.marker["key"]:
            raise CheckpointError(
                f"checkpoint folder {self.folder} belongs to a run with another key; "
                "use that run's seed to continue it, or choose another folder."
            )

    @property
    def steps(self) -> list[int]:
        """Steps with a complete checkpoint, oldest first."""
        if not self.folder.is_dir():
            return []
        folders = (p for p in self.folder.iterdir() if p.is_dir() and p.name.isdecimal())
        return sorted(int(p.name) for p in folders if p.with_suffix(".sha256").exists())

    def save(self, step: int, state: Any) -> None:
        """Write a checkpoint, and its digest last; an older one is deleted only after that."""
        if step in self.steps:
            return
        target, arrays = self.folder / str(step), _named(state)
        try:
            if target.exists():  # complete for orbax, but a kill came before its digest
                shutil.rmtree(target)
            _save(target, arrays)
            self._write(f"{step}.sha256", _digest(target) + "\n")
        except Exception as error:
            raise CheckpointError(self._unsaved(target, arrays, error)) from error
        for old in self.steps[: -self.keep]:
            (self.folder / f"{old}.sha256").unlink()
            shutil.rmtree(self.folder / str(old), ignore_errors=True)

    def _write(self, name: str, text: str) -> None:
        scratch = self.folder / (name + ".part")
        scratch.write_text(text)
        scratch.replace(self.folder / name)

    def _unsaved(self, target: Path, arrays: dict[str, np.ndarray], error: Exception) -> str:
        """What went wrong, and what there still is; nothing of the checkpoint itself stays."""
        for left in (target, *self.folder.glob("*.orbax-checkpoint-tmp*"), *self.folder.glob("*.part")):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
        there = self.steps
        kept = f"the checkpoint of step {there[-1]} is kept" if there else "there is no earlier one"
        need = size(sum(a.nbytes for a in arrays.values()))
        if is_full(error):
            why, remedy = f"the disk is full, and its arrays alone take {need}", "make room"
        else:
            why, remedy = str(error).split("\n")[0][:160] or type(error).__name__, "see that the folder stays in place"
        return f"checkpoint {target} cannot be written ({why}); {kept}: {remedy}, and run the same again."

    def restore(self, state: Any) -> tuple[int, Any]:
        """(step, state) of the newest checkpoint, or (0, state) when there is none."""
        if not self.steps:
            return 0, state
        step = self.steps[-1]
        arrays = self._read(step, {name: np.empty_like(a) for name, a in _named(state).items()})
        leaves, treedef = jax.tree_util.tree_flatten_with_path(state)
        found = (arrays.get(_name(path)) for path, _ in leaves)
        return step, treedef.unflatten(
            [x if a is None else jax.numpy.asarray(a) for a, (_, x) in zip(found, leaves, strict=True)]
        )

    def _read(self, step: int, like: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        target = self.folder / str(step)
        digest = target.with_suffix(".sha256")
        if _digest(target) == digest.read_text().strip():  # first: orbax must not see a damaged folder
            checkpointer = _orbax()
            arrays = {name: np.asarray(a) for name, a in checkpointer.restore(target, like).items()}
            checkpointer.close()
            return arrays
        earlier = f"continue from step {self.steps[-2]}" if len(self.steps) > 1 else "start again from step 0"
        raise CheckpointError(f"checkpoint {target} is damaged: its digest differs; delete {digest} to {earlier}.")


def _save(target: Path, arrays: dict[str, np.ndarray]) -> None:
    """By orbax, which writes in threads of its own and may wait for ever for a folder that somebody deleted: in a
    thread that is left behind after `PATIENCE`, or after what a megabyte a second would take."""
    failed: list[BaseException] = []

    def work() -> None:
        checkpointer = _orbax()
        try:
            checkpointer.save(target, arrays)
            checkpointer.wait_until_finished()
        except BaseException as error:
            failed.append(error)
        finally:
            checkpointer.close()

    bound = max(PATIENCE, sum(a.nbytes for a in arrays.values()) / 1e6)
    thread, told = threading.Thread(target=work, daemon=True), threading.excepthook
    threading.excepthook = lambda args: None  # its threads print what is raised here as well
    try:
        thread.start()
        thread.join(bound)
    finally:
        threading.excepthook = told
    if thread.is_alive():
        raise TimeoutError(f"nothing came in {bound:.0f} seconds")
    if failed:
        raise failed[0]


def _orbax() -> Any:
    import orbax.checkpoint as ocp  # heavy, and only runs with a folder need it

    logging.getLogger("absl").setLevel(logging.CRITICAL)  # errors are raised here, in one sentence
    return ocp.StandardCheckpointer()


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path).lstrip(".")


def _named(state: Any) -> dict[str, np.ndarray]:
    """The arrays of a state by path. Empty ones are left out: orbax does not write them."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {_name(path): np.asarray(x) for path, x in leaves if eqx.is_array(x) and x.size}


def _describe(state: Any) -> dict[str, str]:
    return {name: f"{a.dtype}{list(a.shape)}" for name, a in _named(state).items()}


def _digest(folder: Path) -> str:
    h = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        h.update(f"{path.relative_to(folder)} {len(data)}\n".encode())
        h.update(data)
    return h.hexdigest()


def _key_text(key: Any) -> str:
    data = jax.random.key_data(key) if jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    return " ".join(str(int(word)) for word in np.asarray(data).ravel())


def _read_marker(marker: Path) -> dict[str, Any]:
    try:
        found = json.loads(marker.read_text())
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise CheckpointError(f"{marker} is not a duhamel checkpoint marker; choose an empty or new folder.")
    return found
