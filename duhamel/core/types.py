"""The dictionary of shapes and kinds that annotations use."""

from typing import Any

import numpy as np
from jaxtyping import Array, Complex, Float, Inexact, Key, PyTree

Real = float | int | np.number | Float[np.ndarray, ""] | Float[Array, ""]
"""A real scalar: a Python or NumPy number, or a (possibly traced) JAX scalar."""

State = PyTree[Inexact[Array, "..."]]
"""x: any pytree of real or complex arrays."""

Coefficient = Any
"""Anything with `c * v`: a number, an array (one number per component or mode), or `core.linear.Matrix`."""

Spectrum = Complex[Array, "*modes"]
"""A field in Fourier space: its rfftn (real fields) or fftn (complex fields)."""

PRNGKey = Key[Array, ""]
"""One JAX random key."""
