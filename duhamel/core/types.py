"""The dictionary of shapes and kinds that annotations of fields use."""

from jaxtyping import Array, Complex, Inexact

Spectrum = Complex[Array, "..."]
"""A field in Fourier space: its rfftn (real fields) or fftn (complex fields), batch axes in front."""

Field = Inexact[Array, "..."]
"""Real or complex numbers: a field at the points of a grid, or integrals of fields."""
