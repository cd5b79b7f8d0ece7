"""Events: their times, states and derivatives, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.testing import gradient_error, measured_order

TIGHT = dh.PID(rtol=1e-11, atol=1e-12)
ADJOINTS = {"tape": dh.Tape(), "segments": dh.Tape(memory=400), "forward": dh.Forward()}


def falling(t, x, args):
    """A ball: height and speed, args = g."""
    return jnp.stack([x[1], -args * jnp.ones_like(x[0])])


def ground(t, x):
    return x[0]


def bounce(t, x, args):
    return jnp.stack([jnp.zeros_like(x[0]), -0.8 * x[1]])


def test_a_ball_hits_the_ground():
    sol = dh.solve(
        falling, jnp.array([10.0, 0.0]), 5.0, args=9.81, events=dh.Event(ground, direction=-1), control=TIGHT
    )
    t = np.sqrt(2 * 10 / 9.81)
    assert sol.status == dh.Status.event and sol.ok
    np.testing.assert_allclose([sol.t1, sol.t, sol.events.last, sol.events.t[0]], t, rtol=1e-13)
    np.testing.assert_allclose(sol.x1, [0.0, -9.81 * t], atol=1e-12)
    assert sol.events.count == 1 and sol.events.which[0] == 0 and jnp.all(jnp.isnan(sol.events.t[1:]))


def test_bounces_to_their_closed_times():
    """Times of a ball that keeps 0.8 of its speed: t1 + 2 v1 / g (0.8 + 0.8^2 + ...)."""
    event = dh.Event(ground, direction=-1, reset=bounce, terminate=False)
    sol = dh.solve(falling, jnp.array([10.0, 0.0]), 8.0, args=9.81, events=event, control=TIGHT)
    t1 = np.sqrt(2 * 10 / 9.81)
    times = t1 + 2 * t1 * np.cumsum(np.concatenate([[0.0], 0.8 ** np.arange(1, 16)]))
    n = int(np.sum(times < 8.0))
    assert sol.events.count == n and n > 3
    np.testing.assert_allclose(sol.events.t[:n], times[:n], rtol=1e-12)
    speed = 9.81 * t1 * 0.8**n
    since = 8.0 - times[n - 1]
    np.testing.assert_allclose(sol.x, [speed * since - 9.81 * since**2 / 2, speed - 9.81 * since], atol=1e-10)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("method", [dh.Tsit5(), dh.Bosh3(), dh.Dopri8(), dh.Verner7()])
def test_every_method_finds_the_zero(method, dtype):
    """x = cos t crosses zero at pi / 2."""
    control = dh.PID(1e-5, 1e-6) if dtype == jnp.float32 else TIGHT
    x0 = jnp.array([1.0, 0.0], dtype)
    oscillator = lambda t, x: jnp.stack([-x[1], x[0]])  # noqa: E731
    sol = dh.solve(oscillator, x0, 9.0, method=method, control=control, events=dh.Event(ground))
    assert sol.t1.dtype == dtype and sol.x.dtype == dtype
    np.testing.assert_allclose(sol.t1, np.pi / 2, rtol=2e-5 if dtype == jnp.float32 else 1e-10)


def test_backwards_in_time():
    oscillator = lambda t, x: jnp.stack([-x[1], x[0]])  # noqa: E731
    sol = dh.solve(oscillator, jnp.array([1.0, 0.0]), -9.0, control=TIGHT, events=dh.Event(ground))
    np.testing.assert_allclose(sol.t1, -np.pi / 2, rtol=1e-10)


def test_directions_and_several_events():
    """cos t: falling through 0 at pi/2, rising at 3 pi/2; sin t = 1/2 first at pi/6."""
    oscillator = lambda t, x: jnp.stack([-x[1], x[0]])  # noqa: E731
    events = [
        dh.Event(ground, direction=1),
        dh.Event(lambda t, x: x[1] - 0.5, terminate=False),
        dh.Event(lambda t, x: t - 1.0, terminate=False),
    ]
    sol = dh.solve(oscillator, jnp.array([1.0, 0.0]), 9.0, control=TIGHT, events=events)
    assert list(sol.events.which[:4]) == [1, 2, 1, 0]
    np.testing.assert_allclose(sol.events.t[:4], [np.pi / 6, 1.0, 5 * np.pi / 6, 3 * np.pi / 2], rtol=1e-10)


@pytest.mark.parametrize("samples", [0, 3])
def test_a_double_crossing_inside_one_step_is_seen(samples):
    """One long step in which the height dips below zero and returns: its rate changes sign in between."""
    parabola = lambda t, x: 2 * (t - 1.0) * jnp.ones_like(x)  # noqa: E731
    event = dh.Event(lambda t, x: x, samples=samples)
    at = lambda x0: dh.solve(parabola, x0, 2.0, method=dh.RK4(), control=dh.Fixed(1), events=event)  # noqa: E731
    assert at(0.91).status == dh.Status.event
    np.testing.assert_allclose(at(0.91).t1, 1 - np.sqrt(1 - 0.91), rtol=1e-12)
    assert at(1.0 + 1e-9).status == dh.Status.success  # it comes near, but does not cross


def test_an_event_that_never_comes_leaves_the_solve_alone():
    plain = dh.solve(falling, jnp.array([10.0, 0.0]), 1.0, args=9.81)
    sol = dh.solve(falling, jnp.array([10.0, 0.0]), 1.0, args=9.81, events=dh.Event(ground))
    assert sol.status == dh.Status.success and sol.events.count == 0 and sol.t1 == 1.0
    np.testing.assert_allclose(sol.x, plain.x, rtol=1e-14)  # two programs round differently


def test_save_times_stop_at_the_event():
    ts = jnp.linspace(0.0, 3.0, 31)
    sol = dh.solve(falling, jnp.array([10.0, 0.0]), ts, args=9.81, events=dh.Event(ground), control=TIGHT)
    before = np.asarray(ts) < sol.t1
    np.testing.assert_allclose(sol.x[before, 0], 10 - 9.81 * ts[before] ** 2 / 2, atol=1e-9)
    assert np.all(np.isnan(sol.x[~before]))


def test_more_events_than_are_written_down():
    event = dh.Event(ground, direction=-1, reset=bounce, terminate=False)
    kwargs = {"args": 9.81, "events": event, "control": TIGHT}
    full = dh.solve(falling, jnp.array([10.0, 0.0]), 8.0, **kwargs)
    few = dh.solve(falling, jnp.array([10.0, 0.0]), 8.0, save=dh.Save(events=2), **kwargs)
    assert few.events.count == full.events.count > 2
    assert few.events.t[0] == full.events.t[0] and few.events.last == full.events.last == few.events.t[1]
    np.testing.assert_array_equal(few.x, full.x)


# Derivatives


def height_after_reset(p):
    """A particle falls from 2 at speed -1; on reaching 1 it is given the speed -p: u(1) = ... (the oracle du/dp = -1
    of a ball that falls from 1/2 (t* = 1 at g = 1) is below)."""
    event = dh.Event(lambda t, x: x[0] - 1.0, reset=lambda t, x, args: jnp.stack([x[0], -args]), terminate=False)
    return dh.solve(lambda t, x: jnp.stack([x[1], 0 * x[1]]), jnp.array([2.0, -1.0]), 2.0, args=p, events=event).x[0]


def test_oracle_of_a_reset_by_a_parameter():
    """Height 2 at speed -1 meets 1 at t = 1; from there at speed -p for one unit: u(2) = 1 - p, du/dp = -1."""
    assert abs(height_after_reset(0.7) - 0.3) < 1e-10
    assert abs(jax.grad(height_after_reset)(0.7) + 1.0) < 1e-9


@pytest.mark.parametrize("adjoint", ["tape", "segments"])
def test_oracle_of_the_event_time_itself(adjoint):
    """x' = 1, x(0) = 0, event at x = q: T(q) = q, dT/dq = 1."""

    def T(q):
        reached = dh.Event(lambda t, x, q: x - q)
        rise = lambda t, x, q: jnp.ones_like(x)  # noqa: E731
        return dh.solve(rise, 0.0, 9.0, args=q, adjoint=ADJOINTS[adjoint], events=reached).t1

    assert abs(T(1.3) - 1.3) < 1e-12 and abs(jax.grad(T)(1.3) - 1.0) < 1e-12


