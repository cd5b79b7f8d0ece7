"""Fourth order in space: phases that separate, and patterns with a length of their own."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import numpy as np

from duhamel.core.linear import like
from duhamel.core.types import Field, Spectrum

from .coefficients import level, placed, plain, rest
from .equation import Box, Equation, exactly
from .grid import Grid
from .space import Space


class CahnHilliard(Equation):
    """Cahn-Hilliard equation: an alloy whose two phases separate, while each keeps its mass.

        u_t = mobility Laplacian(u^3 - u - width^2 Laplacian(u))

    What one sees: waves of length 2 sqrt(2) pi width grow first, within a time of 4 width^2/mobility; then drops or
    labyrinths whose size grows as t^(1/3). The energy int width^2 |grad u|^2/2 + (1 - u^2)^2/4 falls, the mass stays.
    Good values: width 0.02 of the box and 128 points an axis. Walls: `Cosine` axes, or
    `Chebyshev` with Neumann() and Derivative(3) at each end (nothing passes), or any other four conditions.
    """

    dims: ClassVar[tuple[int, ...]] = (1, 2, 3)
    spaces: ClassVar[tuple[type, ...]] = (Grid, Space)
    numbers: ClassVar[tuple[str, ...]] = ("width", "mobility")
    width: Any = 0.02
    mobility: Any = 1.0
    dealias: float | int = eqx.field(static=True, default=1 / 2)

    def symbol(self, grid: Box) -> Any:
        square = grid.laplacian()
        return -exactly(self.mobility) * (square + exactly(self.width) ** 2 * square**2)

    def nonlinear(self, grid: Box) -> Callable:
        keep = grid.mask(self.dealias)
        if grid.formal:
            return self._at_points(grid)
        bent = exactly(self.mobility) * keep * grid.laplacian()

        def N(t: Any, x: Spectrum) -> Spectrum:
            del t
            return like(bent, x) * grid.project(grid.to_points(like(keep, x) * x) ** 3)

        return N

    def _at_points(self, grid: Box) -> Callable:
        """Laplacian(u^3) = 3 u (u Laplacian(u) + 2 |grad u|^2): u^3 itself has other conditions than u."""
        assert isinstance(grid, Space)

        def N(t: Any, x: Spectrum) -> Spectrum:
            del t
            u = grid.to_points(x)
            slopes = sum(grid.slope(x, axis) ** 2 for axis in range(grid.dim))
            bent = 3 * u * (u * grid.curvature(x) + 2 * slopes)
            return grid.project(like(self.mobility, u) * bent)

        return N

    def check(self, grid: Box) -> None:
        super().check(grid)
        refuse_lift(self, grid)

    def initial(self, grid: Box) -> np.ndarray:
        """A mixture, u = 0.05 noise, smooth on the scale of the waves that grow; the same every time."""
        return 0.05 * smooth_noise(grid, 2 * np.pi * np.sqrt(2) * float(self.width))

    def invariants(self, grid: Box, modes: Spectrum) -> dict[str, Field]:
        """mass, which stays, and energy, which falls."""
        u = grid.to_points(modes)
        slopes = sum(grid.slope(modes, axis) ** 2 for axis in range(grid.dim))
        energy = like(exactly(self.width) ** 2 / 2, u) * slopes + (1 - u * u) ** 2 / 4
        return {"mass": grid.integral(u), "energy": grid.integral(energy)}


class SwiftHohenberg(Equation):
    """Swift-Hohenberg equation: rolls and hexagons of wavelength 2 pi/wavenumber.

        u_t = drive u - (wavenumber^2 + Laplacian)^2 u + quadratic u^2 - u^3        (drive, quadratic: fields, too)

    What one sees: for drive > 0 rolls of amplitude sqrt(4 drive/3) with defects that heal slowly; with quadratic about
    1 hexagons instead. Good values: drive = 0.2 on a side of 20 pi. Walls: any with homogeneous conditions on u and on
    its Laplacian (`Sine`, `Cosine`), or any four at the ends of a `Chebyshev` axis.
    """

    dims: ClassVar[tuple[int, ...]] = (1, 2, 3)
    spaces: ClassVar[tuple[type, ...]] = (Grid, Space)
    numbers: ClassVar[tuple[str, ...]] = ("wavenumber",)
    varying: ClassVar[tuple[str, ...]] = ("drive", "quadratic")
    drive: Any = 0.2
    quadratic: Any = 0.0
    wavenumber: Any = 1.0
    dealias: float | int = eqx.field(static=True, default=1 / 2)

    def symbol(self, grid: Box) -> Any:
        return level(placed(self, plain(grid)).drive) - (exactly(self.wavenumber) ** 2 + grid.laplacian()) ** 2

    def nonlinear(self, grid: Box) -> Callable:
        keep, here = grid.mask(self.dealias), placed(self, grid)
        more = rest(here.drive, placed(self, plain(grid)).drive)

        def N(t: Any, x: Spectrum) -> Spectrum:
            del t
            u = grid.to_points(like(keep, x) * x)
            rate = u * u * (like(here.quadratic, u) - u)
            return like(keep, x) * grid.project(rate if more is None else rate + like(more, u) * u)

        return N

    def check(self, grid: Box) -> None:
        super().check(grid)
        refuse_lift(self, grid)

    def initial(self, grid: Box) -> np.ndarray:
        """0.1 smooth noise, the same every time."""
        return 0.1 * smooth_noise(grid, 2 * np.pi / float(self.wavenumber))

    def invariants(self, grid: Box, modes: Spectrum) -> dict[str, Field]:
        """energy, which falls: int ((wavenumber^2 + Laplacian) u)^2/2 - drive u^2/2 - quadratic u^3/3 + u^4/4."""
        u = grid.to_points(modes)
        q2 = exactly(self.wavenumber) ** 2
        if isinstance(grid, Space):  # shifted has other conditions than u
            shifted = grid.integral((like(q2, u) * u + grid.curvature(modes)) ** 2)
        else:
            bent = like(q2 + grid.laplacian(), modes) * modes
            shifted = grid.inner(bent, bent)
        here = placed(self, grid)
        density = -like(here.drive, u) * u**2 / 2 - like(here.quadratic, u) * u**3 / 3 + u**4 / 4
        return {"energy": shifted / 2 + grid.integral(density)}


def refuse_lift(equation: Equation, grid: Box) -> None:
    if isinstance(grid, Space) and grid.has_lift and not grid.mixed:
        raise ValueError(
            f"{type(equation).__name__} takes homogeneous conditions only; give walls the value 0, or write u as a "
            "known function plus the rest."
        )


def smooth_noise(grid: Box, wavelength: float) -> np.ndarray:
    """A sum of 40 random waves of lengths around `wavelength` (no shorter than 6 points), of unit mean square, the same
    every time; even about the start of each axis, so that it suits walls without flux."""
    rng, total = np.random.default_rng(0), np.zeros(grid.shape)
    top = [min(2 * s / wavelength, n / 3) for n, s in zip(grid.shape, grid.length, strict=True)]
    for _ in range(40):
        waves = rng.normal()
        for x, a, s, most in zip(grid.coordinates(), grid.start, grid.length, top, strict=True):
            waves = waves * np.cos(2 * np.pi * rng.integers(1, max(2, int(most) + 1)) * (x - a) / s)
        total = total + waves
    return total / np.sqrt(np.mean(total**2))
