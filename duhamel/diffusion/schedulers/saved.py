"""A scheduler on disk: JSON alone, and a plan that was given in a file beside it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from duhamel.rows.plan import Plan

PLAN_FILE = "plan.npz"


def saved_plan(plan: Any) -> Plan | None:
    """A plan that is given as such or by its path; None: a name, or none."""
    if isinstance(plan, Plan):
        return plan
    if isinstance(plan, Path) or (isinstance(plan, str) and plan.endswith(".npz")):
        return Plan.load(plan)
    if plan is None or isinstance(plan, str):
        return None
    raise TypeError(f"plan is a {type(plan).__name__}; give a sampler's name, a Plan, or the path of a saved one.")


def plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's, which JSON can hold; everything else as it is."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def check_json(options: Mapping[str, Any], at: str = "options") -> None:
    for key, value in options.items():
        where = f"{at}[{key!r}]"
        if isinstance(value, Mapping):
            check_json(value, where)
        elif callable(value) or not isinstance(value, str | bool | int | float | list | None):
            raise TypeError(
                f"{where} is a {type(value).__name__}, which a configuration cannot hold; build the plan with it and "
                "pass that: PlanScheduler(plan=build(...)), which is saved as numbers."
            )


@contextmanager
def written(scheduler: Any, folder: Any, plan: Plan | None) -> Iterator[None]:
    """The configuration as JSON can hold it, while it is written; the plan is written first."""
    before = scheduler.config
    check_json(before["options"])
    if plan is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        plan.save(Path(folder) / PLAN_FILE)
    told = {key: plain(v) for key, v in before.items()}
    if plan is not None:
        told["plan"] = PLAN_FILE
    scheduler.register_to_config(**told)
    try:
        yield
    finally:
        scheduler.register_to_config(**before)
