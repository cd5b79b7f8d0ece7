"""The one-phase Stefan problem: a melting front s(t) that the heat flowing into it drives.

    T_t = a T_xx,  0 < x < s(t)      T(s, t) = 0      ds/dt = -ste a T_x(s, t)
    at the wall x = 0:  T = wall(t),  or  -a T_x = wall(t)  with `flux=True`

Front-fixing (Landau, Quart. Appl. Math. 8 (1950) 81): with xi = x/s the domain is [0, 1],

    T_t = a/s^2 T_xixi + xi s'/s T_xi,      s' = -ste a/s T_xi(1),

second-order differences in xi, and (T, s) is one stiff system of ordinary equations for `duhamel.solve`.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from duhamel.methods.base import Method
from duhamel.methods.implicit import Kvaerno5
from duhamel.solver.adjoint import Adjoint, Tape
from duhamel.solver.control import PID
from duhamel.solver.solution import Solution
from duhamel.solver.solve import solve


class Stefan(eqx.Module):
    """
    diffusivity  a > 0, also called alpha; a number or traced
    stefan       ste = specific heat x temperature scale/latent heat: 0.1 (slow front) to 3
    wall         temperature at x = 0, or the flux through it: a number, or a function of t
    flux         whether `wall` is the flux
    """

    diffusivity: Any = 1.0
    stefan: Any = 1.0
    wall: Any = 1.0
    flux: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        for name in ("diffusivity", "stefan"):
            value = getattr(self, name)
            if isinstance(value, float | int) and not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} = {value}: it must be positive and finite, or the front would run backwards.")

    def points(self, cells: int) -> np.ndarray:
        """xi of the unknown temperatures: without the front, where T = 0, and without a wall of known temperature."""
        if cells < 4:
            raise ValueError(f"cells = {cells}: the slope at the front takes at least 4.")
        return np.arange(0 if self.flux else 1, cells) / cells

    def field(self, t: Any, state: tuple, args: Any) -> tuple:
        """d(T, s)/dt."""
        del args
        T, s = state
        n = T.shape[0] + (0 if self.flux else 1)
        h, a, wall = 1 / n, self.diffusivity, self._wall(t)
        # Beyond a wall that lets the flux q through lies T_1 + 2 h s q/a.
        before = T[1] + 2 * h * s * wall / a if self.flux else wall
        whole = jnp.concatenate([jnp.reshape(before, 1).astype(T.dtype), T, jnp.zeros(1, T.dtype)])
        slope = (whole[-3] - 4 * whole[-2]) / (2 * h)  # T_xi(1), one-sided, of second order
        speed = -self.stefan * a / s * slope
        curvature = (whole[2:] - 2 * whole[1:-1] + whole[:-2]) / h**2
        xi = jnp.asarray(self.points(n), T.dtype)
        return a / s**2 * curvature + xi * speed / s * (whole[2:] - whole[:-2]) / (2 * h), speed

    def solve(
        self,
        T0: Any,
        s0: Any,
        ts: Any,
        *,
        method: Method | None = None,
        control: Any = None,
        adjoint: Adjoint | None = None,
    ) -> Solution:
        """(T, s) at the times ts (the first is the beginning), from T0 at `points` and a front at s0 > 0.

        Kvaerno5 with rtol 1e-8 unless told. `x` of the solution is the pair (T of shape (times, points), s).
        """
        T0 = jnp.asarray(T0, float) if not hasattr(T0, "dtype") else jnp.asarray(T0)
        if T0.ndim != 1 or T0.shape[0] < 3:
            raise ValueError(f"T0 has shape {T0.shape}; it is one temperature for each of `points(cells)`.")
        if isinstance(s0, float | int) and not s0 > 0:
            raise ValueError(
                f"s0 = {s0}: the front starts at a place s0 > 0; a domain of no length has no temperatures."
            )
        control = PID(1e-8, 1e-10) if control is None else control
        how = {"method": method or Kvaerno5(), "control": control, "adjoint": adjoint or Tape()}
        ts = jnp.asarray(ts)
        if ts.ndim != 1 or ts.shape[0] < 2:
            raise ValueError("ts are the times to save, the first of them the beginning; give at least two.")
        return solve(self.field, (T0, jnp.asarray(s0, T0.dtype)), ts, t0=ts[0], **how)

    def _wall(self, t: Any) -> Any:
        return self.wall(t) if callable(self.wall) else self.wall


def similarity(problem: Stefan) -> float:
    """lambda with sqrt(pi) lambda e^(lambda^2) erf(lambda) = ste wall: Neumann's front is s = 2 lambda sqrt(a t)."""
    from scipy.optimize import brentq
    from scipy.special import erf

    if problem.flux or callable(problem.wall):
        raise ValueError("Neumann's solution belongs to a wall of constant temperature; give a number, flux=False.")
    drive = float(problem.stefan) * float(problem.wall)
    balance = lambda q: np.sqrt(np.pi) * q * np.exp(q * q) * erf(q) - drive  # noqa: E731
    return float(np.asarray(brentq(balance, 1e-12, 5.0, xtol=1e-15)))


def neumann(problem: Stefan, t: Any, xi: Any) -> tuple[np.ndarray, Any]:
    """(T at x = xi s, s) of Neumann's similarity solution at the times t.

        T = wall (1 - erf(x/(2 sqrt(a t)))/erf(lambda)),   s = 2 lambda sqrt(a t)

    Source: Carslaw and Jaeger, Conduction of Heat in Solids, 1959, section 11.2.
    """
    from scipy.special import erf

    lam, t = similarity(problem), np.asarray(t, float)
    s = 2 * lam * np.sqrt(float(problem.diffusivity) * t)
    return float(problem.wall) * (1 - erf(lam * np.asarray(xi)) / erf(lam)) + 0 * t[..., None], s
