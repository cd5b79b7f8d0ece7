"""Paths through data: the controls X(t) of dx = f(t, x) dX(t), from values at irregular times, some of them missing.

    LinearPath(ts, xs)        straight lines; with `smooth`, the same curve at a speed that is zero at every knot
    RectilinearPath(ts, xs)   time moves, then the values: what an online reader sees
    HermitePath(ts, xs)       cubics whose slope at a knot is that of the piece before it: C1, and causal up to one knot
    NaturalCubicPath(ts, xs)  the natural cubic spline: C2, every piece depends on all the data

ts has shape (n,), xs (n, channels); a missing value is NaN. Batches go through `jax.vmap`. Series of different lengths
share one array: pad xs with NaN (the path then rests) and let ts go on increasing.

Missing values, per channel: straight lines between the observations around them (the natural spline runs through the
observations only); before the first and after the last observation the path is constant; a channel never observed is 0.

Sources: Kidger, Morrill, Foster, Lyons, Neural Controlled Differential Equations, arXiv 2005.08926; Morrill, Kidger,
Yang, Lyons, Neural Controlled Differential Equations for Online Prediction Tasks, arXiv 2106.11028.
"""

from functools import partial
from math import comb
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from .switches import own_arithmetic

SLACK = 8  # a time this many units in the last place outside the data is rounding, not a mistake
COMPARE = 64  # up to so many knots a comparison with all of them is faster than bisection


class Path(eqx.Module):
    """A piecewise polynomial X: [knots[0], knots[-1]] -> R^channels

        X(t) = sum_k coefficients[i, k] theta^k,   theta = (t - knots[i]) / (knots[i+1] - knots[i]) in [0, 1]

    knots         (pieces + 1,), increasing; where the path or one of its derivatives is not smooth
    coefficients  (pieces, degree + 1, channels)

    Outside its data a path has no value: a sentence where t is known, NaN inside `jit`.
    """

    knots: Float[Array, "..."]  # vmap puts batch axes in front of both
    coefficients: Float[Array, "..."]

    @property
    def channels(self) -> int:
        return self.coefficients.shape[-1]

    @property
    def degree(self) -> int:
        return self.coefficients.shape[-2] - 1

    @own_arithmetic
    def __call__(self, t: Any) -> Float[Array, "*times channels"]:
        """X(t), for one time or an array of them."""
        return _value(self, self._checked(t))

    @own_arithmetic
    def derivative(self, t: Any) -> Float[Array, "*times channels"]:
        """dX/dt, from the right at a knot (from the left at the last one)."""
        return _slope(self, self._checked(t))

    @own_arithmetic
    def refined(self, times: Float[Array, " m"]) -> tuple["Path", Int[Array, " m"]]:
        """The same path with `times` among its knots, and the places of the times in the new knots.

        A time that is a knot already makes a piece of length zero, which changes no integral.
        """
        places = self.knots.shape[0]
        knots = jnp.concatenate([self.knots, jnp.asarray(times, self.knots.dtype)])
        order = jnp.argsort(knots)
        where = jnp.argsort(order)[places:]  # the place at which each time was put
        knots = knots[order]
        index, _, h, inside = self._locate(0.5 * (knots[1:] + knots[:-1]))
        start = ((knots[:-1] - self.knots[index])[:, None] / h).astype(self.coefficients.dtype)
        share = ((knots[1:] - knots[:-1])[:, None] / h).astype(self.coefficients.dtype)
        c = self.coefficients[index]
        new = [
            share**j * sum(comb(k, j) * start ** (k - j) * c[:, k] for k in range(j, self.degree + 1))
            for j in range(self.degree + 1)
        ]
        coefficients = jnp.where(inside[:, None], jnp.stack(new, axis=1), jnp.nan)
        return Path(knots, coefficients), where

    def _checked(self, t: Any) -> Array:
        """t as an array; a sentence if it is known to lie outside the data."""
        t = times_of(t)
        if not _concrete(t, self.knots):
            return t
        host, knots = np.asarray(t), np.asarray(self.knots)
        slack = rounding(knots, t)
        outside = ~((host >= knots[0] - slack) & (host <= knots[-1] + slack))
        if outside.any():
            raise ValueError(
                f"t = {host[outside].ravel()[0]:g} lies outside the path's data, which end at {knots[0]:g} and "
                f"{knots[-1]:g}; evaluate and solve within them, or give the path data that reach further."
            )
        return t

    def _locate(self, t: Float[Array, "..."]) -> tuple[Int[Array, "..."], Any, Any, Bool[Array, "..."]]:
        """(piece, theta, length of the piece, whether the path has a value there); all but the first end in an axis
        that broadcasts against channels."""
        slack = rounding(self.knots, t)
        knots, t = wider(self.knots, t)
        inside = (t >= knots[0] - slack) & (t <= knots[-1] + slack)
        how = "compare_all" if knots.shape[0] <= COMPARE else "scan_unrolled"
        index = jnp.clip(jnp.searchsorted(knots, t, side="right", method=how) - 1, 0, knots.shape[0] - 2)
        h = knots[index + 1] - knots[index]
        h = jnp.where(h == 0, 1.0, h)
        theta = ((t - knots[index]) / h)[..., None].astype(self.coefficients.dtype)
        return index, theta, h[..., None].astype(self.coefficients.dtype), inside[..., None]


