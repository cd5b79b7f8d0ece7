"""Bounds on the reverse SDE with minimal smoothness: divergence over steps, dimension, and early stopping.

The sampler is the paper's: the score kept over a step, everything else exact. Time is that of dx = -x du + sqrt(2) dw,
u = -log alpha on VP. By Girsanov's theorem the paths of reverse SDE and sampler diverge by

    K = sum_i 1/2 E int_{u_(i+1)}^{u_i} 2 |S(u, x_u) - S(u_i, x_(u_i))|^2 du  >=  KL(law of x_delta || sampler's law)

and the theorem bounds K. For Gaussian data both are closed: sums over the eigenvalues of the covariance.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .card import Card, Context, Measurement, Verdict, in_turn

DELTA = 1e-3  # time of early stopping
STEPS = (20, 40, 80, 160, 320)


def check(context: Context) -> Sequence[Measurement]:
    return in_turn(context, (_orders, _dimension, _grids, _mixture))


def decaying(steps: int, delta: float = DELTA, top: float | None = None) -> np.ndarray:
    """The paper's times u: steps proportional to min(1, u), from the top of VP down to delta."""
    top = _top() if top is None else top
    place = np.linspace(top - 1, np.log(delta), steps + 1)  # u - 1 above u = 1, log u below: continuous with its slope
    return np.where(place >= 0, place + 1, np.exp(np.minimum(place, 0.0)))


def _top() -> float:
    from duhamel.diffusion.schedule import VP

    return float(-np.log(VP().alpha(VP().t_max)))


def _plan(us: np.ndarray) -> Any:
    from duhamel.diffusion.plans.registry import build
    from duhamel.diffusion.schedule import VP

    ts = np.asarray(VP().t_of_rho(np.sqrt(np.expm1(2 * us))))
    ts[0] = min(ts[0], VP().t_max)
    return build("sde-exponential", VP(), ts=ts, final_noise=True)


def _paths(us: np.ndarray, c: Any) -> float:
    """K for Gaussian data of covariance eigenvalues c: E|S_u - S_i|^2 = 1/V_u + 1/V_i - 2 e^(u - u_i)/V_i.
    Quadrature in log u, for the first term is 1/u where c = 0."""
    from duhamel.core.quadrature import gauss_legendre

    nodes, weights = gauss_legendre(24)
    variance = lambda u: 1 + np.exp(-2 * u) * (np.asarray(c, float)[..., None, None] - 1)  # noqa: E731
    first, h = us[:-1, None], -np.diff(np.log(us))[:, None]
    u = first * np.exp(-h * nodes)
    gap = 1 / variance(u) + 1 / variance(first) - 2 * np.exp(u - first) / variance(first)
    return float(np.sum(gap * u * h * weights))


def _ends(us: np.ndarray, c: Any) -> tuple[float, float]:
    """KL(x_delta || sampler) and the Wasserstein-2 distance, by the exact variance along the plan."""
    from duhamel.diffusion.schedule import VP

    c = np.asarray(c, float)
    plan = _plan(us)
    (segment,) = plan.segments
    alpha, sigma = np.asarray(VP().alpha(plan.t)), np.asarray(VP().sigma(plan.t))
    exact = alpha[:, None] ** 2 * c + sigma[:, None] ** 2
    P = exact[0]
    for n in range(plan.steps):
        _, z, score, x = (float(k[n if len(k) > 1 else 0]) for k in segment.coef)
        P = (x - score / exact[n]) ** 2 * P + z * z
    ratio = exact[-1] / P
    return float(0.5 * np.sum(ratio - 1 - np.log(ratio))), float(np.linalg.norm(np.sqrt(exact[-1]) - np.sqrt(P)))


