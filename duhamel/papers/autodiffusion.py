"""AutoDiffusion: times and blocks of the network chosen by evolution, with the samples' own quality as fitness."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from duhamel.core.precision import enable_x64

from .card import Card, Context, Measurement, Verdict

SHARE = 0.7  # of the arithmetic that may be left
STEPS = 8  # of the digits' sampler


def check(context: Context) -> Sequence[Measurement]:

    context.progress("times on six modes", 0.0)
    with enable_x64(True):
        found = _times(context)
    context.progress("blocks of the digits' network", 0.5)
    return [*found, *_blocks(context)]


def _times(context: Context) -> list[Measurement]:
    """Searched on one set of noises and samples, judged on others."""
    import jax

    from duhamel.diffusion.compare import on_host
    from duhamel.diffusion.plans.registry import build
    from duhamel.diffusion.schedule import VP
    from duhamel.diffusion.search.autodiffusion import choose_times
    from duhamel.diffusion.search.distances import energy_to
    from duhamel.rows.host import march

    from .planar import six_modes

    schedule = VP()
    data = six_modes(schedule)
    model = on_host(data.denoiser, schedule, "data")

    def judge(seed: int, points: int) -> Callable[[Any], float]:
        x = np.random.default_rng(seed).standard_normal((points, 2))
        distance = energy_to(np.asarray(data.sample(jax.random.key(seed), points)))
        return lambda plan: distance(list(march(plan, model, {"x": x}))[-1]["x"])

    fitness, held = judge(0, 400 if context.fast else 1000), judge(1, 2000 if context.fast else 6000)
    later: dict[str, Any] = {"lower_final": True}
    ddim, transfer = [], []
    counts = (4,) if context.fast else (4, 6, 8, 10)
    for steps in counts:
        make = lambda ts: build("ddim", schedule, ts=ts)  # noqa: E731
        grid = choose_times(make, fitness, schedule, steps, generations=7 if context.fast else 25)
        own = held(grid.build("ddim", schedule))
        fixed = [held(build("ddim", schedule, steps, grid=kind)) for kind in ("t", "quadratic")]
        ddim.append(own / min(fixed))
        own = held(grid.build("dpmpp-2m", schedule, **later))
        fixed = [held(build("dpmpp-2m", schedule, steps, grid=kind, **later)) for kind in ("t", "quadratic")]
        transfer.append([own / f for f in fixed])
    label = "energy distance on other noises and data"
    return [
        Measurement(
            f"DDIM of 4 steps, times searched: {label}, over the better of uniform and quadratic", ddim[0], high=0.7
        ),
        *(
            Measurement(f"the same, {steps} steps", value, high=1.0)
            for steps, value in zip(counts[1:], ddim[1:], strict=True)
        ),
        Measurement("those times in DPM-Solver++(2M): over its uniform times, 4 steps", transfer[0][0], high=1.0),
        Measurement(
            "over its quadratic times, 4 steps",
            transfer[0][1],
            high=1.0,
            note="a grid found for one sampler is not the best for another",
        ),
    ]


def _blocks(context: Context) -> list[Measurement]:
    """Which block to compute at which step: one bit each, at most 70 % of the arithmetic."""
    import jax.numpy as jnp

    from duhamel.diffusion import digits
    from duhamel.diffusion.plans.registry import build
    from duhamel.diffusion.schedule import EDM
    from duhamel.diffusion.search.evolve import evolve
    from duhamel.diffusion.search.layers import layered

    schedule, network = EDM(*digits.SIGMA_RANGE), digits.load()
    plan = build("dpmpp-2m", schedule, STEPS, grid="karras", terminal=True)
    (images, labels), (held_images, _) = digits.data()

    def judge(seed: int, n: int, truth: np.ndarray) -> Callable[[Any], float]:
        rng = np.random.default_rng(seed)
        denoiser = digits.conditioned(network, rng.choice(labels, n).astype(np.int32), schedule)
        x = jnp.asarray(schedule.t_max * rng.standard_normal((n, 8, 8)), jnp.float32)
        distance = _statistic(truth)
        return lambda bits: distance(
            np.asarray(plan.run(layered(denoiser, plan.t, np.reshape(bits, (STEPS, -1)).astype(float)), x))
        )

    blocks = len(network.network.blocks)
    one, rest = _arithmetic(network)
    most = int((SHARE * (blocks * one + rest) - rest) * STEPS / one)
    fitness = judge(0, 96 if context.fast else 512, images)
    held = judge(1, 300 if context.fast else 2000, held_images)

    def vary(rng: np.random.Generator, a: tuple, b: tuple) -> tuple:
        """Bits of both parents, some moved elsewhere, as many as allowed."""
        bits = np.where(rng.random(len(a)) < 0.5, a, b) if rng.random() < 0.5 else np.array(a)
        for _ in range(int(rng.integers(1, 4))):
            k = int(rng.integers(len(bits)))
            bits[k] = 1 - bits[k]
        for _ in range(abs(int(bits.sum()) - most)):
            excess = bits.sum() > most
            bits[rng.choice(np.flatnonzero(bits == excess))] = not excess
        return tuple(int(c) for c in bits)

    everywhere = [_same_everywhere(blocks, most, drop) for drop in range(blocks)]
    middle = [
        tuple(int(begin <= k // blocks < begin + most // blocks) for k in range(STEPS * blocks)) for begin in (1, 2)
    ]
    options: dict[str, Any] = {"generations": 2, "children": 5} if context.fast else {"generations": 12, "children": 12}
    found = evolve(fitness, [*everywhere, *middle], vary, parents=6, seed=0, **options)
    full = held((1,) * (STEPS * blocks))
    left = (sum(found.best) * one + STEPS * rest) / (STEPS * (blocks * one + rest))
    uniform = min(held(genome) for genome in everywhere)
    return [
        Measurement("digits, 8 steps, blocks searched: share of the arithmetic left", left, high=SHARE),
        Measurement(
            "energy statistic to held-out images, over the whole network's",
            held(found.best) / full,
            high=1.1,
            note="the statistic counts every pair, so that equal laws give its bias, not 0",
        ),
        Measurement(
            "the same if the same blocks are left out at every step, best choice", uniform / full, low=1.1, note="worse"
        ),
    ]


def _same_everywhere(blocks: int, most: int, drop: int) -> tuple[int, ...]:
    """Without block `drop` at all steps, and without the next one at the first steps, down to what is allowed."""
    bits = np.ones((STEPS, blocks), int)
    bits[:, drop] = 0
    order = [(s, (drop + 1) % blocks) for s in range(STEPS)]
    for s, b in order[: max(0, int(bits.sum()) - most)]:
        bits[s, b] = 0
    return tuple(bits.ravel().tolist())


def _statistic(truth: np.ndarray) -> Callable[[np.ndarray], float]:
    """2 mean|a - b| - mean|a - a'| - mean|b - b'| over all pairs, those with themselves included: never negative."""
    from scipy.spatial.distance import cdist

    b = truth.reshape(len(truth), -1)
    own = float(np.mean(cdist(b, b)))

    def distance(a: np.ndarray) -> float:
        a = np.clip(a.reshape(len(a), -1), -1, 1)
        return float(2 * np.mean(cdist(a, b)) - np.mean(cdist(a, a))) - own

    return distance


def _arithmetic(network: Any) -> tuple[float, float]:
    """Floating-point operations of one block and of everything else, as the compiler counts them."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    def count(model: Any) -> float:
        arrays, static = eqx.partition(model, eqx.is_array)
        call = jax.jit(lambda arrays, x: eqx.combine(arrays, static)(1.0, x, 3))
        return float(call.lower(arrays, jnp.zeros((8, 8), jnp.float32)).compile().cost_analysis()["flops"])  # type: ignore[index]

    blocks = network.network.blocks
    fewer = eqx.tree_at(lambda m: m.network.blocks, network, blocks[:-1])
    whole, less = count(network), count(fewer)
    one = whole - less
    return one, whole - len(blocks) * one


card = Card(
    id="autodiffusion",
    claim="Evolution over the times, with the distance to data as fitness, beats uniform and quadratic times by 30 % "
    "and more at 4 steps, and what it finds serves another sampler; the same over the network's blocks keeps the "
    "quality within 10 % at 70 % of the arithmetic.",
    source="Li et al., AutoDiffusion: Training-Free Optimization of Time Steps and Architectures for Automated "
    "Diffusion Model Acceleration, 2023, arXiv 2309.10438",
    check=check,
    expects=Verdict.in_part,
    seconds=120,
)
