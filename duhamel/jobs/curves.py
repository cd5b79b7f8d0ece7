"""The figure that every training leaves: its losses over its steps."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from duhamel.report.figure import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


def draw_losses(curves: Mapping[str, Sequence[tuple[float | int, float]]], ylabel: str = "loss") -> "Drawing":
    """One line for each name, pairs of (step, loss); few points are marked."""
    import matplotlib.pyplot as plt

    with style():
        figure, axes = plt.subplots(layout="constrained")
        for label, points in curves.items():
            axes.loglog(*zip(*points, strict=True), label=label, marker="." if len(points) < 50 else "")
        axes.set(xlabel="step", ylabel=ylabel)
        axes.legend()
    return figure
