"""What a killed, damaged or interrupted run leaves: its own left-overs are recognised, a stranger's files stay."""

import json
import shutil
import threading

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import optax
import pytest

import duhamel.train.checkpoint as checkpoint
from duhamel.demo.runner import run as demo
from duhamel.diffusion.tuning.stages import Stages
from duhamel.nn.mlp import MLP
from duhamel.report.chapter import Chapter, Figure
from duhamel.report.folder import Run
from duhamel.report.measurement import Measurement
from duhamel.report.page import render
from duhamel.train.checkpoint import CheckpointError
from duhamel.train.data import Whole
from duhamel.train.fit import fit

DEAD = 2**22 - 7


def trained(folder, steps=20, progress=False):
    return fit(
        lambda model, x, key: jnp.mean(model(x) ** 2),
        MLP(2, 1, width=4, depth=1, key=jax.random.key(0)),
        Whole(jnp.ones((2, 3))),
        optimiser=optax.adam(1e-2),
        steps=steps,
        key=jax.random.key(0),
        scan=5,
        folder=folder,
        checkpoint_every=10,
        progress=progress,
    )


@pytest.mark.parametrize("left", [(), ("duhamel.json.part",)])
def test_a_checkpoint_folder_begun_by_a_run_that_was_killed_is_taken_up(tmp_path, left):
    """Killed between the folder and its marker."""
    (tmp_path / "checkpoints").mkdir()
    for name in left:
        (tmp_path / "checkpoints" / name).write_text('{"form')
    assert trained(tmp_path).step == 20
    assert not list((tmp_path / "checkpoints").glob("*.part"))


@pytest.mark.parametrize(
    "line",
    [
        b'{"loss": 1.0}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"step": "x"}',
        b"3",
        b'{"step": 5, "loss": [1]}',
        b'{"step": 5.5}',
    ],
    ids=["no step", "binary", "nested", "step a word", "a number", "loss a list", "half a step"],
)
def test_a_metrics_file_that_is_none_is_one_sentence(tmp_path, line):
    trained(tmp_path)
    (tmp_path / "metrics.jsonl").write_bytes(line + b"\n")
    with pytest.raises(ValueError, match=r"metrics\.jsonl: line 1 is no record of a training"):
        trained(tmp_path, steps=40)


def test_two_trainings_never_share_a_folder(tmp_path):
    told = []

    def second(done, total):
        if done == 10 and not told:
            with pytest.raises(RuntimeError, match="is being written by another run"):
                trained(tmp_path)
            told.append(done)

    whole = trained(None)
    assert trained(tmp_path, progress=second).metrics == whole.metrics and told
    assert {p.name for p in tmp_path.iterdir()} == {"checkpoints", "metrics.jsonl"}


@pytest.mark.parametrize("lost", ["all of them"])
def test_a_checkpoint_that_somebody_deleted_is_made_up_for(tmp_path, lost):
    whole = trained(None, 40)
    trained(tmp_path)
    for step in ("10", "20") if lost == "all of them" else (lost,):
        shutil.rmtree(tmp_path / "checkpoints" / step)
    again = trained(tmp_path, 40)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), again.model.weights, whole.model.weights))


def test_a_save_that_never_ends_is_given_up(tmp_path, monkeypatch):
    """What writes checkpoints waits for other threads and for folders; we do not wait for ever."""
    release, orbax = threading.Event(), checkpoint._orbax

    class Stuck:
        def restore(self, *args):
            return orbax().restore(*args)

        def save(self, target, arrays):
            release.wait(20)

        wait_until_finished = close = lambda self: None

    trained(tmp_path, 10)
    monkeypatch.setattr(checkpoint, "PATIENCE", 0.2)
    monkeypatch.setattr(checkpoint, "_orbax", Stuck)
    with pytest.raises(CheckpointError, match=r"20 cannot be written \(nothing came in 0 seconds\).*step 10 is kept"):
        trained(tmp_path)
    release.set()


