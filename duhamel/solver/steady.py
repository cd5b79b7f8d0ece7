"""The fourth front door: where a solution comes to rest, differentiated by the implicit function theorem."""

from typing import Any, NamedTuple

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
from duhamel.core.switches import own_arithmetic
from duhamel.methods.base import Method, time_dtype
from duhamel.methods.explicit import Tsit5
from duhamel.methods.jacobian import Flat

from . import checks, rest
from .control import PID, squared_norm
from .loop import advance, start
from .save import Save
from .sharding import vary_together
from .stepper import Stepper, bind, initial_step
from .task import RUNNING, State, Task

ROUNDS = 4  # states of rest that a march may pass by


class SteadyState(eqx.Module):
    """x with f(x) = 0.

    status    Status.success, or what went wrong: the march to rest, or Newton's method (not_converged)
    t         how long the march took, in the equation's own time
    residual  root mean square of f at x
    steps     accepted steps of the march
    growth    the largest real part of the Jacobian's eigenvalues at x: below 0, what is near comes back at this rate;
              about 0 where something is conserved. NaN with a `linear_solver`, and above 512 components
    """

    x: PyTree
    status: Array
    t: Array
    residual: Array
    steps: Array
    growth: Array

    @property
    def ok(self) -> Any:
        return self.status == Status.success


