"""CHORUS++: compressible magnetohydrodynamics by spectral differences. Its elements, in one dimension.

The published code solves the rotating Sun on a cubed sphere with many GPUs. What is held against its claim here is the
scheme: order p + 1 on smooth waves, shocks without negative pressures, conservation. Between elements HLLD, in time
SSP Runge-Kutta of order 3.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from duhamel.core.precision import enable_x64

from .card import Card, Context, Measurement

if TYPE_CHECKING:
    import numpy as np

LEFT, RIGHT = (1.0, 0.0, 0.0, 0.0, 0.75, 1.0, 0.0, 1.0), (0.125, 0.0, 0.0, 0.0, 0.75, -1.0, 0.0, 0.1)


def check(context: Context) -> Sequence[Measurement]:

    found: list[Measurement] = []
    with enable_x64(True):
        context.progress("Alfven waves", 0.0)
        found += waves(context)
        context.progress("Brio and Wu's shock tube", 0.4)
        found += shock_tubes(context)
        if not context.fast:
            context.progress("shocks in a closed box", 0.8)
            found += closed_box()
    return found


def march(law: Any, mesh: Any, scheme: Any, u0: "np.ndarray", t1: float, cfl: float = 0.4) -> "np.ndarray":
    import numpy as np

    from duhamel.pde import volumes
    from duhamel.solver.adjoint import Forward

    # Forward(): no gradient is wanted, and without its tape the program compiles faster.
    return np.asarray(volumes.solve(law, mesh, u0, t1, cfl=cfl, reconstruct=scheme, adjoint=Forward()).x)


def waves(context: Context) -> list[Measurement]:
    """A circularly polarised Alfven wave of amplitude 0.1 runs once through the box; exact for any amplitude."""
    import numpy as np

    from duhamel.pde import volumes

    law = volumes.MHD()

    def fields(x: "np.ndarray", t: float) -> "np.ndarray":
        s, c, one = 0.1 * np.sin(2 * np.pi * (x - t)), 0.1 * np.cos(2 * np.pi * (x - t)), np.ones_like(x)
        return np.asarray(law.conserved(np.stack([one, 0 * x, -s, -c, one, s, c, 0.1 * one])))

    found, elements = [], (6, 12) if context.fast else (6, 12, 24)
    for p in (2, 3):
        # On smooth waves the sensor finds nothing; without it the program compiles in half the time.
        scheme, errors, drift = volumes.SpectralDifference(p, shocks=not context.fast), [], 0.0
        for n in elements:
            mesh = volumes.box(n)
            u0, exact = (scheme.averages(mesh, lambda x, t=t: fields(x, t)) for t in (0.0, 1.0))
            # Steps are third order: shorter ones keep their error below that of degree 3.
            u = march(law, mesh, scheme, u0, 1.0, 0.3 * (6 / n) ** (0.4 if p == 3 else 0.1))
            errors.append(float(np.abs(u - exact).mean()))
            before, after = (np.asarray(scheme.integral(mesh, v)) for v in (u0, u))
            drift = max(drift, float(np.abs(after - before)[[0, 7]].max()))
        order = float(-np.polyfit(np.log(elements), np.log(errors), 1)[0])
        note = f"mean error {errors[-1]:.1e} with {elements[-1]} elements"
        found.append(Measurement(f"order on an Alfven wave, degree {p}", order, low=p + 0.5, note=note))
        found.append(Measurement(f"drift of mass and energy, degree {p}", drift, high=1e-12))
    return found


def tube(law: Any, x: "np.ndarray") -> "np.ndarray":
    import numpy as np

    return np.asarray(law.conserved(np.where(x < 0.5, np.array(LEFT)[:, None], np.array(RIGHT)[:, None])))


def shock_tubes(context: Context) -> list[Measurement]:
    """Density and tangential field in the mean, against MUSCL and HLLD with four to eight times as many unknowns."""
    import numpy as np

    from duhamel.pde import volumes

    law, n = volumes.MHD(gamma=2.0), 50 if context.fast else 100
    fine = volumes.box((16 if context.fast else 32) * n, sides=volumes.Outflow())
    truth = march(law, fine, volumes.MUSCL(), tube(law, fine.centres()[0]), 0.1)
    found = []
    for p in (3,) if context.fast else (2, 3):
        scheme, mesh = volumes.SpectralDifference(p), volumes.box(n, sides=volumes.Outflow())
        u = march(law, mesh, scheme, scheme.averages(mesh, lambda x: tube(law, x)), 0.1)
        means = np.sum((u * scheme.widths(mesh)).reshape(8, n, p + 1), axis=-1) / mesh.width[0]
        same = truth.reshape(8, n, -1).mean(axis=-1)[[0, 5]]
        errors = np.abs(means[[0, 5]] - same).mean(axis=1) / np.abs(same).mean(axis=1)
        w = np.asarray(law.primitive(u))
        what = f"Brio and Wu's tube, degree {p}, {n} elements"
        found.append(Measurement(f"{what}: L1 error of density and field", float(errors.max()), high=0.05))
        found.append(Measurement(f"{what}: least density and pressure", float(w[[0, 7]].min()), low=0.05))
    return found


def closed_box() -> list[Measurement]:
    """The same tube twice, back to back, periodic: shocks meet, and nothing may be lost."""
    import numpy as np

    from duhamel.pde import volumes

    law, scheme, mesh = volumes.MHD(gamma=2.0), volumes.SpectralDifference(3), volumes.box(96)
    u0 = scheme.averages(mesh, lambda x: tube(law, np.abs(2 * x - 1)))
    u = march(law, mesh, scheme, u0, 0.2)
    before, after = (np.asarray(scheme.integral(mesh, v))[[0, 7]] for v in (u0, u))
    drift = float(np.abs(after / before - 1).max())
    return [Measurement("drift of mass and energy while shocks meet, relative", drift, high=1e-12)]


card = Card(
    id="chorus-plus",
    claim="In one dimension, spectral differences solve compressible magnetohydrodynamics with order p + 1 on smooth "
    "waves, hold the shocks of Brio and Wu's tube without negative density or pressure, and conserve mass and energy "
    "to rounding. That is the scheme of a code for the Sun in three dimensions, not the code.",
    source="Fully Compressible Magnetohydrodynamic Simulations of Solar Convection Zones with CHORUS++, 2025, "
    "arXiv 2502.17805; here its scheme in one dimension, not the Sun",
    check=check,
    seconds=90,
)
