"""-div(a grad u) + c u = f and its sides, as a `System`: fluxes between neighbours, second order in h.

Between two points a is their harmonic mean: the flux through a jump of a that lies half-way is then exact, which the
arithmetic mean misses (Patankar 1980, section 4.2-3). Cells: the side is half a cell from the point, so the flux there
is 2 a/h (u_side - u), and alpha u_side + beta/a_side flux = value leaves u_side. Vertices: the vertex on a Neumann or
Robin side is an unknown with half a cell. a_side is a on the side itself where a is a function (or the points are
vertices), else a of the cell next to it.
"""

from dataclasses import replace
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .boxes import Box
from .sides import Dirichlet, Neumann, Pair, Periodic, Robin, Side, letter, pairs
from .system import System, inside, part, weights


def discretise(box: Box, sides: Any, a: Any = 1.0, c: Any = 0.0) -> System:
    """The system of -div(a grad u) + c u = f, with Sides or `(lower, upper)` pairs of them an axis.

    a   > 0: a number, an array over all points (cells, or vertices including the sides), a function of the coordinates,
        or a tuple of those, one an axis, for -sum_d d_d(a_d d_d u), in which an array may also be (points of the axis,)
    c   the same, over the unknowns; negative for Helmholtz, c = -k^2
    """
    ends = pairs(box, sides)
    _check_robin(ends)
    kinds = tuple(letter(low) + letter(high) for low, high in ends)
    rows = [box.row(d, kind == "PP") for d, kind in enumerate(kinds)]
    each = a if isinstance(a, tuple) else (a,) * box.dim
    if len(each) != box.dim:
        raise ValueError(f"a is a tuple of {len(each)} entries and the box has {box.dim} axes; give one an axis.")
    given, each = each, [v(*_mesh(rows)) if callable(v) else v for v in each]
    values = [_values(f"a[{d}]" if isinstance(a, tuple) else "a", v, rows, d) for d, v in enumerate(each)]
    for v in values:
        _positive(v)
    cut = [inside(box, kind) for kind in kinds]
    unknown = [r[s] for r, s in zip(rows, cut, strict=True)]
    c = c(*_mesh(unknown)) if callable(c) else c
    numbers = [n for pair in ends for side in pair if isinstance(side, Robin) for n in (side.alpha, side.beta)]
    dtype = jnp.result_type(c, *each, *numbers, float)
    c = _values("c", c, unknown, None)
    w = [weights(box, k, len(r)) for k, r in zip(kinds, unknown, strict=True)]
    links, on, brought = [], [], 0.0
    for axis, (pair, value) in enumerate(zip(ends, values, strict=True)):
        full = _space(value).broadcast_to(value, [len(r) for r in rows])
        full = full[tuple(slice(None) if d == axis else s for d, s in enumerate(cut))]
        aside = reduce(np.multiply.outer, [np.ones(1) if d == axis else x for d, x in enumerate(w)])
        on.append(_on_sides(box, axis, given[axis], full, unknown))
        k, more = _axis(box, axis, pair, full, unknown, on[axis])
        links.append(jnp.asarray(k * aside, dtype))
        brought = brought + more * aside
    alone = np.ndim(c) == 0 and all(_alone(v, d) for d, v in enumerate(values))
    zero = np.ndim(c) == 0 and not isinstance(c, Tracer) and complex(c) == 0
    return System(
        links=tuple(links),
        absorb=jnp.asarray(reduce(np.multiply.outer, w) * c, dtype),
        brought=jnp.asarray(brought) if _space(brought).iscomplexobj(brought) else jnp.asarray(brought, dtype),
        lines=_lines(box, ends, values, on, dtype) if alone else None,
        level=jnp.asarray(c, dtype) if np.ndim(c) == 0 else None,
        uniform=tuple(jnp.asarray(v, dtype) for v in values) if all(np.ndim(v) == 0 for v in values) else None,
        box=box,
        kinds=kinds,
        singular=zero and all(letter in "PN" for kind in kinds for letter in kind),
    )


def _space(*arrays: Any) -> Any:
    """NumPy, which compiles nothing, unless something is traced."""
    return jnp if any(isinstance(x, Tracer) for x in arrays) else np


