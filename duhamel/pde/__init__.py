"""Partial differential equations on boxes, periodic or with walls. Names are loaded when first used."""

from importlib import import_module
from typing import Any

_SUBPACKAGES = ("elliptic", "volumes")
_HOME = {
    "Advection": "waves",
    "AllenCahn": "reaction",
    "Boussinesq": "flow",
    "Burgers": "dissipative",
    "CahnHilliard": "pattern",
    "Cosine": "axes.trigonometric",
    "Dirichlet": "boundary",
    "Equation": "equation",
    "FisherKPP": "reaction",
    "FitzHughNagumo": "reaction",
    "Fourier": "axes.fourier",
    "GrayScott": "reaction",
    "Grid": "grid",
    "Heat": "reaction",
    "KdV": "dispersive",
    "KleinGordon": "waves",
    "KuramotoSivashinsky": "dissipative",
    "Legendre": "axes.legendre",
    "MagneticFlow2D": "flow",
    "NLSE": "dispersive",
    "NavierStokes2D": "navier_stokes",
    "NavierStokes3D": "flow",
    "Neumann": "boundary",
    "ReactionDiffusion": "reaction",
    "Robin": "boundary",
    "Schroedinger": "waves",
    "Sine": "axes.trigonometric",
    "SineGordon": "waves",
    "Space": "space",
    "SwiftHohenberg": "pattern",
    "Wave": "waves",
    "box": "space",
    "equation_named": "registry",
    "periodic": "grid",
    "random_vorticity": "navier_stokes",
    "solve": "evolve",
}


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return import_module(f".{name}", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(_HOME)}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_HOME)
