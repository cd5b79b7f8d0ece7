"""Chapter: two solitons that cross and come out unchanged, and turbulence in two dimensions."""

from typing import TYPE_CHECKING, Any

import numpy as np

from duhamel import pde
from duhamel.core.precision import enable_x64
from duhamel.report.chapter import Chapter, Figure
from duhamel.report.context import Context
from duhamel.report.figure import PALETTE, style
from duhamel.report.measurement import Measurement
from duhamel.report.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

KAPPA = (1.0, 0.6)  # heights 2 kappa^2, speeds 4 kappa^2


def chapter(context: Context) -> Chapter:
    with enable_x64(True):
        context.progress("Korteweg-de Vries: two solitons cross", None)
        waves = solitons()
    context.progress("Navier-Stokes in two dimensions", None)
    flow = turbulence(points=128 if context.fast else 256, until=10.0 if context.fast else 16.0)
    return Chapter(
        id="pde",
        title="Two solitons, and turbulence",
        question="A tall wave of the Korteweg-de Vries equation overtakes a low one. By the inverse scattering formula "
        "both come out unchanged, only shifted. Do they here? Then a field of random vortices in two dimensions is "
        "left to itself.",
        headline=Measurement(
            "Error after the crossing, relative to the tall wave",
            waves["error"],
            high=1e-7,
            note=f"The truth is the two-soliton formula at t = {waves['t'][-1]:g}; {waves['steps']} steps of ETDRK4.",
        ),
        text=(
            "In two dimensions like vortices merge, so energy moves to ever larger whirls while the small ones fade. "
            "Nothing but viscosity may take energy out: what is lost must equal its work.",
        ),
        records=(
            Record(
                "shift of the tall wave by the crossing", waves["shift"], "", abs(waves["shift"] - waves["exact shift"])
            ),
            Record("mass that appeared or went, relative", waves["mass"], "", waves["mass"]),
            Record("energy that the turbulence lost", flow["lost"], "%"),
            Record("energy lost but not to viscosity, relative to the loss", flow["balance"], "", flow["balance"]),
        ),
        figures=(
            Figure(
                str(context.figure("pde-solitons", draw_solitons(waves))),
                "Left: the tall wave overtakes the low one; brighter is higher. Right: before, during and after; dots "
                "are the closed form.",
            ),
            Figure(
                str(context.figure("pde-turbulence", draw_turbulence(flow))),
                "Vorticity on a periodic box, red turning left and blue turning right, at three times. Right: energy "
                "stays, enstrophy is worn down by viscosity.",
            ),
        ),
    )


def solitons() -> dict[str, Any]:
    """KdV on a box so long that its ends do not matter, to float64 accuracy, beside the closed form."""
    equation, grid = pde.KdV(), pde.periodic(512, 80.0, start=-40.0)
    (x,), at, ts, steps = grid.coordinates(), (-16.0, -4.0), np.linspace(0.0, 8.0, 161), 12_800
    truth = np.stack([equation.solitons(x, float(t), KAPPA, at) for t in ts])
    u = np.asarray(pde.solve(equation, grid, truth[0], ts, steps=steps).x)
    mass = u.sum(axis=1) * grid.spacing[0]
    return {
        "x": x,
        "t": ts,
        "u": u,
        "truth": truth,
        "steps": steps,
        "error": float(np.abs(u[-1] - truth[-1]).max() / np.abs(truth[-1]).max()),
        "shift": crest(x, u[-1]) - (at[0] + 4 * KAPPA[0] ** 2 * ts[-1]),
        "exact shift": float(np.log((KAPPA[0] + KAPPA[1]) / (KAPPA[0] - KAPPA[1])) / KAPPA[0]),
        "mass": float(np.abs(mass / mass[0] - 1).max()),
    }


def crest(x: np.ndarray, u: np.ndarray) -> float:
    """Where the field is highest, between points: the band-limited field and Newton's method on its slope."""
    modes, k = np.fft.rfft(u) / len(u), 2 * np.pi * np.fft.rfftfreq(len(u), x[1] - x[0])
    weight = np.where(k > 0, 2.0, 1.0)
    derivative = lambda n, at: float(np.sum(weight * (modes * (1j * k) ** n * np.exp(1j * k * (at - x[0]))).real))  # noqa: E731
    at = float(x[np.argmax(u)])
    for _ in range(6):
        at -= derivative(1, at) / derivative(2, at)
    return at


def turbulence(points: int, until: float) -> dict[str, Any]:
    """Decaying turbulence in float32 from random vortices, with its energy and enstrophy."""
    equation, grid = pde.NavierStokes2D(viscosity=1e-3 * (128 / points)), pde.periodic((points, points), 2 * np.pi)
    ts = np.linspace(0.0, until, 65)
    dt = 1.28 / points

    def save(t: Any, modes: Any) -> Any:
        return equation.to_points(grid, modes), equation.invariants(grid, modes)

    first = np.asarray(equation.initial(grid), np.float32)
    field, invariants = pde.solve(equation, grid, first, ts, dt=dt, save=save).x
    energy, enstrophy = np.asarray(invariants["energy"], float), np.asarray(invariants["enstrophy"], float)
    work = 2 * float(equation.viscosity) * simpson(enstrophy, ts[1] - ts[0])
    lost = energy[0] - energy[-1]
    return {
        "t": ts,
        "field": np.asarray(field),
        "energy": energy / energy[0],
        "enstrophy": enstrophy / enstrophy[0],
        "lost": 100 * lost / energy[0],
        "balance": float(abs(lost - work) / lost),
    }


def simpson(values: np.ndarray, spacing: float) -> float:
    return float(spacing / 3 * (values[0] + 4 * values[1::2].sum() + 2 * values[2:-1:2].sum() + values[-1]))


def draw_solitons(waves: dict[str, Any]) -> "Drawing":
    import matplotlib.pyplot as plt

    x, t, u, truth = (waves[name] for name in ("x", "t", "u", "truth"))
    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), width_ratios=(1, 1.4), layout="constrained")
        left.imshow(u, origin="lower", aspect="auto", extent=(x[0], x[-1], t[0], t[-1]), cmap="magma", rasterized=True)
        left.set(xlabel="x", ylabel="t", title="Two solitons cross")
        left.grid(False)
        for n, colour in zip((0, 5 * len(t) // 8, len(t) - 1), PALETTE, strict=False):
            right.plot(x, u[n], color=colour, label=f"t = {t[n]:g}")
            right.plot(x[::6], truth[n][::6], ".", color=colour, markersize=4)
        right.set(xlabel="x", ylabel="u", title="Against the closed form")
        right.legend(loc="upper left")
    return figure


def draw_turbulence(flow: dict[str, Any]) -> "Drawing":
    import matplotlib.pyplot as plt

    t, shown = flow["t"], (0, 16, 64)
    with style():
        figure, axes = plt.subplots(1, 4, figsize=(10, 2.8), width_ratios=(1, 1, 1, 1.15), layout="constrained")
        for place, n in zip(axes, shown, strict=False):
            field = flow["field"][n]
            limit = 3 * float(np.sqrt(np.mean(field**2)))
            place.imshow(field.T, origin="lower", cmap="RdBu_r", vmin=-limit, vmax=limit, rasterized=True)
            place.set(title=f"t = {t[n]:g}", xticks=[], yticks=[])
            place.grid(False)
            place.spines[:].set_visible(False)
        axes[3].plot(t, flow["energy"], label="energy")
        axes[3].plot(t, flow["enstrophy"], label="enstrophy")
        axes[3].set(xlabel="t", ylim=(0, 1.05), title="What remains")
        axes[3].legend()
    return figure
