"""Constants of samplers and of training that no order sees: noise scales, a criterion's sign, the exponent of a step
size, what share of labels is dropped and how noise levels are drawn."""

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.diffusion.adaptive import dpm_solver_adaptive
from duhamel.diffusion.loss import EDMLoss
from duhamel.diffusion.mixture1d import Mixture1D
from duhamel.diffusion.network import PatchTransformer, Preconditioned
from duhamel.diffusion.plans.grid import time_grid
from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.plans.stochastic import predictor_corrector
from duhamel.diffusion.schedule import EDM, VE, VP
from duhamel.diffusion.statewise import Memory, Skipping
from duhamel.rows.checks import variance_errors
from duhamel.rows.host import march


@pytest.mark.parametrize("schedule", [VP(), VE()], ids=["VP", "VE"])
@pytest.mark.parametrize(("snr", "corrections"), [(0.16, 1), (0.05, 1), (0.16, 3)])
def test_langevin_at_one_level_keeps_a_gaussians_variance_to_the_square_of_its_step(schedule, snr, corrections):
    """x + d S + sqrt(2 d) z with S = -x/V makes (1 - d/V)^2 V + 2 d = V + d^2/V of V, d = 2 (snr sigma)^2."""
    plan, c = predictor_corrector(schedule, [0.7, 0.3, 0.1], snr=snr, corrections=corrections), 0.4
    V = float(schedule.alpha(0.7) ** 2 * c + schedule.sigma(0.7) ** 2)
    d = 2 * (snr * float(schedule.sigma(0.7))) ** 2
    asked = []

    def score(tau, x):
        asked.append(x)
        return -x / V

    units = np.eye(2 + corrections)  # the state and the draws of the first step, each alone
    draws = iter(units[1:])
    steps = march(plan, score, {"x": units[0] * np.sqrt(V)}, draw=lambda n, k: next(draws))
    next(steps), next(steps)
    expected = V
    for state in asked[: corrections + 1]:  # before the first correction, and after each
        np.testing.assert_allclose(np.sum(state**2), expected, rtol=1e-12)
        expected = (1 - d / V) ** 2 * expected + 2 * d


def test_the_bias_of_the_corrector_is_that_of_unadjusted_langevin():
    """Grids refined: each level is corrected ever more often, and Var -> V/(1 - d/(2 V)), V the exact variance."""
    schedule, c, level, snr, found = VP(), 0.3, 0.4, 0.3, []
    for n in (200, 400):
        plan = predictor_corrector(schedule, np.linspace(1.0, level, n + 1), snr=snr)
        found.append(variance_errors(plan, schedule.alpha, schedule.sigma, [c])[-1, 0])
    d = 2 * (snr * schedule.sigma(level)) ** 2
    V = schedule.alpha(level) ** 2 * c + schedule.sigma(level) ** 2
    limit = 2 * found[1] - found[0]  # the predictor's own error is of order 1
    np.testing.assert_allclose(limit, 1 / (1 - d / (2 * V)) - 1, rtol=0.02)


