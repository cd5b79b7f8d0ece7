"""Partial equations by name, each on a box, up to a time, with a closed form where there is one."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

import duhamel as dh
from duhamel import pde
from duhamel.core.precision import enable_x64
from duhamel.report.chapter import Chapter, Figure
from duhamel.report.context import Context
from duhamel.report.fields import draw_line, draw_stills, film_planes
from duhamel.report.nearest import nearest
from duhamel.report.record import Record

from .run import at_least, costs, drift, end_time
from .wish import Wish, given, timed, told

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
        Partial("kdv-burgers", "u_t + u u_x = 0.1 u_xx - 0.01 u_xxx", 256, _periodic(16.0), 4.0, 1 / 200),
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
    methods = {name.lower(): name for name in METHODS}
    word = given(wish.method, "etdrk4").lower()
    if word not in methods:
        raise ValueError(f"no method for partial equations is called {wish.method!r}; {nearest(word, methods)}")
    t1 = end_time(wish, problem.t1, "a partial equation")
    steps = given(wish.steps, -(-int(np.ceil(t1 / problem.dt)) // FRAMES) * FRAMES)
    usual = pde.equation_named(problem.name) if problem.equation is None else problem.equation()
    known = {f.name: getattr(usual, f.name) for f in fields(usual) if f.name != "dealias"}
    numbers = wish.numbers(problem.name, {k: v for k, v in known.items() if isinstance(v, int | float)})
    equation = replace(usual, **numbers)
    grid = problem.box(at_least(given(wish.points, problem.points), 4))
    run = Evolution(problem, equation, grid, methods[word], t1, steps, numbers)
    if wish.steps is not None or numbers:  # the catalogue's own steps are known to be short enough
        run.ahead.refuse(factor=4.0)
    return partial(_solve, run)


@dataclass(frozen=True)
class Evolution:
    """What is solved, and how."""

    problem: Partial
    equation: Any
    grid: Any
    word: str
    t1: float
    steps: int
    parameters: dict[str, float] = field(default_factory=dict)

    @property
    def method(self) -> Any:
        return getattr(dh, self.word)()

    @property
    def u0(self) -> np.ndarray | None:
        truth = self.problem.truth
        return None if truth is None else truth(self.equation, self.grid, 0.0)

    @property
    def ahead(self) -> pde.Forecast:
        with enable_x64(True):
            return pde.forecast(self.equation, self.grid, self.u0, self.t1 / self.steps, self.method)

    @property
    def text(self) -> str:
        size = " × ".join(map(str, self.grid.shape))
        kind = "a periodic box" if isinstance(self.grid, pde.Grid) else "a box with walls,"
        what = f"{self.problem.formula}{told(self.parameters)}"
        return (
            f"{what} on {kind} of side {self.grid.length[0]:.4g} with {size} points, to t = {self.t1:g} in "
            f"{self.steps} equal steps of {self.word}, float64."
        )

    def __call__(self, steps: int) -> Any:
        ts = jnp.linspace(0.0, self.t1, FRAMES + 1)
        return pde.solve(self.equation, self.grid, self.u0, ts, steps=steps, method=self.method, monitor=True)


def _solve(run: Evolution, context: Context) -> Chapter:
    context.progress("is the step short enough?", None)
    told = _forecast(run.ahead)
    context.progress("compiling and solving", None)
    try:
        sol, first = timed(lambda: run(run.steps))
    except dh.SolveError as stopped:
        return _stopped(run, told, stopped, context)
    _, again = timed(lambda: run(run.steps))
    problem, u = run.problem, np.asarray(sol.x.u)
    if problem.truth is not None and not run.parameters:
        true, whose = problem.truth(run.equation, run.grid, run.t1), "the closed form"
    else:
        context.progress("once more with half the step", None)
        true = np.asarray(run(2 * run.steps).x.u[-1])
        unknown = "no closed form is taken for other parameters" if run.parameters else "no closed form is known"
        whose = f"the same method with half the step ({unknown})"
    error = float(np.abs(u[-1] - true).max() / np.abs(true).max())
    t = np.asarray(sol.t)
    changes, courses = drift(context, problem.name, t, {name: np.asarray(v) for name, v in sol.x.invariants.items()})
    context.progress("drawing", None)
    return Chapter(
        problem.name,
        problem.name,
        run.text,
        text=(f"The error is measured against {whose}.",),
        records=(
            Record("largest error at the end, relative", error, "", error),
            *changes,
            *told,
            *costs(run.steps, first, again),
        ),
        figures=(*_pictures(run, context, t, u, true), *courses),
    )


def _forecast(ahead: pde.Forecast) -> tuple[Record, ...]:
    return (
        Record("step over the longest stable one, before the run", ahead.dt / ahead.limit),
        Record("Courant number, before the run", ahead.courant),
        Record("step times the largest eigenvalue of the linear part", ahead.stiffness),
    )


def _stopped(run: Evolution, told: tuple[Record, ...], stopped: dh.SolveError, context: Context) -> Chapter:
    """What there is of a run that blew up."""
    sol = stopped.solution
    u, t = np.asarray(sol.x.u), np.asarray(sol.t)
    good = int(np.argmin(np.append(np.isfinite(u).reshape(len(u), -1).all(axis=1), False)))
    return Chapter(
        run.problem.name,
        f"{run.problem.name}: stopped before the end",
        run.text,
        text=(str(stopped), "What follows is what was computed until then; it is no solution of the equation."),
        records=(Record("stopped after t =", float(t[good - 1])), Record("fields kept", good), *told),
        figures=_pictures(run, context, t[:good], u[:good], None),
    )


def _pictures(
    run: Evolution, context: Context, t: np.ndarray, u: np.ndarray, true: np.ndarray | None
) -> tuple[Figure, ...]:
    """Space-time of a line; stills and a film of everything else."""
    if len(run.equation.fields) > 1:
        u, true = u[:, 0], None if true is None else true[0]
    name, dim = run.problem.name, run.grid.dim
    if dim == 1:
        path = context.figure(name, draw_line(run.grid.coordinates()[0], t, u, true))
        closed = run.problem.truth is not None and not run.parameters
        held = "the closed form" if closed else "the same with half the step"
        dots = "." if true is None else f"; dots are {held}."
        return (Figure(str(path), f"Left: the field over space and time. Right: first and last field{dots}"),)
    where = " on the three middle planes" if dim == 3 else ""
    stills = context.figure(name, draw_stills(t, u))
    film = context.film(f"{name}-film", *film_planes(t, u), len(t))
    return (
        Figure(str(stills), f"The field at four times{where}; red is above its mean, blue below."),
        Figure(str(film), f"The same{where} as a film, with one scale of colours."),
    )
