"""Figures in one style: quiet axes, a palette for colour-blind readers, and colours that a dark page can turn over."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duhamel.core.files import whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito (2008), darkened where white paper needs it.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#a85c8f", "#b8860b", "#3f8fc4", "#6b6b6b")

STYLE: dict[Any, Any] = {
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "axes.labelcolor": "#222222",
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.dpi": 110,
    "figure.facecolor": "none",
    "figure.figsize": (7.2, 3.4),
    "axes.facecolor": "none",
    "font.size": 10,
    "grid.alpha": 0.18,
    "grid.color": "#555555",
    "image.cmap": "viridis",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "savefig.bbox": "tight",
    "savefig.facecolor": "none",
    "svg.fonttype": "path",
    "svg.hashsalt": "duhamel",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
}


@contextmanager
def style() -> Iterator[None]:
    """`with style(): figure, axes = plt.subplots()`: the house style, and no window ever opens."""
    import matplotlib as mpl
    from cycler import cycler

    with mpl.rc_context({**STYLE, "axes.prop_cycle": cycler(color=PALETTE), "backend": "agg"}):
        yield


def save_svg(figure: "Figure", path: Path) -> None:
    """Save and close. No date inside, so that the same run writes the same file."""
    import matplotlib.pyplot as plt

    try:
        with style(), whole(path) as draft:
            figure.savefig(draft, format="svg", metadata={"Date": None})
    finally:
        plt.close(figure)
