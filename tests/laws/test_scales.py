"""Scales of time and of state: nanoseconds, seconds since 1970, no end at all; states below atol, states of NaN."""

import copy
import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh

ONE = np.float32(1.0)
FALLS = dh.Event(lambda t, x: x - 0.5)


def decay(t, x, k=1.0, args=None):
    return -x


def by_rate(t, x, k):
    return -k * x


def test_a_unit_of_time_changes_nothing_in_float32():
    """From 1e-25 s to 1e18 s: the same numbers and the same steps."""
    run = jax.jit(lambda k, T: dh.solve(by_rate, ONE, T, args=k, control=dh.PID(1e-5, 1e-6), events=FALLS))
    sols = [run(np.float32(1 / T), np.float32(3 * T)) for T in (1.0, 1e-9, 1e-15, 1e-25, 1e18)]
    for T, sol in zip((1.0, 1e-9, 1e-15, 1e-25, 1e18), sols, strict=True):
        assert sol.status == dh.Status.event and sol.stats.accepted == sols[0].stats.accepted
        assert float(sol.t1) / T == pytest.approx(math.log(2), rel=1e-5)


def test_seconds_since_1970_in_float32():
    """t0 and the times lose 128 s each in float32; their difference must not."""
    hour, t0 = 3600.0, 1.7e9 + 0.25
    ts = t0 + hour * np.array([0.25, 0.5, 1.0])
    f = lambda t, x: -x / hour  # noqa: E731
    right = np.exp(-np.array([0.25, 0.5, 1.0]))
    sol = dh.solve(f, ONE, ts, t0=t0)
    assert np.allclose(sol.x, right, rtol=1e-5)
    assert np.allclose(dh.solve(f, sol, t0 + 2 * hour).x, math.exp(-2.0), rtol=1e-5)
    grid = dh.Fixed(grid=t0 + hour * np.linspace(0, 1, 9))
    assert np.allclose(dh.solve(f, ONE, ts, t0=t0, method=dh.RK4(), control=grid).x, right, rtol=1e-5)
    with pytest.warns(UserWarning, match="times are 1.3e[+]02 apart in float32: count times from t0"):
        dh.solve(lambda t, x: jnp.cos(t) * 0 * x, ONE, ts, t0=t0, method=dh.RK4(), control=grid)


def test_times_may_be_lists_of_what_is_traced():
    rk4 = {"method": dh.RK4()}
    end = lambda T: dh.solve(lambda t, x: -x, 1.0, [0.5, T], control=dh.Fixed(8), **rk4).x[1]  # noqa: E731
    assert float(jax.grad(end)(1.0)) == pytest.approx(-math.exp(-1.0), rel=1e-4)
    grid = lambda T: dh.solve(lambda t, x: -x, 1.0, 1.0, control=dh.Fixed(grid=[0.0, T, 1.0]), **rk4).x  # noqa: E731
    assert float(jax.jit(grid)(0.5)) == pytest.approx(math.exp(-1.0), rel=1e-3)
    stops = lambda T: dh.solve(lambda t, x: -x, 1.0, 1.0, control=dh.PID(1e-4, 1e-6, stops=[0.2, T])).x  # noqa: E731
    assert float(jax.jit(stops)(0.5)) == pytest.approx(math.exp(-1.0), rel=1e-3)


def test_no_end_but_an_event():
    for sign in (1.0, -1.0):
        stop = dh.Event(lambda t, x, s=sign: x - 0.5**s)
        sol = dh.solve(lambda t, x: -x, 1.0, sign * jnp.inf, events=stop)
        assert sol.status == dh.Status.event and float(sol.t1) == pytest.approx(sign * math.log(2), rel=1e-6)
    late = lambda k: dh.solve(by_rate, 1.0, jnp.inf, args=k, events=FALLS).t1  # noqa: E731
    assert float(jax.grad(late)(2.0)) == pytest.approx(-math.log(2) / 4, rel=1e-5)
    rises = dh.solve(lambda t, x: 1.0, 0.0, jnp.inf, events=FALLS)
    assert float(rises.t1) == pytest.approx(0.5)


def test_a_condition_is_an_event_function():
    passed = dh.Event(lambda t, x: x < 0.5)
    gives = passed.g(0.0, 0.4)
    assert gives is True
    from duhamel.solver.event import bind_events

    (bound,) = bind_events(passed, jnp.zeros(()), jnp.ones(()), None)
    assert bound.g(jnp.zeros(()), jnp.array(0.4), None) == 1.0 and bound.g(jnp.zeros(()), jnp.array(0.6), None) == -1.0


def test_what_is_nan_is_a_status_at_once():
    sols = dh.ensemble(lambda t, x: -x, jnp.array([1.0, jnp.nan, 2.0]), 1.0, throw=False)
    assert sols.status.tolist() == [0, int(dh.Status.nonfinite), 0]
    assert np.allclose(sols.x[jnp.array([0, 2])], np.exp(-1.0) * np.array([1.0, 2.0]), rtol=1e-6)
    with pytest.raises(ValueError, match=r"x0 holds 1 value\(s\) that are NaN"):
        dh.ensemble(lambda t, x: -x, jnp.array([1.0, jnp.nan]), 1.0)
    for field in (lambda t, x: jnp.nan * x, lambda t, x: 1 / x):
        sol = dh.solve(field, 0.0, 1.0, throw=False)
        assert sol.status == dh.Status.nonfinite and sol.stats.rejected <= 1