def times_of(t: Any) -> Array:
    """t as an array of real numbers, in the precision in which it was given."""
    t = jnp.asarray(t)
    return t if jnp.issubdtype(t.dtype, jnp.floating) else t.astype(float)


def rounding(knots: Any, t: Any) -> Any:
    """How far outside the data a time may lie by rounding: its own, or that of the knots."""
    eps = max(float(jnp.finfo(array.dtype).eps) for array in (knots, t))
    return SLACK * eps * (abs(knots[0]) + abs(knots[-1]))


def wider(knots: Any, t: Any) -> tuple[Any, Any]:
    """Both in the wider of their precisions: a time just before a knot must not be rounded to it."""
    dtype = jnp.promote_types(knots.dtype, t.dtype)
    return knots.astype(dtype), t.astype(dtype)


@eqx.filter_jit
def _value(path: Path, t: Array) -> Float[Array, "*times channels"]:
    index, theta, _, inside = path._locate(t)
    c = path.coefficients[index]
    value = c[..., -1, :]
    for k in reversed(range(path.degree)):
        value = value * theta + c[..., k, :]
    return jnp.where(inside, value, jnp.nan)


@eqx.filter_jit
def _slope(path: Path, t: Array) -> Float[Array, "*times channels"]:
    index, theta, h, inside = path._locate(t)
    c = path.coefficients[index]
    value = jnp.zeros_like(c[..., 0, :])
    for k in reversed(range(1, path.degree + 1)):
        value = value * theta + k * c[..., k, :]
    return jnp.where(inside, value / h, jnp.nan)


@own_arithmetic
def LinearPath(ts: Any, xs: Any, *, smooth: bool = False) -> Path:
    """Straight lines through the data.

    smooth  X = x_i + (3 theta^2 - 2 theta^3) (x_{i+1} - x_i): the same curve, but its speed is continuous, and zero at
            every knot. A field f(x) without an explicit time has the same solution at the knots, and steps of any
            method keep their order, while a jump of dX/dt inside or at the end of a step costs it. Take two or more
            steps a piece: a method that looks at the knots only would see a path at rest.
    """
    ts, xs = _data("LinearPath", ts, xs)
    return Path(ts, _lines(ts, xs, smooth))


@own_arithmetic
def RectilinearPath(ts: Any, xs: Any) -> Path:
    """At first time alone moves, with the values as last observed, then the values alone: channels (time, *values).

        X(2i) = (ts[i], xs[i]),   X(2i + 1) = (ts[i+1], xs[i]),   lines between

    The parameter, and the knots 0, 1, ..., 2(n - 1), are no times. X up to 2i depends on data up to ts[i] only, and a
    missing value is the last one observed, so the first row must be whole.
    """
    ts, xs = _data("RectilinearPath", ts, xs)
    if _concrete(xs) and bool(jnp.any(jnp.isnan(xs[0]))):
        missing = np.flatnonzero(np.isnan(np.asarray(xs[0])))
        raise ValueError(
            f"RectilinearPath: the first row of xs misses channel {missing[0]}, and nothing observed before can stand "
            "for it; fill it in (a mean, or 0)."
        )
    return Path(jnp.arange(2 * xs.shape[0] - 1, dtype=ts.dtype), _rectangles(ts, xs))


