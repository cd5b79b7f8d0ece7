"""Initial conditions: samplers that take a key and a grid and give one field, real, at the grid's points.

A sampler is a function of (key, grid): traceable, batched by `jax.vmap` over keys or by `draw`. What is random is drawn
before the grid is looked at, so that the same key names the same function on every grid.
"""

from abc import abstractmethod
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from duhamel.core.grid import Number
from duhamel.core.types import Field
from duhamel.pde.equation import Box
from duhamel.pde.grid import Grid

Range = tuple[Number, Number]
Boundary = Literal["periodic", "neumann", "dirichlet"]


class Sampler(eqx.Module):
    """Abstract: a random field.

    several  gives all fields of an equation at once, (fields, *points)
    """

    several: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, key: PRNGKeyArray, grid: Box) -> Field:
        """One field of shape `grid.shape`, in JAX's default precision."""


def draw(sampler: Sampler, key: PRNGKeyArray, grid: Box, indices: Any) -> Field:
    """Fields (len(indices), ...): sample i has the key `fold_in(key, i)`, whatever is drawn beside it."""
    return jax.vmap(lambda i: sampler(jax.random.fold_in(key, i), grid))(jnp.asarray(indices))


class RandomSines(Sampler):
    """A few sine waves on a line

        u = sum_j A_j sin(2 pi l_j x/length + phi_j),   A_j uniform in `amplitude`, l_j drawn from `waves`

    terms     how many waves
    constants so many more terms with l = 0, hence a random mean
    absolute  probability with which u is replaced by |u|; the sign of u is then drawn, too (signs=True)
    window    probability with which u is cut to a window: 1 from 10-45 % of the box to 55-90 %, tanh flanks of 1 %

    Named sets: `MP_PDE` (5 terms of 1 to 3 waves, amplitudes in (-1/2, 1/2), no windows) and `PDEBENCH` (2 terms of 1
    to 4 waves, amplitudes in (0, 1); its generator also adds the terms that were not chosen, with l = 0, so 2
    constants). Sources: Brandstetter, Worrall, Welling, ICLR 2022; Takamoto et al., PDEBench, NeurIPS 2022.
    """

    terms: int = eqx.field(static=True, default=5)
    waves: tuple[int, ...] = eqx.field(static=True, default=(1, 2, 3))
    amplitude: Range = (-0.5, 0.5)
    constants: int = eqx.field(static=True, default=0)
    absolute: Number = 0.0
    window: Number = 0.0
    signs: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        if self.terms < 1 or not self.waves or min(self.waves) < 1:
            raise ValueError(
                f"terms = {self.terms}, waves = {self.waves}: give at least one term and numbers of waves from 1 on."
            )

    def __call__(self, key: PRNGKeyArray, grid: Box) -> Field:
        _check_line(self, grid)
        count = self.terms + self.constants
        a, phase, chosen, rest = _uniform(key, count, count, self.terms, 5)
        low, high = self.amplitude
        chosen = jnp.asarray(self.waves)[(len(self.waves) * chosen).astype(int)]
        waves = jnp.concatenate([chosen, jnp.zeros(self.constants, chosen.dtype)])
        s = fractions(grid)[0]
        angle = 2 * np.pi * (waves * s[:, None] + phase)
        u = jnp.sum((low + (high - low) * a) * jnp.sin(angle), axis=1)
        u = jnp.where(rest[0] < self.absolute, jnp.abs(u), u)
        if self.signs:
            u = jnp.where(rest[1] < 0.5, -u, u)
        left, right = 0.1 + 0.35 * rest[2], 0.55 + 0.35 * rest[3]
        mask = 0.5 * (jnp.tanh((s - left) / 0.01) - jnp.tanh((s - right) / 0.01))
        return jnp.where(rest[4] < self.window, mask * u, u)


class Blobs(Sampler):
    """Smooth bumps at random places of a periodic box, near-Gaussian but exactly periodic

        u = offset + sum_j A_j prod_axes exp((cos(k (x - c_j)) - 1)/(k w_j)^2),   k = 2 pi/length

    count  how many;   width  range of w, as a fraction of the shortest side;   amplitude  range of A
    """

    count: int = eqx.field(static=True, default=3)
    width: Range = (0.03, 0.1)
    amplitude: Range = (0.5, 1.0)
    offset: Number = 0.0

    def __check_init__(self):
        if self.count < 1 or not 0 < self.width[0] <= self.width[1]:
            raise ValueError(f"count = {self.count}, width = {self.width}: give one blob or more, of positive widths.")

    def __call__(self, key: PRNGKeyArray, grid: Box) -> Field:
        *centres, w, a = _uniform(key, *(self.count,) * (grid.dim + 2))
        (w0, w1), (a0, a1) = self.width, self.amplitude
        widths, a = min(grid.length) * (w0 + (w1 - w0) * w), a0 + (a1 - a0) * a

        def blob(centre: Array, width: Array) -> Array:
            exponent = jnp.zeros(())
            for s, c, side in zip(fractions(grid, sparse=True), centre, grid.length, strict=True):
                exponent = exponent + (jnp.cos(2 * np.pi * (s - c)) - 1) / (2 * np.pi * width / side) ** 2
            return jnp.exp(exponent)

        return self.offset + jnp.tensordot(a, jax.vmap(blob)(jnp.stack(centres, axis=1), widths), axes=1)


