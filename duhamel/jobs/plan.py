"""`duhamel plan`: samplers as data, listed, printed and checked before any network sees them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from duhamel.demo.plans import BUDGETS, chapter, comparison
from duhamel.diffusion.compare import CONTENDERS, named
from duhamel.diffusion.plans.registry import SAMPLERS, SCHEDULES, build, find
from duhamel.diffusion.schedule import Schedule
from duhamel.report.chapter import Chapter
from duhamel.report.console import say, table
from duhamel.report.folder import DEFAULT_ROOT, Run
from duhamel.report.nearest import nearest
from duhamel.report.record import Record, check_json, write_json
from duhamel.rows.plan import Plan
from duhamel.rows.table import write_table

from .perform import perform


def list_plans(json: Path | None = None) -> None:
    """The samplers by the names papers use."""
    plans = {name: build(name, SCHEDULES["VP"](), steps=10) for name in SAMPLERS}
    if json is not None:
        write_json(
            json,
            [
                Record(name, p.nfe, "calls in 10 steps", more={"about": find(name).about, "order": orders_of(name)})
                for name, p in plans.items()
            ],
        )
    rows = (
        (name, orders_of(name), find(name).grid, p.nfe, "noise" if p.draws else "", find(name).about)
        for name, p in plans.items()
    )
    columns = ("name", "order", "grid", "calls in 10 steps", "draws", "what it is")
    table(columns, rows, right=("calls in 10 steps",))
    say("`duhamel plan show NAME` prints the numbers, `duhamel plan check NAME` measures them.")


def orders_of(name: str) -> str:
    """The orders a sampler claims: "3", "1 to 4", "weak 1"."""
    sampler = find(name)
    claims = sorted(set(sampler.orders.values()))
    plain = "" if not claims else f"{claims[0]}" if len(claims) == 1 else f"{claims[0]} to {claims[-1]}"
    return ", ".join(filter(None, (plain, f"weak {sampler.weak}" if sampler.weak is not None else "")))


def show_plan(
    name: str,
    steps: int,
    schedule: str,
    order: int | None = None,
    json: Path | None = None,
    grid: str | None = None,
) -> None:
    """Print a plan: rows as equations, then the coefficients of every step. grid: None is the published one."""
    plan = build(name, schedule_named(schedule), steps=steps, grid=grid, **options_of(order))
    say(plan.show())
    if json is not None:
        write_json(json, facts_of(plan))


def export_plan(
    name: str,
    to: Path,
    steps: int,
    schedule: str,
    order: int | None = None,
    prediction: str | None = None,
    grid: str | None = None,
) -> Path:
    """Write a plan: .npz as duhamel reads it, .json and .csv as a plain table of its canonical form."""
    noise = schedule_named(schedule)
    plan = build(name, noise, steps=steps, grid=grid, **options_of(order))
    if to.suffix == ".npz":
        if prediction not in (None, plan.prediction):
            raise ValueError(
                f"prediction = {prediction!r}: a .npz keeps the plan's own ({plan.prediction}); take .json."
            )
        path = plan.save(to)
    elif to.suffix in (".json", ".csv"):
        path = write_table(plan, to, prediction, noise.alpha, noise.sigma)
    else:
        raise ValueError(
            f"cannot write {str(to)!r}; end its name in .npz (for duhamel), .json or .csv (a plain table)."
        )
    say(f"{plan} -> {path}")
    return path


def schedule_named(name: str) -> Schedule:
    """VP, VE, cosine or EDM with their usual parameters."""
    known = {kind.lower(): make for kind, make in SCHEDULES.items()}
    if name.lower() not in known:
        raise ValueError(f"no schedule is called {name!r}; {nearest(name.lower(), known)}")
    return known[name.lower()]()


def options_of(order: int | None) -> dict[str, Any]:
    return {} if order is None else {"order": order}


def facts_of(plan: Plan) -> list[Record]:
    return [
        Record("steps", plan.steps),
        Record("model calls", plan.nfe),
        Record("copies of the model in the program", plan.copies),
    ]


def compare_plans(
    names: Sequence[str] = (),
    nfe: Sequence[int] = (),
    fast: bool = False,
    json: Path | None = None,
    name: str = "plans",
    root: str | Path = DEFAULT_ROOT,
) -> Chapter:
    """The table of samplers (those named, or the usual ones) on the exact mixture, with a page in runs/NAME/."""
    contenders, budgets = named(names) if names else CONTENDERS, tuple(sorted(set(nfe))) or BUDGETS
    if budgets[0] < 1:
        raise ValueError(f"--nfe {budgets[0]}: a number of network calls is at least 1.")
    check_json(json)
    run = Run.create(name, {"command": "plan compare", "plans": list(names), "nfe": budgets, "fast": fast}, root)
    work = (lambda context: comparison(context, contenders, budgets)) if names or nfe else chapter
    return perform(run, "plan compare", work, fast=fast, json=json, to_records=_errors)


def _errors(compared: Chapter) -> list[Record]:
    """One record for every sampler and number of calls in the chapter's table."""
    (found,) = compared.tables
    return [
        Record(f"{row[0]}, {calls} network calls", error, "", error)
        for row in found.rows
        for calls, error in zip(found.columns[1:], row[1:], strict=True)
    ]
