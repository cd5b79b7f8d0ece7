"""What a solve returns."""

from html import escape
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Int, PyTree

from duhamel.core.status import Status
from duhamel.core.switches import own_arithmetic
from duhamel.methods.base import Moment

from .task import Resume, Task


class SolveError(RuntimeError):
    """A solve that did not succeed, raised when `throw=True`; the sentence says what to do. Nothing computed is lost:
    `.solution` holds it."""

    solution: "Solution"

    def __init__(self, message: str, solution: "Solution"):
        super().__init__(message)
        self.solution = solution


class Stats(eqx.Module):
    """Counts; () or (lanes,) each.

    accepted, rejected  steps
    nfe                 evaluations of the vector field that the steps and the first step size needed (interpolation
                        with methods whose dense output has extra stages adds to it, and so do events)
    jacobians, factorizations   of implicit methods: Jacobians evaluated, matrices factored
    """

    accepted: Int[Array, "..."]
    rejected: Int[Array, "..."]
    nfe: Int[Array, "..."]
    jacobians: Int[Array, "..."]
    factorizations: Int[Array, "..."]


class Events(eqx.Module):
    """What happened on the way, written down for the first `Save(events=...)` events; the last row holds the last one.

    count  how many there were; () or (lanes,)
    t      their times, (rows,) or (lanes, rows); NaN where there was none
    which  the number of each, in the order of `events`; -1 where there was none
    x      the state just before each (before its reset)
    last   the last one's time
    All but count and which are differentiable.
    """

    count: Int[Array, "..."]
    t: Any
    which: Int[Array, "..."]
    x: PyTree
    last: Any


class Solution(eqx.Module):
    """The solution of an initial value problem.

    t       the times of x: t1, the save times, or every step's
    x       the state (or fn of it) at those times: one leading axis for times, unless only t1 was asked for;
            an ensemble's lanes come first
    t1, x1  where the solve ended
    status  0 is success, Status.event a terminating event; `Status(n).message` says the rest. () or (lanes,)
    stats   steps and evaluations
    error   sum over accepted steps of the root mean square of the local error estimate, differentiable; 0 for methods
            without an estimate
    events  what happened, if events were asked for
    stiffness  sum over accepted steps of |h| rho (`Method.stiffness`), with Save(stiffness=True); differentiable
    resume  what `solve(problem, solution, t1)` needs to go on as if the solve had not stopped
    """

    t: Any
    x: PyTree
    t1: Any
    x1: PyTree
    status: Int[Array, "..."]
    stats: Stats
    error: Any
    dense: "DenseOutput | None" = None
    events: Events | None = None
    stiffness: Any = None
    resume: Resume | None = None

    def __call__(self, t: Any) -> PyTree:
        """x(t) at one time between t0 and t1; needs `save=Save(dense=True)`."""
        if self.dense is None:
            raise ValueError("This solution can only be evaluated at its own times; solve with save=Save(dense=True).")
        return self.dense(t)

    def __repr__(self) -> str:
        return "Solution: " + "\n  ".join(f"{name:8s}{text}".rstrip() for name, text in self._lines())

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{name}</th><td>{escape(text)}</td></tr>" for name, text in self._lines())
        return f"<table><caption>Solution</caption>{rows}</table>"

    def _lines(self) -> list[tuple[str, str]]:
        """What a person wants to see."""
        lines = [("status", _status_words(self.status)), ("t", _words(self.t)), ("x", _words(self.x))]
        lines += [("t1", _words(self.t1)), ("x1", _words(self.x1))]
        counts = vars(self.stats).items()
        lines.append(("steps", ", ".join(f"{name} {_count(value)}" for name, value in counts if _told(name, value))))
        if self.events is not None:
            lines.append(("events", f"{_count(self.events.count)}, the last at t = {_words(self.events.last)}"))
        if self.dense is not None:
            lines.append(("dense", "sol(t) gives x at any time between"))
        return lines

    @property
    def ok(self) -> Any:
        return (self.status == Status.success) | (self.status == Status.event)

    def raise_if_failed(self, hint: str = "") -> None:
        """Raise SolveError if any lane failed. Nothing happens inside `jit`, where the status is not known yet.

        hint  what else to say
        """
        if isinstance(self.status, Tracer):
            return
        status = np.atleast_1d(np.asarray(self.status))
        failed = np.flatnonzero((status != Status.success) & (status != Status.event))
        if failed.size == 0:
            return
        first = Status(int(status[failed[0]]))
        t1 = float(np.broadcast_to(np.asarray(self.t1), status.shape)[failed[0]])
        where = (
            "" if np.ndim(self.status) == 0 else f" in {failed.size} of {status.size} lanes, first in lane {failed[0]},"
        )
        raise SolveError(f"The solve stopped{where} at t = {t1:.6g}: {first.name}. {first.message}{hint}", self)


