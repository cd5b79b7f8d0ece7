"""What is known on the sides of a box: alpha u + beta a du/dn = value, n outwards and a the equation's coefficient.

    Dirichlet(value)             u = value
    Neumann(value)               a du/dn = value
    Robin(alpha, beta, value)    alpha u + beta a du/dn = value
    Periodic()                   both sides of the axis are the same place

A value is a number, an array over the points of the side, or a function of all coordinates, `lambda x, y: ...`, which
is evaluated on the side.
"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx

from .boxes import Box


class Side(eqx.Module):
    """Abstract: one side of a box."""


class Periodic(Side):
    """The end of an axis is its beginning; holds for both sides of the axis."""


class Robin(Side):
    """alpha u + beta a du/dn = value. alpha/beta >= 0 keeps the equation well posed (heat leaves where it is warmer).

    alpha, beta may be traced; beta must not be 0 (that is Dirichlet).
    """

    alpha: Any
    beta: Any
    value: Any = 0.0


class Dirichlet(Side):
    """u = value."""

    value: Any = 0.0


class Neumann(Side):
    """a du/dn = value: what flows in through the side."""

    value: Any = 0.0


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
        if not isinstance(pair, Sequence) or len(pair) != 2 or not all(isinstance(s, Side) for s in pair):
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
    return {Periodic: "P", Dirichlet: "D", Neumann: "N", Robin: "R"}[type(side)]
