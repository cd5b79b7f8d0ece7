"""Partial differential equations on periodic boxes, in Fourier space. Names are loaded when they are first used."""

from importlib import import_module
from typing import Any

_HOME = {
    "Burgers": "dissipative",
    "Equation": "equation",
    "Grid": "grid",
    "KdV": "dispersive",
    "KuramotoSivashinsky": "dissipative",
    "NLSE": "dispersive",
    "NavierStokes2D": "navier_stokes",
    "equation_named": "registry",
    "periodic": "grid",
    "random_vorticity": "navier_stokes",
    "solve": "evolve",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(_HOME)}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_HOME)
