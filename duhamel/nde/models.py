"""Vector fields of two populations in logarithms, u = (log hare, log lynx), from all known to all learnt.

Logarithms keep populations positive, and make the error of a count relative. All three are f(t, u) for u of
shape (2,) or (2, lanes); rates are per year, populations in thousands of pelts.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from duhamel.nn.mlp import MLP

CENTRE = (3.4, 2.8)  # log populations of the order of 30 and 16 thousand pelts
SPREAD = (0.6, 0.8)


def scaled(u: Float[Array, "2 *lanes"]) -> Float[Array, "2 *lanes"]:
    """u to order 1, for a network."""
    column = (2,) + (1,) * (u.ndim - 1)
    return (u - jnp.asarray(CENTRE, u.dtype).reshape(column)) / jnp.asarray(SPREAD, u.dtype).reshape(column)


class LotkaVolterra(eqx.Module):
    """du1/dt = alpha - beta e^u2,   du2/dt = -gamma + delta e^u1     (Lotka 1925, Volterra 1926)

    log_rates  log(alpha, beta, gamma, delta): rates are positive
    """

    log_rates: Float[Array, "4"]

    def __call__(self, t: Any, u: Float[Array, "2 *lanes"]) -> Float[Array, "2 *lanes"]:
        alpha, beta, gamma, delta = jnp.exp(self.log_rates)
        return jnp.stack([alpha - beta * jnp.exp(u[1]), -gamma + delta * jnp.exp(u[0])])


class Universal(eqx.Module):
    """A universal differential equation (Rackauckas et al. 2020, arXiv 2001.04385): growth and death are kept, the
    interactions are a network's

        du1/dt = alpha - beta e^u2 exp(n_1(u)),   du2/dt = -gamma + delta e^u1 exp(n_2(u))

    n = 0 is Lotka-Volterra, and the penalty on the network's weights pulls it there.
    """

    log_rates: Float[Array, "4"]
    network: MLP

    def __call__(self, t: Any, u: Float[Array, "2 *lanes"]) -> Float[Array, "2 *lanes"]:
        alpha, beta, gamma, delta = jnp.exp(self.log_rates)
        n = self.network(scaled(u))
        return jnp.stack([alpha - beta * jnp.exp(u[1] + n[0]), -gamma + delta * jnp.exp(u[0] + n[1])])


class NeuralODE(eqx.Module):
    """du/dt = network(u): nothing is known (Chen et al. 2018, arXiv 1806.07366)."""

    network: MLP

    def __call__(self, t: Any, u: Float[Array, "2 *lanes"]) -> Float[Array, "2 *lanes"]:
        return self.network(scaled(u))


Field = LotkaVolterra | Universal | NeuralODE


def untrained(kind: str, key: PRNGKeyArray) -> Field:
    """kind: "lotka-volterra", "universal" or "neural". Rates start at round numbers, networks near zero."""
    log_rates = jnp.log(jnp.array([0.5, 0.03, 0.8, 0.03]))
    if kind == "lotka-volterra":
        return LotkaVolterra(log_rates)
    network = MLP(2, 2, width=8, depth=1, key=key, last_scale=0.1)
    if kind == "universal":
        return Universal(log_rates, network)
    if kind == "neural":
        return NeuralODE(network)
    raise ValueError(f"kind must be 'lotka-volterra', 'universal' or 'neural', got {kind!r}.")
