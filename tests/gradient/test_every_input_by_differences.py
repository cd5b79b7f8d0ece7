"""The gradient by t0, t1, the save times, x0 and every parameter equals finite differences: for every method of the
package, on every kind of equation that it accepts, under every control and every adjoint that accept it.

On a fixed grid the derivative is that of the numbers computed, and so are the differences. Where a controller chooses
the steps it is that of the exact solution, to the tolerance, and differences are taken of a precise solve.

`make test` runs every class of methods once and every adjoint on a few; `make slow` the whole product.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel import pde
from duhamel.solver import checks

STEPS = 8
V0 = np.array([0.1, 1.0, 0.35, 0.9, -0.6, 0.7])  # t0, t1, one save time, x0, k
NAMES = ("t0", "t1", "ts", "x0", "x1", "k")
PRECISE = dh.PID(1e-12, 1e-13)


# Equations of every kind in two numbers; k is a parameter, closed over in one place and an argument in another


def ordinary(k):
    return dh.ODE(lambda t, x, a: jnp.stack([a * x[1], -jnp.sin(k * x[0]) + 0.3 * jnp.cos(2 * t)]))


def semilinear(k):
    N = lambda t, x, a: jnp.stack([0.3 * jnp.cos(2 * t) * x[1], 0.2 * a * x[0] ** 2])  # noqa: E731
    return dh.Semilinear(dh.Diagonal(-k * jnp.array([1.0, 3.0])), N)


def split(k):
    return dh.Split(lambda t, x, a: jnp.stack([jnp.sin(x[1]), a * jnp.cos(t)]), lambda t, x: -k * x * (1 + x**2))


def separable(k):
    return dh.Separable(lambda t, p, a: a * p, lambda t, q: -jnp.sin(k * q) + 0.1 * jnp.cos(t))


def flows(k):
    turn = lambda t, h, x, a: jnp.stack(  # noqa: E731
        [jnp.cos(a * h) * x[0] + jnp.sin(a * h) * x[1], jnp.cos(a * h) * x[1] - jnp.sin(a * h) * x[0]]
    )
    return dh.Flows(turn, lambda t, h, x: x * jnp.exp(-k * (jnp.sin(t + h) - jnp.sin(t))))


def controlled(k):
    knots = jnp.array([0.0, 0.4, 0.8, 1.2])
    path = dh.HermitePath(knots, jnp.stack([knots, jnp.sin(3 * knots) * k], axis=-1))
    return dh.CDE(lambda t, x, a: jnp.stack([jnp.tanh(a * x), jnp.cos(x[::-1])], axis=-1), path)


def noisy(noise, calculus):
    def build(k):
        drift = lambda t, x, a: -a * x + 0.2 * jnp.sin(t)  # noqa: E731
        g = {"additive": lambda t, x: 0.3 * k * jnp.ones(2), "diagonal": lambda t, x: 0.3 * jnp.sin(k * x)}[noise]
        return dh.SDE(drift, g, noise=noise, calculus=calculus)

    return build


def underdamped(k):
    return dh.Langevin(lambda t, q, a: a * q + jnp.sin(q), gamma=k, u=0.5)


def algebraic(k):
    """x' = -k x + y, 0 = y - sin(x) / 2."""
    f = lambda t, x, a: jnp.stack([-a * x[0] + x[1], x[1] - 0.5 * jnp.sin(k * x[0]) - 0.1 * t])  # noqa: E731
    return dh.DAE(f, np.diag([1.0, 0.0]))


PAIRS = ("separable", "langevin")
KINDS = {
    "ode": ordinary,
    "semilinear": semilinear,
    "split": split,
    "separable": separable,
    "flows": flows,
    "cde": controlled,
    "additive": noisy("additive", "ito"),
    "diagonal, Ito": noisy("diagonal", "ito"),
    "diagonal, Stratonovich": noisy("diagonal", "stratonovich"),
    "langevin": underdamped,
    "dae": algebraic,
}
NOISY = ("additive", "diagonal, Ito", "diagonal, Stratonovich", "langevin")
ADJOINTS = {
    "Tape": dh.Tape(),
    "Tape, recomputing": dh.Tape(memory=1),
    "Direct": dh.Direct(),
    "Forward": dh.Forward(),
    "Backsolve": dh.Backsolve(),
    "Interpolating": dh.Interpolating(),
    "Reversible": dh.ReversibleAdjoint(),
}
CONTINUOUS = ("Backsolve", "Interpolating")


