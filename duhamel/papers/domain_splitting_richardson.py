"""Advection-diffusion on a fine grid from solves on grids that are coarse along one axis or more.

b.grad u - kappa Laplace u = f on the unit square and cube, u = 0 on the sides, central differences on N cells an axis.
Let E_i be "solve with n cells along axis i, interpolate": what it misses is a function of h_i alone, so that

    1 - prod_i (1 - E_i) = sum_i E_i - sum_{i<j} E_i E_j + ...

misses a product of the errors of all axes only: Richardson's extrapolation, one axis at a time. The residual of the
fine equation is then solved for in the same way. No solve has more than n N^(d-1) unknowns.

Three diffusivities against a wind of about 1: with 16 cells the coarse axis has |b| h/(2 kappa) = 0.3, 1 and 3, so that
the last is wiggly where the wind blows along it.
"""

import itertools
import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from duhamel.report.figure import PALETTE, style

from .card import Card, Context, Measurement, Verdict

if TYPE_CHECKING:
    import numpy as np

WIND, GROWTH = (1.0, 0.7, 0.5), (1.0, -0.5, 2.0)
CASES = ((2, 128, 16, 0.1), (2, 128, 16, 0.03), (2, 128, 16, 0.01), (3, 64, 8, 0.1))  # d, N, n, kappa
DIRECT = 50_000  # unknowns above which factors no longer fit: the fine grid in three dimensions


def check(context: Context) -> Sequence[Measurement]:
    found: list[Measurement] = []
    curves = {}
    for i, (d, N, n, kappa) in enumerate(CASES[:3] if context.fast else CASES):
        context.progress(f"{d} dimensions, kappa = {kappa:g}", i / len(CASES))
        single, errors, fine = split(d, N, n, kappa)
        curves[f"{d}D, N = {N}, kappa = {kappa:g}"] = [e / fine for e in errors]
        where = f"{d}D, kappa = {kappa:g}, {N} cells, coarse axes of {n}"
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
                note="counted from the sizes of the systems; nothing is solved for it",
            )
        )
    draw(context, curves)
    return found


def split(d: int, N: int, n: int, kappa: float) -> tuple[float, list[float], float]:
    """Errors against the exact solution: of the best single solve, of the merged one and its refinements, of N^d."""
    import numpy as np

    exact, f = manufactured(d, N, kappa)
    error = lambda u: float(np.abs(u - exact).max())  # noqa: E731
    fine = error(solve((N,) * d, kappa, f))
    merged, singles = merge(f, d, N, n, kappa, first=True)
    errors = [error(merged)]
    for _ in range(3):
        residual = f - (operator((N,) * d, kappa) @ merged.reshape(-1)).reshape(f.shape)
        merged = merged + merge(residual, d, N, n, kappa, first=False)[0]
        errors.append(error(merged))
    factors.cache_clear()
    return min(error(u) for u in singles), errors, fine


def merge(
    f: "np.ndarray", d: int, N: int, n: int, kappa: float, first: bool
) -> tuple["np.ndarray", list["np.ndarray"]]:
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
        u = solve(tuple(n if yes else N for yes in coarse), kappa, g)
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


def operator(cells: tuple[int, ...], kappa: float) -> Any:
    """b.grad - kappa Laplace between the inner vertices, a sparse matrix on fields as vectors."""
    import numpy as np
    from scipy.sparse import csc_array, diags_array, eye_array, kron

    total: Any = 0
    for axis, n in enumerate(cells):
        bend, blow = kappa * n**2 * np.ones(n - 1), WIND[axis] * n / 2 * np.ones(n - 1)
        places: Any = [-1, 0, 1]
        one = diags_array([-(bend + blow)[1:], 2 * bend, (blow - bend)[1:]], offsets=places)
        before, after = math.prod(m - 1 for m in cells[:axis]), math.prod(m - 1 for m in cells[axis + 1 :])
        total = total + kron(kron(eye_array(before), one), eye_array(after))
    return csc_array(total)


