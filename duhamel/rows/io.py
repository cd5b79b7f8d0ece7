"""Save and load plans: one NPZ file that holds the numbers as arrays and everything else as JSON. No pickle."""

import io
import json
import os
import tempfile
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

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
    content = io.BytesIO()
    np.savez(content, **arrays)
    return replace_file(path, content.getvalue(), "the plan")


def replace_file(path: Path, content: bytes, what: str) -> Path:
    """Write beside, then rename: the file is complete, or what was there stays. A half-written one is removed."""
    if path.exists() and not path.is_file():
        raise OSError(f"cannot write {what} to {str(path)!r} (it is not a regular file); name another.")
    beside = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            beside = file.name
            file.write(content)
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except OSError as error:
        if beside is not None:
            Path(beside).unlink(missing_ok=True)
        why = error.strerror or error
        raise OSError(f"cannot write {what} to {str(path)!r} ({why}); choose a folder you may write to.") from None
    return path


def load(path: Any) -> Plan:
    """Read a plan that `save` wrote; anything else is a ValueError of one sentence. So is a plan that cannot be one:
    see `sound`."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path is a {type(path).__name__}; give the path of a file that plan.save wrote.")
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
        return sound(Plan(header["name"], segments, arrays["t"], header["prediction"], header["info"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{str(path)!r} is a damaged plan ({error}); write it again with plan.save(path).") from None


LARGEST = 1e9  # of a state that began as 1, under values of 1


def sound(plan: Plan) -> Plan:
    """The plan, if its calls lie where its times do and values of 1 keep a state of 1 within reason; else ValueError.

    What a plan of another model does to samples only its schedule tells: `diffusion.plans.registry.check_belongs`.
    """
    t = np.asarray(plan.t, np.float64)
    tau = np.concatenate([np.asarray(s.tau, np.float64).reshape(-1, *t.shape[1:]) for s in plan.segments])
    first, last = float(np.mean(t[0])), float(np.mean(t[-1]))
    span, calls = abs(last - first), (float(np.mean(tau[0])), float(np.mean(tau[-1]))) if len(tau) else (first, last)
    if span > 0 and (np.max(tau, initial=first) > np.max(t) + span or np.min(tau, initial=first) < np.min(t) - span):
        raise ValueError(f"its calls go from {calls[0]:g} to {calls[1]:g}, and its times from {first:g} to {last:g}")
    if plan.steps > 1 and (calls[1] - calls[0]) * (last - first) < 0:
        raise ValueError(f"its times go from {first:g} to {last:g}, and its calls from {calls[0]:g} to {calls[1]:g}")
    size = float(np.max([np.max(np.abs(c), initial=0.0) for s in plan.segments for c in s.coef], initial=0.0))
    if size > LARGEST:
        raise ValueError(f"one of its coefficients is {size:.1e}")
    return plan


def _segment(i: int, entry: dict, arrays: dict[str, np.ndarray]) -> Segment:
    rows = tuple(Row(r["out"], tuple(r["reads"]), r["call"], r["model"], tuple(r["args"])) for r in entry["rows"])
    keep = tuple((slot, source) for slot, source in entry["keep"])
    pattern = Pattern(rows, keep, tuple(entry["draws"]), tuple(entry["consts"]))
    return Segment(pattern, tuple(arrays[f"{i}.{k}"] for k in range(len(pattern.positions))), arrays[f"{i}.tau"])
