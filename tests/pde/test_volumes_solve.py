"""The front door of finite volumes: transforms, conservation, save times, and every mistake in a sentence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.pde import volumes as fv
from duhamel.problems.riemann import SOD
from duhamel.testing import gradient_error


def tube(n=40):
    law, mesh = fv.Euler(), fv.box(n, sides=fv.Outflow())
    (x,) = mesh.centres()
    left, right = (np.array(side)[:, None] for side in SOD)
    return law, mesh, law.conserved(jnp.asarray(np.where(x < 0.5, left, right)))


def test_steps_end_at_the_save_times_and_do_not_depend_on_jit():
    law, mesh, u0 = tube()
    ts = np.array([0.0, 0.05, 0.1])
    sol = fv.solve(law, mesh, u0, ts)
    np.testing.assert_array_equal(sol.x[0], u0)
    np.testing.assert_array_equal(sol.x[-1], sol.x1)  # the state itself, not an interpolant
    again = jax.jit(lambda u0: fv.solve(law, mesh, u0, ts).x)(u0)
    np.testing.assert_allclose(again, sol.x, rtol=0, atol=1e-14)


def test_gradients_to_parameters_inflow_and_state():
    """Against central differences, on equal steps: those of CFL depend on the parameters and are held fixed."""
    (x,) = fv.box(12).centres()
    wave = lambda k, s: jnp.sin(2 * jnp.pi * (k * x + s))  # noqa: E731
    w0 = jnp.stack([1 + 0.2 * wave(1, 0.03), 0.5 + 0.1 * wave(1, 0.31), 1 + 0.1 * wave(2, 0.17)])

    def value(gamma, inlet, w0):
        law = fv.Euler(gamma)
        mesh = fv.box(12, sides=(fv.Inflow(inlet), fv.Outflow()))
        sol = fv.solve(law, mesh, law.conserved(w0), 0.1, steps=8, reconstruct=fv.MUSCL("van-leer"))
        return jnp.sum(sol.x[2] ** 2)

    assert gradient_error(value, jnp.asarray(1.4), jnp.array([1.1, 0.6, 1.2]), w0) < 1e-6


def test_a_gradient_through_steps_chosen_by_cfl():
    """Where the steps do not depend on the parameter, the gradient is exact."""
    law, mesh = fv.Advection((1.0,)), fv.box(16)
    (x,) = mesh.centres()

    def value(a):
        return jnp.sum(fv.solve(law, mesh, (1 + a * jnp.sin(2 * jnp.pi * x))[None], 0.3, reconstruct=fv.WENO5()).x ** 3)

    assert gradient_error(value, jnp.asarray(0.3)) < 1e-7


def test_vmap_over_a_parameter_and_a_batch_in_front():
    _, mesh, u0 = tube(20)
    gammas = jnp.array([1.3, 1.4])
    run = lambda gamma, u0: fv.solve(fv.Euler(gamma), mesh, u0, 0.1, steps=20).x  # noqa: E731
    both = jax.vmap(lambda g: run(g, u0))(gammas)
    batch = run(1.4, jnp.stack([0.5 * u0, u0]))
    np.testing.assert_allclose(batch[1], both[1], rtol=0, atol=1e-13)
    assert float(jnp.abs(both[0] - both[1]).max()) > 1e-3


def test_an_ensemble_gives_every_lane_its_own_steps():
    law, mesh, u0 = tube(20)
    from duhamel.pde.volumes.residual import Admissible, Rate

    rhs = fv.Residual(law, mesh, fv.MUSCL(), fv.HLLC())
    control = dh.CFL(0.4, Rate(law, mesh), Admissible(law))
    hot = u0.at[2].multiply(4.0)  # twice the speed of sound
    sols = dh.ensemble(rhs, jnp.stack([u0, hot]), 0.1, method=dh.SSPRK3(), control=control)
    assert int(sols.stats.accepted[1]) == pytest.approx(2 * int(sols.stats.accepted[0]), abs=2)
    np.testing.assert_allclose(sols.x[0], fv.solve(law, mesh, u0, 0.1).x, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("reconstruct", "sides"),
    [
        (fv.PiecewiseConstant(), fv.Wall()),
        (fv.MUSCL(), fv.Periodic()),
        (fv.MUSCL(), fv.Wall()),
        (fv.WENO5(), fv.Wall()),
    ],
    ids=str,
)
def test_mass_and_energy_are_conserved_to_rounding(sides, reconstruct):
    law, mesh, u0 = fv.Euler(dim=2), fv.box((12, 10), (1.0, 0.7), sides=sides), None
    rng = np.random.default_rng(0)
    w0 = np.concatenate([rng.uniform(0.5, 1.5, (1, 12, 10)), rng.normal(size=(2, 12, 10)), np.ones((1, 12, 10))])
    u0 = law.conserved(jnp.asarray(w0))
    sol = fv.solve(law, mesh, u0, 0.1, reconstruct=reconstruct)
    change = mesh.integral(sol.x) / mesh.integral(u0) - 1
    assert np.abs(change[np.array([0, 3])]).max() < 1e-13
    if isinstance(sides, fv.Periodic):
        assert np.abs(change).max() < 1e-12


def test_a_gas_shut_in_by_walls_is_its_own_mirror_image():
    """Twice the box, a mirrored gas, periodic: the wall in the middle is nobody's business."""
    law = fv.Euler()
    (x,) = fv.box(20).centres()
    w = jnp.stack([1 + 0.3 * jnp.cos(3 * x), jnp.sin(3 * x), 1 + 0.2 * x])
    mirror = w[:, ::-1] * jnp.array([1.0, -1.0, 1.0])[:, None]
    shut = fv.solve(law, fv.box(20, sides=fv.Wall()), law.conserved(w), 0.4, steps=60)
    both = fv.solve(law, fv.box(40, 2.0), law.conserved(jnp.concatenate([w, mirror], axis=1)), 0.4, steps=60)
    np.testing.assert_allclose(shut.x, both.x[:, :20], atol=1e-12)


