"""Heavy balls: momentum against the divergence of few guided steps."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .card import Card, Context, Measurement, Verdict

SCALE, STEPS = 15.0, 6  # of guidance, and of the sampler


def check(context: Context) -> Sequence[Measurement]:
    from duhamel.diffusion.plans.registry import build
    from duhamel.diffusion.schedule import VP
    from duhamel.rows.canonical import distance

    from .planar import Bench, draw, six_modes, slope

    schedule = VP()
    data = six_modes(schedule)
    bench = Bench(data, points=200 if context.fast else 1000, t_min=schedule.t_min)
    nfes, curves = [160, 320, 640], {}
    for name, betas in (("hb", (0.8, 0.5)), ("ghvb", (0.8, 0.5, 0.3))):
        for beta in betas:
            context.progress(f"{name} {beta}", len(curves) / 8)
            errors = [bench.error(bench.build(name, n, order=2, beta=beta)) for n in nfes]
            curves[f"{name} {beta}"] = (nfes, errors)
    slopes = {label: slope(nfes, errors) for label, (_, errors) in curves.items()}
    draw(context, "ghvb", curves, "Heavy balls of two values on six modes, VP, quadratic grid")
    last = {label: errors[-1] for label, (_, errors) in curves.items()}
    base = build("ipndm", schedule, 9, grid="quadratic")
    ones = [build(name, schedule, 9, order=4, beta=1.0) for name in ("hb", "ghvb")]
    same = max(distance(one, base, schedule.alpha, schedule.sigma) for one in ones)
    reach = {(name, beta): _interval(name, 2, beta) for name in ("hb", "ghvb") for beta in (1.0, 0.8, 0.5, 0.3)}
    rising = min(
        reach[name, small] / reach[name, large]
        for name in ("hb", "ghvb")
        for large, small in ((1.0, 0.8), (0.8, 0.5), (0.5, 0.3))
    )
    return [
        Measurement("slope of HB of two values, damping 0.8, 160 to 640 calls", slopes["hb 0.8"], 0.85, 1.15),
        Measurement("slope of HB, damping 0.5", slopes["hb 0.5"], 0.85, 1.15),
        *(
            Measurement(f"slope of GHVB of two values, damping {beta}", slopes[f"ghvb {beta}"], 1.8, 2.2)
            for beta in (0.8, 0.5, 0.3)
        ),
        Measurement("error constant of GHVB, damping 0.3 over 0.8", last["ghvb 0.3"] / last["ghvb 0.8"], low=1.5),
        Measurement("damping 1 against iPNDM, largest relative difference of any coefficient", same, high=1e-11),
        Measurement(
            "stability interval of the Adams method of two values, dx/dt = -x",
            reach["hb", 1.0],
            0.98,
            1.02,
            note="1 by the root locus",
        ),
        Measurement("least growth of the interval from one damping (1, 0.8, 0.5, 0.3) to the next", rising, low=1.0),
        *_guided(data, len(bench.x)),
    ]


def _interval(name: str, order: int, beta: float) -> float:
    """The largest h for which dx/dt = -x stays bounded on equal steps h, start-up apart, by bisection."""
    from duhamel.diffusion.plans.registry import build
    from duhamel.diffusion.schedule import EDM
    from duhamel.rows.checks import amplification

    steps = 400
    schedule = EDM(sigma_min=1e-3, sigma_max=steps + 1e-3)  # where rho = t falls by 1 a step, and noise = h x
    plan = build(name, schedule, ts=np.linspace(steps + 1e-3, 1e-3, steps + 1), order=order, beta=beta)
    low, high = 0.05, 20.0
    for _ in range(20):
        h = 0.5 * (low + high)
        with np.errstate(over="ignore", invalid="ignore"):
            x = np.abs(amplification(plan, lambda tau, h=h: np.array([h]))[:, 0])
        low, high = (h, high) if np.all(np.isfinite(x)) and x[-20:].max() <= x[:40].max() * 1.0001 else (low, h)
    return low


def _guided(data: Any, points: int) -> list[Measurement]:
    """Guidance of 15 towards one of six modes, 6 steps: Adams's methods diverge."""
    from duhamel.diffusion.denoiser import Guided

    from .planar import Bench

    denoiser = Guided(data.components(0).denoiser, data.denoiser, SCALE)
    bench = Bench(data, points=points, t_min=data.schedule.t_min, denoiser=denoiser, reference=2000)

    def over_ddim(name: str, grid: str, **options: Any) -> float:
        ddim = bench.error(bench.build("ddim", STEPS, grid=grid))
        return bench.error(bench.build(name, STEPS, grid=grid, **options)) / ddim

    lag = "its velocity remembers the noise of much larger sigma; on equal steps in t it is at DDIM's level"
    where = {"t": "guidance 15, 6 equal steps in t", "lam": "guidance 15, 6 equal steps in log-SNR"}
    return [
        Measurement(
            f"{where['t']}: error of the Adams method of 4 over DDIM's", over_ddim("ipndm", "t", order=4), low=5.0
        ),
        Measurement("the same: HB of 4, damping 0.5", over_ddim("hb", "t", order=4, beta=0.5), high=2.0),
        Measurement(f"{where['lam']}: Adams of 2", over_ddim("ipndm", "lam", order=2), low=5.0),
        Measurement("the same: GHVB of 2, damping 0.3", over_ddim("ghvb", "lam", order=2, beta=0.3), high=2.0),
        Measurement("the same: HB of 2, damping 0.5", over_ddim("hb", "lam", order=2, beta=0.5), high=2.0, note=lag),
    ]


card = Card(
    id="ghvb",
    claim="Momentum widens the stability interval of Adams-type samplers the more it damps, so that few strongly "
    "guided steps no longer diverge; HB is then of order 1, GHVB keeps order 2 at a larger constant; damping 1 is the "
    "base.",
    source="Wizadwongsa, Chinchuthakun, Khungurn, Raj and Suwajanakorn, Diffusion Sampling with Momentum for "
    "Mitigating Divergence Artifacts, 2023, arXiv 2307.11118",
    check=check,
    expects=Verdict.in_part,
    seconds=15,
)
