"""Steps chosen from an embedded error: DPM-Solver-12 and -23 (Lu et al., arXiv 2206.00927, app. C), and RK45.

The published loop accepts a step when the worst sample of the batch allows it, so a sample depends on its batch-mates.
Here every sample has its own time and step, and the model receives one time per sample.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from duhamel.core.status import Status
from duhamel.methods.explicit import Dopri5
from duhamel.solver.control import PID
from duhamel.solver.ensemble import ensemble

from .denoiser import Denoiser, as_prediction
from .schedule import Prediction, Schedule


class Adaptive(eqx.Module):
    """What an adaptive sampler returns: x at t_min, and per sample the calls of the model and whether it arrived."""

    x: Float[Array, "batch ..."]
    nfe: Int[Array, " batch"]
    arrived: Bool[Array, " batch"]


def dpm_solver_adaptive(
    denoiser: Denoiser,
    schedule: Schedule,
    x: Float[Array, "batch ..."],
    *,
    order: int = 3,
    rtol: float = 0.05,
    atol: float = 0.0078,
    h0: float = 0.05,
    safety: float = 0.9,
    t_max: float | None = None,
    t_min: float | None = None,
    prediction: Prediction = "data",
    max_steps: int = 1000,
) -> Adaptive:
    """From x at t_max to t_min with the pair of orders (order - 1, order), order = 2 or 3

        E = rms((x_high - x_low) / max(atol, rtol max(|x_low|, |x_before|))),     accepted if E <= 1
        h <- min(safety h E^(-1/order), what is left),     h a step in lambda

    denoiser    called as D(t, x) with t of shape (batch,)
    rtol, atol  0.05 and 0.0078 (1/128, for images in [-1, 1]) in the paper
    max_steps   trials before a sample is given up (`arrived` is then False)
    """
    if order not in (2, 3):
        raise ValueError(f"order = {order}; the adaptive DPM-Solver knows 2 and 3.")
    if not (rtol > 0 and atol > 0 and h0 > 0 and 0 < safety < 1):
        raise ValueError(f"rtol = {rtol}, atol = {atol}, h0 = {h0} must be positive and safety = {safety} in (0, 1).")
    t_min = schedule.t_min if t_min is None else t_min
    if not schedule.rho(t_min) > 0:
        raise ValueError(f"t_min = {t_min}: lambda is infinite at sigma = 0; stop before it.")
    ends = schedule.lam(schedule.t_max if t_max is None else t_max), schedule.lam(t_min)
    eps = as_prediction(denoiser, schedule, "noise", prediction)
    return _loop(eps, schedule, x, order, rtol, atol, h0, safety, ends, max_steps)


def rk45(
    denoiser: Denoiser,
    schedule: Schedule,
    x: Float[Array, "batch ..."],
    *,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    t_max: float | None = None,
    t_min: float | None = None,
    prediction: Prediction = "data",
    max_steps: int = 1000,
) -> Adaptive:
    """The probability-flow ODE by Dormand and Prince's 5(4) pair, every sample with its own steps

        d(x/alpha)/d lambda = -rho eps,      from t_max to t_min

    Song et al. (arXiv 2011.13456) give the whole batch to SciPy's RK45 as one state in t, so that a sample depends on
    its batch-mates; in lambda the steps need not shrink with sigma. atol is in units of x/alpha.

    denoiser   called as D(t, x) with t of shape (1,), on one sample at a time: lanes step by themselves
    rtol, atol 1e-5 in the paper
    """
    t_max, t_min = (schedule.t_max if t_max is None else t_max), (schedule.t_min if t_min is None else t_min)
    if not schedule.rho(t_min) > 0:
        raise ValueError(f"t_min = {t_min}: lambda is infinite at sigma = 0; stop before it.")
    eps = as_prediction(denoiser, schedule, "noise", prediction)

    def slope(lam: Any, y: Array, args: Any) -> Array:
        t = schedule.t_of_lam(lam)
        return -jnp.exp(-lam).astype(y.dtype) * eps(t[None], (schedule.alpha(t) * y)[None])[0].astype(y.dtype)

    control = PID(rtol=rtol, atol=atol)
    lams = (float(schedule.lam(t_max)), float(schedule.lam(t_min)))
    start, how = x / schedule.alpha(t_max), {"max_steps": max_steps, "throw": False}
    found = ensemble(slope, start, lams[1], t0=lams[0], method=Dopri5(), control=control, **how)
    return Adaptive(schedule.alpha(t_min) * found.x, found.stats.nfe, found.status == Status.success)


@eqx.filter_jit
def _loop(
    eps: Denoiser,
    schedule: Schedule,
    x: Array,
    order: int,
    rtol: float,
    atol: float,
    h0: float,
    safety: float,
    ends: tuple[Any, Any],
    max_steps: int,
) -> Adaptive:
    wide = (slice(None),) + (None,) * (x.ndim - 1)
    axes = tuple(range(1, x.ndim))
    start, end = (jnp.asarray(v, x.dtype) for v in ends)
    room = 1e-5 * (end - start)  # nearer than this is arrived: rounding, not a step

    def body(state: tuple) -> tuple:
        x, before, lam, h, nfe, n = state
        done = end - lam <= room
        low, high = _pair(eps, schedule, x, lam, jnp.where(done, 1.0, h), order)
        scale = jnp.maximum(atol, rtol * jnp.maximum(jnp.abs(low), jnp.abs(before)))
        E = jnp.sqrt(jnp.mean(((high - low) / scale) ** 2, axis=axes))
        accept = (E <= 1) & ~done
        lam_next = jnp.where(accept, lam + h, lam)
        # E = 0 (the pair agrees exactly) may grow the step tenfold, and a NaN shrinks it
        factor = jnp.where(jnp.isfinite(E), safety * jnp.maximum(E, 1e-6) ** (-1 / order), 0.2)
        h_next = jnp.minimum(jnp.clip(factor, 0.1, 10.0) * h, end - lam_next)
        kept = accept[wide]
        return (
            jnp.where(kept, high, x),
            jnp.where(kept, low, before),
            lam_next,
            jnp.where(done, h, h_next),
            nfe + jnp.where(done, 0, order),
            n + 1,
        )

    lam = jnp.full(len(x), start)
    h = jnp.minimum(jnp.full(len(x), h0, x.dtype), end - start)
    first = (x, x, lam, h, jnp.zeros(len(x), jnp.int32), 0)
    unfinished = lambda state: (state[5] < max_steps) & jnp.any(end - state[2] > room)  # noqa: E731
    x, _, lam, _, nfe, _ = jax.lax.while_loop(unfinished, body, first)
    return Adaptive(x, nfe, end - lam <= room)


def _pair(eps: Denoiser, schedule: Schedule, x: Array, lam: Array, h: Array, order: int) -> tuple[Array, Array]:
    """The step h by the lower and by the higher order; `order` calls of the model."""
    wide = (slice(None),) + (None,) * (x.ndim - 1)
    t = schedule.t_of_lam(lam)
    alpha_s, eps_s = schedule.alpha(t), eps(t, x)

    def reached(r: float, *tilts: tuple[Array, Array]) -> tuple[Array, Array]:
        """Time and state at lam + r h: the step of order 1, and `tilts` (weight, difference of two evaluations)."""
        t_r = schedule.t_of_lam(lam + r * h)
        sigma = schedule.sigma(t_r)
        y = (schedule.alpha(t_r) / alpha_s)[wide] * x - (sigma * jnp.expm1(r * h))[wide] * eps_s
        for weight, difference in tilts:
            y = y - (sigma * weight)[wide] * difference
        return t_r, y

    def slope(r: float) -> Array:
        """phi_1(r h) - 1, the integral against which a straight line in lambda is weighted."""
        return jnp.expm1(r * h) / (r * h) - 1

    r1 = 1 / order
    t_1, u_1 = reached(r1)
    d_1 = eps(t_1, u_1) - eps_s
    _, second = reached(1.0, (jnp.expm1(h) / (2 * r1), d_1))
    if order == 2:
        return reached(1.0)[1], second
    r2 = 2 / 3
    t_2, u_2 = reached(r2, (slope(r2) * r2 / r1, d_1))
    _, third = reached(1.0, (slope(1.0) / r2, eps(t_2, u_2) - eps_s))
    return second, third
