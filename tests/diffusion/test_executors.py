"""Two executors, one plan: JAX and PyTorch give the same samples for everything in the registry, on the same noise.

And a sample is its own: whatever is drawn with it, its noise is the same bit for bit and its end the same to rounding.
"""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.diffusion.plans.registry import SAMPLERS, build
from duhamel.diffusion.schedule import VP, Flow
from duhamel.rows.noise import drawn

torch = pytest.importorskip("torch")

SIZES = {"restart": {"steps": 8}, "f-pndm": {"steps": 8}, "dpm-solver-fast": {"steps": 9}}
OPTIONS = {"heun": {"churn": 4.0}, "ddim": {"eta": 0.5}}
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}


def plan_of(name, schedule=None):
    schedule = (Flow() if name.startswith("flow") else VP()) if schedule is None else schedule
    return build(name, schedule, **{"steps": 6, **SIZES.get(name, {}), **OPTIONS.get(name, {})})


STOCHASTIC = [name for name in SAMPLERS if plan_of(name).draws]
A = np.random.default_rng(0).standard_normal((3, 3)) / 3


def model(xp, matrix):
    """Smooth, of order one at every time, and with a time in it: not a denoiser, for rounding is what is asked."""
    return lambda tau, x: xp.sin(x @ matrix) + 0.3 * x * xp.cos(3.0 * tau)


def start(samples=5):
    return np.random.default_rng(1).standard_normal((samples, 3))


@pytest.mark.parametrize("name", SAMPLERS)
def test_torch_and_jax_agree(name):
    """To 1e-6 in float32 and 1e-12 in float64, relative to the largest state on the way."""
    plan, rng = plan_of(name), np.random.default_rng(2)
    z = {key: rng.standard_normal((plan.steps, 5, 3)) for key in plan.draws}
    for dtype, tolerance in TOLERANCE.items():
        tensor = lambda a, dtype=dtype: torch.tensor(a, dtype=getattr(torch, dtype))  # noqa: E731
        ours = plan.run(model(jnp, jnp.asarray(A, dtype)), jnp.asarray(start(), dtype), noise=z, save="steps")
        given = {key: tensor(a) for key, a in z.items()}
        theirs = plan.run_torch(model(torch, tensor(A)), tensor(start()), noise=given, save="steps")
        assert theirs.dtype == getattr(torch, dtype) and ours.dtype == jnp.dtype(dtype)
        assert np.max(np.abs(theirs.numpy() - ours)) < tolerance * np.max(np.abs(ours)), dtype


F = model(jnp, A)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_a_sample_does_not_depend_on_its_batch(name):
    plan, key = plan_of(name), jax.random.key(5)
    large, small = (plan.run(F, start(7)[:n], key=key) for n in (7, 3))
    assert np.max(np.abs(large[:3] - small)) < 1e-13 * np.max(np.abs(large))


@pytest.mark.parametrize("name", ["restart", "predictor-corrector"])
def test_noise_given_is_the_noise_drawn(name):
    """A key is the same as the draws that it makes; those are the same bit for bit in any batch."""
    plan, key = plan_of(name), jax.random.key(5)
    large, small = (drawn(plan, start(n), key) for n in (7, 3))
    for z in plan.draws:
        np.testing.assert_array_equal(large[z][:, :3], small[z])
    by_key, given = plan.run(F, start(7), key=key), plan.run(F, start(7), noise=large)
    assert np.max(np.abs(by_key - given)) < 1e-13 * np.max(np.abs(by_key))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"z": np.zeros((6, 5, 2))}, "must be .steps"),
        ({"w": np.zeros((6, 5, 3))}, "noise holds .'w'."),
        (None, "draws noise; pass"),
    ],
)
def test_bad_noise_is_one_sentence(given, words):
    plan = plan_of("ancestral")
    for run in (plan.run, plan.run_torch):
        with pytest.raises(ValueError, match=words):
            run(F, start(), noise=given)
    good = {"z": np.zeros((6, 5, 3))}
    for run, seed in ((plan.run, {"key": jax.random.key(0)}), (plan.run_torch, {"seed": 0})):
        with pytest.raises(ValueError, match="not both"):
            run(F, start(), noise=good, **seed)


WITHOUT_JAX = """
import sys, torch, duhamel.torch
from duhamel.diffusion.schedule import VP
plan = duhamel.torch.build("sa-solver", VP(), steps=5)
plan.run_torch(lambda t, x: torch.tanh(x), torch.ones(2, 3), seed=0)
scheduler = duhamel.torch.PlanScheduler()
scheduler.set_timesteps(3)
x = torch.ones(1, 3)
for t in scheduler.timesteps:
    x = scheduler.step(x, t, x).prev_sample
print("jax" in sys.modules, "equinox" in sys.modules)
"""


def test_a_plan_runs_on_tensors_without_jax():
    """Built, run and stepped through as a scheduler: JAX is never imported."""
    pytest.importorskip("diffusers")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", WITHOUT_JAX], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"], done.stderr[-2000:]


def test_noise_that_several_rows_read_is_made_once():
    """sa-solver reads its draw in three places: 5 threefry of 20 rounds in the program, 2 of them for the keys."""
    plan, matrix = plan_of("sa-solver"), jnp.asarray(A, jnp.float32)
    run = jax.jit(lambda x, key: plan.run(model(jnp, matrix), x, key=key))
    text = run.lower(jnp.asarray(start(), jnp.float32), jax.random.key(0)).compile().as_text()
    assert 60 <= text.count(" shift-left(") <= 100 or jax.default_backend() != "cpu"
