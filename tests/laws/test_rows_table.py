"""A plan as a plain table: whoever can add and multiply can run it."""

import csv
import json

import numpy as np
import pytest

from duhamel.diffusion.plans.registry import SAMPLERS, build
from duhamel.diffusion.schedule import EDM, VP
from duhamel.rows.canonical import affine
from duhamel.rows.host import march
from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.plan import Plan, Segment
from duhamel.rows.table import table, write_table


def run(content, model, x, draw):
    """Knows nothing but the table."""
    values = {"x": x} | {name: draw(name) for name in content["columns"] if name.startswith("z[")}
    for k, (t, row) in enumerate(zip(content["t"], content["rows"], strict=True), start=1):
        y = sum(c * values[name] for c, name in zip(row, content["columns"], strict=True) if c != 0)
        if k < len(content["rows"]):
            values[f"F{k}"] = model(t, y)
    return y


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in ("consistency",)])
def test_a_table_does_what_its_plan_does(name, tmp_path):
    """With a nonlinear model, after the way through a file, and rewritten for a model that returns velocity."""
    schedule, x = VP(), np.linspace(-2.0, 2.0, 5)
    plan = build(name, schedule, 4, terminal=False)
    z = {f"z[{n},{d}]": np.sin(1 + np.arange(5) + 3 * n + d) for n in range(plan.steps) for d in range(3)}

    def model(prediction):
        def predict(t, y):
            u, w = affine(prediction, schedule.alpha(t), schedule.sigma(t))
            return u * y + w * np.tanh(y * (1 + t))

        return predict

    *_, last = march(plan, model(plan.prediction), {"x": x}, draw=lambda n, d: z[f"z[{n},{d}]"])
    for prediction in (None, "velocity"):
        path = write_table(plan, tmp_path / "plan.json", prediction, schedule.alpha, schedule.sigma)
        content = json.loads(path.read_text())
        end = run(content, model(content["prediction"]), x, lambda name: z[name])
        np.testing.assert_allclose(end, last["x"], rtol=1e-9, atol=1e-9)


def test_csv_holds_the_same_numbers(tmp_path):
    schedule = EDM()
    plan = build("unipc", schedule, 5)
    content = table(plan, "data", schedule.alpha, schedule.sigma)
    with write_table(plan, tmp_path / "plan.csv", "data", schedule.alpha, schedule.sigma).open() as file:
        head, *lines = csv.reader(file)
    assert head == ["row", "t", "alpha", "sigma", *content["columns"]]
    assert [line[0] for line in lines] == [*(f"call {k}" for k in range(1, 6)), "end"]
    np.testing.assert_array_equal([[float(c) for c in line[4:]] for line in lines], content["rows"])
    np.testing.assert_array_equal([float(line[3]) for line in lines], schedule.sigma(np.array(content["t"])))


def test_what_no_plain_table_can_hold_is_refused(tmp_path):
    one = Pattern((Row("y", ("x",), call="F"), Row("x_next", ("F", "x"))), (("x", "x_next"),))
    modes = Plan("modes", (Segment(one, (np.ones(1), np.ones((1, 3)), np.ones(1)), [[0.0]]),), [0.0, 1.0])
    with pytest.raises(ValueError, match="coefficient for each element"):
        table(modes)
    two = Pattern((Row("y", ("x",), call="F", model=1), Row("x_next", ("F", "x"))), (("x", "x_next"),))
    with pytest.raises(ValueError, match="several models"):
        table(Plan("two", (Segment(two, (np.ones(1),) * 3, [[0.0]]),), [0.0, 1.0]))
    plan = build("ddim", VP(), 3)
    with pytest.raises(ValueError, match=r"\.json or \.csv"):
        write_table(plan, tmp_path / "plan.txt")
    with pytest.raises(OSError, match="choose a folder"):
        write_table(plan, tmp_path / "absent" / "plan.csv")
