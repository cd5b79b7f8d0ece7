"""Improved integration approximation: a few more coefficients a step, by least squares against fine steps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .card import Card, Context, Measurement

if TYPE_CHECKING:
    from duhamel.rows.greedy import Greedy
    from duhamel.rows.plan import Plan

    from .planar import Bench

NOISES, FINE, CALLS = 64, 10, (5, 6, 8, 10, 14, 20)


def check(context: Context) -> Sequence[Measurement]:
    from duhamel.diffusion.schedule import EDM, VP

    from .planar import Bench, draw, six_modes

    points, found = 300 if context.fast else 2000, {}
    for label, schedule, calls in (("IIA-DDIM", VP(), CALLS), ("IIA-EDM", EDM(), (6, 8, 10, 14, 20))):
        bench = Bench(six_modes(schedule), points=points, t_min=schedule.t_min, reference=300)
        for n in calls:
            context.progress(f"{label}, {n} calls", len(found) / 11)
            base = bench.build("ddim", n, grid="lam") if label == "IIA-DDIM" else bench.build("heun", n // 2)
            found[label, n] = _fit(bench, base)
    curves: dict[str, Any] = {"DDIM": (CALLS, [found["IIA-DDIM", n].before for n in CALLS])}
    curves["IIA-DDIM"] = (CALLS, [found["IIA-DDIM", n].after for n in CALLS])
    draw(context, "iia", curves, "Improved integration on six modes, VP")
    return [
        *(
            Measurement(
                f"error of {label} over {'DDIM' if label == 'IIA-DDIM' else 'Heun'}'s, {n} calls",
                g.after / g.before,
                high=0.8 if n == 10 else 1.0,
            )
            for (label, n), g in found.items()
        ),
        Measurement(
            "calls of the fit beyond those of one run",
            max(g.calls - g.plan.nfe for g in found.values()),
            high=0,
            note="the coefficients enter linearly: one least-squares problem a step; the fine steps apart",
        ),
    ]


def _fit(bench: "Bench", base: "Plan") -> "Greedy":
    """phi of every step but the first, against the same sampler with ten steps in the place of one."""
    from duhamel.diffusion.plans.adjusted import improved
    from duhamel.diffusion.plans.grid import refined
    from duhamel.diffusion.plans.registry import build
    from duhamel.rows.greedy import fit_steps, from_here

    schedule, model = bench.schedule, bench.models[base.prediction or "data"]
    fine = from_here(lambda n: build(base.name, schedule, ts=refined(schedule, base.t[n : n + 2], FINE)), model)
    both = (
        schedule if base.name == "ddim" else None
    )  # differences of data and of noise for DDIM, of both slopes for Heun
    family: Any = lambda phi: improved(base, phi, both)  # noqa: E731
    free = np.arange(base.steps)[:, None] > 0
    return fit_steps(
        family, np.zeros((base.steps, 2)), model, bench.noises(NOISES, seed=1), fine, (bench.x, bench.truth), free=free
    )


card = Card(
    id="iia",
    claim="Differences of the model's values from one step to the next, added with coefficients that least squares on "
    "64 noises finds against ten fine steps of the same sampler: DDIM and EDM's Heun err less on noises that were not "
    "fitted at 5 to 20 calls, by a fifth or more at 10.",
    source="Zhang, Niwa and Kleijn, On Accelerating Diffusion-Based Sampling Process via Improved Integration "
    "Approximation, 2023, arXiv 2304.11328",
    check=check,
    seconds=15,
)
