"""Implicit-explicit methods: the order claimed is the order measured, whatever the implicit part is; stiff limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.testing import marcher

METHODS = {
    "ARS222": (dh.ARS222, 2),
    "ARS232": (dh.ARS232, 2),
    "ARS343": (dh.ARS343, 3),
    "ARS443": (dh.ARS443, 3),
    "KenCarp3": (dh.KenCarp3, 3),
    "KenCarp4": (dh.KenCarp4, 4),
    "KenCarp5": (dh.KenCarp5, 5),
    "SBDF2": (dh.SBDF2, 2),
    "SBDF3": (dh.SBDF3, 3),
    "SBDF4": (dh.SBDF4, 4),
}
A = np.random.default_rng(0).normal(size=(3, 3)) - np.eye(3)


def truth(t):
    return jnp.stack([jnp.cos(2 * t), 1 + 0.5 * jnp.sin(3 * t), jnp.exp(-t)])


def wave(t):
    return truth(t) + 1j * jnp.stack([jnp.sin(t), t * t, jnp.cos(t)])


def coupled(x):
    return jnp.sin(x) * jnp.roll(x, 1) - x * x


def rate(y, t):
    return jax.jvp(y, (t,), (jnp.ones_like(t),))[1]


def semilinear(L, y=truth):
    """N(t, x) = g(x) - g(y) + y' - L y has the solution y; g couples the components."""
    return dh.Semilinear(L, lambda t, x: coupled(x) - coupled(y(t)) + rate(y, t) - L.apply(t, y(t))), y


def split(strength=5.0):
    def implicit(t, x):
        y = truth(t)
        return -strength * (x**3 - y**3) - jnp.roll(x - y, 1)

    return dh.Split(lambda t, x: coupled(x) - coupled(truth(t)) + rate(truth, t), implicit), truth


CASES = {
    "real": lambda: semilinear(dh.Diagonal(np.array([-3.0, -0.5, 1.0]))),
    "imaginary": lambda: semilinear(dh.Diagonal(np.array([2j, -5j, 0.5j])), wave),
    "scalar of t": lambda: semilinear(
        dh.Scalar(lambda t: -1 - 2 * jnp.cos(3 * t), lambda t: -t - 2 / 3 * jnp.sin(3 * t))
    ),
    "dense": lambda: semilinear(dh.Dense(A)),
    "split": split,
}
STEPS = {2: 256, 3: 192, 4: 96, 5: 64}


def some(quick, pairs):
    """All pairs, those that are not among the quick ones marked slow."""
    return [pytest.param(*pair, marks=() if pair in quick else pytest.mark.slow) for pair in pairs]


EVERY = [(name, case) for name in METHODS for case in CASES]
QUICK = [(name, case) for name, case in EVERY if case in ("real", "split") or name in ("ARS343", "KenCarp4", "SBDF3")]


