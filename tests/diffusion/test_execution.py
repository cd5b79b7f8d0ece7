"""How a plan is run: grids for each sample, wrappers of models, low precision, devices, previews, the way back."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.diffusion import digits
from duhamel.diffusion.denoiser import AtPrecision, Converted, Guided, Thresholded, as_prediction
from duhamel.diffusion.exact import mixture
from duhamel.diffusion.plans.inversion import bdia, edict, o_belm
from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.sampling import sample
from duhamel.diffusion.schedule import VP
from duhamel.rows.beside import beside
from duhamel.rows.canonical import distance

PREDICTIONS = ("data", "noise", "score", "velocity", "flow")
DATA = mixture(VP(), [0.4, 0.6], [[-1.0, 0.5], [1.0, 0.0]], 0.1)
OTHER = mixture(VP(), [1.0], [[0.2, 0.3]], 0.4)
KEY = jax.random.key(3)


@pytest.mark.parametrize("name", ["unipc", "heun", "sa-solver"])
def test_every_sample_on_a_grid_of_its_own(name):
    grids = ("lam", "karras", "quadratic")
    plans = [build(name, VP(), 7, grid=grid, terminal=False) for grid in grids]
    together = beside(plans)
    assert together.nfe == plans[0].nfe and together.t.shape == (8, 3)
    model = as_prediction(DATA.denoiser, VP(), together.prediction)
    x = np.random.default_rng(0).standard_normal((3, 2))
    keys = jax.random.split(KEY, 3)
    all_at_once = together.run(model, x, key=keys, save="steps")
    for i, plan in enumerate(plans):
        alone = plan.run(model, x[i : i + 1], key=keys[i : i + 1], save="steps")
        np.testing.assert_allclose(all_at_once[:, i], alone[:, 0], rtol=1e-11, atol=1e-12)


def test_grids_beside_each_other_on_the_host():
    plans = [build("dpmpp-2m", VP(), 6, grid=grid) for grid in ("lam", "quadratic")]
    model = lambda t, x: np.sin(x) * np.reshape(t, (-1, 1, 1))  # noqa: E731
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    got = beside(plans, 2).run_torch(model, x)
    for i, plan in enumerate(plans):
        np.testing.assert_allclose(got[i], plan.run_torch(model, x[i : i + 1])[0], rtol=1e-13)


@pytest.mark.parametrize("source", PREDICTIONS)
def test_guidance_and_thresholds_are_the_same_in_every_prediction(source):
    """Guidance of noises is that of data; what is clipped is data, whatever the network and the plan say."""
    schedule, options = VP(), {"shape": (6, 2), "key": KEY, "dtype": jnp.float64}
    plan, noisy = build("unipc", schedule, 6), build("deis-tab", schedule, 6)
    reference = Guided(DATA.denoiser, OTHER.denoiser, 2.5)
    guided = Guided(*(as_prediction(d.denoiser, schedule, source) for d in (DATA, OTHER)), 2.5)
    given = {} if source != "data" else {"prediction": "data"}
    assert guided.prediction == (None if source == "data" else source)
    for p in (plan, noisy):
        np.testing.assert_allclose(sample(p, guided, **given, **options), sample(p, reference, **options), rtol=1e-8)
    clip = lambda model: Thresholded(model, bound=0.6, q=0.9)  # noqa: E731
    clipped = clip(as_prediction(guided, schedule, "data", source))
    for p in (plan, noisy):
        expected = sample(p, clip(reference), **options)
        assert np.max(np.abs(expected - sample(p, reference, **options))) > 1e-2
        np.testing.assert_allclose(sample(p, clipped, **options), expected, rtol=1e-7, atol=1e-9)


def test_a_model_that_predicts_something_else_is_one_sentence():
    noise = Converted(DATA.denoiser, VP(), "data", "noise")
    plan, x = build("dpmpp-2m", VP(), 5), np.ones((2, 2))
    for run in (plan.run, plan.run_torch):
        with pytest.raises(ValueError, match=r"wants a model that predicts data, and this one says .* noise"):
            run(noise, x)
    with pytest.raises(ValueError, match="says that it predicts noise"):
        sample(plan, noise, (2, 2), KEY, prediction="data")
    with pytest.raises(ValueError, match="says that it predicts noise"):
        Thresholded(noise)
    with pytest.raises(ValueError, match="conditional model predicts noise and the unconditional one score"):
        Guided(noise, Converted(OTHER.denoiser, VP(), "data", "score"), 2.0)
    same = sample(plan, noise, (2, 2), KEY)  # it says what it is, so it needs no argument
    np.testing.assert_allclose(same, sample(plan, DATA.denoiser, (2, 2), KEY), rtol=1e-4)


def test_the_state_no_longer_rounds():
    """DDIM around a network of float32: a state of float32 drifts with the steps, one of float64 does not."""
    network = lambda t, x: DATA.denoiser(jnp.asarray(t, jnp.float32), jnp.asarray(x, jnp.float32))  # noqa: E731
    x = np.random.default_rng(0).standard_normal((64, 2))
    drift = {}
    for steps in (50, 3200):
        plan = build("ddim", VP(), steps)
        exact = plan.run(DATA.denoiser, x)
        for dtype in ("float32", "float64"):
            end = plan.run(AtPrecision(network, jnp.float32), jnp.asarray(x, dtype))
            assert end.dtype == dtype
            drift[dtype, steps] = float(jnp.sqrt(jnp.mean((end - exact) ** 2)))
    assert drift["float32", 3200] > 3 * drift["float32", 50], drift
    assert drift["float64", 3200] < 2 * drift["float64", 50], drift
    assert drift["float32", 3200] > 10 * drift["float64", 3200], drift


def test_a_state_of_float32_around_bfloat16():
    plan = build("ddim", VP(), 200)
    x = np.random.default_rng(0).standard_normal((64, 2))
    exact = plan.run(DATA.denoiser, x)
    network = AtPrecision(lambda t, x: DATA.denoiser(t, x).astype(jnp.bfloat16), jnp.bfloat16)
    ends = [plan.run(network, jnp.asarray(x, dtype)) for dtype in (jnp.bfloat16, jnp.float32)]
    half, full = (float(jnp.sqrt(jnp.mean((end.astype(float) - exact) ** 2))) for end in ends)
    assert full < 0.1 * half, (half, full)
    taus = []
    AtPrecision(lambda t, x: taus.append(t) or x, jnp.bfloat16)(998.4, jnp.ones(2))
    assert abs(float(taus[0]) - 998.4) < 1e-3


@pytest.mark.parametrize(
    ("make", "dtype", "bound"),
    [(bdia, "float32", 1e-3), (o_belm, "float32", 1e-3), (o_belm, "float64", 1e-10), (edict, "float64", 1e-10)],
    ids=lambda v: getattr(v, "__name__", None),
)
def test_digits_go_back_to_their_noise(make, dtype, bound):
    """Noise to digits and back with the trained network: exact but for rounding."""
    schedule = VP()
    plan = make(schedule, build("ddim", schedule, 20, grid="quadratic", t_min=0.01).t)
    D = digits.conditioned(digits.load(), np.arange(4), schedule)
    model = as_prediction(D, schedule, "noise")
    x = jax.random.normal(KEY, (4, 8, 8), dtype)
    end = plan.run(model, x, slots={"y": x} if plan.name == "edict" else None, save="slots")
    rest = {name: value for name, value in end.items() if name != "x"}
    back = plan.reversed().run(model, end["x"], slots=rest)
    assert float(jnp.max(jnp.abs(back - x))) < bound
    assert float(jnp.max(jnp.abs(end["x"] - x))) > 1


def test_what_cannot_be_undone_says_so_before_it_runs():
    lost = bdia(VP(), build("ddim", VP(), 30, grid="quadratic").t, 0.5).reversed()
    never = lambda t, x: 1 / 0  # noqa: E731
    x = np.ones((2, 2))
    for run in (lost.run, lost.run_torch):
        with pytest.raises(ValueError, match=r"magnifies rounding .* times, .* run it in float64"):
            run(never, x.astype(np.float32), slots={"before": x.astype(np.float32)})
    with pytest.raises(ZeroDivisionError):  # float64 has the digits
        lost.run(never, x, slots={"before": x})
    with pytest.raises(ValueError, match=r"cannot be undone; use an invertible plan|cannot be undone: a step calls"):
        build("dpmpp-2m", VP(), 5).reversed()
    with pytest.raises(ValueError, match="draws noise and cannot be undone"):
        build("ancestral", VP(), 5).reversed()


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (lambda: build("unipc", VP(), 2, order=3), "unipc makes 2 steps, .* needs 3"),
        (lambda: build("dpmpp-3m", VP(), 2), "needs 3"),
        (lambda: build("f-pndm", VP(), 3), "needs 4"),
        (lambda: build("s-pndm", VP(), 1), "needs 2"),
        (lambda: build("ipndm", VP(), 3), "needs 4"),
        (lambda: build("bdia", VP(), 1), "needs 2"),
        (lambda: build("er-sde", VP(), 2), "needs 3"),
        (lambda: beside([]), "empty"),
        (lambda: beside([build("ddim", VP(), 4), build("ddim", VP(), 5)]), "plan 1 makes 5 steps and plan 0 4"),
        (lambda: beside([build("ddim", VP(), 4), build("dpmpp-2m", VP(), 4)]), "other rows"),
    ],
)
def test_bad_input_is_one_sentence(bad, words):
    with pytest.raises(ValueError, match=words):
        bad()


def test_short_runs_the_start_up_alone():
    short = build("unipc", VP(), 2, order=3, short=True)
    assert distance(short, build("unipc", VP(), 2, order=2), VP().alpha, VP().sigma) < 1e-12


def test_noise_is_not_asked_where_there_is_none():
    """A plan of data may end its evaluations at sigma = 0, one of noise may not."""
    plan = build("heun", VP(), 4, terminal=False)
    tau = plan.segments[0].tau.copy()
    tau[-1, -1] = 0.0
    numbers = ((plan.segments[0].coef, tau),)
    with pytest.raises(ValueError, match="asks for the noise at t = 0, where sigma = 0"):
        sample(plan.with_numbers(numbers), DATA.denoiser, (2, 2), KEY)


def test_a_callback_sees_every_step():
    plan = build("dpmpp-2m", VP(), 6)
    model = DATA.denoiser
    x = np.random.default_rng(0).standard_normal((3, 2))
    states = plan.run(model, x, save="steps")
    for run, net in ((plan.run, model), (plan.run_torch, lambda t, x: np.asarray(model(t, x)))):
        seen = {}
        run(net, x, callback=lambda n, t, x, seen=seen: seen.update({n: (t, np.array(x))}))
        assert sorted(seen) == [1, 2, 3, 4, 5, 6]
        for n, (t, state) in seen.items():
            assert t == pytest.approx(plan.t[n])
            np.testing.assert_allclose(state, states[n], rtol=1e-11, atol=1e-12)


DEVICES = """
import sys
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
jax.config.update("jax_enable_x64", True)
from duhamel.diffusion.exact import mixture
from duhamel.diffusion.plans.registry import SAMPLERS, build
from duhamel.diffusion.sampling import initial_noise, sample, sample_keys
from duhamel.diffusion.schedule import VP
from duhamel.rows.noise import drawn

