"""Diffusion, and what happens at every point besides: heat, invasion, phase fronts, spots, excitable media.

    u_t = D Laplacian(u) + rate u + reaction(u);   div(D grad u) + r(x) u + reaction(x, u) where parameters are fields

Diffusion and the linear rate are exact in every method that treats L exactly; of fields the level is, and the rest is
part of the reaction (`coefficients`). Boxes may have walls, with values or fluxes given there.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from scipy.special import expit

from duhamel.core.linear import like
from duhamel.core.types import Field, Spectrum

from .coefficients import check_parameters, diffusion, level, on_points, placed, plain, rest, strength
from .equation import Box, Equation, exactly, stack
from .grid import Grid
from .space import Space


class ReactionDiffusion(Equation):
    """Abstract: a subclass gives the coefficient of diffusion and the linear rate of each field, and the reaction.

    class Own(ReactionDiffusion):
        varying = ("capacity",)
        capacity: Any = 1.0
        def linear_part(self): return (0.1,), (1.0,)
        def reaction(self, u): return -u * u / self.capacity
    """

    dims: ClassVar[tuple[int, ...]] = (1, 2, 3)
    spaces: ClassVar[tuple[type, ...]] = (Grid, Space)

    @abstractmethod
    def linear_part(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """(diffusivities, rates), one of each per field."""

    @abstractmethod
    def reaction(self, u: Field) -> Field:
        """The rest, at the points; (fields, *points) where there are several fields."""

    def symbol(self, grid: Box) -> Any:
        parts = zip(*self._linear_at(grid), strict=True)
        symbols = [level(D, top=True) * grid.laplacian() + level(rate) for D, rate in parts]
        return symbols[0] if len(symbols) == 1 else stack(symbols)

    def nonlinear(self, grid: Box) -> Callable:
        keep, here = grid.mask(self.dealias), placed(self, grid)
        spread, grow = (
            [rest(on_points(v, grid), base, top) for v, base in zip(fine, coarse, strict=True)]
            for top, fine, coarse in zip((True, False), here.linear_part(), self._linear_at(grid), strict=True)
        )

        def N(t: Any, x: Spectrum) -> Spectrum:
            del t
            x = like(keep, x) * x
            u = grid.to_points(x)
            rate = here.reaction(u)
            if any(r is not None for r in grow):
                rate = rate + self._each(u, lambda v, i: 0 * v if grow[i] is None else like(grow[i], v) * v)
            found = grid.project(rate)
            if any(d is not None for d in spread):
                moved = lambda v, i: 0 * v if spread[i] is None else diffusion(grid, v, spread[i])  # noqa: E731
                found = found + self._each(x, moved)
            return like(keep, x) * found

        return N

    def _linear_at(self, grid: Box) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        diffusivities, rates = placed(self, plain(grid)).linear_part()
        return diffusivities, rates

    def _each(self, x: Any, what: Callable) -> Any:
        """what(one field, its number) of every field."""
        if len(self.fields) == 1:
            return what(x, 0)
        return jnp.stack([what(x[i], i) for i in range(len(self.fields))])

    def explicit_diffusion(self, grid: Box) -> tuple[Any, Any]:
        each = [strength(grid, D) for D in self._linear_at(grid)[0]]
        return next((one for one in each if isinstance(one[0], Tracer)), max(each))

    def check(self, grid: Box) -> None:
        check_parameters(self, grid)
        self._check_parts(grid)
        super().check(grid)

    def _check_parts(self, grid: Box) -> None:
        """One diffusivity and one rate per field, and a reaction of u's shape."""
        title, here = type(self).__name__, placed(self, plain(grid))
        for name, found in zip(("diffusivities", "rates"), here.linear_part(), strict=True):
            if len(found) != len(self.fields):
                raise ValueError(
                    f"{title}.linear_part() gives {len(found)} {name} for {len(self.fields)} fields "
                    f"({', '.join(self.fields)}); give one for each."
                )
            for field, value in zip(self.fields, found, strict=True):
                on_points(value, plain(grid), f"{title}: one of the {name}, that of {field},")
        u = jax.ShapeDtypeStruct(self.shape(grid), jnp.result_type(float))
        shape = jnp.shape(jax.eval_shape(here.reaction, u))
        if shape != u.shape:
            raise ValueError(
                f"{title}.reaction(u) has shape {shape} where u has {u.shape}; return one rate per field and point."
            )

    def invariants(self, grid: Box, modes: Spectrum) -> dict[str, Field]:
        """mass of every field, int u."""
        u = grid.to_points(modes)
        if len(self.fields) == 1:
            return {"mass": grid.integral(u)}
        mass = grid.integral(u)  # (..., fields)
        return {f"mass of {name}": mass[..., i] for i, name in enumerate(self.fields)}


