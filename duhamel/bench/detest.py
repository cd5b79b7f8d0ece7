"""The 25 problems of DETEST: error at the end, evaluations and steps, by method and tolerance. No peers: a table."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import duhamel as dh
from duhamel.core.precision import enable_x64
from duhamel.core.problem import Problem
from duhamel.problems.detest import DETEST
from duhamel.problems.known import InitialValueProblem

METHODS = ("Bosh3", "Tsit5", "Dopri5", "Verner6", "Verner7", "Dopri8", "Verner8", "Verner9")
TOLERANCES = (1e-3, 1e-6, 1e-9, 1e-12)
COLUMNS = {"": "name", "error": "error", "error / tolerance": "factor", "evaluations": "value", "steps": "accepted"}
CAPTION = "Error at t = 20, relative to components above 1; absolute and relative tolerance are equal."


class Outcome(NamedTuple):
    """What one solve took."""

    name: str
    rtol: float
    error: float
    nfe: int
    accepted: int
    rejected: int


@cache
def together(size: int) -> tuple[tuple[InitialValueProblem, ...], Problem]:
    """The problems of one size as one equation whose argument chooses among them: compiled once for all."""
    group = tuple(problem for problem in DETEST.values() if problem.size == size)
    return group, dh.ODE(lambda t, x, which: jax.lax.switch(which, group, t, x))


def outcomes(method: Any, size: int, tolerances: Sequence[float]) -> list[Outcome]:
    """Every problem with so many components, at every tolerance, by dh.solve in float64."""
    group, equation = together(size)
    found = []
    for which, problem in enumerate(group):
        for tol in tolerances:
            how = {"args": jnp.asarray(which), "control": dh.PID(tol, tol), "max_steps": 1_000_000, "throw": False}
            sol = dh.solve(equation, np.array(problem.x0), problem.t1, method=method, **how)
            error = problem.error(sol.x) if bool(sol.ok) else float("nan")
            counts = (int(n) for n in (sol.stats.nfe, sol.stats.accepted, sol.stats.rejected))
            found.append(Outcome(problem.name, tol, error, *counts))
    return found


def run(*, quick: bool = False, progress: Callable[[str], None] | None = None) -> list[dict]:
    """One record per method, problem and tolerance; `quick` has two methods and two tolerances."""
    say = progress or (lambda text: None)
    records = []
    with enable_x64(True):
        for name in ("Tsit5", "Verner8") if quick else METHODS:
            method = getattr(dh, name)()
            tolerances = (1e-6, 1e-9) if quick else [tol for tol in TOLERANCES if tol > 1e-12 or method.order > 5]
            for size in sorted({problem.size for problem in DETEST.values()}):
                say(f"{name}, {size} components")
                records += [record(name, row) for row in outcomes(method, size, tolerances)]
    return records


def record(method: str, row: Outcome) -> dict:
    return {
        "name": f"{row.name} {method} {row.rtol:g}",
        "value": row.nfe,
        "unit": "evaluations",
        "error": row.error,
        "problem": row.name,
        "method": method,
        "rtol": row.rtol,
        "factor": row.error / row.rtol,
        "accepted": row.accepted,
        "rejected": row.rejected,
    }
