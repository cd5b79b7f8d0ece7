"""What the README shows runs, and the commands it names exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_there_are_examples():
    assert len(EXAMPLES) == 4


def test_the_first_solve(capsys):
    from scipy.integrate import solve_ivp

    names = {}
    exec(EXAMPLES[0], names)
    right = lambda t, x: [1.1 * x[0] - 0.4 * x[0] * x[1], 0.1 * x[0] * x[1] - 0.4 * x[1]]  # noqa: E731
    truth = solve_ivp(right, (0, 50), [10.0, 5.0], method="DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    assert names["sol"].x[-1] == pytest.approx(truth, rel=1e-4)
    assert str(int(names["sol"].stats.accepted)) in capsys.readouterr().out


def test_every_kind_of_equation(capsys):
    import numpy as np
    from scipy.integrate import solve_ivp

    names = {}
    exec(EXAMPLES[1], names)
    right = lambda t, x: np.asarray(names["robertson"](t, x))  # noqa: E731
    truth = solve_ivp(right, (0, 1e5), [1.0, 0, 0], method="Radau", rtol=1e-9, atol=1e-14).y[:, -1]
    assert names["kinetics"].x == pytest.approx(truth, rel=1e-3)
    fall = np.sqrt(20 / 9.81)
    assert names["ball"].events.t[:2] == pytest.approx([fall, fall * 2.6], rel=1e-6)
    assert float(names["paths"].x.mean()) == pytest.approx(np.exp(0.05), abs=4 * 0.21 / np.sqrt(1000))
    assert capsys.readouterr().out


def test_what_the_readme_names_exists():
    import duhamel as dh

    table = README[README.index("| equation |") : README.index("A method that does not fit")]
    named = {re.match(r"\w+", code)[0] for code in re.findall(r"`([^`]+)`", table)} - {"f", "5", "8", "4"}
    assert len(named) > 30
    assert [name for name in sorted(named) if not hasattr(dh, name)] == []


def test_partial_equations(capsys):
    import jax
    import numpy as np

    names = {}
    with jax.enable_x64(False):  # as a newcomer has it
        exec(EXAMPLES[2], names)
    assert names["kdv"].x.shape == (51, 256)
    assert np.asarray(names["kdv"].x).sum(axis=1) == pytest.approx(np.full(51, names["kdv"].x[0].sum()), rel=1e-4)
    x = names["rod"].coordinates()[0]
    assert np.asarray(names["warm"].x) == pytest.approx(1 - 2 * x / 3, abs=1e-4)
    assert np.all(np.isfinite(names["spots"].x))
    x = names["pipe"].coordinates()[0]
    assert np.asarray(names["inflow"].x) == pytest.approx(np.sin(3 * (2 - x)), abs=1e-3)
    assert "(51, 256)" in capsys.readouterr().out


def test_the_first_sampler(capsys, tmp_path, monkeypatch):
    import numpy as np

    import duhamel as dh

    monkeypatch.chdir(tmp_path)
    names = {}
    exec(EXAMPLES[3], names)
    x = np.asarray(names["x"])
    assert x.shape == (1000, 2)
    assert 430 <= np.sum(x[:, 0] > 0) <= 570  # binomial, four standard deviations
    assert np.abs(np.abs(x[:, 0]) - 2).mean() == pytest.approx(np.sqrt(0.1 * 2 / np.pi), rel=0.15)
    assert "unipc" in capsys.readouterr().out
    assert dh.Plan.load(next(tmp_path.glob("unipc-20*"))) == names["plan"]


@pytest.mark.parametrize(
    "command", sorted(set(re.findall(r"(?<!import )(?<!from )duhamel ([a-z]+ [a-z]+(?:-[a-z0-9]+)*)", README)))
)
def test_a_command_of_the_readme_is_known(command, capsys):
    """Parsing only: an unknown word would be refused."""
    from duhamel.cli.parse import SECOND, SUBCOMMANDS
    from duhamel.jobs.bench import BENCHMARKS

    first, second = command.split()
    assert first in SUBCOMMANDS
    if first in SECOND:
        assert second in SECOND[first]
    if first == "bench":
        assert second in BENCHMARKS


def test_make_targets_of_the_readme_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"make ([a-z]+)", README + (ROOT / "CONTRIBUTING.md").read_text()))
    assert {"demo", "test"} <= named <= targets


def test_the_number_of_cards_that_every_change_runs_is_the_one_that_is_told():
    """All but those that tests/papers leaves to `make slow`."""
    from duhamel.papers.registry import select

    text = (ROOT / "tests" / "papers" / "test_cards.py").read_text()
    long = re.findall(r'"([a-z0-9-]+)"', text[text.index("LONG = {") : text.index("CARDED")])
    carded = {entry.id for entry in select(state="carded")}
    assert set(long) <= carded
    assert f"fast, {len(carded) - len(long)} of {len(carded)} " in README


def test_contributing_is_short():
    assert (ROOT / "CONTRIBUTING.md").read_text().count("\n") < 60
