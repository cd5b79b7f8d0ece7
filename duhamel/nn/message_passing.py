"""Message passing between the points of a line, as shifts of whole arrays: no graph is built, nothing is scattered."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .conv import GroupNorm
from .mlp import MLP, affine

Ends = Literal["periodic", "open"]


class Line(eqx.Module):
    """Who a point's neighbours are: the `reach` points on either side, by their order on the line.

    ends       "periodic", or "open": points near an end have fewer neighbours
    positions  of the points as shares of the length, increasing; None: equal distances, on any number of points
    """

    reach: int = eqx.field(static=True, default=3)
    ends: Ends = eqx.field(static=True, default="periodic")
    positions: tuple[float, ...] | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        if self.reach < 1 or self.ends not in ("periodic", "open"):
            raise ValueError(
                f"a line has a reach of at least 1 and ends 'periodic' or 'open', got {self.reach} and {self.ends!r}."
            )
        if self.positions is not None and np.any(np.diff(self.positions) <= 0):
            raise ValueError("positions must increase along the line; sort the points.")

    @property
    def offsets(self) -> tuple[int, ...]:
        return tuple(r for r in range(-self.reach, self.reach + 1) if r)

    def check(self, points: int) -> None:
        if self.positions is not None and len(self.positions) != points:
            raise ValueError(f"the line has {len(self.positions)} positions, and the field {points} points.")
        if points <= 2 * self.reach:
            raise ValueError(
                f"{points} points and a reach of {self.reach}: a point would be its own neighbour; take "
                f"{2 * self.reach + 1} points or more."
            )

    def shifted(self, z: Float[Array, "width *lanes points"]) -> Float[Array, "width neighbours *lanes points"]:
        """z of every neighbour: [:, k, ..., i] = z[..., i + offsets[k]], around the line."""
        return jnp.stack([jnp.roll(z, -r, axis=-1) for r in self.offsets], axis=1)

    def distances(self, points: int) -> Float[np.ndarray, "neighbours points"]:
        """x_i - x_j of every neighbour j, in units of the mean distance of points, so that weights fit every grid."""
        x = np.arange(points) / points if self.positions is None else np.asarray(self.positions)
        there = np.stack([np.roll(x, -r) for r in self.offsets])
        apart = x - there
        if self.ends == "periodic":
            apart = apart - np.rint(apart)
        return points * apart

    def present(self, points: int) -> Float[np.ndarray, "neighbours points"]:
        """1 where the neighbour exists, else 0."""
        at = np.arange(points) + np.asarray(self.offsets)[:, None]
        return np.ones(at.shape) if self.ends == "periodic" else ((at >= 0) & (at < points)).astype(float)


class Exchange(eqx.Module):
    """One layer

        m_ij = act(V act(A h_i + B h_j + C (u_i - u_j) + D (x_i - x_j) + E theta + a) + b),     m_i = mean_j m_ij
        h_i <- norm(h_i + act(W act(F h_i + G m_i + H theta + c) + d))

    norm: every channel to mean 0 and variance 1 over the points. What depends on one point alone is computed there,
    once, and shifted: a message costs one product with V.
    """

    here: MLP
    there: MLP
    apart: Float[Array, " width"]
    message: MLP
    join: MLP
    update: MLP
    norm: GroupNorm

    def __init__(self, width: int, fields: int, condition: int, *, key: PRNGKeyArray):
        keys = jax.random.split(key, 6)
        inputs = 2 * width + fields + 1 + condition
        share = lambda n: (n / inputs) ** 0.5  # noqa: E731  so that the sum of the parts has the variance of one
        self.here = affine(width + fields + condition, width, key=keys[0], scale=share(width + fields + condition))
        self.there = affine(width + fields, width, key=keys[1], scale=share(width + fields))
        self.apart = jax.random.normal(keys[2], (width,)) / inputs**0.5
        self.message = affine(width, width, key=keys[3])
        self.join = affine(2 * width + condition, width, key=keys[4])
        self.update = affine(width, width, key=keys[5])
        self.norm = GroupNorm(width, 1, groups=width)

    def __call__(
        self,
        h: Float[Array, "width *lanes points"],
        u: Float[Array, "fields *lanes points"],
        theta: Float[Array, "condition *lanes points"],
        line: Line,
    ) -> Float[Array, "width *lanes points"]:
        act, n = jax.nn.silu, h.shape[-1]
        lanes = (1,) * (h.ndim - 2)
        across = lambda a: jnp.asarray(a, h.dtype).reshape(-1, *lanes, n)  # noqa: E731  (neighbours, *lanes, points)
        # C acts on u_i - u_j, so the neighbour's part has the other sign
        one = self.here(jnp.concatenate([h, u, theta]))
        other = line.shifted(self.there(jnp.concatenate([h, -u])))
        width = self.apart.reshape(-1, 1, *lanes, 1) * across(line.distances(n))
        m = act(self.message(act(one[:, None] + other + width)))
        present = line.present(n)
        m = jnp.sum(m * across(present / present.sum(axis=0)), axis=1)
        new = act(self.update(act(self.join(jnp.concatenate([h, m, theta])))))
        return self.norm(h + new)


class Slopes(eqx.Module):
    """`width` features of a point to `outputs` numbers in their order, by two convolutions along the features

    A bundle of frames is a sequence, and the weights of a convolution are shared along it. 8 channels in between, a
    kernel of 16, then whatever leaves `outputs` numbers.
    """

    first: Float[Array, "8 16"]
    first_bias: Float[Array, " 8"]
    second: Float[Array, "8 size"]
    second_bias: Float[Array, ""]
    stride: int = eqx.field(static=True)

    def __init__(self, width: int, outputs: int, *, key: PRNGKeyArray):
        self.stride = max(1, width // (outputs + 14))
        between = (width - 16) // self.stride + 1
        if between < outputs:
            raise ValueError(
                f"{width} features make at most {max(between, 0)} outputs; take a width of {outputs + 15} or more."
            )
        size = between - outputs + 1
        one, two = jax.random.split(key)
        self.first = jax.random.normal(one, (8, 16)) / 4
        self.second = jax.random.normal(two, (8, size)) / (8 * size) ** 0.5
        self.first_bias, self.second_bias = jnp.zeros(8), jnp.zeros(())

    def __call__(self, h: Float[Array, "width *lanes points"]) -> Float[Array, "outputs *lanes points"]:
        """As products with banded matrices, which the convolutions are."""
        width, size = h.shape[0], self.second.shape[1]
        between = (width - 16) // self.stride + 1
        first = _banded(self.first, self.stride, between, width)  # (8, between, width)
        z = jax.nn.silu(jnp.tensordot(first, h, axes=1) + self.first_bias.reshape(8, *(1,) * h.ndim))
        second = _banded(self.second, 1, between - size + 1, between)  # (8, outputs, between)
        return jnp.einsum("kob,kb...->o...", second, z) + self.second_bias


def _banded(kernel: Float[Array, "channels size"], stride: int, rows: int, columns: int) -> Float[Array, "..."]:
    """M[c, i, stride i + k] = kernel[c, k]."""
    at = np.arange(columns) - stride * np.arange(rows)[:, None]
    inside = (at >= 0) & (at < kernel.shape[1])
    return jnp.where(inside, kernel[:, np.clip(at, 0, kernel.shape[1] - 1)], 0)


class MessagePassing(eqx.Module):
    """Message passing neural PDE solver on a line (Brandstetter, Worrall, Welling, ICLR 2022, arXiv 2202.03376)

        h_i = embed(u_i, theta, x_i),    `depth` times h <- Exchange(h),    y_i = decode(h_i)

    u_i     what was given at a point: frames of the past, stacked
    theta   `condition` parameters of the equation, the same at every point
    y_i     `outputs` numbers. With `Emulator(residual=True)` they are the slopes d_j of u_{t+j} = u_t + j dt d_j, since
            the scale of the change after j frames grows with j

    fields  (channels, *lanes, points);   width 64-164;   depth 6;   line  neighbours and ends
    places  append x_i: for open ends and forces that sit somewhere. Without it a shift of the field along a periodic
            line shifts the answer. The published solver has it, and the time t.
    """

    embed: MLP
    layers: tuple[Exchange, ...]
    decode: Slopes
    line: Line
    places: bool = eqx.field(static=True)
    condition: int = eqx.field(static=True)
    contrast: float | int = eqx.field(static=True)

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int = 128,
        depth: int = 6,
        condition: int = 0,
        line: Line = Line(),
        places: bool = False,
        contrast: float | int = 1,
        key: PRNGKeyArray,
    ):
        if min(inputs, outputs, width, depth) < 1 or condition < 0:
            raise ValueError(
                "MessagePassing needs inputs, outputs, width and depth of at least 1 and condition of at least 0, got "
                f"{inputs}, {outputs}, {width}, {depth} and {condition}."
            )
        k_embed, k_decode, *keys = jax.random.split(key, 2 + depth)
        silu = jax.nn.silu
        self.embed = MLP(inputs + condition + places, width, width=width, depth=1, key=k_embed, activation=silu)
        self.layers = tuple(Exchange(width, inputs, condition, key=k) for k in keys)
        self.decode = Slopes(width, outputs, key=k_decode)
        self.line, self.places, self.condition, self.contrast = line, places, condition, contrast

    def __call__(
        self, u: Float[Array, "inputs *lanes points"], condition: Float[Array, "condition *lanes"] | None = None
    ) -> Float[Array, "outputs *lanes points"]:
        given = 0 if condition is None else condition.shape[0]
        if given != self.condition:
            raise ValueError(
                f"MessagePassing was built for a condition of {self.condition} numbers and got {given}; build and call "
                "it with the same."
            )
        n = u.shape[-1]
        self.line.check(n)
        u = self._contrasted(u)
        theta = jnp.zeros((0, *u.shape[1:]), u.dtype)
        if condition is not None:
            theta = jnp.broadcast_to(condition[..., None], (given, *u.shape[1:])).astype(u.dtype)
        nodes = [u, theta]
        if self.places:
            x = np.arange(n) / n if self.line.positions is None else np.asarray(self.line.positions)
            nodes.append(jnp.broadcast_to(jnp.asarray(x, u.dtype), (1, *u.shape[1:])))
        h = jax.nn.silu(self.embed(jnp.concatenate(nodes)))
        for layer in self.layers:
            h = layer(h, u, theta, self.line)
        return self.decode(h)

    def _contrasted(self, u: Float[Array, "inputs *lanes points"]) -> Float[Array, "inputs *lanes points"]:
        """The last field, and how far the others are from it: frames close in time are nearly one and the same."""
        if self.contrast == 1:
            return u
        return jnp.concatenate([self.contrast * (u[:-1] - u[-1:]), u[-1:]])
