"""The numbers of splitting and additive methods satisfy every order condition they claim, and no more."""

from functools import cache
from math import factorial, prod

import numpy as np
import pytest

from duhamel.methods.tableaux import imex, kencarp, symplectic

SPLITTINGS = {
    t.name: t
    for t in (
        symplectic.SEMI_IMPLICIT_EULER,
        symplectic.VELOCITY_VERLET,
        symplectic.POSITION_VERLET,
        symplectic.YOSHIDA4,
        symplectic.YOSHIDA6,
        symplectic.YOSHIDA8,
        symplectic.MCLACHLAN4,
        symplectic.MCLACHLAN8,
    )
}
ADDITIVE = {
    t.name: t
    for t in (
        imex.ARS222,
        imex.ARS232,
        imex.ARS343,
        imex.ARS443,
        kencarp.KENCARP3,
        kencarp.KENCARP4,
        kencarp.KENCARP5,
    )
}
MULTISTEP = {t.name: t for t in (imex.SBDF2, imex.SBDF3, imex.SBDF4)}


def words(moves, highest):
    """Coefficients of e^(w_1 X_1) e^(w_2 X_2) ... on the words of each length, read as binary numbers."""
    series = [np.zeros(2**n) for n in range(highest + 1)]
    series[0][0] = 1.0
    for letter, weight in moves:
        longer = [np.zeros(2**n) for n in range(highest + 1)]
        for n in range(highest + 1):
            for k in range(n + 1):
                tail = 2**k - 1 if letter == "p" else 0
                longer[n][np.arange(2 ** (n - k)) * 2**k + tail] += series[n - k] * weight**k / factorial(k)
        series = longer
    return series


@pytest.mark.parametrize("name", SPLITTINGS)
def test_a_splitting_is_the_exponential_of_the_sum_to_its_order(name):
    """e^(h(A + B)) has 1/n! on every word of length n: the order conditions for two flows that do not commute."""
    tableau = SPLITTINGS[name]
    misses = [np.abs(c - 1 / factorial(n)).max() for n, c in enumerate(words(tableau.moves, tableau.order + 1))]
    assert max(misses[: tableau.order + 1]) < 5e-15
    assert misses[tableau.order + 1] > 1e-6


@pytest.mark.parametrize("name", [name for name in SPLITTINGS if name != "semi-implicit Euler"])
def test_symmetric_splittings_are_symmetric(name):
    assert SPLITTINGS[name].symmetric


# Trees whose nodes are explicit (0) or implicit (1): (colour, children).


@cache
def trees(n):
    return sorted({(colour, kids) for kids in forests(n - 1) for colour in (0, 1)})


@cache
def forests(n):
    if n == 0:
        return [()]
    return sorted(
        {tuple(sorted((tree, *rest))) for k in range(1, n + 1) for tree in trees(k) for rest in forests(n - k)}
    )


@cache
def density(tree):
    size = nodes(tree)
    return size * prod(density(kid) for kid in tree[1])


@cache
def nodes(tree):
    return 1 + sum(nodes(kid) for kid in tree[1])


def weight(tree, A):
    return np.prod([np.ones(len(A[0]))] + [A[kid[0]] @ weight(kid, A) for kid in tree[1]], axis=0)


def matrices(tableau):
    s = tableau.stages
    A = np.zeros((2, s, s))
    for i in range(s):
        A[0, i, :i] = tableau.explicit[i]
        A[1, i, : i + 1] = tableau.implicit[i]
    return A


def misses(tableau, b, order, theta=1.0):
    """Largest residual of the conditions of exactly this order, over all trees with two colours."""
    A = matrices(tableau)
    return max(abs(b[tree[0]] @ weight(tree, A) - theta**order / density(tree)) for tree in trees(order))


@pytest.mark.parametrize("name", ADDITIVE)
def test_additive_order_conditions(name):
    tableau = ADDITIVE[name]
    b = np.array([tableau.b_explicit, tableau.b_implicit])
    assert max(misses(tableau, b, p) for p in range(1, tableau.order + 1)) < 1e-14
    assert misses(tableau, b, tableau.order + 1) > 1e-4
    if tableau.error is not None:
        embedded = b - np.array(tableau.error)
        assert max(misses(tableau, embedded, p) for p in range(1, tableau.error_order + 1)) < 1e-14
        assert misses(tableau, embedded, tableau.error_order + 1) > 1e-4


@pytest.mark.parametrize("name", ADDITIVE)
def test_both_parts_share_their_nodes(name):
    tableau = ADDITIVE[name]
    np.testing.assert_allclose(matrices(tableau).sum(axis=2), np.array([tableau.c] * 2), atol=5e-15)


@pytest.mark.parametrize("name", [name for name, t in ADDITIVE.items() if t.dense is not None])
@pytest.mark.parametrize("theta", [0.3, 0.8, 1.0])
def test_additive_dense_output_conditions(name, theta):
    tableau = ADDITIVE[name]
    polynomials = np.array(tableau.dense)
    b = polynomials @ theta ** np.arange(1, polynomials.shape[1] + 1)
    assert max(misses(tableau, [b, b], p, theta) for p in range(1, tableau.dense_order + 1)) < 5e-15
    if theta == 1.0:
        np.testing.assert_allclose(b, tableau.b_explicit, atol=5e-15)


@pytest.mark.parametrize("name", ADDITIVE)
def test_the_implicit_part_is_l_stable(name):
    """R(z) = 1 + z b^T (1 - z A)^-1 1 vanishes at infinity and stays within the unit disc on the imaginary axis."""
    tableau = ADDITIVE[name]
    A, ones = matrices(tableau)[1], np.ones(tableau.stages)

    def R(z):
        return abs(1 + z * np.array(tableau.b_implicit) @ np.linalg.solve(np.eye(tableau.stages) - z * A, ones))

    assert R(-1e8) < 1e-6
    assert max(R(1j * y) for y in np.logspace(-2, 4, 200)) < 1 + 1e-12


@pytest.mark.parametrize("name", MULTISTEP)
def test_multistep_formulas_are_exact_on_polynomials(name):
    """With x = t^m, h = 1, at t = 1: f_E and f_I are each x', alone, and the formula holds for m up to its order."""
    tableau = MULTISTEP[name]
    past = -np.arange(tableau.order, dtype=float)
    for m in range(1, tableau.order + 1):
        value, slope = past**m, m * past ** (m - 1)
        history = np.dot(tableau.alpha, value)
        assert abs(history + np.dot(tableau.beta, slope) - 1.0) < 1e-13
        assert abs(history + tableau.gamma * m - 1.0) < 1e-13
    assert abs(sum(tableau.alpha) - 1.0) < 1e-14
    m = tableau.order + 1
    assert abs(np.dot(tableau.alpha, past**m) + tableau.gamma * m - 1.0) > 1e-2