@own_arithmetic
def HermitePath(ts: Any, xs: Any) -> Path:
    """Cubic Hermite pieces; the slope at a knot is the backward difference, that of the straight line before it.

        X'(ts[i]) = (x_i - x_{i-1}) / (ts[i] - ts[i-1]),   X'(ts[0]) = X'(ts[1])

    A piece depends on the three values up to its end. The standard choice for neural CDEs under adaptive steps.
    """
    ts, xs = _data("HermitePath", ts, xs)
    return Path(ts, _backward(ts, xs))


@own_arithmetic
def NaturalCubicPath(ts: Any, xs: Any) -> Path:
    """The natural cubic spline: twice continuously differentiable, X'' = 0 at both ends."""
    ts, xs = _data("NaturalCubicPath", ts, xs)
    return Path(ts, _splines(ts, xs))


@partial(jax.jit, static_argnames="smooth")
def _lines(ts: Array, xs: Array, smooth: bool) -> Float[Array, "pieces terms channels"]:
    x = _filled(ts, xs)
    step = x[1:] - x[:-1]
    terms = [x[:-1], jnp.zeros_like(step), 3 * step, -2 * step] if smooth else [x[:-1], step]
    return jnp.stack(terms, axis=1)


@jax.jit
def _rectangles(ts: Array, xs: Array) -> Float[Array, "pieces 2 channels"]:
    known = jnp.where(jnp.isnan(xs), 0, jnp.arange(xs.shape[0])[:, None])
    values = jnp.take_along_axis(xs, jax.lax.cummax(known, axis=0), axis=0)
    times = jnp.asarray(ts, xs.dtype)[:, None]
    points = jnp.concatenate([jnp.repeat(times, 2, axis=0)[1:], jnp.repeat(values, 2, axis=0)[:-1]], axis=1)
    return jnp.stack([points[:-1], points[1:] - points[:-1]], axis=1)


@jax.jit
def _backward(ts: Array, xs: Array) -> Float[Array, "pieces 4 channels"]:
    x = _filled(ts, xs)
    h = (ts[1:] - ts[:-1])[:, None].astype(x.dtype)
    step = x[1:] - x[:-1]
    slope = step / h
    before = h * jnp.concatenate([slope[:1], slope[:-1]])
    return jnp.stack([x[:-1], before, 2 * (step - before), before - step], axis=1)


@jax.jit
def _splines(ts: Array, xs: Array) -> Float[Array, "pieces 4 channels"]:
    return jax.vmap(_natural, in_axes=(None, 1), out_axes=2)(ts, _with_ends(xs))


