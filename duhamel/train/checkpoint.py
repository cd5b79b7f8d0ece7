"""Checkpoints of a training run, written by orbax, in a folder that says whose it is.

checkpoints/duhamel.json     marker: the format, the leaves of the state and the key of the run
checkpoints/500/             one orbax checkpoint a step, complete or absent: orbax renames it into place
checkpoints/500.sha256       digest of its files
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
        scratch.write_text(_digest(target) + "\n")
        scratch.replace(target.with_suffix(".sha256"))
        for old in self.steps[: -self.keep]:
            (self.folder / f"{old}.sha256").unlink()
            shutil.rmtree(self.folder / str(old))

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


def _orbax() -> Any:
    import orbax.checkpoint as ocp  # heavy, and only runs with a folder need it

    logging.getLogger("absl").setLevel(logging.ERROR)
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
