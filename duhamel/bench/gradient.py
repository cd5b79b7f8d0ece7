"""Gradients of an ensemble with shared weights against grad(vmap(diffrax)): equal method, steps and loss.

MLP 4-W-W-4 with tanh, B lanes, 16 fixed steps of Tsit5, float32. diffrax carries one cotangent of the weights per lane.
Memory is XLA's own count of temporaries.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import duhamel as dh

from .measure import peer, race, record

STEPS = 16


def network(t: Any, x: Any, weights: Any) -> Any:
    for w, b in weights[:-1]:
        x = jnp.tanh(w @ x + b)
    w, b = weights[-1]
    return w @ x + b


def weights(width: int) -> list:
    rng, sizes = np.random.default_rng(0), (4, width, width, 4)
    normal = lambda m, n: jnp.asarray(rng.normal(size=(m, n)) / np.sqrt(n), jnp.float32)  # noqa: E731
    return [(normal(m, n), jnp.zeros(m, jnp.float32)) for n, m in pairwise(sizes)]


def ours(adjoint: Any) -> Callable:
    def loss(w: Any, x0: Any) -> Any:
        sols = dh.ensemble(network, x0, 1.0, args=w, control=dh.Fixed(STEPS), adjoint=adjoint, throw=False)
        return jnp.mean(sols.x**2)

    return jax.jit(jax.grad(loss))


def theirs() -> Callable:
    diffrax = peer("diffrax")

    def one(w: Any, x0: Any) -> Any:
        term, method = diffrax.ODETerm(network), diffrax.Tsit5()
        return diffrax.diffeqsolve(term, method, 0.0, 1.0, 1.0 / STEPS, x0, w, max_steps=STEPS).ys[-1]

    return jax.jit(jax.grad(lambda w, x0: jnp.mean(jax.vmap(one, (None, 0))(w, x0) ** 2)))


def megabytes(f: Callable, *args: Any) -> float:
    return f.lower(*args).compile().memory_analysis().temp_size_in_bytes / 1e6  # pyright: ignore


def relative(a: Any, b: Any) -> float:
    a, b = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (a, b))
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def run(*, quick: bool = False, progress: Callable[[str], None] | None = None) -> list[dict]:
    """One record per size and adjoint; `quick` leaves out the large one. Our error: distance from their gradient."""
    say = progress or (lambda text: None)
    records = []
    for lanes, width in ((64, 96),) if quick else ((64, 96), (256, 256)):
        w = weights(width)
        x0 = jnp.asarray(np.random.default_rng(1).normal(size=(lanes, 4)), jnp.float32)
        peer_grad = theirs()
        for adjoint in (dh.Tape(), dh.Interpolating(), dh.Backsolve()):
            grad = ours(adjoint)
            memory = f"{megabytes(grad, w, x0):.3g} MB against {megabytes(peer_grad, w, x0):.3g}"
            title = f"gradient by {type(adjoint).__name__}, {lanes} lanes, MLP 4-{width}-{width}-4, {memory}"
            say(title)
            error = relative(grad(w, x0), peer_grad(w, x0))
            records.append(record(title, *race(grad, peer_grad, (w, x0)), "diffrax", error, 0.0))
    return records
