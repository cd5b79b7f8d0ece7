"""Diffusion models as differential equations. Names are loaded when first used, so plans need NumPy alone."""

from importlib import import_module
from typing import Any

_HOME = {
    "schedule": ("Cosine", "EDM", "Schedule", "SubVP", "VE", "VP"),
    "denoiser": ("Converted", "Guided", "Thresholded", "as_prediction"),
    "exact": ("GaussianMixture", "gaussian", "gaussian_flow", "mixture"),
    "mixture1d": ("Mixture1D",),
    "plans.grid": ("time_grid",),
    "plans.registry": ("SAMPLERS", "build", "schedule_of"),
    "sampling": ("sample",),
    "likelihood": ("log_likelihood",),
    "compare": ("compare_plans",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'duhamel.diffusion' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE_OF])
