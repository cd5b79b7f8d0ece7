"""Strong orders of every stochastic method, against exact solutions on the same path.

A path is a chain of parabolas on a fine grid, each with its increment dW and space-time area H; coarser steps aggregate
them exactly, Levy areas included (the area of a parabola is H dW^T - dW H^T). Exact solutions are functions of W and of
the path's area at the end, so the error is the method's alone. The scalar problems: Kloeden and Platen, Numerical
Solution of Stochastic Differential Equations, section 4.4, and SciML's SDEProblemLibrary.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.methods.tableaux.stochastic import SOSRI_NUMBERS, SRIW1_NUMBERS
from duhamel.testing import march, measured_order

T, FINE, PATHS = 1.0, 1024, 300
GRIDS = (16, 32, 64, 128)


@cache
def path(m: int, n: int) -> dict[str, np.ndarray]:
    """Draws of n equal steps of the same PATHS paths in m dimensions: dW, H (n, m, paths), A (n, m, m, paths)."""
    z = np.random.default_rng(m).normal(size=(2, n, FINE // n, m, PATHS)) if n == FINE else None
    if z is not None:
        dW, H = np.sqrt(T / n) * z[0, :, 0], np.sqrt(T / n / 12) * z[1, :, 0]
        return {"dW": dW, "H": H, "A": _wedge(H, dW)}
    fine = path(m, FINE)
    block = FINE // n
    dW, H, A = (fine[k].reshape(n, block, *fine[k].shape[1:]) for k in ("dW", "H", "A"))
    before = np.cumsum(dW, axis=1) - dW
    total = dW.sum(1)
    mean = (before + 0.5 * dW + H).sum(1) / block  # of W over the step
    return {"dW": total, "H": mean - 0.5 * total, "A": A.sum(1) + 0.5 * _wedge(before, dW).sum(1)}


def _wedge(a, b):
    return a[..., :, None, :] * b[..., None, :, :] - b[..., :, None, :] * a[..., None, :, :]


class Case(NamedTuple):
    """A problem, its initial value, the shape of its noise, and the exact end as a function of W(T) and A(T)."""

    problem: Callable  # of the calculus
    x0: tuple
    noise: tuple
    exact: Callable  # (calculus, W, A) with W (m, paths)


def _gbm(calculus):
    return dh.SDE(lambda t, x: 1.01 * x, lambda t, x: 0.87 * x, calculus=calculus)


def _gbm_exact(calculus, W, A):
    drift = 1.01 - (0.5 * 0.87**2 if calculus == "ito" else 0.0)
    return np.array([0.5, 0.7])[:, None] * np.exp(drift * T + 0.87 * W)


def _ito(drift, diffusion, correction, noise):
    """An SDE known in Ito's sense; its drift in Stratonovich's is less by correction(x) = G G' / 2."""

    def make(calculus):
        less = 0.0 if calculus == "ito" else 1.0
        return dh.SDE(lambda t, x: drift(t, x) - less * correction(x), diffusion, noise=noise, calculus=calculus)

    return make


A_, B_ = 0.3, 0.8  # stiff quadratic, at a size that plain steps can follow
COMPLEX = (-0.5 + 0.7j, np.array([0.5 + 0.3j, -0.2 + 0.6j]))


def _turn(c, x):
    return jnp.stack([c.real * x[0] - c.imag * x[1], c.imag * x[0] + c.real * x[1]])


def _commuting(calculus):
    """dz = a z dt + b_1 z dW_1 + b_2 z dW_2 in the complex plane: exact z = exp(...) and columns that commute."""
    a, b = COMPLEX
    return dh.SDE(
        lambda t, x: _turn(a, x),
        lambda t, x: jnp.stack([_turn(bk, x) for bk in b], axis=-1),
        noise="commutative",
        calculus=calculus,
    )


def _commuting_exact(calculus, W, A):
    a, b = COMPLEX
    drift = a - (0.5 * np.sum(b**2) if calculus == "ito" else 0.0)
    z = (0.8 + 0.2j) * np.exp(drift * T + b @ W)
    return np.stack([z.real, z.imag])


