"""Work in stages that a killed run need not do twice."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from duhamel.core.files import whole
from duhamel.rows.plan import Plan


class Stages:
    """Plans and arrays by name, kept in a folder (None: not kept), and made where they are not there yet.

    facts     what the results depend on (JSON types); a folder that was written for other facts is refused
    progress  progress(what, share done)
    """

    def __init__(
        self, folder: str | Path | None, facts: dict[str, Any], progress: Callable[[str, float], None] | None = None
    ):
        self.folder = None if folder is None else Path(folder)
        self.progress = progress
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "tuning.json"
        if file.exists() and _read(file) != facts:
            raise ValueError(f"folder {str(self.folder)!r} holds the tuning of something else; give another folder.")
        with whole(file) as draft:
            draft.write_text(json.dumps(facts, indent=1))

    def tell(self, what: str, share: float) -> None:
        if self.progress is not None:
            self.progress(what, share)

    def plan(self, name: str, make: Callable[[], Plan]) -> Plan:
        if self.folder is None:
            return make()
        file = self.folder / f"{name}.plan"
        if not file.exists():
            make().save(file)  # complete or not there
        return Plan.load(file)

    def arrays(self, name: str, make: Callable[[], tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
        if self.folder is None:
            return make()
        file = self.folder / f"{name}.npz"
        if not file.exists():
            made = make()
            with whole(file) as draft, draft.open("wb") as raw:
                np.savez(raw, *made)
        try:
            with np.load(file, allow_pickle=False) as held:
                return tuple(held[f"arr_{k}"] for k in range(len(held.files)))
        except (ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{file} is damaged ({str(error)[:80]}); delete it, and the stage is done again."
            ) from None


def _read(file: Path) -> Any:
    """What the folder was written for."""
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        raise ValueError(
            f"{file} is empty or damaged, so nobody knows what {file.parent} holds the tuning of; delete that folder, "
            "or give another."
        ) from None
