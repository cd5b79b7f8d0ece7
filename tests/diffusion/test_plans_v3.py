"""DPM-Solver-v3: which samplers it becomes, its order for any statistics, and statistics that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from duhamel.diffusion.compare import on_host
from duhamel.diffusion.exact import gaussian, gaussian_flow
from duhamel.diffusion.mixture1d import Mixture1D
from duhamel.diffusion.plans.dpm_v3 import Statistics, dpm_solver_v3
from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.schedule import EDM, VP, Cosine
from duhamel.diffusion.statistics import model_statistics
from duhamel.rows.canonical import canonical, distance
from duhamel.rows.checks import order
from duhamel.rows.host import asked, march
from duhamel.rows.plan import Plan

W, M, S = np.array([0.3, 0.5, 0.2]), np.array([-2.0, 0.5, 1.5]), np.array([0.5, 0.6, 0.4])
LOUD = VP(beta_max=40.0)


def of(schedule, ts, l, s, b):
    return Statistics.constant(float(schedule.lam(ts[0])), float(schedule.lam(ts[-1])), l, s, b)


def wavy(low, high, element=()):
    """Statistics that leave (1, 0, 0), where noise rules, for something with no meaning at all."""
    lam = np.linspace(low, high, 400).reshape(-1, *(1,) * len(element))
    w = np.ones(element) / (1 + np.exp(-2 * (lam + 4)))
    l, s, b = 1 - w * (0.5 - 0.3 * np.sin(lam)), 0.4 * w * np.cos(1.3 * lam), w * (0.5 + 0.8 * np.sin(0.7 * lam))
    return Statistics(lam.ravel(), l, s, b)


def denoiser(t, x):
    """Of the mixture in one dimension, by Bayes's rule in NumPy."""
    alpha, sigma = LOUD.alpha(t), LOUD.sigma(t)
    v, residual = (alpha * S) ** 2 + sigma**2, x[:, None] - alpha * M
    joint = W / np.sqrt(v) * np.exp(-0.5 * residual**2 / v)
    return np.sum(joint * (M + alpha * S**2 / v * residual), axis=1) / np.sum(joint, axis=1)


@pytest.mark.parametrize("schedule", [VP(), EDM(), Cosine()], ids=str)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_constant_statistics_are_samplers_we_know(schedule, k):
    base = build("unipc", schedule, 7, order=k, variant="exact")
    assert distance(dpm_solver_v3(schedule, base.t, k), base) < 1e-12
    alone = build("unip", schedule, 7, order=k, variant="exact", lower_final=True)
    assert distance(dpm_solver_v3(schedule, base.t, k, corrector=False, lower_final=True), alone) < 1e-12
    noise = build("unipc", schedule, 7, order=k, variant="exact", prediction="noise")
    plan = dpm_solver_v3(schedule, base.t, k, statistics=of(schedule, base.t, 0.0, -1.0, 0.0))
    assert distance(plan, noise, schedule.alpha, schedule.sigma) < 1e-11


def test_a_last_step_to_sigma_zero_is_the_data_the_state_says():
    """D again from f and the corrected state: with l = 1 the model's own word."""
    ts = build("ddim", VP(), 6, terminal=True).t
    assert distance(dpm_solver_v3(VP(), ts), build("unipc", VP(), ts=ts, variant="exact")) < 1e-12
    x, D = np.linspace(-2.0, 2.0, 5), lambda t, x: np.tanh(x)
    given = Statistics.constant(float(VP().lam(ts[0])), float(VP().lam(ts[-2])), 0.4, 0.2, 0.1)
    *_, before, end = march(dpm_solver_v3(VP(), ts, 2, statistics=given, corrector=False), D, {"x": x})
    np.testing.assert_allclose(end["x"], D(0, before["x"]), rtol=1e-12)


