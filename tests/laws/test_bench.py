"""The benches' arithmetic: ratios at equal error, sides that are left out, and one small diagram from end to end."""

import json

import numpy as np
import pytest

from duhamel.bench import peers, work_precision
from duhamel.bench.work_precision import Point, compare, frontier, seconds_at
from duhamel.problems.detest import DETEST


def series(package, method, errors, seconds):
    return [
        Point(problem="P", package=package, method=method, rtol=e, error=e, seconds=s, nfe=None)
        for e, s in zip(errors, seconds, strict=True)
    ]


ERRORS = 10.0 ** -np.arange(2.0, 9.0)
WORK = ERRORS**-0.2


def ratios(*groups):
    records = compare("P", [point for group in groups for point in group])
    return {record["name"]: record for record in records if record.get("peer")}


def test_a_ratio_is_taken_at_equal_error_not_at_equal_tolerance():
    """Ours makes ten times the peer's error at each tolerance: at equal error the peer is 10^0.2 times quicker."""
    found = ratios(series("duhamel", "A", 10 * ERRORS, WORK), series("scipy", "B", ERRORS, WORK))["P: scipy B"]
    assert found["ratio"] == pytest.approx(10**-0.2, rel=1e-9)
    assert found["lowest"] == pytest.approx(found["highest"], rel=1e-9)
    assert (found["error"], found["error_to"]) == pytest.approx((1e-2, 1e-7))


def test_ours_is_the_quickest_of_our_methods_at_each_error():
    slow_then_quick = np.where(ERRORS > 1e-5, 4 * WORK, WORK)
    quick_then_slow = np.where(ERRORS > 1e-5, WORK, 4 * WORK)
    found = ratios(
        series("duhamel", "A", ERRORS, slow_then_quick),
        series("duhamel", "B", ERRORS, quick_then_slow),
        series("scipy", "C", ERRORS, 2 * WORK),
    )["P: scipy C"]
    assert 1.7 < found["ratio"] <= 2.0 + 1e-9


def test_an_error_that_ours_does_not_reach_is_not_counted():
    found = ratios(series("duhamel", "A", ERRORS[:3], WORK[:3]), series("scipy", "B", ERRORS, 3 * WORK))["P: scipy B"]
    assert found["error_to"] == pytest.approx(1e-4)
    assert found["ratio"] == pytest.approx(3.0)
    never = ratios(series("duhamel", "A", [1e-2], [1.0]), series("scipy", "B", [1e-5], [1.0]))["P: scipy B"]
    assert never["ratio"] is None


def test_failed_solves_and_points_beaten_in_both_are_left_out():
    points = series("scipy", "B", [1e-2, 1e-3, 1e-4], [1.0, 5.0, 2.0])
    points[1]["error"] = None
    errors, seconds = frontier(points)
    assert errors.tolist() == [-4.0, -2.0] and seconds == pytest.approx([np.log10(2.0), 0.0])
    assert seconds_at(points, np.array([-5.0, -3.0, 0.0])) == pytest.approx([np.inf, 0.5 * np.log10(2.0), 0.0])


def test_a_diagram_of_two_libraries_from_end_to_end(tmp_path, capsys, monkeypatch):
    """Small: B5 by our Tsit5 and SciPy's DOP853, with its figure, its page and its records."""
    from duhamel.jobs.bench import run_bench

    few = {"duhamel": ("Tsit5",), "scipy": ("DOP853",)}
    monkeypatch.setattr(peers, "NON_STIFF", few)
    monkeypatch.setattr(work_precision, "QUICK", {"problems": ("B5",), "tolerances": (1e-4, 1e-7)})
    monkeypatch.setattr(work_precision, "ROUNDS", 1)
    found = run_bench("work-precision", quick=True, json=tmp_path / "r.json", root=tmp_path)
    assert [record.name for record in found] == ["B5: duhamel Tsit5", "B5: scipy DOP853"]
    stored = json.loads((tmp_path / "r.json").read_text())
    points = stored[0]["points"]
    assert [p["rtol"] for p in points] == [1e-4, 1e-7]
    assert all(p["error"] < 200 * p["rtol"] and p["seconds"] > 0 and p["nfe"] > 50 for p in points)
    folder = tmp_path / "bench-work-precision"
    assert (folder / "figures" / "work-precision-B5.svg").exists()
    assert "B5: scipy DOP853" in (folder / "index.html").read_text()
    assert "DOP853" in capsys.readouterr().out


def test_a_side_that_cannot_take_a_problem_says_so(capsys):
    def refuses(problem):
        raise ValueError("no such thing\nmore")

    side = peers.Side("scipy", "Nothing", refuses, False)
    assert work_precision.measure(DETEST["A1"], [side], (1e-3,), lambda text: None) == []
    assert "scipy Nothing is left out (ValueError: no such thing)" in capsys.readouterr().out
