"""Advection-diffusion on a fine grid from solves on grids that are coarse along one axis or more.

b.grad u - kappa Laplace u = f on the unit square and cube, u = 0 on the sides, central differences on N cells an axis.
Let E_i be "solve with n cells along axis i, interpolate": what it misses is a function of h_i alone, so that

    1 - prod_i (1 - E_i) = sum_i E_i - sum_{i<j} E_i E_j + ...

misses a product of the errors of all axes only: Richardson's extrapolation, one axis at a time. The residual of the
fine equation is then solved for in the same way. No solve has more than n N^(d-1) unknowns.
"""

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from duhamel.report.figure import PALETTE, style

from .card import Card, Context, Measurement

if TYPE_CHECKING:
    import numpy as np

KAPPA, WIND, GROWTH = 0.1, (1.0, 0.7, 0.5), (1.0, -0.5, 2.0)


def check(context: Context) -> Sequence[Measurement]:
    found: list[Measurement] = []
    curves = {}
    for d, N, n in ((2, 128, 16), (3, 64, 8)):
        context.progress(f"{d} dimensions", (d - 2) / 2)
        single, errors, fine = split(d, N, n)
        curves[f"{d}D, N = {N}"] = [e / fine for e in errors]
        where = f"{d}D, {N} cells, coarse axes of {n}"
        found += [
            Measurement(
                f"{where}: error of the best single solve over that of the merged one", single / errors[0], low=5
            ),
            Measurement(
                f"{where}: error after 3 refinements over that of the fine grid",
                errors[3] / fine,
                high=3,
                note=f"the fine grid's own error is {fine:.1e}; merged, not refined: {errors[0] / fine:.2f} of it",
            ),
        ]
    for d in (2, 3):
        growth = unknowns(d, 512, 16) / unknowns(d, 256, 16)
        found.append(
            Measurement(
                f"{d}D: power of N with which all unknowns of a level grow, coarse axes of 16",
                math.log2(growth),
                d - 1 - 0.1,
                d - 1 + 0.1,
            )
        )
    draw(context, curves)
    return found


def split(d: int, N: int, n: int) -> tuple[float, list[float], float]:
    """Errors against the exact solution: of the best single solve, of the merged one and its refinements, of N^d."""
    import numpy as np

    exact, f = manufactured(d, N)
    error = lambda u: float(np.abs(u - exact).max())  # noqa: E731
    fine = error(solve((N,) * d, f))
    merged, singles = merge(f, d, N, n, first=True)
    errors = [error(merged)]
    for _ in range(3):
        merged = merged + merge(f - apply((N,) * d, merged), d, N, n, first=False)[0]
        errors.append(error(merged))
    return min(error(u) for u in singles), errors, fine


def merge(f: "np.ndarray", d: int, N: int, n: int, first: bool) -> tuple["np.ndarray", list["np.ndarray"]]:
    """The signed sum of the solves on every set of coarse axes, and those with one coarse axis.

    A smooth f is sampled on the coarse points (`first`), a residual is averaged by the transpose of the interpolation.
    """
    import numpy as np

    P, step = interpolation(n, N), N // n
    total, singles = np.zeros_like(f), []
    for coarse in itertools.product((False, True), repeat=d):
        if not any(coarse):
            continue
        axes = [i for i, yes in enumerate(coarse) if yes]
        g = f
        for i in axes:
            g = np.take(g, np.arange(step - 1, N - 1, step), axis=i) if first else along(P.T / step, g, i)
        u = solve(tuple(n if yes else N for yes in coarse), g)
        for i in axes:
            u = along(P, u, i)
        total = total - (-1) ** len(axes) * u
        singles += [u] if len(axes) == 1 else []
    return total, singles


def unknowns(d: int, N: int, n: int) -> int:
    """Of all solves of one level."""
    sets = itertools.product((False, True), repeat=d)
    total = 0
    for coarse in sets:
        if any(coarse):
            size = 1
            for yes in coarse:
                size *= (n if yes else N) - 1
            total += size
    return total


