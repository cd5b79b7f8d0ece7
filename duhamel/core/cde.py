"""Controlled differential equations, as problems that every method for dx/dt = f solves.

    dx = f(t, x, args) dX(t)        X a path (`core.path`); f returns one column for each channel of X

`CDE` follows the path itself: dx/dt = f(t, x, args) X'(t). `LogODE` replaces the path, window by window, by its
log-signature: on each window a smooth field that moves x as the path does, up to its iterated integrals longer
than `depth`.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from .calling import restored, with_args
from .path import Path, rounding, times_of, wider
from .problem import Deterministic
from .signature import factors, lyndon_words, window_logsignatures
from .switches import own_arithmetic


def CDE(f: Callable, path: Any) -> Deterministic:
    """dx = f(t, x, args) dX(t), or f(t, x).

    f     returns, for each leaf of x, its shape and one more axis: the channels of the path
    path  a `Path`, anything with `derivative(t)`, or a function of args that returns one: what differs between lanes
          of an ensemble goes through args, `CDE(f, lambda args: args["path"])`

    A linear path's slope jumps at its knots, and costs a step that sees both sides its order: use
    `PID(stops=path.knots)`, or on fixed grids `LinearPath(..., smooth=True)` with two or more steps a piece.
    """
    return Deterministic(N=Controlled(with_args(f, "f", "columns"), _source("CDE", path, "derivative")))


@own_arithmetic
def LogODE(f: Callable, path: Any, depth: int = 2, windows: Any = None, *, smooth: bool = False) -> Deterministic:
    """The log-ODE method for dx = f(x, args) dX: on each window of length T

        dx/dt = sum over Lyndon words w of c_w [f]_w(x) / T,    [f]_uv = D[f]_v [f]_u - D[f]_u [f]_v

    with c the path's log-signature over the window. Depth 1 moves along the chord. The error of depth N is O(T^N) for
    any path that moves O(T) in time T; for a smooth one it is O(T^2), O(T^4), O(T^4), O(T^6) at depths 1 to 4.

    f        as in `CDE`; time belongs into the path, as a channel: brackets do not see f's own t. It must be
             differentiable depth - 1 times
    path     a `Path` and `windows` (how many equal ones, or their bounds), or a `LogPath` with both already in it, or a
             function of args that returns a LogPath
    depth    1 to about 4. Depth 2 costs one derivative of f per channel; good values 1-3
    smooth   The field jumps at the bounds. Use `PID(stops=bounds)`, or steps of Midpoint on a fixed grid, which looks
             inside a step only; or let smooth make the speed within a window 6 theta (1 - theta) instead of 1, zero
             at the bounds, so that every method keeps its order. Then take two or more steps a window: one alone,
             which looks at the bounds or the middle only, misjudges how far x moves

    Sources: Castell, Gaines, Prob. Th. Rel. Fields 105 (1996); Morrill, Salvi, Kidger, Foster, Lyons, Neural Rough
    Differential Equations for Long Time Series, arXiv 2009.08295.
    """
    f = with_args(f, "f", "columns")
    if isinstance(path, Path):
        path = LogPath.of(path, depth, windows)
    elif windows is not None:
        raise ValueError(
            "LogODE: windows belong to a Path, and a LogPath has its own; pass LogODE(f, path, depth, windows) with a "
            "Path, or make each lane's path LogPath.of(path, depth, windows)."
        )
    return Deterministic(N=LogControlled(f, _source("LogODE", path, "values"), smooth))


class Controlled(eqx.Module):
    """f(t, x, args) X'(t)."""

    f: Callable
    path: Any

    def __call__(self, t: Any, x: Any, args: Any) -> Any:
        path = self.path(restored(args)) if not hasattr(self.path, "derivative") else self.path
        dX = path.derivative(t)
        return jax.tree.map(lambda g, leaf: _along(g, leaf, dX), _columns(self.f(t, x, args), x, dX.shape[-1]), x)


class LogPath(eqx.Module):
    """What is left of a path for the log-ODE method: its log-signature over each window.

    bounds    (windows + 1,), increasing
    values    (windows, Lyndon words of length 1 to depth)
    """

    bounds: Float[Array, "..."]
    values: Float[Array, "..."]
    channels: int = eqx.field(static=True)
    depth: int = eqx.field(static=True)

    @staticmethod
    @own_arithmetic
    def of(path: Path, depth: int, windows: Any) -> "LogPath":
        """windows: how many equal ones, or their bounds. Batches: jax.vmap(lambda p: LogPath.of(p, 2, 8))(paths)."""
        bounds = window_bounds(path, windows)
        return LogPath(bounds, window_logsignatures(path, bounds, depth), path.channels, depth)


def window_bounds(path: Path, windows: Any) -> Float[Array, " bounds"]:
    """Bounds of windows in the path's own time: a number of equal ones, or given, and then checked."""
    knots = path.knots
    if isinstance(windows, int | np.integer) and not isinstance(windows, bool):
        if windows < 1:
            raise ValueError(f"windows must be at least 1, got {windows}.")
        return knots[0] + (knots[-1] - knots[0]) * (jnp.arange(windows + 1, dtype=knots.dtype) / windows)
    if windows is None or np.ndim(windows) != 1 or np.size(windows) < 2:
        got = "None" if windows is None else f"shape {np.shape(windows)}"
        raise ValueError(f"windows must be a number of windows, or at least two bounds in a 1-D array, got {got}.")
    bounds = jnp.asarray(windows, knots.dtype)
    if not any(isinstance(v, Tracer) for v in (bounds, knots)):
        if not bool(jnp.all(bounds[1:] > bounds[:-1])):
            raise ValueError("the bounds of windows must increase strictly.")
        path(bounds[jnp.array([0, -1])])  # a sentence if they lie outside the data
    return bounds