def test_a_disk_that_is_full_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    trained(tmp_path, 10)

    def save(target, arrays):
        target.mkdir()
        (target / "half").write_text("x")
        raise ValueError("RESOURCE_EXHAUSTED: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_save", save)
        with pytest.raises(
            CheckpointError, match=r"20 cannot be written .the disk is full.*step 10 is kept: make room"
        ):
            trained(tmp_path)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["10", "10.sha256", "duhamel.json"]
    assert trained(tmp_path).step == 20


def test_a_run_killed_before_its_first_file_is_taken_up_and_tidied(tmp_path):
    """Killed while config.json was written: no second folder, and no draft stays."""
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / ".lock").write_text("")
    (folder / f".{DEAD}.config.json").write_text('{"comm')
    run = Run.resume("demo", {"seed": 1}, tmp_path)
    assert run.folder == folder and run.config == {"seed": 1}
    assert {p.name for p in folder.iterdir()} == {".lock", "config.json"}


def test_what_killed_stages_left_goes_when_the_run_goes_on(tmp_path):
    first = Run.create("a", {}, tmp_path)
    stages = first.subfolder("stages")
    del first
    drafts = [
        tmp_path / "a" / f".{DEAD}.index.html",
        tmp_path / "a" / ".tuned.plan.x1y2z3",
        stages / f".{DEAD}.noises.npz",
    ]
    for draft in drafts:
        draft.write_text("half")
    again = Run.resume("a", {}, tmp_path)
    assert again.folder == tmp_path / "a" and not any(draft.exists() for draft in drafts)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000], ids=["empty", "garbled", "nested"])
def test_a_tuning_that_nobody_can_read_is_one_sentence(tmp_path, text):
    (tmp_path / "tuning.json").write_text(text)
    with pytest.raises(ValueError, match=r"is empty or damaged.*delete that folder"):
        Stages(tmp_path, {"nfe": 5})


def chapters():
    def write(context):
        figure, _ = plt.subplots()
        drawn = Figure(context.figure("f", figure), "A caption.")
        return Chapter("only", "Only", "What?", Measurement("n", 0.5, high=1.0), figures=(drawn,))

    return {"only": write}


DAMAGE = {
    "no JSON": lambda stored: "{",
    "no title": lambda stored: {k: v for k, v in stored.items() if k != "title"},
    "a list": lambda stored: [stored],
    "seconds a word": lambda stored: {**stored, "seconds": "3"},
    "a headline of words": lambda stored: {**stored, "headline": {**stored["headline"], "value": "much"}},
    "records of another kind": lambda stored: {**stored, "records": [3]},
    "a figure elsewhere": lambda stored: {**stored, "figures": [{"path": "../../../../etc/hostname", "caption": ""}]},
    "a figure that is gone": lambda stored: {**stored, "figures": [{"path": "figures/none.svg", "caption": ""}]},
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_chapter_is_computed_again(tmp_path, damage):
    first = demo("demo", root=tmp_path, chapters=chapters())
    first.page.unlink()
    file = tmp_path / "demo" / "chapters" / "only.json"
    harmed = DAMAGE[damage](json.loads(file.read_text()))
    file.write_text(harmed if isinstance(harmed, str) else json.dumps(harmed))
    again = demo("demo", root=tmp_path, chapters=chapters())
    assert again.page == first.page and again.chapters[0].headline == first.chapters[0].headline
    assert json.loads(file.read_text())["title"] == "Only"


def test_a_page_reads_nothing_outside_its_run(tmp_path):
    (tmp_path / "secret.svg").write_text("<svg/>")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "link.svg").symlink_to(tmp_path / "secret.svg")
    for path in ("../secret.svg", str(tmp_path / "secret.svg"), "link.svg"):
        with pytest.raises(ValueError, match="leads out of"):
            render(tmp_path / "run", "t", "l", [Chapter("a", "A", "Q.", figures=(Figure(path, ""),))])
