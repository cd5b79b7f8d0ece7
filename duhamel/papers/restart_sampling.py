"""Restart: noise added again wipes out what the model got wrong before."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .card import Card, Context, Measurement, Verdict, in_turn

if TYPE_CHECKING:
    from duhamel.rows.plan import Plan

SIZE = 0.15  # root mean square error of eps
SLOW, QUICK = 1.0, 3.0  # how wrinkled it is, in the coordinates of a network's input


def check(context: Context) -> Sequence[Measurement]:
    return in_turn(context, (_counts, _exact_score, _perturbed_score))


def _plan(name: str, steps: int, **options: Any) -> "Plan":
    from duhamel.diffusion.plans.registry import build
    from duhamel.diffusion.schedule import EDM

    return build(name, EDM(), steps, **options)


def _restart(ascents: int) -> "Plan":
    """Ten steps of Heun's sampler, with ascents from rho = 0.1 to 1; 19 calls and 6 an ascent."""
    return _plan("restart", 10, intervals=((0.1, 1.0, ascents, 4),))


def _counts(context: Context) -> list[Measurement]:
    import numpy as np

    from duhamel.diffusion.schedule import EDM
    from duhamel.rows.checks import noise_variance
    from duhamel.rows.host import march

    calls = {K: _plan("restart", 18, intervals=((0.06, 0.3, K, 3),)).nfe for K in (2, 5, 10, 20)}
    x, eps = np.linspace(-40, 40, 9), lambda t, x: np.tanh(x / t)
    ends = [
        list(march(plan, [eps], {"x": x}, draw=lambda n, d: np.ones(9)))[-1]["x"]
        for plan in (_plan("restart", 18, intervals=((0.06, 0.3, 0, 3),)), _plan("heun", 18))
    ]
    wrong = sum(calls[K] != nfe for K, nfe in {2: 43, 5: 55, 10: 75, 20: 115}.items())
    schedule = EDM()
    variance = noise_variance(_restart(5), schedule.alpha, schedule.sigma)
    return [
        Measurement(
            "published configurations for CIFAR-10 whose calls differ from the paper's code, of 4", wrong, 0, 0
        ),
        Measurement("K = 0 against Heun's sampler, largest difference", float(np.ptp(ends, axis=0).max()), high=1e-10),
        Measurement("largest relative error of the variance on one data point", variance, high=1e-10),
    ]


def _exact_score(context: Context) -> list[Measurement]:
    from duhamel.diffusion.schedule import EDM

    from .planar import six_modes
    from .planar_law import monte_carlo, reached

    n, seeds = (4000, range(1)) if context.fast else (6000, range(4))
    data = six_modes(EDM())
    noise = monte_carlo(data, n) / len(seeds) ** 0.5
    both = [reached(plan, data, n, seeds) for plan in (_restart(5), _plan("heun", 25))]
    note = f"energy distances {both[0]:.5f} and {both[1]:.5f}"
    apart = abs(both[0] - both[1]) / (2**0.5 * noise)
    name = "exact score, 49 calls: Restart and the ODE apart, in standard deviations of sampling noise"
    return [Measurement(name, apart, high=3.0, note=note)]


def _perturbed_score(context: Context) -> list[Measurement]:
    return [*_errors(context, "slow", SLOW), *_errors(context, "quick", QUICK)]


def _errors(context: Context, label: str, frequency: float) -> list[Measurement]:
    from duhamel.diffusion.schedule import EDM

    from .planar import draw, six_modes
    from .planar_law import perturbed, reached

    context.progress(f"{label} errors", 0.3 if label == "slow" else 0.7)
    n, seeds = (3000, range(1)) if context.fast else (6000, range(3))
    data = six_modes(EDM())
    model = perturbed(data, SIZE, frequency)

    def ends(plans: "Sequence[Plan]") -> dict[int, float]:
        return {plan.nfe: reached(plan, data, n, seeds, model) for plan in plans}

    ode = ends([_plan("heun", k) for k in ((20, 55) if context.fast else (10, 20, 40, 55, 75))])
    up = ends([_restart(K) for K in ((3, 15) if context.fast else (1, 3, 7, 15))])
    curves = {"ODE": ode, "Restart": up}
    for name in ("sde-dpmpp-2m",) if context.fast else ("sde-dpmpp-2m", "er-sde"):
        curves[name] = ends([_plan(name, k, terminal=False) for k in (40, 80, 150)])
    if not context.fast:
        curves["churn 30"] = ends([_plan("heun", k, churn=30.0) for k in (20, 40, 75)])
    lines = {name: (list(curve), list(curve.values())) for name, curve in curves.items()}
    draw(context, f"restart-sampling-{label}", lines, f"Restart, {label} errors of the score", "energy distance")
    sdes = {(value, f"{name}, {k} calls") for name, c in curves.items() if c not in (ode, up) for k, value in c.items()}
    best, which = min(sdes)
    against = f"{up[109]:.4f} against {best:.4f} of {which}; the ODE has {ode[109]:.4f}"
    return [
        Measurement(f"{label} errors: the ODE's energy distance at 109 calls over that at 39", ode[109] / ode[39], 0.8),
        Measurement(f"{label} errors: Restart's at 37 calls over the ODE's at 39", up[37] / ode[39], high=0.3),
        Measurement(f"{label} errors: Restart's at 109 over the best SDE's", up[109] / best, high=1.0, note=against),
    ]


card = Card(
    id="restart-sampling",
    claim="With a wrong score the ODE's error stops falling; going back up by noise and down again, K times, makes "
    "it at most 0.3 times as large at 40 calls, and at 110 smaller than any SDE sampler's. With an exact score nothing "
    "is lost.",
    source="Xu et al., Restart Sampling for Improving Generative Processes, 2023, arXiv 2306.14878",
    check=check,
    expects=Verdict.in_part,
    seconds=60,
)
