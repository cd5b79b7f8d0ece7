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
    """u_t = L u + N(u) on a box, from the equation's own first field or from the closed form at t = 0.

    box    the box with `points` points an axis
    dt     the longest step
    truth  (equation, grid, t) -> the field at t; None where no closed form is known
    """

    name: str
    formula: str
    points: int
    box: Callable[[int], Any]
    t1: float
    dt: float
    truth: Callable[[Any, Any, float], np.ndarray] | None = None
    equation: Callable[[], Any] | None = None


def _periodic(length: float, dims: int = 1, start: float = 0.0) -> Callable[[int], Any]:
    return lambda n: pde.periodic((n,) * dims, length, start)


def _solitons(equation: Any, grid: Any, t: float) -> np.ndarray:
    (x,), (length,) = grid.coordinates(), grid.length
    return equation.solitons(x, t, (1.0, 0.6), (0.25 * length, 0.5 * length))


def _soliton(equation: Any, grid: Any, t: float) -> np.ndarray:
    return equation.soliton(grid, t, 1.0, 1.0, 0.25 * grid.length[0])


def _cole_hopf(equation: Any, grid: Any, t: float) -> np.ndarray:
    return equation.exact(grid, t)


def _carried(equation: Any, grid: Any, t: float) -> np.ndarray:
    """The first field, moved by a whole number of turns and a part of one, by the modes' own formula."""
    n = grid.shape[0]
    k = 2 * np.pi / grid.length[0] * np.fft.rfftfreq(n, 1 / n)
    return np.fft.irfft(np.fft.rfft(equation.initial(grid)) * np.exp(-1j * k * float(equation.velocity) * t), n)


def _front(equation: Any, grid: Any, t: float) -> np.ndarray:
    return equation.front(grid.coordinates()[0], t)


def _breather(equation: Any, grid: Any, t: float) -> np.ndarray:
    x, step = grid.coordinates()[0], 1e-6
    u = [equation.breather(x, s, 0.5) for s in (t, t + step, t - step)]
    return np.stack([u[0], (u[1] - u[2]) / (2 * step)])


def _coherent(equation: Any, grid: Any, t: float) -> np.ndarray:
    return equation.coherent(grid.coordinates()[0], t, 2.0)


def _standing(equation: Any, grid: Any, t: float) -> np.ndarray:
    """Two waves between walls."""
    x, total = grid.coordinates()[0], 0.0
    for m, a in ((1, 1.0), (4, 0.5)):
        w = float(equation.speed) * m * np.pi / grid.length[0]
        u = a * np.sin(m * np.pi * x / grid.length[0])
        total = total + np.stack([u * np.cos(w * t), -w * u * np.sin(w * t)])
    return np.asarray(total)


def _warmed(equation: Any, grid: Any, t: float) -> np.ndarray:
    """A rod at 0 until, 0.01 ago, one end was put to 1; the other is insulated (Carslaw and Jaeger's series)."""
    (x,), D = grid.coordinates(), float(equation.diffusivity)
    k = (np.arange(60) + 0.5) * np.pi / grid.length[0]
    series = 2 / (k * grid.length[0]) * np.exp(-D * k**2 * (t + 0.01)) * np.sin(np.outer(x, k))
    return 1 - series.sum(axis=1)


def _beltrami(equation: Any, grid: Any, t: float) -> np.ndarray:
    return equation.beltrami(grid, t)


def _walls(n: int) -> Any:
    return pde.box(pde.Legendre(n, 1.0, left=pde.Dirichlet(1.0), right=pde.Neumann()))


def _fixed(n: int) -> Any:
    return pde.box(pde.Sine(n, 1.0))


def _insulated(length: float, start: float, dims: int = 1) -> Callable[[int], Any]:
    return lambda n: pde.box(*(pde.Cosine(n, length, start) for _ in range(dims)))


def _well(x: Any) -> Any:
    return x**2 / 2


