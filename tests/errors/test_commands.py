"""The command line: nothing overwritten unasked, zero is not "not given", seeds do not wrap, our mistakes are ours."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from duhamel.cli.errors import OURS, guarded, sentence_of
from duhamel.cli.parse import parse
from duhamel.core import extras
from duhamel.core.precision import enable_x64
from duhamel.core.seed import check_seed
from duhamel.jobs.sample import Wish, sample
from duhamel.report.console import Steps

ROOT = Path(__file__).parents[2]


def refused(capsys, *words):
    """The sentence; nothing else is printed."""
    assert guarded(lambda: parse(list(words))) == 2
    out = capsys.readouterr()
    assert out.out == "" and out.err.startswith("duhamel: ") and out.err.count("\n") == 1
    return out.err


@pytest.mark.parametrize("line", ["papers list --json a.json", "plan export ddim --to a.json"])
def test_an_existing_file_wants_a_yes(tmp_path, monkeypatch, capsys, line):
    monkeypatch.chdir(tmp_path)
    Path("a.json").write_text("precious")
    words = line.split()
    assert "a.json exists; add --force to write over it" in refused(capsys, *words)
    assert Path("a.json").read_text() == "precious"
    assert guarded(lambda: parse([*words, "--force"])) == 0
    assert Path("a.json").read_text() != "precious"


def test_a_special_file_is_never_replaced(tmp_path, capsys):
    """With --force neither."""
    os.mkfifo(tmp_path / "pipe")
    for more in ((), ("--force",)):
        assert "is a pipe, not a regular file" in refused(
            capsys, "papers", "list", "--json", str(tmp_path / "pipe"), *more
        )
    assert not (tmp_path / "pipe").is_file() and (tmp_path / "pipe").exists()


ZEROS = [
    "solve lorenz --points 0",
    "solve lorenz --t1 0",
    "solve lorenz --steps 0",
    "solve lorenz --method ''",
    "solve kdv --points 0",
    "solve kdv --steps 0",
    "solve euler --points 0",
    "solve poisson --points 0",
    "solve stefan --t1 0",
    "sample mixture --n 0",
    "sample mixture --name ''",
    "train digits --steps 0",
    "train emulator --points 0",
    "train emulator --equation ''",
    "data generate burgers --samples 0",
    "data generate burgers --points 0",
    "data generate burgers --frames 0",
    "data generate burgers --length 0",
    "data generate burgers --layout ''",
    "data generate burgers --walls ''",
    "data generate pdebench-burgers --samples 0",
]


@pytest.mark.parametrize("line", ZEROS)
def test_zero_and_nothing_are_not_the_default(tmp_path, monkeypatch, capsys, line):
    import shlex

    monkeypatch.chdir(tmp_path)
    refused(capsys, *shlex.split(line))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", [-1, 2**32, 2**63, 10**30])
@pytest.mark.parametrize(
    "line", ["sample mixture", "train digits", "train emulator", "data generate burgers", "plan tune mixture"]
)
def test_seeds_outside_32_bits_are_refused(tmp_path, monkeypatch, capsys, line, seed):
    monkeypatch.chdir(tmp_path)
    assert "a seed is a whole number from 0 to 4 294 967 29" in refused(capsys, *line.split(), f"--seed={seed}")


@pytest.mark.parametrize("wide", [False, True])
def test_every_seed_that_is_accepted_has_a_key_of_its_own(wide):
    import jax

    with enable_x64(wide):
        keys = {tuple(jax.random.key_data(jax.random.key(s)).tolist()) for s in (0, 1, 2**31, 2**32 - 1)}
    assert len(keys) == 4 and check_seed(2**32 - 1) == 2**32 - 1


@pytest.mark.parametrize("seed", [0.5, "a", None])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(ValueError, match="a seed is a whole number"):
        check_seed(seed)


def caught(call):
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_a_mistake_of_ours_is_not_told_as_the_users():
    """Raised inside the package, of the types that sentences have, but by no `raise`: a traceback says whose it is."""
    accident = caught(lambda: extras.need("x", None, "data"))  # iterating over None
    assert isinstance(accident, TypeError) and sentence_of(accident) is None
    assert sentence_of(caught(lambda: check_seed(-1))).startswith("seed = -1; ")
    assert sentence_of(caught(lambda: int("x"))) is None
    with pytest.raises(TypeError) as told:
        guarded(lambda: extras.need("x", None, "data"))
    assert OURS in told.value.__notes__


def test_a_file_that_is_not_there_is_told_by_name(tmp_path):
    assert sentence_of(caught((tmp_path / "none").read_text)) == f"{tmp_path / 'none'}: No such file or directory."
    assert "ask for fewer points" in sentence_of(MemoryError())


def test_a_missing_extra_quotes_a_line_that_works(monkeypatch):
    """The package is on no index: the line installs from the clone that this is."""
    assert extras.install("data") == f"python -m pip install -e '{ROOT}[data]'" or " " not in str(ROOT)
    assert str(ROOT) in extras.install("data") and extras.install("data").startswith("python -m pip install -e ")
    monkeypatch.setattr(extras, "ROOT", Path("/nowhere"))
    assert extras.install("fem") == "python -m pip install '.[fem]' in your clone of duhamel"


def test_no_message_names_an_index():
    """`pip install duhamel[...]` finds no such distribution."""
    sources = [*(ROOT / "duhamel").rglob("*.py"), ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    advice = ("pip install duhamel", 'pip install "duhamel', "pip install 'duhamel", "install duhamel[")
    assert [p.name for p in sources if any(words in p.read_text() for words in advice)] == []


@pytest.fixture
def without(monkeypatch):
    """A core-only installation: these packages are not there."""

    def hide(*names):
        real = importlib.util.find_spec
        monkeypatch.setattr(extras, "find_spec", lambda name: None if name in names else real(name))
        monkeypatch.setattr("duhamel.jobs.sample.find_spec", lambda name: None if name in names else real(name))

    return hide


@pytest.mark.parametrize(
    ("line", "package"),
    [
        ("demo --fast", "scikit-learn"),
        ("data generate burgers --samples 2", "h5py"),
        ("data generate burgers --samples 2 --layout zarr", "zarr"),
    ],
)
def test_extras_are_asked_for_before_work_begins(tmp_path, monkeypatch, capsys, without, line, package):
    monkeypatch.chdir(tmp_path)
    without("sklearn", "h5py", "zarr")
    sentence = refused(capsys, *line.split())
    assert package in sentence and "not installed here: python -m pip install" in sentence
    assert list(tmp_path.iterdir()) == []


def test_digits_are_drawn_without_extras_and_what_is_left_out_is_said(tmp_path, capsys, without):
    without("sklearn")
    chapter = sample("digits", Wish(n=20, steps=2), root=tmp_path)
    assert chapter.records == () and "needs scikit-learn" in chapter.text[0]
    assert (tmp_path / "sample-digits" / "samples.npy").exists() and "needs scikit-learn" in capsys.readouterr().out


def test_an_interrupt_ends_the_process_at_once_and_in_order(tmp_path):
    """Ctrl-C while a compiled program runs: exit code 130, no segmentation fault, nothing half written."""
    script = "import sys; sys.argv[1:] = sys.argv[1].split(); from duhamel.cli import main; main()"
    words = f"data generate burgers --samples 4000 --points 512 --frames 21 --shard 64 --out {tmp_path}/d"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", script, words], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "d" / "recipe.json").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130 and told.decode().strip().endswith("The same command goes on where it can.")
    assert not list((tmp_path / "d").glob(".[0-9]*"))


def test_a_log_shows_that_work_goes_on(monkeypatch, capsys):
    """Off a terminal: a line at the beginning, now and then, and at the end."""
    monkeypatch.setattr("duhamel.report.console.EVERY", 0.05)
    with Steps(["training"]) as steps:
        report = steps.start("training")
        report("step 3 of 12", 0.25)
        time.sleep(0.3)
        steps.finish("training", "done")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "training ..." and lines[-1].startswith("training: done (")
    assert any(line.startswith("training: step 3 of 12, 25 %, after ") for line in lines[1:-1])


def test_the_version_is_told(capsys):
    import duhamel

    assert parse(["--version"]) == 0
    assert capsys.readouterr().out == f"duhamel {duhamel.__version__}\n"


def test_stiff_methods_solve_by_name_and_pages_name_them(tmp_path):
    from duhamel.jobs.solve import Wish as Solve, solve_equation

    chapter = solve_equation("van-der-pol", Solve(method="rodas5p", t1=1.0, rtol=1e-6), root=tmp_path)
    error = next(r for r in chapter.records if r.name.startswith("largest error"))
    assert "by Rodas5P," in chapter.question and error.value < 1e-4


@pytest.mark.parametrize("name", ["van-der-pol", "lotka-volterra"])
def test_parameters_of_an_ordinary_equation_reach_its_field_and_its_truth(name, tmp_path):
    from duhamel.jobs.ordinary import ORDINARY
    from duhamel.jobs.solve import Wish as Solve, solve_equation

    key, usual = next(iter(ORDINARY[name].parameters.items()))
    chapter = solve_equation(name, Solve(t1=0.2, parameters=(f"{key}={1.5 * usual}",)), root=tmp_path)
    plain, _ = ORDINARY[name].truth(0.2)
    found = [r.value for r in chapter.records[: len(plain)]]
    error = next(r.value for r in chapter.records if r.name.startswith("largest error"))
    assert error < 1e-6 < max(abs(a - b) for a, b in zip(found, plain, strict=True))
    assert f" with {key} = {1.5 * usual:g}" in chapter.question


def test_other_parameters_are_not_held_against_the_usual_closed_form(tmp_path):
    from duhamel.jobs.solve import Wish as Solve, solve_equation

    wish = Solve(points=16, t1=0.5, steps=200, parameters=("damping=0.5",))
    chapter = solve_equation("wave", wish, root=tmp_path)
    assert "half the step" in chapter.text[0] and " with damping = 0.5 " in chapter.question
    assert next(r.value for r in chapter.records if r.name.startswith("largest error")) < 1e-6


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("solve lorenz --parameter rhoo=3", "no parameter 'rhoo'; it has sigma = 10, rho = 28, beta = 2.67"),
        ("solve burgers --parameter viscosity", "is not NAME=NUMBER"),
        ("solve burgers --parameter viscosity=nan", "is not NAME=NUMBER"),
        ("solve euler --parameter gamma=2", "no parameter 'gamma'; it has none"),
        ("solve poisson --parameter k=2", "no parameter 'k'; it has none"),
    ],
)
def test_a_parameter_that_is_none_is_one_sentence(tmp_path, monkeypatch, capsys, line, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused(capsys, *line.split())
