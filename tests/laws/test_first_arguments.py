"""What a first user passes and writes works, by SciPy's and Python's habits, or is met with one sentence."""

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh

FIXED = {"method": dh.RK4(), "control": dh.Fixed(4)}


@dataclass
class Rate:
    k: Any
    name: str = "decay"


class Plain:
    def __init__(self, k):
        self.k = k


def by_kind(t, x, args):
    match args["kind"]:
        case "decay":
            return -args["k"] * x
        case _:
            raise AssertionError


def by_branch(t, x, args):
    return -args[1] * x if args[0] else args[1] * x


def by_range(t, x, args):
    total = 0.0
    for _ in range(args[0]):
        total = total - args[1] * x
    return total


ARGS = {
    "a string": (by_kind, lambda k: {"kind": "decay", "k": k}),
    "a bool": (by_branch, lambda k: (True, k)),
    "an int in range": (by_range, lambda k: (1, k)),
    "a function": (lambda t, x, a: -a[0](a[1]) * x, lambda k: (jnp.abs, k)),
    "a dataclass": (lambda t, x, a: -a.k * x if a.name == "decay" else x, Rate),
    "a namespace": (lambda t, x, a: -a.k * x, lambda k: SimpleNamespace(k=k, more=None)),
    "an object": (lambda t, x, a: -a.k * x, Plain),
    "objects inside": (lambda t, x, a: -a["rate"].k.k * x, lambda k: {"rate": Rate(Plain(k))}),
    "SciPy's tuple": (lambda t, x, k, two: -k * x * two / 2.0, lambda k: (k, 2.0)),
    "a tuple gathered": (lambda t, x, *more: -more[0] * x / more[1], lambda k: (k, 1.0)),
}


def rk4(k):
    """What four steps of RK4 make of x' = -k x over one unit of time."""
    z = k / 4
    return (1 - z + z**2 / 2 - z**3 / 6 + z**4 / 24) ** 4


@pytest.mark.parametrize("case", ARGS)
def test_arguments_of_any_kind_arrive_and_are_differentiated(case):
    f, make = ARGS[case]
    value, slope = jax.value_and_grad(lambda k: dh.solve(f, 1.0, 1.0, args=make(k), **FIXED).x)(2.0)
    assert float(value) == pytest.approx(rk4(2.0)) and float(slope) == pytest.approx(jax.grad(rk4)(2.0))


@pytest.mark.parametrize("case", ["an int in range", "objects inside"])
def test_arguments_of_any_kind_arrive_in_an_ensemble(case):
    f, make = ARGS[case]
    axes = (None, 0) if case == "an int in range" else 0
    run = lambda ks: dh.ensemble(f, jnp.ones(3), 1.0, args=make(ks), in_axes=axes, **FIXED).x  # noqa: E731
    ks = jnp.array([0.5, 1.0, 2.0])
    value, pull = jax.vjp(run, ks)
    assert np.allclose(value, rk4(ks)) and np.allclose(pull(jnp.ones(3))[0], jax.vmap(jax.grad(rk4))(ks))


def test_an_object_that_is_changed_between_solves_is_read_again():
    rate = Plain(1.0)
    assert dh.solve(ARGS["an object"][0], 1.0, 1.0, args=rate, **FIXED).x == pytest.approx(rk4(1.0))
    rate.k = 2.0
    assert dh.solve(ARGS["an object"][0], 1.0, 1.0, args=rate, **FIXED).x == pytest.approx(rk4(2.0))


