"""`duhamel plan`: samplers as data, listed, printed and checked before any network sees them."""

from pathlib import Path
from typing import Any

from duhamel.demo.plans import REFINED, chapter, low_noise, measured_slopes
from duhamel.diffusion.plans.registry import SAMPLERS, SCHEDULES, build, find
from duhamel.diffusion.schedule import Schedule
from duhamel.report.chapter import Chapter
from duhamel.report.console import records, say, table
from duhamel.report.folder import DEFAULT_ROOT, Run
from duhamel.report.nearest import nearest
from duhamel.report.record import Record, check_json, write_json
from duhamel.rows import checks
from duhamel.rows.plan import Plan

from .perform import perform


def list_plans(json: Path | None = None) -> None:
    """The samplers by the names papers use."""
    plans = {name: build(name, SCHEDULES["VP"](), steps=10) for name in SAMPLERS}
    if json is not None:
        write_json(
            json,
            [Record(name, p.nfe, "calls in 10 steps", more={"about": find(name).about}) for name, p in plans.items()],
        )
    rows = ((name, find(name).grid, p.nfe, "noise" if p.draws else "", find(name).about) for name, p in plans.items())
    table(("name", "grid", "calls in 10 steps", "draws", "what it is"), rows, right=("calls in 10 steps",))
    say("`duhamel plan show NAME` prints the numbers, `duhamel plan check NAME` measures them.")


def show_plan(name: str, steps: int, schedule: str, order: int | None = None, json: Path | None = None) -> None:
    """Print a plan: rows as equations, then the coefficients of every step."""
    plan = build(name, schedule_named(schedule), steps=steps, **_options(order))
    say(plan.show())
    if json is not None:
        write_json(json, _facts(plan))


def check_plan(
    name: str, steps: int, schedule: str, order: int | None = None, json: Path | None = None
) -> list[Record]:
    """Consistency, noise variance, and the slope of the error on an exact one-dimensional mixture, as records."""
    noise = schedule_named(schedule)
    plan = build(name, noise, steps=steps, **_options(order))
    gap = checks.consistency(plan, noise.alpha, noise.sigma)
    found = [*_facts(plan), Record("constant data and noise are kept, relative error", gap, "", gap)]
    if plan.draws:
        excess = checks.noise_variance(plan, noise.alpha, noise.sigma, 1.0)
        found.append(Record("variance of unit Gaussian data, relative error", excess, "", excess))
    elif name != "dpm-solver-fast":  # mixed orders, chosen by the number of steps: it has no slope
        slopes = measured_slopes(
            lambda n: build(name, noise, steps=n, terminal=False, t_min=low_noise(noise), **_options(order)), noise
        )
        found += [
            Record(f"order between {a} and {b} steps, exact mixture", float(slope))
            for a, b, slope in zip(REFINED, REFINED[1:], slopes, strict=False)
        ]
    if json is not None:
        write_json(json, found)
    records(found, f"{name} on {type(noise).__name__}")
    return found


def schedule_named(name: str) -> Schedule:
    """VP, VE, cosine or EDM with their usual parameters."""
    known = {kind.lower(): make for kind, make in SCHEDULES.items()}
    if name.lower() not in known:
        raise ValueError(f"no schedule is called {name!r}; {nearest(name.lower(), known)}")
    return known[name.lower()]()


def _options(order: int | None) -> dict[str, Any]:
    return {} if order is None else {"order": order}


def _facts(plan: Plan) -> list[Record]:
    return [
        Record("steps", plan.steps),
        Record("model calls", plan.nfe),
        Record("copies of the model in the program", plan.copies),
    ]


def compare_plans(
    fast: bool = False, json: Path | None = None, name: str = "plans", root: str | Path = DEFAULT_ROOT
) -> Chapter:
    """The table of samplers on the exact mixture, with a page in runs/NAME/."""
    check_json(json)
    run = Run.create(name, {"command": "plan compare", "fast": fast}, root)
    return perform(run, "plan compare", chapter, fast=fast, json=json, to_records=_errors)


def _errors(compared: Chapter) -> list[Record]:
    """One record for every sampler and number of calls in the chapter's table."""
    (found,) = compared.tables
    return [
        Record(f"{row[0]}, {calls} network calls", error, "", error)
        for row in found.rows
        for calls, error in zip(found.columns[1:], row[1:], strict=True)
    ]
