"""Run a plan with JAX: one `lax.scan` per segment, one compiled program per shape of plan.

    slots_{n+1} = keep( step(pattern, coef[n], tau[n], slots_n, draws_n, consts) )

* Coefficients are arguments of the compiled program: scan inputs when they vary, closed over when they do not.
* Every slot is an array of its own in the carry; keeping history is a shift of names, not a copy into a buffer.
* The step is checkpointed: a gradient stores the slots at every step and rebuilds the rest.
* A sample's noise is a function of (key, sample, step, draw): it does not depend on the batch.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .carried import first_memories, remembering
from .host import as_models, check_undoing
from .noise import checked_key, checked_noise, draw, path_noise, sample_keys
from .pattern import ONES, Pattern
from .plan import Plan
from .step import kept, step

SAVES = (None, "steps", "slots")


def run(
    plan: Plan,
    models: Callable | Sequence[Callable],
    x: Any,
    *,
    slots: Mapping[str, Any] | None = None,
    consts: Mapping[str, Any] | None = None,
    key: Any = None,
    noise: Mapping[str, Any] | str | None = None,
    save: str | None = None,
    unroll: int = 1,
    progress: Callable[[int, int], None] | None = None,
    callback: Callable[[int, float, Any], None] | None = None,
    checkpoint: bool = True,
) -> Any:
    """Run `plan` from x at plan.t[0] to plan.t[-1].

    models      F(tau, x, *args), or a sequence of such. tau is a scalar of x's real dtype; F returns x's structure,
                shapes and dtypes. Arrays inside an equinox module are arguments of the compiled program; a plain
                function is part of it, so pass the same function again rather than a new lambda. One with a method
                `start` carries a memory from call to call (`rows.carried`)
    x           the state, any pytree of float or complex arrays; where the plan draws noise, axis 0 counts samples
    slots       first values of further slots; those not given are zeros like x
    consts      arrays the pattern reads by name
    key         one jax.random key, or one per sample. Draw d of step n of sample i is standard normal from
                fold_in(fold_in(fold_in(key, i), n), d)
    noise       instead of a key the draws themselves, an array (steps, *x.shape) for each name the plan draws;
                `rows.noise.drawn` makes those of a key. "path": with the key, increments of one Wiener path per sample,
                whatever the grid (`rows.noise.path_noise`)
    save        None: the final x. "steps": x at every time of plan.t, stacked along a new axis 0 (steps + 1).
                "slots": a dict of all slots at the end, memories of models included
    unroll      steps per iteration of the compiled loop; copies the model into the program as often
    progress    progress(done, total) is called on the host about fifty times. Pass the same callable again, for
                another one compiles again
    callback    callback(n, t, x) is called on the host after each of the n = 1, 2, ... steps, with the state x at t as
                NumPy arrays; for previews. They come in order on one device. Pass the same callable again
    checkpoint  False: a gradient stores everything a step built instead of rebuilding it (faster, more memory)
    """
    if save not in SAVES:
        raise ValueError(f"save must be None, 'steps' or 'slots', got {save!r}.")
    models = as_models(plan, models)
    x = _as_state(x)
    check_undoing(plan, max(float(jnp.finfo(a.dtype).eps) for a in jax.tree.leaves(x)))
    first = first_slots(plan, x, slots or {})
    consts = all_consts(plan, x, consts or {})
    if noise == "path" and plan.draws:
        noise, key = path_noise(plan, x, key), None
    if isinstance(noise, str):
        raise ValueError(f"noise = {noise!r}; give 'path', or the draws themselves, to a plan that draws.")
    given = None if noise is None else checked_noise(plan, noise, key, x)
    key = checked_key(key, x, plan.name) if plan.draws and given is None else None
    told = progress, callback, None if callback is None else plan.t
    out = _program(plan.patterns, plan.numbers, models, first, consts, key, given, save, unroll, told, checkpoint)
    if told[:2] != (None, None) and not _traced(out):
        jax.block_until_ready(out)
        jax.effects_barrier()  # the last report arrives before we return
    return out


@eqx.filter_jit
def _program(
    patterns: tuple[Pattern, ...],
    numbers: tuple,
    models: tuple,
    slots: dict[str, Any],
    consts: dict[str, Any],
    key: Any,
    noise: dict[str, Any] | None,
    save: str | None,
    unroll: int,
    told: tuple[Callable | None, Callable | None, Any],
    checkpoint: bool,
) -> Any:
    x, memories = slots["x"], first_memories(models, slots["x"])
    slots = all_slots(patterns, slots) | memories
    report = _reporter(*told, sum(tau.shape[0] for _, tau in numbers))
    keys = None if key is None else sample_keys(key, x)
    begin, saved = 0, [jax.tree.map(lambda a: a[None], x)]
    for pattern, (coef, tau) in zip(patterns, numbers, strict=True):
        last, xs = scan_segment(
            pattern,
            coef,
            tau,
            {name: slots[name] for name in (*pattern.slots, *memories)},
            models,
            consts=consts,
            keys=keys,
            noise=noise,
            begin=begin,
            save=save == "steps",
            unroll=unroll,
            checkpoint=checkpoint,
            report=report,
        )
        slots = {**slots, **last}
        saved.append(xs)
        begin += tau.shape[0]
    if save == "steps":
        return jax.tree.map(lambda *a: jnp.concatenate(a), *saved)
    return slots if save == "slots" else slots["x"]


def all_slots(patterns: Sequence[Pattern], given: Mapping[str, Any]) -> dict[str, Any]:
    """Those given, and zeros like x for the others."""
    zeros = jax.tree.map(jnp.zeros_like, given["x"])
    return {name: zeros for p in patterns for name in p.slots} | dict(given)


def scan_segment(
    pattern: Pattern,
    coef: Sequence[Any],
    tau: Any,
    slots: Mapping[str, Any],
    models: Sequence[Callable],
    *,
    consts: Mapping[str, Any] | None = None,
    keys: Any = None,
    noise: Mapping[str, Any] | None = None,
    begin: Any = 0,
    save: bool = False,
    unroll: int = 1,
    checkpoint: bool = True,
    report: Callable | None = None,
) -> tuple[dict[str, Any], Any]:
    """The steps of one pattern as one `lax.scan`. Does not jit, and everything but the pattern may be traced.

    coef    for each name a row reads, an array (steps, ...) or (1, ...), or a pytree of such that multiplies from the
            left (`core.linear.Matrix`)
    tau     (steps, calls)
    slots   all slots of the pattern, and the memories of the models that carry one
    keys    one key per sample, where the pattern draws
    noise   the draws of all steps instead of keys, as in `run`
    begin   index of the first step, which numbers the draws
    Returns the slots at the end and, where save is true, slot "x" after every step.
    """
    steps = tau.shape[0]
    slots, consts = dict(slots), dict(consts or {})
    dtype = jnp.result_type(*jax.tree.leaves([slots[name] for name in pattern.slots]))
    coef, tau = [cast(c, dtype) for c in coef], cast(tau, dtype)
    varies = [jax.tree.leaves(c)[0].shape[0] == steps for c in coef]
    fixed = [None if v else jax.tree.map(lambda a: a[0], c) for c, v in zip(coef, varies, strict=True)]

    def body(slots: dict[str, Any], inputs: tuple) -> tuple[dict[str, Any], Any]:
        moving, tau_n, given, n = inputs
        c = [m if v else f for m, f, v in zip(moving, fixed, varies, strict=True)]
        draws = given or {name: draw(keys, n, d, slots["x"]) for d, name in enumerate(pattern.draws)}
        following = advanced(pattern, c, tau_n, slots, models, draws, consts)
        for name, value in slots.items():
            if _kinds(value) != _kinds(following[name]):
                raise ValueError(
                    f"a step turns slot {name!r} from {_kinds(value)} into {_kinds(following[name])}: its coefficients "
                    "do not fit the state (complex numbers, or another number of components)."
                )
        return following, following.get("x") if save else None

    if checkpoint:
        body = jax.checkpoint(body, prevent_cse=False)  # scan already keeps XLA from undoing it

    def reported(slots: dict[str, Any], inputs: tuple) -> tuple[dict[str, Any], Any]:
        following, saved = body(slots, inputs)
        if report is not None:
            report(inputs[-1], following["x"])
        return following, saved

    moving = [c if v else None for c, v in zip(coef, varies, strict=True)]
    taus = [tau[:, k] for k in range(pattern.calls)]
    rows = lambda a: jax.lax.dynamic_slice_in_dim(a, begin, steps)  # noqa: E731
    given = None if noise is None else {name: jax.tree.map(rows, noise[name]) for name in pattern.draws}
    index = begin + jnp.arange(steps)
    return jax.lax.scan(reported, slots, (moving, taus, given, index), unroll=unroll)


def advanced(
    pattern: Pattern,
    coef: Sequence[Any],
    tau: Any,
    slots: Mapping[str, Any],
    models: Sequence[Callable],
    draws: Mapping[str, Any],
    consts: Mapping[str, Any],
) -> dict[str, Any]:
    """The slots after one step, and the memories of models: what the body of the scan does."""
    memories = {name: value for name, value in slots.items() if name not in pattern.slots}
    callables = [_checked(model, k) for k, model in enumerate(remembering(models, memories))]
    env = step(pattern, coef, tau, {**slots, **draws, **consts}, callables, combine_trees)
    return kept(pattern, env) | memories


def combine_trees(coef: Sequence[Any], values: Sequence[Any]) -> Any:
    """sum_i coef_i * values_i on pytrees, left to right; the result keeps the dtypes of the values."""

    def leaf(*leaves: Any) -> Any:
        total = cast(coef[0], leaves[0].dtype) * leaves[0]
        for c, v in zip(coef[1:], leaves[1:], strict=True):
            total = total + cast(c, v.dtype) * v
        return total

    return jax.tree.map(leaf, *values)


def cast(coef: Any, dtype: Any) -> Any:
    """To the precision of dtype; a complex coefficient stays complex and a real one real."""
    real = jnp.finfo(dtype).dtype

    def leaf(a: Any) -> Any:
        a = jnp.asarray(a)
        return a.astype(jnp.result_type(real, jnp.complex64) if jnp.iscomplexobj(a) else real)

    return jax.tree.map(leaf, coef)


def _checked(model: Callable, k: int) -> Callable:
    """A model whose value has another structure, shape or dtype than its input fails here, in words, while tracing."""

    def call(tau: Any, z: Any, *args: Any) -> Any:
        F = model(tau, z, *args)
        if _kinds(F) != _kinds(z):
            raise TypeError(
                f"model {k} returned {_kinds(F)} for a state of {_kinds(z)}; it must return the structure, shapes and "
                "dtypes of its state. Cast or reshape the result inside the model."
            )
        return F

    return call


def _kinds(tree: Any) -> str:
    """Structure, dtypes and shapes in words, such as float32[64,2] or {'u': float64[3]}."""
    words = jax.tree.map(lambda a: f"{jnp.result_type(a)}[{','.join(map(str, jnp.shape(a)))}]", tree)
    return str(words).replace("'", "")


def _reporter(progress: Callable | None, callback: Callable | None, t: Any, total: int) -> Callable | None:
    """report(n, x), to be called when step n has led to x."""
    if progress is None and callback is None:
        return None
    every = max(1, total // 50)

    def tell(done: Any) -> None:
        if progress is not None:
            progress(int(done), total)

    def show(done: Any, t: Any, x: Any) -> None:
        if callback is not None:
            callback(int(done), float(np.mean(t)), x)

    def report(n: Any, x: Any) -> None:
        done = n + 1
        if progress is not None:
            now = (done % every == 0) | (done == total)
            jax.lax.cond(now, lambda: jax.debug.callback(tell, done), lambda: None)
        if callback is not None:
            jax.debug.callback(show, done, jnp.asarray(t)[done], x)

    return report


def _as_state(x: Any, name: str = "x") -> Any:
    def leaf(a: Any) -> Any:
        a = a if isinstance(a, jax.Array) else jnp.asarray(np.asarray(a))
        if not jnp.issubdtype(a.dtype, jnp.inexact):
            raise TypeError(f"{name} must hold float or complex numbers, got {a.dtype}; write x.astype(float).")
        if not isinstance(a, Tracer) and not np.all(np.isfinite(np.asarray(a))):
            raise ValueError(f"{name} holds NaN or infinity; a plan must start from finite numbers.")
        return a

    return jax.tree.map(leaf, x)


def first_slots(plan: Plan, x: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    names = [name for name in plan.slots if name != "x"]
    for name in given:
        if name not in names:
            raise ValueError(f"plan {plan.name!r} has no slot {name!r} to start; {_nearest(name, names)}")
    slots = {"x": x}
    for name, value in given.items():
        slots[name] = _as_state(value, f"slot {name!r}")
        if _kinds(slots[name]) != _kinds(x):
            raise ValueError(f"slot {name!r} starts as {_kinds(slots[name])}, but x is {_kinds(x)}; make them alike.")
    return slots


def all_consts(plan: Plan, x: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    for name in given:
        if name not in plan.consts:
            raise ValueError(f"plan {plan.name!r} reads no constant {name!r}; {_nearest(name, plan.consts)}")
    ones = {ONES: jax.tree.map(jnp.ones_like, x)} if ONES in plan.consts else {}
    given = ones | dict(given)
    for name in plan.consts:
        if name not in given:
            raise ValueError(f"plan {plan.name!r} reads the constant {name!r}; pass consts={{{name!r}: ...}}.")
    return {name: jax.tree.map(jnp.asarray, value) for name, value in given.items()}


def _nearest(name: str, names: Sequence[str]) -> str:
    if not names:
        return "it has none."
    close = difflib.get_close_matches(name, names, 3) or names
    return f"did you mean {' or '.join(map(repr, close))}?"


def _traced(tree: Any) -> bool:
    return any(isinstance(a, Tracer) for a in jax.tree.leaves(tree))
