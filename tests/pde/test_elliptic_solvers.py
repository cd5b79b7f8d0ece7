"""Every solver finds the solution of SciPy's sparse LU, counts its iterations, and is differentiated implicitly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse.linalg import spsolve

from duhamel.core.status import Status
from duhamel.pde import elliptic as el
from duhamel.testing import gradient_error

SIDE = {"D": el.Dirichlet(0.3), "N": el.Neumann(0.2), "R": el.Robin(2.0, 0.7, 0.1), "P": el.Periodic()}
RNG = np.random.default_rng(0)


def make(kinds, centre, cells=(12, 16, 8), a=1.3, c=0.4, length=(1.0, 2.0, 0.7)):
    box = el.box(cells[: len(kinds)], length[: len(kinds)], centre=centre)
    return el.discretise(box, [(SIDE[k[0]], SIDE[k[1]]) for k in kinds], a, c)


def truth(system, f):
    return spsolve(el.matrix(system).tocsc(), np.ravel(system.right_side(f))).reshape(system.shape)


PAIRS = ["DD", "NN", "DN", "ND", "PP"]


@pytest.mark.parametrize("centre", ["cell", "vertex"])
@pytest.mark.parametrize("kind", PAIRS)
def test_transforms_of_every_pair_of_sides(kind, centre):
    system = make((kind,), centre)
    f = RNG.normal(size=system.shape)
    assert np.allclose(el.solve(system, f, el.Fourier()).u, truth(system, f), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("solver", "kinds"),
    [
        (el.Fourier(), ("DN", "PP", "ND")),
        (el.Fourier(), ("PP", "PP")),
        (el.Diagonalise(), ("RD", "PP", "NR")),
        (el.Tridiagonal(), ("NR",)),
        (el.Band(), ("RD", "ND")),
        (el.PCG(), ("RD", "PP")),
        (el.PCG(el.SSOR()), ("RD", "PP")),
        (el.PCG(el.Diagonalise()), ("RD", "NN")),
        (el.Multigrid(), ("RD", "PP")),
        (el.PCG(el.Multigrid(cycle="W", smoother="jacobi")), ("DN", "DD")),
        (el.SOR(), ("DN", "RD")),
        (el.SSOR(1.6), ("DN",)),
        (el.Jacobi(), ("DD",)),
    ],
    ids=lambda v: "-".join(v) if isinstance(v, tuple) else type(v).__name__,
)
@pytest.mark.parametrize("centre", ["cell", "vertex"])
def test_every_solver_agrees_with_sparse_elimination(solver, kinds, centre):
    cells = (8, 6, 4) if len(kinds) == 3 else (12, 16)
    system = make(kinds, centre, cells, c=3.0)
    f = RNG.normal(size=system.shape)
    found = el.solve(system, f, solver)
    assert np.allclose(found.u, truth(system, f), rtol=1e-6, atol=1e-8)
    assert int(found.status) == Status.success and float(found.residual) <= 1e-7
    assert (int(found.iterations) > 0) == (solver.limit > 0)


def test_an_a_of_each_axis_is_diagonalised():
    """a = (a1(x), a2(y)), three kinds of sides, against sparse elimination."""
    box = el.box((9, 7), 1.0)
    sides = [(SIDE["R"], SIDE["D"]), (SIDE["N"], SIDE["R"])]
    system = el.discretise(box, sides, (1 + np.arange(9.0), np.exp(np.arange(7.0) / 3)), 0.2)
    f = RNG.normal(size=system.shape)
    assert np.allclose(el.solve(system, f, el.Diagonalise()).u, truth(system, f), rtol=1e-9)


def test_spectral_eigenvalues_are_exact_for_a_band_limited_field():
    """-u'' + u = f for a sum of a few sines and cosines: rounding on 16 x 12 points, where differences have 1e-2."""
    box = el.box((16, 12), (1.0, 2.0))
    system = el.discretise(box, [(el.Dirichlet(), el.Neumann()), el.Periodic()], 1.0, 1.0)
    u = lambda x, y: jnp.sin(2.5 * jnp.pi * x) * jnp.cos(2 * jnp.pi * y) + jnp.sin(0.5 * jnp.pi * x)  # noqa: E731
    _, f = el.manufactured(u, box, ("DN", "PP"), 1.0, 1.0)
    exact = u(*system.coordinates())
    errors = [float(jnp.abs(el.solve(system, f, el.Fourier(s)).u - exact).max()) for s in (True, False)]
    assert errors[0] < 1e-12 and errors[1] > 1e-3


@pytest.mark.parametrize("solver", [el.Fourier(), el.Diagonalise(), el.PCG(), el.Multigrid(), el.Band()], ids=str)
def test_pure_neumann_says_so_and_has_a_mean_zero_solution(solver):
    box = el.box((8, 8), 1.0)
    system = el.discretise(box, el.Neumann())
    f = lambda x, y: jnp.cos(jnp.pi * x) + 0 * y  # noqa: E731
    found = el.solve(system, f, solver)
    assert abs(float(system.mean(found.u))) < 1e-12 and float(found.residual) < 1e-9
    assert float(jnp.abs(system.mv(found.u) - system.right_side(f)).max()) < 1e-7
    uneven = lambda x, y: 1 + jnp.cos(jnp.pi * x) + 0 * y  # noqa: E731
    with pytest.raises(ValueError, match=r"its mean is 1 too much.*project=True"):
        el.solve(system, uneven, solver)
    same = el.solve(system, uneven, solver, project=True)
    assert np.allclose(same.u, found.u, atol=1e-8) and np.isclose(float(same.imbalance), 1.0)


@pytest.mark.parametrize(
    ("kinds", "centre"), [(("DD", "DD"), "cell"), (("NN", "NN"), "vertex"), (("RD", "PP"), "cell")], ids=str
)
def test_a_cycle_reduces_the_error_below_015_whatever_n(kinds, centre):
    """Poisson: the reduction of the residual a cycle, from 1e-2 to 1e-11, on 32^2 and 64^2."""
    rates = [reduction(make(kinds, centre, (n, n), 1.0, 0.0, (1.0, 1.0)), el.Multigrid()) for n in (32, 64)]
    assert max(rates) < 0.15 and abs(rates[0] - rates[1]) < 0.03


def reduction(system, solver):
    """Geometric mean of the factor by which a cycle reduces the residual."""
    f = np.random.default_rng(2).normal(size=system.shape)
    few, many = (el.solve(system, f, solver, rtol=r, project=True) for r in (1e-2, 1e-11))
    return float((many.residual / few.residual) ** (1 / (int(many.iterations) - int(few.iterations))))


def test_anisotropic_boxes_and_three_dimensions_cycle_as_fast():
    long = make(("DD", "DD"), "cell", (32, 32), 1.0, 0.0, (1.0, 16.0))
    cube = make(("DD", "DN", "PP"), "cell", (16, 16, 16), 1.0, 0.0, (1.0, 1.0, 1.0))
    assert reduction(long, el.Multigrid()) < 0.15
    assert reduction(cube, el.Multigrid()) < 0.25


def contrast(n, jump):
    """Squares of a = jump on a = 1."""
    x = (np.arange(n) + 0.5) / n
    inside = (np.abs(x - 0.5) < 0.25)[:, None] & (np.abs(x - 0.5) < 0.25)
    return el.discretise(el.box((n, n), 1.0), el.Dirichlet(), np.where(inside, jump, 1.0))


@pytest.mark.parametrize("jump", [1e-3, 1e3])
def test_multigrid_stands_jumps_of_the_coefficient(jump):
    """PCG with one V cycle: no more than 15 steps for a jump of 1000, on either grid."""
    for n in (16, 32):
        found = el.solve(contrast(n, jump), 1.0, el.PCG(el.Multigrid()))
        assert int(found.iterations) <= 15 and float(found.residual) < 1e-10


def test_preconditioners_pay():
    """Steps of PCG on 32^2: Jacobi grows with n, the mean coefficients and multigrid do not."""
    count = lambda n, p: int(el.solve(contrast(n, 5.0), 1.0, el.PCG(p)).iterations)  # noqa: E731
    assert count(32, el.Jacobi()) > 1.6 * count(16, el.Jacobi())
    assert count(32, el.SSOR()) < 0.7 * count(32, el.Jacobi())
    assert count(32, el.Multigrid()) <= count(16, el.Multigrid()) + 2 <= 12
    assert count(48, el.Fourier()) <= count(32, el.Fourier()) + 2 <= 22


def test_over_relaxation_needs_sweeps_in_proportion_to_n():
    """Young: with the best omega O(n) sweeps, Gauss-Seidel O(n^2)."""
    count = lambda n, w: int(el.solve(contrast(n, 1.0), 1.0, el.SOR(w), rtol=1e-6).iterations)  # noqa: E731
    assert count(32, None) / count(16, None) < 2.5
    assert count(32, 1.0) / count(16, 1.0) > 3.3
    assert count(32, None) < 0.15 * count(32, 1.0)


def test_pyamg_agrees_and_multigrid_needs_no_more_cycles():
    pyamg = pytest.importorskip("pyamg")
    system = contrast(32, 100.0)
    f = RNG.normal(size=system.shape)
    rest: list = []
    amg = pyamg.ruge_stuben_solver(el.matrix(system))
    theirs = amg.solve(np.ravel(system.right_side(f)), tol=1e-10, residuals=rest, accel="cg")
    found = el.solve(system, f, el.PCG(el.Multigrid()))
    assert np.allclose(found.u.ravel(), theirs, rtol=1e-6, atol=1e-10)
    assert int(found.iterations) <= len(rest) + 2


@pytest.mark.parametrize(
    "solver",
    [el.Band(), el.PCG(el.Multigrid()), el.Multigrid(), el.SOR(), el.Diagonalise()],
    ids=lambda s: type(s).__name__,
)
def test_gradients_are_implicit(solver):
    """To the source, the coefficient and the value on a side, against central differences."""
    box = el.box((6, 8), 1.0)

    def loss(f, a, g):
        wide = (jnp.exp(a[:6]), jnp.exp(a[6:]))
        system = el.discretise(box, [(el.Dirichlet(g), el.Neumann(0.1)), el.Robin(1.0, 0.5)], wide)
        return jnp.sum(el.solve(system, f, solver, rtol=1e-12).u ** 2)

    given = RNG.normal(size=(6, 8)), RNG.normal(size=14), 0.7
    assert gradient_error(loss, *given) < 1e-6


@pytest.mark.slow
def test_second_derivatives_vmap_and_forward_mode():
    box = el.box((8, 8), 1.0)
    u = lambda a: jnp.sum(el.solve(el.discretise(box, el.Dirichlet(), a), 1.0, el.PCG()).u)  # noqa: E731
    once = jax.grad(u)(2.0)  # u is proportional to 1/a
    assert np.isclose(once, -u(2.0) / 2.0) and np.isclose(jax.jvp(u, (2.0,), (1.0,))[1], once)
    assert np.isclose(jax.grad(jax.grad(u))(2.0), 2 * u(2.0) / 4.0)
    assert np.allclose(jax.vmap(u)(jnp.array([1.0, 2.0, 4.0])) * np.array([1.0, 2.0, 4.0]), u(1.0))


def test_helmholtz_converges_beyond_the_first_resonances():
    """k = 10 on the unit square with mixed sides: second order, the same by all direct solvers."""
    u = lambda x, y: jnp.sin(3.1 * x + 0.2) * jnp.cos(2.3 * y - 0.4)  # noqa: E731
    sides, f = el.manufactured(u, el.box((4, 4), 1.0), ("DN", "ND"), 1.0, -100.0)
    errors = []
    for n in (24, 48):
        box = el.box((n, n), 1.0)
        system = el.Helmholtz(10.0, sides).system(box)
        found = el.solve(system, f, el.Fourier())
        errors.append(float(jnp.abs(found.u - u(*system.coordinates())).max()))
        assert float(found.residual) < 1e-8
    assert 3.4 < errors[0] / errors[1] < 4.8
    small = el.Helmholtz(10.0, sides).system(el.box((20, 16), 1.0))
    ways = [el.solve(small, f, s).u for s in (el.Fourier(), el.Diagonalise(), el.Band())]
    assert np.allclose(ways[0], ways[1], rtol=1e-8) and np.allclose(ways[0], ways[2], rtol=1e-7)


def test_a_wave_leaves_through_a_complex_robin_side():
    """e^(ikx) enters at 0 and leaves at 1 without reflection: du/dn = i k u."""
    k, errors = 20.0, []
    for n in (100, 200):
        sides = [(el.Dirichlet(1.0), el.Robin(-1j * k, 1.0))]
        system = el.Helmholtz(k, sides).system(el.box(n, 1.0))
        found = el.solve(system, 0.0 + 0j, el.Band())
        errors.append(float(jnp.abs(found.u - jnp.exp(1j * k * system.coordinates()[0])).max()))
    assert errors[1] < 0.02 and 3.5 < errors[0] / errors[1] < 4.5


def small(**options):
    return el.discretise(el.box((8, 6), 1.0), el.Dirichlet(), **options)


MISTAKES = {
    "varying a": (lambda: el.solve(small(a=lambda x, y: 1 + x), 1.0, el.Fourier()), "constant coefficients"),
    "varying c": (lambda: el.solve(small(c=lambda x, y: x), 1.0, el.Diagonalise()), "needs one c"),
    "spectral with values": (
        lambda: el.solve(el.discretise(el.box(8, 1.0), el.Dirichlet(1.0)), 1.0, el.Fourier(True)),
        "value 0 on every side",
    ),
    "Robin waves": (
        lambda: el.solve(el.discretise(el.box(8, 1.0), el.Robin(1.0, 1.0)), 1.0, el.Fourier()),
        r"take Diagonalise\(\)",
    ),
    "plane": (lambda: el.solve(small(), 1.0, el.Tridiagonal()), "one dimension with two ends"),
    "c < 0": (lambda: el.solve(small(c=-1.0), 1.0, el.PCG()), "PCG needs c >= 0"),
    "odd grid": (
        lambda: el.solve(el.discretise(el.box((51, 53), 1.0), el.Dirichlet()), 1.0, el.Multigrid()),
        "can be halved down to 2703 unknowns",
    ),
    "odd ring": (
        lambda: el.solve(el.discretise(el.box((9, 8), 1.0), [el.Periodic(), el.Dirichlet()]), 1.0, el.SOR()),
        "cannot be coloured",
    ),
    "omega": (lambda: el.SOR(2.0), "0 < omega < 2"),
    "cycle": (lambda: el.Multigrid(cycle="F"), "'V' and 'W'"),
    "no preconditioner": (lambda: el.PCG(el.Band()), "is no preconditioner"),
    "rtol": (lambda: el.solve(small(), 1.0, el.PCG(), rtol=1e-18), "the resolution of float64"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_named(case):
    call, sentence = MISTAKES[case]
    with pytest.raises(ValueError, match=sentence):
        call()


def test_a_solver_that_gives_up_says_where_it_stands():
    system = contrast(16, 1.0)
    with pytest.raises(RuntimeError, match=r"SOR stands at a residual of .* after 3 iterations.*raise max_steps"):
        el.solve(system, 1.0, el.SOR(max_steps=3))
    left = el.solve(system, 1.0, el.SOR(max_steps=3), throw=False)
    assert int(left.status) == Status.max_steps_reached and 0.1 < float(left.residual) < 10.0
    resonant = el.discretise(el.box(8, 1.0, centre="vertex"), el.Dirichlet(), 1.0, -((16 * np.sin(np.pi / 16)) ** 2))
    with pytest.raises(RuntimeError, match=r"resonate|next to singular"):
        el.solve(resonant, lambda x: jnp.sin(jnp.pi * x), el.Fourier())
