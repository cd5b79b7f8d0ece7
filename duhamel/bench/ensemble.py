"""Ensembles of small equations against vmap(diffrax): equal method and tolerance, errors beside the times.

Lorenz: the set-up of the DiffEqGPU paper (arXiv 2304.06835): sigma = 10, beta = 8/3, x0 = (1, 0, 0), t in [0, 1],
rho = linspace(0, 21, N), float32, first step 1e-3, tolerance 1e-6. Van der Pol: mu in [1, 200], x0 = (2, 0), t in
[0, 10]; mu spaced logarithmically (a few lanes are much slower than the rest) and equally, lanes in random order, so
that slow and fast ones are neighbours. One lane: `solve` against `diffeqsolve`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

import duhamel as dh

from .measure import peer, race, record

TOLERANCE = 1e-6
SAMPLE = 64  # lanes that are compared with the float64 reference


def lorenz(t: Any, x: Any, rho: Any) -> Any:
    return jnp.stack([10.0 * (x[1] - x[0]), x[0] * (rho - x[2]) - x[1], x[0] * x[1] - (8.0 / 3.0) * x[2]])


def van_der_pol(t: Any, x: Any, mu: Any) -> Any:
    return jnp.stack([x[1], mu * (1.0 - x[0] ** 2) * x[1] - x[0]])


def ours(field: Callable, t1: float, max_steps: int) -> Callable:
    def run(x0s: Any, args: Any) -> Any:
        how = {"control": dh.PID(TOLERANCE, TOLERANCE), "dt0": 1e-3, "max_steps": max_steps}
        return dh.ensemble(field, x0s, t1, args=args, in_axes=0, **how).x

    return jax.jit(run)


def theirs(field: Callable, t1: float, max_steps: int) -> Callable:
    return jax.jit(jax.vmap(by_diffrax(field, t1, max_steps)))


def by_diffrax(field: Callable, t1: float, max_steps: int) -> Callable:
    diffrax = peer("diffrax")

    def one(x0: Any, arg: Any) -> Any:
        control = diffrax.PIDController(rtol=TOLERANCE, atol=TOLERANCE)
        term, method, how = diffrax.ODETerm(field), diffrax.Tsit5(), {"max_steps": max_steps}
        return diffrax.diffeqsolve(term, method, 0.0, t1, 1e-3, x0, arg, stepsize_controller=control, **how).ys[-1]

    return one


def reference(field: Callable, t1: float, x0: np.ndarray, args: np.ndarray) -> np.ndarray:
    """SciPy's LSODA in float64 at 1e-12, lane by lane."""

    def one(arg: float) -> np.ndarray:
        f = lambda t, x: np.asarray(_HOST[field](x, arg))  # noqa: E731
        return solve_ivp(f, (0.0, t1), x0, method="LSODA", rtol=1e-12, atol=1e-13).y[:, -1]

    return np.stack([one(float(a)) for a in args])


_HOST = {
    lorenz: lambda x, rho: (10.0 * (x[1] - x[0]), x[0] * (rho - x[2]) - x[1], x[0] * x[1] - (8.0 / 3.0) * x[2]),
    van_der_pol: lambda x, mu: (x[1], mu * (1.0 - x[0] ** 2) * x[1] - x[0]),
}


def compare(name: str, field: Callable, x0: list[float], args: np.ndarray, t1: float, max_steps: int) -> dict:
    lanes = len(args)
    inputs = jnp.tile(jnp.asarray(x0, jnp.float32), (lanes, 1)), jnp.asarray(args, jnp.float32)
    a, b = ours(field, t1, max_steps), theirs(field, t1, max_steps)
    sample = np.unique(np.linspace(0, lanes - 1, SAMPLE).astype(int))
    truth = reference(field, t1, np.asarray(x0), np.asarray(inputs[1], np.float64)[sample])
    error = lambda x: float(np.sqrt(np.mean((np.asarray(x, np.float64)[sample] - truth) ** 2)))  # noqa: E731
    errors = error(a(*inputs)), error(b(*inputs))
    return record(name, *race(a, b, inputs), "diffrax", *errors)


def one_lane() -> dict:
    x0, rho = jnp.array([1.0, 0.0, 0.0], jnp.float32), jnp.float32(21.0)

    def run(x0: Any, rho: Any) -> Any:
        return dh.solve(lorenz, x0, 1.0, args=rho, control=dh.PID(TOLERANCE, TOLERANCE), dt0=1e-3, throw=False).x

    a, b = jax.jit(run), jax.jit(by_diffrax(lorenz, 1.0, 4096))
    truth = reference(lorenz, 1.0, np.array([1.0, 0.0, 0.0]), np.array([21.0]))[0]
    error = lambda x: float(np.sqrt(np.mean((np.asarray(x, np.float64) - truth) ** 2)))  # noqa: E731
    errors = error(a(x0, rho)), error(b(x0, rho))
    return record("Lorenz, one lane", *race(a, b, (x0, rho), budget=2.0), "diffrax", *errors)


def run(*, quick: bool = False, progress: Callable[[str], None] | None = None) -> list[dict]:
    """One record per size; `quick` leaves out all but the smallest."""
    say = progress or (lambda text: None)
    records = []
    say("Lorenz, one lane")
    records.append(one_lane())
    for lanes in (1024,) if quick else (1024, 8192, 131072):
        say(f"Lorenz, {lanes} lanes")
        rho = np.linspace(0.0, 21.0, lanes)
        records.append(compare(f"Lorenz, {lanes} lanes", lorenz, [1.0, 0.0, 0.0], rho, 1.0, 4096))
    lanes = 256 if quick else 1024
    for spacing, grid in (("logarithmic", np.geomspace), ("equal", np.linspace)):
        name = f"Van der Pol, mu 1 to 200, {spacing} spacing, {lanes} lanes"
        say(name)
        mu = np.random.default_rng(0).permutation(grid(1.0, 200.0, lanes))
        records.append(compare(name, van_der_pol, [2.0, 0.0], mu, 10.0, 16384))
    return records
