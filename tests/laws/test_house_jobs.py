"""What the commands do: the right numbers, in the right files, and every mistake before a folder is made."""

import json

import numpy as np
import pytest

from duhamel.jobs.ordinary import ORDINARY
from duhamel.jobs.partial import PARTIAL, prepare
from duhamel.jobs.plan import compare_plans, export_plan, list_plans, show_plan
from duhamel.jobs.plan_check import check_plan
from duhamel.jobs.plan_pictures import picture
from duhamel.jobs.sample import Wish as SampleWish, sample
from duhamel.jobs.solve import Wish, solve_equation
from duhamel.jobs.train import train
from duhamel.pde.registry import EQUATIONS


def value(chapter, name):
    (record,) = [r for r in chapter.records if r.name.startswith(name)]
    return record.value


@pytest.mark.parametrize(("name", "tolerance"), [("pendulum", 1e-5), ("lotka-volterra", 1e-5)])
def test_an_ordinary_equation_is_solved_to_its_tolerance(name, tolerance, tmp_path, capsys):
    chapter = solve_equation(name, Wish(), root=tmp_path, json=tmp_path / "r.json")
    assert value(chapter, "largest error at the end") < tolerance
    records = json.loads((tmp_path / "r.json").read_text())
    assert {"name", "value", "unit", "error"} <= set(records[0])
    folder = tmp_path / f"solve-{name}"
    assert {p.name for p in folder.iterdir()} == {".lock", "config.json", "figures", "index.html", "metrics.jsonl"}
    assert json.loads((folder / "config.json").read_text())["equation"] == name
    assert "The report:" in capsys.readouterr().out


def test_a_fixed_number_of_steps_is_what_is_made(tmp_path):
    chapter = solve_equation("pendulum", Wish(method="RK4", steps=2000), root=tmp_path)
    assert value(chapter, "steps accepted") == 2000
    assert value(chapter, "largest error at the end") < 1e-4


@pytest.mark.parametrize("name", sorted(ORDINARY))
def test_the_truth_of_an_ordinary_equation_agrees_with_a_second_method(name):
    """SciPy's implicit Radau, or its DOP853 beside a closed form: what we call truth is not one program's word."""
    from scipy.integrate import solve_ivp

    equation = ORDINARY[name]
    truth, _ = equation.truth(5.0)
    right = lambda t, x: np.array(equation.f(t, x))  # noqa: E731
    second = solve_ivp(right, (0, 5.0), equation.x0, method="Radau", rtol=1e-10, atol=1e-12).y[:, -1]
    assert truth == pytest.approx(second, rel=1e-5, abs=1e-6)


def test_a_partial_equation_is_held_against_its_closed_form(tmp_path):
    chapter = solve_equation("burgers", Wish(points=256, t1=1.0, steps=400), root=tmp_path)
    assert value(chapter, "largest error at the end") < 1e-5
    assert value(chapter, "steps") == 400


def test_every_spectral_equation_has_a_job():
    assert set(PARTIAL) == set(EQUATIONS)


@pytest.mark.parametrize("name", sorted(PARTIAL))
def test_every_partial_equation_can_be_asked_for(name):
    assert callable(prepare(PARTIAL[name], Wish(points=32, t1=0.1)))


@pytest.mark.parametrize("name", ["allen-cahn", "navier-stokes-3d"])
def test_a_plane_and_a_box_get_a_film(name, tmp_path, monkeypatch):
    """A GIF of few frames inside the page, each drawn from the field of its time; the last one as PNG beside it."""
    from PIL import Image

    from duhamel.report import film

    monkeypatch.setattr(film, "FRAMES", 5)
    chapter = solve_equation(name, Wish(points=8, t1=0.5, steps=20), root=tmp_path)
    (path,) = [f.path for f in chapter.figures if f.path.endswith(".gif")]
    folder = tmp_path / f"solve-{name}"
    with Image.open(folder / path) as found:
        pictures = []
        for n in range(found.n_frames):
            found.seek(n)
            pictures.append(np.asarray(found.convert("RGB"), float))
    assert 5 <= len(pictures) <= 7 and (folder / path).stat().st_size < film.SIZE
    assert np.abs(pictures[0] - pictures[-1]).max() > 10
    assert (folder / path).with_suffix(".png").exists()
    assert "data:image/gif" in (folder / "index.html").read_text()
    assert 0 < value(chapter, "step over the longest stable one") < 1


