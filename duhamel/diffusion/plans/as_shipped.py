"""Samplers as widely used code computes them, where that is not what their formulas say. NumPy only.

For comparisons with published tables, which were made with these numbers; use `dpmpp_3m` and `deis_rho_ab` otherwise.
"""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from duhamel.core.phi import phi
from duhamel.rows.plan import Plan

from ..schedule import Schedule
from .grid import check_times
from .multistep import adams, describe, dpmpp_3m
from .weights import carry


def dpmpp_3m_as_shipped(schedule: Schedule, ts: Any, *, lower_final: bool | int = False) -> Plan:
    """DPM-Solver++(3M) with D_2 = (D1_0 - D1_1) / (r0 + r1), which is half of the second derivative: order 2, not 3.

    So in the authors' code and in the libraries that took it over. Below 15 evaluations neither version is better
    throughout.
    """
    plan = dpmpp_3m(schedule, ts, lower_final=lower_final)
    (segment,) = plan.segments
    lam, steps = schedule.lam(plan.t), plan.steps
    coef = [np.array(np.broadcast_to(c, (steps,))) for c in segment.coef]
    oldest, before, newest = coef[1], coef[2], coef[3]  # of F2, F1 and F in x_next
    for n in range(2, steps):
        if oldest[n] == 0:  # a last step of lower order
            continue
        h = lam[n + 1] - lam[n]
        r0, r1 = (lam[n] - lam[n - 1]) / h, (lam[n - 1] - lam[n - 2]) / h
        half = -schedule.alpha(plan.t[n + 1]) * h * float(np.real(phi(3, -h))) / (r0 + r1)
        newest[n] += half / r0
        before[n] -= half * (1 / r0 + 1 / r1)
        oldest[n] += half / r1
    w = np.stack([newest, before, oldest], axis=1)
    return Plan("dpmpp-3m-as-shipped", (adams(plan.t, coef[4], w),), plan.t, "data", plan.info)


def sde_dpmpp_3m_as_shipped(schedule: Schedule, ts: Any) -> Plan:
    """diffusers' "sde-dpmsolver++" of order 3: D_2 as above, and in its weight -1/2 where +1/2 belongs

        w = (1 - e^-z - z)/z^2 + 1/2 = int_0^z e^(v - z) (v/z)^2/2 dv,     z = 2 h

    2 w is right, w lacks D_2's factor 2, and w - 1 is what is shipped: it tends to -1 with the step instead of to 0.
    """
    plan = dpmpp_3m(schedule, ts, tau=1.0)
    (segment,) = plan.segments
    lam, coef = schedule.lam(plan.t), [np.array(np.broadcast_to(c, (plan.steps,))) for c in segment.coef]
    for n in range(2, plan.steps):
        h = lam[n + 1] - lam[n]
        if not np.isfinite(h):  # a last step to sigma = 0 is of order 1
            continue
        r0, r1 = (lam[n] - lam[n - 1]) / h, (lam[n - 1] - lam[n - 2]) / h
        wrong = schedule.alpha(plan.t[n + 1]) * (-1 - 2 * h * float(np.real(phi(3, -2 * h)))) / (r0 + r1)
        for read, change in (("F", 1 / r0), ("F1", -1 / r0 - 1 / r1), ("F2", 1 / r1)):
            coef[segment.pattern.positions.index(("x_next", read))][n] += wrong * change
    return replace(plan, name="sde-dpmpp-3m-as-shipped", segments=(replace(segment, coef=tuple(coef)),))


def ipndm_v_as_shipped(schedule: Schedule, ts: Any, order: int = 4) -> Plan:
    """The "variable-step" iPNDM of arXiv 2312.00094's code: Adams and Bashforth in rho for steps h, h_1, h_2, h_3

    Orders 1 and 2 are `deis_rho_ab`'s. In order 3 the second difference is multiplied by (1 - q a) / 2 where it should
    be by (1 - q) a / 2, q = h / 3 (h + h_1) and a = h (h + h_1) / h_1 (h_1 + h_2); both are 5/12 on equal steps. Order
    4 takes that over, multiplies the third difference by 11/24 on equal steps in place of 3/8, and its weights do not
    even add up to one on steps whose ratios vary: order 2 on EDM's grid, 3 on geometric ones.
    """
    ts = check_times(schedule, ts)
    if order not in (1, 2, 3, 4):
        raise ValueError(f"order = {order!r}; ipndm_v knows 1, 2, 3 and 4.")
    h = np.diff(np.asarray(schedule.rho(ts)))
    w = np.zeros((len(h), order))
    for n in range(len(h)):
        k = min(order, n + 1)
        w[n, :k] = schedule.alpha(ts[n + 1]) * h[n] * np.array(_ipndm_v(*h[n - np.arange(k)]))
    carries = np.array([carry(schedule, s, t, "noise") for s, t in pairwise(ts)])
    facts = describe(schedule) | {"order": order}
    return Plan("ipndm-v-as-shipped", (adams(ts, carries, w),), ts, "noise", facts)


def _ipndm_v(*h: float) -> tuple[float, ...]:
    """Weights for the last values, newest first; h the step and those before it, newest first."""
    if len(h) == 1:
        return (1.0,)
    r = h[0] / h[1]
    first = (1 + r / 2, -r / 2)
    if len(h) == 2:
        return first
    s = h[1] / h[2]
    q = h[0] / (3 * (h[0] + h[1]))
    second = (1 - q * h[0] * (h[0] + h[1]) / (h[1] * (h[1] + h[2]))) / 2
    if len(h) == 3:
        return first[0] + second, first[1] - (1 + s) * second, s * second
    a, b, c = h[0] + h[1], h[0] + h[1] + h[2], h[1] + h[2]
    third = ((1 - q) / 2 + (1 - h[0] / (2 * a)) * h[0] / (6 * b)) * h[0] * a * b / (h[1] * c * (c + h[3]))
    t = h[1] * c / (h[2] * (h[2] + h[3]))
    return (
        first[0] + second + third,
        first[1] - (1 + s) * second - (1 + s + t) * third,
        s * second + (s + t * (1 + h[2] / h[3])) * third,
        -t * s * third,
    )
