"""The front door: a system, a source and a solver; what comes back says how good the answer is.

Derivatives, of any order, in either mode, with respect to the source, the coefficients and the values on the sides, are
those of the linear system itself, S du = db - dS u: one more solve by the same solver, none of it through iterations.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from duhamel.core.status import Status
from duhamel.core.types import Field

from .system import System

Operator = Callable[[Field], Field]


class Solver(eqx.Module):
    """Abstract: how S u = b is solved. One that iterates has a field `max_steps`."""

    @property
    def limit(self) -> int:
        """max_steps; 0 for a direct solver."""
        return getattr(self, "max_steps", 0)

    @abstractmethod
    def check(self, system: System) -> None:
        """One sentence for a system that this solver cannot do."""

    @abstractmethod
    def run(self, system: System, b: Field, rtol: Float[Array, ""]) -> tuple[Field, Int[Array, ""]]:
        """u, and how many iterations it took to |b - S u| <= rtol |b|. A singular system's b sums to 0 here."""

    def operator(self, system: System) -> Operator:
        """What `run` inverts."""
        return system.mv


class Solved(eqx.Module):
    """
    u           the unknowns, of `system.shape`
    iterations  0 for direct solvers
    residual    |b - S u|/|b|, computed from u, whatever the solver believed
    status      Status.success; max_steps_reached (raise max_steps or take a better preconditioner); nonfinite;
                not_converged (the system is indefinite, singular, or rtol lies below rounding)
    imbalance   mean of f that a singular system cannot balance and `project=True` took away; else 0
    """

    u: Field
    iterations: Int[Array, "..."]
    residual: Float[Array, "..."]
    status: Int[Array, "..."]
    imbalance: Field

    @property
    def ok(self) -> Bool[Array, "..."]:
        return self.status == Status.success


def solve(
    system: System,
    f: Any,
    solver: Solver | None = None,
    *,
    rtol: float | None = None,
    project: bool = False,
    throw: bool = True,
) -> Solved:
    """u with -div(a grad u) + c u = f at the unknowns of a system.

        found = solve(discretise(box((64, 64), 1.0), Dirichlet()), 1.0)

    f        a number, an array of `system.shape`, or a function of the coordinates
    solver   Fourier, Diagonalise, Tridiagonal, Band (direct); PCG, Multigrid, SOR, SSOR (iterations). Unless told:
             Fourier where it applies, then Diagonalise, else PCG(Multigrid()) or PCG(Jacobi()) by the size of the box
    rtol     of an iterative solver, on the true residual: 1e-10 in double, 1e-5 in single precision unless told
    project  a system without u on any side and c = 0 has solutions only for sources in balance with the sides; True
             takes the mean of the imbalance away. The solution is, as always in that case, the one of mean zero
    throw    raise where the solver failed; False leaves it to `status`
    """
    from .choose import default

    solver = default(system) if solver is None else solver
    solver.check(system)
    b = system.right_side(f)
    eps = float(jnp.finfo(b.dtype).eps)
    if rtol is not None and not (isinstance(rtol, float | int) and 4 * eps <= rtol < 1):
        raise ValueError(f"rtol = {rtol}: give a number from {4 * eps:.0e}, the resolution of {b.dtype}, to below 1.")
    rtol = rtol or (1e-10 if eps < 1e-10 else 1e-5)
    if system.singular and not project:
        _check_balance(system, b)
    bound = jnp.asarray(rtol if solver.limit else max(rtol, eps**0.5), b.real.dtype)
    found = _solve(system, b, solver, bound, project)
    if throw and not isinstance(found.status, Tracer):
        _raise_if_failed(found, solver, rtol)
    return found


@eqx.filter_jit
def _solve(system: System, b: Field, solver: Solver, bound: Float[Array, ""], project: bool) -> Solved:
    weight = jnp.asarray(system.weight, b.real.dtype)
    excess = jnp.sum(b) / jnp.sum(weight) if system.singular else jnp.zeros((), b.dtype)
    b = b - excess * weight if project else b
    frozen, mv = lax.stop_gradient(system), solver.operator(system)

    def run(_: Any, b: Field) -> tuple[Field, Int[Array, ""]]:
        balanced = b - jnp.sum(b) / jnp.sum(weight) * weight if system.singular else b
        u, iterations = solver.run(frozen, balanced, bound)
        return (u - system.mean(u) if system.singular else u), iterations

    u, iterations = lax.custom_linear_solve(mv, b, run, symmetric=True, has_aux=True)
    size, rest = norm(b), norm(b - mv(u))
    residual = lax.stop_gradient(jnp.where(size > 0, rest / jnp.where(size > 0, size, 1), rest))
    code = jnp.where(residual <= bound, Status.success, Status.not_converged)
    code = jnp.where((code != Status.success) & (iterations >= max(solver.limit, 1)), Status.max_steps_reached, code)
    code = jnp.where(jnp.isfinite(residual), code, Status.nonfinite).astype(jnp.int32)
    return Solved(u, iterations, residual, code, excess if project else jnp.zeros_like(excess))


def norm(u: Field) -> Float[Array, ""]:
    """sqrt(sum |u|^2)."""
    return jnp.sqrt(jnp.sum(jnp.abs(u) ** 2))


def _check_balance(system: System, b: Field) -> None:
    if isinstance(b, Tracer):
        return
    total, size = complex(np.sum(b)), float(np.sum(np.abs(b)))
    if abs(total) > 1e3 * float(jnp.finfo(b.dtype).eps) * size:
        mean = total.real / float(np.sum(system.weight))
        raise ValueError(
            "no side holds u and c = 0, so that u is known up to a constant only, and f must balance what flows in "
            f"through the sides; its mean is {mean:.3g} too much. Take that from f, or pass project=True, which does, "
            "and have the solution of mean zero."
        )


def _raise_if_failed(found: Solved, solver: Solver, rtol: float) -> None:
    status = np.atleast_1d(np.asarray(found.status))
    if np.all(status == Status.success):
        return
    first = int(np.argmax(status != Status.success))
    residual = float(np.atleast_1d(found.residual)[first])
    name, steps = type(solver).__name__, int(np.atleast_1d(found.iterations)[first])
    if status[first] == Status.nonfinite:
        raise RuntimeError(
            f"{name} gave NaN or infinity after {steps} iterations: look for coefficients that are not finite, and "
            "for a c < 0 that makes the equation resonate."
        )
    remedy = {
        Status.max_steps_reached: "raise max_steps, loosen rtol, or take a better preconditioner (PCG(Multigrid()))",
        Status.not_converged: "the system is indefinite (c < 0), next to singular, or rtol lies below rounding; "
        "take Fourier(), Diagonalise() or Band(), another c, or a larger rtol",
    }[Status(int(status[first]))]
    after = f" after {steps} iterations" if solver.limit else ""
    raise RuntimeError(f"{name} stands at a residual of {residual:.1e}{after}, and {rtol:.1e} was asked: {remedy}.")
