"""The one integral behind every exponential sampler, in float64. NumPy only.

With rho = sigma / alpha the probability-flow ODE and the reverse SDE of strength tau have the solutions

    noise:  x_t = (alpha_t/alpha_s) x_s + alpha_t int_{rho_s}^{rho_t} eps d rho
    data:   x_t = (alpha_t/alpha_s) (rho_t/rho_s)^r x_s + alpha_t int D d[(rho_t/rho)^r]
                  + sigma_t sqrt(1 - (rho_t/rho_s)^(2 r - 2)) z,        r = 1 + tau^2

More generally (rho_t/rho_s)^r may be phi(rho_t)/phi(rho_s) for any rising phi (ER-SDE); the noise then has the variance
sigma_t^2 - (alpha_t rho_s phi(rho_t)/phi(rho_s))^2.

    flow:   x_t = c_t (x_s/c_s + int (eps - D) d u),     c = alpha + sigma,   u = rho/(1 + rho)

A sampler replaces D, eps or eps - D by the polynomial through a few of its values, in t (DEIS), in rho
(Adams, Heun) or in lambda = -log rho (DPM-Solver, UniPC): x_t = carry x_s + sum_j w_j F_j, w_j the integral of a
Lagrange polynomial.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from duhamel.core.quadrature import gauss_legendre, lagrange

from ..schedule import Prediction, Schedule

Basis = Literal["t", "rho", "lam"]
TwoNode = Literal["exact", "bh1", "bh2"]
Phi = Callable[[Any], tuple[Any, Any]]  # rho -> phi(rho), phi'(rho)
# For a panel that spans at most a factor e of rho: this many points leave rounding only.
NODES, WEIGHTS = gauss_legendre(24)


def carry(schedule: Schedule, s: float, t: float, prediction: Prediction, rate: float = 1.0) -> float:
    """What multiplies x_s in the step from s to t."""
    gain = schedule.alpha(t) / schedule.alpha(s)
    if prediction == "flow":
        return float(gain * (1 + schedule.rho(t)) / (1 + schedule.rho(s)))
    return float(gain if prediction == "noise" else gain * (schedule.rho(t) / schedule.rho(s)) ** rate)


def noise_std(schedule: Schedule, s: float, t: float, rate: float) -> float:
    """Standard deviation of the fresh noise in the step from s to t."""
    shrink = 2 * (rate - 1) * np.log(schedule.rho(s) / schedule.rho(t)) if schedule.rho(t) > 0 else np.inf
    return float(schedule.sigma(t) * np.sqrt(-np.expm1(-shrink)))


def weights(
    schedule: Schedule,
    nodes: object,
    s: float,
    t: float,
    basis: Basis = "lam",
    prediction: Prediction = "data",
    *,
    rate: float = 1.0,
    two_node: TwoNode = "exact",
    phi: Phi | None = None,
) -> np.ndarray:
    """w_j for each node (a time at which F is known), shape (len(nodes),).

    rate      1 + tau^2 of the reverse SDE; 1 is the ODE; data prediction only
    phi       the noise scale of ER-SDE in place of rho^rate, as (phi(rho), phi'(rho))
    two_node  how a straight line through two values is integrated: "exact"; or UniPC's B(h)/2 with B = h ("bh1") or
              B = exp(h) - 1 ("bh2", DPM-Solver++ 2M too), one of the nodes being s; basis "lam"
    Where sigma_t = 0 the data form is the polynomial's value there: in lambda, infinite then, only one node is allowed.
    """
    nodes = np.asarray(nodes, np.float64)
    rho_s, rho_t = float(schedule.rho(s)), float(schedule.rho(t))
    if rho_t == 0 and basis == "lam" and len(nodes) > 1:
        raise ValueError("a step to sigma = 0 is infinitely long in lambda: use one node there (order 1).")
    if len(nodes) == 2 and two_node != "exact":
        return _straight_line(schedule, nodes, s, t, prediction, rate, two_node)
    at_nodes = nodes if basis == "t" else coordinate(schedule, basis, schedule.rho(nodes))
    if rho_t == 0 and prediction == "data":
        end = np.asarray(t if basis == "t" else rho_t)
        return float(schedule.alpha(t)) * (lagrange(at_nodes, end) if len(nodes) > 1 else np.ones(1))
    rho, w = kernel(rho_s, rho_t, prediction, rate, phi)
    scale = float(schedule.alpha(t)) * (1 + rho_t if prediction == "flow" else 1.0)
    return scale * (lagrange(at_nodes, coordinate(schedule, basis, rho)) @ w)


def kernel(
    rho_s: float, rho_t: float, prediction: Prediction, rate: float = 1.0, phi: Phi | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Points rho_q and weights w_q with (x_t - carry x_s)/scale_t = sum_q w_q F(rho_q), exact to rounding.

    scale = alpha, or alpha + sigma for prediction "flow".
    """
    rho, w = _panels(rho_s, rho_t)
    if prediction == "data" and phi is None:
        w = -rate * (rho_t / rho) ** rate / rho * w
    elif phi is not None:
        value, slope = phi(rho)
        w = -phi(np.asarray(rho_t))[0] * slope / value**2 * w
    elif prediction == "flow":
        w = w / (1 + rho) ** 2
    return rho, w


def _straight_line(
    schedule: Schedule, nodes: np.ndarray, s: float, t: float, prediction: Prediction, rate: float, two_node: TwoNode
) -> np.ndarray:
    """F_s + (F_other - F_s) B / (2 r), r the place of the other node in units of the step."""
    h = np.log(schedule.rho(s) / schedule.rho(t))
    z = h if prediction == "noise" else -rate * h
    whole = np.expm1(z)
    B = z if two_node == "bh1" else whole
    scale = -float(schedule.sigma(t) if prediction == "noise" else schedule.alpha(t))
    here = nodes == s
    r = np.log(schedule.rho(s) / schedule.rho(nodes[~here][0])) / h
    tilt = scale * B / (2 * r)
    return np.where(here, scale * whole - tilt, tilt)


def coordinate(schedule: Schedule, basis: Basis, rho: object) -> np.ndarray:
    """t, rho or lambda where the noise level is rho."""
    if basis == "t":
        return np.asarray(schedule.t_of_rho(rho))
    return np.asarray(rho) if basis == "rho" else np.asarray(-np.log(np.asarray(rho)))


def _panels(rho_s: float, rho_t: float) -> tuple[np.ndarray, np.ndarray]:
    """Gauss points and weights for int_{rho_s}^{rho_t} d rho, on panels that grow with rho: the integrands are smooth
    functions of log rho (towards rho = 0: of rho), over however many decades a step may go."""
    smallest = rho_t if rho_t > 0 else min(rho_s, 0.25)
    count = max(1, int(np.ceil(np.log(rho_s / smallest))))
    edges = rho_s * (smallest / rho_s) ** (np.arange(count + 1) / count)
    edges[0], edges[-1] = rho_s, smallest
    if rho_t == 0:
        edges = np.append(edges, 0.0)
    a, h = edges[:-1, None], np.diff(edges)[:, None]
    return (a + h * NODES).ravel(), (h * WEIGHTS).ravel()
