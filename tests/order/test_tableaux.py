"""The Runge-Kutta tables against the algebra that defines their order, against SciPy's tables, and on a closed form.

A method has order p when  sum_i b_i Phi_i(tree) = 1 / gamma(tree)  for every rooted tree with at most p nodes, and its
dense output has order q when  sum_i b_i(theta) Phi_i(tree) = theta^|tree| / gamma(tree)  up to q nodes (Hairer,
Norsett and Wanner, Solving ODEs I, theorems II.2.13 and II.6.1).

Tolerance. The tables hold rounded numbers: each is off by at most U = 2^-53 of itself. To first order a weighted tree
then misses by at most U times the sum, over its root and its edges, of |coefficient| times what the rest of the tree
multiplies it with. This bound is computed tree by tree, so there is no constant to tune. Its largest value is 1e-16 for
the low orders, 7e-14 for Tsit5, 5e-12 for Verner8 and 9e-11 for Verner6, whose stages 6 to 8 lie within 0.0275 of each
other and enter with weights of +-176.
"""

from collections.abc import Iterator
from functools import cache
from itertools import combinations_with_replacement
from math import prod

import numpy as np
import pytest
import scipy.integrate

from duhamel.methods.tableaux.dopri import DOPRI5, DOPRI8
from duhamel.methods.tableaux.low import BOSH3, EULER, HEUN, MIDPOINT, RALSTON, RK4
from duhamel.methods.tableaux.ssp import SSPRK2, SSPRK3, SSPRK104, monotone_step
from duhamel.methods.tableaux.tableau import Tableau
from duhamel.methods.tableaux.tsit5 import TSIT5
from duhamel.methods.tableaux.verner import VERNER6, VERNER7, VERNER8, VERNER9

METHODS = (
    EULER, MIDPOINT, HEUN, RALSTON, SSPRK2, BOSH3, SSPRK3, RK4, SSPRK104, DOPRI5, TSIT5, VERNER6, VERNER7,
    VERNER8, DOPRI8, VERNER9,
)  # fmt: skip
PAIRS = tuple(m for m in METHODS if m.error is not None)
DENSE = tuple(m for m in METHODS if m.dense is not None)
THETAS = (0.1, 0.25, 0.5, 2 / 3, 0.9, 1.0)

U = 2.0**-53
REAL = np.longdouble
# How far the published decimals of a dense output miss its conditions, where that exceeds float64 rounding: Tsit5 has
# factors of 16 digits; the interpolant of Verner7, exact to 40 digits below, misses 12 of the 48 conditions with seven
# nodes (no weights could meet them with its extra stages). With h^7 that is no more than rounding where it leads.
PUBLISHED = {("Tsit5", n): 1e-14 for n in range(1, 5)} | {("Verner7", 7): 2.8e-7}

Tree = tuple  # the subtrees at the root, sorted: () is the single node


def each(methods: tuple[Tableau, ...]):
    return pytest.mark.parametrize("method", methods, ids=[m.name for m in methods])


@cache
def partitions(total: int, largest: int) -> tuple[tuple[int, ...], ...]:
    if total == 0:
        return ((),)
    sizes = range(min(total, largest), 0, -1)
    return tuple((n, *rest) for n in sizes for rest in partitions(total - n, n))


@cache
def trees(n: int) -> tuple[Tree, ...]:
    """All rooted trees with n nodes."""
    found = []
    for sizes in partitions(n - 1, n - 1):
        choices: list[Tree] = [()]
        for size in sorted(set(sizes)):
            groups = list(combinations_with_replacement(trees(size), sizes.count(size)))
            choices = [(*chosen, *group) for chosen in choices for group in groups]
        found.extend(choices)
    return tuple(found)


@cache
def nodes(tree: Tree) -> int:
    return 1 + sum(nodes(branch) for branch in tree)


@cache
def gamma(tree: Tree) -> int:
    return nodes(tree) * prod(gamma(branch) for branch in tree)


