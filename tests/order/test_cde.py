"""Controlled equations: orders of stepping, of the log-ODE method and of linear flows, and that they agree."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.linalg import expm

import duhamel as dh
from duhamel.core.cde import CDE, LogODE, LogPath, lie_brackets
from duhamel.core.path import HermitePath, LinearPath, NaturalCubicPath, RectilinearPath
from duhamel.core.signature import factors, lyndon_words
from duhamel.solver.linear_cde import linear_cde
from duhamel.testing import measured_order

RNG = np.random.default_rng(5)
TS = np.array([0.0, 0.15, 0.35, 0.6, 0.7, 1.0])
XS = np.cumsum(0.5 * RNG.normal(size=(6, 2)), axis=0)
W = jnp.asarray(0.7 * RNG.normal(size=(3, 2, 3)))
X0 = jnp.asarray([0.3, -0.2, 0.5])
A = 0.8 * RNG.normal(size=(2, 3, 3))
B = 0.5 * RNG.normal(size=(2, 3))
PATHS = {
    "smooth": LinearPath(TS, XS, smooth=True),
    "hermite": HermitePath(TS, XS),
    "natural": NaturalCubicPath(TS, XS),
}


def field(t, x, args):
    return jnp.tanh(jnp.tensordot(W, x, axes=1))


def affine(t, x, args):
    A, b = args
    return jnp.einsum("cij,j->ic", A, x) + b.T


def grid(n, ts=TS):
    """n steps between each two knots."""
    return np.concatenate([np.linspace(a, b, n, endpoint=False) for a, b in pairwise(ts)] + [ts[-1:]])


@pytest.mark.parametrize("name", PATHS)
def test_steps_at_the_knots_keep_their_order(name):
    problem = CDE(field, PATHS[name])

    def end(n, method):
        return dh.solve(problem, X0, 1.0, method=method, control=dh.Fixed(grid=grid(n))).x

    exact = end(50, dh.Verner8())
    order = measured_order(lambda n: float(jnp.max(jnp.abs(end(n, dh.RK4()) - exact))), [24, 48, 96], points=3)
    assert abs(order - 4) < 0.2


def test_stops_at_the_knots_of_a_linear_path():
    """On lines the flow is that of an autonomous field over unit time: the truth, piece by piece."""
    path, exact = LinearPath(TS, XS), X0
    for step in np.diff(XS, axis=0):
        exact = dh.solve(lambda t, x, d: field(t, x, None) @ d, exact, 1.0, args=step, method=dh.Verner8()).x
    stops = dh.solve(CDE(field, path), X0, 1.0, control=dh.PID(1e-8, 1e-10, stops=path.knots))
    blind = dh.solve(CDE(field, path), X0, 1.0, control=dh.PID(1e-8, 1e-10))
    np.testing.assert_allclose(stops.x, exact, atol=1e-7)
    np.testing.assert_allclose(blind.x, exact, atol=1e-6)
    assert 4 * stops.stats.rejected < blind.stats.rejected
    smooth = dh.solve(CDE(field, LinearPath(TS, XS, smooth=True)), X0, 1.0, control=dh.PID(1e-8, 1e-10))
    np.testing.assert_allclose(smooth.x, exact, atol=1e-6)


def test_brackets_by_their_definition():
    """[f]_uv = D[f]_v [f]_u - D[f]_u [f]_v with Jacobians written out, on a state of two leaves."""
    channels, depth = 3, 4

    def f(x):
        g = jnp.tanh(jnp.tensordot(V, jnp.concatenate([x["p"], x["q"].ravel()]), axes=1))
        return {"p": g[:1], "q": g[1:].reshape(1, 2, channels)}

    V = jnp.asarray(np.random.default_rng(1).normal(size=(3, channels, 3)))
    x = {"p": jnp.asarray([0.2]), "q": jnp.asarray([[0.5, -0.4]])}
    flat, back = ravel_pytree(x)

    def column(w):
        if len(w) == 1:
            return lambda y: ravel_pytree(jax.tree.map(lambda g: g[..., w[0]], f(back(y))))[0]
        u, v = (column(part) for part in factors(w))
        return lambda y: jax.jacfwd(v)(y) @ u(y) - jax.jacfwd(u)(y) @ v(y)

    levels = jax.jit(lie_brackets(f, channels, depth))(x)
    found = jax.tree.map(lambda *g: jnp.concatenate(g, axis=-1), *levels)
    found = jnp.concatenate([found["p"], found["q"].reshape(2, -1)])
    chosen = [w for w in lyndon_words(channels, depth) if len(w) < 4] + [(0, 0, 1, 2), (0, 1, 0, 2), (1, 2, 2, 2)]
    for w in chosen:
        exact = jax.jit(column(w))(flat)
        np.testing.assert_allclose(found[:, lyndon_words(channels, depth).index(w)], exact, atol=1e-11, err_msg=str(w))


def errors(depth, path, windows, truth, b=None):
    return [float(np.max(np.abs(linear_cde(A, path, X0, b=b, windows=n, depth=depth)[-1] - truth))) for n in windows]


def slope(e):
    return np.log2(np.array(e[:-1]) / np.array(e[1:]))[-1]


DEEP = pytest.mark.slow  # compiles for most of a minute on a busy machine


@pytest.mark.parametrize(("depth", "order"), [(1, 1), (2, 2), (3, 3), pytest.param(4, 4, marks=DEEP)])
def test_log_ode_on_stairs(depth, order):
    """Steps to the right and up, two a window: nothing is smooth, and depth N has order N."""

    def stairs(n):
        up = np.repeat(np.arange(n + 1), 2) / n
        return LinearPath(np.arange(2 * n + 1) / (2 * n), np.stack([up[1:], up[:-1]], axis=1))

    e = []
    for n in (8, 16, 32):
        truth = np.linalg.matrix_power(expm(A[1] / n) @ expm(A[0] / n), n) @ X0
        e += errors(depth, stairs(n), [n], truth)
    assert abs(slope(e) - order) < 0.2


@pytest.mark.parametrize(("depth", "order"), [(1, 2), (2, 4), (3, 4), (4, 6)])
def test_log_ode_on_a_smooth_path(depth, order):
    """The error of a window is odd in its length, as Magnus's series is: orders 2, 4, 4, 6."""
    t = np.linspace(0, 1, 2)
    path = NaturalCubicPath(np.linspace(0, 1, 2), np.stack([t, t], axis=1))
    curve = jnp.asarray([[[0.0, 0.1], [1.0, -0.4], [-1.5, 2.0], [0.8, -0.3]]])  # one cubic, theta = t
    path = dh.core.path.Path(path.knots, curve)
    truth = linear_cde(A, path, X0, b=B, windows=64, depth=4)[-1]
    e = errors(depth, path, (4, 8) if depth == 4 else (8, 16), truth, B)
    assert abs(slope(e) - order) < 0.2


