"""How far a predicted field is from the true one: errors, spectra, correlation times, drifts, and scores of ensembles.

Fields are arrays with batch axes in front. `axes` says which axes one number is made of: those of space for one number
per sample, time and channel, or those of channels and time as well where they count as one long vector. Functions that
need wavenumbers take a `Grid`, whose axes come last. Everything works under jit, vmap and grad, in the precision of
what it is given, and means over samples are left to the caller.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact

from duhamel.core.grid import Number
from duhamel.core.linear import like
from duhamel.core.types import Field

from .equation import Equation
from .grid import Grid

Fields = Inexact[Array | np.ndarray, "..."]
Axes = int | tuple[int, ...]

BANDS = (4, 12)
"""PDEBench's bands: low |m| < 4, middle 4 <= |m| < 12, high from 12 on, m = (waves per box) along each axis."""


def relative_l2(prediction: Fields, truth: Fields, axes: Axes | None = None) -> Field:
    """||prediction - truth||/||truth||, the error of the FNO papers; axes None: one number for each first index.

    Source: Li et al., Fourier neural operator, ICLR 2021.
    """
    a, b = _pair(prediction, truth)
    over = tuple(range(1, b.ndim)) if axes is None else axes
    return jnp.sqrt(_sum(_square(a - b), over) / _sum(_square(b), over))


def nrmse(prediction: Fields, truth: Fields, axes: Axes) -> Field:
    """Root mean square error over the root mean square of the truth, per channel and time: give the axes of space.

    Over the same axes it equals `relative_l2`; the convention differs. Source: PDEBench, NeurIPS 2022.
    """
    return relative_l2(prediction, truth, axes)


def vrmse(prediction: Fields, truth: Fields, axes: Axes, floor: Number = 1e-7) -> Field:
    """sqrt(<|prediction - truth|^2>/(<|truth - mean(truth)|^2> + floor)): 1 is as good as predicting the mean.

    Source: Ohana et al., The Well, NeurIPS 2024.
    """
    a, b = _pair(prediction, truth)
    variance = jnp.mean(_square(b - jnp.mean(b, axis=axes, keepdims=True)), axis=axes)
    return jnp.sqrt(jnp.mean(_square(a - b), axis=axes) / (variance + floor))


def pearson(prediction: Fields, truth: Fields, axes: Axes) -> Field:
    """Correlation of the two fields over the axes of space, in [-1, 1]; 0 where one of them is constant."""
    a, b = _pair(prediction, truth)
    a, b = (u - jnp.mean(u, axis=axes, keepdims=True) for u in (a, b))
    sizes = _sum(_square(a), axes) * _sum(_square(b), axes)
    positive = sizes > 0
    product = jnp.sum(jnp.real(jnp.conj(a) * b), axis=axes)
    return jnp.where(positive, product / jnp.sqrt(jnp.where(positive, sizes, 1)), 0)


def correlation_time(correlation: Fields, times: Any, threshold: Number = 0.8) -> Field:
    """The first time at which a correlation (..., time) falls below the threshold, linearly interpolated.

    times: increasing. Where it stays above, the last time: a lower bound. Where it begins below, the first time.
    Source: Kochkov et al., PNAS 118 (2021); Lippe et al., PDE-Refiner, NeurIPS 2023.
    """
    c = jnp.asarray(correlation)
    t = jnp.asarray(times, c.dtype)
    if t.ndim != 1 or t.shape[0] != c.shape[-1]:
        raise ValueError(
            f"correlation has {c.shape[-1]} entries on its last axis and times has shape {t.shape}; give one each."
        )
    below = c < threshold
    after = jnp.where(jnp.any(below, axis=-1), jnp.argmax(below, axis=-1), c.shape[-1] - 1)
    before = jnp.maximum(after - 1, 0)
    c0, c1 = (jnp.take_along_axis(c, i[..., None], axis=-1)[..., 0] for i in (before, after))
    crossing = (c0 >= threshold) & (c1 < threshold)
    part = jnp.where(crossing, (c0 - threshold) / jnp.where(crossing, c0 - c1, 1), 1)
    return t[before] + part * (t[after] - t[before])


