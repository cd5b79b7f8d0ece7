"""Chapter: samplers against a probability flow that is known exactly."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from duhamel.core.precision import enable_x64
from duhamel.diffusion.compare import CONTENDERS, compare_plans, on_host, three_peaks
from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.schedule import VP, Schedule
from duhamel.report.chapter import Chapter, Figure, Table
from duhamel.report.context import Context
from duhamel.report.figure import PALETTE, style
from duhamel.report.measurement import Measurement
from duhamel.rows import checks
from duhamel.rows.host import march
from duhamel.rows.plan import Plan

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

REFINED = (20, 40, 80, 160)  # numbers of steps over which a slope is measured
BUDGETS = (5, 8, 10, 15, 20, 40)


def chapter(context: Context) -> Chapter:
    context.progress("the slope of DPM-Solver++(3M)", 0.0)
    schedule = VP()
    builder = lambda n: build("dpmpp-3m", schedule, steps=n, t_min=low_noise(schedule))  # noqa: E731
    slopes = measured_slopes(builder, schedule)
    headline = Measurement(
        "Measured order of DPM-Solver++(3M), start-up included",
        float(slopes[-1]),
        2.8,
        3.2,
        note="The truth is 3, on the mixture's exact quantile map; common code drops a factor and has order 2.",
    )
    return replace(comparison(context), headline=headline)


def comparison(
    context: Context,
    contenders: Mapping[str, tuple[str, Mapping[str, Any]]] = CONTENDERS,
    budgets: Sequence[int] = BUDGETS,
) -> Chapter:
    """The errors of some samplers on the exact mixture, as a table and a figure."""
    context.progress(f"{len(contenders)} samplers, {len(budgets)} budgets", 0.2)
    with enable_x64(True):
        found = compare_plans(contenders, budgets, points=200 if context.fast else 1000)
        context.progress("drawing", 0.9)
        figure = context.figure("plans", draw(found))
    errors = {(r["label"], r["budget"]): r["error"] for r in found}
    rows = tuple((label, *(errors[label, budget] for budget in budgets)) for label in contenders)
    return Chapter(
        id="plans",
        title="A table of samplers",
        question="A diffusion sampler is a table of numbers: a plan. On a mixture of three Gaussians the network is a "
        "formula and the way from noise to data is known point by point, so every sampler can be held against it.",
        figures=(
            Figure(
                str(figure),
                "Left: the density from noise (top) to data (bottom), the exact ways of some points (lines), and ten "
                "steps of UniPC-3 (dots). Right: error against the number of network calls.",
            ),
        ),
        tables=(
            Table(
                ("network calls", *map(str, budgets)),
                rows,
                "Root mean square error of the end points, on the exact mixture, EDM schedule; data of size 1."
                + _fewer(found),
            ),
        ),
    )


def _fewer(found: list[dict[str, Any]]) -> str:
    """Who makes fewer calls than its column says, because its steps make several: " Heun: 4 for 5."."""
    odd = [(r["label"], r["nfe"], r["budget"]) for r in found if r["nfe"] != r["budget"]]
    by = {label: ", ".join(f"{nfe} for {budget}" for who, nfe, budget in odd if who == label) for label, *_ in odd}
    return "".join(f" Calls made by {label}: {counts}." for label, counts in by.items())


def measured_slopes(build: Callable[[int], Plan], schedule: Schedule, refined: Sequence[int] = REFINED) -> np.ndarray:
    """The slopes of a sampler's error on the mixture when its builder refines the grid."""
    mixture, first = three_peaks(schedule), build(refined[0])
    start, end = float(first.t[0]), float(first.t[-1])
    x = mixture.quantile((np.arange(200) + 0.5) / 200, start)
    prediction: Any = first.prediction
    model = on_host(mixture.denoiser, schedule, prediction)
    return checks.order(build, model, x, mixture.quantile_map(x, start, end), refined)


def low_noise(schedule: Schedule) -> float:
    """A noise level of 5 %: closer to the data, and the slopes would need more steps to settle."""
    return float(schedule.t_of_rho(np.float64(0.05)))


def draw(found: list[dict[str, Any]]) -> "Drawing":
    import matplotlib.pyplot as plt

    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.4), width_ratios=(1, 1.15), layout="constrained")
        _draw_flow(left)
        markers = "osD^vPX<>"
        for number, label in enumerate(dict.fromkeys(r["label"] for r in found)):
            points = [(r["nfe"], r["error"]) for r in found if r["label"] == label]
            colour = PALETTE[number % len(PALETTE)]
            line = "-" if number < len(PALETTE) else "--"
            right.loglog(
                *zip(*points, strict=True), line, marker=markers[number % len(markers)], color=colour, label=label
            )
        plt.setp(right.lines, markersize=4, linewidth=1.3)
        right.set(xlabel="network calls", ylabel="error", title="Samplers on the exact mixture")
        budgets = sorted({r["budget"] for r in found})
        right.set_xticks(budgets, [str(b) for b in budgets])
        right.minorticks_off()
        right.legend(fontsize=8, ncols=2)
    return figure


def _draw_flow(axes: Any) -> None:
    """The density over time, exact characteristics, and what a plan of ten steps makes of them."""
    schedule = VP()
    mixture = three_peaks(schedule)
    ts, xs = np.linspace(schedule.t_max**0.5, schedule.t_min**0.5, 80) ** 2, np.linspace(-3.6, 3.6, 240)
    density = np.exp(np.stack([mixture.log_density(float(t), xs) for t in ts]))
    axes.pcolormesh(xs, ts, density**0.6, cmap="Blues", shading="gouraud", rasterized=True)
    starts = mixture.quantile((np.arange(12) + 0.5) / 12, schedule.t_max)
    ways = np.stack([mixture.quantile_map(starts, schedule.t_max, float(t)) for t in ts])
    axes.plot(ways, ts, color="#444444", linewidth=0.7)
    plan = build("unipc", schedule, steps=10, order=3)
    prediction: Any = plan.prediction
    model = on_host(mixture.denoiser, schedule, prediction)
    states = [slots["x"] for slots in march(plan, model, {"x": starts})]
    for t, x in zip(plan.t, states, strict=True):
        axes.plot(x, np.full_like(x, t), ".", markersize=4, color=PALETTE[1])
    axes.set_yscale("function", functions=(np.sqrt, np.square))
    ticks = [0.01, 0.1, 0.3, 0.6, 1.0]
    axes.set(xlabel="x", ylabel="t", title="From noise to data", ylim=(schedule.t_min, schedule.t_max), yticks=ticks)
    axes.grid(False)