PARTIAL = {
    one.name: one
    for one in (
        Partial("kdv", "u_t + 6 u u_x + u_xxx = 0", 512, _periodic(80.0), 9.0, 1 / 1600, _solitons),
        Partial("nlse", "i ψ_t + ½ ψ_xx + |ψ|² ψ = 0", 512, _periodic(16 * np.pi), 20.0, 1 / 1000, _soliton),
        Partial("burgers", "u_t + u u_x = 0.02 u_xx", 512, _periodic(2 * np.pi), 4.0, 1 / 1000, _cole_hopf),
        Partial("kuramoto-sivashinsky", "u_t + u u_x + u_xx + u_xxxx = 0", 256, _periodic(32 * np.pi), 100.0, 1 / 40),
        Partial("navier-stokes-2d", "w_t + u·∇w = 0.001 Δw, in vorticity", 128, _periodic(2 * np.pi, 2), 6.0, 1 / 160),
        Partial("advection", "u_t + u_x = 0", 128, _periodic(1.0), 2.3, 1 / 100, _carried),
        Partial("heat", "u_t = u_xx, u(0) = 1, u_x(1) = 0", 48, _walls, 0.5, 1 / 400, _warmed),
        Partial("wave", "u_tt = u_xx between fixed ends", 64, _fixed, 2.0, 1 / 100, _standing),
        Partial("fisher-kpp", "u_t = u_xx + u (1 - u)", 512, _insulated(160.0, -70.0), 10.0, 1 / 50, _front),
        Partial("allen-cahn", "u_t = 0.0025 Δu + u - u³", 128, _periodic(1.0, 2), 10.0, 1 / 40),
        Partial("cahn-hilliard", "u_t = Δ(u³ - u - 0.0004 Δu)", 128, _periodic(1.0, 2), 0.1, 1 / 40_000),
        Partial("swift-hohenberg", "u_t = 0.2 u - (1 + Δ)² u - u³", 128, _periodic(20 * np.pi, 2), 60.0, 1 / 20),
        Partial("gray-scott", "two species, feed 0.03, kill 0.062", 96, _periodic(1.0, 2), 1500.0, 2.0),
        Partial("fitzhugh-nagumo", "signal and recovery, no flux at walls", 64, _insulated(2.0, -1.0, 2), 5.0, 1 / 100),
        Partial(
            "boussinesq",
            "w_t + u·∇w = 0.001 Δw + b_x, b_t + u·∇b = 0.001 Δb",
            128,
            _periodic(2 * np.pi, 2),
            6.0,
            1 / 100,
        ),
        Partial(
            "magnetic-flow-2d",
            "u and b, ν = η = 0.005, in Elsässer's variables",
            128,
            _periodic(2 * np.pi, 2),
            2.0,
            1 / 200,
        ),
        Partial("navier-stokes-3d", "u_t + u·∇u = -∇p + 0.01 Δu", 32, _periodic(2 * np.pi, 3), 2.0, 1 / 50, _beltrami),
        Partial("klein-gordon", "u_tt = u_xx - u - u³", 256, _periodic(40.0), 15.0, 1 / 200),
        Partial("sine-gordon", "u_tt = u_xx - sin u", 512, _periodic(80.0, start=-40.0), 20.0, 1 / 200, _breather),
        Partial(
            "schroedinger",
            "i ψ_t = -½ ψ_xx + ½ x² ψ",
            256,
            _periodic(24.0, start=-12.0),
            2 * np.pi,
            1 / 400,
            _coherent,
            lambda: pde.Schroedinger(potential=_well),
        ),
    )
}


def prepare(problem: Partial, wish: Wish) -> Callable[[Context], Chapter]:
    """Check the wish; what comes back solves, draws and tells."""
    known = {name.lower(): name for name in METHODS}
    word = (wish.method or "etdrk4").lower()
    if word not in known:
        raise ValueError(f"no method for partial equations is called {wish.method!r}; {nearest(word, known)}")
    grid = problem.box(wish.points or problem.points)
    equation = pde.equation_named(problem.name) if problem.equation is None else problem.equation()
    t1 = problem.t1 if wish.t1 is None else float(wish.t1)
    if not t1 > 0:
        raise ValueError(f"t1 = {t1:g}: a partial equation is solved forwards, to a time above 0.")
    if wish.steps is not None and wish.steps < 1:
        raise ValueError(f"steps = {wish.steps}; make at least one.")
    steps = wish.steps or -(-int(np.ceil(t1 / problem.dt)) // FRAMES) * FRAMES
    return partial(_solve, problem, equation, grid, known[word], t1, steps)


def _solve(problem: Partial, equation: Any, grid: Any, word: str, t1: float, steps: int, context: Context) -> Chapter:
    ts, method = jnp.linspace(0.0, t1, FRAMES + 1), getattr(dh, word)()
    u0 = None if problem.truth is None else problem.truth(equation, grid, 0.0)
    call = lambda steps: pde.solve(equation, grid, u0, ts, steps=steps, method=method)  # noqa: E731
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
    draw = _draw_line if grid.dim == 1 else _draw_plane
    if len(equation.fields) > 1:
        u, true = u[:, 0], true[0]
    figure = Figure(str(context.figure(problem.name, draw(grid, np.asarray(ts), u, true))), _caption(grid, problem))
    size = " × ".join(map(str, grid.shape))
    kind = "a periodic box" if isinstance(grid, pde.Grid) else "a box with walls,"
    how = f"on {kind} of side {grid.length[0]:.4g} with {size} points, to t = {t1:g} in {steps} equal steps"
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


def _caption(grid: Any, problem: Partial) -> str:
    if grid.dim > 1:
        return "The field at four times; red is above its mean, blue below."
    return "Left: the field over space and time. Right: first and last field" + (
        "; dots are the closed form." if problem.truth else "."
    )


def _draw_line(grid: Any, t: np.ndarray, u: np.ndarray, true: np.ndarray) -> "Drawing":
    import matplotlib.pyplot as plt

    (x,) = grid.coordinates()
    shown = np.abs(u) if np.iscomplexobj(u) else u
    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), width_ratios=(1.2, 1), layout="constrained")
        picture = left.pcolormesh(x, t, shown, shading="nearest", cmap="magma", rasterized=True)
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
            middle, limit = float(u[n].mean()), 3 * float(u[n].std()) + 1e-12
            span = (middle - limit, middle + limit)
            place.imshow(u[n].T, origin="lower", cmap="RdBu_r", vmin=span[0], vmax=span[1], rasterized=True)
            place.set(title=f"t = {t[n]:g}", xticks=[], yticks=[])
            place.grid(False)
            place.spines[:].set_visible(False)
    return figure
