"""What the documentation and the examples show runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_the_programs_of_a_page_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if "import torch" in page.read_text():
        pytest.importorskip("torch")
    programs = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    assert programs
    names = {}
    for program in programs:
        exec(program, names)
    assert capsys.readouterr().out


def test_the_table_of_the_documentation_gives_the_samples_of_the_plan(tmp_path, monkeypatch):
    """The ten lines for PyTorch, against the plan itself."""
    torch = pytest.importorskip("torch")
    from duhamel.diffusion import VP, build

    monkeypatch.chdir(tmp_path)
    names = {}
    page = (ROOT / "docs" / "samplers.md").read_text()
    exec(next(p for p in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if "json" in p), names)
    plan = build("unipc", VP(), steps=8, model="noise")
    expected = plan.run_torch(names["model"], names["x"])
    torch.testing.assert_close(names["y"], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_the_commands_a_page_names_exist(page):
    from duhamel.cli.parse import SECOND, SUBCOMMANDS

    for first, second in re.findall(r"^    duhamel (\S+) (\S+)", page.read_text(), flags=re.MULTILINE):
        assert first in SUBCOMMANDS and (first not in SECOND or second in SECOND[first])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_and_ends_in_one_asserted_number(example, tmp_path):
    text = example.read_text()
    assert re.match(r"assert .+", text.strip().split("\n")[-1]) and 40 <= text.count("\n") <= 120
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
