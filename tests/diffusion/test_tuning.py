"""The recipe end to end, on a mixture whose flow is known exactly; and its bounds on the digits, behind `slow`."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel.diffusion as dd
from duhamel.bench import tune as bench
from duhamel.diffusion.compare import three_peaks
from duhamel.diffusion.plans.registry import schedule_of
from duhamel.diffusion.schedule import EDM, VP, Flow
from duhamel.diffusion.tuning import candidates as candidates_module, recipe
from duhamel.diffusion.tuning.candidates import candidates
from duhamel.jobs import plan_tune
from duhamel.rows.canonical import distance
from duhamel.rows.plan import Plan
from duhamel.rows.tune import Cases, errors_of

SPAN = EDM(0.05, 10.0)
DATA = three_peaks(SPAN)
SMALL = dd.Budget(samples=200, held_out=100, screen=((20, 8),), path=200, times=4, trial=2, table=6, batch=100)


def teacher(x):
    return DATA.quantile_map(x, 10.0, 0.05)


@pytest.fixture
def few(monkeypatch):
    """Few candidates: the recipe is the same with all of them."""
    monkeypatch.setattr(candidates_module, "GRIDS", ("lam", "t"))
    monkeypatch.setattr(candidates_module, "SAMPLERS", {name: dd.SAMPLERS[name] for name in ("ddim", "dpmpp-2m", "ge")})
    return candidates(SPAN, 4)


def test_tuned_plan_beats_all_it_started_from_and_goes_on_where_it_stopped(few, tmp_path, monkeypatch):
    told = []
    tell = lambda what, share: told.append((what, share))  # noqa: E731
    options = {"teacher": teacher, "budget": SMALL, "folder": tmp_path}
    plan = dd.tune(DATA.denoiser, SPAN, 4, (), progress=tell, **options)
    shares = [share for _, share in told]
    assert shares == sorted(shares) and told[-1] == ("done", 1.0) and any("iteration" in what for what, _ in told)
    x = 10.0 * np.random.default_rng(5).standard_normal(500)
    fresh = Cases(x, teacher(x), models=DATA.denoiser)
    median = lambda plan: np.median(errors_of(plan, None, fresh))  # noqa: E731
    assert median(plan) < 0.5 * min(median(c.table) for c in few)
    facts = json.loads(json.dumps(plan.info["tuned"]))
    assert facts["from"].startswith("rows regressed on")
    assert facts["improved"] and facts["held_out"]["rms"][1] < facts["held_out"]["rms"][0]
    assert plan.nfe == 4 and plan.copies == 1 and schedule_of(plan) == SPAN
    assert Plan.load(plan.save(tmp_path / "mine.plan")) == plan
    drawn = dd.sample(plan, DATA.denoiser, (3,), jax.random.key(0))  # an ordinary plan
    assert drawn.shape == (3,) and jnp.all(jnp.isfinite(drawn))

    (tmp_path / "table.plan").unlink()
    monkeypatch.setattr(recipe, "Teacher", None)  # it was done, and is not done again
    told.clear()
    again = dd.tune(DATA.denoiser, SPAN, 4, (), progress=tell, **options)
    assert distance(again, plan) < 1e-6
    assert not any("iteration" in what for what, _ in told[: [what for what, _ in told].index("table")])
    with pytest.raises(ValueError, match="tuning of something else"):
        dd.tune(DATA.denoiser, SPAN, 4, (), seed=1, **options)


def test_where_nothing_helps_the_best_published_sampler_comes_back(few):
    """With a teacher that is one of the candidates itself nothing can be better, and it says so."""
    first = next(c for c in few if c.name == "ge")
    run = lambda x: np.asarray(first.table.run(DATA.denoiser, x))  # noqa: E731
    plan = dd.tune(DATA.denoiser, SPAN, 4, (), teacher=run, budget=SMALL)
    assert not plan.info["tuned"]["improved"] and plan.info["tuned"]["from"] == first.label
    assert plan.info["tuned"]["held_out"]["rms"] == [0.0, 0.0]
    assert distance(plan, first.table) == 0


def test_conditions_choose_the_model_of_each_noise(few):
    """Half of the noises belong to a mixture twice as wide; a model that mixed them up would not be learnt from."""
    wide = np.arange(300) % 2 == 1

    def denoiser(which):
        scale = jnp.where(jnp.asarray(which), 0.5, 1.0)
        return lambda t, x: scale * DATA.denoiser(t, x)

    plan = dd.tune(denoiser, SPAN, 4, (), conditions=wide, budget=SMALL)
    before, after = plan.info["tuned"]["held_out"]["rms"]
    assert after < 0.8 * before


def test_candidates_are_all_deterministic_samplers_once(monkeypatch):
    monkeypatch.setattr(candidates_module, "GRIDS", ("lam", "karras"))
    found = candidates(SPAN, 5)
    assert {c.plan.nfe for c in found} == {5} and not any(c.plan.draws for c in found)
    names = {c.name for c in found}
    assert {"ddim", "unipc", "dpmpp-3m", "ipndm", "deis-tab", "heun", "bdia", "sa-solver"} <= names
    assert len({c.label for c in found}) == len(found) > 80
    some = found[:: len(found) // 10]
    assert all(distance(a.table, b.table) > 1e-9 for k, a in enumerate(some) for b in some[:k])


def test_a_denoiser_that_is_not_finite_is_refused_before_anything_else():
    with pytest.raises(ValueError, match="denoiser leads some noises to NaN"):
        dd.tune(lambda t, x: x * jnp.nan, SPAN, 4, (1,), budget=SMALL)


@pytest.mark.parametrize("schedule", [VP(), Flow()], ids=["VP", "Flow"])
def test_other_schedules(few, schedule):
    found = dd.tune(three_peaks(schedule).denoiser, schedule, 4, (1,), budget=SMALL).info["tuned"]
    assert found["improved"] and found["held_out"]["median"][1] < 0.2 * found["held_out"]["median"][0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "nfe", "rms", "median"),
    [("mixture", 5, 0.55, 0.2), ("mixture", 10, 0.4, 0.2), ("digits", 5, 0.55, 0.6), ("digits", 6, 0.55, 0.6)],
)
def test_tuned_plans_on_the_digits(case, nfe, rms, median):
    """`duhamel bench tune`: on 2048 noises never used, against the best published sampler on them."""
    found = bench.measure(case, nfe)
    assert found["value"] < rms and found["median_ratio"] < median and found["cpu_seconds"] < 180


def test_command(tmp_path, monkeypatch, few):
    from duhamel.cli.parse import parse

    monkeypatch.setattr(plan_tune, "FAST", dd.Budget(40, 20, ((8, 1),), 8, 40, 1, 1, 1, 1))
    monkeypatch.chdir(tmp_path)
    assert parse(["plan", "tune", "mixture", "--nfe", "3", "--fast", "--json", "found.json"]) == 0
    names = [row["name"] for row in json.loads((tmp_path / "found.json").read_text())]
    assert len(names) == 7 and {"median error, tuned", "median error, tuned over best published"} <= set(names)
    assert Plan.load(tmp_path / "runs" / "tuned" / "tuned.plan").nfe == 3
    with pytest.raises(ValueError, match="no model is called 'digit'"):
        plan_tune.tune_plan("digit", 5)
    with pytest.raises(ValueError, match="nfe = 1"):
        plan_tune.tune_plan("digits", 1)
