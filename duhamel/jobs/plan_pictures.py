"""`duhamel plan picture`: what a plan looks like, and what it does where everything is known."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.schedule import Schedule
from duhamel.report.chapter import Chapter, Figure
from duhamel.report.context import Context
from duhamel.report.figure import PALETTE, style
from duhamel.report.folder import DEFAULT_ROOT, Run
from duhamel.report.record import Record, check_json
from duhamel.rows import checks
from duhamel.rows.canonical import affine, canonical
from duhamel.rows.plan import Plan

from .perform import perform
from .plan import options_of, schedule_named

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

VARIANCES = np.logspace(-5, 3, 81)  # of Gaussian data, one for each eigenvalue of their covariance
TRIANGLE = (
    "The canonical form: every point at which the model is called, and the result, as sums of the start, the model's "
    "values and the draws; values in units of the data, the start in units of the noise."
)
BEHAVIOUR = (
    "Left: where x / alpha does not grow under the model D = k x / alpha; exactly, in the grey half. Gaussian data "
    "have k between 0 and 1, the black bar; guidance leaves it. Right: relative error of the end, Gaussian data."
)
NUMBERS = 12  # evaluations up to which the triangle has its numbers written in it


def picture(
    name: str,
    steps: int,
    schedule: str,
    order: int | None = None,
    json: Path | None = None,
    root: str | Path = DEFAULT_ROOT,
) -> Chapter:
    """The figures of a plan, with a page in runs/plan-NAME/."""
    noise = schedule_named(schedule)
    make = lambda n: build(name, noise, steps=n, **options_of(order))  # noqa: E731
    plan = make(steps)
    check_json(json)
    run = Run.create(f"plan-{name}", {"command": "plan picture", "steps": steps, "schedule": schedule}, root)
    work = lambda context: chapter(plan, make, noise, context)  # noqa: E731
    return perform(run, f"plan picture {name}", work, json=json)


def chapter(plan: Plan, make: Callable[[int], Plan], noise: Schedule, context: Context) -> Chapter:
    """A page for a plan: its table as a triangle, where it is stable, its error for Gaussian data."""
    triangle = context.figure("triangle", draw_triangle(plan, noise))
    behaviour = context.figure("behaviour", draw_behaviour(make, plan.steps, noise))
    errors = end_errors(plan, noise, VARIANCES)
    return Chapter(
        id="plan",
        title=f"{plan.name}, {plan.steps} steps on {type(noise).__name__}",
        question=str(plan),
        figures=tuple(Figure(path, text) for path, text in ((triangle, TRIANGLE), (behaviour, BEHAVIOUR)) if path),
        records=(
            Record("evaluations", plan.nfe),
            Record("largest relative error over eigenvalues", float(np.max(errors)), "", float(np.max(errors))),
        ),
    )


def draw_triangle(plan: Plan, noise: Schedule) -> "Drawing":
    """The rows of the canonical form for data prediction: x in units of sigma, values in units of alpha."""
    import matplotlib.pyplot as plt

    form = canonical(plan, "data", noise.alpha, noise.sigma).without()
    table, times = np.vstack([form.points, form.states[:1]]), np.append(form.tau, plan.t[-1])
    values = np.array([name[0] == "F" for name in form.basis])
    alpha, sigma = np.broadcast_to(noise.alpha(times), times.shape), np.maximum(noise.sigma(times), 1e-300)
    scaled = np.where(values, table / alpha[:, None], table / np.where(noise.sigma(times) > 0, sigma, 1.0)[:, None])
    scaled[:, 0] *= noise.sigma(plan.t[0])
    rows, columns = scaled.shape
    shown = np.where(scaled == 0, np.nan, scaled)
    with style():
        size = (min(2.0 + 0.55 * columns, 12.0), min(1.6 + 0.42 * rows, 9.0))
        figure, axes = plt.subplots(figsize=size, layout="constrained")
        limit = max(float(np.nanquantile(np.abs(shown), 0.98)), 1.0)
        image = axes.imshow(shown, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
        if rows <= NUMBERS + 1 and columns <= 2 * NUMBERS + 2:
            for (i, j), value in np.ndenumerate(scaled):
                if value != 0:
                    colour = "white" if abs(value) > 0.55 * limit else "#222222"
                    axes.text(j, i, f"{value:.2g}", ha="center", va="center", fontsize=8, color=colour)
        every = max(1, rows // 24)
        axes.set_yticks(range(0, rows, every), [f"{t:.3g}" for t in times[::every]])
        across = max(1, columns // 24)
        names = [_short(name) for name in form.basis]
        axes.set_xticks(range(0, columns, across), names[::across], fontsize=8)
        axes.set(ylabel="t of each call, then of the end", title=f"{plan.name}: what is read where")
        axes.grid(False)
        axes.tick_params(length=0)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        figure.colorbar(image, ax=axes, shrink=0.8, pad=0.01).outline.set_visible(False)
    return figure


def draw_behaviour(make: Callable[[int], Plan], steps: int, noise: Schedule) -> "Drawing":
    """The stability region, and the error over the variance of Gaussian data for steps, 2 steps and 4 steps."""
    import matplotlib.pyplot as plt

    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.9), layout="constrained")
        re, im = np.meshgrid(np.linspace(-5.0, 2.0, 141), np.linspace(-3.5, 3.5, 141))
        left.axvspan(-5.0, 1.0, color="#888888", alpha=0.08, linewidth=0)
        for number, n in enumerate((steps, 2 * steps, 4 * steps)):
            left.contour(
                re, im, stability(make(n), noise, re + 1j * im), [1.0], colors=[PALETTE[number]], linewidths=1.6
            )
            error = np.maximum(end_errors(make(n), noise, VARIANCES), 1e-16)
            right.loglog(VARIANCES, error, color=PALETTE[number], label=f"{n} steps")
        left.plot([0.0, 1.0], [0.0, 0.0], color="#222222", linewidth=3, solid_capstyle="round")
        left.set(xlabel="Re k", ylabel="Im k", title="Stable inside: D = k x / alpha", aspect="equal")
        right.set(xlabel="variance of the data", ylabel="relative error", title="Gaussian data")
        right.set_ylim(top=3 * right.get_ylim()[1])
        right.legend(fontsize=8.5, ncols=3, loc="upper left")
    return figure


def stability(plan: Plan, noise: Schedule, k: np.ndarray) -> np.ndarray:
    """Growth a step of |x / alpha| over the second half of the steps, for the model D = k x / alpha, without draws.

    The exact solution is exp((k - 1) lambda): it does not grow where Re k <= 1. Gaussian data have k in [0, 1], from
    noise to data; guidance pushes k out of there.
    """
    n = len(plan.t) - (noise.rho(plan.t[-1]) == 0)

    def gain(tau: Any) -> np.ndarray:
        u, w = affine(plan.prediction, noise.alpha(tau), noise.sigma(tau))
        return u + w * k.ravel() / noise.alpha(tau)

    states = np.abs(checks.amplification(plan, gain)[:n]) / np.broadcast_to(noise.alpha(plan.t[:n]), n)[:, None]
    middle = n // 2
    with np.errstate(divide="ignore", invalid="ignore"):
        growth = (states[-1] / states[middle]) ** (1 / (n - 1 - middle))
    return np.reshape(np.nan_to_num(growth, nan=0.0, posinf=1e3), k.shape)


def end_errors(plan: Plan, noise: Schedule, variances: np.ndarray) -> np.ndarray:
    """|x_N - exact| / exact for Gaussian data of each variance; with draws, the error of the standard deviation."""
    if plan.draws:
        return np.abs(checks.variance_errors(plan, noise.alpha, noise.sigma, variances)[-1]) / 2
    gain = checks.gaussian_gain(plan.prediction, noise.alpha, noise.sigma, variances)
    first, last = (noise.alpha(t) ** 2 * variances + noise.sigma(t) ** 2 for t in (plan.t[0], plan.t[-1]))
    return np.abs(checks.amplification(plan, gain)[-1] / np.sqrt(last / first) - 1)


def _short(name: str) -> str:
    """z[3,0] as z3; F12 and x as they are."""
    return f"z{name[2:].split(',')[0]}" if name.startswith("z[") else name
