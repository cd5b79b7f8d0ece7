"""Samplers of the reverse SDE that a step of Euler's kind makes (Song et al., arXiv 2011.13456). NumPy only.

    dx = (f x - g^2 S) dt + g dw,   dt < 0,   S = -eps / sigma the score

The exponential ones are `multistep.ddim(eta=1)` and `multistep.dpmpp_2m(tau=1)`.
"""

from itertools import pairwise
from typing import Any

import numpy as np

from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.plan import Plan, Segment

from ..schedule import Schedule
from .grid import check_times
from .multistep import describe
from .weights import kernel


def euler_maruyama(schedule: Schedule, ts: Any, *, final_noise: bool = False) -> Plan:
    """x + (f x - g^2 S) (t - s) + g sqrt(s - t) z, f and g taken at s. Weak order 1; the paper uses 1000 steps.

    final_noise  False: the last step draws none and returns the mean, as score_sde does
    """
    ts = check_times(schedule, ts)
    s, h = ts[:-1], -np.diff(ts)
    f, g2 = schedule.f(s), schedule.g2(s)
    return _plan("euler-maruyama", schedule, ts, 1 - f * h, g2 * h, np.sqrt(g2 * h), final_noise)


def reverse_diffusion(schedule: Schedule, ts: Any, *, final_noise: bool = False) -> Plan:
    """The forward chain x_s = a x_t + G z reversed term by term: (2 - a) x + G^2 S + G z  (app. E)

    a = alpha_s / alpha_t,     G^2 = sigma_s^2 - a^2 sigma_t^2    (VP: beta_i = 1 - a^2;  VE: a = 1)
    """
    ts = check_times(schedule, ts)
    a, G2 = _chain(schedule, ts)
    return _plan("reverse-diffusion", schedule, ts, 2 - a, G2, np.sqrt(G2), final_noise)


def exponential_sde(schedule: Schedule, ts: Any, *, final_noise: bool = False) -> Plan:
    """The score kept over each step and everything else exact (Chen, Lee and Lu, arXiv 2211.01916; DDPM's analysis)

        (alpha_t/alpha_s) x + c S + alpha_t sqrt(rho_s^2 - rho_t^2) z,     c = alpha_t int_t^s 2 alpha rho d rho

    VP: c = 2 (alpha_t/alpha_s - 1). Weak order 1. `multistep.ddim(eta=1)` keeps D in place of S, which is the better.
    """
    ts = check_times(schedule, ts)
    a, G2 = _chain(schedule, ts)
    c = []
    for s, t in pairwise(ts):
        rho, w = kernel(float(schedule.rho(s)), float(schedule.rho(t)), "noise")
        c.append(-float(schedule.alpha(t)) * np.sum(2 * schedule.alpha(schedule.t_of_rho(rho)) * rho * w))
    return _plan("sde-exponential", schedule, ts, 1 / a, np.array(c), np.sqrt(G2) / a, final_noise)


def ancestral(schedule: Schedule, ts: Any, *, variance: str = "posterior", final_noise: bool = False) -> Plan:
    """The mean of x_t given x_s and D, (x + G^2 S) / a, and noise  (app. F; DDPM, arXiv 2006.11239)

    variance  "posterior"  G sigma_t / sigma_s   (score_sde's VE; the plan is then DDIM with eta = 1)
              "forward"    G                     (score_sde's VP; DDPM's larger choice)
    """
    ts = check_times(schedule, ts)
    a, G2 = _chain(schedule, ts)
    sigma = schedule.sigma(ts)
    stds = {"posterior": np.sqrt(G2) * sigma[1:] / sigma[:-1], "forward": np.sqrt(G2)}
    if variance not in stds:
        raise ValueError(f"variance = {variance!r}; ancestral knows 'posterior' and 'forward'.")
    return _plan("ancestral", schedule, ts, 1 / a, G2 / a, stds[variance], final_noise)


def predictor_corrector(schedule: Schedule, ts: Any, *, snr: float = 0.16, corrections: int = 1) -> Plan:
    """Before every step of `reverse_diffusion`, `corrections` Langevin steps at the same noise level (app. G)

        x + d S + sqrt(2 d) z,     d = 2 (snr sigma_s)^2

    score_sde takes d = 2 (snr |z| / |S|)^2 with norms averaged over the batch, so that a sample depends on its
    batch-mates. Here the norms are replaced by what they estimate, |z| ~ sqrt(dim) and |S| ~ sqrt(dim) / sigma: rows
    again, and every sample for itself. snr: 0.16 in the paper's VE runs. steps (1 + corrections) evaluations.
    """
    ts = check_times(schedule, ts)
    if not (isinstance(corrections, int) and corrections >= 1 and snr > 0):
        raise ValueError(f"snr = {snr} must be positive and corrections = {corrections} at least 1.")
    steps, d = len(ts) - 1, 2 * (snr * schedule.sigma(ts[:-1])) ** 2
    a, G2 = _chain(schedule, ts)
    states, scores = ("x", *(f"c{j}" for j in range(1, corrections + 1))), [f"S{j}" for j in range(corrections + 1)]
    rows, coef = [Row("y", ("x",), call="S0")], [np.ones(1)]
    for j in range(1, corrections + 1):
        rows.append(Row(states[j], (f"z{j}", scores[j - 1], states[j - 1]), call=scores[j]))
        coef += [np.sqrt(2 * d), d, np.ones(1)]
    rows.append(Row("x_next", ("z", scores[-1], states[-1])))
    noise = np.sqrt(G2)
    noise[-1] = 0.0
    pattern = Pattern(tuple(rows), (("x", "x_next"),), draws=("z", *(f"z{j}" for j in range(1, corrections + 1))))
    tau = np.repeat(ts[:-1, None], corrections + 1, axis=1)
    segment = Segment(pattern, (*coef, noise, G2, np.broadcast_to(2 - a, steps)), tau)
    facts = {"snr": snr, "corrections": corrections}
    return Plan("predictor-corrector", (segment,), ts, "score", describe(schedule) | facts)


def _chain(schedule: Schedule, ts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a and G^2 of the forward chain from each t to the s before it. G^2 = alpha_s^2 (rho_s^2 - rho_t^2)."""
    alpha, rho = np.broadcast_to(schedule.alpha(ts), ts.shape), schedule.rho(ts)
    return alpha[:-1] / alpha[1:], alpha[:-1] ** 2 * (rho[:-1] - rho[1:]) * (rho[:-1] + rho[1:])


def _plan(
    name: str, schedule: Schedule, ts: np.ndarray, x: np.ndarray, score: np.ndarray, noise: np.ndarray, final: bool
) -> Plan:
    noise = np.array(noise)
    if not final:
        noise[-1] = 0.0
    rows = (Row("y", ("x",), call="S"), Row("x_next", ("z", "S", "x")))
    pattern = Pattern(rows, (("x", "x_next"),), draws=("z",))
    segment = Segment(pattern, (np.ones(1), noise, score, x), ts[:-1, None])
    return Plan(name, (segment,), ts, "score", describe(schedule) | {"final_noise": final})
