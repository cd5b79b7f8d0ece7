"""Train an emulator on a task and measure it: errors over time, on other grids, and what it costs beside a solver."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from duhamel.core.seed import check_seed
from duhamel.pde.metrics import relative_l2
from duhamel.train.log import Record
from duhamel.train.weights import write

from .cost import Cost, measured_run
from .model import Emulator, measured, measured_change
from .sets import resampled
from .strategy import STRATEGIES
from .tasks import MODELS, TASKS, Data, Task
from .train import Shape, Trained, forecast, train
from .windows import Symmetric, Windows


@dataclass(frozen=True)
class Wish:
    """What is asked for; None: the task's own number."""

    equation: str = "burgers"
    model: str = "fno"
    strategy: str = "one-step"
    points: int | None = None
    samples: int | None = None
    steps: int | None = None
    seed: int = 0
    seeds: int = 1


@dataclass(frozen=True)
class Study:
    """
    errors       relative L2 of every test sample and frame, (seeds, samples, frames), forecast from the first frame
    prediction   of the first seed, (samples, frames, channels, *space)
    elsewhere    points along each axis: error of the same weights there (operators by a Fourier neural operator)
    """

    task: Task
    data: Data
    trained: Trained
    errors: np.ndarray
    prediction: np.ndarray
    elsewhere: dict[int, float]
    cost: Cost

    @property
    def metrics(self) -> list[Record]:
        return self.trained.metrics


def check(wish: Wish) -> None:
    """One sentence for what cannot be meant."""
    task = TASKS[wish.equation]
    for name in ("points", "samples", "steps", "seeds"):
        value = getattr(wish, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} = {value}; give at least 1.")
    check_seed(wish.seed, more=wish.seeds)
    points = task.points if wish.points is None else wish.points
    if wish.model == "unet" and points % 8:
        raise ValueError(
            f"a U-Net halves its grid three times, and {points} points are no multiple of 8; give --points."
        )
    if wish.model == "mp" and len(task.modes) > 1:
        raise ValueError(f"message passing is written on a line, and {wish.equation} lies in a plane; use fno or unet.")
    ahead = STRATEGIES[wish.strategy]
    if ahead.frames(1) > 1 and not task.residual:
        raise ValueError(f"{wish.equation} is one step, and {wish.strategy} learns several; use one-step or noise.")
    # trajectories are cut into many stretches, so that few of them fill a batch
    if wish.samples is not None and wish.samples < batch_size(task) and not task.residual:
        raise ValueError(f"samples = {wish.samples} do not fill a batch of {batch_size(task)}; take more.")


def batch_size(task: Task) -> int:
    return 20 if len(task.modes) == 1 else 8


def study(
    wish: Wish,
    folder: Path | str | None = None,
    progress: Callable[[str, float | None], None] = lambda text, fraction: None,
) -> Study:
    """The whole of it; with a folder the training can be killed and goes on, and the weights are left there."""
    check(wish)
    task = TASKS[wish.equation]
    progress("making the data", None)
    points, samples = (
        task.points if wish.points is None else wish.points,
        task.train if wish.samples is None else wish.samples,
    )
    data = task.build(points, samples, max(1, min(task.test, samples)), wish.seed)
    strategy = STRATEGIES[wish.strategy]
    shape = shape_of(task, data, strategy.lead)
    windows = Windows(data.train, 1, strategy.frames(1), batch_size(task))
    steps, begin = task.steps if wish.steps is None else wish.steps, time.perf_counter()
    trained = train(
        lambda key: task.network(wish.model, key, condition=int(strategy.lead > 1)),
        shape,
        Symmetric(windows) if task.symmetric else windows,
        steps=steps,
        seeds=tuple(range(wish.seed, wish.seed + wish.seeds)),
        strategy=strategy,
        rate=2e-3 if wish.model == "fno" else 1e-3,
        validate=lambda emulator: {"test": float(error_of(emulator, data.test[:, :2]).mean())},
        folder=folder,
        checkpoint_every=max(steps // 10, 1),
        title=f"{wish.equation} {wish.model}",
        progress=lambda done, total: progress(f"step {done} of {total}", done / total),
    )
    seconds = time.perf_counter() - begin
    if folder is not None:
        for i, emulator in enumerate(trained.emulators):
            write(Path(folder) / f"emulator-{wish.seed + i}.safetensors", emulator, np.float32, equation=wish.equation)
    progress("measuring", None)
    frames = len(data.times) - 1
    predictions = [forecast(emulator, data.test[:, :1], frames) for emulator in trained.emulators]
    errors = np.stack([each_error(p, data.test[:, 1:]) for p in predictions])
    elsewhere = on_other_grids(task, trained.emulators[0], wish, data) if wish.model == "fno" else {}
    cost = price(task, data, trained.emulators[0], seconds, progress)
    return Study(task, data, trained, errors, predictions[0], elsewhere, cost)


def shape_of(task: Task, data: Data, lead: int = 1) -> Shape:
    """Scales from the training half; where the network learns changes, of those over the middle lead time."""
    if task.residual:
        apart = (lead + 1) // 2
        pairs = (a.reshape(-1, 1, *a.shape[2:]) for a in (data.train[:, :-apart], data.train[:, apart:]))
        return Shape(measured(data.train), measured_change(*pairs), residual=True, lead=lead)
    return Shape(measured(data.train[:, :1]), measured(data.train[:, 1:]))


def each_error(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Relative L2 of every sample and frame, (samples, frames)."""
    return np.asarray(relative_l2(prediction, truth, tuple(range(2, truth.ndim))))


def error_of(emulator: Emulator, trajectories: np.ndarray) -> np.ndarray:
    return each_error(forecast(emulator, trajectories[:, :1], trajectories.shape[1] - 1), trajectories[:, 1:])


def on_other_grids(task: Task, emulator: Emulator, wish: Wish, data: Data) -> dict[int, float]:
    """The same weights on the test functions at other resolutions, where the task is an operator

    Periodic fields are moved by their Fourier series (coarser: cut off; finer: what the grid holds); with walls the
    set is made again on twice the intervals.
    """
    if task.residual:
        return {}
    points, dim = data.test.shape[-1], len(task.modes)
    found = {points: float(error_of(emulator, data.test).mean())}
    if task.walls:
        finer = task.build(2 * points - 1, 1, len(data.test), wish.seed).test
        return found | {2 * points - 1: float(error_of(emulator, finer).mean())}
    for side in (points // 4, points // 2, 2 * points, 4 * points):
        if side >= 2 * max(task.modes):
            moved = resampled(data.test, side, dim).astype(np.float32)
            found[side] = float(error_of(emulator, moved).mean())
    return dict(sorted(found.items()))


def price(
    task: Task, data: Data, emulator: Emulator, training: float, progress: Callable[[str, float | None], None]
) -> Cost:
    """The emulator's time for the whole test half at once, and its rivals' for the same."""
    frames, past = len(data.times) - 1, data.test[:, :1]
    own = measured_run(
        "emulator", lambda: forecast(emulator, past, frames, size=len(past)), data.test[:, 1:], repeats=3
    )
    return Cost(data.seconds, training, own, task.rivals(data, lambda text: progress(text, None)))


def parameters(emulator: Emulator) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(emulator.network) if hasattr(leaf, "size"))


KNOWN: dict[str, Any] = {"equation": TASKS, "model": MODELS, "strategy": STRATEGIES}
