"""Advice: the table is what it says, the rules follow it, and a measurement finds what is best on a model."""

import json

import numpy as np
import pytest

from duhamel.diffusion import VP, Cosine, advise
from duhamel.diffusion.advice import KINDS, TABLE, Contender, measure, ranked, table, tabulated
from duhamel.diffusion.compare import on_host
from duhamel.diffusion.discrete_vp import DiscreteVP
from duhamel.diffusion.exact import mixture
from duhamel.diffusion.plans.contenders import LEVELS, STRAIGHT, WHOLE, times
from duhamel.diffusion.plans.grid import time_grid
from duhamel.diffusion.schedule import EDM, VE, Flow, SubVP

CHAIN = DiscreteVP.from_betas(np.linspace(1e-4, 0.02, 1000))
SCHEDULES = {"vp": VP(), "subvp": SubVP(), "cosine": Cosine(), "edm": EDM(), "ve": VE(), "flow": Flow(), "chain": CHAIN}


# ---- grids


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("grid", (*LEVELS, *STRAIGHT))
def test_grids_go_from_the_top_to_their_end(name, grid):
    schedule = SCHEDULES[name]
    for end, last in (("t_min", schedule.t_min), ("denoise", schedule.t_zero), ("straight", schedule.t_zero)):
        ts = times(schedule, 7, grid, end)
        assert ts.shape == (8,) and ts[0] == schedule.t_max and ts[-1] == last
        assert np.all(np.diff(ts) < 0) and np.all(np.diff(schedule.rho(ts)) < 0)


@pytest.mark.parametrize("shift", [0.3, 1.0, 3.0])
def test_flow_levels_are_the_uniform_times_of_a_rectified_flow_of_that_shift(shift):
    flow, edm = Flow(shift), EDM()
    ts = times(edm, 9, f"flow-{shift:g}")
    s = flow.t_of_rho(edm.rho(ts))
    assert np.allclose(np.diff(s), np.diff(s)[0], rtol=1e-9)


def test_straight_grids_of_a_flow_are_those_every_tutorial_walks():
    assert np.allclose(times(Flow(), 4, "t", "straight"), 0.999 * np.array([1, 0.75, 0.5, 0.25, 0]))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers")  # theirs, of NumPy 2
def test_whole_times_are_those_of_pipelines():
    diffusers = pytest.importorskip("diffusers")
    for spaced in WHOLE:
        theirs = diffusers.DPMSolverMultistepScheduler(timestep_spacing=spaced)
        theirs.set_timesteps(10)
        assert np.array_equal(times(CHAIN, 10, spaced, "straight")[:-1], theirs.timesteps.numpy())
    with pytest.raises(ValueError, match="'linspace' is one of whole times, and VP is no chain"):
        times(VP(), 10, "linspace")


def test_other_grids_are_those_of_time_grid():
    assert np.array_equal(times(VP(), 6, "beta", "denoise"), time_grid(VP(), 6, "beta", terminal=True))
    with pytest.raises(ValueError, match="grid 'lam' does not reach sigma = 0; straight ones are"):
        times(VP(), 6, "lam", "straight")
    with pytest.raises(ValueError, match="end = 'zero'; a grid ends in one of t_min, denoise, straight"):
        times(VP(), 6, "lam", "zero")


# ---- the table and its rules


def test_the_table_holds_what_was_asked_for():
    told = json.loads(TABLE.read_text())
    kinds = [one["kind"] for one in told["networks"].values()]
    strangers = [one for one in told["networks"].values() if not one["ours"] and not one["about"].startswith("exact")]
    assert set(kinds) == set(KINDS) and len(strangers) >= 4
    assert tabulated() == (5, 6, 8, 10, 20)
    for calls in tabulated():
        found = table(calls)
        assert np.all(np.nanmin(found.errors, axis=1) > 0) and set(found.networks) <= set(told["networks"])
        assert set(found.kinds) == set(KINDS)
        assert len({c.label for c in found.contenders}) == len(found.contenders)


@pytest.mark.parametrize("calls", [5, 6, 8, 10, 20])
@pytest.mark.parametrize("kind", KINDS)
def test_the_first_of_a_kind_has_the_smallest_worst_ratio(kind, calls):
    found = table(calls)
    own = [k for k, one in enumerate(found.kinds) if one == kind]
    worst = np.where(np.isfinite(found.ratios[own]), found.ratios[own], np.inf).max(axis=0)
    advice = advise(kind, calls)
    assert advice.contender == found.contenders[int(np.argmin(worst))]
    assert max(advice.ratios.values()) == pytest.approx(np.min(worst))
    assert sorted(ranked(found, kind)) == list(range(len(found.contenders)))


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("calls", [1, 2, 3, 4, 5, 7, 12, 30])
def test_every_number_of_calls_has_a_plan_of_so_many(name, calls):
    plan = advise(SCHEDULES[name], calls).plan()
    assert plan.nfe == calls and plan.draws == ()


@pytest.mark.parametrize("name", ["vp", "edm", "flow", "cosine"])
def test_the_printed_line_builds_the_plan(name):
    import duhamel.diffusion as dd
    from duhamel.rows.canonical import distance

    schedule = SCHEDULES[name]
    names = {k: getattr(dd, k) for k in ("build", "times", "VP", "EDM", "Cosine")} | {"Flow": Flow}
    for calls in (5, 8):
        advice = advise(schedule, calls)
        built = eval(advice.code, names)
        assert distance(built, advice.plan(), schedule.alpha, schedule.sigma) < 1e-12
        assert advice.code in str(advice) and advice.contender.label in str(advice)