@pytest.mark.parametrize("depth", [1, 2, 3, pytest.param(4, marks=DEEP)])
def test_stepping_the_log_ode_is_the_flow(depth):
    """Brackets of vector fields by jvp and of matrices by products: the same equation on every window."""
    path = PATHS["natural"]
    problem = LogODE(affine, path, depth, 3, smooth=True)
    sol = dh.solve(
        problem, X0, jnp.asarray([1 / 3, 2 / 3, 1.0]), args=(A, B), method=dh.Verner8(), control=dh.Fixed(48)
    )
    np.testing.assert_allclose(sol.x, linear_cde(A, path, X0, b=B, windows=3, depth=depth)[1:], atol=1e-10)


def test_log_ode_of_a_nonlinear_field():
    path = PATHS["natural"]
    exact = dh.solve(CDE(field, path), X0, 1.0, method=dh.Verner8(), control=dh.Fixed(grid=grid(12))).x

    def error(n):
        log = LogPath.of(path, 2, grid(n))
        got = dh.solve(LogODE(field, log, smooth=True), X0, 1.0, method=dh.RK4(), control=dh.Fixed(grid=grid(8 * n))).x
        return float(jnp.max(jnp.abs(got - exact)))

    e = [error(n) for n in (2, 4)]
    assert slope(e) > 3.7 and e[-1] < 1e-3
    bounds = jnp.asarray(grid(2))
    plain = LogODE(field, path, 2, bounds)
    got = dh.solve(plain, X0, 1.0, control=dh.PID(1e-10, 1e-12, stops=bounds)).x
    smooth = dh.solve(LogODE(field, path, 2, bounds, smooth=True), X0, 1.0, control=dh.PID(1e-10, 1e-12)).x
    np.testing.assert_allclose(got, smooth, atol=1e-8)
    # Midpoint looks inside its steps only, so on a grid of bounds it never sees a jump.
    few, many = (dh.solve(plain, X0, 1.0, method=dh.Midpoint(), control=dh.Fixed(grid=grid(2 * n))).x for n in (8, 16))
    assert abs(np.log2(np.max(np.abs(few - got)) / np.max(np.abs(many - got))) - 2) < 0.2