@cache
def methods():
    """Every method that the package offers without being asked for anything, by name, and its reversible wrapper."""
    found = {}
    for name in sorted(dir(dh)):
        maker = getattr(dh, name)
        if not getattr(maker, "__module__", "").startswith("duhamel.methods"):
            continue
        try:
            method = maker()
        except TypeError:  # it wants a table, or another method
            continue
        if isinstance(method, dh.Method):
            found[name] = method
    return found | {"Reversible(RK4)": dh.Reversible(dh.RK4()), "LevyMilstein": dh.Milstein(areas=True)}


def kinds_of(method):
    """The kinds of equation it solves: those whose fields it does not refuse."""
    accepted = []
    for kind, build in KINDS.items():
        try:
            method.fields(build(0.7))
        except ValueError:
            continue
        accepted.append(kind)
    return accepted


CONTROLS = {
    "Fixed": lambda t0, t1: dh.Fixed(STEPS),
    "grid": lambda t0, t1: dh.Fixed(grid=t0 + (t1 - t0) * jnp.linspace(0.0, 1.0, STEPS + 1) ** 1.3),
    "PID": lambda t0, t1: dh.PID(1e-8, 1e-9),
    "CFL": lambda t0, t1: dh.CFL(0.05, lambda t, x, a: 1.0 + 0.1 * a * x[0] ** 2),
}


def accepted(method, kind, control, adjoint):
    """Whether the package takes them together. Left out: methods of low order at a tight tolerance, and for noise
    chosen steps, whose differences are those of other steps."""
    low = method.order < 3 and control in ("PID", "CFL")
    if isinstance(method, dh.BDF) and control != "PID":  # said where it starts
        return False
    if low or (kind in NOISY and control == "PID") or (kind in PAIRS and control == "CFL"):
        return False
    try:
        checks.fits(KINDS[kind](0.7), method, CONTROLS[control](0.0, 1.0), ADJOINTS[adjoint], dh.Save(), None)
        checks.control(CONTROLS[control](0.0, 1.0), method, start(kind, jnp.asarray(V0[3:]), V0[0]))
    except (ValueError, NotImplementedError):
        return False
    return True


def start(kind, v, t0):
    if kind == "dae":  # a state that the algebraic equation allows
        return jnp.stack([v[0], 0.5 * jnp.sin(v[2] * v[0]) + 0.1 * t0])
    return (v[0], v[1]) if kind in PAIRS else v[:2]


def loss_of(name, kind, control, adjoint):
    """(t0, t1, part of the save time; x0, k) -> one number, a mild function of all that comes out."""

    def loss(times, inputs):
        (t0, t1, part), k = times, inputs[2]
        ts = t1 if kind in NOISY else jnp.stack([t0 + part * (t1 - t0), t1])
        key = {"key": jax.random.key(3)} if kind in NOISY else {}
        how = {"method": methods()[name], "adjoint": ADJOINTS[adjoint], "max_steps": 4000} | key
        chosen = PRECISE if control == "precise" else CONTROLS[control](t0, t1)
        sol = dh.solve(KINDS[kind](k), start(kind, inputs, t0), ts, t0=t0, args=k * k, control=chosen, **how)
        leaves = jax.tree.leaves((sol.x, sol.x1))
        return sum(jnp.sin((1 + i) * jnp.sum(leaf)) for i, leaf in enumerate(leaves))

    return loss


def differences(loss, h):
    """Central, one input after the other."""
    shifts = h * np.eye(6)
    return np.array([(loss(V0 + e) - loss(V0 - e)) / (2 * h) for e in shifts])


@cache
def exact(kind):
    """Differences of a precise solution."""
    loss = jax.jit(loss_of("Rodas5P" if kind == "dae" else "Dopri8", kind, "precise", "Forward"))
    return differences(lambda v: float(loss(v[:3], v[3:])), 1e-4)


