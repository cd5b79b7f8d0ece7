"""Training an emulator, several seeds at once: `duhamel.train.fit` on the loss of a strategy."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from duhamel.train.ema import EMA
from duhamel.train.fit import fit
from duhamel.train.log import Record

from .model import Emulator, Scaling, rollout
from .strategy import Strategy, l2, lanes_last
from .windows import Window


@dataclass(frozen=True)
class Shape:
    """How an emulator reads and writes, and the scales of its data; `of` builds one around a network."""

    inputs: Scaling
    outputs: Scaling
    history: int = 1
    bundle: int = 1
    residual: bool = False
    lead: int = 1

    def around(self, network: Any) -> Emulator:
        return Emulator(network, self.inputs, self.outputs, self.history, self.bundle, self.residual, self.lead)


@dataclass(frozen=True)
class Trained:
    """emulators  one for each seed;   metrics  as `fit` wrote them;   step  optimiser steps made"""

    emulators: tuple[Emulator, ...]
    metrics: list[Record]
    step: int


def train(
    make: Callable[[PRNGKeyArray], Any],
    shape: Shape,
    data: Callable[[PRNGKeyArray, Any], Window],
    *,
    steps: int,
    seeds: tuple[int, ...] = (0,),
    order: int | None = None,
    strategy: Strategy = Strategy(),
    distance: Callable = l2,
    rate: float = 1e-3,
    ema: EMA | None = None,
    validate: Callable[[Emulator], dict[str, Any]] | None = None,
    folder: Path | str | None = None,
    scan: int = 25,
    checkpoint_every: int = 500,
    title: str = "emulator",
    progress: bool | Callable[[int, int], None] = False,
) -> Trained:
    """Minimise the strategy's loss by Adam, warm-up over 5 % of the steps, then a cosine from `rate` to 0

    make      make(key) -> network. Each seed starts from a network of its own; all are trained at once by `vmap`, on
              the same batches, and none sees another: the gradient is of the sum of their losses.
    data      data(key, step) -> a batch: `Pairs`, `Windows`, or a `Stream` of fresh solutions, made as they are asked
              for (duhamel.pde.data.stream)
    order     seed of what all share, the batches and what a strategy draws; the first of `seeds` unless told
    validate  numbers of one emulator, asked for at each checkpoint of the first seed
    folder    checkpoints and metrics.jsonl; a killed run continues from there (see `fit`)
    """
    if not seeds:
        raise ValueError("train: seeds is empty; name at least one, such as (0,).")
    networks = eqx.filter_vmap(make)(jnp.stack([jax.random.key(seed) for seed in seeds]))
    # scales are no weights: `fit` sees the networks alone
    parts = lambda networks: eqx.partition(networks, eqx.is_array)  # noqa: E731

    def loss(networks: Any, window: Window, key: PRNGKeyArray) -> Float[Array, ""]:
        arrays, rest = parts(networks)
        of = lambda one: strategy.loss(shape.around(eqx.combine(one, rest)), window, distance, key)  # noqa: E731
        losses = jax.vmap(of)(arrays)
        total = jnp.sum(losses)  # its gradient is each seed's own; the value that is told is the mean
        return total - jax.lax.stop_gradient(total - jnp.mean(losses))

    def first(networks: Any) -> dict[str, Any]:
        return validate(_one(networks, 0, shape)) if validate is not None else {}

    warm = max(min(steps // 20, 500), 1)
    schedule = optax.warmup_cosine_decay_schedule(0.1 * rate, rate, warm, max(steps, warm + 1), 0.0)
    done = fit(
        loss,
        networks,
        data,
        optimiser=optax.adam(schedule),
        steps=steps,
        key=jax.random.key(seeds[0] if order is None else order),
        ema=ema,
        scan=scan,
        folder=folder,
        checkpoint_every=checkpoint_every,
        validate=first if validate is not None else None,
        title=title,
        progress=progress,
    )
    return Trained(tuple(_one(done.average, i, shape) for i in range(len(seeds))), done.metrics, done.step)


def _one(networks: Any, index: int, shape: Shape) -> Emulator:
    return shape.around(jax.tree.map(lambda a: a[index] if eqx.is_array(a) else a, networks))


def forecast(emulator: Emulator, past: Any, frames: int, condition: Any = None, size: int = 100) -> np.ndarray:
    """Frames after `past` (samples, history, channels, *space), each call fed with those before it

    (samples, frames, channels, *space), `size` samples at a time. An operator is asked for one frame.
    """
    found = []
    for begin in range(0, len(past), size):
        some = slice(begin, begin + size)
        given = None if condition is None else jnp.asarray(condition[some]).T
        ahead = _ahead(emulator, lanes_last(past[some]), given, -(-frames // emulator.stride))
        found.append(np.moveaxis(np.asarray(ahead), 2, 0)[:, :frames])
    return np.concatenate(found)


@eqx.filter_jit
def _ahead(emulator: Emulator, past: Array, condition: Any, calls: int) -> Array:
    return rollout(emulator, past, calls, condition)