class Clusters(Sampler):
    """Two species of The Well's Gray-Scott set: sums of Gaussians on a periodic box, each stretched to [0, 1]

        G = sum_j A_j exp(-s_j |x - c_j|^2),   (1 - G, G') with G, G' of their own draws

    count      range of how many Gaussians, uniform, both ends included
    amplitude  range of A;   sharpness  range of s, one over a length squared: The Well's on a square of side 2
    A Gaussian is seen from its nearest image; on that box the next one is below e^-150.
    Source: Ohana et al., The Well, NeurIPS 2024; the numbers from the generator published with it.
    """

    several: ClassVar[bool] = True
    count: tuple[int, int] = eqx.field(static=True, default=(10, 100))
    amplitude: Range = (1.0, 3.0)
    sharpness: Range = (150.0, 300.0)

    def __check_init__(self):
        if not 1 <= self.count[0] <= self.count[1]:
            raise ValueError(f"count = {self.count}: the range of how many begins at 1 or more, and does not descend.")

    def __call__(self, key: PRNGKeyArray, grid: Box) -> Field:
        one, two = jax.random.split(key)
        u = jnp.stack([1 - self._sum(one, grid), self._sum(two, grid)])
        space = tuple(range(1, u.ndim))
        low, high = jnp.min(u, axis=space, keepdims=True), jnp.max(u, axis=space, keepdims=True)
        return (u - low) / (high - low)

    def _sum(self, key: PRNGKeyArray, grid: Box) -> Array:
        (few, many), (a0, a1), (s0, s1) = self.count, self.amplitude, self.sharpness
        *centres, a, s, number = _uniform(key, *(many,) * (grid.dim + 2), 1)
        a = jnp.where(jnp.arange(many) < few + jnp.floor(number * (many - few + 1)), a0 + (a1 - a0) * a, 0)
        s, factors = s0 + (s1 - s0) * s, []
        for x, c, side in zip(fractions(grid), centres, grid.length, strict=True):
            away = side * (jnp.mod(x - c[:, None] + 0.5, 1.0) - 0.5)
            factors.append(jnp.exp(-s[:, None] * away**2))
        total = jnp.einsum("jx,j->jx", factors[0], a)
        if grid.dim == 1:
            return jnp.sum(total, axis=0)
        return jnp.einsum(("jx,jy->xy", "jx,jy,jz->xyz")[grid.dim - 2], total, *factors[1:])


class Jumps(Sampler):
    """Piecewise constant along one axis of a periodic box: shocks, contacts and rarefactions start here

    pieces  so many plateaus, their edges uniform along the axis;   values  their range;   axis  along which it jumps
    """

    pieces: int = eqx.field(static=True, default=3)
    values: Range = (-1.0, 1.0)
    axis: int = eqx.field(static=True, default=0)

    def __check_init__(self):
        if self.pieces < 2:
            raise ValueError(f"pieces = {self.pieces}: a jump needs two plateaus.")

    def __call__(self, key: PRNGKeyArray, grid: Box) -> Field:
        edges, heights = _uniform(key, self.pieces, self.pieces)
        edges, (low, high) = jnp.sort(edges), self.values
        heights = low + (high - low) * heights
        s = fractions(grid, sparse=True)[self.axis]
        passed = jnp.sum(s[..., None] >= edges, axis=-1)
        return jnp.broadcast_to(heights[passed % self.pieces], grid.shape)  # the last plateau runs into the first


class Disc(Sampler):
    """`inside` within a disc (ball) about the middle of the box, `outside` beyond: the radial dam break

    radius  its range, in units of length. PDEBench: depth 2 in 1, radius 0.3 to 0.7 on a box of side 5.
    Source: Takamoto et al., PDEBench, NeurIPS 2022.
    """

    inside: Number = 2.0
    outside: Number = 1.0
    radius: Range = (0.3, 0.7)

    def __call__(self, key: PRNGKeyArray, grid: Box) -> Field:
        low, high = self.radius
        (radius,) = low + (high - low) * _uniform(key, 1)[0]
        places = zip(fractions(grid, sparse=True), grid.length, strict=True)
        square = sum((jnp.asarray((s - 0.5) * side)) ** 2 for s, side in places)
        return jnp.where(jnp.asarray(square) <= radius**2, self.inside, self.outside) * jnp.ones(())


