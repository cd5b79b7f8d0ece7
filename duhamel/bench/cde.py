"""Linear controlled equations: all flows at once against one step after the other.

dx = sum_i A_i x dX^i along a linear path through `points` random points, float32, two channels, three structures of A.
Ours builds the exact flow of every piece and composes them (`linear_cde`), in turn or by an associative scan. The peer,
diffrax, steps along its LinearInterpolation from knot to knot with Tsit5 (ControlTerm and StepTo, which see no jump);
our `solve` takes two steps of RK4 a piece, on the smooth line. The increments are small enough for both to be as
accurate as float32 allows; the error of each stands beside its time.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import duhamel as dh
from duhamel.core.cde import CDE
from duhamel.core.path import LinearPath
from duhamel.solver.linear_cde import linear_cde

from .measure import peer, race, record

CHANNELS = 2
STEPS = 2  # of RK4 between two knots


def problem(kind: str, n: int, points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(A, the same A as dense matrices, times, points, x0); A is skew, but for the diagonal: nothing grows."""
    rng = np.random.default_rng(0)
    ts = np.arange(float(points))  # steps of 1/2 are exact in float32
    xs = np.cumsum(rng.normal(size=(points, CHANNELS)) * 0.03, axis=0)
    x0 = rng.normal(size=n)
    if kind == "diagonal":
        A = 0.2 * rng.normal(size=(CHANNELS, n))
        full = np.stack([np.diag(a) for a in A])
    elif kind == "blocks of 4":
        A = rng.normal(size=(CHANNELS, n // 4, 4, 4))
        A = A - np.swapaxes(A, -1, -2)
        full = np.zeros((CHANNELS, n, n))
        for i in range(n // 4):
            full[:, 4 * i : 4 * i + 4, 4 * i : 4 * i + 4] = A[:, i]
    else:
        A = rng.normal(size=(CHANNELS, n, n)) / np.sqrt(n)
        full = A = A - np.swapaxes(A, -1, -2)
    return A, full, ts, xs, x0


def rates(kind: str, A: Any, x: Any) -> Any:
    """f(x), one column a channel, at the cost of the structure."""
    if kind == "diagonal":
        return (A * x).T
    if kind == "blocks of 4":
        blocks = x.reshape(-1, 4)
        return jnp.einsum("cbij,bj->bic", A, blocks).reshape(-1, CHANNELS)
    return jnp.einsum("cij,j->ic", A, x)


def ours(parallel: bool) -> Callable:
    return jax.jit(lambda A, ts, xs, x0: linear_cde(A, LinearPath(ts, xs), x0, parallel=parallel)[-1])


def stepped(kind: str) -> Callable:
    """`solve` on the grid of knots, each piece cut in `STEPS`; the smooth line is the same curve."""

    def run(A: Any, ts: Any, xs: Any, x0: Any) -> Any:
        equation = CDE(lambda t, x, A: rates(kind, A, x), LinearPath(ts, xs, smooth=True))
        grid = dh.Fixed(STEPS * (ts.shape[0] - 1))
        return dh.solve(equation, x0, ts[-1], args=A, method=dh.RK4(), control=grid, throw=False).x

    return jax.jit(run)


def theirs(kind: str) -> Callable:
    diffrax = peer("diffrax")

    def run(A: Any, ts: Any, xs: Any, x0: Any) -> Any:
        field = lambda t, x, A: rates(kind, A, x)  # noqa: E731
        term = diffrax.ControlTerm(field, diffrax.LinearInterpolation(ts, xs))
        how = {"stepsize_controller": diffrax.StepTo(ts), "max_steps": ts.shape[0] + 2}
        return diffrax.diffeqsolve(term, diffrax.Tsit5(), ts[0], ts[-1], None, x0, A, **how).ys[-1]

    return jax.jit(run)


def truth(full: np.ndarray, xs: np.ndarray, x0: np.ndarray) -> np.ndarray:
    """The product of SciPy's exponentials, in float64."""
    from scipy.linalg import expm

    for flow in expm(np.tensordot(np.diff(xs, axis=0), full, axes=1)):
        x0 = flow @ x0
    return x0


def compare(kind: str, n: int, points: int, budget: float) -> list[dict]:
    A, full, ts, xs, x0 = problem(kind, n, points)
    inputs = tuple(jnp.asarray(a, jnp.float32) for a in (A, ts, xs, x0))
    exact = truth(full, xs, x0)
    scale = np.linalg.norm(exact)
    error = lambda f: float(np.linalg.norm(np.asarray(f(*inputs), np.float64) - exact) / scale)  # noqa: E731
    runs = {"in turn": ours(False), "associative": ours(True), "stepped by solve": stepped(kind)}
    other = theirs(kind)
    out = []
    for name, run in runs.items():
        times = race(run, other, inputs, budget=budget)
        title = f"linear CDE, {kind}, n = {n}, {points} points, {name}"
        out.append(record(title, *times, "diffrax", error(run), error(other)))
    return out


def run(*, quick: bool = False, progress: Callable[[str], None] | None = None) -> list[dict]:
    """Three records a size: flows composed in turn, by the scan, and the steps of `solve`, each against diffrax."""
    say = progress or (lambda text: None)
    sizes = [("diagonal", 64, 4096), ("blocks of 4", 32, 4096), ("dense", 8, 4096), ("dense", 16, 4096)]
    if quick:
        sizes = [(kind, 8, 1024) for kind, _, _ in sizes[:3]]
    records = []
    for kind, n, points in sizes:
        say(f"{kind}, n = {n}, {points} points")
        records += compare(kind, n, points, 1.0 if quick else 4.0)
    return records