def _twisted(calculus):
    """y_1 = asinh(u), y_2 = asinh(2 v) with u = 0.4 t + W_1 and dv = u dW_2: exact through the area."""

    def drift(t, y):
        (s1, s2), (c1, c2) = jnp.sinh(y), jnp.cosh(y)
        ito = jnp.stack([-0.5 * s1 / c1**3, -2.0 * s1**2 * s2 / c2**3])
        return jnp.stack([0.4 / c1, 0.0 * c2]) + (ito if calculus == "ito" else 0.0)

    def diffusion(t, y):
        return jnp.diag(jnp.stack([1.0 / jnp.cosh(y[0]), 2.0 * jnp.sinh(y[0]) / jnp.cosh(y[1])]))

    return dh.SDE(drift, diffusion, noise="general", calculus=calculus)


def _twisted_exact(calculus, W, A):
    mean = path(2, 1)["H"][0] + 0.5 * W  # of W over [0, T]
    time = T * (W - mean)  # int t dW
    v = 0.4 * time[1] + 0.5 * W[0] * W[1] + A[0, 1]
    return np.arcsinh(np.stack([0.4 * T + W[0], 2.0 * v]))


def _bent(calculus):
    """Nonlinear drift and G(t), order 1.5 at best; SlowRK on the path's own grid stands for its exact solution."""
    return dh.SDE(
        lambda t, x: jnp.stack([jnp.sin(3 * x[1]), jnp.cos(3 * x[0])]),
        lambda t, x: jnp.stack([jnp.stack([1.0 + t, 0.5 * t]), jnp.stack([0 * t, 1.2 - t])]),
        noise="additive",
        calculus=calculus,
    )


@cache
def _bent_exact(calculus):
    case, method = CASES["bent"], dh.SlowRK()
    x0 = np.repeat(np.array(case.x0)[:, None], PATHS, axis=1)
    draws = {k: path(2, FINE)[k] for k in method.noise}
    return np.asarray(march(method, case.problem(calculus), jnp.asarray(x0), draws, T / FINE, FINE)["x"])


def _additive(calculus):
    return dh.SDE(
        lambda t, x: 0.5 / jnp.sqrt(1 + t) - x / (2 * (1 + t)),
        lambda t, x: jnp.full_like(x, 1.0) * 0.6 / jnp.sqrt(1 + t),
        noise="additive",
        calculus=calculus,
    )


def _additive_exact(calculus, W, A):
    return np.array([1.0, 0.4])[:, None] / np.sqrt(1 + T) + 0.5 * (T + 1.2 * W) / np.sqrt(1 + T)


