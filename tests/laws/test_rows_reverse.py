"""Forward, then back: a plan that keeps the states at which it called its model is undone exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.rows.checks import inversion_margin
from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.plan import Plan, Segment, compose
from duhamel.rows.reverse import reverse

ones = np.ones(1)
n = 12
t = np.linspace(0, 1, n + 1) ** 1.3
h = np.diff(t)


def bdia(gamma=0.9):
    """x_{i-1} = gamma x_{i+1} + (1 - gamma) x_i + c F (arXiv 2307.10829), with numbers that change."""
    pattern = Pattern((Row("y", ("x",), "F"), Row("next", ("F", "y", "far"))), keep=(("x", "next"), ("far", "y")))
    return Plan("bdia", (Segment(pattern, (ones, h, (1 - gamma) * ones, gamma * ones), t[:-1, None]),), t)


def edict(p=0.93):
    """Two states that drive each other, then mix (arXiv 2211.12446): two calls, the second at the new first state."""
    pattern = Pattern(
        (
            Row("u", ("y",), "F1"),
            Row("x1", ("F1", "x")),
            Row("v", ("x1",), "F2"),
            Row("y1", ("F2", "y")),
            Row("x2", ("y1", "x1")),
            Row("y2", ("x2", "y1")),
        ),
        keep=(("x", "x2"), ("y", "y2")),
    )
    q = (1 - p) * ones
    coef = (ones, h, 1.02 * ones, ones, h, 1.02 * ones, q, p * ones, q, p * ones)
    return Plan("edict", (Segment(pattern, coef, np.stack([t[:-1], t[:-1]], 1)),), t)


def leapfrog():
    pattern = Pattern(
        (Row("q1", ("p", "x")), Row("y", ("q1",), "f"), Row("p1", ("mu", "f", "p")), Row("q2", ("p1", "q1"))),
        keep=(("x", "q2"), ("p", "p1")),
        consts=("mu",),
    )
    return Plan(
        "leapfrog", (Segment(pattern, (h / 2, ones, ones, 0.1 * ones, -h, ones, h / 2, ones), t[:-1, None]),), t
    )


@pytest.mark.parametrize("build", [bdia, edict, leapfrog])
def test_forward_then_back_returns(build):
    plan = build()
    back = plan.reversed()
    other = plan.slots[1]
    x, y = jax.random.normal(jax.random.key(0), (2, 5, 3))
    consts = {"mu": jnp.arange(3.0)} if plan.consts else {}

    def model(tau, x):
        return jnp.sin(3 * x) * jnp.exp(tau)

    end = plan.run(model, x, slots={other: y}, consts=consts, save="slots")
    assert not np.allclose(end["x"], x, atol=0.1)
    start = back.run(model, end["x"], slots={other: end[other]}, consts=consts, save="slots")
    np.testing.assert_allclose(start["x"], x, atol=1e-12)
    np.testing.assert_allclose(start[other], y, atol=1e-12)
    assert (back.nfe, back.copies, back.steps) == (plan.nfe, plan.copies, plan.steps)
    np.testing.assert_array_equal(back.t, plan.t[::-1])


def test_reversing_twice_is_the_plan_in_what_it_does():
    plan = compose([bdia(), Plan("again", bdia().segments, bdia().t + 1.0)], "twice")
    again = reverse(reverse(plan))
    for slot in (0, 1):
        a, b = plan.canonical(slots=("x", "far")), again.canonical(slots=("x", "far"))
        np.testing.assert_allclose(a.states[slot], b.states[slot], atol=1e-12)


def test_float32_loses_what_the_margin_says():
    model = jnp.sin
    x = jax.random.normal(jax.random.key(0), (2, 500), jnp.float32)
    for gamma, least in ((1.0, 0.0), (0.3, 1e-4)):
        plan = bdia(gamma)
        end = plan.run(lambda tau, x: model(x), x[0], slots={"far": x[1]}, save="slots")
        start = reverse(plan).run(lambda tau, x: model(x), end["x"], slots={"far": end["far"]})
        lost = float(jnp.max(jnp.abs(start - x[0])))
        assert least <= lost < 20 * np.finfo(np.float32).eps * inversion_margin(plan, ("x", "far"), lambda tau: 1.0)


def euler():
    pattern = Pattern((Row("y", ("x",), "F"), Row("next", ("F", "x"))), keep=(("x", "next"),))
    return Plan("euler", (Segment(pattern, (ones, h, ones), t[:-1, None]),), t)


def noisy():
    pattern = Pattern((Row("next", ("z", "x")),), keep=(("x", "next"),), draws=("z",))
    return Plan("noisy", (Segment(pattern, (ones, ones), np.zeros((1, 0))),), np.zeros(2))


BAD = [
    (euler, "calls its model at a state that it does not keep"),
    (noisy, "draws noise and cannot be undone"),
    (lambda: bdia(0.0), "slot 'far' does not follow from what a step keeps"),
]


@pytest.mark.parametrize("build, words", BAD, ids=["euler", "noisy", "gamma = 0"])
def test_what_cannot_be_undone_is_said(build, words):
    with pytest.raises(ValueError, match=words):
        reverse(build())