@pytest.mark.parametrize(
    ("k", "options", "claim"), [(2, {"corrector": False}, 2), (2, {}, 3), (3, {}, 4), (3, {"pseudo": True}, 2)]
)
def test_the_order_whatever_the_statistics(k, options, claim):
    """Against the quantile map; b and its column of ones take part. Nested differences cost order, as documented."""
    end = float(LOUD.t_of_rho(0.05))
    data = Mixture1D(LOUD, W, M, S**2)
    x = data.quantile((np.arange(50) + 0.5) / 50, LOUD.t_max)
    given = wavy(LOUD.lam(LOUD.t_max), LOUD.lam(end))
    plan = lambda n: dpm_solver_v3(  # noqa: E731
        LOUD, build("ddim", LOUD, n, grid="lam", t_min=end).t, k, statistics=given, **options
    )
    steps = (160, 320) if claim > 2 else (320, 640)
    found = order(plan, denoiser, x, data.quantile_map(x, LOUD.t_max, end), steps)
    assert abs(found[-1] - claim) < 0.2, found


def test_one_number_for_each_element():
    """Two elements with statistics of their own are two plans side by side."""
    ts = build("ddim", LOUD, 6, grid="lam", t_min=float(LOUD.t_of_rho(0.05))).t
    one = wavy(LOUD.lam(ts[0]), LOUD.lam(ts[-1]))
    two = Statistics(one.lam, *(np.stack([a, 0.5 * a], axis=1) for a in (one.l, one.s, one.b)))
    half = Statistics(one.lam, 0.5 * one.l, 0.5 * one.s, 0.5 * one.b)
    x, D = np.linspace(-2.0, 2.0, 5), lambda t, x: np.tanh(x) / (1 + t)
    ends = [
        list(march(dpm_solver_v3(LOUD, ts, 2, statistics=given), D, {"x": start}))[-1]["x"]
        for given, start in ((one, x), (half, x), (two, np.stack([x, x], axis=1)))
    ]
    np.testing.assert_allclose(ends[2], np.stack(ends[:2], axis=1), rtol=1e-12)


def test_the_column_of_ones_is_there_by_itself(tmp_path):
    """Every executor, the canonical form, a saved file: a bias needs no constant to be passed."""
    torch = pytest.importorskip("torch")
    ts = build("ddim", LOUD, 5, grid="lam", t_min=float(LOUD.t_of_rho(0.05))).t
    plan = dpm_solver_v3(LOUD, ts, 3, statistics=wavy(LOUD.lam(ts[0]), LOUD.lam(ts[-1]), (3,)))
    again = Plan.load(plan.save(tmp_path / "v3.npz"))
    assert again == plan and again.consts == ("1",)
    x = np.random.default_rng(0).standard_normal((4, 3))
    *_, end = march(plan, lambda t, x: np.tanh(x), {"x": x})
    np.testing.assert_allclose(plan.run(lambda t, x: jnp.tanh(x), x), end["x"], rtol=1e-12)
    np.testing.assert_allclose(plan.run_torch(lambda t, x: torch.tanh(x), torch.tensor(x)), end["x"], rtol=1e-12)
    asking, value = asked(plan, {"x": x}), None
    with pytest.raises(StopIteration) as done:
        while True:
            value = np.tanh(asking.send(value).z)
    np.testing.assert_array_equal(done.value.value["x"], end["x"])
    form = canonical(plan)
    assert form.basis[-1] == "1" and np.max(np.abs(form.coefficient(None, "1"))) > 1e-3


