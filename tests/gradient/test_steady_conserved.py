"""States of rest of equations that conserve something, and those that a march only passes by."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh


def exchange(t, x, k):
    flow = k[0] * x[0] - k[1] * x[1]
    return jnp.stack([-flow, flow])


def split(k, x0):
    return jnp.sum(x0) * jnp.stack([k[1], k[0]]) / (k[0] + k[1])


def test_exchange_between_two_states_and_its_derivatives():
    k, x0 = jnp.array([2.0, 3.0]), jnp.array([0.9, 0.1])
    rest = lambda k, x0: dh.steady_state(exchange, x0, args=k).x  # noqa: E731
    found = dh.steady_state(exchange, x0, args=k)
    assert np.allclose(found.x, [0.6, 0.4], rtol=1e-13) and abs(float(found.growth)) < 1e-12
    for ours, closed in zip(jax.jacrev(rest, (0, 1))(k, x0), jax.jacrev(split, (0, 1))(k, x0), strict=True):
        assert np.allclose(ours, closed, atol=1e-12)
    assert np.allclose(jax.jacfwd(jax.jacrev(rest))(k, x0), jax.jacfwd(jax.jacrev(split))(k, x0), atol=1e-11)


def test_binding_keeps_both_totals_and_lies_on_its_law():
    """A + B <-> C from (1, 1/2, 0): c solves on (1 - c)(1/2 - c) = off c."""
    on, off = 2e3, 0.5e3

    def rest(on):
        field = lambda t, x: jnp.array([-1.0, -1.0, 1.0]) * (on * x[0] * x[1] - off * x[2])  # noqa: E731
        return dh.steady_state(field, jnp.array([1.0, 0.5, 0.0]), method=dh.Rodas5P()).x

    def closed(on):
        b = 1.5 + off / on
        c = (b - jnp.sqrt(b * b - 2.0)) / 2
        return jnp.stack([1 - c, 0.5 - c, c])

    (x, slope), (right, steep) = (jax.jvp(f, (on,), (1.0,)) for f in (rest, closed))
    assert np.allclose(x, right, rtol=1e-12) and np.allclose(slope, steep, rtol=1e-9)


def test_a_march_passes_by_what_is_unstable():
    well = lambda x0: dh.steady_state(lambda t, x: x - x**3, x0, throw=False)  # noqa: E731
    found = jax.vmap(well)(jnp.array([1e-7, -1e-8, 2.0, 0.0]))
    assert np.allclose(found.x, [1.0, -1.0, 1.0, 0.0], rtol=1e-13)
    assert found.status.tolist() == [0, 0, 0, int(dh.Status.unstable)]
    assert np.allclose(found.growth, [-2.0, -2.0, -2.0, 1.0])
    with pytest.raises(RuntimeError, match="begin beside it"):
        dh.steady_state(lambda t, x: x - x**3, 0.0)


def test_complex_states():
    found = dh.steady_state(lambda t, x: (-1 + 1j) * x + 2.0, jnp.array([1.0 + 0j]))
    assert np.allclose(found.x, [1 + 1j], rtol=1e-13) and float(found.growth) == pytest.approx(-1.0)