@pytest.mark.parametrize("name, case", some(QUICK, EVERY))
def test_order(name, case):
    make, order = METHODS[name]
    problem, y = CASES[case]()
    run, n = marcher(problem, make(), y(0.0), 1.0), STEPS[order]
    errors = [float(jnp.linalg.norm(run(m) - y(1.0))) for m in (n // 2, n)]
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.2, errors


@pytest.mark.parametrize("name", ["ARS443", "KenCarp3", "KenCarp4", "KenCarp5", "SBDF2"])
def test_dense_output(name):
    make, order = METHODS[name]
    problem, y = CASES["real"]()
    ts = np.sort(np.random.default_rng(0).uniform(0.05, 1.0, 150))
    exact, errors = jax.vmap(y)(ts), []
    for n in (24, 96):
        errors.append(np.abs(dh.solve(problem, y(0.0), ts, method=make(), control=dh.Fixed(n)).x - exact).max())
    assert np.log(errors[0] / errors[1]) / np.log(4) > min(order, make().dense_order + 1) - 0.2


@pytest.mark.parametrize("method", [dh.SBDF3(), dh.Reversible(dh.RK4())], ids=["SBDF3", "Reversible"])
def test_continuous_output_of_methods_that_remember(method):
    """Their steps cannot be taken again from x alone."""
    problem, y = CASES["real"]()
    sol = dh.solve(problem, y(0.0), 1.0, method=method, control=dh.Fixed(60), save=dh.Save(dense=True))
    ts = jnp.array([0.0, 0.013, 0.5, 0.777, 1.0])
    np.testing.assert_allclose(sol(ts), jax.vmap(y)(ts), atol=1e-4)  # SBDF3 is off by 4e-5 at the end


STIFF = [(name, kind) for name in METHODS for kind in ("dense", "split")]
QUICK_STIFF = [(name, kind) for name, kind in STIFF if kind == "dense" or name in ("ARS443", "KenCarp4", "SBDF4")]


@pytest.mark.parametrize("name, kind", some(QUICK_STIFF, STIFF))
def test_the_stiff_limit(name, kind):
    """h |lambda| = 5e4 and 5e6, forced slowly: no growth, and the error of the slow motion."""
    rates = np.array([-1.0, -1e6, -1e8])
    exact = (-rates * np.cos(2.0) + np.sin(2.0)) / (rates**2 + 1)
    start = -rates / (rates**2 + 1)  # no transient
    Q = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    if kind == "dense":
        forced = lambda t, x: Q @ jnp.full(3, jnp.cos(t)) + 0 * x  # noqa: E731
        problem = dh.Semilinear(dh.Dense(Q @ np.diag(rates) @ Q.T), forced)
        exact, start = Q @ exact, Q @ start
    else:
        exact, start = exact + np.cos(2.0), start + 1.0
        problem = dh.Split(
            lambda t, x: jnp.cos(t) - jnp.sin(t) + 0 * x, lambda t, x: jnp.asarray(rates) * (x - jnp.cos(t))
        )
    x = dh.solve(problem, jnp.asarray(start), 2.0, method=make_of(name), control=dh.Fixed(40)).x
    np.testing.assert_allclose(x, exact, atol=2e-3)


def make_of(name):
    return METHODS[name][0]()


@pytest.mark.parametrize("name", METHODS)
def test_perturbations_are_damped(name):
    """Without forcing a stiff component is gone after a few steps."""
    problem = dh.Semilinear(dh.Diagonal(np.array([-1e6])), lambda t, x: 0 * x)
    x = dh.solve(problem, jnp.ones(1), 1.0, method=make_of(name), control=dh.Fixed(20)).x
    assert abs(float(x[0])) < 1e-6


@pytest.mark.parametrize(
    "name, case", [("KenCarp3", "split"), ("KenCarp4", "real"), ("KenCarp4", "split"), ("KenCarp5", "real")]
)
def test_adaptive_error_follows_the_tolerance(name, case):
    problem, y = CASES[case]()

    @jax.jit
    def error(tolerance):
        control = dh.PID(tolerance, tolerance)
        sol = dh.solve(problem, y(0.0), 1.0, method=make_of(name), control=control, max_steps=50_000)
        return jnp.abs(sol.x - y(1.0)).max()

    loose, tight = float(error(1e-3)), float(error(1e-7))
    assert loose < 2e-2
    assert tight < 2e-6
    assert tight < loose / 30


@pytest.mark.parametrize(
    "name, case",
    [("ARS443", "real"), ("ARS443", "split"), ("KenCarp4", "dense"), ("SBDF3", "real"), ("SBDF3", "split")],
)
def test_lanes_equal_solves(name, case):
    problem, y = CASES[case]()
    x0s = y(0.0) + 0.1 * jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)))
    ts, control = jnp.array([0.3, 1.0]), dh.Fixed(12)
    together = dh.ensemble(problem, x0s, ts, method=make_of(name), control=control).x
    for x0, x in zip(x0s, together, strict=True):
        alone = dh.solve(problem, x0, ts, method=make_of(name), control=control).x
        np.testing.assert_allclose(x, alone, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", ["real", "split"])
def test_adaptive_lanes_equal_solves(case):
    problem, y = CASES[case]()
    x0s = y(0.0) + 0.1 * jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)))
    control = dh.PID(1e-6, 1e-6)
    together = dh.ensemble(problem, x0s, 1.0, method=dh.KenCarp4(), control=control)
    for i in range(4):
        alone = dh.solve(problem, x0s[i], 1.0, method=dh.KenCarp4(), control=control)
        np.testing.assert_allclose(together.x[i], alone.x, rtol=1e-9)
        assert int(together.stats.accepted[i]) == int(alone.stats.accepted)


