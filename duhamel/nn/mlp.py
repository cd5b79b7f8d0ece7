"""Multilayer perceptrons whose trailing axes are lanes."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


class MLP(eqx.Module):
    """A multilayer perceptron on the first axis

        z_0 = x,   z_{i+1} = act(W_i z_i + b_i),   y = W_n z_n + b_n

    x has shape (inputs, *lanes) and y (outputs, *lanes): a vector field written with it runs unchanged on one state
    and on a whole ensemble stored lanes last, where every layer is one matrix product.

    Weights are drawn from N(0, 1 / fan_in). `last_scale` multiplies the last layer's: 0 makes a network that starts as
    exactly zero (a correction to a known equation begins as no correction), 0.1 a neural ODE whose first solve is tame.
    """

    weights: tuple[Float[Array, "out in"], ...]
    biases: tuple[Float[Array, " out"], ...]
    activation: Callable = eqx.field(static=True)

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int,
        depth: int,
        key: PRNGKeyArray,
        activation: Callable = jax.nn.tanh,
        last_scale: float = 1.0,
    ):
        """depth counts hidden layers; good values for vector fields of a few components: width 8-64, depth 1-3."""
        if min(inputs, outputs, width) < 1 or depth < 0:
            raise ValueError(
                f"MLP needs inputs, outputs, width >= 1 and depth >= 0, got inputs={inputs}, outputs={outputs}, "
                f"width={width}, depth={depth}."
            )
        sizes = [inputs, *[width] * depth, outputs]
        scales = [1.0] * depth + [last_scale]
        keys = jax.random.split(key, depth + 1)
        self.weights = tuple(
            scale * jax.random.normal(k, (m, n)) / jnp.sqrt(n)
            for k, n, m, scale in zip(keys, sizes[:-1], sizes[1:], scales, strict=True)
        )
        self.biases = tuple(jnp.zeros(m) for m in sizes[1:])
        self.activation = activation

    def __call__(self, x: Float[Array, "inputs *lanes"]) -> Float[Array, "outputs *lanes"]:
        # one axis of lanes: of more, XLA transposes whole fields in the gradient, which then takes three times as long
        z = x.reshape(len(x), -1) if x.ndim > 2 else x
        lanes = (1,) * (z.ndim - 1)
        for i, (W, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            if i:
                z = self.activation(z)
            z = W @ z + b.reshape(-1, *lanes)
        return z.reshape(-1, *x.shape[1:])


def affine(inputs: int, outputs: int, *, key: PRNGKeyArray, scale: float | int = 1.0) -> MLP:
    """y = W x + b on the first axis, W from N(0, scale^2 / inputs): a perceptron without hidden layers."""
    return MLP(inputs, outputs, width=1, depth=0, key=key, last_scale=float(scale))
