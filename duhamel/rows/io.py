"""Save and load plans: one NPZ file that holds the numbers as arrays and everything else as JSON. No pickle."""

import json
import os
import tempfile
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from .pattern import Pattern, Row
from .plan import Plan, Segment

FORMAT = "duhamel plan"
VERSION = 1


def save(plan: Plan, path: str | Path) -> Path:
    """Write `plan` to `path` and return it. The file is complete or not there: an old one is replaced at the end."""
    path = Path(path)
    header = {
        "format": FORMAT,
        "version": VERSION,
        "name": plan.name,
        "prediction": plan.prediction,
        "info": dict(plan.info),
        "patterns": [asdict(s.pattern) for s in plan.segments],
    }
    try:
        text = json.dumps(header, ensure_ascii=False, indent=1)
    except (TypeError, ValueError) as error:
        raise TypeError(f"plan {plan.name!r} cannot be saved: info must hold JSON types only ({error}).") from None
    arrays = {"header": np.frombuffer(text.encode(), np.uint8), "t": np.asarray(plan.t)}
    for i, segment in enumerate(plan.segments):
        arrays[f"{i}.tau"] = np.asarray(segment.tau)
        arrays |= {f"{i}.{k}": np.asarray(c) for k, c in enumerate(segment.coef)}
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            np.savez(file, **arrays)
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)
    except OSError as error:
        why = error.strerror or error
        raise OSError(f"cannot write the plan to {str(path)!r} ({why}); choose a folder you may write to.") from None
    return path


def load(path: str | Path) -> Plan:
    """Read a plan that `save` wrote; anything else is a ValueError of one sentence."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no plan at {str(path)!r}.")
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(arrays["header"].tobytes())
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']!r}")
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, OSError, zipfile.BadZipFile) as error:
        why = str(error).split("\n")[0] or type(error).__name__
        raise ValueError(
            f"{str(path)!r} is not a plan, or is damaged ({why}); write it with plan.save(path)."
        ) from None
    if header["version"] != VERSION:
        raise ValueError(f"{str(path)!r} is version {header['version']} of the format, this duhamel reads {VERSION}.")
    try:
        segments = tuple(_segment(i, entry, arrays) for i, entry in enumerate(header["patterns"]))
        return Plan(header["name"], segments, arrays["t"], header["prediction"], header["info"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{str(path)!r} is a damaged plan ({error}); write it again with plan.save(path).") from None


def _segment(i: int, entry: dict, arrays: dict[str, np.ndarray]) -> Segment:
    rows = tuple(Row(r["out"], tuple(r["reads"]), r["call"], r["model"], tuple(r["args"])) for r in entry["rows"])
    keep = tuple((slot, source) for slot, source in entry["keep"])
    pattern = Pattern(rows, keep, tuple(entry["draws"]), tuple(entry["consts"]))
    return Segment(pattern, tuple(arrays[f"{i}.{k}"] for k in range(len(pattern.positions))), arrays[f"{i}.tau"])
