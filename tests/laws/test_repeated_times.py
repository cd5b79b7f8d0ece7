"""Save times may repeat (ragged series are padded so), and may all be t0: values, gradients, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh

K = 0.7


def f(t, x, k):
    return -k * x + jnp.cos(t)


def exact(t, x0=1.0, k=K, t0=0.0):
    """x' = -k x + cos t."""
    part = lambda t: (k * jnp.cos(t) + jnp.sin(t)) / (1 + k * k)  # noqa: E731
    return part(t) + (x0 - part(t0)) * jnp.exp(-k * (t - t0))


PID = dh.PID(1e-9, 1e-11)
WAYS = {
    "Tsit5": {"control": PID},
    "grid": {"method": dh.RK4(), "control": dh.Fixed(200)},
    "CFL": {"method": dh.RK4(), "control": dh.CFL(0.01, lambda t, x, k: 1.0)},
    "Direct": {"control": PID, "adjoint": dh.Direct(), "max_steps": 64},
}
SERIES = {
    "within and at the end": [0.2, 0.5, 0.5, 0.5, 1.0, 1.0],
    "from t0": [0.0, 0.0, 0.3, 0.3, 0.3, 1.0],
    "all t0": [0.0] * 6,
    "backwards": [0.0, -0.5, -0.5, -1.0, -1.0, -1.0],
}


@pytest.mark.parametrize("way", WAYS)
def test_repeated_times_get_the_same_value_and_their_own_derivative(way):
    def rows(ts, x0, k):
        return dh.solve(f, x0, ts, args=k, **WAYS[way]).x

    weights = jnp.cos(jnp.arange(6) + 1.0)
    ours = lambda *given: jnp.vdot(weights, rows(*given))  # noqa: E731
    closed = lambda *given: jnp.vdot(weights, jax.vmap(exact, (0, None, None))(*given))  # noqa: E731
    ours, closed = (jax.jit(jax.value_and_grad(g, (0, 1, 2))) for g in (ours, closed))
    for series in SERIES.values():
        (value, slopes), (truth, right) = (g(jnp.array(series), 1.0, K) for g in (ours, closed))
        assert float(value) == pytest.approx(float(truth), abs=2e-7)
        for got, want in zip(slopes, right, strict=True):
            assert np.allclose(got, want, atol=5e-6), (series, got, want)


def test_the_right_times_are_known_outside_of_jit_too():
    for series in ([0.2, 0.5, 0.5, 1.0, 1.0], [0.0, 0.0]):
        assert np.allclose(dh.solve(f, 1.0, series, args=K).x, [float(exact(t)) for t in series], atol=1e-5)


def test_lanes_with_padded_times_of_their_own():
    ts = jnp.array([[0.2, 0.5, 0.9], [0.4, 0.4, 0.4], [0.0, 0.0, 0.0]])
    sol = jax.jit(jax.vmap(lambda ts: dh.solve(f, 1.0, ts, args=K)))(ts)
    assert np.allclose(sol.x, exact(ts), atol=1e-5) and not sol.status.any()


def test_an_ensemble_pads_too():
    x0s = jnp.array([1.0, 2.0])
    ts = [0.0, 0.0, 0.3, 0.3]
    x = dh.ensemble(f, x0s, ts, args=K, method=dh.RK4(), control=dh.Fixed(20)).x
    assert np.allclose(x, [[float(exact(t, x0)) for t in ts] for x0 in x0s], atol=1e-5)


def test_the_end_may_be_the_beginning():
    sol = dh.solve(f, 1.0, 0.0, args=K)
    assert sol.x == 1.0 and sol.status == dh.Status.success and sol.stats.accepted == 0
    assert dh.ensemble(f, jnp.array([1.0, 2.0]), 3.0, t0=3.0, args=K).x.tolist() == [1.0, 2.0]
    slopes = jax.grad(lambda t1, t0: dh.solve(f, 2.0, t1, t0=t0, args=K).x, (0, 1))(0.0, 0.0)
    assert np.allclose(slopes, [1 - 2 * K, 2 * K - 1])
    again = dh.solve(f, dh.solve(f, 1.0, 1.0, args=K), 1.0, args=K)
    assert float(again.x) == pytest.approx(float(exact(1.0)), abs=1e-6)


@pytest.mark.parametrize("way", ["CFL", "Direct", "grid"])
def test_times_out_of_order_are_a_status_under_jit_and_no_numbers(way):
    run = jax.jit(lambda ts: dh.solve(f, 1.0, ts, args=K, **WAYS[way]))
    for ts in ([0.5, 0.2, 1.0], [0.5, -0.2, 0.0], [0.2, jnp.nan, 1.0]):
        sol = run(jnp.array(ts))
        assert sol.status == dh.Status.bad_times and np.isnan(sol.x).all()
        with pytest.raises(dh.SolveError, match="sort them"):
            sol.raise_if_failed()