def bouncing(adjoint, h, v, g, restitution, floor):
    """Something of everything: final height, speed, the second bounce's time and the speed before it, saved values."""
    reset = lambda t, x, args: jnp.stack([x[0], -args[1] * x[1] + 0.1 * jnp.sin(t)])  # noqa: E731
    event = dh.Event(lambda t, x, args: x[0] - args[2] * jnp.cos(t), direction=-1, reset=reset, terminate=False)
    drag = lambda t, x, args: jnp.stack([x[1], -args[0] - 0.1 * x[1] + 0.1 * x[0] * jnp.sin(t)])  # noqa: E731
    ts = jnp.linspace(0.5, 4.0, 6)
    sol = dh.solve(
        drag, jnp.stack([h, v]), ts, args=(g, restitution, floor), events=event, adjoint=adjoint, control=TIGHT
    )
    weights = jnp.arange(1.0, 7.0)
    return weights @ sol.x[:, 0] + 2 * sol.x1[1] + 3 * sol.events.t[1] + sol.events.x[1, 1] - sol.events.last


@pytest.mark.parametrize("adjoint", ["tape", "segments"])
def test_gradients_through_bounces_against_differences(adjoint):
    f = lambda *p: bouncing(ADJOINTS[adjoint], *p)  # noqa: E731
    at = (3.0, 0.2, 9.0, 0.8, 0.05)
    assert gradient_error(f, *at, step=1e-5) < 1e-6


