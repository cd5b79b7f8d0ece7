"""What a partial differential equation is here: u_t = L u + N(u) on a box, kept in the modes of its Laplacian.

One object serves everything: its parameters are a pytree (differentiate or vmap them), its linear symbol and nonlinear
term make a `Semilinear` problem for `duhamel.solve`, and it brings its invariants, a first initial condition and, where
one is known, an exact solution to measure against.
"""

import dataclasses
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from duhamel.core.coupled import Coupled
from duhamel.core.linear import Diagonal, Linear, like
from duhamel.core.problem import Problem, Semilinear
from duhamel.core.types import Field, Spectrum

from .axes.chebyshev import Chebyshev
from .coefficients import Box, check_parameters
from .grid import Grid
from .operator import Operator, rows_of
from .resolution import for_products
from .space import Formal, Space, lift_force


class Equation(eqx.Module):
    """Abstract. Fields of a subclass are parameters: Python numbers or (traced) arrays.

    dims     numbers of dimensions in which the equation is written
    spaces   kinds of boxes: `Grid` is periodic, `Space` may have walls
    fields   names of the unknowns; several are stacked along the first axis: (fields, *points), (fields, *modes)
    real     the field is real (kept as rfftn on a grid) or complex (fftn)
    numbers  names of parameters that are one number each: an array or a function there is refused, and another Python
             number does not compile again
    varying  names of parameters that may vary in space besides: a function of the coordinates, or an array with one
             value per point; `placed(equation, grid)` has them at the points
    dealias  fraction of the modes that products keep: 2/3 for quadratic, 1/2 for cubic terms, 1 to switch it off; on
             a `padded` box all are kept, and products are evaluated on 1/dealias times the points

    An own equation needs `symbol` and `nonlinear`; `initial` and `invariants` if it is to have them.
    """

    dims: ClassVar[tuple[int, ...]] = (1,)
    spaces: ClassVar[tuple[type, ...]] = (Grid,)
    fields: ClassVar[tuple[str, ...]] = ("u",)
    real: ClassVar[bool] = True
    numbers: ClassVar[tuple[str, ...]] = ()
    varying: ClassVar[tuple[str, ...]] = ()
    dealias = 2 / 3  # a subclass may make it a field

    @abstractmethod
    def symbol(self, grid: Box) -> Any:
        """L: one number per mode, of the modes' full shape; with several fields (fields, *modes), or a matrix per mode,
        (fields, fields, *modes), where it mixes them. Where `grid.formal`, an `Operator`, a tuple of them, one per
        field, or a square of them: `stack` makes either."""

    @abstractmethod
    def nonlinear(self, grid: Box) -> Callable[[Any, Spectrum], Spectrum]:
        """N(t, modes) -> modes, with everything that depends on the grid alone computed once."""

    def initial(self, grid: Box) -> np.ndarray:
        """A field in real space, float64, from which the equation shows what it is known for."""
        del grid
        raise ValueError(f"{type(self).__name__} has no first field of its own; pass u0, one value per point.")

    def invariants(self, grid: Box, modes: Spectrum) -> dict[str, Field]:
        """Integrals that the nonlinear term conserves; with dissipation or forcing they change at a known rate."""
        del grid, modes
        return {}

    def problem(self, grid: Box) -> Problem:
        """du/dt = L u + N(u) for `duhamel.solve`, with the state in modes."""
        self.check(grid)
        return Semilinear(self.linear(grid), NonlinearTerm(with_arrays(self), grid))

    def linear(self, grid: Box) -> Linear:
        symbol = self.symbol(grid)
        if isinstance(symbol, Operator | tuple):
            assert isinstance(grid, Space)
            return grid.linear(symbol)
        mixes = len(self.fields) > 1 and symbol.ndim == grid.dim + 2
        return Coupled(symbol) if mixes else Diagonal(symbol)

    def explicit_diffusion(self, grid: Box) -> tuple[Any, Any]:
        """(largest rate at which diffusion in N damps a mode, that over L's), where a diffusivity is a field."""
        del grid
        return 0.0, 0.0

    def shape(self, grid: Box) -> tuple[int, ...]:
        """Of a field at the points."""
        return grid.shape if len(self.fields) == 1 else (len(self.fields), *grid.shape)

    def check(self, grid: Box) -> None:
        if not isinstance(grid, self.spaces):
            kinds = {Grid: "periodic boxes, pde.periodic(...)", Space: "boxes with walls, pde.box(...)"}
            raise ValueError(
                f"{type(self).__name__} is written for {' and '.join(kinds[s] for s in self.spaces)}; the box given is "
                f"a {type(grid).__name__}."
            )
        if grid.dim not in self.dims:
            wanted = " or ".join(map(str, self.dims))
            raise ValueError(
                f"{type(self).__name__} is written in {wanted} dimensions, and the grid has {grid.dim}; "
                f"build it with {wanted} numbers of points."
            )
        check_parameters(self, grid)
        if isinstance(grid, Space):
            check_conditions(type(self).__name__, self.symbol(grid), grid, self.real)

    def to_modes(self, grid: Box, u: Any) -> Spectrum:
        return grid.to_modes(jnp.asarray(u), self.real)

    def to_points(self, grid: Box, modes: Spectrum) -> Field:
        return grid.to_points(modes, self.real)