def test_rectilinear_paths_are_exact():
    """Time, then values: each piece moves one of them, so the flow is a product of exponentials."""
    path = RectilinearPath(TS, XS[:, :1])
    exact = [X0]
    for i in range(5):
        exact.append(expm(A[1] * (XS[i + 1, 0] - XS[i, 0])) @ expm(A[0] * (TS[i + 1] - TS[i])) @ exact[-1])
    np.testing.assert_allclose(linear_cde(A, path, X0)[::2], np.stack(exact), atol=1e-12)


STRUCTURES = ("diagonal", "blocks", "dense")


def structured(kind, channels=2, n=6):
    rng = np.random.default_rng(3)
    if kind == "diagonal":
        A = rng.normal(size=(channels, n))
        return A, np.stack([np.diag(a) for a in A])
    if kind == "dense":
        A = 0.6 * rng.normal(size=(channels, n, n))
        return A, A
    A = rng.normal(size=(channels, n // 2, 2, 2))
    full = np.zeros((channels, n, n))
    for i in range(n // 2):
        full[:, 2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = A[:, i]
    return A, full


@pytest.mark.parametrize("kind", STRUCTURES)
@pytest.mark.parametrize("parallel", [True, False], ids=["associative", "in turn"])
@pytest.mark.parametrize("bias", [True, False], ids=["affine", "linear"])
def test_every_structure_is_the_dense_one_in_scipy(kind, parallel, bias):
    A, full = structured(kind)
    rng = np.random.default_rng(4)
    b, x0 = rng.normal(size=(2, 6)) * bias, rng.normal(size=6)
    rows = [np.append(x0, 1.0)]
    for step in np.diff(XS, axis=0):
        generator = np.zeros((7, 7))
        generator[:6, :6], generator[:6, 6] = np.tensordot(step, full, axes=1), step @ b
        rows.append(expm(generator) @ rows[-1])
    found = linear_cde(A, LinearPath(TS, XS), x0, b=b if bias else None, parallel=parallel)
    np.testing.assert_allclose(found, np.stack(rows)[:, :6], atol=1e-12)


@pytest.mark.parametrize("kind", STRUCTURES)
def test_deeper_flows_of_every_structure(kind):
    A, full = structured(kind)
    rng = np.random.default_rng(4)
    b, x0 = rng.normal(size=(2, 6)), rng.normal(size=6)
    for parallel in (True, False):
        found = linear_cde(A, PATHS["hermite"], x0, b=b, windows=4, depth=3, parallel=parallel)
        np.testing.assert_allclose(found, linear_cde(full, PATHS["hermite"], x0, b=b, windows=4, depth=3), atol=1e-11)


@pytest.mark.parametrize("kind", STRUCTURES)
def test_euler_is_euler(kind):
    """The first-order flow has the numbers of Euler's method on the grid of knots, and its order."""
    A, full = structured(kind)
    b, x0 = np.random.default_rng(4).normal(size=(2, 6)), jnp.ones(6)
    path = LinearPath(TS, XS)
    stepped = dh.solve(
        CDE(affine, path),
        x0,
        1.0,
        args=(full, b),
        method=dh.Euler(),
        control=dh.Fixed(grid=TS),
        save=dh.Save(steps=True),
    ).x
    for parallel in (True, False):
        found = linear_cde(A, path, x0, b=b, flow="euler", parallel=parallel)
        np.testing.assert_allclose(found, stepped, atol=1e-12)
    truth = linear_cde(A, path, x0, b=b)[-1]
    e = [
        float(np.max(np.abs(linear_cde(A, path, x0, b=b, windows=grid(n), flow="euler")[-1] - truth)))
        for n in (64, 128)
    ]
    assert abs(slope(e) - 1) < 0.1


@pytest.mark.parametrize("size", [1e-8, 1.0, 30.0, 2000.0])
def test_exponentials_of_every_size(size):
    """Rotations, whose exponentials stay small: one window over a path of this length."""
    J = np.array([[[0.0, 1.0], [-1.0, 0.0]]])
    path = LinearPath([0.0, 1.0], [[0.0], [size]])
    found = linear_cde(J, path, jnp.asarray([1.0, 0.0]))[-1]
    np.testing.assert_allclose(found, [np.cos(size), -np.sin(size)], atol=1e-12 * max(size, 1.0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_of_flows(dtype):
    path = LinearPath(TS, XS)
    exact = linear_cde(A, path, X0, b=B)
    found = linear_cde(A, path, X0.astype(dtype), b=B)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, exact, atol=1e-13 if dtype == np.float64 else 2e-6)
    low = LinearPath(TS.astype(dtype), XS.astype(dtype))
    control = dh.PID(1e-6, 1e-7, stops=low.knots)
    weights = (A.astype(dtype), B.astype(dtype))
    sol = dh.solve(CDE(affine, low), X0.astype(dtype), dtype(1.0), args=weights, control=control)
    assert sol.x.dtype == dtype
    np.testing.assert_allclose(sol.x, exact[-1], atol=1e-4)
    windows = dh.Fixed(50, stops=True)
    log = dh.solve(LogODE(affine, low, 2, 5), X0.astype(dtype), dtype(1.0), args=weights, control=windows)
    assert log.x.dtype == dtype and float(jnp.max(jnp.abs(log.x - exact[-1]))) < 0.1


def test_lanes_with_paths_of_their_own():
    """Each lane's path goes through args; the ensemble is `solve` lane by lane."""
    xs = np.stack([XS, 1.5 * XS[::-1], XS + TS[:, None]])
    paths = jax.vmap(lambda x: HermitePath(TS, x))(xs)
    x0s = jnp.stack([X0, -X0, 2 * X0])
    found = dh.ensemble(
        CDE(field, lambda args: args), x0s, 1.0, args=paths, in_axes=0, method=dh.RK4(), control=dh.Fixed(20)
    )
    logs = jax.vmap(lambda p: LogPath.of(p, 2, 4))(paths)
    deep = dh.ensemble(
        LogODE(field, lambda args: args, smooth=True),
        x0s,
        1.0,
        args=logs,
        in_axes=0,
        method=dh.RK4(),
        control=dh.Fixed(20),
    )
    for i in range(3):
        one = HermitePath(TS, xs[i])
        alone = dh.solve(CDE(field, one), x0s[i], 1.0, method=dh.RK4(), control=dh.Fixed(20)).x
        np.testing.assert_allclose(found.x[i], alone, atol=1e-12)
        alone = dh.solve(LogODE(field, one, 2, 4, smooth=True), x0s[i], 1.0, method=dh.RK4(), control=dh.Fixed(20)).x
        np.testing.assert_allclose(deep.x[i], alone, atol=1e-12)


def test_batches_of_linear_equations():
    xs = np.stack([XS, XS[::-1], 3 * XS])
    found = jax.vmap(lambda x: linear_cde(A, LinearPath(TS, x), X0, b=B, parallel=True))(xs)
    for i in range(3):
        np.testing.assert_allclose(found[i], linear_cde(A, LinearPath(TS, xs[i]), X0, b=B), atol=1e-12)
