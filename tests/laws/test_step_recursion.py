"""Which steps an adaptive solve takes: the recursion of its controller, written again in NumPy, gives every one.

    E = rms(error / (atol + rtol max(|x|, |x1|))),   accepted if E <= 1
    h_next = h clip(safety E_n^-a E_(n-1)^b E_(n-2)^-c, shrink, grow)
    a = (i + p + d)/k,   b = (p + 2 d)/k,   c = d/k,   k = order of the embedded solution + 1

E_(n-1) and E_(n-2) are those of the last accepted steps, 1 before there are any. After a rejection the next accepted
step does not grow; a step that is to be tried again shrinks by `safety` at least.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh

END, CENTRES = 4.0, (2.0, 1.1, 3.3)  # of the push; one a lane
X0 = np.array([1.0, 0.3, -0.2])


def field(t, x, centre):
    """A relaxation that is pushed once, so hard that a step which was chosen before it has to be rejected."""
    push = 40.0 * jnp.exp(-(((t - centre) / 0.02) ** 2))
    return jnp.stack([push - x[0], jnp.cos(t) * x[0] - 20.0 * x[1], x[1] * x[2] - x[2] ** 3])


def on_host(t, x, centre):
    push = 40.0 * np.exp(-(((t - centre) / 0.02) ** 2))
    return np.array([push - x[0], np.cos(t) * x[0] - 20.0 * x[1], x[1] * x[2] - x[2] ** 3])


def attempt(tableau, f, t, x, h):
    """(x1, error) of one explicit Runge-Kutta step."""
    k = []
    for c, row in zip(tableau.c, tableau.a, strict=True):
        z = x + h * sum((a * s for a, s in zip(row, k, strict=True)), np.zeros_like(x))
        k.append(f(t + c * h, z))
    total = lambda weights: h * sum(w * s for w, s in zip(weights, k, strict=True))  # noqa: E731
    return x + total(tableau.b), total(tableau.error)


def walk(step, k, control, h, x=X0):
    """(times of the accepted steps, number of rejections)."""
    times, rejections, *_ = whole_walk(step, k, control, h, x)
    return times, rejections


def whole_walk(step, k, control, h, x):
    """The same, the state at the end, and the step that would come next."""
    p, i, d, atol = control.p, control.i, control.d, np.asarray(control.atol)
    t, times, E1, E2, after_rejection, rejections = 0.0, [0.0], 1.0, 1.0, False, 0
    while t < END:
        last = h * 1.001 >= END - t
        h = END - t if last else h
        x1, error = step(t, x, h)
        scale = atol + control.rtol * np.maximum(np.abs(x), np.abs(x1))
        E = np.sqrt(np.mean(np.abs(error / scale) ** 2))
        factor = control.safety * E ** (-(i + p + d) / k) * E1 ** ((p + 2 * d) / k) * E2 ** (-d / k)
        factor = np.clip(factor, control.shrink, control.grow)
        if E <= 1:
            t, x, E1, E2 = (END if last else t + h), x1, E, E1
            times.append(t)
            factor = min(factor, 1.0) if after_rejection else factor
        else:
            rejections += 1
            factor = min(factor, control.safety)
        after_rejection, h = E > 1, h * factor
    return np.array(times), rejections, x, h


def steps_taken(sol, lane=None):
    pick = (lambda v: v) if lane is None else (lambda v: v[lane])
    n = int(pick(sol.stats.accepted))
    return np.asarray(pick(sol.t))[: n + 1], int(pick(sol.stats.rejected))


GAINS = {
    "default": {},
    "integral": {"p": 0.0, "i": 1.0},
    "PI": {"p": 0.4, "i": 0.3},
    "PID": {"p": 0.3, "i": 0.4, "d": 0.15},
    "cautious": {"p": 0.2, "i": 0.7, "safety": 0.7, "shrink": 0.4, "grow": 1.6},
}


@pytest.mark.parametrize(
    ("method", "gains"),
    [(dh.Bosh3(), name) for name in GAINS] + [(dh.Heun(), "PID"), (dh.Dopri5(), "default")],
    ids=lambda v: v if isinstance(v, str) else type(v).__name__,
)
def test_the_accepted_steps_are_those_of_the_recursion(method, gains):
    control = dh.PID(1e-5, jnp.array([1e-6, 1e-4, 1e-7]), **GAINS[gains])
    sol = dh.solve(field, X0, END, args=CENTRES[0], method=method, control=control, dt0=0.01, save=dh.Save(steps=True))
    step = lambda t, x, h: attempt(method.tableau, lambda t, x: on_host(t, x, CENTRES[0]), t, x, h)  # noqa: E731
    times, rejections = walk(step, method.tableau.error_order + 1, control, 0.01)
    found, rejected = steps_taken(sol)
    assert rejected == rejections > 0 and len(times) > 20
    np.testing.assert_allclose(found, times, rtol=1e-8)


@pytest.mark.parametrize("together", ["ensemble", "vmap"])
def test_every_lane_has_a_recursion_of_its_own(together):
    method, control = dh.Bosh3(), dh.PID(1e-5, 1e-6, p=0.3, i=0.4, d=0.15)
    how = {"method": method, "control": control, "dt0": 0.01, "save": dh.Save(steps=True), "max_steps": 512}
    centres = jnp.array(CENTRES)
    if together == "ensemble":
        sols = dh.ensemble(field, jnp.tile(X0, (3, 1)), END, args=centres, in_axes=0, **how)
    else:
        sols = jax.vmap(lambda c: dh.solve(field, X0, END, args=c, **how))(centres)
    for lane, centre in enumerate(CENTRES):
        step = lambda t, x, h, c=centre: attempt(method.tableau, lambda t, x: on_host(t, x, c), t, x, h)  # noqa: E731
        times, rejections = walk(step, 3, control, 0.01)
        found, rejected = steps_taken(sols, lane)
        assert rejected == rejections > 0
        np.testing.assert_allclose(found, times, rtol=1e-8)


def test_the_first_step_is_hairers():
    """h = T (0.01 / max(|x|, T^2 |x''|))^(1/(p + 1)), T = |x| / |f|, in the norm of the tolerances (II.4)."""
    rtol, atol = 1e-5, np.array([1e-6, 1e-4, 1e-7])
    method, control = dh.Bosh3(), dh.PID(rtol, jnp.asarray(atol))
    sol = dh.solve(field, X0, END, args=CENTRES[0], method=method, control=control, save=dh.Save(steps=True))
    f = lambda t, x: on_host(t, x, CENTRES[0])  # noqa: E731
    norm = lambda v: np.sqrt(np.mean((v / (atol + rtol * np.abs(X0))) ** 2))  # noqa: E731
    f0 = f(0.0, X0)
    T = norm(X0) / norm(f0)
    bend = norm(f(0.01 * T, X0 + 0.01 * T * f0) - f0) / (0.01 * T)
    h = min(T * (0.01 / max(norm(f0) * T, bend * T**2)) ** (1 / 3), T)
    times, rejections = walk(lambda t, x, h: attempt(method.tableau, f, t, x, h), 3, control, h)
    found, rejected = steps_taken(sol)
    assert rejected == rejections
    np.testing.assert_allclose(found, times, rtol=1e-8)


def test_the_error_norm_counts_every_number_of_the_state_once():
    """Leaves of different size, one of them complex (|z| counts), under an implicit method's estimate.

    dx/dt = g(t), whose Jacobian is zero, so that the estimate is h sum_i e_i g(t + c_i h).
    """
    method, control = dh.Kvaerno3(newton=dh.Newton(drift=0.0)), dh.PID(1e-6, 1e-6, p=0.3, i=0.4, d=0.15)
    tableau = method.tableau

    def rates(t, xp):
        bell = 8.0 * xp.exp(-(((t - 1.5) / 0.1) ** 2))
        return [bell, xp.cos(3 * t), xp.sin(2 * t), 5.0 * xp.cos(t) ** 2 + 2.0 * bell]

    def step(t, x, h):
        k = [np.array(rates(t + c * h, np)) for c in tableau.c]
        total = lambda weights: h * sum(w * s for w, s in zip(weights, k, strict=True))  # noqa: E731
        return x + total(tableau.b), total(tableau.error)

    start = {"one": jnp.zeros(3), "two": jnp.zeros(())}

    def f(t, x):
        g = rates(t, jnp)
        return {"one": jnp.stack(g[:3]), "two": g[3]}

    how = {"dt0": 0.01, "save": dh.Save(steps=True)}
    sol = dh.solve(f, start, END, method=method, control=control, **how)
    times, rejections = walk(step, method.error_order + 1, control, 0.01, np.zeros(4))
    found, rejected = steps_taken(sol)
    assert rejected == rejections > 0
    np.testing.assert_allclose(found, times, rtol=1e-8)

    method = dh.Bosh3()
    turn = jnp.array([1.0, 2.0j])
    sol = dh.solve(lambda t, z: turn * rates(t, jnp)[0] - 1j * z, turn, END, method=method, control=control, **how)
    on = lambda t, z: np.asarray(turn) * rates(t, np)[0] - 1j * z  # noqa: E731
    step = lambda t, z, h: attempt(method.tableau, on, t, z, h)  # noqa: E731
    times, rejections = walk(step, 3, control, 0.01, np.asarray(turn))
    found, rejected = steps_taken(sol)
    assert rejected == rejections > 0
    np.testing.assert_allclose(found, times, rtol=1e-8)


def test_the_way_back_has_a_recursion_of_its_own():
    """Backsolve's gradient is that of the steps which the controller takes on (a, x), begun with the forward solve's
    last choice."""

    def pushed(t, x, m):
        bell = 10.0 * m.exp(-(((t - 2.0) / 0.1) ** 2))
        return m.stack([bell - x[0], m.cos(t) * x[0] - 0.5 * x[1] + 0.2 * m.sin(x[0])])

    def back(tau, y):
        """Of (a, x) in tau = END - t."""
        t, (a, x) = END - tau, y.reshape(2, 2)
        J = np.array([[-1.0, 0.0], [np.cos(t) + 0.2 * np.cos(x[0]), -0.5]])
        return np.concatenate([J.T @ a, -pushed(t, x, np)])

    method, control, w = dh.Bosh3(), dh.PID(1e-4, 1e-5, p=0.3, i=0.4, d=0.15), np.array([1.0, -0.7])
    on_tableau = lambda f: lambda t, x, h: attempt(method.tableau, f, t, x, h)  # noqa: E731
    _, _, x1, h = whole_walk(on_tableau(lambda t, x: pushed(t, x, np)), 3, control, 0.01, X0[:2])
    _, rejections, end, _ = whole_walk(on_tableau(back), 3, control, min(h, END), np.concatenate([w, x1]))
    assert rejections > 0

    def loss(x0):
        how = {"method": method, "control": control, "dt0": 0.01, "adjoint": dh.Backsolve()}
        return jnp.dot(w, dh.solve(lambda t, x: pushed(t, x, jnp), x0, END, **how).x)

    np.testing.assert_allclose(jax.grad(loss)(jnp.asarray(X0[:2])), end[:2], rtol=1e-9)


def test_steps_by_cfl_number_are_halved_ten_times_at_most():
    """dx/dt = 1 is not let beyond 0.53: steps of 0.4 are halved until one fits, and 0.4/2^10 no longer does."""
    control = dh.CFL(0.4, lambda t, x, args: jnp.ones(()), lambda t, x, args: x <= 0.53)
    sol = dh.solve(lambda t, x: 0 * x + 1.0, 0.0, 50.0, control=control, throw=False, save=dh.Save(steps=True))
    assert int(sol.status) == dh.Status.inadmissible
    sizes = [0.4, 0.4 / 4, 0.4 / 16, 0.4 / 128, 0.4 / 256]
    np.testing.assert_allclose(sol.t[: len(sizes) + 1], np.cumsum([0.0, *sizes]), rtol=1e-12)
    assert int(sol.stats.accepted) == len(sizes)
    assert int(sol.stats.rejected) == 2 + 4 + 7 + 8 + 11


def test_reversible_heun_estimates_its_distance_from_a_step_of_euler_and_maruyama():
    """On dx = t dt + (1 + 2 t) dW: x1 = h^2/2 + (1 + h) w, Euler's step w, and so both noise and drift count."""
    h = 0.3
    problem = dh.SDE(
        lambda t, x: 0 * x + t, lambda t, x: 0 * x + 1.0 + 2.0 * t, noise="additive", calculus="stratonovich"
    )
    seen = set()
    for seed in range(4):
        how = {"method": dh.ReversibleHeun(), "control": dh.Fixed(1), "key": jax.random.key(seed)}
        sol = dh.solve(problem, jnp.zeros(()), h, **how)
        w = (float(sol.x) - h**2 / 2) / (1 + h)
        np.testing.assert_allclose(float(sol.error), abs(h**2 / 2 + h * w), rtol=1e-9)
        seen.add(w > 0)
    assert seen == {True, False}