def _mesh(rows: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    return tuple(np.meshgrid(*rows, indexing="ij", sparse=True))


def _on_sides(box: Box, axis: int, given: Any, a: Any, unknown: list[np.ndarray]) -> tuple[Any, Any]:
    """a on the lower and on the upper side of an axis."""
    near = part(a, axis, 0, 1), part(a, axis, -1, None)
    if not callable(given) or box.centre == "vertex":
        return near
    ends = box.start[axis], box.start[axis] + box.length[axis]
    rows = [[np.array([at]) if d == axis else r for d, r in enumerate(unknown)] for at in ends]
    low, high = (_array(given(*_mesh(row))) + 0 * one for row, one in zip(rows, near, strict=True))
    return low, high


def _axis(box: Box, axis: int, pair: Pair, a: Any, unknown: list[np.ndarray], at_sides: Any) -> tuple[Any, Any]:
    """Links along one axis, and what its two sides bring, both without W of the other axes."""
    h, n = box.spacing[axis], len(unknown[axis])
    inner = 2.0 / (1.0 / part(a, axis, 0, -1) + 1.0 / part(a, axis, 1, None)) / h**2
    first, last = part(a, axis, 0, 1), part(a, axis, -1, None)
    if isinstance(pair[0], Periodic):
        wrap = 2.0 / (1.0 / first + 1.0 / last) / h**2
        return _space(a).concatenate([wrap, inner, wrap], axis=axis), 0.0
    pieces, brought = [inner], 0.0
    for upper, side, near, on in ((False, pair[0], first, at_sides[0]), (True, pair[1], last, at_sides[1])):
        if box.centre == "vertex" and isinstance(side, Dirichlet):
            take = part(inner, axis, -1, None) if upper else part(inner, axis, 0, 1)
        else:
            leak, take = (x / h for x in _end(side, near, on, h if box.centre == "cell" else 0.0))
            pieces = [*pieces, leak] if upper else [leak, *pieces]
        value = _side_value(side, box, axis, upper, unknown)
        at = np.arange(n).reshape([-1 if d == axis else 1 for d in range(box.dim)]) == (n - 1 if upper else 0)
        brought = brought + at * (take * value)
    return _space(*pieces).concatenate(pieces, axis=axis), brought


def _end(side: Side, a: Any, on: Any, h: float) -> tuple[Any, Any]:
    """Flux into the box through a side is take * value - leak * u, u the point at distance h/2 `on` a on the side."""
    one = np.ones(a.shape)
    if isinstance(side, Neumann):
        return 0 * one, on * one
    if isinstance(side, Dirichlet):
        return 2 * a / h, 2 * a / h
    assert isinstance(side, Robin)
    resistance = (side.alpha * h / (2 * a) + side.beta / on) * one
    return side.alpha / resistance, 1 / resistance


def _side_value(side: Any, box: Box, axis: int, upper: bool, unknown: list[np.ndarray]) -> Any:
    """The value over the side, with an axis of length 1 for the axis that it closes."""
    name = f"value on the {'upper' if upper else 'lower'} side of axis {axis}"
    at = box.start[axis] + (box.length[axis] if upper else 0.0)
    rows = [np.array([at]) if d == axis else r for d, r in enumerate(unknown)]
    shape = tuple(len(r) for r in rows)
    value = _array(side.value(*_mesh(rows)) if callable(side.value) else side.value)
    if value.ndim == box.dim - 1 and value.ndim:
        value = _space(value).expand_dims(value, axis)
    try:
        value = _space(value).broadcast_to(value, shape)
    except ValueError:
        given = tuple(n for d, n in enumerate(value.shape) if d != axis or value.ndim != box.dim)
        wanted = tuple(n for d, n in enumerate(shape) if d != axis)
        raise ValueError(f"the {name} has shape {given}; the side has points of shape {wanted}.") from None
    if not isinstance(value, Tracer) and not np.all(np.isfinite(value)):
        raise ValueError(f"the {name} holds NaN or infinity; it must be finite.")
    return value


def _values(name: str, value: Any, rows: list[np.ndarray], axis: int | None) -> Any:
    """A coefficient at the points: a number stays one, an array along one axis keeps 1 elsewhere."""
    value = _array(value)
    shape = tuple(len(r) for r in rows)
    along = tuple(n if d == axis else 1 for d, n in enumerate(shape))
    if axis is not None and value.shape == (shape[axis],) and len(shape) > 1:
        value = value.reshape(along)
    if value.ndim and value.shape not in (shape, along):
        try:
            value = _space(value).broadcast_to(value, shape)
        except ValueError:
            raise ValueError(
                f"{name} has shape {value.shape} and there are points of shape {shape}; give a number, an array of "
                "that shape, or a function of the coordinates."
            ) from None
    if not isinstance(value, Tracer) and not np.all(np.isfinite(value)):
        raise ValueError(f"{name} holds NaN or infinity; coefficients must be finite.")
    return value


def _array(value: Any) -> Any:
    """Inexact numbers; of NumPy unless they are traced."""
    value = jnp.asarray(value) if isinstance(value, Tracer) else np.asarray(jax.device_get(value))
    return value if jnp.issubdtype(value.dtype, jnp.inexact) else value.astype(float)


def _positive(a: Any) -> None:
    if not isinstance(a, Tracer) and not np.all(np.real(a) > 0):
        raise ValueError(
            f"a is {float(np.real(a).min()):g} somewhere; the coefficient of diffusion must be positive at every point."
        )


def _check_robin(ends: tuple[Pair, ...]) -> None:
    for side in (s for pair in ends for s in pair if isinstance(s, Robin)):
        for name, n, instead in (("alpha", side.alpha, "Neumann"), ("beta", side.beta, "Dirichlet")):
            if np.ndim(n) or not (isinstance(n, Tracer) or (np.isfinite(n) and n != 0)):
                raise ValueError(f"Robin: {name} = {n} must be one finite number other than 0; for 0 write {instead}.")


def _alone(value: Any, axis: int) -> bool:
    """Whether a coefficient varies along its own axis only."""
    return value.ndim == 0 or all(n == 1 for d, n in enumerate(value.shape) if d != axis)


def _lines(box: Box, ends: tuple[Pair, ...], values: list[Any], on: list[Any], dtype: Any) -> tuple[Any, ...]:
    """The links of every axis as if it were a box of one dimension."""
    found = []
    for d, (pair, value) in enumerate(zip(ends, values, strict=True)):
        line = Box((box.cells[d],), (box.length[d],), (box.start[d],), box.centre)
        kind = letter(pair[0]) + letter(pair[1])
        row = line.row(0, kind == "PP")
        a = _space(value).broadcast_to(value.reshape(-1), row.shape)
        sides = tuple(one.reshape(-1)[:1] for one in on[d])
        k, _ = _axis(line, 0, (_bare(pair[0]), _bare(pair[1])), a, [row[inside(line, kind)]], sides)
        found.append(jnp.asarray(k, dtype))
    return tuple(found)


def _bare(side: Side) -> Side:
    """The side with the value 0."""
    return replace(side, value=0.0)
