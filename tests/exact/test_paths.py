"""Paths through irregular data, held against SciPy's interpolants and against the definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline, CubicSpline

from duhamel.core.path import HermitePath, LinearPath, NaturalCubicPath, Path, RectilinearPath
from duhamel.testing import gradient_error, traces

KINDS = {
    "linear": LinearPath,
    "smooth": lambda ts, xs: LinearPath(ts, xs, smooth=True),
    "hermite": HermitePath,
    "natural": NaturalCubicPath,
}
NAN = np.nan


def data(n=9, channels=3, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    ts = np.cumsum(0.1 + rng.random(n)) - 1.0
    return ts.astype(dtype), rng.normal(size=(n, channels)).astype(dtype)


def with_gaps(seed=0):
    ts, xs = data(seed=seed)
    xs[3:5, 0] = NAN  # inside
    xs[:2, 1] = NAN  # at the start
    xs[-3:, 1] = NAN  # at the end
    xs[1:, 2] = NAN  # one observation left
    return ts, xs


def backward_slopes(ts, x):
    slope = np.diff(x) / np.diff(ts)
    return np.concatenate([slope[:1], slope])


def truth(kind, ts, x):
    """(value(t), derivative(t)) of one channel that is observed at `ts`."""
    if kind == "natural":
        spline = CubicSpline(ts, x, bc_type="natural")
        return spline, spline.derivative()
    if kind == "hermite":
        spline = CubicHermiteSpline(ts, x, backward_slopes(ts, x))
        return spline, spline.derivative()
    if kind == "smooth":
        spline = CubicHermiteSpline(ts, x, np.zeros_like(x))
        return spline, spline.derivative()
    slope = np.diff(x) / np.diff(ts)
    return lambda t: np.interp(t, ts, x), lambda t: slope[np.clip(np.searchsorted(ts, t, "right") - 1, 0, len(ts) - 2)]


def inner(ts, count=101):
    t = np.linspace(ts[0], ts[-1], count)
    return np.sort(np.concatenate([t, ts]))


@pytest.mark.parametrize("kind", KINDS)
def test_values_and_slopes_are_those_of_scipy(kind):
    ts, xs = data()
    path, t = KINDS[kind](ts, xs), inner(ts)
    for c in range(xs.shape[1]):
        value, slope = truth(kind, ts, xs[:, c])
        np.testing.assert_allclose(path(t)[:, c], value(t), atol=1e-13)
        np.testing.assert_allclose(path.derivative(t)[:, c], slope(t), atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [2, 3, 100])
def test_every_length(kind, n):
    ts, xs = data(n)
    path, t = KINDS[kind](ts, xs), inner(ts)
    value, slope = truth(kind, ts, xs[:, 0])
    np.testing.assert_allclose(path(t)[:, 0], value(t), atol=1e-11)
    np.testing.assert_allclose(path.derivative(t)[:, 0], slope(t), atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_values(kind):
    """Inner gaps are lines (the natural spline skips them); outer ones are constant; an empty channel is 0."""
    ts, xs = with_gaps()
    xs = np.concatenate([xs, np.full((len(ts), 1), NAN)], axis=1)
    path, t = KINDS[kind](ts, xs), inner(ts)
    for c in range(3):
        x = xs[:, c].copy()
        seen = np.flatnonzero(~np.isnan(x))
        x[0], x[-1] = x[seen[0]], x[seen[-1]]
        seen = np.flatnonzero(~np.isnan(x))
        if kind == "natural":
            value, slope = truth(kind, ts[seen], x[seen])
        else:
            value, slope = truth(kind, ts, np.interp(ts, ts[seen], x[seen]))
        np.testing.assert_allclose(path(t)[:, c], value(t), atol=1e-12)
        np.testing.assert_allclose(path.derivative(t)[:, c], slope(t), atol=1e-10)
    assert np.all(path(t)[:, 3] == 0) and np.all(path.derivative(t)[:, 3] == 0)


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "natural"])
def test_a_padded_series_rests_after_its_end(kind):
    ts, xs = data()
    padded = xs.copy()
    padded[6:] = NAN
    path, short = KINDS[kind](ts, padded), KINDS[kind](ts[:6], xs[:6])
    t = np.linspace(ts[0], ts[5], 50)
    np.testing.assert_allclose(path(t), short(t), atol=1e-13)
    np.testing.assert_allclose(path(ts[6:]), np.broadcast_to(xs[5], (3, 3)), atol=1e-13)
    assert np.all(np.abs(path.derivative(ts[7:])) < 1e-12)


def test_rectilinear():
    ts, xs = data(5, 2)
    xs[1, 0] = xs[2, 0] = xs[4, 1] = NAN
    path = RectilinearPath(ts, xs)
    seen = xs.copy()
    seen[1, 0] = seen[2, 0] = xs[0, 0]
    seen[4, 1] = xs[3, 1]
    assert path.channels == 3 and np.array_equal(path.knots, np.arange(9.0))
    for i in range(5):
        np.testing.assert_allclose(path(2.0 * i), [ts[i], *seen[i]], atol=1e-14)
    for i in range(4):
        np.testing.assert_allclose(path(2.0 * i + 1), [ts[i + 1], *seen[i]], atol=1e-14)
        np.testing.assert_allclose(path(2 * i + 0.5), [(ts[i] + ts[i + 1]) / 2, *seen[i]], atol=1e-14)
    other = xs.copy()
    other[3:] = 7.0
    np.testing.assert_array_equal(path(np.linspace(0, 4, 9)), RectilinearPath(ts, other)(np.linspace(0, 4, 9)))


@pytest.mark.parametrize("kind", KINDS)
def test_continuity(kind):
    ts, xs = data()
    c = np.asarray(KINDS[kind](ts, xs).coefficients)
    h = np.diff(ts)[:, None]
    np.testing.assert_allclose(c[:-1].sum(1), c[1:, 0], atol=1e-13)
    if kind != "linear":
        end, start = (c[:, 1:] * np.arange(1, 4)[:, None]).sum(1) / h, c[:, 1] / h
        np.testing.assert_allclose(end[:-1], start[1:], atol=1e-11)
    if kind == "natural":
        end, start = (2 * c[:, 2] + 6 * c[:, 3]) / h**2, 2 * c[:, 2] / h**2
        np.testing.assert_allclose(end[:-1], start[1:], atol=1e-9)
        np.testing.assert_allclose(np.stack([start[0], end[-1]]), 0, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_refining_changes_nothing(kind):
    ts, xs = with_gaps()
    path = KINDS[kind](ts, xs)
    extra = jnp.asarray([ts[0], 0.2, 0.3, ts[4], 1.1, ts[-1]])
    fine, places = path.refined(extra)
    np.testing.assert_array_equal(fine.knots[places], extra)
    t = inner(ts, 300)
    np.testing.assert_allclose(fine(t), path(t), atol=1e-12)
    ends = fine.coefficients.sum(1)
    np.testing.assert_allclose(ends[:-1], fine.coefficients[1:, 0], atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_batches(kind):
    """vmap over series, each with its own times and gaps, is one series after the other."""
    many = [with_gaps(seed) for seed in range(4)]
    ts, xs = np.stack([d[0] for d in many]), np.stack([d[1] for d in many])
    t = jnp.linspace(0.0, 1.0, 7)
    paths = jax.vmap(KINDS[kind])(ts, xs)
    values = jax.jit(jax.vmap(lambda p: (p(t), p.derivative(t))))(paths)
    for i in range(4):
        one = KINDS[kind](ts[i], xs[i])
        np.testing.assert_allclose(values[0][i], one(t), atol=1e-12)
        np.testing.assert_allclose(values[1][i], one.derivative(t), atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient(kind):
    ts, xs = with_gaps()
    known = ~np.isnan(xs)
    t = jnp.asarray([0.05, 0.8, 1.9, 3.0])

    @jax.jit
    def f(ts, x, t):
        path = KINDS[kind](ts, jnp.where(known, x, NAN))
        return jnp.sum(jnp.sin(path(t))) + jnp.sum(path.derivative(t) ** 2)

    x = np.where(known, xs, 0.0)
    assert gradient_error(f, ts, x, t) < 1e-7
    gradient = jax.grad(f, argnums=1)(ts, x, t)
    assert np.all(gradient[~known] == 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision(kind, dtype):
    ts, xs = with_gaps()
    path = KINDS[kind](ts.astype(dtype), xs.astype(dtype))
    t = inner(ts)
    assert path(t).dtype == path.derivative(t).dtype == path.knots.dtype == dtype
    exact = KINDS[kind](ts, xs)
    tolerance = 1e-12 if dtype == np.float64 else 2e-5
    np.testing.assert_allclose(path(t[1:-1]), exact(t[1:-1]), atol=tolerance)


def test_times_in_float64_keep_values_in_float32():
    """Steps of 1e-3 at t = 1e3: times that float32 cannot tell apart."""
    ts = 1e3 + 1e-3 * np.arange(8)
    xs = np.arange(8.0, dtype=np.float32)[:, None]
    path = LinearPath(ts, xs)
    t = 1e3 + 1e-3 * np.linspace(0, 7, 29)
    assert path(t).dtype == np.float32
    np.testing.assert_allclose(path(t)[:, 0], np.linspace(0, 7, 29), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_outside_the_data(kind):
    ts, xs = data()
    path = KINDS[kind](ts, xs)
    for t in (ts[0] - 0.1, ts[-1] + 1e-6, np.array([0.0, 50.0])):
        with pytest.raises(ValueError, match="lies outside the path's data, which end at"):
            path(t)
        with pytest.raises(ValueError, match="give the path data that reach further"):
            path.derivative(t)
    inside = jax.jit(lambda p, t: (p(t), p.derivative(t)))
    for t in (ts[0] - 0.1, ts[-1] + 1e-6):
        assert all(np.all(np.isnan(v)) for v in inside(path, t))
    # The end of a solve, a unit in the last place too far, is not outside.
    assert np.all(np.isfinite(inside(path, np.nextafter(ts[-1], np.inf))[1]))


def test_compiled_once():
    counted, count = traces(lambda path, t: path(t))
    f = jax.jit(counted)
    for seed in range(3):
        f(HermitePath(*with_gaps(seed)), 0.1 * seed)
    assert count() == 1


def test_bad_data():
    ts, xs = data()
    with pytest.raises(ValueError, match=r"LinearPath takes ts of shape \(n,\) and xs of shape \(n, channels\)"):
        LinearPath(ts, xs[:, 0])
    with pytest.raises(ValueError, match="write batches with jax"):
        HermitePath(ts, xs[None])
    with pytest.raises(ValueError, match="n at least 2"):
        NaturalCubicPath(ts[:1], xs[:1])
    with pytest.raises(ValueError, match="HermitePath: ts must increase strictly"):
        HermitePath(ts[::-1], xs)
    with pytest.raises(ValueError, match="ts must increase strictly"):
        HermitePath(np.where(np.arange(9) == 4, NAN, ts), xs)
    with pytest.raises(ValueError, match="in float32; sort the times"):
        LinearPath((1e8 + ts).astype(np.float32), xs)
    with pytest.raises(ValueError, match="xs holds infinite values; a missing value is NaN"):
        LinearPath(ts, np.where(np.arange(9)[:, None] == 4, np.inf, xs))
    with pytest.raises(ValueError, match="the first row of xs misses channel 1"):
        RectilinearPath(*with_gaps())
    assert isinstance(LinearPath(range(9), xs), Path)
