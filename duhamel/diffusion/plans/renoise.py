"""Samplers that trust the model's word: denoise, noise again; and the residual's own way from an image to another.

NumPy only.
"""

from typing import Any

import numpy as np

from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.plan import Plan, Segment

from ..schedule import Schedule
from .grid import check_times
from .multistep import describe


def consistency(schedule: Schedule, ts: Any, *, at: float | None = None) -> Plan:
    """Multistep consistency sampling (Song et al., arXiv 2303.01469, algorithm 1): {denoise, noise again}

        x_t = (alpha_t/alpha_e) f(s, x_s) + sqrt(sigma_t^2 - (alpha_t/alpha_e)^2 sigma_e^2) z

    f is a consistency function: it gives the point of x's probability-flow trajectory at time e. One evaluation a step;
    1 to 4 steps. With a denoiser for f the law of the samples is wrong for any number of steps (a mean is no sample).

    ts  the last time is where sampling ends: noise is added there too if sigma > 0
    at  the time e of what f returns; None: the data, sigma_e = 0. The paper's networks: at = ts[-1] = schedule.t_min
    """
    ts = check_times(schedule, ts)
    alpha, sigma = np.broadcast_to(schedule.alpha(ts[1:]), len(ts) - 1), schedule.sigma(ts[1:])
    gain, rest = alpha, 0.0
    if at is not None:
        gain = alpha / float(schedule.alpha(at))
        rest = gain * float(schedule.sigma(at))
    if np.any(sigma < rest * (1 - 1e-12)):
        raise ValueError(
            f"at = {at} is noisier than the end of the grid, t = {ts[-1]:g}; the model's value must not be."
        )
    noise = np.sqrt(np.maximum((sigma - rest) * (sigma + rest), 0.0))
    pattern = Pattern((Row("y", ("x",), call="F"), Row("x_next", ("z", "F"))), (("x", "x_next"),), draws=("z",))
    segment = Segment(pattern, (np.ones(1), noise, gain), ts[:-1, None])
    return Plan("consistency", (segment,), ts, "data", describe(schedule) | {"at": at})


def rddm(residual: Any, noise: Any, ts: Any, *, eta: float = 0.0) -> Plan:
    """Residual denoising diffusion (Liu et al., arXiv 2308.13712), with two models

        x_t = x_0 + a_t R + b_t eps,      R = x_in - x_0
        x_t = x_s - (a_s - a_t) R(s, x_s) - (b_s - sqrt(b_t^2 - c^2)) eps(s, x_s) + c z,
        c^2 = eta (b_s^2 - b_t^2) b_t^2 / b_s^2

    residual, noise  a and b at `ts`, falling from a = 1 (or what training ended with) and b > 0 to 0
    ts               what the models receive as time, shape (steps + 1,), falling
    eta              0: deterministic. 1: the posterior of the forward chain
    `plan.run((R, eps), x)`: models of the residual and of the noise; x_T = x_in + b_T z. Either of them gives the other
    by x_t = x_in + (a_t - 1) R + b_t eps. With x_in = 0, a = 1 - alpha and b = sigma it is DDIM, and R = -D.
    """
    a, b, ts = (np.asarray(v, np.float64) for v in (residual, noise, ts))
    if ts.ndim != 1 or len(ts) < 2 or a.shape != ts.shape or b.shape != ts.shape:
        raise ValueError(
            f"residual, noise and ts have shapes {a.shape}, {b.shape} and {ts.shape}; give one number a time."
        )
    if np.any(np.diff(ts) >= 0) or np.any(b[:-1] <= 0) or np.any(b < 0) or (eta and np.any(np.diff(b) > 0)):
        raise ValueError("ts must fall and noise be positive but for its last number (and fall, where eta > 0).")
    if not 0 <= eta <= 1:
        raise ValueError(f"eta = {eta}; fresh noise goes from 0 (none) to 1 (the posterior of the forward chain).")
    c = np.sqrt(eta * (b[:-1] - b[1:]) * (b[:-1] + b[1:])) * b[1:] / b[:-1]
    kept = np.sqrt((b[1:] - c) * (b[1:] + c))
    draws = ("z",) if eta else ()
    rows = (
        Row("y", ("x",), call="R"),
        Row("y2", ("x",), call="E", model=1),
        Row("x_next", (*draws, "E", "R", "x")),
    )
    ones = np.ones(1)
    coef = (ones, ones, *((c,) if eta else ()), kept - b[:-1], np.diff(a), ones)
    segment = Segment(Pattern(rows, (("x", "x_next"),), draws=draws), coef, np.repeat(ts[:-1, None], 2, axis=1))
    return Plan("rddm", (segment,), ts, None, {"eta": eta})
