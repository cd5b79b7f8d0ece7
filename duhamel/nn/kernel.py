"""Neural operators with any kernel: v <- act(W v + int kappa(x, y, a(x), a(y)) v(y) dy), and three of their kernels."""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .mlp import MLP, affine
from .spectral import SpectralConv

Values = Float[Array, "channels *lanes_and_space"]
Places = Float[Array, "features *lanes_and_space"]


class Kernel(eqx.Module):
    """Abstract. K v at every point, from v and from `places`, the coordinates and the input there, (features, ...)."""

    @abstractmethod
    def __call__(self, v: Values, places: Places) -> Values: ...


class Fourier(Kernel):
    """kappa(x - y), of few waves, on the domain continued by a quarter: the kernel of FNO."""

    conv: SpectralConv

    def __init__(self, width: int, features: int, dim: int, *, modes: int = 8, key: PRNGKeyArray):
        del features
        self.conv = SpectralConv(width, width, (modes,) * dim, key=key, scale=0.5**0.5)

    def __call__(self, v: Values, places: Places) -> Values:
        del places
        dim = len(self.conv.modes)
        space = v.shape[-dim:]
        more = [(0, 0)] * (v.ndim - dim) + [(0, round((n - 1) * 0.25) - 1) for n in space]
        return self.conv(jnp.pad(v, more))[(..., *(slice(n) for n in space))]


class LowRank(Kernel):
    """kappa = sum over r <= rank of phi_r(x) psi_r(y)^T, phi and psi perceptrons of places: the kernel of LNO."""

    left: MLP
    right: MLP
    dim: int = eqx.field(static=True)

    def __init__(self, width: int, features: int, dim: int, *, rank: int = 8, key: PRNGKeyArray):
        keys = jax.random.split(key)
        self.left, self.right = (
            MLP(features, rank * width, width=32, depth=1, key=k, activation=jax.nn.gelu) for k in keys
        )
        self.dim = dim

    def __call__(self, v: Values, places: Places) -> Values:
        phi, psi = (net(places).reshape(-1, *v.shape) for net in (self.left, self.right))
        inner = jnp.mean(jnp.sum(psi * v, axis=1), axis=tuple(range(-self.dim, 0)), keepdims=True)
        return jnp.sum(phi * inner[:, None], axis=0)


class Radius(Kernel):
    """Mean over the points within `radius` of kappa(places(x), places(y)) v(y), kappa diagonal: the kernel of GNO

    radius  in units of the side of the domain, whose points hold both ends; channels are mixed by W
    """

    kappa: MLP
    radius: float = eqx.field(static=True)
    dim: int = eqx.field(static=True)

    def __init__(self, width: int, features: int, dim: int, *, radius: float = 0.15, key: PRNGKeyArray):
        self.kappa = MLP(2 * features, width, width=32, depth=1, key=key, activation=jax.nn.gelu)
        self.radius, self.dim = radius, dim

    def __call__(self, v: Values, places: Places) -> Values:
        d = self.dim
        index, inside = neighbours(v.shape[-d:], self.radius)
        at = lambda u: u.reshape(*u.shape[:-d], -1)[..., index]  # noqa: E731  (channels, *lanes, neighbours, points)
        there = at(places)
        here = jnp.broadcast_to(places.reshape(*places.shape[:-d], 1, -1), there.shape)
        weight = self.kappa(jnp.concatenate([here, there])) * inside.astype(v.dtype)
        return (jnp.sum(weight * at(v), axis=-2) / inside.sum(0).astype(v.dtype)).reshape(v.shape)


def neighbours(space: tuple[int, ...], radius: float) -> tuple[np.ndarray, np.ndarray]:
    """For every point those within `radius`, (most neighbours, points): their flat indices, and which lie inside."""
    ranges = [np.arange(-int(radius * (n - 1) + 1e-9), int(radius * (n - 1) + 1e-9) + 1) for n in space]
    steps = np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, len(space))
    sides = np.array(space)
    steps = steps[np.linalg.norm(steps / (sides - 1), axis=1) <= radius + 1e-9]
    points = np.stack(np.meshgrid(*(np.arange(n) for n in space), indexing="ij"), -1).reshape(-1, len(space))
    found = points + steps[:, None]
    inside = np.all((found >= 0) & (found < sides), axis=-1)
    clipped = np.clip(found, 0, sides - 1)
    return np.asarray(np.ravel_multi_index(tuple(np.moveaxis(clipped, -1, 0)), space)), inside


