"""Samplers that can be undone exactly: two states, and one evaluation at a state that is kept. NumPy only.

`plan.reversed()` is the plan that goes back; `rows.checks.inversion_margin` says how much rounding that magnifies.
"""

from typing import Any

import numpy as np

from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.plan import Plan, Segment

from ..schedule import Schedule
from .grid import check_times
from .multistep import describe
from .weights import carry

TWO_STATES = Pattern(
    (Row("y", ("x",), call="F"), Row("x_next", ("F", "before", "x"))), (("x", "x_next"), ("before", "x"))
)


def bdia(schedule: Schedule, ts: Any, gamma: float = 1.0) -> Plan:
    """BDIA (Zhang et al., arXiv 2307.10829): x_(i-1) = gamma x_(i+1) - gamma Phi(x_i, back) + Phi(x_i, on), Phi DDIM's.

    gamma = 1 (a leapfrog in rho, of order 2) or 0.96 for inversion; going back over n steps magnifies rounding by
    gamma^-n, so gamma = 0.5 cannot be undone in float32 beyond 20 steps; gamma = 0 is DDIM. One evaluation a step; the
    first is DDIM's. Its last two states are needed to go back: slots "x" and "before".
    """
    ts = _noisy(schedule, ts, "bdia")
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma = {gamma}; it lies in [0, 1]: 1 magnifies rounding least, 0 is DDIM.")
    on, on_noise = _ddim(schedule, ts[:-1], ts[1:])
    back, back_noise = _ddim(schedule, ts[1:-1], ts[:-2])
    here = on.copy()
    here[1:] -= gamma * back
    noise = on_noise.copy()
    noise[1:] -= gamma * back_noise
    before = np.full(len(on), gamma)
    before[0] = 0.0
    return _two_states("bdia", schedule, ts, noise, before, here, {"gamma": gamma})


def o_belm(schedule: Schedule, ts: Any) -> Plan:
    """O-BELM (Wang et al., arXiv 2410.07273), in y = x/alpha and h_i = rho_(i-1) - rho_i:

        y_next = (h/h')^2 y_before + (1 - (h/h')^2) y - h (h + h')/h' eps,      h this step, h' the one before

    The explicit midpoint rule of a grid that is not uniform: order 2, one evaluation a step, the first is DDIM's.
    Slots "x" and "before" go back.
    """
    ts = _noisy(schedule, ts, "o-belm")
    alpha, h = np.broadcast_to(schedule.alpha(ts), ts.shape), -np.diff(schedule.rho(ts))
    q = np.concatenate([[0.0], (h[1:] / h[:-1]) ** 2])
    before = q * alpha[1:] / np.concatenate([[1.0], alpha[:-2]])
    here = (1 - q) * alpha[1:] / alpha[:-1]
    noise = -alpha[1:] * np.concatenate([[h[0]], h[1:] * (h[1:] + h[:-1]) / h[:-1]])
    return _two_states("o-belm", schedule, ts, noise, before, here, {})


def edict(schedule: Schedule, ts: Any, p: float = 0.93) -> Plan:
    """EDICT (Wallace et al., arXiv 2211.12446): two copies of the state, each moved by the noise seen at the other

        x' = a x + b eps(y),   y' = a y + b eps(x'),   x'' = p x' + (1 - p) y',   y'' = p y' + (1 - p) x''

    Two evaluations a step; undone exactly, and magnified by about p^-(2n). Start slot "y" with the state too:
    `plan.run(model, x, slots={"y": x})`. p = 0.93 in the paper, for 50 steps.
    """
    ts = _noisy(schedule, ts, "edict")
    if not 0 < p <= 1:
        raise ValueError(f"p = {p}; the share of each copy that stays lies in (0, 1].")
    a, b = _ddim(schedule, ts[:-1], ts[1:])
    rows = (
        Row("at_y", ("y",), call="F"),
        Row("x_moved", ("F", "x")),
        Row("at_x", ("x_moved",), call="F2"),
        Row("y_moved", ("F2", "y")),
        Row("x_next", ("y_moved", "x_moved")),
        Row("y_next", ("x_next", "y_moved")),
    )
    one, rest, most = np.ones(1), np.full(1, 1 - p), np.full(1, p)
    coef = (one, b, a, one, b, a, rest, most, rest, most)
    segment = Segment(Pattern(rows, (("x", "x_next"), ("y", "y_next"))), coef, np.repeat(ts[:-1, None], 2, axis=1))
    return Plan("edict", (segment,), ts, "noise", describe(schedule) | {"p": p})


def _two_states(
    name: str, schedule: Schedule, ts: np.ndarray, noise: np.ndarray, before: np.ndarray, here: np.ndarray, facts: dict
) -> Plan:
    segment = Segment(TWO_STATES, (np.ones(1), noise, before, here), ts[:-1, None])
    return Plan(name, (segment,), ts, "noise", describe(schedule) | {"least": 2} | facts)


def _ddim(schedule: Schedule, s: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of x and of eps in DDIM's steps from s to t, forwards or back."""
    gain = np.array([carry(schedule, a, b, "noise") for a, b in zip(s, t, strict=True)])
    return gain, np.broadcast_to(schedule.alpha(t), len(gain)) * (schedule.rho(t) - schedule.rho(s))


def _noisy(schedule: Schedule, ts: Any, name: str) -> np.ndarray:
    """Going back evaluates the noise at the end of the grid, where it must still be defined."""
    ts = check_times(schedule, ts)
    if schedule.rho(ts[-1]) == 0:
        raise ValueError(f"{name} is undone by evaluating the noise at its end, so its grid must end above sigma = 0.")
    return ts
