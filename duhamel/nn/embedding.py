"""Features of a real number, and of a class."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray


def fourier(t: Float[ArrayLike, ""], n: int, low: float = 0.25, high: float = 16.0) -> Float[Array, " {2*n}"]:
    """Fourier features of a real number

        (cos 2 pi f_i t, sin 2 pi f_i t),   f_i geometric from `low` to `high`, i = 1..n

    A network on top of them can resolve changes over 1/high and still tells apart values up to 1/(2 low) away. For
    t = log(sigma)/4, the noise level of a denoiser, the defaults serve sigma from 0.002 to 200.
    """
    f = jnp.geomspace(low, high, n)
    angle = 2 * jnp.pi * f * t
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)])


class Embedding(eqx.Module):
    """One learnt vector for each of `count` classes."""

    table: Float[Array, "count width"]

    def __init__(self, count: int, width: int, *, key: PRNGKeyArray):
        self.table = jax.random.normal(key, (count, width)) / jnp.sqrt(width)

    def __call__(self, index: Int[ArrayLike, ""]) -> Float[Array, " width"]:
        return self.table[index]
