"""A timestep aligner: the model is asked at another time than that of the state."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .card import Card, Context, Measurement

if TYPE_CHECKING:
    from duhamel.rows.greedy import Greedy
    from duhamel.rows.plan import Plan

    from .planar import Bench

NOISES, CALLS = 64, (5, 6, 8, 10)
GRIDS = {"lam": "equal steps in log-SNR", "quadratic": "quadratic steps", "t": "equal steps in t"}


def check(context: Context) -> Sequence[Measurement]:
    from duhamel.diffusion.plans.multistep import multistep
    from duhamel.diffusion.schedule import VP

    from .planar import Bench, draw, six_modes

    schedule = VP()
    bench = Bench(six_modes(schedule), points=500 if context.fast else 2000, t_min=schedule.t_min, reference=300)
    found, calls = {}, (5, 10) if context.fast else CALLS
    for i, (grid, words) in enumerate(GRIDS.items()):
        context.progress(f"aligned DDIM, {words}", i / 5)
        for n in calls:
            found[grid, n] = _fit(bench, bench.build("ddim", n, grid=grid))
    ts = [bench.build("ddim", n, grid="lam").t for n in calls]
    noise = [_fit(bench, multistep("ddim", schedule, t, order=1, prediction="noise")) for t in ts]
    curves: dict[str, Any] = {"DDIM": (calls, [found["lam", n].before for n in calls])}
    curves["aligned, data"] = (calls, [found["lam", n].after for n in calls])
    curves["aligned, noise"] = (calls, [g.after for g in noise])
    draw(context, "timestep-aligner", curves, "Aligned DDIM on six modes, VP, equal steps in log-SNR")
    context.progress("a trained network", 0.8)
    return [
        *(
            Measurement(f"error of aligned DDIM over DDIM's, {GRIDS[grid]}, {n} calls", g.after / g.before, high=0.7)
            for (grid, n), g in found.items()
        ),
        Measurement(
            "the same with a model that is asked for the noise, log-SNR, 5 to 10 calls: largest",
            max(g.after / g.before for g in noise),
            high=0.7,
            note="as the paper does; it gains less than one that is asked for the data",
        ),
        *([] if context.fast else [_jointly(bench, found["t", 10])]),
        *_digits(1 if context.fast else 8),
    ]


def _fit(bench: "Bench", base: "Plan") -> "Greedy":
    """One number a step, each brought closest to the exact flow from the same 64 noises."""
    from duhamel.diffusion.plans.adjusted import shifted
    from duhamel.rows.greedy import along, fit_steps

    x, model = bench.noises(NOISES, seed=1), bench.models[base.prediction or "data"]
    family: Any = lambda theta: shifted(base, bench.schedule, theta)  # noqa: E731
    return fit_steps(
        family, np.zeros((base.steps, 1)), model, x, along(bench.states(base.t, x)), (bench.x, bench.truth)
    )


def _jointly(bench: "Bench", start: "Greedy") -> Measurement:
    from duhamel.diffusion.plans.adjusted import shifted
    from duhamel.rows.tune import fit

    base, x = bench.build("ddim", len(start.theta), grid="t"), bench.noises(NOISES, seed=1)
    family: Any = lambda theta: shifted(base, bench.schedule, theta)  # noqa: E731
    fitted = fit(family, start.theta.ravel(), bench.denoiser, x, bench.states(base.t, x)[-1])
    return Measurement(
        "equal steps in t, 10 calls: all times fitted together, over fitted step by step",
        bench.error(fitted.plan) / start.after,
        high=1.0,
    )


def _digits(batches: int, steps: int = 6) -> list[Measurement]:
    """The shipped network of handwritten digits at six calls: 64 noises to fit, and `batches` of 64 others."""
    from duhamel.diffusion import digits
    from duhamel.diffusion.plans.adjusted import shifted
    from duhamel.rows.greedy import along, fit_steps

    from .trained_digits import TrainedDigits, rms

    bench = TrainedDigits()
    base = bench.build("ddim", steps)
    x, *others = bench.noises(1 + batches)
    states = bench.exact(base.t, x)
    family: Any = lambda theta: shifted(base, bench.schedule, theta)  # noqa: E731
    given = bench.model, x, along(states), (x, states[-1])
    fitted = fit_steps(family, np.zeros((steps, 1)), *given, delta=1e-2)  # float32: large differences
    truth = np.concatenate([bench.exact(base.t, other)[-1] for other in others])
    ddim, aligned = (bench.ends(plan, np.stack(others)) for plan in (base, fitted.plan))
    energy = [digits.quality(y, np.tile(bench.labels, batches))["energy"] for y in (ddim, aligned)]
    return [
        Measurement(
            "trained digits, 6 calls: error of aligned DDIM over DDIM's",
            rms(aligned, truth) / rms(ddim, truth),
            high=0.7,
        ),
        Measurement(
            "trained digits: energy distance of DDIM's samples to images that were held out, less that of aligned ones",
            energy[0] - energy[1],
            low=1e-3,
            note="of 512: 0.0143 for DDIM, 0.0009 for aligned ones, -0.0072 for training images, 0.074 for a Gaussian",
        ),
    ]


card = Card(
    id="timestep-aligner",
    claim="One time a step, at which the model is asked in place of the state's own, fitted on 64 noises: DDIM at 5 to "
    "10 calls errs at most 0.7 times as much on noises that were not fitted, with an exact score and with a trained "
    "network, whose samples come closer to the data, too.",
    source="Xia, Shen, Lei, Zhou, Zhao, Yi, Wang and Liu, Towards More Accurate Diffusion Model Acceleration with A "
    "Timestep Aligner, 2023, arXiv 2310.09469",
    check=check,
    seconds=60,
)
