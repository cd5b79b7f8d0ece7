"""The six-mode mixture in the plane on which the sampler cards measure: exact model, truth and errors."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from duhamel.diffusion.exact import GaussianMixture
    from duhamel.diffusion.schedule import Schedule
    from duhamel.rows.plan import Plan

from duhamel.report.context import Context


def six_modes(schedule: "Schedule") -> "GaussianMixture":
    """Six Gaussians of equal weight and standard deviation 0.25 on a circle of radius 1.5."""
    from duhamel.diffusion.exact import mixture

    angle = np.arange(6) * np.pi / 3
    return mixture(schedule, np.ones(6), 1.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1), 0.25**2)


class Bench:
    """Equal noises for every plan, and where the probability-flow ODE carries them.

    denoiser  whose flow it is; the mixture's own unless told, for instance a guided one
    points    how many starts
    t_min     where all plans end
    """

    def __init__(
        self, data: "GaussianMixture", *, points: int, t_min: float, denoiser: Any = None, reference: int = 1000
    ):
        from duhamel.diffusion.compare import on_host
        from duhamel.diffusion.plans.registry import build

        self.data, self.schedule, self.t_min = data, data.schedule, t_min
        self.denoiser = denoiser or data.denoiser
        self.models = {p: on_host(self.denoiser, data.schedule, p) for p in ("data", "noise", "score")}
        self.x = self.noises(points)
        self.truth = self.end(build("deis-rho-rk4", data.schedule, reference, t_min=t_min))

    def noises(self, points: int, seed: int = 0) -> np.ndarray:
        """Starts; those of seed 0 are measured on, so fit on others."""
        schedule = self.schedule
        return schedule.sigma(schedule.t_max) * np.random.default_rng(seed).standard_normal((points, 2))

    def states(self, ts: Any, x: np.ndarray, parts: int = 15) -> np.ndarray:
        """Where the exact flow is at the times ts, from x at ts[0]: Runge-Kutta, `parts` steps in each of theirs.

        15 leave 1e-6 at 5 steps of log-SNR and 3e-5 at 5 steps of t.
        """
        from duhamel.diffusion.plans.grid import refined
        from duhamel.diffusion.plans.registry import build
        from duhamel.rows.host import march

        plan = build("deis-rho-rk4", self.schedule, ts=refined(self.schedule, ts, parts))
        return np.stack([slots["x"] for slots in march(plan, self.models["noise"], {"x": x})][::parts])

    def end(self, plan: "Plan") -> np.ndarray:
        from duhamel.rows.host import march

        *_, last = march(plan, self.models[plan.prediction or "data"], {"x": self.x})
        return last["x"]

    def error(self, plan: "Plan") -> float:
        """Root mean square distance to the truth over the starts."""
        return float(np.sqrt(np.mean(np.sum((self.end(plan) - self.truth) ** 2, axis=1))))

    def build(self, name: str, steps: int, **options: Any) -> "Plan":
        from duhamel.diffusion.plans.registry import build

        return build(name, self.schedule, steps, t_min=self.t_min, terminal=False, **{"short": True, **options})


def slope(nfes: Sequence[int], errors: Sequence[float]) -> float:
    """Order of convergence: minus the slope of log error over log evaluations, by least squares."""
    return float(-np.polyfit(np.log(nfes), np.log(errors), 1)[0])


def draw(
    context: Context,
    id: str,
    curves: Mapping[str, tuple[Sequence[int], Sequence[float]]],
    title: str,
    error: str = "RMS distance to the exact end",
) -> None:
    """Error over evaluations, one curve for each sampler."""
    import matplotlib.pyplot as plt

    from duhamel.report.figure import style

    with style():
        figure, axes = plt.subplots()
        for label, (nfes, errors) in curves.items():
            axes.loglog(nfes, errors, marker="o", markersize=3, label=label)
        axes.set(xlabel="model evaluations", ylabel=error, title=title)
        axes.legend(fontsize=8)
        context.figure(f"{id}-error", figure)
