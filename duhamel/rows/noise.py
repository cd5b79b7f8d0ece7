"""The noise of a plan that JAX runs: one stream per (sample, step, draw), or arrays that are given.

A sample's noise is a function of (key, sample, step, draw). It does not depend on the batch, on the devices it is
spread over, or on what else the plan draws.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

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


def draw(keys: Any, n: Any, d: int, x: Any) -> Any:
    """Draw d of step n, like x: one stream per (sample, step, draw), so that no sample depends on its batch."""
    keys = jax.vmap(lambda k: jax.random.fold_in(jax.random.fold_in(k, n), d))(keys)

    def leaf(j: int, a: Any) -> Any:
        normal = partial(jax.random.normal, shape=a.shape[1:], dtype=a.dtype)
        return jax.vmap(lambda k: normal(jax.random.fold_in(k, j) if j else k))(keys)

    leaves, tree = jax.tree.flatten(x)
    return jax.tree.unflatten(tree, [leaf(j, a) for j, a in enumerate(leaves)])


def sample_keys(key: Any, x: Any) -> Any:
    samples = jax.tree.leaves(x)[0].shape[0]
    return key if key.ndim else jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(samples))


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
