"""docs/semantics.md, sentence by sentence: events that fall together, jumps, algebraic variables, values in between."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import duhamel as dh

TIGHT = dh.PID(1e-10, 1e-12)


# Several events at one instant


def fall(t, x):
    return jnp.stack([x[1], -9.81 + 0 * x[1], x[3], -9.81 + 0 * x[3]])


def bounce(i):
    reset = lambda t, x, args: x.at[i].set(0.0).at[i + 1].multiply(-0.8)  # noqa: E731
    return dh.Event(lambda t, x: x[i], direction=-1, reset=reset, terminate=False)


@pytest.mark.parametrize("lanes", [False, True])
def test_two_balls_from_one_height_both_bounce(lanes):
    x0, how = jnp.array([10.0, 0.0, 10.0, 0.0]), {"events": [bounce(0), bounce(2)], "control": TIGHT}
    if lanes:
        sols = dh.ensemble(fall, x0 + jnp.zeros((3, 1)), 2.0, **how)
        x, events = sols.x[1], jax.tree.map(lambda v: v[1], sols.events)
    else:
        sol = dh.solve(fall, x0, 2.0, **how)
        x, events = sol.x, sol.events
    t = np.sqrt(2 * 10 / 9.81)
    up = 0.8 * 9.81 * t * (2 - t) - 9.81 * (2 - t) ** 2 / 2
    assert events.count == 2 and list(events.which[:2]) == [0, 1]
    np.testing.assert_allclose(events.t[:2], t, rtol=1e-12)
    np.testing.assert_allclose(x[jnp.array([0, 2])], up, rtol=1e-10)


def two_doses(order):
    doses = [
        dh.Event(lambda t, x: t - 1.0, reset=lambda t, x, args: x + args, terminate=False),
        dh.Event(lambda t, x: t - 1.0, reset=lambda t, x, args: 2 * x, terminate=False),
    ]
    return [doses[i] for i in order]


@pytest.mark.parametrize("method, control", [(None, TIGHT), (dh.RK4(), dh.Fixed(40)), (dh.Rodas5P(), TIGHT)])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_resets_compose_in_the_order_of_the_list(method, control, order):
    decay = lambda t, x: -x  # noqa: E731
    how = {"events": two_doses(order), "method": method, "control": control}
    end = lambda dose: dh.solve(decay, 1.0, 2.0, args=dose, **how).x  # noqa: E731
    at = np.exp(-1)
    behind = 2 * (at + 1.5) if order == (0, 1) else 2 * at + 1.5
    np.testing.assert_allclose(end(1.5), behind * at, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(end)(1.5), (2.0 if order == (0, 1) else 1.0) * at, rtol=1e-6)


def test_a_reset_that_brings_about_another_event():
    """The dose at t = 1 carries x past 3, where it is emptied; emptied, it is below: that is no rising crossing."""
    dose = dh.Event(lambda t, x: t - 1.0, reset=lambda t, x, args: x + args, terminate=False)
    full = dh.Event(lambda t, x: x - 3.0, direction=1, reset=lambda t, x, args: 0 * x + 0.5, terminate=False)
    for events in ([dose, full], [full, dose]):
        sol = dh.solve(lambda t, x: -x, 1.0, 2.0, args=5.0, events=events, control=TIGHT)
        assert sol.events.count == 2 and sol.events.which[0] == events.index(dose)
        np.testing.assert_allclose(sol.events.t[:2], 1.0, rtol=1e-13)
        np.testing.assert_allclose(sol.events.x[:2], [np.exp(-1), np.exp(-1) + 5], rtol=1e-9)
        np.testing.assert_allclose(sol.x, 0.5 * np.exp(-1), rtol=1e-9)


def test_a_terminating_event_ends_after_all_resets():
    events = [
        dh.Event(lambda t, x: t - 1.0),
        dh.Event(lambda t, x: t - 1.0, reset=lambda t, x, a: 7 * x, terminate=False),
    ]
    sol = dh.solve(lambda t, x: -x, 1.0, 2.0, events=events, control=TIGHT)
    assert sol.status == dh.Status.event and sol.events.count == 2
    np.testing.assert_allclose([sol.t1, sol.x1], [1.0, 7 * np.exp(-1)], rtol=1e-9)


# Fields that jump


def by_stop(T, adjoint):
    field = lambda t, x, T: -0.7 * x + jnp.where(t < T, 1.0, 0.0)  # noqa: E731
    control = dh.PID(1e-10, 1e-12, stops=jnp.stack([T]))
    return dh.solve(field, 0.3, 1.0, args=T, control=control, adjoint=adjoint).x


def by_event(T, adjoint):
    field = lambda t, x, T: -0.7 * x + jnp.where(t < T, 1.0, 0.0)  # noqa: E731
    mark = dh.Event(lambda t, x, T: t - T, terminate=False)
    return dh.solve(field, 0.3, 1.0, args=T, control=TIGHT, events=mark, adjoint=adjoint).x


@pytest.mark.parametrize("end", [by_stop, by_event])
@pytest.mark.parametrize("adjoint", [dh.Tape(), dh.Tape(memory=200), dh.Direct()])
def test_the_derivative_by_the_time_of_a_switch(end, adjoint):
    """x' = -k x + u(t < T): dx(1)/dT = exp(-k (1 - T))."""
    value, slope = jax.value_and_grad(lambda T: end(T, adjoint))(0.6)
    exact = 0.3 * np.exp(-0.7) + (np.exp(-0.7 * 0.4) - np.exp(-0.7)) / 0.7
    np.testing.assert_allclose([value, slope], [exact, np.exp(-0.7 * 0.4)], rtol=1e-9)
    np.testing.assert_allclose(jax.jvp(lambda T: end(T, dh.Tape()), (0.6,), (1.0,))[1], slope, rtol=1e-9)


