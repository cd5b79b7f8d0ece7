"""Any equation with a known solution: the method of manufactured solutions.

    u_t = L u + N(u) + f,     f = u*_t - L u* - N(u*)

u* is any smooth function that satisfies the conditions of the box. The forcing is computed on a finer grid and then
projected onto the modes of the given one, so that both errors show: in time the order of the method, in space a fall
faster than any power of the number of points. Source: Roache, J. Fluids Eng. 124 (2002) 4.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from duhamel.core.linear import Linear, like
from duhamel.core.precision import enable_x64
from duhamel.core.types import Field, Spectrum

from .axes.base import Axis
from .axes.trigonometric import Cosine, Sine
from .axes.walls import Walled
from .boundary import Dirichlet, Neumann, Side
from .equation import Box, Equation, NonlinearTerm
from .grid import Grid
from .space import Space


class Manufactured(Equation):
    """An equation, forced so that `solution` solves it. Write `manufactured(equation, solution)`.

    u_t = L u + N(u) + f,     f = u*_t - L u* - N(u*)
    """

    equation: Equation
    solution: Callable = eqx.field(static=True)
    refine: int = eqx.field(static=True)
    dealias: float | int = eqx.field(static=True)

    @property
    def dims(self) -> tuple[int, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.equation.dims

    @property
    def spaces(self) -> tuple[type, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.equation.spaces

    @property
    def fields(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.equation.fields

    @property
    def real(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.equation.real

    def check(self, grid: Box) -> None:
        """The equation's own checks, and whether u* satisfies the conditions at the walls."""
        self.equation.check(grid)
        if isinstance(grid, Space):
            with enable_x64(True), jax.ensure_compile_time_eval():
                for axis in range(grid.dim):
                    self._check_walls(grid, axis)

    def _check_walls(self, grid: Space, axis: int) -> None:
        part, t = grid.parts[axis], jnp.asarray(0.0)
        for side, held in zip(("start", "end"), conditions(part), strict=True):
            x = [jnp.asarray(row) for row in grid.coordinates()]
            x[axis] = jnp.full((1,) * grid.dim, part.start + (part.length if side == "end" else 0.0))
            along = lambda at, x=x: self._fields(t, *x[:axis], at, *x[axis + 1 :])  # noqa: E731
            for condition in held:
                self._check_condition(condition, along, x[axis], t, f"{side} of axis {axis}")

    def _check_condition(self, condition: Side, along: Callable, x: Any, t: Any, place: str) -> None:
        """`along` is u* as a function of one coordinate."""
        sign = 1.0 if place.startswith("end") else -1.0
        value: Any = condition.value(t) if callable(condition.value) else condition.value
        terms = {order: [c * sign**order * u for u in slope(along, order)(x)] for order, c in condition.terms.items()}
        for name, *parts in zip(self.fields, *terms.values(), strict=True):
            left = sum(parts) - value
            if isinstance(left, Tracer):
                continue
            if np.abs(left).max() > 1e-6 * (1 + sum(np.abs(part).max() for part in parts)):
                raise ValueError(
                    f"the solution contradicts the {place}: {condition} is off by {np.abs(left).max():.2g} for {name} "
                    "at t = 0; give the box the conditions of the solution."
                )

    def symbol(self, grid: Box) -> Any:
        return self.equation.symbol(grid)

    def linear(self, grid: Box) -> Linear:
        return self.equation.linear(grid)

    def explicit_diffusion(self, grid: Box) -> tuple[Any, Any]:
        return self.equation.explicit_diffusion(grid)

    def initial(self, grid: Box) -> np.ndarray:
        """u* at t = 0."""
        return self.exact(grid, 0.0)

    def invariants(self, grid: Box, modes: Spectrum) -> dict[str, Field]:
        """Those of the equation; the forcing changes them."""
        return self.equation.invariants(grid, modes)

    def exact(self, grid: Box, t: float | int) -> np.ndarray:
        """u* at the points."""
        with enable_x64(True):
            return np.asarray(self._at_points(grid, jnp.asarray(float(t))))

    def nonlinear(self, grid: Box) -> Callable:
        """N(t, x) + f(t)."""
        term, forcing = self.equation.nonlinear(grid), self.forcing(grid)
        return lambda t, x: term(t, x) + like_array(forcing(t), x)

    def forcing(self, grid: Box) -> Callable[[Any], Spectrum]:
        """t -> modes of f."""
        fine = refined(grid, self.refine)
        L, term = self.equation.linear(fine), NonlinearTerm(self.equation, fine)
        keep = grid.mask(self.dealias, self.real)

        def f(t: Any) -> Spectrum:
            t = jnp.asarray(t)
            u, u_t = jax.jvp(lambda s: self._at_points(fine, s), (t,), (jnp.ones_like(t),))
            if isinstance(fine, Space):
                u_t = u_t - like(fine.at(t).lift_slope((0,) * fine.dim, rate=True), u_t)
            modes = self.equation.to_modes(fine.at(t), u)
            rest = fine.project(u_t, self.real) - L.apply(t, modes) - term(t, modes, None)
            return like(keep, rest) * restricted(rest, fine, grid, self.real)

        return f

    def _at_points(self, grid: Box, t: Any) -> Field:
        rows = self._fields(t, *(jnp.asarray(x, t.dtype) for x in grid.coordinates()))
        rows = [jnp.broadcast_to(row, grid.shape) for row in rows]
        return rows[0] if len(rows) == 1 else jnp.stack(rows)

    def _fields(self, t: Any, *x: Any) -> tuple[Any, ...]:
        found = self.solution(t, *x)
        rows = tuple(found) if isinstance(found, tuple | list) else (found,)
        if len(rows) != len(self.fields):
            raise ValueError(
                f"the solution returns {len(rows)} fields, and {type(self.equation).__name__} has {len(self.fields)}: "
                f"{', '.join(self.fields)}; return one of each, as a tuple."
            )
        return rows


