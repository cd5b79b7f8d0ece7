"""SADA: the model is asked only where the path is not stable; elsewhere its value is extrapolated."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .card import Card, Context, Measurement, Verdict, in_turn

STEPS, MOST = 50, 2  # of the sampler; calls skipped in a row


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
        model = digits.conditioned(digits.load(), digits.CLASSES, schedule, n)
        where, shape = f"digits net, {name}", (n, 8, 8)
        ends = {"t_max": float(schedule.t_of_rho(30.0)), "t_min": float(schedule.t_of_rho(0.01))}
        found += _against_uniform(where, schedule, name, variable, model, shape, digits.SIGMA_DATA, jnp.float32, **ends)
    return found


def _against_uniform(
    where: str, schedule: Any, name: str, variable: str, D: Any, shape: tuple, std: float, dtype: Any, **ends: float
) -> list[Measurement]:
    """Calls saved, deviation from the full run over the data's standard deviation, and that of as many calls evenly."""
    import jax

    from duhamel.diffusion.denoiser import as_prediction
    from duhamel.diffusion.plans.registry import build
    from duhamel.diffusion.sampling import initial_noise
    from duhamel.diffusion.statewise import Skipping

    plan: Any = build(name, schedule, STEPS, **ends)  # type: ignore[arg-type]
    x = initial_noise(schedule, plan.t[0], shape, jax.random.key(0), dtype=dtype)
    full = np.asarray(plan.run(as_prediction(D, schedule, plan.prediction), x))

    def run(**options: Any) -> tuple[Any, float]:
        model = Skipping(D, schedule, target=plan.prediction, variable=variable, **options)
        slots = plan.run(model, x, save="slots")
        return slots["memory of model 0"], float(np.sqrt(np.mean((np.asarray(slots["x"]) - full) ** 2))) / std

    memory, deviation = run(most=MOST)
    calls = float(np.mean(memory.count))
    _, evenly = run(rule="uniform", keep=(calls - 3) / (STEPS - 3))
    patterns = len(np.unique(np.asarray(memory.asked)[:STEPS].T, axis=0))
    batch = f"{int(memory.calls)} of {STEPS} calls on the whole batch of {shape[0]}, which waits for its slowest sample"
    return [
        Measurement(f"{where}: calls of the full run over those of a sample", STEPS / calls, low=1.8, note=batch),
        Measurement(f"{where}: deviation from the full run over the data's", deviation, high=0.1),
        Measurement(f"{where}: the same over that of as many calls evenly spread", deviation / evenly, high=1.0),
        Measurement(f"{where}: patterns of skipped steps among {shape[0]} samples", patterns, low=2),
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
    x = initial_noise(VP(), plan.t[0], (1, 2), jax.random.key(0), dtype=jnp.float64)
    model = Skipping(six_modes(VP()).denoiser, VP(), most=MOST)
    paid = int(plan.run(model, x, save="slots")["memory of model 0"].calls)
    return [Measurement("one sample alone: calls of the full run over calls made", STEPS / paid, low=1.8)]


card = Card(
    id="sada",
    claim="Where the state moves against the second difference of its slopes the path is stable, and the model's value "
    "can be extrapolated: 50 steps of DPM-Solver++(2M) or of Euler's method for flows need 1.8 times fewer calls and "
    "deviate by less than a tenth of the data's standard deviation, less than with evenly spread skips, at steps of "
    "their own. Token pruning is not measured.",
    source="Jiang et al., SADA: Stability-guided Adaptive Diffusion Acceleration, 2025, arXiv 2507.17135",
    check=check,
    expects=Verdict.in_part,
    seconds=60,
)