class Multilevel(Kernel):
    """Radius kernels on the grid and on every second, fourth, ... of its points, each with twice the radius, summed

    The kernel of MGNO with fixed transfers: every second point down, linear interpolation up. Sides have 2^k m + 1
    points.
    """

    levels: tuple[Radius, ...]

    def __init__(
        self, width: int, features: int, dim: int, *, radius: float = 0.15, levels: int = 3, key: PRNGKeyArray
    ):
        keys = jax.random.split(key, levels)
        self.levels = tuple(Radius(width, features, dim, radius=radius * 2**i, key=k) for i, k in enumerate(keys))

    def __call__(self, v: Values, places: Places) -> Values:
        d, total = self.levels[0].dim, jnp.zeros_like(v)
        for i, level in enumerate(self.levels):
            every = (..., *(slice(None, None, 2**i),) * d)
            total = total + finer(level(v[every], places[every]), v.shape[-d:])
        return total


def finer(u: Float[Array, "channels *coarse"], space: tuple[int, ...]) -> Float[Array, "channels *fine"]:
    """Linear interpolation to a grid of the same ends."""
    found = jnp.asarray(u)
    for axis, n in zip(range(-len(space), 0), space, strict=True):
        m = found.shape[axis]
        at = np.arange(n) * (m - 1) / (n - 1)
        left = np.minimum(at.astype(int), m - 2)
        share = jnp.asarray((at - left).reshape(-1, *(1,) * (-1 - axis)), u.dtype)
        found = (1 - share) * jnp.take(found, left, axis) + share * jnp.take(found, left + 1, axis)
    return found


class KernelOperator(eqx.Module):
    """lift, then v <- act(W v + b + K v) with a kernel for every layer, the last without act, then project

    Fields (channels, *lanes, *space) on points that hold both ends of the unit box.

    kernel  kernel(width, features, dim, key=...): `Fourier`, `LowRank`, `Radius`, `Multilevel`, or your own

    Source: Kovachki et al. 2023, Neural Operator (arXiv 2108.08481), section 4.
    """

    lift: MLP
    kernels: tuple[Kernel, ...]
    skips: tuple[MLP, ...]
    project: MLP
    dim: int = eqx.field(static=True)

    def __init__(
        self,
        inputs: int,
        outputs: int,
        dim: int,
        kernel: Callable,
        *,
        width: int = 24,
        depth: int = 4,
        key: PRNGKeyArray,
    ):
        k_lift, k_project, *keys = jax.random.split(key, 2 + 2 * depth)
        features = inputs + dim
        self.lift = MLP(features, width, width=2 * width, depth=1, key=k_lift, activation=jax.nn.gelu)
        self.kernels = tuple(kernel(width, features, dim, key=k) for k in keys[:depth])
        self.skips = tuple(affine(width, width, key=k, scale=0.5**0.5) for k in keys[depth:])
        self.project = MLP(width, outputs, width=2 * width, depth=1, key=k_project, activation=jax.nn.gelu)
        self.dim = dim

    def __call__(self, u: Float[Array, "inputs *lanes_and_space"]) -> Float[Array, "outputs *lanes_and_space"]:
        space = u.shape[-self.dim :]
        at = np.meshgrid(*(np.linspace(0, 1, n) for n in space), indexing="ij")
        places = jnp.concatenate([u, *(jnp.broadcast_to(jnp.asarray(x, u.dtype), (1, *u.shape[1:])) for x in at)])
        v = self.lift(places)
        for i, (kernel, skip) in enumerate(zip(self.kernels, self.skips, strict=True)):
            v = skip(v) + kernel(v, places)
            v = jax.nn.gelu(v) if i < len(self.skips) - 1 else v
        return self.project(v)
