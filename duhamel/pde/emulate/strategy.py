"""How an emulator is shown its own mistakes while it learns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from duhamel.core.grid import Number
from duhamel.pde.grid import Grid
from duhamel.pde.metrics import relative_l2, sobolev_error

from .model import Emulator, Fields, fed, rollout, told
from .windows import Window


@dataclass(frozen=True)
class Strategy:
    """The loss of a stretch

        past + noise  --r calls without gradient-->  past'  --unroll calls-->  frames,   mean distance(frames, truth)

    unroll       calls that are compared with the truth; 1 is one-step training (supervised, "teacher forcing")
    cut          no gradient between unrolled calls: cheap and stable, but blind to how errors grow
    pushforward  r is drawn from 0..pushforward: the emulator learns to repair what its own calls have done
                 (Brandstetter et al. 2022, arXiv 2202.03376)
    noise        standard deviation of Gaussian noise added to the past, in units of the data's (Sanchez-Gonzalez et al.
                 2020, arXiv 2002.09405); 1e-3 to 1e-2
    lead         the truth is the j-th frame ahead, j drawn from 1..lead for each sample and told to the network, which
                 takes a condition (`FNO(..., condition=1)`): then a forecast makes lead times fewer calls in a row

    Temporal bundling belongs to the emulator (`bundle` frames a call) and goes with every strategy.
    """

    unroll: int = 1
    cut: bool = False
    pushforward: int = 0
    noise: Number = 0.0
    lead: int = 1

    def __post_init__(self) -> None:
        if self.unroll < 1 or self.pushforward < 0 or not self.noise >= 0:
            raise ValueError(
                f"a strategy has unroll >= 1, pushforward >= 0 and noise >= 0, got {self.unroll}, {self.pushforward}, "
                f"{self.noise}."
            )
        if self.lead < 1 or (self.lead > 1 and self.unroll + self.pushforward > 1):
            raise ValueError(
                f"lead = {self.lead} with unroll = {self.unroll} and pushforward = {self.pushforward}: lead times are "
                "at least 1, and learnt one call at a time."
            )

    def frames(self, bundle: int) -> int:
        """Future frames that a stretch must hold."""
        return (self.unroll + self.pushforward) * bundle * self.lead

    def loss(self, emulator: Emulator, window: Window, distance: Callable, key: PRNGKeyArray) -> Float[Array, ""]:
        """The mean of distance(frames, truth) of the stretch, over its samples and calls."""
        if emulator.lead != self.lead:
            raise ValueError(f"the strategy has lead = {self.lead}, the emulator {emulator.lead}; give both the same.")
        k_noise, k_calls = jax.random.split(key)
        past, truth = lanes_last(window.past), lanes_last(window.future)
        condition = None if window.condition is None else jnp.asarray(window.condition).T
        if self.noise:
            scaled = emulator.inputs.apply(past)
            past = emulator.inputs.undo(scaled + self.noise * jax.random.normal(k_noise, past.shape, past.dtype))
        if self.pushforward:
            r = jax.random.randint(k_calls, (), 0, self.pushforward + 1)
            past = jax.lax.stop_gradient(self._pushed(emulator, past, condition, r))
            truth = jax.lax.dynamic_slice_in_dim(truth, r * emulator.bundle, self.unroll * emulator.bundle)
        if self.lead > 1:
            return jnp.mean(self._leading(emulator, past, truth, condition, distance, k_calls))
        frames = rollout(emulator, past, self.unroll, condition, cut=self.cut)
        # one distance a call and sample: (calls, batch, bundle, channels, *space)
        split = lambda u: jnp.moveaxis(u.reshape(self.unroll, -1, *u.shape[1:]), 3, 1)  # noqa: E731
        return jnp.mean(jax.vmap(distance)(split(frames), split(truth)))

    def _pushed(self, emulator: Emulator, past: Fields, condition: Any, r: Any) -> Fields:
        def call(i: Any, window: Fields) -> Fields:
            return jnp.where(i < r, fed(window, emulator(window, condition)), window)

        return jax.lax.fori_loop(0, self.pushforward, call, past)

    def _leading(
        self, emulator: Emulator, past: Fields, truth: Fields, condition: Any, distance: Callable, key: PRNGKeyArray
    ) -> Float[Array, " batch"]:
        """The distance of each sample at a lead time of its own."""
        batch = past.shape[2]
        lead = jax.random.randint(key, (batch,), 1, self.lead + 1)
        guess = emulator(past, told(lead / self.lead, condition, batch))
        return distance(jnp.moveaxis(guess, 2, 0), truth[lead - 1, :, jnp.arange(batch)][:, None])


STRATEGIES = {
    "one-step": Strategy(),
    "unrolled": Strategy(unroll=4),
    "cut": Strategy(unroll=4, cut=True),
    "pushforward": Strategy(pushforward=2),
    "noise": Strategy(noise=0.01),
    "lead-time": Strategy(lead=4),
}


def lanes_last(u: Any) -> Fields:
    """(batch, frames, channels, *space) -> (frames, channels, batch, *space), what networks read."""
    return jnp.moveaxis(jnp.asarray(u), 0, 2)


def l2(prediction: Float[Array, "batch ..."], truth: Float[Array, "batch ..."]) -> Float[Array, " batch"]:
    """||prediction - truth|| / ||truth|| of each sample."""
    return relative_l2(prediction, truth)


def sobolev(grid: Grid, s: Number = 1.0) -> Callable:
    """A distance in H^s on a periodic box, of each sample: s = 1 asks for the gradient as well."""

    def distance(prediction: Float[Array, "batch ..."], truth: Float[Array, "batch ..."]) -> Float[Array, " batch"]:
        each = sobolev_error(prediction, truth, grid, s)
        return jnp.mean(each.reshape(each.shape[0], -1), axis=1)

    return distance
