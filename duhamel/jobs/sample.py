"""`duhamel sample`: digits from the network that ships with the package, or points from an exact mixture."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np

from duhamel.core.extras import missing
from duhamel.core.files import whole
from duhamel.core.seed import check_seed
from duhamel.demo.digits import digit_plan, draw_digits, draw_labels, quality_records
from duhamel.diffusion import digits
from duhamel.diffusion.advice import advise
from duhamel.diffusion.exact import mixture
from duhamel.diffusion.plans.grid import check_steps
from duhamel.diffusion.plans.registry import build, find
from duhamel.diffusion.sampling import sample as draw_samples
from duhamel.diffusion.schedule import EDM, VP, Schedule
from duhamel.report.chapter import Chapter, Figure
from duhamel.report.console import say
from duhamel.report.context import Context
from duhamel.report.figure import PALETTE, style
from duhamel.report.folder import DEFAULT_ROOT, Run
from duhamel.report.nearest import nearest
from duhamel.report.record import Record
from duhamel.rows.plan import Plan

from .perform import perform
from .wish import given

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

SOURCES = ("digits", "mixture")
ADVISED = "advised"


@dataclass(frozen=True)
class Wish:
    """n samples by `steps` steps of a plan; label: one digit, or None for all of them.

    plan  a name of the registry, or "advised": what `diffusion.advise` names for so many calls
    """

    n: int = 100
    plan: str = ADVISED
    steps: int = 15
    label: int | None = None
    seed: int = 0


def sample(source: str, wish: Wish = Wish(), *, name: str | None = None, root: str | Path = DEFAULT_ROOT) -> Chapter:
    """Draw samples, say how good they are, and leave them in the run as samples.npy."""
    if source not in SOURCES:
        raise ValueError(f"nothing is sampled under the name {source!r}; {nearest(source, SOURCES)}")
    check_seed(wish.seed)
    if wish.n < 1:
        raise ValueError(f"n = {wish.n}; draw at least one sample.")
    if wish.label is not None and not (source == "digits" and 0 <= wish.label <= 9):
        raise ValueError(f"label = {wish.label}; it names a digit, 0 to 9, of `duhamel sample digits`.")
    plan_of(wish, digits_schedule() if source == "digits" else VP())  # a mistake stops here, before a folder is made
    run = Run.create(given(name, f"sample-{source}"), {"command": "sample", "source": source, **vars(wish)}, root)
    work = sample_digits if source == "digits" else sample_mixture
    return perform(run, f"sample {source}", lambda context: work(context, wish))


def plan_of(wish: Wish, schedule: Schedule) -> Plan:
    """The plan that was wished for: the digits' named plans keep their published grid of noise levels."""
    check_steps(wish.steps)
    if wish.plan == ADVISED:
        return advise(schedule, wish.steps, predicts="data").plan()
    find(wish.plan)
    return digit_plan(wish.plan, wish.steps) if isinstance(schedule, EDM) else build(wish.plan, schedule, wish.steps)


def digits_schedule() -> EDM:
    return EDM(*digits.SIGMA_RANGE)


def sample_digits(context: Context, wish: Wish) -> Chapter:
    labels = np.arange(wish.n) % 10 if wish.label is None else np.full(wish.n, wish.label)
    plan = plan_of(wish, digits_schedule())
    context.progress(f"{wish.n} digits by {wish.steps} steps of {plan.name}", None)
    images = np.asarray(draw_labels(plan, labels, jax.random.key(wish.seed)))
    _keep(context, images)
    judged = find_spec("sklearn") is not None
    found = digits.quality(images, labels) if wish.n >= 20 and judged else None
    records = () if found is None else (Record("read as what was asked for", 100 * found["accuracy"], "%"),)
    figure = Figure(str(context.figure("digits", draw_digits(images[:200]))), "Drawn digits, in the order asked for.")
    text = f"{wish.n} handwritten digits of 8 by 8 pixels, drawn from noise in {wish.steps} steps of {plan.name}."
    more = () if found is None else quality_records(found)
    unsaid = () if judged else (f"How good they are is not said: {missing('that', 'scikit-learn', 'data')}",)
    for sentence in unsaid:
        say(sentence)
    return Chapter("digits", "Digits from noise", text, text=unsaid, records=(*records, *more), figures=(figure,))


def sample_mixture(context: Context, wish: Wish) -> Chapter:
    """Six Gaussians on a ring: the denoiser is a formula, so what is left is the sampler's error."""
    from scipy.spatial.distance import cdist

    angles = np.arange(6) * np.pi / 3
    data = mixture(VP(), np.ones(6), 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1), 0.04)
    plan = plan_of(wish, data.schedule)
    context.progress(f"{wish.n} points by {wish.steps} steps of {plan.name}", None)
    keys = jax.random.split(jax.random.key(wish.seed), 3)
    ours = np.asarray(draw_samples(plan, data.denoiser, (wish.n, 2), keys[0]))
    true, other = (np.asarray(data.sample(key, max(wish.n, 1000))) for key in keys[1:])
    _keep(context, ours)
    energy = lambda a: float(2 * cdist(a, true).mean() - cdist(a, a).mean() - cdist(true, true).mean())  # noqa: E731
    records = (
        Record("network calls a sample", plan.nfe),
        Record("energy distance to exact samples", energy(ours)),
        Record("the same between two sets of exact samples", energy(other)),
    )
    figure = Figure(str(context.figure("mixture", _draw_points(ours, true))), "Sampled points over exact ones.")
    text = f"{wish.n} points of six Gaussians on a ring, drawn from noise in {wish.steps} steps of {plan.name}."
    return Chapter("mixture", "Six Gaussians on a ring", text, records=records, figures=(figure,))


def _keep(context: Context, samples: np.ndarray) -> None:
    if context.run is not None:
        with whole(context.run.folder / "samples.npy") as draft, draft.open("wb") as file:
            np.save(file, samples)


def _draw_points(ours: np.ndarray, true: np.ndarray) -> "Drawing":
    import matplotlib.pyplot as plt

    with style():
        figure, axes = plt.subplots(figsize=(5, 4.6), layout="constrained")
        axes.plot(*true.T, ".", color="#b5b5b5", markersize=2, label="exact", rasterized=True)
        axes.plot(*ours.T, ".", color=PALETTE[1], markersize=3, label="sampled", rasterized=True)
        axes.set(xlabel="x", ylabel="y", aspect="equal")
        axes.legend(loc="center")
    return figure
