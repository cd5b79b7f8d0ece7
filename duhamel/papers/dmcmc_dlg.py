"""Denoising MCMC: a Markov chain over states of all noise levels finds where a sampler should begin."""

from collections.abc import Sequence
from typing import Any

from .card import Card, Context, Measurement, Verdict, in_turn

LEVELS, STEP, BURN_IN = 32, 0.25, 200  # eta = STEP sigma^2; sweeps before the first sample, shared by all of a chain
SAMPLERS = {
    "DDIM": ("ddim", {}),
    "EDM Heun": ("heun", {}),
    "DPM-Solver++(2M)": ("dpmpp-2m", {}),
    "UniPC-2": ("unipc", {"order": 2}),
    "ancestral": ("ddim", {"eta": 1.0}),
    "SDE-DPM-Solver++(2M)": ("sde-dpmpp-2m", {}),
}


def check(context: Context) -> Sequence[Measurement]:
    return in_turn(context, (_chain_and_samples,))


def _chain_and_samples(context: Context) -> list[Measurement]:
    import jax
    import jax.numpy as jnp
    import numpy as np
    from scipy.stats import chisquare

    from duhamel.diffusion.schedule import EDM

    from .planar import six_modes
    from .planar_law import energy, monte_carlo

    n = 3000 if context.fast else 8000
    schedule = EDM(0.02, 10.0)
    data = six_modes(schedule)
    times = np.exp(np.linspace(np.log(2 * schedule.sigma_min), np.log(schedule.sigma_max), LEVELS))
    keys = jax.random.split(jax.random.key(1), n)
    x = schedule.sigma_max * jax.random.normal(jax.random.key(0), (n, 2), jnp.float64)
    warm = _sweep(data, times, x, jnp.full(n, LEVELS - 1, jnp.int32), keys, BURN_IN)
    counts = np.bincount(np.asarray(warm.level), minlength=LEVELS)
    found = [
        Measurement(
            f"after {BURN_IN} sweeps, p-value of the noise levels' counts under the prior",
            float(chisquare(counts).pvalue),
            low=0.01,
            note=f"chi-square of {n} chains over {LEVELS} levels of equal weight",
        )
    ]
    noise, weights = monte_carlo(data, n), 0.0
    for average in (10,) if context.fast else (10, 20):
        context.progress(f"{average} calls", 0.3 if average == 10 else 0.7)
        sweeps = average // 2
        chain = _sweep(data, times, warm.x, warm.level, jax.vmap(jax.random.fold_in, (0, None))(keys, average), sweeps)
        states = {"last": (chain.x, chain.level), "least noisy": (chain.low_x, chain.low_level)}
        for label, (name, options) in SAMPLERS.items():
            other = energy(data, _from_noise(data, n, name, average, options), schedule.t_min)
            for which, state in states.items():
                end = _denoised(data, *state, times, name, average - sweeps, options)
                own = energy(data, end, schedule.t_min)
                nearest = np.argmin(np.linalg.norm(end[:, None] - np.asarray(data.means), axis=-1), axis=1)
                weights = max(weights, float(np.max(np.abs(np.bincount(nearest, minlength=6) / n - 1 / 6))))
                found.append(
                    Measurement(
                        f"{label}, {average} calls on average, from the {which} state of {sweeps} sweeps: energy "
                        "distance above that from pure noise, in standard deviations",
                        float((own - other) / (np.sqrt(2) * noise)),
                        high=2.0,
                        note=f"{own:.4f} against {other:.4f}; of exact samples {noise:.4f} in standard deviation",
                    )
                )
    return [*found, Measurement("largest error of a mode's weight, of all these samples", weights, high=0.05)]


def _sweep(data: Any, times: Any, x: Any, level: Any, keys: Any, count: int) -> Any:
    import equinox as eqx
    import jax.numpy as jnp

    from duhamel.diffusion.langevin_gibbs import langevin_gibbs

    def logits(x: Any) -> Any:
        return jnp.stack([data.log_density(t, x) for t in times], axis=-1)

    options = {"times": times, "steps": STEP * times**2}
    return eqx.filter_jit(langevin_gibbs)(data.score, logits, x, level, keys, count=count, **options)


def _denoised(data: Any, x: Any, level: Any, times: Any, name: str, calls: int, options: Any) -> Any:
    """The states, each denoised from its own level by the sampler in at most `calls` calls."""
    import jax
    import numpy as np

    from duhamel.diffusion.denoiser import as_prediction
    from duhamel.diffusion.langevin_gibbs import from_levels

    plan = from_levels(lambda t: _plan(data.schedule, name, calls, t, options), times, level)
    key = jax.random.key(3) if plan.draws else None
    model = as_prediction(data.denoiser, data.schedule, plan.prediction or "data")  # type: ignore[arg-type]
    return np.asarray(plan.run(model, x, key=key))


def _from_noise(data: Any, n: int, name: str, calls: int, options: Any) -> Any:
    import jax
    import jax.numpy as jnp
    import numpy as np

    from duhamel.diffusion.sampling import sample

    plan = _plan(data.schedule, name, calls, data.schedule.t_max, options)
    return np.asarray(sample(plan, data.denoiser, (n, 2), jax.random.key(2), dtype=jnp.float64))


def _plan(schedule: Any, name: str, calls: int, t_max: float, options: Any) -> Any:
    from duhamel.diffusion.plans.registry import build

    steps = calls // 2 if name == "heun" else calls
    return build(name, schedule, steps, grid="lam", t_max=t_max, terminal=False, **options)


card = Card(
    id="dmcmc-dlg",
    claim="Langevin and Gibbs steps in (x, sigma) keep the product law; a sampler that starts from the chain's "
    "states, each at its own noise level, comes as near to the data as from pure noise with as many calls on average, "
    "for any of six. Measured with exact scores and exact p(sigma | x), at 10 and 20 calls, within two standard "
    "deviations; the chain's first 200 sweeps are not charged. From a chain's last state it holds for all but EDM's "
    "Heun (and UniPC at 10 calls, by a hair); from its least noisy state for the samplers of the SDE and for DDIM at "
    "10 calls, which gain most; the others lose.",
    source="Kim and Ye, Denoising MCMC for Accelerating Diffusion-Based Generative Models, 2022, arXiv 2209.14593",
    check=check,
    expects=Verdict.in_part,
    seconds=60,
)
