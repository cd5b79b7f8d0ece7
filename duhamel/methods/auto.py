"""Two methods in one: an explicit one where it is stable, a stiff one where it would not be.

After every accepted step |h| rho is compared with `limit`, the length of the explicit method's stability interval; rho
is an estimate of the Jacobian's largest eigenvalue (`Method.stiffness`). `patience` stiff steps in a row by the
explicit method hand over to the stiff one, `return_after` harmless ones in a row hand back: the rules of SciML's
AutoSwitch. At tight tolerances the explicit method's error, not its stability, may hold the step: then it stays.
Each lane has a method of its own; an attempt computes both only while lanes disagree.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from duhamel.core.problem import Problem

from .base import Bound, Env, Method, Moment, Slots
from .explicit import ExplicitRK, Tsit5
from .fits import refuse
from .rosenbrock import Rodas5P, Rosenbrock


class Auto(Method):
    """Switches between an explicit method and a Rosenbrock method as the equation becomes stiff and ceases to be.

        dh.solve(f, x0, t1, method=dh.Auto())

    explicit      a pair with an error estimate: Tsit5(), Bosh3(), Verner7(), ...
    stiff         Rodas5P(), Rodas4() or Ros23()
    limit         |h| rho at which `explicit` becomes unstable; about 3.3 for Tsit5() and Dopri5()
    patience      stiff steps in a row before the stiff method takes over
    return_after  steps in a row, harmless to the explicit method, before it is tried again
    """

    explicit: ExplicitRK = dataclasses.field(default_factory=Tsit5)
    stiff: Rosenbrock = dataclasses.field(default_factory=Rodas5P)
    limit: float = eqx.field(static=True, default=3.0)
    patience: int = eqx.field(static=True, default=10)
    return_after: int = eqx.field(static=True, default=3)

    def __check_init__(self) -> None:
        if self.explicit.error_order is None:
            name = self.explicit.tableau.name
            raise ValueError(f"explicit of Auto must estimate its error, {name} does not; use Tsit5() or Bosh3().")

    def fields(self, problem: Problem) -> tuple[Callable, ...]:
        if getattr(problem, "mass", None) is not None:
            refuse("Auto, one half of which is explicit,", problem)
        self.stiff.fields(problem)
        return self.explicit.fields(problem)

    @property
    def order(self) -> int:
        return min(self.explicit.order, self.stiff.order)

    @property
    def error_order(self) -> int | None:
        return min(int(self.explicit.error_order or 0), self.stiff.tableau.error_order)

    @property
    def dense_order(self) -> int:
        return min(3, self.order)

    @property
    def carried(self) -> tuple[str, ...]:
        return ("mode", "streak")

    @property
    def started(self) -> int:
        return 1

    def start(self, bound: Bound, t: Any, x: Any) -> Slots:
        """mode: 1 where the stiff method is at work; streak: steps in a row that spoke for the other one."""
        self.stiff.start(_as(bound, self.stiff), t, x)
        none = jnp.zeros(jnp.shape(t), jnp.int32)
        return {"x": x, "F": bound.slope(t, x), "mode": none, "streak": none}

    def attempt(self, bound: Bound, at: Moment, slots: Slots) -> Env:
        stiff = slots["mode"] == 1
        # A lane that the other method serves takes a step of length 0 there: nothing overflows, derivatives included.
        idle = jax.eval_shape(lambda: self._half(self.explicit, bound, at, slots))
        blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), idle)
        run = lambda method, mine: jax.lax.cond(  # noqa: E731
            jnp.any(mine),
            lambda: self._half(method, bound, at._replace(h=jnp.where(mine, at.h, 0.0)), slots),
            lambda: blank,
        )
        explicit, implicit = run(self.explicit, ~stiff), run(self.stiff, stiff)
        env = jax.tree.map(lambda a, b: jnp.where(stiff, b, a), explicit, implicit)
        return env | {"x": slots["x"], "F": slots["F"]} | self._vote(slots, env["stiffness"])

    def _half(self, method: ExplicitRK | Rosenbrock, bound: Bound, at: Moment, slots: Slots) -> Env:
        """An attempt of one of the two, reduced to what both have in common."""
        own = _as(bound, method)
        given = {"x": slots["x"], "F": slots["F"]} if method.started else {"x": slots["x"]}
        env = method.attempt(own, at, given)
        last = env["F1"] if "F1" in env else bound.slope(at.t + at.h, env["x1"])
        shape = jnp.shape(at.h)
        count = lambda n: jnp.full(shape, n, jnp.int32)  # noqa: E731
        implicit = isinstance(method, Rosenbrock)
        return {
            "x1": env["x1"],
            "error": env["error"],
            "F1": last,
            "stiffness": jax.lax.stop_gradient(method.stiffness(own, at, env)).astype(jnp.result_type(at.h)),
            "k": count((method.error_order or method.order) + 1),
            "nfe": count(method.calls + ("F1" not in env)),
            "jacobians": count(int(implicit)),
            "factorizations": count(int(implicit)),
        }

    def _vote(self, slots: Slots, stiffness: Any) -> Env:
        """The mode and the streak after this step, should it be accepted."""
        stiff = slots["mode"] == 1
        beyond = stiffness > 0.9 * self.limit
        streak = jnp.where(beyond != stiff, slots["streak"] + 1, 0)
        switch = streak >= jnp.where(stiff, self.return_after, self.patience)
        mode = jnp.where(switch, 1 - slots["mode"], slots["mode"])
        return {"mode": mode.astype(jnp.int32), "streak": jnp.where(switch, 0, streak).astype(jnp.int32)}

    def keep(self, env: Env) -> Slots:
        return {"x": env["x1"], "F": env["F1"], "mode": env["mode"], "streak": env["streak"]}

    def stiffness(self, bound: Bound, at: Moment, env: Env) -> Any:
        del bound, at
        return env["stiffness"]

    def densify(self, bound: Bound, at: Moment, env: Env) -> Env:
        del bound, at
        return {name: env[name] for name in ("x", "x1", "F", "F1")}


def _as(bound: Any, method: Method) -> Any:
    """The same problem, bound to one of the two methods."""
    return dataclasses.replace(bound, method=method)