@cache
def factors(cells: tuple[int, ...], kappa: float) -> Any:
    """Sparse LU, which is stable at any wind. (Eigenvectors of the axes are not: their condition grows like
    ((2 kappa + b h)/(2 kappa - b h))^(N/2), and becomes complex beyond.)"""
    from scipy.sparse.linalg import splu

    return splu(operator(cells, kappa), permc_spec="MMD_AT_PLUS_A")


def solve(cells: tuple[int, ...], kappa: float, f: "np.ndarray") -> "np.ndarray":
    if f.size <= DIRECT:
        return factors(cells, kappa).solve(f.reshape(-1)).reshape(f.shape)
    return by_sines(cells, kappa, f)


def by_sines(cells: tuple[int, ...], kappa: float, f: "np.ndarray") -> "np.ndarray":
    """GMRES, preconditioned by diffusion alone, which sine transforms invert."""
    import numpy as np
    from scipy.fft import dstn, idstn
    from scipy.sparse.linalg import LinearOperator, gmres

    waves: Any = 0.0
    for axis, n in enumerate(cells):
        own = kappa * (2 * n * np.sin(np.pi * np.arange(1, n) / (2 * n))) ** 2
        waves = waves + own.reshape([-1 if i == axis else 1 for i in range(len(cells))])

    def undone(v: np.ndarray) -> np.ndarray:
        found: Any = idstn(np.asarray(dstn(v.reshape(f.shape), type=1)) / waves, type=1)
        return found.reshape(-1)

    matrix: Any = operator(cells, kappa).tocsr()
    M: Any = LinearOperator(matrix.shape, matvec=undone)  # type: ignore[call-arg]
    u, failed = gmres(matrix, f.reshape(-1), rtol=1e-10, atol=0.0, restart=60, maxiter=5, M=M)
    if failed:
        raise RuntimeError(f"GMRES did not converge on {cells} cells with kappa = {kappa:g}.")
    return u.reshape(f.shape)


def interpolation(n: int, N: int) -> "np.ndarray":
    """Cubic splines from n - 1 inner vertices to N - 1."""
    import numpy as np
    from scipy.interpolate import make_interp_spline

    spline = make_interp_spline(np.linspace(0, 1, n + 1), np.eye(n + 1), k=3, axis=0)
    return spline(np.linspace(0, 1, N + 1)[1:-1])[:, 1:-1]


def manufactured(d: int, N: int, kappa: float) -> tuple["np.ndarray", "np.ndarray"]:
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
        bent.append((wind * slope - kappa * curvature) * np.exp(g * x))
    outer = lambda rows: functools.reduce(np.multiply.outer, rows)  # noqa: E731
    f = sum(outer([bent[i] if i == k else value[i] for i in range(d)]) for k in range(d))
    return outer(value), np.asarray(f)


def draw(context: Context, curves: dict[str, list[float]]) -> None:
    import matplotlib.pyplot as plt

    with style():
        figure, axes = plt.subplots()
        for i, (label, errors) in enumerate(curves.items()):
            axes.semilogy(range(len(errors)), errors, marker="o", color=PALETTE[i], label=label)
        axes.axhline(1.0, color=PALETTE[6], linewidth=0.8)
        axes.set(xlabel="refinements", ylabel="error over the fine grid's own", title="Merged from anisotropic grids")
        axes.set_xticks(range(4))
        axes.legend()
        context.figure("domain-splitting-richardson-error", figure)


card = Card(
    id="domain-splitting-richardson",
    claim="Where diffusion rules on the coarse axes (kappa of 0.03 and 0.1 against a wind of 1), solves on grids that "
    "are coarse along one axis each, merged by Richardson-type extrapolation, err at least 5 times less than any "
    "single one, and refined by residuals they give advection-diffusion to the accuracy of the fine grid, with "
    "N^(d-1) unknowns in place of N^d. At 0.01 the merged solve gains 2.4 times, not 5; three refinements still end "
    "within 3 times the fine grid's error. In three dimensions kappa = 0.1 is measured.",
    source="Trotti, A domain splitting strategy for solving PDEs, 2023, arXiv 2303.01163",
    check=check,
    expects=Verdict.in_part,
    seconds=7,
)
