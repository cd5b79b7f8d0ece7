"""A failure shows under every transform, and only in what depends on it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel import pde

RATES = jnp.array([0.1, 200.0, jnp.nan, 0.2])  # the second runs out of steps
FEW = 14


def decay(t, x, k):
    return -k * x


def end(k, **how):
    return dh.solve(decay, 1.0, 1.0, args=k, max_steps=FEW, **how).x


def test_grad_outside_jit_raises():
    with pytest.raises(dh.SolveError, match="ran out of steps"):
        jax.value_and_grad(end)(200.0)


def test_value_and_derivatives_inside_jit_and_vmap_are_nan():
    assert np.isnan(jax.jit(jax.value_and_grad(end))(200.0)).all()
    assert np.isnan(jax.jit(lambda k: jax.jvp(end, (k,), (1.0,)))(200.0)).all()
    value, grad = jax.vmap(jax.value_and_grad(end))(RATES[:2])
    assert np.isnan([value[1], grad[1]]).all()
    np.testing.assert_allclose([value[0], grad[0]], [np.exp(-0.1), -np.exp(-0.1)], rtol=1e-6)


def test_throw_false_leaves_the_numbers():
    value, grad = jax.jit(jax.value_and_grad(lambda k: end(k, throw=False)))(200.0)
    assert np.isfinite([value, grad]).all()


def test_every_number_of_a_failed_solve_but_its_time():
    save = dh.Save(steps=True, stiffness=True)
    event = dh.Event(lambda t, x: x - 0.9, terminate=False)
    run = jax.jit(lambda k: dh.solve(decay, 1.0, 1.0, args=k, max_steps=FEW, save=save, events=event))
    sol = run(200.0)
    numbers = (sol.x, sol.x1, sol.error, sol.stiffness, sol.events.x, sol.events.last)
    assert all(np.isnan(leaf).all() for leaf in numbers)
    assert not sol.ok and np.isfinite(sol.t1)


def test_a_field_equation_and_a_law_inside_jit():
    grid = pde.periodic(16, 2 * np.pi)
    blown = jax.jit(lambda u0: pde.solve(pde.Burgers(1e-3), grid, u0, 1.0, steps=20).x)(
        1e8 * np.sin(np.arange(16) * np.pi / 8)
    )
    assert np.isnan(blown).all()


@pytest.mark.parametrize(
    "adjoint",
    [
        pytest.param(dh.Tape(), id="Tape"),
        pytest.param(dh.Backsolve(), id="Backsolve", marks=pytest.mark.slow),
        pytest.param(dh.Interpolating(), id="Interpolating", marks=pytest.mark.slow),
    ],
)
def test_masked_lanes_weigh_nothing_in_an_ensemble(adjoint):
    """Shared weights, lanes' own parameters and states: those of the lanes that arrived, exactly 0 elsewhere."""

    def loss(w, x0s, rates, chunk):
        how = {"args": (w, rates), "in_axes": (None, 0), "max_steps": FEW, "adjoint": adjoint, "chunk": chunk}
        sol = dh.ensemble(lambda t, x, a: -a[0] * a[1] * x, x0s, 1.0, **how)
        return jnp.sum(jnp.where(sol.ok, sol.x, 0.0))

    arrived = np.array([1.0, 0.0, 0.0, 1.0])
    k = np.nan_to_num(np.asarray(RATES))
    for chunk in (4, 2):
        w_bar, x_bar, k_bar = jax.jit(jax.grad(loss, (0, 1, 2)), static_argnums=3)(1.0, jnp.ones(4), RATES, chunk)
        np.testing.assert_allclose(w_bar, np.sum(-k * np.exp(-k) * arrived), rtol=1e-6)
        np.testing.assert_allclose(x_bar, np.exp(-k) * arrived, rtol=1e-6)
        np.testing.assert_allclose(k_bar, -np.exp(-k) * arrived, rtol=1e-6)


def test_masked_lanes_under_vmap_and_on_a_fixed_grid():
    def loss(w, how):
        f = lambda t, x, k: -w * k * x  # noqa: E731
        sol = jax.vmap(lambda k: dh.solve(f, 1.0, 1.0, args=k, **how))(RATES)
        return jnp.sum(jnp.where(sol.ok, sol.x, 0.0))

    truth = -0.1 * np.exp(-0.1) - 0.2 * np.exp(-0.2)
    np.testing.assert_allclose(jax.grad(loss)(1.0, {"max_steps": FEW}), truth, rtol=1e-6)
    k = jnp.array([0.1, jnp.nan, 0.2])
    how = {"method": dh.Reversible(dh.RK4()), "control": dh.Fixed(16)}
    for adjoint in (dh.Tape(), dh.ReversibleAdjoint()):

        def masked(w, adjoint=adjoint):
            args = {"args": (w, k), "in_axes": (None, 0), "adjoint": adjoint}
            sol = dh.ensemble(lambda t, x, a: -a[0] * a[1] * x, jnp.ones(3), 1.0, **args, **how)
            return jnp.sum(jnp.where(sol.ok, sol.x, 0.0))

        np.testing.assert_allclose(jax.grad(jax.jit(masked))(1.0), truth, rtol=1e-6)


def test_a_lane_that_is_asked_for_spoils_what_it_shares():
    def loss(w, x0s):
        how = {"args": (w, RATES), "in_axes": (None, 0), "max_steps": FEW}
        return jnp.sum(dh.ensemble(lambda t, x, a: -a[0] * a[1] * x, x0s, 1.0, **how).x)

    w_bar, x_bar = jax.jit(jax.grad(loss, (0, 1)))(1.0, jnp.ones(4))
    assert np.isnan(w_bar)
    assert np.isnan(np.asarray(x_bar)).tolist() == [False, True, True, False]
