"""How exact the reference files are that public repositories measure networks against: each against our own solution.

A folder is searched for files of these names (copies of the repositories, or the files alone):

    maziarraissi/PINNs         burgers_shock.mat, AC.mat, KdV.mat, NLS.mat
    lululxvi/deepxde           Burgers.npz, Allen_Cahn.mat, Lorenz.npz
    i207M/PINNacle             burgers1d.dat
    PredictiveIntelligenceLab  jaxpi's burgers.mat, allen_cahn.mat, ks.mat, ks_chaotic.mat

An error of a network below the distance in the table says nothing: it is the file's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from . import solutions
from .solutions import Solution, Values

COLUMNS = {
    "file": "name",
    "values": "values",
    "distance, relative L2": "value",
    "largest": "largest",
    "at the last time": "last",
    "our own error": "error",
}
CAPTION = "Distances of what the files hold to our solution; our own error: the same from half the points and steps."

Read = Callable[[Path], tuple[Values, Values, Values]]


@dataclass(frozen=True)
class Reference:
    """A file: how it is read, as (t, x, values (T, X, ...)), and what solves its problem."""

    read: Read
    solution: Solution
    source: str


def _matlab(t: str, x: str, u: str, turned: bool = False) -> Read:
    """Arrays of these names; turned: u is (X, T)."""

    def read(path: Path) -> tuple[Values, Values, Values]:
        found: Any = np.load(path) if path.suffix == ".npz" else scipy.io.loadmat(path)
        missing = [name for name in (t, x, u) if name not in found]
        if missing:
            raise ValueError(f"{path} holds no {', '.join(missing)}; it is another file of this name.")
        values = np.asarray(found[u])
        return np.ravel(found[t]), np.ravel(found[x]), values.T if turned else values

    return read


def _columns(path: Path) -> tuple[Values, Values, Values]:
    """PINNacle's text: x, then u at t = 0, 0.1, ... 1."""
    rows = np.loadtxt(path, comments="%")
    return np.linspace(0, 1, rows.shape[1] - 1), rows[:, 0], rows[:, 1:].T


REFERENCES: dict[str, Reference] = {
    "burgers_shock.mat": Reference(_matlab("t", "x", "usol", True), solutions.burgers, "maziarraissi/PINNs"),
    "Burgers.npz": Reference(_matlab("t", "x", "usol", True), solutions.burgers, "lululxvi/deepxde"),
    "burgers1d.dat": Reference(_columns, solutions.burgers, "i207M/PINNacle"),
    "burgers.mat": Reference(_matlab("t", "x", "usol"), solutions.burgers, "PredictiveIntelligenceLab/jaxpi"),
    "AC.mat": Reference(_matlab("tt", "x", "uu", True), solutions.allen_cahn, "maziarraissi/PINNs"),
    "allen_cahn.mat": Reference(_matlab("t", "x", "usol"), solutions.allen_cahn, "PredictiveIntelligenceLab/jaxpi"),
    "Allen_Cahn.mat": Reference(_matlab("t", "x", "u"), solutions.allen_cahn_walls, "lululxvi/deepxde"),
    "KdV.mat": Reference(_matlab("tt", "x", "uu", True), solutions.kdv, "maziarraissi/PINNs"),
    "NLS.mat": Reference(_matlab("tt", "x", "uu", True), solutions.schroedinger, "maziarraissi/PINNs"),
    "ks.mat": Reference(_matlab("t", "x", "usol"), solutions.kuramoto_sivashinsky, "PredictiveIntelligenceLab/jaxpi"),
    "ks_chaotic.mat": Reference(
        _matlab("t", "x", "usol"), solutions.kuramoto_sivashinsky_chaos, "PredictiveIntelligenceLab/jaxpi"
    ),
    "Lorenz.npz": Reference(_matlab("t", "t", "y"), solutions.lorenz, "lululxvi/deepxde"),
}


def run(
    *, quick: bool = False, progress: Callable[[str], None] | None = None, folder: str | Path | None = None
) -> list[dict]:
    say = progress or (lambda text: None)
    if folder is None or not Path(folder).is_dir():
        raise ValueError(f"references: --data {folder} is not a folder; name one that holds copies of the files.")
    paths = sorted(p for p in Path(folder).rglob("*") if p.name in REFERENCES and p.is_file())
    if not paths:
        raise ValueError(f"references: {folder} holds none of {', '.join(REFERENCES)}.")
    records = []
    for path in paths[:1] if quick else paths:
        say(path.name)
        records.append(compare(path, REFERENCES[path.name]))
    return records


def compare(path: Path, reference: Reference) -> dict:
    """One file against our solution, as a record."""
    t, x, values = reference.read(path)
    coarse, ours = (reference.solution(t, x, refine) for refine in (1, 2))
    if values.shape != ours.shape:
        raise ValueError(f"{path} holds values of shape {values.shape}, and its problem has {ours.shape}.")
    return {
        "name": f"{reference.source}: {path.name}",
        "value": relative(values, ours),
        "unit": "relative L2",
        "error": relative(coarse, ours),
        "values": " x ".join(map(str, values.shape)),
        "largest": float(np.abs(values - ours).max()),
        "last": relative(values[-1], ours[-1]),
    }


def relative(one: Values, two: Values) -> float:
    """|one - two|/|two|, over everything."""
    return float(np.linalg.norm(np.ravel(one - two)) / np.linalg.norm(np.ravel(two)))