CASES = {
    "additive": Case(_additive, (1.0, 0.4), (2,), _additive_exact),
    "bent": Case(_bent, (0.5, -0.3), (2,), lambda c, W, A: _bent_exact(c)),
    "gbm": Case(_gbm, (0.5, 0.7), (2,), _gbm_exact),
    "cubic": Case(
        _ito(
            lambda t, x: -0.25 * x * (1 - x**2),
            lambda t, x: 0.5 * (1 - x**2),
            lambda x: -0.5 * x * (1 - x**2) / 2,
            "scalar",
        ),
        (0.5, -0.2),
        (),
        lambda c, W, A: (lambda u: ((1 + u) * np.exp(W) + u - 1) / ((1 + u) * np.exp(W) + 1 - u))(
            np.array([0.5, -0.2])[:, None]
        ),
    ),
    "wave": Case(
        _ito(
            lambda t, x: -0.36 * jnp.sin(x) * jnp.cos(x) ** 3,
            lambda t, x: 0.6 * jnp.cos(x) ** 2,
            lambda x: -0.36 * jnp.sin(x) * jnp.cos(x) ** 3,
            "diagonal",
        ),
        (1.0, 0.3),
        (2,),
        lambda c, W, A: np.arctan(0.6 * W + np.tan(np.array([1.0, 0.3])[:, None])),
    ),
    "tocino": Case(
        _ito(
            lambda t, x: jnp.cbrt(x) / 3 + 6 * jnp.cbrt(x) ** 2,
            lambda t, x: jnp.cbrt(x) ** 2,
            lambda x: jnp.cbrt(x) / 3,
            "diagonal",
        ),
        (8.0, 27.0),
        (2,),
        lambda c, W, A: (2 * T + np.array([2.0, 3.0])[:, None] + W / 3) ** 3,
    ),
    "stiff quadratic": Case(
        _ito(
            lambda t, x: -(A_ + B_**2 * x) * (1 - x**2),
            lambda t, x: B_ * (1 - x**2),
            lambda x: -(B_**2) * x * (1 - x**2),
            "scalar",
        ),
        (0.5, 0.1),
        (),
        lambda c, W, A: (lambda u, e: ((1 + u) * e + u - 1) / ((1 + u) * e - u + 1))(
            np.array([0.5, 0.1])[:, None], np.exp(-2 * A_ * T + 2 * B_ * W)
        ),
    ),
    "commuting": Case(_commuting, (0.8, 0.2), (2,), _commuting_exact),
    "twisted": Case(_twisted, (0.0, 0.0), (2,), _twisted_exact),
}
METHODS = {
    "EulerMaruyama": dh.EulerMaruyama(),
    "EulerHeun": dh.EulerHeun(),
    "StochasticHeun": dh.StochasticHeun(),
    "StochasticMidpoint": dh.StochasticMidpoint(),
    "Milstein": dh.Milstein(),
    "Milstein(areas)": dh.Milstein(areas=True),
    "SRA1": dh.SRA1(),
    "ShARK": dh.ShARK(),
    "SRIW1": dh.SRIW1(),
    "SOSRI": dh.SOSRI(),
    "SPaRK": dh.SPaRK(),
    "SlowRK": dh.SlowRK(),
    "DRI1": dh.DRI1(),
    "ReversibleHeun": dh.ReversibleHeun(),
}


def strong_error(method, case, calculus, n):
    m = 1 if case.noise == () else 2
    x0 = np.repeat(np.array(case.x0)[:, None], PATHS, axis=1)
    draws = {k: np.zeros((2 * GRIDS[-1], *path(m, 1)[k].shape[1:])) for k in method.noise}
    for k in draws:
        draws[k][:n] = path(m, n)[k]
        draws[k] = draws[k][:, 0] if case.noise == () else draws[k]
    x1 = march(method, case.problem(calculus), jnp.asarray(x0), draws, T / n, n)["x"]
    end = path(m, 1)
    return np.mean(np.abs(x1 - case.exact(calculus, end["dW"][0], end["A"][0])))


SHARP = ("bent", "gbm", "cubic", "wave", "commuting", "twisted")
# SlowRK is of order 2 where the drift vanishes in Stratonovich's sense; elsewhere the drift hides the noise.
STEEPER = {("SlowRK", "cubic"), ("SlowRK", "wave"), ("SlowRK", "gbm")}
THOROUGH = ("SOSRI", "SlowRK")  # are measured on every problem, the others on the rest by `make slow`


def combinations():
    found = []
    for name, method in METHODS.items():
        for key, case in CASES.items():
            for calculus in ("ito", "stratonovich"):
                problem = case.problem(calculus)
                fits = problem.noise in method.strong and ("Milstein" in name or calculus == method.calculus)
                if not fits or (problem.noise == "additive" and calculus == "stratonovich" and name != "SlowRK"):
                    continue
                often = (
                    key in ("bent", "gbm", "twisted") or name in THOROUGH or (name, key) == ("Milstein", "commuting")
                )
                found.append(pytest.param(name, key, calculus, marks=() if often else pytest.mark.slow))
    return found