@pytest.mark.parametrize("snr", [0.05, 0.16])
def test_a_predictor_and_its_corrector_move_a_gaussians_variance_as_their_formulas_do(snr):
    schedule, c, ts = VP(), 0.3, np.linspace(1.0, 0.2, 21)
    plan = predictor_corrector(schedule, ts, snr=snr)
    exact = schedule.alpha(ts) ** 2 * c + schedule.sigma(ts) ** 2
    V, expected = exact[0], []
    for n, (s, t) in enumerate(pairwise(ts)):
        a, d = schedule.alpha(s) / schedule.alpha(t), 2 * (snr * schedule.sigma(s)) ** 2
        G2 = schedule.sigma(s) ** 2 - (a * schedule.sigma(t)) ** 2
        V = (1 - d / exact[n]) ** 2 * V + 2 * d
        V = (2 - a - G2 / exact[n]) ** 2 * V + (G2 if n < len(ts) - 2 else 0.0)  # the last step returns the mean
        expected.append(V / exact[n + 1] - 1)
    found = variance_errors(plan, schedule.alpha, schedule.sigma, [c])[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_sada_skips_where_the_path_bends_away():
    """<x - x^, y_0 - 2 y_1 + y_2> < 0 with x^ = x_s + (t - s) (5 y_0 + 6 y_1 - 3 y_2)/8, a sample at a time."""
    rng = np.random.default_rng(0)
    batch, s, t = 6, 0.6, 0.55
    y, state = rng.standard_normal((3, batch, 4)), rng.standard_normal((batch, 4))
    ahead = state + (t - s) * (5 * y[0] + 6 * y[1] - 3 * y[2]) / 8
    bend = y[0] - 2 * y[1] + y[2]
    side = np.array([1, -1, 1, -1, -1, 1])
    x = ahead + 1e-6 * side[:, None] * bend
    skipping = Skipping(lambda t, x: x, VP())
    whole = lambda n: jnp.full(batch, n, jnp.int32)  # noqa: E731
    times = jnp.broadcast_to(jnp.array([0.6, 0.65, 0.7])[:, None], (3, batch))
    memory = Memory(
        times=times, values=jnp.asarray(y), count=whole(3), state=jnp.asarray(state), at=jnp.full(batch, s),
        slopes=jnp.asarray(y), streak=whole(0), asked=jnp.zeros((8, batch), bool), n=jnp.int32(5), calls=jnp.int32(5),
    )  # fmt: skip
    ask = eqx.filter_jit(lambda memory: skipping(memory, t, jnp.asarray(x))[1].asked)
    np.testing.assert_array_equal(ask(memory)[5], side > 0)
    tired = eqx.tree_at(lambda m: m.streak, memory, whole(1))
    assert bool(jnp.all(ask(tired)[5]))  # one in a row at most
    early = eqx.tree_at(lambda m: m.n, memory, jnp.int32(2))
    assert bool(jnp.all(ask(early)[2]))


@pytest.mark.parametrize("order", [2, 3])
def test_the_adaptive_dpm_solver_takes_the_steps_of_its_recursion(order):
    """h <- min(safety h E^(-1/order), what is left), with the two orders' steps as plans on the host make them."""
    schedule, rtol, atol, h0, safety, t_min = VP(), 1e-3, 1e-4, 0.05, 0.9, 1e-3
    data = Mixture1D(schedule, np.array([0.4, 0.6]), np.array([-1.0, 1.0]), np.array([0.1, 0.2]))
    starts = np.array([[-1.5, 2.0]])
    D = lambda t, x: data.denoiser(t[:, None], x)  # noqa: E731
    found = dpm_solver_adaptive(D, schedule, jnp.asarray(starts), order=order, rtol=rtol, atol=atol, h0=h0, t_min=t_min)
    eps = lambda t, x: (x - schedule.alpha(t) * np.asarray(data.denoiser(t, x))) / schedule.sigma(t)  # noqa: E731

    def step(k, t, t_next, x):
        """The method of order 2 looks ahead by h/3 where that of order 3 does (Lu et al., algorithms 2 and 4)."""
        if k != 2:
            *_, last = march(build("dpm-solver", schedule, ts=[t, t_next], order=k, prediction="noise"), eps, {"x": x})
            return last["x"]
        lam, h, r = schedule.lam(t), schedule.lam(t_next) - schedule.lam(t), 1 / order
        ddim = lambda to, length: schedule.alpha(to) / schedule.alpha(t) * x - schedule.sigma(to) * np.expm1(length) * e  # noqa: E731
        e, between = eps(t, x), float(schedule.t_of_lam(lam + r * h))
        change = eps(between, ddim(between, r * h)) - e
        return ddim(t_next, h) - schedule.sigma(t_next) * np.expm1(h) / (2 * r) * change

    for start, end, nfe in zip(starts, found.x, found.nfe, strict=True):
        x, before, lam, trials, h = start, start, float(schedule.lam(1.0)), 0, h0
        last = float(schedule.lam(t_min))
        room = 1e-5 * (last - lam)
        while last - lam > room:
            t, t_next = float(schedule.t_of_lam(lam)), float(schedule.t_of_lam(lam + h))
            low, high = step(order - 1, t, t_next, x), step(order, t, t_next, x)
            E = np.sqrt(np.mean(((high - low) / np.maximum(atol, rtol * np.maximum(abs(low), abs(before)))) ** 2))
            if E <= 1:
                x, before, lam = high, low, lam + h
            h, trials = min(h * np.clip(safety * E ** (-1 / order), 0.1, 10.0), last - lam), trials + 1
        assert int(nfe) == order * trials > 30
        np.testing.assert_allclose(end, x, rtol=1e-8)


def test_the_polyexponential_grid_is_its_formula():
    """log rho = log rho_min + (log rho_max - log rho_min) (1 - i/n)^1.5."""
    schedule, n = EDM(0.01, 50.0), 7
    expected = np.exp(np.log(0.01) + np.log(5000.0) * (1 - np.arange(n + 1) / n) ** 1.5)
    np.testing.assert_allclose(time_grid(schedule, n, "polyexponential"), expected, rtol=1e-12)


class Probe(Preconditioned):
    """Answers what makes the loss the mean of `probe(log sigma, x/sigma, label)^2`, for data that are zero."""

    probe: object = eqx.field(static=True, default=None)

    def __call__(self, sigma, x, label):
        w = (sigma**2 + self.sigma_data**2) / (sigma * self.sigma_data) ** 2
        return jnp.broadcast_to(self.probe(jnp.log(sigma), x / sigma, label) / jnp.sqrt(w), x.shape)


def mean_square(loss, probe, label=2, n=20_000):
    network = PatchTransformer(2, 1, width=4, depth=0, heads=2, key=jax.random.key(0))
    batch = jnp.zeros((n, 2, 2)), jnp.full(n, label)
    return float(eqx.filter_jit(loss)(Probe(network, 0.5, probe=probe), batch, jax.random.key(5)))


def test_the_loss_drops_that_share_of_the_labels(drop=0.2):
    share = mean_square(EDMLoss(drop=drop, null=7), lambda log, eps, label: label == 7)
    assert abs(share - drop) < 4 * np.sqrt(drop * (1 - drop) / 20_000)
    kept = mean_square(EDMLoss(drop=drop, null=7), lambda log, eps, label: label == 2)
    assert abs(share + kept - 1) < 1e-9  # nothing else becomes of a label


def test_what_the_loss_drops_has_nothing_to_do_with_its_noise():
    """Each draw is a key's own: neither levels nor noises of the dropped samples differ from the others'."""
    loss, bound = EDMLoss(drop=0.5, null=7), 5 / np.sqrt(20_000)
    whole = mean_square(loss, lambda log, eps, label: (log + 1.2) / 1.2)
    part = mean_square(loss, lambda log, eps, label: jnp.where(label == 7, (log + 1.2) / 1.2, 0.0))
    assert abs(2 * part - whole) < 2 * bound
    up = lambda label: jnp.where(label == 7, 1.0, -1.0)  # noqa: E731
    mixed = mean_square(loss, lambda log, eps, label: (log + 1.2) / 1.2 + up(label))
    assert abs(mixed - whole - 1) < 3 * bound
    mixed = mean_square(loss, lambda log, eps, label: eps[0, 0] + up(label))
    assert abs(mixed - 2) < 3 * bound


def test_noise_levels_of_the_loss_are_lognormal_and_the_noise_is_of_their_size(mean=-0.4, std=0.7):
    loss, n = EDMLoss(P_mean=mean, P_std=std), 20_000
    for centre in (mean, mean + 1.0):
        found = mean_square(loss, lambda log, eps, label, c=centre: log - c)
        expected = std**2 + (mean - centre) ** 2
        assert abs(found - expected) < 4 * np.sqrt(2 * std**4 + 4 * std**2 * (mean - centre) ** 2) / np.sqrt(n)
    assert abs(mean_square(loss, lambda log, eps, label: eps) - 1) < 4 * np.sqrt(2 / (4 * n))
    assert abs(mean_square(loss, lambda log, eps, label: eps.mean()) - 0.25) < 4 * 0.25 * np.sqrt(2 / n)
