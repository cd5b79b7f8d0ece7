"""Signatures and log-signatures against closed forms, iterated integrals, nilpotent matrices and published values."""

from itertools import pairwise, permutations
from math import factorial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from duhamel.core.path import HermitePath, LinearPath, NaturalCubicPath
from duhamel.core.signature import (
    bracket,
    factors,
    logsignature,
    lyndon_words,
    signature,
    window_logsignatures,
    words,
)
from duhamel.testing import gradient_error


def walk(points=9, channels=3, seed=0):
    return np.random.default_rng(seed).normal(size=(points, channels))


def named(x, depth, log=False):
    values = logsignature(x, depth) if log else signature(x, depth)
    return dict(zip((lyndon_words if log else words)(x.shape[-1], depth), np.asarray(values), strict=True))


def iterated(x, depth):
    """The definition on a piecewise linear path, word by word: S_w over [0, t] as a polynomial in t on each piece."""
    pieces, d = len(x) - 1, x.shape[1]
    delta = np.diff(x, axis=0)
    one = [np.poly1d([1.0])] * pieces
    found, last = {}, {(): one}
    for _ in range(depth):
        new = {}
        for w, integrand in last.items():
            for letter in range(d):
                total, path = 0.0, []
                for piece in range(pieces):
                    p = (integrand[piece] * delta[piece, letter]).integ() + total
                    path.append(p)
                    total = p(1.0)
                new[(*w, letter)] = path
                found[(*w, letter)] = total
        last = new
    return found


def nilpotent(channels, depth, seed=0):
    """Strictly upper triangular matrices, for which every product of more than `depth` factors is zero."""
    rng = np.random.default_rng(seed)
    return np.triu(rng.normal(size=(channels, depth + 1, depth + 1)), 1)


def commutators(A, w):
    if len(w) == 1:
        return A[w[0]]
    u, v = (commutators(A, part) for part in factors(w))
    return u @ v - v @ u


def nilpotent_log(P):
    N, out, power = P - np.eye(len(P)), 0.0, np.eye(len(P))
    for n in range(1, len(P)):
        power = power @ N
        out = out + (-1) ** (n + 1) / n * power
    return out


@pytest.mark.parametrize(("channels", "depth"), [(1, 5), (2, 5), (3, 4), (4, 3), (7, 2)])
def test_the_definition(channels, depth):
    x = walk(5, channels)
    exact = iterated(x, depth)
    for w, value in named(x, depth).items():
        np.testing.assert_allclose(value, exact[w], atol=1e-12, err_msg=str(w))


@pytest.mark.parametrize(("channels", "depth"), [(1, 4), (2, 6), (3, 5), (4, 4), (6, 3)])
def test_lyndon_coefficients_give_the_logarithm_in_every_nilpotent_group(channels, depth):
    """exp(A dx_1) exp(A dx_2) ... is a matrix; its logarithm must be the sum of the coefficients times the brackets.

    The coefficients of Lyndon words in the expanded logarithm, without the linear map, fail here from depth 3 on.
    """
    x = walk(6, channels)
    A = nilpotent(channels, depth)
    product = np.eye(depth + 1)
    for step in np.diff(x, axis=0):
        product = product @ expm(np.tensordot(step, A, axes=1))
    exact = nilpotent_log(product)
    found = sum(c * commutators(A, w) for w, c in named(x, depth, log=True).items())
    np.testing.assert_allclose(found, exact, atol=1e-11 * np.abs(exact).max())


def test_two_lines_are_the_baker_campbell_hausdorff_series():
    """log(e^X e^Y) = X + Y + [X,Y]/2 + [X,[X,Y]]/12 + [[X,Y],Y]/12 + [X,[[X,Y],Y]]/24 + ..., published to order 5."""
    x = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    series = {
        "0": 1,
        "1": 1,
        "[0,1]": 1 / 2,
        "[0,[0,1]]": 1 / 12,
        "[[0,1],1]": 1 / 12,
        "[0,[0,[0,1]]]": 0,
        "[0,[[0,1],1]]": 1 / 24,
        "[[[0,1],1],1]": 0,
        "[0,[0,[0,[0,1]]]]": -1 / 720,
        "[0,[0,[[0,1],1]]]": 1 / 180,
        "[[0,[0,1]],[0,1]]": 1 / 360,
        "[0,[[[0,1],1],1]]": 1 / 180,
        "[[0,1],[[0,1],1]]": 1 / 120,
        "[[[[0,1],1],1],1]": -1 / 720,
    }
    for w, value in named(x, 5, log=True).items():
        np.testing.assert_allclose(value, series[bracket(w)], atol=1e-15, err_msg=bracket(w))