@pytest.mark.parametrize("reset", [None, lambda t, x, a: x])
@pytest.mark.parametrize("lanes", [False, True])
def test_a_surface_behind_which_the_field_is_another(reset, lanes):
    """x' = 1 before x = a, 2 behind it, from 0 to t = 1: x = 2 - a, and dx/dx0 = 2."""
    field = lambda t, x, a: jnp.where(x < a, 1.0, 2.0)  # noqa: E731
    event = dh.Event(lambda t, x, a: x[0] - a, terminate=False, reset=reset)

    def end(x0, a):
        if lanes:
            x0s = jnp.stack([x0, x0 - 0.1])[:, None]
            return dh.ensemble(field, x0s, 1.0, args=a, control=TIGHT, events=event).x[0, 0]
        return dh.solve(field, jnp.stack([x0]), 1.0, args=a, control=TIGHT, events=event).x[0]

    np.testing.assert_allclose(end(0.0, 0.5), 1.5, rtol=1e-12)
    np.testing.assert_allclose(jax.grad(end, (0, 1))(0.0, 0.5), (2.0, -1.0), rtol=1e-9)


SQUARE = jnp.arange(1.0, 8.0) / 2
JUMPING = {
    "Tsit5": (dh.Tsit5(), dh.PID(1e-8, 1e-10, stops=SQUARE)),
    "Verner7": (dh.Verner7(), dh.PID(1e-8, 1e-10, stops=SQUARE)),
    "Rodas5P": (dh.Rodas5P(), dh.PID(1e-8, 1e-10, stops=SQUARE)),
    "BDF": (dh.BDF(), dh.PID(1e-8, 1e-10, stops=SQUARE)),
    "RK4": (dh.RK4(), dh.Fixed(16, stops=True)),
}


@pytest.mark.parametrize("name", JUMPING)
def test_dense_output_keeps_to_its_side_of_a_jump(name):
    method, control = JUMPING[name]
    square = lambda t, x: jnp.where(t % 1 < 0.5, 1.0, -1.0) * jnp.ones_like(x)  # noqa: E731
    sol = dh.solve(square, 0.0, 4.0, method=method, control=control, save=dh.Save(dense=True))
    t = np.sort(np.concatenate([np.linspace(0.001, 3.999, 97), SQUARE - 1e-9, SQUARE + 1e-9]))
    np.testing.assert_allclose(sol(jnp.asarray(t)), np.minimum(t % 1, 1 - t % 1), atol=1e-9)


@pytest.mark.parametrize(
    "g, at",
    [
        (lambda t, x: jnp.where(t < 1.0, -1.0, 1.0), 1.0),
        (lambda t, x: jnp.where(x < 0.5, -1.0, 1.0), np.log(2.0)),
        (lambda t, x: x < 0.5, np.log(2.0)),
        (lambda t, x: jnp.sqrt(0.5 - x), np.log(2.0)),
        (lambda t, x: jnp.sqrt(x - 0.5), np.log(2.0)),
    ],
    ids=["jumps in t", "jumps in x", "a condition", "not a number before", "not a number behind"],
)
@pytest.mark.parametrize("terminate", [True, False])
def test_zeros_without_a_slope(g, at, terminate):
    sol = dh.solve(lambda t, x: -x, 1.0, 3.0, control=TIGHT, events=dh.Event(g, terminate=terminate))
    assert sol.events.count == 1 and sol.ok
    np.testing.assert_allclose(sol.events.last, at, atol=1e-8)
    np.testing.assert_allclose(sol.x1, np.exp(-at if terminate else -3.0), atol=1e-8)


