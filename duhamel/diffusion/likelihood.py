"""The density of what a denoiser generates, by the probability-flow ODE (Song et al., arXiv 2011.13456, app. D)."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from duhamel.core.problem import ODE
from duhamel.methods.explicit import RK4
from duhamel.solver.control import Fixed
from duhamel.solver.solve import solve

from .denoiser import Denoiser
from .schedule import Schedule


class _Flow(eqx.Module):
    """In y = x / alpha and u = log rho the ODE is dy/du = y - D, and d(log p)/du = -div = -(d - alpha tr dD/dx)."""

    denoiser: Denoiser
    schedule: Schedule = eqx.field(static=True)
    probes: Float[Array, "probes batch ..."]

    def __call__(self, u: Any, state: tuple[Array, Array]) -> tuple[Array, Array]:
        y, _ = state
        t = self.schedule.t_of_lam(-u)
        alpha = self.schedule.alpha(t)
        drift: Callable[[Array], Array] = lambda y: y - self.denoiser(t, alpha * y)  # noqa: E731
        value, along = jax.linearize(drift, y)
        axes = tuple(range(1, y.ndim))
        divergence = jnp.mean(jax.vmap(lambda e: jnp.sum(e * along(e), axis=axes))(self.probes), axis=0)
        return value, divergence


def log_likelihood(
    denoiser: Denoiser,
    schedule: Schedule,
    x: Float[Array, "batch ..."],
    *,
    t_min: float | None = None,
    steps: int = 100,
    probes: int | None = None,
    key: PRNGKeyArray | None = None,
) -> Float[Array, " batch"]:
    """log p(x) in nats of every sample at t_min, the density that ends as N(0, sigma_T^2 I) at t_max

        log p_0(x) = log p_T(x_T) + int div du - d log alpha_0

    by RK4 on `steps` equal steps in log rho: the grid is fixed, so no sample depends on its batch.

    t_min   where x lives; the schedule's own unless told. x must carry that much noise
    probes  None: the exact trace, d directional derivatives an evaluation; else Hutchinson's estimate with so many
            random signs, kept along the path (needs a key; unbiased, and noisy)
    """
    t_min = schedule.t_min if t_min is None else t_min
    if not schedule.rho(t_min) > 0:
        raise ValueError(f"t_min = {t_min}: the density needs sigma > 0 there; noise the data a little.")
    d = int(np.prod(x.shape[1:]))
    if probes is None:
        basis = jnp.eye(d, dtype=x.dtype).reshape(d, 1, *x.shape[1:])
        directions = jnp.sqrt(jnp.asarray(d, x.dtype)) * jnp.broadcast_to(basis, (d, *x.shape))
    elif key is None:
        raise ValueError("Hutchinson's estimate draws signs; pass key=jax.random.key(0), or probes=None.")
    else:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(x)))
        directions = jax.vmap(lambda k: jax.random.rademacher(k, (probes, *x.shape[1:]), x.dtype), out_axes=1)(keys)
    return _integrate(denoiser, schedule, x, directions, t_min, steps)


@eqx.filter_jit
def _integrate(
    denoiser: Denoiser, schedule: Schedule, x: Array, directions: Array, t_min: float, steps: int
) -> Float[Array, " batch"]:
    d = int(np.prod(x.shape[1:]))
    alpha, u = schedule.alpha(t_min), np.log(schedule.rho(np.array([t_min, schedule.t_max])))
    flow = _Flow(denoiser, schedule, directions)
    start = (x / alpha, jnp.zeros(len(x), x.dtype))
    y, gathered = solve(ODE(flow), start, u[1], t0=u[0], method=RK4(), control=Fixed(steps)).x
    rho = schedule.rho(schedule.t_max)
    square = jnp.sum((y / rho) ** 2, axis=tuple(range(1, y.ndim)))
    prior = -0.5 * square - d * np.log(np.sqrt(2 * np.pi) * rho)
    return prior + gathered - d * np.log(alpha)
