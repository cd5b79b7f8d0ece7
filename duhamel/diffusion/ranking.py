"""The published ranking of few-step samplers, held against errors on an exact mixture fitted to the digits.

Published: Fréchet Inception distances of 50 000 images with EDM's networks, 3 to 10 evaluations, as the authors of
arXiv 2312.00094 report them for one code base. Here: the same samplers on the same grids, from sigma = 80 to 0.002, on
a mixture of ten Gaussians in 64 dimensions, whose denoiser is a formula. No network, no images: what is left of the
ranking is what the samplers' numbers alone decide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from duhamel.rows.host import march
from duhamel.rows.plan import Plan

from .compare import on_host
from .digits import class_gaussians
from .plans.registry import build
from .schedule import EDM, VP, Schedule

NFES = (5, 6, 8, 10)
SIGMAS = (80.0, 0.002)
# DEIS's polynomials and grid are in the time of a VP schedule with rho(1) = 80.
CLOCKS: dict[str, Schedule] = {"edm": EDM(), "vp": VP(beta_min=1e-3, beta_max=17.53)}


@dataclass(frozen=True)
class Contender:
    """A sampler as it was run for the published tables.

    name, options  of the registry        clock  the schedule whose time its grid and polynomials are in
    fid            by data set, the published distances at 5, 6, 8 and 10 evaluations; None: not possible there
    """

    name: str
    options: Mapping[str, Any]
    fid: Mapping[str, tuple[float | None, ...]]
    clock: str = "edm"


def _fid(*rows: Sequence[float | None]) -> dict[str, tuple[float | None, ...]]:
    return {data: tuple(row) for data, row in zip(("CIFAR-10", "FFHQ", "ImageNet-64"), rows, strict=True)}


_STILL: dict[str, Any] = {"grid": "karras", "terminal": False}
CONTENDERS: dict[str, Contender] = {
    "DDIM": Contender(
        "ddim",
        _STILL,
        _fid((49.66, 35.62, 22.32, 15.69), (43.93, 35.22, 24.39, 18.37), (43.81, 34.03, 22.59, 16.72)),
    ),
    "EDM Heun": Contender(
        "heun",
        _STILL,
        _fid((None, 99.74, 38.06, 15.93), (None, 142.39, 57.21, 29.54), (None, 89.63, 37.65, 16.46)),
    ),
    "DPM-Solver-2": Contender(
        "dpm-solver",
        _STILL | {"order": 2},
        _fid((None, 60.00, 10.30, 5.01), (None, 83.17, 22.84, 9.46), (None, 44.83, 12.42, 6.84)),
    ),
    "DPM-Solver++(3M), as shipped": Contender(
        "dpmpp-3m-as-shipped",
        {"lower_final": True},
        _fid((24.97, 11.99, 4.54, 3.00), (22.51, 13.74, 6.04, 4.12), (25.49, 15.06, 7.84, 5.67)),
    ),
    "UniPC-3": Contender(
        "unipc",
        {"order": 3, "lower_final": True},
        _fid((23.98, 11.14, 3.99, 2.89), (21.40, 12.85, 5.50, 3.84), (24.36, 14.30, 7.52, 5.53)),
    ),
    "DEIS-tAB3": Contender(
        "deis-tab",
        {"order": 3},
        _fid((14.39, 9.40, 5.55, 4.09), (17.36, 12.25, 7.59, 5.56), (14.75, 12.57, 6.84, 5.34)),
        clock="vp",
    ),
    "iPNDM-4": Contender(
        "ipndm",
        {"order": 4},
        _fid((13.59, 7.05, 3.69, 2.77), (17.17, 10.03, 5.52, 3.98), (18.99, 12.92, 7.20, 5.11)),
    ),
    "iPNDM_v-4, as shipped": Contender(
        "ipndm-v-as-shipped",
        {"order": 4},
        _fid((23.58, 14.00, 7.34, 4.95), (22.66, 15.62, 9.21, 6.55), (24.36, 16.68, 9.50, 6.76)),
    ),
}


@dataclass(frozen=True)
class Ranking:
    """
    errors        error measure, number of evaluations, contender: the number
    correlations  records: nfe, data (published), error (measure), spearman, kendall, p (two-sided, Spearman), samplers
    agreement     records of the same kind between published tables: what one data set says of another
    truth         how far two reference solutions are apart, root mean square
    """

    errors: Mapping[str, Mapping[int, Mapping[str, float]]]
    correlations: tuple[dict[str, Any], ...]
    agreement: tuple[dict[str, Any], ...]
    truth: float


def ranking(nfes: Sequence[int] = NFES, *, samples: int = 1024, reference: int = 100, seed: int = 0) -> Ranking:
    """Run every contender from the same noise, and correlate.

    samples    how many noises; reference: steps of the Runge-Kutta method of order 4 that says where they end
    Errors: "rms" and "median" of the distance of the end points, per dimension; "frechet", the Fréchet distance between
    Gaussians with the mean and the covariance of the samples, of which FID is the same of network features.
    """
    if unknown := [nfe for nfe in nfes if nfe not in NFES]:
        raise ValueError(f"nothing is published here for {unknown[0]} evaluations; choose from {NFES}.")
    z = np.random.default_rng(seed).normal(size=(samples, 64))
    models = {
        (clock, prediction): on_host(class_gaussians(schedule).denoiser, schedule, prediction)
        for clock, schedule in CLOCKS.items()
        for prediction in ("data", "noise")
    }

    def end(plan: Plan, clock: str) -> np.ndarray:
        alpha = CLOCKS[clock].alpha
        *_, last = march(plan, models[clock, plan.prediction or "data"], {"x": SIGMAS[0] * alpha(plan.t[0]) * z})
        return last["x"] / alpha(plan.t[-1])

    exact = end(_plan("deis-rho-rk4", "edm", reference), "edm")
    again = end(_plan("dpmpp-3s", "edm", reference), "edm")
    errors: dict[str, dict[int, dict[str, float]]] = {"rms": {}, "median": {}, "frechet": {}}
    for nfe in nfes:
        for label, contender in CONTENDERS.items():
            if contender.fid["CIFAR-10"][NFES.index(nfe)] is None:
                continue
            ends = end(within(nfe, contender), contender.clock)
            distance = np.sqrt(np.mean((ends - exact) ** 2, axis=1))
            found = {
                "rms": np.sqrt(np.mean(distance**2)),
                "median": np.median(distance),
                "frechet": frechet(ends, exact),
            }
            for measure, value in found.items():
                errors[measure].setdefault(nfe, {})[label] = float(value)
    return Ranking(
        errors,
        tuple(
            _correlation(nfe, data, measure, errors[measure][nfe])
            for measure in errors
            for nfe in nfes
            for data in _DATA
        ),
        tuple(_correlation(nfe, a, b, _published(nfe, b)) for nfe in nfes for a in _DATA for b in _DATA if a < b),
        float(np.sqrt(np.mean((exact - again) ** 2))),
    )


def within(nfe: int, contender: Contender) -> Plan:
    """The contender's plan with exactly this number of evaluations."""
    calls = _plan(contender.name, contender.clock, 6, **contender.options).nfe // 6
    plan = _plan(contender.name, contender.clock, nfe // calls, **contender.options)
    if plan.nfe != nfe:
        raise ValueError(f"{contender.name} makes no plan of {nfe} evaluations; the nearest has {plan.nfe}.")
    return plan


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """|mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)) for samples (n, d) with covariances A and B."""
    A, B = np.cov(a.T), np.cov(b.T)
    roots = np.sqrt(np.maximum(np.linalg.eigvals(A @ B).real, 0.0))
    return float(np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(A) + np.trace(B) - 2 * np.sum(roots))


_DATA = ("CIFAR-10", "FFHQ", "ImageNet-64")


def _plan(name: str, clock: str, steps: int, **options: Any) -> Plan:
    schedule = CLOCKS[clock]
    ends = {"t_max": float(schedule.t_of_rho(SIGMAS[0])), "t_min": float(schedule.t_of_rho(SIGMAS[1]))}
    return build(name, schedule, steps, short=True, **ends, **options)


def _published(nfe: int, data: str) -> dict[str, float]:
    rows = {label: contender.fid[data][NFES.index(nfe)] for label, contender in CONTENDERS.items()}
    return {label: value for label, value in rows.items() if value is not None}


def _correlation(nfe: int, data: str, measure: str, values: Mapping[str, float]) -> dict[str, Any]:
    published = _published(nfe, data)
    pair = [published[label] for label in values], list(values.values())
    rho: Any = stats.spearmanr(*pair)
    tau: Any = stats.kendalltau(*pair)
    numbers = {"spearman": float(rho.statistic), "kendall": float(tau.statistic), "p": float(rho.pvalue)}
    return {"nfe": nfe, "data": data, "error": measure, **numbers, "samplers": len(values)}
