"""Samplers beyond the classics: which coincide with which, what goes back exactly, what a state mu does to them."""

import numpy as np
import pytest

from duhamel.diffusion.mixture1d import Mixture1D
from duhamel.diffusion.plans.inversion import bdia, edict, o_belm
from duhamel.diffusion.plans.mean_reverting import mean_reverting, mr_sampler
from duhamel.diffusion.plans.multistep import multistep
from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.schedule import EDM, VE, VP, Cosine, Flow, MeanReverting
from duhamel.rows.canonical import distance
from duhamel.rows.checks import inversion_margin, noise_variance, order
from duhamel.rows.host import march

SCHEDULES = [VP(), VE(), EDM(), Cosine(), Flow(shift=3.0)]
W, M, S = np.array([0.3, 0.5, 0.2]), np.array([-2.0, 0.5, 1.5]), np.array([0.5, 0.6, 0.4])


def denoiser(schedule, mean=0.0):
    """Of a mixture around `mean`, by Bayes's rule."""

    def D(t, x):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        variance, residual = (alpha * S) ** 2 + sigma**2, (x - mean)[:, None] - alpha * M
        joint = W / np.sqrt(variance) * np.exp(-0.5 * residual**2 / variance)
        return mean + np.sum(joint * (M + alpha * S**2 / variance * residual), axis=1) / np.sum(joint, axis=1)

    return D


def noise_model(schedule, mean=0.0):
    D = denoiser(schedule, mean)
    return lambda t, x: (x - mean - schedule.alpha(t) * (D(t, x) - mean)) / schedule.sigma(t)


def score_model(schedule, mean=0.0):
    eps = noise_model(schedule, mean)
    return lambda t, x: -eps(t, x) / schedule.sigma(t)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_families_meet(schedule):
    def plan(name, **options):
        return build(name, schedule, 9, grid="lam", terminal=False, **options)

    def same(a, b):
        return distance(a, b, schedule.alpha, schedule.sigma) < 1e-11

    assert same(plan("sa-solver", order=1, corrector_order=0), plan("ddim", eta=1.0))
    assert same(plan("sa-solver", tau=0.0), plan("unipc", order=3, variant="exact"))
    assert same(plan("er-sde", order=1, scale="ode"), plan("ddim"))
    assert same(plan("er-sde", order=1, scale="sde"), plan("ddim", eta=1.0))
    assert same(plan("er-sde", order=1, scale=0.7), plan("sa-solver", order=1, corrector_order=0, tau=0.7))
    assert same(plan("hb", beta=1.0), plan("ipndm"))
    assert same(plan("ghvb", order=4, beta=1.0), plan("ipndm"))
    assert same(plan("ghvb", order=1, beta=1.0), plan("ddim"))
    assert same(plan("ge", gamma=1.0), plan("ddim"))
    assert same(plan("ge", gamma=1.5), plan("ipndm", order=2))
    assert same(plan("flow-euler"), plan("ddim"))


def test_the_published_er_sde_3_is_another_method():
    plans = [build("er-sde", VP(), 9, derivatives=d) for d in ("exact", "published")]
    assert distance(*plans, VP().alpha, VP().sigma) > 1e-3


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_order_of_flow_matching(k):
    """Models that predict eps - D, on equal steps from 0.999 down to 0.05. Its first step is Euler's: 2 at most."""
    schedule, end = Flow(), 0.05
    data = Mixture1D(schedule, W, M, S**2)
    x = data.quantile((np.arange(100) + 0.5) / 100, schedule.t_max)
    D = denoiser(schedule)
    model = lambda t, x: (x - D(t, x)) / schedule.sigma(t)  # noqa: E731
    slopes = order(
        lambda n: build("flow-ab", schedule, n, t_min=end, order=k),
        model,
        x,
        data.quantile_map(x, schedule.t_max, end),
        (80, 160, 320),
    )
    assert abs(slopes[-1] - min(k, 2)) < 0.2, slopes


@pytest.mark.parametrize(
    ("make", "margin"),
    [(bdia, 1e3), (lambda s, ts: bdia(s, ts, 0.96), 1e3), (o_belm, 1e6), (edict, 10.0)],
    ids=["bdia", "bdia 0.96", "o-belm", "edict"],
)
def test_a_round_trip_gives_the_noise_back(make, margin):
    schedule = VP()
    plan = make(schedule, build("ddim", schedule, 12, grid="quadratic").t)
    eps, x = noise_model(schedule), np.linspace(-2.0, 2.0, 9)
    slots = {"x": x, "y": x} if plan.name == "edict" else {"x": x}
    *_, end = march(plan, [eps], slots)
    *_, back = march(plan.reversed(), [eps], dict(end))
    assert np.max(np.abs(back["x"] - x)) < 1e-10
    assert 1 <= inversion_margin(plan, plan.slots) < margin