def along(matrix: "np.ndarray", u: "np.ndarray", axis: int) -> "np.ndarray":
    import numpy as np

    return np.moveaxis(np.tensordot(matrix, u, (1, axis)), 0, axis)


def line(cells: int, axis: int) -> "np.ndarray":
    """b d/dx - kappa d^2/dx^2 between the inner vertices of one axis."""
    import numpy as np

    h, up, down = 1 / cells, np.eye(cells - 1, k=1), np.eye(cells - 1, k=-1)
    return KAPPA / h**2 * (2 * np.eye(cells - 1) - up - down) + WIND[axis] / (2 * h) * (up - down)


def apply(cells: tuple[int, ...], u: "np.ndarray") -> "np.ndarray":
    return sum(along(line(n, d), u, d) for d, n in enumerate(cells)) + 0 * u


def solve(cells: tuple[int, ...], f: "np.ndarray") -> "np.ndarray":
    """By the eigenvectors of every axis (real, as both off-diagonals are negative for these cells)."""
    import numpy as np

    values: Any = 0.0
    pairs = [np.linalg.eig(line(n, d)) for d, n in enumerate(cells)]
    for d, (value, vectors) in enumerate(pairs):
        values = values + value.reshape([-1 if i == d else 1 for i in range(len(cells))])
        f = along(np.linalg.inv(vectors), f, d)
    f = f / values
    for d, (_, vectors) in enumerate(pairs):
        f = along(vectors, f, d)
    return np.real(f)


def interpolation(n: int, N: int) -> "np.ndarray":
    """Cubic splines from n - 1 inner vertices to N - 1."""
    import numpy as np
    from scipy.interpolate import make_interp_spline

    spline = make_interp_spline(np.linspace(0, 1, n + 1), np.eye(n + 1), k=3, axis=0)
    return spline(np.linspace(0, 1, N + 1)[1:-1])[:, 1:-1]


def manufactured(d: int, N: int) -> tuple["np.ndarray", "np.ndarray"]:
    """u = prod sin(pi x_i) e^(c_i x_i) at the inner vertices, and its f."""
    import functools

    import numpy as np

    x = np.linspace(0, 1, N + 1)[1:-1]
    s, c = np.sin(np.pi * x), np.cos(np.pi * x)
    value = [s * np.exp(g * x) for g in GROWTH[:d]]
    bent = []
    for g, wind in zip(GROWTH[:d], WIND[:d], strict=True):
        slope = np.pi * c + g * s
        curvature = (g**2 - np.pi**2) * s + 2 * g * np.pi * c
        bent.append((wind * slope - KAPPA * curvature) * np.exp(g * x))
    outer = lambda rows: functools.reduce(np.multiply.outer, rows)  # noqa: E731
    f = sum(outer([bent[i] if i == k else value[i] for i in range(d)]) for k in range(d))
    return outer(value), np.asarray(f)


def draw(context: Context, curves: dict[str, list[float]]) -> None:
    import matplotlib.pyplot as plt

    with style():
        figure, axes = plt.subplots()
        for i, (label, errors) in enumerate(curves.items()):
            axes.plot(range(len(errors)), errors, marker="o", color=PALETTE[i], label=label)
        axes.axhline(1.0, color=PALETTE[6], linewidth=0.8)
        axes.set(xlabel="refinements", ylabel="error over the fine grid's own", title="Merged from anisotropic grids")
        axes.set_xticks(range(4))
        axes.legend()
        context.figure("domain-splitting-richardson-error", figure)


card = Card(
    id="domain-splitting-richardson",
    claim="Solves on grids that are coarse along one axis each, merged by Richardson-type extrapolation and refined by "
    "residuals, give advection-diffusion to the accuracy of the fine grid, with N^(d-1) unknowns in place of N^d.",
    source="Trotti, A domain splitting strategy for solving PDEs, 2023, arXiv 2303.01163",
    check=check,
    seconds=3,
)
