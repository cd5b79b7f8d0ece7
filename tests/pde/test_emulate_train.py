"""Emulators: scales, windows, strategies against their definitions, and training that finds a known operator."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.nn.fno import FNO
from duhamel.nn.mlp import MLP
from duhamel.nn.spectral import SpectralConv
from duhamel.pde.data.gaussian import TruncatedFourier
from duhamel.pde.data.stream import Stream
from duhamel.pde.emulate.cost import Cost, Run, coarse_runs, measured_run
from duhamel.pde.emulate.model import Emulator, Scaling, measured, measured_change, rollout
from duhamel.pde.emulate.strategy import STRATEGIES, Strategy, l2, sobolev
from duhamel.pde.emulate.train import Shape, forecast, train
from duhamel.pde.emulate.windows import Pairs, Window, Windows
from duhamel.pde.grid import periodic
from duhamel.pde.reaction import Heat

UNIT = Scaling(np.zeros((1, 1)), np.ones((1, 1)))


class Times(eqx.Module):
    """u -> factor * u, bundled: factor, factor^2, ... of the last channel."""

    factor: jax.Array
    bundle: int = eqx.field(static=True, default=1)

    def __call__(self, u):
        return jnp.concatenate([self.factor ** (j + 1) * u[-1:] for j in range(self.bundle)])


def times(factor, **more):
    bundle = more.get("bundle", 1)
    return Emulator(Times(jnp.asarray(factor), bundle), UNIT, UNIT, **more)


def powers(factor, frames, samples=3, points=8):
    """Trajectories u_t = factor^t u_0, (samples, frames, 1, points)."""
    first = np.random.default_rng(0).standard_normal((samples, 1, 1, points))
    return first * factor ** np.arange(frames)[:, None, None]


def test_scales_are_those_of_the_data_and_undo_themselves():
    u = np.random.default_rng(0).standard_normal((50, 4, 2, 9)) * [[3.0], [0.1]] + [[1.0], [-2.0]]
    scaling = measured(u)
    assert np.allclose(scaling.mean, u.mean((0, 1, 3))[None], atol=1e-6)
    assert np.allclose(scaling.std, u.std((0, 1, 3))[None], rtol=1e-6)
    z = scaling.apply(jnp.moveaxis(jnp.asarray(u), 0, 2))
    assert np.allclose(np.asarray(z).std((0, 2, 3)), 1) and np.allclose(scaling.undo(z), np.moveaxis(u, 0, 2))
    change = measured_change(u[:, :1], u[:, 1:])
    assert np.allclose(change.std, (u[:, 1:] - u[:, :1]).std((0, 3)), rtol=1e-6)
    assert np.all(measured(np.ones((2, 2, 1, 3))).std == 1)
    with pytest.raises(ValueError, match="NaN or infinite"):
        measured(np.full((1, 1, 1, 2), np.nan))


@pytest.mark.parametrize(("history", "bundle"), [(1, 1), (2, 1), (1, 3), (3, 2)])
def test_a_rollout_feeds_itself(history, bundle):
    truth = powers(0.9, history + 6)
    emulator = times(0.9, history=history, bundle=bundle)
    past = jnp.moveaxis(jnp.asarray(truth[:, :history]), 0, 2)
    frames = rollout(emulator, past, 6 // bundle)
    assert np.allclose(np.moveaxis(frames, 2, 0), truth[:, history:], rtol=1e-12)
    assert np.allclose(forecast(emulator, truth[:, :history], 5, size=2), truth[:, history:-1], rtol=1e-12)
    with pytest.raises(ValueError, match=f"reads {history} frames"):
        emulator(jnp.concatenate([past, past]))


def test_a_residual_emulator_adds_the_change():
    emulator = Emulator(
        Times(jnp.asarray(2.0)), UNIT, Scaling(np.full((1, 1), 5.0), np.full((1, 1), 0.5)), residual=True
    )
    assert np.allclose(emulator(jnp.full((1, 1, 4), 3.0)), 3 + 5 + 0.5 * 6)


def test_windows_are_stretches_and_every_start_is_seen_once_an_epoch():
    marks = (100 * np.arange(4)[:, None] + np.arange(7))[:, :, None, None].astype(float)
    windows = Windows(marks, 2, 3, 3, condition=np.arange(4.0)[:, None])
    key, seen = jax.random.key(0), []
    for step in range(4):
        batch = windows(key, step)
        assert batch.past.shape == (3, 2, 1, 1) and batch.future.shape == (3, 3, 1, 1)
        whole = np.concatenate([batch.past, batch.future], axis=1)[..., 0, 0]
        assert np.allclose(np.diff(whole), 1) and np.allclose(whole[:, 0] // 100, batch.condition[:, 0])
        seen += whole[:, 0].tolist()
    assert sorted(seen) == [100 * i + start for i in range(4) for start in range(3)]
    with pytest.raises(ValueError, match=r"7 frames, and a stretch of 5 \+ 3 does not fit"):
        Windows(marks, 5, 3, 1)
    pair = Pairs(marks[:, 0], marks[:, 1], 4)(key, 0)
    assert np.allclose(pair.future - pair.past, 1) and pair.condition is None


def loss_of(strategy, factor, window, distance=l2):
    return strategy.loss(times(factor), window, distance, jax.random.key(0))


def window_of(truth):
    return Window(jnp.asarray(truth[:, :1]), jnp.asarray(truth[:, 1:]))


def test_the_losses_are_their_closed_forms():
    """On u -> b u with truth u -> a u, call j is wrong by |b^j - a^j| / a^j, and its derivative is known as well."""
    a, b, n = 0.9, 0.8, 3
    window = window_of(powers(a, n + 1))
    ratio = b / a
    unrolled = Strategy(unroll=n)
    value, slope = jax.value_and_grad(lambda f: loss_of(unrolled, f, window))(b)
    assert value == pytest.approx(np.mean([1 - ratio**j for j in (1, 2, 3)]), rel=1e-10)
    assert slope == pytest.approx(-np.mean([j * ratio ** (j - 1) / a for j in (1, 2, 3)]), rel=1e-10)
    value, slope = jax.value_and_grad(lambda f: loss_of(Strategy(unroll=n, cut=True), f, window))(b)
    assert value == pytest.approx(np.mean([1 - ratio**j for j in (1, 2, 3)]), rel=1e-10)
    # cut: each call's own derivative only, the state before it held still
    assert slope == pytest.approx(-np.mean([ratio ** (j - 1) / a for j in (1, 2, 3)]), rel=1e-10)


def test_pushforward_compares_after_calls_without_gradient():
    a, b, pushed = 0.9, 0.8, 2
    window, strategy = window_of(powers(a, 4)), Strategy(pushforward=pushed)
    ratio, seen = b / a, {}
    both = jax.jit(jax.value_and_grad(lambda f, key: strategy.loss(times(f), window, l2, key)))
    for seed in range(20):
        value, slope = both(b, jax.random.key(seed))
        r = int(np.argmin([abs(value - (1 - ratio ** (r + 1))) for r in range(3)]))
        assert value == pytest.approx(1 - ratio ** (r + 1), rel=1e-10)
        assert slope == pytest.approx(-(ratio**r) / a, rel=1e-10)
        seen[r] = seen.get(r, 0) + 1
    assert set(seen) == {0, 1, 2}


def test_noise_is_in_units_of_the_data():
    quiet = window_of(np.full((4000, 2, 1, 1), 10.0))
    scaled = Emulator(Times(jnp.asarray(1.0)), Scaling(np.zeros((1, 1)), np.full((1, 1), 10.0)), UNIT)
    scaled = eqx.tree_at(lambda e: e.outputs, scaled, Scaling(np.zeros((1, 1)), np.full((1, 1), 10.0)))
    found = Strategy(noise=0.1).loss(scaled, quiet, lambda p, t: jnp.square(p - t), jax.random.key(1))
    assert np.sqrt(found) == pytest.approx(0.1 * 10, rel=0.05)
    for bad in ({"unroll": 0}, {"pushforward": -1}, {"noise": float("nan")}):
        with pytest.raises(ValueError, match="a strategy has unroll >= 1"):
            Strategy(**bad)


class Material(eqx.Module):
    """(u, a) -> a u: two channels in, one out."""

    def __call__(self, z):
        return z[:1] * z[1:]


def test_channels_that_are_not_given_stand_still():
    """u_{j+1} = a u_j with a material a that is read and not predicted, and the same as change u_{j+1} - u_j."""
    rng = np.random.default_rng(0)
    past = jnp.asarray(rng.uniform(0.5, 1.5, (1, 2, 3, 8)))
    u, a = past[0]
    truth = jnp.stack([a**j * u for j in (1, 2, 3)])[:, None]
    assert np.allclose(rollout(Emulator(Material(), UNIT, UNIT), past, 3), truth, rtol=1e-12)
    change = Emulator(Material(), UNIT, UNIT, residual=True)
    assert np.allclose(rollout(change, past, 2)[:, 0], jnp.stack([(1 + a) * u, (1 + a) ** 2 * u]), rtol=1e-12)
    fields = np.moveaxis(np.asarray(past), 2, 0)
    scale = measured_change(fields, 3 * fields[:, :, :1])
    assert np.allclose(scale.mean, 2 * fields[:, 0, 0].mean(), rtol=1e-6)


def test_more_channels_out_than_in_are_one_call():
    class Two(eqx.Module):
        def __call__(self, z):
            return jnp.concatenate([z, 2 * z])

    emulator, past = Emulator(Two(), UNIT, UNIT), jnp.ones((1, 1, 3, 8))
    assert rollout(emulator, past, 1).shape == (1, 2, 3, 8)
    with pytest.raises(ValueError, match=r"gives 2 channels and reads 1: .* ask for one call"):
        rollout(emulator, past, 2)


class Powers(eqx.Module):
    """u -> factor^(4 c) u: what a network that is told the lead time j/4 ought to say."""

    factor: jax.Array

    def __call__(self, u, condition):
        return self.factor ** (4 * condition[0])[:, None] * u


def test_a_lead_time_is_told_and_a_rollout_answers_all_of_them():
    a, b, strategy = 0.9, 0.8, STRATEGIES["lead-time"]
    truth = powers(a, 9, samples=5)
    emulator = Emulator(Powers(jnp.asarray(a)), UNIT, UNIT, lead=4)
    assert np.allclose(forecast(emulator, truth[:, :1], 7), truth[:, 1:8], rtol=1e-6)
    window = window_of(truth[:, :5])
    wrong = Emulator(Powers(jnp.asarray(b)), UNIT, UNIT, lead=4)
    found = jnp.stack([strategy.loss(wrong, window, l2, jax.random.key(i)) for i in range(40)])
    expected = [1 - (b / a) ** j for j in (1, 2, 3, 4)]  # 200 draws of 1..4
    assert np.mean(found) == pytest.approx(np.mean(expected), abs=3 * np.std(expected) / np.sqrt(200))
    assert strategy.loss(emulator, window, l2, jax.random.key(0)) < 1e-6
    with pytest.raises(ValueError, match="lead = 4, the emulator 1; give both the same"):
        strategy.loss(times(a), window, l2, jax.random.key(0))
    with pytest.raises(ValueError, match="learnt one call at a time"):
        Strategy(lead=2, unroll=2)


@pytest.mark.slow
def test_lead_times_are_learnt_by_a_network_that_is_conditioned():
    """Decay by 0.8 a frame from any start; a Fourier neural operator is asked for all four leads."""
    data, strategy = powers(0.8, 6, samples=64, points=16).astype(np.float32), STRATEGIES["lead-time"]
    make = lambda key: FNO(1, 1, (6,), width=12, depth=2, coordinates=False, condition=1, key=key)  # noqa: E731
    shape = Shape(measured(data), measured(data), lead=4)
    found = train(make, shape, Windows(data, 1, 4, 16), steps=500, rate=1e-2, strategy=strategy).emulators[0]
    ahead = forecast(found, data[:, :1], 5)
    errors = np.linalg.norm(ahead - data[:, 1:], axis=-1) / np.linalg.norm(data[:, 1:], axis=-1)
    assert errors.mean() < 0.05


def test_a_stream_of_fresh_solutions_is_data():
    """Heat over one interval is a spectral convolution: training on it finds exp(-k^2 t), k = 1..3, from no file."""
    grid, interval = periodic(16, 2 * np.pi), 0.3
    stream = Stream(Heat(diffusivity=0.5), grid, TruncatedFourier(cutoff=3), interval, steps=1, frames=2, batch=16)
    first = stream(jax.random.key(1), 0)
    make = lambda key: SpectralConv(1, 1, (4,), key=key)  # noqa: E731
    shape = Shape(
        Scaling(np.zeros((1, 1)), measured(first.past).std), Scaling(np.zeros((1, 1)), measured(first.past).std)
    )
    found = train(make, shape, stream, steps=400, rate=3e-2).emulators[0]
    symbol = np.asarray(found.network.weight)[1:, 0, 0]
    assert np.allclose(symbol[:, 0], np.exp(-0.5 * np.arange(1, 4) ** 2 * interval), atol=5e-3)
    assert np.allclose(symbol[:, 1], 0, atol=5e-3)


def test_the_sobolev_distance_of_one_wave_weighs_its_error():
    """Truth cos x, error e cos kx: the ratio of the H^1 norms is e sqrt((1 + k^2) / 2)."""
    grid = periodic(32, 2 * np.pi)
    (x,) = grid.coordinates()
    truth = np.cos(x)[None, None, None]
    for k in (1, 4):
        error = sobolev(grid, 1)(jnp.asarray(truth + 0.1 * np.cos(k * x)), jnp.asarray(truth))
        assert error == pytest.approx(0.1 * np.sqrt((1 + k**2) / 2), rel=1e-10)


def convolved(samples=64, points=16, seed=0):
    """u and a smooth convolution of it: an operator that a spectral convolution can be exactly."""
    rng = np.random.default_rng(seed)
    u = rng.standard_normal((samples, 1, points))
    symbol = 1 / (1 + np.arange(points // 2 + 1)) * (np.arange(points // 2 + 1) < 4)
    return u, np.fft.irfft(np.fft.rfft(u) * symbol, points)


def find_operator(**more):
    u, v = convolved()
    shape = Shape(measured(u[:, None]), measured(v[:, None]))
    make = lambda key: SpectralConv(1, 1, (4,), key=key)  # noqa: E731
    options = {"steps": 300, "rate": 3e-2, "seeds": (0, 7)} | more
    return train(make, shape, Pairs(u, v, 16), **options)


def test_training_finds_an_operator_for_every_seed_and_none_sees_another(tmp_path):
    both = find_operator(folder=tmp_path, validate=lambda e: {"test": float(np.abs(e.network.weight).max())})
    test_u, test_v = convolved(seed=1)
    for emulator in both.emulators:
        error = forecast(emulator, test_u[:, None], 1)[:, 0] - test_v
        assert np.abs(error).max() < 2e-3 * np.abs(test_v).max()
    assert not np.allclose(both.emulators[0].network.weight, both.emulators[1].network.weight, atol=1e-7)
    again = find_operator(folder=tmp_path)  # a finished run is read, not repeated
    assert np.array_equal(again.emulators[1].network.weight, both.emulators[1].network.weight)
    assert both.metrics[-1]["loss"] < 0.01 and "test" in both.metrics[-1]
    # far from the minimum, where the norm has a kink that turns rounding into another path
    for i, seed in enumerate((0, 7)):
        alone, beside = find_operator(steps=40, seeds=(seed,), order=0), find_operator(steps=40, seeds=(0, 7))
        weights = alone.emulators[0].network.weight, beside.emulators[i].network.weight
        assert np.allclose(*weights, rtol=0, atol=1e-10)
    with pytest.raises(ValueError, match="seeds is empty"):
        find_operator(seeds=())


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_strategy_learns_a_linear_step(name):
    """u -> 0.9 u on random trajectories by a pointwise network; each strategy ends near the truth."""
    data, strategy = powers(0.9, 6, samples=32).astype(np.float32), STRATEGIES[name]
    shape = Shape(measured(data), measured(data))
    if strategy.lead > 1:
        shape, make = Shape(UNIT, UNIT, lead=strategy.lead), lambda key: Powers(jax.random.uniform(key))
    else:
        make = lambda key: MLP(1, 1, width=1, depth=0, key=key)  # noqa: E731
    windows = Windows(data, 1, strategy.frames(1), 16)
    found = train(make, shape, windows, steps=400, rate=3e-2, strategy=strategy).emulators[0]
    ahead = forecast(found, data[:, :1], 5)
    assert np.abs(ahead - data[:, 1:]).max() < 0.02 * np.abs(data).max()


RUNS = (Run("coarse", 0.1, 1e-3), Run("middle", 0.01, 1e-2), Run("fine", 1e-4, 1.0))


def test_break_even_is_counted_against_the_quickest_run_of_equal_accuracy():
    cost = Cost(40.0, 60.0, Run("emulator", 0.02, 5e-3), RUNS)
    assert cost.matched.name == "middle"
    assert cost.break_even == pytest.approx(100 / 5e-3) and cost.speed_up == pytest.approx(2)
    assert "after 20,000 solves" in cost.sentence()
    slower = Cost(40.0, 60.0, Run("emulator", 0.2, 5e-3), RUNS)
    assert slower.matched.name == "coarse" and slower.break_even == np.inf and "never pays" in slower.sentence()
    better = Cost(40.0, 60.0, Run("emulator", 1e-6, 5e-3), RUNS)
    assert better.matched is None and np.isnan(better.break_even) and "finer ones" in better.sentence()


def test_runs_are_measured_and_those_that_blow_up_are_left_out():
    truth = np.ones((4, 1, 1, 8))

    def solve(points, steps):
        field = np.full(truth.shape, np.nan if steps == 0 else 1 + 0.1 / points)
        return lambda: field, lambda u: u

    runs = coarse_runs(solve, [(1, 1), (2, 1), (4, 0)], truth)
    assert {run.name: round(run.error, 3) for run in runs} == {"1 points, 1 steps": 0.1, "2 points, 1 steps": 0.05}
    assert all(run.seconds > 0 for run in runs) and runs[0].seconds <= runs[1].seconds
    assert measured_run("same", lambda: truth, truth).error == 0
