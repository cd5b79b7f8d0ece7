"""Linear systems of implicit steps without a matrix: GMRES or BiCGStab on products with the Jacobian, by lineax."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx

from .jacobian import Flat
from .linalg import Factored, LinearSolver


class Operator(NamedTuple):
    """The Jacobian of the k-th field of a bound problem at (t, x): nothing is computed until it multiplies."""

    bound: Any
    k: int
    t: Any
    x: Any


class System(NamedTuple):
    """M - a J."""

    J: Operator
    a: Any
    mass: Any


class Krylov(LinearSolver):
    """(M - a J) x = b by a Krylov method, each product one jvp. For large n, where few iterations do: without a
    preconditioner their number grows with the stiffness h |J|.

    rtol     the residual, relative to b, at which to stop; keep it below the tolerance of the steps
    restart  of GMRES, in iterations; None: BiCGStab, which needs no memory but may fail where GMRES does not
    steps    iterations at most (None: 10 n); a solve that ends there makes its step a rejected one

    A lane iterates until it converges; those that did wait. Only for methods that take a fresh Jacobian each step.
    """

    rtol: float = eqx.field(static=True, default=1e-8)
    restart: int | None = eqx.field(static=True, default=20)
    steps: int | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        if not 0 < self.rtol < 1:
            raise ValueError(f"rtol of Krylov must lie between 0 and 1, got {self.rtol}.")
        if self.restart is not None and self.restart < 1:
            raise ValueError(f"restart of Krylov must be at least 1 (or None for BiCGStab), got {self.restart}.")

    def prepare(self, bound: Any, k: int, t: Any, x: Any) -> Operator:
        return Operator(bound, k, t, x)

    def bound(self, J: Operator) -> None:
        del J

    def matrix(self, J: Operator, a: Any, mass: Any) -> System:
        return System(J, a, mass)

    def decompose(self, matrix: Any) -> None:
        """Nothing to factor."""
        del matrix

    def substitute(self, factors: Any, b: Any) -> Any:
        raise TypeError(
            "Krylov keeps no factors; this method reuses them over steps: use DenseLU, Banded or BlockDiagonal."
        )

    def factor(self, J: Any, a: Any, mass: Any = None) -> Factored:
        return Factored(self.matrix(J, a, mass), None)

    def multiply(self, matrix: Any, v: Any) -> Any:
        return _lanewise(matrix, lambda product, v: product(v), v)

    def solve(self, factored: Factored, b: Any) -> Any:
        if factored.matrix is None:
            return self.substitute(None, b)
        return _lanewise(factored.matrix, self._solve, b)

    def _solve(self, product: Any, b: Any) -> Any:
        operator = lx.FunctionLinearOperator(product, jax.eval_shape(lambda: b))
        atol = float(jnp.finfo(b.dtype).tiny)
        if self.restart is None:
            solver: Any = lx.BiCGStab(self.rtol, atol, max_steps=self.steps)
        else:
            restart = min(self.restart, b.shape[0])
            solver = lx.GMRES(self.rtol, atol, max_steps=self.steps, restart=restart)
        x = lx.linear_solve(operator, b, solver, throw=False).value
        # Judged by its residual: lineax calls it a breakdown, too, when the last direction gives the exact solution.
        residual, limit = jax.lax.stop_gradient((jnp.linalg.norm(product(x) - b), 10 * self.rtol * jnp.linalg.norm(b)))
        return jnp.where(residual <= limit + atol, x, jnp.nan)


def _lanewise(system: System, use: Any, v: Any) -> Any:
    """use(product with the matrix, v) for one lane, or for each."""
    (bound, k, t, x), a, mass = system
    f = bound.method.fields(bound.problem)[k]

    def one(t: Any, x: Any, args: Any, a: Any, v: Any) -> Any:
        flat = Flat(x, 0)
        _, push = jax.linearize(lambda z: flat.ravel(f(t, flat.unravel(z), args)), flat.ravel(x))

        def product(v: Any) -> Any:
            Mv = v if mass is None else jnp.matmul(mass.astype(v.dtype), v, precision="highest")
            return Mv - a * push(v)

        return use(product, v)

    if bound.lanes == 0:
        return one(t, x, bound.args, a, v)
    return jax.vmap(one, in_axes=(0, -1, bound.axes, 0, -1), out_axes=-1)(t, x, bound.args, a, v)
