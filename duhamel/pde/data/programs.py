"""How the samples of a recipe are solved: by spectral methods, by finite volumes, or as a steady equation."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import jax.numpy as jnp

import duhamel as dh
from duhamel.pde import elliptic, volumes
from duhamel.pde.evolve import solve
from duhamel.pde.registry import equation_named
from duhamel.solver.adjoint import Forward

from .initial import Complex, Sampler, Stacked

if TYPE_CHECKING:
    from .recipe import Recipe

NAMES = {"navier-stokes-2d": "vorticity", "nlse": "psi", "schroedinger": "psi"}  # what `Equation.fields` calls u
Run = Callable[[Any, Mapping[str, Any]], Any]


class Program(ABC):
    """Abstract: everything about a recipe that depends on the kind of solver.

    steady  there is one frame, and no time
    """

    steady: ClassVar[bool] = False

    @abstractmethod
    def build(self, recipe: "Recipe", values: Mapping[str, Any]) -> Any:
        """The equation with these parameters."""

    @abstractmethod
    def check(self, recipe: "Recipe") -> None:
        """One sentence for what cannot be solved."""

    @abstractmethod
    def names(self, recipe: "Recipe") -> tuple[str, ...]:
        """Of the fields."""

    @abstractmethod
    def complete(self, recipe: "Recipe", sampler: Sampler) -> Sampler:
        """The sampler of what the equation starts from, made of one that draws a single field."""

    @abstractmethod
    def first_shape(self, recipe: "Recipe") -> tuple[int, ...]:
        """Of what the sampler gives."""

    @abstractmethod
    def prepare(self, recipe: "Recipe") -> Run:
        """run(first field, parameters that vary) -> (frames, *points, names), traceable."""

    @abstractmethod
    def method(self, recipe: "Recipe") -> str:
        """In words, for the provenance."""


class Spectral(Program):
    """Every equation of `pde.equation_named`, by an exponential method in its modes."""

    def build(self, recipe: "Recipe", values: Mapping[str, Any]) -> Any:
        return equation_named(recipe.equation, **values)

    def check(self, recipe: "Recipe") -> None:
        if recipe.walls == "open":
            raise ValueError(f"walls = 'open': {recipe.equation} is solved in waves, which need walls or a period.")
        equation, grid = recipe.build(), recipe.grid()
        equation.check(grid)
        method_named(recipe.method)

    def names(self, recipe: "Recipe") -> tuple[str, ...]:
        equation = recipe.build()
        names = (NAMES[recipe.equation],) if recipe.equation in NAMES else equation.fields
        return names if equation.real else tuple(f"{n}_{part}" for n in names for part in ("real", "imaginary"))

    def complete(self, recipe: "Recipe", sampler: Sampler) -> Sampler:
        equation = recipe.build()
        if not equation.real:
            return Complex(sampler)
        count = len(equation.fields)
        return Stacked(sampler, count) if count > 1 and not sampler.several else sampler

    def first_shape(self, recipe: "Recipe") -> tuple[int, ...]:
        return recipe.build().shape(recipe.grid())

    def prepare(self, recipe: "Recipe") -> Run:
        grid, ts, method = recipe.grid(), recipe.times(), method_named(recipe.method)

        def run(u0: Any, values: Mapping[str, Any]) -> Any:
            # no gradient is wanted, and a sample that blows up must not take its neighbours with it
            how = {"steps": recipe.steps, "method": method, "adjoint": Forward(), "throw": False}
            u = solve(recipe.build(values), grid, u0, ts, **how).x
            if jnp.iscomplexobj(u):
                return jnp.stack([u.real, u.imag], axis=-1)
            return u[..., None] if u.ndim == 1 + grid.dim else jnp.moveaxis(u, 1, -1)  # (time, [fields,] *points)

        return run

    def method(self, recipe: "Recipe") -> str:
        return f"{recipe.method}, {recipe.steps} equal steps"


class Water(Program):
    """Shallow water that starts at rest, by MUSCL, HLL and SSPRK3 at 0.4 of the largest stable step.

    The first field is the depth; the file holds the depth alone, as PDEBench's radial dam break does.
    """

    def build(self, recipe: "Recipe", values: Mapping[str, Any]) -> Any:
        unknown = set(values) - {"gravity"}
        if unknown:
            raise ValueError(f"shallow-water has no parameter {min(unknown)!r}; it has gravity.")
        return volumes.ShallowWater(**values, dim=len(recipe.points))

    def check(self, recipe: "Recipe") -> None:
        recipe.build()
        if recipe.walls == "fixed":
            raise ValueError("walls = 'fixed': water has no given depth at a wall; say periodic, insulated or open.")
        if len(recipe.points) > 2:
            raise ValueError(f"points = {recipe.points}: shallow water lies on a line or a plane.")

    def names(self, recipe: "Recipe") -> tuple[str, ...]:
        return ("depth",)

    def complete(self, recipe: "Recipe", sampler: Sampler) -> Sampler:
        return sampler

    def first_shape(self, recipe: "Recipe") -> tuple[int, ...]:
        return recipe.points

    def mesh(self, recipe: "Recipe") -> Any:
        side = {"periodic": volumes.Periodic, "insulated": volumes.Wall, "open": volumes.Outflow}[recipe.walls]()
        grid = recipe.grid()
        start = grid.start
        if recipe.walls == "periodic":  # whose points are the corners of cells
            start = tuple(a - 0.5 * s / n for a, s, n in zip(grid.start, grid.length, grid.shape, strict=True))
        return volumes.box(grid.shape, grid.length, start, sides=side)

    def prepare(self, recipe: "Recipe") -> Run:
        mesh, ts = self.mesh(recipe), recipe.times()

        def run(u0: Any, values: Mapping[str, Any]) -> Any:
            state = jnp.concatenate([u0[None], jnp.zeros((len(recipe.points), *u0.shape), u0.dtype)])
            law = recipe.build(values)
            found = volumes.solve(law, mesh, state, ts, adjoint=Forward(), throw=False, save=lambda t, u: u[0])
            return found.x[..., None]

        return run

    def method(self, recipe: "Recipe") -> str:
        return "finite volumes: MUSCL, HLL, SSPRK3, steps of 0.4 of the stable one"


class Steady(Program):
    """-div(a grad u) = source, u = 0 on the walls: five points on cells, conjugate gradients to 1e-10.

    The first field is the permeability a; the file holds both, under PDEBench's names nu and tensor.
    """

    steady: ClassVar[bool] = True

    def build(self, recipe: "Recipe", values: Mapping[str, Any]) -> Any:
        unknown = set(values) - {"source"}
        if unknown:
            raise ValueError(f"darcy has no parameter {min(unknown)!r}; it has source.")
        return Source(**values)

    def check(self, recipe: "Recipe") -> None:
        recipe.build()
        if recipe.walls != "insulated" or len(recipe.points) != 2:
            raise ValueError("darcy is written on the plane with walls = 'insulated', which the permeability obeys.")

    def names(self, recipe: "Recipe") -> tuple[str, ...]:
        return ("nu", "tensor")

    def complete(self, recipe: "Recipe", sampler: Sampler) -> Sampler:
        return sampler

    def first_shape(self, recipe: "Recipe") -> tuple[int, ...]:
        return recipe.points

    def prepare(self, recipe: "Recipe") -> Run:
        grid = recipe.grid()
        cells = elliptic.box(grid.shape, grid.length, grid.start)

        def run(a: Any, values: Mapping[str, Any]) -> Any:
            system = elliptic.Darcy(a=a).system(cells)
            # multigrid wants cells that can be halved, and published sets have 421
            solver = elliptic.PCG(elliptic.Jacobi(), max_steps=20 * max(recipe.points))
            found = elliptic.solve(system, recipe.build(values).source, solver, throw=False)
            u = jnp.where(found.ok, found.u, jnp.nan)
            return jnp.stack([a, u], axis=-1)[None]

        return run

    def method(self, recipe: "Recipe") -> str:
        return "five points on cells, harmonic means of the permeability, conjugate gradients to a residual of 1e-10"


class Source(eqx.Module):
    """The right side of a steady equation, the same everywhere."""

    source: Any = 1.0


PROGRAMS: dict[str, Program] = {"shallow-water": Water(), "darcy": Steady()}


def method_named(name: str) -> Any:
    found = getattr(dh, name, None)
    if found is None:
        raise ValueError(f"no method is called {name!r}; ETDRK4, ETDRK2, Krogstad and HochbruckOstermann are usual.")
    return found()
