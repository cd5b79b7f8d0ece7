"""Boxes in 1 to 3 dimensions with points in the middle of cells or on their corners.

    cell     x_j = start + (j + 1/2) h,  j = 0..N-1       sides lie half a cell outside the first and last point
    vertex   x_j = start + j h,          j = 0..N         sides lie on the first and last point

with h = length/N, N cells along the axis. A periodic axis has N points in either case, and a vertex with a given value
(Dirichlet) is no unknown. So the number of unknowns depends on the sides; `System.shape` tells it.
"""

from dataclasses import dataclass

import numpy as np

from ..arguments import Counts, Lengths, counts, each


@dataclass(frozen=True)
class Box:
    """A box; hashable, holds no arrays. Write `box((64, 32), (2.0, 1.0))`.

    cells   number of cells along each axis; powers of two times a small number suit multigrid
    length  side lengths
    start   coordinate of the lower side of each axis
    centre  "cell" or "vertex": where the points are
    """

    cells: tuple[int, ...]
    length: tuple[float, ...]
    start: tuple[float, ...]
    centre: str

    def __post_init__(self) -> None:
        if not 1 <= len(self.cells) <= 3 or not len(self.cells) == len(self.length) == len(self.start):
            raise ValueError(
                f"a box has 1 to 3 axes with one length and one start each, got cells {self.cells}, length "
                f"{self.length}, start {self.start}."
            )
        if min(self.cells) < 2:
            raise ValueError(f"cells {self.cells}: an axis needs at least 2 cells.")
        if not all(np.isfinite(s) and s > 0 for s in self.length) or not np.all(np.isfinite(self.start)):
            raise ValueError(f"length {self.length}, start {self.start}: lengths must be positive, all numbers finite.")
        if self.centre not in ("cell", "vertex"):
            raise ValueError(f"centre = {self.centre!r}: points are at the centre of a 'cell' or at a 'vertex'.")

    @property
    def dim(self) -> int:
        return len(self.cells)

    @property
    def spacing(self) -> tuple[float, ...]:
        return tuple(s / n for s, n in zip(self.length, self.cells, strict=True))

    def row(self, axis: int, periodic: bool) -> np.ndarray:
        """Coordinates of all points along one axis, vertices on the sides included, float64."""
        n, h = self.cells[axis], self.spacing[axis]
        if self.centre == "cell":
            return self.start[axis] + h * (np.arange(n) + 0.5)
        return self.start[axis] + h * np.arange(n if periodic else n + 1)


def box(
    cells: Counts,
    length: Lengths,
    start: Lengths = 0.0,
    centre: str = "cell",
) -> Box:
    """`box(64, 1.0)`, `box((64, 32), (2.0, 1.0))`, `box((32, 32, 32), np.pi, centre="vertex")`.

    A single length or start serves every axis.
    """
    numbers = counts(cells, "cells")
    return Box(numbers, each(length, len(numbers), "length"), each(start, len(numbers), "start"), centre)
