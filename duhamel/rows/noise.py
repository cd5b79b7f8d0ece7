"""The noise of a plan that JAX runs: one stream per (sample, step, draw), a Wiener path per sample, or given arrays.

A sample's noise is a function of (key, sample, step, draw). It does not depend on the batch, on the devices it is
spread over, or on what else the plan draws.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from duhamel.core.brownian import VirtualTree
from duhamel.core.threefry import fold, jax_normal, written_out

from .plan import Plan


def drawn(plan: Plan, x: Any, key: Any) -> dict[str, Any]:
    """What `plan.run(..., key=key)` draws for a state like x: {draw: array (steps, *x.shape)}.

    Give it as `noise=` to any executor: `plan.run_torch(model, x, noise=drawn(plan, x, key))` takes JAX's draws.
    """
    x = jax.tree.map(jnp.asarray, x)
    keys = sample_keys(checked_key(key, x, plan.name), x)
    each = lambda n, d: draw(keys, n, d, x)  # noqa: E731
    noise: dict[str, list] = {name: [] for name in plan.draws}
    begin = 0
    for segment in plan.segments:
        names = segment.pattern.draws
        index = begin + jnp.arange(segment.steps)
        for name in plan.draws:
            if name in names:
                d = names.index(name)
                noise[name].append(jax.lax.map(partial(each, d=d), index))
            else:
                zeros = jax.tree.map(lambda a, s=segment: jnp.zeros((s.steps, *a.shape), a.dtype), x)
                noise[name].append(zeros)
        begin += segment.steps
    return {name: jax.tree.map(lambda *a: jnp.concatenate(a), *parts) for name, parts in noise.items()}


def path_noise(
    plan: Plan, x: Any, key: Any, *, clock: Any = None, span: float | None = None, levels: int = 20
) -> dict[str, Any]:
    """Draws that are increments of one Wiener path per sample: another grid of the same times sees the same path

        z_n = (W(c_{n+1}) - W(c_n)) / sqrt(c_{n+1} - c_n)

    so that results converge sample by sample when the grid is refined. Give it as `noise=` to any executor; each is
    still a standard normal number, independent of the others.

    clock   c at the times of the plan, shape (steps + 1,), rising: any function of time that all grids share. None: the
            distance that the plan's time has gone, for plans whose time only rises or only falls
    span    how far the clock goes on the longest of the grids, counted from 0; None: to this plan's end
    levels  of `core.brownian.VirtualTree`: the clock is rounded to span / 2^levels. Costs 2 levels draws a number
    """
    x = jax.tree.map(jnp.asarray, x)
    keys = sample_keys(checked_key(key, x, plan.name), x)
    s, h = _cells(plan, clock, span, levels)
    dtype = jax.dtypes.canonicalize_dtype(np.float64)
    shape = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), x)
    scale = 1 / np.sqrt(h)

    def of_sample(key: Any, d: int) -> Any:
        path = VirtualTree(levels).bind(jax.random.fold_in(key, d), shape, jnp.ones((), dtype), ("dW",))

        def standard(step: tuple) -> Any:
            begin, length, per = step
            return jax.tree.map(lambda a: (per * a).astype(a.dtype), path.increment(0, begin, length)["dW"])

        return jax.lax.map(standard, tuple(jnp.asarray(a, dtype) for a in (s, h, scale)))

    paths = eqx.filter_jit(lambda keys, d: jax.vmap(lambda k: of_sample(k, d), out_axes=1)(keys))
    return {name: paths(keys, d) for d, name in enumerate(plan.draws)}


def _cells(plan: Plan, clock: Any, span: float | None, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Beginning and length of every step, in units of the span and in whole cells: sums of them are exact."""
    c = np.abs(plan.t - plan.t[0]) if clock is None else np.asarray(clock, np.float64)
    if c.shape != (plan.steps + 1,):
        raise ValueError(f"clock has shape {c.shape}; plan {plan.name!r} needs one number for each of its times.")
    span = float(c[-1]) if span is None else float(span)
    if not 1 <= levels <= 22:
        raise ValueError(f"levels = {levels}; give 1 to 22, so that float32 tells the cells apart.")
    cells = np.round(c / span * 2**levels) if span > 0 else c
    if c[0] < 0 or span < c[-1] * (1 - 1e-12) or np.any(np.diff(cells) < 1):
        raise ValueError(
            f"the clock of plan {plan.name!r} must rise from 0 or later to at most span = {span:g}, in steps of "
            f"span / 2^{levels} or more; a plan that goes back in time has no single path."
        )
    return cells[:-1] / 2**levels, np.diff(cells) / 2**levels


