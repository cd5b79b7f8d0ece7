"""Geometric multigrid: short waves of the error die by relaxation, long ones on a grid with half the points.

    cycle:  relax;  coarse right side = P^T (b - S u)/2^axes;  coarse cycle;  u += P (coarse u);  relax

P interpolates as a constant flux through the links would: linearly where a is constant, with the right kink at a jump
of a and towards a side. Its transpose restricts; with the colours in reverse order on the way up, one cycle is a
symmetric preconditioner. A coarse link is the flux through the fine ones on its way: in series along the axis, so
resistances 1/k add up and a is averaged harmonically, and side by side across it. An axis is halved only while its
spacing is not much longer than the shortest: every grid then couples its axes alike, and long boxes converge as fast.
Source: Trottenberg, Oosterlee and Schueller, Multigrid, 2001, sections 2.8 and 7.7; Wesseling, An Introduction to
Multigrid Methods, 1992; interpolation by fluxes: Alcouffe, Brandt, Dendy and Painter, SIAM J. Sci. Stat. Comput. 2
(1981) 430.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from duhamel.core.types import Field

from .boxes import Box
from .relax import BLACK, RED, check_relaxation, sweeper, until
from .solving import Operator, Solver
from .system import System, part, surrounded


class Multigrid(Solver):
    """V or W cycles. `iterations` counts cycles; on Poisson each reduces the residual by about 15 to 30.

    cycle     "V" or "W" (two visits of each coarse grid: for jumps of a across few cells)
    smoother  "red-black" or "jacobi" (damped by 4/5, in three dimensions 6/7)
    sweeps    relaxations before and after each visit
    dense     at most so many unknowns are solved by a dense factorization at the bottom
    """

    cycle: str = eqx.field(static=True, default="V")
    smoother: str = eqx.field(static=True, default="red-black")
    sweeps: int = eqx.field(static=True, default=2)
    dense: int = eqx.field(static=True, default=600)
    max_steps: int = eqx.field(static=True, default=100)

    def __check_init__(self) -> None:
        if self.cycle not in ("V", "W"):
            raise ValueError(f"Multigrid: cycle = {self.cycle!r}; there are 'V' and 'W'.")
        if self.smoother not in ("red-black", "jacobi"):
            raise ValueError(f"Multigrid: smoother = {self.smoother!r}; there are 'red-black' and 'jacobi'.")
        if self.sweeps < 1:
            raise ValueError(f"Multigrid: sweeps = {self.sweeps}; it needs at least one before and after.")

    def check(self, system: System) -> None:
        self.check_box(system)

    def check_box(self, system: System) -> None:
        check_relaxation(system, "Multigrid")
        left = coarsest(system)
        if left > self.dense:
            raise ValueError(
                f"Multigrid: {system.box.cells} cells can be halved down to {left} unknowns only; choose numbers of "
                "cells that are a power of two times a small number, or take PCG(Jacobi())."
            )

    def run(self, system: System, b: Field, rtol: Float[Array, ""]) -> tuple[Field, Int[Array, ""]]:
        levels = hierarchy(system)
        bottom = _bottom(levels[-1])
        return until(system, b, rtol, self.max_steps, lambda u: self._visit(levels, bottom, u, b, RED))

    def preconditioner(self, system: System) -> Operator:
        levels = hierarchy(system)
        bottom = _bottom(levels[-1])
        return lambda r: self._visit(levels, bottom, jnp.zeros_like(r), r, BLACK)

    def _visit(self, levels: list[System], bottom: Operator, u: Field, b: Field, after: int) -> Field:
        """One cycle. `after`: the colour that relaxes first on the way up; BLACK is symmetric, RED converges faster."""
        if len(levels) == 1:
            return u + bottom(b - levels[0].mv(u))
        fine, coarse = levels[:2]
        u = self._relax(fine, u, b, RED)
        rest = restrict(fine, coarse, b - fine.mv(u))
        again = lambda below: self._visit(levels[1:], bottom, below, rest, after)  # noqa: E731
        below = jnp.zeros_like(rest)
        twice = self.cycle == "W" and len(levels) > 2
        below = lax.fori_loop(0, 2, lambda _, below: again(below), below) if twice else again(below)
        return self._relax(fine, u + interpolate(fine, coarse, below), b, after)

    def _relax(self, system: System, u: Field, b: Field, first: int) -> Field:
        if self.smoother == "jacobi":
            scale = (2 * system.box.dim / (2 * system.box.dim + 1)) / system.diagonal()
            return lax.fori_loop(0, self.sweeps, lambda _, u: u + scale * (b - system.mv(u)), u)
        smooth = sweeper(system)
        return lax.fori_loop(0, 2 * self.sweeps, lambda i, u: smooth(u, b, (first + i) % 2, 1.0), u)


def halvable(system: System) -> tuple[bool, ...]:
    """Which axes to halve: an even number of cells, and a spacing below twice the shortest of those that are left."""
    can = [n % 2 == 0 and n >= 4 for n in system.box.cells]
    h = system.box.spacing
    shortest = min((s for s, yes in zip(h, can, strict=True) if yes), default=0.0)
    return tuple(yes and s < 1.5 * shortest for s, yes in zip(h, can, strict=True))


def coarsest(system: System) -> int:
    """Unknowns of the last grid."""
    cells, h = list(system.box.cells), list(system.box.spacing)
    while True:
        can = [n % 2 == 0 and n >= 4 for n in cells]
        if not any(can):
            break
        shortest = min(s for s, yes in zip(h, can, strict=True) if yes)
        for d, yes in enumerate(can):
            if yes and h[d] < 1.5 * shortest:
                cells[d], h[d] = cells[d] // 2, 2 * h[d]
    held = system.box.centre == "vertex"
    points = [n - kind.count("D") + (kind != "PP") if held else n for n, kind in zip(cells, system.kinds, strict=True)]
    return int(np.prod(points))


def hierarchy(system: System) -> list[System]:
    levels = [system]
    while any(halvable(levels[-1])):
        levels.append(coarsen(levels[-1]))
    return levels


def coarsen(fine: System) -> System:
    """The system on half the points along the axes that may be halved."""
    axes = halvable(fine)
    cells = tuple(n // 2 if yes else n for n, yes in zip(fine.box.cells, axes, strict=True))
    box = Box(cells, fine.box.length, fine.box.start, fine.box.centre)
    links = []
    for d, k in enumerate(fine.links):
        if axes[d]:
            k = _in_series(k, d, fine.box.centre == "cell", fine.kinds[d])
        for other, yes in enumerate(axes):
            if yes and other != d:
                k = _side_by_side(k, other, fine)
        links.append(k)
    absorb = fine.absorb
    for d, yes in enumerate(axes):
        absorb = _side_by_side(absorb, d, fine) if yes else absorb
    empty = {"brought": jnp.zeros_like(absorb), "lines": None, "level": None, "uniform": None}
    return dataclasses.replace(fine, links=tuple(links), absorb=absorb, box=box, **empty)


def _in_series(k: Array, axis: int, cell: bool, kind: str) -> Array:
    """Coarse links along one axis: half the harmonic sum of those that lie on the way.

    From the middle of a coarse cell: half a fine link, a whole one, half a fine link; at a side the last half and the
    link to the side. From a vertex: two fine links; a link that stands for a Robin side is only rescaled to 2 h.
    """
    take = lambda start, stop, step: k[(slice(None),) * axis + (slice(start, stop, step),)]  # noqa: E731
    n = k.shape[axis] - 1
    if cell:
        inner, odd = take(2, n - 1, 2), take(1, None, 2)
        before, after = part(odd, axis, 0, -1), part(odd, axis, 1, None)
        middle = 0.5 / (0.5 / before + 1 / inner + 0.5 / after)
        if kind == "PP":
            wrap = 0.5 / (0.5 / part(odd, axis, -1, None) + 1 / take(0, 1, 1) + 0.5 / part(odd, axis, 0, 1))
            return jnp.concatenate([wrap, middle, wrap], axis=axis)
        first, last = take(0, 1, 1), take(n, n + 1, 1)
        near, far = part(odd, axis, 0, 1), part(odd, axis, -1, None)
        ends = [0.5 * e * q / (q + 0.5 * e) for e, q in ((first, near), (last, far))]  # no division by a closed side
        return jnp.concatenate([ends[0], middle, ends[1]], axis=axis)
    if kind == "PP":  # unknowns 0, 2, 4, ...: links 2j and 2j+1 lie before the next one
        both = 0.5 / (1 / take(1, n, 2) + 1 / take(2, n + 1, 2))
        return jnp.concatenate([part(both, axis, -1, None), both], axis=axis)
    low, high = kind[0] != "D", kind[1] != "D"
    inner = part(k, axis, 1 if low else None, -1 if high else None)
    odd, even = _every_second(inner, axis, 0), _every_second(inner, axis, 1)
    pieces = [0.5 * take(0, 1, 1)] if low else []
    pieces.append(0.5 / (1 / odd + 1 / even))
    pieces += [0.5 * take(n, n + 1, 1)] if high else []
    return jnp.concatenate(pieces, axis=axis)


def _side_by_side(k: Array, axis: int, fine: System) -> Array:
    """Means over what one coarse unknown stands for, in an axis of unknowns."""
    if fine.box.centre == "cell":
        return 0.5 * (_every_second(k, axis, 0) + _every_second(k, axis, 1))
    return 0.5 * _gather(k, axis, fine)


def interpolate(fine: System, coarse: System, u: Field) -> Field:
    """P: along every axis that was halved, what a current through the links between two coarse points would leave."""
    halved = [n != m for n, m in zip(fine.box.cells, coarse.box.cells, strict=True)]
    for d in (d for d, yes in enumerate(halved) if yes):
        k = fine.links[d]
        for other in range(d + 1, u.ndim):  # those before have been interpolated already
            k = _side_by_side(k, other, fine) if halved[other] else k
        u = (_cells if fine.box.centre == "cell" else _vertices)(u, d, fine.kinds[d], k)
    return u


def restrict(fine: System, coarse: System, r: Field) -> Field:
    """P^T/2 for every axis that was halved."""
    shape = jax.ShapeDtypeStruct(coarse.shape, r.dtype)
    axes = sum(n != m for n, m in zip(fine.box.cells, coarse.box.cells, strict=True))
    (back,) = jax.linear_transpose(lambda u: interpolate(fine, coarse, u), shape)(r)
    return back / 2**axes


def _gather(k: Array, axis: int, fine: System) -> Array:
    """The transpose of interpolation between vertices."""
    n = k.shape[axis]
    shape = list(k.shape)
    kind = fine.kinds[axis]
    shape[axis] = n // 2 if kind == "PP" else fine.box.cells[axis] // 2 - 1 + (kind[0] != "D") + (kind[1] != "D")
    like = jax.ShapeDtypeStruct(tuple(shape), k.dtype)
    (back,) = jax.linear_transpose(lambda u: _vertices(u, axis, kind, None), like)(k)
    return back


def _cells(u: Field, axis: int, kind: str, k: Array) -> Field:
    """Half a link from a coarse point to its fine one, a link, half a link to the next coarse point: 3/4 and 1/4 for
    equal links. Beyond a side stands what the side holds, 0."""
    odd, even = _every_second(k, axis, 1), _every_second(k, axis, 0)
    wide, links = surrounded(u, axis, kind == "PP"), surrounded(odd, axis, kind == "PP")
    before, after = part(links, axis, 0, -2), part(links, axis, 2, None)
    if kind != "PP":  # a link to a side has no second half
        before, after = _endless(before, axis, 0), _endless(after, axis, -1)
    left, right = (
        _share(u, odd, link, beyond, other)
        for link, beyond, other in (
            (part(even, axis, 0, -1), before, part(wide, axis, 0, -2)),
            (part(even, axis, 1, None), after, part(wide, axis, 2, None)),
        )
    )
    return _interleave(left, right, axis)


def _share(u: Field, own: Array, link: Array, beyond: Array, other: Field) -> Field:
    """(1 - theta) u + theta other, theta = (1/2 own)/(1/2 own + 1/link + 1/2 beyond) in resistances; link may be 0."""
    theta = 0.5 * link / (0.5 * link + own + 0.5 * link * own / beyond)
    return u + theta * (other - u)


def _endless(k: Array, axis: int, place: int) -> Array:
    return k.at[(slice(None),) * axis + (place,)].set(jnp.inf)


def _vertices(u: Field, axis: int, kind: str, k: Array | None) -> Field:
    """Every second vertex is copied, the others lie between two: weighted by the links to them, or means (k None).

    A held vertex counts as 0.
    """
    if kind == "PP":
        first, second = u, jnp.roll(u, -1, axis)
        inner = None if k is None else part(k, axis, 1, None)
    else:
        zero = jnp.zeros_like(part(u, axis, 0, 1))
        u = jnp.concatenate([zero] * (kind[0] == "D") + [u] + [zero] * (kind[1] == "D"), axis=axis)
        first, second = part(u, axis, 0, -1), part(u, axis, 1, None)
        inner = None if k is None else part(k, axis, int(kind[0] != "D"), -1 if kind[1] != "D" else None)
    if inner is None:
        between = 0.5 * (first + second)
    else:
        a, b = _every_second(inner, axis, 0), _every_second(inner, axis, 1)
        between = (a * first + b * second) / (a + b)
    woven = _interleave(first, between, axis)
    if kind == "PP":
        return woven
    woven = jnp.concatenate([woven, part(u, axis, -1, None)], axis=axis)
    return part(woven, axis, 1 if kind[0] == "D" else None, -1 if kind[1] == "D" else None)


def _every_second(k: Array, axis: int, start: int) -> Array:
    return k[(slice(None),) * axis + (slice(start, None, 2),)]


def _interleave(a: Field, b: Field, axis: int) -> Field:
    shape = list(a.shape)
    shape[axis] *= 2
    return jnp.stack([a, b], axis=axis + 1).reshape(shape)


def _bottom(system: System) -> Operator:
    """A dense solve; a singular one keeps the mean 0."""
    n = int(np.prod(system.shape))
    eye = jnp.eye(n, dtype=system.dtype).reshape(n, *system.shape)
    dense = jax.vmap(system.mv)(eye).reshape(n, n)
    if system.singular:
        w = jnp.asarray(system.weight, system.dtype).reshape(-1)
        dense = dense + jnp.max(jnp.abs(dense)) / jnp.sum(w) * jnp.outer(w, w) / n
    factors = jax.scipy.linalg.cho_factor(dense)
    return lambda b: jax.scipy.linalg.cho_solve(factors, b.reshape(-1)).reshape(b.shape)
