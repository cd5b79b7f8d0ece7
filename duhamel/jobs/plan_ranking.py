"""`duhamel plan ranking`: the published ranking of few-step samplers, without a network."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from duhamel.diffusion.ranking import CONTENDERS, NFES, Ranking, ranking
from duhamel.report.chapter import Chapter, Figure, Table
from duhamel.report.context import Context
from duhamel.report.figure import PALETTE, style
from duhamel.report.folder import DEFAULT_ROOT, Run
from duhamel.report.record import Record, check_json

from .perform import perform

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


def rank(
    fast: bool = False, json: Path | None = None, name: str = "ranking", root: str | Path = DEFAULT_ROOT
) -> Chapter:
    """Rank correlations for each number of network calls, with a page in runs/NAME/."""
    check_json(json)
    run = Run.create(name, {"command": "plan ranking", "fast": fast}, root)
    return perform(run, "plan ranking", chapter, fast=fast, json=json)


def chapter(context: Context) -> Chapter:
    """Tables of correlations and of errors beside the published distances, and a figure."""
    context.progress("eight samplers, four numbers of calls", 0.1)
    found = ranking(samples=256, reference=50) if context.fast else ranking()
    figure = context.figure("ranking", draw(found))
    return Chapter(
        id="ranking",
        title="The published ranking, without a network",
        question="Eight samplers and their grids as in a published table of FID at 5 to 10 network calls, run from "
        "sigma = 80 to 0.002 on a mixture of Gaussians fitted to the digits, whose denoiser is a formula. How much of "
        "the ranking is left?",
        text=(
            "The Fréchet distance is the one between Gaussians of the samples' means and covariances; FID is the same "
            "of features of a network. How far the three published rankings agree with each other says how much could "
            "be expected.",
        ),
        tables=(
            Table(
                ("rank correlation (Spearman)", *(f"{n} calls" for n in NFES)),
                tuple(_row(found.correlations, data, error) for error in ("frechet", "rms") for data in _data(found))
                + tuple(_row(found.agreement, *pair) for pair in _pairs(found)),
            ),
            Table(
                ("FID on CIFAR-10, our distance", *(f"{n} calls" for n in NFES)),
                tuple((label, *(_cell(found, label, n) for n in NFES)) for label in CONTENDERS),
            ),
        ),
        figures=(Figure(figure, "Published FID against the distance measured here; every point is a sampler."),)
        if figure
        else (),
        records=tuple(
            Record(f"Spearman, {c['error']}, {c['data']}, {c['nfe']} calls", c["spearman"], more=c)
            for c in found.correlations
            if c["data"] == "CIFAR-10"
        )
        + (Record("root mean square of two reference solutions' difference", found.truth, "", found.truth),),
    )


def draw(found: Ranking) -> "Drawing":
    """FID against our Fréchet distance, one panel for each number of calls."""
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    with style():
        figure, panels = plt.subplots(1, len(NFES), figsize=(11.0, 3.5), layout="constrained", sharex=True, sharey=True)
        for axes, nfe in zip(panels, NFES, strict=True):
            for number, (label, contender) in enumerate(CONTENDERS.items()):
                fid = contender.fid["CIFAR-10"][NFES.index(nfe)]
                if fid is not None:
                    colour = PALETTE[number % len(PALETTE)]
                    error = found.errors["frechet"][nfe][label]
                    axes.loglog(error, fid, "osD^vPX*"[number], color=colour, markersize=6)
            (c,) = (c for c in found.correlations if (c["nfe"], c["data"], c["error"]) == (nfe, "CIFAR-10", "frechet"))
            axes.set_title(f"{nfe} calls, correlation {c['spearman']:.2f}")
            axes.set_xlabel("Fréchet distance, digits")
            axes.minorticks_off()
        panels[0].set(ylabel="published FID, CIFAR-10", yticks=(3, 10, 30, 100), yticklabels=(3, 10, 30, 100))
        marks = [
            Line2D([], [], linestyle="", marker="osD^vPX*"[n], color=PALETTE[n % len(PALETTE)], label=label)
            for n, label in enumerate(CONTENDERS)
        ]
        figure.legend(handles=marks, loc="outside lower center", ncols=4, fontsize=8.5)
    return figure


def _row(records: tuple[dict[str, Any], ...], data: str, error: str) -> tuple[Any, ...]:
    names = {"frechet": "Fréchet distance", "rms": "root mean square error"}
    found = {c["nfe"]: c["spearman"] for c in records if (c["data"], c["error"]) == (data, error)}
    return (f"{data} and {names.get(error, error)}", *(round(found[n], 2) for n in NFES))


def _data(found: Ranking) -> list[str]:
    return list(dict.fromkeys(c["data"] for c in found.correlations))


def _pairs(found: Ranking) -> list[tuple[str, str]]:
    return list(dict.fromkeys((c["data"], c["error"]) for c in found.agreement))


def _cell(found: Ranking, label: str, nfe: int) -> str:
    fid = CONTENDERS[label].fid["CIFAR-10"][NFES.index(nfe)]
    return "" if fid is None else f"{fid:g}, {found.errors['frechet'][nfe][label]:.3g}"
