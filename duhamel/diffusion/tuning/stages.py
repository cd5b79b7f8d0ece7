"""Work in stages that a killed run need not do twice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

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
        if file.exists() and json.loads(file.read_text()) != facts:
            raise ValueError(f"folder {str(self.folder)!r} holds the tuning of something else; give another folder.")
        file.write_text(json.dumps(facts, indent=1))

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
            beside = file.with_name(f"unfinished-{file.name}")
            np.savez(beside, *make())
            beside.replace(file)
        with np.load(file) as held:
            return tuple(held[f"arr_{k}"] for k in range(len(held.files)))
