"""What is known at the sides of a box: linear conditions on u and its derivatives along n, the way out of the box.

    Dirichlet(value)               u = value
    Neumann(value)                 du/dn = value
    Robin(alpha, beta, value)      alpha u + beta du/dn = value
    Derivative(order, value)       d^order u/dn^order = value (`Chebyshev` axes)
    Periodic()                     both sides of the axis are the same place (`pde.elliptic`)

The slope is that of u, not a flux: where a du/dn flows in through the side, the value is the flux over a. In
`pde.elliptic` a value is a number, an array over the points of the side, or a function of all coordinates. On an axis
of a `Space` it is a number, a function of t, or one of t and of the coordinates along the wall (`lambda t, y: ...` at
the ends of x in two dimensions), written in jax.numpy; the lift that carries it enters the
equation as a force that does not vanish at the wall, so ETDRK4 shows orders from 4 down to 2.8 (order reduction of
stiff problems: Hochbruck, Ostermann, Acta Numerica 19 (2010) 209).
"""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import numpy as np


class Side(eqx.Module):
    """Abstract: one condition at one side."""

    value: eqx.AbstractVar[Any]

    @property
    @abstractmethod
    def terms(self) -> dict[int, Any]:
        """{order: coefficient} of d^order u/dn^order."""


class Dirichlet(Side):
    """u = value."""

    value: Any = 0.0

    @property
    def terms(self) -> dict[int, Any]:
        return {0: 1.0}


class Neumann(Side):
    """du/dn = value: the flux inwards per unit of diffusivity."""

    value: Any = 0.0

    @property
    def terms(self) -> dict[int, Any]:
        return {1: 1.0}


class Robin(Side):
    """alpha u + beta du/dn = value. Of one sign, alpha and beta describe a loss through the wall (heat leaves where it
    is warmer), and the equation is well posed."""

    alpha: Any
    beta: Any
    value: Any = 0.0

    def __check_init__(self) -> None:
        if np.ndim(self.alpha) == np.ndim(self.beta) == 0 and _is_zero(self.alpha) and _is_zero(self.beta):
            raise ValueError("alpha u + beta du/dn = value says nothing with alpha = beta = 0; give one of them.")

    @property
    def terms(self) -> dict[int, Any]:
        return {0: self.alpha, 1: self.beta}


class Periodic(Side):
    """The end of an axis is its beginning; holds for both sides of the axis."""

    value: Any = 0.0

    @property
    def terms(self) -> dict[int, Any]:
        return {}


class Derivative(Side):
    """d^order u/dn^order = value: 2 is a hinged end, 3 a free one, or one that mass does not pass (Cahn-Hilliard)."""

    order: int = eqx.field(static=True)
    value: Any = 0.0

    def __check_init__(self) -> None:
        if self.order < 0:
            raise ValueError(f"order = {self.order}: a derivative has the order 0, 1, 2 or more.")

    @property
    def terms(self) -> dict[int, Any]:
        return {self.order: 1.0}


def _is_zero(value: Any) -> bool:
    return isinstance(value, int | float | complex | np.number) and value == 0