def sobolev_norm(u: Fields, grid: Grid, s: Number, homogeneous: bool = False) -> Field:
    """The H^s norm of a field on a periodic box, for any real s

        ||u||^2 = volume sum_k (1 + |k|^2)^s |c_k|^2,   u = sum_k c_k e^(ikx)

    homogeneous: weights |k|^(2s) instead, without the mean (a seminorm). s = 0 is the L2 norm, s = 1 adds the gradient,
    s = -1 is the dual norm of H^1 and hardly sees what is rough. Sums run over the axes of the box.
    """
    modes, real = _modes(u, grid)
    square = -grid.laplacian(real)
    if homogeneous:
        weight = np.where(square > 0, np.where(square > 0, square, 1) ** (s / 2), 0)
    else:
        weight = (1 + square) ** (s / 2)
    scaled = like(weight, modes) * modes
    return jnp.sqrt(jnp.real(grid.inner(scaled, scaled, real)))


def sobolev_error(prediction: Fields, truth: Fields, grid: Grid, s: Number, homogeneous: bool = False) -> Field:
    """||prediction - truth||/||truth|| in H^s: a loss for s > 0 (rough errors count more) or s < 0 (less)."""
    a, b = _pair(prediction, truth)
    return sobolev_norm(a - b, grid, s, homogeneous) / sobolev_norm(b, grid, s, homogeneous)


def frmse(prediction: Fields, truth: Fields, grid: Grid, bands: Sequence[Number] = BANDS) -> Field:
    """Root mean square error in bands of wavenumbers, (..., len(bands) + 1)

        frmse_b^2 = sum over m with b_low <= |m| < b_high of |c_m|^2,   prediction - truth = sum_m c_m e^(ikx)

    m are the integers of the modes, both signs along every axis, so that the squares of the bands add up to the mean
    square error. PDEBench's own code visits only the quadrant where all m >= 0, hence half of a 2-D error or less.
    """
    a, b = _pair(prediction, truth)
    edges = np.asarray(bands, float)
    if edges.ndim != 1 or np.any(np.diff(edges) <= 0) or np.any(edges <= 0):
        raise ValueError(f"bands = {tuple(bands)} are where one band ends and the next begins; let them increase.")
    modes, real = _modes(a - b, grid)
    sizes = np.sqrt(np.sum(np.broadcast_arrays(*(m**2 for m in grid.numbers(real))), axis=0))
    return jnp.sqrt(_shells(modes, np.searchsorted(edges, sizes, side="right"), len(edges) + 1, grid, real))


def energy_spectrum(u: Fields, grid: Grid) -> tuple[np.ndarray, Field]:
    """(k, E): energy in shells of wavenumbers, so that sum(E) is the mean of |u|^2/2 (every mode is in a shell).

    k  centres of the shells j dk, j = 0, 1, ..., dk = 2 pi/(longest side); a mode is in the nearest shell
    E  (..., shells). For a density per unit k divide by dk; add the spectra of a vector's components.
    """
    modes, real = _modes(u, grid)
    dk = 2 * np.pi / max(grid.length)
    shell = np.floor(np.sqrt(-grid.laplacian(real)) / dk + 0.5).astype(int)
    count = int(shell.max()) + 1
    return dk * np.arange(count), 0.5 * _shells(modes, shell, count, grid, real)


def drift(values: Fields, relative: bool = True) -> Field:
    """I(t) - I(0) of an integral (..., time), over |I(0)| if relative; an invariant that starts at 0 wants False."""
    v = jnp.asarray(values)
    change = v - v[..., :1]
    return change / jnp.abs(v[..., :1]) if relative else change


def invariants_drift(equation: Equation, grid: Grid, u: Fields, relative: bool = True) -> dict[str, Field]:
    """`drift` of every invariant of an equation, for fields (..., time, *space)."""
    found = equation.invariants(grid, equation.to_modes(grid, u))
    return {name: drift(values, relative) for name, values in found.items()}


