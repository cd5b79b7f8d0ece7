"""Stiff chemistry: ensembles against vmap(diffrax Kvaerno5), and single solves against compiled and Python libraries.

Ensembles: HIRES, ROBER, OREGO and POLLU over their published time spans in float64, 1000 lanes, each from its own
initial state: every component of the published one times a factor between 0.75 and 1.25. The error is the root mean
square, over 16 lanes, of a lane's largest relative error against SciPy's LSODA at 1e-11. Both sides run at a ladder of
tolerances; the ratio is taken at equal error (`work_precision`), and single solves are that module's.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

import duhamel as dh
from duhamel.core.precision import enable_x64
from duhamel.problems.bari import BARI
from duhamel.problems.known import InitialValueProblem

from . import work_precision
from .measure import peer
from .peers import STEPS, STIFF
from .work_precision import CAPTION, COLUMNS, Point, compare, figures

PROBLEMS = ("HIRES", "ROBER", "OREGO", "POLLU")
TOLERANCES = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
SINGLE = (1e-4, 1e-6, 1e-8, 1e-10)
SAMPLE = 16  # lanes that are compared with the reference
PATIENCE = 60.0  # seconds of one call after which a method is spared tighter tolerances

# What `duhamel bench stiff` shows is what `duhamel bench work-precision` shows.
COLUMNS, CAPTION, figures = COLUMNS, CAPTION, figures


def starts(problem: InitialValueProblem, lanes: int) -> np.ndarray:
    """(lanes, n): components of x0 times factors between 0.75 and 1.25, the same in every run."""
    return np.array(problem.x0) * np.random.default_rng(0).uniform(0.75, 1.25, (lanes, problem.size))


def reference(problem: InitialValueProblem, x0s: np.ndarray) -> np.ndarray:
    """x(t1) of each lane by SciPy's LSODA."""
    how = {"method": "LSODA", "rtol": 1e-11, "atol": 1e-13 * problem.scale}
    return np.stack([solve_ivp(problem.host, (problem.t0, problem.t1), x0, **how).y[:, -1] for x0 in x0s])


def error(problem: InitialValueProblem, x: np.ndarray, truth: np.ndarray) -> float:
    each = np.max(np.abs(x - truth) / np.maximum(np.abs(truth), problem.scale), axis=1)
    return float(np.sqrt(np.mean(each**2)))


def ours(problem: InitialValueProblem, method: str) -> Callable[[Any, float], tuple[Any, int]]:
    how: dict[str, Any] = {"method": getattr(dh, method)(), "max_steps": STEPS, "throw": False}

    def run(x0s: Any, rtol: float) -> tuple[Any, int]:
        control = dh.PID(rtol, rtol * problem.scale)
        sol = jax.block_until_ready(dh.ensemble(problem.problem, x0s, problem.t1, control=control, **how))
        return np.where(np.asarray(sol.ok)[:, None], sol.x, np.nan), int(np.mean(sol.stats.nfe))

    return run


def theirs(problem: InitialValueProblem) -> Callable[[Any, float], tuple[Any, None]]:
    diffrax: Any = peer("diffrax")
    term, solver = diffrax.ODETerm(problem), diffrax.Kvaerno5()

    @jax.jit
    def lanes(x0s: Any, rtol: Any) -> Any:
        control = diffrax.PIDController(rtol=rtol, atol=rtol * problem.scale)
        how: dict[str, Any] = {"stepsize_controller": control, "max_steps": STEPS, "throw": False}
        one = lambda x0: diffrax.diffeqsolve(term, solver, 0.0, problem.t1, None, x0, **how)  # noqa: E731
        sol = jax.vmap(one)(x0s)
        return jnp.where((sol.result == diffrax.RESULTS.successful)[:, None], sol.ys[:, -1], jnp.nan)

    return lambda x0s, rtol: (jax.block_until_ready(lanes(x0s, jnp.asarray(rtol))), None)


def series(
    problem: InitialValueProblem, side: tuple[str, str], solve: Callable, x0s: Any, truth: Any, ladder: Sequence[float]
) -> list[Point]:
    """One method at every tolerance; the lesser time of two calls, or that of one where it is long."""
    chosen = np.linspace(0, len(x0s) - 1, len(truth)).astype(int)
    points = []
    solve(x0s, ladder[0])  # compile
    for rtol in ladder:
        begin = time.perf_counter()
        x, nfe = solve(x0s, rtol)
        seconds = time.perf_counter() - begin
        if seconds < 10.0:
            begin = time.perf_counter()
            solve(x0s, rtol)
            seconds = min(seconds, time.perf_counter() - begin)
        off = error(problem, np.asarray(x)[chosen], truth)
        point = Point(
            problem=f"{problem.name}, {len(x0s)} lanes",
            package=side[0],
            method=side[1],
            rtol=rtol,
            error=off if np.isfinite(off) else None,
            seconds=seconds,
            nfe=nfe,
        )
        points.append(point)
        if seconds > PATIENCE:
            break
    return points


def ensembles(lanes: int, ladder: Sequence[float], names: Sequence[str], say: Callable[[str], None]) -> list[dict]:
    records = []
    for name in names:
        problem = BARI[name]
        x0s = starts(problem, lanes)
        say(f"{name}: the reference")
        truth = reference(problem, x0s[np.linspace(0, lanes - 1, SAMPLE).astype(int)])
        points = []
        for method in (method for method in STIFF["duhamel"] if method in dir(dh)):
            say(f"{name}, {lanes} lanes: duhamel {method}")
            points += series(problem, ("duhamel", method), ours(problem, method), jnp.asarray(x0s), truth, ladder)
        say(f"{name}, {lanes} lanes: diffrax Kvaerno5")
        points += series(problem, ("diffrax", "Kvaerno5"), theirs(problem), jnp.asarray(x0s), truth, ladder)
        records += compare(f"{name}, {lanes} lanes", points)
    return records


def run(
    *,
    quick: bool = False,
    progress: Callable[[str], None] | None = None,
    problems: Sequence[str] | None = None,
    lanes: int | None = None,
) -> list[dict]:
    """Ensembles first, then single solves. `quick`: 64 lanes of two problems at two tolerances."""
    say = progress or (lambda text: None)
    names = tuple(problems or (PROBLEMS[:2] if quick else PROBLEMS))
    lanes = lanes or (64 if quick else 1000)
    with enable_x64(True):
        records = ensembles(lanes, (1e-4, 1e-6) if quick else TOLERANCES, names, say)
    return records + work_precision.run(progress=say, problems=names, tolerances=SINGLE)
