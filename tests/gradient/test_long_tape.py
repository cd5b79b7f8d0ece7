"""Memory of a gradient follows the steps taken and the square root of max_steps, not max_steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.solver import long_tape, tape


def van_der_pol(t, x, mu):
    return jnp.stack([x[1], mu * (1 - x[0] ** 2) * x[1] - x[0]])


CASES = {
    "PID": {},
    "an event": {"events": dh.Event(lambda t, x, mu: x[0] - 0.1 * mu, reset=lambda t, x, mu: 0.9 * x, terminate=False)},
    "BDF": {"method": dh.BDF()},
    "CFL": {"method": dh.RK4(), "control": dh.CFL(0.1, lambda t, x, mu: 1.0 + jnp.sum(x * x))},
    "Fixed": {"method": dh.RK4(), "control": dh.Fixed(300)},
}

OTHERS = [name for name in CASES if name != "an event"]


@pytest.mark.parametrize("how", [CASES["an event"]], ids=["an event"])
def test_a_tape_in_pieces_gives_the_same_gradient(how, monkeypatch):
    """Pieces of 8 attempts, groups of 16 and more: every way back is taken."""

    def loss(mu):
        x0 = jnp.array([2.0, 0.0]) * mu
        ts = jnp.linspace(0.0, 3 * mu, 5)
        return jnp.sum(jnp.sin(dh.solve(van_der_pol, x0, ts, args=mu, **{"max_steps": 2000} | how).x))

    whole = jax.jit(jax.value_and_grad(loss))(1.3)
    monkeypatch.setattr(tape, "ROWS", 1)
    monkeypatch.setattr(long_tape, "SEGMENT", 8)
    pieces = jax.jit(jax.value_and_grad(lambda mu: loss(mu)))(1.3)
    np.testing.assert_allclose(pieces, whole, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("how", [CASES[name] for name in OTHERS], ids=OTHERS)
def test_a_tape_in_pieces_gives_the_same_gradient_for_the_others(how, monkeypatch):
    test_a_tape_in_pieces_gives_the_same_gradient(how, monkeypatch)


@pytest.mark.parametrize("many", ["vmap", "ensemble"])
def test_a_million_steps_allowed_cost_a_few_megabytes(many):
    x0s = jnp.stack([jnp.linspace(1.0, 2.0, 64), jnp.zeros(64)], axis=-1)

    def loss(mu):
        how = {"args": mu, "max_steps": 1_000_000, "throw": False}
        if many == "ensemble":
            return jnp.sum(dh.ensemble(van_der_pol, x0s, 1.0, **how).x)
        return jnp.sum(jax.vmap(lambda x0: dh.solve(van_der_pol, x0, 1.0, **how).x)(x0s))

    compiled = jax.jit(jax.grad(loss)).lower(1.3).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 16e6
