"""What a forecast says of a step, held against runs that blow up and runs that do not."""

import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel import pde
from duhamel.pde import periodic

# Equation, box, what the first field is multiplied with, end time.
CASES = {
    "kdv": (pde.KdV(), periodic(256, 40.0), 1.0, 2.0),
    "burgers": (pde.Burgers(0.01), periodic(256, 2 * np.pi), 1.0, 3.0),
    "kuramoto-sivashinsky": (pde.KuramotoSivashinsky(), periodic(128, 32 * np.pi), 3.0, 12.0),
    "navier-stokes-2d": (pde.NavierStokes2D(), periodic((64, 64), 2 * np.pi), 1.0, 1.5),
    "allen-cahn": (pde.AllenCahn(), periodic((48, 48), 1.0), 1.0, 20.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("method", [dh.ETDRK4(), dh.ETDRK2()], ids=lambda m: m.tableau.name)
@pytest.mark.parametrize("name", CASES)
def test_the_longest_stable_step_is_right_within_a_factor_of_two(name, method):
    """With half of it the end is within half its size of the truth; with twice of it nowhere near, or not finite."""
    equation, grid, scale, t1 = CASES[name]
    u0 = scale * equation.initial(grid)
    limit = pde.forecast(equation, grid, u0, 1e-3, method).limit
    truth = np.asarray(pde.solve(equation, grid, u0, t1, steps=int(20 * t1 / limit)).x)

    def survives(step):
        steps = int(np.ceil(t1 / step))
        u = np.asarray(pde.solve(equation, grid, u0, t1, steps=steps, method=method, throw=False).x)
        return bool(np.abs(u - truth).max() < 0.5 * np.abs(truth).max())

    # Waves that ETDRK2 sheds from solitons grow by what linear theory does not see.
    below = 3 if (name, method.tableau.name) == ("kdv", "ETDRK2") else 2
    assert survives(limit / below) and not survives(2 * limit)


def test_a_forecast_knows_transport_reaction_and_neither():
    """Burgers: N' v = -(u0 v)_x with |u0| <= 1, so |mu| <= k; Allen-Cahn: N' = -3 u^2; heat: nothing."""
    grid = periodic(64, 2 * np.pi)
    flow = pde.forecast(pde.Burgers(0.05), grid, None, 0.1)
    assert 0.6 * 2.1 < flow.high < 2.1 and abs(flow.left) < 0.15  # 21 waves are kept
    assert 0.6 < flow.courant / (0.1 * 64 / (2 * np.pi)) <= 1
    assert flow.stiffness == pytest.approx(0.1 * 0.05 * 32**2)
    assert 1.0 < flow.limit / 0.1 < 10 and flow.stable
    phases = pde.forecast(pde.AllenCahn(0.3), grid, np.full(64, 0.9), 0.1)
    assert phases.left == phases.right == pytest.approx(-0.1 * 3 * 0.81) and phases.courant == 0 == phases.high
    warm = pde.forecast(pde.Heat(), grid, None, 5.0)
    assert warm.limit == np.inf and warm.stable
    assert "Courant number" in str(flow) and "inf" in str(warm)


def test_a_force_that_eigenvalues_do_not_see_still_limits_the_step():
    """u_tt = -sin u: N' takes u to v and has no eigenvalue but 0; 1-D steps of ETDRK4 are stable up to 2 or 3."""
    found = pde.forecast(pde.SineGordon(), periodic(32, 20.0), None, 0.1)
    assert found.high == pytest.approx(0, abs=1e-6) and 0.5 < found.limit < 20


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: pde.forecast(pde.Burgers(), periodic(64, 6.0), None, 3.0).refuse(),
            r"dt = 3 is too long.*up to 1",
        ),
        (lambda: pde.forecast(pde.Burgers(), periodic(64, 6.0), None, -1.0), "dt = -1"),
        (lambda: pde.forecast(pde.Burgers(), periodic((8, 8), 6.0), None, 1.0), "1 dimensions, and the grid has 2"),
        (
            lambda: pde.forecast(pde.Burgers(), periodic(64, 6.0), None, 1.0, dh.Tsit5()),
            "methods, got",
        ),
    ],
    ids=range(4),
)
def test_mistakes_are_named(call, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        call()


@pytest.mark.parametrize(
    ("equation", "space"),
    [
        (pde.FisherKPP(0.1), pde.box(pde.Legendre(24, 1.0, 0.0, pde.Dirichlet(jnp.sin), pde.Robin(1.0, 1.0, 0.5)))),
        (pde.Burgers(0.05), pde.box(pde.Chebyshev(24, 1.0))),
    ],
    ids=["walls that move", "chebyshev"],
)
def test_a_forecast_between_walls(equation, space):
    found = pde.forecast(equation, space, None, 1e-3)
    assert 1e-3 < found.limit < np.inf and found.stable and found.stiffness > 0.01
