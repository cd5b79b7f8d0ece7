"""Convolutions that act on the lowest waves of a field, whatever the grid it is given on."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, PRNGKeyArray


class SpectralConv(eqx.Module):
    """A periodic convolution with a kernel of few waves, the linear map of a Fourier neural operator

        y_o(x) = sum over |k_1| < m_1, ..., |k_d| < m_d of   sum_i R_{k,i,o} u_i^(k)  exp(2 pi i k.x / L)

    on fields of shape (channels, *lanes, *space), with d = 1, 2 or 3 axes of space and any lanes before them.

    modes   m along each axis of space: waves 0, 1, ..., m - 1 in both directions, 2m - 1 in all

    The kernel belongs to waves, not to points: on a grid of another resolution the same weights give the same function
    of a field that both grids resolve. A grid of n points carries (n + 1) // 2 waves at most (the Nyquist mode of even
    n is left out, as it has no sign); weights of higher waves rest there.

    Transforms are pruned axis by axis: of the last one m columns are kept before the next axis is transformed, and the
    inverse goes back in the same way. All modes are then one batched matrix product. Weights are stored as pairs of
    real numbers (..., 2), drawn with E |R|^2 = scale^2 / inputs, so that kept waves keep their size.

    Source: Li et al. 2021, Fourier Neural Operator (arXiv 2010.08895), with symmetric modes.
    """

    weight: Float[Array, "*kept inputs outputs 2"]
    modes: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self, inputs: int, outputs: int, modes: tuple[int, ...], *, key: PRNGKeyArray, scale: float | int = 1.0
    ):
        if not 1 <= len(modes) <= 3 or min(modes) < 1:
            raise ValueError(
                f"modes = {modes}: give one number of waves, at least 1, for each of 1 to 3 axes, such as (16,) or "
                "(12, 12)."
            )
        kept = (*(2 * m - 1 for m in modes[:-1]), modes[-1])
        self.weight = scale * jax.random.normal(key, (*kept, inputs, outputs, 2)) / math.sqrt(2 * inputs)
        self.modes = tuple(modes)

    def __call__(self, x: Float[Array, "inputs *lanes_and_space"]) -> Float[Array, "outputs *lanes_and_space"]:
        d = len(self.modes)
        if x.ndim <= d:
            raise ValueError(f"SpectralConv: x has shape {x.shape}; give (channels, *lanes, *space) with {d} of space.")
        space = x.shape[-d:]
        kept = [min(m, (n + 1) // 2) for m, n in zip(self.modes, space, strict=True)]
        a = jnp.fft.rfft(x, axis=-1)[..., : kept[-1]]
        for axis in range(-2, -d - 1, -1):
            a = lowest(jnp.fft.fft(a, axis=axis), axis, kept[axis])
        y = self._mix(a, kept)
        for axis in range(-d, -1):
            y = jnp.fft.ifft(among_zeros(y, axis, kept[axis], space[axis]), axis=axis)
        return jnp.fft.irfft(y, n=space[-1], axis=-1)

    def _mix(self, a: Inexact[Array, "inputs *rest"], kept: list[int]) -> Inexact[Array, "outputs *rest"]:
        """Channels, mode by mode: a has shape (inputs, *lanes, *kept)."""
        R, d = self.weight, len(kept)
        for axis, m in enumerate(kept[:-1]):
            R = lowest(R, axis, m)
        R = R[(slice(None),) * (d - 1) + (slice(kept[-1]),)]
        R = jax.lax.complex(R[..., 0], R[..., 1]).reshape(-1, *R.shape[-3:-1])
        flat = a.reshape(a.shape[0], -1, R.shape[0])
        return jnp.einsum("ilk,kio->olk", flat, R).reshape(-1, *a.shape[1:])


class FactorisedConv(eqx.Module):
    """One spectral convolution along each axis of space, summed: weights grow with d, not with the power d

    Source: Tran et al. 2023, Factorized Fourier Neural Operators (arXiv 2111.13802).
    """

    axes: tuple[SpectralConv, ...]

    def __init__(
        self, inputs: int, outputs: int, modes: tuple[int, ...], *, key: PRNGKeyArray, scale: float | int = 1.0
    ):
        keys = jax.random.split(key, len(modes))
        self.axes = tuple(
            SpectralConv(inputs, outputs, (m,), key=k, scale=scale) for m, k in zip(modes, keys, strict=True)
        )

    def __call__(self, x: Float[Array, "inputs *lanes_and_space"]) -> Float[Array, "outputs *lanes_and_space"]:
        along = lambda conv, axis: jnp.moveaxis(conv(jnp.moveaxis(x, axis, -1)), -1, axis)  # noqa: E731
        return sum(
            (along(conv, i - len(self.axes)) for i, conv in enumerate(self.axes[1:], 1)),
            along(self.axes[0], -len(self.axes)),
        )


def lowest(a: Array, axis: int, m: int) -> Array:
    """Waves 0..m-1 and -(m-1)..-1 of an axis in the order of `fft`."""
    n = a.shape[axis]
    if n == 2 * m - 1:
        return a
    first, last = (jax.lax.slice_in_dim(a, *ends, axis=axis) for ends in ((0, m), (n - m + 1, n)))
    return jnp.concatenate([first, last], axis)


def among_zeros(a: Array, axis: int, m: int, n: int) -> Array:
    """The inverse of `lowest`: those waves of an axis of n, the others zero."""
    if n == 2 * m - 1:
        return a
    shape = list(a.shape)
    shape[axis] = n - 2 * m + 1
    first, last = (jax.lax.slice_in_dim(a, *ends, axis=axis) for ends in ((0, m), (m, 2 * m - 1)))
    return jnp.concatenate([first, jnp.zeros(shape, a.dtype), last], axis)
