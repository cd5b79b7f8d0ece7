"""Steady equations by name, and manufactured solutions for any of them.

found = Poisson(Dirichlet(0.0)).solve(box((128, 128), 1.0), lambda x, y: jnp.sin(jnp.pi * x) * y)
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ..grid import Grid
from ..space import Space
from .boxes import Box
from .fluxes import discretise
from .sides import Dirichlet, Neumann, Periodic, Robin, Side
from .solving import Solved, Solver, solve
from .spectral import spectral
from .system import System


class Steady(eqx.Module):
    """Abstract: -div(a grad u) + c u = f with sides as `discretise` takes them."""

    sides: eqx.AbstractVar[Any]

    @abstractmethod
    def coefficients(self) -> tuple[Any, Any]:
        """a and c."""

    def system(self, box: Box) -> System:
        a, c = self.coefficients()
        return discretise(box, self.sides, a, c)

    def solve(self, box: Box | Space | Grid, f: Any, solver: Solver | None = None, **options: Any) -> Solved:
        """As `solve(system, f, solver, ...)`; on a box of modes, pde.box(...) or pde.periodic(...), by `spectral`: its
        axes have the conditions."""
        if isinstance(box, Space | Grid):
            a, c = self.coefficients()
            if callable(a) or np.ndim(a) or (not isinstance(a, Tracer) and a != 1.0) or solver is not None:
                raise ValueError(
                    f"on a {type(box).__name__} of modes -Laplace u + c u = f is solved, by `spectral`, with no other "
                    "solver and no coefficient a: take el.box(...), a box of cells."
                )
            if not (
                isinstance(self.sides, Dirichlet) and not callable(self.sides.value) and np.all(self.sides.value == 0)
            ):
                raise ValueError(
                    "sides are given, and the axes of this box have conditions of their own; leave them out."
                )
            return spectral(box, f, c, **options)
        return solve(self.system(box), f, solver, **options)


class Poisson(Steady):
    """-Laplace u = f: the height of a membrane under a load, a potential over charges, heat at rest.

    With u on no side, f must balance the flux through the sides and u is known up to a constant (`project`).
    """

    sides: Any = Dirichlet()

    def coefficients(self) -> tuple[Any, Any]:
        return 1.0, 0.0


class ScreenedPoisson(Steady):
    """-Laplace u + u/length^2 = f: a potential that falls off over the screening length (Debye, Yukawa).

    Also one implicit Euler step of the heat equation, length^2 = h: u - h Laplace u = h f.
    """

    length: Any
    sides: Any = Dirichlet()

    def coefficients(self) -> tuple[Any, Any]:
        return 1.0, 1 / self.length**2


class Helmholtz(Steady):
    """-Laplace u - k^2 u = f: a wave of one frequency, wavelength 2 pi/k.

    Indefinite as soon as a mode has lambda < k^2, so iterations for positive systems do not apply: Fourier(),
    Diagonalise() or Band(). Near resonance, lambda = k^2, there is no bounded answer. At least ten points a wavelength;
    the error grows as k^3 h^2 (pollution: Ihlenburg and Babuska, Comput. Math. Appl. 30 (1995) 9), so the points must
    grow as k^(3/2). Waves that leave: Robin(-1j * k, 1.0) and Band().
    """

    k: Any
    sides: Any = Dirichlet()

    def coefficients(self) -> tuple[Any, Any]:
        return 1.0, -(jnp.asarray(self.k) ** 2)

    def system(self, box: Box) -> System:
        k = None if isinstance(self.k, Tracer) else float(np.max(self.k))
        if k is not None and k * max(box.spacing) > 2.0:
            raise ValueError(
                f"k = {k:g} has {2 * np.pi / k / max(box.spacing):.1f} points a wavelength, and a wave needs more than "
                "three to be seen and ten to be right; take more cells."
            )
        return discretise(box, self.sides, *self.coefficients())


class Darcy(Steady):
    """-div(a grad u) = f: pressure u in a porous medium of permeability a > 0, which may jump; flow -a grad u.

    a is an array over the points (cells, as a rule), a function of the coordinates, or a number.
    """

    a: Any
    sides: Any = Dirichlet()

    def coefficients(self) -> tuple[Any, Any]:
        return self.a, 0.0


def manufactured(
    u: Callable, box: Box, kinds: Any, a: Callable | float = 1.0, c: Callable | float = 0.0, robin: Any = (1.0, 1.0)
) -> tuple[tuple, Callable]:
    """(sides, f) for which a given u is the solution; derivatives by automatic differentiation.

    u      function of the coordinates, written in jax.numpy
    kinds  two letters an axis, such as ("DN", "PP"): D, N, R (with alpha, beta = robin) or P
    a, c   functions of the coordinates, or numbers
    """
    at = lambda value, x: value(*x) if callable(value) else value  # noqa: E731
    slope = jax.grad(lambda x: u(*x))
    flux = lambda x: at(a, x) * slope(x)  # noqa: E731

    def source(x: Any) -> Any:
        return -jnp.trace(jax.jacfwd(flux)(x)) + at(c, x) * u(*x)

    @partial(jax.jit, static_argnums=0)
    def over(function: Callable, *x: Any) -> Any:
        places = jnp.stack(jnp.broadcast_arrays(*x), axis=-1).astype(float)
        return jax.vmap(function)(places.reshape(-1, box.dim)).reshape(places.shape[:-1])

    def side(letter: str, axis: int, upper: bool) -> Side:
        out = lambda x: slope(x)[axis] * (1 if upper else -1)  # noqa: E731
        if letter == "P":
            return Periodic()
        if letter == "D":
            return Dirichlet(partial(over, lambda x: u(*x)))
        if letter == "N":
            return Neumann(partial(over, out))
        return Robin(robin[0], robin[1], partial(over, lambda x: robin[0] * u(*x) + robin[1] * out(x)))

    sides = tuple((side(kind[0], d, False), side(kind[1], d, True)) for d, kind in enumerate(kinds))
    return sides, partial(over, source)
