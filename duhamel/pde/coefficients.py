"""Parameters that vary in space: D(x), r(x), V(x), and what belongs to the linear part of them.

    r(x) = r0 + s(x),   r0 = (min r + max r)/2: the level, a number, goes to L; s, the rest, to N
    D(x) = D0 + d(x),   D0 = max D,  so that div(D grad u) = D0 Laplacian(u) + div(d grad u)

With -D0 < d <= 0 exponential methods of every order, SBDF2, ARS222 and ARS443 damp all waves at every step
length, so that steps are limited by accuracy alone (`check_explicit_diffusion` has the others). A parameter is a
number, a function of the coordinates, or an array with one value per point; `Equation.varying` names those that may be
more than a number, `Equation.numbers` those that may not.

Diffusion is taken in its weak form, (phi, div(d grad u)) = -(grad phi, d grad u) + what passes the walls, which needs
no derivative of d and loses nothing at walls that let nothing through.
"""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from duhamel.core.linear import like

from .axes.trigonometric import Cosine, Midpoints
from .axes.walls import Walled
from .grid import Grid
from .resolution import PaddedGrid, PaddedSpace, cut, resample
from .space import Space, along

Box = Grid | Space


def varies(value: Any) -> bool:
    """Whether a parameter is a field rather than a number."""
    return callable(value) or np.ndim(value) > 0


def plain(grid: Box) -> Box:
    """The box itself, where `grid` goes through finer points."""
    if isinstance(grid, PaddedGrid):
        return Grid(grid.shape, grid.length, grid.start)
    return Space(grid.parts) if isinstance(grid, Space) else grid


def on_points(value: Any, grid: Box, name: str = "a parameter") -> Any:
    """A parameter at the points of a box; a number stays one, an array given on the box itself is interpolated to the
    finer points of a padded one."""
    if not varies(value):
        return value
    shape = np.broadcast_shapes(*(x.shape for x in grid.coordinates()))
    value = value(*grid.coordinates()) if callable(value) else value
    value = value if isinstance(value, Tracer) else np.asarray(value)
    if value.ndim == 0:
        return value
    if value.ndim == grid.dim and all(n in (1, m) for n, m in zip(value.shape, shape, strict=True)):
        return value
    if value.shape == grid.shape and isinstance(grid, PaddedGrid):
        return resample(value, plain(grid), grid.fine)
    if value.shape == grid.shape and isinstance(grid, PaddedSpace):
        old, new = (Space(tuple(map(_free, parts))) for parts in (grid.parts, grid.fine))
        return resample(value, old, new)
    raise ValueError(
        f"{name} has shape {value.shape}, and the box {grid.shape} points; give one number, one value per point, or a "
        "function of the coordinates."
    )


def _free(axis: Any) -> Any:
    """An axis on which any function can be interpolated between equal cells."""
    return Cosine(axis.n, axis.length, axis.start) if isinstance(axis, Midpoints) else axis


def placed(equation: Any, grid: Box) -> Any:
    """The equation with its varying parameters as values at the points."""
    found = {name: getattr(equation, name) for name in equation.varying}
    found = {name: value for name, value in found.items() if _any_varies(value)}
    if not found:
        return equation
    title = type(equation).__name__
    return replace(
        equation,
        **{
            name: tuple(on_points(one, grid, f"{title}: {name}[{i}]") for i, one in enumerate(value))
            if isinstance(value, tuple | list)
            else on_points(value, grid, f"{title}: {name}")
            for name, value in found.items()
        },
    )


def _any_varies(value: Any) -> bool:
    return any(map(varies, value)) if isinstance(value, tuple | list) else varies(value)


def level(value: Any, top: bool = False) -> Any:
    """The number in the middle of a field's range, or its largest value (`top`: a diffusivity); in float64 on the host
    where it is concrete."""
    if isinstance(value, Tracer):
        most = jnp.max(value)
        return value if np.ndim(value) == 0 else most if top else (jnp.min(value) + most) / 2
    value = np.asarray(value, np.float64)
    return value[()] if value.ndim == 0 else value.max() if top else (value.min() + value.max()) / 2


def rest(here: Any, base: Any, top: bool = False) -> Any:
    """What is left at the points `here`, where `base` is the same parameter at the points of the box itself; None: it
    is a number."""
    return here - level(base, top) if np.ndim(base) else None


