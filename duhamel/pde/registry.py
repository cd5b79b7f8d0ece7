"""Equations by the names people type."""

import dataclasses
import difflib
from typing import Any

from .dispersive import NLSE, KdV
from .dissipative import Burgers, KuramotoSivashinsky
from .equation import Equation
from .navier_stokes import NavierStokes2D

EQUATIONS: dict[str, type[Equation]] = {
    "kdv": KdV,
    "nlse": NLSE,
    "burgers": Burgers,
    "kuramoto-sivashinsky": KuramotoSivashinsky,
    "navier-stokes-2d": NavierStokes2D,
}


def equation_named(name: str, **parameters: Any) -> Equation:
    """`equation_named("kdv", dispersion=0.1)`."""
    kind = EQUATIONS.get(name.lower().replace("_", "-"))
    if kind is None:
        near = difflib.get_close_matches(name.lower(), EQUATIONS, 3, 0.3) or list(EQUATIONS)
        raise ValueError(f"no equation is called {name!r}; did you mean {' or '.join(near)}?")
    names = [f.name for f in dataclasses.fields(kind)]
    for given in parameters:
        if given not in names:
            raise ValueError(f"{name} has no parameter {given!r}; it has {', '.join(names)}.")
    return kind(**parameters)
