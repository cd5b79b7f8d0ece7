"""Orders of the diagonally implicit methods: by rooted trees, and measured with Newton's method on fixed steps."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.methods.base import Moment
from duhamel.methods.tableaux.esdirk import ALL, DiagonallyImplicit, predictors
from duhamel.solver.stepper import bind
from duhamel.testing import measured_order

METHODS = {
    "ImplicitEuler": dh.ImplicitEuler,
    "Trapezoid": dh.Trapezoid,
    "TRBDF2": dh.TRBDF2,
    "Kvaerno3": dh.Kvaerno3,
    "Kvaerno4": dh.Kvaerno4,
    "Kvaerno5": dh.Kvaerno5,
    "ESDIRK32": dh.ESDIRK32,
    "ESDIRK43": dh.ESDIRK43,
    "ESDIRK54": dh.ESDIRK54,
}
ADAPTIVE = [name for name, make in METHODS.items() if make().error_order is not None]


def each_tableau():
    return pytest.mark.parametrize("tableau", ALL, ids=[tableau.name for tableau in ALL])


def square(tableau: DiagonallyImplicit) -> np.ndarray:
    a = np.zeros((tableau.stages, tableau.stages))
    for i, row in enumerate(tableau.a):
        a[i, :i] = row
        a[i, i] = tableau.gamma if i else 0.0
    return a


def trees(n: int) -> list[tuple]:
    """Rooted trees with n nodes, as sorted tuples of subtrees."""
    if n == 1:
        return [()]
    found = set()
    for smaller in trees(n - 1):  # hang one more leaf anywhere
        found |= set(_grown(smaller))
    return sorted(found)


def _grown(tree: tuple) -> list[tuple]:
    more = [tuple(sorted((*tree, ())))]
    for i, branch in enumerate(tree):
        more += [tuple(sorted((*tree[:i], new, *tree[i + 1 :]))) for new in _grown(branch)]
    return more


def nodes(tree: tuple) -> int:
    return 1 + sum(nodes(branch) for branch in tree)


def density(tree: tuple) -> int:
    return nodes(tree) * int(np.prod([density(branch) for branch in tree]))


def weight(a: np.ndarray, tree: tuple) -> np.ndarray:
    return np.prod([a @ weight(a, branch) for branch in tree], axis=0) * np.ones(len(a))


def misses(a: np.ndarray, b: np.ndarray, order: int) -> float:
    return max(abs(b @ weight(a, tree) - 1 / density(tree)) for n in range(1, order + 1) for tree in trees(n))


def test_tree_counts():
    assert [len(trees(n)) for n in range(1, 7)] == [1, 1, 2, 4, 9, 20]


@each_tableau()
def test_order_conditions(tableau):
    a, b = square(tableau), np.array(tableau.b)
    assert misses(a, b, tableau.order) < 2e-15
    assert misses(a, b, tableau.order + 1) > 1e-4
    np.testing.assert_allclose(a.sum(1), tableau.c, atol=1e-15)
    if tableau.error is not None:
        # The estimate is b minus an embedded method. Of two orders one is the estimate's, whichever is lower.
        embedded = b - np.array(tableau.error)
        assert misses(a, embedded, tableau.error_order) < 2e-15


@each_tableau()
def test_stability(tableau):
    """A-stable, and L-stable but for the trapezoidal rule."""
    a, b = square(tableau), np.array(tableau.b)
    one = np.ones(tableau.stages)

    def R(z: complex) -> float:
        return abs(1 + z * b @ np.linalg.solve(np.eye(tableau.stages) - z * a, one))

    assert max(R(1j * y) for y in np.logspace(-3, 3, 200)) < 1 + 1e-9
    assert abs(R(-1e9) - (1.0 if tableau.name == "Trapezoid" else 0.0)) < 1e-6


@each_tableau()
def test_first_guesses_are_consistent(tableau):
    for i, row in enumerate(predictors(tableau)[1:], start=1):
        np.testing.assert_allclose(sum(row), tableau.c[i], atol=1e-14)


def solution(t):
    return jnp.stack([jnp.cos(t), 0.6 * jnp.sin(2.0 * t), jnp.exp(-t)])


def coupled(x):
    return jnp.stack([x[1] * x[2] - 0.5 * x[0], -x[0] * x[2], -0.55 * x[0] * x[1] - x[2] ** 3])


def field(t, x):
    """Its solution is `solution`, for every coupling."""
    exact, slope = jax.jvp(solution, (t,), (jnp.ones_like(t),))
    return slope + coupled(x) - coupled(exact)


T = 2.0
INSIDE = (0.17, 0.5, 0.81)


@cache
def errors(name):
    """n -> (error at T, largest error of dense output) on n equal steps; one program for every n."""
    method, x0 = METHODS[name](), solution(jnp.zeros(()))
    bound = bind(dh.ODE(field), method, jnp.zeros(()), x0, None)

    @jax.jit
    def run(n):
        h = T / n.astype(float)

        def body(i, carry):
            slots, worst = carry
            at = Moment(i, i * h, i * h, h)
            env = method.attempt(bound, at, slots)
            basis = method.densify(bound, at, env)
            for theta in INSIDE:
                x = method.interpolate(bound, at, jnp.asarray(theta), basis)
                worst = jnp.maximum(worst, jnp.abs(x - solution((i + theta) * h)).max())
            return method.keep(env), worst

        start = method.start(bound, jnp.zeros(()), x0)
        slots, worst = jax.lax.fori_loop(0, n, body, (start, jnp.zeros(())))
        return jnp.abs(slots["x"] - solution(T)).max(), worst

    return lambda n: tuple(float(e) for e in run(jnp.asarray(n)))


@pytest.mark.parametrize("name", METHODS)
def test_order(name):
    order = METHODS[name]().order
    first = {1: 640, 2: 80, 3: 40, 4: 60, 5: 16}[order]
    steps = [int(first * 1.4**k) for k in range(5)]
    slope = measured_order(lambda n: errors(name)(n)[0], steps, floor=1e-12)
    assert abs(slope - order) < 0.2


@pytest.mark.parametrize("name", METHODS)
def test_order_of_dense_output(name):
    """An interpolant of order q is in error by O(h^(q+1)) inside a step, on top of the method's O(h^p)."""
    method = METHODS[name]()
    claim = min(method.order, method.dense_order + 1)
    first = {1: 640, 2: 80, 3: 40, 4: 30, 5: 16}[method.order]
    steps = [int(first * 1.4**k) for k in range(5)]
    assert measured_order(lambda n: errors(name)(n)[1], steps, floor=1e-12) > claim - 0.2


