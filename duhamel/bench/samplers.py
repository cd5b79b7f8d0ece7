"""What a plan costs beside its network, and how long it takes to compile.

    overhead    a plan of 20 steps against a bare scan over the same network calls: the digits network, and a U-Net, at
                batch 64
    a step      a plan without a network against diffusers' UniPC scheduler, states of 64 x 2 numbers, dispatch included
    compiling   lowering and XLA's work: 1000 steps against 10, and every plan in whose program the model stands once
                against one call of a transformer of 12 blocks

A ratio is the other side's time over ours. Asked: overhead at most 2 % (a ratio of 0.98), 50 times less than UniPC a
step, compiling in equal time whatever the steps (1), and in 1.2 times that of the network (0.83).
"""

import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from duhamel.diffusion import digits
from duhamel.diffusion.denoiser import as_prediction
from duhamel.diffusion.network import Conditioned, PatchTransformer, Preconditioned
from duhamel.diffusion.plans.registry import SAMPLERS, build
from duhamel.diffusion.schedule import VP, Flow, Schedule
from duhamel.nn.unet import UNet
from duhamel.rows.plan import Plan

from .measure import peer, race, record, seconds

BATCH, STEPS = 64, 20
COLUMNS = {
    "": "name",
    "against": "against",
    "unit": "unit",
    "duhamel": "value",
    "the other": "peer_value",
    "ratio": "ratio",
    "asked": "asked",
}


class Images(eqx.Module):
    """A U-Net as a denoiser of images (batch, side, side), conditioned by t."""

    network: UNet

    def __call__(self, t: Any, x: Any) -> Any:
        return self.network(x[None], jnp.broadcast_to(jnp.asarray(t, x.dtype), (1, len(x))))[0]


def run(*, quick: bool = False, progress: Callable[[str], None] | None = None) -> list[dict]:
    say = progress or (lambda text: None)
    return [*overhead(quick, say), *stepping(quick, say), *compiling(quick, say)]


def overhead(quick: bool, say: Callable[[str], None]) -> list[dict]:
    """Plans against a scan that does nothing but call the network as often."""
    schedule, key = VP(), jax.random.key(0)
    x = jax.random.normal(key, (BATCH, 8, 8))
    unet = UNet(1, 1, 2, width=8, factors=(1, 2), padding="zeros", condition=1, key=key)
    networks = {
        "digits network": digits.conditioned(digits.load(), np.arange(BATCH) % 10, schedule),
        "U-Net": Images(unet),
    }
    records = []
    for title, network in networks.items():
        for name in ("dpmpp-2m",) if quick else ("ddim", "dpmpp-2m", "unipc", "sa-solver"):
            say(f"{title}, {name}")
            plan = build(name, schedule, STEPS)
            ours = lambda x, plan=plan, network=network: plan.run(network, x, key=key)  # noqa: E731
            bare = lambda x, plan=plan, network=network: calls(network, x, plan.segments[0].tau)  # noqa: E731
            times = alternately(ours, bare, x, 5 if quick else 25)
            records.append(
                record(f"overhead, {title}, {name}", *times, "jax", None, None)
                | {"against": f"{plan.nfe} bare calls", "asked": 0.98}
            )
    return records


def alternately(ours: Callable, theirs: Callable, x: Any, rounds: int) -> tuple[float, float]:
    """Median seconds of each, call by call in turn: a call takes too long for blocks of them."""
    for f in (ours, theirs):
        seconds(f, x)  # compile
    times = np.array([[seconds(f, x) for f in (ours, theirs)] for _ in range(rounds)])
    mine, other = np.median(times, axis=0)
    return float(mine), float(other)


@eqx.filter_jit
def calls(network: Callable, x: Any, tau: Any) -> Any:
    """One network call after the other, each of what the one before gave."""
    return jax.lax.scan(lambda x, t: (network(t[0], x), None), x, jnp.asarray(tau, x.dtype))[0]


def stepping(quick: bool, say: Callable[[str], None]) -> list[dict]:
    """Microseconds a step of a plan whose model costs nothing, and of diffusers' UniPC scheduler."""
    diffusers, torch = peer("diffusers"), peer("torch")
    schedule, x = VP(), jnp.ones((BATCH, 2))
    half = lambda t, x: 0.5 * x  # noqa: E731
    scheduler = diffusers.UniPCMultistepScheduler(solver_order=3, final_sigmas_type="zero")
    records = []
    for steps in (50,) if quick else (20, 50, 1000):
        say(f"{steps} steps without a network")
        plan = build("unipc", schedule, steps)
        ours = lambda x, plan=plan: plan.run(half, x)  # noqa: E731

        def theirs(x: Any, steps: int = steps) -> Any:
            scheduler.set_timesteps(steps)
            y = torch.ones(BATCH, 2)
            for t in scheduler.timesteps:
                y = scheduler.step(0.5 * y, t, y).prev_sample
            return jnp.asarray(y.numpy())

        times = race(ours, theirs, (x,), budget=2.0)
        mine, other = (time / steps * 1e3 for time in times)  # `record` turns seconds into milliseconds
        records.append(
            record(f"a step of {steps}", mine, other, "diffusers", None, None)
            | {"unit": "us", "against": "UniPCMultistepScheduler.step", "asked": 50}
        )
    return records


def compiling(quick: bool, say: Callable[[str], None]) -> list[dict]:
    network = PatchTransformer(8, 2, depth=12, key=jax.random.key(0))
    model = Conditioned(Preconditioned(network, 0.75), jnp.zeros(BATCH, jnp.int32), VP())
    x, rounds, records = jnp.ones((BATCH, 8, 8)), 1 if quick else 3, []
    own = [compile_time(model, x) for _ in range(rounds)]
    names = ("dpmpp-2m", "unipc") if quick else [name for name in SAMPLERS if _plan(name, STEPS).copies == 1]
    for name in names:
        say(f"compiling {name}")
        times = []
        for _ in range(rounds):
            own.append(compile_time(model, x))
            times.append(compile_time(model, x, _plan(name, STEPS)))
        records.append(
            record(f"compiling {name}", float(np.median(times)), float(np.median(own)), "jax", None, None)
            | {"against": "one call of the network", "asked": 0.83}
        )
    few, many = ([compile_time(model, x, _plan("unipc", n)) for _ in range(rounds)] for n in (10, 1000))
    records.append(
        record("compiling 1000 steps", float(np.median(many)), float(np.median(few)), "jax", None, None)
        | {"against": "compiling 10 steps", "asked": 1}
    )
    return records


def compile_time(model: Conditioned, x: Any, plan: Plan | None = None) -> float:
    """Seconds of work to trace and compile a plan around the model, or one call of it; nothing is cached."""
    arrays, static = eqx.partition(model, eqx.is_array)
    schedule: Schedule = VP()

    def program(arrays: Any, x: Any, numbers: Any, key: Any) -> Any:
        denoiser = eqx.combine(arrays, static)
        if plan is None:
            return denoiser(0.5 * x[0, 0, 0], x)
        wanted: Any = plan.prediction
        noise = key if plan.draws else None
        return plan.with_numbers(numbers).run(as_prediction(denoiser, schedule, wanted), x, key=noise)

    jax.clear_caches()
    begin = time.process_time()  # of all threads, and not of other processes
    args = (arrays, x, None if plan is None else plan.numbers, jax.random.key(0))
    jax.jit(program).lower(*args).compile()
    return time.process_time() - begin


def _plan(name: str, steps: int) -> Plan:
    return build(name, Flow() if name.startswith("flow") else VP(), steps)