def test_kinds_are_told_apart():
    assert advise(VP(), 5, predicts="noise").kind == "noise" == advise(CHAIN, 5).kind
    assert advise(VP(), 5, predicts="velocity").kind == "chain"
    assert advise(EDM(), 5).kind == advise(VE(), 5).kind == "edm" and advise(Flow(), 5).kind == "flow"


# ---- measured


def peaks(schedule):
    return mixture(schedule, [1.0, 2.0, 1.0], [[-1.5, 0.0], [0.3, 0.6], [1.0, -1.0]], [0.1, 0.3, 0.05])


def test_measured_advice_is_near_the_best_on_noises_it_has_not_seen():
    schedule = VP()
    model = on_host(peaks(schedule).denoiser, schedule, "noise")
    x, unseen = np.random.default_rng(0).standard_normal((2, 64, 2)) * float(schedule.sigma(schedule.t_max))
    advice = advise(schedule, 6, model=model, x=x, predicts="noise", contenders=12)
    assert [e for _, e in advice.measured[:3]] == sorted(e for _, e in advice.measured[:3])
    assert advice.contender == advice.measured[0][0]
    again = {c.label: e for c, e in measure([c for c, _ in advice.measured], schedule, 6, model, unseen, "noise")}
    assert again[advice.contender.label] < 1.3 * min(again.values())
    assert max(again.values()) > 2 * min(again.values())  # so that the choice matters


def test_torch_and_numpy_models_get_the_same_advice():
    torch = pytest.importorskip("torch")
    schedule = Flow()
    # one Gaussian of variance v: D = alpha v x / (alpha^2 v + sigma^2), and the flow is (x - (alpha + sigma) D) / sigma
    F = lambda t, x: x * (1 - (1 - t + t) * (1 - t) * 0.3 / ((1 - t) ** 2 * 0.3 + t**2)) / t  # noqa: E731
    x = np.random.default_rng(1).standard_normal((16, 3))
    one, two = (advise(schedule, 5, model=F, x=a, predicts="flow", contenders=6) for a in (x, torch.from_numpy(x)))
    assert one.contender == two.contender
    assert np.allclose([e for _, e in one.measured], [e for _, e in two.measured], rtol=1e-6)


# ---- bad input


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"where": VP(), "calls": 0}, "calls = 0; a sampler calls its model a whole number of times"),
        ({"where": "vp", "calls": 5}, "'vp' is not a kind of model; known: noise, chain, edm, flow, or give"),
        ({"where": VP(), "calls": 5, "predicts": "eps"}, "predicts = 'eps'; known: data, noise, score, velocity, flow"),
        ({"where": VP(), "calls": 5, "model": lambda t, x: x}, "give both model=F and x="),
        ({"where": VP(), "calls": 5, "model": lambda t, x: x, "x": np.ones((8, 2))}, "and predicts= what it returns"),
        (
            {"where": VP(), "calls": 5, "model": lambda t, x: x * np.nan, "x": np.ones((8, 2)), "predicts": "data"},
            "model leads the noises to NaN",
        ),
    ],
    ids=lambda w: w[:12] if isinstance(w, str) else "",
)
def test_a_mistake_is_one_sentence(words, sentence):
    with pytest.raises(ValueError, match=sentence.replace("(", r"\(")):
        advise(**words)


def test_contenders_say_when_they_make_no_plan():
    with pytest.raises(ValueError, match="makes no plan of 5 calls"):
        Contender("heun", {}, "karras", "t_min").plan(EDM(), 5)


# ---- the command


def test_the_command_prints_the_line_and_writes_records(tmp_path, capsys):
    from duhamel.jobs.plan_advise import advise_plan

    found = advise_plan("flow", [5, 8], json=tmp_path / "advice.json")
    out = " ".join(capsys.readouterr().out.split())
    records = json.loads((tmp_path / "advice.json").read_text())
    assert [r["name"] for r in records] == ["5 calls", "8 calls"]
    for advice, told in zip(found, records, strict=True):
        assert " ".join(advice.code.split()) in out and told["code"] == advice.code
        assert told["ratios"] == advice.ratios and len(told["ratios"]) >= 3


def test_the_command_measures_a_function_of_ones_own(tmp_path, monkeypatch, capsys):
    from duhamel.jobs.plan_advise import advise_plan

    (tmp_path / "stranger.py").write_text("def F(t, x):\n    return x / (1 + t)\n")
    monkeypatch.syspath_prepend(tmp_path)
    words = {"predicts": "noise", "model": "stranger:F", "noises": 16, "contenders": 4}
    (found,) = advise_plan("vp", [5], shape=(3,), **words)
    assert len(found.measured) == 4 and "Measured on 16 noises" in capsys.readouterr().out
    with pytest.raises(ValueError, match="say what shape a sample of stranger:F has, such as --shape"):
        advise_plan("vp", [5], **words)
    with pytest.raises(ValueError, match="say what stranger:F returns: --predicts"):
        advise_plan("vp", [5], shape=(3,), model="stranger:F")
    with pytest.raises(ValueError, match="no model is called 'digit'; did you mean digits"):
        advise_plan("vp", [5], model="digit")
