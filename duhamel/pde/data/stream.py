"""Training data that are never written down: solves on the device, cut into windows as the training asks for them.

    fit(loss, model, Stream(...), ...)                     # every batch from solves of its own
    for window in Reservoir(Stream(...), 1024, 64).batches(key): ...   # each solve is met several times

A `Stream` is a function of (key, step), which is what `duhamel.train.fit` calls data, so that a run that was stopped
goes on with the batches it would have seen. A `Reservoir` is a ring of windows: new ones overwrite the oldest, batches
are drawn from all; neighbours in time are then rarely in one batch.

Source of the reservoir: Meyer et al., Training deep surrogate models with large scale online learning (Melissa), ICML
2023.
"""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from duhamel.core.grid import Number
from duhamel.methods.base import Method
from duhamel.pde.emulate.windows import Window
from duhamel.pde.equation import Box, Equation
from duhamel.pde.evolve import solve
from duhamel.solver.adjoint import Forward

from .initial import Sampler


class Stream(eqx.Module):
    """Windows of `history + ahead` frames from fresh solutions of an equation

    sampler          first fields; all unknowns of an equation of several (`Stacked`)
    interval, steps  time between frames, and steps of the method (ETDRK4 unless told) in it
    frames           of each trajectory, after `skip` frames that are not used (the way to an attractor)
    batch, cuts      trajectories solved by a call, and windows cut from each at random: batch cuts windows in all

    A window that ends in a frame that is not finite stays as it is: `fit` stops at it.
    """

    equation: Equation
    grid: Box = eqx.field(static=True)
    sampler: Sampler
    interval: Number = eqx.field(static=True)
    steps: int = eqx.field(static=True, default=10)
    frames: int = eqx.field(static=True, default=8)
    skip: int = eqx.field(static=True, default=0)
    history: int = eqx.field(static=True, default=1)
    ahead: int = eqx.field(static=True, default=1)
    batch: int = eqx.field(static=True, default=16)
    cuts: int = eqx.field(static=True, default=1)
    method: Method | None = None

    def __check_init__(self):
        if min(self.steps, self.history, self.ahead, self.batch, self.cuts) < 1 or self.skip < 0:
            raise ValueError(
                f"steps = {self.steps}, history = {self.history}, ahead = {self.ahead}, batch = {self.batch}, cuts = "
                f"{self.cuts}, skip = {self.skip}: each but skip must be at least 1, and skip at least 0."
            )
        if not (np.isfinite(self.interval) and self.interval > 0):
            raise ValueError(f"interval = {self.interval} is the time between frames; it must be positive and finite.")
        if self.frames < self.history + self.ahead:
            raise ValueError(
                f"frames = {self.frames}: a window of {self.history} + {self.ahead} does not fit; keep more frames."
            )
        found = jax.eval_shape(lambda key: self.sampler(key, self.grid), jax.random.key(0)).shape
        self.equation.check(self.grid)
        if found != self.equation.shape(self.grid):
            raise ValueError(
                f"sampler gives fields of shape {found}, and the equation wants {self.equation.shape(self.grid)}; "
                "for several unknowns use Stacked(sampler, count)."
            )

    @property
    def windows(self) -> int:
        """Windows of a call."""
        return self.batch * self.cuts

    def trajectories(self, key: PRNGKeyArray) -> Float[Array, "batch frames channels *space"]:
        """`batch` solutions; a complex field has two channels, several unknowns one each."""
        count = self.skip + self.frames
        ts = self.interval * np.arange(self.skip, count)

        def one(k: PRNGKeyArray) -> Array:
            u0 = self.sampler(k, self.grid)
            how = {"steps": self.steps * (count - 1), "method": self.method, "adjoint": Forward(), "throw": False}
            return solve(self.equation, self.grid, u0, ts, **how).x

        u = jax.vmap(one)(jax.random.split(key, self.batch))
        if jnp.iscomplexobj(u):
            return jnp.stack([u.real, u.imag], axis=2)
        return u[:, :, None] if u.ndim == 2 + self.grid.dim else u

    def __call__(self, key: PRNGKeyArray, step: Any) -> Window:
        """A batch, a function of (key, step) alone."""
        of_fields, of_starts = jax.random.split(jax.random.fold_in(key, step))
        u = self.trajectories(of_fields)
        length = self.history + self.ahead
        starts = jax.random.randint(of_starts, (self.batch, self.cuts), 0, self.frames - length + 1)
        cut = lambda v, at: jax.lax.dynamic_slice_in_dim(v, at, length)  # noqa: E731
        found = jax.vmap(jax.vmap(cut, (None, 0)))(u, starts)
        found = found.reshape(self.windows, *found.shape[2:])
        return Window(found[:, : self.history], found[:, self.history :])

    def batches(self, key: PRNGKeyArray) -> Iterator[Window]:
        """Batches for ever, one compiled call each."""
        call, step = eqx.filter_jit(type(self).__call__), 0
        while True:
            yield call(self, key, jnp.asarray(step))
            step += 1


