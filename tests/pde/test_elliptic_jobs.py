"""`duhamel solve` of steady equations: iterations, errors and orders against closed forms."""

import pytest

from duhamel.jobs.solve import Wish, solve_equation
from duhamel.jobs.steady import STEADY, prepare


def value(chapter, name):
    (record,) = [r for r in chapter.records if r.name.startswith(name)]
    return record.value


@pytest.mark.parametrize(
    ("name", "points", "most"), [("poisson", 24, 2e-3), ("darcy", 24, 3e-3), ("helmholtz", 128, 0.02)]
)
def test_a_steady_equation_is_held_against_its_closed_form(name, points, most, tmp_path):
    method = {"darcy": "band", "helmholtz": "fourier"}.get(name, "diagonalise")
    chapter = solve_equation(name, Wish(points=points, method=method), root=tmp_path)
    assert value(chapter, "largest error") < most
    assert 1.7 < value(chapter, "order between") < 2.4
    assert (tmp_path / f"solve-{name}" / "figures" / f"{name}.svg").exists()


def test_several_solvers_are_compared(tmp_path, capsys):
    chapter = solve_equation("poisson", Wish(points=16), root=tmp_path)
    iterations = {row[0]: row[1] for row in chapter.tables[0].rows}
    assert iterations["band"] == 0 < iterations["pcg-multigrid"] <= 12 < iterations["pcg"]
    assert "pcg-multigrid" in capsys.readouterr().out


def test_elasticity_and_a_melting_front(tmp_path):
    pytest.importorskip("skfem")
    elastic = solve_equation("elasticity", Wish(points=12), root=tmp_path)
    assert value(elastic, "error, L2") < 1e-5 and 2.8 < value(elastic, "order between") < 3.2
    front = solve_equation("stefan", Wish(points=24, t1=0.5), root=tmp_path)
    assert value(front, "error of the front") < 1e-4


@pytest.mark.parametrize("name", sorted(STEADY))
def test_every_steady_equation_can_be_asked_for(name):
    assert callable(prepare(name, Wish(points=16)))


@pytest.mark.parametrize(
    ("name", "wish", "sentence"),
    [
        ("poisson", Wish(method="multigird"), "called 'multigird'; did you mean multigrid"),
        ("poisson", Wish(method="fourier"), "constant|Robin sides"),
        ("helmholtz", Wish(method="pcg"), "needs c >= 0"),
        ("darcy", Wish(t1=1.0), "knows no time"),
        ("darcy", Wish(points=4), "at least 8"),
        ("stefan", Wish(t1=0.05), "a later time"),
        ("elasticity", Wish(method="band"), "has one method"),
    ],
    ids=str,
)
def test_a_wish_for_a_steady_equation_is_checked(name, wish, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        solve_equation(name, wish, root=tmp_path)
    assert list(tmp_path.iterdir()) == []
