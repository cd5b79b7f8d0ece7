"""Weak orders, without sampling: moments of linear equations are propagated exactly, step by step.

One step of a linear equation is x1 = M x with a random matrix M. Its moments E[M] and E[M (x) M] are integrals over the
draws of one step, which Gauss quadrature takes exactly (M is polynomial in them); their powers are the moments after n
steps, and exponentials of the moment equations the exact ones. For nonlinear equations the error of a single step, of
order h^(p + 1), is measured against expectations in closed form.
"""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

import duhamel as dh
from duhamel.testing import march, measured_order

A = np.array([[-0.6, 1.1], [-0.7, 0.2]])
B = {
    "general": np.array([[[0.3, 0.5], [-0.1, 0.2]], [[0.2, -0.3], [0.6, 0.1]]]),
    "diagonal": np.array([[[0.5, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, -0.4]]]),
    "scalar": np.array([[[0.3, 0.5], [-0.4, 0.2]]]),
}
B["commutative"] = np.array([[[0.4, 0.3], [-0.3, 0.4]], [[0.1, -0.5], [0.5, 0.1]]])
T = 1.0


def problem(noise, calculus, L=None):
    columns = lambda t, x: jnp.stack([jnp.asarray(b) @ x for b in B[noise]], axis=-1)  # noqa: E731
    like_x = lambda t, x: jnp.asarray(B[noise]).sum(0) @ x  # noqa: E731
    N = jnp.asarray(A) if L is None else jnp.asarray(A - L)
    diffusion = like_x if noise in ("diagonal", "scalar") else columns
    linear = None if L is None else dh.Dense(L)
    return dh.SDE(lambda t, x: N @ x, diffusion, noise=noise, calculus=calculus, L=linear)


def moments(noise, calculus):
    """Exact E[x] and E[x (x) x] at T as matrices on their initial values."""
    drift = A + (0.5 * sum(b @ b for b in B[noise]) if calculus == "stratonovich" else 0.0)
    eye = np.eye(2)
    second = np.kron(drift, eye) + np.kron(eye, drift) + sum(np.kron(b, b) for b in B[noise])
    return expm(T * drift), expm(T * second)


def nodes(m, points=6):
    """Nodes (m, q) and weights (q,) of the standard normal distribution in m dimensions, with the sign of H on top."""
    z, w = np.polynomial.hermite_e.hermegauss(points)
    axes = [z] * m + [np.array([-1.0, 1.0])] * m
    weights = [w / w.sum()] * m + [np.array([0.5, 0.5])] * m
    grid = np.array([g.ravel() for g in np.meshgrid(*axes, indexing="ij")])
    weight = np.prod([g.ravel() for g in np.meshgrid(*weights, indexing="ij")], axis=0)
    return grid[:m], grid[m:], weight


def drawn(method, noise, h, m, copies=1):
    z, sign, weight = nodes(m)
    draws = {"dW": np.sqrt(h) * z, "H": np.sqrt(h / 12) * sign}
    draws = {name: np.repeat(draws[name], copies, axis=1)[None] for name in method.noise}
    return {name: leaf[:, 0] if noise == "scalar" else leaf for name, leaf in draws.items()}, weight


def error_of_moments(method, noise, calculus, n, L=None):
    m, h = len(B[noise]), T / n
    draws, weight = drawn(method, noise, h, m, copies=2)
    x0 = np.tile(np.eye(2), (1, weight.size))
    x1 = np.asarray(march(method, problem(noise, calculus, L), jnp.asarray(x0), draws, h, 1)["x"])
    M = x1.reshape(2, -1, 2).transpose(1, 0, 2)  # columns of M at each node
    first = np.einsum("q,qij->ij", weight, M)
    second = np.einsum("q,qij,qkl->ikjl", weight, M, M).reshape(4, 4)
    exact = moments(noise, calculus)
    power = np.linalg.matrix_power
    return max(np.abs(power(first, n) - exact[0]).max(), np.abs(power(second, n) - exact[1]).max())