class Ring(eqx.Module):
    """windows  (capacity, history + ahead, channels, *space);   next  the slot that is overwritten next"""

    windows: Float[Array, "capacity length channels *space"]
    next: Int[Array, ""]


class Reservoir(eqx.Module):
    """A ring of windows between a stream and a training

    capacity  windows held, a multiple of those that the stream makes in a call
    size      windows of a batch, drawn without replacement
    every     batches between two solves. A window lives for capacity/stream.windows solves and is seen
              `every size/stream.windows` times on average: `uses`
    """

    stream: Stream
    capacity: int = eqx.field(static=True)
    size: int = eqx.field(static=True)
    every: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        if self.capacity % self.stream.windows or not self.stream.windows <= self.capacity >= self.size >= 1:
            raise ValueError(
                f"capacity = {self.capacity} windows must be a multiple of the stream's {self.stream.windows}, and no "
                f"less than size = {self.size}."
            )
        if self.every < 1:
            raise ValueError(f"every = {self.every} batches a solve; it must be at least 1.")

    @property
    def uses(self) -> float:
        """How often a window is seen, on average."""
        return self.every * self.size / self.stream.windows

    def start(self, key: PRNGKeyArray) -> Ring:
        """Fill the ring: capacity/stream.windows solves."""
        calls = self.capacity // self.stream.windows
        found = jax.lax.map(lambda i: self._fresh(jax.random.fold_in(key, 0), i), jnp.arange(calls))
        return Ring(found.reshape(self.capacity, *found.shape[2:]), jnp.asarray(0))

    def step(self, ring: Ring, key: PRNGKeyArray, step: Any) -> tuple[Ring, Window]:
        """The next batch; every `every`-th step solves, and overwrites the oldest windows."""
        of_stream, of_draw = (jax.random.fold_in(key, i) for i in (1, 2))

        def renew(ring: Ring) -> Ring:
            fresh = self._fresh(of_stream, step)
            windows = jax.lax.dynamic_update_slice_in_dim(ring.windows, fresh, ring.next, 0)
            return Ring(windows, (ring.next + self.stream.windows) % self.capacity)

        ring = jax.lax.cond((step + 1) % self.every == 0, renew, lambda ring: ring, ring)
        drawn = jax.random.permutation(jax.random.fold_in(of_draw, step), self.capacity)[: self.size]
        found, history = ring.windows[drawn], self.stream.history
        return ring, Window(found[:, :history], found[:, history:])

    def batches(self, key: PRNGKeyArray) -> Iterator[Window]:
        """Batches for ever; the ring is updated in place where the device can."""
        ring, call, step = eqx.filter_jit(Reservoir.start)(self, key), eqx.filter_jit(Reservoir.step), 0
        while True:
            ring, window = call(self, ring, key, jnp.asarray(step))
            yield window
            step += 1

    def _fresh(self, key: PRNGKeyArray, step: Any) -> Array:
        window = self.stream(key, step)
        return jnp.concatenate([jnp.asarray(window.past), jnp.asarray(window.future)], axis=1)
