"""A function that has what the walls prescribe, where that varies along a wall or stands at walls that meet.

Each axis in turn adds what is missing at its two ends, along its own lifts l_i (1 in condition i, 0 in the others):

    lift <- lift + sum_i l_i(x_k) (g_i - B_i lift),    B_i the condition i of axis k, g_i its value along the wall

Where walls meet, B_j g_i = B_i g_j must hold, which is checked; then what one axis adds leaves the others' conditions
alone (Gordon and Hall's transfinite interpolation: Numer. Math. 21 (1973) 109). Everything is a polynomial through the
points of a polynomial axis, so a smooth lift and its derivatives are as good as the rest of the solution.
"""

import inspect
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from duhamel.core.linear import like

from .axes.base import Axis
from .axes.trigonometric import Cosine, Sine
from .axes.walls import Walled


def varies_along(value: Any) -> bool:
    """Whether a condition's value is a function of t and of the coordinates along the wall."""
    if not callable(value):
        return False
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return False
    wanted = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]
    return len(wanted) > 1


def blended(parts: tuple[Axis, ...], t: Any) -> Any:
    """The lift at the points; NumPy's unless a value is a function."""
    total: Any = np.zeros(tuple(axis.n for axis in parts))
    for k, axis in enumerate(parts):
        if not isinstance(axis, Walled):
            continue
        missing = given(parts, k, t) - _held(axis, total, k)
        rows = [g * _shaped(l, k, len(parts)) for g, l in zip(missing, axis.lifts(), strict=True)]
        total = total + sum(rows[1:], rows[0]) if rows else total
    return total


def given(parts: tuple[Axis, ...], k: int, t: Any) -> Any:
    """(conditions, *points with 1 for axis k): what is prescribed at the ends of an axis."""
    axis = parts[k]
    others = [other.points for j, other in enumerate(parts) if j != k]
    places = np.meshgrid(*others, indexing="ij", sparse=True)
    shape = tuple(1 if j == k else other.n for j, other in enumerate(parts))
    rows = []
    for value in axis.values:
        if varies_along(value):
            found = value(t, *places)
        else:
            found = value(t) if callable(value) else np.float64(value)
        found = found if isinstance(found, Tracer) else jnp.asarray(found) if callable(value) else np.asarray(found)
        wall = tuple(map(len, others))
        fits = found.ndim <= len(wall) and all(n in (1, m) for n, m in zip(found.shape[::-1], wall[::-1], strict=False))
        if not fits:
            raise ValueError(
                f"what is prescribed at an end of axis {k} has shape {found.shape}, and the wall {wall} points; return "
                "one value per point, or one for all."
            )
        if found.ndim:
            found = found.reshape((1,) * (len(others) - found.ndim) + found.shape)
            found = jnp.expand_dims(found, k) if isinstance(found, Tracer | jnp.ndarray) else np.expand_dims(found, k)
        rows.append((jnp if callable(value) else np).broadcast_to(found, shape))
    on_host = all(isinstance(row, np.ndarray) for row in rows)
    return (np if on_host else jnp).stack(rows) if rows else np.zeros((0, *shape))


def _held(axis: Walled, u: Any, k: int) -> Any:
    """(conditions, *points with 1 for axis k): each condition on the polynomial through the points."""
    return _read(axis.functionals(), axis, u, k, k + 1)


def _read(rows: np.ndarray, axis: Walled, u: Any, k: int, place: int) -> Any:
    """rows (c, degrees) on the Chebyshev coefficients of u along axis k: (c, ..., 1 at `place`, ...).

    Degrees that hold rounding alone are left out: derivatives would multiply them by n^2 each.
    """
    host = isinstance(u, np.ndarray)
    xp: Any = np if host else jnp
    there = axis.coefficients if host else like(axis.coefficients, u)
    c = xp.tensordot(there, u, (1, k))
    sizes = xp.abs(c).reshape(axis.n, -1).max(axis=1)
    floor = 4 * axis.n * float(jnp.finfo(u.dtype).eps) * sizes.max()
    c = xp.where((sizes > floor).reshape(-1, *(1,) * (c.ndim - 1)), c, 0.0)
    found = xp.tensordot(rows if host else like(rows, u), c, (1, 0))
    return xp.expand_dims(found, place)


def _shaped(row: np.ndarray, k: int, dim: int) -> np.ndarray:
    return row.reshape([-1 if j == k else 1 for j in range(dim)])


def bent(parts: tuple[Axis, ...], u: Any, orders: tuple[int, ...]) -> Any:
    """A derivative of a function given at the points."""
    for k, (axis, order) in enumerate(zip(parts, orders, strict=True)):
        if order:
            xp = np if isinstance(u, np.ndarray) else jnp
            u = xp.moveaxis(_line(axis, xp.moveaxis(u, k, -1), order), -1, k)
    return u


def _line(axis: Axis, u: Any, order: int) -> Any:
    if isinstance(axis, Walled):
        found = _read(axis.polynomials(axis.points, order), axis, u, u.ndim - 1, 1)[:, 0]
        return np.moveaxis(found, 0, -1) if isinstance(u, np.ndarray) else jnp.moveaxis(found, 0, -1)
    found = axis.backward(axis.forward(u), order)
    found = found.real if axis.complex else found
    return np.asarray(found, float) if isinstance(u, np.ndarray) and not isinstance(found, Tracer) else found


def check_corners(parts: tuple[Axis, ...], t: Any) -> None:
    """One sentence where two walls that meet contradict each other."""
    total = blended(parts, t)
    if isinstance(total, Tracer):
        return
    for k, axis in enumerate(parts):
        if isinstance(axis, Walled):
            wanted = given(parts, k, t)
            off = np.abs(np.asarray(_held(axis, total, k) - wanted))
            size = 1e-6 * (np.abs(np.asarray(total)).max() + np.abs(np.asarray(wanted)).max())
        elif isinstance(axis, Sine | Cosine):
            off, size = _off_at_ends(axis, np.moveaxis(np.asarray(total), k, -1))
        else:
            continue
        if off.size and off.max() > size:
            raise ValueError(
                f"the walls contradict each other in the corners, where those of axis {k} meet others, by "
                f"{off.max():.2g}: values along a wall must satisfy the conditions of the walls that they end at."
            )


def _off_at_ends(axis: Axis, u: np.ndarray) -> tuple[np.ndarray, float]:
    """How far rows are from the conditions of a Sine or a Cosine axis, by the polynomial through the six end points."""
    x, scale, found = axis.points, float(np.abs(u).max()), []
    for end, rows in ((axis.start, slice(0, 6)), (axis.start + axis.length, slice(-6, None))):
        near = min(6, axis.n)
        s = (x[rows][-near:] - end) * axis.n / axis.length
        fit = np.linalg.solve(np.vander(s, near, increasing=True), np.moveaxis(u[..., rows], -1, 0).reshape(near, -1))
        found.append(np.abs(fit[0 if isinstance(axis, Sine) else 1]))
    return np.concatenate(found), 1e-2 * scale * 6 / axis.n + 1e-12