def test_float32_stays_float32():
    law, mesh, u0 = tube(20)
    rate = jax.jit(fv.Residual(law, mesh, fv.WENO5(), fv.HLLC()))
    single, double = rate(0.0, u0.astype(jnp.float32)), rate(0.0, u0)
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, double, atol=1e-5 * float(jnp.abs(double).max()))


def test_a_solve_that_fails_says_where_and_keeps_what_it_has():
    """Two streams that part faster than gas can follow: a vacuum opens, which MUSCL with a wild step cannot hold."""
    law, mesh = fv.Euler(), fv.box(50, sides=fv.Outflow())
    (x,) = mesh.centres()
    w0 = np.where(x < 0.5, np.array([1.0, -30.0, 0.4])[:, None], np.array([1.0, 30.0, 0.4])[:, None])
    with pytest.raises(
        dh.SolveError, match=r"left the set.*after step \d+ at t = .*smallest pressure is .*x = "
    ) as info:
        fv.solve(law, mesh, law.conserved(jnp.asarray(w0)), 1.0, method=dh.Euler(), cfl=1.0, riemann=fv.HLLC())
    kept = info.value.solution
    assert int(kept.status) == dh.Status.inadmissible
    assert np.all(np.isfinite(kept.x1)) and float(law.primitive(kept.x1)[2].min()) > 0


def test_running_out_of_steps_says_when():
    law, mesh, u0 = tube()
    with pytest.raises(dh.SolveError, match=r"ran out of steps.*after step 5 at t = 0"):
        fv.solve(law, mesh, u0, 1.0, max_steps=5)


def _call(**changes):
    law, mesh, u0 = tube(20)
    given = {"law": law, "mesh": mesh, "u0": u0, "t1": 0.1} | changes
    return fv.solve(given.pop("law"), given.pop("mesh"), given.pop("u0"), given.pop("t1"), **given)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"law": fv.Euler(dim=2)}, "written in 2 dimensions, and the mesh has 1"),
        ({"u0": np.ones((2, 20))}, r"u0 has shape \(2, 20\); Euler on this mesh needs \(\.\.\., 3, 20\)"),
        ({"u0": np.full((3, 20), np.nan)}, "NaN or infinite in density, momentum x, energy"),
        ({"u0": -np.ones((3, 20))}, r"u0 makes no sense: the smallest density is -1, at x = .*law\.conserved"),
        ({"cfl": 1.5}, "cfl = 1.5 must lie between 0 and 1"),
        ({"cfl": -0.1}, "must lie between 0 and 1"),
        ({"steps": 2}, r"makes the fastest wave cross 1.18 cells in a step.*take 3 steps or more"),
        ({"riemann": fv.HLLD()}, r"HLLD\(\) solves magnetohydrodynamics, and the law is Euler: use HLLC"),
        ({"t1": -1.0}, "forwards in time"),
        ({"law": fv.ShallowWater(), "u0": np.ones((2, 20)), "reconstruct": fv.WENO5()}, "at a shore"),
        (
            {"law": fv.ShallowWater(bathymetry=np.zeros(7)), "u0": np.ones((2, 20))},
            r"bathymetry has shape \(7,\) and the mesh \(20,\)",
        ),
    ],
    ids=str,
)
def test_a_mistake_is_one_sentence(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        _call(**changes)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: fv.box((4, 4)), "needs at least 6 cells"),
        (lambda: fv.box((8, 8, 8)), "1 or 2 axes"),
        (lambda: fv.box(8, -1.0), "positive and finite"),
        (lambda: fv.box(8, sides=(fv.Periodic(), fv.Wall())), "make both periodic"),
        (lambda: fv.box((8, 8), sides=(fv.Wall(),)), "1 entries for 2 axes"),
        (lambda: fv.MUSCL("superbee"), "no limiter is called 'superbee'; there are minmod"),
        (lambda: fv.WENO5("m"), "is 'z' or 'js'"),
        (lambda: dh.solve(lambda t, x: x, 1.0, 1.0, control=dh.CFL(-1.0, lambda t, x: 1.0)), "one positive finite"),
    ],
    ids=range(8),
)
def test_a_mesh_that_makes_no_sense(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_cfl_serves_any_equation():
    """dx/dt = -x with steps 0.1/(1 + x): third order, landing on the save times."""
    ts = jnp.linspace(0.0, 1.0, 5)
    sol = dh.solve(lambda t, x: -x, jnp.ones(2), ts, method=dh.SSPRK3(), control=dh.CFL(0.1, lambda t, x: 1 + x[0]))
    np.testing.assert_allclose(sol.x[:, 0], np.exp(-ts), atol=1e-5)
    lengths = dh.solve(
        lambda t, x: -x,
        jnp.ones(2),
        1.0,
        method=dh.SSPRK3(),
        control=dh.CFL(0.1, lambda t, x: 1 + x[0]),
        save=dh.Save(steps=True),
    )
    h, x = np.diff(lengths.t)[:-2], np.asarray(lengths.x[:-3, 0])
    np.testing.assert_allclose(h, 0.1 / (1 + x), rtol=1e-10)


def test_cfl_refuses_adjoints_with_steps_of_their_own():
    with pytest.raises(ValueError, match=r"use adjoint=Tape\(\)"):
        dh.solve(lambda t, x: -x, 1.0, 1.0, control=dh.CFL(0.1, lambda t, x: 1.0), adjoint=dh.Backsolve())
