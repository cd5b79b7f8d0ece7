"""Plans as data: validated, compared, composed, tabulated, printed, saved; and all of that without JAX."""

import subprocess
import sys

import numpy as np
import pytest

from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.plan import Plan, Segment, compose, tabulate

ones = np.ones(1)
euler = Pattern((Row("y", ("x",), "F"), Row("next", ("F", "x"))), keep=(("x", "next"),))
heun = Pattern(
    (Row("y", ("x",), "k1"), Row("y2", ("k1", "x"), "k2", args=("z",)), Row("next", ("mu", "z", "k1", "k2", "x"))),
    keep=(("x", "next"), ("k", "k2")),
    draws=("z",),
    consts=("mu",),
)


def euler_plan(n=4, start=0.0, end=1.0, name="euler"):
    return tabulate(name, euler, lambda t, h: (1, h, 1), lambda t, h: (t,), np.linspace(start, end, n + 1))


def rich_plan():
    """Two patterns, complex and per-mode numbers, constants, draws, info."""
    rng = np.random.default_rng(0)
    modes = rng.normal(size=(3, 5)) + 1j * rng.normal(size=(3, 5))
    coef = (ones, rng.normal(size=3), ones, -2.5 * ones, rng.normal(size=(1, 5)), rng.normal(size=3), modes, ones)
    second = Segment(heun, coef, rng.normal(size=(3, 2)))
    return Plan("rich η", (*euler_plan().segments, second), np.arange(8.0), "noise", {"beta": [0.1, 20], "paper": "x"})


def test_counts():
    plan = rich_plan()
    assert (plan.steps, plan.nfe, plan.copies, plan.models) == (7, 4 + 6, 3, 1)
    assert (plan.slots, plan.draws, plan.consts) == (("x", "k"), ("z",), ("mu",))


def test_equality_is_by_value_and_to_rounding():
    plan = euler_plan()
    again = euler_plan(name="forward Euler")
    assert plan == again
    assert hash(plan) == hash(again)
    scaled = [(tuple(c * (1 + 1e-14) for c in coef), tau) for coef, tau in plan.numbers]
    assert plan == plan.with_numbers(scaled)
    assert plan != plan.with_numbers([(tuple(c * (1 + 1e-9) for c in coef), tau) for coef, tau in plan.numbers])
    assert plan != euler_plan(5)
    assert plan != euler_plan(end=2.0)
    assert plan != Plan("euler", plan.segments, plan.t, "data")
    assert plan != "euler"


def test_a_number_for_every_step_equals_the_same_number_in_each():
    plan = euler_plan()
    coef, tau = plan.numbers[0]
    short = plan.with_numbers([((ones, coef[1], ones), tau)])
    assert short.segments[0].coef[0].shape == (1,)
    assert short == plan


def test_plans_do_not_change():
    plan = euler_plan()
    with pytest.raises(AttributeError):
        plan.name = "other"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        plan.segments[0].coef[1][0] = 3.0


def test_composing_joins_equal_patterns_and_keeps_the_times():
    whole = compose([euler_plan(4, 0, 1), euler_plan(6, 1, 0.5), euler_plan(3, 0.5, 2)], "up and down")
    assert (whole.steps, whole.copies, len(whole.segments)) == (13, 1, 1)
    np.testing.assert_allclose(np.diff(whole.t), whole.segments[0].coef[1], rtol=1e-13)
    with pytest.raises(ValueError, match=r"begins at t = 0\.5, but the plan before it ends at 1"):
        compose([euler_plan(4, 0, 1), euler_plan(3, 0.5, 2)])
    with pytest.raises(ValueError, match="build both for one prediction"):
        compose([euler_plan(4, 0, 1), Plan("d", euler_plan(3, 1, 2).segments, np.linspace(1, 2, 4), "data")])


def test_tabulating_stores_an_unchanging_array_once():
    modes = np.arange(3.0)
    steps = np.array([0, 0.1, 0.2, 0.4])
    same = tabulate("a", euler, lambda t, h: (1, h, modes), lambda t, h: (t,), steps)
    assert [c.shape for c in same.segments[0].coef] == [(3,), (3,), (1, 3)]
    late = tabulate("b", euler, lambda t, h: (1, h, modes * (t > 0.15)), lambda t, h: (t,), steps)
    np.testing.assert_array_equal(late.segments[0].coef[2], [0 * modes, 0 * modes, modes])
    np.testing.assert_allclose(late.segments[0].coef[1], [0.1, 0.1, 0.2])


def test_printing_names_every_row_and_number():
    text = rich_plan().show(digits=4)
    assert (
        "Plan 'rich η': 7 steps, 10 evaluations, the model stands 3 times in the program, model returns noise" in text
    )
    assert "y = y" not in text
    assert "F = N(tau, y)" in text
    assert "k2 = N(tau, y2, z)" in text
    assert "keep x <- next, k <- k2" in text
    assert "draw z" in text
    assert "read mu" in text
    assert "(-2.5) mu" in text  # a constant stands in the equation
    assert "0.25" in text
    assert len(text.splitlines()) == 2 + (3 + 1 + 4) + 1 + (3 + 3 + 1 + 3)
    assert repr(rich_plan()) == text.splitlines()[0]
    assert "stands once" in repr(euler_plan())