def test_tree_counts() -> None:
    """1, 1, 2, 4, 9, 20, ...: sequence A000081 of the OEIS, and gamma of the tallest and the bushiest tree."""
    assert [len(trees(n)) for n in range(1, 11)] == [1, 1, 2, 4, 9, 20, 48, 115, 286, 719]
    assert len(set(trees(9))) == 286
    assert gamma((((((),),),),)) == 120 and gamma(((), (), (), ())) == 5


class Weighted:
    """Phi_i(tree) of a method, extra stages included, and how far rounded coefficients can move a weighted tree."""

    def __init__(self, method: Tableau) -> None:
        rows = (*method.a, *method.extra_a)
        self.stages = len(rows)
        self.a = np.zeros((self.stages, self.stages), REAL)
        for i, row in enumerate(rows):
            self.a[i, :i] = row
        self.known: dict[Tree, np.ndarray] = {}

    def phi(self, tree: Tree) -> np.ndarray:
        if tree not in self.known:
            self.known[tree] = prod((self.a @ self.phi(branch) for branch in tree), start=np.ones(self.stages, REAL))
        return self.known[tree]

    def sensitivity(self, tree: Tree, outer: np.ndarray) -> float:
        """Sum over the edges of |a_ij Phi_j(branch)| times the weight that the rest of the tree gives to row i."""
        total = 0.0
        for place, branch in enumerate(tree):
            others = (self.a @ self.phi(other) for k, other in enumerate(tree) if k != place)
            weight = prod(others, start=outer)
            total += float(np.abs(weight) @ (np.abs(self.a) @ np.abs(self.phi(branch))))
            total += self.sensitivity(branch, weight @ self.a)
        return total

    def misses(
        self, weights: np.ndarray, size: np.ndarray, order: int, theta: float = 1.0
    ) -> Iterator[tuple[int, float, float]]:
        """(nodes, residual, its bound) of every tree with at most `order` nodes; weights are rounded by U size."""
        outer, spread = np.zeros(self.stages, REAL), np.zeros(self.stages, REAL)
        outer[: len(weights)], spread[: len(size)] = weights, size
        unit = U + self.stages * np.finfo(REAL).eps  # the second term: rounding of the sums taken here
        for n in range(1, order + 1):
            for tree in trees(n):
                phi = self.phi(tree)
                residual = outer @ phi - REAL(theta) ** n / gamma(tree)
                yield n, abs(float(residual)), float(unit * (spread @ np.abs(phi) + self.sensitivity(tree, outer)))


@cache
def weighted(method: Tableau) -> Weighted:
    return Weighted(method)


def dense_weights(method: Tableau, theta: float) -> tuple[np.ndarray, np.ndarray]:
    """b_i(theta), and the sum of absolute values over its terms."""
    assert method.dense is not None
    p = np.array(method.dense, REAL)
    terms = REAL(theta) * np.polynomial.chebyshev.chebvander([2 * REAL(theta) - 1], p.shape[1] - 1)[0]
    return p @ terms, np.abs(p) @ np.abs(terms)


@each(METHODS)
def test_row_sums_are_the_nodes(method: Tableau) -> None:
    for c, row in zip((*method.c, *method.extra_c), (*method.a, *method.extra_a), strict=True):
        row = np.array(row, REAL)
        assert abs(row.sum() - c) <= 2 * U * (np.abs(row).sum() + abs(c))


@each(METHODS)
def test_order_conditions(method: Tableau) -> None:
    b = np.array(method.b, REAL)
    for n, miss, bound in weighted(method).misses(b, np.abs(b), method.order):
        assert miss <= bound, f"{method.name}: a tree with {n} nodes misses by {miss:.1e}, allowed {bound:.1e}"


@each(METHODS)
def test_order_is_not_understated(method: Tableau) -> None:
    b = np.array(method.b, REAL)
    worst = max(miss for n, miss, _ in weighted(method).misses(b, np.abs(b), method.order + 1) if n > method.order)
    assert worst > 1e-7


