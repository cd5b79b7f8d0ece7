"""One adjoint serves forward mode, reverse mode and both together; what none serves is refused by a sentence."""

import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest

import duhamel as dh

TIGHT = dh.PID(1e-10, 1e-12)


def riccati(v, t1=1.2, **how):
    """x' = -k x^2: x(t1) = x0 / (1 + k x0 t1). v = (k, x0)."""
    return dh.solve(lambda t, x, k: -k * x * x, v[1], t1, args=v[0], **{"control": TIGHT} | how).x


def exact(v, t1=1.2):
    return v[1] / (1 + v[0] * v[1] * t1)


V = jnp.array([0.7, 0.9])


def test_tangent_jacobian_and_hessian_with_the_default_adjoint():
    value, tangent = jax.jvp(riccati, (V,), (jnp.array([1.0, -2.0]),))
    np.testing.assert_allclose(value, exact(V), rtol=1e-8)
    np.testing.assert_allclose(tangent, jax.grad(exact)(V) @ jnp.array([1.0, -2.0]), rtol=1e-8)
    both = jax.jit(lambda v: (jax.jacfwd(riccati)(v), jax.hessian(riccati)(v)))
    first, second = both(V)
    np.testing.assert_allclose(first, jax.grad(exact)(V), rtol=1e-8)
    np.testing.assert_allclose(second, jax.hessian(exact)(V), rtol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("adjoint", [dh.Backsolve(), dh.Interpolating()], ids=["Backsolve", "Interpolating"])
def test_tangent_with_the_continuous_adjoints(adjoint):
    _, tangent = jax.jvp(lambda v: riccati(v, adjoint=adjoint), (V,), (jnp.array([1.0, -2.0]),))
    np.testing.assert_allclose(tangent, jax.grad(exact)(V) @ jnp.array([1.0, -2.0]), rtol=1e-8)


def test_tangent_of_an_ensemble():
    x0s = jnp.array([0.9, 0.4, 1.3])

    def ends(k):
        return dh.ensemble(lambda t, x, k: -k * x * x, x0s, 1.2, args=k, control=TIGHT, chunk=2).x

    np.testing.assert_allclose(jax.jacfwd(ends)(0.7), -(x0s**2) * 1.2 / (1 + 0.7 * x0s * 1.2) ** 2, rtol=1e-8)


def test_a_least_squares_fit():
    ts = jnp.linspace(0.2, 2.0, 8)
    data = exact(jnp.array([0.8, 1.1]), ts)
    residual = lambda v, _: riccati(v, ts) - data  # noqa: E731
    found = optx.least_squares(residual, optx.LevenbergMarquardt(rtol=1e-9, atol=1e-9), V, max_steps=30)
    np.testing.assert_allclose(found.value, [0.8, 1.1], rtol=1e-6)


def test_a_parameter_that_all_lanes_of_vmap_share_gets_the_sum():
    x0s = jnp.array([0.9, 0.4, 1.3])
    total = lambda k: jnp.sum(jax.vmap(lambda x0: riccati((k, x0)))(x0s))  # noqa: E731
    np.testing.assert_allclose(jax.grad(total)(0.7), np.sum(-(x0s**2) * 1.2 / (1 + 0.7 * x0s * 1.2) ** 2), rtol=1e-8)


def test_reverse_over_reverse_names_the_adjoint_for_it():
    with pytest.raises(NotImplementedError, match=r"use adjoint=Direct\(\)"):
        jax.grad(lambda k: jax.grad(lambda k: riccati((k, 0.9)))(k))(0.7)


def test_reverse_through_forward_names_the_adjoints_for_it():
    with pytest.raises(NotImplementedError, match=r"Tape\(\), which serves both, or use Direct\(\)"):
        jax.grad(lambda k: riccati((k, 0.9), adjoint=dh.Forward()))(0.7)


# Closures: everything that a function closes over is differentiated, whichever function it is


def test_everything_that_events_save_and_control_close_over():
    """x' = -k x from 1; x jumps by c where it falls to a, k x + c is saved: all by hand."""

    def save_after_event(p, field_default=False):
        k, a, c = p
        event = dh.Event(lambda t, x: x - a, reset=lambda t, x, args, c=c: x + c, terminate=False, direction=-1)
        save = dh.Save(fn=lambda t, x, args, k=k: k * x + c)
        sol = dh.solve(lambda t, x: -k * x, 1.0, jnp.array([0.5, 1.0]), events=event, save=save, control=TIGHT)
        return jnp.stack([*sol.x, sol.events.last])

    def by_hand(p):
        k, a, c = p
        hit = jnp.log(1 / a) / k
        x = jnp.stack([jnp.exp(-0.5 * k), (a + c) * jnp.exp(-k * (1.0 - hit))])
        return jnp.stack([*(k * x + c), hit])

    ps = jnp.array([[1.0, 0.5, 0.3], [0.8, 0.6, 0.4]])
    ours = jax.jit(jax.vmap(jax.jacrev(save_after_event)))(ps)
    np.testing.assert_allclose(ours, jax.vmap(jax.jacrev(by_hand))(ps), rtol=1e-7, atol=1e-8)


def test_closures_under_grad_of_vmap():
    def total(a):
        stop = dh.Event(lambda t, x: x - a)
        last = lambda x0: dh.solve(lambda t, x: -a * x, x0, 9.0, events=stop, control=TIGHT).events.last  # noqa: E731
        return jnp.sum(jax.vmap(last)(jnp.array([1.0, 2.0])))

    by_hand = lambda a: jnp.log(1 / a) / a + jnp.log(2 / a) / a  # noqa: E731
    np.testing.assert_allclose(jax.grad(total)(0.5), jax.grad(by_hand)(0.5), rtol=1e-7)
