"""Gradients of solve and ensemble: against finite differences, forward mode, closed forms and diffrax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.testing import gradient_error

TIGHT = dh.PID(rtol=1e-11, atol=1e-11)


def pendulum(t, x, args):
    return {"q": x["p"], "p": -args["k"] * jnp.sin(x["q"]) - args["c"] * x["p"] + 0.1 * jnp.cos(t)}


X0 = {"q": jnp.array([0.7, -0.2]), "p": jnp.array([0.1, 0.4])}
ARGS = {"k": jnp.array(1.3), "c": jnp.array([0.1, 0.2])}


def end(x0, args, t1, t0, **how):
    sol = dh.solve(pendulum, x0, t1, t0=t0, args=args, control=TIGHT, **how)
    return jnp.sum(sol.x["q"] ** 2) + jnp.sum(jnp.sin(sol.x["p"]))


def along(x0, args, ts, t0, **how):
    sol = dh.solve(pendulum, x0, ts, t0=t0, args=args, control=TIGHT, **how)
    weight = jnp.arange(1.0, ts.shape[0] + 1)[:, None]
    return jnp.sum(weight * sol.x["q"] ** 2) + jnp.sum(jnp.sin(sol.x["p"]))


@pytest.mark.parametrize("method", [dh.Bosh3, dh.Dopri5, dh.Tsit5, dh.Dopri8, dh.Verner7])
def test_end_state(method):
    f = jax.jit(lambda *a: end(*a, method=method()))
    assert gradient_error(f, X0, ARGS, 3.0, 0.2) < 1e-6


@pytest.mark.parametrize("memory", [2**20, 2000, 100], ids=["all saved", "segments", "square root"])
def test_segments_give_the_same_gradient(memory):
    exact = jax.grad(end, argnums=(0, 1, 2, 3))(X0, ARGS, 3.0, 0.2)
    again = jax.grad(lambda *a: end(*a, adjoint=dh.Tape(memory=memory), max_steps=300), argnums=(0, 1, 2, 3))(
        X0, ARGS, 3.0, 0.2
    )
    for a, b in zip(jax.tree.leaves(exact), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("direction", [1.0, -1.0], ids=["forwards", "backwards"])
def test_saved_times(direction):
    ts = jnp.array([0.5, 0.9, 1.0, 2.4]) * direction
    assert gradient_error(jax.jit(along), X0, ARGS, ts, 0.1 * direction) < 1e-6


def test_a_save_time_at_the_start():
    def f(x0, args):
        return along(x0, args, jnp.array([0.0, 0.5, 2.0]), 0.0)

    assert gradient_error(jax.jit(f), X0, ARGS) < 1e-6


def test_a_function_of_the_state_with_weights_of_its_own():
    def f(x0, args, w):
        save = dh.Save(fn=lambda t, x, a: jnp.tanh(w * x["q"]) * a["k"] + t)
        return jnp.sum(dh.solve(pendulum, x0, jnp.linspace(0.3, 2.0, 5), args=args, control=TIGHT, save=save).x ** 2)

    assert gradient_error(jax.jit(f), X0, ARGS, jnp.array([0.3, 1.7])) < 1e-6


def test_a_function_of_the_end_time():
    def f(t1):
        return dh.solve(lambda t, x: -x, 1.0, t1, control=TIGHT, save=dh.Save(fn=lambda t, x, args: t**2 * x)).x

    np.testing.assert_allclose(jax.grad(f)(1.3), (2 * 1.3 - 1.3**2) * np.exp(-1.3), rtol=1e-9)


def test_every_step_with_frozen_steps():
    """On a fixed grid the steps do not move, so finite differences see what the tape sees."""

    def f(x0, args):
        sol = dh.solve(pendulum, x0, 2.0, args=args, control=dh.Fixed(9), save=dh.Save(steps=True), throw=False)
        return jnp.sum(jnp.arange(10.0)[:, None] * sol.x["q"] ** 2)

    assert gradient_error(jax.jit(f), X0, ARGS) < 1e-7


def test_sum_of_local_errors():
    def f(x0, args):
        sol = dh.solve(pendulum, x0, 2.0, args=args, control=dh.Fixed(12), method=dh.Tsit5())
        return 1e6 * sol.error

    assert float(f(X0, ARGS)) > 1e-3
    assert gradient_error(jax.jit(f), X0, ARGS) < 1e-5


def test_forward_mode_equals_reverse_mode():
    ts = jnp.array([0.5, 1.7, 2.0])
    reverse = jax.grad(along, argnums=(0, 1))(X0, ARGS, ts, 0.0)
    forward = jax.jacfwd(lambda *a: along(*a, adjoint=dh.Forward()), argnums=(0, 1))(X0, ARGS, ts, 0.0)
    for a, b in zip(jax.tree.leaves(reverse), jax.tree.leaves(forward), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def test_forward_mode_in_time():
    ts = jnp.array([0.5, 1.7, 2.0])
    reverse = jax.grad(along, argnums=(2, 3))(X0, ARGS, ts, 0.1)
    forward = jax.jacfwd(lambda *a: along(*a, adjoint=dh.Forward()), argnums=(2, 3))(X0, ARGS, ts, 0.1)
    for a, b in zip(reverse, forward, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8)


def test_weights_that_the_field_closes_over():
    def f(w):
        return jnp.sum(dh.solve(lambda t, x: jnp.tanh(w @ x), jnp.array([1.0, -0.5]), 1.5, control=TIGHT).x ** 2)

    assert gradient_error(jax.jit(f), jnp.array([[0.3, -1.0], [0.8, 0.1]])) < 1e-6


def test_complex_state():
    def f(w, x0):
        sol = dh.solve(
            lambda t, x, a: 1j * a * x - 0.1 * x * jnp.abs(x) ** 2, x0 * (1 + 0.5j), 2.0, args=w, control=TIGHT
        )
        return jnp.sum(jnp.abs(sol.x) ** 2 + sol.x.real)

    assert gradient_error(jax.jit(f), jnp.array(0.7), jnp.array([1.0, 0.3])) < 1e-6


def test_gradient_with_respect_to_the_end_time_is_the_field():
    grad = jax.grad(lambda t: dh.solve(lambda t, x: -x * t, 1.0, t, control=TIGHT).x)(1.3)
    np.testing.assert_allclose(grad, -1.3 * np.exp(-(1.3**2) / 2), rtol=1e-9)


def test_against_diffrax():
    import diffrax

    w = jnp.asarray(np.random.default_rng(0).normal(size=(4, 4))) * 0.5
    x0 = jnp.array([1.0, -0.3, 0.2, 0.8])

    def field(t, x, w):
        return jnp.tanh(w @ x) + 0.1 * jnp.sin(t)

    def theirs(x0, w):
        sol = diffrax.diffeqsolve(
            diffrax.ODETerm(field), diffrax.Tsit5(), 0.0, 3.0, 0.1, x0, args=w,
            stepsize_controller=diffrax.PIDController(1e-11, 1e-11),
        )  # fmt: skip
        return jnp.sum(sol.ys[-1] ** 2)

    def ours(x0, w):
        return jnp.sum(dh.solve(field, x0, 3.0, args=w, control=TIGHT).x ** 2)

    for a, b in zip(jax.grad(ours, (0, 1))(x0, w), jax.grad(theirs, (0, 1))(x0, w), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


# Ensembles: 70 lanes of one network, per-lane states and speeds.
LANES = 70
W = jnp.asarray(np.random.default_rng(1).normal(size=(2, 2))) * 0.5
SPEED = jnp.linspace(0.5, 3.0, LANES)
STATES = jnp.asarray(np.random.default_rng(2).normal(size=(LANES, 2)))


def network(t, x, args):
    return jnp.tanh(args["w"] @ x) * args["speed"] + jnp.sin(t)


def of_ensemble(w, speed, x0, chunk, ts, control=TIGHT):
    args, axes = {"w": w, "speed": speed}, {"w": None, "speed": 0}
    sol = dh.ensemble(network, x0, ts, args=args, in_axes=axes, chunk=chunk, control=control)
    return jnp.mean(sol.x**2) + jnp.mean(jnp.cos(sol.x1)) + jnp.sum(sol.error)


@pytest.mark.parametrize("chunk", [128, 32], ids=["one chunk", "three chunks"])
@pytest.mark.parametrize("times", [jnp.array(2.0), jnp.linspace(0.0, 2.0, 4)], ids=["end", "times"])
def test_ensemble(chunk, times):
    # A fixed grid, whose steps do not move, lets finite differences see the sum of local errors as well.
    f = jax.jit(lambda w, speed, x0: of_ensemble(w, speed, x0, chunk, times, dh.Fixed(30)))
    assert gradient_error(f, W, SPEED, STATES) < 1e-6


@pytest.mark.parametrize("chunk", [128, 32], ids=["one chunk", "three chunks"])
def test_ensemble_equals_solves(chunk):
    ts, control = jnp.linspace(0.0, 2.0, 4), dh.PID(1e-7, 1e-7)  # tighter, and rounding would move the steps

    def of_solves(w, speed, x0, ts):
        sol = jax.vmap(lambda x, s: dh.solve(network, x, ts, args={"w": w, "speed": s}, control=control))(x0, speed)
        return jnp.mean(sol.x**2) + jnp.mean(jnp.cos(sol.x1)) + jnp.sum(sol.error)

    ours = jax.grad(lambda w, s, x, ts: of_ensemble(w, s, x, chunk, ts, control), (0, 1, 2, 3))(W, SPEED, STATES, ts)
    theirs = jax.grad(of_solves, (0, 1, 2, 3))(W, SPEED, STATES, ts)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_shared_weights_get_one_cotangent():
    """The compiled gradient holds no array of lanes x weights."""
    lanes, width = 64, 32
    rng = np.random.default_rng(3)
    w = {"a": jnp.asarray(rng.normal(size=(width, 3))), "b": jnp.asarray(rng.normal(size=(3, width))) * 0.1}
    x0 = jnp.asarray(rng.normal(size=(lanes, 3)))

    def f(w):
        return jnp.sum(dh.ensemble(lambda t, x, w: w["b"] @ jnp.tanh(w["a"] @ x), x0, 1.0, args=w, throw=False).x)

    text = jax.jit(jax.grad(f)).lower(w).compile().as_text()
    for shape in (f"[{lanes},{width},3]", f"[{width},3,{lanes}]", f"[{lanes},3,{width}]", f"[3,{width},{lanes}]"):
        assert shape not in text