def test_a_film_that_grows_too_large_leaves_frames_out(tmp_path, monkeypatch):
    from duhamel.report import film
    from duhamel.report.fields import film_planes

    monkeypatch.setattr(film, "SIZE", 150_000)
    noise = np.random.default_rng(0).normal(size=(40, 48, 48))
    kept = film.save_film(*film_planes(np.arange(40.0), noise), 40, tmp_path / "noise.gif")
    assert 2 <= kept < 40


def test_a_run_that_blows_up_keeps_what_it_has(tmp_path):
    """KdV with steps twice too long: a page with the fields until then, marked, and the sentence of the solver."""
    chapter = solve_equation("kdv", Wish(points=256, t1=9.0, steps=30), root=tmp_path)
    assert chapter.title == "kdv: stopped before the end"
    assert "The last good step is number" in chapter.text[0] and "no solution" in chapter.text[1]
    assert value(chapter, "fields kept") >= 1 and len(chapter.figures) == 1
    assert "stopped before the end" in (tmp_path / "solve-kdv" / "index.html").read_text()


@pytest.mark.parametrize(
    ("name", "wish", "sentence"),
    [
        ("lornz", Wish(), "no equation is called 'lornz'; did you mean lorenz"),
        ("navier-stokes", Wish(), "did you mean navier-stokes"),
        ("lorenz", Wish(method="tsit6"), "no method for ordinary equations is called 'tsit6'; did you mean tsit5"),
        ("lorenz", Wish(points=64), "has no grid; leave out --points"),
        ("lorenz", Wish(steps=0), "at least 1, got 0"),
        ("kdv", Wish(method="etdrk5"), "no method for partial equations is called 'etdrk5'; did you mean"),
        ("kdv", Wish(t1=-1.0), "solved forwards"),
        ("kdv", Wish(steps=0), "make at least one"),
        ("kdv", Wish(points=64, steps=3), r"dt = 3 is too long: with \|u\| up to .*take dt = "),
        ("burgers", Wish(t1=float("nan")), "solved forwards"),
        ("kdv", Wish(points=2), "at least 4 points"),
    ],
    ids=str,
)
def test_a_wish_that_makes_no_sense_is_one_sentence_and_makes_no_folder(name, wish, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        solve_equation(name, wish, root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_records_that_cannot_be_written_are_noticed_before_the_work(tmp_path):
    with pytest.raises(OSError, match="name a file in a folder that exists"):
        solve_equation("pendulum", Wish(), root=tmp_path, json=tmp_path / "absent" / "r.json")
    assert list(tmp_path.iterdir()) == []


def test_plans_are_listed_shown_and_checked(tmp_path, capsys):
    list_plans(tmp_path / "list.json")
    show_plan("ddim", 4, "vp", grid="dm-nonuniform")
    found = check_plan("dpmpp-3m", 10, "cosine", json=tmp_path / "check.json")
    out = capsys.readouterr().out
    assert "dpmpp-3m" in out and "Plan 'ddim': 4 steps" in out
    slopes = [r.value for r in found if r.name.startswith("order between")]
    assert len(slopes) == 3 and 2.8 < slopes[-1] < 3.2
    assert len(json.loads((tmp_path / "list.json").read_text())) > 15
    assert len(json.loads((tmp_path / "check.json").read_text())) == len(found)


def test_a_plan_that_draws_is_checked_for_its_noise():
    found = check_plan("sde-dpmpp-2m", 200, "vp")
    (variance,) = [r.value for r in found if r.name.startswith("variance")]
    assert variance < 0.02
    (weak,) = [r for r in found if r.name.startswith("weak order")]
    assert abs(weak.value - 2) < 0.2 and weak.more["verdict"] == "holds"


def test_verdicts_say_what_holds_and_what_fails(capsys):
    """UniPC does what it claims; nothing is judged of a sampler that claims nothing; 50 steps of BDIA go back."""
    verdicts = {r.name: r.more.get("verdict") for r in check_plan("unipc", 10, "vp")}
    assert list(verdicts.values()).count("holds") >= 4 and "fails" not in verdicts.values()
    assert sum("polynomials in lam" in name for name in verdicts) == 2
    assert "Everything that is claimed holds." in capsys.readouterr().out
    shipped = check_plan("ipndm-v-as-shipped", 10, "edm")  # its fourth order is not consistent, and no claim says so
    (constant,) = [r for r in shipped if r.name.startswith("constant data")]
    assert constant.value > 1e-3 and constant.more["verdict"] == "not kept"
    (margin,) = [r for r in check_plan("bdia", 50, "vp") if r.name.startswith("rounding")]
    assert margin.more["verdict"] == "fit for float32"


def test_some_plans_are_compared_at_some_numbers_of_calls(tmp_path):
    compared = compare_plans(("heun", "unipc:2", "er-sde"), (10, 6, 10), fast=True, root=tmp_path)
    (table,) = compared.tables
    assert table.columns == ("network calls", "6", "10") and [row[0] for row in table.rows] == [
        "heun",
        "unipc:2",
        "er-sde",
    ]
    assert all(0 < ten < six for _, six, ten in table.rows)
    for bad, words in (
        (("unipcc",), "did you mean"),
        (("unipc:two",), "whole number"),
        (("ancestral",), "draws noise"),
    ):
        with pytest.raises(ValueError, match=words):
            compare_plans(bad, (5,), fast=True, root=tmp_path)
    with pytest.raises(ValueError, match="at least 1"):
        compare_plans((), (0,), root=tmp_path)


def test_a_plan_is_drawn(tmp_path):
    for name, schedule, calls in (("heun", "edm", 9), ("sa-solver", "vp", 5)):
        drawn = picture(name, 5, schedule, root=tmp_path)
        assert len(drawn.figures) == 2 and drawn.records[0].value == calls


def test_a_plan_is_exported(tmp_path):
    for suffix in ("npz", "json", "csv"):
        assert export_plan("dpmpp-2m", tmp_path / f"plan.{suffix}", 5, "vp").stat().st_size > 500
    with pytest.raises(ValueError, match=r"end its name in \.npz"):
        export_plan("dpmpp-2m", tmp_path / "plan.txt", 5, "vp")
    with pytest.raises(ValueError, match=r"keeps the plan's own \(data\)"):
        export_plan("dpmpp-2m", tmp_path / "plan.npz", 5, "vp", prediction="noise")


def test_a_mixture_is_sampled(tmp_path):
    chapter = sample("mixture", SampleWish(n=200, steps=20), root=tmp_path)
    samples = np.load(tmp_path / "sample-mixture" / "samples.npy")
    assert samples.shape == (200, 2)
    assert np.abs(np.linalg.norm(samples, axis=1) - 2).mean() < 0.25  # modes of width 0.2 on a ring of radius 2
    assert value(chapter, "network calls") == 20


@pytest.mark.parametrize(
    ("source", "wish", "sentence"),
    [
        ("digit", SampleWish(), "did you mean digits"),
        ("mixture", SampleWish(n=0), "draw at least one"),
        ("mixture", SampleWish(label=3), "names a digit"),
        ("digits", SampleWish(label=10), "names a digit, 0 to 9"),
        ("mixture", SampleWish(plan="ddmi"), "'ddmi' is not a sampler; did you mean 'ddim'"),
        ("mixture", SampleWish(steps=0), "at least one"),
    ],
    ids=str,
)
def test_samples_that_make_no_sense_are_one_sentence(source, wish, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        sample(source, wish, root=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("job", "steps", "sentence"),
    [("digit", None, "did you mean digits"), ("digits", 0, "at least one"), ("hare-lynx", 5, "leave out --steps")],
)
def test_training_that_makes_no_sense_is_one_sentence(job, steps, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        train(job, steps, root=tmp_path)
    assert list(tmp_path.iterdir()) == []
