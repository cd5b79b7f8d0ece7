"""SADA: the model is asked only where the path is not stable; elsewhere its value is extrapolated."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .card import Card, Context, Measurement, Verdict, in_turn

STEPS = 50  # of the sampler
# Calls skipped in a row, and the variables of extrapolation below: the best of eight settings on the noises of seed 0.
# What is judged are the noises of other seeds, each by itself: the worst of them counts.
MOST, SEEDS = 2, (1, 2, 3)


def check(context: Context) -> Sequence[Measurement]:
    return in_turn(context, (_mixture, _digits, _alone))


def _mixture(context: Context) -> list[Measurement]:
    import jax.numpy as jnp

    from duhamel.diffusion.schedule import VP, Flow

    from .planar import six_modes

    n, found = 200 if context.fast else 1000, []
    for schedule, name, variable in ((VP(), "dpmpp-2m", "lam"), (Flow(), "flow-euler", "t")):
        data = six_modes(schedule)
        std = float(np.sqrt(np.trace(np.asarray(data.covariance())) / 2))
        found += _against_uniform(
            f"six modes, {name}", schedule, name, variable, data.denoiser, (n, 2), std, jnp.float64
        )
    return found


def _digits(context: Context) -> list[Measurement]:
    import jax.numpy as jnp

    from duhamel.diffusion import digits
    from duhamel.diffusion.schedule import EDM, Flow

    n, found = 16 if context.fast else 128, []
    for schedule, name, variable in ((EDM(*digits.SIGMA_RANGE), "dpmpp-2m", "lam"), (Flow(), "flow-euler", "t")):
        model = digits.conditioned(digits.load(), digits.CLASSES, schedule, n * len(SEEDS))
        where, shape = f"digits net, {name}", (n, 8, 8)
        ends = {"t_max": float(schedule.t_of_rho(30.0)), "t_min": float(schedule.t_of_rho(0.01))}
        found += _against_uniform(where, schedule, name, variable, model, shape, digits.SIGMA_DATA, jnp.float32, **ends)
    return found


def _against_uniform(
    where: str, schedule: Any, name: str, variable: str, D: Any, shape: tuple, std: float, dtype: Any, **ends: float
) -> list[Measurement]:
    """Calls saved, deviation from the full run over the data's standard deviation, and that of as many calls evenly.

    The even spread has the same calls in the mean: a share of the samples one call more than the others. All seeds
    run as one batch; each is judged alone.
    """
    import jax
    import jax.numpy as jnp

    from duhamel.diffusion.denoiser import as_prediction
    from duhamel.diffusion.plans.registry import build
    from duhamel.diffusion.sampling import initial_noise
    from duhamel.diffusion.statewise import Skipping

    plan: Any = build(name, schedule, STEPS, **ends)  # type: ignore[arg-type]
    n = shape[0]
    x = jnp.concatenate([initial_noise(schedule, plan.t[0], shape, jax.random.key(k), dtype=dtype) for k in SEEDS])
    full = np.asarray(plan.run(as_prediction(D, schedule, plan.prediction), x))

    def by_seed(values: Any) -> np.ndarray:
        return np.asarray(values).reshape(len(SEEDS), n, -1)

    def run(**options: Any) -> tuple[Any, np.ndarray]:
        """What the model remembers, and the mean square deviation of each seed."""
        model = Skipping(D, schedule, target=plan.prediction, variable=variable, **options)
        slots = plan.run(model, x, save="slots")
        return slots["memory of model 0"], np.mean(by_seed(slots["x"] - full) ** 2, axis=(1, 2))

    memory, own = run(most=MOST)
    calls = by_seed(memory.count).mean(axis=(1, 2))
    fewer, more = int(np.floor(calls.min())), int(np.ceil(calls.max()))
    even = [run(rule="uniform", keep=(k - 3) / (STEPS - 3))[1] for k in range(fewer, more + 1)]
    evenly = np.array(
        [np.interp(c, range(fewer, more + 1), column) for c, column in zip(calls, np.transpose(even), strict=True)]
    )
    deviation, ratio = np.sqrt(own) / std, np.sqrt(own / evenly)
    asked = np.asarray(memory.asked)[:STEPS].T.reshape(len(SEEDS), n, STEPS)
    patterns = min(len(np.unique(of_seed, axis=0)) for of_seed in asked)
    batch = f"{int(memory.calls)} of {STEPS} calls on a batch of {len(x)}, which waits for its slowest sample"

    def each(values: np.ndarray) -> str:
        return f"seeds {SEEDS[0]} to {SEEDS[-1]}: " + ", ".join(f"{v:.3g}" for v in values)

    beside = " and ".join(f"{np.mean(np.sqrt(own / e)):.2f} of {fewer + k}" for k, e in enumerate(even))
    beside = f"{each(ratio)}; {calls.mean():.2f} calls, in the mean {beside} evenly"
    return [
        Measurement(
            f"{where}: calls of the full run over those of a sample", STEPS / float(calls.max()), low=1.8, note=batch
        ),
        Measurement(
            f"{where}: deviation from the full run over the data's",
            float(deviation.max()),
            high=0.1,
            note=each(deviation),
        ),
        Measurement(
            f"{where}: the same over that of as many calls evenly spread", float(ratio.max()), high=1.0, note=beside
        ),
        Measurement(f"{where}: patterns of skipped steps among {n} samples", patterns, low=2),
    ]


def _alone(context: Context) -> list[Measurement]:
    """A batch of one pays for its own calls only."""
    import jax
    import jax.numpy as jnp

    from duhamel.diffusion.plans.registry import build
    from duhamel.diffusion.sampling import initial_noise
    from duhamel.diffusion.schedule import VP
    from duhamel.diffusion.statewise import Skipping

    from .planar import six_modes

    plan = build("dpmpp-2m", VP(), STEPS)
    model = Skipping(six_modes(VP()).denoiser, VP(), most=MOST)

    def paid(seed: int) -> int:
        x = initial_noise(VP(), plan.t[0], (1, 2), jax.random.key(seed), dtype=jnp.float64)
        return int(plan.run(model, x, save="slots")["memory of model 0"].calls)

    most = max(paid(seed) for seed in SEEDS)
    return [Measurement("one sample alone: calls of the full run over calls made", STEPS / most, low=1.8)]


card = Card(
    id="sada",
    claim="Where the state moves against the second difference of its slopes the path is stable, and the model's value "
    "can be extrapolated: 50 steps of DPM-Solver++(2M) or of Euler's method for flows need 1.8 times fewer calls and "
    "deviate by less than a tenth of the data's standard deviation, less than with as many evenly spread calls, at "
    "steps of their own. Two settings were chosen on other noises than those that judge. Even skips are beaten on the "
    "digits net, not on six modes. Token pruning is not measured.",
    source="Jiang et al., SADA: Stability-guided Adaptive Diffusion Acceleration, 2025, arXiv 2507.17135",
    check=check,
    expects=Verdict.in_part,
    seconds=60,
)
