"""Chapter: handwritten digits, drawn by the network that ships with the package."""

import time
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from duhamel.diffusion import digits
from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.sampling import sample
from duhamel.diffusion.schedule import EDM
from duhamel.report.chapter import Chapter, Figure
from duhamel.report.context import Context
from duhamel.report.figure import style
from duhamel.report.measurement import Measurement
from duhamel.report.record import Record
from duhamel.rows.plan import Plan

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

PLAN, STEPS = "dpmpp-2m", 15


def chapter(context: Context) -> Chapter:
    plan, n = digit_plan(PLAN, STEPS), 500 if context.fast else 1000
    labels = np.arange(n) % 10
    context.progress(f"{n} digits by {STEPS} steps of {PLAN}", 0.1)
    states = np.asarray(draw_labels(plan, labels, jax.random.key(0), save="steps"))
    start = time.perf_counter()
    jax.block_until_ready(draw_labels(plan, labels, jax.random.key(1), save="steps"))
    again = time.perf_counter() - start
    context.progress("judged by a classifier that saw real digits only", 0.8)
    found = digits.quality(states[-1], labels)
    note = (
        "The truth is the digit asked for, and the reader is a classifier trained on the real images; of real ones it "
        f"has not seen it reads {100 * found['accuracy_real']:.1f} %."
    )
    return Chapter(
        id="digits",
        title="Digits from noise",
        question="A small network learned 1498 real handwritten digits of 8 by 8 pixels. Asked for each digit in turn, "
        f"it draws {n} new ones, in {STEPS} steps each. Are they what was asked for?",
        headline=Measurement("Digits read as what was asked for", 100 * found["accuracy"], low=90, unit="%", note=note),
        records=(*quality_records(found), Record("digits drawn a second, after compiling", round(n / again))),
        figures=(
            Figure(
                str(context.figure("digits", draw_digits(states[-1][:100], real_digits(), states[:, :10]))),
                "Left: drawn, one column for each digit asked for. Middle: real ones that training never saw. Right: "
                "ten digits emerging from noise, time running down.",
            ),
        ),
    )


def digit_plan(name: str, steps: int) -> Plan:
    """A sampler between the noise levels that the network knows."""
    low, high = digits.SIGMA_RANGE
    return build(name, EDM(low, high), steps=steps, grid="karras")


def draw_labels(plan: Plan, labels: Any, key: Any, save: str | None = None) -> Any:
    """One image for each label (10: any digit), float32, (n, 8, 8) in about [-1, 1]."""
    low, high = digits.SIGMA_RANGE
    model = digits.conditioned(digits.load(), np.asarray(labels), EDM(low, high))
    return sample(plan, model, (len(labels), 8, 8), key, save=save, dtype=jnp.float32)


def quality_records(found: dict[str, float]) -> tuple[Record, ...]:
    """The numbers of `digits.quality`, in words, beside what real images reach."""
    return (
        Record("energy distance to held-out real digits", found["energy"]),
        Record("the same for the real digits of training", found["energy_real"]),
        Record("the same for a Gaussian of their mean and covariance", found["energy_gaussian"]),
        Record("median distance to the nearest training digit", found["nearest"]),
        Record("the same for held-out real digits", found["nearest_real"]),
    )


def real_digits() -> np.ndarray:
    """A hundred held-out digits, one column a class."""
    _, (images, labels) = digits.data()
    columns = [images[labels == label][:10] for label in range(10)]
    return np.stack(columns, axis=1).reshape(-1, *images.shape[1:])


def draw_digits(drawn: np.ndarray, real: np.ndarray | None = None, path: np.ndarray | None = None) -> "Drawing":
    """Pictures of digits: drawn and real, (n, 8, 8) in rows of ten, and `path`, (steps + 1, 10, 8, 8)."""
    import matplotlib.pyplot as plt

    panels = [("Drawn", sheet(drawn))]
    if real is not None:
        panels.append(("Real", sheet(real)))
    if path is not None:
        shown = path[np.linspace(0, len(path) - 1, 10).round().astype(int)]
        shown = shown / np.maximum(1, shown.std(axis=(1, 2, 3), keepdims=True) / 0.75)
        panels.append(("From noise to digit", sheet(shown.reshape(-1, *path.shape[2:]))))
    with style():
        size, gap = (3.5 * len(panels), 3.8), {"wspace": 0.08}
        figure, axes = plt.subplots(1, len(panels), figsize=size, gridspec_kw=gap, layout="constrained", squeeze=False)
        for place, (title, image) in zip(axes[0], panels, strict=True):
            place.imshow(image, cmap="gray_r", vmin=-1, vmax=1, interpolation="nearest")
            place.set(title=title, xticks=[], yticks=[])
            place.grid(False)
            place.spines[:].set_visible(False)
    return figure


def sheet(images: np.ndarray, columns: int = 10) -> np.ndarray:
    """Images side by side, `columns` in a row, a pixel of white between them."""
    rows = -(-len(images) // columns)
    padded = np.full((rows * columns, 9, 9), -1.0)
    padded[: len(images), :8, :8] = np.clip(images, -1, 1)
    return padded.reshape(rows, columns, 9, 9).transpose(0, 2, 1, 3).reshape(rows * 9, columns * 9)
