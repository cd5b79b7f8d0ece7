"""Waves that disperse: Korteweg-de Vries and nonlinear Schroedinger. Both have solitons in closed form."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from duhamel.core.linear import like
from duhamel.core.types import Field, Spectrum

from .coefficients import placed, varies
from .dissipative import steepening
from .equation import Box, Equation, exactly
from .grid import Grid
from .space import Space


class KdV(Equation):
    """Korteweg-de Vries equation: waves in shallow water.

        u_t + convection u u_x + dispersion u_xxx = 0

    convection  6 (the usual scaling) or 1
    dispersion  1; smaller values make narrower, more numerous solitons (0.022^2: Zabusky and Kruskal)

    What one sees: humps that keep their shape, taller ones faster, and pass through each other with a shift. Good
    values: length 40, 256 points, 800 steps of ETDRK4 per unit of time for a soliton of speed 4 (error 1e-8).
    """

    spaces: ClassVar[tuple[type, ...]] = (Grid, Space)
    numbers: ClassVar[tuple[str, ...]] = ("convection", "dispersion")
    convection: Any = 6.0
    dispersion: Any = 1.0
    dealias: float | int = eqx.field(static=True, default=2 / 3)

    def symbol(self, grid: Box) -> Any:
        return -exactly(self.dispersion) * grid.derivative(order=3)

    def nonlinear(self, grid: Box) -> Callable:
        steepen = steepening(grid, self.dealias)
        return lambda t, x: like(self.convection, x) * steepen(t, x)

    def initial(self, grid: Box) -> np.ndarray:
        """Two solitons of speeds 4 and 1.44 (times the dispersion), the faster behind."""
        (x,), (length,) = grid.coordinates(), grid.length
        return self.solitons(x, 0.0, (1.0, 0.6), (grid.start[0] + 0.25 * length, grid.start[0] + 0.5 * length))

    def invariants(self, grid: Box, modes: Spectrum) -> dict[str, Field]:
        """mass int u, momentum int u^2/2, energy int (dispersion/2 u_x^2 - convection/6 u^3)."""
        u = grid.to_points(modes)
        cubic, slopes = grid.integral(u**3), grid.integral(grid.slope(modes) ** 2)
        return {
            "mass": grid.integral(u),
            "momentum": 0.5 * grid.inner(modes, modes),
            "energy": 0.5 * like(self.dispersion, u) * slopes - like(self.convection, u) / 6 * cubic,
        }

    def solitons(self, x: np.ndarray, t: float | int, kappa: Sequence[float], at: Sequence[float]) -> np.ndarray:
        """The exact n-soliton solution on the line, float64.

            u = (6 dispersion/convection) 2 (log tau)_xx,   tau = sum over subsets S of the solitons of
            prod_{i<j in S} ((k_i - k_j)/(k_i + k_j))^2 exp(sum_{i in S} 2 k_i (x - x_i - 4 k_i^2 dispersion t))

        Soliton i alone has speed 4 k_i^2 dispersion, height 12 k_i^2 dispersion/convection, and, if it stands to the
        left of all others, its crest at x_i. (log tau)_xx is the variance of the exponents' slopes under the weights
        of the sum, computed pairwise: no cancellation, no overflow. Source: Hirota, Phys. Rev. Lett. 27 (1971) 1192.
        """
        delta, alpha = float(self.dispersion), float(self.convection)
        exponents, slopes = [], []
        for subset in range(2 ** len(kappa)):
            members = [i for i in range(len(kappa)) if subset >> i & 1]
            pairs = [(kappa[i], kappa[j]) for i in members for j in members if i < j]
            coupling = sum(2 * np.log(abs((a - b) / (a + b))) for a, b in pairs)
            phase = sum((2 * kappa[i] * (x - at[i] - 4 * kappa[i] ** 2 * delta * t) for i in members), np.zeros_like(x))
            exponents.append(phase + coupling)
            slopes.append(2 * sum(kappa[i] for i in members))
        weights = np.exp(exponents - np.max(exponents, axis=0))
        weights = weights / np.sum(weights, axis=0)
        variance = np.zeros_like(x)
        for i in range(len(slopes)):
            for j in range(i):
                variance = variance + weights[i] * weights[j] * (slopes[i] - slopes[j]) ** 2
        return 6 * delta / alpha * 2 * variance

    def soliton(self, grid: Box, t: float | int, speed: float | int, at: float | int) -> np.ndarray:
        """One soliton that travels around the box, crest at `at` when t = 0; exact up to e^(-k length)."""
        (x,), (length,) = grid.coordinates(), grid.length
        kappa = 0.5 * np.sqrt(speed / float(self.dispersion))
        y = (x - at - speed * t + 0.5 * length) % length - 0.5 * length
        return self.solitons(y, 0.0, (float(kappa),), (0.0,))


class NLSE(Equation):
    """Nonlinear Schroedinger equation: light in a fibre, waves on deep water. Complex field, 1 to 3 dimensions.

        i psi_t + dispersion Laplacian(psi) + coupling |psi|^2 psi = 0

    dispersion  1/2 (the usual scaling)
    coupling    1 focusing, with bright solitons and modulational instability; -1 defocusing; or a field

    What one sees, focusing: solitons of any height and speed that pass through each other; a flat wave that breaks up
    into breathers. In 2 and 3 dimensions focusing waves may collapse. Good values: length 40, 256 points, ETDRK4
    with steps of 1e-3.
    """

    dims: ClassVar[tuple[int, ...]] = (1, 2, 3)
    real: ClassVar[bool] = False
    numbers: ClassVar[tuple[str, ...]] = ("dispersion",)
    varying: ClassVar[tuple[str, ...]] = ("coupling",)
    dispersion: Any = 0.5
    coupling: Any = 1.0
    dealias: float | int = eqx.field(static=True, default=2 / 3)

    def symbol(self, grid: Box) -> Any:
        return 1j * exactly(self.dispersion) * grid.laplacian(real=False)

    def nonlinear(self, grid: Box) -> Callable:
        keep, coupling = grid.mask(self.dealias, real=False), placed(self, grid).coupling
        field = varies(coupling)  # a number is multiplied last, with the modes

        def N(t: Any, x: Spectrum) -> Spectrum:
            del t
            mask = like(keep, x)
            psi = grid.to_points(mask * x, real=False)
            intensity = psi.real**2 + psi.imag**2
            if field:
                return 1j * mask * grid.to_modes(like(coupling, intensity) * intensity * psi, real=False)
            return like(1j * coupling, x) * mask * grid.to_modes(intensity * psi, real=False)

        return N

    def initial(self, grid: Box) -> np.ndarray:
        """One dimension: a soliton of height 1 and speed 1 on a quarter of the box. Else: a Gaussian of width L/10."""
        if grid.dim == 1:
            return self.soliton(grid, 0.0, 1.0, 1.0, grid.start[0] + 0.25 * grid.length[0])
        middle = [a + 0.5 * s for a, s in zip(grid.start, grid.length, strict=True)]
        square = sum(
            ((x - m) / (0.1 * s)) ** 2 for x, m, s in zip(grid.coordinates(), middle, grid.length, strict=True)
        )
        return np.exp(-0.5 * np.asarray(square)) + 0j

    def invariants(self, grid: Box, modes: Spectrum) -> dict[str, Field]:
        """mass int |psi|^2, momentum Im int conj(psi) psi_x (one per axis), energy
        int (dispersion |grad psi|^2 - coupling/2 |psi|^4)."""
        psi = grid.to_points(modes, real=False)
        mass = grid.inner(modes, modes, real=False).real
        gradient, momenta = jnp.zeros_like(mass), {}
        for axis in range(grid.dim):
            slope = like(grid.derivative(axis, real=False), modes) * modes
            gradient = gradient + grid.inner(slope, slope, real=False).real
            name = "momentum" if grid.dim == 1 else f"momentum {'xyz'[axis]}"
            momenta[name] = grid.inner(modes, slope, real=False).imag
        coupling = like(placed(self, grid).coupling, mass)
        quartic = grid.integral(coupling * (psi.real**2 + psi.imag**2) ** 2)
        energy = like(self.dispersion, mass) * gradient - 0.5 * quartic
        return {"mass": mass, **momenta, "energy": energy}

    def soliton(
        self, grid: Box, t: float | int, height: float | int, speed: float | int, at: float | int
    ) -> np.ndarray:
        """Bright soliton on a periodic line, centre at `at` when t = 0. With d = dispersion, g = coupling > 0:

            psi = a sech(a s y) exp(i (v/(2d) y + (g a^2/2 + v^2/(4d)) t)),   y = x - at - v t,   s = sqrt(g/(2d))

        Exact up to e^(-a s length/2), where the tails meet; v length/(4 pi d) should be a whole number, or the phase
        jumps there.
        """
        d, g = float(self.dispersion), float(self.coupling)
        (x,), (length,) = grid.coordinates(), grid.length
        y = (x - at - speed * t + 0.5 * length) % length - 0.5 * length
        phase = speed / (2 * d) * y + (0.5 * g * height**2 + speed**2 / (4 * d)) * t
        return height / np.cosh(height * np.sqrt(g / (2 * d)) * y) * np.exp(1j * phase)

    def breather(self, grid: Box, t: float | int, a: float | int = 0.25) -> np.ndarray:
        """Akhmediev's breather on the plane wave e^(it)/sqrt(g), highest at t = 0. With y = x/sqrt(2d), 0 < a < 1/2:

            psi = e^(it)/sqrt(g) (1 + (2 (1-2a) cosh(bt) + i b sinh(bt))/(sqrt(2a) cos(W y) - cosh(bt)))
            b = sqrt(8a (1-2a)),   W = 2 sqrt(1-2a)

        The box must hold a whole number of periods 2 pi sqrt(2d)/W. The crest is 1 + 2 sqrt(2a) times the wave; a = 1/4
        grows fastest. Source: Akhmediev and Korneev, Theor. Math. Phys. 69 (1986) 1089.
        """
        d, g = float(self.dispersion), float(self.coupling)
        b, wave = np.sqrt(8 * a * (1 - 2 * a)), 2 * np.sqrt(1 - 2 * a)
        y = grid.coordinates()[0] / np.sqrt(2 * d)
        top = 2 * (1 - 2 * a) * np.cosh(b * t) + 1j * b * np.sinh(b * t)
        return np.exp(1j * t) / np.sqrt(g) * (1 + top / (np.sqrt(2 * a) * np.cos(wave * y) - np.cosh(b * t)))