data = mixture(VP(), [0.4, 0.6], [[-1.0, 0.5], [1.0, 0.0]], 0.1)
key, x = jax.random.key(3), np.zeros((8, 2))
least = {"restart": 8, "f-pndm": 6}
plans = [build(name, VP(), least.get(name, 5), short=True) for name in sys.argv[1:] or SAMPLERS]
plans = [plan for plan in plans if plan.draws] + [build("unipc", VP(), 5)]
assert len(jax.devices()) == 4
for n in (2, 4):
    mesh = jax.make_mesh((n,), ("lanes",), devices=jax.devices()[:n])
    spread = NamedSharding(mesh, PartitionSpec("lanes"))
    for plan in plans if n == 4 else plans[:1]:
        one = sample(plan, data.denoiser, (8, 2), key)
        many = sample(plan, data.denoiser, (8, 2), key, sharding=spread)
        assert len(many.sharding.device_set) == n, plan.name
        assert np.max(np.abs(one - many)) < 1e-5 * np.max(np.abs(one)), plan.name
    keys = sample_keys(key, 8, stream=1)
    for plan in plans[:2]:
        noise = jax.jit(lambda keys, x, plan=plan: drawn(plan, x, keys))
        one, many = noise(keys, x), noise(*jax.device_put((keys, x), spread))
        for z in plan.draws:
            assert len(many[z].sharding.device_set) == n
            np.testing.assert_array_equal(one[z], many[z])
print(len(plans), "plans")
"""


@pytest.mark.parametrize("names", [["ancestral", "restart"], pytest.param([], marks=pytest.mark.slow)], ids=len)
def test_samples_do_not_depend_on_the_devices(names):
    """Every plan that draws, on one device and spread over four: the same noise bit for bit, the same samples."""
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    env = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "true"}
    done = subprocess.run([sys.executable, "-c", DEVICES, *names], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "plans" in done.stdout