@pytest.mark.parametrize("name", ["Kvaerno5"])
def test_solve_on_a_fixed_grid_is_the_method(name):
    sol = dh.solve(field, solution(0.0), T, method=METHODS[name](), control=dh.Fixed(20))
    np.testing.assert_allclose(np.abs(sol.x - solution(T)).max(), errors(name)(20)[0], rtol=1e-4)
    assert int(sol.stats.accepted) == 20


@pytest.mark.parametrize("name", ["Kvaerno3", "Kvaerno5", "ESDIRK43"])
def test_a_stiff_equation_takes_no_small_steps(name):
    """Prothero and Robinson: x' = lam (x - cos t) - sin t, with |lam| h = 1000."""
    f = lambda t, x, lam: lam * (x - jnp.cos(t)) - jnp.sin(t)  # noqa: E731
    sol = dh.solve(f, 1.0, T, args=-1e4, method=METHODS[name](), control=dh.Fixed(20))
    assert abs(float(sol.x) - np.cos(T)) < 1e-6


@pytest.mark.parametrize("name", ADAPTIVE)
def test_adaptive_error_follows_the_tolerance(name):
    method = METHODS[name]()
    # Implicit Euler's estimate has the order of its local error, so its global error falls with the root of it.
    loose, tight, ratio = {1: (1e-2, 1e-4, 5), 2: (1e-3, 1e-6, 30)}.get(method.order, (1e-4, 1e-8, 100))

    @jax.jit
    def error(rtol):
        sol = dh.solve(field, solution(0.0), T, method=method, control=dh.PID(rtol, rtol), max_steps=100_000)
        return jnp.abs(sol.x - solution(T)).max()

    assert error(loose) < (15 if method.order == 1 else 10) * loose
    assert error(tight) < error(loose) / ratio
