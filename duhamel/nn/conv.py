"""Convolutions on grids of points, and the normalisation that goes with them, for fields (channels, *lanes, *space)."""

import math
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

Padding = Literal["periodic", "zeros"]
_SPACE = "DHW"


class Conv(eqx.Module):
    """y_o(x) = b_o + sum over i and offsets r of  W_{o,i,r} u_i(stride x + r),   as many points as u, over stride

    size     points of the kernel along each axis, odd
    padding  "periodic" goes around the box; "zeros" stand beyond the ends of a domain
    Weights from N(0, scale^2 / fan_in), b = 0.
    """

    weight: Float[Array, "out in *kernel"]
    bias: Float[Array, " out"]
    dim: int = eqx.field(static=True)
    stride: int = eqx.field(static=True)
    padding: Padding = eqx.field(static=True)

    def __init__(
        self,
        inputs: int,
        outputs: int,
        dim: int,
        *,
        size: int = 3,
        stride: int = 1,
        padding: Padding = "periodic",
        scale: float | int = 1.0,
        key: PRNGKeyArray,
    ):
        if not 1 <= dim <= 3 or size % 2 == 0 or stride < 1:
            raise ValueError(
                f"Conv works in 1 to 3 dimensions with a kernel of an odd size and a stride of at least 1, got "
                f"dim={dim}, size={size}, stride={stride}."
            )
        fan_in = inputs * size**dim
        self.weight = scale * jax.random.normal(key, (outputs, inputs, *(size,) * dim)) / math.sqrt(fan_in)
        self.bias = jnp.zeros(outputs)
        self.dim, self.stride, self.padding = dim, stride, padding

    def __call__(self, u: Float[Array, "in *lanes_and_space"]) -> Float[Array, "out *lanes_and_smaller"]:
        lanes, space = u.shape[1 : -self.dim], u.shape[-self.dim :]
        around = [(0, 0)] * (u.ndim - self.dim) + [(self.weight.shape[-1] // 2,) * 2] * self.dim
        u = jnp.pad(u, around, mode="wrap" if self.padding == "periodic" else "constant")
        letters, dtype = _SPACE[: self.dim], jnp.result_type(u, self.weight)
        y = jax.lax.conv_general_dilated(
            u.reshape(u.shape[0], -1, *u.shape[-self.dim :]).astype(dtype),
            self.weight.astype(dtype),
            (self.stride,) * self.dim,
            "VALID",
            dimension_numbers=("CN" + letters, "OI" + letters, "CN" + letters),
        )
        y = y + self.bias.reshape(-1, *(1,) * (self.dim + 1))
        return y.reshape(y.shape[0], *lanes, *(-(-n // self.stride) for n in space))


class GroupNorm(eqx.Module):
    """Each group of channels of each lane to mean 0 and variance 1 over its points, then w z + b per channel

    No lane sees another, so that an answer does not depend on its batch. Source: Wu and He 2018 (arXiv 1803.08494).
    """

    weight: Float[Array, " channels"]
    bias: Float[Array, " channels"]
    groups: int = eqx.field(static=True)
    dim: int = eqx.field(static=True)

    def __init__(self, channels: int, dim: int, groups: int = 8):
        """The largest number of groups up to `groups` that divides the channels is taken."""
        self.groups = next(g for g in range(min(groups, channels), 0, -1) if channels % g == 0)
        self.weight, self.bias, self.dim = jnp.ones(channels), jnp.zeros(channels), dim

    def __call__(self, u: Float[Array, "channels *lanes_and_space"]) -> Float[Array, "channels *lanes_and_space"]:
        z = u.reshape(self.groups, -1, *u.shape[1:])
        axes = (1, *range(z.ndim - self.dim, z.ndim))
        z = z - z.mean(axes, keepdims=True)
        z = z * jax.lax.rsqrt((z * z).mean(axes, keepdims=True) + 1e-5)
        each = (-1, *(1,) * (u.ndim - 1))
        return z.reshape(u.shape) * self.weight.reshape(each) + self.bias.reshape(each)


def doubled(u: Float[Array, "channels *lanes_and_space"], dim: int) -> Float[Array, "channels *lanes_and_larger"]:
    """Every point twice along each axis of space."""
    for axis in range(-dim, 0):
        u = jnp.repeat(u, 2, axis=axis)
    return u
