"""Stochastic plans: conventions of strength, fresh noise, third orders with and without their faults, two models."""

import numpy as np
import pytest

from duhamel.diffusion.plans.as_shipped import sde_dpmpp_3m_as_shipped
from duhamel.diffusion.plans.multistep import dpmpp_2m, dpmpp_3m, multistep
from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.plans.renoise import consistency, rddm
from duhamel.diffusion.plans.singlestep import heun, sde_dpmpp_2s
from duhamel.diffusion.plans.stochasticity import KINDS, convert_strength, fresh_share
from duhamel.diffusion.schedule import EDM, VP, Flow
from duhamel.rows.canonical import distance
from duhamel.rows.checks import noise_variance
from duhamel.rows.host import march

SCHEDULES = [VP(), EDM(), Flow()]
Q = np.array([0.02, 0.3, 0.9, 0.999])


@pytest.mark.parametrize("kind", KINDS)
def test_conventions_meet_at_none_and_at_the_ancestral_step(kind):
    np.testing.assert_array_equal(fresh_share(kind, 0.0, Q), 0.0)
    full = 1 / Q - 1 if kind == "churn" else 1.0
    np.testing.assert_allclose(fresh_share(kind, full, Q), 1 - Q**2, rtol=1e-12)
    for other in KINDS:
        back = convert_strength(convert_strength(0.4, kind, other, 0.5), other, kind, 0.5)
        np.testing.assert_allclose(back, 0.4, rtol=1e-13)
    np.testing.assert_allclose(convert_strength(0.49, "k-sde", "tau", Q), 0.7, rtol=1e-12)


def test_three_things_called_eta_differ_between():
    """At eta = 1/2 and q = 1/e: a quarter of the ancestral variance, half of it, and what exp(-h) leaves."""
    shares = [float(fresh_share(kind, 0.5, np.exp(-1.0))) for kind in ("ddim", "variance", "k-sde")]
    full = 1 - np.exp(-2.0)
    np.testing.assert_allclose(shares, [full / 4, full / 2, 1 - np.exp(-1.0)], rtol=1e-12)


def drawn_share(plan, schedule):
    """Fresh variance at the end of the first step of a plan, over sigma^2, with D = 0."""
    z = iter([np.ones(1)] + [np.zeros(1)] * 50)
    _, first, *_ = march(plan, lambda t, x: x / schedule.sigma(t) if plan.prediction == "noise" else 0 * x,
                         {"x": np.zeros(1)}, draw=lambda n, d: next(z))  # fmt: skip
    return float(first["x"][0] / schedule.sigma(plan.t[1])) ** 2


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_plans_draw_the_share_that_is_said(schedule):
    ts = build("ddim", schedule, 6).t
    q = schedule.rho(ts[1]) / schedule.rho(ts[0])
    for plan, kind, strength in (
        (build("ddim", schedule, ts=ts, eta=0.6), "ddim", 0.6),
        (dpmpp_2m(schedule, ts, tau=0.6), "tau", 0.6),
        (build("sa-solver", schedule, ts=ts, tau=0.6), "tau", 0.6),
        (build("er-sde", schedule, ts=ts, scale=0.6), "tau", 0.6),
        (heun(schedule, np.append(ts[1:], schedule.t_zero), churn=1.2), "churn", 0.2),
    ):
        np.testing.assert_allclose(drawn_share(plan, schedule), fresh_share(kind, strength, q), rtol=1e-9)


def test_a_tau_for_every_step_repeats_ddims_noise():
    """Of order 1 the whole step is DDIM's, for the share decides it."""
    schedule, ts = VP(), build("ddim", VP(), 8).t
    tau = convert_strength(0.5, "ddim", "tau", schedule.rho(ts[1:]) / schedule.rho(ts[:-1]))
    plan = multistep("ddim by tau", schedule, ts, order=1, tau=tau)
    assert distance(plan, build("ddim", schedule, ts=ts, eta=0.5), schedule.alpha, schedule.sigma) < 1e-10


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_sde_siblings(schedule):
    ts = build("ddim", schedule, 7).t
    assert distance(sde_dpmpp_2s(schedule, ts, tau=1e-9), build("dpmpp-2s", schedule, ts=ts)) == np.inf  # it draws
    assert distance(sde_dpmpp_2s(schedule, ts, tau=0.0), build("dpmpp-2s", schedule, ts=ts)) < 1e-12
    for tau in (0.0, 0.7, 1.0):
        for plan in (sde_dpmpp_2s(schedule, ts, tau=tau), dpmpp_3m(schedule, ts, tau=tau)):
            assert noise_variance(plan, schedule.alpha, schedule.sigma) < 1e-11
    x, D = np.linspace(-1, 1, 5), lambda t, x: np.tanh(x + t)
    plans = sde_dpmpp_2s(schedule, ts, tau=1e-9), build("dpmpp-2s", schedule, ts=ts)
    ends = [list(march(plan, D, {"x": x}, draw=lambda n, d: np.ones(5)))[-1]["x"] for plan in plans]
    np.testing.assert_allclose(*ends, atol=1e-7)


