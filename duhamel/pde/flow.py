"""Incompressible flow with more than one field: velocity in three dimensions, stratified flow in two, magnetised flow.

Every linear effect (viscosity, internal waves, Alfven waves) stands in the linear part, a small matrix per mode where
it mixes fields, and is exact in every exponential method: steps are limited by the flow, not by the waves.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from duhamel.core.linear import like
from duhamel.core.types import Field, Spectrum

from .coefficients import varies
from .equation import Box, Equation, exactly
from .navier_stokes import velocity_symbols


class NavierStokes3D(Equation):
    """Incompressible Navier-Stokes equations in three dimensions, on a periodic box.

        u_t + div(u u) = -grad p + viscosity Laplacian(u),   div u = 0

    viscosity  1/1600 on a box of 2 pi is the Taylor-Green vortex of the literature; it wants 256^3 points, and
               viscosity 0.01 wants 64^3

    What one sees: the Taylor-Green vortex breaks down around t = 9 (viscosity 1/1600), where it dissipates most.
    The pressure is removed by projection; the trace of u u, which is a gradient, with it, so that five products and
    three velocities are eight transforms. Source: Orszag, Patterson, Phys. Rev. Lett. 28 (1972) 76.
    """

    dims: ClassVar[tuple[int, ...]] = (3,)
    fields: ClassVar[tuple[str, ...]] = ("u", "v", "w")
    numbers: ClassVar[tuple[str, ...]] = ("viscosity",)
    viscosity: Any = 0.01
    dealias: float | int = eqx.field(static=True, default=2 / 3)

    def symbol(self, grid: Box) -> Any:
        one = exactly(self.viscosity) * grid.laplacian()
        return jnp.stack([one] * 3) if isinstance(one, Tracer) else np.stack([one] * 3)

    def nonlinear(self, grid: Box) -> Callable:
        keep = grid.mask(self.dealias)
        d = [np.broadcast_to(keep * grid.derivative(axis), keep.shape) for axis in range(3)]
        square = -grid.laplacian()
        inverse = np.where(square > 0, 1 / np.where(square > 0, square, 1), 0)

        def N(t: Any, x: Spectrum) -> Spectrum:
            del t
            u, v, w = grid.to_points(like(keep, x) * x)
            a, b, uv, uw, vw = grid.to_modes(jnp.stack([u * u - w * w, v * v - w * w, u * v, u * w, v * w]))
            dx, dy, dz = (like(each, x) for each in d)
            rate = [-(dx * a + dy * uv + dz * uw), -(dx * uv + dy * b + dz * vw), -(dx * uw + dy * vw)]
            pressure = like(inverse, x) * (dx * rate[0] + dy * rate[1] + dz * rate[2])
            return jnp.stack([r + each * pressure for r, each in zip(rate, (dx, dy, dz), strict=True)])

        return N

    def initial(self, grid: Box) -> np.ndarray:
        """The Taylor-Green vortex, one wave along each axis, of largest velocity 1."""
        x, y, z = (2 * np.pi * c / s for c, s in zip(grid.coordinates(), grid.length, strict=True))
        u = np.sin(x) * np.cos(y) * np.cos(z)
        v = -np.cos(x) * np.sin(y) * np.cos(z) * grid.length[1] / grid.length[0]
        return np.stack([u, v, np.zeros_like(u)])

    def invariants(self, grid: Box, modes: Spectrum) -> dict[str, Field]:
        """energy int |u|^2/2 and helicity int u . curl u; viscosity takes energy out at viscosity int |curl u|^2."""
        u = [modes[..., i, :, :, :] for i in range(3)]
        curl = self.vorticity(grid, u)
        energy = [grid.inner(each, each) for each in u]
        helicity = [grid.inner(a, b) for a, b in zip(u, curl, strict=True)]
        return {"energy": (energy[0] + energy[1] + energy[2]) / 2, "helicity": helicity[0] + helicity[1] + helicity[2]}

    def vorticity(self, grid: Box, u: Any) -> list[Spectrum]:
        """Modes of curl u."""
        d = lambda axis, f: like(grid.derivative(axis), f) * f  # noqa: E731
        return [d(1, u[2]) - d(2, u[1]), d(2, u[0]) - d(0, u[2]), d(0, u[1]) - d(1, u[0])]

    def beltrami(self, grid: Box, t: float | int) -> np.ndarray:
        """The ABC flow with A = B = C = 1, exact on a cube: every mode decays, curl u is a multiple of u."""
        x, y, z = (2 * np.pi * c / s for c, s in zip(grid.coordinates(), grid.length, strict=True))
        u = [np.sin(z) + np.cos(y) + 0 * x, np.sin(x) + np.cos(z) + 0 * y, np.sin(y) + np.cos(x) + 0 * z]
        return np.exp(-float(self.viscosity) * (2 * np.pi / grid.length[0]) ** 2 * t) * np.stack(u)


class Boussinesq(Equation):
    """Stratified flow in two dimensions: vorticity w and buoyancy b, y pointing upwards.

        w_t + u . grad w = viscosity Laplacian(w) + b_x
        b_t + u . grad b = diffusivity Laplacian(b) - stratification v

    stratification  N^2, the buoyancy frequency squared: > 0 carries internal waves of frequency N kx/|k|, exact here;
                    < 0 convects (warm below); 0 lets blobs rise as plumes

    What one sees: with N^2 = 1 beams of waves at an angle set by their frequency; with 0 a warm blob that rises and
    rolls up into mushrooms. Good values: viscosity = diffusivity = 1e-3, 128 points on a side of 2 pi.
    """

    dims: ClassVar[tuple[int, ...]] = (2,)
    fields: ClassVar[tuple[str, ...]] = ("w", "b")
    numbers: ClassVar[tuple[str, ...]] = ("viscosity", "diffusivity", "stratification")
    viscosity: Any = 1e-3
    diffusivity: Any = 1e-3
    stratification: Any = 0.0
    dealias: float | int = eqx.field(static=True, default=2 / 3)

    def symbol(self, grid: Box) -> Any:
        square, dx = grid.laplacian(), np.broadcast_to(grid.derivative(0), grid.modes_shape())
        back = -exactly(self.stratification) * velocity_symbols(grid)[1]
        rows = [[exactly(self.viscosity) * square + 0j, dx], [back + 0j, exactly(self.diffusivity) * square + 0j]]
        return _matrix(rows)

    def nonlinear(self, grid: Box) -> Callable:
        keep = grid.mask(self.dealias)
        stream = np.stack([keep * symbol for symbol in velocity_symbols(grid)])
        dx, dy = (np.broadcast_to(keep * grid.derivative(axis), keep.shape) for axis in range(2))
        kx, ky = grid.wavenumbers()
        square, cross = keep * (kx**2 - ky**2), keep * kx * ky  # u . grad w in Basdevant's form, as in NavierStokes2D

        def N(t: Any, x: Spectrum) -> Spectrum:
            del t
            u, v, b = grid.to_points(jnp.concatenate([like(stream, x) * x[0], like(keep, x) * x[1:]]))
            uv, difference, ub, vb = grid.to_modes(jnp.stack([u * v, v * v - u * u, u * b, v * b]))
            return jnp.stack(
                [like(square, x) * uv + like(cross, x) * difference, -(like(dx, x) * ub + like(dy, x) * vb)]
            )

        return N

    def initial(self, grid: Box) -> np.ndarray:
        """A warm blob at rest in the lower half, with a small dent to one side."""
        (x, y), (lx, ly) = grid.coordinates(), grid.length
        x, y = (x - grid.start[0]) / lx - 0.5, (y - grid.start[1]) / ly - 0.3
        b = np.exp(-((x**2 + y**2) / 0.08**2) / 2) * (1 + 0.1 * np.sin(8 * np.arctan2(y, x)))
        b = b - b.mean()
        return np.stack([np.zeros_like(b), b])

    def invariants(self, grid: Box, modes: Spectrum) -> dict[str, Field]:
        """kinetic energy, mass of buoyancy, and, with N^2 > 0, the energy of flow and waves int (|u|^2 + b^2/N^2)/2."""
        w, b = modes[..., 0, :, :], modes[..., 1, :, :]
        u, v = (like(symbol, modes) * w for symbol in velocity_symbols(grid))
        kinetic = 0.5 * (grid.inner(u, u) + grid.inner(v, v))
        found = {"kinetic energy": kinetic, "mass of b": grid.integral(grid.to_points(b))}
        N2 = self.stratification
        if isinstance(N2, Tracer) or N2 > 0:
            found["energy"] = kinetic + 0.5 * grid.inner(b, b) / like(N2, kinetic)
        return found

    def internal_wave(self, grid: Box, t: float | int, waves: tuple[int, int], amplitude: float = 0.1) -> np.ndarray:
        """One plane internal wave, which solves the whole equation: its own advection vanishes. Equal viscosity and
        diffusivity."""
        (x, y), (m, n) = grid.coordinates(), waves
        kx, ky = 2 * np.pi * m / grid.length[0], 2 * np.pi * n / grid.length[1]
        square = kx**2 + ky**2
        N = np.sqrt(float(self.stratification))
        angle = kx * (x - grid.start[0]) + ky * (y - grid.start[1]) - N * kx / np.sqrt(square) * t
        decay = amplitude * np.exp(-float(self.viscosity) * square * t)
        return decay * np.stack([np.cos(angle), -N / np.sqrt(square) * np.cos(angle)])


class MagneticFlow2D(Equation):
    """Incompressible magnetohydrodynamics in two dimensions, in Elsaesser's variables z+- = u +- b.

        z+-_t -+ (field . grad) z+- + (z-+ . grad) z+- = -grad P + nu Laplacian(z+-) + mu Laplacian(z-+)
        nu = (viscosity + resistivity)/2,   mu = (viscosity - resistivity)/2

    The unknowns are the curls of z+ and z-: vorticity + current and vorticity - current.
    field  the mean magnetic field (Bx, By), in units of velocity. Alfven waves along it are exact.

    What one sees, from Orszag and Tang's vortex: sheets of current that thin, tear and fade, magnetic energy turned
    into flow. Good values: viscosity = resistivity = 0.005 with 128 points on a side of 2 pi.
    Source: Orszag, Tang, J. Fluid Mech. 90 (1979) 129.
    """

    dims: ClassVar[tuple[int, ...]] = (2,)
    fields: ClassVar[tuple[str, ...]] = ("z+", "z-")
    numbers: ClassVar[tuple[str, ...]] = ("viscosity", "resistivity")
    viscosity: Any = 5e-3
    resistivity: Any = 5e-3
    field: Any = (0.0, 0.0)
    dealias: float | int = eqx.field(static=True, default=2 / 3)

    def check(self, grid: Box) -> None:
        if len(tuple(self.field)) != 2 or any(varies(B) for B in self.field):
            raise ValueError(f"MagneticFlow2D: field = {self.field!r} is the mean field, two numbers (Bx, By).")
        super().check(grid)

    def symbol(self, grid: Box) -> Any:
        square = grid.laplacian()
        along = sum(exactly(B) * grid.derivative(axis) for axis, B in enumerate(self.field))
        nu, eta = exactly(self.viscosity), exactly(self.resistivity)
        both, cross = (nu + eta) / 2 * square, (nu - eta) / 2 * square + 0j
        return _matrix([[both + along, cross], [cross, both - along]])

    def nonlinear(self, grid: Box) -> Callable:
        keep = grid.mask(self.dealias)
        stream = np.stack([keep * symbol for symbol in velocity_symbols(grid)])
        dx, dy = (np.broadcast_to(grid.derivative(axis), keep.shape) for axis in range(2))
        dxx, dxy, dyy = (keep * np.real(one * other) for one, other in ((dx, dx), (dx, dy), (dy, dy)))

        def N(t: Any, x: Spectrum) -> Spectrum:
            del t
            (px, py), (mx, my) = (grid.to_points(like(stream, x) * one) for one in x)
            a, b, c = grid.to_modes(jnp.stack([px * mx - py * my, mx * py, my * px]))
            # curl of div(z- z+) = d_x d_i (z-_i z+_y) - d_y d_i (z-_i z+_x), and the same with the signs exchanged
            xx, xy, yy = (like(each, x) for each in (dxx, dxy, dyy))
            return xy * a - jnp.stack([xx * b - yy * c, xx * c - yy * b])

        return N

    def initial(self, grid: Box) -> np.ndarray:
        """Orszag and Tang's vortex: u = (-sin y, sin x), b = (-sin y, sin 2x), one wave of u in the box."""
        x, y = (2 * np.pi * c / s for c, s in zip(grid.coordinates(), grid.length, strict=True))
        kx, ky = (2 * np.pi / s for s in grid.length)
        vorticity = kx * np.cos(x) + ky * np.cos(y)
        current = 2 * kx * np.cos(2 * x) + ky * np.cos(y)
        return np.stack([vorticity + current, vorticity - current])

    def invariants(self, grid: Box, modes: Spectrum) -> dict[str, Field]:
        """energy int (|u|^2 + |b|^2)/2 and cross helicity int u . b: both stay without viscosity and resistivity."""
        size = []
        for i in range(2):
            parts = [like(symbol, modes) * modes[..., i, :, :] for symbol in velocity_symbols(grid)]
            size.append(sum(grid.inner(part, part) for part in parts))
        return {"energy": (size[0] + size[1]) / 4, "cross helicity": (size[0] - size[1]) / 4}

    def alfven_wave(self, grid: Box, u0: np.ndarray, t: float | int) -> np.ndarray:
        """Any z+ alone, carried against the mean field and worn down: exact with equal viscosity and resistivity."""
        symbol = float(self.viscosity) * grid.laplacian() + sum(
            float(B) * grid.derivative(axis) for axis, B in enumerate(self.field)
        )
        moved = np.fft.irfft2(np.fft.rfft2(u0) * np.exp(symbol * t), s=grid.shape)
        return np.stack([moved, np.zeros_like(moved)])


def _matrix(rows: list[list[Any]]) -> Any:
    """(fields, fields, *modes), on the host where everything is concrete."""
    xp = jnp if any(isinstance(entry, Tracer) for row in rows for entry in row) else np
    return xp.stack([xp.stack([xp.asarray(entry) for entry in row]) for row in rows])
