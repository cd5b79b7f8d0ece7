"""`duhamel plan check`: everything that can be said of a plan before a network sees it, each with a verdict."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from duhamel.demo.plans import REFINED, low_noise, measured_slopes
from duhamel.diffusion.plans.claims import claimed_order, default_of, polynomial_defect, values
from duhamel.diffusion.plans.registry import Sampler, build, find
from duhamel.diffusion.schedule import Schedule
from duhamel.report.console import say, table
from duhamel.report.record import Record, write_json
from duhamel.rows import checks
from duhamel.rows.plan import Plan

from .plan import facts_of, options_of, schedule_named
from .plan_pictures import VARIANCES, end_errors, stability

HOLDS, FAILS, MEASURED = "holds", "fails", ""
ROUNDING = 1e-9


def check_plan(
    name: str, steps: int, schedule: str, order: int | None = None, json: Path | None = None
) -> list[Record]:
    """Consistency, orders, exactness, noise, Gaussian data, stability and inversion, as records with verdicts."""
    noise, options = schedule_named(schedule), options_of(order)
    plan = build(name, noise, steps=steps, **options)
    make = lambda n, **more: build(name, noise, steps=n, **options, **more)  # noqa: E731
    found = [
        *facts_of(plan),
        _consistent(plan, noise, bool(find(name).orders) and claimed_order(name, options) is None),
        *_orders(name, make, noise, options),
        *_exact(name, noise, options),
        *_variance(name, plan, noise, make),
        *_gaussian(plan, noise),
        *_inversion(plan),
    ]
    if json is not None:
        write_json(json, found)
    rows = [(r.name, r.value, r.more.get("expected", ""), r.more.get("verdict", "")) for r in found]
    table(("check", "measured", "expected", "verdict"), rows, f"{name} on {type(noise).__name__}", right=("measured",))
    failed = [r.name for r in found if r.more.get("verdict") == FAILS]
    say(f"Fails: {'; '.join(failed)}." if failed else "Everything that is claimed holds.")
    return found


def _record(name: str, value: float, expected: str = "", holds: bool | None = None, error: bool = True) -> Record:
    """A claim with its verdict; without `holds`, a measurement. `error`: the number is itself an error."""
    verdict = MEASURED if holds is None else HOLDS if holds else FAILS
    return Record(name, value, "", value if error else None, {"expected": expected, "verdict": verdict})


def _consistent(plan: Plan, noise: Schedule, unclaimed: bool) -> Record:
    gap = checks.consistency(plan, noise.alpha, noise.sigma)
    if unclaimed:  # "as shipped", of an order for which nothing is claimed
        return _found("constant data and noise are kept, relative error", gap, "no claim", "kept", gap < ROUNDING)
    small = "euler" in plan.name or plan.prediction == "score"  # Euler's steps are exact in the limit alone
    holds = None if small else gap < ROUNDING
    return _record("constant data and noise are kept, relative error", gap, "" if small else "rounding", holds)


def _orders(name: str, make: Callable[..., Plan], noise: Schedule, options: dict[str, Any]) -> list[Record]:
    """Slopes on the published grid, and one from far more steps, equal in lambda, that is held against the claim."""
    sampler = find(name)
    claim = claimed_order(name, options)
    if name == "dpm-solver-fast" or (claim is None and make(5, **_still(sampler)).draws):
        return []  # mixed orders, chosen by the number of evaluations; or noise that cannot be switched off
    ends = {"terminal": False, "t_min": low_noise(noise), **_still(sampler)}
    found = [
        _record(f"order between {a} and {b} steps, exact mixture", float(slope), error=False)
        for a, b, slope in zip(REFINED, REFINED[1:], measured_slopes(lambda n: make(n, **ends), noise), strict=False)
    ]
    if claim is not None:
        # a path that starts beside the border of two peaks ends in the wrong one until the steps are small enough, and
        # then its error falls at once: an error of order 1 is small enough at 640 steps
        steps = (640, 1280) if claim < 2 else (160, 320) if claim < 4 else (320, 640)
        (slope,) = measured_slopes(lambda n: make(n, grid="lam", **ends), noise, steps)
        expected, title = f"{claim} ± 0.2", f"order on equal steps in lambda, {steps[0]} to {steps[1]}"
        found.append(_record(title, float(slope), expected, bool(abs(slope - claim) < 0.2), error=False))
    return found


def _exact(name: str, noise: Schedule, options: dict[str, Any]) -> list[Record]:
    sampler = find(name)
    if sampler.exact is None:
        return []
    variant: dict[str, Any] = {"variant": "exact"} if default_of(sampler.make, "variant") else {}
    plan = build(name, noise, steps=9, terminal=False, t_min=low_noise(noise), **options, **_still(sampler), **variant)
    found = []
    for row, what in (("x_next", "prediction"), ("corrected", "correction")):
        if count := values(plan, row):
            gap = max(polynomial_defect(plan, noise, sampler.exact, d, row) for d in range(count))
            title = f"{what} of polynomials in {sampler.exact} up to degree {count - 1}, relative error"
            found.append(_record(title, gap, "rounding", gap < ROUNDING))
    return found


def _variance(name: str, plan: Plan, noise: Schedule, make: Callable[..., Plan]) -> list[Record]:
    if not plan.draws:
        return []
    gap = checks.noise_variance(plan, noise.alpha, noise.sigma, 1.0)
    found = [_record("variance of unit Gaussian data, relative error", gap)]
    if (claim := find(name).weak) is not None:
        ends = {"grid": "lam", "terminal": False, "t_min": low_noise(noise)}
        ends |= {} if default_of(find(name).make, "final_noise") is None else {"final_noise": True}
        errors = [checks.noise_variance(make(n, **ends), noise.alpha, noise.sigma, 0.3) for n in (160, 320)]
        slope = float(np.log2(errors[0] / errors[1]))
        found.append(
            _record("weak order, variance of Gaussian data", slope, f"{claim} ± 0.2", abs(slope - claim) < 0.2, False)
        )
    return found


def _gaussian(plan: Plan, noise: Schedule) -> list[Record]:
    worst = float(np.max(end_errors(plan, noise, VARIANCES[::4])))
    growth = float(np.max(stability(plan, noise, np.linspace(0.0, 1.0, 21) + 0j))) if plan.steps > 3 else 1.0
    return [
        _record("Gaussian data of variance 1e-5 to 1e3, worst relative error", worst),
        _found("growth a step of x / alpha, Gaussian data", growth, "at most 1", "stable", growth < 1 + 1e-6),
    ]


def _inversion(plan: Plan) -> list[Record]:
    if plan.draws:
        return []
    try:
        plan.reversed()
    except ValueError:
        return []
    margin = checks.inversion_margin(plan, plan.slots)
    held = margin * np.finfo(np.float32).eps < 1e-2
    return [_found("rounding is magnified by an exact inversion", margin, "below 8e4", "fit for float32", bool(held))]


def _found(name: str, value: float, wish: str, word: str, fine: bool) -> Record:
    """What nobody claims, but who uses the plan should know."""
    return Record(name, value, "", None, {"expected": wish, "verdict": word if fine else f"not {word}"})


def _still(sampler: Sampler) -> dict[str, Any]:
    return dict(sampler.still)
