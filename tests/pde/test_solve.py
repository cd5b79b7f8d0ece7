"""Whole solves against closed forms."""

import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.core.status import Status
from duhamel.methods.exponential import ETDRK2, ETDRK4, HochbruckOstermann, Krogstad
from duhamel.pde import NLSE, Burgers, KdV, NavierStokes2D, periodic, solve
from duhamel.pde.equation import Equation
from duhamel.pde.grid import Grid
from duhamel.solver.control import PID, Fixed
from duhamel.solver.solution import SolveError


def relative(u: object, exact: np.ndarray) -> float:
    return float(np.linalg.norm(np.asarray(u) - exact) / np.linalg.norm(exact))


def test_kdv_soliton():
    """Speed 4 on a box of 40, 256 points, 800 steps of ETDRK4: 1.3e-8, where one step in time is order 4."""
    equation, grid = KdV(dealias=1), periodic(256, 40.0)
    u0, exact = equation.soliton(grid, 0.0, 4.0, 20.0), equation.soliton(grid, 1.0, 4.0, 20.0)
    coarse, fine = (relative(solve(equation, grid, u0, 1.0, steps=n).x, exact) for n in (400, 800))
    assert fine < 2e-8
    assert 3.8 < np.log2(coarse / fine) < 4.5
    assert relative(solve(KdV(), grid, u0, 1.0, steps=800).x, exact) < 1e-7  # dealiased


def test_kdv_soliton_goes_round_the_box():
    """One turn, and it is back where it was."""
    equation, grid = KdV(), periodic(192, 20.0, start=-10.0)
    u0 = equation.soliton(grid, 0.0, 4.0, 3.0)
    assert relative(solve(equation, grid, u0, 5.0, steps=4000).x, u0) < 2e-7


@pytest.mark.parametrize("equation", [KdV(), KdV(1.0, 0.5)], ids=["6, 1", "1, 0.5"])
def test_kdv_two_solitons_pass_through_each_other(equation: KdV):
    grid = periodic(384, 60.0)
    (x,) = grid.coordinates()
    kappa, at, t1 = (1.0, 0.6), (15.0, 22.0), 5.0 / equation.dispersion
    start, end = (equation.solitons(x, t, kappa, at) for t in (0.0, t1))
    assert x[np.argmax(start)] < 18 < 30 < x[np.argmax(end)]  # the taller one has overtaken
    assert relative(solve(equation, grid, start, t1, steps=4000).x, end) < 1e-6


def test_burgers_against_cole_hopf():
    equation, grid = Burgers(0.1), periodic(256, 2 * np.pi)
    for t in (0.5, 1.5):
        assert relative(solve(equation, grid, None, t, steps=400).x, equation.exact(grid, t)) < 1e-8


def test_cole_hopf_solves_burgers():
    """The quadrature itself: u_t + u u_x = nu u_xx by differences in time and Fourier in space."""
    equation, grid, t, h = Burgers(0.1), periodic(128, 2 * np.pi), 0.7, 1e-3
    u = equation.exact(grid, t)
    u_t = (equation.exact(grid, t + h) - equation.exact(grid, t - h)) / (2 * h)
    slope = equation.problem(grid).field(t, grid.to_modes(jnp.asarray(u)), None)
    assert np.allclose(u_t, grid.to_points(slope), atol=1e-5)


def test_nlse_soliton():
    """Height 1.2, one turn around the box."""
    equation, length = NLSE(), 12 * np.pi
    grid, speed = periodic(256, length, start=-0.5 * length), 1.0
    u0, u1 = (equation.soliton(grid, t, 1.2, speed, 0.0) for t in (0.0, length / speed))
    assert relative(solve(equation, grid, u0, length / speed, steps=4000).x, u1) < 1e-6


def test_akhmediev_breather_rises_and_falls():
    """From a ripple of 2 % to a crest of 1 + sqrt 2 and back, another scaling of the equation included."""
    equation = NLSE(2.0, 0.5)
    grid = periodic(96, 2 * np.pi * 2 / np.sqrt(2))  # one wave: 2 pi sqrt(2 dispersion)/W
    first, last = (equation.breather(grid, t) for t in (-4.0, 3.0))
    assert np.isclose(np.abs(equation.breather(grid, 0.0)).max(), np.sqrt(2) * (1 + np.sqrt(2)))
    assert relative(solve(equation, grid, first, 3.0, t0=-4.0, steps=2000).x, last) < 1e-6


