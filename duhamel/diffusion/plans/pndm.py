"""Pseudo numerical methods on manifolds (Liu et al., arXiv 2202.09778). NumPy only.

The transfer part is a DDIM step with a given noise, Phi(x, e, s, t) = (alpha_t/alpha_s) x + alpha_t (rho_t - rho_s) e;
the noise it is given is a combination of evaluations with the *constant* weights of Runge and Kutta or of Adams and
Bashforth. On grids that are not uniform in rho these weights are not those of the grid, which is why the order is 2
and not 4.
"""

from itertools import pairwise
from typing import Any

import numpy as np

from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.plan import Plan, Segment

from ..schedule import Schedule
from .grid import check_times
from .multistep import adams, describe
from .weights import carry

ADAMS = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))


def s_pndm(schedule: Schedule, ts: Any) -> Plan:
    """S-PNDM: a pseudo Heun step, then e = (3 e_0 - e_1) / 2. Order 2, steps + 1 evaluations."""
    ts = _positive(schedule, ts, "s-pndm")
    first = Pattern(
        (
            Row("y", ("x",), call="e1"),
            Row("u", ("e1", "x"), call="e2"),
            Row("x_next", ("e2", "e1", "x")),
        ),
        (("x", "x_next"), ("F1", "e1")),
    )
    a, b = _transfer(schedule, ts[0], ts[1])
    start = Segment(first, _constants([1.0, b, a, b / 2, b / 2, a]), ts[None, :2])
    return _plan("s-pndm", schedule, ts, start, 1, ADAMS[1])


def f_pndm(schedule: Schedule, ts: Any) -> Plan:
    """F-PNDM: three pseudo Runge-Kutta steps of four evaluations, then e = (55 e_0 - 59 e_1 + 37 e_2 - 9 e_3) / 24.

    steps + 9 evaluations. The middle of a Runge-Kutta step is the middle in t.
    """
    ts = _positive(schedule, ts, "f-pndm")
    first = Pattern(
        (
            Row("y", ("x",), call="e1"),
            Row("u2", ("e1", "x"), call="e2"),
            Row("u3", ("e2", "x"), call="e3"),
            Row("u4", ("e3", "x"), call="e4"),
            Row("x_next", ("e4", "e3", "e2", "e1", "x")),
        ),
        (("x", "x_next"), ("F1", "e1"), ("F2", "F1"), ("F3", "F2")),
    )
    coef, tau, warm = [], [], min(3, len(ts) - 1)
    for s, t in pairwise(ts[: warm + 1]):
        middle = 0.5 * (s + t)
        (a, b), (a_mid, b_mid) = _transfer(schedule, s, t), _transfer(schedule, s, middle)
        coef.append([1.0, b_mid, a_mid, b_mid, a_mid, b, a, b / 6, b / 3, b / 3, b / 6, a])
        tau.append([s, middle, middle, t])
    start = Segment(first, tuple(np.transpose(coef)), np.array(tau))
    return _plan("f-pndm", schedule, ts, start, warm, ADAMS[3])


def ipndm(schedule: Schedule, ts: Any, order: int = 4) -> Plan:
    """iPNDM (arXiv 2204.13902, app. H): no Runge-Kutta steps, but Adams-Bashforth weights of orders 1, 2, ..., `order`.

    One evaluation a step; often the best of all with 5 to 10 steps, though of order 2 only.
    """
    ts = check_times(schedule, ts)
    if order not in (1, 2, 3, 4):
        raise ValueError(f"order = {order!r}; ipndm knows 1, 2, 3 and 4.")
    w = np.zeros((len(ts) - 1, order))
    for n in range(len(ts) - 1):
        row = ADAMS[min(order, n + 1) - 1]
        w[n, : len(row)] = np.array(row) * _transfer(schedule, ts[n], ts[n + 1])[1]
    carries = np.array([carry(schedule, s, t, "noise") for s, t in pairwise(ts)])
    return Plan("ipndm", (adams(ts, carries, w),), ts, "noise", describe(schedule) | {"order": order, "least": order})


def _plan(name: str, schedule: Schedule, ts: np.ndarray, start: Segment, warm: int, row: tuple[float, ...]) -> Plan:
    segments = [start]
    if len(ts) - 1 > warm:
        rest = ts[warm:]
        ab = np.array([_transfer(schedule, s, t) for s, t in pairwise(rest)])
        segments.append(adams(rest, ab[:, 0], ab[:, 1:] * np.array(row)))
    return Plan(name, tuple(segments), ts, "noise", describe(schedule) | {"least": len(row)})


def _transfer(schedule: Schedule, s: float, t: float) -> tuple[float, float]:
    """Coefficients of x and of e in Phi(x, e, s, t)."""
    return carry(schedule, s, t, "noise"), float(schedule.alpha(t) * (schedule.rho(t) - schedule.rho(s)))


def _constants(numbers: list[float]) -> tuple[np.ndarray, ...]:
    return tuple(np.full(1, c, np.float64) for c in numbers)


def _positive(schedule: Schedule, ts: Any, name: str) -> np.ndarray:
    """The Runge-Kutta steps evaluate at their end, where the noise must still be defined."""
    ts = check_times(schedule, ts)
    if schedule.rho(ts[min(3, len(ts) - 1)]) == 0:
        raise ValueError(f"{name} evaluates the model at the end of its first steps, so sigma = 0 must come later.")
    return ts