def test_a_small_gamma_cannot_be_undone_in_float32():
    plan = bdia(VP(), build("ddim", VP(), 50, grid="quadratic").t, 0.5)
    assert inversion_margin(plan, plan.slots) * np.finfo(np.float32).eps > 1


def test_restart_counts_and_keeps_the_variance():
    """The paper's evaluations on CIFAR-10: 18 steps and K = 2, 5, 10, 20 ascents from 0.06 to 0.3 with 3 points."""
    for K, nfe in ((0, 35), (2, 43), (5, 55), (10, 75), (20, 115)):
        plan = build("restart", EDM(), 18, intervals=((0.06, 0.3, K, 3),))
        assert plan.nfe == nfe and plan.copies == 3
        assert noise_variance(plan, EDM().alpha, EDM().sigma) < 1e-12
    base = build("heun", EDM(), 18)
    x, z = np.linspace(-40.0, 40.0, 5), lambda n, d: np.zeros(5)
    still = build("restart", EDM(), 18, intervals=())
    ends = [list(march(p, [noise_model(EDM())], {"x": x}, draw=z))[-1]["x"] for p in (base, still)]
    np.testing.assert_allclose(*ends, rtol=1e-13)


def test_restart_rises_from_the_time_of_the_grid_nearest_to_its_interval():
    plan = build("restart", EDM(), 18, intervals=((0.06, 0.3, 1, 3),))
    (n,) = np.flatnonzero(np.diff(plan.t) > 0)  # one rise, from where it came to
    assert abs(plan.t[n] - 0.06) == np.min(np.abs(build("heun", EDM(), 18).t - 0.06))


@pytest.mark.parametrize("tau", [0.0, 1.0])
@pytest.mark.parametrize("prediction", ["data", "noise"])
def test_a_mean_reverting_sampler_is_the_ordinary_one_around_mu(prediction, tau):
    """The model is the exact one of the shifted mixture, written for x itself."""
    if prediction == "noise" and tau:
        pytest.skip("noise is drawn for data prediction only")
    schedule, mu = MeanReverting(sigma_inf=0.5), 0.7
    ts = build("ddim", schedule, 9).t
    plain = multistep("plain", schedule, ts, order=2, prediction=prediction, tau=tau)
    x, z = np.linspace(-1.0, 1.0, 5), np.random.default_rng(0).normal(size=(9, 5))
    make = denoiser if prediction == "data" else noise_model
    draw = lambda n, d: z[n]  # noqa: E731
    *_, a = march(plain, [make(schedule)], {"x": x}, draw=draw)
    around = mr_sampler(schedule, ts, 2, prediction=prediction, tau=tau)
    *_, b = march(around, [make(schedule, mu)], {"x": x + mu}, consts={"mu": np.full(5, mu)}, draw=draw)
    np.testing.assert_allclose(b["x"], a["x"] + mu, atol=1e-13)


def test_any_sampler_goes_around_mu():
    """Momentum and correctors too: their rows that hold no state get no column."""
    schedule, mu = MeanReverting(), -0.4
    x, z = np.linspace(-1.0, 1.0, 5), np.random.default_rng(0).normal(size=(8, 5))
    draw = lambda n, d: z[n]  # noqa: E731
    for name in ("unipc", "ghvb", "heun", "o-belm", "euler-maruyama"):
        plan = build(name, schedule, 8, terminal=False)
        make = {"data": denoiser, "noise": noise_model, "score": score_model}[plan.prediction or "data"]
        *_, a = march(plan, [make(schedule)], {"x": x}, draw=draw)
        around = {"consts": {"mu": np.full(5, mu)}, "draw": draw}
        *_, b = march(mean_reverting(plan), [make(schedule, mu)], {"x": x + mu}, **around)
        np.testing.assert_allclose(b["x"], a["x"] + mu, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (lambda: build("hb", VP(), 9, beta=0.0), "beta"),
        (lambda: build("ghvb", VP(), 9, order=5), "order"),
        (lambda: build("er-sde", VP(), 9, scale="loud"), "scale"),
        (lambda: build("er-sde", VP(), 9, order=4), "order"),
        (lambda: build("sa-solver", VP(), 9, evaluate="P"), "PECE"),
        (lambda: build("bdia", VP(), 9, terminal=True), "sigma = 0"),
        (lambda: build("bdia", VP(), 9, gamma=-0.1), "gamma"),
        (lambda: build("restart", EDM(), 18, intervals=((0.3, 0.06, 2, 3),)), "rho_low"),
        (lambda: build("restart", EDM(), 1, intervals=((0.06, 0.3, 2, 3),)), "nearest"),
        (lambda: mean_reverting(build("flow-euler", Flow(), 9)), "predicts"),
        (lambda: Flow(shift=0.0), "shift"),
        (lambda: MeanReverting(sigma_inf=-1.0), "sigma_inf"),
    ],
)
def test_bad_input_is_one_sentence(bad, words):
    with pytest.raises(ValueError, match=words):
        bad()
