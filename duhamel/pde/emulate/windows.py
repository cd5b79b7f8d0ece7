"""What an emulator is trained on: pairs of past and future, drawn as pure functions of (key, step)."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from duhamel.train.data import Batches


class Window(eqx.Module):
    """A batch of stretches of trajectories

    past       (batch, history, channels, *space);   future  (batch, frames, channels, *space)
    condition  (batch, features): parameters of the equation, the lead time; None without
    """

    past: Float[Array | np.ndarray, "batch history inputs *space"]
    future: Float[Array | np.ndarray, "batch frames outputs *space"]
    condition: Float[Array | np.ndarray, "batch features"] | None = None


class Windows(eqx.Module):
    """Stretches of `history + frames` from trajectories (samples, time, channels, *space), from any start

    Every stretch of every trajectory is seen once an epoch, in a shuffled order that is a function of (key, step).
    """

    trajectories: Float[Array | np.ndarray, "samples time channels *space"]
    condition: Float[Array | np.ndarray, "samples features"] | None
    starts: Batches
    history: int = eqx.field(static=True)
    frames: int = eqx.field(static=True)

    def __init__(self, trajectories: Any, history: int, frames: int, size: int, condition: Any = None):
        self.trajectories, self.condition, self.history, self.frames = trajectories, condition, history, frames
        samples, time = np.shape(trajectories)[:2]
        count = time - history - frames + 1
        if count < 1:
            raise ValueError(
                f"trajectories have {time} frames, and a stretch of {history} + {frames} does not fit; unroll less, "
                "or keep more frames."
            )
        self.starts = Batches((np.arange(samples * count) // count, np.arange(samples * count) % count), size)

    def __call__(self, key: PRNGKeyArray, step: Any) -> Window:
        which, begin = self.starts(key, step)
        length = self.history + self.frames
        cut = lambda i, at: jax.lax.dynamic_slice_in_dim(jnp.asarray(self.trajectories)[i], at, length)  # noqa: E731
        found = jax.vmap(cut)(which, begin)
        condition = None if self.condition is None else jnp.asarray(self.condition)[which]
        return Window(found[:, : self.history], found[:, self.history :], condition)


class Pairs(eqx.Module):
    """Input fields and output fields (samples, channels, *space): an operator's data, as stretches of 1 + 1."""

    batches: Batches

    def __init__(self, inputs: Any, outputs: Any, size: int, condition: Any = None):
        self.batches = Batches((inputs, outputs, condition), size)

    def __call__(self, key: PRNGKeyArray, step: Any) -> Window:
        inputs, outputs, condition = self.batches(key, step)
        return Window(inputs[:, None], outputs[:, None], condition)


class Symmetric(eqx.Module):
    """Batches on a square, each turned and mirrored by one of the square's eight symmetries, drawn for every step

    For operators that commute with them (Darcy's equation): eight times the data from as many solves.
    """

    data: Any

    def __call__(self, key: PRNGKeyArray, step: Any) -> Window:
        window = self.data(key, step)
        first, second, swap = jax.random.bernoulli(jax.random.fold_in(jax.random.fold_in(key, 1), step), shape=(3,))

        def turned(u: Array) -> Array:
            u = jnp.where(first, jnp.flip(u, -1), u)
            u = jnp.where(second, jnp.flip(u, -2), u)
            return jnp.where(swap, jnp.swapaxes(u, -1, -2), u)

        return Window(turned(jnp.asarray(window.past)), turned(jnp.asarray(window.future)), window.condition)
