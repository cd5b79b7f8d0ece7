"""Parameters of a law that vary in space, where a scheme needs them: at the faces of an axis, in the cells.

A function of the coordinates is evaluated there. An array with one value per cell holds averages; a face has

    a = (7 (a_L + a_R) - (a_LL + a_RR))/12

of the four cells around it, of fourth order, the same for both of its sides. Beyond a side an array goes on
periodically, or as its last value.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .mesh import Mesh, cut


def varies(value: Any) -> bool:
    """Whether a parameter is a field rather than a number."""
    return callable(value) or np.ndim(value) > 0


def on_faces(law: Any, mesh: Mesh, axis: int, dtype: Any) -> Any:
    """The law with its varying parameters at the n + 1 faces of an axis."""
    return _with(law, lambda value: _at_faces(value, mesh, axis, dtype))


def beside(law: Any, mesh: Mesh, axis: int, upper: bool, dtype: Any) -> Any:
    """The law with its varying parameters at the lower or the upper face of every cell of an axis."""
    begin, end = (1, 0) if upper else (0, -1)
    return _with(law, lambda value: cut(_at_faces(value, mesh, axis, dtype), begin, end, axis - mesh.dim))


def has_fields(law: Any) -> bool:
    """Whether any parameter varies in space."""
    return any(varies(one) for name in law.varying for one in _entries(getattr(law, name)))


def _entries(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple | list) else [value]


def _with(law: Any, place: Any) -> Any:
    """A copy with other parameters, whatever the law's constructor takes."""
    if not has_fields(law):
        return law
    one = lambda value: place(value) if varies(value) else value  # noqa: E731
    copy = object.__new__(type(law))
    for name, value in vars(law).items():
        if name in law.varying:
            value = tuple(map(one, value)) if isinstance(value, tuple | list) else one(value)
        object.__setattr__(copy, name, value)
    return copy


def _at(value: Any, places: tuple[np.ndarray, ...], shape: tuple[int, ...], dtype: Any) -> Any:
    value = value(*places) if callable(value) else value
    return jnp.broadcast_to(jnp.asarray(value, dtype), shape)


def _at_faces(value: Any, mesh: Mesh, axis: int, dtype: Any) -> Any:
    if callable(value):
        n, h = mesh.shape[axis], mesh.width[axis]
        rows = list(mesh.centres())
        faces = mesh.start[axis] + h * np.arange(n + 1)
        rows[axis] = faces.reshape([-1 if d == axis else 1 for d in range(mesh.dim)])
        return _at(value, tuple(rows), tuple(m + (d == axis) for d, m in enumerate(mesh.shape)), dtype)
    wide = mesh.stretched(_at(value, (), mesh.shape, dtype), axis, 2)
    a, b, c, d = (cut(wide, k, k - 3, axis - mesh.dim) for k in range(4))
    return (7 * (b + c) - (a + d)) / 12


def check_parameters(law: Any, mesh: Mesh) -> None:
    """Numbers are numbers, fields have one value per cell; all are finite."""
    title = type(law).__name__
    for name in law.numbers:
        value = getattr(law, name)
        if varies(value):
            what = "a function" if callable(value) else f"an array of shape {np.shape(value)}"
            raise ValueError(
                f"{title}: {name} is one number, and {what} was given; in this law it cannot vary in space (jax.vmap "
                "solves for many numbers at once)."
            )
        if not isinstance(value, Tracer) and not np.isfinite(value):
            raise ValueError(f"{title}: {name} = {value} must be finite.")
    for name in law.varying:
        value = getattr(law, name)
        for i, one in enumerate(_entries(value)):
            label = f"{name}[{i}]" if isinstance(value, tuple | list) else name
            place: Any = one(*mesh.centres()) if callable(one) else one
            shape = np.shape(place)
            fits = len(shape) == mesh.dim and all(n in (1, m) for n, m in zip(shape, mesh.shape, strict=True))
            if shape != () and not (fits if callable(one) else shape == mesh.shape):
                raise ValueError(
                    f"{title}: {label} has shape {shape} and the mesh {mesh.shape} cells; give a number, one value per "
                    "cell, or a function of the coordinates."
                )
            if not isinstance(place, Tracer) and not np.all(np.isfinite(np.asarray(place))):
                raise ValueError(f"{title}: {label} holds NaN or infinity; it must be finite everywhere.")
