"""`duhamel plan tune`: a plan fitted to a network at a number of evaluations, against the best published sampler."""

import time
from pathlib import Path
from typing import Any

from duhamel.bench import tune as problems
from duhamel.core.seed import check_seed
from duhamel.diffusion.tuning.recipe import Budget
from duhamel.report.chapter import Chapter, Figure
from duhamel.report.context import Context
from duhamel.report.folder import DEFAULT_ROOT, Run
from duhamel.report.nearest import nearest
from duhamel.report.record import Record, check_json
from duhamel.rows.plan import Plan

from .perform import perform
from .plan_pictures import TRIANGLE, draw_triangle

FAST = Budget(samples=96, held_out=64, screen=((8, 12),), teacher=20, path=96, starts=1, times=2, trial=1, table=1)


def tune_plan(
    model: str,
    nfe: int,
    seed: int = 0,
    fast: bool = False,
    json: Path | None = None,
    name: str = "tuned",
    root: str | Path = DEFAULT_ROOT,
) -> Chapter:
    """Tune for the digits network or the exact mixture; the plan goes to runs/NAME/tuned.plan. A run that was killed
    goes on where it stopped when it is asked the same again."""
    if model not in problems.BUDGETS:
        raise ValueError(f"no model is called {model!r}; {nearest(model, problems.BUDGETS)}")
    if nfe < 2:
        raise ValueError(f"nfe = {nfe}; a tuned plan makes at least 2 evaluations, and 5 to 10 are usual.")
    check_seed(seed)
    check_json(json)
    facts = {"command": "plan tune", "model": model, "nfe": nfe, "seed": seed, "fast": fast}
    run = Run.resume(name, facts, root)
    return perform(run, "plan tune", lambda context: _work(context, run, model, nfe, seed), fast=fast, json=json)


def _work(context: Context, run: Run, model: str, nfe: int, seed: int) -> Chapter:
    start = time.process_time()
    budget = FAST if context.fast else problems.BUDGETS[model]
    folder = run.subfolder("stages")
    plan = problems.tuned(model, nfe, budget, seed=seed, folder=folder, progress=context.progress)
    path = plan.save(run.folder / "tuned.plan")
    seconds = round(time.process_time() - start, 1)
    told = plan.info["tuned"]
    drawn = context.figure("triangle", draw_triangle(plan, problems.SPAN))
    better = "It is better" if told["improved"] else "Nothing better was found, so the plan is that sampler"
    return Chapter(
        "tune",
        f"A plan of {nfe} evaluations, tuned",
        f"{better}: errors against the probability flow on {told['held_out']['noises']} held-out noises, beside those "
        f"of the best published sampler, {told['held_out']['best published']}. Load it with Plan.load({str(path)!r}).",
        records=(*_ratios(plan), *_errors(plan), Record("processor time", seconds, "s")),
        figures=(Figure(str(drawn), TRIANGLE),),
    )


def _ratios(plan: Plan) -> list[Record]:
    held: dict[str, Any] = plan.info["tuned"]["held_out"]
    return [
        Record(f"{what} error, tuned over best published", held[key][1] / held[key][0])
        for what, key in (("root mean square", "rms"), ("median", "median"))
    ]


def _errors(plan: Plan) -> list[Record]:
    held: dict[str, Any] = plan.info["tuned"]["held_out"]
    return [
        Record(f"{what} error, {who}", value, "", value)
        for what, key in (("root mean square", "rms"), ("median", "median"))
        for who, value in zip((held["best published"], "tuned"), held[key], strict=True)
    ]