CASES = [
    ("EulerMaruyama", "general", "ito", 1),
    ("EulerMaruyama", "diagonal", "ito", 1),
    ("Milstein", "diagonal", "ito", 1),
    ("Milstein", "commutative", "stratonovich", 1),
    ("EulerHeun", "general", "stratonovich", 1),
    ("StochasticHeun", "general", "stratonovich", 1),
    ("StochasticMidpoint", "general", "stratonovich", 1),
    ("SPaRK", "general", "stratonovich", 1),
    ("DRI1", "general", "ito", 2),
    ("DRI1", "commutative", "ito", 2),
    ("DRI1", "diagonal", "ito", 2),
    ("DRI1", "scalar", "ito", 2),
    ("ExponentialEulerMaruyama", "general", "ito", 1),
    ("ExponentialHeun", "general", "stratonovich", 1),
]


@pytest.mark.parametrize(("name", "noise", "calculus", "order"), CASES)
def test_weak_order_of_moments(name, noise, calculus, order):
    L = np.array([[-2.0, 0.5], [0.0, -1.0]]) if name.startswith("Exponential") else None
    error = partial(error_of_moments, getattr(dh, name)(), noise, calculus, L=L)
    assert abs(measured_order(error, (16, 32, 64, 128), ceiling=1.0) - order) < 0.3


def wave(c=0.6):
    """dx = -c^2 sin x cos^3 x dt + c cos^2 x dW, x = atan(c W + tan x0)."""
    return dh.SDE(lambda t, x: -(c**2) * jnp.sin(x) * jnp.cos(x) ** 3, lambda t, x: c * jnp.cos(x) ** 2)


def test_weak_order_of_a_nonlinear_step():
    """E[sin 2x] after one step, against the normal distribution of W."""
    z, _, weight = nodes(1, 40)

    def error(n):
        h = 1.0 / n
        draws, w = drawn(dh.DRI1(), "diagonal", h, 1)
        x1 = np.asarray(march(dh.DRI1(), wave(), jnp.full((1, w.size), 0.7), draws, h, 1)["x"])[0]
        exact = np.sin(2 * np.arctan(0.6 * np.sqrt(h) * z[0] + np.tan(0.7)))
        return abs(w @ np.sin(2 * x1) - weight @ exact)

    assert measured_order(error, (4, 8, 16, 32, 64), floor=1e-14) > 2.7


def test_weak_order_of_a_step_with_areas():
    """x_1 = asinh(W_1), x_2 = exp(c int W_1 dW_2): E[x_2] = cos(c h)^(-1/2), which needs the mixed second integrals."""
    c = 1.2

    def drift(t, x):
        s, k = jnp.sinh(x[0]), jnp.cosh(x[0])
        return jnp.stack([-0.5 * s / k**3, 0.5 * (c * s) ** 2 * x[1]])

    def diffusion(t, x):
        return jnp.diag(jnp.stack([1.0 / jnp.cosh(x[0]), c * jnp.sinh(x[0]) * x[1]]))

    system = dh.SDE(drift, diffusion, noise="general")

    def error(n):
        h = 1.0 / n
        draws, w = drawn(dh.DRI1(), "general", h, 2)
        x0 = jnp.stack([jnp.zeros(w.size), jnp.ones(w.size)])
        x1 = np.asarray(march(dh.DRI1(), system, x0, draws, h, 1)["x"])
        z, _, weight = nodes(1, 40)
        first = abs(w @ x1[0] ** 2 - weight @ np.arcsinh(np.sqrt(h) * z[0]) ** 2)
        return first + abs(w @ x1[1] - np.cos(c * h) ** -0.5)

    assert measured_order(error, (4, 8, 16, 32, 64), floor=1e-14, ceiling=1.0) > 2.7
