"""DC-Solver: the newest value of a multistep sampler is read off at a shifted time (Zhao et al., arXiv 2409.03755).

    F_n -> F(t'),   t' = r_n t_n + (1 - r_n) t_(n-1),   F(t') the parabola through F_n and the two values before it

The replaced value stays in the history, so later steps see it. One ratio r_n a step: 1 is the sampler itself. NumPy
only. Ratios are fitted (`rows.greedy.fit_steps`, `rows.tune.fit`), read from a file (`read_ratios`), or predicted for
other numbers of steps and scales of guidance (`Cascade`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from duhamel.core.quadrature import lagrange
from duhamel.rows.pattern import Row
from duhamel.rows.plan import Plan

from ..schedule import Schedule
from .adjusted import segment_of, table
from .multistep import unipc


def dc_solver(schedule: Schedule, ts: Any, order: int = 3, *, ratios: Any = None, **options: Any) -> Plan:
    """DC-Solver on UniPC of `order`: 2 for guided models, 3 for others. ratios: one a step; None: 1, which is UniPC."""
    plan = unipc(schedule, ts, order, **options)
    named = compensated(plan, np.ones(plan.steps) if ratios is None else ratios)
    return replace(named, name="dc-solver")


def compensated(plan: Plan, ratios: Any) -> Plan:
    """`plan` with the newest value replaced before each prediction, for UniPC and every other multistep sampler of one
    call a step (a corrector sees the value itself). ratios: shape (steps,), the first two 1, for they have no parabola.

    0.5 to 1.5 are usual; below 1 the value is one of the past, which damps a strongly guided model.
    """
    if len(plan.segments) != 1 or plan.patterns[0].calls != 1 or "F" not in [r.call for r in plan.patterns[0].rows]:
        raise ValueError(f"plan {plan.name!r} is not a multistep sampler of one call a step; compensate unipc or unip.")
    ratios = np.asarray(ratios, np.float64)
    if ratios.size != plan.steps or np.any(ratios.ravel()[:2] != 1):
        raise ValueError(
            f"ratios {ratios.ravel().tolist()} do not fit; give {plan.steps}, one for each step, the first two 1."
        )
    (segment,), ratios, t = plan.segments, ratios.ravel(), plan.t
    w = np.zeros((plan.steps, 3))
    w[:, 0] = 1
    for n in range(2, plan.steps):
        w[n] = lagrange(t[[n, n - 1, n - 2]], ratios[n] * t[n] + (1 - ratios[n]) * t[n - 1])
    end = dict(segment.pattern.keep)["x"]
    rows = []
    for row, coef in table(segment):
        if row.out == end:
            rows.append((Row("C", ("F2", "F1", "F")), [*w.T[::-1]]))
            row = replace(row, reads=tuple("C" if name == "F" else name for name in row.reads))
        rows.append((row, coef))
    keep = dict(segment.pattern.keep) | {"F1": "C", "F2": "F1"}
    return replace(plan, name=f"dc-{plan.name}", segments=(segment_of(rows, segment, tuple(keep.items())),))


@dataclass(frozen=True)
class Cascade:
    """Cascade polynomial regression: a ratio as a polynomial in the step, whose coefficients are parabolas in the scale
    of guidance, whose coefficients are parabolas in the number of evaluations

        r = sum_ijk c[i, j, k] (step / nfe)^i (scale / 12)^(2 - j) (nfe / 50)^(2 - k),     step = 1, ..., nfe

    coefficients  (degree in the step + 1, 3, 3), as the authors store them. The first two steps are not predicted.
    """

    coefficients: np.ndarray

    def __post_init__(self) -> None:
        shape = np.shape(self.coefficients)
        if len(shape) != 3 or shape[1:] != (3, 3):
            raise ValueError(f"coefficients have shape {shape}; give (degree + 1, 3, 3).")

    def ratios(self, nfe: int, scale: float = 1.0) -> np.ndarray:
        """Shape (nfe,)."""
        out = np.ones(nfe)
        out[2:] = _features(nfe, scale, len(self.coefficients)) @ np.ravel(self.coefficients)
        return out

    @staticmethod
    def fit(known: Mapping[tuple[int, float], Any], degree: int = 4, ridge: float = 1e-6) -> "Cascade":
        """Least squares on ratios that were fitted at {(nfe, scale): ratios}.

        ridge  keeps coefficients small that the data leave open: with one scale only, those of the others
        """
        pairs = {key: np.asarray(r, np.float64) for key, r in known.items() if len(r) > 2}
        if not pairs or any(len(r) != nfe for (nfe, _), r in pairs.items()):
            raise ValueError("known must map (nfe, scale) to nfe ratios each, with at least three steps somewhere.")
        A = np.concatenate([_features(nfe, scale, degree + 1) for nfe, scale in pairs])
        y = np.concatenate([r[2:] for r in pairs.values()])
        size = np.sqrt(np.mean(A**2, axis=0))
        A = A / size
        c = np.linalg.lstsq(
            np.concatenate([A, np.sqrt(ridge * len(y)) * np.eye(A.shape[1])]),
            np.concatenate([y, np.zeros(A.shape[1])]),
            rcond=None,
        )[0]
        return Cascade((c / size).reshape(-1, 3, 3))

    @staticmethod
    def load(path: str | Path) -> "Cascade":
        """Coefficients as the authors publish them, an .npy file (sd2.1.npy)."""
        try:
            raw = np.load(path, allow_pickle=False)
            return Cascade(np.asarray(raw, np.float64).reshape(-1, 3, 3))
        except (ValueError, EOFError, OSError) as error:
            raise ValueError(
                f"{str(path)!r} holds no cascade of ratios ({error}); it is an .npy of 9 k numbers."
            ) from None


def read_ratios(path: str | Path) -> np.ndarray:
    """Ratios as the authors' search writes them: a JSON list, one number a step."""
    try:
        ratios = np.asarray(json.loads(Path(path).read_text()), np.float64)
        if ratios.ndim != 1 or not np.all(np.isfinite(ratios)):
            raise ValueError(f"shape {ratios.shape}")
        return ratios
    except (ValueError, TypeError, OSError) as error:
        raise ValueError(f"{str(path)!r} holds no ratios ({error}); it is a JSON list of one number a step.") from None


def _features(nfe: int, scale: float, powers: int) -> np.ndarray:
    """One row for each step from the third on, one column for each coefficient."""
    place = np.arange(3, nfe + 1)[:, None] / nfe
    step = place ** np.arange(powers)
    by = np.outer((scale / 12) ** np.array([2, 1, 0]), (nfe / 50) ** np.array([2, 1, 0])).ravel()
    return (step[:, :, None] * by).reshape(len(step), -1)
