"""The error estimates of order-4 exponential methods where N depends on time: the published pairs do not see it."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

import duhamel as dh
from duhamel.methods.exponential import depends
from duhamel.methods.tableaux.exponential import ETDRK4, HOCHBRUCK_OSTERMANN, KROGSTAD, watching

METHODS = [dh.ETDRK4(), dh.Krogstad(), dh.HochbruckOstermann()]
names = lambda m: m.tableau.name  # noqa: E731


@pytest.mark.parametrize("method", METHODS, ids=names)
def test_forcing_in_time_alone_is_integrated_to_the_tolerance(method):
    """dx/dt = -x + cos(7 t), whose solution is a formula. By the pair: four steps, five times the solution off."""
    forced = dh.Semilinear(dh.Diagonal(jnp.array([-1.0])), lambda t, x: jnp.cos(7 * t) + 0 * x)
    truth = lambda t: (np.cos(7 * t) + 7 * np.sin(7 * t)) / 50 + (1 - 1 / 50) * np.exp(-t)  # noqa: E731
    for rtol in (1e-3, 1e-6):
        sol = dh.solve(forced, jnp.ones(1), 10.0, method=method, control=dh.PID(rtol, 1e-2 * rtol))
        assert abs(float(sol.x[0]) - truth(10.0)) < rtol * abs(truth(10.0))


@pytest.mark.parametrize("method", METHODS, ids=names)
def test_the_pair_stays_where_time_does_not_matter(method):
    """One call a step less: the last one of a step is the first of the next."""
    x0, control = jnp.array([1.0, 0.3]), dh.PID(1e-5, 1e-7)
    still = lambda t, x: jnp.stack([-x[0] * x[1], x[0] ** 2])  # noqa: E731
    L = dh.Diagonal(jnp.array([-1.0, -2.0]))
    plain = dh.solve(dh.Semilinear(L, still), x0, 5.0, method=method, control=control).stats
    moved = dh.solve(
        dh.Semilinear(L, lambda t, x: still(t, x) + 0 * jnp.sin(t)), x0, 5.0, method=method, control=control
    )
    attempts = int(plain.accepted + plain.rejected)
    calls = len(method.tableau.c)
    assert int(plain.nfe) - calls * attempts < 4
    assert int(moved.stats.nfe) - (calls + 1) * int(moved.stats.accepted + moved.stats.rejected) < 4


@pytest.mark.parametrize("tableau", [ETDRK4, KROGSTAD, HOCHBRUCK_OSTERMANN], ids=lambda t: t.name)
def test_the_embedded_weights_integrate_quadratics_and_no_more(tableau):
    """Against quadrature of int_0^1 e^((1 - s) z) s^k ds, at z = 0 and elsewhere."""
    watched = watching(tableau)
    phi = lambda k, z: quad(lambda s: np.exp((1 - s) * z) * s ** (k - 1) / np.prod(range(1, k)), 0, 1)[0]  # noqa: E731
    for z in (0.0, -2.0, 1.5):
        b, error = (
            [sum(w * phi(k, c * z) for w, k, c in entry) for entry in row] for row in (watched.b, watched.error)
        )
        embedded = np.subtract(b, error)
        gaps = [
            embedded @ np.power(watched.c, k) - quad(lambda s, k=k: np.exp((1 - s) * z) * s**k, 0, 1)[0]  # noqa: B023
            for k in range(4)
        ]
        assert np.max(np.abs(gaps[:3])) < 1e-12 and abs(gaps[3]) > 1e-2


def test_which_functions_read_time():
    t = jnp.asarray(0.3)
    assert depends(lambda t: jnp.sin(t) * 2, t)
    assert not depends(lambda t: jnp.ones(3), t)
    assert depends(lambda t: {"a": jnp.ones(3), "b": jnp.ones(2) * t}, t)
    assert not depends(lambda t: (jnp.sin(t), jnp.ones(2))[1], t)
