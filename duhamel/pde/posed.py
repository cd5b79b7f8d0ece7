"""Before anything is compiled: is the problem well posed in this direction of time, can this method step it, does u0
look like what it is meant to be? One sentence each.

A linear part whose waves grow the faster the shorter they are (a negative viscosity, diffusion backwards in time) lets
rounding grow without bound as the grid is refined: no step length helps.
"""

import warnings
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from duhamel.core.along import Along
from duhamel.core.coupled import Coupled
from duhamel.core.linear import Diagonal
from duhamel.methods.exponential import ExponentialRK
from duhamel.methods.imex import IMEXRK
from duhamel.methods.sbdf import SBDF
from duhamel.solver.control import Fixed

from .axes.fourier import Fourier
from .coefficients import Box, placed, plain, varies
from .equation import Equation
from .grid import Grid
from .space import Space

TINY = 1e-8  # of the box: waves so short that nothing but the highest derivatives counts
EXPLICIT = 1.4  # |h N'| up to which the explicit part of every implicit-explicit method here damps diffusion


def check_kinds(equation: Any, grid: Any) -> None:
    """An equation and a box, in this order."""
    if isinstance(equation, type) and issubclass(equation, Equation):
        raise TypeError(f"equation is the class {equation.__name__}; make one of it: pde.{equation.__name__}().")
    if not isinstance(equation, Equation):
        what = "a function" if callable(equation) else f"a {type(equation).__name__}"
        raise TypeError(
            f"equation is {what}; pde.solve takes an equation such as pde.Heat(0.1), or an instance of an own subclass "
            "of pde.Equation or pde.ReactionDiffusion. A vector field f(t, x, args) goes to duhamel.solve."
        )
    if not isinstance(grid, Grid | Space):
        raise TypeError(
            f"grid is a {type(grid).__name__}; give a box made by pde.periodic(256, 40.0) or pde.box(pde.Cosine(64, "
            "1.0)); meshes of cells go to pde.volumes.solve."
        )


def check_posed(equation: Equation, grid: Box, t0: Any, t1_or_ts: Any, eps: float) -> None:
    """Refuses what cannot have a right digit: growth without bound in the wave number, beyond 1/eps on this grid."""
    traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((equation, t0, t1_or_ts)))
    if traced:
        return
    span = _span(t0, t1_or_ts)
    growth = max(
        (growth_of_linear(one, grid, span) for one in growing_without_bound(equation, grid, span)), default=0.0
    )
    if growth > -np.log(eps):
        title, back = type(equation).__name__, span < 0
        remedy = (
            "Diffusion cannot be undone: solve forwards in time, from an earlier state."
            if back
            else "Look at the sign of its diffusivity or viscosity."
        )
        raise ValueError(
            f"{title} is ill-posed {'backwards' if back else 'forwards'} in time with these parameters: waves grow the "
            f"faster the shorter they are, on this grid by e^{growth:.0f}, and rounding with them; no step length "
            f"helps. {remedy}"
        )


def _span(t0: Any, t1_or_ts: Any) -> float:
    return float(np.asarray(t1_or_ts, float).reshape(-1)[-1]) - float(t0)


def growing_without_bound(equation: Equation, grid: Box, span: float) -> list[Equation]:
    """The equation, with numbers for its fields, where waves far shorter than those of the grid grow, and twice as
    short ones faster still."""
    if Grid not in equation.spaces:
        return []
    most, found = {1: 64, 2: 64, 3: 16}[grid.dim], []
    shape = tuple(min(n, most) for n in grid.shape)
    for numbers in _extremes(equation, grid):
        rates = []
        for part in (TINY, TINY / 2):
            box = Grid(shape, tuple(part * s for s in grid.length), (0.0,) * grid.dim)
            try:
                values = np.sign(span) * eigenvalues(numbers, box)
            except (ValueError, TypeError, AttributeError, IndexError):  # an own symbol, made for one box alone
                return []
            top = float(np.real(values).max())
            rates.append(top if top > 1e-3 * np.abs(values).max() else 0.0)
        if rates[1] > 1.5 * rates[0] > 0:
            found.append(numbers)
    return found


def _extremes(equation: Equation, grid: Box) -> list[Equation]:
    """The equation with numbers for its fields: the least of each, and the largest."""
    here = placed(equation, plain(grid))
    fields = {name: getattr(here, name) for name in equation.varying}
    if not any(varies(v) or isinstance(v, tuple | list) for v in fields.values()):
        return [equation]

    def at(value: Any, end: Any) -> Any:
        if isinstance(value, tuple | list):
            return tuple(at(one, end) for one in value)
        return float(end(value)) if varies(value) else value

    return [replace(here, **{name: at(v, end) for name, v in fields.items()}) for end in (np.min, np.max)]