def _status_words(status: Any) -> str:
    if not isinstance(status, jax.Array | np.ndarray) or isinstance(status, Tracer):
        return "known when it has run"
    found, lanes = np.unique(np.asarray(status), return_counts=True)
    if np.ndim(status) == 0:
        return Status(int(found[0])).name
    return ", ".join(f"{Status(int(s)).name} in {n} of {status.size} lanes" for s, n in zip(found, lanes, strict=True))


def _words(tree: PyTree) -> str:
    """A pytree of arrays: small ones by value, others by type, shape and range."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{name}: {_words(part)}" for name, part in tree.items()) + "}"
    if isinstance(tree, tuple | list):
        return "(" + ", ".join(_words(part) for part in tree) + ")"
    if not isinstance(tree, jax.Array | np.ndarray):
        return str(tree)
    kind = f"{tree.dtype.name}{list(tree.shape)}"
    elsewhere = isinstance(tree, jax.Array) and not isinstance(tree, Tracer) and not tree.is_fully_addressable
    if isinstance(tree, Tracer) or tree.size == 0 or elsewhere:
        return kind
    host = np.asarray(tree)
    if host.size <= 4:
        return np.array2string(host, precision=6, separator=", ").replace("\n", "")
    return kind if np.iscomplexobj(host) else f"{kind} from {np.min(host):.6g} to {np.max(host):.6g}"


def _count(value: Any) -> str:
    if isinstance(value, Tracer) or not isinstance(value, jax.Array | np.ndarray):
        return "?"
    host = np.asarray(value)
    return str(int(host)) if host.ndim == 0 else f"{host.min()} to {host.max()}" if host.size else "0"


def _told(name: str, value: Any) -> bool:
    """Counts of Jacobians are told where there are any."""
    known = isinstance(value, jax.Array | np.ndarray) and not isinstance(value, Tracer)
    return name in ("accepted", "rejected", "nfe") or (known and bool(np.any(np.asarray(value))))


class DenseOutput(eqx.Module):
    """Continuous output: the steps' times and what each began with; the step that holds t is taken again.

    ends  where each step ended, if that is not where the next one began: just before a discontinuity
    """

    task: Task
    t: Any
    ends: Any
    slots: PyTree
    accepted: Any

    @own_arithmetic
    def __call__(self, t: Any) -> PyTree:
        t = jnp.asarray(t, self.t.dtype)
        first, last = self.t[0], self.t[self.accepted]
        slack = 8 * jnp.finfo(t.dtype).eps * jnp.maximum(jnp.abs(first), jnp.abs(last))
        outside = (t < jnp.minimum(first, last) - slack) | (t > jnp.maximum(first, last) + slack)
        if not isinstance(outside, Tracer) and outside.any():
            raise ValueError(
                f"t = {float(t[outside][0] if t.ndim else t):g} lies outside of the solution, which runs from "
                f"{float(first):g} to {float(last):g}; solve further, and go on from a solution by solve(f, sol, t1)."
            )
        x = jax.vmap(self._one)(t) if t.ndim == 1 else self._one(t)
        nowhere = lambda leaf: jnp.where(outside.reshape(outside.shape + (1,) * (leaf.ndim - t.ndim)), jnp.nan, leaf)  # noqa: E731
        return jax.tree.map(nowhere, x)

    def __deepcopy__(self, memo: Any) -> "DenseOutput":
        return self  # it cannot be changed

    def __reduce__(self) -> Any:
        raise TypeError(
            "dense output holds compiled functions and cannot be pickled: pickle sol(ts), or a solution that was saved "
            "at times or with Save(steps=True)."
        )

    def _one(self, t: Array) -> PyTree:
        stepper = self.task.stepper
        sign = jnp.sign(self.task.span)
        # Unused rows repeat the last time, so a search over all rows never lands in them.
        j = jnp.clip(jnp.searchsorted(self.t * sign, t * sign, side="right") - 1, 0, jnp.maximum(self.accepted - 1, 0))
        begin = self.t[j]
        h = (self.t if self.ends is None else self.ends)[j + 1] - begin
        slots = jax.tree.map(lambda rows: rows[j], self.slots)
        at = Moment(j, begin - self.task.t0, begin, h)
        env = stepper.attempt(at, stepper.start(begin, slots["x"]) | slots)
        theta = (t - begin) / jnp.where(h == 0, 1.0, h)
        return stepper.value(at, theta, stepper.inside(at, env))
