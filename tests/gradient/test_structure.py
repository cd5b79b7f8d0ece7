"""Gradients of symplectic, implicit-explicit, reversible and splitting methods against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.testing import gradient_error

TS = jnp.array([0.4, 1.0])
W = jnp.array([[0.3, -1.0], [0.8, 0.1]])
STIFF = jnp.array([-30.0, -0.5])


def pendulum(args):
    k, w = args
    return dh.Separable(lambda t, p, a: p / (1 + 0.1 * a * t), lambda t, q, a: -a * jnp.sin(w @ q)), k


def semilinear(args):
    L, w = args
    return dh.Semilinear(dh.Diagonal(L), lambda t, x, a: jnp.tanh(w @ x) + a * jnp.cos(t)), jnp.array(0.3)


def dense(args):
    k, w = args
    return dh.Semilinear(dh.Dense(w - 2.0 * jnp.eye(2)), lambda t, x, a: jnp.tanh(a * x)), k


def split(args):
    k, w = args
    return dh.Split(lambda t, x, a: jnp.tanh(w @ x) + jnp.cos(t), lambda t, x, a: -a * x**3 - 20.0 * (x - 1.0)), k


def ordinary(args):
    k, w = args
    return dh.ODE(lambda t, x, a: jnp.tanh(w @ x) * a + jnp.sin(t)), k


def flows(args):
    k, _ = args

    def second(t, h, x, a):
        return x + h * a * jnp.tanh(x[::-1]) * jnp.array([1.0, 0.0]) + h * jnp.sin(t)

    return dh.Flows(lambda t, h, x, a: x / jnp.sqrt(1 + 2 * a * h * x * x), second), k


def slow(*names):
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


K = jnp.array(1.3)
CASES = {
    "StormerVerlet": (dh.StormerVerlet, pendulum, (K, W)),
    "PositionVerlet": (dh.PositionVerlet, pendulum, (K, W)),
    "McLachlan4": (dh.McLachlan4, pendulum, (K, W)),
    "ARS443 semilinear": (dh.ARS443, semilinear, (STIFF, W)),
    "KenCarp4 semilinear": (dh.KenCarp4, semilinear, (STIFF, W)),
    "KenCarp4 dense": (dh.KenCarp4, dense, (K, W)),
    "SBDF3 semilinear": (dh.SBDF3, semilinear, (STIFF, W)),
    "ARS222 split": (dh.ARS222, split, (K, W)),
    "KenCarp3 split": (dh.KenCarp3, split, (K, W)),
    "SBDF3 split": (dh.SBDF3, split, (K, W)),
    "Reversible RK4": (lambda: dh.Reversible(dh.RK4()), ordinary, (K, W)),
    "Reversible Bosh3": (lambda: dh.Reversible(dh.Bosh3(), 0.99), ordinary, (K, W)),
    "Strang flows": (dh.Strang, flows, (K, W)),
    "Strang semilinear": (dh.Strang, semilinear, (STIFF, W)),
    "Strang split": (lambda: dh.Strang(dh.Heun()), split, (K, W)),
}


def start(build):
    x0 = jnp.array([0.7, -0.4])
    return (x0, x0[::-1]) if build is pendulum else x0


def loss(make, build, control, adjoint=None, ts=TS):
    def f(x0, args):
        problem, a = build(args)
        sol = dh.solve(problem, x0, ts, args=a, method=make(), control=control, adjoint=adjoint, throw=False)
        return sum(jnp.sum(jnp.sin(leaf) + leaf**2) for leaf in jax.tree.leaves(sol.x))

    return jax.jit(f)


@pytest.mark.parametrize("name", CASES)
def test_fixed_steps(name):
    make, build, args = CASES[name]
    assert gradient_error(loss(make, build, dh.Fixed(12)), start(build), args, directions=2) < 1e-6


@pytest.mark.parametrize("name", ["KenCarp4 semilinear", "KenCarp3 split", "Reversible Bosh3"])
def test_adaptive_steps(name):
    """Steps are frozen in the gradient, so it is that of the exact solution to the tolerance."""
    make, build, args = CASES[name]
    ours = jax.grad(loss(make, build, dh.PID(1e-8, 1e-8)), (0, 1))(start(build), args)
    theirs = jax.grad(loss(dh.Tsit5, build, dh.PID(1e-11, 1e-11)), (0, 1))(start(build), args)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["SBDF3 semilinear", "Reversible RK4", *slow("StormerVerlet", "KenCarp3 split")])
def test_segments_give_the_same_gradient(name):
    make, build, args = CASES[name]
    control, at = dh.Fixed(30), (start(build), args)
    whole = jax.grad(loss(make, build, control), (0, 1))(*at)
    parts = jax.grad(loss(make, build, control, dh.Tape(memory=200)), (0, 1))(*at)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["McLachlan4", "KenCarp4 semilinear", *slow("SBDF3 split", "Reversible RK4")])
def test_forward_mode_equals_reverse_mode(name):
    make, build, args = CASES[name]
    control, at = dh.Fixed(8), (start(build), args)
    reverse = jax.grad(loss(make, build, control), (0, 1))(*at)
    forward = jax.jacfwd(loss(make, build, control, dh.Forward()), (0, 1))(*at)
    for a, b in zip(jax.tree.leaves(reverse), jax.tree.leaves(forward), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    "name",
    ["StormerVerlet", "ARS222 split", *slow("ARS443 semilinear", "KenCarp3 split", "SBDF3 split", "Strang flows")],
)
def test_ensembles(name):
    make, build, args = CASES[name]
    x0s = jax.tree.map(lambda leaf: leaf + 0.1 * jnp.arange(3.0)[:, None], start(build))

    def f(x0s, args):
        problem, a = build(args)
        sol = dh.ensemble(problem, x0s, TS, args=a, method=make(), control=dh.Fixed(8), throw=False)
        return sum(jnp.sum(jnp.sin(leaf) + leaf**2) for leaf in jax.tree.leaves(sol.x))

    assert gradient_error(jax.jit(f), x0s, args, directions=2) < 1e-6


@pytest.mark.parametrize(
    "base, control",
    [(dh.RK4(), dh.Fixed(200)), (dh.Bosh3(), dh.PID(1e-6, 1e-6))],
    ids=["RK4 fixed", "Bosh3 adaptive"],
)
def test_walking_back_gives_the_gradient_of_the_tape(base, control):
    def grads(adjoint):
        def f(x0, k, w):
            problem, a = ordinary((k, w))
            how = {"control": control, "method": dh.Reversible(base), "adjoint": adjoint, "max_steps": 512}
            return jnp.sum(jnp.sin(dh.solve(problem, x0, TS, args=a, **how).x))

        return jax.grad(f, (0, 1, 2))(jnp.array([0.7, -0.4]), K, W)

    for a, b in zip(grads(dh.ReversibleAdjoint()), grads(dh.Tape()), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def test_walking_back_needs_no_memory_for_states():
    """A hundred times the steps: the temporaries of the gradient grow by less than one state."""

    def temporaries(steps):
        def f(x0, w):
            how = {"control": dh.Fixed(steps), "method": dh.Reversible(dh.Heun()), "adjoint": dh.ReversibleAdjoint()}
            return jnp.sum(dh.solve(lambda t, x, w: jnp.sin(w * x), x0, 1.0, args=w, **how).x)

        x = jnp.ones(100_000)
        return jax.jit(jax.grad(f, (0, 1))).lower(x, x).compile().memory_analysis().temp_size_in_bytes

    few, many = temporaries(20), temporaries(2000)
    assert many - few < 100_000 * 8