def test_forward_mode_agrees_with_the_tape():
    at = (3.0, 0.2, 9.0, 0.8, 0.05)
    reverse = jax.grad(lambda *p: bouncing(dh.Tape(), *p), argnums=range(5))(*at)
    forward = jax.jacfwd(lambda *p: bouncing(dh.Forward(), *p), argnums=range(5))(*at)
    np.testing.assert_allclose(reverse, forward, rtol=1e-9)


def test_derivative_of_a_terminal_state_and_time_by_start_and_t0():
    """x' = a x to x = 2: T = t0 + log(2 / x0) / a; the state there is 2 whatever x0."""

    def end(x0, a, t0):
        sol = dh.solve(
            lambda t, x, a: a * x, x0, 20.0, t0=t0, args=a, events=dh.Event(lambda t, x: x - 2.0), control=TIGHT
        )
        return sol.t1, sol.x

    T, dT = jax.value_and_grad(lambda *p: end(*p)[0], argnums=(0, 1, 2))(0.5, 0.7, 0.3)
    np.testing.assert_allclose(T, 0.3 + np.log(4.0) / 0.7, rtol=1e-10)
    np.testing.assert_allclose(dT, (-1 / (0.5 * 0.7), -np.log(4.0) / 0.49, 1.0), rtol=1e-9)
    np.testing.assert_allclose(jax.grad(lambda *p: end(*p)[1], argnums=(0, 1, 2))(0.5, 0.7, 0.3), 0.0, atol=1e-9)


# Lanes


