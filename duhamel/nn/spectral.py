"""Convolutions that act on the lowest waves of a field, whatever the grid it is given on."""

import math
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

FEW = 32  # up to so many waves an axis a product is quicker than an FFT, on a CPU with 256 points or with 2048
# a GPU rounds factors of products to ten bits unless it is told
exactly = partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


class SpectralConv(eqx.Module):
    """A periodic convolution with a kernel of few waves, the linear map of a Fourier neural operator

        y_o(x) = sum over |k_1| < m_1, ..., |k_d| < m_d of   sum_i R_{k,i,o} u_i^(k)  exp(2 pi i k.x / L)

    on fields of shape (channels, *lanes, *space), with d = 1, 2 or 3 axes of space and any lanes before them.

    modes   m along each axis of space: waves 0, 1, ..., m - 1 in both directions, 2m - 1 in all

    The kernel belongs to waves, not to points: on a grid of another resolution the same weights give the same function
    of a field that both grids resolve. A grid of n points carries (n + 1) // 2 waves at most (the Nyquist mode of even
    n is left out, as it has no sign); weights of higher waves rest there.

    Up to `FEW` waves an axis, transforms are products with its cosines and sines: all arithmetic is real, and forward
    and backward pass take about half the time of those by FFT. Of more waves they are FFTs, pruned axis by axis: of the
    last one m columns are kept before the next axis is transformed, and the inverse goes back in the same way. The
    channels are one batched real product, in which weights are the pairs (..., 2) that are stored, drawn with
    E |R|^2 = scale^2 / inputs, so that kept waves keep their size.

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
        kept = tuple(min(m, (n + 1) // 2) for m, n in zip(self.modes, space, strict=True))
        flat = x.reshape(-1, *space)
        a = (parts_by_products if max(kept) <= FEW else parts_by_fft)(flat, kept)
        y = self._mix(a.reshape(x.shape[0], -1, *a.shape[1:]), kept)
        y = y.reshape(-1, *y.shape[2:])
        back = field_by_products if max(kept) <= FEW else field_by_fft
        return back(y, kept, space).reshape(-1, *x.shape[1:])

    def _mix(
        self, a: Float[Array, "inputs lanes 2 waves"], kept: tuple[int, ...]
    ) -> Float[Array, "outputs lanes 2 waves"]:
        """Channels, wave by wave: real and imaginary part of a R from the four products of their parts."""
        R, d = self.weight, len(kept)
        for axis, m in enumerate(kept[:-1]):
            R = lowest(R, axis, m)
        R = R[(slice(None),) * (d - 1) + (slice(kept[-1]),)]
        inputs, outputs = R.shape[-3:-1]
        R = R.reshape(-1, inputs, 2 * outputs)
        # the weights stay as they lie in memory: they are larger than the waves of a batch
        rows = a.transpose(3, 2, 1, 0).reshape(len(R), -1, inputs)
        y = (rows @ R).reshape(len(R), 2, -1, outputs, 2)
        re, im = y[:, 0, ..., 0] - y[:, 1, ..., 1], y[:, 0, ..., 1] + y[:, 1, ..., 0]
        return jnp.stack([re, im], axis=1).transpose(3, 2, 1, 0)


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


def waves(n: int, m: int, dtype: Any) -> np.ndarray:
    """cos and -sin of 2 pi k j / n for k < m, (2 m, n): what a field is multiplied with to give u^ = sum u e^(-ikx)."""
    angle = 2 * np.pi * (np.arange(m)[:, None] * np.arange(n) % n) / n
    return np.concatenate([np.cos(angle), -np.sin(angle)]).astype(dtype)


def parts_by_products(u: Float[Array, "rows *space"], kept: tuple[int, ...]) -> Float[Array, "rows 2 waves"]:
    """Real and imaginary parts of the waves |k_j| < m_j (of the last axis k >= 0), in the order of `fft`."""
    rows, *space = u.shape
    a = exactly("rn,kn->rk", u.reshape(-1, space[-1]), waves(space[-1], kept[-1], u.dtype))
    for n, m in reversed([*zip(space[:-1], kept[:-1], strict=True)]):
        a = exactly("rnq,kn->rkq", a.reshape(-1, n, a.shape[-1]), waves(n, m, u.dtype))
        a = a.reshape(len(a), 2, m, 2, -1)  # (rows, cos or -sin, k, part, waves of the axes after this one)
        c, s = a[:, 0], a[:, 1]
        turned = jnp.stack([-s[:, :, 1], s[:, :, 0]], axis=2)  # i s
        a = jnp.concatenate([c + turned, (c - turned)[:, :0:-1]], axis=1)  # k, then -k
        a = jnp.moveaxis(a, 2, 1).reshape(len(a), -1)
    return a.reshape(rows, 2, -1)


def field_by_products(
    y: Float[Array, "rows 2 waves"], kept: tuple[int, ...], space: tuple[int, ...]
) -> Float[Array, "rows *space"]:
    """The field of those waves, the others zero."""
    rows = len(y)
    for n, m in zip(space[:-1], kept[:-1], strict=True):
        y = y.reshape(len(y), 2, 2 * m - 1, -1)
        p, q = y[:, :, :m], jnp.pad(y[:, :, : m - 1 : -1], [(0, 0), (0, 0), (1, 0), (0, 0)])  # of k and of -k
        c, d = p + q, p - q
        turned = jnp.stack([d[:, 1], -d[:, 0]], axis=1)  # d / i
        y = jnp.moveaxis(jnp.concatenate([c, turned], axis=2), 1, 2).reshape(len(y), 2 * m, -1)
        y = exactly("rkq,kn->rnq", y, waves(n, m, y.dtype))
        y = y.reshape(y.shape[0] * n, 2, -1)
    n, m = space[-1], kept[-1]
    twice = np.where(np.arange(2 * m) % m == 0, 1, 2)[:, None] / math.prod(space)  # k and its conjugate
    u = exactly("rk,kn->rn", y.reshape(len(y), -1), (waves(n, m, np.float64) * twice).astype(y.dtype))
    return u.reshape(rows, *space)


def parts_by_fft(u: Float[Array, "rows *space"], kept: tuple[int, ...]) -> Float[Array, "rows 2 waves"]:
    """What `parts_by_products` gives."""
    a = jnp.fft.rfft(u, axis=-1)[..., : kept[-1]]
    for axis in range(-2, -len(kept) - 1, -1):
        a = lowest(jnp.fft.fft(a, axis=axis), axis, kept[axis])
    a = a.reshape(len(a), -1)
    return jnp.stack([a.real, a.imag], axis=1)


def field_by_fft(
    y: Float[Array, "rows 2 waves"], kept: tuple[int, ...], space: tuple[int, ...]
) -> Float[Array, "rows *space"]:
    """What `field_by_products` gives."""
    z = jax.lax.complex(y[:, 0], y[:, 1]).reshape(len(y), *(2 * m - 1 for m in kept[:-1]), kept[-1])
    for axis in range(-len(kept), -1):
        z = jnp.fft.ifft(among_zeros(z, axis, kept[axis], space[axis]), axis=axis)
    return jnp.fft.irfft(z, n=space[-1], axis=-1)


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
