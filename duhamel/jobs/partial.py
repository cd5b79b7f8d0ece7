"""Partial equations by name, each on a box, up to a time, with a closed form where there is one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

import duhamel as dh
from duhamel import pde
from duhamel.report.chapter import Chapter, Figure
from duhamel.report.context import Context
from duhamel.report.figure import PALETTE, style
from duhamel.report.nearest import nearest
from duhamel.report.record import Record

from .wish import Wish, timed

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

METHODS = ("ETD1", "ETDRK2", "ETDRK3", "ETDRK4", "Krogstad", "HochbruckOstermann")
FRAMES = 200  # fields that are kept and drawn


@dataclass(frozen=True)
class Partial:
    """u_t = L u + N(u) on a periodic box of `dims` dimensions from the equation's own first field.

    dt     the longest step; truth(equation, grid, t): the field at t, None where no closed form is known
    """

    name: str
    formula: str
    points: int
    length: float
    t1: float
    dt: float
    dims: int = 1
    truth: Callable[[Any, Any, float], np.ndarray] | None = None


def _solitons(equation: Any, grid: Any, t: float) -> np.ndarray:
    (x,), (length,) = grid.coordinates(), grid.length
    return equation.solitons(x, t, (1.0, 0.6), (0.25 * length, 0.5 * length))


def _soliton(equation: Any, grid: Any, t: float) -> np.ndarray:
    return equation.soliton(grid, t, 1.0, 1.0, 0.25 * grid.length[0])


def _cole_hopf(equation: Any, grid: Any, t: float) -> np.ndarray:
    return equation.exact(grid, t)


PARTIAL = {
    one.name: one
    for one in (
        Partial("kdv", "u_t + 6 u u_x + u_xxx = 0", 512, 80.0, 9.0, 1 / 1600, truth=_solitons),
        Partial("nlse", "i ψ_t + ½ ψ_xx + |ψ|² ψ = 0", 512, 16 * np.pi, 20.0, 1 / 1000, truth=_soliton),
        Partial("burgers", "u_t + u u_x = 0.02 u_xx", 512, 2 * np.pi, 4.0, 1 / 1000, truth=_cole_hopf),
        Partial("kuramoto-sivashinsky", "u_t + u u_x + u_xx + u_xxxx = 0", 256, 32 * np.pi, 100.0, 1 / 40),
        Partial("navier-stokes-2d", "w_t + u·∇w = 0.001 Δw, in vorticity", 128, 2 * np.pi, 6.0, 1 / 160, dims=2),
    )
}


def prepare(problem: Partial, wish: Wish) -> Callable[[Context], Chapter]:
    """Check the wish; what comes back solves, draws and tells."""
    known = {name.lower(): name for name in METHODS}
    word = (wish.method or "etdrk4").lower()
    if word not in known:
        raise ValueError(f"no method for partial equations is called {wish.method!r}; {nearest(word, known)}")
    grid = pde.periodic((wish.points or problem.points,) * problem.dims, problem.length)
    equation, t1 = pde.equation_named(problem.name), problem.t1 if wish.t1 is None else float(wish.t1)
    if not t1 > 0:
        raise ValueError(f"t1 = {t1:g}: a partial equation is solved forwards, to a time above 0.")
    if wish.steps is not None and wish.steps < 1:
        raise ValueError(f"steps = {wish.steps}; make at least one.")
    steps = wish.steps or -(-int(np.ceil(t1 / problem.dt)) // FRAMES) * FRAMES
    return partial(_solve, problem, equation, grid, known[word], t1, steps)


def _solve(problem: Partial, equation: Any, grid: Any, word: str, t1: float, steps: int, context: Context) -> Chapter:
    ts, method = jnp.linspace(0.0, t1, FRAMES + 1), getattr(dh, word)()
    call = lambda steps: pde.solve(equation, grid, None, ts, steps=steps, method=method)  # noqa: E731
    context.progress("compiling and solving", None)
    sol, first = timed(lambda: call(steps))
    _, again = timed(lambda: call(steps))
    u = np.asarray(sol.x)
    if problem.truth is not None:
        true, whose = problem.truth(equation, grid, t1), "the closed form"
    else:
        context.progress("once more with half the step", None)
        true, whose = np.asarray(call(2 * steps).x[-1]), "the same method with half the step (no closed form is known)"
    error = float(np.abs(u[-1] - true).max() / np.abs(true).max())
    kept = equation.invariants(grid, equation.to_modes(grid, u[[0, -1]]))
    drift = [
        Record(f"{name}, from the first to the last field, relative", float(np.abs(v[1] - v[0]) / np.abs(v[0]).max()))
        for name, v in kept.items()
        if np.abs(v[0]) > 1e-10
    ]
    draw = _draw_line if problem.dims == 1 else _draw_plane
    figure = Figure(str(context.figure(problem.name, draw(grid, np.asarray(ts), u, true))), _caption(problem))
    size = " × ".join(map(str, grid.shape))
    how = f"on a periodic box of side {problem.length:.4g} with {size} points, to t = {t1:g} in {steps} equal steps"
    return Chapter(
        problem.name,
        problem.name,
        f"{problem.formula} {how} of {word}, float64.",
        text=(f"The error is measured against {whose}.",),
        records=(
            Record("largest error at the end, relative", error, "", error),
            *drift,
            Record("steps", steps),
            Record("first call, compiling included", first, "s"),
            Record("second call", again, "s"),
        ),
        figures=(figure,),
    )


def _caption(problem: Partial) -> str:
    if problem.dims > 1:
        return "The field at four times; red is positive, blue negative."
    return "Left: the field over space and time. Right: first and last field" + (
        "; dots are the closed form." if problem.truth else "."
    )


def _draw_line(grid: Any, t: np.ndarray, u: np.ndarray, true: np.ndarray) -> "Drawing":
    import matplotlib.pyplot as plt

    (x,) = grid.coordinates()
    shown = np.abs(u) if np.iscomplexobj(u) else u
    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), width_ratios=(1.2, 1), layout="constrained")
        extent = (x[0], grid.start[0] + grid.length[0], t[0], t[-1])
        picture = left.imshow(shown, origin="lower", aspect="auto", extent=extent, cmap="magma", rasterized=True)
        figure.colorbar(picture, ax=left, shrink=0.9)
        left.set(xlabel="x", ylabel="t", title="|ψ|" if np.iscomplexobj(u) else "u")
        left.grid(False)
        right.plot(x, shown[0], color=PALETTE[6], label=f"t = {t[0]:g}")
        right.plot(x, shown[-1], color=PALETTE[0], label=f"t = {t[-1]:g}")
        right.plot(x[::6], (np.abs(true) if np.iscomplexobj(true) else true)[::6], ".", color=PALETTE[1], markersize=3)
        right.set(xlabel="x", title="First and last")
        right.legend()
    return figure


def _draw_plane(grid: Any, t: np.ndarray, u: np.ndarray, true: np.ndarray) -> "Drawing":
    import matplotlib.pyplot as plt

    with style():
        figure, axes = plt.subplots(1, 4, figsize=(10, 2.8), layout="constrained")
        for place, n in zip(axes, (0, len(t) // 4, len(t) // 2, len(t) - 1), strict=True):
            limit = 3 * float(u[n].std())
            place.imshow(u[n].T, origin="lower", cmap="RdBu_r", vmin=-limit, vmax=limit, rasterized=True)
            place.set(title=f"t = {t[n]:g}", xticks=[], yticks=[])
            place.grid(False)
            place.spines[:].set_visible(False)
    return figure
