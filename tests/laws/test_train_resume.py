"""A run that is killed with SIGKILL ends with the same numbers, bit for bit, as one that was not.

Run as a script, this file is the victim: it trains slowly into the folder it is given.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from duhamel.nn.mlp import MLP
from duhamel.train.data import Batches
from duhamel.train.ema import EMA
from duhamel.train.fit import fit

STEPS = 330  # not a multiple of `scan`: the last call is a short one


def loss(model, batch, key):
    x, y = batch
    noisy = x + 0.05 * jax.random.normal(key, x.shape, x.dtype)  # randomness beyond the batch's
    return jnp.mean((model(noisy.T) - y.T) ** 2)


def train(folder, pause=0.0, steps=STEPS, seed=7):
    x = np.linspace(-1, 1, 90)[:, None]
    return fit(
        loss,
        MLP(1, 1, width=16, depth=2, key=jax.random.key(0)),
        Batches((x, np.sin(3 * x)), 32),
        optimiser=optax.adamw(1e-2),
        steps=steps,
        key=jax.random.key(seed),
        ema=EMA(0.99),
        scan=20,
        folder=folder,
        checkpoint_every=60,
        progress=lambda done, total: time.sleep(pause),
    )


def arrays(tree):
    return [np.asarray(a) for a in jax.tree.leaves(eqx.filter(tree, eqx.is_array))]


def same_bits(a, b):
    return all(np.array_equal(x, y) for x, y in zip(arrays(a), arrays(b), strict=True))


def complete_checkpoints(folder: Path) -> list[str]:
    return sorted(p.stem for p in folder.glob("checkpoints/*.sha256"))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(folder)


@pytest.mark.parametrize("wait_for", ["before the first checkpoint", "after some checkpoints"])
def test_sigkill_changes_no_bit(tmp_path, wait_for, uninterrupted):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1"}
    victim = subprocess.Popen([sys.executable, __file__, str(tmp_path / "killed")], env=environment)
    try:
        deadline, metrics = time.monotonic() + 120, tmp_path / "killed" / "metrics.jsonl"
        lines = 1 if wait_for.startswith("before") else 8
        while not metrics.exists() or len(metrics.read_text().splitlines()) < lines:
            assert victim.poll() is None, "the victim ended before it could be killed"
            assert time.monotonic() < deadline, "the victim made no progress"
            time.sleep(0.01)
    finally:
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    assert victim.returncode == -signal.SIGKILL
    seen = len(metrics.read_text().splitlines())
    assert seen * 20 < STEPS
    assert bool(complete_checkpoints(tmp_path / "killed")) == (lines == 8)

    resumed, (folder, whole) = train(tmp_path / "killed"), uninterrupted
    assert resumed.step == whole.step == STEPS
    assert same_bits(resumed.model, whole.model) and same_bits(resumed.average, whole.average)
    assert resumed.metrics == whole.metrics
    assert (tmp_path / "killed" / "metrics.jsonl").read_bytes() == (folder / "metrics.jsonl").read_bytes()
    assert complete_checkpoints(tmp_path / "killed") == complete_checkpoints(folder) == ["300", "330"]
    shutil.copytree(folder, tmp_path / "whole")
    further = [train(tmp_path / run, steps=STEPS + 20).model for run in ("killed", "whole")]
    assert same_bits(*further)  # so the optimiser's state is the same, too


def test_stopping_and_going_further_is_the_long_run(tmp_path, uninterrupted):
    train(tmp_path / "run", steps=130)
    further = train(tmp_path / "run")
    assert same_bits(further.model, uninterrupted[1].model)
    assert [r["step"] for r in further.metrics[:8]] == [20, 40, 60, 80, 100, 120, 130, 140]


def test_a_finished_run_is_read_not_repeated(uninterrupted):
    folder, first = uninterrupted
    before = {p: p.stat().st_mtime_ns for p in (folder / "checkpoints").rglob("*") if p.is_file()}
    again = train(folder)
    assert same_bits(first.model, again.model) and again.metrics == first.metrics
    assert before == {p: p.stat().st_mtime_ns for p in before}


def test_a_run_past_the_steps_asked_for_is_refused(uninterrupted):
    with pytest.raises(ValueError, match="already at step 330, past steps = 100; ask for more steps"):
        train(uninterrupted[0], steps=100)


def test_records_of_steps_that_a_kill_undid_are_dropped(tmp_path):
    """A kill between a checkpoint and the end leaves later records, the last one cut short."""
    whole = train(tmp_path / "run", steps=120)
    file = tmp_path / "run" / "metrics.jsonl"
    file.write_text(file.read_text() + json.dumps({"step": 140, "loss": 99.0}) + '\n{"step": 160, "lo')
    assert train(tmp_path / "run", steps=120).metrics == whole.metrics
    assert file.read_text().count("\n") == 6 and "99" not in file.read_text()


if __name__ == "__main__":
    train(Path(sys.argv[1]), pause=0.1)
