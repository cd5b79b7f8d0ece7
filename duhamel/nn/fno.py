"""The Fourier neural operator."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .mlp import MLP, affine
from .spectral import FactorisedConv, SpectralConv


class Modulation(eqx.Module):
    """Scale and shift of every channel by a condition, the identity before training

    z <- (1 + a(c)) z + b(c),   (a, b) = W act(c) + w
    """

    linear: MLP

    def __init__(self, condition: int, width: int, *, key: PRNGKeyArray):
        self.linear = affine(condition, 2 * width, key=key, scale=0.0)

    def __call__(
        self, z: Float[Array, "width *lanes_and_space"], c: Float[Array, "condition *lanes"]
    ) -> Float[Array, "width *lanes_and_space"]:
        a, b = jnp.split(self.linear(jax.nn.gelu(c)), 2)
        space = (1,) * (z.ndim - a.ndim)
        return (1 + a.reshape(*a.shape, *space)) * z + b.reshape(*b.shape, *space)


class Layer(eqx.Module):
    """v <- spectral(v) + W v + b, then the modulation if there is a condition."""

    spectral: SpectralConv | FactorisedConv
    skip: MLP
    modulation: Modulation | None


class FNO(eqx.Module):
    """Fourier neural operator (Li et al. 2021, arXiv 2010.08895): a function in, a function out, on any grid

        v_0 = lift(u, x),    v_{i+1} = act(K_i v_i + W_i v_i + b_i),    y = project(v_depth)

    K_i a spectral convolution of `modes` waves, the last one without act; lift and project are perceptrons point by
    point; act = GELU. No normalisation over the batch: it costs an order of magnitude of accuracy.

    fields  (channels, *lanes, *space); a batch stands between channels and space
    modes   waves kept along each axis: (16,) for Burgers, (12, 12) in two dimensions
    width   channels inside, 32-64;  depth  layers, 4

    coordinates   append the coordinates, from 0 to 1 along each axis: for domains whose places differ
    extension     0: a periodic box of points j/n.  Above 0: the points hold both ends j/(n - 1) of a domain, which
                  zeros continue over that share of its length; 0.25 is usual. The box is the same, so that weights
                  move between resolutions, where (n - 1) extension is a whole number.
    condition     features of a vector c (the lead time, parameters) that scales and shifts every layer
    factorised    one axis at a time (F-FNO): fewer weights in 2 and 3 dimensions
    """

    lift: MLP
    layers: tuple[Layer, ...]
    project: MLP
    embed: MLP | None
    coordinates: bool = eqx.field(static=True)
    extension: float | int = eqx.field(static=True)
    dim: int = eqx.field(static=True)

    def __init__(
        self,
        inputs: int,
        outputs: int,
        modes: tuple[int, ...],
        *,
        width: int = 64,
        depth: int = 4,
        coordinates: bool = True,
        extension: float | int = 0.0,
        condition: int = 0,
        factorised: bool = False,
        key: PRNGKeyArray,
    ):
        if min(inputs, outputs, width, depth) < 1:
            raise ValueError(
                f"FNO needs inputs, outputs, width and depth of at least 1, got {inputs}, {outputs}, {width}, {depth}."
            )
        if extension < 0 or condition < 0:
            raise ValueError(f"FNO: extension and condition are 0 or more, got {extension} and {condition}.")
        kind: Callable = FactorisedConv if factorised else SpectralConv
        k_lift, k_project, k_embed, *keys = jax.random.split(key, 3 + depth)
        layers = []
        for k in keys:
            k1, k2, k3 = jax.random.split(k, 3)
            modulation = Modulation(width, width, key=k3) if condition else None
            # 1/2 each: their sum has the variance of one
            spectral = kind(width, width, modes, key=k1, scale=0.5**0.5)
            layers.append(Layer(spectral, affine(width, width, key=k2, scale=0.5**0.5), modulation))
        wide, gelu = {"width": 2 * width, "depth": 1}, jax.nn.gelu
        self.lift = MLP(inputs + len(modes) * coordinates, width, **wide, key=k_lift, activation=gelu)
        self.project = MLP(width, outputs, **wide, key=k_project, activation=gelu)
        self.embed = MLP(condition, width, width=width, depth=1, key=k_embed, activation=gelu) if condition else None
        self.layers = tuple(layers)
        self.coordinates, self.extension, self.dim = coordinates, extension, len(modes)

    def __call__(
        self, u: Float[Array, "inputs *lanes_and_space"], condition: Float[Array, "features *lanes"] | None = None
    ) -> Float[Array, "outputs *lanes_and_space"]:
        if (condition is None) != (self.embed is None):
            wanted = "none" if self.embed is None else f"{self.embed.weights[0].shape[1]} features"
            raise ValueError(f"FNO was built for a condition of {wanted}; build and call it with the same.")
        c = self.embed(condition) if self.embed is not None and condition is not None else None
        space = u.shape[-self.dim :]
        v = self.lift(jnp.concatenate([u, *self._places(u)]) if self.coordinates else u)
        v = self._continued(v)
        for i, layer in enumerate(self.layers):
            v = layer.spectral(v) + layer.skip(v)
            if layer.modulation is not None and c is not None:
                v = layer.modulation(v, c)
            v = jax.nn.gelu(v) if i < len(self.layers) - 1 else v
        v = v[(..., *(slice(n) for n in space))]
        return self.project(v)

    def _places(self, u: Float[Array, "..."]) -> list[Float[Array, "..."]]:
        """One field per axis: where each point is, 0 to 1."""
        found = []
        for axis in range(-self.dim, 0):
            n = u.shape[axis]
            x = jnp.arange(n, dtype=u.dtype) / (n - 1 if self.extension else n)
            found.append(jnp.broadcast_to(x.reshape(n, *(1,) * (-1 - axis)), (1, *u.shape[1:])))
        return found

    def _continued(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """With both ends in the grid n = intervals + 1 points; the continued box has (1 + extension) intervals."""
        if not self.extension:
            return v
        more = [round((n - 1) * self.extension) - 1 for n in v.shape[-self.dim :]]
        if min(more) < 0:
            raise ValueError(
                f"extension = {self.extension} of {v.shape[-self.dim :]} points is not one interval; extend more."
            )
        return jnp.pad(v, [(0, 0)] * (v.ndim - self.dim) + [(0, p) for p in more])
