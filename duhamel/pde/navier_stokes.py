"""Incompressible flow in two dimensions, as one scalar: the vorticity."""

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from duhamel.core.linear import like
from duhamel.core.types import Field, Spectrum

from .coefficients import plain
from .equation import Box, Equation, exactly


class NavierStokes2D(Equation):
    """Two-dimensional Navier-Stokes equations in vorticity form, w = v_x - u_y.

        w_t + u w_x + v w_y = viscosity Laplacian(w) - drag w + curl f,    u = psi_y, v = -psi_x, -Laplacian(psi) = w
        f = (forcing sin(k y), 0), k = 2 pi forcing_mode/length_y: Kolmogorov's flow, force = "shear"
        curl f = forcing (sin(s) + cos(s)), s = 2 pi forcing_mode (x/length_x + y/length_y): force = "diagonal"

    viscosity     1e-3 on a box of 2 pi with u of size 1 (Reynolds number about 6000) wants 256 x 256 points
    drag          0.1 takes out the energy that gathers in the largest scales when the flow is forced
    forcing       amplitude of the force; 0: decaying turbulence
    forcing_mode  waves of the force in the box, 4 is usual
    force         "shear"; or "diagonal", as in FNO's sets (forcing 0.1, forcing_mode 1)

    What one sees, decaying: like vortices merge, energy is almost conserved while enstrophy falls. Forced: bands that
    meander and shed vortices. The mean of w is zero on a periodic box.

    The nonlinear term is taken in Basdevant's form, two inverse and two forward transforms instead of four and one:

        u w_x + v w_y = (d_xx - d_yy)(u v) + d_xy (v^2 - u^2)

    Source: Basdevant, J. Comput. Phys. 50 (1983) 209.
    """

    dims: ClassVar[tuple[int, ...]] = (2,)
    numbers: ClassVar[tuple[str, ...]] = ("viscosity", "drag", "forcing")
    viscosity: Any = 1e-3
    drag: Any = 0.0
    forcing: Any = 0.0
    forcing_mode: int = eqx.field(static=True, default=4)
    force: Literal["shear", "diagonal"] = eqx.field(static=True, default="shear")
    dealias: float | int = eqx.field(static=True, default=2 / 3)

    def symbol(self, grid: Box) -> Any:
        self._check_forcing(grid)
        return exactly(self.viscosity) * grid.laplacian() - exactly(self.drag)

    def nonlinear(self, grid: Box) -> Callable:
        keep = grid.mask(self.dealias)
        stream = np.stack([keep * symbol for symbol in velocity_symbols(grid)])
        kx, ky = grid.wavenumbers()
        square, cross = keep * (kx**2 - ky**2), keep * kx * ky
        force = self._curl_of_force(grid)

        def N(t: Any, x: Spectrum) -> Spectrum:
            del t
            u, v = jnp.moveaxis(grid.to_points(like(stream, x) * x[..., None, :, :]), -3, 0)
            products = grid.to_modes(jnp.stack([u * v, v * v - u * u], axis=-3))
            advection = like(square, x) * products[..., 0, :, :] + like(cross, x) * products[..., 1, :, :]
            return advection + like(self.forcing, x) * like(force, x)

        return N

    def _curl_of_force(self, grid: Box) -> np.ndarray:
        """Modes of curl f = -f_y for a force of amplitude 1."""
        x, y = plain(grid).coordinates()
        if self.force == "diagonal":
            s = 2 * np.pi * self.forcing_mode * (x / grid.length[0] + y / grid.length[1])
            return np.fft.rfftn(np.sin(s) + np.cos(s))
        k = 2 * np.pi * self.forcing_mode / grid.length[1]
        return np.fft.rfftn(np.broadcast_to(-k * np.cos(k * y), grid.shape))

    def _check_forcing(self, grid: Box) -> None:
        if self.force not in ("shear", "diagonal"):
            raise ValueError(f"force = {self.force!r}; say shear or diagonal.")
        if not 0 < self.forcing_mode < grid.shape[1] * self.dealias / 2:
            raise ValueError(
                f"forcing_mode = {self.forcing_mode}: the grid keeps modes 1 to "
                f"{int(np.ceil(grid.shape[1] * self.dealias / 2)) - 1} of axis y; choose one of them or a finer grid."
            )

    def initial(self, grid: Box) -> np.ndarray:
        """Random vorticity of unit root mean square velocity, energy around wavenumber 6, the same every time."""
        return random_vorticity(grid, jax.random.key(0))

    def invariants(self, grid: Box, modes: Spectrum) -> dict[str, Field]:
        """energy int (u^2 + v^2)/2 and enstrophy int w^2/2; unforced, d energy/dt = -2 viscosity enstrophy."""
        u, v = (like(symbol, modes) * modes for symbol in velocity_symbols(grid))
        return {
            "energy": 0.5 * (grid.inner(u, u) + grid.inner(v, v)),
            "enstrophy": 0.5 * grid.inner(modes, modes),
        }

    def taylor_green(self, grid: Box, t: float | int) -> np.ndarray:
        """Exact without force: w = 2 cos(a x) cos(b y) e^(-(nu (a^2 + b^2) + drag) t), one wave along each axis."""
        (x, y), (a, b) = grid.coordinates(), (2 * np.pi / s for s in grid.length)
        rate = float(self.viscosity) * (a * a + b * b) + float(self.drag)
        return 2 * np.cos(a * x) * np.cos(b * y) * np.exp(-rate * t)


def velocity_symbols(grid: Box) -> tuple[np.ndarray, np.ndarray]:
    """(u, v) of the vorticity: i ky/|k|^2 and -i kx/|k|^2; the mean flow is zero."""
    square = -grid.laplacian()
    inverse = np.where(square > 0, 1 / np.where(square > 0, square, 1), 0)
    return grid.derivative(1) * inverse, -grid.derivative(0) * inverse


def random_vorticity(grid: Box, key: Array, peak: float | int = 6, velocity: float | int = 1.0) -> np.ndarray:
    """A Gaussian random vorticity field, float64, of mean zero.

    peak      waves in the longest side at which the energy is largest, roughly; none lies far above
    velocity  root mean square of |(u, v)|
    """
    noise = np.asarray(jax.random.normal(key, grid.shape, jnp.float32), np.float64)  # the same with and without x64
    side = max(grid.length)
    k = np.sqrt(-grid.laplacian()) * side / (2 * np.pi)
    shape = k**2 * np.exp(-((k / peak) ** 2)) * grid.mask(2 / 3)
    modes = np.fft.rfftn(noise) * shape
    u, v = (np.fft.irfftn(symbol * modes, s=grid.shape, axes=(0, 1)) for symbol in velocity_symbols(grid))
    scale = velocity / np.sqrt(np.mean(u**2 + v**2))
    return scale * np.fft.irfftn(modes, s=grid.shape, axes=(0, 1))
