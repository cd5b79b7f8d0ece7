"""Derivatives of a run, one step at a time, against differences of `Plan.run`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.diffusion import EDM, build
from duhamel.diffusion.tuning.dense import dense
from duhamel.diffusion.tuning.families import table
from duhamel.rows import forward
from duhamel.rows.ends import Cases, Ends, tangents_of
from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.plan import Plan, Segment
from duhamel.rows.tune import free_numbers

SPAN = EDM(0.05, 10.0)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 3))
KEY = jax.random.key(3)


def model(tau, z):
    return jnp.sin(z) / (1 + tau**2)


class Counting:
    """A model with a memory of floats and of integers: its value depends on all states it saw."""

    def start(self, x):
        return jnp.zeros_like(x), jnp.zeros((), jnp.int32)

    def __call__(self, memory, tau, z):
        seen, count = memory
        return jnp.sin(z) + 0.1 * seen / (1 + count), (seen + z, count + 1)


def cases():
    """(family, theta, models): many rows a step, several segments of which one draws, a memory, fixed coefficients."""
    yield "heun", *free_numbers(build("heun", SPAN, 3)), model
    yield "dense", *table(dense(build("dpmpp-3m", SPAN, 5, terminal=False), SPAN), SPAN), model
    drawing = Pattern((Row("y", ("x",), call="F"), Row("x_next", ("x", "F", "z"))), (("x", "x_next"),), draws=("z",))
    still = Pattern((Row("y", ("x",), call="F"), Row("x_next", ("x", "F"))), (("x", "x_next"),))
    one = np.ones(1)

    def family(theta):
        first = Segment(still, (one, np.array([1.0, theta[0]]), theta[1] * one), np.zeros((2, 1)))
        then = Segment(drawing, (one, one, theta[2:4], 0.3 * one), theta[4:6, None])
        return Plan("two", (first, then, first), np.arange(7.0))

    yield "segments", family, np.array([0.9, -0.2, 0.1, 0.3, 0.5, 0.7]), model
    yield "memory", family, np.array([0.9, -0.2, 0.1, 0.3, 0.5, 0.7]), Counting()


CASES: dict[str, Any] = {name: rest for name, *rest in cases()}


@pytest.mark.parametrize(("chunk", "save"), [(100, None), (4, None), (4, "steps")])
@pytest.mark.parametrize("name", CASES)
def test_jacobian_is_that_of_differences(name, chunk, save):
    family, theta, models = CASES[name]
    plan = family(theta)
    with jax.enable_x64(True):
        target = np.asarray(plan.run(models, X, key=KEY if plan.draws else None, save=save))
        parts = [Cases(X, target, key=KEY if plan.draws else None)] * 2
        ends = Ends(models, parts, save)
        found = ends.jacobian(plan, tangents_of(family, theta), chunk)
        h = 1e-6
        sides = [[ends.residual(family(theta + s * h * e)) for s in (1, -1)] for e in np.eye(len(theta))]
    differences = np.stack([(up - down) / (2 * h) for up, down in sides], axis=-1)
    assert found.shape == differences.shape and np.abs(differences).max() > 0.1
    np.testing.assert_allclose(found, differences, rtol=1e-5, atol=1e-6)


def test_a_number_costs_nothing_before_its_step(monkeypatch):
    """33 numbers of a table of six steps, seven at a time: fewer steps than five whole runs of six."""
    family, theta = table(dense(build("dpmpp-3m", SPAN, 6, terminal=False), SPAN), SPAN)
    plan, taken = family(theta), []
    step = forward._step
    monkeypatch.setattr(forward, "_step", lambda *a: taken.append(1) or step(*a))
    with jax.enable_x64(True):
        Ends(model, Cases(X, X), None).jacobian(plan, tangents_of(family, theta), 7)
    assert len(theta) == 33 and len(taken) < 0.75 * 5 * 6
