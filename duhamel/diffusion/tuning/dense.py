"""The dense table: every deterministic sampler of n evaluations, and all that lies between them. NumPy only.

    x_(i+1) = a_i x_0 + sum_(j <= i) b_ij D_j,      D_i = D(tau_i, x_i)

The non-stationary family of Shaul et al. (arXiv 2403.01329), also fitted in S4S (arXiv 2502.17423): at most
n (n + 3)/2 + n numbers. It is ONE pattern with n - 1 history slots, so the network stands once in the program, and any
two samplers of n evaluations run on the same compiled one.
"""

from typing import Any

import numpy as np

from duhamel.rows.canonical import canonical
from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.plan import Plan, Segment

from ..schedule import Schedule


def dense_pattern(n: int) -> Pattern:
    """Slots: x, the start (kept from the first step on), and the n - 1 values before, newest first."""
    names = tuple(f"D{j}" for j in range(1, n))
    rows = (
        Row("y", ("x",), call="D"),
        Row("begin", ("x", "start")),
        Row("x_next", (*names[::-1], "D", "begin")),
    )
    keep = (("x", "x_next"), ("start", "begin"), *zip(names, ("D", *names), strict=False))
    return Pattern(rows, keep)


def dense_plan(
    a: np.ndarray,
    b: np.ndarray,
    tau: np.ndarray,
    end: float,
    *,
    name: str = "dense",
    info: dict[str, Any] | None = None,
) -> Plan:
    """The plan of a table: a (n,), b (n, n) lower triangular with b[i, j] the weight of D_j in x_(i+1), model times
    tau (n,) and the time `end` of the last state."""
    n = len(a)
    first = np.zeros(n)
    first[0] = 1.0
    newest_first = np.zeros((n, n))
    for i in range(n):
        newest_first[i, : i + 1] = b[i, i::-1]
    coef = (np.ones(1), first, 1 - first, *newest_first.T[::-1], np.asarray(a, np.float64))
    return Plan(
        name, (Segment(dense_pattern(n), coef, np.reshape(tau, (n, 1))),), np.append(tau, end), "data", info or {}
    )


def dense_table(plan: Plan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """a, b and tau of a plan that `dense_plan` made."""
    (segment,) = plan.segments
    n = segment.steps
    if segment.pattern != dense_pattern(n):
        raise ValueError(f"plan {plan.name!r} is not a dense table; make it one with dense(plan, schedule).")
    newest_first = np.stack([np.broadcast_to(c, n) for c in segment.coef[3:-1]][::-1], axis=1)
    b = np.zeros((n, n))
    for i in range(n):
        b[i, i::-1] = newest_first[i, : i + 1]
    return np.array(segment.coef[-1]), b, segment.tau[:, 0].copy()


def dense(plan: Plan, schedule: Schedule) -> Plan:
    """The same method as a dense table, for a model that returns the data: equal to rounding for every model."""
    if plan.draws or plan.consts or plan.models > 1:
        raise ValueError(
            f"plan {plan.name!r} draws noise, reads constants or calls two models; a dense table does not."
        )
    form = canonical(plan, "data", lambda t: float(schedule.alpha(t)), lambda t: float(schedule.sigma(t)))
    n = plan.nfe
    lines = np.concatenate([form.points[1:], form.states[:1]])  # over x, F1, ..., Fn
    if not np.allclose(form.points[0], np.eye(n + 1)[0], rtol=0, atol=1e-12):
        raise ValueError(f"plan {plan.name!r} does not evaluate its start itself; a dense table does.")
    info = {key: value for key, value in plan.info.items() if key == "schedule"} | {"table_of": plan.name}
    return dense_plan(lines[:, 0], lines[:, 1:], form.tau, float(plan.t[-1]), name=plan.name, info=info)
