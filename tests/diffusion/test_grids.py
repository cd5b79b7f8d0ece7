"""Grids of times: their definitions, their ends, and that they fall."""

import ast
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, stats

from duhamel.diffusion.compare import on_host, three_peaks
from duhamel.diffusion.plans.grid import GRIDS, PUBLISHED, time_grid
from duhamel.diffusion.plans.multistep import multistep
from duhamel.diffusion.plans.nonuniform import bound
from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.schedule import EDM, VE, VP, Cosine, Flow
from duhamel.rows.host import march

SCHEDULES = [VP(), VE(), Cosine(), EDM(), Flow()]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("steps", [2, 5, 10, 40])
def test_times_fall_between_the_ends_that_were_asked_for(kind, schedule, steps):
    if kind == "ays-svd" and schedule.rho(schedule.t_max) < 700:
        with pytest.raises(ValueError, match="does not cover"):
            time_grid(schedule, steps, kind)
        return
    for terminal in (False, True):
        ts = time_grid(schedule, steps, kind, terminal=terminal)
        assert ts.shape == (steps + 1,) and np.all(np.diff(ts) < 0)
        if kind not in PUBLISHED:
            inner = ts[:-1] if terminal else ts
            assert ts[0] == schedule.t_max and (steps == 1 or inner[-1] == schedule.t_min)
        assert not terminal or ts[-1] == schedule.t_zero


def test_the_beta_grid_has_the_quantiles_of_its_law():
    ts = time_grid(VP(), 20, "beta")
    share = (ts - VP().t_min) / (VP().t_max - VP().t_min)
    np.testing.assert_allclose(stats.beta(0.6, 0.6).cdf(share), np.linspace(1, 0, 21), atol=1e-12)


def test_half_of_a_linear_quadratic_grid_is_linear_and_its_parabola_joins_smoothly():
    ts = time_grid(Flow(), 40, "linear-quadratic")
    gone = (ts[0] - ts) / (ts[0] - ts[-1])
    np.testing.assert_allclose(gone[:21], np.linspace(0, 0.025, 21), atol=1e-15)
    rest = np.diff(gone[20:])
    np.testing.assert_allclose(np.diff(rest, 2), 0, atol=1e-15)
    assert rest[0] - np.diff(rest)[0] / 2 == pytest.approx(0.025 / 20, rel=1e-9)


@pytest.mark.parametrize("kind", ["ays-sd15", "ays-sdxl"])
def test_ten_steps_to_zero_are_the_published_levels(kind):
    ts = time_grid(VP(), 10, kind, terminal=True)
    np.testing.assert_allclose(VP().rho(ts[:-1]), PUBLISHED[kind], rtol=1e-12)


def test_fewer_published_steps_keep_the_ends():
    """Three intervals in place of nine: every third level; in between log rho is interpolated linearly."""
    levels = np.log(PUBLISHED["ays-sd15"])
    rho = EDM().rho(time_grid(EDM(), 3, "ays-sd15"))
    np.testing.assert_allclose(np.log(rho), levels[[0, 3, 6, 9]], rtol=1e-12)


def test_arctan_is_the_best_grid_of_ddim_for_unit_gaussians():
    """DDIM shrinks such data by a product of cosines of the steps in arctan(rho): largest for equal steps."""
    schedule = EDM(0.01, 30.0)

    def miss(ts):
        rho = schedule.rho(ts)
        gains = 1 - (rho[:-1] - rho[1:]) * rho[:-1] / (1 + rho[:-1] ** 2)
        return np.log(np.sqrt((1 + rho[-1] ** 2) / (1 + rho[0] ** 2)) / np.prod(gains))

    ts = time_grid(schedule, 6, "arctan")
    found = optimize.minimize(
        lambda inner: miss(np.array([ts[0], *inner, ts[-1]])),
        ts[1:-1] * np.array([1.1, 0.95, 1.08, 0.9, 1.05]),
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-14, "maxiter": 4000},
    )
    np.testing.assert_allclose(found.x, ts[1:-1], rtol=1e-5)


def test_the_information_grid_tells_as_much_at_every_step():
    rho = VP().rho(time_grid(VP(), 7, "information"))
    told = np.diff(0.5 * np.log1p(rho**-2.0))
    np.testing.assert_allclose(told, told[0], rtol=1e-9)


def test_the_bound_of_a_table_is_that_of_the_sampler_s_own_weights():
    schedule, ts = VP(), VP().t_of_lam(np.array([-2, -1.2, -0.3, 0.1, 0.9, 1.7, 2.2]))
    plan = multistep("third", schedule, ts, order=3, lower_final=True)
    (segment,) = plan.segments
    sigma, total = schedule.sigma(ts), 0.0
    error = sigma**2 / schedule.alpha(ts)
    for n in range(6):
        w = [float(c[n]) for c in segment.coef[1:-1]][::-1]
        total += sum(abs(w[j]) * error[n - j] for j in range(3) if n >= j) * schedule.rho(ts[-1]) / sigma[n + 1]
    assert bound(schedule.lam(ts)) == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("steps", [4, 6, 10])
