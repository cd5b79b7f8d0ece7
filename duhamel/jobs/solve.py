"""`duhamel solve`: an equation by name, drawn, with its error against somebody else's truth."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

import duhamel as dh
from duhamel.report.chapter import Chapter, Figure
from duhamel.report.console import Steps, records, say
from duhamel.report.context import Context
from duhamel.report.figure import style
from duhamel.report.folder import DEFAULT_ROOT, Run
from duhamel.report.nearest import nearest
from duhamel.report.page import write_page
from duhamel.report.record import Record, write_json

from .ordinary import ORDINARY, Ordinary

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

METHODS = (
    "Euler",
    "Midpoint",
    "Heun",
    "Ralston",
    "RK4",
    "Bosh3",
    "Dopri5",
    "Tsit5",
    "Dopri8",
    *(f"Verner{p}" for p in (6, 7, 8, 9)),
)


@dataclass(frozen=True)
class Wish:
    """What the user asked for; None: the equation's own choice."""

    t1: float | None = None
    method: str | None = None
    rtol: float = 1e-8
    atol: float = 1e-10
    steps: int | None = None
    points: int | None = None


def solve_equation(
    equation: str,
    wish: Wish = Wish(),
    *,
    json: Path | None = None,
    name: str | None = None,
    root: str | Path = DEFAULT_ROOT,
) -> Chapter:
    """Solve an equation of the catalogue in float64; print, draw and store what came out."""
    known = [*ORDINARY]
    if equation not in known:
        raise ValueError(f"no equation is called {equation!r}; {nearest(equation, known)}")
    work = _ordinary(ORDINARY[equation], wish)  # mistakes in the wish stop here, before a folder is made
    run = Run.create(name or f"solve-{equation}", {"command": "solve", "equation": equation, **vars(wish)}, root)
    start = time.perf_counter()
    with Steps([equation]) as steps, jax.enable_x64(True):
        chapter = work(Context(run, False, steps.start(equation)))
        chapter = replace(chapter, seconds=round(time.perf_counter() - start, 2))
        steps.finish(equation, "solved")
    run.log(**{record.name: record.value for record in chapter.records})
    if json is not None:
        write_json(json, chapter.records)
    records(chapter.records)
    say(f"The report: {write_page(run, chapter.title, chapter.question, [chapter], f'duhamel solve {equation}')}")
    return chapter


def _ordinary(equation: Ordinary, wish: Wish) -> Any:
    """Check the wish; a function of the context that solves, draws and tells."""
    if wish.points is not None:
        raise ValueError(f"{equation.name} is an ordinary equation and has no grid; leave out --points.")
    word = wish.method or "tsit5"
    methods: Mapping[str, str] = {name.lower(): name for name in METHODS}
    if word.lower() not in methods:
        raise ValueError(f"no method for ordinary equations is called {word!r}; {nearest(word.lower(), methods)}")
    method = getattr(dh, methods[word.lower()])()
    control = dh.PID(rtol=wish.rtol, atol=wish.atol) if wish.steps is None else dh.Fixed(wish.steps)
    t1 = equation.t1 if wish.t1 is None else float(wish.t1)

    def solve(context: Context) -> Chapter:
        x0, ts = jnp.asarray(equation.x0, jnp.float64), jnp.linspace(0.0, t1, 1501)
        context.progress("compiling and solving", None)
        call = lambda: dh.solve(equation.f, x0, ts, method=method, control=control, max_steps=1_000_000)  # noqa: E731
        sol, first = _timed(call)
        sol, again = _timed(call)
        context.progress("solving once more with somebody else's code", None)
        truth, whose = equation.truth(t1)
        x = np.asarray(sol.x)
        error = float(np.abs(x[-1] - truth).max())
        figure = Figure(
            str(context.figure(equation.name, _portrait(equation, np.asarray(ts), x))),
            "Left: the components over time. Right: the orbit.",
        )
        found = (
            *(Record(f"{axis}({t1:g})", float(value)) for axis, value in zip(equation.axes, x[-1], strict=True)),
            Record("largest error at the end", error, "", error),
            Record("steps accepted", int(sol.stats.accepted)),
            Record("steps rejected", int(sol.stats.rejected)),
            Record("evaluations", int(sol.stats.nfe)),
            Record("first call, compiling included", first, "s"),
            Record("second call", again, "s"),
        )
        how = f"{type(method).__name__}, " + (
            f"{wish.steps} equal steps" if wish.steps else f"rtol {wish.rtol:g}, atol {wish.atol:g}"
        )
        question = f"{equation.formula}, from {equation.x0} to t = {t1:g} by {how}, in float64."
        return Chapter(
            equation.name,
            equation.name,
            question,
            text=(f"The error is measured against {whose}.",),
            records=found,
            figures=(figure,),
        )

    return solve


def _timed(call: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    value = jax.block_until_ready(call())
    return value, time.perf_counter() - start


def _portrait(equation: Ordinary, t: np.ndarray, x: np.ndarray) -> "Drawing":
    import matplotlib.pyplot as plt

    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), width_ratios=(1.5, 1), layout="constrained")
        for i, axis in enumerate(equation.axes):
            left.plot(t, x[:, i], label=axis, linewidth=1.2)
        left.set(xlabel="t", title="Over time")
        left.legend(loc="upper right")
        i, j = equation.plot
        right.plot(x[:, i], x[:, j], linewidth=0.8)
        right.set(xlabel=equation.axes[i], ylabel=equation.axes[j], title="Orbit")
    return figure
