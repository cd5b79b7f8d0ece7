"""Going on from a solution, watching a solve, and the stiffness it met."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.testing import gradient_error


def van_der_pol(t, x, mu):
    return jnp.stack([x[1], mu * (1 - x[0] ** 2) * x[1] - x[0]])


X0 = jnp.array([2.0, 0.0])


def test_past_max_steps_to_the_same_numbers():
    """A solve cut at 100 attempts, three times over, equals the one that was not."""
    full = dh.solve(van_der_pol, X0, 20.0, args=5.0)
    sol, accepted, attempts = X0, 0, 0
    for _ in range(20):
        sol = dh.solve(van_der_pol, sol, 20.0, args=5.0, max_steps=100, throw=False)
        accepted, attempts = accepted + sol.stats.accepted, attempts + 1
        if sol.ok:
            break
        assert sol.status == dh.Status.max_steps_reached
    assert attempts > 2 and sol.t1 == 20.0 and accepted == full.stats.accepted
    np.testing.assert_allclose(sol.x, full.x, rtol=1e-12)  # two compiled programs


def test_to_a_later_time_and_at_save_times():
    first = dh.solve(van_der_pol, X0, 3.0, args=5.0, control=dh.PID(1e-10, 1e-12))
    ts = jnp.linspace(4.0, 9.0, 6)
    rest = dh.solve(van_der_pol, first, ts, args=5.0, control=dh.PID(1e-10, 1e-12))
    whole = dh.solve(van_der_pol, X0, ts, args=5.0, control=dh.PID(1e-10, 1e-12))
    np.testing.assert_allclose(rest.x, whole.x, rtol=1e-6)
    fixed = dh.solve(van_der_pol, first, 4.0, args=5.0, method=dh.RK4(), control=dh.Fixed(400))
    np.testing.assert_allclose(fixed.x, whole.x[0], rtol=1e-6)


def test_on_from_an_event():
    """A ball that stopped at the ground goes on from there with its speed turned round."""
    fall = lambda t, x: jnp.stack([x[1], -9.81 * jnp.ones_like(x[0])])  # noqa: E731
    event = dh.Event(lambda t, x: x[0], direction=-1, reset=lambda t, x, args: x * jnp.array([0.0, -1.0]))
    first = dh.solve(fall, jnp.array([10.0, 0.0]), 9.0, events=event)
    second = dh.solve(fall, first, 9.0, events=event)
    np.testing.assert_allclose(second.t1, 3 * first.t1, rtol=1e-9)


def test_lanes_go_on_each_from_its_own_time():
    mus = jnp.array([0.5, 5.0, 50.0])
    x0s = jnp.tile(X0, (3, 1))
    full = dh.ensemble(van_der_pol, x0s, 20.0, args=mus, in_axes=0)
    part = dh.ensemble(van_der_pol, x0s, 20.0, args=mus, in_axes=0, max_steps=120, throw=False)
    assert list(part.status) != [0, 0, 0]
    rest = dh.ensemble(van_der_pol, part, 20.0, args=mus, in_axes=0)
    np.testing.assert_array_equal(rest.x, full.x)


def test_gradient_of_the_second_half():
    first = dh.solve(van_der_pol, X0, 1.0, args=2.0)
    control = dh.PID(1e-11, 1e-12)
    loss = lambda mu: jnp.sum(dh.solve(van_der_pol, first, 3.0, args=mu, control=control).x ** 2)  # noqa: E731
    assert gradient_error(loss, 2.0) < 1e-6


def test_progress_rises_to_one():
    seen = []
    jax.block_until_ready(dh.solve(van_der_pol, X0, 40.0, args=5.0, progress=seen.append).x)
    jax.effects_barrier()
    parts = [float(p) for p in seen]
    assert len(parts) > 5 and parts == sorted(parts) and parts[-1] == 1.0


@pytest.mark.parametrize("method", [dh.Tsit5(), dh.Dopri5(), dh.Bosh3(), dh.Verner7()])
def test_stiffness_is_the_step_times_the_eigenvalue(method):
    """x' = -50 (x - cos t) on 400 equal steps of h = 0.01: h rho = 0.5."""
    f = lambda t, x: -50.0 * (x - jnp.cos(t))  # noqa: E731
    save = dh.Save(stiffness=True)
    sol = dh.solve(f, 0.5, 4.0, method=method, control=dh.Fixed(400), save=save)
    np.testing.assert_allclose(sol.stiffness / sol.stats.accepted, 0.5, rtol=1e-5)
    assert dh.solve(f, 0.5, 4.0, method=method, control=dh.Fixed(400)).stiffness is None


def test_gradient_of_the_stiffness():
    """Quotients of small differences carry rounding of 1e-11: a longer difference than usual."""
    save = dh.Save(stiffness=True)
    loss = lambda mu: dh.solve(van_der_pol, X0, 2.0, args=mu, control=dh.Fixed(40), save=save).stiffness  # noqa: E731
    assert gradient_error(loss, 2.0, step=2e-4) < 1e-6


def test_a_solution_without_an_end_is_refused():
    with pytest.raises(ValueError, match="cannot be continued"):
        sol = dh.solve(van_der_pol, X0, 1.0, args=2.0)
        object.__setattr__(sol, "resume", None)
        dh.solve(van_der_pol, sol, 2.0, args=2.0)
