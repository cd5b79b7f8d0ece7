"""A demo that is killed goes on with the chapters that are missing, and ends with the same numbers."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from duhamel.demo.runner import CHAPTERS, run
from duhamel.report.chapter import Chapter
from duhamel.report.measurement import Measurement

ROOT = Path(__file__).parents[2]

# Three chapters that compute for a while; the second waits for ever in the run that is to be killed.
SCRIPT = """
import sys, time
from pathlib import Path
import numpy as np
from duhamel.demo.runner import run
from duhamel.report.chapter import Chapter
from duhamel.report.measurement import Measurement

def chapter(name):
    def write(context):
        with open("computed.txt", "a") as file:
            print(name, file=file, flush=True)
        if name == "second" and sys.argv[1] == "hang":
            time.sleep(600)
        total = float(np.linalg.norm(np.random.default_rng(len(name)).normal(size=1000)))
        context.run.log(chapter=name, total=total)
        return Chapter(name, name, "What?", Measurement("norm", total, low=0.0))
    return write

run("demo", fast=True, root="runs", chapters={name: chapter(name) for name in ("first", "second", "third")})
"""


def numbers(folder: Path) -> dict:
    stored = {p.stem: json.loads(p.read_text()) for p in (folder / "chapters").glob("*.json")}
    return {name: chapter["headline"]["value"] for name, chapter in stored.items()}


def start(cwd: Path, mode: str) -> subprocess.Popen:
    cwd.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", SCRIPT, mode], cwd=cwd, env=environment, stdout=subprocess.DEVNULL)


def test_a_demo_killed_with_sigkill_resumes_and_ends_with_the_same_numbers(tmp_path):
    whole = start(tmp_path / "whole", "run")
    killed = start(tmp_path / "killed", "hang")
    log = tmp_path / "killed" / "computed.txt"
    deadline = time.monotonic() + 60
    while not (log.exists() and "second" in log.read_text()):
        assert time.monotonic() < deadline, "the demo did not reach its second chapter"
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed" / "runs" / "demo" / "index.html").exists()
    assert start(tmp_path / "killed", "run").wait() == 0
    assert whole.wait() == 0

    assert numbers(tmp_path / "killed/runs/demo") == numbers(tmp_path / "whole/runs/demo")
    assert set(numbers(tmp_path / "whole/runs/demo")) == {"first", "second", "third"}
    assert log.read_text().split() == ["first", "second", "second", "third"], "a stored chapter is not computed again"
    assert (tmp_path / "killed/runs/demo/index.html").exists()


@pytest.mark.slow
def test_the_real_demo_killed_while_it_trains_ends_with_the_same_numbers_and_figures(tmp_path):
    """kill -9 in the middle of the hare and lynx: training goes on from its checkpoint, finished chapters stay."""
    command = [sys.executable, "-m", "duhamel.cli", "demo", "--fast", "--runs", str(tmp_path), "--name"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.Popen([*command, "killed"], env=environment, stdout=subprocess.DEVNULL)
    trained = tmp_path / "killed/checkpoints/hare-lynx/universal"
    deadline = time.monotonic() + 300
    while not list(trained.glob("*/metrics.jsonl")):
        assert time.monotonic() < deadline and killed.poll() is None
        time.sleep(0.1)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    subprocess.run([*command, "killed"], env=environment, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*command, "whole"], env=environment, check=True, stdout=subprocess.DEVNULL)
    assert numbers(tmp_path / "killed") == numbers(tmp_path / "whole")
    for figure in (tmp_path / "whole/figures").glob("*.svg"):
        assert figure.read_bytes() == (tmp_path / "killed/figures" / figure.name).read_bytes(), figure.name


def tiny(value):
    return {"only": lambda context: Chapter("only", "Only", "What?", Measurement("n", value, high=1.0))}


def test_a_finished_demo_says_so_and_is_done_once_more_on_demand(tmp_path, capsys):
    first = run("demo", root=tmp_path, chapters=tiny(0.5))
    before = first.page.read_text()
    assert run("demo", root=tmp_path, chapters=tiny(0.25)) == first
    assert "`duhamel demo --again` does it once more" in capsys.readouterr().out
    second = run("demo", root=tmp_path, chapters=tiny(0.25), again=True)
    assert (first.page.parent.name, second.page.parent.name) == ("demo", "demo-2")
    assert second.chapters[0].headline.value == 0.25 and first.page.read_text() == before


def test_a_headline_that_is_missed_is_not_hidden(tmp_path, capsys):
    assert run("good", root=tmp_path, chapters=tiny(0.5)).holds
    assert not run("bad", root=tmp_path, chapters=tiny(2.0)).holds
    assert "MISSED, asked: at most 1" in capsys.readouterr().out


@pytest.mark.parametrize("id", CHAPTERS)
def test_every_chapter_has_a_module(id):
    source = (ROOT / "duhamel" / "demo" / f"{id}.py").read_text()
    assert "def chapter(context: Context) -> Chapter:" in source
