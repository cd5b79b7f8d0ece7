"""Random systems of linear pieces, whose solutions are exponentials: switches, doses, thermostats, relays.

Every lane is a problem of its own; answers, event times, dense output and gradients against closed forms.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh

LANES, END = 63, 3.0
METHODS = {
    "Tsit5": dh.Tsit5(),
    "Rodas5P": dh.Rodas5P(),
    "Bosh3": dh.Bosh3(),
    "Dopri8": dh.Dopri8(),
    "Verner7": dh.Verner7(),
    "Rodas4": dh.Rodas4(),
    "Kvaerno5": dh.Kvaerno5(),
    "BDF": dh.BDF(),
}


class Pieces(NamedTuple):
    """f and events of args; draw(rng) -> (x0, args) of one problem; exact(x0, args, t) -> (state, times of events)."""

    f: Callable
    events: list
    draw: Callable
    exact: Callable


def relax(x, level, rate, t):
    """x' = rate (level - x)."""
    return level + (x - level) * np.exp(-rate * t)


def switch_draw(rng):
    """x' = rate (level - x), another level and rate from T on."""
    return np.array([rng.normal()]), rng.uniform([0.5, -2, -2, 0.3, 0.3], [2.5, 2, 2, 1.5, 1.5])


def switch_exact(x0, a, t):
    T, l1, l2, k1, k2 = a
    before = relax(x0[0], l1, k1, np.minimum(t, T))
    return np.stack([np.where(t < T, before, relax(before, l2, k2, t - T))], -1), [T]


def dose_draw(rng):
    """Two doses, at one instant in a third of the problems; the second sees what the first left."""
    T = np.sort(rng.uniform(0.3, 2.7, 2))
    together = rng.integers(3) == 0
    return np.array([rng.uniform(0, 1)]), np.array([T[0], T[0] if together else T[1], *rng.uniform(0.5, 2.0, 3)])


def dose_exact(x0, a, t):
    T1, T2, d, factor, k = a
    x = x0[0] * np.exp(-k * t)
    x = x + np.where(t > T1, d * np.exp(-k * (t - T1)), 0)
    return np.stack([np.where(t > T2, factor * x, x)], -1), [T1, T2]


def thermostat_draw(rng):
    return np.array([rng.uniform(0.4, 0.6), 1.0]), rng.uniform([0.3, 0.7, 1.5, 1.0], [0.35, 0.8, 2.5, 2.0])


def thermostat_exact(x0, a, t):
    """Heated to `high`, left alone to `low`."""
    low, high, power, k = a
    x, on, now, times, values = x0[0], x0[1] > 0, 0.0, [], np.full(len(t), np.nan)
    while now < END + 1:
        level, goal = (power, high) if on else (0.0, low)
        span = np.log((x - level) / (goal - level)) / k
        inside = (t > now) & (t <= now + span) if times else (t <= now + span)
        values = np.where(inside, relax(x, level, k, t - now), values)
        x, on, now = goal, not on, now + span
        times.append(now)
    return values[:, None], [time for time in times if time < END]


def relay_draw(rng):
    """A level that changes where x passes a: the field itself jumps there, nothing is reset."""
    return np.array([rng.uniform(-0.5, 0.0)]), rng.uniform([0.2, 1.0, 1.0, 0.5], [0.5, 2.0, 4.0, 2.0])


def relay_exact(x0, a, t):
    edge, l1, l2, k = a
    T = np.log((x0[0] - l1) / (edge - l1)) / k
    return np.stack([np.where(t < T, relax(x0[0], l1, k, t), relax(edge, l2, k, t - T))], -1), [T]


flip = lambda to: lambda t, x, a: x.at[1].set(to)  # noqa: E731
on = lambda end, direction, to: dh.Event(end, direction=direction, reset=flip(to), terminate=False)  # noqa: E731

PIECES = {
    "switch": Pieces(
        lambda t, x, a: jnp.where(t < a[0], a[3] * (a[1] - x), a[4] * (a[2] - x)),
        [dh.Event(lambda t, x, a: t - a[0], terminate=False)],
        switch_draw,
        switch_exact,
    ),
    "doses": Pieces(
        lambda t, x, a: -a[4] * x,
        [
            dh.Event(lambda t, x, a: t - a[0], reset=lambda t, x, a: x + a[2], terminate=False),
            dh.Event(lambda t, x, a: t - a[1], reset=lambda t, x, a: x * a[3], terminate=False),
        ],
        dose_draw,
        dose_exact,
    ),
    "thermostat": Pieces(
        lambda t, x, a: jnp.stack([a[3] * (a[2] * x[1] - x[0]), 0 * x[1]]),
        [on(lambda t, x, a: x[0] - a[1], 1, 0.0), on(lambda t, x, a: x[0] - a[0], -1, 1.0)],
        thermostat_draw,
        thermostat_exact,
    ),
    "relay": Pieces(
        lambda t, x, a: a[3] * (jnp.where(x < a[0], a[1], a[2]) - x),
        [dh.Event(lambda t, x, a: x[0] - a[0], terminate=False)],
        relay_draw,
        relay_exact,
    ),
}
TS = np.linspace(0.0, END, 14)[1:]


def drawn(name):
    rng = np.random.default_rng(sorted(PIECES).index(name))
    problems = [PIECES[name].draw(rng) for _ in range(LANES)]
    return jnp.array([x for x, _ in problems]), jnp.array([a for _, a in problems])


def check(name, method, gradient):
    pieces, (x0s, args) = PIECES[name], drawn(name)
    how = {"in_axes": 0, "events": pieces.events, "method": method, "max_steps": 8000}
    control = dh.PID(1e-10, 1e-12) if method.order > 3 else dh.PID(1e-9, 1e-10)

    @jax.jit
    def solved(args):
        return dh.ensemble(pieces.f, x0s, TS, args=args, control=control, **how)

    sol, slack = solved(args), 1e-7 if method.order > 3 else 1e-6
    for i in range(LANES):
        values, times = pieces.exact(np.asarray(x0s[i]), np.asarray(args[i]), TS)
        np.testing.assert_allclose(sol.x[i, :, :1], values, atol=slack)
        assert sol.events.count[i] == len(times)
        np.testing.assert_allclose(sol.events.t[i, : len(times)], times, atol=slack)
    if not gradient:
        return
    slopes = jax.grad(lambda a: jnp.sum(solved(a).x[:, -1, 0]))(args)
    for i in range(0, LANES, 3):
        x0, a, h = np.asarray(x0s[i]), np.asarray(args[i]), 1e-6
        if name == "doses" and a[0] == a[1]:
            continue  # the order of the two decides: no derivative by either time alone
        end = lambda a, x0=x0: pieces.exact(x0, a, np.array([END]))[0][0, 0]  # noqa: E731
        exact = [(end(a + h * e) - end(a - h * e)) / (2 * h) for e in np.eye(len(a))]
        np.testing.assert_allclose(slopes[i], exact, atol=slack)


@pytest.mark.parametrize("name", PIECES)
def test_pieces(name):
    check(name, dh.Tsit5(), gradient=True)


@pytest.mark.parametrize("name", ["switch", "doses"])
def test_pieces_by_a_stiff_method(name):
    check(name, dh.Rodas5P(), gradient=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", PIECES)
@pytest.mark.parametrize("method", METHODS)
def test_pieces_by_every_method(name, method):
    check(name, METHODS[method], gradient=True)
