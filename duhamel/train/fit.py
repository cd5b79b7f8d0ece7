"""Training: one loop, read top to bottom."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int, PRNGKeyArray

from duhamel.core.files import only_writer

from .checkpoint import CheckpointError, Checkpoints
from .ema import EMA
from .log import Bar, Metrics, Record


class State(eqx.Module):
    """Everything that a step changes, hence everything that a checkpoint holds."""

    model: Any
    average: Any  # running average of the model; None without EMA
    optimiser: Any


@dataclass(frozen=True)
class Fit:
    """model    after the last step;   average  its running average, or the model itself without EMA
    step     steps made in all, over every resume;   metrics  records, oldest first
    """

    model: Any
    average: Any
    step: int
    metrics: list[Record]


def fit(
    loss: Callable[[Any, Any, PRNGKeyArray], Any],
    model: Any,
    data: Callable[[PRNGKeyArray, Any], Any],
    *,
    optimiser: optax.GradientTransformation,
    steps: int,
    key: PRNGKeyArray,
    ema: EMA | None = None,
    scan: int = 50,
    folder: Path | str | None = None,
    checkpoint_every: int = 1000,
    validate: Callable[[Any], dict[str, Any]] | None = None,
    title: str = "train",
    progress: bool | Callable[[int, int], None] = False,
) -> Fit:
    """Minimise E loss over the floating-point arrays of `model`

        for step in range(steps):   batch = data(k1, step);   k2 = fold_in(k, step)
                                    model <- optimiser(grad loss(model, batch, k2));   average <- ema(average, model)

    loss(model, batch, key)  a scalar
    data(key, step)   a batch, traceable: `Batches(arrays, size)`, `Whole(arrays)` or a function
    scan              optimiser steps made by one compiled call; metrics hold the mean loss over each, at "step"
    folder            writes folder/metrics.jsonl and folder/checkpoints/ and, if they are there, continues from them.
                      All randomness is a function of (key, step), so a run killed at any moment ends with the same
                      numbers, bit for bit.
    checkpoint_every  steps, rounded up to a whole compiled call;   the last step is always saved
    validate(model)   further metrics, asked for at each checkpoint, on the average if there is one
    Raises FloatingPointError when the loss is no longer finite; the last checkpoint stays as it was.
    """
    _check(steps, scan, checkpoint_every)
    with _folder(folder) as place:
        floats, rest = eqx.partition(model, eqx.is_inexact_array)
        state = State(floats, floats if ema else None, optimiser.init(floats))
        done, metrics, checkpoints = 0, Metrics(None), None
        if place is not None:
            checkpoints, done, state, metrics = _resume(place, state, key, steps)

        several = _compiled(loss, optimiser, ema, key, scan)
        with Bar(title, steps, progress) as bar:
            bar.to(done)
            while done < steps:
                stop = min((done // scan + 1) * scan, steps)
                state, losses = several(state, data, rest, jnp.asarray(done), jnp.asarray(stop))
                values = np.asarray(losses)[: stop - done]
                if not np.isfinite(values).all():
                    raise FloatingPointError(_diverged(done + int(np.argmin(np.isfinite(values))), checkpoints))
                record = {"step": stop, "loss": float(values.mean())}
                saves = stop == steps or stop // checkpoint_every > done // checkpoint_every
                done = stop
                if saves and validate is not None:
                    found = validate(eqx.combine(state.average if ema else state.model, rest))
                    record |= {name: float(value) for name, value in found.items()}
                metrics.write(record)
                if saves and checkpoints is not None:
                    checkpoints.save(done, state)
                bar.to(done, record)

    last = eqx.combine(state.model, rest)
    return Fit(last, eqx.combine(state.average, rest) if ema else last, done, metrics.records)


@contextmanager
def _folder(folder: Path | str | None) -> Iterator[Path | None]:
    """The folder of a run, held against a second `fit` while this one writes there."""
    if folder is None:
        yield None
        return
    place = Path(folder)
    with suppress(OSError):  # the checkpoints say what is wrong with a folder that cannot be made
        place.mkdir(parents=True, exist_ok=True)
    with only_writer(place) if place.is_dir() else nullcontext():
        yield place


def _compiled(
    loss: Callable, optimiser: optax.GradientTransformation, ema: EMA | None, key: Any, scan: int
) -> Callable:
    """several(state, data, rest, start, stop) -> (state after steps start..stop-1, their losses in `scan` places)."""
    k_data, k_loss = jax.random.split(key)

    @eqx.filter_jit
    def several(state: State, data: Any, rest: Any, start: Int[Array, ""], stop: Int[Array, ""]) -> tuple[State, Array]:
        def one(step: Any, carry: tuple[State, Array]) -> tuple[State, Array]:
            state, losses = carry
            batch, k = data(k_data, step), jax.random.fold_in(k_loss, step)
            value, grad = jax.value_and_grad(lambda m: loss(eqx.combine(m, rest), batch, k))(state.model)
            update, opt = optimiser.update(grad, state.optimiser, state.model)
            new = eqx.apply_updates(state.model, update)
            average = ema.update(state.average, new, step) if ema else None
            return State(new, average, opt), losses.at[step - start].set(value)

        # a loop with a traced length: a short last call runs the same compiled body, so the same bits
        return jax.lax.fori_loop(start, stop, one, (state, jnp.zeros(scan)))

    return several


def _check(steps: int, scan: int, checkpoint_every: int) -> None:
    for name, value in (("steps", steps), ("scan", scan), ("checkpoint_every", checkpoint_every)):
        if value < 1:
            raise ValueError(f"fit: {name} must be at least 1, got {value}.")


def _resume(folder: Path, state: State, key: PRNGKeyArray, steps: int) -> tuple[Checkpoints, int, State, Metrics]:
    file = folder / "metrics.jsonl"
    if file.exists() and not (folder / "checkpoints").exists():
        raise CheckpointError(f"{file} exists, but no checkpoints beside it that it belongs to; choose another folder.")
    checkpoints = Checkpoints(folder / "checkpoints", state, key)
    done, state = checkpoints.restore(state)
    if done > steps:
        raise CheckpointError(
            f"the run in {folder} is already at step {done}, past steps = {steps}; "
            "ask for more steps or choose another folder."
        )
    return checkpoints, done, state, Metrics(file, done)


def _diverged(step: int, checkpoints: Checkpoints | None) -> str:
    saved = f" The last checkpoint, step {checkpoints.steps[-1]}, is kept." if checkpoints and checkpoints.steps else ""
    remedy = "lower the learning rate, clip the gradient, or check the data for NaN."
    return f"fit: the loss is not finite at step {step}; {remedy}{saved}"