def growth_of_linear(equation: Equation, grid: Box, span: float) -> float:
    """By how many powers of e the fastest mode of L grows over a span of time."""
    return abs(span) * max(0.0, float(np.real(np.sign(span) * eigenvalues(equation, grid)).max()))


def eigenvalues(equation: Equation, grid: Box) -> np.ndarray:
    """Of L, in any order."""
    L = equation.linear(grid)
    if isinstance(L, Diagonal):
        return np.asarray(L.values)
    if isinstance(L, Along):
        return np.linalg.eigvals(np.asarray(L.matrices))
    if isinstance(L, Coupled):
        return np.linalg.eigvals(np.moveaxis(np.asarray(L.blocks), (0, 1), (-2, -1)))
    raise TypeError(f"the eigenvalues of a {type(L).__name__} are not known here; write the symbol of {equation}.")


def advice_on_growth(equation: Equation, grid: Box, span: float) -> str:
    """Where L itself grows beyond all numbers, steps are not to blame; else nothing."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(equation)):
        return ""
    growth = growth_of_linear(equation, grid, span)
    if growth < 200:
        return ""
    walls = isinstance(grid, Space) and any(axis.values for axis in grid.parts)
    where = "; look at the signs of alpha and beta at its walls: of opposite signs they feed u" if walls else ""
    return f" The linear part itself grows by e^{growth:.0f} in this time, so that no step length helps{where}."


def check_explicit_diffusion(equation: Equation, grid: Box, method: Any, control: Any, t0: Any, t1_or_ts: Any) -> None:
    """A diffusivity that varies puts diffusion into N, and some methods damp it at short steps only."""
    if not isinstance(control, Fixed) or not isinstance(method, IMEXRK | SBDF) or isinstance(method, ExponentialRK):
        return
    strength, ratio = equation.explicit_diffusion(grid)
    if any(isinstance(leaf, Tracer) for leaf in (strength, t0, t1_or_ts)) or strength == 0:
        return
    if isinstance(method, SBDF):
        fine = method.order <= 2 or (method.order == 3 and ratio <= 0.5)
    else:
        fine = (*method.tableau.explicit[-1], 0.0) == method.tableau.b_explicit
    span = _span(t0, t1_or_ts)
    steps = control.steps if control.grid is None else abs(span) / np.abs(np.diff(np.asarray(control.grid))).max()
    need = abs(span) * strength / EXPLICIT
    if not fine and steps is not None and steps < need:
        raise ValueError(
            f"the diffusivity varies in space, and {method.tableau.name} takes what differs from its largest value "
            f"explicitly: that needs {int(np.ceil(need))} steps; take method=ETDRK4(), ARS443() or control=PID(1e-6), "
            "which have no such limit."
        )


def check_seam(grid: Box, u0: np.ndarray) -> None:
    """Warns where a periodic axis seems to hold its end twice: u0[0] = u0[-1] in the middle of a slope, everywhere."""
    for axis in range(grid.dim):
        if isinstance(grid, Space) and not isinstance(grid.parts[axis], Fourier):
            continue
        u = np.moveaxis(np.asarray(u0), axis - grid.dim, -1)
        if np.iscomplexobj(u):
            u = np.concatenate([np.real(u)[None], np.imag(u)[None]])
        before, after, jump = u[..., -1] - u[..., -2], u[..., 1] - u[..., 0], u[..., 0] - u[..., -1]
        size = np.abs(np.diff(u, axis=-1)).max()
        steep = np.minimum(np.abs(before), np.abs(after)) > 1e-3 * size
        alike = (before * after > 0) & (np.abs(after - before) < 0.5 * np.maximum(np.abs(after), np.abs(before)))
        same = np.abs(jump) < 1e-6 * size
        if size > 0 and np.all(same) and np.any(steep & alike) and np.all(alike | ~steep):
            n, s, a = grid.shape[axis], grid.length[axis], grid.start[axis]
            warnings.warn(
                f"u0 seems to be sampled with both ends of the periodic axis {axis}, u0[0] = u0[-1]: its points are "
                f"{a:g} + {s:g} j/{n}, j = 0..{n - 1}, the end left out (grid.coordinates()).",
                stacklevel=4,
            )
