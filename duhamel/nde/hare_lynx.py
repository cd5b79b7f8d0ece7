"""Hare and lynx, 1900-1920: what two equations learn from real counts, and how well they forecast years they never saw.

The series has 21 years and one and a half cycles at most to learn from, so the numbers are small and honest: they stand
beside those of doing nothing (persistence), of the cycle everyone knows (ten years), and of Lotka-Volterra.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from .forecast import Trajectory, forecast, learn, rmse
from .models import untrained

SOURCE = "Hudson's Bay Company pelts, thousands; Odum, Fundamentals of Ecology (1953), after MacLulich (1937)"
CYCLE = 10  # years
ORIGINS = (1910, 1911, 1912, 1913, 1914, 1915, 1916)
HORIZON = 4  # years forecast from every origin; the last one ends in 1920
LAST_SEEN = 1914  # the forecast that is drawn: six years, 1915-1920

# The penalty on each network's weights, chosen once among 1e-3, 3e-3, 1e-2, 3e-2 by the forecast of 1912-1914 from a
# fit to 1900-1911: later years had no say.
WEIGHTS = {"lotka-volterra": 0.0, "universal": 1e-3, "neural": 1e-3}


@dataclass(frozen=True)
class Table:
    """years (21,), and thousands of pelts, both species (21, 2): hare, lynx."""

    years: np.ndarray
    pelts: np.ndarray

    @property
    def log(self) -> Float[np.ndarray, "years 2"]:
        return np.log(self.pelts)


def table() -> Table:
    """The series as it ships with the package; its sources stand in the first lines of the file."""
    text = (files("duhamel.nde") / "data" / "hare_lynx.csv").read_text()
    rows = [line.split(",") for line in text.splitlines() if line[:1].isdigit()]
    return Table(np.array([int(r[0]) for r in rows]), np.array([[float(r[1]), float(r[2])] for r in rows]))


@dataclass(frozen=True)
class Learnt:
    """One kind of model, fitted up to each origin.

    paths     log populations 1900..1920 from each fitted start, (origins, 21, 2)
    model     the stacked trajectories
    """

    kind: str
    origins: tuple[int, ...]
    paths: np.ndarray
    model: Trajectory

    def seen(self, table: Table) -> float:
        """Root mean square error of log populations over the years each fit saw."""
        return self._rmse(table, lambda origin: (0, origin + 1))

    def rolling(self, table: Table) -> float:
        """The same over the `HORIZON` years after each origin, which its fit did not see."""
        return self._rmse(table, lambda origin: (origin + 1, origin + 1 + HORIZON))

    def drawn(self, table: Table) -> float:
        """The same over every year after `LAST_SEEN`."""
        path = self.path()
        after = table.years > LAST_SEEN
        return rmse(path[after], table.log[after])

    def path(self, origin: int = LAST_SEEN) -> np.ndarray:
        """Log populations 1900..1920 of the fit up to `origin`, (21, 2)."""
        return self.paths[self.origins.index(origin)]

    def _rmse(self, table: Table, years: Callable[[int], tuple[int, int]]) -> float:
        errors = []
        for path, origin in zip(self.paths, self.origins, strict=True):
            first, end = years(origin - int(table.years[0]))
            errors.append(np.ravel(path[first:end] - table.log[first:end]))
        return rmse(np.concatenate(errors), 0.0)


@dataclass(frozen=True)
class Study:
    """Everything the chapter shows.

    learnt      by kind: "lotka-volterra", "universal", "neural"
    baselines   (rolling, drawn) errors: "persistence" repeats the last year seen, "last cycle" the year ten before
    """

    table: Table
    learnt: dict[str, Learnt]
    baselines: dict[str, tuple[float, float]]


def study(
    fast: bool = False,
    folder: Path | str | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Study:
    """Fit the three kinds at every origin and forecast. About 20 s on two cores, compiling included; `fast`: 12 s.

    With a folder each fit keeps checkpoints there, and a killed study continues.
    """
    found = table()
    origins = (1911, LAST_SEEN) if fast else ORIGINS
    steps = (200, 400) if fast else (400, 1000)
    learnt = {}
    for i, (kind, weight) in enumerate(WEIGHTS.items()):
        tell = _part(progress, kind, i / len(WEIGHTS), 1 / len(WEIGHTS))
        where = None if folder is None else Path(folder) / kind
        learnt[kind] = learn_kind(found, kind, origins, weight, steps, where, tell)
    return Study(
        found,
        learnt,
        {name: baseline(found, lag, origins) for name, lag in (("persistence", 0), ("last cycle", CYCLE))},
    )


def learn_kind(
    table: Table,
    kind: str,
    origins: tuple[int, ...],
    weight: float,
    steps: tuple[int, int] = (400, 1000),
    folder: Path | None = None,
    progress: Callable[[int, int], None] | bool = False,
) -> Learnt:
    index = tuple(origin - int(table.years[0]) for origin in origins)
    field = untrained(kind, jax.random.key(0))
    model = learn(field, table.log, index, weight=weight, steps=steps, folder=folder, progress=progress)
    return Learnt(kind, origins, np.asarray(forecast(model, len(table.years) - 1)), model)


def baseline(table: Table, lag: int, origins: tuple[int, ...]) -> tuple[float, float]:
    """(rolling, drawn) errors without a model: lag 0 repeats the year `origin`, lag n the year n before."""
    u = table.log

    def errors(origin: int, horizon: int) -> np.ndarray:
        o = origin - int(table.years[0])
        target = np.arange(o + 1, o + 1 + horizon)
        source = np.full(horizon, o) if lag == 0 else target - lag
        return np.ravel(u[target] - u[source])

    rolling = np.concatenate([errors(o, HORIZON) for o in origins])
    return rmse(rolling, 0.0), rmse(errors(LAST_SEEN, int(table.years[-1]) - LAST_SEEN), 0.0)


def _part(progress: Callable[[str, float], None] | None, name: str, begin: float, share: float) -> Any:
    if progress is None:
        return False
    return lambda done, total: progress(f"fitting {name}", begin + share * done / total)