@each(PAIRS)
def test_embedded_order_conditions(method: Tableau) -> None:
    assert method.error is not None and method.error_order is not None
    b, error = np.array(method.b, REAL), np.array(method.error, REAL)
    misses = list(weighted(method).misses(b - error, np.abs(b) + np.abs(error), method.error_order + 1))
    for n, miss, bound in misses:
        if n <= method.error_order:
            assert miss <= bound, f"{method.name}: a tree with {n} nodes misses by {miss:.1e}, allowed {bound:.1e}"
    # One order more and it would be no lower-order solution: the estimate must see something.
    assert max(miss for n, miss, _ in misses if n == method.error_order + 1) > 1e-6


@each(PAIRS)
def test_error_weights_sum_to_zero(method: Tableau) -> None:
    error = np.array(method.error, REAL)
    assert abs(error.sum()) <= U * np.abs(error).sum()


@pytest.mark.parametrize("theta", THETAS)
@each(DENSE)
def test_dense_order_conditions(method: Tableau, theta: float) -> None:
    weights, size = dense_weights(method, theta)
    for n, miss, bound in weighted(method).misses(weights, size, method.dense_order, theta):
        bound += PUBLISHED.get((method.name, n), 0.0)
        assert miss <= bound, f"{method.name}: a tree with {n} nodes misses by {miss:.1e}, allowed {bound:.1e}"


@each(DENSE)
def test_dense_order_is_not_understated(method: Tableau) -> None:
    weights, size = dense_weights(method, 0.5)
    misses = weighted(method).misses(weights, size, method.dense_order + 1, 0.5)
    assert max(miss for n, miss, _ in misses if n > method.dense_order) > 1e-8


@each(DENSE)
def test_dense_output_is_continuous_with_its_derivative(method: Tableau) -> None:
    """b(1) = b; the derivative is k_1 at theta = 0 and f(x(t + h)), the stage with c = 1 and a = b, at theta = 1."""
    assert method.dense is not None
    p = np.array(method.dense, REAL)
    slack = PUBLISHED.get((method.name, 1), 0.0)
    b = np.zeros(len(p), REAL)
    b[: len(method.b)] = method.b
    assert np.all(np.abs(p.sum(1) - b) <= U * (np.abs(p).sum(1) + np.abs(b)) + slack)

    # With T_j(1) = 1, T_j(-1) = (-1)^j, T_j'(1) = j^2: b_i'(0) = sum_j p_ij (-1)^j, b_i'(1) = sum_j p_ij (1 + 2 j^2).
    j = np.arange(p.shape[1])
    assert np.all(np.abs(p @ (-1.0) ** j - np.eye(len(p))[0]) <= U * np.abs(p).sum(1) + slack)
    rows = (*method.a, *method.extra_a)
    end = len(method.c) - 1 if method.fsal else len(method.c)
    assert (*method.c, *method.extra_c)[end] == 1.0 and rows[end] == tuple(float(x) for x in b[:end])
    slope = 1 + 2 * j**2
    assert np.all(np.abs(p @ slope - np.eye(len(p))[end]) <= U * (np.abs(p) @ slope) + 10 * slack)


def test_the_tables_that_scipy_has() -> None:
    """SciPy carries Bogacki-Shampine, Dormand-Prince 5 and DOP853; its weights are in the same units."""
    for ours, theirs in ((BOSH3, scipy.integrate.RK23), (DOPRI5, scipy.integrate.RK45)):
        s = theirs.n_stages
        for i in range(s):
            assert ours.a[i] == pytest.approx(theirs.A[i, :i], rel=1e-15)
        assert ours.c[:s] == pytest.approx(theirs.C, rel=1e-15)
        assert ours.b[:s] == pytest.approx(theirs.B, rel=1e-15)
        assert np.abs(np.array(ours.error)) == pytest.approx(np.abs(theirs.E), rel=1e-14)
    for theta in THETAS:
        powers = theta ** np.arange(1, 5)
        assert dense_weights(DOPRI5, theta)[0] == pytest.approx(scipy.integrate.RK45.P @ powers, rel=1e-14, abs=1e-15)
    their8 = scipy.integrate.DOP853
    for i in range(12):
        assert DOPRI8.a[i] == pytest.approx(their8.A[i, :i], rel=1e-15)
    for i in range(3):
        assert DOPRI8.extra_a[i] == pytest.approx(their8.A_EXTRA[i, : 13 + i], rel=1e-15)
    assert np.array(DOPRI8.error) == pytest.approx(their8.E5, rel=1e-15)