def check(name, kind, control, adjoint):
    """All inputs at once, with one compilation."""
    loss, argnums = loss_of(name, kind, control, adjoint), (1,) if kind in NOISY else (0, 1)
    if adjoint == "Forward":
        both = jax.jit(lambda *given: (loss(*given), jax.jacfwd(loss, argnums)(*given)))
    else:
        both = jax.jit(jax.value_and_grad(loss, argnums))
    _, found = both(V0[:3], V0[3:])
    found = np.concatenate([np.zeros(3) if kind in NOISY else [], *found])
    computed = control in ("Fixed", "grid") and adjoint not in CONTINUOUS
    if computed:
        truth, tolerance = differences(lambda v: float(both(v[:3], v[3:])[0]), 1e-5), 1e-7
    elif control in ("Fixed", "grid"):
        truth, tolerance = exact(kind), 5 * 0.2 ** methods()[name].order
    else:
        truth, tolerance = exact(kind), {"PID": 2e-6, "CFL": 1e-4}[control]
    if kind in NOISY:
        found, truth = found[3:], truth[3:]
    np.testing.assert_allclose(found, truth, rtol=0, atol=tolerance * max(1.0, np.max(np.abs(truth))))


def cases(names, adjoints, kinds=1):
    """(method, kind, control, adjoint), of the first so many kinds that each method solves."""
    return [
        (name, kind, control, adjoint)
        for name in names
        for kind in kinds_of(methods()[name])[:kinds]
        for adjoint in adjoints
        for control in CONTROLS
        if accepted(methods()[name], kind, control, adjoint)
    ]


ALGEBRAIC = ("Rodas5P", "Kvaerno5", "BDF")


def one_of_each_class():
    """The first method of every class, on the first kind that it solves, under the first control that it accepts."""
    first = {}
    for name, method in methods().items():
        first.setdefault(type(method).__name__, name)
    found = []
    for name in first.values():
        found += cases([name], ["Tape"])[:1]
    return [case for case in found if case[0] not in ("Auto", "QUICSORT", "ALIGN")]  # slow to compile


def every_adjoint():
    """An adaptive method, an exponential one whose coefficients are tabulated, one that can be undone."""
    adaptive = [("Bosh3", "ode", "PID", adjoint) for adjoint in ("Direct", "Forward", "Backsolve", "Interpolating")]
    tabulated = [("ETDRK2", "semilinear", "Fixed", adjoint) for adjoint in ("Direct", "Forward", "Interpolating")]
    return [*adaptive, *tabulated, ("Reversible(RK4)", "ode", "Fixed", "Reversible"), ("RK4", "ode", "CFL", "Tape")]


def named(cases):
    return pytest.mark.parametrize("case", cases, ids=[" | ".join(case) for case in cases])


@named(one_of_each_class())
def test_a_method_of_each_class(case):
    check(*case)


@named(every_adjoint())
def test_every_adjoint(case):
    check(*case)


def test_a_field_by_its_end_time_counts_the_table_once():
    """sum over 32 points of (exp(-0.3 T) sin x)^2 = 16 exp(-0.6 T)."""
    grid, x = pde.periodic(32, 2 * np.pi), np.arange(32) * np.pi / 16
    power = lambda T: jnp.sum(pde.solve(pde.Heat(0.3), grid, np.sin(x), T, steps=20).x ** 2)  # noqa: E731
    np.testing.assert_allclose(jax.grad(power)(1.0), -9.6 * np.exp(-0.6), rtol=1e-12)


@pytest.mark.slow
@named([(name, adjoint) for name in methods() for adjoint in ADJOINTS])
def test_everything_together(case):
    name, adjoint = case
    for one in cases([name], [adjoint], len(KINDS)):
        if one[1] != "dae":
            check(*one)


# BDF's forward mode goes through its last step, whose predictor is held: by t1 it is not that of the solution.
@named(
    [(name, adjoint) for name in ALGEBRAIC for adjoint in ("Tape", "Direct") if (name, adjoint) != ("BDF", "Direct")]
)
def test_algebraic_equations(case):
    name, adjoint = case
    for control in CONTROLS:
        if accepted(methods()[name], "dae", control, adjoint) and (name != "BDF" or control == "PID"):
            check(name, "dae", control, adjoint)
