"""The one integral behind every exponential sampler, in float64. NumPy only.

With rho = sigma / alpha the probability-flow ODE and the reverse SDE of strength tau have the solutions

    noise:  x_t = (alpha_t/alpha_s) x_s + alpha_t int_{rho_s}^{rho_t} eps d rho
    data:   x_t = (alpha_t/alpha_s) (rho_t/rho_s)^r x_s + alpha_t int D d[(rho_t/rho)^r]
                  + sigma_t sqrt(1 - (rho_t/rho_s)^(2 r - 2)) z,        r = 1 + tau^2

More generally (rho_t/rho_s)^r may be phi(rho_t)/phi(rho_s) for any rising phi (ER-SDE); the noise then has the variance
sigma_t^2 - (alpha_t rho_s phi(rho_t)/phi(rho_s))^2.

    flow:       x_t = c_t (x_s/c_s + int (eps - D) d u),     c = alpha + sigma,   u = rho/(1 + rho)
    velocity:   x_t = N_t (x_s/N_s + int (v/N) d phi),       N^2 = alpha^2 + sigma^2,   phi = arctan(rho)

A sampler replaces D, eps (with its score -eps/sigma), eps - D or v/N by the polynomial through a few of its values, in
t (DEIS), in rho (Adams, Heun), in lambda = -log rho (DPM-Solver, UniPC) or in any other function of rho:
x_t = carry x_s + sum_j w_j F_j, w_j the integral of a Lagrange polynomial.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from duhamel.core.quadrature import gauss_legendre, lagrange

from ..schedule import Prediction, Schedule

Basis = Literal["t", "rho", "lam"] | Callable[[Any], Any]
"""In what a polynomial is one: t, rho, lambda, or any increasing or decreasing function of rho."""
TwoNode = Literal["exact", "bh1", "bh2"]
Phi = Callable[[Any], tuple[Any, Any]]  # rho -> phi(rho), phi'(rho)
# For a panel that spans at most a factor e of rho: this many points leave rounding only.
NODES, WEIGHTS = gauss_legendre(24)


def carry(schedule: Schedule, s: float, t: float, prediction: Prediction, rate: float = 1.0) -> float:
    """What multiplies x_s in the step from s to t."""
    gain = schedule.alpha(t) / schedule.alpha(s)
    if prediction == "flow":
        return float(gain * (1 + schedule.rho(t)) / (1 + schedule.rho(s)))
    if prediction == "velocity":
        return float(gain * np.hypot(1, schedule.rho(t)) / np.hypot(1, schedule.rho(s)))
    return float(gain if prediction in ("noise", "score") else gain * (schedule.rho(t) / schedule.rho(s)) ** rate)


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
              B = exp(h) - 1 ("bh2", DPM-Solver++ 2M too), one of the nodes being s; basis "lam", data or noise
    Where sigma_t = 0 the data form is the polynomial's value there; if the basis is infinite then, as lambda is, give
    one node.
    """
    nodes = np.asarray(nodes, np.float64)
    rho_s, rho_t = float(schedule.rho(s)), float(schedule.rho(t))
    if rho_t == 0 and len(nodes) > 1 and infinite_at_zero(basis):
        name = "lambda" if basis == "lam" else "this variable"
        raise ValueError(f"a step to sigma = 0 is infinitely long in {name}: use one node there (order 1).")
    if prediction == "score":
        w = weights(schedule, nodes, s, t, basis, "noise", two_node=two_node)
        return -w * np.asarray(schedule.sigma(nodes))
    if len(nodes) == 2 and two_node != "exact":
        return _straight_line(schedule, nodes, s, t, prediction, rate, two_node)
    at_nodes = nodes if basis == "t" else coordinate(schedule, basis, schedule.rho(nodes))
    if rho_t == 0 and prediction == "data":
        if len(nodes) == 1:
            return np.full(1, float(schedule.alpha(t)))
        end = np.asarray(t) if basis == "t" else coordinate(schedule, basis, np.asarray(rho_t))
        return float(schedule.alpha(t)) * lagrange(at_nodes, end)
    rho, w = kernel(rho_s, rho_t, prediction, rate, phi)
    scale: Any = float(schedule.alpha(t))
    if prediction == "flow":
        scale = scale * (1 + rho_t)
    elif prediction == "velocity":
        scale = scale * np.hypot(1, rho_t) / (schedule.alpha(nodes) * np.hypot(1, schedule.rho(nodes)))
    return scale * (lagrange(at_nodes, coordinate(schedule, basis, rho)) @ w)


def kernel(
    rho_s: float, rho_t: float, prediction: Prediction, rate: float = 1.0, phi: Phi | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Points rho_q and weights w_q with (x_t - carry x_s)/scale_t = sum_q w_q F(rho_q), exact to rounding.

    scale = alpha, alpha + sigma for prediction "flow", (alpha^2 + sigma^2)^(1/2) for "velocity", whose F is v/N.
    """
    rho, w = _panels(rho_s, rho_t)
    if prediction == "data" and phi is None:
        w = -rate * (rho_t / rho) ** rate / rho * w
    elif phi is not None:
        value, slope = phi(rho)
        w = -phi(np.asarray(rho_t))[0] * slope / value**2 * w
    elif prediction == "flow":
        w = w / (1 + rho) ** 2
    elif prediction == "velocity":
        w = w / (1 + rho**2)
    return rho, w


def _straight_line(
    schedule: Schedule, nodes: np.ndarray, s: float, t: float, prediction: Prediction, rate: float, two_node: TwoNode
) -> np.ndarray:
    """F_s + (F_other - F_s) B / (2 r), r the place of the other node in units of the step."""
    if two_node not in ("bh1", "bh2") or prediction not in ("data", "noise"):
        raise ValueError(
            f"B(h) = {two_node!r} for prediction {prediction!r}: 'bh1' and 'bh2' are written for data, noise and "
            "score; take 'exact'."
        )
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
    """t, rho, lambda or a user's variable where the noise level is rho."""
    if callable(basis):
        return np.asarray(basis(np.asarray(rho)), np.float64)
    if basis == "t":
        return np.asarray(schedule.t_of_rho(rho))
    return np.asarray(rho) if basis == "rho" else np.asarray(-np.log(np.asarray(rho)))


def infinite_at_zero(basis: Basis) -> bool:
    """Is sigma = 0 infinitely far away in this variable?"""
    with np.errstate(divide="ignore"):
        return basis == "lam" or (callable(basis) and not np.isfinite(basis(np.zeros(()))))


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
