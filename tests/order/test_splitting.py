"""Splitting: measured orders on flows, fields and semilinear equations, against closed forms and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import duhamel as dh
from duhamel.methods.splitting import _moves
from duhamel.testing import marcher, measured_order

SCHEMES = {
    "Lie": (dh.Lie, 1, (128, 256, 512, 1024)),
    "Strang": (dh.Strang, 2, (64, 96, 144, 216)),
    "Strang 4": (lambda base=None: dh.Strang(base, order=4), 4, (24, 36, 54, 81)),
    "Strang 6": (lambda base=None: dh.Strang(base, order=6), 6, (12, 16, 22, 30)),
}
T = 1.5


def turn(w, h, x):
    c, s = jnp.cos(w * h), jnp.sin(w * h)
    return jnp.stack([c * x[0] + s * x[1], c * x[1] - s * x[0]])


def three_flows():
    """A rotation, growth that depends on time, and a logistic part, whose flows are elementary; and their field."""
    flows = dh.Flows(
        lambda t, h, x: turn(1.3, h, x),
        lambda t, h, x: x * jnp.exp(0.4 * (jnp.sin(2 * (t + h)) - jnp.sin(2 * t))),
        lambda t, h, x: x / jnp.sqrt(1 + 2 * h * x * x),
    )

    def field(t, x):
        return jnp.stack([1.3 * x[1], -1.3 * x[0]]) + 0.8 * jnp.cos(2 * t) * x - x**3

    return flows, field, jnp.array([0.9, -0.4])


def schroedinger():
    """i psi_t = -psi_xx / 2 - |psi|^2 psi, a bright soliton that moves: sech(x - v t) e^(i (v x + (1 - v^2) t / 2))."""
    n, length = 256, 60.0
    v = 14 * np.pi / length  # a whole number of waves on the ring
    x = np.arange(n) * length / n - length / 2
    k = 2 * np.pi * np.fft.fftfreq(n, length / n)
    soliton = lambda t: np.exp(1j * (v * x + (1 - v**2) * t / 2)) / np.cosh(x - v * t)  # noqa: E731
    flows = dh.Flows(
        lambda t, h, u: u * jnp.exp(1j * h * jnp.abs(u) ** 2),
        lambda t, h, u: jnp.fft.ifft(jnp.exp(-0.5j * h * k.astype(u.real.dtype) ** 2) * jnp.fft.fft(u)),
    )
    return flows, soliton


def scipy_end(field, x0, t1=T):
    return solve_ivp(jax.jit(field), (0, t1), x0, method="DOP853", rtol=1e-13, atol=1e-15).y[:, -1]


@pytest.mark.parametrize("name", SCHEMES)
def test_order_on_three_flows_that_depend_on_time(name):
    make, order, steps = SCHEMES[name]
    flows, field, x0 = three_flows()
    run, end = marcher(flows, make(), x0, T), scipy_end(field, x0)
    assert abs(measured_order(lambda n: np.abs(run(n) - end).max(), steps, floor=1e-13) - order) < 0.2


@pytest.mark.parametrize("name", SCHEMES)
def test_order_on_a_soliton(name):
    make, order, _ = SCHEMES[name]
    steps = {1: (128, 256, 512, 1024), 2: (64, 96, 144, 216), 4: (64, 90, 128, 180), 6: (20, 26, 34, 44)}[order]
    flows, soliton = schroedinger()
    run = marcher(flows, make(), jnp.asarray(soliton(0.0)), T)
    slope = measured_order(lambda n: np.abs(run(n) - soliton(T)).max(), steps, floor=1e-11)
    assert abs(slope - order) < 0.2


@pytest.mark.parametrize("name", ["Lie", "Strang", "Strang 4"])
def test_order_with_a_base_on_each_field(name):
    make, order, steps = SCHEMES[name]
    base = {1: dh.Euler, 2: dh.Heun, 4: dh.RK4}[order]()
    split = dh.Split(
        lambda t, x: jnp.stack([x[1] * x[2], -x[0] * x[2], 0.1 * jnp.cos(t) + 0 * x[0]]),
        lambda t, x: -0.5 * x**3 + jnp.sin(t) * jnp.roll(x, 1),
    )
    x0 = jnp.array([1.0, -0.7, 0.9])
    run, end = marcher(split, make(base), x0, T), scipy_end(lambda t, x: split.field(t, x, None), x0)
    assert abs(measured_order(lambda n: np.abs(run(n) - end).max(), steps, floor=1e-13) - order) < 0.2


@pytest.mark.parametrize("name", ["Lie", "Strang"])
def test_order_on_reaction_and_diffusion(name):
    """u_t = 0.02 u_xx + u - u^3 on a ring: diffusion exactly, mode by mode; the largest |h L| is 10."""
    make, order, steps = SCHEMES[name]
    k = np.arange(33.0)
    start = np.fft.rfft(0.5 * np.sin(np.arange(64) * 2 * np.pi / 64) + 0.2)

    def N(t, u):
        x = jnp.fft.irfft(u)
        return jnp.fft.rfft(x - x**3)

    problem = dh.Semilinear(dh.Diagonal(-0.02 * k**2), N)
    run = marcher(problem, make(dh.RK4()), jnp.asarray(start), T)
    fine = dh.solve(problem, jnp.asarray(start), T, method=dh.Krogstad(), control=dh.Fixed(2000)).x
    assert abs(measured_order(lambda n: np.abs(run(n) - fine).max(), steps, floor=1e-10, ceiling=1.0) - order) < 0.2


@pytest.mark.parametrize("L", ["scalar of t", "dense"])
def test_order_with_other_linear_parts(L):
    A = np.array([[-0.3, 1.0, 0.0], [-1.0, -0.3, 0.5], [0.0, -0.5, -1.0]])
    linear = {
        "scalar of t": dh.Scalar(lambda t: -1 - 2 * jnp.cos(3 * t), lambda t: -t - 2 / 3 * jnp.sin(3 * t)),
        "dense": dh.Dense(A),
    }[L]
    problem = dh.Semilinear(linear, lambda t, x: jnp.sin(x) * jnp.roll(x, 1) + jnp.cos(t))
    x0 = jnp.array([1.0, -0.7, 0.9])
    run, end = marcher(problem, dh.Strang(), x0, T), scipy_end(lambda t, x: problem.field(t, x, None), x0)
    assert abs(measured_order(lambda n: np.abs(run(n) - end).max(), (32, 48, 72, 108)) - 2) < 0.2


def test_strang_of_the_oscillator_is_verlet():
    q, p = jnp.array([0.7]), jnp.array([-0.2])
    flows = dh.Flows(lambda t, h, x: (x[0], x[1] - h * x[0]), lambda t, h, x: (x[0] + h * x[1], x[1]))
    separable = dh.Separable(lambda t, p: p, lambda t, q: -q)
    control = dh.Fixed(20)
    ours = dh.solve(flows, (q, p), 3.0, method=dh.Strang(), control=control).x
    theirs = dh.solve(separable, (q, p), 3.0, method=dh.StormerVerlet(), control=control).x
    np.testing.assert_allclose(np.array(ours), np.array(theirs), rtol=1e-13)


def test_the_norm_of_the_wave_is_kept_to_rounding():
    flows, soliton = schroedinger()
    u = jnp.asarray(soliton(0.0))
    end = dh.solve(flows, u, 5.0, method=dh.Strang(), control=dh.Fixed(500)).x
    np.testing.assert_allclose(jnp.sum(jnp.abs(end) ** 2), jnp.sum(jnp.abs(u) ** 2), rtol=1e-12)


def test_symmetric_schemes_turn_back():
    flows, _, x0 = three_flows()
    for order in (2, 4, 6):
        method, control = dh.Strang(order=order), dh.Fixed(10)
        there = dh.solve(flows, x0, 1.0, method=method, control=control).x
        np.testing.assert_allclose(
            dh.solve(flows, there, 0.0, t0=1.0, method=method, control=control).x, x0, atol=1e-13
        )


def test_moves_merge_neighbours():
    assert _moves(2, ()) == ((0, 1.0), (1, 1.0))
    assert _moves(3, (1.0,)) == ((0, 0.5), (1, 0.5), (2, 1.0), (1, 0.5), (0, 0.5))
    moves = _moves(2, (0.4, 0.2, 0.4))
    assert [part for part, _ in moves] == [0, 1, 0, 1, 0, 1, 0]
    for part in (0, 1):
        assert abs(sum(w for k, w in moves if k == part) - 1) < 1e-15


def test_lanes_equal_solves():
    flows = dh.Flows(lambda t, h, x, a: turn(a, h, x), lambda t, h, x, a: x / jnp.sqrt(1 + 2 * h * x * x))
    x0s, a = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2))), jnp.linspace(0.5, 2.0, 4)
    ts = jnp.array([0.4, 1.0])
    together = dh.ensemble(flows, x0s, ts, args=a, in_axes=0, method=dh.Strang(), control=dh.Fixed(9)).x
    for i in range(4):
        alone = dh.solve(flows, x0s[i], ts, args=a[i], method=dh.Strang(), control=dh.Fixed(9)).x
        np.testing.assert_allclose(together[i], alone, rtol=1e-12)


def test_lanes_equal_solves_with_a_linear_part():
    problem = dh.Semilinear(dh.Diagonal(np.array([-3.0, -0.5, 1.0])), lambda t, x: jnp.sin(x) * jnp.roll(x, 1))
    x0s = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)))
    together = dh.ensemble(problem, x0s, 1.0, method=dh.Strang(), control=dh.Fixed(9)).x
    for x0, x in zip(x0s, together, strict=True):
        np.testing.assert_allclose(x, dh.solve(problem, x0, 1.0, method=dh.Strang(), control=dh.Fixed(9)).x, rtol=1e-12)


def test_float32_and_complex64_stay():
    flows, soliton = schroedinger()
    u = jnp.asarray(soliton(0.0)).astype(jnp.complex64)
    end = dh.solve(flows, u, T, method=dh.Strang(order=4), control=dh.Fixed(50)).x
    assert end.dtype == jnp.complex64
    np.testing.assert_allclose(end, soliton(T), atol=2e-3)


def test_flow_calls_are_counted():
    flows, _, x0 = three_flows()
    assert int(dh.solve(flows, x0, T, method=dh.Strang(), control=dh.Fixed(10)).stats.nfe) == 50


REFUSED = {
    "no parts": (
        lambda: dh.solve(lambda t, x: -x, jnp.ones(2), 1.0, method=dh.Strang(), control=dh.Fixed(2)),
        r"write Flows\(flow_1, flow_2, ...\), Semilinear\(L, N\) or Split",
    ),
    "one flow": (lambda: dh.Flows(lambda t, h, x: x), "at least two parts, got 1"),
    "two arguments": (
        lambda: dh.Flows(lambda h, x: x, lambda h, x: x),
        r"flow 1 takes 2 arguments \(h, x\); write it as flow",
    ),
    "order": (lambda: dh.Strang(order=3), r"orders 2, 4, 6, got order=3"),
    "base with a state": (lambda: dh.Strang(dh.Reversible()), r"slots of its own \(z\)"),
    "adaptive": (
        lambda: dh.solve(three_flows()[0], jnp.ones(2), 1.0, method=dh.Strang(), control=dh.PID()),
        r"no error estimate.*control=Fixed\(steps\)",
    ),
    "flow of another shape": (
        lambda: dh.solve(
            dh.Flows(lambda t, h, x: x[:1], lambda t, h, x: x), jnp.ones(2), 1.0, method=dh.Lie(), control=dh.Fixed(2)
        ),
        r"flow 1 returned shape \(1,\) where the state has \(2,\)",
    ),
    "without a method": (lambda: dh.solve(three_flows()[0], jnp.ones(2), 1.0), r"give method=Strang\(\), Lie\(\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_one_sentence(case):
    call, sentence = REFUSED[case]
    with pytest.raises((ValueError, TypeError), match=sentence) as caught:
        call()
    assert str(caught.value).count("\n") == 0
