"""Tools to test a method or a field with, ours and a user's own: measured orders and gradient checks."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from duhamel.core.problem import as_problem
from duhamel.methods.base import Moment, time_dtype
from duhamel.solver import checks
from duhamel.solver.stepper import bind


def measured_order(
    error: Callable[[int], float], steps: Sequence[int], *, floor: float = 1e-12, ceiling: float = 0.1, points: int = 4
) -> float:
    """Order of convergence: minus the slope of log error over log steps, by least squares.

    error   error(n) with n steps
    steps   increasing numbers of steps
    floor   errors below are rounding and end the refinement
    ceiling errors above are not yet asymptotic and are left out
    points  how many of the finest usable errors the slope is taken from (at least 3 are needed)
    """
    used = []
    for n in steps:
        e = float(error(n))
        if not np.isfinite(e) or e > ceiling:
            continue
        if e < floor:
            break
        used.append((n, e))
    if len(used) < 3:
        raise ValueError(
            f"only {len(used)} of {len(steps)} errors lie between {floor:g} and {ceiling:g}; choose other steps."
        )
    n, e = np.array(used[-points:]).T
    return float(-np.polyfit(np.log(n), np.log(e), 1)[0])


def marcher(problem: Any, method: Any, x0: PyTree, t1: float, *, t0: float = 0.0, args: PyTree = None) -> Callable:
    """n -> x(t1) after n equal steps of the method, compiled once for all n. To measure an order with.

    problem  a Problem or a vector field, without noise
    """
    problem = as_problem(problem)
    x0, args, t0 = jax.tree.map(jnp.asarray, x0), checks.arguments(args, time_dtype(x0)), jnp.asarray(t0, float)
    stepper = bind(problem, method, t0, x0, args)

    @jax.jit
    def run(n: Any) -> PyTree:
        h = (t1 - t0) / n

        def body(i: Any, slots: dict) -> dict:
            at = Moment(i, i * h, t0 + i * h, h)
            return method.keep(stepper.attempt(at, slots))

        return jax.lax.fori_loop(0, n, body, stepper.start(t0, x0))["x"]

    return lambda n: run(jnp.asarray(n))


def gradient_error(f: Callable, *args: PyTree, step: float = 1e-5, directions: int = 3, seed: int = 0) -> float:
    """Largest relative disagreement of `jax.grad` with central differences, over random directions.

    f      a scalar function of pytrees of float64 arrays
    step   size of the difference relative to the arguments' scale; 1e-5 balances truncation and rounding in float64
    """
    rng = np.random.default_rng(seed)
    arrays = [jax.tree.map(jnp.asarray, a) for a in args]
    grads = jax.grad(f, argnums=tuple(range(len(arrays))))(*arrays)
    worst = 0.0
    for _ in range(directions):
        v = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), arrays)
        difference = (f(*_shifted(arrays, v, step)) - f(*_shifted(arrays, v, -step))) / (2 * step)
        exact = sum(jnp.vdot(d, g) for d, g in zip(jax.tree.leaves(v), jax.tree.leaves(list(grads)), strict=True))
        worst = max(worst, float(jnp.abs(exact - difference) / jnp.maximum(jnp.abs(difference), 1e-8)))
    return worst


def _shifted(arrays: PyTree, direction: PyTree, s: float) -> PyTree:
    return jax.tree.map(lambda a, d: a + s * d, arrays, direction)


def traces(f: Callable) -> tuple[Callable, Callable[[], int]]:
    """(f that counts how often it is traced, the count): a second compilation is a test failure."""
    count = [0]

    def counting(*args: Any, **kwargs: Any) -> Any:
        count[0] += 1
        return f(*args, **kwargs)

    return counting, lambda: count[0]
