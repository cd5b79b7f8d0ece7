"""Conservation laws by name, each a Riemann problem or a wave that breaks, held against its exact solution."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from duhamel.pde import volumes
from duhamel.problems.riemann import SOD, shock_tube
from duhamel.problems.water import dam_break
from duhamel.report.chapter import Chapter, Figure
from duhamel.report.context import Context
from duhamel.report.fields import draw_profiles, film_lines
from duhamel.report.nearest import nearest
from duhamel.report.record import Record

from .run import at_least, costs, drift, end_time
from .wish import Wish, given, timed

SCHEMES: dict[str, Callable[[], Any]] = {
    "constant": volumes.PiecewiseConstant,
    "muscl": volumes.MUSCL,
    "weno5": volumes.WENO5,
}
FRAMES = 100  # fields that are kept and drawn
FINER = 8  # how many times finer the grid is that stands for the truth where none is known in closed form


@dataclass(frozen=True)
class Conserved:
    """u_t + F(u)_x = 0 on [0, 1] from primitive fields at t = 0.

    start  x -> primitive fields (fields, cells); truth(x, t) -> the same, None where no closed form is known
    """

    name: str
    formula: str
    law: Callable[[], Any]
    sides: Any
    start: Callable[[np.ndarray], np.ndarray]
    t1: float
    truth: Callable[[np.ndarray, float], np.ndarray] | None = None


def _jump(left: Any, right: Any) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.where(x < 0.5, np.array(left)[:, None], np.array(right)[:, None])


def _breaking(x: np.ndarray) -> np.ndarray:
    return 1 + 0.5 * np.sin(2 * np.pi * x)[None]


def _broken(x: np.ndarray, t: float) -> np.ndarray:
    """u = (x - y)/t where (x - y)^2/(2 t) + int_0^y u(s, 0) ds is least: Hopf, Comm. Pure Appl. Math. 3 (1950) 201."""
    if t == 0:
        return _breaking(x)
    y = np.linspace(-2.0, 2.0, 40_001)
    below = y - 0.25 / np.pi * np.cos(2 * np.pi * y)
    best = np.array([np.argmin((place - y) ** 2 / (2 * t) + below) for place in x])
    return ((x - y[best]) / t)[None]


CONSERVED = {
    one.name: one
    for one in (
        Conserved(
            "euler",
            "Euler equations, Sod's shock tube",
            volumes.Euler,
            volumes.Outflow(),
            _jump(*SOD),
            0.2,
            lambda x, t: shock_tube(*SOD, (x - 0.5) / max(t, 1e-12)),
        ),
        Conserved(
            "shallow-water",
            "shallow water, g = 1, a dam between depths 1 and 0.1 breaks",
            lambda: volumes.ShallowWater(gravity=1.0),
            volumes.Outflow(),
            _jump((1.0, 0.0), (0.1, 0.0)),
            0.3,
            lambda x, t: dam_break(1.0, 0.1, (x - 0.5) / max(t, 1e-12), 1.0),
        ),
        Conserved(
            "mhd",
            "ideal magnetohydrodynamics, Brio and Wu's shock tube",
            lambda: volumes.MHD(gamma=2.0),
            volumes.Outflow(),
            _jump((1, 0, 0, 0, 0.75, 1, 0, 1.0), (0.125, 0, 0, 0, 0.75, -1, 0, 0.1)),
            0.1,
        ),
        Conserved(
            "inviscid-burgers",
            "u_t + (u²/2)_x = 0, u = 1 + sin(2πx)/2 at first",
            volumes.Burgers,
            volumes.Periodic(),
            _breaking,
            0.8,
            _broken,
        ),
    )
}


def prepare(problem: Conserved, wish: Wish) -> Callable[[Context], Chapter]:
    """Check the wish; what comes back solves, draws and tells."""
    word = given(wish.method, "muscl").lower()
    if word not in SCHEMES:
        raise ValueError(f"no method for conservation laws is called {wish.method!r}; {nearest(word, SCHEMES)}")
    if word == "weno5" and problem.name == "shallow-water":
        raise ValueError("weno5 does not keep a shore at rest: take muscl or constant for shallow-water.")
    wish.numbers(problem.name, {})
    t1 = end_time(wish, problem.t1, "a conservation law")
    mesh = volumes.box(at_least(given(wish.points, 400), 4), 1.0, sides=problem.sides)
    return partial(_solve, problem, mesh, word, t1, wish.steps)


def _solve(problem: Conserved, mesh: Any, word: str, t1: float, steps: int | None, context: Context) -> Chapter:
    law, ts = problem.law(), np.linspace(0.0, t1, FRAMES + 1)
    how = {"reconstruct": SCHEMES[word](), "steps": steps}

    def call(mesh: Any, ts: np.ndarray) -> Any:
        (x,) = mesh.centres()
        return volumes.solve(law, mesh, law.conserved(jnp.asarray(problem.start(x), jnp.float64)), ts, **how)

    context.progress("compiling and solving", None)
    sol, first = timed(lambda: call(mesh, ts))
    _, again = timed(lambda: call(mesh, ts))
    (x,) = mesh.centres()
    if problem.truth is not None:
        true, whose = problem.truth(x, t1), "the exact solution"
    else:
        context.progress(f"once more with {FINER} times the cells", None)
        how["steps"] = None
        fine = call(volumes.box(FINER * mesh.shape[0], 1.0, sides=problem.sides), np.array([0.0, t1])).x[-1]
        true = np.asarray(law.primitive(fine.reshape(*fine.shape[:-1], -1, FINER).mean(axis=-1)))
        whose = f"the same method with {FINER} times the cells"
    w = np.stack([np.asarray(law.primitive(u)) for u in sol.x])
    errors = np.abs(w[-1] - true).mean(axis=1)
    total = np.asarray(mesh.integral(sol.x))
    names = [name for name, row in zip(law.primitives, true, strict=True) if np.ptp(row) > 1e-12]
    shown = [law.primitives.index(name) for name in names]
    kept = {
        f"total {name}": total[:, i]
        for i, name in enumerate(law.names)
        if isinstance(problem.sides, volumes.Periodic) or i == 0
    }
    changes, courses = drift(context, problem.name, ts, kept)
    how_drawn = f"Left: the {names[0]} over space and time. Right: fields at the end, scaled to 1; dots are {whose}."
    still = context.figure(problem.name, draw_profiles(x, ts, w[:, shown], true[shown], names))
    film = context.film(f"{problem.name}-film", *film_lines(x, ts, w[:, shown[:3]], names[:3]), len(ts))
    size = f"{mesh.shape[0]} cells, to t = {t1:g} in {int(sol.stats.accepted)} steps"
    return Chapter(
        problem.name,
        problem.name,
        f"{problem.formula}; finite volumes ({word}, SSPRK3), {size}, float64.",
        text=(f"The error is measured against {whose}.",),
        records=(
            *(
                Record(f"mean error at the end, {name}", float(errors[i]), "", float(errors[i]))
                for name, i in zip(names, shown, strict=True)
            ),
            *changes,
            *costs(int(sol.stats.accepted), first, again),
        ),
        figures=(
            Figure(str(still), how_drawn),
            Figure(str(film), "Left to right, " + ", ".join(names[:3]) + ", as a film."),
            *courses,
        ),
    )
