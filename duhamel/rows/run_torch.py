"""Run a plan on PyTorch tensors, without JAX: the same `step`, one step at a time.

PyTorch is not imported here: a tensor is whatever has `new_tensor`, and NumPy arrays work as well.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .carried import first_memories, remembering
from .host import as_models, check_undoing, march
from .pattern import ONES
from .plan import Plan

EPS = {"float64": 2.0**-52, "complex128": 2.0**-52, "float32": 2.0**-23, "complex64": 2.0**-23}
EPS |= {"float16": 2.0**-10, "bfloat16": 2.0**-7}


def run_torch(
    plan: Plan,
    models: Callable | Sequence[Callable],
    x: Any,
    *,
    slots: Mapping[str, Any] | None = None,
    consts: Mapping[str, Any] | None = None,
    seed: int | Sequence[int] | None = None,
    noise: Mapping[str, Any] | None = None,
    save: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    callback: Callable[[int, float, Any], None] | None = None,
) -> Any:
    """Run `plan` from x at plan.t[0] to plan.t[-1], in x's dtype and on x's device.

    models  F(tau, x, *args), or a sequence of such; tau is a 0-d tensor like x. Call this under `torch.no_grad()`
            unless you want gradients
    slots, consts, save, progress, callback   as in `rows.run.run`
    seed    one integer, or one per sample. Draw d of step n of sample i is standard normal from NumPy's
            Philox(SeedSequence([seed, i, n, d])): the same on every device, and independent of the batch, but not the
            numbers that JAX draws
    noise   instead of a seed the draws themselves, an array (steps, *x.shape) for each name the plan draws;
            `rows.noise.drawn` makes those of a JAX key
    """
    if save not in (None, "steps", "slots"):
        raise ValueError(f"save must be None, 'steps' or 'slots', got {save!r}.")
    for what, names, known in (("slot", slots or {}, plan.slots), ("constant", consts or {}, plan.consts)):
        for name in names:
            if name not in known or name == "x":
                raise ValueError(f"plan {plan.name!r} has no {what} {name!r} to be given; it has {known}.")
    for name in plan.consts:
        if name not in (consts or {}) and name != ONES:
            raise ValueError(f"plan {plan.name!r} reads the constant {name!r}; pass consts={{{name!r}: ...}}.")
    if noise is not None:
        _check_noise(plan, noise, seed, x)
    elif plan.draws and seed is None:
        raise ValueError(f"plan {plan.name!r} draws noise; pass seed=0.")

    check_undoing(plan, EPS[str(x.dtype).removeprefix("torch.")])
    real = x.real  # coefficients and times are real even where the state is complex
    is_complex = "complex" in str(x.dtype)

    names = [segment.pattern.draws for segment in plan.segments for _ in range(segment.steps)]

    def draw(n: int, d: int) -> Any:
        if noise is not None:
            z = noise[names[n][d]][n]
            return z if hasattr(z, "new_tensor") else _like(real, np.asarray(z))
        return _like(real, _normal(seed, n, d, tuple(x.shape), is_complex))

    def cast(number: Any) -> Any:
        return number.item() if number.ndim == 0 else _like(real, number)

    def with_tensor_time(model: Callable) -> Callable:
        return lambda tau, z, *args: model(_like(real, tau), z, *args)

    several = as_models(plan, models)
    memories = first_memories(several, x)
    timed = [with_tensor_time(model) for model in remembering(several, memories)]
    states, last = [], {}
    for n, last in enumerate(march(plan, timed, {**(slots or {}), "x": x}, consts=consts, draw=draw, cast=cast)):
        if save == "steps":
            states.append(last["x"])
        if progress is not None and n:
            progress(n, plan.steps)
        if callback is not None and n:
            callback(n, float(np.mean(plan.t[n])), last["x"])
    if save == "steps":
        return _stack(states)
    return last | memories if save == "slots" else last["x"]


def _check_noise(plan: Plan, noise: Mapping[str, Any], seed: Any, x: Any) -> None:
    if seed is not None:
        raise ValueError("give either seed, from which noise is drawn, or the noise itself, not both.")
    if set(noise) != set(plan.draws):
        raise ValueError(f"noise holds {sorted(noise)}; plan {plan.name!r} draws {sorted(plan.draws)}.")
    for name, z in noise.items():
        if tuple(z.shape) != (plan.steps, *x.shape):
            raise ValueError(
                f"noise[{name!r}] has shape {tuple(z.shape)}; it must be (steps, *x.shape) = {(plan.steps, *x.shape)}."
            )


def _like(real: Any, value: Any) -> Any:
    """A NumPy value in the dtype and on the device of a real array; complex numbers get that precision twice."""
    if np.iscomplexobj(value):
        return _like(real, np.real(value)) + 1j * _like(real, np.imag(value))
    return real.new_tensor(value) if hasattr(real, "new_tensor") else np.asarray(value, real.dtype)


def _normal(seed: Any, n: int, d: int, shape: tuple[int, ...], is_complex: bool) -> np.ndarray:
    """Draw d of step n for every sample, each from a stream of its own; complex numbers have variance one, too."""
    if not shape:
        raise ValueError("axis 0 of x must count samples where the plan draws noise; write x[None].")
    seeds = [(int(seed), i) for i in range(shape[0])] if np.ndim(seed) == 0 else [(int(s), 0) for s in seed]
    if len(seeds) != shape[0]:
        raise ValueError(f"seed holds {len(seeds)} integers; pass one, or one for each of the {shape[0]} samples.")
    streams = (np.random.Philox(np.random.SeedSequence([*pair, n, d])) for pair in seeds)
    parts = 2 if is_complex else 1
    z = np.stack([np.random.Generator(stream).standard_normal((parts, *shape[1:])) for stream in streams], axis=1)
    return (z[0] + 1j * z[1]) / np.sqrt(2) if is_complex else z[0]


def _stack(states: list[Any]) -> Any:
    if not hasattr(states[0], "new_tensor"):
        return np.stack(states)
    out = states[0].new_empty((len(states), *states[0].shape))
    for n, state in enumerate(states):
        out[n] = state
    return out
