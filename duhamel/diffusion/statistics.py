"""Empirical model statistics: what DPM-Solver-v3 wants to know of a model (Zheng et al., arXiv 2310.13268).

At every node of lam, over noised data x = alpha x_0 + sigma z, for every element of x:

    l = E[diag(sigma d eps/dx)] = 1 - alpha E[diag(dD/dx)]       f = (1 - l) x/alpha - D keeps the least linear part
    s = Cov(f, f') / Var(f),   b = E[f'] - s E[f]                f' = df/dlam along the flow is closest to s f + b
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, PRNGKeyArray
from scipy.interpolate import CubicSpline

from .denoiser import Denoiser
from .plans.dpm_v3 import Statistics
from .schedule import Schedule


def model_statistics(
    denoiser: Denoiser,
    schedule: Schedule,
    data: ArrayLike,
    key: PRNGKeyArray,
    *,
    nodes: int = 120,
    t_max: float | None = None,
    t_min: float | None = None,
) -> Statistics:
    """l, s, b at `nodes` equal steps of lam from t_max down to t_min, each of the shape of a sample.

    denoiser  D(t, x) on a batch
    data      samples of the data, or of the model, (n, *shape): 1000 to 4000 are good. All nodes see the same samples
              and the same noises, so that the statistics are smooth in lam
    Two forward-mode products with the Jacobian at every node: the diagonal by Hutchinson's probes, one for each sample
    (exact where the Jacobian is diagonal), and f' along the flow. As long as 5 nodes n model calls take.
    """
    data = jnp.asarray(data)
    if data.ndim < 1 or len(data) < 2:
        raise ValueError(f"data have shape {data.shape}; give (n, *shape) with n samples, 1000 or more.")
    if nodes < 4:
        raise ValueError(f"nodes = {nodes}; a spline wants at least 4, and 120 to 250 are good.")
    top = schedule.t_max if t_max is None else t_max
    bottom = schedule.t_min if t_min is None else t_min
    lams = np.linspace(float(schedule.lam(top)), float(schedule.lam(bottom)), nodes)
    first, second = jax.random.split(key)
    z = jax.random.normal(first, data.shape, data.dtype)
    probe = jax.random.rademacher(second, data.shape, data.dtype)
    linear = [np.asarray(_linear(denoiser, schedule, jnp.asarray(lam, data.dtype), data, z, probe)) for lam in lams]
    l = np.asarray(linear, np.float64)
    slope = CubicSpline(lams, l, axis=0)(lams, 1)
    rest = []
    for lam, l_n, slope_n in zip(lams, l, slope, strict=True):
        at, l_n, slope_n = (jnp.asarray(a, data.dtype) for a in (lam, l_n, slope_n))
        rest.append(_growth(denoiser, schedule, at, l_n, slope_n, data, z))
    s, b = (np.asarray(column, np.float64) for column in zip(*rest, strict=True))
    return Statistics(lams, l, s, b)


@eqx.filter_jit
def _linear(denoiser: Denoiser, schedule: Schedule, lam: Any, data: Any, z: Any, probe: Any) -> Any:
    t = schedule.t_of_lam(lam)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    _, along = jax.jvp(lambda x: denoiser(t, x), (alpha * data + sigma * z,), (probe,))
    return 1 - alpha * jnp.mean(probe * along, axis=0)


@eqx.filter_jit
def _growth(denoiser: Denoiser, schedule: Schedule, lam: Any, l: Any, slope: Any, data: Any, z: Any) -> tuple[Any, Any]:
    """s and b. In y = x/alpha the flow is dy/dlam = D - y, so f' = -l' y + (1 - l)(D - y) - dD/dlam."""
    y = data + jnp.exp(-lam) * z

    def along(lam: Any, y: Any) -> Any:
        t = schedule.t_of_lam(lam)
        return denoiser(t, schedule.alpha(t) * y)

    D = along(lam, y)
    _, dD = jax.jvp(along, (lam, y), (jnp.ones_like(lam), D - y))
    f = (1 - l) * y - D
    df = -slope * y + (1 - l) * (D - y) - dD
    f_mean, df_mean = jnp.mean(f, axis=0), jnp.mean(df, axis=0)
    variance = jnp.mean((f - f_mean) ** 2, axis=0)
    # where f is one number, as for Gaussian data, rounding is no reason to see it grow
    known = variance > 1e3 * jnp.finfo(f.dtype).eps ** 2 * (jnp.mean(y**2, axis=0) + jnp.mean(D**2, axis=0))
    s = jnp.where(known, jnp.mean((f - f_mean) * (df - df_mean), axis=0) / jnp.where(known, variance, 1), 0)
    return s, df_mean - s * f_mean
