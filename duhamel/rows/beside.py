"""Plans beside each other: every sample of a batch on a grid of its own, in one run."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .plan import Plan, Segment


def beside(plans: Sequence[Plan], dimensions: int = 1) -> Plan:
    """One plan for a batch, whose sample i follows plans[i]: all numbers get a batch axis.

    plans       of equal patterns and equal numbers of steps, such as one sampler on several grids
    dimensions  how many axes a single sample has: x has shape (len(plans), *dimensions axes)
    The model is called with one time per sample, shape (batch,), and so are `plan.t` and the times of a callback, which
    is told their mean.
    """
    plans = list(plans)
    if not plans:
        raise ValueError("plans is empty; give one plan for each sample.")
    first = plans[0]
    for i, plan in enumerate(plans):
        if plan.patterns != first.patterns or plan.prediction != first.prediction:
            raise ValueError(
                f"plan {i} ({plan.name!r}) has other rows than plan 0 ({first.name!r}); only their numbers may differ."
            )
        if [s.steps for s in plan.segments] != [s.steps for s in first.segments]:
            raise ValueError(
                f"plan {i} makes {plan.steps} steps and plan 0 {first.steps}; take as many for each sample."
            )
    segments = tuple(_beside([p.segments[k] for p in plans], dimensions) for k in range(len(first.segments)))
    return replace(first, segments=segments, t=np.stack([p.t for p in plans], axis=1))


def _beside(segments: Sequence[Segment], dimensions: int) -> Segment:
    columns = []
    for column in zip(*(s.coef for s in segments), strict=True):
        if any(c.ndim > 1 for c in column):
            raise ValueError("a coefficient is an array already; only plans of numbers go beside each other.")
        steps = max(c.shape[0] for c in column)
        together = np.stack([np.broadcast_to(c, steps) for c in column], axis=1)
        columns.append(together.reshape(steps, len(segments), *[1] * dimensions))
    return Segment(segments[0].pattern, tuple(columns), np.stack([s.tau for s in segments], axis=2))