def crps(ensemble: Fields, truth: Fields, axis: int = 0, fair: bool = True) -> Field:
    """Continuous ranked probability score at every point, E|X - y| - E|X - X'|/2; 0 is perfect

    ensemble: members along `axis`, real. fair: the second mean runs over pairs of different members, which makes the
    score of a sample unbiased. Sorted members give it in O(M log M).

    Source: Gneiting and Raftery, JASA 102 (2007); Ferro, Q. J. R. Meteorol. Soc. 140 (2014).
    """
    x, y = jnp.moveaxis(jnp.asarray(ensemble), axis, 0), jnp.asarray(truth)
    members = _members(x, fair)
    ranks = np.arange(1, members + 1).reshape(-1, *(1,) * (x.ndim - 1))
    pairs = members * (members - 1 if fair else members)
    within = jnp.sum(like(2.0 * ranks - members - 1, x) * jnp.sort(x, axis=0), axis=0) / pairs
    return jnp.mean(jnp.abs(x - y), axis=0) - within


def spread_skill(ensemble: Fields, truth: Fields, axes: Axes, axis: int = 0) -> tuple[Field, Field, Field]:
    """(spread, skill, ratio) of an ensemble with its members along `axis`

        spread^2 = mean of the members' unbiased variance,  skill^2 = mean (ensemble mean - truth)^2
        ratio = sqrt((M + 1)/M) spread/skill: 1 if truth and members are drawn alike, below 1: overconfident

    axes: those of `truth` over which the means run. Source: Fortin et al., J. Hydrometeorol. 15 (2014).
    """
    x, y = jnp.moveaxis(jnp.asarray(ensemble), axis, 0), jnp.asarray(truth)
    members = _members(x, True)
    spread = jnp.sqrt(jnp.mean(jnp.var(x, axis=0, ddof=1), axis=axes))
    skill = jnp.sqrt(jnp.mean(_square(jnp.mean(x, axis=0) - y), axis=axes))
    return spread, skill, float(np.sqrt(1 + 1 / members)) * spread / skill


def _pair(prediction: Fields, truth: Fields) -> tuple[Field, Field]:
    a, b = jnp.asarray(prediction), jnp.asarray(truth)
    if a.shape != b.shape:
        raise ValueError(f"prediction has shape {a.shape} and truth {b.shape}; compare fields of one shape.")
    return a, b


def _square(u: Field) -> Field:
    return jnp.real(u) ** 2 + jnp.imag(u) ** 2 if jnp.iscomplexobj(u) else u**2


def _sum(u: Field, axes: Axes) -> Field:
    return jnp.sum(u, axis=axes)


def _members(x: Field, several: bool) -> int:
    if x.shape[0] < 1 + several:
        raise ValueError(f"ensemble has {x.shape[0]} members along its axis; it needs at least {1 + several}.")
    return x.shape[0]


def _modes(u: Fields, grid: Grid) -> tuple[Field, bool]:
    u = jnp.asarray(u)
    if u.shape[-grid.dim :] != grid.shape:
        raise ValueError(f"u has shape {u.shape}; its last axes must be those of the grid, {grid.shape}.")
    real = not jnp.iscomplexobj(u)
    return grid.to_modes(u, real), real


def _shells(modes: Field, shell: np.ndarray, count: int, grid: Grid, real: bool) -> Field:
    """Sums of |c_m|^2 over the modes of each shell, both signs, (..., count)."""
    share = np.full(modes.shape[-grid.dim :], 1.0)
    if real:  # half of the last axis is kept, and stands for two but for its first and Nyquist columns
        share *= 2
        share[..., 0] = 1
        if grid.shape[-1] % 2 == 0:
            share[..., -1] = 1
    power = _square(modes)
    power = power * like(share / float(np.prod(grid.shape)) ** 2, power)
    flat = jnp.moveaxis(power.reshape(*power.shape[: -grid.dim], -1), -1, 0)
    return jnp.moveaxis(jax.ops.segment_sum(flat, shell.reshape(-1), count), 0, -1)
