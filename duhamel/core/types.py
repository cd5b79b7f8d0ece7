"""The dictionary of shapes and kinds that annotations of fields use."""

from jaxtyping import Array, Inexact

Spectrum = Inexact[Array, "..."]
"""A field in modes, batch axes in front: its rfftn (real fields) or fftn (complex ones) on a periodic box, coefficients
of the Laplacian's eigenfunctions between walls."""

Field = Inexact[Array, "..."]
"""Real or complex numbers: a field at the points of a grid, or integrals of fields."""