def _slope(x: Any, y: Any) -> float:
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def _orders(context: Context) -> list[Measurement]:
    """Eigenvalues from 1 down to 0: data on and near a subspace."""
    import matplotlib.pyplot as plt

    from duhamel.report.figure import style

    c = np.array([1.0, 0.3, 0.1, 1e-2, 1e-3, 0.0])
    paths = [_paths(decaying(n), c) for n in STEPS]
    ends, w2 = zip(*(_ends(decaying(n), c) for n in STEPS), strict=True)
    with style():
        figure, axes = plt.subplots()
        for label, values in (("bound: divergence of paths", paths), ("divergence of the ends", ends), ("W2", w2)):
            axes.loglog(STEPS, values, marker="o", markersize=3, label=label)
        axes.set(xlabel="steps", ylabel="nats; W2 in units of x", title="Kept score, decaying steps, singular Gaussian")
        axes.legend(fontsize=8)
        context.figure("sgm-bounds-steps", figure)
    return [
        Measurement(
            "divergence of paths (the quantity bounded): slope over 20 to 320 steps", _slope(STEPS, paths), -1.2, -0.9
        ),
        Measurement(
            "divergence of the ends: slope over 20 to 320 steps",
            _slope(STEPS, ends),
            high=-0.9,
            note="about -2: the bound is one on paths, and the divergence of the ends falls faster than it says",
        ),
        Measurement("Wasserstein-2 distance of the ends: slope", _slope(STEPS, w2), -1.2, -0.8),
        Measurement(
            "divergence of the ends over the bound, largest",
            max(e / k for e, k in zip(ends, paths, strict=True)),
            high=1.0,
        ),
    ]


def _counts(most: int) -> list[int]:
    return np.unique(np.round(np.geomspace(4, most, 24)).astype(int)).tolist()


def _needed(divergence: Callable[[int], float], target: float, counts: list[int]) -> float:
    """Steps for a divergence, interpolated in log-log between numbers of steps; NaN if they do not bracket it."""
    values = np.array([divergence(n) for n in counts])
    return float(np.exp(np.interp(-np.log(target), -np.log(values), np.log(counts), np.nan, np.nan)))


def _dimension(context: Context) -> list[Measurement]:
    d = np.array([2, 4, 8, 16, 32, 64])
    c = np.array([1.0, 0.01])  # repeated: half of the directions are nearly singular
    many, few = _counts(16000), _counts(1000)
    one = {n: _paths(decaying(n), c) / 2 for n in many}
    end = {n: _ends(decaying(n), c)[0] / 2 for n in few}
    paths = [_needed(lambda n, k=k: k * one[n], 1.0, many) for k in d]
    ends = [_needed(lambda n, k=k: k * end[n], 0.1, few) for k in d]
    deltas = np.array([1e-2, 1e-3, 1e-4, 1e-5, 1e-6])
    stops = [_needed(lambda n, s=s: _paths(decaying(n, s), 0.0), 0.1, many) for s in deltas.tolist()]
    return [
        Measurement(
            "steps for a divergence of paths of 1 over d = 2 to 64: exponent of d", _slope(d, paths), 0.85, 1.15
        ),
        Measurement(
            "steps for a divergence of the ends of 0.1: exponent of d",
            _slope(d, ends),
            high=1.15,
            note="about 1/2, which is better than the bound",
        ),
        Measurement(
            "one point as data, stopped at delta = 1e-2 to 1e-6: exponent of log(1/delta) in the steps for 0.1",
            _slope(np.log(1 / deltas), stops),
            high=2.0,
            note="the theorem has log^2(1/delta), and nothing of the data's smoothness",
        ),
    ]


def _grids(context: Context) -> list[Measurement]:
    """Decaying against uniform steps, equal numbers, nearly singular data."""
    c = np.array([1.0, 0.01, 0.0])
    gains = {}
    for n in (20, 80, 320):
        uniform = np.linspace(_top(), DELTA, n + 1)
        gains[n] = [_paths(uniform, c) / _paths(decaying(n), c), _ends(uniform, c)[0] / _ends(decaying(n), c)[0]]
    return [
        *(
            Measurement(f"uniform over decaying steps, {n} of each: divergence of paths", g[0], low=1.0)
            for n, g in gains.items()
        ),
        Measurement(
            "the same, 20 to 320: divergence of the ends, smallest ratio", min(g[1] for g in gains.values()), low=1
        ),
    ]


