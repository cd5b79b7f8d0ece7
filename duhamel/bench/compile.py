"""How long a first call takes, compilation included, against diffrax: the forward solve and its gradient.

Lorenz, Tsit5, tolerance 1e-6, float32; caches are cleared before every first call.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import duhamel as dh

from .ensemble import by_diffrax, lorenz
from .measure import record, seconds


def forward_ours(x0: Any, rho: Any) -> Any:
    return dh.solve(lorenz, x0, 1.0, args=rho, control=dh.PID(1e-6, 1e-6), dt0=1e-3, throw=False).x


def first_call(f: Callable, *args: Any) -> float:
    jax.clear_caches()
    jax.block_until_ready(jnp.zeros(2) + 1)
    return seconds(jax.jit(f), *args)


def run(*, quick: bool = False, progress: Callable[[str], None] | None = None) -> list[dict]:
    """Two records: the forward solve and its gradient with respect to x0 and rho."""
    say = progress or (lambda text: None)
    args = jnp.array([1.0, 0.0, 0.0], jnp.float32), jnp.float32(21.0)
    theirs = by_diffrax(lorenz, 1.0, 4096)
    gradient = lambda f: jax.grad(lambda x, r: jnp.sum(f(x, r) ** 2), argnums=(0, 1))  # noqa: E731
    records = []
    for name, a, b in (
        ("first call, forward", forward_ours, theirs),
        ("first call, gradient", gradient(forward_ours), gradient(theirs)),
    ):
        say(name)
        flat = lambda value: np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(value)])  # noqa: E731
        ours_value, theirs_value = flat(a(*args)), flat(b(*args))
        times = np.array([(first_call(a, *args), first_call(b, *args)) for _ in range(1 if quick else 3)])
        ours_time, theirs_time = np.median(times, axis=0)
        difference = float(np.abs(ours_value - theirs_value).max() / np.abs(theirs_value).max())
        records.append(record(name, float(ours_time), float(theirs_time), "diffrax", difference, None))
    return records
