"""Korteweg-de Vries-Burgers: steepening, diffusion and dispersion at once, under a force."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from duhamel.core.linear import like
from duhamel.core.types import Field, Spectrum

from .dissipative import steepening
from .equation import Box, Equation, exactly


class KdVBurgers(Equation):
    """Korteweg-de Vries-Burgers equation, with a force

        u_t + (alpha u^2 - beta u_x + gamma u_xx)_x = f(t, x)

    alpha    1/2 for Burgers, 3 for KdV in its usual scaling, 0: linear
    beta     viscosity;   gamma  dispersion
    forcing  f(t, grid) -> values at the points, such as `SineForcing`; None: no force

    What one sees: a front of width beta/(alpha height), behind which waves ring when gamma is large against
    beta^2/height. Good values: length 16, 256 points, beta from 0.1, time up to 4 under five sine waves. For beta near
    0 there are shocks, which waves cannot carry: `volumes.KdVBurgers` with `volumes.WENO5()`.

    The family of "Message Passing Neural PDE Solvers" (Brandstetter, Worrall, Welling, ICLR 2022, arXiv 2202.03376).
    """

    numbers: ClassVar[tuple[str, ...]] = ("alpha", "beta", "gamma")
    alpha: Any = 0.5
    beta: Any = 0.1
    gamma: Any = 0.01
    forcing: Callable | None = None
    dealias: float | int = eqx.field(static=True, default=2 / 3)

    def symbol(self, grid: Box) -> Any:
        return exactly(self.beta) * grid.laplacian() - exactly(self.gamma) * grid.derivative(order=3)

    def nonlinear(self, grid: Box) -> Callable:
        steepen, keep = steepening(grid, self.dealias), grid.mask(self.dealias)

        def N(t: Any, x: Spectrum) -> Spectrum:
            rate = like(2 * self.alpha, x) * steepen(t, x)
            if self.forcing is None:
                return rate
            return rate + like(keep, x) * grid.project(jnp.asarray(self.forcing(t, grid), jnp.finfo(x.dtype).dtype))

        return N

    def initial(self, grid: Box) -> np.ndarray:
        """sin(2 pi x/length)."""
        (x,), (length,) = grid.coordinates(), grid.length
        return np.sin(2 * np.pi * x / length)

    def invariants(self, grid: Box, modes: Spectrum) -> dict[str, Field]:
        """mass int u, energy int u^2/2 (which decays at the rate beta int u_x^2); a force changes both."""
        return {"mass": grid.integral(grid.to_points(modes)), "energy": 0.5 * grid.inner(modes, modes)}
