"""Steady equations on boxes by finite differences: -div(a grad u) + c u = f. Names are loaded when first used.

from duhamel.pde import elliptic as el
box = el.box((64, 64), 1.0)
system = el.discretise(box, el.Dirichlet(0.0), a=1.0)
found = el.solve(system, lambda x, y: 1.0 + 0 * x * y, el.Multigrid())
found.u, found.iterations, found.residual, found.status
"""

from importlib import import_module
from typing import Any

_HOME = {
    "Band": "bands",
    "Box": "boxes",
    "Darcy": "equations",
    "Diagonalise": "tensor",
    "Dirichlet": "sides",
    "Fourier": "transforms",
    "Helmholtz": "equations",
    "Jacobi": "relax",
    "Multigrid": "multigrid",
    "Neumann": "sides",
    "PCG": "krylov",
    "Periodic": "sides",
    "Poisson": "equations",
    "Robin": "sides",
    "SOR": "relax",
    "SSOR": "relax",
    "ScreenedPoisson": "equations",
    "Solved": "solving",
    "Stefan": "stefan",
    "System": "system",
    "Tridiagonal": "bands",
    "box": "boxes",
    "discretise": "fluxes",
    "manufactured": "equations",
    "matrix": "sparse",
    "solve": "solving",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(_HOME)}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_HOME)
