"""Data of partial differential equations: initial conditions, trajectories, files in published layouts, streams.

Names are loaded when they are first used; files need the extra `data` (h5py, zarr, xarray), the rest does not.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "Blobs": "initial",
    "Complex": "initial",
    "Disc": "initial",
    "GaussianField": "gaussian",
    "Jumps": "initial",
    "Noise": "initial",
    "Patches": "initial",
    "RandomSines": "initial",
    "Recipe": "recipe",
    "Rescaled": "initial",
    "Reservoir": "stream",
    "Sampler": "initial",
    "Solenoidal": "initial",
    "Stacked": "initial",
    "Stream": "stream",
    "Threshold": "initial",
    "TruncatedFourier": "gaussian",
    "Trajectories": "trajectories",
    "draw": "initial",
    "generate": "generation",
    "joined": "trajectories",
    "plan": "generation",
    "read": "files",
    "sampler_named": "named",
    "write": "files",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(_HOME)}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_HOME)
