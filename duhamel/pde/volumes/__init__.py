"""Conservation laws on boxes of cells: finite volumes, Riemann solvers. Names are loaded when they are first used."""

from importlib import import_module
from typing import Any

_HOME = {
    "MHD": "mhd",
    "MUSCL": "reconstruction",
    "WENO5": "reconstruction",
    "Advection": "law",
    "Burgers": "law",
    "Euler": "euler",
    "HLL": "riemann",
    "HLLC": "riemann",
    "HLLD": "riemann_mhd",
    "Inflow": "mesh",
    "Law": "law",
    "Mesh": "mesh",
    "Outflow": "mesh",
    "Periodic": "mesh",
    "PiecewiseConstant": "reconstruction",
    "Residual": "residual",
    "Rusanov": "riemann",
    "ShallowWater": "shallow_water",
    "SpectralDifference": "spectral_difference",
    "Wall": "mesh",
    "box": "mesh",
    "fourier_split": "errors",
    "solve": "evolve",
    "takacs_split": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(_HOME)}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_HOME)
