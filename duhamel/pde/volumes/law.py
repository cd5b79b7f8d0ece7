"""What a conservation law is: u_t + sum_a d/dx_a F_a(u) = S(u), in conserved fields u and primitive ones w.

Inside, the fields are the first axis and the axes of the box the last ones, so that u[0] is one field everywhere and
any batch stands between; users hold (..., fields, *cells).
"""

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .mesh import Inflow, Mesh, Values, cut
from .placing import check_parameters, on_faces


class Interfaces(NamedTuple):
    """Fluxes through the faces of one axis, n + 1 of them, as the cell below (`left`) and the one above (`right`) see
    them, and the source inside the cells. The fluxes differ only where a source sits on the face: a step of the bed."""

    left: Array
    right: Array
    source: Any


class Law(eqx.Module):
    """Abstract. Fields of a subclass are parameters: Python numbers or (traced) arrays.

    dim  axes of the box, static
    numbers  names of parameters that are one number each
    varying  names of parameters that may vary in space besides: a function of the coordinates, or an array with one
             value per cell. Where `flux`, `speeds` and the Riemann solver read them they are values at the faces of
             the axis, one for both sides of a face; a tuple has one entry per axis
    only_waves  whether `flux` and `speeds` say all; None: as far as `interfaces` is the one written here
    """

    numbers: ClassVar[tuple[str, ...]] = ()
    varying: ClassVar[tuple[str, ...]] = ()
    only_waves: ClassVar[bool | None] = None
    dim: eqx.AbstractVar[int]

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names of the conserved fields."""

    @property
    @abstractmethod
    def primitives(self) -> tuple[str, ...]:
        """Names of the primitive fields, as many."""

    @property
    def vectors(self) -> tuple[tuple[int, ...], ...]:
        """Fields that are components of vectors, one tuple a vector, its entries along the axes of the box."""
        return ()

    @abstractmethod
    def primitive(self, u: Values) -> Array:
        """w(u); the fields first."""

    @abstractmethod
    def conserved(self, w: Values) -> Array:
        """u(w); the fields first."""

    @abstractmethod
    def flux(self, w: Array, axis: int) -> Array:
        """F_axis of the conserved fields."""

    @abstractmethod
    def speeds(self, w: Array, axis: int) -> tuple[Array, Array]:
        """(slowest, fastest) signed wave speed along the axis."""

    def stiffness(self, mesh: Mesh) -> tuple[Any, Any]:
        """(decay, oscillation): largest eigenvalues of what the law has beside its waves, viscosity and dispersion, in
        1/time. They limit explicit steps as the waves do."""
        del mesh
        return 0.0, 0.0

    def check(self, mesh: Mesh) -> None:
        """One sentence for parameters that do not fit the mesh."""
        check_parameters(self, mesh)

    def signals(self, left: Array, right: Array, axis: int) -> tuple[Array, Array]:
        """Speeds that bound the waves of a Riemann problem; those of both states unless the law knows better."""
        (a, b), (c, d) = self.speeds(left, axis), self.speeds(right, axis)
        return jnp.minimum(a, c), jnp.maximum(b, d)

    def positive(self, w: Array) -> dict[str, Array]:
        """What must be positive, by name; concave functions of the conserved fields."""
        del w
        return {}

    def measured(self, u: Array) -> dict[str, Array]:
        """What must be positive, as the conserved fields have it, for messages."""
        return self.positive(self.primitive(u))

    def admissible(self, u: Array) -> Array:
        """Per cell: whether everything that must be positive is."""
        good = jnp.ones(u.shape[1:], bool)
        for value in self.positive(self.primitive(u)).values():
            good = good & (value > 0)
        return good

    def interfaces(self, mesh: Mesh, reconstruct: Any, riemann: Any, u: Array, axis: int) -> Interfaces:
        """Reconstruct, solve the Riemann problem of every face."""
        minus, plus = reconstruct.edges(self, self.padded(mesh, u, axis, reconstruct.ghosts), axis)
        along = axis - self.dim
        flux = riemann(on_faces(self, mesh, axis, u.dtype), cut(plus, 0, -1, along), cut(minus, 1, 0, along), axis)
        return Interfaces(flux, flux, None)

    def coupled(self, mesh: Mesh, fluxes: list[Interfaces]) -> list[Interfaces]:
        """Fluxes of all axes after they were made to agree (constrained transport)."""
        del mesh
        return fluxes

    def padded(self, mesh: Mesh, u: Array, axis: int, n: int) -> Array:
        """Conserved fields with n ghost cells at both ends of one axis."""
        return mesh.padded(u, axis, n, *self._ghosts(mesh, u, axis))

    def beyond(self, mesh: Mesh, first: Array, last: Array) -> tuple[Array, Array]:
        """States beyond the two ends of a line, (fields, ..., 1) each, from the values at the lower ends (`first`) and
        the upper ends (`last`) of its elements."""
        (low, high), signs = self._ghosts(mesh, first, 0)
        below, above = mesh.sides[0]
        return (
            below.ghosts(first[..., :1], last[..., -1:], low, signs),
            above.ghosts(last[..., -1:], first[..., :1], high, signs),
        )

    def _ghosts(self, mesh: Mesh, u: Array, axis: int) -> tuple[tuple[Any, Any], Array]:
        """(given states of the two sides or None, signs of a mirror)."""
        column = lambda values: jnp.asarray(values, u.dtype).reshape(-1, *(1,) * (u.ndim - 1))  # noqa: E731
        low, high = (
            self.conserved(column(side.state)) if isinstance(side, Inflow) else None for side in mesh.sides[axis]
        )
        turned = {vector[axis] for vector in self.vectors}
        return (low, high), column([-1.0 if i in turned else 1.0 for i in range(len(self.names))])


class ScalarLaw(Law):
    """Abstract: one field, its own primitive."""

    @property
    def names(self) -> tuple[str, ...]:
        return ("u",)

    @property
    def primitives(self) -> tuple[str, ...]:
        return ("u",)

    def primitive(self, u: Values) -> Array:
        return jnp.asarray(u)

    def conserved(self, w: Values) -> Array:
        return jnp.asarray(w)


class Advection(ScalarLaw):
    """Transport with a given velocity: u_t + div(a u) = 0.

    velocity  one entry per axis: a number, a function of the coordinates, or an array with one value per cell. With
              numbers u moves without a change, which shows what a scheme smears. Good values: a box of length 1 with
              100 to 400 cells, periodic, one turn. Where a varies it is u dx that is carried, not u: add u div a for
              u_t + a . grad u = 0.
    """

    varying: ClassVar[tuple[str, ...]] = ("velocity",)
    velocity: tuple[Any, ...]
    dim: int = eqx.field(static=True)

    def __init__(self, velocity: Any = (1.0,)):
        many = isinstance(velocity, tuple | list) or (not callable(velocity) and np.ndim(velocity) > 0)
        self.velocity = tuple(velocity) if many else (velocity,)  # pyright: ignore[reportArgumentType]
        self.dim = len(self.velocity)
        if self.dim not in (1, 2):
            raise ValueError(
                f"velocity has {self.dim} entries; give one per axis, a tuple of numbers, of functions of the "
                "coordinates or of arrays over the cells: Advection((a,))."
            )

    def flux(self, w: Array, axis: int) -> Array:
        return jnp.asarray(self.velocity[axis], w.dtype) * w

    def speeds(self, w: Array, axis: int) -> tuple[Array, Array]:
        speed = jnp.broadcast_to(jnp.asarray(self.velocity[axis], w.dtype), w.shape[1:])
        return speed, speed


class Burgers(ScalarLaw):
    """Inviscid Burgers equation: u_t + sum_a (u^2/2)_{x_a} = 0.

    What one sees: slopes steepen until the crest stands over the trough, at t = -1/min u_x; from then on a shock of
    speed (u_left + u_right)/2. Good values: u = 1 + sin(2 pi x)/2 on a periodic box of length 1, 200 cells.
    """

    dim: int = eqx.field(static=True, default=1)

    def flux(self, w: Array, axis: int) -> Array:
        return 0.5 * w * w

    def speeds(self, w: Array, axis: int) -> tuple[Array, Array]:
        return w[0], w[0]
