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
    change = future - past[:, -1:, : future.shape[2]]
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
    lead      above 1: a call answers for any of the next `lead` frames, and is told which by the first feature of its
              condition, j/lead for the j-th (see `Strategy`)

    Where fewer channels come out than go in, they are the first of those; the others (a material, a force) stand still.
    """

    network: Any
    inputs: Scaling
    outputs: Scaling
    history: int = eqx.field(static=True, default=1)
    bundle: int = eqx.field(static=True, default=1)
    residual: bool = eqx.field(static=True, default=False)
    lead: int = eqx.field(static=True, default=1)

    @property
    def stride(self) -> int:
        """Frames that `ahead` gives."""
        return self.bundle * self.lead

    def __call__(self, past: Fields, condition: Float[Array, "features *lanes"] | None = None) -> Fields:
        """past (history, channels, *lanes, *space) -> (bundle, channels, *lanes, *space), in the precision of past."""
        if past.shape[0] != self.history:
            raise ValueError(f"the emulator reads {self.history} frames, got {past.shape[0]}; give the latest ones.")
        z = self.inputs.apply(past)
        z = z.reshape(-1, *z.shape[2:])
        z = self.network(z) if condition is None else self.network(z, condition)
        future = self.outputs.undo(z.reshape(self.bundle, -1, *z.shape[1:])).astype(past.dtype)
        return past[-1:, : future.shape[1]] + future if self.residual else future

    def ahead(self, past: Fields, condition: Float[Array, "features *lanes"] | None = None) -> Fields:
        """The next `stride` frames after past; with lead times one call for each."""
        if self.lead == 1:
            return self(past, condition)
        each = [self(past, told(j / self.lead, condition, past.shape[2])) for j in range(1, self.lead + 1)]
        return jnp.concatenate(each)


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

    if calls == 1:
        return emulator.ahead(past, condition)

    @jax.checkpoint
    def call(window: Fields, _: None) -> tuple[Fields, Fields]:
        new = emulator.ahead(jax.lax.stop_gradient(window) if cut else window, condition)
        return fed(window, new), new

    _, frames = jax.lax.scan(call, past, None, length=calls)
    return frames.reshape(-1, *frames.shape[2:])


def fed(window: Fields, new: Fields) -> Fields:
    """The latest frames as the next call reads them: channels that the emulator does not give stand still."""
    inputs, outputs = window.shape[1], new.shape[1]
    if outputs > inputs:
        raise ValueError(
            f"the emulator gives {outputs} channels and reads {inputs}: its frames cannot be fed to it; ask for one "
            "call."
        )
    still = jnp.broadcast_to(window[-1:, outputs:], (len(new), inputs - outputs, *new.shape[2:]))
    return jnp.concatenate([window, jnp.concatenate([new, still], axis=1)])[-len(window) :]


def told(lead: Any, condition: Any, lanes: int) -> Float[Array, "features lanes"]:
    """The lead time of every lane, before the other features of the condition."""
    first = jnp.broadcast_to(jnp.asarray(lead, jnp.float32), (1, lanes))
    return first if condition is None else jnp.concatenate([first, condition.astype(jnp.float32)])
