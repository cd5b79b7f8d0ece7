"""Models that choose their time or their evaluation from the state, and the memory that every executor carries."""

from importlib.util import find_spec
from itertools import product

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.diffusion.denoiser import as_prediction
from duhamel.diffusion.exact import mixture
from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.sampling import initial_noise
from duhamel.diffusion.schedule import EDM, VP
from duhamel.diffusion.statewise import Skipping, TimeShifted, extrapolated
from duhamel.rows.host import march

DATA = mixture(VP(), [0.3, 0.7], [[-1.0, 0.0], [0.6, 0.4]], [0.04, 0.2])
MEMORY = "memory of model 0"


class Averaging(eqx.Module):
    """Returns tau x plus the mean of what it returned before: a memory of an array and a count, on any arrays."""

    factor: float

    def start(self, x):
        return 0.0 * x, 0.0 * x[:, 0]

    def __call__(self, memory, tau, x):
        mean, n = memory
        F = self.factor * tau * x + mean
        return F, ((n[:, None] * mean + F) / (n[:, None] + 1), n + 1)


@pytest.mark.parametrize("name", ["ddim", "unipc", "heun", "f-pndm"])
def test_every_executor_carries_the_memory_alike(name):
    """Segments, calls within a step, and gradients included: JAX's scan, the march on the host, PyTorch where it is."""
    plan, x = build(name, EDM(0.1, 2.0), 7), np.linspace(-1, 1, 6).reshape(3, 2)
    ours = plan.run(Averaging(0.1), x, save="slots")
    *_, host = march(plan, Averaging(0.1), {"x": x})
    others = [host]
    if find_spec("torch") is not None:
        import torch

        others.append(plan.run_torch(Averaging(0.1), torch.tensor(x), save="slots"))
    for other, key in product(others, ("x", MEMORY)):
        for a, b in zip(*map(jax.tree.leaves, (ours[key], other[key])), strict=True):
            np.testing.assert_allclose(a, np.asarray(b), rtol=1e-12)
    assert float(ours[MEMORY][1][0]) == plan.nfe
    end = lambda factor: jnp.sum(plan.run(Averaging(factor), x) ** 2)  # noqa: E731
    slope = (end(0.1 + 1e-5) - end(0.1 - 1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(end)(0.1), slope, rtol=1e-6)


def test_a_state_with_too_much_noise_is_asked_about_an_earlier_time():
    schedule, v = VP(), 0.3
    x = np.random.default_rng(0).standard_normal((4, 50_000))
    true = np.array([0.1, 0.2, 0.3, 0.4])
    x *= np.sqrt(schedule.alpha(true) ** 2 * v + schedule.sigma(true) ** 2)[:, None]
    asked = TimeShifted(lambda t, x: x, schedule, 2.0, 0.0, v, 401).shifted(0.3, jnp.asarray(x))
    np.testing.assert_allclose(asked, true, atol=0.02)
    near = TimeShifted(lambda t, x: x, schedule, 0.1, 0.0, v).shifted(0.25, jnp.asarray(x))
    np.testing.assert_allclose(near, [0.2, 0.2, 0.3, 0.3], atol=0.01)
    still = TimeShifted(lambda t, x: x, schedule, 0.1, 0.55, v).shifted(0.5, jnp.asarray(x))
    np.testing.assert_array_equal(still, 0.5)
    none = TimeShifted(lambda t, x: t[:, None] * x, schedule, 0.0)(0.5, jnp.asarray(x))
    np.testing.assert_allclose(none, 0.5 * x)


def noises(plan, n):
    return initial_noise(VP(), plan.t[0], (n, 2), jax.random.key(0), dtype=jnp.float64)


def test_no_skip_is_the_plan_itself():
    plan = build("dpmpp-2m", VP(), 12)
    slots = plan.run(Skipping(DATA.denoiser, VP(), rule="uniform", keep=1.0), noises(plan, 5), save="slots")
    np.testing.assert_allclose(slots["x"], plan.run(DATA.denoiser, noises(plan, 5)), rtol=1e-12)
    assert int(slots[MEMORY].calls) == 12 and bool(jnp.all(slots[MEMORY].asked[:12]))


@pytest.mark.parametrize("target", ["noise", "flow"])
def test_skipping_serves_every_prediction(target):
    plan = build("ddim" if target == "noise" else "flow-euler", VP(), 12, grid="lam")
    plan = build("ipndm", VP(), 12, grid="lam") if target == "noise" else plan
    skipping = Skipping(DATA.denoiser, VP(), target=target, rule="uniform", keep=1.0)
    full = plan.run(as_prediction(DATA.denoiser, VP(), target), noises(plan, 5))
    np.testing.assert_allclose(plan.run(skipping, noises(plan, 5)), full, rtol=1e-11)


def test_calls_are_counted_where_they_are_made():
    """By a model that counts on the host: a batch is evaluated exactly where one of its samples asks."""
    seen = []

    def D(t, x):
        jax.debug.callback(lambda _: seen.append(1), t[0])
        return DATA.denoiser(t, x)

    plan = build("dpmpp-2m", VP(), 30)
    slots = plan.run(Skipping(D, VP(), most=2), noises(plan, 6), save="slots")
    jax.block_until_ready(slots["x"])
    jax.effects_barrier()
    memory = slots[MEMORY]
    asked = np.asarray(memory.asked)[:30]
    assert len(seen) == int(memory.calls) == int(asked.any(axis=1).sum()) < 30
    np.testing.assert_array_equal(memory.count, asked.sum(axis=0))
    assert np.all(asked[:3]) and not np.any(~asked[:-2] & ~asked[1:-1] & ~asked[2:])  # two in a row at most


def test_a_sample_skips_for_itself():
    plan = build("dpmpp-2m", VP(), 30)
    x = noises(plan, 6)
    large, small = (plan.run(Skipping(DATA.denoiser, VP(), most=2), x[:n], save="slots") for n in (6, 2))
    np.testing.assert_allclose(large["x"][:2], small["x"], rtol=1e-11)
    np.testing.assert_array_equal(large[MEMORY].asked[:, :2], small[MEMORY].asked)


def test_extrapolation_is_lagranges():
    nodes = jnp.array([[0.1, 1.0], [0.3, 2.0], [0.7, 4.0]])
    at = jnp.array([1.0, 5.0])
    q = lambda t: 2 * t**2 - 3 * t + 1  # noqa: E731
    np.testing.assert_allclose(extrapolated(nodes, q(nodes), at), q(at), atol=1e-12)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (lambda: TimeShifted(lambda t, x: x, VP(), -1.0), "window"),
        (lambda: Skipping(DATA.denoiser, VP(), rule="guess"), "stability"),
        (lambda: Skipping(DATA.denoiser, VP(), first=1), "at least 3"),
        (lambda: build("ddim", VP(), 5).run(Skipping(DATA.denoiser, VP(), target="noise"), jnp.ones((2, 2))), "data"),
    ],
)
def test_bad_input_is_one_sentence(bad, words):
    with pytest.raises(ValueError, match=words):
        bad()
