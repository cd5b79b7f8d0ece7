"""What an equation is: dx/dt = L(t) x + N(t, x, args)."""

import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx

from .linear import Linear, Zero


class Problem(eqx.Module):
    """A semilinear differential equation

        dx/dt = L(t) x + N(t, x, args)

    N  vector field `N(t, x, args)`; t is a real scalar, x any pytree of arrays, the value has x's structure,
       shapes and dtypes. With L = Zero() it is the whole right-hand side.
    L  the linear part that exponential methods treat exactly; any other method evaluates it (`field`).

    Write `ODE(f)` or `Semilinear(L, N)`. A `Problem` is a pytree: arrays inside L and N (a network's weights,
    a viscosity) are differentiated, vmapped and never baked into the compiled program.
    """

    N: Callable
    L: Linear = Zero()

    def field(self, t: Any, x: Any, args: Any) -> Any:
        """L(t) x + N(t, x, args)."""
        if isinstance(self.L, Zero):
            return self.N(t, x, args)
        return self.L.apply(t, x) + self.N(t, x, args)


class WithoutArgs(eqx.Module):
    """Lets a vector field f(t, x) stand where f(t, x, args) is called."""

    f: Callable

    def __call__(self, t: Any, x: Any, args: Any) -> Any:
        del args
        return self.f(t, x)


def ODE(f: Callable) -> Problem:
    """dx/dt = f(t, x, args), or f(t, x)."""
    return Problem(N=_three_arguments(f, "f"))


def Semilinear(L: Any, N: Callable) -> Problem:
    """dx/dt = L(t) x + N(t, x, args), or N(t, x)."""
    if not isinstance(L, Linear):
        raise TypeError(
            f"L must be a duhamel Linear (Zero, Scalar, Diagonal, Dense), got {type(L).__name__}; "
            "wrap a matrix in Dense(matrix) and one number per component in Diagonal(values)."
        )
    return Problem(N=_three_arguments(N, "N"), L=L)


def as_problem(problem: Any) -> Problem:
    """A Problem, or a vector field made into one."""
    if isinstance(problem, Problem):
        return problem
    if callable(problem):
        return ODE(problem)
    raise TypeError(
        f"problem must be a Problem or a vector field f(t, x, args), got {type(problem).__name__}; "
        "pass a function, ODE(f) or Semilinear(L, N)."
    )


def _three_arguments(f: Callable, name: str) -> Callable:
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):  # builtins carry no signature
        return f
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is p.empty]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters) or len(positional) >= 3 >= len(required):
        return f
    if len(positional) == 2:
        return WithoutArgs(f)
    raise TypeError(f"{name} takes {len(required)} arguments; write it as {name}(t, x) or {name}(t, x, args).")