@pytest.mark.parametrize("wrap", ["with a string", "closed over"])
def test_a_network_in_args_is_differentiated(wrap):
    net = eqx.nn.MLP(2, 2, 8, 1, activation=jnp.tanh, key=jax.random.key(0))
    x0 = jnp.array([1.0, -0.5])

    def end(net):
        if wrap == "closed over":
            return dh.solve(lambda t, x: net(x), x0, 1.0, **FIXED).x
        return dh.solve(lambda t, x, a: a["net"](x), x0, 1.0, args={"net": net, "name": "net"}, **FIXED).x

    slope = eqx.filter_grad(lambda net: end(net).sum())(net)
    direction = jax.tree.map(lambda leaf: jnp.cos(jnp.arange(leaf.size, dtype=leaf.dtype)).reshape(leaf.shape), slope)
    inner = sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(slope), jax.tree.leaves(direction), strict=True))
    eps = 1e-5
    ends = [end(eqx.apply_updates(net, jax.tree.map(lambda d, s=s: s * eps * d, direction))).sum() for s in (1, -1)]
    assert float(inner) == pytest.approx(float(ends[0] - ends[1]) / (2 * eps), rel=1e-6)


def test_a_default_is_kept_in_fields_events_and_what_is_saved():
    fields = [lambda t, x, i=i: -float(i) * x for i in (1, 2)]
    assert [dh.solve(f, 1.0, 1.0, **FIXED).x for f in fields] == pytest.approx([rk4(1.0), rk4(2.0)])
    rates = jnp.array([1.0, 2.0])
    passing = [dh.Event(lambda t, x, i=i: x[i] - 0.5) for i in (0, 1)]
    sol = dh.solve(lambda t, x, k: -k * x, jnp.ones(2), 1.0, args=rates, events=passing)
    assert float(sol.t1) == pytest.approx(math.log(2) / 2, rel=1e-6) and sol.events.which[0] == 1
    jump = dh.Event(lambda t, x, args: x[0] - 0.5, reset=lambda t, x, by=3.0: x + by, terminate=False)
    save = dh.Save(fn=lambda t, x, i=0: x[i])
    sol = dh.solve(lambda t, x, k: 0 * x - k, jnp.ones(1), 1.0, args=1.0, events=jump, save=save, **FIXED)
    assert float(sol.x) == pytest.approx(3.0, rel=1e-6)
    noisy = dh.SDE(lambda t, x, a=1.0: -a * x, lambda t, x, s=0.0: s * x)
    sol = dh.solve(noisy, 1.0, 1.0, method=dh.EulerMaruyama(), control=dh.Fixed(4), key=jax.random.key(0))
    assert float(sol.x) == pytest.approx(0.75**4)
    speed = dh.CFL(0.1, lambda t, x, k=1.0: k)
    assert dh.solve(lambda t, x: -x, 1.0, 1.0, method=dh.RK4(), control=speed).stats.accepted == 10


STATES = {
    "a list": ([1.0, 0.0], lambda t, x: jnp.stack([x[1], -x[0]])),
    "a list of whole numbers": ([1, 0], lambda t, x: jnp.stack([x[1], -x[0]])),
    "whole numbers": (np.array([1, 0]), lambda t, x: jnp.stack([x[1], -x[0]])),
    "returns a list": (jnp.array([1.0, 0.0]), lambda t, x: [x[1], -x[0]]),
    "unpacks a list": ([1.0, 0.0], lambda t, x: [x[1], -x[0]]),
    "returns a tuple": (jnp.array([1.0, 0.0]), lambda t, x: (x[1], -x[0])),
    "a tuple, a list back": ((1.0, 0.0), lambda t, x: [x[1], -x[0]]),
    "float32": (np.array([1.0, 0.0], np.float32), lambda t, x: [x[1], -1.0 * x[0]]),
}


@pytest.mark.parametrize("case", STATES)
@pytest.mark.parametrize("front", ["solve", "ensemble"])
def test_states_as_people_write_them(case, front):
    x0, f = STATES[case]
    if front == "solve":
        x = dh.solve(f, x0, 1.0, method=dh.RK4(), control=dh.Fixed(20)).x
    else:
        lanes = [x0, x0] if isinstance(x0, list) else jax.tree.map(lambda leaf: np.stack([leaf, leaf]), x0)
        x = dh.ensemble(f, lanes, 1.0, method=dh.RK4(), control=dh.Fixed(20)).x
        x = jax.tree.map(lambda leaf: leaf[1], x)
    assert isinstance(x, tuple) == isinstance(x0, tuple)
    assert np.allclose(np.stack(x), [math.cos(1), -math.sin(1)], atol=1e-5)


