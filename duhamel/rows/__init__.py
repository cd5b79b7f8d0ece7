"""A method is rows; a plan is a method tabulated on a grid. Names are loaded when they are first used, without JAX."""

from importlib import import_module
from typing import Any

_HOME = {
    "Canonical": "canonical",
    "Pattern": "pattern",
    "Plan": "plan",
    "Row": "pattern",
    "Segment": "plan",
    "compose": "plan",
    "plans_equal": "canonical",
    "tabulate": "plan",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(_HOME)}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
