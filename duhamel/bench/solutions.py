"""Solutions of the small problems that public repositories keep reference files of, each far more exact than they are.

Each is a function of (t, x), float64 arrays (T,) and (X,), and gives (T, X, ...); `refine` doubles points and steps, so
the distance of two refinements says how exact it is itself.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy.interpolate import BarycentricInterpolator

import duhamel as dh
from duhamel import pde
from duhamel.core.precision import enable_x64

Values = np.ndarray
Solution = Callable[[Values, Values, int], Values]


def burgers(t: Values, x: Values, refine: int = 1) -> Values:
    """u_t + u u_x = (0.01/pi) u_xx on (-1, 1), u = -sin(pi x) at first and 0 at the ends; steep to 1/0.003 at 0."""
    # -sin(pi x) is Burgers' own first field, sin(2 pi s/2), at s = x + 1; odd about both ends, so periodic
    return _periodic(pde.Burgers(viscosity=0.01 / np.pi), 4096 * refine, 2.0, _sine, 1600 * refine, t, x + 1)


def _sine(s: Values) -> Values:
    return np.sin(np.pi * s)


def allen_cahn(t: Values, x: Values, refine: int = 1) -> Values:
    """u_t = 1e-4 u_xx + 5 u - 5 u^3 on (-1, 1), periodic, u = x^2 cos(pi x) at first, whose slope jumps at the ends."""
    equation = pde.AllenCahn(width=np.sqrt(2e-5))  # in units of time 1/5
    return _periodic(equation, 4096 * refine, 2.0, _bump, 800 * refine, 5 * t, x + 1)


def _bump(s: Values) -> Values:
    return (s - 1) ** 2 * np.cos(np.pi * (s - 1))


def allen_cahn_walls(t: Values, x: Values, refine: int = 1) -> Values:
    """u_t = 1e-3 u_xx + 5 u - 5 u^3 on (-1, 1), u = -1 at the ends, u = x^2 cos(pi x) at first."""
    space = pde.box(pde.Legendre(384 * refine, 2.0, -1.0, pde.Dirichlet(-1.0), pde.Dirichlet(-1.0)))
    (points,) = space.coordinates()
    first = points**2 * np.cos(np.pi * points)
    return _walls(pde.AllenCahn(width=np.sqrt(2e-4)), space, first, 5 * t, x, 400 * refine)


def kuramoto_sivashinsky(t: Values, x: Values, refine: int = 1) -> Values:
    """u_t + 5 u u_x + u_xx/2 + 0.005 u_xxxx = 0 on (-1, 1), periodic, u = -sin(pi x) at first."""
    equation = pde.KuramotoSivashinsky(hyperviscosity=0.01)  # of 10 u, in units of time 2
    return _periodic(equation, 512 * refine, 2.0, _ten_sine, 4000 * refine, 0.5 * t, x + 1) / 10


def _ten_sine(s: Values) -> Values:
    return 10 * np.sin(np.pi * s)


def kuramoto_sivashinsky_chaos(t: Values, x: Values, refine: int = 1) -> Values:
    """u_t + (100/16) u u_x + (100/16^2) u_xx + (100/16^4) u_xxxx = 0 on (0, 2 pi), u = cos x (1 + sin x) at first."""
    equation = pde.KuramotoSivashinsky(hyperviscosity=1 / 256)  # of 16 u, in units of time 256/100
    return _periodic(equation, 512 * refine, 2 * np.pi, _gentle, 8000 * refine, 100 / 256 * t, x) / 16


def _gentle(s: Values) -> Values:
    return 16 * np.cos(s) * (1 + np.sin(s))


def kdv(t: Values, x: Values, refine: int = 1) -> Values:
    """u_t + u u_x + 0.0025 u_xxx = 0 on (-1, 1), periodic, u = cos(pi x) at first: solitons form one by one."""
    equation = pde.KdV(convection=1.0, dispersion=0.0025)
    return _periodic(equation, 512 * refine, 2.0, _cosine, 10000 * refine, t, x + 1)


def _cosine(s: Values) -> Values:
    return np.cos(np.pi * (s - 1))


def schroedinger(t: Values, x: Values, refine: int = 1) -> Values:
    """i h_t + h_xx/2 + |h|^2 h = 0 on (-5, 5), periodic, h = 2 sech x at first: a kink at the ends."""
    return _periodic(pde.NLSE(), 2048 * refine, 10.0, _sech, 8000 * refine, t, x + 5)


def _sech(s: Values) -> Values:
    return 2 / np.cosh(s - 5)


def lorenz(t: Values, x: Values, refine: int = 1) -> Values:
    """x' = 10 (y - x), y' = x (15 - z) - y, z' = x y - 8 z/3 from (-8, 7, 27)."""
    del x

    def slope(t: Any, u: Any, args: Any) -> Any:
        return jnp.stack([10 * (u[1] - u[0]), u[0] * (15 - u[2]) - u[1], u[0] * u[1] - 8 / 3 * u[2]])

    with enable_x64(True):
        first = jnp.array([-8.0, 7.0, 27.0])
        found = dh.solve(slope, first, t[1:], t0=t[0], method=dh.Verner8(), control=dh.Fixed(2000 * refine))
        return np.concatenate([np.asarray(first)[None], np.asarray(found.x)])


@functools.lru_cache(maxsize=32)
def _modes(equation: Any, points: int, length: float, first: Any, steps: int, t: tuple[float, ...]) -> Values:
    """Fourier coefficients (T, points) at times that begin at 0."""
    grid = pde.periodic(points, length)
    with enable_x64(True):
        u0 = jnp.asarray(first(grid.coordinates()[0]), complex if not equation.real else float)
        u = pde.solve(equation, grid, u0, np.asarray(t), steps=steps, method=dh.ETDRK4()).x
        return np.fft.fft(np.asarray(u), axis=-1) / points


def _periodic(equation: Any, points: int, length: float, first: Any, steps: int, t: Values, s: Values) -> Values:
    """The solution at places s from 0 to length, summed from its Fourier series; at t = 0 the first field itself."""
    modes = _modes(equation, points, length, first, steps, tuple(np.asarray(t, float).tolist()))
    k = np.fft.fftfreq(points, 1 / points)
    kept = np.flatnonzero(np.abs(modes).max(axis=0) > 1e-17)
    u = modes[:, kept] @ np.exp(2j * np.pi / length * k[kept][:, None] * s)
    u = np.real(u) if equation.real else u
    return np.where((np.asarray(t) == 0)[:, None], first(s), u)


def _walls(equation: Any, space: Any, first: Values, t: Values, x: Values, steps: int) -> Values:
    """The polynomial through the values at Gauss points, at the places x."""
    with enable_x64(True):
        u = np.asarray(pde.solve(equation, space, first, t, steps=steps, method=dh.ETDRK4()).x)
    return BarycentricInterpolator(space.coordinates()[0], u.T)(x).T
