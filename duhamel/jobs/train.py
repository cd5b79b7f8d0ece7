"""`duhamel train`: models on real data; a run that was killed goes on from its last checkpoint."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from duhamel.core.seed import check_seed
from duhamel.report.chapter import Chapter, Figure
from duhamel.report.context import Context
from duhamel.report.folder import DEFAULT_ROOT, Run
from duhamel.report.nearest import nearest
from duhamel.report.record import Record

from .curves import draw_losses
from .perform import perform
from .wish import given


def train(
    job: str,
    steps: int | None = None,
    seed: int = 0,
    *,
    name: str | None = None,
    root: str | Path = DEFAULT_ROOT,
    **emulator: Any,
) -> Chapter:
    """Train in runs/NAME/; an unfinished run of the same name that was asked the same is continued.

    emulator  further fields of `duhamel.pde.emulate.study.Wish`, for the job "emulator" alone
    """
    if job not in (*JOBS, "emulator"):
        raise ValueError(f"nothing is trained under the name {job!r}; {nearest(job, (*JOBS, 'emulator'))}")
    check_seed(seed)
    if steps is not None and steps < 1:
        raise ValueError(f"steps = {steps}; make at least one.")
    if job == "emulator":
        from .emulator import Wish, train_emulator

        return train_emulator(Wish(steps=steps, seed=seed, **emulator), name=name, root=root)
    if emulator:
        raise ValueError(f"{job} is no emulator; leave out {', '.join(f'--{option}' for option in emulator)}.")
    if job == "hare-lynx" and (steps is not None or seed != 0):
        raise ValueError("hare-lynx is a fixed study of three models and seven years; leave out --steps and --seed.")
    run = Run.resume(given(name, f"train-{job}"), {"command": "train", "job": job, "steps": steps, "seed": seed}, root)
    return perform(run, f"train {job}", partial(JOBS[job], run, steps, seed), log=False)  # `fit` writes metrics.jsonl


def _digits(run: Run, steps: int | None, seed: int, context: Context) -> Chapter:
    from duhamel.diffusion import digits

    def tell(done: int, total: int) -> None:
        context.progress(f"step {done} of {total}", done / total)

    done = digits.train(run.folder, digits.STEPS if steps is None else steps, seed=seed, progress=tell)
    checked = [m for m in done.metrics if "held_out" in m]
    records = (
        Record("steps", done.step),
        Record("loss on held-out digits", checked[-1]["held_out"]),
        Record("loss on as many digits of training", checked[-1]["seen"]),
    )
    curves = {
        "training": [(m["step"], m["loss"]) for m in done.metrics],
        "held out": [(m["step"], m["held_out"]) for m in checked],
    }
    figure = Figure(str(context.figure("loss", draw_losses(curves))), "The loss; held-out digits are never trained on.")
    text = "A denoiser of handwritten digits. The weights of its running average are in digits.safetensors."
    return Chapter("digits", "Training on digits", text, records=records, figures=(figure,))


def _hare_lynx(run: Run, steps: int | None, seed: int, context: Context) -> Chapter:
    from duhamel.demo import hare_lynx

    return hare_lynx.chapter(context)


JOBS: dict[str, Callable[[Run, int | None, int, Context], Chapter]] = {"digits": _digits, "hare-lynx": _hare_lynx}
