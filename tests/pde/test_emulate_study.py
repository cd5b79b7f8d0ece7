"""`duhamel train emulator` from end to end, small: its report, its weights, its sentences for what cannot be meant."""

import json
from dataclasses import replace

import numpy as np
import pytest

from duhamel.jobs.emulator import Wish, train_emulator
from duhamel.jobs.train import train
from duhamel.pde.dissipative import Burgers
from duhamel.pde.emulate import study as studies
from duhamel.pde.emulate.cost import Cost, Run
from duhamel.pde.emulate.study import study
from duhamel.pde.emulate.tasks import TASKS, _spectral
from duhamel.train.weights import metadata

NO_COST = Cost(1.0, 1.0, Run("emulator", 1.0, 1.0), ())
SMALL = Wish(points=64, samples=40, steps=60, seeds=2)


@pytest.fixture
def few(monkeypatch):
    """Burgers with eight test functions, a small network and two rivals."""
    rivals = _spectral(Burgers(viscosity=0.1), 1.0, ((16, 4), (64, 16)))
    monkeypatch.setitem(TASKS, "burgers", replace(TASKS["burgers"], test=8, width=12, rivals=rivals))


def test_a_run_leaves_its_report_and_weights_and_is_honest_about_cost(few, tmp_path):
    chapter = train_emulator(SMALL, root=tmp_path)
    numbers = {record.name: record.value for record in chapter.records}
    assert numbers["relative L2 error on the test half, mean"] < 20  # per cent, after sixty steps
    assert numbers["optimiser steps"] == 60
    runs, grids, published = chapter.tables
    ours, rivals = next(r[1] for r in runs.rows if r[0] == "emulator"), [r for r in runs.rows if "points" in r[0]]
    as_good = any(row[1] <= ours for row in rivals)
    assert chapter.text[0].startswith("At equal error" if as_good else "No coarse run"), (chapter.text[0], runs.rows)
    assert {"emulator", "16 points, 4 steps", "64 points, 16 steps"} <= {row[0] for row in runs.rows}
    assert [row[0] for row in grids.rows] == [32, 64, 128, 256]
    assert published.rows[1:] == (("FNO, 1024 points", 1000, 1.60),) and published.rows[0][1] == 40
    errors = [row[1] for row in grids.rows]
    assert max(errors) < 1.05 * min(errors)
    folder = tmp_path / "train-emulator-burgers"
    assert metadata(folder / "emulator-1.safetensors")["equation"] == "burgers"
    assert {p.stem for p in (folder / "figures").glob("*.svg")} == {"example", "spectra", "loss"}
    last = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()][-1]
    assert last["step"] == 60 and last["test"] * 100 == pytest.approx(errors[1], rel=1e-3)


@pytest.mark.slow
def test_a_killed_study_goes_on_and_ends_alike(few, tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "price", lambda *given: NO_COST)  # measured in the other test
    whole = study(SMALL, tmp_path / "whole")

    def interrupted(text, fraction):
        if fraction is not None and 0.4 < fraction < 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study(SMALL, tmp_path / "cut", interrupted)
    resumed = study(SMALL, tmp_path / "cut")
    assert np.array_equal(resumed.prediction, whole.prediction) and resumed.metrics == whole.metrics


@pytest.mark.slow
@pytest.mark.parametrize(
    ("equation", "model"), [*((e, "fno") for e in sorted(set(TASKS) - {"burgers"})), ("kuramoto-sivashinsky", "mp")]
)
def test_every_task_learns_something(equation, model, tmp_path):
    """After a short training the first frame is predicted better than by repeating what came before it."""
    points = {"darcy": 49, "navier-stokes-2d": 32}.get(equation, 64)
    found = study(Wish(equation=equation, model=model, points=points, samples=20, steps=150), tmp_path)
    test = found.data.test
    still = studies.each_error(np.repeat(test[:, :1], test.shape[1] - 1, axis=1), test[:, 1:])[:, 0].mean()
    assert found.errors[0, :, 0].mean() < 0.5 * still
    assert len(found.cost.classical) >= 2 and found.cost.training > 0


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        (Wish(equation="burgesr"), "no equation to emulate with is called 'burgesr'; did you mean burgers"),
        (Wish(model="fnu"), "no model to emulate with is called 'fnu'; did you mean fno"),
        (Wish(strategy="push"), "did you mean pushforward"),
        (Wish(points=0), "points = 0; give at least 1"),
        (Wish(model="unet", points=100), "100 points are no multiple of 8"),
        (Wish("navier-stokes-2d", "mp"), "written on a line"),
        (Wish(strategy="unrolled"), "burgers is one step, and unrolled learns several"),
        (Wish(samples=5), "do not fill a batch of 20"),
    ],
    ids=str,
)
def test_a_wish_that_makes_no_sense_is_one_sentence_and_makes_no_folder(wish, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        train_emulator(wish, root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_options_of_emulators_belong_to_emulators(tmp_path):
    with pytest.raises(ValueError, match="digits is no emulator; leave out --model, --points"):
        train("digits", root=tmp_path, model="fno", points=3)
    with pytest.raises(ValueError, match="did you mean emulator"):
        train("emulater", root=tmp_path)