def test_the_sign_that_diffusers_has_is_wrong():
    """D quadratic in lambda is integrated exactly by ours; as shipped its weight tends to -1, not 0."""
    schedule, wrong = VP(), []
    for h in (0.04, 0.02):
        lam = 1.0 + h * np.arange(6)
        ts = np.asarray(schedule.t_of_lam(lam))
        D = lambda t, x, end=lam[4]: (schedule.lam(t) - end) ** 2 + 0 * x  # noqa: E731
        last = []
        for plan in (dpmpp_3m(schedule, ts, tau=1.0), sde_dpmpp_3m_as_shipped(schedule, ts)):
            *_, before, end = march(plan, D, {"x": np.zeros(1)}, draw=lambda n, d: np.zeros(1))
            shrink = schedule.alpha(ts[5]) / schedule.alpha(ts[4]) * np.exp(-2 * h)
            last.append(float((end["x"] - shrink * before["x"])[0] / schedule.alpha(ts[5])) / h**2)
        exact = ((2 * h) ** 2 - 2 * (2 * h) + 2 - 2 * np.exp(-2 * h)) / 4 / h**2  # int_0^2h e^(v - 2h) v^2/4 dv
        np.testing.assert_allclose(last[0], exact, rtol=1e-6)
        wrong.append(last[1])
    assert all(abs(w + 1) < 0.1 for w in wrong), wrong


def test_consistency_sampling_keeps_a_law_that_its_function_knows():
    """N(0, c) has the consistency function x sqrt((alpha_e^2 c + sigma_e^2)/(alpha^2 c + sigma^2))."""
    c = 0.7
    for schedule in SCHEDULES:
        for at in (None, schedule.t_min):
            zero = schedule.t_zero if at is None else at
            ts = np.append(build("ddim", schedule, 3, t_min=max(0.1, 2 * schedule.t_min)).t, zero)
            std = lambda t, s=schedule: np.sqrt(s.alpha(t) ** 2 * c + s.sigma(t) ** 2)  # noqa: E731
            f = lambda t, x, e=zero, std=std: x * std(e) / std(t)  # noqa: E731
            units = np.eye(5)
            *_, last = march(consistency(schedule, ts, at=at), f, {"x": std(ts[0]) * units[0]},
                             draw=lambda n, d, units=units: units[n + 1])  # fmt: skip
            np.testing.assert_allclose(np.sqrt(np.sum(last["x"] ** 2)), std(zero), rtol=1e-9)


def test_rddm_is_ddim_when_there_is_no_input():
    schedule = VP()
    ts = build("ddim", schedule, 9, terminal=True).t
    a, b = 1 - schedule.alpha(ts), schedule.sigma(ts)
    x, D = np.linspace(-2, 2, 7), lambda t, x: np.tanh(x * (1 + t))
    eps = lambda t, x: (x - schedule.alpha(t) * D(t, x)) / schedule.sigma(t)  # noqa: E731
    z = np.random.default_rng(0).normal(size=(9, 7))
    for eta in (0.0, 1.0):
        draw = {"draw": lambda n, d: z[n]}
        *_, ours = march(rddm(a, b, ts, eta=eta), (lambda t, x: -D(t, x), eps), {"x": x}, **draw)
        if eta == 0:
            *_, theirs = march(build("ddim", schedule, ts=ts), D, {"x": x})
            np.testing.assert_allclose(ours["x"], theirs["x"], rtol=1e-11)
        assert np.all(np.isfinite(ours["x"]))


def test_rddm_keeps_residual_and_noise_on_their_way():
    """With the true residual and noise as models every state is x_0 + a R + b eps, whatever the schedules."""
    ts = np.linspace(1, 0, 6)
    x0, R, eps = np.array([0.3]), np.array([-1.2]), np.array([0.8])
    for a, b in ((ts, ts**2), (np.sqrt(ts), 0.1 * ts)):
        states = march(rddm(a, b, ts), (lambda t, x: R, lambda t, x: eps), {"x": x0 + a[0] * R + b[0] * eps})
        for n, state in enumerate(states):
            np.testing.assert_allclose(state["x"], x0 + a[n] * R + b[n] * eps, atol=1e-14)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (lambda: fresh_share("eta", 0.5, 0.5), "known: tau"),
        (lambda: fresh_share("ddim", 0.5, 1.5), "between 0 and 1"),
        (lambda: fresh_share("ddim", 5.0, 0.5), "share"),
        (lambda: sde_dpmpp_2s(VP(), [1.0, 0.5], tau=-1.0), "tau"),
        (lambda: consistency(VP(), [1.0, 0.1], at=0.5), "noisier"),
        (lambda: rddm([1, 0.5], [1, 0], [1, 0.5, 0]), "shapes"),
        (lambda: rddm([1, 0.5, 0], [1, 0.5, 0], [0, 0.5, 1]), "must fall"),
        (lambda: rddm([1, 0.5, 0], [1, 0.5, 0], [1, 0.5, 0], eta=2.0), "eta = 2.0"),
    ],
)
def test_bad_input_is_one_sentence(bad, words):
    with pytest.raises(ValueError, match=words):
        bad()
