"""BDF: its differences by polynomials, the order of every formula, and error that follows the tolerance."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.methods.base import Moment
from duhamel.methods.bdf import rescaled
from duhamel.solver.stepper import Stepper, bind
from duhamel.testing import measured_order

T = 2.0


def solution(t):
    return jnp.stack([jnp.cos(t), 0.6 * jnp.sin(2.0 * t), jnp.exp(-t)])


def coupled(x):
    return jnp.stack([x[1] * x[2] - 0.5 * x[0], -x[0] * x[2], -0.55 * x[0] * x[1] - x[2] ** 3])


def field(t, x):
    exact, slope = jax.jvp(solution, (t,), (jnp.ones_like(t),))
    return slope + coupled(x) - coupled(exact)


def differences(values):
    """Backward differences 1, 2, ... at the first of values at t, t - h, t - 2 h, ..."""
    found, row = [], values
    for _ in range(len(values) - 1):
        row = row[:-1] - row[1:]
        found.append(row[0])
    return jnp.stack(found)


@pytest.mark.parametrize("q", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("factor", [0.3, 1.0, 1.7])
def test_rescaled_differences_are_those_of_the_same_polynomial(q, factor):
    c = np.random.default_rng(q).normal(size=q + 1)
    on = lambda h: differences(jnp.asarray([[np.polyval(c, 1.0 - k * h)] for k in range(8)]))  # noqa: E731
    got = rescaled(on(0.2), jnp.asarray(q), jnp.asarray(factor))
    np.testing.assert_allclose(got[:q], on(0.2 * factor)[:q], rtol=0, atol=1e-10)


def test_rescaled_differences_by_lanes():
    D = jnp.asarray(np.random.default_rng(0).normal(size=(7, 2, 3)))
    q, factor = jnp.array([1, 3, 5]), jnp.array([0.5, 2.0, 1.2])
    got = rescaled(D, q, factor)
    for i in range(3):
        np.testing.assert_allclose(got[..., i], rescaled(D[..., i], q[i], factor[i]), rtol=1e-12)


@cache
def errors(q):
    """n -> (error at T, largest error of dense output) on n equal steps of order q, begun from an exact history."""
    method, x0 = dh.BDF(), solution(jnp.zeros(()))
    bound = bind(dh.ODE(field), method, jnp.zeros(()), x0, None)

    @jax.jit
    def run(n):
        h = T / n.astype(float)
        tight = jnp.asarray(1e-12), jnp.asarray(1e-12)
        stepper = Stepper(bound.problem, None, None, None, tight, method, 0, None)
        history = jnp.stack([solution(-k * h) for k in range(8)])
        begin = {"D": differences(history), "width": h, "q": jnp.asarray(q, jnp.int32)}

        def body(i, carry):
            slots, worst = carry
            at = Moment(i, i * h, i * h, h)
            env = method.attempt(stepper, at, slots)
            basis = method.densify(stepper, at, env)
            for theta in (0.2, 0.6):
                x = method.interpolate(stepper, at, jnp.asarray(theta), basis)
                worst = jnp.maximum(worst, jnp.abs(x - solution((i + theta) * h)).max())
            return method.keep(env) | {"q": begin["q"]}, worst

        slots = method.start(stepper, jnp.zeros(()), x0) | begin
        slots, worst = jax.lax.fori_loop(0, n, body, (slots, jnp.zeros(())))
        return jnp.abs(slots["x"] - solution(T)).max(), worst

    return lambda n: tuple(float(e) for e in run(jnp.asarray(n)))


@pytest.mark.parametrize("q", [1, 2, 3, 4, 5])
def test_order_of_each_formula(q):
    steps = [int({1: 640, 2: 160, 3: 160, 4: 80, 5: 60}[q] * 1.3**k) for k in range(5)]
    assert abs(measured_order(lambda n: errors(q)(n)[0], steps) - q) < 0.2
    assert abs(measured_order(lambda n: errors(q)(n)[1], steps) - q) < 0.25  # dense output


@cache
def adaptive(highest):
    method = dh.BDF(highest=highest)
    ts = jnp.linspace(0.05, T, 23)

    @jax.jit
    def run(rtol):
        sol = dh.solve(field, solution(0.0), ts, method=method, control=dh.PID(rtol, rtol), max_steps=200_000)
        return jnp.abs(sol.x - jax.vmap(solution)(ts)).max(), sol.stats.accepted, sol.stats.nfe

    return lambda rtol: tuple(float(v) for v in run(rtol))


@pytest.mark.parametrize("highest", [1, 2, 5])
def test_error_follows_the_tolerance(highest):
    """Error against work: its slope is the highest order, which tight tolerances reach."""
    loose, tight = {1: (1e-3, 1e-5), 2: (1e-4, 1e-7), 5: (1e-5, 1e-9)}[highest]
    rtol = np.geomspace(loose, tight, 5)
    error, steps, nfe = np.array([adaptive(highest)(r) for r in rtol]).T
    assert np.all(error < 5 * rtol ** (highest / (highest + 1)))
    slope = -np.polyfit(np.log(steps), np.log(error), 1)[0]
    assert slope > highest - 0.5
    assert np.all(nfe < 4 * steps)


def test_order_rises():
    steps = {highest: adaptive(highest)(1e-5)[1] for highest in (1, 2, 5)}
    assert steps[5] < steps[2] / 1.5 < steps[1] / 3


def test_fixed_steps_are_refused():
    with pytest.raises(ValueError, match=r"BDF chooses its order with its steps.*Kvaerno"):
        dh.solve(field, solution(0.0), T, method=dh.BDF(), control=dh.Fixed(10))


def test_highest_order_is_checked():
    with pytest.raises(ValueError, match="order from 1 to 5"):
        dh.BDF(highest=6)


def test_backwards_in_time():
    control = dh.PID(1e-7, 1e-7)
    x1 = solution(jnp.asarray(T))
    sol = dh.solve(field, x1, 0.5, t0=T, method=dh.BDF(), control=control)
    np.testing.assert_allclose(sol.x, solution(0.5), atol=1e-4)