def draw(keys: Any, n: Any, d: int, x: Any) -> Any:
    """Draw d of step n, like x: one stream per (sample, step, draw), so that no sample depends on its batch."""
    ours = written_out(keys) and all(a.dtype in (jnp.float32, jnp.float64) for a in jax.tree.leaves(x))
    if ours:
        stream = fold(fold(_words(keys), n), d)
        normal: Callable = lambda j, a: jax_normal(fold(stream, j) if j else stream, a.shape[1:], a.dtype)  # noqa: E731
    else:
        streams = jax.vmap(lambda k: jax.random.fold_in(jax.random.fold_in(k, n), d))(keys)
        one = lambda k, j, a: jax.random.normal(jax.random.fold_in(k, j) if j else k, a.shape[1:], a.dtype)  # noqa: E731
        normal = lambda j, a: jax.vmap(lambda k: one(k, j, a))(streams)  # noqa: E731
    leaves, tree = jax.tree.flatten(x)
    return jax.tree.unflatten(tree, [normal(j, a) for j, a in enumerate(leaves)])


def sample_keys(key: Any, x: Any) -> Any:
    """One key per sample: `key` if it is that already, else the fold of its number."""
    if key.ndim:
        return key
    index = jnp.arange(jax.tree.leaves(x)[0].shape[0])
    if not written_out(key):
        return jax.vmap(jax.random.fold_in, (None, 0))(key, index)
    own = jnp.stack(fold(_words(key), index), axis=-1)
    return jax.random.wrap_key_data(own, impl="threefry2x32")


def _words(keys: Any) -> tuple[Any, Any]:
    data = jax.random.key_data(keys)
    return data[..., 0], data[..., 1]


def checked_key(key: Any, x: Any, name: str) -> Any:
    """A typed key, or one per sample."""
    if key is None:
        raise ValueError(f"plan {name!r} draws noise; pass key=jax.random.key(0).")
    if not isinstance(key, jax.Array):
        raise TypeError(f"key must come from jax.random.key, got {type(key).__name__}; write key=jax.random.key(0).")
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.wrap_key_data(key)
    sizes = {a.shape[0] if a.ndim else None for a in jax.tree.leaves(x)}
    if len(sizes) != 1 or None in sizes:
        raise ValueError(f"plan {name!r} draws noise, so axis 0 of x must count samples in every leaf; write x[None].")
    (samples,) = sizes
    if key.shape not in ((), (samples,)):
        raise ValueError(f"key has shape {key.shape}; pass one key, or one for each of the {samples} samples.")
    return key


def checked_noise(plan: Plan, noise: Mapping[str, Any], key: Any, x: Any) -> dict[str, Any]:
    """The given draws as arrays (steps, *x.shape) of x's dtype."""
    if key is not None:
        raise ValueError("give either key, from which noise is drawn, or the noise itself, not both.")
    if set(noise) != set(plan.draws):
        raise ValueError(f"noise holds {sorted(noise)}; plan {plan.name!r} draws {sorted(plan.draws)}.")

    def leaf(name: str, a: Any, z: Any) -> Any:
        z = jnp.asarray(z, a.dtype)
        if z.shape != (plan.steps, *a.shape):
            raise ValueError(
                f"noise[{name!r}] has shape {z.shape}; it must be (steps, *x.shape) = {(plan.steps, *a.shape)}."
            )
        return z

    return {name: jax.tree.map(lambda a, z, name=name: leaf(name, a, z), x, value) for name, value in noise.items()}