def test_a_dip_between_two_samples():
    """(x - 1)^2 - 1e-6 along x = t: both roots, a hundredth of a step apart."""
    dip = dh.Event(lambda t, x: (x - 1) ** 2 - 1e-6, terminate=False)
    sol = dh.solve(lambda t, x: 1.0 + 0 * x, 0.0, 3.0, control=TIGHT, events=dip)
    assert sol.events.count == 2
    np.testing.assert_allclose(sol.events.t[:2], [0.999, 1.001], rtol=1e-9)


# Differential-algebraic equations: x' = -x, y = 3 x

CONSTRAINED = dh.DAE(lambda t, x: jnp.stack([-x[0], x[1] - 3 * x[0]]), np.diag([1.0, 0.0]))
START = jnp.array([1.0, 3.0])
ALGEBRAIC = {"Rodas5P": dh.Rodas5P, "Kvaerno5": dh.Kvaerno5, "BDF": dh.BDF}


@pytest.mark.parametrize("name", ALGEBRAIC)
def test_algebraic_variables_are_solved_for_behind_a_dose(name):
    ts = np.array([0.5, 1.0, 1.1, 1.5, 2.0])
    dose = dh.Event(lambda t, x: t - 1.0, reset=lambda t, x, a: x + jnp.array([2.0, 0.0]), terminate=False)
    sol = dh.solve(CONSTRAINED, START, ts, method=ALGEBRAIC[name](), control=dh.PID(1e-8, 1e-10), events=dose)
    x = np.exp(-ts) + (ts > 1) * 2 * np.exp(-(ts - 1))
    np.testing.assert_allclose(sol.x, np.stack([x, 3 * x], -1), atol=5e-7)


@pytest.mark.parametrize("name", ALGEBRAIC)
def test_an_event_on_an_algebraic_variable_and_the_velocity_at_the_end(name):
    method, control = ALGEBRAIC[name](), dh.PID(1e-8, 1e-10)

    @jax.jit
    def when(level):
        event = dh.Event(lambda t, x, q: x[1] - q)
        return dh.solve(CONSTRAINED, START, 5.0, args=level, method=method, control=control, events=event).t1

    T, slope = jax.value_and_grad(when)(1.5)
    np.testing.assert_allclose([T, slope], [np.log(2.0), -1 / 1.5], atol=1e-6)
    end = jax.jit(jax.jacrev(lambda t1: dh.solve(CONSTRAINED, START, t1, method=method, control=control).x))(0.5)
    np.testing.assert_allclose(end, -np.exp(-0.5) * np.array([1.0, 3.0]), atol=1e-6)


def test_the_velocity_is_that_of_the_solution_not_of_the_right_hand_side():
    """10 x' = -10 k x: the time at which x = 1/2 is log 2 / k."""
    half = dh.Event(lambda t, x: x[0] - 0.5)
    problem = dh.DAE(lambda t, x, k: -10 * k * x, 10 * jnp.eye(1))
    how = {"method": dh.Rodas5P(), "control": TIGHT, "events": half}
    when = lambda k: dh.solve(problem, jnp.ones(1), 5.0, args=k, **how).t1  # noqa: E731
    np.testing.assert_allclose(jax.grad(when)(1.0), -np.log(2.0), rtol=1e-7)


# Steps


@pytest.mark.parametrize("method", [dh.Tsit5(), dh.Rodas5P(), dh.BDF()])
def test_a_pulse_is_met_where_steps_are_bounded(method):
    pulse = lambda t, x: jnp.exp(-0.5 * ((t - 5) / 0.05) ** 2) - 0 * x  # noqa: E731
    sol = dh.solve(pulse, 0.0, 10.0, method=method, control=dh.PID(1e-8, 1e-10, max_step=0.1))
    np.testing.assert_allclose(sol.x, 0.05 * np.sqrt(2 * np.pi), rtol=1e-6)


def test_bounds_on_steps_are_each_lanes_own():
    bounds = jnp.array([0.05, 0.2, 1.0])
    flat = lambda t, x: 0 * x + 1.0  # noqa: E731
    sols = dh.ensemble(flat, jnp.ones((3, 1)), 4.0, control=dh.PID(max_step=bounds))
    assert np.all(sols.stats.accepted >= np.ceil(4 / bounds - 0.01))
    assert sols.stats.accepted[0] > 4 * sols.stats.accepted[2]


def test_a_shortest_step_is_taken_whatever_its_error():
    kink = lambda t, x: jnp.where(t < 0.5, -x, 5 * x)  # noqa: E731
    sol = dh.solve(kink, 1.0, 1.0, control=dh.PID(1e-12, 1e-12, min_step=0.05))
    assert sol.ok and sol.stats.accepted <= 21
    nothing = dh.solve(
        lambda t, x: jnp.where(t < 0.5, -x, jnp.nan), 1.0, 1.0, control=dh.PID(min_step=0.05), throw=False
    )
    assert nothing.status == dh.Status.nonfinite