def _mixture(context: Context) -> list[Measurement]:
    """Three peaks on a line: the sampler's density is propagated by quadrature, so its divergence is exact as well."""
    from duhamel.diffusion.compare import three_peaks
    from duhamel.diffusion.schedule import VP

    data, delta = three_peaks(VP()), 0.01
    points = 700 if context.fast else 1400
    counts = (10, 20, 40) if context.fast else (10, 20, 40, 80)
    x = np.linspace(-5.0, 5.0, points)
    dx, ends, paths = x[1] - x[0], [], []
    for n in counts:
        context.progress(f"mixture, {n} steps", 0.9)
        plan = _plan(decaying(n, delta))
        (segment,) = plan.segments
        p = np.exp(data.log_density(float(plan.t[0]), x))
        for k in range(n):
            _, z, score, carry = (float(v[k if len(v) > 1 else 0]) for v in segment.coef)
            mean = carry * x + score * np.asarray(data.score(float(plan.t[k]), x))
            p = np.exp(-0.5 * ((x[:, None] - mean) / z) ** 2) @ p * (dx / (np.sqrt(2 * np.pi) * z))
        log_q = data.log_density(float(plan.t[-1]), x)
        ends.append(float(np.sum(np.exp(log_q) * (log_q - np.log(np.maximum(p, 1e-300)))) * dx))
        paths.append(_paths_by_sampling(data, plan, 4000 if context.fast else 20000))
    return [
        Measurement(
            "mixture on a line, 10 steps and more: divergence of paths, slope", _slope(counts, paths), -1.3, -0.8
        ),
        Measurement("the same: divergence of the ends, slope", _slope(counts, ends), high=-0.9),
        Measurement(
            "the same: divergence of the ends over that of paths, largest",
            max(e / k for e, k in zip(ends, paths, strict=True)),
            high=1.0,
        ),
    ]


def _paths_by_sampling(data: Any, plan: Any, n: int) -> float:
    """K of a mixture: x_u from the data, then x_(u_i) from x_u by the forward process; u by stratified draws."""
    rng = np.random.default_rng(0)
    k = rng.choice(len(data.weights), n, p=data.weights)
    clean = data.means[k] + np.sqrt(data.variances[k]) * rng.standard_normal(n)
    us, total = -np.log(np.asarray(data.schedule.alpha(plan.t))), 0.0
    place, z1, z2 = (np.arange(n) + rng.random(n)) / n, *rng.standard_normal((2, n))
    for first, last, t in zip(us[:-1], us[1:], plan.t[:-1], strict=True):
        u = first - (first - last) * place
        x = np.exp(-u) * clean + np.sqrt(-np.expm1(-2 * u)) * z1
        before = np.exp(u - first) * x + np.sqrt(-np.expm1(2 * (u - first))) * z2
        now = np.asarray(data.schedule.t_of_rho(np.sqrt(np.expm1(2 * u))))
        gap = np.asarray(data.score(now, x)) - np.asarray(data.score(float(t), before))
        total += float((first - last) * np.mean(gap**2))
    return total


card = Card(
    id="sgm-bounds",
    claim="With the score kept over steps that decay with the noise, O(d log^2(1/delta) / eps) steps bring the "
    "divergence below eps for data of finite second moment, smooth or not; uniform steps need more.",
    source="Chen, Lee and Lu, Improved Analysis of Score-based Generative Modeling: User-Friendly Bounds under Minimal "
    "Smoothness Assumptions, 2022, arXiv 2211.01916",
    check=check,
    expects=Verdict.in_part,
    seconds=30,
)