class Heat(ReactionDiffusion):
    """Heat equation, u_t = diffusivity Laplacian(u) + source; div(diffusivity grad u) where that is a field.

    Between walls u = value is a temperature held, du/dn = value a flux let in per unit of diffusivity, and
    alpha u + beta du/dn = value loss to surroundings (Newton's law of cooling).

    What one sees: what is rough fades first, e^(-diffusivity k^2 t) for wavenumber k; then a steady profile.
    """

    varying: ClassVar[tuple[str, ...]] = ("diffusivity", "source")
    diffusivity: Any = 1.0
    source: Any = 0.0
    dealias: float | int = eqx.field(static=True, default=1)

    def linear_part(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return (self.diffusivity,), (0.0,)

    def reaction(self, u: Field) -> Field:
        return jnp.broadcast_to(jnp.asarray(self.source, u.dtype), u.shape)

    def initial(self, grid: Box) -> np.ndarray:
        """A bump off the middle, on top of the walls' own profile."""
        square = sum(
            ((x - a - 0.4 * s) / (0.1 * s)) ** 2
            for x, a, s in zip(grid.coordinates(), grid.start, grid.length, strict=True)
        )
        bump = np.broadcast_to(np.exp(-square / 2), grid.shape)
        return bump + grid.lift if isinstance(grid, Space) and grid.has_lift else bump


class FisherKPP(ReactionDiffusion):
    """Fisher-KPP equation: a gene, a flame or a tumour that invades.

        u_t = diffusivity Laplacian(u) + growth u (1 - u)

    What one sees: u grows to 1 and fronts spread at speed 2 sqrt(diffusivity growth), faster from tails that decay more
    slowly than e^(-x sqrt(growth/diffusivity)). Good values: diffusivity = growth = 1 on a length of 60.
    """

    varying: ClassVar[tuple[str, ...]] = ("diffusivity", "growth")
    diffusivity: Any = 1.0
    growth: Any = 1.0
    dealias: float | int = eqx.field(static=True, default=2 / 3)

    def linear_part(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return (self.diffusivity,), (self.growth,)

    def reaction(self, u: Field) -> Field:
        return -like(self.growth, u) * u * u

    def initial(self, grid: Box) -> np.ndarray:
        """A small settlement in the middle of the first axis."""
        x = grid.coordinates()[0] - grid.start[0] - grid.length[0] / 2
        return np.broadcast_to(0.5 * np.exp(-(x**2)), grid.shape).copy()

    def front(self, x: np.ndarray, t: float | int) -> np.ndarray:
        """The exact front of speed 5/sqrt(6) sqrt(diffusivity growth), u -> 1 on the left.

        Source: Ablowitz, Zeppetella, Bull. Math. Biol. 41 (1979) 835.
        """
        D, r = float(self.diffusivity), float(self.growth)
        return (1 + np.exp(np.sqrt(r / (6 * D)) * x - 5 / 6 * r * t)) ** -2


class AllenCahn(ReactionDiffusion):
    """Allen-Cahn equation: two phases, u = -1 and u = 1, and the cost of the wall between them.

        u_t = width^2 Laplacian(u) + u - u^3

    What one sees: phases form in a time of order 1, then fronts of thickness width sqrt(2) move by their curvature
    (a disk of radius r shrinks as r^2 = r0^2 - 2 width^2 t); on a line they stand almost still. The energy
    int width^2 |grad u|^2/2 + (1 - u^2)^2/4 falls. Good values: width = 0.01 to 0.1 of the box, 4 points per width.
    """

    varying: ClassVar[tuple[str, ...]] = ("width",)
    width: Any = 0.05
    dealias: float | int = eqx.field(static=True, default=1 / 2)

    def linear_part(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return (exactly(self.width) ** 2,), (1.0,)

    def reaction(self, u: Field) -> Field:
        return -(u**3)

    def initial(self, grid: Box) -> np.ndarray:
        """Two stripes with rounded walls, and a wave along them."""
        x = 2 * np.pi * (grid.coordinates()[0] - grid.start[0]) / grid.length[0]
        rest = [np.cos(2 * np.pi * (y - b) / s) for y, b, s in zip(*_rest(grid), strict=True)]
        return np.broadcast_to(0.8 * np.cos(x) + 0.2 * sum(rest, np.zeros(1)), grid.shape).copy()

    def invariants(self, grid: Box, modes: Spectrum) -> dict[str, Field]:
        """energy, which falls, and mass, which nothing conserves."""
        u = grid.to_points(modes)
        slopes = sum(grid.slope(modes, axis) ** 2 for axis in range(grid.dim))
        energy = like(exactly(placed(self, grid).width) ** 2 / 2, u) * slopes + (1 - u * u) ** 2 / 4
        return {"energy": grid.integral(energy), "mass": grid.integral(u)}

    def front(self, x: np.ndarray, t: float | int) -> np.ndarray:
        """An exact front in one dimension, from -1 on the left to 0, moving to the right at 3 width/sqrt(2)."""
        w = float(self.width)
        return -1 / (1 + np.exp((x - 3 * w * t / np.sqrt(2)) / (np.sqrt(2) * w)))


class GrayScott(ReactionDiffusion):
    """Gray-Scott model: a substrate u is fed, v feeds on it, two v make a third.

        u_t = diffusivity_u Laplacian(u) - u v^2 + feed (1 - u)
        v_t = diffusivity_v Laplacian(v) + u v^2 - (feed + kill) v

    What one sees, with the default diffusivities and 100 points per unit of length: (feed, kill) = (0.014, 0.054)
    gliders, (0.098, 0.057) bubbles, (0.029, 0.057) maze, (0.058, 0.065) worms, (0.018, 0.051) spirals, (0.03, 0.062)
    spots. Patterns take times of 1000 and more. Source: Pearson, Science 261 (1993) 189.
    """

    fields: ClassVar[tuple[str, ...]] = ("u", "v")
    varying: ClassVar[tuple[str, ...]] = ("feed", "kill", "diffusivity_u", "diffusivity_v")
    feed: Any = 0.03
    kill: Any = 0.062
    diffusivity_u: Any = 2e-5
    diffusivity_v: Any = 1e-5
    dealias: float | int = eqx.field(static=True, default=1 / 2)

    def linear_part(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        feed, kill = exactly(self.feed), exactly(self.kill)
        return (self.diffusivity_u, self.diffusivity_v), (-feed, -(feed + kill))

    def reaction(self, u: Field) -> Field:
        substrate, v = u[0], u[1]
        eaten = substrate * v * v
        return jnp.stack([like(self.feed, u) - eaten, eaten])

    def initial(self, grid: Box) -> np.ndarray:
        """u = 1, v = 0, but for a few round patches of u = 1/2, v = 1/4, the same every time."""
        rng, v = np.random.default_rng(0), np.zeros(grid.shape)
        for _ in range(12):
            centre = [a + s * rng.uniform(0.1, 0.9) for a, s in zip(grid.start, grid.length, strict=True)]
            square = sum(
                ((x - c) / (0.05 * s)) ** 2 for x, c, s in zip(grid.coordinates(), centre, grid.length, strict=True)
            )
            v = np.maximum(v, expit(8 * (1 - square)))
        return np.stack([1 - v / 2, v / 4])


class FitzHughNagumo(ReactionDiffusion):
    """FitzHugh-Nagumo model: a signal u in an excitable medium and its slow recovery v.

        u_t = diffusivity_u Laplacian(u) + u - u^3 - threshold - v
        v_t = diffusivity_v Laplacian(v) + u - v

    The defaults are PDEBench's two-dimensional diffusion-reaction set, on a box [-1, 1]^2 with no flux through its
    walls: stripes and spots after times of order 5 (Turing's instability, diffusivity_v above diffusivity_u).
    Source: Takamoto et al., PDEBench, NeurIPS 2022, appendix D.5.
    """

    fields: ClassVar[tuple[str, ...]] = ("u", "v")
    varying: ClassVar[tuple[str, ...]] = ("diffusivity_u", "diffusivity_v", "threshold")
    diffusivity_u: Any = 1e-3
    diffusivity_v: Any = 5e-3
    threshold: Any = 5e-3
    dealias: float | int = eqx.field(static=True, default=1 / 2)

    def linear_part(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return (self.diffusivity_u, self.diffusivity_v), (1.0, -1.0)

    def reaction(self, u: Field) -> Field:
        signal, recovery = u[0], u[1]
        return jnp.stack([-(signal**3) - like(self.threshold, u) - recovery, signal])

    def initial(self, grid: Box) -> np.ndarray:
        """A smooth random field of each, the same every time."""
        rng = np.random.default_rng(0)
        total = np.zeros((2, *grid.shape))
        for _ in range(24):
            waves = 1.0
            for x, a, s in zip(grid.coordinates(), grid.start, grid.length, strict=True):
                waves = waves * np.cos(2 * np.pi * rng.integers(0, 5) * (x - a) / s + rng.uniform(0, 2 * np.pi))
            total += rng.normal(size=(2, *[1] * grid.dim)) * waves / np.sqrt(12)
        return total


def _rest(grid: Box) -> tuple[tuple, tuple, tuple]:
    """(coordinates, starts, lengths) of all axes but the first."""
    return grid.coordinates()[1:], grid.start[1:], grid.length[1:]
