"""The front door: noise in, samples out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from duhamel.rows.noise import path_noise
from duhamel.rows.plan import Plan

from .denoiser import Denoiser, as_prediction, check_said, said
from .plans.registry import check_belongs, check_calls, schedule_of
from .schedule import Prediction, Schedule


def sample(
    plan: Plan,
    denoiser: Denoiser,
    shape: Sequence[int],
    key: PRNGKeyArray,
    *,
    prediction: Prediction | None = None,
    schedule: Schedule | None = None,
    dtype: Any = jnp.float32,
    first: int = 0,
    x: Any = None,
    consts: Mapping[str, Any] | None = None,
    noise: str = "steps",
    save: str | None = None,
    unroll: int = 1,
    progress: Callable[[int, int], None] | None = None,
    callback: Callable[[int, float, Any], None] | None = None,
    sharding: jax.sharding.Sharding | None = None,
) -> Any:
    """Draw samples: x_T ~ N(0, sigma_T^2), then the plan.

        x = sample(build("unipc", VP(), steps=10), denoiser, (64, 2), jax.random.key(0))

    denoiser    D(t, x) = E[x_0 | x_t = x] on a batch; or a model of another `prediction`, which is converted
    prediction  what the model predicts; left out, what it says by an attribute of that name, or "data"
    shape       (samples, *shape of one sample)
    key         sample i draws from fold_in(key, i) alone: it is the same sample, to rounding, in any batch
    x           states at the plan's first time in place of noise, (samples, ...): such as alpha x_0 + sigma z, where
                the plan begins at a level at which the data still show
    first       the number of the first sample: shape (64, ...) with first=64 goes on where a batch of 64 ended
    noise       "steps": what a sample draws depends on (key, sample, step). "path": on (key, sample, interval of time),
                as increments of one Wiener path per sample with lambda for a clock: finer grids refine the same sample
    schedule    the one the plan was built on, unless the plan says so itself
    sharding    how the samples are spread over devices, such as NamedSharding(jax.make_mesh((4,), ("lanes",)),
                PartitionSpec("lanes")): the same noise bit for bit, the same samples to rounding
    save        None: the samples. "steps": the states at all times of the plan, (steps + 1, *shape)
    Further arguments as in `Plan.run`.
    """
    shape = tuple(int(n) for n in shape)
    if not shape or shape[0] < 1:
        raise ValueError(f"shape = {shape}; its first number counts the samples and must be at least 1.")
    schedule = schedule_of(plan) if schedule is None else schedule
    target = cast(Prediction, plan.prediction)
    source = prediction or said(denoiser) or "data"
    check_said(denoiser, source)
    check_calls(plan, schedule)
    check_belongs(plan, schedule)
    model = denoiser if target is None else as_prediction(denoiser, schedule, target, source)
    if x is None:
        check_noisy(plan, schedule)
        x = initial_noise(schedule, plan.t[0], shape, key, dtype=dtype, first=first)
    elif tuple(jnp.shape(x)) != shape:
        raise ValueError(f"x has shape {tuple(jnp.shape(x))}; it holds the first states, so it must be {shape}.")
    x = jnp.asarray(x, dtype)
    keys = sample_keys(key, shape[0], first, stream=1) if plan.draws else None
    if sharding is not None:
        x = jax.device_put(x, sharding)
        keys = None if keys is None else jax.device_put(keys, sharding)
    options = {"consts": consts, "save": save, "unroll": unroll, "progress": progress, "callback": callback}
    if noise not in ("steps", "path"):
        raise ValueError(f"noise = {noise!r}; a sample draws by 'steps' or along a 'path'.")
    if noise == "path" and plan.draws:
        clock, span = lam_clock(schedule, plan.t)
        return plan.run(model, x, noise=path_noise(plan, x, keys, clock=clock, span=span), **options)
    return plan.run(model, x, key=keys, **options)


def check_noisy(plan: Plan, schedule: Schedule) -> None:
    """Raise where the first level is no noise: its samples are not N(0, sigma^2), for data of the usual size show."""
    start = np.max(np.asarray(plan.t[0], np.float64))
    rho = float(schedule.rho(start))
    if rho < LOUD_ENOUGH and not np.any(np.asarray(plan.t) > start):
        raise ValueError(
            f"plan {plan.name!r} begins at t = {start:g}, where sigma/alpha = {rho:.3g}: the data show there, and "
            "noise alone is no sample of that time. Begin at schedule.t_max, or pass x=, states of that time."
        )


LOUD_ENOUGH = 3.0  # sigma/alpha; published grids begin at 14.6 and more


def lam_clock(schedule: Schedule, ts: Any) -> tuple[np.ndarray, float]:
    """A clock for `rows.noise.path_noise` that all grids of a schedule share, and its span

    lambda(t) - lambda(t_max), from 0 to its value at t_min and a tenth further for what lies below: a last step to
    sigma = 0 draws nothing, and ends with the span.
    """
    start, usual = float(schedule.lam(schedule.t_max)), float(schedule.lam(schedule.t_min))
    clock, span = np.asarray(schedule.lam(ts)) - start, 1.1 * (usual - start)
    return np.where(np.isfinite(clock), clock, span), span


def initial_noise(
    schedule: Schedule,
    t: Any,
    shape: tuple[int, ...],
    key: PRNGKeyArray,
    *,
    dtype: Any = jnp.float32,
    first: int = 0,
) -> Float[Array, "batch ..."]:
    """sigma_t z, each sample from a key of its own: no sample depends on how many are drawn with it."""
    keys = sample_keys(key, shape[0], first, stream=0)
    z = jax.vmap(lambda k: jax.random.normal(k, shape[1:], dtype))(keys)
    return jnp.asarray(schedule.sigma(t), dtype) * z


def sample_keys(key: PRNGKeyArray, samples: int, first: int = 0, *, stream: int) -> Array:
    """One key per sample; stream 0 is the initial noise, stream 1 what the plan draws."""
    own = jax.vmap(jax.random.fold_in, (None, 0))(key, first + jnp.arange(samples))
    return jax.vmap(lambda k: jax.random.fold_in(k, stream))(own)
