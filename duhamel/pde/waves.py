"""Transport and waves: advection, the wave equation, Klein-Gordon and sine-Gordon, Schroedinger's equation.

Second order in time is written as two fields, u and v = u_t; the matrix that mixes them, one per mode, is exact in
every exponential method, so waves of any frequency keep their phase.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from duhamel.core.linear import like
from duhamel.core.types import Field, Spectrum

from .coefficients import check_parameters, diffusion, level, on_points, placed, plain, rest, strength, varies
from .equation import Box, Equation, exactly
from .grid import Grid
from .operator import Operator
from .pattern import refuse_lift
from .space import Space


class Advection(Equation):
    """Linear advection with diffusion, u_t + velocity . grad u = diffusivity Laplacian(u).

    velocity  a number, or one per axis. Exact in time at any step: a test of spaces and of output, and the linear part
              of much else. Between walls: a Chebyshev axis, with u where the flow enters, and at both ends if there is
              diffusion. An entry may be a field: steps must then resolve what differs from the level
    diffusivity  as a field, div(diffusivity grad u)
    """

    varying: ClassVar[tuple[str, ...]] = ("velocity", "diffusivity")

    dims: ClassVar[tuple[int, ...]] = (1, 2, 3)
    spaces: ClassVar[tuple[type, ...]] = (Grid, Space)
    velocity: Any = 1.0
    diffusivity: Any = 0.0
    dealias: float | int = eqx.field(static=True, default=1)

    def symbol(self, grid: Box) -> Any:
        here = placed(self._by_axis(grid.dim), plain(grid))
        drift = sum(level(c) * grid.derivative(axis) for axis, c in enumerate(here.velocity))
        return level(here.diffusivity, top=True) * grid.laplacian() - drift

    def nonlinear(self, grid: Box) -> Callable:
        each = self._by_axis(grid.dim)
        base, here = placed(each, plain(grid)), placed(each, grid)
        faster = [rest(c, b) for c, b in zip(here.velocity, base.velocity, strict=True)]
        spread, keep = rest(here.diffusivity, base.diffusivity, top=True), grid.mask(self.dealias)

        def N(t: Any, x: Spectrum) -> Spectrum:
            del t
            rate = jnp.zeros_like(x)
            x = like(keep, x) * x
            for axis, c in enumerate(faster):
                if c is not None:
                    slope = grid.slope(x, axis)
                    rate = rate - like(keep, x) * grid.project(like(c, slope) * slope)
            return rate if spread is None else rate + like(keep, x) * diffusion(grid, x, spread)

        return N

    def explicit_diffusion(self, grid: Box) -> tuple[Any, Any]:
        return strength(grid, placed(self._by_axis(grid.dim), plain(grid)).diffusivity)

    def check(self, grid: Box) -> None:
        each = self._by_axis(grid.dim)
        check_parameters(each, grid)
        super(Advection, each).check(grid)
        here = placed(each, plain(grid))
        for axis, c in enumerate(here.velocity):
            turns = varies(c) and not isinstance(c, Tracer) and np.min(c) < 0 < np.max(c)
            if turns and isinstance(grid, Space) and axis in grid.mixed and level_is_zero(here.diffusivity):
                raise ValueError(
                    f"velocity[{axis}] changes its sign along a Chebyshev axis, where u is given at one end only; give "
                    "a velocity of one sign there, or a diffusivity and u at both ends."
                )

    def _by_axis(self, dim: int) -> "Advection":
        """With one velocity per axis, as a tuple."""
        c = self.velocity
        if not isinstance(c, tuple | list):
            many = not callable(c) and np.ndim(c) > 0 and (dim > 1 or np.shape(c) == (1,))
            c = tuple(c) if many else (c,) * dim  # pyright: ignore[reportArgumentType]
        if len(c) != dim:
            raise ValueError(
                f"velocity has {len(c)} components and the box {dim} axes; give one for each: a tuple of numbers, of "
                "arrays over the points or of functions of the coordinates."
            )
        return replace(self, velocity=tuple(c))

    def initial(self, grid: Box) -> np.ndarray:
        """A smooth bump that is periodic, exp(cos)."""
        angles = sum(
            np.cos(2 * np.pi * (x - a) / s - 2)
            for x, a, s in zip(grid.coordinates(), grid.start, grid.length, strict=True)
        )
        return np.broadcast_to(np.exp(2 * (angles - grid.dim)), grid.shape).copy()

    def invariants(self, grid: Box, modes: Spectrum) -> dict[str, Field]:
        """mass, and energy int u^2/2 where there is no diffusion."""
        return {"mass": grid.integral(grid.to_points(modes)), "energy": 0.5 * grid.inner(modes, modes)}


class SecondOrder(Equation):
    """Abstract: u_tt = speed^2 Laplacian(u) - mass^2 u - damping u_t + force(u), as (u, v = u_t).

    speed, mass and damping may be fields; steps must then resolve what differs from their levels.
    """

    dims: ClassVar[tuple[int, ...]] = (1, 2, 3)
    spaces: ClassVar[tuple[type, ...]] = (Grid, Space)
    fields: ClassVar[tuple[str, ...]] = ("u", "v")
    speed: eqx.AbstractVar[Any]
    mass: eqx.AbstractVar[Any]
    damping: eqx.AbstractVar[Any]

    @abstractmethod
    def force(self, u: Field) -> Field | None:
        """The nonlinear force at the points; None: there is none."""

    @abstractmethod
    def potential(self, u: Field) -> Field:
        """F with force = -dF/du."""

    def symbol(self, grid: Box) -> Any:
        stiff, heavy, damping = map(level, self._pulls(plain(grid)))
        pull = stiff * grid.laplacian() - heavy
        if isinstance(pull, Operator):
            return (0.0, 1.0), (pull, -1.0 * damping)
        xp = jnp if isinstance(pull, Tracer) or isinstance(damping, Tracer) else np
        pull = xp.asarray(pull)
        zero, one = xp.zeros_like(pull), xp.ones_like(pull)
        return xp.stack([xp.stack([zero, one]), xp.stack([pull, -damping * one])])

    def _pulls(self, grid: Box) -> tuple[Any, Any, Any]:
        """speed^2, mass^2 and damping: numbers, or values at the points."""
        here = placed(self, grid)
        return exactly(here.speed) ** 2, exactly(here.mass) ** 2, exactly(here.damping)

    def nonlinear(self, grid: Box) -> Callable:
        keep, own = grid.mask(self.dealias), placed(self, grid)
        pulls = zip(self._pulls(grid), self._pulls(plain(grid)), strict=True)
        stiff, heavy, damping = (rest(here, base) for here, base in pulls)

        def N(t: Any, x: Spectrum) -> Spectrum:
            del t
            first = like(keep, x) * x[0]
            u = grid.to_points(first)
            parts = [own.force(u)]
            if stiff is not None:
                parts.append(like(stiff, u) * _curvature(grid, first))
            if heavy is not None:
                parts.append(-like(heavy, u) * u)
            if damping is not None:
                parts.append(-like(damping, u) * grid.to_points(like(keep, x) * x[1]))
            parts = [part for part in parts if part is not None]
            if not parts:
                return jnp.zeros_like(x)
            force = reduce(jnp.add, parts)
            return jnp.stack([jnp.zeros_like(x[0]), like(keep, x) * grid.project(force)])

        return N

    def check(self, grid: Box) -> None:
        super().check(grid)
        refuse_lift(self, grid)

    def invariants(self, grid: Box, modes: Spectrum) -> dict[str, Field]:
        """energy int v^2/2 + speed^2 |grad u|^2/2 + mass^2 u^2/2 + F(u); kept where there is no damping. Where the
        speed is a field, the density is divided by speed^2: that is what is kept."""
        u, v = (grid.to_points(modes[..., i, *(slice(None),) * grid.dim]) for i in (0, 1))
        first = modes[..., 0, *(slice(None),) * grid.dim]
        slopes = sum(grid.slope(first, axis) ** 2 for axis in range(grid.dim))
        square, heavy, _ = self._pulls(grid)
        stiff, heavy = like(square / 2, u), like(heavy / 2, u)
        density = v * v / 2 + stiff * slopes + heavy * u * u + placed(self, grid).potential(u)
        return {"energy": grid.integral(density / like(square, u) if varies(square) else density)}


def level_is_zero(value: Any) -> bool:
    return not isinstance(value, Tracer) and not varies(value) and value == 0


def _curvature(grid: Box, modes: Any) -> Any:
    """The Laplacian at the points."""
    return sum((grid.slope(modes, k, 2) for k in range(1, grid.dim)), grid.slope(modes, 0, 2))


class Wave(SecondOrder):
    """Wave equation, u_tt = speed^2 Laplacian(u) - damping u_t.

    What one sees: a bump parts into two that travel at `speed`, and comes back from walls, upside down from u = 0
    (`Sine`), upright from du/dn = 0 (`Cosine`).
    """

    varying: ClassVar[tuple[str, ...]] = ("speed", "damping", "mass")
    speed: Any = 1.0
    damping: Any = 0.0
    mass: Any = 0.0
    dealias: float | int = eqx.field(static=True, default=1)

    def force(self, u: Field) -> Field | None:
        return None

    def potential(self, u: Field) -> Field:
        return jnp.zeros_like(u)

    def initial(self, grid: Box) -> np.ndarray:
        """A bump at rest in the middle."""
        square = sum(
            ((x - a - s / 2) / (0.06 * s)) ** 2
            for x, a, s in zip(grid.coordinates(), grid.start, grid.length, strict=True)
        )
        u = np.broadcast_to(np.exp(-square / 2), grid.shape)
        return np.stack([u, np.zeros_like(u)])


class KleinGordon(SecondOrder):
    """Nonlinear Klein-Gordon equation, u_tt = speed^2 Laplacian(u) - mass^2 u - coupling u^3.

    What one sees: dispersive waves, no slower in phase than `speed`; coupling < 0 focuses, and blows up if u is large.
    """

    varying: ClassVar[tuple[str, ...]] = ("speed", "mass", "coupling", "damping")
    speed: Any = 1.0
    mass: Any = 1.0
    coupling: Any = 1.0
    damping: Any = 0.0
    dealias: float | int = eqx.field(static=True, default=1 / 2)

    def force(self, u: Field) -> Field | None:
        return -like(self.coupling, u) * u**3

    def potential(self, u: Field) -> Field:
        return like(self.coupling, u) * u**4 / 4

    def initial(self, grid: Box) -> np.ndarray:
        """A bump at rest in the middle."""
        return Wave().initial(grid)


class SineGordon(SecondOrder):
    """Sine-Gordon equation, u_tt = speed^2 Laplacian(u) - sin(u): kinks, antikinks and breathers.

    What one sees: kinks from 0 to 2 pi that pass through each other; breathers that oscillate for ever at one place.
    """

    varying: ClassVar[tuple[str, ...]] = ("speed", "mass", "damping")
    speed: Any = 1.0
    mass: Any = 0.0
    damping: Any = 0.0
    dealias: float | int = eqx.field(static=True, default=2 / 3)

    def force(self, u: Field) -> Field | None:
        return -jnp.sin(u)

    def potential(self, u: Field) -> Field:
        return 1 - jnp.cos(u)

    def initial(self, grid: Box) -> np.ndarray:
        """A breather of frequency 1/2 in the middle of the first axis."""
        x = grid.coordinates()[0] - grid.start[0] - grid.length[0] / 2
        u = np.broadcast_to(self.breather(x, 0.0, 0.5), grid.shape)
        return np.stack([u, np.zeros_like(u)])

    def breather(self, x: np.ndarray, t: float | int, frequency: float) -> np.ndarray:
        """The exact breather u, at its largest at t = 0 and at rest then; 0 < frequency < 1.

        u = 4 arctan(eta cos(frequency t)/(frequency cosh(eta x/speed))), eta = sqrt(1 - frequency^2).
        """
        eta = np.sqrt(1 - frequency**2)
        return 4 * np.arctan(eta / frequency * np.cos(frequency * t) / np.cosh(eta * x / float(self.speed)))


class Schroedinger(Equation):
    """Schroedinger's equation with a potential, i psi_t = -1/2 Laplacian(psi) + V(x) psi (hbar = m = 1).

    potential  function of the coordinates, an array with one value per point, or None: a free particle. Periodic in x,
               or so high at the edges that psi vanishes there. With it, steps must resolve the largest |V|.

    What one sees: packets that spread, tunnel and interfere; in V = x^2/2 a packet swings without changing its shape.
    """

    dims: ClassVar[tuple[int, ...]] = (1, 2, 3)
    spaces: ClassVar[tuple[type, ...]] = (Grid, Space)
    real: ClassVar[bool] = False
    varying: ClassVar[tuple[str, ...]] = ("potential",)
    potential: Any = None
    dealias: float | int = eqx.field(static=True, default=1)

    def symbol(self, grid: Box) -> Any:
        return 0.5j * grid.laplacian(real=False)

    def nonlinear(self, grid: Box) -> Callable:
        if self.potential is None:
            return lambda t, x: jnp.zeros_like(x)
        V, keep = self._potential(grid), grid.mask(self.dealias, real=False)

        def N(t: Any, x: Spectrum) -> Spectrum:
            del t
            psi = grid.to_points(x, real=False)
            return like(keep, x) * grid.project(-1j * like(V, x) * psi, real=False)

        return N

    def check(self, grid: Box) -> None:
        super().check(grid)
        refuse_lift(self, grid)

    def initial(self, grid: Box) -> np.ndarray:
        """A packet of width 1, a quarter from the left, moving to the right with momentum 2."""
        x = [x - a - s / 2 for x, a, s in zip(grid.coordinates(), grid.start, grid.length, strict=True)]
        x[0] = x[0] + grid.length[0] / 4
        psi = np.exp(-sum(each**2 for each in x) / 2 + 2j * x[0]) / np.pi ** (grid.dim / 4)
        return np.broadcast_to(psi, grid.shape).copy()

    def invariants(self, grid: Box, modes: Spectrum) -> dict[str, Field]:
        """mass int |psi|^2 and energy int |grad psi|^2/2 + V |psi|^2."""
        density = jnp.abs(grid.slope(modes, 0, real=False)) ** 2
        for axis in range(1, grid.dim):
            density = density + jnp.abs(grid.slope(modes, axis, real=False)) ** 2
        energy = grid.integral(density) / 2
        if self.potential is not None:
            density = jnp.abs(grid.to_points(modes, real=False)) ** 2
            energy = energy + grid.integral(like(self._potential(grid), density) * density)
        return {"mass": grid.inner(modes, modes, real=False).real, "energy": energy}

    def _potential(self, grid: Box) -> Any:
        return on_points(self.potential, grid, "Schroedinger: potential")

    def coherent(self, x: np.ndarray, t: float | int, x0: float) -> np.ndarray:
        """Exact in V = x^2/2: the ground state's shape, let go at rest from x0. Source: Schroedinger (1926)."""
        middle, momentum = x0 * np.cos(t), -x0 * np.sin(t)
        phase = -t / 2 - momentum * middle / 2
        return np.pi**-0.25 * np.exp(-((x - middle) ** 2) / 2 + 1j * (momentum * x + phase))
