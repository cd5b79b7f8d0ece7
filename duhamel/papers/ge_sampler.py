"""Gradient estimation: denoising as gradient descent on the distance to the data."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .card import Card, Context, Measurement


def check(context: Context) -> Sequence[Measurement]:
    from duhamel.diffusion.plans.registry import build
    from duhamel.diffusion.schedule import EDM
    from duhamel.rows.canonical import distance

    from .planar import Bench, draw, six_modes, slope

    schedule = EDM()
    bench = Bench(six_modes(schedule), points=200 if context.fast else 1000, t_min=schedule.t_min)
    nfes, curves = [5, 10, 40, 80, 160, 320], {}
    for label, name in (("DDIM", "ddim"), ("GE, gamma = 2", "ge")):
        context.progress(label, len(curves) / 3)
        curves[label] = (nfes, [bench.error(bench.build(name, n, grid="lam")) for n in nfes])
    (_, ddim), (_, ge) = curves.values()
    draw(context, "ge-sampler", curves, "Gradient estimation on six modes, equal steps in log sigma")
    same = distance(build("ge", schedule, 9, gamma=1.0), build("ddim", schedule, 9), schedule.alpha, schedule.sigma)
    return [
        *(
            Measurement(f"error of GE over DDIM's at {n} calls", ge[i] / ddim[i], high=0.7)
            for i, n in enumerate((5, 10))
        ),
        Measurement(
            "slope of GE, 80 to 320 calls", slope(nfes[-3:], ge[-3:]), 0.85, 1.2, note="the gain is of few steps"
        ),
        Measurement("gamma = 1 against DDIM, largest relative difference of any coefficient", same, high=1e-11),
        *_on_a_manifold(400 if context.fast else 2000),
    ]


def _on_a_manifold(points: int) -> list[Measurement]:
    """Data on a plane in 32 dimensions: the denoiser is a projection, and DDIM shrinks the distance as sigma falls."""
    from duhamel.diffusion.plans.registry import build
    from duhamel.diffusion.schedule import EDM
    from duhamel.rows.host import march

    rng, d, k = np.random.default_rng(0), 32, 2
    plane = np.linalg.qr(rng.standard_normal((d, k)))[0]
    schedule = EDM(sigma_min=0.02, sigma_max=10.0)

    def denoiser(t: Any, x: np.ndarray) -> np.ndarray:
        return (x @ plane) @ plane.T / (1 + t**2)  # N(0, 1) on the plane, nothing beside it

    def off(x: np.ndarray) -> np.ndarray:
        return np.linalg.norm(x - (x @ plane) @ plane.T, axis=1)

    x = schedule.sigma(schedule.t_max) * rng.standard_normal((points, d))
    noisy = plane @ rng.standard_normal((k, points))
    relative = []
    for sigma in (0.05, 0.1, 1.0):
        y = noisy.T + sigma * rng.standard_normal((points, d))
        exact = (y @ plane) @ plane.T  # the nearest point of the data
        relative.append(np.max(np.linalg.norm(denoiser(sigma, y) - exact, axis=1) / off(y)))
    plan = build("ddim", schedule, 10)
    decay = []
    states = [s["x"] for s in march(plan, [denoiser], {"x": x})]
    for (before, after), (s, t) in zip(pairwise(states), pairwise(plan.t), strict=True):
        decay.append(np.abs(off(after) / off(before) / (t / s) - 1).max())
    return [
        Measurement(
            "plane in 32 dimensions, sigma to 0.1: projection error of the denoiser over the distance",
            float(max(relative[:2])),
            high=0.1,
            note=f"{relative[2]:.2f} at sigma = 1, as wide as the data: the bound is for small noise",
        ),
        Measurement("decay of DDIM's distance against the ratio of the sigmas", float(max(decay)), high=0.1),
    ]


card = Card(
    id="ge-sampler",
    claim="Denoising is gradient descent on the distance to the data: the denoiser is nearly the projection, DDIM "
    "shrinks the distance as sigma falls, and 2 eps_0 - eps_1 in place of eps_0 errs at most 0.7 times as much at 5 to "
    "10 calls.",
    source="Permenter and Yuan, Interpreting and Improving Diffusion Models from an Optimization Perspective, 2023, "
    "arXiv 2306.04848",
    check=check,
    seconds=10,
)
