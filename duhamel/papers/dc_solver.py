"""DC-Solver: the newest value read off at a shifted time, against the misalignment that correctors leave."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .card import Card, Context, Measurement

if TYPE_CHECKING:
    from duhamel.diffusion.exact import GaussianMixture
    from duhamel.rows.greedy import Greedy

    from .planar import Bench

NOISES, UNSEEN = 64, 7
KNOWN = (5, 6, 8, 10)


def check(context: Context) -> Sequence[Measurement]:
    from duhamel.diffusion.plans.compensated import Cascade, compensated, dc_solver
    from duhamel.diffusion.plans.registry import build
    from duhamel.diffusion.schedule import VP
    from duhamel.rows.canonical import distance

    from .planar import draw, six_modes

    schedule = VP()
    data, found, rivals, benches = six_modes(schedule), {}, {}, {}
    scales = (1.0, 7.5) if context.fast else (1.0, 3.0, 5.0, 7.5)
    for i, scale in enumerate(scales):
        bench = benches[scale] = _guided(data, scale, 300 if context.fast else 2000)
        for n in (*KNOWN, UNSEEN):
            context.progress(f"guidance {scale:g}, {n} calls", i / len(scales))
            found[n, scale] = _fit(bench, n, NOISES)
            options = [{"lower_final": False}, {"lower_final": True}]
            rivals[n, scale] = min(bench.error(bench.build("dpmpp-2m", n, grid="t", **o)) for o in options)
    numbers = [
        number
        for scale in (1.0, 7.5)
        for n in KNOWN
        for number in _against(f"guidance {scale:g}, {n} calls", found[n, scale], rivals[n, scale], (n, scale))
    ]
    cascade = Cascade.fit({key: g.theta[:, 0] for key, g in found.items() if key[0] != UNSEEN})
    for scale in (1.0, 7.5):
        bench, g = benches[scale], found[UNSEEN, scale]
        predicted = bench.error(compensated(_unipc(bench, UNSEEN), cascade.ratios(UNSEEN, scale)))
        lost = (predicted - g.after) / (g.before - g.after)
        numbers.append(
            Measurement(f"guidance {scale:g}, 7 calls: share of the gain lost by predicted ratios", lost, high=0.2)
        )
    curves: dict[str, Any] = {"UniPC": (KNOWN, [found[n, 7.5].before for n in KNOWN])}
    curves["DC-Solver"] = (KNOWN, [found[n, 7.5].after for n in KNOWN])
    curves["DPM-Solver++(2M)"] = (KNOWN, [rivals[n, 7.5] for n in KNOWN])
    draw(context, "dc-solver", curves, "DC-Solver on six modes, guidance 7.5, equal steps in t")
    one = distance(dc_solver(schedule, build("ddim", schedule, 9).t, 3), build("unipc", schedule, 9, order=3))
    ten = _fit(benches[7.5], 5, 10)
    return [
        *numbers,
        Measurement("ratio 1 against UniPC, largest relative difference of any coefficient", one, high=1e-12),
        Measurement(
            "guidance 7.5, 5 calls: error over UniPC's with ratios of 10 noises", ten.after / ten.before, high=0.8
        ),
        *([] if context.fast else [_jointly(benches[7.5], found[5, 7.5])]),
    ]


def _guided(data: "GaussianMixture", scale: float, points: int) -> "Bench":
    """Guidance towards three of the six modes; scale 1 is their own mixture."""
    from duhamel.diffusion.denoiser import Guided

    from .planar import Bench

    denoiser = Guided(data.components(0, 1, 2).denoiser, data.denoiser, scale)
    return Bench(data, points=points, t_min=data.schedule.t_min, denoiser=denoiser, reference=400)


def _unipc(bench: "Bench", steps: int) -> Any:
    """As the authors run it: order 2, lower in the last steps, equal steps in t."""
    return bench.build("unipc", steps, grid="t", order=2, lower_final=True)


def _fit(bench: "Bench", steps: int, noises: int) -> "Greedy":
    """The ratio of every step that has a parabola, each by Gauss and Newton against the exact flow."""
    from duhamel.diffusion.plans.compensated import compensated
    from duhamel.rows.greedy import along, fit_steps

    base, x = _unipc(bench, steps), bench.noises(noises, seed=1)
    family: Any = lambda ratios: compensated(base, ratios)  # noqa: E731
    free = np.arange(steps)[:, None] >= 2
    teacher = along(bench.states(base.t, x))
    return fit_steps(family, np.ones((steps, 1)), bench.models["data"], x, teacher, (bench.x, bench.truth), free=free)


def _against(where: str, g: "Greedy", rival: float, key: tuple[int, float]) -> list[Measurement]:
    """The best of DPM-Solver++(2M) with and without lower orders at the end is the rival."""
    most = 0.8 if key == (5, 7.5) else 1.0
    return [
        Measurement(f"{where}: error of DC-Solver over UniPC's", g.after / g.before, high=most),
        Measurement(f"{where}: over DPM-Solver++'s", g.after / rival, high=most),
    ]


def _jointly(bench: "Bench", start: "Greedy") -> Measurement:
    """All ratios together, on the same noises, from those found step by step."""
    from duhamel.diffusion.plans.compensated import compensated
    from duhamel.rows.tune import fit

    base, x = _unipc(bench, len(start.theta)), bench.noises(NOISES, seed=1)
    family: Any = lambda ratios: compensated(base, np.concatenate([[1.0, 1.0], ratios]))  # noqa: E731
    fitted = fit(family, start.theta[2:, 0], bench.denoiser, x, bench.states(base.t, x)[-1])
    return Measurement(
        "the same, all ratios fitted together: error over that of ratios fitted step by step",
        bench.error(fitted.plan) / start.after,
        high=1.0,
        note="a step that ends closer to the exact flow is not always the one from which the rest ends closer",
    )


card = Card(
    id="dc-solver",
    claim="One ratio a step, by which the newest value is read off at an earlier or later time, fitted on a few "
    "noises: UniPC errs less than without and less than DPM-Solver++ at 5 to 10 calls, with guidance 1 and 7.5, by a "
    "fifth at 5 calls and guidance 7.5; ratio 1 is UniPC; ratios that polynomials predict for another number of calls "
    "keep four fifths of the gain.",
    source="Zhao, Wang, Zhou and Lu, DC-Solver: Improving Predictor-Corrector Diffusion Sampler via Dynamic "
    "Compensation, 2024, arXiv 2409.03755",
    check=check,
    seconds=40,
)
