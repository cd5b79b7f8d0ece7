"""The same plan for a model that returns something else: each value is turned into what the rows read, by a row.

    F = model(tau, y)   becomes   Q = model(tau, y),   F = a Q + b y,      a = w_P / w_Q,   b = u_P - a u_Q

where P = u_P x + w_P D is what the plan was built for and Q = u_Q x + w_Q D what the model returns
(`canonical.affine`). The program around a network then needs no conversion, and PyTorch and JAX run it alike. NumPy
only.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .canonical import PREDICTIONS, affine
from .pattern import Row
from .plan import Plan, Segment


def predicting(plan: Plan, prediction: str, alpha: Callable, sigma: Callable) -> Plan:
    """`plan`, for a model that returns `prediction`. Only model 0 predicts; others stay as they are.

    alpha, sigma  of x_t = alpha x_0 + sigma eps, at the model times
    """
    if prediction not in PREDICTIONS:
        raise ValueError(f"prediction = {prediction!r} is none of {', '.join(PREDICTIONS)}.")
    if plan.prediction is None:
        raise ValueError(f"plan {plan.name!r} is for a vector field, not for a model that predicts.")
    if plan.prediction == prediction:
        return plan
    segments = tuple(_rewritten(s, plan.prediction, prediction, alpha, sigma) for s in plan.segments)
    return replace(plan, segments=segments, prediction=prediction)


def _rewritten(segment: Segment, source: str, target: str, alpha: Callable, sigma: Callable) -> Segment:
    rows, coef, given, calls = [], [], iter(segment.coef), 0
    for row in segment.pattern.rows:
        coef += [next(given) for _ in row.reads]
        if row.call is None or row.model != 0:
            rows.append(row)
        else:
            said = f"{row.call}_{target}"
            rows += [replace(row, call=said), Row(row.call, (said, row.out))]
            a, b = np.transpose([_change(float(t), source, target, alpha, sigma) for t in segment.tau[:, calls]])
            coef += [a, b]
        calls += row.call is not None
    return Segment(replace(segment.pattern, rows=tuple(rows)), tuple(coef), segment.tau)


def _change(t: float, source: str, target: str, alpha: Callable, sigma: Callable) -> tuple[float, float]:
    (u, w), (v, q) = (affine(p, float(alpha(t)), float(sigma(t))) for p in (source, target))
    return w / q, u - w / q * v
