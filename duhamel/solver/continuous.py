"""What the adjoints that solve an equation backwards begin and end with."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from duhamel.core.problem import LangevinProblem, MassProblem, Problem, Stochastic
from duhamel.core.status import Status
from duhamel.methods.base import Method

from .backwards import ORDINARY, Backward, Plan, Walk, gauss_rule, method_for, pairing
from .control import CFL
from .cotangents import add, dense, folded, nothing, parted, times_perturbed
from .row_back import Cotangents
from .tape import assemble
from .task import State, Task, begin_of


class Work(NamedTuple):
    """Everything a walk back needs, and the cotangent of the end to begin it with."""

    back: Backward
    plan: Plan
    first: dict
    end: State
    late: Array
    times: bool


def refuse_noise(name: str, problem: Problem, method: Method) -> None:
    if isinstance(problem, Stochastic | LangevinProblem) or method.noise:
        raise ValueError(
            f"{name} solves an ordinary equation backwards and this one has noise: use adjoint=Tape(), or "
            "ReversibleAdjoint() with a method that has an inverse, such as ReversibleHeun()."
        )
    if isinstance(problem, MassProblem):
        raise ValueError(f"{name} does not solve equations with a mass matrix backwards: use adjoint=Tape().")


def prepared(how: Any, task: Task, end: State, grad: State, wanted: Task, name: str, seminorm: bool) -> Work:
    """`how` has the method and control of the backward solve."""
    if not nothing(grad.sums):
        raise NotImplementedError(
            f"{name} differentiates the solution, not the steps that found it, so sol.error and its like have no "
            "gradient there: use adjoint=Tape()."
        )
    if not seminorm and task.stepper.lanes:
        raise NotImplementedError(
            f"in an ensemble {name} keeps one cotangent of the shared weights, which no lane's error norm can contain: "
            'leave seminorm=True (or quadrature="gauss").'
        )
    times = times_perturbed(wanted)
    control = task.control if how.control is None else how.control
    if isinstance(control, CFL):
        raise NotImplementedError(f"{name} chooses steps by an error estimate, and CFL has none: use adjoint=Tape().")
    method = method_for(how.method, task.stepper.method, control)
    theta, rest = parted(task, wanted)
    tol = None if control is None else (control.rtol, control.atol)
    back = Backward(ORDINARY, task, method, tol, None, theta, rest, task.stepper.lanes)
    a = dense(grad.slots["x"], end.slots["x"])
    first = {"a": a}
    if not seminorm:
        first["theta"] = jax.tree.map(jnp.zeros_like, theta)
    at, saves, states, rows = _saved(task, end, grad)
    if times and grad.saves[1] is not None and not nothing(grad.saves[1]):
        raise NotImplementedError(
            "Derivatives with respect to t0 and t1 are not defined for Save(steps=True), whose times the controller "
            "chooses; save at given times instead."
        )
    more = 0 if at is None else at.shape[0]
    plan = Plan(
        control=control,
        edges=None,
        rows=None,
        order=None,
        gauss=gauss_rule(method) if seminorm else None,
        times=at,
        saves=saves,
        states=states,
        saved=rows,
        wants_ts=times and task.ts is not None,
        begin=begin_of(task),
        max_steps=4 * task.max_steps + more,
    )
    late = pairing(back, end.s, end.slots["x"], a) if times else jnp.zeros_like(end.s)
    return Work(back, plan, first, end, late, times)


def _saved(task: Task, end: State, grad: State) -> tuple[Any, PyTree, PyTree, Array]:
    """(times since t0, cotangents of the rows, the rows themselves if they are states, how many were written)."""
    states = lambda rows: rows if task.save.fn is None else None  # noqa: E731
    if not nothing(grad.saves[1]):
        times = end.saves[2] - task.t0
        index = jnp.arange(times.shape[0]).reshape(-1, *(1,) * end.s.ndim)
        times = jnp.where(index == 0, begin_of(task), jnp.where(index == end.accepted, end.s, times))  # exactly
        return times, folded(grad.saves[1], end.accepted), states(end.saves[1]), end.accepted + 1
    if not nothing(grad.saves[0]):
        return task.ts, grad.saves[0], states(end.saves[0]), end.saved
    return None, None, None, jnp.zeros_like(end.accepted)


def finished(work: Work, walk: Walk, x0: PyTree, missed: Any) -> tuple[Task, PyTree]:
    """Cotangents of (task, x0). A walk that failed gives NaN."""
    back, task = work.back, work.back.task
    y = walk.slots["x"]
    a, theta = y["a"], walk.theta
    if "theta" in y:
        theta = add(theta, y["theta"])
    failed = (walk.status != Status.success) | missed
    spoil = lambda where, tree: jax.tree.map(lambda v: jnp.where(where, jnp.nan, v).astype(v.dtype), tree)  # noqa: E731
    a, theta = spoil(failed, a), spoil(jnp.any(failed), theta)
    zero = jnp.zeros_like(work.end.s)
    early = pairing(back, work.plan.begin, x0, a) if work.times else zero
    theta = eqx.combine(theta, jax.tree.map(jnp.zeros_like, eqx.filter(back.rest, eqx.is_inexact_array)))
    none = work.end.saved
    cot = Cotangents({"x": a}, theta, walk.ts, None, none, none, None)
    return assemble(task, cot, early, work.late), a