@pytest.mark.parametrize(("name", "key", "calculus"), combinations())
def test_strong_order(name, key, calculus):
    method, case = METHODS[name], CASES[key]
    claim = method.strong[case.problem(calculus).noise]
    grids = (64, 128, 256) if name == "Milstein(areas)" else GRIDS
    order = measured_order(lambda n: strong_error(method, case, calculus, n), grids, ceiling=100.0)
    assert order > claim - 0.2
    if key in SHARP and (name, key) not in STEEPER:
        assert order < claim + 0.2


def _split(problem, L):
    """The same equation with L taken out of its drift."""
    drift = lambda t, x: problem.N(t, x, None) - L.apply(t, x)  # noqa: E731
    return dh.SDE(drift, problem.G, noise=problem.noise, calculus=problem.calculus, L=L)


@pytest.mark.parametrize(
    ("key", "L"),
    [
        ("gbm", dh.Diagonal(np.array([1.01, -2.0]))),
        ("commuting", dh.Dense(np.array([[-0.5, -0.7], [0.7, -0.5]]))),
        pytest.param("twisted", dh.Dense(np.array([[-1.0, 0.5], [0.0, -2.0]])), marks=pytest.mark.slow),
        pytest.param("bent", dh.Diagonal(np.array([-1.0, -3.0])), marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("method", [dh.ExponentialEulerMaruyama(), dh.ExponentialHeun()], ids=["Euler", "Heun"])
def test_strong_order_with_a_linear_part(method, key, L):
    case = CASES[key]
    split = case._replace(problem=lambda calculus: _split(case.problem(calculus), L))
    claim = method.strong[split.problem(method.calculus).noise]
    order = measured_order(lambda n: strong_error(method, split, method.calculus, n), GRIDS, ceiling=100.0)
    assert abs(order - claim) < 0.2


@pytest.mark.parametrize("numbers", [SRIW1_NUMBERS, SOSRI_NUMBERS], ids=["SRIW1", "SOSRI"])
def test_conditions_of_strong_order_for_sri(numbers):
    """The 25 conditions of theorem 5.2 in Roessler's paper (strong order 1.5, deterministic order 2)."""
    A0, A1, B0, B1 = (np.array([[*row, *[0.0] * (4 - len(row))] for row in rows]) for rows in numbers[:4])
    alpha, *beta = (np.array(row) for row in numbers[4:])
    e = np.ones(4)
    a1, b0, b1 = A1 @ e, B0 @ e, B1 @ e
    expected = {
        "1": ([alpha @ e, *(b @ e for b in beta)], [1, 1, 0, 0, 0]),
        "B1": ([b @ b1 for b in beta], [0, 1, 0, 0]),
        "drift": ([alpha @ A0 @ e, alpha @ b0, alpha @ b0**2], [1 / 2, 1, 3 / 2]),
        "A1": ([b @ a1 for b in beta], [1, 0, -1, 0]),
        "B1^2": ([b @ b1**2 for b in beta], [1, 0, -1, 2]),
        "B1 B1": ([b @ B1 @ b1 for b in beta], [0, 0, 0, 1]),
        "A1 B0": ([beta[0] @ A1 @ b0 / 2 + beta[2] @ A1 @ b0 / 3], [0]),
    }
    for name, (found, wanted) in expected.items():
        np.testing.assert_allclose(found, wanted, atol=1e-13, err_msg=name)


def test_draws_of_a_coarse_step_are_those_of_the_fine_ones():
    """Means and variances of the aggregated draws: dW of variance h, H of variance h/12, independent of each other."""
    draws = path(2, 64)
    h = T / 64
    dW, H, A = (draws[k] for k in ("dW", "H", "A"))
    np.testing.assert_allclose([np.var(dW) / h, 12 * np.var(H) / h], 1.0, rtol=0.03)
    assert abs(np.corrcoef(dW.ravel(), H.ravel())[0, 1]) < 0.02
    np.testing.assert_allclose(np.var(A[:, 0, 1]), h**2 / 4, rtol=0.05)