def test_no_grid_has_smaller_weights_than_dm_nonuniform(steps):
    """Nor a perturbed one: a local minimum, below every fixed grid; the same levels for every schedule."""
    schedule = VP()
    lam = np.asarray(schedule.lam(time_grid(schedule, steps, "dm-nonuniform")))
    least, rng = bound(lam), np.random.default_rng(0)
    for kind in ("lam", "t", "quadratic", "karras", "beta", "information"):
        assert bound(schedule.lam(time_grid(schedule, steps, kind))) > 1.1 * least
    for _ in range(20):
        moved = lam.copy()
        moved[1:-1] += 0.02 * rng.standard_normal(steps - 1) * np.minimum(np.diff(lam)[:-1], np.diff(lam)[1:])
        assert bound(moved) >= least * (1 - 1e-7)
    ends = {"t_max": schedule.rho(schedule.t_max), "t_min": schedule.rho(schedule.t_min)}
    rho = time_grid(EDM(1e-3, 200.0), steps, "dm-nonuniform", **ends)
    np.testing.assert_allclose(-np.log(rho), lam, rtol=1e-6, atol=1e-6)


def scheduler_of_diffusers(**options):
    schedulers = pytest.importorskip("diffusers.schedulers")
    return schedulers.EulerDiscreteScheduler(**options)


@pytest.mark.parametrize(("ours", "theirs"), [("karras", "karras"), ("exponential", "exponential"), ("beta", "beta")])
def test_karras_exponential_and_beta_grids_are_those_of_diffusers(ours, theirs):
    """Between the same levels, on EDM, where t is the noise level; theirs are given sigma_max and sigma_min."""
    scheduler = scheduler_of_diffusers()
    convert = getattr(scheduler, f"_convert_to_{theirs}")
    for steps in (4, 9, 24):
        expected = np.asarray(convert(np.array([14.6, 0.03]), steps + 1), float)
        found = time_grid(EDM(), steps, ours, t_max=14.6, t_min=0.03)
        np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_the_linear_quadratic_grid_is_that_of_diffusers():
    """As its Mochi pipeline has it: levels 1 - share gone, the end left out. The pipeline itself needs transformers, so
    that the function is taken out of its file."""
    package = pytest.importorskip("diffusers")
    source = (Path(package.__file__).parent / "pipelines" / "mochi" / "pipeline_mochi.py").read_text()
    wanted = [n for n in ast.parse(source).body if getattr(n, "name", "") == "linear_quadratic_schedule"]
    names = {"np": np}
    exec(compile(ast.Module(wanted, []), "mochi", "exec"), names)
    for steps in (4, 10, 64):
        levels = np.array(names["linear_quadratic_schedule"](steps, 0.025))
        ts = time_grid(Flow(), steps, "linear-quadratic")
        np.testing.assert_allclose((ts[0] - ts[:-1]) / (ts[0] - ts[-1]), 1 - levels, atol=1e-12)


def test_the_published_levels_are_those_of_diffusers():
    table = pytest.importorskip("diffusers.schedulers").AysSchedules
    for kind, name in (("ays-sd15", "StableDiffusionSigmas"), ("ays-sdxl", "StableDiffusionXLSigmas")):
        assert (*PUBLISHED[kind], 0.0) == tuple(table[name])
    assert (*PUBLISHED["ays-svd"], 0.0) == tuple(table["StableDiffusionVideoSigmas"])


@pytest.mark.parametrize(("other", "kind"), [("logsnr", "lam"), ("exponential", "lam"), ("uniform", "t")])
def test_grids_go_by_several_names(other, kind):
    np.testing.assert_array_equal(time_grid(VP(), 7, other), time_grid(VP(), 7, kind))


def test_uniform_quadratic_and_logsnr_grids_by_their_definitions():
    places = np.linspace(1, 0, 8)
    top, bottom = VP().t_max, VP().t_min
    np.testing.assert_allclose(time_grid(VP(), 7, "t"), bottom + (top - bottom) * places)
    roots = np.sqrt(bottom) + (np.sqrt(top) - np.sqrt(bottom)) * places
    np.testing.assert_allclose(time_grid(VP(), 7, "quadratic"), roots**2)
    lam = VP().lam(time_grid(VP(), 7, "lam"))
    np.testing.assert_allclose(np.diff(lam), np.ptp(lam) / 7)


@pytest.mark.parametrize("schedule", [VP(), EDM()], ids=str)
def test_small_weights_make_few_steps_of_order_three_better(schedule):
    """Five and six evaluations on the exact mixture: below every grid the paper compares with."""
    data = three_peaks(schedule)
    x = data.quantile((np.arange(300) + 0.5) / 300, schedule.t_max)
    exact = data.quantile_map(x, schedule.t_max, schedule.t_min)
    model = on_host(data.denoiser, schedule, "data")

    def error(steps, kind):
        plan = build("dpmpp-3m", schedule, steps, grid=kind, lower_final=True)
        return np.sqrt(np.mean((list(march(plan, model, {"x": x}))[-1]["x"] - exact) ** 2))

    for steps in (5, 6):
        others = [error(steps, kind) for kind in ("lam", "t", "quadratic", "karras")]
        assert error(steps, "dm-nonuniform") < 0.85 * min(others), (steps, others)
