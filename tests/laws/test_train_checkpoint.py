"""Bad checkpoint folders: one clear sentence, and nothing in them is changed."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from duhamel.nn.mlp import MLP
from duhamel.train.checkpoint import CheckpointError, Checkpoints
from duhamel.train.data import Whole
from duhamel.train.fit import fit


def run(folder, *, width=4, seed=0, steps=20, optimiser=None):
    return fit(
        lambda model, x, key: jnp.mean(model(x) ** 2),
        MLP(2, 1, width=width, depth=1, key=jax.random.key(0)),
        Whole(jnp.ones((2, 3))),
        optimiser=optimiser or optax.adam(1e-2),
        steps=steps,
        key=jax.random.key(seed),
        scan=5,
        folder=folder,
        checkpoint_every=10,
    )


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(folder, match, **changes):
    before = contents(folder)
    with pytest.raises(CheckpointError, match=match) as caught:
        run(folder, **changes)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert contents(folder) == before


def test_foreign_folder(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "thesis.tex").write_text("years of work")
    refused(tmp_path, "holds files that duhamel did not write.*choose an empty or new folder")


def test_foreign_metrics(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"mine": 1}\n')
    refused(tmp_path, "no checkpoints beside it.*choose another folder")


@pytest.mark.parametrize("marker", ["not json at all", '{"format": "something else"}', "[1, 2]"])
def test_foreign_marker(tmp_path, marker):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "duhamel.json").write_text(marker)
    refused(tmp_path, "is not a duhamel checkpoint marker")


def test_another_model(tmp_path):
    run(tmp_path)
    match = r"another model or optimiser: model\.weights\[0\] is float64\[4, 2\] there and float64\[5, 2\]"
    refused(tmp_path, match, width=5)


def test_another_optimiser(tmp_path):
    run(tmp_path)
    refused(tmp_path, "another model or optimiser: optimiser.* absent here", optimiser=optax.sgd(1e-2))


def test_another_key(tmp_path):
    run(tmp_path)
    refused(tmp_path, "another key; use that run's seed", seed=1)


def flip(path):
    """One byte in the middle of what holds the arrays."""
    if path.parent.name == "d":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(bytes(data))


HARM = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "flipped": flip,
    "emptied": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
    "digest": lambda path: None,
}


@pytest.mark.parametrize("damage", HARM)
def test_damaged(tmp_path, damage):
    run(tmp_path)
    newest = tmp_path / "checkpoints" / "20"
    if damage == "digest":
        newest.with_suffix(".sha256").write_text("0" * 64)
    for file in [p for p in newest.rglob("*") if p.is_file()]:
        HARM[damage](file)
    refused(tmp_path, "20 is damaged: .*; delete .*20.sha256 to continue from step 10", steps=40)
    newest.with_suffix(".sha256").unlink()  # what the sentence says
    whole = run(None, steps=40)
    assert np.array_equal(run(tmp_path, steps=40).model.weights[0], whole.model.weights[0])


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"cannot be written .*; choose a folder you may write to"):
        run(tmp_path / "file")


def test_only_the_newest_are_kept_and_leftovers_of_a_kill_vanish(tmp_path):
    run(tmp_path, steps=20)
    folder = tmp_path / "checkpoints"
    (folder / "30").mkdir()  # as orbax leaves it when the kill comes before the digest
    (folder / "40.orbax-checkpoint-tmp").mkdir()
    run(tmp_path, steps=40)
    assert sorted(p.name for p in folder.iterdir()) == ["30", "30.sha256", "40", "40.sha256", "duhamel.json"]
    assert json.loads((folder / "duhamel.json").read_text())["format"] == "duhamel checkpoints 1"


def test_every_dtype_returns_bit_for_bit(tmp_path):
    key = jax.random.key(0)
    state = {
        "half": jnp.asarray([1e-7, 65504.0], jnp.float16),
        "brain": jnp.asarray([1.0, 3.0], jnp.bfloat16),
        "complex": jnp.asarray([1 + 2j]),
        "count": jnp.asarray(3, jnp.int32),
        "none": None,
        "empty": jnp.zeros((0, 2)),
    }
    Checkpoints(tmp_path / "c", state, key).save(5, state)
    step, back = Checkpoints(tmp_path / "c", state, key).restore(jax.tree.map(jnp.zeros_like, state))
    assert step == 5 and jax.tree.structure(back) == jax.tree.structure(state)
    for name in ("half", "brain", "complex", "count", "empty"):
        assert back[name].dtype == state[name].dtype and back[name].tobytes() == state[name].tobytes()
