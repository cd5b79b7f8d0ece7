"""The reversible wrapper: the base keeps its order, and every step is undone to rounding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import duhamel as dh
from duhamel.methods.base import Moment
from duhamel.methods.reversible import Reversible
from duhamel.solver.stepper import bind
from duhamel.testing import marcher, measured_order

BASES = {
    "Euler": (dh.Euler, 1, (128, 256, 512, 1024)),
    "Heun": (dh.Heun, 2, (64, 96, 144, 216)),
    "Bosh3": (dh.Bosh3, 3, (32, 48, 72, 108)),
    "RK4": (dh.RK4, 4, (24, 36, 54, 81)),
    "Tsit5": (dh.Tsit5, 5, (32, 44, 60, 80)),
}
T = 2.0
START = jnp.array([1.0, -0.7, 0.9])


def field(t, x):
    turn = jnp.stack([x[1] * x[2], -x[0] * x[2], -0.55 * x[0] * x[1]])
    return 2.0 * turn - 0.4 * x + jnp.stack([jnp.cos(2 * t), 0 * t, 0.5 * jnp.sin(x[2])])


def exact():
    return solve_ivp(jax.jit(field), (0, T), START, method="DOP853", rtol=1e-13, atol=1e-15).y[:, -1]


@pytest.mark.parametrize("name", BASES)
def test_order(name):
    make, order, steps = BASES[name]
    # Weakly coupled, Euler's method alternates between y and z, like leapfrog, and is better than its order.
    coupling = 0.8 if order == 1 else 0.999
    run, end = marcher(field, Reversible(make(), coupling), START, T), exact()
    slope = measured_order(lambda n: np.abs(run(n) - end).max(), steps)
    assert order - 0.2 < slope < order + (0.2 if order < 5 else 1.0)


def test_order_with_an_exponential_base():
    problem = dh.Semilinear(dh.Diagonal(np.array([-1.0, -2.0, 0.5])), field)
    y = solve_ivp(jax.jit(lambda t, x: problem.field(t, x, None)), (0, T), START, "DOP853", rtol=1e-13, atol=1e-15).y
    run = marcher(problem, Reversible(dh.ETDRK2(), 0.8), START, T)
    assert abs(measured_order(lambda n: np.abs(run(n) - y[:, -1]).max(), (96, 144, 216, 324)) - 2) < 0.2


@pytest.mark.parametrize("name, coupling", [("Euler", 0.999), ("Heun", 0.99), ("Heun", 1.0), ("Tsit5", 0.999)])
def test_steps_are_undone(name, coupling):
    """200 steps of different lengths forward, then back."""
    method = Reversible(BASES[name][0](), coupling)
    stepper = bind(dh.ODE(field), method, jnp.array(0.0), START, None)
    grid = jnp.linspace(0, T, 201) + 0.003 * jnp.sin(jnp.arange(201.0))

    def moment(i):
        return Moment(i, grid[i] - grid[0], grid[i], grid[i + 1] - grid[i])

    @jax.jit
    def there_and_back(x):
        slots = method.start(stepper, grid[0], x)
        slots = jax.lax.fori_loop(0, 200, lambda i, s: method.keep(method.attempt(stepper, moment(i), s)), slots)
        back = jax.lax.fori_loop(0, 200, lambda i, s: method.inverse(stepper, moment(199 - i), s), slots)
        return slots, back

    slots, back = there_and_back(START)
    assert np.abs(slots["x"] - START).max() > 0.1
    for name in ("x", "z"):
        np.testing.assert_allclose(back[name], START, rtol=0, atol=1e-12)


def test_lanes_are_undone():
    method = Reversible(dh.Heun())
    x = jnp.linspace(0.5, 2.0, 12).reshape(3, 4)
    stepper = bind(dh.ODE(field), method, jnp.array(0.0), START, None, lanes=1)
    at = Moment(0, jnp.zeros(4), jnp.linspace(0.0, 1.0, 4), jnp.array([0.1, -0.2, 0.3, 0.0]))
    slots = {"x": x, "z": x + 0.01}
    back = method.inverse(stepper, at, method.keep(method.attempt(stepper, at, slots)))
    for name in ("x", "z"):
        np.testing.assert_allclose(back[name], slots[name], atol=1e-13)


@pytest.mark.parametrize("make", [dh.Bosh3, dh.Tsit5], ids=lambda m: m.__name__)
def test_adaptive_error_follows_the_tolerance(make):
    end = exact()

    @jax.jit
    def error(tolerance):
        control = dh.PID(tolerance, tolerance)
        return jnp.abs(dh.solve(field, START, T, method=Reversible(make()), control=control).x - end).max()

    loose, tight = float(error(1e-4)), float(error(1e-8))
    assert loose < 3e-3
    assert tight < 1e-6
    assert tight < loose / 30


def test_saved_times_lie_on_the_solution():
    ts = np.linspace(0.1, T, 9)
    ours = dh.solve(field, START, ts, method=Reversible(dh.Bosh3()), control=dh.PID(1e-8, 1e-8), max_steps=20_000).x
    theirs = dh.solve(field, START, ts, control=dh.PID(1e-11, 1e-11)).x
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_lanes_equal_solves():
    x0s = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)))
    together = dh.ensemble(field, x0s, 1.0, method=Reversible(dh.Bosh3()), control=dh.PID(1e-6, 1e-6)).x
    for x0, x in zip(x0s, together, strict=True):
        alone = dh.solve(field, x0, 1.0, method=Reversible(dh.Bosh3()), control=dh.PID(1e-6, 1e-6)).x
        np.testing.assert_allclose(x, alone, rtol=1e-11)


def test_float32_stays_float32():
    sol = dh.solve(field, START.astype(jnp.float32), T, method=Reversible(dh.RK4()), control=dh.Fixed(100))
    assert sol.x.dtype == jnp.float32
    np.testing.assert_allclose(sol.x, exact(), atol=2e-5)


REFUSED = {
    "a class": (lambda: Reversible(dh.Tsit5), TypeError, "call the class"),
    "itself": (lambda: Reversible(Reversible()), ValueError, r"needs slots of its own \(z\); use Tsit5\(\)"),
    "coupling": (lambda: Reversible(dh.RK4(), 0.0), ValueError, "coupling must be greater than 0 and at most 1"),
    "no estimate": (
        lambda: dh.solve(field, START, T, method=Reversible(dh.RK4())),
        ValueError,
        r"no error estimate.*Fixed\(steps\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_one_sentence(case):
    call, kind, sentence = REFUSED[case]
    with pytest.raises(kind, match=sentence) as caught:
        call()
    assert str(caught.value).count("\n") == 0
