"""The 25 problems of DETEST reach their known ends at the accuracy asked for, and what that takes is printed (`-s`)."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import duhamel as dh
from duhamel.bench.detest import outcomes
from duhamel.problems.detest import DETEST

# Error at t = 20 over the tolerance: errors along an orbit add up over three revolutions; D5 passes close to the sun
# (elsewhere, orbits); measured: at most (16, 220), (3, 5), (11, 60).
FACTORS = {"Tsit5": (30, 400), "Dopri8": (8, 20), "Verner8": (25, 150)}
SIZES = sorted({problem.size for problem in DETEST.values()})


def test_there_are_five_problems_of_each_class():
    assert [name[0] for name in DETEST] == list("AAAAABBBBBCCCCCDDDDDEEEEE")


@pytest.mark.parametrize("name", DETEST)
def test_the_known_ends_agree_with_scipy(name):
    """Closed forms and extrapolated values against DOP853 at 1e-13."""
    problem = DETEST[name]
    found = solve_ivp(problem.host, (0.0, 20.0), problem.x0, method="DOP853", rtol=1e-13, atol=1e-15)
    assert problem.error(found.y[:, -1]) < 1e-11


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("method", FACTORS)
def test_every_problem_ends_where_it_should(method, size):
    elsewhere, orbits = FACTORS[method]
    found = outcomes(getattr(dh, method)(), size, (1e-6, 1e-9))
    for row in found:
        print(f"{method:8} {row.name} {row.rtol:g}: error {row.error:.1e}, {row.nfe} evaluations, {row.accepted} steps")
        assert row.error <= (orbits if row.name[0] == "D" else elsewhere) * row.rtol, row
        assert row.nfe > row.accepted > 2
    assert len(found) == 2 * sum(problem.size == size for problem in DETEST.values())


def test_a_wrong_end_is_noticed():
    """The check can fail: one part in a million in one component is more than 1e-9 allows."""
    problem = DETEST["C5"]
    moved = problem.end.copy()
    moved[17] += 1e-6
    assert problem.error(problem.end) == 0.0
    assert problem.error(moved) == pytest.approx(1e-6, rel=1e-6)
    assert np.isnan(problem.error(np.full(30, np.nan)))
