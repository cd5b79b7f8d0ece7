"""Gradients of controlled equations by data, weights, start and times; and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.core.cde import CDE, LogODE, LogPath
from duhamel.core.path import HermitePath, LinearPath, NaturalCubicPath, RectilinearPath
from duhamel.solver.linear_cde import linear_cde
from duhamel.testing import gradient_error

RNG = np.random.default_rng(7)
TS = np.array([0.0, 0.2, 0.5, 0.6, 1.0])
XS = np.cumsum(0.5 * RNG.normal(size=(5, 2)), axis=0)
XS[2, 1] = np.nan
KNOWN = ~np.isnan(XS)
DATA = np.where(KNOWN, XS, 0.0)
W = jnp.asarray(0.7 * RNG.normal(size=(3, 2, 3)))
X0 = jnp.asarray([0.3, -0.2, 0.5])
MAKE = {
    "smooth": lambda ts, xs: LinearPath(ts, xs, smooth=True),
    "hermite": HermitePath,
    "natural": NaturalCubicPath,
}


def field(t, x, w):
    return jnp.tanh(jnp.tensordot(w, x, axes=1))


def holes(data):
    return jnp.where(KNOWN, data, jnp.nan)


@pytest.mark.parametrize("kind", MAKE)
def test_stepping(kind):
    @jax.jit
    def f(x0, w, data, ts):
        path = MAKE[kind](ts, holes(data))
        return jnp.sum(dh.solve(CDE(field, path), x0, 0.95, args=w, method=dh.RK4(), control=dh.Fixed(20)).x ** 2)

    assert gradient_error(f, X0, W, DATA, TS) < 1e-6


def test_adaptive_steps_through_stops():
    @jax.jit
    def f(x0, w, data):
        path = LinearPath(TS, holes(data))
        control = dh.PID(1e-10, 1e-12, stops=path.knots)
        return jnp.sum(dh.solve(CDE(field, path), x0, 1.0, args=w, control=control).x ** 2)

    assert gradient_error(f, X0, W, DATA) < 1e-6


@pytest.mark.parametrize("depth", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_log_ode(depth):
    @jax.jit
    def f(x0, w, data):
        problem = LogODE(field, HermitePath(TS, holes(data)), depth, 2)
        return jnp.sum(dh.solve(problem, x0, 1.0, args=w, method=dh.RK4(), control=dh.Fixed(8)).x ** 2)

    assert gradient_error(f, X0, W, DATA) < 1e-6


@pytest.mark.parametrize("parallel", [True, False], ids=["associative", "in turn"])
@pytest.mark.parametrize("shape", [(2, 4), (2, 2, 2, 2), (2, 4, 4)], ids=["diagonal", "blocks", "dense"])
def test_linear_flows(shape, parallel):
    A, b, x0 = RNG.normal(size=shape), RNG.normal(size=(2, 4)), RNG.normal(size=4)

    @jax.jit
    def f(A, b, x0, data):
        path = HermitePath(TS, holes(data))
        return jnp.sum(jnp.sin(linear_cde(A, path, x0, b=b, windows=3, depth=2, parallel=parallel)))

    assert gradient_error(f, A, b, x0, DATA) < 1e-7


def test_linear_flows_without_a_constant_part():
    A, x0 = RNG.normal(size=(2, 4)), RNG.normal(size=4)
    for parallel in (True, False):
        f = jax.jit(lambda A, x0, p=parallel: jnp.sum(jnp.sin(linear_cde(A, LinearPath(TS, DATA), x0, parallel=p))))
        assert gradient_error(f, A, x0) < 1e-8
    # At an exponent of zero the square root of no norm may divide.
    still = jax.grad(lambda A: jnp.sum(linear_cde(A, LinearPath(TS, DATA), x0)))(jnp.zeros((2, 4, 4)))
    assert np.all(np.isfinite(still))


def test_forward_mode_and_second_derivatives():
    A = jnp.asarray(RNG.normal(size=(2, 2, 2)))
    f = jax.jit(lambda s: jnp.sum(linear_cde(s * A, LinearPath(TS, DATA), jnp.ones(2)) ** 2))
    np.testing.assert_allclose(jax.jvp(f, (0.7,), (1.0,))[1], jax.grad(f)(0.7), rtol=1e-12)
    h = 1e-4
    second = (jax.grad(f)(0.7 + h) - jax.grad(f)(0.7 - h)) / (2 * h)
    np.testing.assert_allclose(jax.grad(jax.grad(f))(0.7), second, rtol=1e-6)


def test_ensemble_of_paths_with_shared_weights():
    """One gradient of the weights for all lanes, and one of each lane's data."""
    datas = jnp.stack([DATA, DATA[::-1]])

    @jax.jit
    def f(w, datas):
        logs = jax.vmap(lambda d: LogPath.of(HermitePath(TS, d), 2, 3))(datas)
        problem = LogODE(lambda t, x, a: field(t, x, a[0]), lambda a: a[1])
        x0s = jnp.stack([X0, 2 * X0])
        sols = dh.ensemble(problem, x0s, 1.0, args=(w, logs), in_axes=(None, 0), method=dh.RK4(), control=dh.Fixed(6))
        return jnp.sum(sols.x**2)

    assert gradient_error(f, W, datas) < 1e-6