def test_save_and_load_return_the_same_numbers(tmp_path):
    plan = rich_plan()
    path = plan.save(tmp_path / "a.plan")
    again = Plan.load(path)
    assert again == plan
    assert (again.name, again.prediction, again.info) == (plan.name, plan.prediction, plan.info)
    for a, b in zip(plan.segments, again.segments, strict=True):
        assert a.pattern == b.pattern
        assert all(np.array_equal(c, d) and c.dtype == d.dtype for c, d in zip(a.coef, b.coef, strict=True))
        np.testing.assert_array_equal(a.tau, b.tau)
    euler_plan().save(path)  # an old file is replaced
    assert Plan.load(path) == euler_plan()
    assert [p.name for p in tmp_path.iterdir()] == ["a.plan"]


def damaged(tmp_path, how):
    path = rich_plan().save(tmp_path / "plan.npz")
    data = path.read_bytes()
    if how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "text":
        path.write_text("not a plan")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "flipped":
        middle = len(data) // 3
        path.write_bytes(data[:middle] + bytes(255 - b for b in data[middle : middle + 40]) + data[middle + 40 :])
    elif how == "foreign":
        np.savez(path, weights=np.ones(3))
    elif how == "pickle":
        np.savez(path, header=np.array([{"format": "duhamel plan"}], dtype=object))
    elif how == "array":
        with path.open("wb") as file:
            np.save(file, np.ones(3))
    elif how == "missing":
        with np.load(path) as file:
            np.savez(path, **{name: file[name] for name in file.files if name != "1.2"})
    return path


@pytest.mark.parametrize("how", ["cut", "text", "empty", "flipped", "foreign", "pickle", "array", "missing"])
def test_a_damaged_or_foreign_file_is_one_sentence(tmp_path, how):
    path = damaged(tmp_path, how)
    with pytest.raises(ValueError, match=r"plan\.save\(path\)") as caught:
        Plan.load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_files_that_cannot_be_read_or_written(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no plan at"):
        Plan.load(tmp_path / "nothing")
    with pytest.raises(OSError, match="choose a folder you may write to"):
        euler_plan().save(tmp_path / "nowhere" / "plan")
    path = euler_plan().save(tmp_path / "plan")
    with pytest.raises(TypeError, match="info must hold JSON types only"):
        Plan("euler", euler_plan().segments, euler_plan().t, info={"schedule": object()}).save(path)
    assert Plan.load(path) == euler_plan()  # nothing was overwritten


BAD = [
    (lambda: Segment(euler, (ones, ones), np.zeros((4, 1))), "coef holds 2 arrays, but the rows of the pattern read 3"),
    (lambda: Segment(euler, (ones, np.ones(3), ones), np.zeros((4, 1))), "'F' in row 'next' has shape .3,.; its first"),
    (lambda: Segment(euler, (ones,) * 3, np.zeros((4, 2))), "calls = 1"),
    (lambda: Segment(euler, (ones,) * 3, np.zeros((0, 1))), "steps >= 1"),
    (lambda: Segment(euler, (ones, np.nan * ones, ones), np.zeros((4, 1))), "'F' in row 'next' is not finite"),
    (lambda: Plan("p", (), np.zeros(1)), "has no segment"),
    (lambda: Plan("p", euler_plan().segments, np.zeros(4)), "a plan of 4 steps needs 5 times"),
    (lambda: euler_plan(0), "at least two times"),
    (lambda: Plan("p", (Segment(Pattern((), ()), (), np.zeros((1, 0))),), np.zeros(2)), "the state must be called x"),
]


@pytest.mark.parametrize("build, words", BAD, ids=[words for _, words in BAD])
def test_static_mistakes_raise_at_once(build, words):
    with pytest.raises(ValueError, match=words) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_numbers_are_numbers():
    with pytest.raises(TypeError, match="must be an array of numbers"):
        Segment(euler, (ones, "a", ones), np.zeros((4, 1)))


WITHOUT_JAX = """
import sys, tempfile, os
import numpy as np
import duhamel, duhamel.torch
from duhamel.rows import Pattern, Plan, Row, Segment, checks, plans_equal, tabulate
from duhamel.rows import canonical, host, io, reverse, run_torch, show, step

euler = Pattern((Row("y", ("x",), "F"), Row("next", ("F", "x"))), keep=(("x", "next"),))
plan = tabulate("euler", euler, lambda t, h: (1, h, 1), lambda t, h: (t,), np.linspace(0, 1, 101))
assert checks.consistency(plan) < 1e-12
assert plans_equal(plan, plan)
plan.show()
with tempfile.TemporaryDirectory() as folder:
    assert Plan.load(plan.save(os.path.join(folder, "plan"))) == plan
x = plan.run_torch(lambda t, x: -x, np.ones(3))
assert np.allclose(x, (1 - 0.01) ** 100)
assert not {"jax", "jaxlib", "equinox", "torch"} & set(sys.modules), sorted(sys.modules)
print("fine")
"""


def test_plans_work_without_importing_jax():
    done = subprocess.run([sys.executable, "-c", WITHOUT_JAX], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "fine", done.stderr
