"""Plans with fitted numbers: numbers that add nothing change nothing, known ones are found again."""

import numpy as np
import pytest

from duhamel.diffusion.plans.adjusted import aligned, distilled, improved, shifted
from duhamel.diffusion.plans.grid import refined
from duhamel.diffusion.plans.multistep import multistep
from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.schedule import EDM, VP
from duhamel.rows.canonical import distance
from duhamel.rows.greedy import along, fit_steps, from_here
from duhamel.rows.host import advance, march
from duhamel.rows.plan import Plan

M, S = np.array([-1.0, 0.4, 1.5]), np.array([0.2, 0.5, 0.3])
BASES = ["ddim", "ipndm", "deis-tab", "dpm-solver", "heun", "unipc", "dpmpp-2m", "s-pndm"]


def noise(schedule):
    """Of three Gaussians of equal weight in one dimension, in NumPy."""

    def eps(t, x):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        v, residual = (alpha * S) ** 2 + sigma**2, x[:, None] - alpha * M
        joint = np.exp(-0.5 * residual**2 / v) / np.sqrt(v)
        return sigma * np.sum(joint * residual / v, axis=1) / np.sum(joint, axis=1)

    return eps


def starts(schedule, n, seed):
    return schedule.sigma(schedule.t_max) * np.random.default_rng(seed).standard_normal(n)


def exact(schedule, ts, x):
    plan = build("deis-rho-rk4", schedule, ts=refined(schedule, ts, 60))
    return np.stack([slots["x"] for slots in march(plan, noise(schedule), {"x": x})][::60])


def ddim(schedule, n, grid="quadratic"):
    return multistep("ddim", schedule, build("ddim", schedule, n, grid=grid).t, order=1, prediction="noise")


@pytest.mark.parametrize("name", BASES)
def test_numbers_that_add_nothing_change_nothing(name):
    schedule = VP()
    plan = build(name, schedule, 6, grid="lam", terminal=False)
    calls = max(p.calls for p in plan.patterns)
    same = [distilled(plan, np.zeros(plan.nfe)), aligned(plan, np.concatenate([s.tau.ravel() for s in plan.segments]))]
    same += [shifted(plan, schedule, np.zeros(plan.nfe)), improved(plan, np.zeros((6, calls)))]
    same += [improved(plan, np.zeros((6, 2 * calls)), schedule)]
    for other in same:
        assert other.nfe == plan.nfe and other.copies == plan.copies
        assert distance(other, plan) < 1e-14


def test_on_ddim_a_half_is_adams():
    schedule = VP()
    base, adams = ddim(schedule, 7), build("ipndm", schedule, 7, grid="quadratic", order=2)
    lam = np.array([0.0, *6 * [0.5]])
    assert distance(distilled(base, lam), adams) < 1e-12
    gain = schedule.alpha(base.t[1:]) * np.diff(schedule.rho(base.t))
    assert distance(improved(base, (lam * gain)[:, None]), adams) < 1e-12


def test_data_and_noise_differences_as_the_paper_writes_them():
    schedule = VP()
    base, eps = build("ddim", schedule, 5, grid="lam"), noise(schedule)
    phi = np.concatenate([np.zeros((1, 2)), 0.1 * np.random.default_rng(0).standard_normal((4, 2))])
    D = lambda t, x: (x - schedule.sigma(t) * eps(t, x)) / schedule.alpha(t)  # noqa: E731
    x = starts(schedule, 4, 0)
    *_, end = march(improved(base, phi, schedule), D, {"x": x})
    before = 0.0, 0.0
    for n in range(5):
        s, t = base.t[n : n + 2]
        now = D(s, x), eps(s, x)
        x = schedule.alpha(t) * now[0] + schedule.sigma(t) * now[1]
        x = x + phi[n, 0] * (now[0] - before[0]) + phi[n, 1] * (now[1] - before[1])
        before = now
    np.testing.assert_allclose(end["x"], x, rtol=1e-12)


def test_the_last_euler_step_of_heun_takes_part():
    plan = build("heun", EDM(), 5, terminal=True)
    assert [s.pattern.calls for s in plan.segments] == [2, 1]
    x, eps = starts(EDM(), 8, 0), noise(EDM())
    lam, phi = np.zeros(9), np.zeros((5, 2))
    ends = [list(march(p, eps, {"x": x}))[-1]["x"] for p in (plan, distilled(plan, lam), improved(plan, phi))]
    np.testing.assert_allclose(ends[1:], [ends[0]] * 2, rtol=1e-13)
    lam[8] = phi[4, 0] = 0.3  # the last call has one before it, in the step before
    for changed in (distilled(plan, lam), improved(plan, phi)):
        *_, last = march(changed, eps, {"x": x})
        assert np.max(np.abs(last["x"] - ends[0])) > 1e-6


def test_advance_is_one_step_of_march():
    plan, x, eps = build("f-pndm", VP(), 5), starts(VP(), 4, 0), noise(VP())
    states = list(march(plan, eps, {"x": x}))
    for n in range(plan.steps):
        np.testing.assert_array_equal(advance(plan, n, eps, states[n])["x"], states[n + 1]["x"])


