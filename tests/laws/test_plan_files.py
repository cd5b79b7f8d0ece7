"""A plan file is input: what is in it is checked, and writing one never destroys what was there."""

import errno
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from duhamel.diffusion import EDM, VP, build, sample
from duhamel.rows import io
from duhamel.rows.plan import Plan, Segment
from duhamel.rows.table import write_table

PLAN = build("dpmpp-2m", VP(), 6)


def changed(coef=lambda c: c, tau=lambda t: t, t=lambda t: t):
    segments = tuple(Segment(s.pattern, tuple(map(coef, s.coef)), tau(s.tau)) for s in PLAN.segments)
    return replace(PLAN, segments=segments, t=t(PLAN.t))


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (changed(coef=lambda c: c * 1e12), "coefficients is"),
        (changed(t=lambda t: t[::-1]), "its times go from 0.001 to 1, and its calls from 1 to"),
        (changed(tau=lambda t: t + 5.0), "its calls go from 6"),
    ],
)
def test_a_damaged_plan_is_named_when_it_is_read(tmp_path, plan, words):
    plan.save(tmp_path / "bad.npz")
    with pytest.raises(ValueError, match=words):
        Plan.load(tmp_path / "bad.npz")


@pytest.mark.parametrize("path", [None, 3, b"plan.npz"])
def test_what_is_no_path_is_a_sentence(path):
    with pytest.raises(TypeError, match="give the path of a file"):
        Plan.load(path)


@pytest.mark.parametrize("plan", [build("restart", VP(), 8), build("bdia", VP(), 6).reversed()])
def test_plans_that_rise_and_fall_are_read(tmp_path, plan):
    assert Plan.load(plan.save(tmp_path / "plan.npz")) == plan


def test_a_plan_of_another_model_is_not_sampled(tmp_path):
    zero = lambda t, x: 0 * x  # noqa: E731
    for plan, schedule in ((PLAN, EDM()), (changed(coef=lambda c: 3 * c), None)):
        loaded = Plan.load(plan.save(tmp_path / "plan.npz"))
        with pytest.raises(ValueError, match="does not keep constant data"):
            sample(loaded, zero, (2, 1), jax.random.key(0), schedule=schedule)
    assert np.all(np.isfinite(sample(PLAN, zero, (2, 1), jax.random.key(0))))


@pytest.mark.parametrize("name", ["table.json", "table.csv", "plan.npz"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, name):
    write = PLAN.save if name.endswith("npz") else lambda path: write_table(PLAN, path)
    path = tmp_path / name
    write(path)
    before = path.read_bytes()

    def full(*given, **named):
        file = real(*given, **named)
        file.write = lambda content: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device"))
        return file

    real = io.tempfile.NamedTemporaryFile
    monkeypatch.setattr(io.tempfile, "NamedTemporaryFile", full)
    with pytest.raises(OSError, match=rf"cannot write .*{name}.*No space left"):
        write(path)
    assert path.read_bytes() == before and [p.name for p in Path(tmp_path).iterdir()] == [name]


def test_only_regular_files_are_replaced(tmp_path):
    (tmp_path / "plan.npz").mkdir()
    with pytest.raises(OSError, match="not a regular file"):
        PLAN.save(tmp_path / "plan.npz")
