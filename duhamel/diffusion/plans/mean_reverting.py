"""Mean-reverting diffusions, which end at noise around a state mu, such as a degraded image. NumPy only.

    x_t = alpha_t x_0 + (1 - alpha_t) mu + sigma_t eps

x - mu is an ordinary diffusion of x_0 - mu. A row that sums states with weights that add up to s for the ordinary one
gets (1 - s) mu added: any sampler becomes a sampler of mean-reverting diffusions, with one constant column.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from duhamel.rows.pattern import Pattern
from duhamel.rows.plan import Plan, Segment

from ..schedule import Schedule


def mean_reverting(plan: Plan) -> Plan:
    """The plan around mu: `plan.run(model, x, consts={"mu": mu})`, model(t, x) predicting data or noise at x itself.

    MR Sampler (Li et al., arXiv 2502.07856): with "dpmpp-2m" its PF-ODE solver of order 2 for data prediction, with
    "unip" of prediction "noise" the one for noise, with "sde-dpmpp-2m" the SDE solvers; mu = 0 is the plan itself.
    """
    if plan.prediction not in ("data", "noise", "score"):
        raise ValueError(f"plan {plan.name!r} predicts {plan.prediction!r}; build one for data, noise or score.")
    values = 1.0 if plan.prediction == "data" else 0.0
    states = _states(plan.patterns)
    segments = tuple(_around(segment, states, values) for segment in plan.segments)
    return replace(plan, name=f"mr-{plan.name}", segments=segments)


def mr_sampler(schedule: Schedule, ts: Any, order: int = 2, *, prediction: str = "data", tau: float = 0.0) -> Plan:
    """MR Sampler-ODE-n, -ODE-d and -SDE-d of orders 1 and 2 (arXiv 2502.07856): see `mean_reverting`."""
    from .multistep import multistep

    if order not in (1, 2) or prediction not in ("data", "noise"):
        raise ValueError(
            f"order = {order!r}, prediction = {prediction!r}; mr_sampler knows orders 1 and 2, data and noise."
        )
    name = f"{'sde' if tau else 'ode'}-{prediction[0]}-{order}"
    base: Any = prediction
    return mean_reverting(multistep(name, schedule, ts, order=order, prediction=base, tau=tau, two_node="exact"))


def _states(patterns: tuple[Pattern, ...]) -> set[str]:
    """Names of the slots that hold states: x, and whatever keeps a row that reads one."""
    found = {"x"}
    while True:
        more = set(found)
        for pattern in patterns:
            built = _built(pattern, more)
            more |= {slot for slot, source in pattern.keep if source in built}
        if more == found:
            return found
        found = more


def _built(pattern: Pattern, states: set[str]) -> set[str]:
    """States among the slots and the rows of one step."""
    known = {slot for slot in pattern.slots if slot in states}
    for row in pattern.rows:
        if known & set(row.reads):
            known.add(row.out)
    return known


def _around(segment: Segment, slots: set[str], values: float) -> Segment:
    pattern, states, calls = segment.pattern, _built(segment.pattern, slots), set()
    slot_of = dict(pattern.keep)
    for row in pattern.rows:
        calls.add(row.call)
    # what keeps a model value, or keeps what keeps one, counts as a value
    while more := {s for s, source in slot_of.items() if source in calls and s not in calls and s not in states}:
        calls |= more
    rows, coef, given = [], [], iter(segment.coef)
    for row in pattern.rows:
        own = [next(given) for _ in row.reads]
        if row.out in states:
            weight = {name: 1.0 if name in states else values if name in calls else 0.0 for name in row.reads}
            total = sum((weight[name] * c for name, c in zip(row.reads, own, strict=True)), np.zeros(1))
            rows.append(replace(row, reads=("mu", *row.reads)))
            coef += [1.0 - total, *own]
        else:
            rows.append(row)
            coef += own
    around = replace(pattern, rows=tuple(rows), consts=(*pattern.consts, "mu"))
    return Segment(around, tuple(coef), segment.tau)