def kepler(x: np.ndarray) -> np.ndarray:
    """Planar two-body problem, x = (position, velocity), unit mass and axis."""
    return np.array([x[2], x[3], *(-x[:2] / (x[0] ** 2 + x[1] ** 2) ** 1.5)])


def orbit(t: float, e: float = 0.5) -> np.ndarray:
    """Its closed form from the pericentre: Kepler's equation E - e sin E = t, solved by Newton's method."""
    E = t
    for _ in range(50):
        E -= (E - e * np.sin(E) - t) / (1 - e * np.cos(E))
    q, r = np.sqrt(1 - e * e), 1 - e * np.cos(E)
    return np.array([np.cos(E) - e, q * np.sin(E), -np.sin(E) / r, q * np.cos(E) / r])


def stage_slopes(method: Tableau, x: np.ndarray, h: float, extra: bool = False) -> np.ndarray:
    """k_1, k_2, ... of one step of the two-body problem."""
    k: list[np.ndarray] = []
    for row in (*method.a, *method.extra_a) if extra else method.a:
        k.append(kepler(x + h * (np.array(row) @ np.array(k) if k else 0.0)))
    return np.array(k)


def order_of(errors: list[float], counts: list[int]) -> float:
    return -float(np.polyfit(np.log(counts), np.log(errors), 1)[0])


@each(METHODS)
def test_measured_order(method: Tableau) -> None:
    """Errors between 1e-2 and 1e-12, where neither later terms nor rounding lead.

    From order 5 on the leading error terms of the efficient pairs are so small that the next order shows: that the
    order is no higher is for the conditions by trees to say.
    """
    first = {1: 500, 2: 200, 3: 100, 4: 50, 5: 40, 6: 30, 7: 40, 8: 12, 9: 10}[method.order]
    counts = [first, round(1.25 * first), round(1.5 * first), 2 * first]
    errors = []
    for n in counts:
        x, h, worst = orbit(0.0), 2.0 / n, 0.0
        for j in range(n):
            x = x + h * (np.array(method.b) @ stage_slopes(method, x, h))
            worst = max(worst, float(np.abs(x - orbit((j + 1) * h)).max()))
        errors.append(worst)
    below, above = (0.2, 0.2) if method.order < 5 else (0.2, 0.5) if method.order == 5 else (0.5, 1.2)
    assert -below < order_of(errors, counts) - method.order < above


@each(DENSE)
def test_measured_order_of_dense_output(method: Tableau) -> None:
    """The worst error within one step of size h is O(h^(dense_order + 1))."""
    assert method.dense is not None
    polynomials = np.array(method.dense)
    counts = [4, 5, 6, 8] if method.dense_order > 7 else [8, 10, 12, 16]
    errors = []
    for n in counts:
        x, h, worst = orbit(0.4), 1.0 / n, 0.0
        k = stage_slopes(method, x, h, extra=True)
        for theta in np.linspace(0.1, 1.0, 10):
            weights = theta * np.polynomial.chebyshev.chebval(2 * theta - 1, polynomials.T)
            worst = max(worst, float(np.abs(x + h * weights @ k - orbit(0.4 + theta * h)).max()))
        errors.append(worst)
    assert method.dense_order + 0.5 < order_of(errors, counts) < method.dense_order + 1.6


@pytest.mark.parametrize(("method", "C"), [(EULER, 1), (SSPRK2, 1), (SSPRK3, 1), (SSPRK104, 6), (RK4, 0)])
def test_the_steps_up_to_which_a_method_is_a_convex_combination_of_euler_steps(method, C):
    """Published values; the classical method of order 4 is no such combination."""
    assert monotone_step(method) == pytest.approx(C, abs=1e-9)
