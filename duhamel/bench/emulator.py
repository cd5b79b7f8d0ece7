"""A training step of a Fourier neural operator against neuraloperator (PyTorch): equal widths, modes and batch.

neuraloperator's block holds a channel perceptron more than the one of Li et al., which ours is. So it is timed as it
comes, and with as little of it as it allows (expansion 1/width); both are held against the same step of ours.
The errors are those of a layer's convolution at another resolution: the same weights and one band-limited function on
twice the points, which must give the same function.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from duhamel.nn.fno import FNO
from duhamel.nn.spectral import SpectralConv

from .measure import peer, record


class Size(NamedTuple):
    """Points and waves along each axis, fields of a batch, channels."""

    shape: tuple[int, ...]
    modes: tuple[int, ...]
    batch: int
    width: int

    @property
    def name(self) -> str:
        points = " x ".join(map(str, self.shape))
        return f"{len(self.shape)}-D, {points} points, {self.modes[0]} modes, width {self.width}, batch {self.batch}"


SIZES = [Size((1024,), (16,), 20, 64), Size((64, 64), (12, 12), 8, 32), Size((4096,), (64,), 8, 32)]
QUICK = [Size((256,), (16,), 8, 32), Size((32, 32), (8, 8), 2, 32)]
DEPTH = 4
BLOCK = 4  # a step takes 10 to 100 ms: longer blocks would see other weather


def our_step(size: Size) -> Callable[[], Any]:
    """One Adam step on the mean square error, state kept between calls."""
    net = FNO(1, 1, size.modes, width=size.width, depth=DEPTH, key=jax.random.key(0))
    floats, rest = eqx.partition(net, eqx.is_inexact_array)
    optimiser = optax.adam(1e-3)
    x, y = (jnp.asarray(_noise(size, seed)).swapaxes(0, 1) for seed in (0, 1))

    @jax.jit
    def step(floats: Any, state: Any) -> Any:
        value, grad = jax.value_and_grad(lambda f: jnp.mean((eqx.combine(f, rest)(x) - y) ** 2))(floats)
        update, state = optimiser.update(grad, state, floats)
        return eqx.apply_updates(floats, update), state, value

    kept = {"floats": floats, "state": optimiser.init(floats)}

    def call() -> Any:
        kept["floats"], kept["state"], value = step(kept["floats"], kept["state"])
        return jax.block_until_ready(value)

    return call


def their_step(torch: Any, models: Any, size: Size, **more: Any) -> Callable[[], Any]:
    """The same with neuraloperator. Its n_modes counts both signs along every axis, so twice ours less one."""
    net = models.FNO(
        n_modes=tuple(2 * m - 1 for m in size.modes),
        in_channels=1,
        out_channels=1,
        hidden_channels=size.width,
        n_layers=DEPTH,
        lifting_channel_ratio=2,
        projection_channel_ratio=2,
        **more,
    )
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    x, y = (torch.from_numpy(_noise(size, seed)) for seed in (0, 1))

    def call() -> Any:
        optimiser.zero_grad()
        loss = ((net(x) - y) ** 2).mean()
        loss.backward()
        optimiser.step()
        return loss.item()

    return call


def _noise(size: Size, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((size.batch, 1, *size.shape)).astype(np.float32)


def alternate(ours: Callable, theirs: Callable, budget: float) -> tuple[float, float]:
    """Median seconds of each in alternating blocks; the first call of a block is left out."""
    for f in (ours, theirs):
        f()
    begin = time.perf_counter()
    ours(), theirs()
    blocks = int(np.clip(budget / (BLOCK * (time.perf_counter() - begin)), 2, 20))
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(blocks):
        for f, kept in zip((ours, theirs), times, strict=True):
            for i in range(BLOCK):
                start = time.perf_counter()
                f()
                if i:
                    kept.append(time.perf_counter() - start)
    return float(np.median(times[0])), float(np.median(times[1]))


def transfer(apply: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...]) -> float:
    """Largest difference, relative, of a layer's answers to one function on `shape` and on twice the points."""
    places = [np.meshgrid(*(np.arange(k * n) / (k * n) for n in shape), indexing="ij") for k in (1, 2)]
    fields = [sum(np.sin(2 * np.pi * (j + 1) * x + j) for j, x in enumerate(at)) for at in places]
    coarse, fine = (apply(np.asarray(u, np.float32)[None, None]) for u in fields)
    every = (..., *(slice(None, None, 2),) * len(shape))
    return float(np.abs(fine[every] - coarse).max() / np.abs(coarse).max())


def run(*, quick: bool = False, progress: Callable[[str], None] | None = None) -> list[dict]:
    """Two records a size: neuraloperator as it comes, and with its channel perceptron as small as it goes."""
    say = progress or (lambda text: None)
    torch, models, layers = peer("torch"), peer("neuralop.models"), peer("neuralop.layers.spectral_convolution")
    records = []
    for size in QUICK if quick else SIZES:
        ours = our_step(size)
        conv = eqx.filter_jit(SpectralConv(1, 1, size.modes, key=jax.random.key(0)))
        theirs = layers.SpectralConv(1, 1, tuple(2 * m - 1 for m in size.modes))
        error = transfer(lambda u, conv=conv: np.asarray(conv(u[0])), size.shape)
        with torch.no_grad():
            peer_error = transfer(lambda u, conv=theirs: conv(torch.from_numpy(u)).numpy(), size.shape)
        for title, more in (("as it comes", {}), ("least perceptron", {"channel_mlp_expansion": 1 / size.width})):
            say(f"{size.name}, neuraloperator {title}")
            times = alternate(ours, their_step(torch, models, size, **more), 1.0 if quick else 20.0)
            records.append(record(f"training step, {size.name}, {title}", *times, "neuraloperator", error, peer_error))
    return records
