"""Equations by the names people type."""

import dataclasses
import difflib
from typing import Any

from .dispersive import NLSE, KdV
from .dissipative import Burgers, KuramotoSivashinsky
from .equation import Equation
from .flow import Boussinesq, MagneticFlow2D, NavierStokes3D
from .kdv_burgers import KdVBurgers
from .navier_stokes import NavierStokes2D
from .pattern import CahnHilliard, SwiftHohenberg
from .reaction import AllenCahn, FisherKPP, FitzHughNagumo, GrayScott, Heat
from .waves import Advection, KleinGordon, Schroedinger, SineGordon, Wave

EQUATIONS: dict[str, type[Equation]] = {
    "advection": Advection,
    "allen-cahn": AllenCahn,
    "boussinesq": Boussinesq,
    "cahn-hilliard": CahnHilliard,
    "fisher-kpp": FisherKPP,
    "fitzhugh-nagumo": FitzHughNagumo,
    "gray-scott": GrayScott,
    "heat": Heat,
    "klein-gordon": KleinGordon,
    "schroedinger": Schroedinger,
    "sine-gordon": SineGordon,
    "swift-hohenberg": SwiftHohenberg,
    "wave": Wave,
    "kdv": KdV,
    "kdv-burgers": KdVBurgers,
    "nlse": NLSE,
    "burgers": Burgers,
    "kuramoto-sivashinsky": KuramotoSivashinsky,
    "magnetic-flow-2d": MagneticFlow2D,
    "navier-stokes-2d": NavierStokes2D,
    "navier-stokes-3d": NavierStokes3D,
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
