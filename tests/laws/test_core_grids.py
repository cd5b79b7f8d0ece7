"""Quadrature is exact where it promises to be; grids end where they were told to; statuses say what to do."""

import numpy as np
import pytest

from duhamel.core import grid
from duhamel.core.quadrature import gauss_legendre, lagrange, lagrange_integrals
from duhamel.core.status import Status


@pytest.mark.parametrize("n", range(1, 12))
def test_gauss_integrates_degree_2n_minus_1_and_no_more(n: int):
    s, w = gauss_legendre(n, -1.0, 2.0)
    for p in range(2 * n):
        exact = (2.0 ** (p + 1) - (-1.0) ** (p + 1)) / (p + 1)
        assert np.isclose(w @ s**p, exact, rtol=1e-13, atol=1e-13)
    beyond = (2.0 ** (2 * n + 1) + 1) / (2 * n + 1)
    assert abs(w @ s ** (2 * n) / beyond - 1) > 1e-9


@pytest.mark.parametrize("nodes", [[0.3], [0.0, 1.0], [3.0, -1.0, 0.5, 7.0], [1000.0, 1000.1, 1000.3, 1000.2, 1000.15]])
def test_lagrange_reproduces_polynomials(nodes: list[float]):
    nodes, x = np.array(nodes), np.linspace(min(nodes), max(nodes), 7)
    assert np.allclose(lagrange(nodes, nodes), np.eye(len(nodes)), atol=1e-13)
    for p in range(len(nodes)):
        f = lambda s, p=p: (s - nodes.mean()) ** p  # noqa: E731
        assert np.allclose(f(nodes) @ lagrange(nodes, x), f(x), rtol=1e-11, atol=1e-12)


def test_lagrange_integrals_are_adams_bashforth():
    """Weights of the third-order Adams-Bashforth method: 23/12, -16/12, 5/12."""
    assert np.allclose(lagrange_integrals([0.0, -1.0, -2.0], 0.0, 1.0), np.array([23, -16, 5]) / 12, rtol=1e-14)
    # far from zero and with tiny steps the digits survive, because nodes are shifted and scaled first
    h = 2.0**-30
    nodes = 1.0 + h * np.array([0, -1, -2])
    assert np.allclose(lagrange_integrals(nodes, 1.0, 1.0 + h) / h, np.array([23, -16, 5]) / 12, rtol=1e-12)


def test_lagrange_integrals_with_a_weight():
    """int_0^1 e^(-3(1-s)) s ds = (1 - phi_1)/3 with phi_1 = (1 - e^-3)/3; backwards it changes sign."""
    weight = lambda s: np.exp(-3 * (1 - s))  # noqa: E731
    exact = (1 - (1 - np.exp(-3)) / 3) / 3
    assert np.isclose(lagrange_integrals([0.0, 1.0], 0.0, 1.0, weight)[1], exact, rtol=1e-14)
    assert np.isclose(lagrange_integrals([0.0, 1.0], 1.0, 0.0, weight)[1], -exact, rtol=1e-14)
    assert np.iscomplexobj(lagrange_integrals([0.0, 1.0], 0.0, 1.0, lambda s: np.exp(1j * s)))


def test_repeated_nodes():
    with pytest.raises(ValueError, match="distinct"):
        lagrange([0.0, 1.0, 1.0], 0.5)
    with pytest.raises(ValueError, match="at least one"):
        gauss_legendre(0)


@pytest.mark.parametrize(
    "ts",
    [grid.uniform(2.0, -1.0, 7), grid.uniform(-1.0, 2.0, 7), grid.quadratic(1.0, 0.0, 7), grid.karras(80.0, 0.002, 7)],
)
def test_grids_count_steps_and_end_exactly(ts: np.ndarray):
    assert ts.shape == (8,) and ts.dtype == np.float64
    assert np.array_equal(grid.check_grid(ts), ts)
    assert (ts[0], ts[-1]) in [(2.0, -1.0), (-1.0, 2.0), (1.0, 0.0), (80.0, 0.002)]


def test_karras_is_the_formula():
    i = np.arange(18) / 17
    published = (80 ** (1 / 7) + i * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    assert np.allclose(grid.karras(80.0, 0.002, 17), published, rtol=1e-13)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: grid.uniform(0, 1, 0), "at least one step"),
        (lambda: grid.uniform(1, 1, 3), "two different"),
        (lambda: grid.quadratic(-1, 1, 3), "uniform"),
        (lambda: grid.check_grid([0.0]), "at least two"),
        (lambda: grid.check_grid([0.0, np.nan, 1.0]), r"ts\[1\] is not finite"),
        (lambda: grid.check_grid([0.0, 1.0, 1.0]), r"ts\[1\] = 1 is followed by ts\[2\] = 1"),
        (lambda: grid.check_grid([0.0, 2.0, 1.0]), "all rise or all fall"),
        (lambda: grid.check_grid([0.0, 1.0, 0.0], "save"), r"save\[0\]"),
    ],
)
def test_bad_grids_say_where(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()


def test_every_status_has_a_sentence():
    assert Status.success == 0 and Status.success.ok and not Status.nonfinite.ok
    for status in Status:
        assert status.message.endswith(".") and len(status.message) > 30