def test_outside_the_path():
    """Outside its data a path is NaN in the compiled solve, which says so; a bound outside is refused at once."""
    path = HermitePath(TS, XS)
    for problem in (CDE(field, path), LogODE(field, path, 2, 3)):
        with pytest.raises(dh.SolveError):
            dh.solve(problem, X0, 2.0, args=W)
        sol = dh.solve(problem, X0, 2.0, args=W, control=dh.Fixed(8), method=dh.RK4(), throw=False)
        assert sol.status == dh.Status.nonfinite and np.all(np.isnan(sol.x))
    with pytest.raises(ValueError, match="lies outside the path's data"):
        LogODE(field, path, 2, [0.0, 0.5, 1.5])
    with pytest.raises(ValueError, match="lies outside the path's data"):
        linear_cde(np.zeros((2, 3)), path, X0, windows=np.array([-1.0, 0.5]))


def test_fields_of_the_wrong_shape():
    path = HermitePath(TS, XS)
    with pytest.raises(
        ValueError, match=r"f returned shape \(3,\) for a state of shape \(3,\) and a path of 2 channels"
    ):
        dh.solve(CDE(lambda t, x: x, path), X0, 1.0)
    with pytest.raises(ValueError, match=r"return \(3, 2\), a column for each channel"):
        dh.solve(LogODE(lambda t, x: jnp.zeros((2, 3)), path, 2, 3), X0, 1.0)
    with pytest.raises(ValueError, match="each leaf with one more axis for the channels"):
        dh.solve(CDE(lambda t, x: (x, x), path), X0, 1.0)
    with pytest.raises(TypeError, match="f takes 1 arguments"):
        CDE(lambda x: x, path)


def test_paths_that_are_none():
    with pytest.raises(
        TypeError, match="CDE: path must be a Path, or a function of args that returns one, got ndarray"
    ):
        CDE(field, XS)
    with pytest.raises(TypeError, match="LogODE: path must be a LogPath or a Path, or a function of args"):
        LogODE(field, XS)
    with pytest.raises(ValueError, match="windows must be a number of windows, or at least two bounds"):
        LogODE(field, HermitePath(TS, XS))
    with pytest.raises(ValueError, match="windows must be at least 1, got 0"):
        LogODE(field, HermitePath(TS, XS), 2, 0)
    with pytest.raises(ValueError, match="the bounds of windows must increase strictly"):
        LogODE(field, HermitePath(TS, XS), 2, [0.0, 0.5, 0.5])
    with pytest.raises(ValueError, match="windows belong to a Path, and a LogPath has its own"):
        LogODE(field, LogPath.of(HermitePath(TS, XS), 2, 3), 2, 3)
    with pytest.raises(ValueError, match="at least one channel and depth 1"):
        LogODE(field, HermitePath(TS, XS), 0, 3)


def test_matrices_that_do_not_fit():
    path = RectilinearPath(TS, DATA)  # three channels
    with pytest.raises(
        ValueError, match=r"A has shape \(2, 3\), with 3 channels and 3 numbers in x0 it must be \(3, 3\)"
    ):
        linear_cde(np.zeros((2, 3)), path, X0)
    with pytest.raises(ValueError, match="for block-diagonal matrices"):
        linear_cde(np.zeros((3, 2, 2, 2)), path, X0)
    with pytest.raises(ValueError, match=r"b has shape \(3,\); it must be \(channels, n\) = \(3, 3\)"):
        linear_cde(np.zeros((3, 3)), path, X0, b=np.zeros(3))
    with pytest.raises(ValueError, match="flow must be 'exp' or 'euler', got 'heun'"):
        linear_cde(np.zeros((3, 3)), path, X0, flow="heun")
    with pytest.raises(ValueError, match="x0 must be one vector of floating numbers"):
        linear_cde(np.zeros((3, 3)), path, np.zeros((2, 3)))
    with pytest.raises(ValueError, match="a LogPath has windows of its own"):
        linear_cde(np.zeros((3, 3)), LogPath.of(path, 2, 3), X0, windows=4)
