"""The command line: quick help that a stranger understands, and one sentence for every mistake."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = [
    (),
    ("demo",),
    ("solve",),
    ("sample",),
    ("train",),
    ("data",),
    ("data", "generate"),
    ("data", "show"),
    ("plan",),
    ("plan", "advise"),
    ("plan", "list"),
    ("plan", "show"),
    ("plan", "check"),
    ("plan", "compare"),
    ("plan", "picture"),
    ("plan", "export"),
    ("plan", "tree"),
    ("plan", "tune"),
    ("plan", "ranking"),
    ("papers",),
    ("papers", "list"),
    ("papers", "show"),
    ("papers", "run"),
    ("bench",),
]


def duhamel(*words, cwd=ROOT, **env):
    command = [sys.executable, "-m", "duhamel.cli", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", **env}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


def parsed(*words, capsys):
    """The same without another process: output and exit code."""
    from duhamel.cli.errors import guarded
    from duhamel.cli.parse import parse

    try:
        code = guarded(lambda: parse(list(words)))
    except SystemExit as stop:
        code = stop.code
    out = capsys.readouterr()
    return code, out.out, out.err


def names_in_help(command, capsys):
    _, out, _ = parsed(command, "--help", capsys=capsys)
    return set(re.findall(r"[a-z0-9-]+", re.sub(r"-\s+│?\s*", "-", out)))


def test_help_names_every_equation(capsys):
    from duhamel.jobs import conserved, ordinary, partial, steady

    known = {*ordinary.ORDINARY, *partial.PARTIAL, *conserved.CONSERVED, *steady.STEADY}
    assert known <= names_in_help("solve", capsys)


def test_help_names_every_benchmark(capsys):
    from duhamel.jobs.bench import BENCHMARKS

    assert set(BENCHMARKS) <= names_in_help("bench", capsys)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda w: " ".join(w) or "duhamel")
def test_help_says_what_it_does(words, capsys):
    code, out, _ = parsed(*words, "--help", capsys=capsys)
    assert code in (0, None)
    assert "usage: duhamel" in out
    assert "{None}" not in out, "an option without a default shows a word for its value"
    sentence = " ".join(out.split("usage:", 1)[1].split("\n\n")[1].split())
    assert len(sentence) > 20 and sentence.endswith("."), sentence


def test_help_is_quick_and_needs_no_jax():
    code = "import sys; from duhamel.cli.parse import parse\ntry: parse(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit('jax' in sys.modules or 'matplotlib' in sys.modules)"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - start < 5.0  # 0.3 s on a quiet machine


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("papres",), "duhamel: there is no command 'papres'; did you mean papers or plan?"),
        (("plan", "lst"), "duhamel: there is no plan command 'lst'; did you mean list?"),
        (("papers", "show", "dpm-slver"), "duhamel: no paper is called 'dpm-slver'; did you mean dpm-solver"),
        (("papers", "list", "--area", "pde"), "duhamel: no area is called 'pde'; did you mean"),
        (("papers", "run", "des"), "duhamel: no paper is called 'des'; did you mean deis"),
        (("bench", "ensembel"), "duhamel: no benchmark is called 'ensembel'; did you mean ensemble"),
    ],
    ids=lambda w: " ".join(w) if isinstance(w, tuple) else "",
)
def test_a_mistake_is_one_sentence(words, sentence, capsys):
    code, out, err = parsed(*words, capsys=capsys)
    assert code == 2
    assert err.startswith(sentence) and err.count("\n") == 1
    assert out == ""


def test_a_mistake_shows_no_traceback_from_the_shell():
    done = duhamel("papers", "show", "nothing-like-this")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_an_unwritable_json_file_is_one_sentence(tmp_path):
    done = duhamel("papers", "list", "--json", str(tmp_path / "absent" / "p.json"))
    assert done.returncode == 2
    assert "No such file or directory; name a file in a folder that exists" in done.stderr


def test_our_own_bugs_keep_their_traceback():
    from duhamel.cli.errors import guarded

    with pytest.raises(ZeroDivisionError):
        guarded(lambda: 1 // 0)


def test_papers_list_writes_records(tmp_path, capsys):
    code, out, _ = parsed("papers", "list", "--json", str(tmp_path / "p.json"), capsys=capsys)
    records = json.loads((tmp_path / "p.json").read_text())
    assert code == 0 and "239 systems" in out
    assert len(records) == 239
    assert {"name", "value", "unit", "error", "id", "area", "verdict", "seconds"} <= set(records[0])
