"""The sides of a box, axis by axis: the conditions of `pde.boundary`, on u and its slope du/dn.

    Dirichlet(value), Neumann(value), Robin(alpha, beta, value), Periodic()

A value is a number, an array over the points of the side, or a function of all coordinates, `lambda x, y: ...`, which
is evaluated on the side. alpha and beta are numbers other than 0, which may be traced.
"""

from collections.abc import Sequence
from typing import Any

from ..boundary import Dirichlet, Neumann, Periodic, Robin, Side
from .boxes import Box

KINDS: dict[type[Side], str] = {Periodic: "P", Dirichlet: "D", Neumann: "N", Robin: "R"}
Pair = tuple[Side, Side]


def pairs(box: Box, sides: Any) -> tuple[Pair, ...]:
    """(lower, upper) of every axis, from one side for all, one entry an axis, or pairs."""
    each = (sides,) * box.dim if isinstance(sides, Side) else sides
    if not isinstance(each, Sequence) or len(each) != box.dim:
        raise ValueError(
            f"sides must be one Side for the whole box or one entry for each of its {box.dim} axes, got {sides!r}; an "
            "entry is a Side or a pair (lower, upper)."
        )
    found = []
    for axis, entry in enumerate(each):
        pair = (entry, entry) if isinstance(entry, Side) else entry
        if not isinstance(pair, Sequence) or len(pair) != 2 or not all(type(s) in KINDS for s in pair):
            raise ValueError(
                f"sides[{axis}] = {entry!r} is neither a Side nor a pair of them; write Dirichlet(0.0), Neumann(0.0), "
                "Robin(alpha, beta, value) or Periodic()."
            )
        if sum(isinstance(s, Periodic) for s in pair) == 1:
            raise ValueError(f"sides[{axis}]: an axis is periodic on both sides or on none.")
        found.append((pair[0], pair[1]))
    return tuple(found)


def letter(side: Side) -> str:
    """P, D, N or R: what kind a side is."""
    return KINDS[type(side)]