def test_greedy_finds_the_numbers_of_its_teacher():
    """Linear in lambda, so one least-squares solution a step, and no more calls than a run makes."""
    schedule = VP()
    base, x, held = ddim(schedule, 6), starts(schedule, 16, 1), starts(schedule, 50, 2)
    lam = np.array([0.0, 0.7, 0.2, -0.1, 0.6, 0.4])
    family = lambda theta: distilled(base, theta)  # noqa: E731
    states = np.stack([s["x"] for s in march(family(lam), noise(schedule), {"x": x})])
    *_, end = march(family(lam), noise(schedule), {"x": held})
    free = np.arange(6)[:, None] > 0
    found = fit_steps(family, np.zeros((6, 1)), noise(schedule), x, along(states), (held, end["x"]), free=free)
    np.testing.assert_allclose(found.theta[:, 0], lam, atol=1e-6)
    assert found.calls == 6 and found.after < 1e-6 < found.before
    assert found.plan.info["fitted"]["noises"] == 16


def test_greedy_finds_times_which_are_not_linear():
    schedule = VP()
    base, x = ddim(schedule, 5), starts(schedule, 32, 1)
    times = base.segments[0].tau[:, 0] * np.array([1.0, 0.95, 0.9, 0.8, 0.7])
    family = lambda theta: shifted(base, schedule, theta)  # noqa: E731
    states = np.stack([s["x"] for s in march(aligned(base, times), noise(schedule), {"x": x})])
    found = fit_steps(family, np.zeros((5, 1)), noise(schedule), x, along(states), (x, states[-1]))
    np.testing.assert_allclose(found.plan.segments[0].tau[:, 0], times, rtol=1e-6)


@pytest.mark.parametrize("grid", ["lam", "quadratic"])
@pytest.mark.parametrize("steps", [5, 10])
def test_distilled_ddim_errs_less_on_noises_it_has_not_seen(grid, steps):
    schedule = VP()
    base, x, held = ddim(schedule, steps, grid), starts(schedule, 64, 1), starts(schedule, 500, 2)
    free = np.arange(steps)[:, None] > 0
    given = noise(schedule), x, along(exact(schedule, base.t, x)), (held, exact(schedule, base.t, held)[-1])
    found = fit_steps(lambda theta: distilled(base, theta), np.zeros((steps, 1)), *given, free=free)
    assert found.better and found.after < 0.5 * found.before


def test_a_teacher_that_starts_where_the_pupil_stands():
    schedule = VP()
    base, x, held = ddim(schedule, 8), starts(schedule, 64, 1), starts(schedule, 500, 2)
    local = from_here(lambda n: build("ddim", schedule, ts=refined(schedule, base.t[n : n + 2], 10)), _data(schedule))
    end = exact(schedule, base.t, held)[-1]
    free = np.arange(8)[:, None] > 0
    family = lambda phi: improved(base, phi, schedule)  # noqa: E731
    found = fit_steps(family, np.zeros((8, 2)), noise(schedule), x, local, (held, end), free=free)
    assert found.after < 0.6 * found.before


def _data(schedule):
    eps = noise(schedule)
    return lambda t, x: (x - schedule.sigma(t) * eps(t, x)) / schedule.alpha(t)


def test_greedy_is_never_worse_than_its_start():
    """The held-out truth is what the start does: nothing can be better, and the start comes back."""
    schedule = VP()
    base, x = ddim(schedule, 4), starts(schedule, 8, 1)
    *_, end = march(base, noise(schedule), {"x": x})
    family = lambda theta: distilled(base, theta)  # noqa: E731
    wild = along(np.zeros((5, 8)))
    found = fit_steps(family, np.zeros((4, 1)), noise(schedule), x, wild, (x, end["x"]), free=np.arange(4)[:, None] > 0)
    assert not found.better and not found.theta.any()
    assert distance(found.plan, base) == 0 and "fitted" not in found.plan.info


def test_a_fitted_plan_is_an_ordinary_plan(tmp_path):
    """Saved, loaded, and run with JAX."""
    import jax.numpy as jnp

    plan = distilled(build("heun", EDM(), 4, terminal=False), np.array([0.0, *7 * [0.2]]))
    again = Plan.load(plan.save(tmp_path / "plan.npz"))
    x = np.linspace(-3.0, 3.0, 5)
    model = lambda t, x: jnp.tanh(x) / (1 + t)  # noqa: E731
    *_, end = march(again, lambda t, x: np.tanh(x) / (1 + t), {"x": x})
    assert again == plan
    np.testing.assert_allclose(again.run(model, x), end["x"], rtol=1e-12)


def test_bad_numbers_get_a_sentence():
    base = ddim(VP(), 4)
    with pytest.raises(ValueError, match="lam holds 3 numbers; plan 'ddim' calls its model 4 times"):
        distilled(base, np.zeros(3))
    with pytest.raises(ValueError, match="the first call has no value before it"):
        distilled(base, np.ones(4))
    with pytest.raises(ValueError, match=r"phi has shape \(4, 2\); give \(4, 1\)"):
        improved(base, np.zeros((4, 2)))
    with pytest.raises(ValueError, match="one row for each of the plan's 4 steps"):
        fit_steps(lambda theta: base, np.zeros(4), noise(VP()), np.zeros(1), along([]), (np.zeros(1), np.zeros(1)))


def test_a_refined_grid_keeps_its_times():
    plan = build("heun", EDM(), 4)
    fine = refined(EDM(), plan.t, 5)
    np.testing.assert_array_equal(fine[::5], plan.t)
    assert np.all(np.diff(fine) < 0) and fine[-1] == 0
