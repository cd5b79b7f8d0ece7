"""Samplers with momentum, and gradient estimation: sums of noise predictions other than Adams's. NumPy only.

x_t = (alpha_t/alpha_s) x_s + alpha_t (rho_t - rho_s) e,        e made from eps now and before
"""

from itertools import pairwise
from typing import Any

import numpy as np

from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.plan import Plan, Segment

from ..schedule import Schedule
from .grid import check_times
from .multistep import adams, describe
from .pndm import ADAMS
from .weights import carry


def heavy_ball(schedule: Schedule, ts: Any, order: int = 4, beta: float = 0.8) -> Plan:
    """HB (Wizadwongsa et al., arXiv 2307.11118): v <- v + beta (AB_p(eps) - v), e = v. Order 1; beta = 1 is iPNDM.

    beta in (0, 1]: less makes the stability region larger, which mends artefacts of strong guidance. v starts as eps.
    """
    ts, beta = check_times(schedule, ts), _damping(beta)
    if order not in (1, 2, 3, 4):
        raise ValueError(f"order = {order!r}; heavy_ball knows 1, 2, 3 and 4.")
    steps = len(ts) - 1
    carries, jump = _transfer(schedule, ts)
    w, kept = np.zeros((steps, order)), np.full(steps, 1 - beta)
    for n in range(steps):
        row = ADAMS[min(order, n + 1) - 1]
        w[n, : len(row)] = beta * np.array(row)
    w[0, 0], kept[0] = 1.0, 0.0
    values = tuple(f"F{j}" for j in range(1, order))
    rows = (
        Row("y", ("x",), call="F"),
        Row("v", (*values[::-1], "F", "velocity")),
        Row("x_next", ("v", "x")),
    )
    keep = (("x", "x_next"), ("velocity", "v"), *zip(values, ("F", *values), strict=False))
    segment = Segment(Pattern(rows, keep), (np.ones(1), *w.T[::-1], kept, jump, carries), ts[:-1, None])
    return Plan("hb", (segment,), ts, "noise", describe(schedule) | {"order": order, "least": order, "beta": beta})


def ghvb(schedule: Schedule, ts: Any, order: int = 2, beta: float = 0.8) -> Plan:
    """GHVB (arXiv 2307.11118): v <- v + beta (eps - v), e a combination of the last `order` v. beta = 1 is iPNDM.

        2: ((2 + b) v_0 - (2 - b) v_1)/2b       3: ((18 + 5b) v_0 - (24 - 8b) v_1 + (6 - b) v_2)/12b
        4: ((46 + 9b) v_0 - (78 - 19b) v_1 + (42 - 5b) v_2 - (10 - b) v_3)/24b

    "Order 1.8" of the paper is order = 2 and beta = 0.8: of order 2 for every beta in (0, 1], with an error constant
    that grows as beta falls.
    """
    ts, b = check_times(schedule, ts), _damping(beta)
    mixes = (
        (1.0,),
        tuple(np.array([2 + b, -(2 - b)]) / (2 * b)),
        tuple(np.array([18 + 5 * b, -(24 - 8 * b), 6 - b]) / (12 * b)),
        tuple(np.array([46 + 9 * b, -(78 - 19 * b), 42 - 5 * b, -(10 - b)]) / (24 * b)),
    )
    if order not in (1, 2, 3, 4):
        raise ValueError(f"order = {order!r}; ghvb knows 1, 2, 3 and 4.")
    steps = len(ts) - 1
    carries, jump = _transfer(schedule, ts)
    w = np.zeros((steps, order))
    for n in range(steps):
        row = mixes[min(order, n + 1) - 1]
        w[n, : len(row)] = jump[n] * np.array(row)
    fresh, kept = np.full(steps, b), np.full(steps, 1 - b)
    fresh[0], kept[0] = 1.0, 0.0
    before = tuple(f"v{j}" for j in range(1, max(order, 2)))
    rows = (
        Row("y", ("x",), call="F"),
        Row("v", ("F", "v1")),
        Row("x_next", (*before[: order - 1][::-1], "v", "x")),
    )
    keep = (("x", "x_next"), *zip(before, ("v", *before), strict=False))
    segment = Segment(Pattern(rows, keep), (np.ones(1), fresh, kept, *w.T[::-1], carries), ts[:-1, None])
    return Plan("ghvb", (segment,), ts, "noise", describe(schedule) | {"order": order, "least": order, "beta": b})


def gradient_estimation(schedule: Schedule, ts: Any, gamma: float = 2.0) -> Plan:
    """GE (Permenter and Yuan, arXiv 2306.04848): DDIM with e = gamma eps_0 + (1 - gamma) eps_1. Order 1.

    gamma = 2 in the paper, with 5 to 10 steps; the gain is gone by a hundred. Its first step is DDIM's.
    """
    ts = check_times(schedule, ts)
    carries, jump = _transfer(schedule, ts)
    w = np.outer(jump, (gamma, 1 - gamma))
    w[0] = jump[0], 0.0
    return Plan("ge", (adams(ts, carries, w),), ts, "noise", describe(schedule) | {"least": 2, "gamma": gamma})


def _transfer(schedule: Schedule, ts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What multiplies x and e in every step."""
    carries = np.array([carry(schedule, s, t, "noise") for s, t in pairwise(ts)])
    return carries, np.broadcast_to(schedule.alpha(ts[1:]), len(carries)) * np.diff(schedule.rho(ts))


def _damping(beta: float) -> float:
    if not 0 < beta <= 1:
        raise ValueError(f"beta = {beta}; the damping lies in (0, 1], and 1 switches it off.")
    return float(beta)