def test_lanes_have_events_of_their_own():
    """Equal to `solve` lane by lane; some lanes bounce, some end, some do neither; gradients agree with vmap(solve)."""
    heights = jnp.array([1.0, 5.0, 10.0, 200.0, 0.3])
    x0s = jnp.stack([heights, jnp.zeros(5)], axis=1)
    events = [
        dh.Event(ground, direction=-1, reset=bounce, terminate=False),
        dh.Event(lambda t, x: x[0] - 0.25 + x[1] * 0.1, direction=1),
    ]
    kwargs = {"args": 9.81, "events": events, "control": TIGHT}
    lanes = dh.ensemble(falling, x0s, 2.0, **kwargs)
    for i in range(5):
        one = dh.solve(falling, x0s[i], 2.0, **kwargs)
        assert one.status == lanes.status[i] and one.events.count == lanes.events.count[i]
        np.testing.assert_allclose(lanes.t1[i], one.t1, rtol=1e-12)
        np.testing.assert_allclose(lanes.x[i], one.x, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(lanes.events.t[i], one.events.t, rtol=1e-11)
    many = lambda x: jnp.sum(dh.ensemble(falling, x, 2.0, **kwargs).x ** 2)  # noqa: E731
    each = lambda x: jnp.sum(jax.vmap(lambda x: dh.solve(falling, x, 2.0, **kwargs).x)(x) ** 2)  # noqa: E731
    np.testing.assert_allclose(jax.grad(many)(x0s), jax.grad(each)(x0s), rtol=1e-8, atol=1e-12)


def test_a_lane_does_not_feel_the_events_of_others():
    x0s = jnp.array([[1.0, 0.0], [200.0, 3.0]])
    event = dh.Event(ground, direction=-1, reset=bounce, terminate=False)
    both = dh.ensemble(falling, x0s, 2.0, args=9.81, events=event)
    plain = dh.ensemble(falling, x0s[1:], 2.0, args=9.81)
    np.testing.assert_allclose(both.x[1], plain.x[0], rtol=1e-14)


def test_grids_are_taken_up_again_after_an_event():
    event = dh.Event(ground, direction=-1, reset=bounce, terminate=False)
    sol = dh.solve(
        falling,
        jnp.array([10.0, 0.0]),
        4.0,
        args=9.81,
        events=event,
        method=dh.RK4(),
        control=dh.Fixed(16),
        save=dh.Save(steps=True),
    )
    grid = np.linspace(0, 4, 17)
    assert sol.status == dh.Status.success and sol.stats.accepted == 16 + sol.events.count
    assert all(np.min(np.abs(sol.t - g)) < 1e-12 for g in grid)


BAD = {
    "not an event": (lambda: dh.solve(falling, jnp.ones(2), 1.0, args=1.0, events=ground), TypeError, "Event"),
    "two numbers": (
        lambda: dh.solve(falling, jnp.ones(2), 1.0, args=1.0, events=dh.Event(lambda t, x: x)),
        ValueError,
        "one real number",
    ),
    "another state": (
        lambda: dh.solve(falling, jnp.ones(2), 1.0, args=1.0, events=dh.Event(ground, reset=lambda t, x, a: x[0])),
        ValueError,
        "must return what the state is",
    ),
    "direction": (lambda: dh.Event(ground, direction=2), ValueError, "-1 .falling"),
}


@pytest.mark.parametrize("case", BAD)
def test_one_sentence(case):
    call, kind, sentence = BAD[case]
    with pytest.raises(kind, match=sentence):
        call()


# Discontinuities


@pytest.mark.parametrize("method", [dh.Tsit5(), dh.Bosh3(), dh.Dopri8()])
def test_a_switch_costs_nothing_when_its_time_is_told(method):
    """x' = -x before t = 1, +x behind it: x(2) = 1."""
    f = lambda t, x: jnp.where(t < 1.0, -x, x)  # noqa: E731
    plain = dh.solve(f, 1.0, 2.0, method=method, control=dh.PID(1e-9, 1e-9))
    told = dh.solve(f, 1.0, 2.0, method=method, control=dh.PID(1e-9, 1e-9, stops=jnp.array([1.0])))
    assert abs(told.x - 1.0) < 3e-8 and told.stats.rejected <= 1 < plain.stats.rejected
    assert told.stats.nfe < plain.stats.nfe


def test_gradient_across_stops():
    f = lambda t, x, a: jnp.where(t < 1.0, -a * x, jnp.cos(x))  # noqa: E731
    control = dh.PID(1e-11, 1e-12, stops=jnp.array([1.0]))
    for adjoint in (dh.Tape(), dh.Tape(memory=100)):
        loss = lambda x, a, adjoint=adjoint: dh.solve(f, x, 2.0, args=a, control=control, adjoint=adjoint).x  # noqa: E731
        assert gradient_error(loss, 1.0, 0.7) < 1e-7


@pytest.mark.parametrize("method", [dh.RK4(), dh.Bosh3(), dh.Tsit5()])
def test_a_grid_whose_times_are_switches_keeps_the_order(method):
    """x' = k x on [k, k + 1): every step sees one piece only, so x(3) = e^3 to the method's order."""
    f = lambda t, x: jnp.floor(t) * x  # noqa: E731
    error = lambda n: abs(float(dh.solve(f, 1.0, 3.0, method=method, control=dh.Fixed(n, stops=True)).x) - np.exp(3.0))  # noqa: E731
    assert measured_order(error, [3, 6, 12, 24, 48], ceiling=5.0) > method.order - 0.4
    lanes = dh.ensemble(f, jnp.array([1.0, 2.0]), 3.0, method=method, control=dh.Fixed(12, stops=True))
    assert abs(float(lanes.x[1]) / 2 - np.exp(3.0)) == pytest.approx(error(12), rel=1e-6)


def test_float32_switches_far_from_zero():
    """Times near 1000, where a float32 has steps of 6e-5."""
    f = lambda t, x: jnp.where(t < 1001.0, -x, x)  # noqa: E731
    control = dh.PID(1e-5, 1e-6, stops=jnp.array([1001.0]))
    sol = dh.solve(f, jnp.float32(1.0), 1002.0, t0=1000.0, control=control)
    assert abs(sol.x - 1.0) < 2e-3 and sol.stats.rejected <= 1