class Threshold(Sampler):
    """`above` where a field is >= 0, `below` elsewhere: the two-valued coefficients of FNO's Darcy set (12 and 3)."""

    sampler: Sampler
    above: Number = 12.0
    below: Number = 3.0

    def __call__(self, key: PRNGKeyArray, grid: Box) -> Field:
        return jnp.where(self.sampler(key, grid) >= 0, self.above, self.below) * jnp.ones(())


class Rescaled(Sampler):
    """A field stretched so that its least value on the grid is `low` and its greatest `high`: concentrations."""

    sampler: Sampler
    low: Number = 0.0
    high: Number = 1.0

    def __call__(self, key: PRNGKeyArray, grid: Box) -> Field:
        u = self.sampler(key, grid)
        least, most = jnp.min(u), jnp.max(u)
        return self.low + (self.high - self.low) * (u - least) / jnp.where(most > least, most - least, 1)


class Noise(Sampler):
    """Independent N(0, sigma^2) at every point, PDEBench's diffusion-reaction set: rougher the finer the grid."""

    sigma: Number = 1.0

    def __call__(self, key: PRNGKeyArray, grid: Box) -> Field:
        return self.sigma * jax.random.normal(key, grid.shape)


class Complex(Sampler):
    """a + i b of two independent fields: wave functions."""

    sampler: Sampler

    def __call__(self, key: PRNGKeyArray, grid: Box) -> Field:
        one, two = jax.random.split(key)
        return self.sampler(one, grid) + 1j * self.sampler(two, grid)


class Stacked(Sampler):
    """`count` independent fields, one for each unknown of an equation."""

    several: ClassVar[bool] = True
    sampler: Sampler
    count: int = eqx.field(static=True, default=2)

    def __call__(self, key: PRNGKeyArray, grid: Box) -> Field:
        return jax.vmap(lambda k: self.sampler(k, grid))(jax.random.split(key, self.count))


class Patches(Sampler):
    """(1 - b/2, b/4), b the blobs cut off at 1: the substrate and the species that feeds on it, of Gray and Scott."""

    several: ClassVar[bool] = True
    sampler: Sampler = Blobs(count=10, width=(0.02, 0.06), amplitude=(1.0, 2.0))

    def __call__(self, key: PRNGKeyArray, grid: Box) -> Field:
        b = jnp.minimum(self.sampler(key, grid), 1)
        return jnp.stack([1 - b / 2, b / 4])


class Solenoidal(Sampler):
    """A velocity without divergence on a periodic box in three dimensions: the curl of three fields, of unit root mean
    square speed."""

    several: ClassVar[bool] = True
    sampler: Sampler

    def __call__(self, key: PRNGKeyArray, grid: Box) -> Field:
        if grid.dim != 3 or not isinstance(grid, Grid):
            raise ValueError("Solenoidal is written for periodic boxes in three dimensions; this box is another.")
        a = grid.to_modes(Stacked(self.sampler, 3)(key, grid))
        d = [[grid.slope(a[i], axis) for axis in range(3)] for i in range(3)]
        u = jnp.stack([d[2][1] - d[1][2], d[0][2] - d[2][0], d[1][0] - d[0][1]])
        return u / jnp.sqrt(jnp.mean(jnp.sum(u**2, axis=0)))


def _uniform(key: PRNGKeyArray, *counts: int) -> list[Array]:
    """Uniform numbers in (0, 1) in pieces of these lengths, drawn at once: a program with one generator in it."""
    return jnp.split(jax.random.uniform(key, (sum(counts),)), np.cumsum(counts)[:-1])


def fractions(grid: Box, sparse: bool = False) -> list[np.ndarray]:
    """(x - start)/length of every axis, flat or shaped to broadcast."""
    rows = zip(grid.coordinates(), grid.start, grid.length, strict=True)
    return [((x - a) / side) if sparse else ((x - a) / side).reshape(-1) for x, a, side in rows]


def _check_line(sampler: Sampler, grid: Box) -> None:
    if grid.dim != 1:
        raise ValueError(
            f"{type(sampler).__name__} is written on a line, and the grid has {grid.dim} axes; use TruncatedFourier "
            "or GaussianField."
        )
