"""The continuous adjoint, solved backwards: what `Backsolve` and `Interpolating` share.

    da/ds = -(df/dx)^T a                               backwards from the end; a jumps where a value was saved
    theta_bar = int_{t0}^{t1} (df/dtheta)^T a dt

The integral is no part of the state: after each accepted step it is a Gauss-Legendre sum over the step's own dense
output. So it never shortens a step (the seminorm of Kidger, Chen, Lyons, "Hey, that's not an ODE", ICML 2021), and all
lanes and nodes add to one array with one matrix product. If the state has a "theta", it is part of the state instead.

Every lane has its own step, its own next save time and its own row of the tape; time is measured from t0.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from duhamel.core.linear import Linear, Zero
from duhamel.core.problem import ODE
from duhamel.core.quadrature import gauss_legendre
from duhamel.core.status import Status
from duhamel.methods.base import Env, Method, Moment, RowMethod, Slots, like
from duhamel.methods.explicit import Tsit5

from .control import PID, error_scale, growth, log_squared, squared_norm
from .cotangents import add, dense, where_or_zero, with_times
from .record import Rows
from .save import read, select
from .stepper import Stepper
from .task import RUNNING, State, Task, output

ORDINARY = ODE(lambda t, x, args: x)  # the kind of equation that the adjoint is, for methods that ask


class Track(NamedTuple):
    """One step of the forward solution per lane, for its dense output."""

    at: Moment
    basis: Env


class Backward(eqx.Module):
    """`methods.base.Bound` of the adjoint equation; its time is s = t - t0.

    The state is {"a": cotangent}, with "x" where the solution is reconstructed rather than looked up in `track`, and
    "theta" where the integral is part of it (`theta`, `rest`: what the stepper's task was parted into).
    """

    problem: Any
    task: Task
    method: Method
    tol: Any
    track: Track | None
    theta: PyTree
    rest: PyTree
    lanes: int = eqx.field(static=True)
    args: Any = None

    @property
    def L(self) -> Linear:
        return Zero()

    @property
    def stepper(self) -> Stepper:
        return self.task.stepper

    def call(self, k: int, t: Any, x: Any, *more: Any) -> Any:
        del k, more
        return self.slope(t, x)

    def slope(self, t: Any, x: Any) -> Any:
        time, y = self.task.t0 + t, x
        x = self.solution(t, y)
        f, pull = jax.vjp(lambda x: self.stepper.slope(time, x), x)
        rate = {"a": jax.tree.map(jnp.negative, pull(y["a"])[0])}
        if "x" in y:
            rate["x"] = f
        if "theta" in y:
            _, pull = jax.vjp(lambda theta: with_times(self.task, theta, self.rest).stepper.slope(time, x), self.theta)
            rate["theta"] = jax.tree.map(jnp.negative, pull(y["a"])[0])
        return rate

    def solution(self, s: Any, y: Any) -> PyTree:
        """x(t0 + s)."""
        if self.track is None:
            return y["x"]
        at = self.track.at
        part = (s - at.s) / jnp.where(at.h == 0, 1.0, at.h)
        return self.stepper.interpolate(at, part, self.track.basis)

    def draws(self, at: Moment) -> Env:
        del at
        return {}

    def coefficients(self, at: Moment, slots: Slots) -> list[Any]:
        assert isinstance(self.method, RowMethod)
        return [like(c, slots["x"]) for c in self.method.coef(self.L, at.t, at.h)]


class Plan(NamedTuple):
    """What the walk back needs to know and never changes.

    control   None: a step goes from one edge to the next
    edges     lower ends of the forward steps, (rows, ...), or None: steps are stopped by save times only
    rows      the tape (with `order`, the rows of each lane that moved), or None: x is part of the state
    gauss     nodes and weights on [0, 1], or None: the integral is part of the state
    times     save times, or every step's, since t0, (n,) or (n, lanes); None: nothing was saved but the end
    saves     cotangents of what was saved at `times`
    states    the states saved at `times`, if they were states
    saved     how many rows of `times` were written
    wants_ts  whether the save times want a cotangent
    begin     where the forward solve began, since t0
    """

    control: PID | None
    edges: Any
    rows: Rows | None
    order: Any
    gauss: Any
    times: Any
    saves: PyTree
    states: PyTree
    saved: Array
    wants_ts: bool
    begin: Array
    max_steps: int


class Walk(NamedTuple):
    """Between two attempts on the way back; like `loop.State`.

    k      save times still to come
    m      row, or edge, that the next step ends at or above
    theta  the integral so far (and what the functions of saved values added)
    """

    s: Array
    h: Array
    slots: Slots
    before: tuple[Array, ...]
    rejected: Array
    status: Array
    tried: Array
    k: Array
    m: Array
    theta: PyTree
    ts: Any


def method_for(method: Method | None, forward: Method, control: PID | None) -> Method:
    """The method of the adjoint equation: the forward one where it solves any ODE, else Tsit5."""
    if method is not None:
        method.fields(ORDINARY)
        if method.error_order is None and control is not None:
            raise ValueError(
                f"the adjoint's method {type(method).__name__} has no error estimate, so it cannot choose its steps: "
                "use one with an embedded estimate such as Tsit5(), or solve with control=Fixed(steps)."
            )
        return method
    try:
        forward.fields(ORDINARY)
    except (TypeError, ValueError):
        return Tsit5()
    plain = isinstance(forward, RowMethod) and not forward.carried and not forward.noise
    return forward if plain and (control is None or forward.error_order is not None) else Tsit5()


def gauss_rule(method: Method) -> tuple[Any, Any]:
    """Nodes enough not to lower the method's order."""
    return gauss_legendre((method.order + 1) // 2 + 1)


def walk_back(back: Backward, plan: Plan, first: dict, end: State) -> Walk:
    """From the end, with its cotangent in first["a"], to t0."""
    task, s = back.task, end.s
    none = jnp.zeros_like(end.accepted)
    m = none if plan.edges is None else jnp.maximum(end.accepted - 1, 0)
    begin = Walk(
        s=s,
        h=_first_step(plan, end),
        slots=back.method.start(_on_track(back, plan, m), s, first),
        before=tuple(jnp.zeros_like(s) for _ in range(_memory(plan.control))),
        rejected=jnp.zeros(s.shape, bool),
        status=jnp.where((s == plan.begin) & (plan.saved == 0), Status.success, RUNNING).astype(jnp.int32),
        tried=none,
        k=plan.saved,
        m=m,
        theta=jax.tree.map(jnp.zeros_like, back.theta),
        ts=None if task.ts is None else jnp.zeros_like(task.ts),
    )
    body = lambda walk: _advance(back, plan, _jumped(back, plan, walk))  # noqa: E731
    return jax.lax.while_loop(lambda walk: jnp.any(walk.status == RUNNING), body, begin)


def _first_step(plan: Plan, end: State) -> Array:
    """The forward solve's last choice, if it made one."""
    if plan.control is None:
        return jnp.zeros_like(end.s)
    usable, way = jnp.isfinite(end.h) & (end.h != 0), end.s - plan.begin
    return -jnp.sign(way) * jnp.minimum(jnp.abs(jnp.where(usable, end.h, 0.01 * way)), jnp.abs(way))


def _memory(control: PID | None) -> int:
    return 0 if control is None else (2 if control.d else 1 if control.p else 0)


def _on_track(back: Backward, plan: Plan, m: Array) -> Backward:
    """With the dense output of the forward step that each lane is in."""
    if plan.rows is None:
        return back
    stepper, j = back.stepper, read(plan.order, m)
    s, h = read(plan.rows.s, j), read(plan.rows.h, j)
    slots = read(plan.rows.slots, j)
    at = Moment(j if s.ndim == 0 else jnp.max(j), s, back.task.t0 + s, h)
    env = stepper.attempt(at, stepper.start(at.t, slots["x"]) | slots)
    basis = stepper.densify(at, env)
    return eqx.tree_at(lambda b: b.track, back, Track(at, basis), is_leaf=lambda v: v is None)


def _next_save(plan: Plan, k: Array) -> Array:
    index = jnp.maximum(k - 1, 0)
    return plan.times[index] if plan.times.ndim == 1 else read(plan.times, index)


def _jumped(back: Backward, plan: Plan, walk: Walk) -> Walk:
    """a after the values saved at this very time."""
    if plan.times is None:
        return walk
    here = (walk.status == RUNNING) & (walk.k > 0) & (_next_save(plan, walk.k) == walk.s)
    walk = jax.lax.cond(jnp.any(here), lambda w: _jump(back, plan, w, here), lambda w: w, walk)
    over = (walk.s == plan.begin) & (walk.k == 0) & (walk.status == RUNNING)
    return walk._replace(status=jnp.where(over, Status.success, walk.status).astype(jnp.int32))


def _jump(back: Backward, plan: Plan, walk: Walk, here: Array) -> Walk:
    task, index = back.task, jnp.maximum(walk.k - 1, 0)
    bound = _on_track(back, plan, walk.m)
    y = walk.slots["x"]
    x = bound.solution(walk.s, y)
    if plan.states is not None:
        x = select(here, read(plan.states, index), x)

    def value(x: PyTree, theta: PyTree, s: Array) -> PyTree:
        full = with_times(task, theta, back.rest)
        return output(full, task.t0 + s, x)

    saved, pull = jax.vjp(value, x, back.theta, walk.s)
    x_bar, theta_bar, s_bar = pull(where_or_zero(here, dense(read(plan.saves, index), saved)))
    y = y | {"a": add(y["a"], x_bar)}
    if "x" in y:
        y["x"] = x
    ts = walk.ts
    if plan.wants_ts:
        ts = ts.at[index].add(jnp.where(here, s_bar + pairing(bound, walk.s, x, x_bar), 0.0))
    slots = select(here, bound.method.start(bound, walk.s, y), walk.slots)
    return walk._replace(slots=slots, theta=add(walk.theta, theta_bar), ts=ts, k=walk.k - here)


def pairing(back: Backward, s: Array, x: PyTree, x_bar: PyTree) -> Array:
    """<x_bar, dx/dt> in each lane."""
    slope = back.stepper.slope(back.task.t0 + s, x)
    total = jnp.zeros_like(s)
    for a, b in zip(jax.tree.leaves(x_bar), jax.tree.leaves(slope), strict=True):
        total = total + jnp.sum((a * b).real, axis=tuple(range(a.ndim - back.lanes))).astype(s.dtype)
    return total


def _advance(back: Backward, plan: Plan, walk: Walk) -> Walk:
    """One attempt in every running lane."""
    running = walk.status == RUNNING
    bound, method = _on_track(back, plan, walk.m), back.method
    target, edge = _target(plan, walk)
    h, last = _step_size(plan, walk, target, running)
    at = Moment(walk.tried if walk.tried.ndim == 0 else jnp.max(walk.tried), walk.s, walk.s, h)
    env = method.attempt(bound, at, walk.slots)
    log_square, accept, h_next = _judge(bound, plan, walk, env, h, last)
    move = running & accept
    s = jnp.where(last, target, walk.s + h)
    theta = walk.theta
    if plan.gauss is not None:
        theta = _integrate(bound, plan, theta, at, env, walk.slots["x"], move)
    tried = walk.tried + running
    s_new, m = jnp.where(move, s, walk.s), walk.m
    if plan.edges is not None:
        lower = move & (s == edge) & (m > 0)
        m = m - lower
        if plan.rows is not None:  # the step below may end a little earlier, before a discontinuity
            j = read(plan.order, m)
            s_new = jnp.where(lower, read(plan.rows.s, j) + read(plan.rows.h, j), s_new)
    slots = method.keep(env)
    return Walk(
        s=s_new,
        h=jnp.where(running, h_next, walk.h),
        slots=select(move, slots, walk.slots),
        before=select(move, (log_square, *walk.before)[: len(walk.before)], walk.before),
        rejected=jnp.where(running, ~accept, walk.rejected),
        status=_status(plan, walk, move & (s == plan.begin) & (walk.k == 0), accept, h_next, tried, log_square),
        tried=tried,
        k=walk.k,
        m=m,
        theta=theta,
        ts=walk.ts,
    )


def _target(plan: Plan, walk: Walk) -> tuple[Array, Any]:
    """(where the next step must end at the latest, the edge below)."""
    target, edge = plan.begin, None
    away = jnp.sign(walk.s - plan.begin)  # the forward direction
    if plan.times is not None:
        target = jnp.where(walk.k > 0, _next_save(plan, walk.k), target)
    if plan.edges is not None:
        edge = plan.edges[walk.m] if plan.edges.ndim == 1 else read(plan.edges, walk.m)
        target = jnp.where(away * edge > away * target, edge, target)
    return target, edge


def _step_size(plan: Plan, walk: Walk, target: Array, running: Array) -> tuple[Array, Array]:
    """A lane that is done attempts a step of no length, so that its numbers stay finite."""
    rest = target - walk.s
    if plan.control is None:
        return jnp.where(running, rest, 0.0), running
    last = jnp.abs(walk.h) * 1.001 >= jnp.abs(rest)
    return jnp.where(running, jnp.where(last, rest, walk.h), 0.0), last


def _judge(bound: Backward, plan: Plan, walk: Walk, env: Env, h: Array, last: Array) -> tuple[Array, Array, Array]:
    """(log of the squared error norm over x and a, accepted, next step)."""
    control, method = plan.control, bound.method
    failed = env.get("failed")
    if control is None:
        return jnp.zeros_like(h), jnp.ones(h.shape, bool) if failed is None else ~failed, h
    scale = error_scale(control, walk.slots["x"], env["x1"])
    square = squared_norm(env["error"], scale, bound.lanes).astype(h.dtype)
    accept = square <= 1.0
    k = env["k"] if "k" in env else (method.error_order or method.order) + 1
    log_square = log_squared(square)
    factor = growth(control, k, log_square, walk.before, accept, walk.rejected)
    if failed is not None:
        accept, factor = accept & ~failed, jnp.where(failed, control.shrink, factor)
    h_next = h * factor
    # A step cut short by a save time says nothing against longer ones.
    h_next = jnp.where(accept & last & (jnp.abs(h_next) < jnp.abs(walk.h)), walk.h, h_next)
    return log_square, accept, h_next


def _status(
    plan: Plan, walk: Walk, done: Array, accept: Array, h_next: Array, tried: Array, log_square: Array
) -> Array:
    eps = jnp.finfo(walk.s.dtype).eps
    stuck = ~accept & (jnp.abs(h_next) < 2 * eps * jnp.abs(walk.s))
    if plan.control is None:
        stuck = ~accept
    status = jnp.where(tried >= plan.max_steps, Status.max_steps_reached, RUNNING)
    status = jnp.where(stuck, jnp.where(jnp.isfinite(log_square), Status.step_too_small, Status.nonfinite), status)
    status = jnp.where(done, Status.success, status)
    return jnp.where(walk.status == RUNNING, status, walk.status).astype(jnp.int32)


def _integrate(bound: Backward, plan: Plan, theta: PyTree, at: Moment, env: Env, y: dict, move: Array) -> PyTree:
    """theta_bar + int (df/dtheta)^T a over the step, for the lanes that moved."""
    if not jax.tree.leaves(theta):
        return theta
    nodes, weights = (jnp.asarray(v, at.h.dtype) for v in plan.gauss)
    basis = bound.method.densify(bound, at, env)

    def node(c: Array, w: Array) -> tuple[Array, PyTree, PyTree]:
        inside = select(move, bound.method.interpolate(bound, at, jnp.where(move, c, 0.0), basis), y)
        s = at.s + jnp.where(move, c * at.h, 0.0)
        weight = jnp.where(move, -w * at.h, 0.0)  # h points backwards
        a = jax.tree.map(lambda leaf: (weight * leaf).astype(leaf.dtype), inside["a"])
        return s, select(move, bound.solution(s, inside), bound.solution(at.s, y)), a

    s, x, a = jax.vmap(node)(nodes, weights)

    def slopes(theta: PyTree) -> PyTree:
        stepper = with_times(bound.task, theta, bound.rest).stepper
        return jax.vmap(lambda s, x: stepper.slope(bound.task.t0 + s, x))(s, x)

    _, pull = jax.vjp(slopes, bound.theta)
    return add(theta, pull(a)[0])