def test_a_whole_number_is_a_state_and_constants_are_rates():
    assert dh.solve(lambda t, x: -x, 1, 1.0, **FIXED).x == pytest.approx(rk4(1.0))
    assert dh.solve(lambda t, x: 2, 1.0, 1.0, **FIXED).x == pytest.approx(3.0)
    fall = dh.solve(lambda t, x: [x[1], -9.81], [10.0, 0.0], 1.0, **FIXED)
    assert np.allclose(fall.x, [10 - 9.81 / 2, -9.81])


def loud(t, x):
    return -x if x > 0 else x


REFUSED = {
    "if": (lambda: dh.solve(loud, 1.0, 1.0), r"f \(test_first_arguments.py, line \d+: .*jnp\.where"),
    "if, ensemble": (lambda: dh.ensemble(loud, jnp.ones(2), 1.0), r"jnp\.where\(condition, a, b\)"),
    "max": (lambda: dh.solve(lambda t, x: -max(x, 0.0), 1.0, 1.0), r"jnp\.maximum"),
    "np.sin": (lambda: dh.solve(lambda t, x: -np.sin(x), 1.0, 1.0), r"write jnp \(jax\.numpy\)"),
    "np.array": (lambda: dh.solve(lambda t, x: np.array([x[1], -x[0]]), jnp.ones(2), 1.0), r"jnp\.stack"),
    "math.exp": (lambda: dh.solve(lambda t, x: -math.exp(t) * x, 1.0, 1.0), r"write jnp\.exp"),
    "range": (lambda: dh.solve(lambda t, x, n: sum(x for _ in range(n)), 1.0, 1.0, args=jnp.array(2)), "Python int"),
    "a mask": (lambda: dh.solve(lambda t, x: x[x > 0], jnp.ones(2), 1.0), r"jnp\.where\(mask, a, b\)"),
    "if in g": (
        lambda: dh.solve(lambda t, x: -x, 1.0, 1.0, events=dh.Event(lambda t, x: 1.0 if x > 0.5 else -1.0)),
        r"Event\(g\).*jnp\.where",
    ),
    "no return": (lambda: dh.solve(lambda t, x: None, 1.0, 1.0), "f returned None: a return is missing"),
    "a set": (lambda: dh.solve(lambda t, x, a: x, 1.0, 1.0, args={1, 2}), "args hold a set"),
    "an array of texts": (lambda: dh.solve(lambda t, x, a: x, 1.0, 1.0, args=np.array(["a"])), "args hold an array"),
    "no place for args": (
        lambda: dh.solve(lambda t, x, k=1.0: -k * x, 1.0, 1.0, args=2.0),
        r"write it as f\(t, x, k\)".replace("write", "Write"),
    ),
    "too few args": (lambda: dh.solve(lambda t, x, a, b: x, 1.0, 1.0, args=(1.0,)), "tuple of 2, got 1"),
    "a tuple of one": (lambda: dh.solve(lambda t, x, k: -k * x, 1.0, 1.0, args=(1.0,)), "passed as args=k"),
    "a tuple for an array": (lambda: dh.solve(lambda t, x: -x, (1.0, 2.0), 1.0), r"make x0 one array"),
    "written into": (lambda: dh.solve(lambda t, x: x.__setitem__(0, 1.0), jnp.ones(2), 1.0), r"x\.at\[i\]\.set"),
    "a network alone": (
        lambda: dh.solve(eqx.nn.MLP(1, 1, 4, 1, key=jax.random.key(0)), 1.0, 1.0),
        r"write it as f\(t, x\)",
    ),
    "a text": (lambda: dh.solve(lambda t, x: "x", 1.0, 1.0), "f returned a str"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_one_sentence_names_the_remedy(case):
    call, sentence = REFUSED[case]
    with pytest.raises((ValueError, TypeError), match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value) and "racer" not in str(caught.value) and "PyTreeDef" not in str(caught.value)