@pytest.mark.parametrize("name, case", [("ARS343", "split"), ("KenCarp4", "real"), ("SBDF4", "split")])
def test_float32_stays_float32(name, case):
    problem, y = CASES[case]()
    if case == "real":
        problem = dh.Semilinear(dh.Diagonal(np.array([-3.0, -0.5, 1.0])), lambda t, x: coupled(x))
    else:
        problem = dh.Split(lambda t, x: coupled(x), lambda t, x: -5.0 * x**3)
    x0 = y(0.0)
    double = dh.solve(problem, x0, 1.0, method=make_of(name), control=dh.Fixed(40)).x
    single = dh.solve(problem, x0.astype(jnp.float32), 1.0, method=make_of(name), control=dh.Fixed(40)).x
    assert single.dtype == jnp.float32
    # Newton's iterations on fixed steps end at 50 units in the last place, in each of 40 steps.
    np.testing.assert_allclose(single, double, rtol=2e-5 if case == "real" else 2e-4, atol=1e-6)


def test_with_a_linear_implicit_part_both_ways_agree():
    """Newton on Split(N, L x) and the resolvent of Semilinear(L, N) are the same stages."""
    N = lambda t, x: coupled(x) + jnp.cos(t)  # noqa: E731
    x0 = truth(0.0)
    for name in ("ARS343", "SBDF3"):
        rows = dh.solve(dh.Semilinear(dh.Dense(A), N), x0, 1.0, method=make_of(name), control=dh.Fixed(10)).x
        newton = dh.solve(dh.Split(N, lambda t, x: A @ x), x0, 1.0, method=make_of(name), control=dh.Fixed(10)).x
        np.testing.assert_allclose(rows, newton, rtol=1e-11)


def test_everything_is_counted():
    problem, y = split()
    stats = dh.solve(problem, y(0.0), 1.0, method=dh.KenCarp4(), control=dh.Fixed(10)).stats
    assert int(stats.nfe) > 10 * 12  # six explicit calls and at least six implicit ones
    assert 1 <= int(stats.factorizations) <= 10
    stats = dh.solve(CASES["real"]()[0], y(0.0), 1.0, method=dh.SBDF3(), control=dh.Fixed(10)).stats
    assert int(stats.nfe) == 8 + 2 * (1 + dh.ARS443().calls)


PROBLEM = CASES["real"]()[0]
REFUSED = {
    "nothing implicit": (
        lambda: dh.solve(lambda t, x: -x, jnp.ones(3), 1.0, method=dh.KenCarp4()),
        r"KenCarp4 needs to know which part is stiff: write Split\(explicit, implicit\) or Semilinear\(L, N\)",
    ),
    "multistep on adaptive steps": (
        lambda: dh.solve(PROBLEM, jnp.ones(3), 1.0, method=dh.SBDF2(), control=dh.PID()),
        r"no error estimate.*control=Fixed\(steps\)",
    ),
    "multistep on unequal steps": (
        lambda: dh.solve(PROBLEM, jnp.ones(3), 1.0, method=dh.SBDF2(), control=dh.Fixed(grid=[0.0, 0.2, 1.0])),
        r"SBDF holds for equal steps only: use control=Fixed\(2\)",
    ),
    "ARS on adaptive steps": (
        lambda: dh.solve(PROBLEM, jnp.ones(3), 1.0, method=dh.ARS443(), control=dh.PID()),
        r"no error estimate.*control=Fixed\(steps\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_one_sentence(case):
    call, sentence = REFUSED[case]
    with pytest.raises((ValueError, TypeError), match=sentence) as caught:
        call()
    assert str(caught.value).count("\n") == 0


def test_equal_steps_may_be_given_as_a_grid():
    grid = np.linspace(0, 1, 11)
    by_grid = dh.solve(PROBLEM, truth(0.0), 1.0, method=dh.SBDF3(), control=dh.Fixed(grid=grid)).x
    by_number = dh.solve(PROBLEM, truth(0.0), 1.0, method=dh.SBDF3(), control=dh.Fixed(10)).x
    np.testing.assert_allclose(by_grid, by_number, rtol=1e-12)


def test_a_newton_that_diverges_is_reported():
    problem = dh.Split(lambda t, x: 0 * x, lambda t, x: x**2 * 1e3)  # no solution of the implicit equation
    sol = dh.solve(problem, jnp.ones(1), 1.0, method=dh.ARS222(), control=dh.Fixed(2), throw=False)
    assert int(sol.status) == dh.Status.not_converged
