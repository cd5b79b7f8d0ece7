"""Steady equations by name, solved by several solvers, and a melting front; each held against a closed form."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from duhamel.pde import elliptic as el
from duhamel.report.chapter import Chapter, Figure, Table
from duhamel.report.context import Context
from duhamel.report.figure import PALETTE, style
from duhamel.report.measurement import number
from duhamel.report.nearest import nearest
from duhamel.report.record import Record

from .wish import Wish, given, timed

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

SOLVERS: dict[str, Callable[[], Any]] = {
    "fourier": el.Fourier,
    "diagonalise": el.Diagonalise,
    "band": el.Band,
    "multigrid": el.Multigrid,
    "pcg-multigrid": lambda: el.PCG(el.Multigrid()),
    "pcg-fourier": lambda: el.PCG(el.Fourier()),
    "pcg": lambda: el.PCG(el.Jacobi()),
    "sor": el.SOR,
}


def _poisson(n: int) -> tuple[Any, Any, np.ndarray]:
    """A membrane held on two sides, loose on the third, elastic on the fourth: system, source and truth."""
    u = lambda x, y: jnp.sin(3 * x + 0.5) * jnp.exp(y) + x * y  # noqa: E731
    box = el.box((n, n), 1.0)
    sides, f = el.manufactured(u, box, ("DN", "RD"), robin=(2.0, 1.0))
    system = el.Poisson(sides).system(box)
    return system, f, np.asarray(u(*system.coordinates()))


LAYER = 50.0  # permeability of the right half


def _darcy(n: int) -> tuple[Any, Any, np.ndarray]:
    """Two layers, a = 1 and 50, pressure sin(pi y) on the right side and 0 on the others.

    u = g(x) sin(pi y) with g'' = pi^2 g in each layer, g(0) = 0, g(1) = 1, and g and a g' continuous at 1/2.
    """
    box, half = el.box((n, n), 1.0), np.pi / 2
    pressure = el.Dirichlet(lambda x, y: np.sin(np.pi * y))
    system = el.Darcy(
        lambda x, y: np.where(x < 0.5, 1.0, LAYER) + 0 * y, [(el.Dirichlet(), pressure), el.Dirichlet()]
    ).system(box)
    x, y = system.coordinates()
    # Unknown: g = A sinh(pi x) to the left, B cosh(pi (x - 1/2)) + C sinh(pi (x - 1/2)) to the right.
    A, B, C = np.linalg.solve(
        [
            [np.sinh(half), -1.0, 0.0],
            [np.cosh(half), 0.0, -LAYER],
            [0.0, np.cosh(half), np.sinh(half)],
        ],
        [0.0, 0.0, 1.0],
    )
    right = B * np.cosh(np.pi * (x - 0.5)) + C * np.sinh(np.pi * (x - 0.5))
    return system, 0.0, np.where(x < 0.5, A * np.sinh(np.pi * x), right) * np.sin(np.pi * y)


def _helmholtz(n: int) -> tuple[Any, Any, np.ndarray]:
    """k = 17 on the unit square: a plane wave at an angle, given on two sides, its slope on the others."""
    u = lambda x, y: jnp.cos(17 * (x * jnp.cos(0.4) + y * jnp.sin(0.4)))  # noqa: E731
    box = el.box((n, n), 1.0)
    sides, _ = el.manufactured(u, box, ("DN", "ND"))
    system = el.Helmholtz(17.0, sides).system(box)
    return system, 0.0, np.asarray(u(*system.coordinates()))


STEADY: dict[str, tuple[str, int, Callable | None]] = {
    "poisson": ("-Δu = f, Dirichlet, Neumann and Robin sides", 128, _poisson),
    "darcy": ("-div(a grad u) = 0, a = 1 and 50 in two layers", 128, _darcy),
    "helmholtz": ("-Δu - 289 u = 0, Dirichlet and Neumann sides", 128, _helmholtz),
    "elasticity": ("-div σ(u) = f, displacement on three sides, traction on the fourth", 32, None),
    "stefan": ("T_t = T_xx for 0 < x < s(t), T(0) = 1, T(s) = 0, ds/dt = -T_x(s)", 64, None),
}


def prepare(name: str, wish: Wish) -> Callable[[Context], Chapter]:
    """Check the wish; what comes back solves, draws and tells."""
    formula, points, make = STEADY[name]
    wish.numbers(name, {})
    n = given(wish.points, points)
    if n < 8:
        raise ValueError(f"points = {n}: take at least 8 along each axis.")
    if wish.steps is not None:
        raise ValueError(f"{name} takes no number of steps; leave out --steps.")
    if wish.t1 is not None and name != "stefan":
        raise ValueError(f"{name} is steady and knows no time; leave out --t1.")
    if make is None:
        if wish.method is not None:
            raise ValueError(f"{name} has one method; leave out --method.")
        if name == "elasticity":
            return partial(_elastic, n)
        t1 = 1.0 if wish.t1 is None else float(wish.t1)
        if not t1 > 0.1:
            raise ValueError(f"t1 = {t1:g}: the front starts at t = 0.1; give a later time.")
        return partial(_melt, n, t1, wish)
    word = wish.method
    if word is not None and word.lower() not in SOLVERS:
        raise ValueError(f"no method for steady equations is called {word!r}; {nearest(word.lower(), SOLVERS)}")
    if word is not None:
        SOLVERS[word.lower()]().check(make(n)[0])
    return partial(_solve, name, formula, make, n, word and word.lower())


def _solve(name: str, formula: str, make: Callable, n: int, word: str | None, context: Context) -> Chapter:
    system, f, true = make(n)
    rows, records, best = [], [], None
    for label, build in SOLVERS.items():
        solver = build()
        try:
            solver.check(system)
        except ValueError:
            continue
        if (word not in (None, label)) or (word is None and label == "band" and n > 64):
            continue
        context.progress(label, None)
        found, _ = timed(lambda s=solver: el.solve(system, f, s, throw=False))
        found, seconds = timed(lambda s=solver: el.solve(system, f, s, throw=False))
        error = float(np.abs(found.u - true).max() / np.abs(true).max())
        rows.append((label, int(found.iterations), number(float(found.residual)), number(error), number(seconds)))
        records.append(Record(f"iterations of {label}", int(found.iterations)))
        if best is None or error < best[1]:
            best = (found.u, error)
    if best is None:
        raise ValueError(f"no solver fits {name} with {n} points; take an even number of them.")
    u, error = best
    coarse_system, coarse_f, coarse_true = make(n // 2)
    coarse = el.solve(coarse_system, coarse_f, throw=False).u
    before = float(np.abs(coarse - coarse_true).max() / np.abs(coarse_true).max())
    order = float(np.log(before / error) / np.log(n / (n // 2)))
    figure = Figure(
        str(context.figure(name, _field(system, np.asarray(u), true))), "Left: the solution. Right: its error."
    )
    return Chapter(
        name,
        name,
        f"{formula}, on the unit square with {n} × {n} cells, second-order differences, float64.",
        text=("The error is measured against the closed form.",),
        records=(
            Record("largest error, relative", error, "", error),
            Record("order between half as many points and these", order),
            *records,
        ),
        tables=(Table(("solver", "iterations", "residual", "largest error", "seconds"), tuple(rows)),),
        figures=(figure,),
    )


def _elastic(n: int, context: Context) -> Chapter:
    from duhamel.pde.elliptic import fem

    lam, mu = 1.5, 1.0
    exact = lambda x, y: np.stack([0.1 * np.sin(2 * x) * np.cos(y), 0.1 * x * x * y])  # noqa: E731

    def traction(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """sigma n on the right side, n = (1, 0)."""
        xx, yy = 0.2 * np.cos(2 * x) * np.cos(y), 0.1 * x * x
        xy = 0.5 * (-0.1 * np.sin(2 * x) * np.sin(y) + 0.2 * x * y)
        return np.stack([lam * (xx + yy) + 2 * mu * xx, 2 * mu * xy])

    def force(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """-(lam + mu) grad div u - mu Laplace u."""
        s, c = np.sin(2 * x) * np.cos(y), np.cos(2 * x) * np.sin(y)
        gradient = np.stack([-0.4 * s + 0.2 * x, -0.2 * c])
        laplace = np.stack([-0.5 * s, 0.2 * y])
        return -(lam + mu) * gradient - mu * laplace

    def call(n: int) -> Any:
        how = {"lam": lam, "mu": mu, "traction": {"right": traction}, "degree": 2}
        return fem.elasticity(fem.square(n), force, exact, **how)

    context.progress("assembling and solving", None)
    found, seconds = timed(lambda: call(n))
    error, before = found.error(exact), call(n // 2).error(exact)
    figure = Figure(
        str(context.figure("elasticity", _deformed(found))), "The square as it is pulled; colour is the displacement."
    )
    return Chapter(
        "elasticity",
        "elasticity",
        f"{STEADY['elasticity'][0]}; {2 * n * n} triangles of degree 2, assembled by scikit-fem, solved by SciPy's LU.",
        text=("The error is measured against a manufactured solution.",),
        records=(
            Record("error, L2", error, "", error),
            Record("order between half as many points and these", float(np.log(before / error) / np.log(n / (n // 2)))),
            Record("unknowns", int(found.x.size)),
            Record("iterations", 0),
            Record("assembly and solution", seconds, "s"),
        ),
        figures=(figure,),
    )


def _melt(n: int, t1: float, wish: Wish, context: Context) -> Chapter:
    import duhamel as dh
    from duhamel.pde.elliptic.stefan import neumann

    problem, ts = el.Stefan(), np.linspace(0.1, t1, 101)

    def call(n: int) -> Any:
        T0, s0 = neumann(problem, 0.1, problem.points(n))
        return problem.solve(T0, float(s0), ts, control=dh.PID(wish.rtol, wish.atol))

    context.progress("compiling and solving", None)
    sol, _ = timed(lambda: call(n))
    T, s = (np.asarray(part) for part in sol.x)
    errors = [float(abs(run.x[1][-1] - neumann(problem, t1, 0.0)[1])) for run in (sol, call(n // 2))]
    xi = problem.points(n)
    true, fronts = neumann(problem, ts, xi)
    figure = Figure(
        str(context.figure("stefan", _front(ts, xi, T, s, fronts))),
        "Left: the front, dots are Neumann's solution. Right: temperatures behind it.",
    )
    heat = float(np.abs(T[-1] - true[-1]).max())
    return Chapter(
        "stefan",
        "stefan",
        f"{STEADY['stefan'][0]}; {n} cells between the wall and the front, from t = 0.1 to {t1:g}, Kvaerno5.",
        text=("The error is measured against Neumann's similarity solution.",),
        records=(
            Record(f"s({t1:g})", float(s[-1]), "", errors[0]),
            Record("error of the front at the end", errors[0], "", errors[0]),
            Record("largest error of the temperature at the end", heat, "", heat),
            Record("order of the front between half as many points and these", float(np.log2(errors[1] / errors[0]))),
            Record("steps accepted", int(sol.stats.accepted)),
        ),
        figures=(figure,),
    )


def _field(system: Any, u: np.ndarray, true: np.ndarray) -> "Drawing":
    import matplotlib.pyplot as plt

    x, y = system.rows
    with style():
        figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.6), layout="constrained")
        for place, field, title in zip(axes, (u, u - true), ("u", "u minus the closed form"), strict=True):
            limit = float(np.abs(field).max()) or 1.0
            picture = place.pcolormesh(x, y, field.T, cmap="RdBu_r", vmin=-limit, vmax=limit, rasterized=True)
            figure.colorbar(picture, ax=place, shrink=0.9)
            place.set(title=title, xlabel="x", ylabel="y", aspect="equal")
            place.grid(False)
    return figure


def _deformed(found: Any) -> "Drawing":
    import matplotlib.pyplot as plt

    mesh, u = found.basis.mesh, found.corners
    x, y = mesh.p + u
    with style():
        figure, axes = plt.subplots(figsize=(4.6, 4.0), layout="constrained")
        size = np.hypot(*u)
        picture = axes.tripcolor(x, y, size, triangles=mesh.t.T, shading="gouraud", rasterized=True)
        axes.triplot(x, y, mesh.t.T, color="#00000030", linewidth=0.3)
        figure.colorbar(picture, ax=axes, shrink=0.9)
        axes.set(aspect="equal", title="displacement")
        axes.grid(False)
    return figure


def _front(t: np.ndarray, xi: np.ndarray, T: np.ndarray, s: np.ndarray, fronts: np.ndarray) -> "Drawing":
    import matplotlib.pyplot as plt

    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.4), layout="constrained")
        left.plot(t, s)
        left.plot(t[::5], fronts[::5], ".", color=PALETTE[1], markersize=4)
        left.set(xlabel="t", title="the front s(t)")
        for i in (0, 25, 50, 100):
            x = np.concatenate([[0.0], xi, [1.0]]) * s[i]
            right.plot(x, np.concatenate([[1.0], T[i], [0.0]]), label=f"t = {t[i]:.2g}")
        right.set(xlabel="x", title="temperature")
        right.legend()
    return figure
