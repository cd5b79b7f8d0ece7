"""Viscous Burgers and Kuramoto-Sivashinsky: u u_x against diffusion, and against anti-diffusion."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import numpy as np

from duhamel.core.linear import like
from duhamel.core.types import Field, Spectrum

from .axes.trigonometric import Cosine
from .equation import Box, Equation, exactly
from .grid import Grid
from .space import Space


class Burgers(Equation):
    """Burgers equation: the smallest model of a shock.

        u_t + u u_x = viscosity u_xx

    What one sees: the crest overtakes the trough and stands as a shock of width about viscosity/height, then decays.
    Good values: length 2 pi, 256 points and viscosity 0.02 for u of size 1; the shock needs height length/viscosity/4
    points or so.
    """

    spaces: ClassVar[tuple[type, ...]] = (Grid, Space)
    numbers: ClassVar[tuple[str, ...]] = ("viscosity",)
    viscosity: Any = 0.02
    dealias: float | int = eqx.field(static=True, default=2 / 3)

    def symbol(self, grid: Box) -> Any:
        return exactly(self.viscosity) * grid.laplacian()

    def nonlinear(self, grid: Box) -> Callable:
        return steepening(grid, self.dealias)

    def check(self, grid: Box) -> None:
        super().check(grid)
        refuse_cosines(self, grid)

    def initial(self, grid: Box) -> np.ndarray:
        """sin(2 pi x/length)."""
        (x,), (length,) = grid.coordinates(), grid.length
        return np.sin(2 * np.pi * x / length)

    def invariants(self, grid: Box, modes: Spectrum) -> dict[str, Field]:
        """mass int u, energy int u^2/2 (which decays at the rate viscosity int u_x^2)."""
        return {"mass": grid.integral(grid.to_points(modes)), "energy": 0.5 * grid.inner(modes, modes)}

    def exact(self, grid: Box, t: float | int) -> np.ndarray:
        """The solution from `initial`, by the Cole-Hopf formula, float64.

            u(t, x) = int (x - y)/t e^(-G/(2 nu)) dy / int e^(-G/(2 nu)) dy,   G = int_0^y u0 + (x - y)^2/(2t)

        Both integrals by the trapezoidal rule around the least G, where it converges faster than any power. t > 0.
        Source: Hopf, Comm. Pure Appl. Math. 3 (1950) 201.
        """
        if t <= 0:
            return self.initial(grid)
        nu, (x,), k = float(self.viscosity), grid.coordinates(), 2 * np.pi / grid.length[0]
        reach = np.sqrt(2 * t * (80 * nu + 4 / k)) + t  # beyond it e^(-G/(2 nu)) is below 1e-17 of its maximum
        width = min(np.sqrt(2 * nu * t), np.sqrt(2 * nu / k), 1 / k)
        s = np.linspace(-reach, reach, max(2001, int(20 * reach / width)))
        y = x[:, None] + s
        action = (1 - np.cos(k * y)) / k + s**2 / (2 * t)
        weight = np.exp(-(action - action.min(axis=1, keepdims=True)) / (2 * nu))
        return np.sum(-s / t * weight, axis=1) / np.sum(weight, axis=1)


class KuramotoSivashinsky(Equation):
    """Kuramoto-Sivashinsky equation: the smallest model of turbulence in space and time.

        u_t + u u_x + u_xx + hyperviscosity u_xxxx = 0

    What one sees: cells about 9 long that merge and split for ever, height about 3. Chaos sets in for lengths above
    about 20 (Lyapunov exponent 0.09 at length 100 and more). Good values: length 32 pi, 128 points, ETDRK4 with steps
    of 1/4 (Kassam and Trefethen, SIAM J. Sci. Comput. 26 (2005) 1214).
    """

    spaces: ClassVar[tuple[type, ...]] = (Grid, Space)
    numbers: ClassVar[tuple[str, ...]] = ("hyperviscosity",)
    hyperviscosity: Any = 1.0
    dealias: float | int = eqx.field(static=True, default=2 / 3)

    def symbol(self, grid: Box) -> Any:
        return -grid.derivative(order=2) - exactly(self.hyperviscosity) * grid.derivative(order=4)

    def nonlinear(self, grid: Box) -> Callable:
        return steepening(grid, self.dealias)

    def check(self, grid: Box) -> None:
        super().check(grid)
        refuse_cosines(self, grid)

    def initial(self, grid: Box) -> np.ndarray:
        """cos(k x) (1 + sin(k x)) with one wave in the box, as Kassam and Trefethen."""
        (x,), (length,) = grid.coordinates(), grid.length
        k = 2 * np.pi / length
        return np.cos(k * x) * (1 + np.sin(k * x))

    def invariants(self, grid: Box, modes: Spectrum) -> dict[str, Field]:
        """mass int u (conserved), energy int u^2/2 (gains int u_x^2, loses hyperviscosity int u_xx^2)."""
        return {"mass": grid.integral(grid.to_points(modes)), "energy": 0.5 * grid.inner(modes, modes)}


def steepening(grid: Box, dealias: float | int) -> Callable:
    """N(t, modes) of -u u_x = -(u^2/2)_x."""
    keep = grid.mask(dealias)
    if isinstance(grid, Space):
        return lambda t, x: like(-keep, x) * grid.project(grid.to_points(like(keep, x) * x) * grid.slope(x))
    slope = -0.5 * keep * grid.derivative()

    def N(t: Any, x: Spectrum) -> Spectrum:
        del t
        u = grid.to_points(like(keep, x) * x)
        return like(slope, x) * grid.to_modes(u * u)

    return N


def refuse_cosines(equation: Equation, grid: Box) -> None:
    if isinstance(grid, Space) and any(isinstance(axis, Cosine) for axis in grid.parts):
        raise ValueError(
            f"{type(equation).__name__} has u u_x, which is no sum of cosines where u is one; take a Legendre or a "
            "Chebyshev axis with Neumann conditions."
        )
