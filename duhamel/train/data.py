"""Batches as pure functions of (key, step)."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray


class Batches(eqx.Module):
    """Shuffled batches of arrays that share their first axis

        epoch, place = divmod(step, rows // size)
        batch = arrays[permutation(key, epoch)[place * size : (place + 1) * size]]

    Every row is seen at most once an epoch (the remainder of rows / size rests). Nothing is remembered between steps,
    so a run that resumes at a step sees exactly the batches it would have seen.
    """

    arrays: Any
    size: int = eqx.field(static=True)

    def __check_init__(self):
        lengths = {int(a.shape[0]) for a in jax.tree.leaves(self.arrays)}
        if len(lengths) != 1:
            raise ValueError(f"Batches: arrays must share their first axis, got lengths {sorted(lengths)}.")
        if not 1 <= self.size <= self.rows:
            raise ValueError(f"Batches: size must lie in 1..{self.rows} (the number of rows), got {self.size}.")

    @property
    def rows(self) -> int:
        return int(jax.tree.leaves(self.arrays)[0].shape[0])

    def __call__(self, key: PRNGKeyArray, step: Int[Array, ""] | int) -> Any:
        per_epoch = self.rows // self.size
        order = jax.random.permutation(jax.random.fold_in(key, step // per_epoch), self.rows)
        index: Int[Array, " size"] = jax.lax.dynamic_slice_in_dim(order, (step % per_epoch) * self.size, self.size)
        return jax.tree.map(lambda a: jnp.asarray(a)[index], self.arrays)


class Whole(eqx.Module):
    """The same data at every step: full-batch training."""

    arrays: Any

    def __call__(self, key: PRNGKeyArray, step: Any) -> Any:
        del key, step
        return self.arrays
