"""A plan as a plain table that any other program can run: the canonical form as CSV or JSON, with no names of slots.

    for k = 1 .. n:   y_k = sum_j table[k, j] v_j,    F_k = model(y_k, tau_k)
    result:           x   = sum_j table[n + 1, j] v_j

over v = (x, F_1 .. F_n, draws, constants), row k reading none of F_k and later. x is the start, draws are standard
normal arrays like x. `docs/samplers.md` has a program of ten lines that reads the JSON and runs it on PyTorch.
"""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .canonical import canonical
from .io import replace_file
from .plan import Plan

FORMAT, VERSION = "duhamel table", 1


def table(
    plan: Plan,
    prediction: str | None = None,
    alpha: Callable[[float], float] | None = None,
    sigma: Callable[[float], float] | None = None,
) -> dict[str, Any]:
    """The canonical form as JSON types.

    prediction    what the model returns; None: as the plan has it
    alpha, sigma  of x_t = alpha x_0 + sigma eps, to rewrite predictions, and written beside every time when given
    """
    if plan.models > 1 or any(row.args for pattern in plan.patterns for row in pattern.rows):
        raise ValueError(f"plan {plan.name!r} calls several models, or passes them more than t and x; save it as .npz.")
    form = canonical(plan, prediction, alpha, sigma)
    numbers = np.vstack([form.points, form.states[:1]]) if form.points.ndim == 2 else None
    if numbers is None or np.iscomplexobj(numbers):
        raise ValueError(f"plan {plan.name!r} has a coefficient for each element; save it as .npz.")
    times = [*form.tau, float(plan.t[-1])]
    levels = {}
    if alpha is not None and sigma is not None:
        levels = {"alpha": [float(alpha(t)) for t in times], "sigma": [float(sigma(t)) for t in times]}
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": plan.name,
        "prediction": form.prediction,
        "t": [float(t) for t in times],
        **levels,
        "columns": list(form.basis),
        "rows": numbers.tolist(),
        "info": dict(plan.info),
    }


def write_table(
    plan: Plan,
    path: str | Path,
    prediction: str | None = None,
    alpha: Callable[[float], float] | None = None,
    sigma: Callable[[float], float] | None = None,
) -> Path:
    """Write `table` to a .json or .csv file, numbers with all their digits.

    In CSV each row begins with its name (call 1 .. call n, end), t, and alpha and sigma where they are known.
    """
    path = Path(path)
    if path.suffix not in (".json", ".csv"):
        raise ValueError(f"{str(path)!r}: a table is written as .json or .csv; plan.save writes .npz.")
    content = table(plan, prediction, alpha, sigma)
    text = io.StringIO(newline="")
    if path.suffix == ".json":
        text.write(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    else:
        csv.writer(text).writerows(_lines(content))
    replace_file(path, text.getvalue().encode(), "the table")
    return path


def _lines(content: dict[str, Any]) -> list[list[Any]]:
    beside = [key for key in ("t", "alpha", "sigma") if key in content]
    names = [*(f"call {k}" for k in range(1, len(content["rows"]))), "end"]
    columns = zip(names, *(content[key] for key in beside), content["rows"], strict=True)
    return [["row", *beside, *content["columns"]], *([*first, *map(repr, row)] for *first, row in columns)]