@pytest.mark.parametrize(
    "given, words",
    [({"max_step": 0.0}, "must be positive"), ({"max_step": 0.1, "min_step": 0.2}, "must not exceed max_step")],
)
def test_bounds_that_cannot_be(given, words):
    with pytest.raises(ValueError, match=words):
        dh.solve(lambda t, x: -x, 1.0, 1.0, control=dh.PID(**given))


# Values between the steps


@pytest.mark.parametrize("lam", [1e2, 1e6])
@pytest.mark.parametrize("method", [dh.Kvaerno5(), dh.ESDIRK43(), dh.TRBDF2()])
def test_values_between_stiff_steps_are_as_good_as_those_at_their_ends(method, lam):
    """Prothero and Robinson: x' = -lam (x - cos 3t) - 3 sin 3t."""
    field = lambda t, x: -lam * (x - jnp.cos(3 * t)) - 3 * jnp.sin(3 * t)  # noqa: E731
    ts, how = np.linspace(0.01, 2, 100), {"method": method, "control": dh.PID(1e-6, 1e-8)}
    saved = dh.solve(field, 1.0, ts, **how)
    steps = dh.solve(field, 1.0, 2.0, save=dh.Save(steps=True), **how)
    worst = np.abs(steps.x - np.cos(3 * steps.t)).max()
    assert np.abs(saved.x - np.cos(3 * ts)).max() < 3 * max(worst, 1e-6)


NOISY = {"SRA1": dh.SRA1(), "ShARK": dh.ShARK(), "SOSRI": dh.SOSRI(), "EulerMaruyama": dh.EulerMaruyama()}
HOW = [(name, "grid") for name in NOISY] + [(name, "adaptive") for name in NOISY if name != "EulerMaruyama"]


@pytest.mark.parametrize("name, control", [("SRA1", "grid"), ("ShARK", "adaptive")])
def test_saved_paths_have_the_law_of_the_process(name, control):
    saved_paths(name, control)


@pytest.mark.slow
@pytest.mark.parametrize("name, control", HOW)
def test_saved_paths_have_the_law_of_the_process_by_every_method(name, control):
    saved_paths(name, control)


def saved_paths(name, control):
    """dx = -2 x dt + dW at 101 times, few of them on steps: increments, variances, covariances, quadratic variation."""
    ts, lanes, k = np.linspace(0, 1, 102)[1:], 256, 2.0
    ou = dh.SDE(lambda t, x: -k * x, lambda t, x: 1.0 + 0 * x, noise="additive", calculus="ito")
    how = {
        "method": NOISY[name],
        "control": dh.Fixed(40) if control == "grid" else dh.PID(1e-2, 1e-4),
        "key": jax.random.key(7),
    }
    x0s = jnp.zeros((lanes, 1))
    x = np.asarray(dh.ensemble(ou, x0s, ts, **how).x[..., 0])
    end = dh.ensemble(ou, x0s, 1.0, **how).x[..., 0]
    # The same path, saved or not; on a grid the same steps. Adaptive steps along a rough path amplify rounding.
    np.testing.assert_allclose(x[:, -1], end, atol=1e-12 if control == "grid" else 1e-2)
    path = np.concatenate([np.zeros((lanes, 1)), x], axis=1)
    dt = ts[0]
    noise = (path[:, 1:] - np.exp(-k * dt) * path[:, :-1]) / np.sqrt((1 - np.exp(-2 * k * dt)) / (2 * k))
    assert stats.kstest(noise.ravel()[::7], "norm").pvalue > 1e-3
    np.testing.assert_allclose(np.mean(noise**2, axis=0), 1.0, atol=5.5 * np.sqrt(2 / lanes))
    np.testing.assert_allclose(np.mean(noise**2), 1.0, atol=0.05)  # the quadratic variation
    off = np.corrcoef(noise.T) - np.eye(len(ts))
    assert np.abs(off).max() < 5.5 / np.sqrt(lanes)
    variance = (1 - np.exp(-2 * k * ts)) / (2 * k)
    np.testing.assert_allclose(np.var(x, axis=0) / variance, 1.0, atol=5.5 * np.sqrt(2 / lanes))


def test_events_of_noisy_equations_are_refused():
    bm = dh.SDE(lambda t, x: 0 * x, lambda t, x: 1.0 + 0 * x, noise="additive")
    with pytest.raises(ValueError, match=r"has no events here.*late by O\(sqrt\(h\)\)"):
        dh.solve(bm, 0.0, 1.0, method=dh.SRA1(), key=jax.random.key(0), events=dh.Event(lambda t, x: x - 1.0))
