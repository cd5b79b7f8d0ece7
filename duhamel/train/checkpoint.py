"""Checkpoints of a training run, written by orbax, in a folder that says whose it is.

    checkpoints/duhamel.json     marker: the format, the leaves of the state and the key of the run
    checkpoints/500/             one orbax checkpoint a step, complete or absent: orbax renames it into place
    checkpoints/500.sha256       digest of its arrays
"""

import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

FORMAT = "duhamel checkpoints 1"
MARKER = "duhamel.json"


class CheckpointError(ValueError):
    """A checkpoint folder that is not ours, of another run, or damaged: one sentence with the remedy."""


class Checkpoints:
    """The checkpoints of one run. Opening creates the folder or recognises it; nothing foreign is ever changed."""

    def __init__(self, folder: Path | str, state: Any, key: Any, keep: int = 2):
        """state: what will be saved, as a pytree of arrays; key: the key of the run, which must not change on resume."""
        self.folder, self.keep = Path(folder).absolute(), keep
        self.marker = {"format": FORMAT, "key": _key_text(key), "leaves": _describe(state)}
        try:
            self._open()
        except OSError as error:
            raise CheckpointError(
                f"checkpoint folder {self.folder} cannot be written ({error.strerror}); choose a folder you may write to."
            ) from None

    def _open(self) -> None:
        marker = self.folder / MARKER
        if not marker.exists():
            if self.folder.exists() and any(self.folder.iterdir()):
                raise CheckpointError(
                    f"checkpoint folder {self.folder} holds files that duhamel did not write (no {MARKER}); "
                    "choose an empty or new folder."
                )
            self.folder.mkdir(parents=True, exist_ok=True)
            scratch = self.folder / (MARKER + ".part")
            scratch.write_text(json.dumps(self.marker, indent=1))
            scratch.replace(marker)
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
        folders = (p for p in self.folder.iterdir() if p.is_dir() and p.name.isdecimal())
        return sorted(int(p.name) for p in folders if p.with_suffix(".sha256").exists())

    def save(self, step: int, state: Any) -> None:
        if step in self.steps:
            return
        arrays, target = _named(state), self.folder / str(step)
        if target.exists():  # complete for orbax, but a kill came before its digest
            shutil.rmtree(target)
        checkpointer = _orbax()
        checkpointer.save(target, arrays)
        checkpointer.wait_until_finished()
        checkpointer.close()
        scratch = self.folder / f"{step}.part"
        scratch.write_text(_digest(arrays) + "\n")
        scratch.replace(target.with_suffix(".sha256"))
        for old in self.steps[: -self.keep]:
            (self.folder / f"{old}.sha256").unlink()
            shutil.rmtree(self.folder / str(old))

    def restore(self, state: Any) -> tuple[int, Any]:
        """(step, state) of the newest checkpoint, or (0, state) when there is none."""
        if not self.steps:
            return 0, state
        step = self.steps[-1]
        target = self.folder / str(step)
        like = {name: np.empty_like(a) for name, a in _named(state).items()}
        try:
            checkpointer = _orbax()
            arrays = {name: np.asarray(a) for name, a in checkpointer.restore(target, like).items()}
            checkpointer.close()
            damaged = None if _digest(arrays) == target.with_suffix(".sha256").read_text().strip() else "its digest differs"
        except Exception as error:  # orbax and tensorstore raise a dozen kinds; all mean the same to the reader
            damaged = f"{type(error).__name__} while reading it"
        if damaged:
            earlier = f"continue from step {self.steps[-2]}" if len(self.steps) > 1 else "start again from step 0"
            raise CheckpointError(
                f"checkpoint {target} is damaged ({damaged}); delete {target.with_suffix('.sha256')} to {earlier}."
            )
        leaves, treedef = jax.tree.flatten(state)
        names = iter(arrays[name] for name in _named(state))
        return step, treedef.unflatten([jax.numpy.asarray(next(names)) if eqx.is_array(x) else x for x in leaves])


def _orbax() -> Any:
    import orbax.checkpoint as ocp  # heavy, and only runs with a folder need it

    logging.getLogger("absl").setLevel(logging.ERROR)
    return ocp.StandardCheckpointer()


def _named(state: Any) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path).lstrip("."): np.asarray(x) for path, x in leaves if eqx.is_array(x)}


def _describe(state: Any) -> dict[str, str]:
    return {name: f"{a.dtype}{list(a.shape)}" for name, a in _named(state).items()}


def _digest(arrays: dict[str, np.ndarray]) -> str:
    h = hashlib.sha256()
    for name, a in sorted(arrays.items()):  # orbax returns them in its own order
        h.update(f"{name} {a.dtype} {a.shape}\n".encode())
        h.update(np.ascontiguousarray(a).tobytes())
    return h.hexdigest()


def _key_text(key: Any) -> str:
    data = jax.random.key_data(key) if jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    return " ".join(str(int(word)) for word in np.asarray(data).ravel())


def _read_marker(marker: Path) -> dict[str, Any]:
    try:
        found = json.loads(marker.read_text())
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise CheckpointError(f"{marker} is not a duhamel checkpoint marker; choose an empty or new folder.")
    return found
