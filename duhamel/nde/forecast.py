"""Learn a vector field from a short series, and forecast what it has not seen, from several years at once.

A *rolling origin* is the forecaster's fair game: fit on the years up to an origin, forecast the next ones, for
several origins. Every origin has its own model; all of them are one stacked pytree and train in one compiled loop.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from duhamel.methods.explicit import RK4
from duhamel.solver.control import Fixed
from duhamel.solver.save import Save
from duhamel.solver.solve import solve
from duhamel.train.data import Whole
from duhamel.train.fit import fit

from .models import Field

STEPS_A_YEAR = 4  # RK4: error 1e-4 of log populations over 20 years, far below the data's


class Trajectory(eqx.Module):
    """A vector field and the state at the first year; both are learnt, for the first count is a measurement too."""

    field: Field
    start: Float[Array, " 2"]


def paths(
    field: Callable, start: Float[Array, "2 *lanes"], years: int, until: Any = np.inf
) -> Float[Array, "years1 2 *lanes"]:
    """u at 0, 1, ..., years. After `until` the field is switched off, so that a path nobody compares cannot blow up."""
    h = 1 / STEPS_A_YEAR

    def switched(t: Any, u: Array, until: Any) -> Array:
        return jnp.where(t < until + h / 2, field(t, u), 0.0)

    end, until = jnp.asarray(years, start.dtype), jnp.asarray(until, start.dtype)
    grid, steps = Fixed(years * STEPS_A_YEAR), Save(steps=True)
    return solve(switched, start, end, args=until, method=RK4(), control=grid, save=steps, throw=False).x[
        ::STEPS_A_YEAR
    ]


def short_loss(model: Trajectory, u: Float[Array, "years 2"], last: Any, horizon: int) -> Float[Array, ""]:
    """Mean squared error of `horizon` years begun at every year that is known: no path is long enough to get lost."""
    n = len(u) - horizon
    known = jnp.where(jnp.arange(n)[:, None] < last, u[:n], u[0])  # no path begins at a count that is not known
    found = paths(model.field, known.T, horizon)[1:]  # (horizon, 2, n)
    at = jnp.arange(n) + jnp.arange(1, horizon + 1)[:, None]  # (horizon, n): year compared
    error = (found - jnp.moveaxis(u[at], 2, 1)) ** 2
    return _masked_mean(error, (at <= last)[:, None, :])


def long_loss(model: Trajectory, u: Float[Array, "years 2"], last: Any) -> Float[Array, ""]:
    """Mean squared error of one path through all the known years."""
    error = (paths(model.field, model.start, len(u) - 1, until=last) - u) ** 2
    return _masked_mean(error, (jnp.arange(len(u)) <= last)[:, None])


def _masked_mean(error: Array, mask: Array) -> Array:
    mask = jnp.broadcast_to(mask, error.shape)
    return jnp.where(mask, error, 0.0).sum() / mask.sum()


def penalty(field: Field) -> Float[Array, ""] | float:
    """Sum of squares of the network's weights."""
    network = getattr(field, "network", None)
    return 0.0 if network is None else sum(jnp.sum(w**2) for w in network.weights)


def learn(
    field: Field,
    u: Float[np.ndarray, "years 2"],
    origins: tuple[int, ...],
    *,
    weight: float,
    steps: tuple[int, int] = (400, 1000),
    rates: tuple[float, float] = (1e-2, 3e-3),
    horizon: int = 4,
    folder: Path | str | None = None,
    progress: Callable[[int, int], None] | bool = False,
) -> Trajectory:
    """Fit one model for each origin, stacked along the first axis of every array

        minimise  mean_years |u(year) - data|^2 + weight sum of squared network weights

    first on paths of `horizon` years from every known year, then on the one path through all of them.

    u        log populations, one row a year;   origins  index of the last year each model may see
    weight   good values 1e-3 to 3e-2 for two populations and 10-20 years
    """
    if not origins or min(origins) <= horizon or max(origins) >= len(u):
        raise ValueError(f"learn: origins must lie in {horizon + 1}..{len(u) - 1} (indices of years), got {origins}.")
    series = jnp.asarray(u, float)
    data = Whole((series, jnp.asarray(origins)))
    one = Trajectory(field, series[0])
    model = jax.tree.map(lambda a: jnp.stack([a] * len(origins)) if eqx.is_array(a) else a, one)
    total = sum(steps)
    for stage, loss in enumerate((lambda m, u, last: short_loss(m, u, last, horizon), long_loss)):

        def summed(model: Trajectory, batch: tuple[Array, Int[Array, " origins"]], key: Any, loss: Any = loss) -> Array:
            u, origins = batch
            each = jax.vmap(lambda m, last: loss(m, u, last) + weight * penalty(m.field))(model, origins)
            return jnp.sum(each)  # the origins share no number, so this trains each on its own

        before = sum(steps[:stage])
        model = fit(
            summed,
            model,
            data,
            optimiser=optax.adam(optax.cosine_decay_schedule(rates[stage], steps[stage], 0.05)),
            steps=steps[stage],
            key=jax.random.key(0),
            scan=100,
            folder=None if folder is None else Path(folder) / ("short", "long")[stage],
            title=("short paths", "long paths")[stage],
            progress=(lambda done, _, before=before: progress(before + done, total))
            if callable(progress)
            else progress,
        ).model
    return model


@eqx.filter_jit
def forecast(model: Trajectory, years: int) -> Float[Array, "origins years1 2"]:
    """The paths of stacked trajectories from the first year over `years`, past their origins."""
    return jax.vmap(lambda m: paths(m.field, m.start, years))(model)


def rmse(a: Any, b: Any) -> float:
    """Root mean square of differences of log populations; 0.1 is about 10 %."""
    return float(np.sqrt(np.mean((np.asarray(a) - np.asarray(b)) ** 2)))
