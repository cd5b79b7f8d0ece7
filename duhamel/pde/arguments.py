"""Numbers of points and lengths as people have them: one for all axes or a sequence, Python's or NumPy's."""

import operator
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

Count = int | np.integer
Counts = Count | Sequence[Any] | np.ndarray
Lengths = float | int | np.number | Sequence[Any] | np.ndarray


def whole(value: Any, name: str, what: str = "a number of points", such: int = 64) -> int:
    """A whole number, Python's."""
    try:
        return operator.index(value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value)
    except TypeError:
        raise TypeError(f"{name} = {value!r}: {what} is a whole number, such as {such}.") from None


def counts(value: Any, name: str = "shape") -> tuple[int, ...]:
    """One whole number per axis, from one or several."""
    if np.ndim(value) == 0:
        return (whole(value, name),)
    return tuple(whole(n, name) for n in value)


def number(value: Any, name: str) -> float:
    """A real number, Python's."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} = {value!r}: give a number.") from None


def each(value: Any, dim: int, name: str) -> tuple[float, ...]:
    """One number per axis, from one for all or a sequence of them."""
    if np.ndim(value) == 0:
        return (number(value, name),) * dim
    return tuple(number(v, name) for v in value)


def as_floating(u0: Any) -> Any:
    """u0 as an array of floating or complex numbers; half precision, in which there are no transforms, as float32."""
    u0 = u0 if isinstance(u0, Tracer) else jnp.asarray(u0) if not isinstance(u0, np.ndarray) else u0
    if u0.dtype.kind not in "fciub" and not jnp.issubdtype(u0.dtype, jnp.inexact):
        raise TypeError(f"u0 holds {u0.dtype}; the first field is an array of numbers.")
    if not jnp.issubdtype(u0.dtype, jnp.inexact):
        return u0.astype(jnp.result_type(float))
    return u0.astype(jnp.float32) if jnp.finfo(u0.dtype).bits < 32 else u0
