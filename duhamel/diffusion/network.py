"""A small patch transformer, and the preconditioning that makes a denoiser of it."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray

from duhamel.nn.embedding import Embedding, fourier
from duhamel.nn.mlp import MLP
from duhamel.nn.transformer import Block, Linear, normalise


class PatchTransformer(eqx.Module):
    """A transformer over the square patches of one square image ("DiT", Peebles and Xie 2023, arXiv 2212.09748)

        tokens = W patches(x) + positions,   c = mlp(fourier(c_noise)) + class vector,   blocks(tokens, c) -> patches

    x  image of shape (size, size), values of order 1;   label  0..classes-1, or `classes` for "no class";
    returns an image of the same shape, exactly zero before training. 315 652 parameters at the defaults.
    """

    patches: Linear
    positions: Float[Array, "tokens width"]
    time: MLP
    classes: Embedding
    blocks: tuple[Block, ...]
    modulate: Linear
    out: Linear
    size: int = eqx.field(static=True)
    patch: int = eqx.field(static=True)
    frequencies: int = eqx.field(static=True)

    def __init__(
        self,
        size: int = 8,
        patch: int = 2,
        *,
        classes: int = 10,
        width: int = 64,
        depth: int = 4,
        heads: int = 4,
        frequencies: int = 16,
        key: PRNGKeyArray,
    ):
        if size % patch:
            raise ValueError(
                f"PatchTransformer: size {size} is not a multiple of patch {patch}; choose a patch that divides it."
            )
        keys = jax.random.split(key, depth + 6)
        self.patches = Linear(patch * patch, width, key=keys[0])
        self.positions = jax.random.normal(keys[1], ((size // patch) ** 2, width))
        self.time = MLP(2 * frequencies, width, width=width, depth=1, key=keys[2], activation=jax.nn.silu)
        self.classes = Embedding(classes + 1, width, key=keys[3])
        self.modulate = Linear(width, 2 * width, key=keys[4], scale=0.0)
        self.out = Linear(width, patch * patch, key=keys[5], scale=0.0)
        self.blocks = tuple(Block(width, heads, width, key=k) for k in keys[6:])
        self.size, self.patch, self.frequencies = size, patch, frequencies

    def __call__(
        self, x: Float[Array, "size size"], c_noise: Float[ArrayLike, ""], label: Int[ArrayLike, ""]
    ) -> Float[Array, "size size"]:
        p, n = self.patch, self.size // self.patch
        tokens = x.reshape(n, p, n, p).transpose(0, 2, 1, 3).reshape(n * n, p * p)
        c = self.time(fourier(c_noise, self.frequencies).astype(x.dtype)) + self.classes(label)
        z = self.patches(tokens) + self.positions
        for block in self.blocks:
            z = block(z, c)
        scale, shift = jnp.split(self.modulate(jax.nn.silu(c)), 2)
        z = self.out((1 + scale) * normalise(z) + shift)
        return z.reshape(n, n, p, p).transpose(0, 2, 1, 3).reshape(self.size, self.size)


class Preconditioned(eqx.Module):
    """The denoiser E[x0 | x0 + sigma eps = x] of Karras et al. 2022 (arXiv 2206.00364, table 1)

        D(sigma, x) = c_skip x + c_out F(c_in x, c_noise, label)
        c_skip = s^2 / (sigma^2 + s^2),  c_out = sigma s / sqrt(sigma^2 + s^2),  c_in = 1 / sqrt(sigma^2 + s^2),
        c_noise = log(sigma) / 4,        s = sigma_data, the standard deviation of the data

    so that F sees and answers numbers of order 1 at every sigma. One image; batch by `jax.vmap`.
    sigma is clipped to `sigma_range` inside c_noise only: beyond it D changes by O(1/sigma), which c_skip carries.
    """

    network: PatchTransformer
    sigma_data: float = eqx.field(static=True)
    sigma_range: tuple[float, float] = eqx.field(static=True, default=(0.002, 80.0))

    def __call__(
        self, sigma: Float[ArrayLike, ""], x: Float[Array, "size size"], label: Int[ArrayLike, ""]
    ) -> Float[Array, "size size"]:
        s = self.sigma_data
        sigma = jnp.asarray(sigma, x.dtype)
        total = sigma**2 + s**2
        c_noise = jnp.log(jnp.clip(sigma, *self.sigma_range)) / 4
        F = self.network(x * jax.lax.rsqrt(total), c_noise, label)
        return (s**2 / total) * x + (sigma * s * jax.lax.rsqrt(total)) * F


class Conditioned(eqx.Module):
    """The denoiser D(t, x) = E[x0 | x_t = x] that plans call, for a batch whose classes are fixed

        x_t = alpha(t) x0 + sigma(t) eps    =>    D(t, x) = D_edm(sigma(t) / alpha(t), x / alpha(t), label)

    x of shape (batch, size, size), labels (batch,), t a number or (batch,).
    """

    model: Preconditioned
    labels: Int[Array, " batch"]
    schedule: Any = eqx.field(static=True)  # has alpha(t) and sigma(t)
    prediction: ClassVar[str] = "data"

    def __call__(
        self, t: Float[ArrayLike, "..."], x: Float[Array, "batch size size"]
    ) -> Float[Array, "batch size size"]:
        alpha, sigma = (
            jnp.broadcast_to(jnp.asarray(c, x.dtype), self.labels.shape)
            for c in (self.schedule.alpha(t), self.schedule.sigma(t))
        )
        return jax.vmap(self.model)(sigma / alpha, x / alpha[:, None, None], self.labels)
