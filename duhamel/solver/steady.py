"""The fourth front door: where a solution comes to rest, differentiated by the implicit function theorem."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optimistix as optx
from jax.core import Tracer
from jaxtyping import Array, PyTree

from duhamel.core.problem import Deterministic, Problem, SeparableProblem, SplitProblem, as_problem
from duhamel.core.status import Status
from duhamel.methods.base import Method, time_dtype
from duhamel.methods.explicit import Tsit5

from . import checks
from .control import PID, squared_norm
from .loop import advance, start
from .save import Save
from .stepper import Stepper, bind, initial_step
from .task import RUNNING, State, Task

NEWTON_STEPS = 20


class SteadyState(eqx.Module):
    """x with f(x) = 0.

    status    Status.success, or what went wrong: the march to rest, or Newton's method (not_converged)
    t         how long the march took, in the equation's own time
    residual  root mean square of f at x
    steps     accepted steps of the march
    """

    x: PyTree
    status: Array
    t: Array
    residual: Array
    steps: Array

    @property
    def ok(self) -> Any:
        return self.status == Status.success


def steady_state(
    problem: Any,
    x0: PyTree,
    *,
    t: Any = 0.0,
    args: PyTree = None,
    rtol: float = 1e-6,
    atol: float = 1e-6,
    method: Method | None = None,
    control: PID | None = None,
    horizon: float = 1e8,
    max_steps: int = 4096,
    linear_solver: lx.AbstractLinearSolver | None = None,
    throw: bool = True,
) -> SteadyState:
    """The stable state x* with f(t, x*, args) = 0 that the solution from x0 runs into.

        rest = steady_state(lambda t, x, k: k - x**3, 1.0, args=8.0)         # rest.x: 2.0

    1. March: solve dx/dt = f with t held fixed until the root mean square of f / (atol + rtol |x|) is below 1.
    2. Polish: Newton's method from there, until rounding.
    3. Derivatives, of any order and in either mode, by the implicit function theorem: a linear solve with the Jacobian,

        dx*/dtheta = -(df/dx)^-1 df/dtheta

    problem  as for `solve`; without noise
    x0       where the march begins. It picks the steady state if there are several; the derivative with respect to it
             is 0
    method   of the march: Tsit5() unless told; a method for stiff equations where f is stiff
    control  of the march, PID(rtol=1e-6, atol=1e-9) unless told
    horizon  time after which the march is given up with a Status
    linear_solver   of lineax, for Newton's steps and the derivative. Unless told the Jacobian is formed and factorized;
             `lineax.GMRES(rtol=1e-9, atol=1e-9)` never forms it

    The Jacobian at x* must be regular. It is not where the equation conserves something, as x* then depends on x0:
    eliminate a component with the conserved quantity, or differentiate `solve` to a late time.
    """
    problem, x0 = as_problem(problem), checks.state(x0)
    if not isinstance(problem, Deterministic | SplitProblem | SeparableProblem):
        raise ValueError(
            f"steady_state needs an equation dx/dt = f(x), got {type(problem).__name__}: one with noise never comes to "
            "rest."
        )
    if not (rtol >= 0 and atol >= 0 and rtol + atol > 0):
        raise ValueError(f"rtol and atol must not be negative and not both zero, got rtol={rtol:g}, atol={atol:g}.")
    dtype = time_dtype(x0)
    method = Tsit5() if method is None else method
    pid = checks.control(PID() if control is None else control, method, dtype)
    if not isinstance(pid, PID):
        raise ValueError("steady_state chooses its steps: control must be PID(rtol, atol).")
    args = checks.arguments(args, dtype)
    t = jnp.asarray(t, dtype)
    tol = jnp.asarray(rtol, dtype), jnp.asarray(atol, dtype)
    end = jnp.asarray(horizon, dtype)
    linear = lx.AutoLinearSolver(well_posed=True) if linear_solver is None else linear_solver
    found = _steady(problem, x0, t, args, tol, method, pid, end, checks.max_steps(max_steps), linear)
    if throw and not isinstance(found.status, Tracer):
        _raise_if_failed(found)
    return found


def _raise_if_failed(found: SteadyState) -> None:
    status = np.atleast_1d(np.asarray(found.status))
    if np.all(status == Status.success):
        return
    first = Status(int(status[status != Status.success][0]))
    raise RuntimeError(
        f"No steady state was found after time {float(np.max(np.asarray(found.t))):.6g}: {first.name}. {first.message} "
        "If the solution oscillates, grows or conserves something, it has no state of rest to be found so."
    )


@eqx.filter_jit
def _steady(
    problem: Problem,
    x0: PyTree,
    t: Array,
    args: PyTree,
    tol: tuple[Array, Array],
    method: Method,
    control: PID,
    horizon: Array,
    max_steps: int,
    linear: lx.AbstractLinearSolver,
) -> SteadyState:
    checks.field(problem, t, x0, args)
    problem = problem.closed(t, x0, args)
    dynamic, static = eqx.partition((problem, t, args), eqx.is_array)
    state, status = _march(
        eqx.combine(jax.lax.stop_gradient(dynamic), static), x0, tol, method, control, horizon, max_steps
    )
    near = jax.lax.stop_gradient(state.slots["x"])

    def residual(x: PyTree, theta: tuple) -> PyTree:
        problem, t, args = theta
        return problem.field(t, x, args)

    eps = float(jnp.finfo(time_dtype(x0)).eps)
    newton = optx.Newton(rtol=eps**0.6, atol=eps**0.6, linear_solver=linear)
    implicit = optx.ImplicitAdjoint(linear_solver=linear)
    theta = (problem, t, args)
    found = optx.root_find(residual, newton, near, theta, adjoint=implicit, max_steps=NEWTON_STEPS, throw=False)
    x = found.value
    f = residual(x, theta)
    ones = jax.tree.map(lambda leaf: jnp.ones((), leaf.real.dtype), f)
    polished = (found.result == optx.RESULTS.successful) & _finite(x)
    status = jnp.where((status == Status.success) & ~polished, Status.not_converged, status).astype(jnp.int32)
    return SteadyState(x, status, t + state.s, jnp.sqrt(squared_norm(f, ones, 0)), state.accepted)


def _finite(x: PyTree) -> Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(x)]))


def _march(
    theta: tuple, x0: PyTree, tol: tuple[Array, Array], method: Method, control: PID, horizon: Array, max_steps: int
) -> tuple[State, Array]:
    """Step until nothing moves any more."""
    problem, t, args = theta
    x0, tol, horizon = jax.lax.stop_gradient((x0, tol, horizon))
    frozen = Deterministic(lambda _, x, args: problem.field(t, x, args))
    stepper: Stepper = eqx.tree_at(
        lambda s: (s.args, s.tol),
        bind(frozen, method, t, x0, args),
        (args, (control.rtol, control.atol)),
        is_leaf=lambda v: v is None,
    )
    task = Task(stepper, t, horizon, None, None, None, control, Save(), (), None, None, max_steps)
    state = start(task, x0, initial_step(stepper, t, x0, control, horizon))
    rtol, atol = tol

    def at_rest(state: State) -> Array:
        x = state.slots["x"]
        scale = jax.tree.map(lambda leaf: atol + rtol * jnp.abs(leaf), x)
        return squared_norm(stepper.slope(t, x), scale, 0) <= 1.0

    def body(carry: tuple[State, Array]) -> tuple[State, Array]:
        state = advance(task, carry[0])[0]
        return state, at_rest(state)

    go_on = lambda carry: (carry[0].status == RUNNING) & ~carry[1]  # noqa: E731
    state, rest = jax.lax.while_loop(go_on, body, (state, at_rest(state)))
    late = jnp.where(state.status == Status.success, Status.max_steps_reached, state.status)
    return state, jnp.where(rest, Status.success, late).astype(jnp.int32)
