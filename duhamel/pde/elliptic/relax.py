"""Relaxation: every unknown in turn is set to what its neighbours ask for, and a little more.

    u_i <- u_i + omega (b - S u)_i / S_ii

over all i at once (Jacobi), or over the points of one colour and then of the other, as on a chess board (red-black:
the points of a colour do not see each other, so this is SOR in an order that runs in parallel).
Source: Young, Iterative Solution of Large Linear Systems, 1971.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from duhamel.core.types import Field

from .solving import Operator, Solver, norm
from .system import System

RED, BLACK = 0, 1


class Jacobi(Solver):
    """Damped Jacobi iteration; as a preconditioner, the diagonal.

    omega      1 for a lone solver; 4/5 damps short waves best in two dimensions
    """

    omega: float = eqx.field(static=True, default=1.0)
    max_steps: int = eqx.field(static=True, default=20_000)

    def check(self, system: System) -> None:
        from .krylov import check_positive

        check_positive(system, "Jacobi")

    def run(self, system: System, b: Field, rtol: Float[Array, ""]) -> tuple[Field, Int[Array, ""]]:
        scale = self.omega / system.diagonal()
        return until(system, b, rtol, self.max_steps, lambda u: u + scale * (b - system.mv(u)))

    def preconditioner(self, system: System) -> Operator:
        diagonal = system.diagonal()
        return lambda r: r / diagonal


class SOR(Solver):
    """Successive over-relaxation in red-black order.

    omega   0 < omega < 2; 1 is Gauss-Seidel. None: Young's best for constant coefficients, 2/(1 + sqrt(1 - rho^2)),
            rho the radius of Jacobi's iteration; the number of sweeps then grows with N and not with N^2
    """

    omega: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=5000)

    def __check_init__(self) -> None:
        check_omega(self.omega)

    def check(self, system: System) -> None:
        check_relaxation(system, type(self).__name__)

    def run(self, system: System, b: Field, rtol: Float[Array, ""]) -> tuple[Field, Int[Array, ""]]:
        omega, smooth = omega_of(system, self.omega), sweeper(system)
        return until(system, b, rtol, self.max_steps, lambda u: _both(smooth, u, b, omega))


def _both(smooth: Any, u: Field, b: Field, omega: float) -> Field:
    return smooth(smooth(u, b, RED, omega), b, BLACK, omega)


class SSOR(Solver):
    """Red, black, then black, red: symmetric, so that it may precondition conjugate gradients (omega 1 does well)."""

    omega: float = eqx.field(static=True, default=1.0)
    max_steps: int = eqx.field(static=True, default=5000)

    def __check_init__(self) -> None:
        check_omega(self.omega)

    def check(self, system: System) -> None:
        check_relaxation(system, type(self).__name__)

    def check_box(self, system: System) -> None:
        check_relaxation(system, type(self).__name__)

    def run(self, system: System, b: Field, rtol: Float[Array, ""]) -> tuple[Field, Int[Array, ""]]:
        return until(system, b, rtol, self.max_steps, lambda u: self._sweep(system, u, b))

    def preconditioner(self, system: System) -> Operator:
        return lambda r: self._sweep(system, jnp.zeros_like(r), r)

    def _sweep(self, system: System, u: Field, b: Field) -> Field:
        smooth = sweeper(system)
        order = jnp.array([RED, BLACK, BLACK, RED])
        return lax.fori_loop(0, 4, lambda i, u: smooth(u, b, order[i], self.omega), u)


def sweeper(system: System):  # noqa: ANN201 - a function of (u, b, colour, omega)
    """Relax the points of one colour."""
    scale = 1 / system.diagonal()
    parity = np.indices(system.shape, np.int8).sum(axis=0) % 2

    def smooth(u: Field, b: Field, colour: int | Array, omega: float) -> Field:
        return jnp.where(parity == colour, u + omega * scale * (b - system.mv(u)), u)

    return smooth


def until(
    system: System, b: Field, rtol: Float[Array, ""], max_steps: int, sweep: Operator
) -> tuple[Field, Int[Array, ""]]:
    """Sweep until |b - S u| <= rtol |b|."""
    bound = rtol * norm(b)

    def body(carry: tuple) -> tuple:
        u, n, _ = carry
        u = sweep(u)
        return u, n + 1, norm(b - system.mv(u))

    def going(carry: tuple) -> Array:
        _, n, rest = carry
        return (rest > bound) & (n < max_steps)

    u, n, _ = lax.while_loop(going, body, (jnp.zeros_like(b), jnp.zeros((), jnp.int32), norm(b)))
    return u, n


def omega_of(system: System, omega: float | None) -> float:
    """Young's best omega, from the smallest eigenvalue of the Laplacian with these sides (Robin as Dirichlet)."""
    if omega is not None:
        return omega
    smallest = []
    for kind, n, h in zip(system.kinds, system.shape, system.box.spacing, strict=True):
        kind = kind.replace("R", "D")
        quarter = {"DD": 1.0, "PP": 0.0, "NN": 0.0}.get(kind, 0.5)
        smallest.append((2 / h * np.sin(quarter * np.pi / (2 * (n + 1)))) ** 2)
    if sum(smallest) == 0:  # the constant does not count: the longest wave does
        smallest = [min((2 / h * np.sin((2 if k == "PP" else 1) * np.pi / (2 * n))) ** 2 for k, n, h in _axes(system))]
    rho = 1 - sum(smallest) / sum(2 / h**2 for h in system.box.spacing)
    return float(2 / (1 + np.sqrt(1 - rho**2)))


def _axes(system: System) -> list[tuple[str, int, float]]:
    return list(zip(system.kinds, system.shape, system.box.spacing, strict=True))


def check_omega(omega: float | None) -> None:
    if omega is not None and not 0 < omega < 2:
        raise ValueError(f"omega = {omega}: over-relaxation converges for 0 < omega < 2 only.")


def check_relaxation(system: System, name: str) -> None:
    from .krylov import check_positive

    check_positive(system, name)
    odd = [n for n, kind in zip(system.shape, system.kinds, strict=True) if kind == "PP" and n % 2]
    if odd:
        raise ValueError(
            f"{name}: a periodic axis with {odd[0]} points cannot be coloured red and black; take an even one."
        )