def strength(grid: Box, D: Any) -> tuple[Any, Any]:
    """(largest rate of div(d grad u), the part of it in that of D0 Laplacian(u)) of a diffusivity; 0 of a number."""
    if np.ndim(D) == 0:
        return 0.0, 0.0
    if isinstance(D, Tracer):
        return D, 0.0
    fastest = 0.0
    for k in range(grid.dim):
        part = grid.parts[k] if isinstance(grid, Space) else None
        if part is None:
            values = grid.derivative(k, 2)
        else:
            values = part.square if part.diagonal else np.linalg.eigvals(part.matrix(2))
        fastest += float(np.abs(values).max())
    top, least = float(np.max(D)), float(np.min(D))
    return (top - least) * fastest, (top - least) / top if top > 0 else 1.0


def diffusion(grid: Box, modes: Any, d: Any) -> Any:
    """Modes of div(d grad u), d at the points; lifts are part of u."""
    total: Any = 0.0
    for axis in range(grid.dim):
        slope = grid.slope(modes, axis)
        total = total + grid.project_slope(like(d, slope) * slope, axis)
        if isinstance(grid, Space) and isinstance(grid.parts[axis], Walled):
            total = total + _through_walls(grid, modes, d, axis)
    return total


def _through_walls(grid: Space, modes: Any, d: Any, axis: int) -> Any:
    """What the weak form of d/dx(d du/dx) holds at the two ends of a polynomial axis: [phi d du/dx]."""
    part = grid.parts[axis]
    assert isinstance(part, Walled)
    ends, place = np.array([part.start, part.start + part.length]), axis - grid.dim
    test = part.tests(ends)  # (2, modes)
    if np.abs(test).max() < 1e-9 * np.sqrt(part.modes / part.length):
        return 0.0  # u is given at both ends
    slope = grid.slope(modes, axis)
    at_ends = along(lambda v: jnp.matmul(v, like(part.interpolation(ends).T, v), precision="highest"), slope, place)
    flux = _at_ends(jnp.broadcast_to(like(d, slope), slope.shape), part, place) * at_ends
    fine = grid.fine if isinstance(grid, PaddedSpace) else grid.parts
    for k, (old, new) in enumerate(zip(grid.parts, fine, strict=True)):
        if k != axis:
            flux = along(lambda v, old=old, new=new: cut(new.forward(v), old, new), flux, k - grid.dim)
    out = np.array([[-1.0], [1.0]]) * test
    return along(lambda v: jnp.matmul(v, like(out, v), precision="highest"), flux, place)


def _at_ends(d: Any, part: Walled, place: int) -> Any:
    """A coefficient at both ends, by the polynomial through the eight points next to each: jumps inside stay there."""
    x, few = part.points, min(8, part.n)
    rows = np.zeros((2, part.n))
    for row, end, where in (
        (0, part.start, slice(0, few)),
        (1, part.start + part.length, slice(part.n - few, part.n)),
    ):
        near = x[where]
        for i, xi in enumerate(near):
            others = np.delete(near, i)
            rows[row, np.arange(part.n)[where][i]] = np.prod((end - others) / (xi - others))
    return along(lambda v: jnp.matmul(v, like(rows.T, v), precision="highest"), d, place)


def check_parameters(equation: Any, grid: Box) -> None:
    """Numbers are numbers, fields have the shape of the points; one sentence each."""
    title = type(equation).__name__
    for name in equation.numbers:
        value = getattr(equation, name)
        _check_kind(title, name, value)
        if varies(value):
            what = "a function" if callable(value) else f"an array of shape {np.shape(value)}"
            raise ValueError(
                f"{title}: {name} is one number, and {what} was given; in this equation it cannot vary in space "
                "(jax.vmap solves for many numbers at once)."
            )
    for name in equation.varying:
        value = getattr(equation, name)
        for i, one in enumerate(value) if isinstance(value, tuple | list) else [(None, value)]:
            label = name if i is None else f"{name}[{i}]"
            if one is None:
                continue
            one = on_points(one, plain(grid), f"{title}: {label}")
            _check_kind(title, label, one)


def _check_kind(title: str, name: str, value: Any) -> None:
    if callable(value) or isinstance(value, Tracer):
        return
    kind = np.asarray(value).dtype.kind
    if kind not in "iuf" and str(np.asarray(value).dtype) != "bfloat16":
        raise TypeError(f"{title}: {name} = {value!r} is not a real number.")
    if not np.all(np.isfinite(np.asarray(value, np.float64))):
        raise ValueError(f"{title}: {name} holds NaN or infinity; parameters must be finite.")
