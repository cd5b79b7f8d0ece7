"""Chapter: an equation learned from the hare and lynx of Hudson Bay, and held against years it never saw."""

from typing import TYPE_CHECKING

import numpy as np

from duhamel.nde.hare_lynx import HORIZON, LAST_SEEN, SOURCE, Study, study
from duhamel.report.chapter import Chapter, Figure, Table
from duhamel.report.context import Context
from duhamel.report.figure import PALETTE, style
from duhamel.report.measurement import Measurement, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

NAMES = {"lotka-volterra": "Lotka-Volterra", "universal": "Universal equation", "neural": "Neural ODE"}


def chapter(context: Context) -> Chapter:
    folder = None if context.run is None else context.run.subfolder("checkpoints") / "hare-lynx"
    found = study(fast=context.fast, folder=folder, progress=context.progress)
    return describe(context, found)


def describe(context: Context, found: Study) -> Chapter:
    """The chapter of a finished study."""
    universal = found.learnt["universal"].rolling(found.table)
    idle, cycle = (found.baselines[name][0] for name in ("persistence", "last cycle"))
    lotka = found.learnt["lotka-volterra"].rolling(found.table)
    note = (
        f"The truth is what was counted. Errors are of logarithms: {number(universal)} here, {number(idle)} for "
        f"repeating the last count, {number(cycle)} for repeating the counts of ten years before."
    )
    share = 100 * universal / idle
    return Chapter(
        id="hare-lynx",
        title="Hare and lynx",
        question="From 1900 to 1920 the Hudson's Bay Company counted the pelts of hares and of the lynx that live on "
        "them. A universal differential equation keeps the births and deaths of Lotka and Volterra and lets a network "
        "learn the rest. How well does it forecast years that it never saw?",
        headline=Measurement(
            "Forecast error, as a share of that of repeating the last count", share, high=50, unit="%", note=note
        ),
        text=(
            "With so few years less is more: plain Lotka-Volterra, four numbers fitted by gradients through the solver,"
            f" forecasts with an error of {number(lotka)}, while the networks fit the years they saw far better. "
            f"Forecasts go {HORIZON} years ahead from several years, each from a fit to what came before.",
        ),
        figures=(
            Figure(
                str(context.figure("hare-lynx", draw(found))),
                f"Counts (dots) and the equations fitted up to {LAST_SEEN}. Shaded: years they did not see.",
            ),
        ),
        tables=(
            Table(
                (
                    "root mean square error of logarithms",
                    "years seen",
                    f"{HORIZON} years ahead",
                    f"{LAST_SEEN + 1} to 1920",
                ),
                tuple(
                    (NAMES[kind], one.seen(found.table), one.rolling(found.table), one.drawn(found.table))
                    for kind, one in found.learnt.items()
                )
                + tuple((name.capitalize(), None, *errors) for name, errors in found.baselines.items()),
                f"Source of the data: {SOURCE}.",
            ),
        ),
    )


def draw(found: Study) -> "Drawing":
    import matplotlib.pyplot as plt

    years = found.table.years
    with style():
        figure, axes = plt.subplots(2, 1, figsize=(9, 5), sharex=True, layout="constrained")
        for species, (place, title) in enumerate(zip(axes, ("Hares", "Lynx"), strict=True)):
            place.axvspan(LAST_SEEN + 0.5, years[-1] + 0.5, color="#000000", alpha=0.06, linewidth=0)
            for colour, (kind, one) in zip(PALETTE, found.learnt.items(), strict=False):
                place.plot(years, np.exp(one.path()[:, species]), color=colour, label=NAMES[kind])
            place.plot(years, found.table.pelts[:, species], "o", color="#222222", markersize=4, label="counted")
            place.set(ylabel="thousand pelts", title=title, xlim=(years[0] - 0.5, years[-1] + 0.5), ylim=(0, None))
        axes[0].legend(ncols=4, loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)
        axes[1].set_xticks(years[::2])
    return figure