@own_arithmetic
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
    2. Polish: Newton's method from there, until rounding. If what is found is unstable, the march goes on from where it
       was: it had only passed by. If it never leaves, as from the unstable state itself, the status is `unstable`.
    3. Derivatives, of any order and in either mode, by the implicit function theorem: a linear solve with the Jacobian,

        dx*/dtheta = -(df/dx)^-1 df/dtheta

    Where the equation conserves linear combinations W^T x (binding, exchange), the Jacobian is singular and x* depends
    on x0: Newton's method and the derivatives keep W^T x = W^T x0.

    problem  as for `solve`; without noise
    x0       where the march begins. It picks the steady state if there are several; the derivative with respect to it
             is 0 unless something is conserved
    method   of the march: Tsit5() unless told; a method for stiff equations where f is stiff
    control  of the march, PID(rtol=1e-6, atol=1e-9) unless told
    horizon  time after which the march is given up with a Status
    linear_solver   of lineax, for Newton's steps and the derivative. Unless told the Jacobian is formed and factorized;
             `lineax.GMRES(rtol=1e-9, atol=1e-9)` never forms it, and wants a regular one: nothing conserved
    """
    problem, x0 = as_problem(problem), checks.state(x0, problem)
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
    found = _steady(problem, x0, t, args, tol, method, pid, end, checks.max_steps(max_steps), linear_solver)
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
        "If the solution oscillates or grows, it has no state of rest to be found so."
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
    linear: lx.AbstractLinearSolver | None,
) -> SteadyState:
    problem = problem.closed(t, x0, args)
    checks.field(problem, t, x0, args)
    theta = (problem, t, args)
    dynamic, static = eqx.partition((theta, x0), eqx.is_array)
    still, begin = eqx.combine(jax.lax.stop_gradient(dynamic), static)
    march = _March(still, begin, tol, method, control, horizon, max_steps)
    if linear is not None:
        return _matrix_free(theta, march, linear)
    flat = Flat(x0, 0)
    state, status, found = _rounds(march, still, flat)
    v = rest.differentiable(jax.lax.stop_gradient(found.v), theta, x0, flat)
    status = jnp.where((status == Status.success) & ~found.ok, Status.not_converged, status)
    status = jnp.where(found.unstable, Status.unstable, status)
    return _result(theta, flat.unravel(v), state, status, found.growth)


def _result(theta: tuple, x: PyTree, state: State, status: Array, growth: Array) -> SteadyState:
    problem, t, args = theta
    f = problem.field(t, x, args)
    ones = jax.tree.map(lambda leaf: jnp.ones((), leaf.real.dtype), f)
    size = jnp.sqrt(squared_norm(f, ones, 0))
    return SteadyState(x, status.astype(jnp.int32), t + state.s, size, state.accepted, growth)


def _rounds(march: "_March", theta: tuple, flat: Flat) -> tuple[State, Array, rest.Polished]:
    """March and polish; from an unstable state of rest the march goes on until it has left it and rests again."""

    def one(carry: tuple) -> tuple:
        state, _, _, k = carry
        state, status = march.until_rest(state, leave=k > 0)
        return state, status, rest.polish(theta, flat, flat.ravel(state.slots["x"])), k + 1

    def passing(carry: tuple) -> Array:
        _, status, found, k = carry
        return (k == 0) | ((k < ROUNDS) & (status == Status.success) & found.unstable)

    state = march.begin()
    v = flat.ravel(state.slots["x"])
    none = rest.Polished(v, jnp.array(False), jnp.full((), jnp.nan, v.dtype), jnp.array(False))
    begun = vary_together((state, jnp.int32(Status.success), none, jnp.int32(0)))
    state, status, found, _ = jax.lax.while_loop(passing, one, begun)
    return state, status, found


def _matrix_free(theta: tuple, march: "_March", linear: lx.AbstractLinearSolver) -> SteadyState:
    state, status = march.until_rest(march.begin(), leave=jnp.array(False))
    near = jax.lax.stop_gradient(state.slots["x"])

    def residual(x: PyTree, theta: tuple) -> PyTree:
        problem, t, args = theta
        return problem.field(t, x, args)

    eps = float(jnp.finfo(march.horizon.dtype).eps)
    newton = optx.Newton(rtol=eps**0.6, atol=eps**0.6, linear_solver=linear)
    implicit = optx.ImplicitAdjoint(linear_solver=linear)
    found = optx.root_find(residual, newton, near, theta, adjoint=implicit, max_steps=rest.STEPS, throw=False)
    polished = (found.result == optx.RESULTS.successful) & _finite(found.value)
    status = jnp.where((status == Status.success) & ~polished, Status.not_converged, status)
    return _result(theta, found.value, state, status, jnp.full((), jnp.nan, march.horizon.dtype))


def _finite(x: PyTree) -> Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(x)]))


class _March(NamedTuple):
    """The equation with its time held fixed, stepped until nothing moves any more."""

    theta: tuple
    x0: PyTree
    tol: tuple[Array, Array]
    method: Method
    control: PID
    horizon: Array
    max_steps: int

    @property
    def task(self) -> Task:
        problem, t, args = self.theta
        frozen = Deterministic(lambda _, x, args: problem.field(t, x, args))
        stepper: Stepper = eqx.tree_at(
            lambda s: (s.args, s.tol),
            bind(frozen, self.method, t, self.x0, args),
            (args, (self.control.rtol, self.control.atol)),
            is_leaf=lambda v: v is None,
        )
        return Task(stepper, t, self.horizon, None, None, None, self.control, Save(), (), None, None, self.max_steps)

    def begin(self) -> State:
        task = self.task
        return start(task, self.x0, initial_step(task.stepper, task.t0, self.x0, self.control, self.horizon))

    def until_rest(self, state: State, leave: Array) -> tuple[State, Array]:
        """leave: the state is at rest, and must have left before its rest counts."""
        task, (rtol, atol) = self.task, jax.lax.stop_gradient(self.tol)

        def at_rest(state: State) -> Array:
            x = state.slots["x"]
            scale = jax.tree.map(lambda leaf: atol + rtol * jnp.abs(leaf), x)
            return squared_norm(task.stepper.slope(task.t0, x), scale, 0) <= 1.0

        def body(carry: tuple[State, Array, Array]) -> tuple[State, Array, Array]:
            state = advance(task, carry[0])[0]
            still = at_rest(state)
            left = carry[2] | ~still
            return state, still & left, left

        go_on = lambda carry: (carry[0].status == RUNNING) & ~carry[1]  # noqa: E731
        state, rests, _ = jax.lax.while_loop(go_on, body, (state, at_rest(state) & ~leave, ~leave))
        late = jnp.where(state.status == Status.success, Status.max_steps_reached, state.status)
        return state, jnp.where(rests, Status.success, late).astype(jnp.int32)
