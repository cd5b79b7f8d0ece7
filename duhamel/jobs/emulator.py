"""`duhamel train emulator`: a network that does what a solver does, its errors, and what it is worth."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from duhamel.pde.emulate.study import KNOWN, Study, Wish, check, parameters, study
from duhamel.report.chapter import Chapter, Figure, Table
from duhamel.report.context import Context
from duhamel.report.figure import PALETTE, style
from duhamel.report.folder import DEFAULT_ROOT, Run
from duhamel.report.nearest import nearest
from duhamel.report.record import Record

from .curves import draw_losses
from .perform import perform
from .wish import given

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


def train_emulator(wish: Wish, *, name: str | None = None, root: str | Path = DEFAULT_ROOT) -> Chapter:
    """Train in runs/NAME/; an unfinished run of the same name that was asked the same is continued."""
    for field, known in KNOWN.items():
        asked = getattr(wish, field)
        if asked not in known:
            raise ValueError(f"no {field} to emulate with is called {asked!r}; {nearest(asked, known)}")
    check(wish)
    config = {"command": "train", "job": "emulator", **vars(wish)}
    run = Run.resume(given(name, f"train-emulator-{wish.equation}"), config, root)
    command = f"train emulator --equation {wish.equation} --model {wish.model} --strategy {wish.strategy}"
    return perform(run, command, lambda context: _chapter(wish, run, context), log=False)  # `fit` writes metrics.jsonl


def _chapter(wish: Wish, run: Run, context: Context) -> Chapter:
    found = study(wish, run.folder, context.progress)
    last, cost = found.errors[:, :, -1].mean(axis=1), found.cost
    records = [
        Record("relative L2 error on the test half, mean", 100 * float(found.errors[0].mean()), "%"),
        Record("weights", parameters(found.trained.emulators[0])),
        Record("optimiser steps", found.trained.step),
        Record("data and training", cost.data + cost.training, "s"),
        Record("emulator, one answer of the whole test half at once", 1e3 * cost.emulator.seconds, "ms"),
    ]
    if found.errors.shape[2] > 1:
        records.insert(1, Record(f"error at t = {found.data.times[-1]:g}", 100 * float(last[0]), "%"))
    if len(last) > 1:
        records.append(Record(f"spread of the last error over {len(last)} seeds", 100 * float(last.std()), "%"))
    if cost.matched is not None:
        records.append(Record("classical solver of equal accuracy, one answer", 1e3 * cost.matched.seconds, "ms"))
        records.append(Record("solves after which the emulator has paid for itself", cost.break_even))
    return Chapter(
        "emulator",
        f"An emulator of {wish.equation}",
        f"{found.task.about}. A network ({wish.model}) learns it from {len(found.data.train)} runs of our solver, by "
        f"the strategy {wish.strategy}, and is tested on {len(found.data.test)} others.",
        text=(cost.sentence(),),
        records=tuple(records),
        tables=_tables(found),
        figures=_figures(found, context),
    )


def _tables(found: Study) -> tuple[Table, ...]:
    runs = sorted((*found.cost.classical, found.cost.emulator), key=lambda run: run.seconds)
    rows = tuple((run.name, 100 * run.error, 1e3 * run.seconds) for run in runs)
    caption = "Every way to answer: mean relative L2 error, and time of one answer when the whole test half is asked."
    tables = [Table(("", "error, %", "ms"), rows, caption)]
    if found.elsewhere:
        rows = tuple((points, 100 * error) for points, error in found.elsewhere.items())
        caption = "The same weights on the same functions at other resolutions."
        tables.append(Table(("points along each axis", "error, %"), rows, caption))
    if found.task.published:
        own = ("this emulator", len(found.data.train), 100 * found.cost.emulator.error)
        caption = (
            "Beside the rows of Li et al. (arXiv 2010.08895) for sets of this distribution: all frames as one field."
        )
        tables.append(Table(("", "sets to learn from", "error, %"), (own, *found.task.published), caption))
    return tuple(tables)


def _figures(found: Study, context: Context) -> tuple[Figure, ...]:
    drawn = [
        ("example", _draw_example, "A test run of median error: the truth, the emulator, and their difference."),
        ("spectra", _draw_spectra, "Mean energy by wavenumber along the first axis, at the last time."),
        ("loss", _draw_loss, "The loss of training, and the error one step ahead on the test half."),
    ]
    if found.errors.shape[2] > 1:
        caption = "Error of forecasts from the first frame: the median test run, and the middle half of them."
        drawn.insert(0, ("errors", _draw_errors, caption))
    return tuple(Figure(str(context.figure(name, draw(found))), caption) for name, draw, caption in drawn)


def _draw_errors(found: Study) -> "Drawing":
    import matplotlib.pyplot as plt

    t = found.data.times[1:]
    with style():
        figure, axes = plt.subplots(layout="constrained")
        for seed, errors in enumerate(found.errors):
            low, middle, high = np.quantile(errors, (0.25, 0.5, 0.75), axis=0)
            colour = PALETTE[seed % len(PALETTE)]
            axes.plot(t, middle, color=colour, label=f"seed {seed}")
            axes.fill_between(t, low, high, color=colour, alpha=0.15, linewidth=0)
        still = np.linalg.norm(
            (found.data.test[:, 1:] - found.data.test[:, :1]).reshape(*found.errors.shape[1:], -1), axis=-1
        )
        size = np.linalg.norm(found.data.test[:, 1:].reshape(*found.errors.shape[1:], -1), axis=-1)
        axes.plot(t, np.median(still / size, axis=0), color=PALETTE[6], linestyle=":", label="nothing moves")
        axes.set(xlabel="t", ylabel="relative L2 error", yscale="log")
        axes.legend()
    return figure


def _draw_example(found: Study) -> "Drawing":
    import matplotlib.pyplot as plt

    final = found.errors[0, :, -1]
    which = int(np.argsort(final)[len(final) // 2])
    truth, guess = found.data.test[which, 1:, 0], found.prediction[which, :, 0]
    with style():
        if truth.ndim == 2 and len(truth) == 1:  # an operator on a line
            figure, axes = plt.subplots(layout="constrained")
            x = np.arange(truth.shape[1]) / truth.shape[1]
            axes.plot(x, truth[0], color=PALETTE[0], label="truth")
            axes.plot(x, guess[0], "--", color=PALETTE[1], label="emulator")
            axes.set(xlabel="x", ylabel="u")
            axes.legend()
            return figure
        planes = (truth, guess, guess - truth) if truth.ndim == 2 else (truth[-1], guess[-1], guess[-1] - truth[-1])
        figure, places = plt.subplots(1, 3, figsize=(9.5, 3.1), layout="constrained")
        limits = [float(np.abs(planes[i]).max()) for i in (0, 0, 2)]  # the difference on a scale of its own
        for i, (place, plane, title) in enumerate(
            zip(places, planes, ("truth", "emulator", "difference"), strict=True)
        ):
            shown = place.imshow(
                plane if truth.ndim == 2 else plane.T,
                origin="lower",
                aspect="auto",
                cmap="RdBu_r",
                vmin=-limits[i],
                vmax=limits[i],
                rasterized=True,
            )
            place.set(title=title, xticks=[], yticks=[])
            place.grid(False)
            if i:
                figure.colorbar(shown, ax=places[:2] if i == 1 else place, shrink=0.9)
    return figure


def _draw_spectra(found: Study) -> "Drawing":
    import matplotlib.pyplot as plt

    with style():
        figure, axes = plt.subplots(layout="constrained")
        for label, u in (("truth", found.data.test[:, -1, 0]), ("emulator", found.prediction[:, -1, 0])):
            u = np.moveaxis(u, 1, -1)
            power = (np.abs(np.fft.rfft(u)) ** 2).mean(axis=tuple(range(u.ndim - 1))) / u.shape[-1] ** 2
            axes.loglog(np.arange(1, len(power)), power[1:], label=label)
        axes.set(xlabel="waves along the first axis", ylabel="energy")
        axes.legend()
    return figure


def _draw_loss(found: Study) -> "Drawing":
    curves = {
        "loss": [(m["step"], m["loss"]) for m in found.metrics],
        "test": [(m["step"], m["test"]) for m in found.metrics if "test" in m],
    }
    return draw_losses(curves, "relative L2")
