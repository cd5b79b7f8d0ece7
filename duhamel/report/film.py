"""Films of a run: GIF everywhere, MP4 as well where ffmpeg is installed, and the last frame as PNG."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from duhamel.core.files import whole

from .figure import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRAMES = 60  # at most
SIZE = 2_000_000  # bytes of a GIF, at most: a page carries it inside
RATE = 15  # frames a second
DPI = 72


def save_film(figure: "Figure", update: Callable[[int], None], frames: int, path: Path) -> int:
    """Write `path` (.gif), and beside it .png of the last frame and .mp4 where ffmpeg is installed; close the figure.

    update  draws frame number i, from 0 to frames - 1
    Frames are left out evenly until the GIF is small enough. Returns how many are in it.
    """
    import matplotlib as mpl
    import matplotlib.pyplot as plt
    from matplotlib.animation import FuncAnimation, writers

    def write(to: Path, writer: str, step: int) -> int:
        shown = [*range(0, frames - 1, step), frames - 1]
        animation = FuncAnimation(figure, lambda i: update(i) or (), shown, init_func=lambda: (), blit=False)
        made = writers[writer](fps=max(2, RATE // step if writer == "pillow" else RATE))
        animation.save(to, writer=made, dpi=DPI, savefig_kwargs={"facecolor": "white"})
        return len(shown)

    with style(), mpl.rc_context({"savefig.bbox": None, "savefig.facecolor": "white"}):
        figure.set_facecolor("white")
        update(0)
        figure.canvas.draw()
        figure.set_layout_engine("none")  # laid out once: nothing jumps, and frames are drawn faster
        step = -(-frames // FRAMES)
        with whole(path) as draft:
            while (kept := write(draft, "pillow", step)) > 8 and draft.stat().st_size > SIZE:
                step = max(step + 1, -(-step * draft.stat().st_size // SIZE))
        if writers.is_available("ffmpeg"):
            with whole(path.with_suffix(".mp4")) as draft:
                write(draft, "ffmpeg", -(-frames // FRAMES))
        with whole(path.with_suffix(".png")) as draft:
            figure.savefig(draft, dpi=2 * DPI, format="png")
    plt.close(figure)
    return kept