@pytest.mark.parametrize("schedule", [VP(), EDM()], ids=str)
def test_statistics_of_one_gaussian_make_a_single_step_exact(schedule):
    """l = sigma^2/(alpha^2 v + sigma^2) by hand; f = -l mean then, one number, and one evaluation says all."""
    mean, v = np.array([0.7, -1.2]), np.array([0.3, 1.5])
    data = gaussian(schedule, mean, v)
    found = model_statistics(data.denoiser, schedule, data.sample(jax.random.key(0), 100), jax.random.key(1))
    t = schedule.t_of_lam(found.lam)
    alpha, sigma = np.broadcast_to(schedule.alpha(t), t.shape)[:, None], schedule.sigma(t)[:, None]
    np.testing.assert_allclose(found.l, sigma**2 / (alpha**2 * v + sigma**2), atol=1e-9)
    assert not found.s.any()
    x = schedule.sigma(schedule.t_max) * np.random.default_rng(0).standard_normal((50, 2))
    exact = gaussian_flow(data, x, schedule.t_max, schedule.t_min)
    for steps in (1, 3):
        plan = dpm_solver_v3(schedule, build("ddim", schedule, steps).t, 1, statistics=found, corrector=False)
        *_, end = march(plan, on_host(data.denoiser, schedule, "data"), {"x": x})
        assert np.max(np.abs(end["x"] - exact)) < 1e-4


def test_statistics_make_f_grow_as_they_say():
    """s and b are the regression of f' on f: f' by differences along the flow, for a mixture."""
    schedule = VP()
    data = Mixture1D(schedule, W, M, S**2)
    samples = data.sample(jax.random.key(0), 400)[:, None]
    found = model_statistics(data.denoiser, schedule, samples, jax.random.key(1), nodes=60)
    n, d = 35, 1e-4
    z = np.asarray(jax.random.normal(jax.random.split(jax.random.key(1))[0], samples.shape))
    y = np.asarray(samples) + np.exp(-found.lam[n]) * z
    l = CubicSpline(found.lam, found.l)

    def D(lam, y):
        t = schedule.t_of_lam(lam)
        return np.asarray(data.denoiser(t, schedule.alpha(t) * y))

    f = lambda lam, y: (1 - l(lam)) * y - D(lam, y)  # noqa: E731
    moved = [y + e * (D(found.lam[n], y) - y) for e in (d, -d)]
    slope = (f(found.lam[n] + d, moved[0]) - f(found.lam[n] - d, moved[1])) / (2 * d)
    here = f(found.lam[n], y)
    fitted = np.polyfit(here.ravel(), slope.ravel(), 1)
    np.testing.assert_allclose([found.s[n, 0], found.b[n, 0]], fitted, rtol=1e-5, atol=1e-7)


def test_files(tmp_path):
    given = wavy(-5.0, 5.0, (3,))
    again = Statistics.load(given.save(tmp_path / "ems.npz"))
    for name in ("lam", "l", "s", "b"):
        np.testing.assert_array_equal(getattr(again, name), getattr(given, name))
    np.savez(tmp_path / "l.npz", l=given.l)
    np.savez(tmp_path / "sb.npz", s=given.s, b=given.b)
    published = Statistics.load(tmp_path, (-5.0, 5.0))
    np.testing.assert_allclose(published.lam, given.lam, atol=1e-12)
    np.testing.assert_array_equal(published.s, given.s)
    with pytest.raises(ValueError, match=r"holds no model statistics .*pass lam="):
        Statistics.load(tmp_path)
    with pytest.raises(ValueError, match="holds no model statistics"):
        Statistics.load(tmp_path / "l.npz")


def test_bad_input_gets_a_sentence():
    ts = build("ddim", VP(), 5).t
    with pytest.raises(ValueError, match="cover lam from -1 to 1, the grid goes from"):
        dpm_solver_v3(VP(), ts, statistics=Statistics.constant(-1.0, 1.0))
    with pytest.raises(ValueError, match="order = 5; dpm_solver_v3 knows"):
        dpm_solver_v3(VP(), ts, 5)
    with pytest.raises(ValueError, match="in rising order"):
        Statistics.constant(1.0, -1.0)
    with pytest.raises(ValueError, match="n samples, 1000 or more"):
        model_statistics(lambda t, x: x, VP(), np.zeros(1), jax.random.key(0))
