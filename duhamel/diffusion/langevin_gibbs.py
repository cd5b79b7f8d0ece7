"""Denoising MCMC: a chain through states of all noise levels; any sampler then denoises a state from where it is.

    x <- x + (eta_k / 2) S(x, sigma_k) + sqrt(eta_k) z        Langevin at the present level
    k <- a draw from p(k | x)                                 Gibbs over the levels

has the marginal sum_k p(k) p(x; sigma_k) up to the step's error (Kim et al., arXiv 2209.14593).
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from duhamel.rows.beside import beside
from duhamel.rows.plan import Plan

from .denoiser import along_batch


class Chain(eqx.Module):
    """Where the chains are, and the least noisy state of each on the way, which the paper denoises.

    It costs fewer steps to denoise than the last state, but is chosen, which tilts its law: see the card `dmcmc-dlg`.

    level, low_level   numbers of the noise levels; one call of the score was made a sweep
    """

    x: Float[Array, "batch ..."]
    level: Int[Array, " batch"]
    low_x: Float[Array, "batch ..."]
    low_level: Int[Array, " batch"]


def langevin_gibbs(
    score: Callable,
    level_logits: Callable,
    x: Float[Array, "batch ..."],
    level: Int[Array, " batch"],
    keys: Array,
    *,
    times: Any,
    steps: Any,
    count: int,
) -> Chain:
    """`count` sweeps of Langevin and Gibbs, one call of the score each, sample by sample.

    score         S(t, x), t of shape (batch,)
    level_logits  log p(k | x) up to a constant, (batch, levels): of a classifier of noise levels, or exact. The paper
                  draws from it; its code takes the largest, which does not keep the marginal
    keys          one for each sample
    times, steps  (levels,), the least noisy first: when the score is asked, and eta_k, good at 0.1 to 0.5 sigma_k^2
    """
    times, steps = jnp.asarray(times, x.dtype), jnp.asarray(steps, x.dtype)
    if times.shape != steps.shape or count < 1:
        raise ValueError(f"times {times.shape} and steps {steps.shape} must be alike, and count = {count} at least 1.")

    def sweep(state: tuple, n: Array) -> tuple[tuple, None]:
        x, level, low_x, low = state
        both = jax.vmap(lambda k: jax.random.split(jax.random.fold_in(k, n)))(keys)
        z = jax.vmap(lambda k: jax.random.normal(k, x.shape[1:], x.dtype))(both[:, 0])
        eta = along_batch(steps[level], x)
        x = x + 0.5 * eta * score(times[level], x) + jnp.sqrt(eta) * z
        level = jax.vmap(jax.random.categorical)(both[:, 1], level_logits(x)).astype(jnp.int32)
        lower = level <= low
        return (x, level, jnp.where(along_batch(lower, x), x, low_x), jnp.where(lower, level, low)), None

    highest = jnp.full(level.shape, len(times), jnp.int32)
    return Chain(*jax.lax.scan(sweep, (x, level.astype(jnp.int32), x, highest), jnp.arange(count))[0])


def from_levels(build: Callable[[float], Plan], times: Any, level: Any, dimensions: int = 1) -> Plan:
    """One plan for a batch whose sample i starts at times[level[i]]: build(t) is called once for each level in use.

    plan = from_levels(lambda t: build("dpmpp-2m", schedule, 5, t_max=t), times, chain.level)
    """
    level = np.asarray(level)
    plans = {int(k): build(float(np.asarray(times)[k])) for k in np.unique(level)}
    return beside([plans[int(k)] for k in level], dimensions)
