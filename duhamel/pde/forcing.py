"""Given forces: what stands on the right of u_t = L u + N(u) + f(t, x)."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from duhamel.core.grid import Number

from .equation import Box
from .volumes.mesh import Mesh


class SineForcing(eqx.Module):
    """A few travelling sine waves on a periodic line

        f(t, x) = sum_j A_j sin(omega_j t + 2 pi l_j (x - start)/length + phi_j)

    amplitude, frequency, waves, phase   A, omega, l, phi: (terms,) each; batches by `jax.vmap`
    f(t, grid) has the values at the points of a grid, f(t, mesh) the exact averages over the cells of a mesh.
    """

    amplitude: Float[Array | np.ndarray, "*lanes terms"]
    frequency: Float[Array | np.ndarray, "*lanes terms"]
    waves: Float[Array | np.ndarray, "*lanes terms"]
    phase: Float[Array | np.ndarray, "*lanes terms"]

    def __call__(self, t: Any, box: Box | Mesh) -> Float[Array, " points"]:
        if box.dim != 1:
            raise ValueError(f"SineForcing is written on a line, and the box has {box.dim} axes; use a line.")
        cells = isinstance(box, Mesh)
        (x,) = box.centres() if isinstance(box, Mesh) else box.coordinates()
        amplitude, waves = jnp.asarray(self.amplitude), jnp.asarray(self.waves)
        s = jnp.asarray((x - box.start[0]) / box.length[0], amplitude.dtype)
        # the average of a wave over a cell is its value at the centre times sin(k dx/2)/(k dx/2)
        amplitude = amplitude * jnp.sinc(waves / box.shape[0]) if cells else amplitude
        turn = self.frequency * jnp.asarray(t, amplitude.dtype) + self.phase
        return amplitude @ jnp.sin(turn[:, None] + 2 * np.pi * waves[:, None] * s)


def drawn_forcing(
    key: PRNGKeyArray,
    terms: int = 5,
    waves: tuple[int, ...] = (1, 2, 3),
    amplitude: Number = 0.5,
    frequency: Number = 0.4,
) -> SineForcing:
    """A_j uniform in +-amplitude, omega_j in +-frequency, phi_j in (0, 2 pi), l_j one of `waves`

    The defaults are those of Brandstetter, Worrall, Welling (ICLR 2022, arXiv 2202.03376), whose published generator
    draws l from 1 and 2 alone.
    """
    if terms < 1 or not waves:
        raise ValueError(f"terms = {terms}, waves = {waves}: give at least one term and one number of waves.")
    a, omega, l, phi = jax.random.uniform(key, (4, terms))
    chosen = jnp.asarray(waves, a.dtype)[(len(waves) * l).astype(int)]
    return SineForcing(amplitude * (2 * a - 1), frequency * (2 * omega - 1), chosen, 2 * np.pi * phi)