def test_states_below_atol_are_said():
    sight = {"control": dh.PID(1e-4, 1e-9)}
    with pytest.warns(UserWarning, match=r"all values, at most 2.7e-15, lie below atol = 1e-09"):
        dh.solve(lambda t, x: -x, 1e-15, 5.0)
    with pytest.warns(UserWarning, match="all values in 1 of 2 lanes, at most 1e-15, lie below"):
        dh.ensemble(lambda t, x: 0 * x, jnp.array([1e-15, 1.0]), 1.0, **sight)
    assert dh.ensemble(lambda t, x: 0 * x, jnp.array([0.0, 1.0]), 1.0, **sight).x.tolist() == [0.0, 1.0]  # no warning


def test_a_controller_may_hold_arrays():
    end = lambda **gains: dh.solve(lambda t, x: -x, 1.0, 1.0, control=dh.PID(**gains))  # noqa: E731
    plain = end(p=0.4, rtol=1e-5, safety=0.8)
    traced = jax.jit(lambda p, rtol: end(p=p, rtol=rtol, safety=np.array(0.8)))(0.4, 1e-5)
    again = [end(p=jnp.array(0.4), rtol=np.array(1e-5), safety=np.float32(0.8), stops=[]) for _ in range(2)]
    for sol in (traced, *again):
        assert sol.stats.accepted == plain.stats.accepted and np.allclose(sol.x, plain.x, rtol=1e-12)
    with pytest.raises(ValueError, match=r"PID\(d\) is one number, got shape \(2,\)"):
        end(d=[0.1, 0.2])


def test_solutions_are_copied_and_dense_output_knows_its_ends():
    sol = dh.solve(lambda t, x: -x, 1.0, 1.0, save=dh.Save(dense=True))
    assert copy.deepcopy(sol)(0.5) == sol(0.5) == pytest.approx(math.exp(-0.5), rel=1e-6)
    for t in (2.0, jnp.array([0.5, -0.1])):
        with pytest.raises(ValueError, match="lies outside of the solution, which runs from 0 to 1"):
            sol(t)
    assert np.isnan(jax.jit(lambda t: sol(t))(jnp.array([0.5, 1.0, 1.1, -9.0]))).tolist() == [False, False, True, True]
    with pytest.raises(TypeError, match="cannot be pickled: pickle sol"):
        pickle.dumps(sol)
    plain = dh.solve(lambda t, x: -x, 1.0, 1.0)
    assert pickle.loads(pickle.dumps(plain)).x == copy.deepcopy(plain).x == plain.x
    assert "success" in repr(plain) and "0.367879" in plain._repr_html_() and "?" in repr(jax.eval_shape(lambda: plain))


@pytest.mark.parametrize("of_state, of_path", [("float32", "float64"), ("float64", "float32")])
def test_a_path_and_a_state_of_different_precision(of_state, of_path):
    """dx = -x dX over exactly the data: the last knot, 0.7, lies on either side of itself in the other precision."""
    ts = np.linspace(0.1, 0.7, 5)
    xs = np.sin(9 * ts)[:, None]
    path = dh.LinearPath(ts.astype(of_path), xs.astype(of_path))
    problem = dh.CDE(lambda t, x: -x[..., None], path)
    control = dh.PID(1e-4, 1e-6, stops=path.knots)
    x = dh.solve(problem, np.ones(1, of_state), ts[-1], t0=ts[0], control=control).x
    assert np.allclose(x, np.exp(xs[0] - xs[-1]), rtol=2e-5)


def test_a_complex_mass_matrix():
    M = np.array([[1.0, 0.3j], [0.2, 1j]])
    values, vectors = np.linalg.eig(-np.linalg.inv(M))
    right = vectors @ (np.exp(values) * np.linalg.solve(vectors, [1.0, 2.0]))
    problem, x0 = dh.DAE(lambda t, x: -x, M), np.array([1.0 + 0j, 2.0])
    assert np.allclose(dh.solve(problem, x0, 1.0, method=dh.Rodas5P()).x, right, rtol=1e-5)
    with pytest.raises(ValueError, match="another part is real: make all complex"):
        dh.solve(problem, x0.real, 1.0, method=dh.Rodas5P())
    with pytest.raises(ValueError, match=r"mass is \(2, 2\), but the state has 3 entries"):
        dh.solve(problem, np.ones(3), 1.0, method=dh.Rodas5P())


HABITS = {
    "rtol": (lambda: dh.solve(decay, 1.0, 1.0, rtol=1e-3), r"solve has no rtol=; here it is control=PID\(rtol"),
    "dt": (lambda: dh.ensemble(decay, jnp.ones(2), 1.0, dt=0.1), r"ensemble has no dt=.*Fixed\(steps\)"),
    "t": (lambda: dh.solve(decay, 1.0, t=1.0, t1_or_ts=1.0), "the save times come third"),
    "a typo": (lambda: dh.solve(decay, 1.0, 1.0, contrl=1), "Did you mean control=?"),
}


@pytest.mark.parametrize("case", HABITS)
def test_habits_of_others_get_the_name_to_use(case):
    call, sentence = HABITS[case]
    with pytest.raises(TypeError, match=sentence):
        call()


def test_a_path_that_is_rough_gets_its_own_advice():
    noisy = dh.SDE(lambda t, x: -x, lambda t, x: 0.3 * x)
    with pytest.raises(dh.SolveError, match=r"A Brownian path is rough.*control=Fixed\(steps\)"):
        dh.solve(noisy, 1.0, 1.0, method=dh.SOSRI(), key=jax.random.key(0), max_steps=20)