def test_words_in_order():
    assert words(2, 2) == [(0,), (1,), (0, 0), (0, 1), (1, 0), (1, 1)]
    assert lyndon_words(2, 4) == [(0,), (1,), (0, 1), (0, 0, 1), (0, 1, 1), (0, 0, 0, 1), (0, 0, 1, 1), (0, 1, 1, 1)]
    assert bracket((0, 0, 1, 1)) == "[0,[[0,1],1]]" and bracket((0, 1, 0, 2)) == "[[0,1],[0,2]]"
    for channels, depth in ((2, 8), (3, 5), (5, 3)):  # Witt's formula
        mobius = {1: 1, 2: -1, 3: -1, 4: 0, 5: -1, 6: 1, 7: -1, 8: 0}
        for k in range(1, depth + 1):
            count = sum(mobius[n] * channels ** (k // n) for n in range(1, k + 1) if k % n == 0) // k
            assert sum(len(w) == k for w in lyndon_words(channels, depth)) == count


def test_a_line_has_the_exponential():
    x = np.array([[0.3, 1.0, -1.0], [1.0, 0.5, 2.0]])
    step = x[1] - x[0]
    for w, value in named(x, 5).items():
        np.testing.assert_allclose(value, np.prod(step[list(w)]) / factorial(len(w)), rtol=1e-13)
    log = np.asarray(logsignature(x, 5))
    np.testing.assert_allclose(log[:3], step, rtol=1e-14)
    np.testing.assert_allclose(log[3:], 0, atol=1e-14)


def test_area_of_the_circle():
    """The level-2 term is the area enclosed: pi for the unit circle."""
    t = np.linspace(0, 2 * np.pi, 4001)
    c = named(np.stack([np.cos(t), np.sin(t)], axis=1), 2, log=True)
    np.testing.assert_allclose(c[0, 1], np.pi, rtol=1e-6)
    np.testing.assert_allclose([c[0,], c[1,]], 0, atol=1e-12)


def test_chen_reversal_and_shuffles():
    x, depth = walk(12), 4
    S = named(x, depth)
    back = named(x[::-1], depth)
    first, second = named(x[:6], depth), named(x[5:], depth)
    for w in words(3, depth):
        joined = first[w] + second[w] + sum(first[w[:i]] * second[w[i:]] for i in range(1, len(w)))
        np.testing.assert_allclose(S[w], joined, atol=1e-12)
        np.testing.assert_allclose(back[w], (-1) ** len(w) * S[w[::-1]], atol=1e-11)
    for u, v in (((0,), (1, 2)), ((0, 1), (2, 2)), ((1,), (1, 1, 0))):
        total = 0.0
        for places in permutations(range(len(u) + len(v)), len(u)):
            if list(places) == sorted(places):
                rest, w = iter(v), [None] * (len(u) + len(v))
                for letter, place in zip(u, places, strict=True):
                    w[place] = letter
                total += S[tuple(next(rest) if a is None else a for a in w)]
        np.testing.assert_allclose(S[u] * S[v], total, atol=1e-11)


@pytest.mark.parametrize("kind", [HermitePath, NaturalCubicPath, lambda t, x: LinearPath(t, x, smooth=True)])
def test_cubic_pieces_are_integrated_exactly(kind):
    """Held against the same curve cut into many lines, whose error falls by the square: extrapolated twice."""
    ts = np.array([0.0, 0.4, 1.0, 1.3])
    path = kind(ts, walk(4, 2))

    def lines(n):
        return np.asarray(signature(path(np.linspace(0, 1.3, 13 * n + 1)), 3))

    a, b, c = lines(32), lines(64), lines(128)
    fine, finer = (4 * b - a) / 3, (4 * c - b) / 3
    np.testing.assert_allclose(signature(path, 3), (16 * finer - fine) / 15, atol=1e-9)


def test_a_smooth_line_is_the_line():
    ts, x = np.arange(6.0), walk(6)
    for f in (signature, logsignature):
        np.testing.assert_allclose(f(LinearPath(ts, x, smooth=True), 4), f(x, 4), atol=1e-12)


@pytest.mark.parametrize("f", [signature, logsignature])
def test_stream_holds_every_prefix(f):
    x = walk(7)
    stream = f(x, 3, stream=True)
    assert stream.shape[0] == 6
    for i in range(6):
        np.testing.assert_allclose(stream[i], f(x[: i + 2], 3), atol=1e-12)


@pytest.mark.parametrize("kind", [LinearPath, HermitePath])
def test_windows(kind):
    """Bounds at knots, between knots, several in one piece; the product of the windows is the whole."""
    ts, x = np.array([0.0, 0.5, 0.9, 1.7, 2.0, 2.6]), walk(6)
    path = kind(ts, x)
    bounds = np.array([0.5, 0.6, 0.8, 1.8])
    found = window_logsignatures(path, jnp.asarray(bounds), 2 if kind is HermitePath else 3)
    for i, (a, b) in enumerate(pairwise(bounds)):
        inner = np.concatenate([[a], ts[(ts > a) & (ts < b)], [b]])
        piece, _ = path.refined(jnp.asarray(inner))
        keep = (np.asarray(piece.knots[:-1]) >= a) & (np.asarray(piece.knots[1:]) <= b)
        cut = type(path)(
            jnp.concatenate([piece.knots[:-1][keep], piece.knots[1:][keep][-1:]]), piece.coefficients[keep]
        )
        np.testing.assert_allclose(found[i], logsignature(cut, 3)[: found.shape[1]], atol=1e-12)
    whole = window_logsignatures(path, jnp.asarray([0.0, 2.6]), 3)[0]
    np.testing.assert_allclose(whole, logsignature(path, 3), atol=1e-12)


def test_batches():
    x = np.stack([walk(seed=s) for s in range(5)])
    found = jax.jit(jax.vmap(lambda x: logsignature(x, 4)))(x)
    for i in range(5):
        np.testing.assert_allclose(found[i], logsignature(x[i], 4), atol=1e-12)


@pytest.mark.parametrize("f", [signature, logsignature])
def test_gradient(f):
    x = walk(6, 2)
    weights = np.random.default_rng(1).normal(size=np.shape(f(x, 4)))
    assert gradient_error(lambda x: jnp.sum(weights * f(x, 4)), x) < 1e-8


def test_gradient_of_windows_of_a_path():
    ts, x = np.array([0.0, 0.5, 0.9, 1.7, 2.0]), walk(5, 2)
    bounds = jnp.asarray([0.1, 0.9, 1.8])
    loss = jax.jit(lambda ts, x, b: jnp.sum(jnp.sin(window_logsignatures(HermitePath(ts, x), b, 2))))
    assert gradient_error(loss, ts, x, jnp.asarray([0.1, 0.95, 1.8])) < 1e-7
    assert np.all(np.isfinite(jax.grad(loss)(ts, x, bounds)))  # a bound on a knot


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision(dtype):
    x = walk(50, 3)
    for f in (signature, logsignature):
        found = f(x.astype(dtype), 4)
        assert found.dtype == dtype
        exact = f(x, 4)
        np.testing.assert_allclose(found, exact, atol=(1e-12 if dtype == np.float64 else 2e-5) * np.abs(exact).max())


def test_bad_input():
    with pytest.raises(ValueError, match=r"points of shape \(points, channels\), at least two, got \(1, 3\)"):
        signature(walk(1), 2)
    with pytest.raises(ValueError, match="write batches with jax"):
        logsignature(np.zeros((2, 5, 3)), 2)
    with pytest.raises(ValueError, match="at least one channel and depth 1, got 3 and 0"):
        logsignature(walk(), 0)
    with pytest.raises(ValueError, match="at least one channel"):
        lyndon_words(0, 2)
