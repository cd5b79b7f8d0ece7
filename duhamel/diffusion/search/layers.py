"""The digits' network with some of its blocks weakened, strengthened or left out, differently at every noise level.

    z <- skip z + branch (block(z) - z)       skip = branch = 1: the network;  branch = 0, skip = 1: without the block

AutoDiffusion (arXiv 2309.10438) leaves blocks out, Free-U (arXiv 2309.11497) scales what runs along the skip
connections of a U-Net against its backbone; in a transformer z is what runs along. The network itself is not touched,
and the gains are arguments of the compiled program.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from duhamel.nn.transformer import Block

from ..denoiser import Denoiser
from ..network import Conditioned


class Scaled(eqx.Module):
    """A block with gains. Where branch is 0 it is not computed, provided all samples share the gains."""

    block: Block
    skip: Float[Array, ""]
    branch: Float[Array, ""]

    def __call__(self, z: Float[Array, "tokens width"], c: Float[Array, " condition"]) -> Float[Array, "tokens width"]:
        added = jax.lax.cond(self.branch != 0, lambda: self.block(z, c) - z, lambda: jnp.zeros_like(z))
        return self.skip * z + self.branch * added


class Layered(eqx.Module):
    """The denoiser D(t, x) whose blocks have the gains of the level that t lies in.

    edges   falling times between the levels, shape (levels - 1,); level 0 is the noisiest
    skip, branch   shape (levels, blocks)
    """

    denoiser: Conditioned
    edges: Float[Array, " edges"]
    skip: Float[Array, "levels blocks"]
    branch: Float[Array, "levels blocks"]

    def __call__(self, t: Any, x: Any) -> Any:
        level = jnp.sum(jnp.asarray(t) < self.edges)
        blocks = self.denoiser.model.network.blocks
        scaled = tuple(Scaled(b, self.skip[level, k], self.branch[level, k]) for k, b in enumerate(blocks))
        changed = eqx.tree_at(lambda d: d.model.network.blocks, self.denoiser, scaled)
        return changed(t, x)


def layered(denoiser: Conditioned, ts: Any, branch: Any, skip: Any = 1.0) -> Denoiser:
    """One level for each time at which a multistep plan on `ts` calls its model: ts[:-1].

    branch, skip   broadcast to (steps, blocks)
    """
    ts = np.asarray(ts, np.float64)
    shape = (len(ts) - 1, len(denoiser.model.network.blocks))
    dtype = denoiser.model.network.positions.dtype
    try:
        gains = [jnp.asarray(np.broadcast_to(np.asarray(g, np.float64), shape), dtype) for g in (skip, branch)]
    except ValueError:
        raise ValueError(
            f"gains of shapes {np.shape(skip)} and {np.shape(branch)} do not fit {shape[0]} steps, {shape[1]} blocks."
        ) from None
    edges = np.sqrt(ts[:-2] * ts[1:-1]) if np.all(ts[:-1] > 0) else 0.5 * (ts[:-2] + ts[1:-1])
    return Layered(denoiser, jnp.asarray(edges, dtype), *gains)