def test_taylor_green_vortices_decay_exactly():
    """Products cancel identically, so any number of steps gives the viscous decay; drag and anisotropy included."""
    equation, grid = NavierStokes2D(0.05, 0.1), periodic((32, 24), (2 * np.pi, 3.0))
    sol = solve(equation, grid, equation.taylor_green(grid, 0.0), 2.0, steps=5)
    assert np.allclose(sol.x, equation.taylor_green(grid, 2.0), atol=1e-12)


def test_kolmogorov_flow_at_rest_in_its_own_force():
    """A laminar steady state: u = forcing/(nu k^2 + drag) sin(k y)."""
    equation, grid = NavierStokes2D(0.1, 0.2, 0.5, 2), periodic(16, 2 * np.pi)
    grid = periodic((16, 16), 2 * np.pi)
    w = -0.5 * 2 / (0.1 * 4 + 0.2) * np.cos(2 * grid.coordinates()[1]) + np.zeros(grid.shape)
    assert np.allclose(solve(equation, grid, w, 3.0, steps=30).x, w, atol=1e-12)


def test_heat_is_exact_in_one_step():
    """Without products (u tiny) one step of any length is the heat kernel, or the dispersion of KdV and NLSE."""
    grid = periodic(32, 2 * np.pi)
    (x,) = grid.coordinates()
    tiny = 1e-12
    u = solve(Burgers(0.3), grid, tiny * np.cos(3 * x), 2.0, steps=1).x
    assert np.allclose(u / tiny, np.exp(-0.3 * 9 * 2) * np.cos(3 * x), atol=1e-9)
    u = solve(KdV(), grid, tiny * np.cos(3 * x), 2.0, steps=1).x
    assert np.allclose(u / tiny, np.cos(3 * x + 27 * 2), atol=1e-9)
    u = solve(NLSE(), grid, tiny * np.exp(3j * x), 2.0, steps=1).x
    assert np.allclose(u / tiny, np.exp(3j * x - 0.5j * 9 * 2), atol=1e-9)


def test_energy_of_a_decaying_flow_falls_at_the_viscous_rate():
    """E(t1) - E(0) = -2 nu int Z dt, by Simpson's rule on saved values."""
    equation, grid, ts = NavierStokes2D(0.01), periodic((48, 48), 2 * np.pi), np.linspace(0, 1, 41)
    sol = solve(equation, grid, None, ts, steps=200, save=lambda t, w: equation.invariants(grid, w))
    weights = np.tile([2.0, 4.0], 20)
    weights = np.append(weights, 1.0) * (1 / 120)
    weights[0] = 1 / 120
    lost = float(sol.x["energy"][0] - sol.x["energy"][-1])
    assert np.isclose(lost, 2 * 0.01 * float(weights @ sol.x["enstrophy"]), rtol=1e-6)
    assert lost > 0.1 * float(sol.x["energy"][0])


@pytest.mark.parametrize("method", [ETDRK2(), ETDRK4(), Krogstad(), HochbruckOstermann()], ids=lambda m: m.tableau.name)
def test_steps_chosen_by_the_error(method):
    equation, grid = Burgers(0.05), periodic(128, 2 * np.pi)
    sol = solve(equation, grid, None, 1.0, control=PID(1e-6, 1e-6), method=method)
    assert relative(sol.x, equation.exact(grid, 1.0)) < 2e-4
    assert int(sol.stats.accepted) < 3000


def test_save_times_between_steps():
    equation, grid, ts = Burgers(0.1), periodic(128, 2 * np.pi), np.array([0.0, 0.111, 0.5, 0.777, 1.0])
    sol = solve(equation, grid, None, ts, dt=0.01)
    assert int(sol.stats.accepted) == 100 and sol.x.shape == (5, 128)
    for u, t in zip(sol.x, ts, strict=True):
        assert relative(u, equation.exact(grid, t)) < 1e-6
    assert np.allclose(grid.to_points(sol.x1), sol.x[-1])


def test_single_precision():
    equation, grid = KdV(), periodic(128, 40.0)
    u0 = equation.soliton(grid, 0.0, 2.0, 20.0)
    sol = solve(equation, grid, u0.astype(np.float32), 1.0, steps=400)
    assert sol.x.dtype == jnp.float32
    assert relative(sol.x, equation.soliton(grid, 1.0, 2.0, 20.0)) < 2e-4


