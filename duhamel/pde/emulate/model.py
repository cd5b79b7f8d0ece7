"""A network, the scales of its data, and how it marches."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Fields = Float[Array, "..."]  # (frames, channels, *lanes, *space)


class Scaling(eqx.Module):
    """Mean and standard deviation of each channel, (frames, channels); one row of frames serves all."""

    mean: Float[Array | np.ndarray, "frames channels"]
    std: Float[Array | np.ndarray, "frames channels"]

    def apply(self, u: Fields) -> Fields:
        return (u - self._like(self.mean, u)) / self._like(self.std, u)

    def undo(self, z: Fields) -> Fields:
        return z * self._like(self.std, z) + self._like(self.mean, z)

    @staticmethod
    def _like(numbers: Any, u: Fields) -> Fields:
        return jnp.asarray(numbers, u.dtype).reshape(*numbers.shape, *(1,) * (u.ndim - 2))


def measured(u: Any) -> Scaling:
    """The scaling of data (samples, frames, channels, *space): over all samples, frames and points."""
    u = np.asarray(u, np.float64)
    axes = (0, 1, *range(3, u.ndim))
    return _scaling(u.mean(axes)[None], u.std(axes)[None])


def measured_change(past: Any, future: Any) -> Scaling:
    """The scaling of future frames minus the last of the past ones, frame by frame."""
    past, future = np.asarray(past, np.float64), np.asarray(future, np.float64)
    change = future - past[:, -1:]
    axes = (0, *range(3, change.ndim))
    return _scaling(change.mean(axes), change.std(axes))


def _scaling(mean: np.ndarray, std: np.ndarray) -> Scaling:
    if not np.all(np.isfinite(mean)):
        raise ValueError("the data hold values that are NaN or infinite; leave those samples out.")
    # a channel that never varies has no scale; 1 leaves it as it is
    return Scaling(mean.astype(np.float32), np.where(std > 0, std, 1.0).astype(np.float32))


class Emulator(eqx.Module):
    """`history` frames in, `bundle` frames out, in the units of the data

        z = network(scaled past),    future_j = (the last frame, if residual) + mean_j + std_j z_j

    A network sees frames and channels as one axis: (history * channels, *lanes, *space) in and (bundle * channels of
    the output, *lanes, *space) out. history = bundle = 1 is a map of one field to one field: an operator, or a step.

    residual  learn the change: right for steps in time short enough that the field hardly moves
    """

    network: Any
    inputs: Scaling
    outputs: Scaling
    history: int = eqx.field(static=True, default=1)
    bundle: int = eqx.field(static=True, default=1)
    residual: bool = eqx.field(static=True, default=False)

    def __call__(self, past: Fields, condition: Float[Array, "features *lanes"] | None = None) -> Fields:
        """past (history, channels, *lanes, *space) -> (bundle, channels, *lanes, *space), in the precision of past."""
        if past.shape[0] != self.history:
            raise ValueError(f"the emulator reads {self.history} frames, got {past.shape[0]}; give the latest ones.")
        z = self.inputs.apply(past)
        z = z.reshape(-1, *z.shape[2:])
        z = self.network(z) if condition is None else self.network(z, condition)
        future = self.outputs.undo(z.reshape(self.bundle, -1, *z.shape[1:])).astype(past.dtype)
        return past[-1:] + future if self.residual else future


def rollout(
    emulator: Emulator,
    past: Fields,
    calls: int,
    condition: Float[Array, "features *lanes"] | None = None,
    *,
    cut: bool = False,
) -> Fields:
    """The frames of `calls` calls, (calls * bundle, channels, *lanes, *space), each fed with those before it.

    A `lax.scan` whose step is checkpointed: a gradient keeps the frames, not what the network computes in between.
    cut: no gradient flows from one call to the one before it.
    """

    @jax.checkpoint
    def call(window: Fields, _: None) -> tuple[Fields, Fields]:
        new = emulator(jax.lax.stop_gradient(window) if cut else window, condition)
        return jnp.concatenate([window, new])[-emulator.history :], new

    _, frames = jax.lax.scan(call, past, None, length=calls)
    return frames.reshape(-1, *frames.shape[2:])
