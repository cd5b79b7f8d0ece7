"""Pathwise gradients of SDE solves: against differences on the same noise, one path and many, fixed and adaptive."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.testing import gradient_error

METHODS = {
    "EulerMaruyama": dh.EulerMaruyama(),
    "StochasticHeun": dh.StochasticHeun(),
    "Milstein": dh.Milstein(),
    "Milstein(areas)": dh.Milstein(areas=True),
    "ShARK": dh.ShARK(),
    "SOSRI": dh.SOSRI(),
    "SlowRK": dh.SlowRK(),
    "DRI1": dh.DRI1(),
    "ReversibleHeun": dh.ReversibleHeun(),
    "ExponentialEulerMaruyama": dh.ExponentialEulerMaruyama(),
    "ExponentialHeun": dh.ExponentialHeun(),
}
ARGS = {"a": jnp.array(0.7), "b": jnp.array([0.3, 0.2])}
X0 = jnp.array([0.4, -0.3])


def drift(t, x, args):
    return jnp.stack([-args["a"] * x[0] + jnp.sin(x[1]), x[0] * jnp.cos(t) - x[1]])


def problem(name, method, rate):
    """The noise is the hardest that the method takes; L is a traced number where the method uses it."""
    b = lambda args: args["b"]  # noqa: E731
    diffusion = {
        "additive": lambda t, x, args: jnp.diag(b(args)) * (1 + t),
        "diagonal": lambda t, x, args: b(args)[0] + b(args) * jnp.cos(x),
        "general": lambda t, x, args: jnp.stack([b(args) * jnp.cos(x), b(args)[1] * x[::-1]], axis=-1),
    }
    noise = next(kind for kind in ("general", "diagonal", "additive") if kind in method.strong)
    L = dh.Diagonal(rate * jnp.array([1.0, 5.0])) if name.startswith("Exponential") else None
    return dh.SDE(drift, diffusion[noise], noise=noise, calculus=method.calculus, L=L)


@pytest.mark.parametrize("name", METHODS)
def test_against_differences_on_the_same_noise(name):
    method = METHODS[name]

    @jax.jit
    def loss(x0, args, rate):
        how = {"args": args, "method": method, "control": dh.Fixed(12), "key": jax.random.key(5)}
        x1 = dh.solve(problem(name, method, rate), x0, 1.0, **how).x
        return jnp.sum(x1**2) + jnp.sin(x1[0])

    inputs = (X0, ARGS, jnp.array(-0.8)) if name.startswith("Exponential") else (X0, ARGS)
    f = loss if len(inputs) == 3 else lambda x0, args: loss(x0, args, -0.8)
    assert gradient_error(f, *inputs) < 1e-6


@pytest.mark.parametrize("name", ["SOSRI", "ReversibleHeun"])
def test_ensembles_with_shared_arguments(name):
    method = METHODS[name]
    x0s = jnp.stack([X0, -X0, 0.5 * X0])

    @jax.jit
    def loss(x0s, args):
        how = {"args": args, "method": method, "control": dh.Fixed(10), "key": jax.random.key(6)}
        return jnp.sum(jnp.sin(dh.ensemble(problem(name, method, None), x0s, 1.0, **how).x))

    assert gradient_error(loss, x0s, ARGS) < 1e-6


@pytest.mark.parametrize("name", ["ReversibleHeun", "ShARK"])
def test_adaptive_gradient_is_that_of_the_accepted_steps(name):
    """Step sizes carry no derivative: the same steps on a fixed grid, on the same path, have the same gradient."""
    method = METHODS[name]
    how = {"method": method, "key": jax.random.key(7), "noise": dh.VirtualTree(12)}
    control = dh.PID(rtol=1e-2, atol=1e-2)
    sol = dh.solve(problem(name, method, None), X0, 1.0, args=ARGS, control=control, save=dh.Save(steps=True), **how)
    n = int(sol.stats.accepted)
    grid = np.asarray(sol.t)[: n + 1]

    def loss(args, control):
        return jnp.sum(dh.solve(problem(name, method, None), X0, 1.0, args=args, control=control, **how).x ** 2)

    adaptive = jax.jit(jax.grad(lambda args: loss(args, control)))(ARGS)
    fixed = jax.jit(jax.grad(lambda args: loss(args, dh.Fixed(grid=grid))))(ARGS)
    assert n > 3
    for key in ARGS:
        np.testing.assert_allclose(adaptive[key], fixed[key], rtol=1e-6)  # rounding of a time: its square root in W
