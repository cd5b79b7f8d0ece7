"""What `duhamel train emulator` can learn: the data of each equation, a network of a fitting size, and its rivals."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray
from scipy.interpolate import RegularGridInterpolator

from duhamel.nn.fno import FNO
from duhamel.nn.message_passing import MessagePassing
from duhamel.nn.unet import UNet
from duhamel.pde.data.gaussian import TruncatedFourier
from duhamel.pde.data.initial import draw
from duhamel.pde.dissipative import Burgers, KuramotoSivashinsky
from duhamel.pde.equation import Equation
from duhamel.pde.evolve import solve
from duhamel.pde.grid import periodic

from .cost import Run, coarse_runs
from .sets import burgers_set, darcy, darcy_set, navier_stokes_set, resampled, stirred, trajectories


@dataclass(frozen=True)
class Data:
    """train, test  (samples, time, channels, *space), float32;   times of the frames;   seconds spent on making them"""

    train: np.ndarray
    test: np.ndarray
    times: np.ndarray
    seconds: float


@dataclass(frozen=True)
class Task:
    """
    points, train, test  of the standard set;   steps  of the optimiser that reach the figures of the report
    modes, width         of the Fourier neural operator;   walls: the domain has ends, and the points hold them
    build(points, train, test, seed) -> Data;   rivals(data, progress) -> coarse classical runs on the test half
    residual             the network learns changes: right for frames close in time
    placed               places differ (a force, a wall), so that the network is told the coordinates
    symmetric            the operator commutes with the symmetries of the square, and training is shown all eight
    published            rows of Li et al. (arXiv 2010.08895) on sets of this distribution: name, sets to learn from,
                         relative L2 error in per cent
    """

    name: str
    about: str
    points: int
    train: int
    test: int
    steps: int
    modes: tuple[int, ...]
    width: int
    build: Callable[[int, int, int, int], Data]
    rivals: Callable[[Data, Callable[[str], None]], tuple[Run, ...]]
    walls: bool = False
    residual: bool = False
    placed: bool = False
    symmetric: bool = False
    published: tuple[tuple[str, int, float], ...] = ()

    def network(self, model: str, key: PRNGKeyArray, condition: int = 0) -> Any:
        """An untrained network of one channel in and out; with a condition of so many features."""
        if model == "fno":
            more: dict[str, Any] = {"extension": 0.25} if self.walls else {"coordinates": self.placed}
            return FNO(1, 1, self.modes, width=self.width, condition=condition, **more, key=key)
        if model == "mp":
            return MessagePassing(1, 1, width=self.width, condition=condition, key=key)
        padding = "zeros" if self.walls else "periodic"
        width = self.width // 2
        return UNet(1, 1, len(self.modes), width=width, padding=padding, condition=condition, key=key)


MODELS = ("fno", "unet", "mp")


def _timed(make: Callable[[], tuple[np.ndarray, np.ndarray]], times: Any) -> Data:
    begin = time.perf_counter()
    train, test = make()
    seconds = time.perf_counter() - begin
    return Data(train.astype(np.float32), test.astype(np.float32), np.asarray(times), seconds)


def _split(found: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    return found[:first], found[first:]


def _burgers(points: int, train: int, test: int, seed: int) -> Data:
    return _timed(lambda: _split(np.stack(burgers_set(train + test, points, seed), axis=1), train), [0.0, 1.0])


def _darcy(points: int, train: int, test: int, seed: int) -> Data:
    """The test half first, so that it is the same however many there are to train on."""

    def make() -> tuple[np.ndarray, np.ndarray]:
        test_half, train_half = _split(np.stack(darcy_set(train + test, points, seed), axis=1), test)
        return train_half, test_half

    return _timed(make, [0.0, 1.0])


KS_LENGTH, KS_BURN_IN = 64.0, 60.0


def _kuramoto(points: int, train: int, test: int, seed: int) -> Data:
    """41 frames, one unit of time apart, after the chaos has set in."""
    grid, times = periodic(points, KS_LENGTH), KS_BURN_IN + np.arange(41.0)

    def make() -> tuple[np.ndarray, np.ndarray]:
        first = draw(TruncatedFourier(cutoff=8), jax.random.key(seed), grid, np.arange(train + test))
        all_times = np.concatenate([[0.0], times])
        found = trajectories(KuramotoSivashinsky(), grid, first, all_times, 8 * int(times[-1]))[:, 1:]
        return _split(found, train)

    return _timed(make, times - times[0])


def _navier_stokes(points: int, train: int, test: int, seed: int) -> Data:
    """41 frames of stirred vorticity, from t = 10 to t = 50."""
    make = lambda: _split(navier_stokes_set(train + test, points, seed), train)  # noqa: E731
    return _timed(make, np.arange(10.0, 51.0))


def _spectral(equation: Equation, length: float, settings: tuple[tuple[int, int], ...]) -> Callable:
    """The same equation on coarser grids with longer steps, in float32, all samples of the test half at once."""

    def rivals(data: Data, progress: Callable[[str], None]) -> tuple[Run, ...]:
        dim, fine = data.test.ndim - 3, data.test.shape[-1]
        times = jnp.asarray(data.times, jnp.float32)

        def coarse(points: int, steps: int) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
            grid = periodic((points,) * dim, length)
            first = jnp.asarray(resampled(data.test[:, 0, 0], points, dim), jnp.float32)
            run = jax.jit(jax.vmap(lambda u0: solve(equation, grid, u0, times, steps=steps, throw=False).x[1:]))
            return lambda: run(first), lambda u: resampled(np.asarray(u), fine, dim)[:, :, None]

        usable = [(points, steps) for points, steps in settings if points <= fine]
        return coarse_runs(coarse, usable, data.test[:, 1:], progress)

    return rivals


def _darcy_rivals(data: Data, progress: Callable[[str], None]) -> tuple[Run, ...]:
    """The five-point scheme on every few points of a, one sample after another, interpolated linearly."""
    fine = data.test.shape[-1]
    x = np.linspace(0, 1, fine)

    def coarse(points: int, _: int) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
        a = data.test[:, 0, 0, :: (fine - 1) // (points - 1), :: (fine - 1) // (points - 1)].astype(float)
        at = np.linspace(0, 1, points)
        places = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1)
        finer = lambda u: RegularGridInterpolator((at, at), u)(places)[None, None]  # noqa: E731
        return lambda: np.stack([darcy(one) for one in a]), lambda u: np.stack([finer(one) for one in u])

    sides = [(fine - 1) // k + 1 for k in (12, 6, 4, 3, 2, 1) if (fine - 1) % k == 0]
    return coarse_runs(coarse, [(n, 0) for n in sides if n > 3], data.test[:, 1:], progress)


TASKS = {
    one.name: one
    for one in (
        Task(
            "burgers",
            "From u(0) to u(1) of u_t + u u_x = 0.1 u_xx on a periodic interval of length 1",
            1024,
            1000,
            200,
            2000,
            (16,),
            32,
            _burgers,
            _spectral(Burgers(viscosity=0.1), 1.0, ((16, 4), (16, 16), (32, 16), (32, 64), (64, 64), (128, 64))),
            published=(("FNO, 1024 points", 1000, 1.60),),
        ),
        Task(
            "darcy",
            "From the permeability a to the pressure u of -div(a grad u) = 1 on the unit square, u = 0 at its edge",
            85,
            200,
            40,
            1000,
            (12, 12),
            24,
            _darcy,
            _darcy_rivals,
            walls=True,
            symmetric=True,
            published=(("FNO, 85 points", 1000, 1.08), ("FNO, 421 points", 1000, 0.98)),
        ),
        Task(
            "kuramoto-sivashinsky",
            "Chaos, one unit of time ahead and again: u_t + u u_x + u_xx + u_xxxx = 0 on a periodic line of 64",
            128,
            64,
            16,
            2000,
            (32,),
            32,
            _kuramoto,
            _spectral(
                KuramotoSivashinsky(), KS_LENGTH, ((32, 80), (48, 80), (48, 160), (64, 160), (64, 320), (96, 320))
            ),
            residual=True,
        ),
        Task(
            "navier-stokes-2d",
            "Vorticity stirred by a force, from t = 10 to t = 50 in steps of one: w_t + u.grad w = 0.001 Laplacian w "
            "+ 0.1 (sin 2 pi (x + y) + cos 2 pi (x + y)) on the periodic unit square",
            64,
            50,
            10,
            1500,
            (12, 12),
            20,
            _navier_stokes,
            _spectral(stirred(), 1.0, ((12, 40), (16, 40), (16, 80), (24, 80), (24, 160), (32, 160), (32, 320))),
            placed=True,
            published=(("FNO-2D, ten frames in", 1000, 1.28), ("FNO-3D", 1000, 0.86), ("U-Net", 1000, 2.45)),
            residual=True,
        ),
    )
}
