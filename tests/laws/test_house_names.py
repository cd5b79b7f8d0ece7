"""Every public room says what is in it, and has what it says."""

import importlib

import pytest

import duhamel

ROOMS = ("core", "methods", "nde", "nn", "papers", "problems", "rows", "solver", "train")


@pytest.mark.parametrize("room", ROOMS)
def test_what_dir_names_is_there(room):
    module = importlib.import_module(f"duhamel.{room}")
    names = [name for name in dir(module) if not name.startswith("_")]
    assert len(names) >= 8
    for name in names if room != "papers" else names[:3]:
        assert getattr(module, name) is not None


def test_what_is_here_under_two_names_is_one_thing():
    assert (
        duhamel.methods.Tsit5 is duhamel.Tsit5 and duhamel.core.ODE is duhamel.ODE and duhamel.solver.PID is duhamel.PID
    )
    assert callable(duhamel.train.fit)


def test_a_name_that_is_not_there_is_told_with_its_neighbours():
    with pytest.raises(AttributeError, match=r"duhamel has no Tsit4; did you mean Tsit5\?"):
        _ = duhamel.Tsit4
    with pytest.raises(AttributeError, match=r"duhamel has no zzzzzz\."):
        _ = duhamel.zzzzzz
    assert not hasattr(duhamel, "_repr_html_")
