"""Tools to test a method or a field with, ours and a user's own: measured orders and gradient checks."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from duhamel.core.problem import as_problem
from duhamel.methods.base import Moment, like, time_dtype
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
    x0, args, begin = jax.tree.map(jnp.asarray, x0), checks.arguments(args, time_dtype(x0)), jnp.asarray(t0, float)
    stepper = bind(problem, method, begin, x0, args)

    @jax.jit
    def run(n: Any) -> PyTree:
        h = (t1 - begin) / n

        def body(i: Any, slots: dict) -> dict:
            at = Moment(i, i * h, begin + i * h, h)
            return method.keep(stepper.attempt(at, slots))

        return jax.lax.fori_loop(0, n, body, stepper.start(begin, x0))["x"]

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


class Given(eqx.Module):
    """A method bound to a problem for many lanes, with the draws of every step given: paths that can be refined.

    draws  name of a draw (`Method.noise`): a pytree with leaves (steps, ..., lanes)
    """

    method: Any
    problem: Any
    draws_of_steps: dict[str, PyTree]
    args: PyTree = None
    lanes: int = eqx.field(static=True, default=1)
    tol: Any = None

    @property
    def L(self) -> Any:
        return self.problem.linear()

    def call(self, k: int, t: Any, x: PyTree, *more: PyTree) -> PyTree:
        return self._lanewise(self.method.fields(self.problem)[k], t, x, *more)

    def slope(self, t: Any, x: PyTree) -> PyTree:
        return self._lanewise(self.problem.field, t, x)

    def _lanewise(self, f: Callable, t: Any, x: PyTree, *more: PyTree) -> PyTree:
        each = lambda t, x, *more: f(t, x, self.args, *more)  # noqa: E731
        return jax.vmap(each, in_axes=(0, *(-1 for _ in (x, *more))), out_axes=-1)(t, x, *more)

    def draws(self, at: Any) -> dict[str, PyTree]:
        return jax.tree.map(lambda leaf: leaf[at.index], self.draws_of_steps)

    def coefficients(self, at: Any, slots: dict[str, PyTree]) -> list[Any]:
        return [like(c, slots["x"]) for c in self.method.coef(self.L, at.t, at.h)]


@eqx.filter_jit
def march(method: Any, problem: Any, x0: PyTree, draws: dict[str, PyTree], h: Any, steps: Any) -> dict[str, PyTree]:
    """The slots of a method after a number of equal steps with given draws, from time 0; one compilation for all grids.

    x0     leaves (..., lanes)
    draws  leaves (at least steps, ..., lanes)
    """
    bound = Given(method, problem, draws)
    lanes = jax.tree.leaves(x0)[0].shape[-1]
    h = jnp.broadcast_to(jnp.asarray(h, time_dtype(x0)), (lanes,))

    def one(i: Array, slots: dict[str, PyTree]) -> dict[str, PyTree]:
        at = Moment(i, i * h, i * h, h)
        return method.keep(method.attempt(bound, at, slots))

    return jax.lax.fori_loop(0, steps, one, method.start(bound, 0.0 * h, x0))


def traces(f: Callable) -> tuple[Callable, Callable[[], int]]:
    """(f that counts how often it is traced, the count): a second compilation is a test failure."""
    count = [0]

    def counting(*args: Any, **kwargs: Any) -> Any:
        count[0] += 1
        return f(*args, **kwargs)

    return counting, lambda: count[0]
