"""Laws of the loop: what a lane may see of its neighbours (nothing), and what is saved when.

The first half are the laws that torchode's tests hold its loop to, the second the behaviours of diffrax's SaveAt.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh

CONTROL = dh.PID(1e-7, 1e-9)


def van_der_pol(t, x, mu):
    return jnp.stack([x[1], mu * (1.0 - x[0] ** 2) * x[1] - x[0]])


def gate(t, x):
    """A sudden push: an explicit step that was chosen before it has to be rejected."""
    return -x + 50.0 * jnp.exp(-(((t - 2.0) / 0.02) ** 2))


MU = jnp.array([0.5, 30.0, 3.0, 100.0, 1.0])
X0 = jnp.tile(jnp.array([2.0, 0.0]), (5, 1))


def alone(mu, ts=3.0, **how):
    return dh.solve(van_der_pol, X0[0], ts, args=mu, control=CONTROL, **how)


def same(a, b):
    """Equal but for the rounding of another order of summation."""
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


# Lanes


@pytest.mark.parametrize("together", ["ensemble", "vmap"])
def test_a_lane_takes_the_steps_it_takes_alone(together):
    if together == "ensemble":
        sols = dh.ensemble(van_der_pol, X0, 3.0, args=MU, in_axes=0, control=CONTROL)
    else:
        sols = jax.vmap(alone)(MU)
    for i, mu in enumerate(MU):
        sol = alone(mu)
        same(sols.x[i], sol.x)
        assert int(sols.stats.accepted[i]) == int(sol.stats.accepted)
        assert int(sols.stats.rejected[i]) == int(sol.stats.rejected)
        assert int(sols.stats.nfe[i]) == int(sol.stats.nfe)


def test_lanes_do_not_depend_on_their_neighbours():
    """Whoever they are, one that fails included: the same steps, and states that differ by rounding at most."""
    ts = jnp.linspace(0.0, 3.0, 7)
    how = {"in_axes": 0, "control": CONTROL, "throw": False}
    every = dh.ensemble(van_der_pol, X0, ts, args=MU, **how)
    others = np.array([0, 2, 3, 4])
    for mu in (0.1, 0.7, 5.0, 60.0, 200.0, jnp.nan):
        swapped = dh.ensemble(van_der_pol, X0, ts, args=MU.at[1].set(mu), **how)
        np.testing.assert_allclose(every.x[others], swapped.x[others], rtol=1e-13, atol=1e-13)
        for name in ("accepted", "rejected", "nfe"):
            np.testing.assert_array_equal(getattr(every.stats, name)[others], getattr(swapped.stats, name)[others])
    assert int(swapped.status[1]) != 0 and not np.any(swapped.status[others])


def test_a_lane_that_blows_up_leaves_the_others_alone():
    f = lambda t, x, rate: rate * x * x  # noqa: E731
    rates = jnp.array([-1.0, 1.0, 0.3, 2.0])  # 1/(1 - rate t) ends at t = 1 and t = 1/2 for two of them
    sols = dh.ensemble(f, jnp.ones((4, 1)), 2.0, args=rates, in_axes=0, control=CONTROL, max_steps=200, throw=False)
    np.testing.assert_array_equal(sols.status == 0, [True, False, True, False])
    np.testing.assert_allclose(sols.x[::2, 0], 1 / (1 - rates[::2] * 2.0), rtol=1e-6)


@pytest.mark.parametrize("together", ["ensemble", "vmap"])
def test_gradients_do_not_pass_between_lanes(together):
    f = lambda t, x, rate: rate * x * x  # noqa: E731

    def loss(rates):
        how = {"control": CONTROL, "max_steps": 200, "throw": False}
        if together == "ensemble":
            x = dh.ensemble(f, jnp.ones((3, 1)), 2.0, args=rates, in_axes=0, **how).x[:, 0]
        else:
            x = jax.vmap(lambda r: dh.solve(f, 1.0, 2.0, args=r, **how).x)(rates)
        return x[0] + x[2]  # nothing depends on the lane that blows up

    rates = jnp.array([-1.0, 2.0, 0.3])
    exact = 2.0 / (1 - rates * 2.0) ** 2
    grad = jax.grad(loss)(rates)
    np.testing.assert_allclose(grad[::2], exact[::2], rtol=1e-5)
    assert float(grad[1]) == 0.0


def test_opposite_directions_in_one_batch():
    ends = jnp.array([1.5, -1.5, 0.2, -3.0])
    sols = jax.vmap(lambda t1: dh.solve(gate, 1.0, t1, control=CONTROL))(ends)
    for i, t1 in enumerate(ends):
        sol = dh.solve(gate, 1.0, t1, control=CONTROL)
        same(sols.x[i], sol.x)
        assert int(sols.stats.accepted[i]) == int(sol.stats.accepted)
    np.testing.assert_array_equal(sols.t1, ends)


def test_save_times_in_opposite_directions():
    ts = jnp.stack([jnp.linspace(0.0, 2.0, 5), -jnp.linspace(0.0, 2.0, 5)])
    sols = jax.vmap(lambda ts: dh.solve(lambda t, x: -x, 1.0, ts, control=dh.PID(1e-9, 1e-9)))(ts)
    np.testing.assert_allclose(sols.x, np.exp(-np.asarray(ts)), rtol=1e-7)


def test_different_beginnings_in_one_batch():
    begins = jnp.array([0.0, 1.9, 2.5])
    sols = jax.vmap(lambda t0: dh.solve(gate, 1.0, 3.0, t0=t0, control=CONTROL))(begins)
    for i, t0 in enumerate(begins):
        same(sols.x[i], dh.solve(gate, 1.0, 3.0, t0=t0, control=CONTROL).x)


def test_a_finished_lane_does_not_move():
    ends = jnp.array([1e-3, 5.0])
    sols = jax.vmap(lambda t1: dh.solve(gate, 1.0, t1, control=CONTROL, save=dh.Save(steps=True)))(ends)
    short = dh.solve(gate, 1.0, ends[0], control=CONTROL)
    n = int(short.stats.accepted)
    assert n < 20 < int(sols.stats.accepted[1])
    assert int(sols.stats.accepted[0]) == n and int(sols.stats.rejected[0]) == int(short.stats.rejected)
    np.testing.assert_array_equal(sols.t[0, n:], np.full_like(sols.t[0, n:], ends[0]))
    np.testing.assert_array_equal(sols.x[0, n:], np.full_like(sols.x[0, n:], sols.x[0, n]))
    assert float(sols.x1[0]) == float(sols.x[0, n])


# Steps


def test_a_rejected_step_is_tried_again_from_where_it_began():
    sol = dh.solve(gate, 1.0, 4.0, control=CONTROL, save=dh.Save(steps=True))
    assert int(sol.stats.rejected) > 0
    assert np.all(np.diff(sol.t) > 0) and sol.t[0] == 0.0 and sol.t[-1] == 4.0
    assert sol.t.shape == (int(sol.stats.accepted) + 1,)
    # Each step, taken alone from the state it began with, gives the next state: nothing of a rejected one is left.
    one = jax.vmap(lambda t, t1, x: dh.solve(gate, x, t1, t0=t, control=dh.Fixed(1)).x)
    np.testing.assert_allclose(one(sol.t[:-1], sol.t[1:], sol.x[:-1]), sol.x[1:], rtol=1e-12)
    fine = dh.solve(gate, 1.0, 4.0, control=dh.PID(1e-12, 1e-12), max_steps=100000)
    np.testing.assert_allclose(sol.x1, fine.x, rtol=1e-5)


def test_errors_of_accepted_steps_are_within_the_tolerance():
    loose, tight = (dh.solve(gate, 1.0, 4.0, control=dh.PID(tol, tol)) for tol in (1e-4, 1e-8))
    assert int(tight.stats.accepted) > 2 * int(loose.stats.accepted)
    assert float(tight.error) < 1e-2 * float(loose.error)


def test_a_first_step_that_is_far_too_long_is_rejected_and_forgotten():
    calm = dh.solve(van_der_pol, X0[0], 2.0, args=30.0, control=CONTROL)
    rash = dh.solve(van_der_pol, X0[0], 2.0, args=30.0, control=CONTROL, dt0=2.0)
    assert int(rash.stats.rejected) > int(calm.stats.rejected)
    np.testing.assert_allclose(rash.x, calm.x, rtol=1e-5)


def test_save_times_neither_shorten_steps_nor_add_any():
    ends = alone(3.0)
    saved = alone(3.0, jnp.linspace(0.0, 3.0, 200))
    assert int(saved.stats.accepted) == int(ends.stats.accepted)
    np.testing.assert_allclose(saved.x[-1], ends.x, rtol=1e-14)


def test_running_out_of_steps_keeps_what_was_found():
    ts = jnp.linspace(0.5, 50.0, 100)
    sol = alone(30.0, ts, max_steps=60, throw=False)
    full = alone(30.0, ts, max_steps=4096)
    assert dh.Status(int(sol.status)) is dh.Status.max_steps_reached
    reached = ts <= sol.t1
    assert 0 < int(jnp.sum(reached)) < 100
    np.testing.assert_array_equal(sol.x[reached], full.x[reached])
    assert bool(jnp.all(jnp.isnan(sol.x[~reached])))
    with pytest.raises(dh.SolveError, match="max_steps"):
        alone(30.0, ts, max_steps=60)


# Saving


def exact(t):
    return np.exp(-np.asarray(t))


def decay(t, x, args=None):
    return -x


TIGHT = dh.PID(1e-9, 1e-9)


@pytest.mark.parametrize("control", [TIGHT, dh.Fixed(40)], ids=["adaptive", "fixed"])
@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["forwards", "backwards"])
def test_times_may_begin_at_the_start_and_crowd_a_step(control, sign):
    ts = sign * jnp.concatenate([jnp.array([0.0]), 0.5 + 1e-9 * jnp.arange(5.0), jnp.linspace(0.6, 2.0, 90)])
    sol = dh.solve(decay, 1.0, ts, control=control)
    np.testing.assert_array_equal(sol.t, ts)
    np.testing.assert_allclose(sol.x, exact(ts), rtol=2e-7)
    assert float(sol.x[0]) == 1.0


def test_a_single_save_time_has_a_time_axis():
    assert dh.solve(decay, 1.0, jnp.array([2.0])).x.shape == (1,)
    assert dh.solve(decay, 1.0, 2.0).x.shape == ()


def test_saving_agrees_with_the_end():
    sol = dh.solve(decay, jnp.ones(2), jnp.array([0.7, 2.0]), control=TIGHT)
    np.testing.assert_allclose(sol.x[-1], sol.x1, rtol=1e-14)
    assert float(sol.t1) == 2.0


def test_every_step_of_a_grid():
    sol = dh.solve(decay, 1.0, 2.0, control=dh.Fixed(8), save=dh.Save(steps=True))
    np.testing.assert_allclose(sol.t, np.linspace(0.0, 2.0, 9), rtol=1e-15)
    grid = jnp.array([0.0, 0.1, 0.5, 2.0])
    sol = dh.solve(decay, 1.0, 2.0, control=dh.Fixed(grid=grid), save=dh.Save(steps=True))
    np.testing.assert_array_equal(sol.t, grid)


def test_every_step_inside_jit_repeats_the_last():
    how = {"control": TIGHT, "save": dh.Save(steps=True), "max_steps": 64}
    outside = dh.solve(decay, 1.0, 2.0, **how)
    inside = jax.jit(lambda x: dh.solve(decay, x, 2.0, **how))(1.0)
    n = outside.t.shape[0]
    assert inside.t.shape == (65,) and n < 65
    np.testing.assert_array_equal(inside.t[:n], outside.t)
    assert bool(jnp.all(inside.t[n:] == 2.0)) and bool(jnp.all(inside.x[n:] == inside.x[n - 1]))


def test_functions_of_the_state_at_every_step_and_at_times():
    fn = lambda t, x, args: {"twice": 2 * x, "t": t}  # noqa: E731
    steps = dh.solve(decay, 1.0, 2.0, control=TIGHT, save=dh.Save(steps=True, fn=fn))
    np.testing.assert_allclose(steps.x["twice"], 2 * exact(steps.t), rtol=1e-7)
    np.testing.assert_array_equal(steps.x["t"], steps.t)
    ts = jnp.linspace(0.0, 2.0, 5)
    times = dh.solve(decay, 1.0, ts, control=TIGHT, save=dh.Save(fn=fn))
    np.testing.assert_allclose(times.x["twice"], 2 * exact(ts), rtol=1e-7)
    end = dh.solve(decay, 1.0, 2.0, control=TIGHT, save=dh.Save(fn=fn))
    np.testing.assert_allclose(end.x["twice"], 2 * exact(2.0), rtol=1e-7)
    assert end.x1.shape == ()


@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["forwards", "backwards"])
def test_dense_output_between_and_at_the_steps(sign):
    sol = dh.solve(decay, 1.0, 2.0 * sign, control=TIGHT, save=dh.Save(dense=True))
    np.testing.assert_allclose(jax.vmap(sol)(sol.t), sol.x, rtol=1e-14)
    ts = sign * jnp.linspace(0.0, 2.0, 101)
    np.testing.assert_allclose(sol(ts), exact(ts), rtol=1e-7)
    assert float(sol(0.0)) == 1.0


def test_asking_for_more_does_not_change_the_steps():
    counts = {
        int(dh.solve(gate, 1.0, times, control=CONTROL, save=save).stats.accepted)
        for times, save in (
            (4.0, None),
            (jnp.linspace(0.0, 4.0, 50), None),
            (4.0, dh.Save(steps=True)),
            (4.0, dh.Save(dense=True)),
            (4.0, dh.Save(fn=lambda t, x, args: 0 * x)),
        )
    }
    assert len(counts) == 1


# Times


def test_small_steps_at_large_times_in_single_precision():
    """t0 = 1e3 has a resolution of 6e-5 in float32; steps of 1e-3 keep their digits all the same."""
    x0 = jnp.asarray(1.0, jnp.float32)
    t0, width = 1e3, 0.5
    sol = dh.solve(lambda t, x: -5.0 * x, x0, t0 + width, t0=t0, control=dh.Fixed(500))
    np.testing.assert_allclose(sol.x, np.exp(-5.0 * width), rtol=2e-5)
    adaptive = dh.solve(lambda t, x: -5.0 * x, x0, t0 + width, t0=t0, control=dh.PID(1e-5, 1e-6), dt0=1e-3)
    np.testing.assert_allclose(adaptive.x, np.exp(-5.0 * width), rtol=2e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_times_of_a_nanosecond(dtype):
    x0 = jnp.asarray(1.0, dtype)
    ts = jnp.asarray(np.linspace(0.0, 1e-9, 6), dtype)
    for control in (dh.PID(1e-5, 1e-6), dh.Fixed(20)):
        sol = dh.solve(lambda t, x: -2e9 * x, x0, ts, control=control)
        np.testing.assert_allclose(sol.x, np.exp(-2e9 * np.asarray(ts, np.float64)), rtol=1e-4)