def conditions(axis: Axis) -> tuple[tuple[Side, ...], tuple[Side, ...]]:
    """What holds at the start and at the end of an axis; nothing on a periodic one."""
    if isinstance(axis, Sine):
        return (Dirichlet(),), (Dirichlet(),)
    if isinstance(axis, Cosine):
        return (Neumann(),), (Neumann(),)
    return axis.ends if isinstance(axis, Walled) else ((), ())


def slope(f: Callable, order: int) -> Callable:
    """The `order`-th derivative of a function of one array, point by point."""
    for _ in range(order):
        f = lambda x, f=f: jax.jvp(f, (x,), (jnp.ones_like(x),))[1]  # noqa: E731
    return f


def manufactured(equation: Equation, solution: Any, refine: int = 2) -> Manufactured:
    """The equation with the forcing that makes `solution` solve it.

        u_star = lambda t, x: jnp.exp(jnp.sin(x - t))
        equation = pde.manufactured(pde.Burgers(0.1), u_star)
        sol = pde.solve(equation, grid, None, 1.0, steps=100)      # equation.exact(grid, 1.0) is the truth

    solution  u*(t, *coordinates) of `jax.numpy` functions, which satisfies the conditions of the box; a tuple where
              there are several fields. Its first value is the first field
    refine    how many times finer the grid is on which the forcing is computed; there u* must be resolved
    """
    if not callable(solution):
        raise TypeError(f"solution is a function of t and the coordinates, got {type(solution).__name__}.")
    if not isinstance(refine, int) or refine < 1:
        raise ValueError(f"refine = {refine!r} multiplies the points of every axis; give 1, 2 or 3.")
    return Manufactured(equation=equation, solution=solution, refine=refine, dealias=equation.dealias)


def refined(grid: Box, factor: int) -> Box:
    """The same box with `factor` times the points along every axis."""
    if isinstance(grid, Grid):
        return replace(grid, shape=tuple(factor * n for n in grid.shape))
    return Space(tuple(replace(axis, n=factor * axis.n) for axis in grid.parts))


def restricted(modes: Spectrum, fine: Box, coarse: Box, real: bool = True) -> Spectrum:
    """Modes of the projection onto a coarser grid of the same box, axes of other fields in front."""
    if isinstance(fine, Grid) and isinstance(coarse, Grid):
        for axis, n in zip(coarse.axes, coarse.modes_shape(real), strict=True):
            halved = real and axis == -1
            rows = np.arange(n) if halved else np.r_[0 : (n + 1) // 2, -(n // 2) : 0]
            modes = jnp.take(modes, rows, axis=axis)
        return modes * (np.prod(coarse.shape) / np.prod(fine.shape))
    assert isinstance(fine, Space) and isinstance(coarse, Space)
    for k, (old, new) in enumerate(zip(fine.parts, coarse.parts, strict=True)):
        if old == new:
            continue
        overlap = new.restriction(old)
        moved = jnp.moveaxis(modes, k - fine.dim, -1)
        modes = jnp.moveaxis(jnp.matmul(moved, like(overlap.T, moved), precision="highest"), -1, k - fine.dim)
    return modes


def like_array(value: Any, x: Any) -> Any:
    """In the precision of x, real where x is."""
    if not jnp.iscomplexobj(x):
        value = value.real
    return value.astype(x.dtype)
