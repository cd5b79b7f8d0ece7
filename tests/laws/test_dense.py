"""Dense output of every kind of method, those with a history and a second state included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.testing import gradient_error

METHODS = {
    "Tsit5": dh.Tsit5(),
    "Rodas5P": dh.Rodas5P(),
    "Kvaerno5": dh.Kvaerno5(),
    "BDF": dh.BDF(),
    "reversible": dh.Reversible(dh.Tsit5()),
}
DENSE = dh.Save(dense=True)


def pendulum(t, x, k):
    return jnp.stack([x[1], -k * jnp.sin(x[0])])


X0 = jnp.array([1.0, 0.3])


@pytest.mark.parametrize("name", METHODS)
def test_dense_output_equals_what_is_saved(name):
    """Both interpolate the same steps with the same polynomial; Newton ends where its tolerance lets it."""
    how = {"args": 2.0, "method": METHODS[name], "control": dh.PID(1e-7, 1e-9)}
    ts = jnp.linspace(0.1, 4.0, 23)
    saved = dh.solve(pendulum, X0, ts, **how)
    dense = dh.solve(pendulum, X0, 4.0, save=DENSE, **how)
    rtol, atol = (1e-6, 1e-8) if name in ("Kvaerno5", "BDF") else (1e-9, 1e-11)
    np.testing.assert_allclose(dense(ts), saved.x, rtol=rtol, atol=atol)
    exact = dh.solve(pendulum, X0, ts, args=2.0, method=dh.Dopri8(), control=dh.PID(1e-12, 1e-12))
    np.testing.assert_allclose(saved.x, exact.x, atol=1e-4 if name == "BDF" else 1e-5)


@pytest.mark.parametrize("name", ["Tsit5", "Rodas5P", "reversible"])
def test_gradient_of_dense_output(name):
    """On a fixed grid: with adaptive steps differences would see the interpolated steps move."""

    def f(x0, k):
        sol = dh.solve(pendulum, x0, 2.0, args=k, method=METHODS[name], control=dh.Fixed(40), save=DENSE)
        return jnp.sum(jax.vmap(sol)(jnp.array([0.3, 1.1, 1.9])) ** 2)

    assert gradient_error(f, X0, 2.0) < 1e-6