class LogControlled(eqx.Module):
    """The field of the log-ODE method."""

    f: Callable
    path: Any
    smooth: bool = eqx.field(static=True)

    def __call__(self, t: Any, x: Any, args: Any) -> Any:
        path = self.path(restored(args)) if not hasattr(self.path, "values") else self.path
        time = times_of(t)
        slack = rounding(path.bounds, time)
        bounds, time = wider(path.bounds, time)
        inside = (time >= bounds[0] - slack) & (time <= bounds[-1] + slack)
        i = jnp.clip(jnp.searchsorted(bounds, time, side="right", method="compare_all") - 1, 0, bounds.shape[0] - 2)
        length = bounds[i + 1] - bounds[i]
        speed = 1.0 / length
        if self.smooth:
            theta = jnp.clip((time - bounds[i]) / length, 0.0, 1.0)
            speed = speed * 6.0 * theta * (1.0 - theta)
        c = path.values[i] * jnp.where(inside, speed, jnp.nan).astype(path.values.dtype)
        brackets = lie_brackets(lambda y: _columns(self.f(t, y, args), y, path.channels), path.channels, path.depth)
        fields = jax.tree.map(lambda *levels: jnp.concatenate(levels, axis=-1), *brackets(x))
        return jax.tree.map(lambda g, leaf: _along(g, leaf, c), fields, x)


def lie_brackets(f: Callable, channels: int, depth: int) -> Callable:
    """x -> [level 1, ..., level depth]: the brackets of the columns of f(x) over the Lyndon words of each length.

    A level is like x with one more axis for the words. Level k needs the derivatives of the levels below, each along
    each: one linearisation of all of them, pushed forward along every word of length below k at once.
    """
    if depth == 1:
        return lambda x: [f(x)]
    lower = lie_brackets(f, channels, depth - 1)
    splits = _splits(channels, depth)

    def brackets(x: Any) -> list[Any]:
        if not splits:  # one channel: everything commutes
            values = lower(x)
            return [*values, jax.tree.map(lambda leaf: leaf[..., :0], values[0])]
        values, push = jax.linearize(lower, x)
        along = [jax.vmap(push, in_axes=-1, out_axes=-1)(value) for value in values]
        # along[a][b]: (..., words of level b, words of level a), the derivative of the former along the latter
        parts = []
        for (a, b), (u, v) in splits.items():

            def part(
                forward: Array, backward: Array, u: Int[np.ndarray, " n"] = u, v: Int[np.ndarray, " n"] = v
            ) -> Array:
                return forward[..., v, u] - backward[..., u, v]

            parts.append(jax.tree.map(part, along[a - 1][b - 1], along[b - 1][a - 1]))
        order = _order(channels, depth)
        top = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=-1)[..., order], *parts)
        return [*values, top]

    return brackets


def _split_words(channels: int, depth: int) -> dict[tuple[int, int], list[int]]:
    """Words of the top level, by the lengths of their two factors."""
    top = [w for w in lyndon_words(channels, depth) if len(w) == depth]
    groups: dict[tuple[int, int], list[int]] = {}
    for i, w in enumerate(top):
        u, v = factors(w)
        groups.setdefault((len(u), len(v)), []).append(i)
    return groups


def _splits(channels: int, depth: int) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
    """For each pair of lengths, the places of the factors in their levels."""
    found = lyndon_words(channels, depth)
    levels = [[w for w in found if len(w) == k] for k in range(1, depth + 1)]
    place = [{w: i for i, w in enumerate(level)} for level in levels]
    out = {}
    for (a, b), members in _split_words(channels, depth).items():
        pairs = [factors(levels[-1][i]) for i in members]
        out[a, b] = tuple(np.array([place[k - 1][pair[side]] for pair in pairs]) for side, k in ((0, a), (1, b)))
    return out


def _order(channels: int, depth: int) -> np.ndarray:
    """Puts the words, grouped by their factors, back in alphabetical order."""
    groups = _split_words(channels, depth).values()
    return np.argsort(np.concatenate([np.array(members) for members in groups]))


def _along(columns: Array, leaf: Any, c: Array) -> Array:
    """sum_i columns[..., i] c_i, in the leaf's precision."""
    return jnp.sum(columns * c.astype(columns.dtype), axis=-1).astype(jnp.result_type(leaf))


def _columns(got: Any, x: Any, channels: int) -> Any:
    """f's answer, checked: one column a channel for each leaf of x."""
    if jax.tree.structure(got) != jax.tree.structure(x):
        raise ValueError(
            f"f returned a {jax.tree.structure(got)} where the state is a {jax.tree.structure(x)}; return the same "
            "structure, each leaf with one more axis for the channels of the path."
        )
    for g, leaf in zip(jax.tree.leaves(got), jax.tree.leaves(x), strict=True):
        if jnp.shape(g) != (*jnp.shape(leaf), channels):
            raise ValueError(
                f"f returned shape {jnp.shape(g)} for a state of shape {jnp.shape(leaf)} and a path of {channels} "
                f"channels; return {(*jnp.shape(leaf), channels)}, a column for each channel."
            )
    return jax.tree.map(jnp.asarray, got)


def _source(name: str, path: Any, attribute: str) -> Any:
    if hasattr(path, attribute) or (callable(path) and not isinstance(path, Path | LogPath)):
        return path
    raise TypeError(
        f"{name}: path must be a {'LogPath or a Path' if attribute == 'values' else 'Path'}, or a function of args "
        f"that returns one, got {type(path).__name__}; make one with HermitePath(ts, xs) or LinearPath(ts, xs)."
    )
