"""The U-Net as emulators of flows use it."""

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .conv import Conv, GroupNorm, Padding, doubled
from .fno import Modulation
from .mlp import MLP, affine


class Residual(eqx.Module):
    """y = s(u) + conv(act(modulated(norm(conv(act(norm(u)))))));   s the identity, or a 1 x 1 map to other channels

    The second convolution starts at zero, so that a block starts as s.
    """

    norms: tuple[GroupNorm, GroupNorm]
    convs: tuple[Conv, Conv]
    skip: MLP | None
    modulation: Modulation | None

    def __init__(self, inputs: int, outputs: int, dim: int, condition: int, padding: Padding, *, key: PRNGKeyArray):
        k1, k2, k3, k4 = jax.random.split(key, 4)
        self.norms = (GroupNorm(inputs, dim), GroupNorm(outputs, dim))
        self.convs = (
            Conv(inputs, outputs, dim, padding=padding, key=k1),
            Conv(outputs, outputs, dim, padding=padding, scale=0.0, key=k2),
        )
        self.skip = None if inputs == outputs else affine(inputs, outputs, key=k3)
        self.modulation = Modulation(condition, outputs, key=k4) if condition else None

    def __call__(
        self, u: Float[Array, "inputs *lanes_and_space"], c: Float[Array, "condition *lanes"] | None
    ) -> Float[Array, "outputs *lanes_and_space"]:
        z = self.convs[0](jax.nn.gelu(self.norms[0](u)))
        z = self.norms[1](z)
        if self.modulation is not None and c is not None:
            z = self.modulation(z, c)
        return (u if self.skip is None else self.skip(u)) + self.convs[1](jax.nn.gelu(z))


class UNet(eqx.Module):
    """Convolutions on grids that are halved and doubled again, with a path across at every size

        down: two residual blocks a level, then every second point;   middle: one;   up: double, join, two blocks

    fields     (channels, *lanes, *space), each side a multiple of 2^(levels - 1)
    width      channels on the finest grid, 32-64;   factors  times that on each level
    padding    "periodic" or "zeros", as the domain is
    condition  features of a vector c (lead time, parameters) that scales and shifts every block

    The last convolution starts at zero: with `residual` an emulator starts as "nothing moves". Kernels belong to
    points, so a U-Net answers for the resolution it was trained on.

    Source: Ronneberger et al. 2015; blocks as in Gupta and Brandstetter 2022 (arXiv 2209.15616, "modern U-Net").
    """

    first: Conv
    down: tuple[tuple[Residual, Residual], ...]
    halve: tuple[Conv, ...]
    middle: Residual
    join: tuple[Conv, ...]
    up: tuple[tuple[Residual, Residual], ...]
    norm: GroupNorm
    last: Conv
    embed: MLP | None
    dim: int = eqx.field(static=True)

    def __init__(
        self,
        inputs: int,
        outputs: int,
        dim: int,
        *,
        width: int = 32,
        factors: tuple[int, ...] = (1, 2, 2, 4),
        padding: Padding = "periodic",
        condition: int = 0,
        key: PRNGKeyArray,
    ):
        if min(inputs, outputs, width, *factors) < 1 or condition < 0:
            raise ValueError(
                f"UNet needs inputs, outputs, width and factors of at least 1 and condition >= 0, got {inputs}, "
                f"{outputs}, {width}, {factors}, {condition}."
            )
        sizes = [width * f for f in factors]
        keys = iter(jax.random.split(key, 6 * len(sizes) + 4))
        embedded = 4 * width if condition else 0
        conv = lambda a, b, **more: Conv(a, b, dim, padding=padding, key=next(keys), **more)  # noqa: E731
        block = lambda a, b: Residual(a, b, dim, embedded, padding, key=next(keys))  # noqa: E731
        self.first = conv(inputs, width)
        before = [width, *sizes[:-1]]
        self.down = tuple((block(a, b), block(b, b)) for a, b in zip(before, sizes, strict=True))
        self.halve = tuple(conv(n, n, stride=2) for n in sizes[:-1])
        self.middle = block(sizes[-1], sizes[-1])
        self.join = tuple(conv(b, a) for a, b in pairwise(sizes))
        self.up = tuple((block(2 * n, n), block(n, n)) for n in sizes[:-1])
        self.norm = GroupNorm(width * factors[0], dim)
        self.last = conv(width * factors[0], outputs, scale=0.0)
        embed = {"width": embedded, "depth": 1, "activation": jax.nn.gelu}
        self.embed = MLP(condition, embedded, **embed, key=next(keys)) if condition else None
        self.dim = dim

    def __call__(
        self, u: Float[Array, "inputs *lanes_and_space"], condition: Float[Array, "features *lanes"] | None = None
    ) -> Float[Array, "outputs *lanes_and_space"]:
        self._check(u, condition)
        c = self.embed(condition) if self.embed is not None and condition is not None else None
        z, across = self.first(u), []
        for level, blocks in enumerate(self.down):
            for block in blocks:
                z = block(z, c)
            if level < len(self.halve):
                across.append(z)
                z = self.halve[level](z)
        z = self.middle(z, c)
        for join, blocks, beside in reversed(list(zip(self.join, self.up, across, strict=True))):
            z = jnp.concatenate([join(doubled(z, self.dim)), beside])
            for block in blocks:
                z = block(z, c)
        return self.last(jax.nn.gelu(self.norm(z)))

    def _check(self, u: Float[Array, "..."], condition: Float[Array, "..."] | None) -> None:
        if (condition is None) != (self.embed is None):
            wanted = "none" if self.embed is None else f"{self.embed.weights[0].shape[1]} features"
            raise ValueError(f"UNet was built for a condition of {wanted}; build and call it with the same.")
        multiple = 2 ** len(self.halve)
        if any(n % multiple for n in u.shape[-self.dim :]):
            raise ValueError(
                f"UNet halves {len(self.halve)} times, and sides {u.shape[-self.dim :]} are not multiples of "
                f"{multiple}; use fewer levels or another grid."
            )