class NonlinearTerm(eqx.Module):
    """N(t, x, args) of a semidiscrete equation: what `Semilinear` calls.

    Two terms of equal equations on equal grids are equal, so a second solve finds the first one's compiled program.
    """

    equation: Equation
    grid: Box = eqx.field(static=True)

    def __call__(self, t: Any, x: Spectrum, args: Any) -> Spectrum:
        del args
        if not self.grid.has_lift:
            return self.equation.nonlinear(for_products(self.grid, self.equation.dealias))(t, x)
        assert isinstance(self.grid, Space)
        space = self.grid.at(t)
        force = lift_force(self.equation.symbol(Formal(space.parts, space.padded, t)), space)
        rest = self.equation.nonlinear(for_products(space, self.equation.dealias))(t, x)
        return rest + space.project(like(force, x), self.equation.real)


def check_conditions(name: str, symbol: Any, space: Space, real: bool) -> None:
    """One sentence where an operator's order and an axis' conditions do not fit."""
    for k in space.mixed:
        axis = space.parts[k]
        assert isinstance(axis, Chebyshev)
        found = [entry.orders(k) for row in rows_of(symbol) for entry in row if isinstance(entry, Operator)]
        order = max((max(orders, default=0) for orders in found), default=0)
        left, right = map(len, axis.ends)
        if order not in (0, axis.count):
            raise ValueError(
                f"{name} is of order {order} along axis {k}, whose ends have {left + right} conditions; give {order} "
                "in all, as conditions=(left, right)."
            )
        least = order // 2
        wanted = {(least, least)} if order % 2 == 0 else {(least + 1, least), (least, least + 1)}
        top = [orders[order] for orders in found if order in orders]
        if order % 2 and real and len(top) == 1 and not isinstance(top[0], Tracer):
            wanted = {(least + 1, least) if (-1) ** least * float(np.real(top[0])) < 0 else (least, least + 1)}
        if order and (left, right) not in wanted:
            each = " or ".join(f"{a} on the left and {b} on the right" for a, b in sorted(wanted))
            raise ValueError(
                f"{name} is of order {order} along axis {k} and needs {each}; the axis has {left} on the left and "
                f"{right} on the right, with which it is not well posed."
            )


def stack(rows: list[Any]) -> Any:
    """One row per field: a tuple of operators, or an array, on the host where all are concrete, so that symbols stay in
    double precision."""
    if any(isinstance(row, Operator) for row in rows):
        return tuple(rows)
    return np.stack(rows) if all(isinstance(row, np.ndarray) for row in rows) else jnp.stack(rows)


def with_arrays(equation: Any) -> Any:
    """The equation with its declared Python numbers as NumPy numbers, which are arguments of a compiled program and not
    part of it. 0 stays: a term that is not there."""
    found = {}
    for name in (*equation.numbers, *equation.varying):
        value = getattr(equation, name)
        each = [_as_array(one) for one in value] if isinstance(value, tuple | list) else [_as_array(value)]
        found[name] = type(value)(each) if isinstance(value, tuple | list) else each[0]
    for one in dataclasses.fields(equation):
        value = getattr(equation, one.name)
        if isinstance(value, Equation):
            found[one.name] = with_arrays(value)
    return dataclasses.replace(equation, **found) if found else equation


def _as_array(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool | np.generic)
    return np.float64(value) if is_number and value != 0 else value


def exactly(value: Any) -> Any:
    """A parameter as a float64 NumPy number where it is concrete, so that symbols are built in double precision."""
    return value if isinstance(value, Tracer) else np.asarray(value, np.float64)[()]
