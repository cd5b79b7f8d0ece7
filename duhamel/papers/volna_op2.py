"""Volna-OP2: finite volumes for shallow water with HLL, SSP Runge-Kutta of two stages, wetting and drying.

The published code runs on triangles; here the same numerical parts work on boxes of cells in one and two dimensions.
Errors are taken apart into dissipation and dispersion by Takacs' formula and by Fourier modes.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from .card import Card, Context, Measurement, in_turn

if TYPE_CHECKING:
    import numpy as np


def check(context: Context) -> Sequence[Measurement]:
    return in_turn(context, (lake, dams, bowl_of_water, simple_waves))


def march(law: Any, mesh: Any, u0: "np.ndarray", t1: float) -> "np.ndarray":
    import numpy as np

    from duhamel.methods.explicit import SSPRK2
    from duhamel.pde import volumes
    from duhamel.solver.adjoint import Forward

    # Forward(): no gradient is wanted, and without its tape the program compiles faster.
    how = {"method": SSPRK2(), "riemann": volumes.HLL(), "adjoint": Forward()}
    return np.asarray(volumes.solve(law, mesh, u0, t1, **how).x)


def lake(context: Context) -> list[Measurement]:
    """A bed of random heights in two dimensions, a third of it islands, and water at rest."""
    import numpy as np

    from duhamel.pde import volumes

    n = 16 if context.fast else 48
    bed = np.random.default_rng(0).uniform(0.0, 1.5, (n, n))
    h = np.maximum(0.0, 1.0 - bed)
    law = volumes.ShallowWater(bathymetry=bed, dim=2)
    u = march(law, volumes.box((n, n), sides=volumes.Wall()), np.stack([h, 0 * h, 0 * h]), 1.0)
    moved = max(float(np.abs(u[0] - h).max()), float(np.abs(u[1:]).max()))
    return [Measurement("largest change of a lake at rest with islands, depth and discharge", moved, high=1e-12)]


def dams(context: Context) -> list[Measurement]:
    """Onto dry ground (Ritter) and into shallow water (Stoker): mean error of the depth over the number of cells."""
    import numpy as np

    from duhamel.pde import volumes
    from duhamel.problems.water import dam_break

    found, cells = [], (100, 200) if context.fast else (100, 200, 400, 800)
    for name, shallow in (("dry", 0.0), ("wet", 0.1)):
        errors = []
        for n in cells:
            mesh = volumes.box(n, start=-0.5, sides=volumes.Outflow())
            (x,) = mesh.centres()
            u = march(volumes.ShallowWater(gravity=1.0), mesh, np.stack([np.where(x < 0, 1.0, shallow), 0 * x]), 0.2)
            errors.append(float(np.abs(u[0] - dam_break(1.0, shallow, x / 0.2, 1.0)[0]).mean()))
        note = f"mean error {errors[-1]:.1e} of a depth of 1 with {cells[-1]} cells"
        found.append(Measurement(f"order of a dam break, {name} bed", slope(cells, errors), low=0.9, note=note))
    return found


def bowl_of_water(context: Context) -> list[Measurement]:
    """Thacker's planar surface swings for one period in a parabolic bowl: both shores move."""
    import numpy as np

    from duhamel.pde import volumes
    from duhamel.problems.water import bowl

    period = 2 * np.pi / np.sqrt(2 * 9.81 * 0.5)
    errors, lost, cells = [], 0.0, (50, 100) if context.fast else (50, 100, 200, 400)
    for n in cells:
        mesh = volumes.box(n, 4.0, -2.0, sides=volumes.Outflow())
        (x,) = mesh.centres()
        h, v, bed = bowl(x, 0.0)
        u = march(volumes.ShallowWater(bathymetry=bed), mesh, np.stack([h, h * v]), float(period))
        errors.append(float(np.abs(u[0] - h).mean()))
        lost = max(lost, abs(float(u[0].sum() / h.sum()) - 1), -float(u[0].min()))
    return [
        Measurement("order in Thacker's bowl after one period", slope(cells, errors), low=0.9),
        Measurement("water lost in the bowl, or depth below 0, relative", lost, high=1e-12),
    ]


def simple_waves(context: Context) -> list[Measurement]:
    """A smooth wave before it breaks: order two, and the error taken apart."""
    import numpy as np

    from duhamel.pde import volumes
    from duhamel.problems.water import simple_wave

    cells, t = (32, 64) if context.fast else (32, 64, 128, 256), 0.3
    nodes, weights = np.polynomial.legendre.leggauss(4)
    errors, splits, gap = [], [], 0.0
    for n in cells:

        def averages(t: float, n: int = n) -> "np.ndarray":
            h, v = simple_wave((np.arange(n) + 0.5)[:, None] / n + 0.5 / n * nodes, t)
            return np.stack([h @ weights, (h * v) @ weights]) / 2

        u, exact = march(volumes.ShallowWater(gravity=1.0), volumes.box(n), averages(0.0), t)[0], averages(t)[0]
        errors.append(float(np.abs(u - exact).mean()))
        for split in (volumes.takacs_split(u, exact), volumes.fourier_split(u, exact)):
            gap = max(gap, abs(split.dissipation + split.dispersion - split.total))
            splits.append(split)
    takacs, fourier = splits[::2], splits[1::2]
    falls = lambda rows: min(a / b for a, b in pairwise(rows))  # noqa: E731
    return [
        Measurement("order on a smooth wave", slope(cells, errors), low=1.8, high=2.3),
        Measurement(
            "dissipation + dispersion less the mean square error, largest", gap, high=1e-10, note="an identity"
        ),
        *(
            Measurement(f"least factor by which {part} falls with twice the cells ({name})", falls(rows), low=2.0)
            for name, found in (("Takacs", takacs), ("Fourier", fourier))
            for part, rows in (
                ("dissipation", [s.dissipation for s in found]),
                ("dispersion", [s.dispersion for s in found]),
            )
        ),
    ]


def slope(cells: Sequence[int], errors: Sequence[float]) -> float:
    """Order of convergence: minus the slope of log error over log cells, by least squares."""
    import numpy as np

    return float(-np.polyfit(np.log(cells), np.log(errors), 1)[0])


card = Card(
    id="volna-op2",
    claim="A finite-volume scheme for shallow water with HLL fluxes, SSP Runge-Kutta steps and wetting and drying "
    "keeps a lake at rest (in the plane), converges on dam breaks and in Thacker's bowl, and both parts of its error, "
    "the dissipative and the dispersive one, fall with resolution (on a line). On boxes of cells, where the paper has "
    "triangles. That the parts add up to the error is an identity of the formulas.",
    source="Giles, Kashdan, Salmanidou, Guillas, Dias: Performance analysis of Volna-OP2 - massively parallel code for "
    "tsunami modelling, 2020, doi 10.1016/j.compfluid.2020.104649; boxes of cells here, triangles there",
    check=check,
    seconds=60,
)
