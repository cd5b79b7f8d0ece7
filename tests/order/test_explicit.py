"""Measured orders of every explicit Runge-Kutta method, dense output included.

Up to order 4 the slope is the order to 0.2. From order 5 on optimised pairs (Tsitouras, Verner) have leading
coefficients so small that the next order shows first and rounding ends the refinement before the slope settles: the
test then asks for no less than the order, and `test_tableaux` shows from the rooted trees that it is no more.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import duhamel as dh
from duhamel.rows.step import combine, kept, step
from duhamel.testing import measured_order

METHODS = {
    "Euler": (dh.Euler, 1),
    "Midpoint": (dh.Midpoint, 2),
    "Heun": (dh.Heun, 2),
    "Ralston": (dh.Ralston, 2),
    "RK4": (dh.RK4, 4),
    "Bosh3": (dh.Bosh3, 3),
    "SSPRK2": (dh.SSPRK2, 2),
    "SSPRK3": (dh.SSPRK3, 3),
    "SSPRK104": (dh.SSPRK104, 4),
    "Dopri5": (dh.Dopri5, 5),
    "Tsit5": (dh.Tsit5, 5),
    "Dopri8": (dh.Dopri8, 8),
    "Verner6": (dh.Verner6, 6),
    "Verner7": (dh.Verner7, 7),
    "Verner8": (dh.Verner8, 8),
    "Verner9": (dh.Verner9, 9),
}
A = np.random.default_rng(0).normal(size=(3, 3))
L = {
    "zero": np.zeros((3, 3)),
    "real": np.diag([-1.0, -2.0, 0.5]),
    "imaginary": 1j * np.diag([1.0, -2.0, 3.0]),
    "stiff": np.diag([-1.0, -10.0, -30.0]),
    "dense": A - A.T - 0.3 * np.eye(3),
}
T = 2.0


def start(kind):
    x0 = np.array([1.0, -0.7, 0.9])
    return x0 * (0.4 + 0.1j) if kind == "imaginary" else x0


def field(kind):
    """A nonlinear, time-dependent field with the linear part `kind`."""
    M, strength = L[kind], 0.5 if kind == "imaginary" else 2.0

    def f(t, x):
        turn = np.array([x[1] * x[2], -x[0] * x[2], -0.55 * x[0] * x[1]])
        return M @ x + strength * turn + np.array([np.cos(2 * t), 0.0, 0.5 * np.sin(x[2])])

    return f


def reference(kind, ts=(T,)):
    sol = solve_ivp(field(kind), (0, T), start(kind), method="DOP853", rtol=3e-14, atol=1e-16, t_eval=ts)
    return sol.y


def march(method, kind, n, ts=None):
    """The method's rows on n equal steps, in NumPy; the end, or dense output at ts."""
    f, h = field(kind), T / n
    slots, found = {"x": start(kind)}, []
    if method.fsal:
        slots["F"] = f(0.0, slots["x"])
    for i in range(n):
        t = i * h
        env = step(method.pattern, method.coef(dh.Zero(), t, h), method.tau(t, h), slots, [f])
        inside = [s for s in (ts if ts is not None else ()) if t < s <= t + h]
        extra = method.dense_rows(dh.Zero(), t, h)
        if inside and extra is not None:
            env = step(extra.pattern, extra.coef, extra.tau, env, [f])
        for s in inside:
            coef, names = method.interpolant(dh.Zero(), t, h, (s - t) / h)
            found.append(combine(coef, [env[name] for name in names]))
        slots = kept(method.pattern, env)
    return slots["x"] if ts is None else np.stack(found, axis=1)


def refinements(order, kind):
    first = {1: 1000, 2: 200, 3: 120, 4: 80, 5: 40, 6: 12, 7: 10}.get(order, 5)
    if kind == "stiff" and order > 1:
        first = max(int(1.6 * first), 30)  # h L = -2: inside every method's stability region
    ratio = 1.25 if order < 7 else 1.1
    return sorted({int(first * ratio**k) for k in range(5 if order < 5 else 14 if order < 7 else 26)})


@pytest.mark.parametrize("kind", L)
@pytest.mark.parametrize("name", METHODS)
def test_order(name, kind):
    make, order = METHODS[name]
    exact = reference(kind)[:, -1]

    def error(n):
        return np.abs(march(make(), kind, n) - exact).max()

    slope = measured_order(error, refinements(order, kind), floor=1e-11, ceiling=0.1 if order == 1 else 1e-2)
    assert slope > order - 0.2
    if order < 5:
        assert slope < order + 0.2


@pytest.mark.parametrize("name", METHODS)
def test_order_of_dense_output(name):
    """An interpolant of order q is in error by O(h^(q+1)) inside a step, on top of the method's O(h^p)."""
    make, order = METHODS[name]
    claim = min(order, make().dense_order + 1)
    ts = np.sort(np.random.default_rng(1).uniform(0.01, T, 150))
    exact = reference("dense", ts)

    def error(n):
        return np.abs(march(make(), "dense", n, ts) - exact).max()

    # The worst place inside a step moves with n, so the slope is taken over a wide range of it.
    steps = [int(1.3 * n) for n in refinements(order, "dense")]
    assert measured_order(error, steps, floor=3e-12, ceiling=0.1, points=10) > claim - 0.2


@pytest.mark.parametrize("name", METHODS)
def test_solve_on_a_fixed_grid_is_the_rows(name):
    make, _ = METHODS[name]
    M = jnp.asarray(L["dense"])

    def f(t, x):
        turn = jnp.stack([x[1] * x[2], -x[0] * x[2], -0.55 * x[0] * x[1]])
        return M @ x + 2.0 * turn + jnp.stack([jnp.cos(2 * t), 0 * t, 0.5 * jnp.sin(x[2])])

    ts = np.linspace(0.13, T, 8)
    sol = dh.solve(f, start("dense"), ts, method=make(), control=dh.Fixed(20))
    # Verner6 has weights up to 176, which multiply rounding errors.
    np.testing.assert_allclose(sol.x.T, march(make(), "dense", 20, ts), rtol=0, atol=1e-11)
    assert int(sol.stats.accepted) == 20


@pytest.mark.parametrize("name", [name for name, (make, _) in METHODS.items() if make().error_order is not None])
def test_adaptive_error_follows_the_tolerance(name):
    make, _ = METHODS[name]
    M = jnp.asarray(L["real"])
    exact = reference("real")[:, -1]

    def f(t, x):
        turn = jnp.stack([x[1] * x[2], -x[0] * x[2], -0.55 * x[0] * x[1]])
        return M @ x + 2.0 * turn + jnp.stack([jnp.cos(2 * t), 0 * t, 0.5 * jnp.sin(x[2])])

    @jax.jit
    def error(rtol):
        sol = dh.solve(f, start("real"), T, method=make(), control=dh.PID(rtol, rtol), max_steps=300_000)
        return jnp.abs(sol.x - exact).max()

    loose, tight = float(error(1e-4)), float(error(1e-8))
    assert loose < 3e-3
    assert tight < 3e-7
    assert tight < loose / 30