LINE = periodic(32, 2 * np.pi)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: solve(Burgers(), LINE, np.zeros(31), 1.0, steps=3), "u0 has shape"),
        (lambda: solve(Burgers(), LINE, np.full(32, np.nan), 1.0, steps=3), "NaN"),
        (lambda: solve(Burgers(), LINE, None, 1.0), "0 of steps, dt and control"),
        (lambda: solve(Burgers(), LINE, None, 1.0, steps=3, control=Fixed(3)), "2 of steps"),
        (lambda: solve(Burgers(), LINE, None, 1.0, dt=-0.1), "positive"),
        (lambda: solve(Burgers(), LINE, None, 1.0, steps=0), "at least 1"),
        (lambda: solve(NavierStokes2D(), LINE, None, 1.0, steps=3), "2 dimensions"),
    ],
)
def test_mistakes_are_named(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_complex_field_for_a_real_equation():
    with pytest.raises(TypeError, match="real field"):
        solve(Burgers(), LINE, np.zeros(32, complex), 1.0, steps=3)


def test_a_second_solve_finds_the_compiled_program():
    """Equal equations on equal grids are the same program, whatever objects hold them."""
    traced = []

    class Counting(Equation):
        viscosity: float = 0.1
        dealias: float = 2 / 3

        def symbol(self, grid: Grid) -> np.ndarray:
            return self.viscosity * grid.laplacian()

        def nonlinear(self, grid: Grid) -> Callable:
            traced.append(grid)
            return lambda t, x: 0 * x

        def initial(self, grid: Grid) -> np.ndarray:
            return np.cos(2 * np.pi * grid.coordinates()[0])

        def invariants(self, grid: Grid, modes: object) -> dict:
            return {}

    once = None
    for _ in range(3):
        solve(Counting(), periodic(16, 1.0), None, 0.1, steps=2)
        once = once or len(traced)
    assert 0 < once == len(traced)


def test_a_run_that_blows_up_says_when_where_and_what_to_do():
    """Steps four times too long for a soliton: rows before the end of numbers are kept, the rest is NaN."""
    grid, ts = periodic(64, 20.0), np.linspace(0.0, 10.0, 11)
    sentence = r"The last good step is number \d+, at t = .*\|u\| up to .*Take steps of .* or less, not 0\.5.*Rows 0 to"
    with pytest.raises(SolveError, match=sentence) as info:
        solve(KdV(), grid, 3 * KdV().initial(grid), ts, steps=20)
    kept = info.value.solution
    good = np.isfinite(kept.x).all(axis=1)
    assert good[0] and not good[-1] and np.all(np.diff(good.astype(int)) <= 0)
    said = int(re.search(r"number (\d+)", str(info.value))[1])
    before = said - 1  # another program rounds differently, and may overflow a step earlier
    assert np.isfinite(solve(KdV(), grid, 3 * KdV().initial(grid), 0.5 * before, steps=before).x).all()


def test_every_lane_has_its_own_status():
    """The tall wave blows up, the low one does not."""
    grid, ts = periodic(64, 20.0), np.linspace(0.0, 10.0, 11)

    def run(a):
        sol = solve(KdV(), grid, a * KdV().initial(grid), ts, steps=20, throw=False)
        return sol.status, sol.x

    status, u = jax.vmap(run)(np.array([0.01, 3.0]))
    assert status.tolist() == [Status.success, Status.nonfinite]
    assert np.isfinite(u[0]).all() and np.isfinite(u[1, 0]).all() and not np.isfinite(u[1, -1]).any()


def test_invariants_beside_the_field():
    equation, grid, ts = KdV(), periodic(128, 40.0), np.linspace(0.0, 1.0, 5)
    plain, sol = (solve(equation, grid, None, ts, steps=400, monitor=on) for on in (False, True))
    np.testing.assert_allclose(sol.x.u, plain.x, atol=1e-11)  # two programs
    assert set(sol.x.invariants) == {"mass", "momentum", "energy"}
    for name, value in equation.invariants(grid, equation.to_modes(grid, plain.x)).items():
        np.testing.assert_allclose(sol.x.invariants[name], value, rtol=1e-12)
        assert np.ptp(value) < 1e-6 * abs(value[0])
