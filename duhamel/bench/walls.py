"""Non-periodic heat and Burgers at equal error, against SciPy's stiff integrators on the method of lines.

    heat      u_t = u_xx on [0, 1], u = e^(-x) cos(2 t - x), one unit of time
    burgers   u_t + u u_x = 0.05 u_xx on [-1, 1], u = 1 - tanh(10 (x - t)), half a unit of time

Both are driven by their values at the walls. Each side is given, for each error, the fewest points and the longest
steps (or loosest tolerance) that reach it, float64 throughout; ours are Chebyshev axes with ETDRK4 or Kvaerno5,
whichever is faster. SciPy has BDF, Radau and LSODA, on Chebyshev collocation with the Jacobian given, and on central
differences with a sparse one (LSODA: the band). What it does not reach with the most points is left out. Dedalus needs
MPI and FFTW with their headers to build, so SciPy is the peer.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from scipy.integrate import solve_ivp

import duhamel as dh
from duhamel import pde
from duhamel.core.precision import enable_x64

from .measure import race, record, seconds

ERRORS = (1e-4, 1e-6, 1e-8)
STEPS = (5, 7, 10, 14, 20, 28, 40, 57, 80, 113, 160, 226, 320, 453, 640)
OUR_POINTS = (16, 24, 36, 48, 72, 108, 144, 192)
PEER_POINTS = {"collocation": (12, 16, 24, 32, 48, 72, 96, 128), "differences": (64, 128, 256, 512, 1024, 2048)}
INTEGRATORS = ("LSODA", "BDF", "Radau")
COLUMNS = {
    "": "name",
    "against": "peer",
    "duhamel, ms": "value",
    "peer, ms": "peer_value",
    "ratio": "ratio",
    "our error": "error",
    "peer's error": "peer_error",
}
PATIENCE = 0.5  # seconds of a call, above which fewer calls are timed


@dataclass(frozen=True)
class Case:
    """u_t + convection u u_x = viscosity u_xx on [start, start + length], driven by `wave` at both walls."""

    name: str
    equation: pde.Equation
    viscosity: float
    convection: float
    start: float
    length: float
    t1: float
    wave: Callable[[Any, Any, Any], Any]  # of t, x and the module that computes

    def error(self, x: np.ndarray, u: Any) -> float:
        truth = self.wave(self.t1, x, np)
        return float(np.abs(np.asarray(u) - truth).max() / np.abs(truth).max())


def _heat_wave(t: Any, x: Any, xp: Any) -> Any:
    return xp.exp(-x) * xp.cos(2 * t - x)


def _burgers_wave(t: Any, x: Any, xp: Any) -> Any:
    return 1 - xp.tanh(10 * (x - t))


CASES = (
    Case("heat", pde.Heat(), 1.0, 0.0, 0.0, 1.0, 1.0, _heat_wave),
    Case("burgers", pde.Burgers(0.05), 0.05, 1.0, -1.0, 2.0, 0.5, _burgers_wave),
)


@dataclass(frozen=True)
class Found:
    """The cheapest run of one side that reaches an error."""

    run: Callable
    first: Any
    error: float
    how: str


def run(*, quick: bool = False, progress: Callable[[str], None] | None = None) -> list[dict]:
    say = progress or (lambda text: None)
    records = []
    with enable_x64(True):
        for case in CASES:
            for wanted in ERRORS[1:2] if quick else ERRORS:
                say(f"{case.name}, error {wanted:.0e}")
                mine = [found for method in (dh.ETDRK4(), dh.Kvaerno5()) if (found := ours(case, method, wanted))]
                best = min(mine, key=lambda found: min(seconds(found.run, found.first) for _ in range(5)))
                kinds = ("collocation",) if quick else tuple(PEER_POINTS)
                for kind in kinds:
                    for integrator in INTEGRATORS:
                        found = theirs(case, kind, integrator, wanted)
                        if found is not None:
                            records.append(against(case, wanted, best, found))
    return records


def against(case: Case, wanted: float, mine: Found, other: Found) -> dict:
    if seconds(other.run, mine.first) > PATIENCE:
        times = np.median([[seconds(f, mine.first) for f in (mine.run, other.run)] for _ in range(3)], axis=0)
    else:
        times = race(mine.run, other.run, (mine.first,), budget=2.0)
    name = f"{case.name} to {wanted:.0e}: {mine.how}"
    own, peer = (float(time) for time in times)
    return record(name, own, peer, "scipy", mine.error, other.error) | {"peer": f"scipy {other.how}"}


def ours(case: Case, method: Any, wanted: float) -> Found | None:
    """Points first, at the most steps; then steps."""
    name = "Kvaerno5" if method == dh.Kvaerno5() else "ETDRK4"

    def at(n: int, steps: int) -> Found:
        left, right = (
            pde.Dirichlet(lambda t, x=x: case.wave(t, x, jnp)) for x in (case.start, case.start + case.length)
        )
        space = pde.box(pde.Chebyshev(n, case.length, case.start, (left, right)))
        (x,) = space.coordinates()
        first = jnp.asarray(case.wave(0.0, x, np))
        call = jax.jit(lambda u: pde.solve(case.equation, space, u, case.t1, steps=steps, method=method).x)
        return Found(call, first, case.error(x, call(first)), f"{name}, {n} points, {steps} steps")

    for n in OUR_POINTS:
        found = at(n, STEPS[-1])
        if found.error < wanted / 2:
            break
    else:
        return None
    low, high = -1, len(STEPS) - 1
    while high - low > 1:  # errors fall with the steps
        middle = (low + high) // 2
        tried = at(n, STEPS[middle])
        low, high, found = (low, middle, tried) if tried.error < wanted else (middle, high, found)
    return found


def theirs(case: Case, kind: str, integrator: str, wanted: float) -> Found | None:
    for n in PEER_POINTS[kind]:
        lines = Lines(case, n, kind)
        if case.error(lines.inner, lines.solve(integrator, wanted / 100)) < wanted / 2:
            break
    else:
        return None
    for rtol in tolerances(wanted):
        error = case.error(lines.inner, lines.solve(integrator, rtol))
        if error < wanted:
            how = f"{integrator}, {kind}, {n} points, rtol {rtol:.0e}"
            return Found(lambda u, rtol=rtol: lines.solve(integrator, rtol), None, error, how)
    return None


def tolerances(wanted: float) -> Iterator[float]:
    yield from (wanted * factor for factor in (100, 30, 10, 3, 1, 0.3, 0.1, 0.03, 0.01))


@dataclass(frozen=True)
class Lines:
    """The method of lines: unknowns inside, values at the walls put in."""

    case: Case
    n: int
    kind: str

    @cached_property
    def x(self) -> np.ndarray:
        j = np.arange(self.n + 1)
        s = j / self.n if self.kind == "differences" else (1 - np.cos(np.pi * j / self.n)) / 2
        return self.case.start + self.case.length * s

    @property
    def inner(self) -> np.ndarray:
        return self.x[1:-1]

    @cached_property
    def slopes(self) -> tuple[Any, Any]:
        """First and second derivatives at the inner points, (n - 1, n + 1)."""
        if self.kind == "differences":
            h, m = self.case.length / self.n, self.n - 1
            left, middle, right = (scipy.sparse.eye(m, m + 2, k=k, format="csr") for k in range(3))
            return (right - left) / (2 * h), (left - 2 * middle + right) / h**2
        D = collocation(self.x)
        return D[1:-1], (D @ D)[1:-1]

    def whole(self, t: float, u: np.ndarray) -> np.ndarray:
        left, right = (self.case.wave(t, x, np) for x in (self.x[0], self.x[-1]))
        return np.concatenate([[left], u, [right]])

    def rate(self, t: float, u: np.ndarray) -> np.ndarray:
        first, second = self.slopes
        full = self.whole(t, u)
        return self.case.viscosity * (second @ full) - self.case.convection * u * (first @ full)

    def jacobian(self, t: float, u: np.ndarray) -> Any:
        first, second = self.slopes
        steep = np.asarray(first @ self.whole(t, u))
        inside = self.case.viscosity * second[:, 1:-1]
        if self.kind == "differences":
            across = first[:, 1:-1].multiply(u[:, None]) + scipy.sparse.diags(steep)
            return scipy.sparse.csc_matrix(inside - self.case.convection * across)
        return inside - self.case.convection * (u[:, None] * first[:, 1:-1] + np.diag(steep))

    def solve(self, integrator: str, rtol: float) -> np.ndarray:
        how: dict[str, Any] = {"jac": self.jacobian}
        if integrator == "LSODA" and self.kind == "differences":
            how = {"lband": 1, "uband": 1}
        u0 = self.case.wave(0.0, self.inner, np)
        end = solve_ivp(self.rate, (0.0, self.case.t1), u0, method=integrator, rtol=max(rtol, 3e-14), atol=rtol, **how)
        return end.y[:, -1]


def collocation(x: np.ndarray) -> np.ndarray:
    """The derivative of the polynomial through the points, from barycentric weights (Berrut, Trefethen 2004)."""
    n = len(x)
    weights = (-1.0) ** np.arange(n)
    weights[[0, -1]] /= 2
    gaps = x[:, None] - x + np.eye(n)
    D = weights / weights[:, None] / gaps
    np.fill_diagonal(D, 0.0)
    return D - np.diag(D.sum(axis=1))
