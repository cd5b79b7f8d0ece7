"""Is the law of samples right, in the plane: an energy distance whose data terms are exact, and a wrong score."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.spatial.distance import pdist
from scipy.special import ive

from duhamel.diffusion.exact import GaussianMixture
from duhamel.diffusion.sampling import sample
from duhamel.diffusion.schedule import Schedule
from duhamel.rows.plan import Plan


def mean_length(distance: Any, scale: Any) -> np.ndarray:
    """E|y| of y ~ N(m, scale^2 I) in the plane, |m| = distance: the mean of Rice's law

    scale sqrt(pi/2) exp(-u) ((1 + 2 u) I_0(u) + 2 u I_1(u)),     u = |m|^2 / (4 scale^2)
    """
    u = np.asarray(distance) ** 2 / (4 * scale**2)
    return scale * np.sqrt(np.pi / 2) * ((1 + 2 * u) * ive(0, u) + 2 * u * ive(1, u))


def energy(data: GaussianMixture, x: Float[np.ndarray, "n 2"], t: float | None = None) -> float:
    """2 E|x - b| - E|b - b'| - E|x - x'|, unbiased, for b of the mixture at time t (None: the data).

    The mixture's components are round and of one width, so both terms with b are closed forms: what is left is the
    noise of x alone, 2.5e-4 in standard deviation for 6000 points of `planar.six_modes`.
    """
    alpha, sigma = (1.0, 0.0) if t is None else (data.schedule.alpha(t), data.schedule.sigma(t))
    means, v, w = (np.asarray(a) for a in (data.means, data.variances, jnp.exp(jnp.asarray(data.log_weights))))
    if np.ptp(v) > 0 or data.axes is not None:
        raise ValueError("energy knows round components of one width; give the mixture one variance.")
    width, means = np.sqrt(alpha**2 * v.flat[0] + sigma**2), alpha * means
    across = mean_length(np.linalg.norm(x[:, None] - means, axis=-1), width) @ w
    own = w @ mean_length(np.linalg.norm(means[:, None] - means, axis=-1), np.sqrt(2) * width) @ w
    return float(2 * np.mean(across) - own - pdist(x).mean())


def monte_carlo(data: GaussianMixture, n: int, t: float | None = None) -> float:
    """Standard deviation of the energy distance of n exact samples (at the schedule's t_min)."""
    t = data.schedule.t_min if t is None else t
    return float(np.std([energy(data, np.asarray(data.sample(jax.random.key(k), n, t)), t) for k in range(8)]))


def reached(
    plan: Plan, data: GaussianMixture, n: int, seeds: Sequence[int], model: Callable | None = None, **options: Any
) -> float:
    """Mean energy distance of n samples to the data at the plan's end, over the seeds."""
    found = []
    for seed in seeds:
        x = sample(plan, model or data.denoiser, (n, 2), jax.random.key(seed), dtype=jnp.float64, **options)
        found.append(energy(data, np.asarray(x), float(plan.t[-1])))
    return float(np.mean(found))


class Perturbed(eqx.Module):
    """A denoiser whose noise prediction is wrong by `size`, root mean square, at every noise level

        D - sigma/alpha size u,     u_j = sqrt(2/m) sum_k cos(w_jk . c_in x / alpha + v_jk log rho + phase_jk)

    a smooth random field in the coordinates of a network's input, c_in = (rho^2 + spread^2)^-1/2. `perturbed` draws it.
    """

    denoiser: Callable
    schedule: Schedule = eqx.field(static=True)
    size: float
    spread: float
    w: Float[Array, "2 m 2"]
    v: Float[Array, "2 m"]
    phase: Float[Array, "2 m"]

    def __call__(self, t: Any, x: Float[Array, "n 2"]) -> Float[Array, "n 2"]:
        rho, alpha = self.schedule.rho(jnp.asarray(t)), self.schedule.alpha(jnp.asarray(t))
        z = x / (alpha * jnp.sqrt(rho**2 + self.spread**2))
        angle = jnp.einsum("jki,ni->njk", self.w, z) + self.v * jnp.log(rho) + self.phase
        return self.denoiser(t, x) - rho * self.size * jnp.sqrt(2 * self.w.shape[1]) * jnp.cos(angle).mean(-1)


def perturbed(data: GaussianMixture, size: float, frequency: float, *, waves: int = 8, seed: int = 0) -> Perturbed:
    """The mixture's denoiser with an error of root mean square `size` in eps, wrinkled as exp(i frequency c_in x)."""
    rng = np.random.default_rng(seed)
    w = frequency * rng.standard_normal((2, waves, 2))
    v, phase = rng.standard_normal((2, waves)), rng.uniform(0, 2 * np.pi, (2, waves))
    spread = float(np.sqrt(np.trace(np.asarray(data.covariance())) / 2))
    return Perturbed(data.denoiser, data.schedule, size, spread, jnp.asarray(w), jnp.asarray(v), jnp.asarray(phase))
