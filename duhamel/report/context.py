"""What a chapter of the demo or the check of a paper receives: where to write, how thorough to be, whom to tell."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .folder import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def silent(what: str, fraction: float | None = None) -> None:
    """Progress that nobody watches."""
    del what, fraction


@dataclass(frozen=True)
class Context:
    """
    run       the folder of the run; None when nothing should be written
    fast      True: a smaller job with the same claim, for tests and hurried readers
    progress  `progress("training", 0.3)`: what is going on, and which fraction of it is done (None: unknown)
    """

    run: Run | None = None
    fast: bool = False
    progress: Callable[[str, float | None], None] = silent

    def figure(self, name: str, figure: "Figure") -> str | None:
        """Save a matplotlib figure in the run; its path there, or None when nothing is written.

        In the check of a paper, begin the name with the card's id: the page then shows it under that card.
        """
        if self.run is None:
            import matplotlib.pyplot as plt

            plt.close(figure)
            return None
        return self.run.figure(name, figure)

    def film(self, name: str, figure: "Figure", update: Callable[[int], None], frames: int) -> str | None:
        """Save an animation, whose frame i `update(i)` draws; its path, or None when nothing is written."""
        if self.run is None:
            import matplotlib.pyplot as plt

            plt.close(figure)
            return None
        return self.run.film(name, figure, update, frames)
