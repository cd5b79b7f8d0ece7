"""The one-dimensional mixture, whose probability-flow ODE is known exactly.

In one dimension the flow keeps the order of points and carries p_t along, so it is the quantile map
x -> F_t'^-1(F_t(x)). That is the truth against which samplers are measured: no reference integrator is needed.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray
from scipy.special import log_ndtr, logsumexp, ndtri_exp

from .schedule import Schedule

Points = Array | np.ndarray


class Mixture1D(eqx.Module):
    """x_0 ~ sum_k w_k N(mu_k, v_k), each number of x a point of its own: x has any shape.

    The maps between quantiles run on the host in float64; everything else is JAX.
    """

    schedule: Schedule = eqx.field(static=True)
    weights: Float[ArrayLike, " k"]
    means: Float[ArrayLike, " k"]
    variances: Float[ArrayLike, " k"]

    def __check_init__(self) -> None:
        shapes = {np.shape(a) for a in (self.weights, self.means, self.variances)}
        if len(shapes) != 1 or not np.allclose(np.sum(np.asarray(self.weights)), 1):
            raise ValueError(f"Mixture1D needs weights that sum to 1, means and variances, all (k,); got {shapes}.")

    def denoiser(self, t: ArrayLike, x: Float[Points, "*n"]) -> Float[Array, "*n"]:
        """D(t, x) = E[x_0 | x_t = x]."""
        posterior, variances, residual, alpha = self._posterior(t, x)
        means, v = jnp.asarray(self.means, x.dtype), jnp.asarray(self.variances, x.dtype)
        return jnp.sum(posterior * (means + alpha * v / variances * residual), axis=-1)

    def score(self, t: ArrayLike, x: Float[Points, "*n"]) -> Float[Array, "*n"]:
        """d log p_t(x) / dx."""
        posterior, variances, residual, _ = self._posterior(t, x)
        return -jnp.sum(posterior * residual / variances, axis=-1)

    def sample(self, key: PRNGKeyArray, n: int, t: float | None = None) -> Float[Array, " n"]:
        """n exact samples of x_t, or of the data when t is None."""
        which, normal = jax.random.split(key)
        k = jax.random.choice(which, len(np.asarray(self.weights)), (n,), p=jnp.asarray(self.weights))
        alpha, sigma = (1.0, 0.0) if t is None else (self.schedule.alpha(t), self.schedule.sigma(t))
        z = jax.random.normal(normal, (n,), jnp.asarray(self.means).dtype)
        return alpha * jnp.asarray(self.means)[k] + jnp.sqrt(alpha**2 * jnp.asarray(self.variances)[k] + sigma**2) * z

    def quantile_map(self, x: object, t_from: float, t_to: float | None = None) -> np.ndarray:
        """F_t_to^-1(F_t_from(x)): where the probability-flow ODE carries x; t_to = None is the data itself.

        Float64, to about 1e-12 wherever the map is that well conditioned (its derivative is p_from(x) / p_to(y): large
        in the gaps between well separated components). Works with the log of the nearer tail, so x may lie far out.
        """
        x = np.asarray(x, np.float64)
        one = np.ones_like(x)
        side = np.where(self._log_tail(x, one, t_from) <= self._log_tail(x, -one, t_from), 1.0, -1.0)
        return self._quantile(self._log_tail(x, side, t_from), side, t_to)

    def quantile(self, p: object, t: float | None = None) -> np.ndarray:
        """F_t^-1(p) for 0 < p < 1."""
        p = np.asarray(p, np.float64)
        if not np.all((p > 0) & (p < 1)):
            raise ValueError("quantile needs probabilities strictly between 0 and 1.")
        return self._quantile(np.log(np.minimum(p, 1 - p)), np.where(p <= 0.5, 1.0, -1.0), t)

    def log_cdf(self, x: object, t: float | None = None) -> np.ndarray:
        """log P(x_t <= x)."""
        x = np.asarray(x, np.float64)
        return self._log_tail(x, np.ones_like(x), t)

    def log_density(self, t: float | None, x: object) -> np.ndarray:
        """log p_t(x) in nats, float64 on the host."""
        means, scales = self._at(t)
        z = (np.asarray(x, np.float64)[..., None] - means) / scales
        log_densities = -0.5 * z * z - np.log(np.sqrt(2 * np.pi) * scales)
        return np.asarray(logsumexp(log_densities, axis=-1, b=np.asarray(self.weights)))

    def _at(self, t: float | None) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations of x_t."""
        means, v = np.asarray(self.means, np.float64), np.asarray(self.variances, np.float64)
        if t is None:
            return means, np.sqrt(v)
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        return alpha * means, np.sqrt(alpha**2 * v + sigma**2)

    def _log_tail(self, x: np.ndarray, side: np.ndarray, t: float | None) -> np.ndarray:
        """log P(x_t <= x) where side is 1, log P(x_t >= x) where it is -1."""
        means, scales = self._at(t)
        log_tails = log_ndtr(side[..., None] * (x[..., None] - means) / scales)
        return np.asarray(logsumexp(log_tails, axis=-1, b=np.asarray(self.weights)))

    def _quantile(self, target: np.ndarray, side: np.ndarray, t: float | None) -> np.ndarray:
        """x with log tail = target: Newton on the log tail, inside a bracket that every step narrows."""
        means, scales = self._at(t)
        ends = side[..., None] * means + scales * ndtri_exp(target)[..., None]  # the quantile lies between those
        low, high = np.min(ends, axis=-1), np.max(ends, axis=-1)
        u, miss_before = 0.5 * (low + high), np.full(target.shape, np.inf)  # u = side * x, so the tail rises with u
        for _ in range(200):
            x = side * u
            log_tail = self._log_tail(x, side, t)
            miss = log_tail - target
            low, high = np.where(miss <= 0, u, low), np.where(miss >= 0, u, high)
            newton = u - miss * np.exp(log_tail - self.log_density(t, x))
            slow = (np.abs(miss) > 0.5 * miss_before) & (high - low > 1e-14 * np.abs(u))
            new = np.where((newton < low) | (newton > high) | slow, 0.5 * (low + high), newton)
            step, u, miss_before = np.abs(new - u), new, np.abs(miss)
            if np.all(step <= 4e-16 * (np.abs(u) + np.min(scales))):
                break
        return side * u

    def _posterior(self, t: ArrayLike, x: Points) -> tuple[Array, Array, Array, Array]:
        """p(k | x), the variances of x_t, x - alpha mu_k (each with a last axis k), and alpha."""
        t = jnp.asarray(t, x.dtype)[..., None]
        weights, means, v = (jnp.asarray(a, x.dtype) for a in (self.weights, self.means, self.variances))
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        variances, residual = alpha**2 * v + sigma**2, x[..., None] - alpha * means
        log_joint = jnp.log(weights) - 0.5 * (residual**2 / variances + jnp.log(variances))
        return jax.nn.softmax(log_joint, axis=-1), variances, residual, alpha
