"""SDEs on a fixed grid: ours against a bare `lax.scan` on the same draws, and against diffrax.

dx = (-x + sin(roll x)) dt + g dW in ten dimensions over [0, 1], float32, one path and a thousand. Euler-Maruyama with
diagonal noise g = 0.3 + 0.1 cos x (one increment a step), and ShARK with additive noise g = 0.3 (increment and
space-time area, two calls of the drift). The bare scan is written by hand, draws from the same counter and is vmapped
over the keys: the error beside its time is the largest difference between its paths and ours. diffrax runs on its
`UnsafeBrownianPath`, and on its `VirtualBrownianTree` with cells of a step.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import duhamel as dh
from duhamel.core.brownian import Counter

from .measure import peer, race, record

D, STEPS = 10, 256
SHAPE = jax.ShapeDtypeStruct((D,), jnp.float32)


def drift(t: Any, x: Any, args: Any = None) -> Any:
    return -x + jnp.sin(jnp.roll(x, 1, axis=0))


def diagonal(t: Any, x: Any, args: Any = None) -> Any:
    return 0.3 + 0.1 * jnp.cos(x)


def additive(t: Any, x: Any, args: Any = None) -> Any:
    return jnp.full_like(x, 0.3)


def euler(x: Any, h: Any, draws: dict) -> Any:
    return x + h * drift(0.0, x) + diagonal(0.0, x) * draws["dW"]


def shark(x: Any, h: Any, draws: dict) -> Any:
    g = additive(0.0, x)
    f1 = drift(0.0, x + g * draws["H"])
    f2 = drift(0.0, x + (5 / 6) * h * f1 + g * ((5 / 6) * draws["dW"] + draws["H"]))
    return x + h * (0.4 * f1 + 0.6 * f2) + g * draws["dW"]


METHODS: dict[str, tuple[Any, Callable, Callable, tuple[str, ...]]] = {
    "Euler": (dh.EulerMaruyama(), diagonal, euler, ("dW",)),
    "ShARK": (dh.ShARK(), additive, shark, ("dW", "H")),
}


def ours(name: str, paths: int) -> Callable:
    method, diffusion, _, _ = METHODS[name]
    problem = dh.SDE(drift, diffusion, noise="additive" if diffusion is additive else "diagonal")
    how = {"method": method, "control": dh.Fixed(STEPS)}
    if paths == 1:
        return jax.jit(lambda x0s, keys: dh.solve(problem, x0s[0], 1.0, key=keys[0], **how).x[None])
    return jax.jit(lambda x0s, keys: dh.ensemble(problem, x0s, 1.0, key=keys, **how).x)


def bare(name: str, paths: int) -> Callable:
    _, _, step, names = METHODS[name]
    h = jnp.float32(1.0 / STEPS)

    def one(x0: Any, key: Any) -> Any:
        noise = Counter().bind(key, SHAPE, 1.0, names)
        body = lambda x, i: (step(x, h, noise.increment(i, i * h, h)), None)  # noqa: E731
        return jax.lax.scan(body, x0, jnp.arange(STEPS, dtype=jnp.int32))[0]

    if paths == 1:
        return jax.jit(lambda x0s, keys: one(x0s[0], keys[0])[None])
    return jax.jit(jax.vmap(one))


def theirs(name: str, paths: int, tree: bool) -> Callable:
    diffrax, lineax = peer("diffrax"), peer("lineax")
    _, diffusion, _, names = METHODS[name]
    method = diffrax.Euler() if name == "Euler" else diffrax.ShARK()
    area = diffrax.SpaceTimeLevyArea if "H" in names else diffrax.BrownianIncrement

    def one(x0: Any, key: Any) -> Any:
        if tree:
            path = diffrax.VirtualBrownianTree(0.0, 1.0, 1.0 / STEPS, (D,), key, levy_area=area)
        else:
            path = diffrax.UnsafeBrownianPath((D,), key, levy_area=area)
        noise = diffrax.ControlTerm(lambda t, x, args: lineax.DiagonalLinearOperator(diffusion(t, x)), path)
        terms = diffrax.MultiTerm(diffrax.ODETerm(drift), noise)
        how = {"adjoint": diffrax.DirectAdjoint()} if not tree else {}
        return diffrax.diffeqsolve(terms, method, 0.0, 1.0, 1.0 / STEPS, x0, max_steps=STEPS + 1, **how).ys[-1]

    if paths == 1:
        return jax.jit(lambda x0s, keys: one(x0s[0], keys[0])[None])
    return jax.jit(jax.vmap(one))


def compare(name: str, paths: int, rival: str, budget: float) -> dict:
    keys = jax.random.split(jax.random.key(0), paths)
    inputs = jnp.tile(jnp.linspace(-1.0, 1.0, D, dtype=jnp.float32), (paths, 1)), keys
    f = ours(name, paths)
    g = bare(name, paths) if rival == "bare scan" else theirs(name, paths, tree=rival.endswith("tree"))
    times = race(f, g, inputs, budget=budget)
    same = rival == "bare scan"
    error = float(np.abs(np.asarray(f(*inputs)) - np.asarray(g(*inputs))).max()) if same else None
    label = f"{name}, {paths} path{'s' * (paths > 1)}, against {rival}"
    return record(label, *times, "jax" if same else "diffrax", error, None)


def run(*, quick: bool = False, progress: Callable[[str], None] | None = None) -> list[dict]:
    """One record for each method, number of paths and rival; `quick`: one path, no tree."""
    say = progress or (lambda text: None)
    records = []
    for name in METHODS:
        for paths in (1,) if quick else (1, 1000):
            for rival in ("bare scan", "diffrax") if quick else ("bare scan", "diffrax", "diffrax's tree"):
                say(f"{name}, {paths} paths, {rival}")
                records.append(compare(name, paths, rival, 1.0 if quick else 4.0))
    return records