def _natural(ts: Float[Array, " n"], x: Float[Array, " n"]) -> Float[Array, "pieces 4"]:
    """Coefficients of one channel on all pieces; the spline runs through what is not NaN, both ends included.

    With the observed points moved to the front, M = X'' solves for the inner ones of them

        h_{j-1} M_{j-1} + 2 (h_{j-1} + h_j) M_j + h_j M_{j+1} = 6 (s_j - s_{j-1}),    s_j = (x_{j+1} - x_j) / h_j

    and the rows of all others say M = 0. A piece between knots is then a piece of its observed piece.
    """
    n, missing = x.shape[0], jnp.isnan(x)
    order = jnp.argsort(missing, stable=True)
    count = n - jnp.sum(missing)
    t, y = ts[order], jnp.where(missing, 0.0, x)[order].astype(ts.dtype)
    j = jnp.arange(n)
    inner, piece = (j > 0) & (j < count - 1), j[:-1] < count - 1
    h = jnp.where(piece, t[1:] - t[:-1], 1.0)
    s = jnp.where(piece, (y[1:] - y[:-1]) / h, 0.0)
    left, right = jnp.concatenate([jnp.zeros(1, h.dtype), h]), jnp.concatenate([h, jnp.zeros(1, h.dtype)])
    jump = jnp.concatenate([jnp.zeros(1, s.dtype), s[1:] - s[:-1], jnp.zeros(1, s.dtype)])
    lower, diagonal, upper, rhs = (
        jnp.where(inner, row, fill)
        for row, fill in ((left, 0.0), (2 * (left + right), 1.0), (right, 0.0), (6 * jump, 0.0))
    )
    M = jax.lax.linalg.tridiagonal_solve(lower, diagonal, upper, rhs[:, None])[:, 0]
    # The observed piece of piece i is the number of observed knots up to its left end.
    k = jnp.cumsum(~missing)[:-1] - 1
    H, a, b = h[k], M[k], M[k + 1]
    slope = s[k] - H * (2 * a + b) / 6
    d, w = ts[:-1] - t[k], ts[1:] - ts[:-1]
    third = (b - a) / H
    value = y[k] + d * (slope + d * (a / 2 + d * third / 6))
    first = slope + d * (a + d * third / 2)
    second = a + d * third
    return jnp.stack([value, w * first, w**2 * second / 2, w**3 * third / 6], axis=1).astype(x.dtype)


def _data(name: str, ts: Any, xs: Any) -> tuple[Float[Array, " n"], Float[Array, "n channels"]]:
    xs = jnp.asarray(xs)
    if not jnp.issubdtype(xs.dtype, jnp.floating):
        xs = xs.astype(float)
    ts = jnp.asarray(ts)
    ts = ts if jnp.issubdtype(ts.dtype, jnp.floating) else ts.astype(xs.dtype)
    if ts.ndim != 1 or xs.ndim != 2 or ts.shape[0] != xs.shape[0] or ts.shape[0] < 2:
        raise ValueError(
            f"{name} takes ts of shape (n,) and xs of shape (n, channels), n at least 2, got {ts.shape} "
            f"and {xs.shape}; write batches with jax.vmap."
        )
    if _concrete(ts) and not bool(jnp.all(ts[1:] > ts[:-1])):
        raise ValueError(
            f"{name}: ts must increase strictly, without repeats or NaN, in {ts.dtype.name}; sort the times, merge "
            "rows of equal time, and pad with times that go on increasing."
        )
    if _concrete(xs) and bool(jnp.any(jnp.isinf(xs))):
        raise ValueError(f"{name}: xs holds infinite values; a missing value is NaN.")
    return ts, xs


def _with_ends(xs: Float[Array, "n channels"]) -> Float[Array, "n channels"]:
    """The first and last row observed: by the first and last observation, or 0 in a channel without any."""
    n, known = xs.shape[0], ~jnp.isnan(xs)
    first, last = jnp.argmax(known, axis=0), n - 1 - jnp.argmax(known[::-1], axis=0)
    safe = jnp.where(known, xs, 0.0)
    ends = [jnp.take_along_axis(safe, i[None], axis=0) for i in (first, last)]
    return jnp.concatenate([ends[0], xs[1:-1], ends[1]])


def _filled(ts: Float[Array, " n"], xs: Float[Array, "n channels"]) -> Float[Array, "n channels"]:
    """Every missing value on the straight line between the observations around it."""
    xs = _with_ends(xs)
    known, place = ~jnp.isnan(xs), jnp.arange(xs.shape[0])[:, None]
    before = jax.lax.cummax(jnp.where(known, place, 0), axis=0)
    after = jax.lax.cummin(jnp.where(known, place, xs.shape[0] - 1), axis=0, reverse=True)
    safe = jnp.where(known, xs, 0.0)
    x0, x1 = (jnp.take_along_axis(safe, i, axis=0) for i in (before, after))
    width = jnp.where(known, 1.0, ts[after] - ts[before])
    return jnp.where(known, xs, x0 + ((ts[:, None] - ts[before]) / width).astype(xs.dtype) * (x1 - x0))


def _concrete(*values: Any) -> bool:
    return not any(isinstance(v, Tracer) for v in values)
