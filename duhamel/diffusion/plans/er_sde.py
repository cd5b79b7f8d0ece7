"""ER-SDE solvers: the reverse SDE with any noise scale phi(rho) (Cui et al., arXiv 2309.06169). NumPy only.

    x_t = (alpha_t/alpha_s) r x_s + alpha_t int_s^t D d[phi(rho_t)/phi(rho)] + alpha_t sqrt(rho_t^2 - rho_s^2 r^2) z
    r = phi(rho_t)/phi(rho_s)

phi = rho is the ODE, phi = rho^2 the usual reverse SDE, phi = rho^(1 + tau^2) SA-Solver's constant tau. In x/alpha and
rho, variance preserving and variance exploding schedules give the same numbers.
"""

from itertools import pairwise
from typing import Any

import numpy as np

from duhamel.rows.plan import Plan

from ..schedule import Schedule
from .grid import check_times
from .multistep import adams, describe
from .weights import Phi, kernel, weights


def _power(exponent: float) -> Phi:
    return lambda rho: (rho**exponent, exponent * rho ** (exponent - 1))


def _er_5(rho: Any) -> tuple[Any, Any]:
    """phi = rho (exp(rho^0.3) + 10), the paper's choice for images (its fifth)."""
    grown = np.exp(rho**0.3)
    return rho * (grown + 10), grown * (1 + 0.3 * rho**0.3) + 10


SCALES: dict[str, Phi] = {"ode": _power(1.0), "sde": _power(2.0), "er-5": _er_5}


def er_sde(
    schedule: Schedule,
    ts: Any,
    order: int = 3,
    *,
    scale: str | float = "er-5",
    derivatives: str = "exact",
) -> Plan:
    """ER-SDE-Solver-1, -2, -3: D a polynomial in rho through its last `order` values.

    scale        phi: "ode", "sde", "er-5", or a number tau >= 0 for rho^(1 + tau^2)
    derivatives  "exact": the polynomial through the values. "published": the second derivative is taken from the values
                 and the first is not corrected for it, so that order 3 is of order 2 on the ODE (order 1 and 2 agree)
    A last step to sigma = 0 gives D. Good values: order 3, 20 to 50 steps.
    """
    ts = check_times(schedule, ts)
    if order not in (1, 2, 3):
        raise ValueError(f"order = {order!r}; er_sde knows 1, 2 and 3.")
    if derivatives not in ("exact", "published"):
        raise ValueError(f"derivatives = {derivatives!r}; they are 'exact' or 'published'.")
    phi = _phi(scale)
    rho, alpha = np.asarray(schedule.rho(ts)), np.broadcast_to(schedule.alpha(ts), ts.shape)
    w = np.zeros((len(ts) - 1, order))
    for n, (s, t) in enumerate(pairwise(ts)):
        k = min(order, n + 1) if rho[n + 1] > 0 else 1
        nodes = ts[n - np.arange(k)]
        if k == 3 and derivatives == "published":
            w[n, :k] = alpha[n + 1] * _published(rho[n - np.arange(k)], rho[n + 1], phi)
        else:
            w[n, :k] = weights(schedule, nodes, s, t, "rho", "data", phi=phi)
    r = np.array([phi(b)[0] / phi(a)[0] for a, b in pairwise(rho)])
    noise = alpha[1:] * np.sqrt(np.maximum((rho[1:] - rho[:-1] * r) * (rho[1:] + rho[:-1] * r), 0.0))
    drawn = None if scale == "ode" or scale == 0 else noise
    facts = {"order": order, "least": order, "scale": scale, "derivatives": derivatives}
    return Plan("er-sde", (adams(ts, alpha[1:] / alpha[:-1] * r, w, drawn),), ts, "data", describe(schedule) | facts)


def _phi(scale: str | float) -> Phi:
    if isinstance(scale, str) and scale in SCALES:
        return SCALES[scale]
    if isinstance(scale, int | float) and not isinstance(scale, bool) and scale >= 0:
        return _power(1 + float(scale) ** 2)
    raise ValueError(f"scale = {scale!r} is not a noise scale; give one of {', '.join(SCALES)}, or tau >= 0.")


def _published(known: np.ndarray, end: float, phi: Phi) -> np.ndarray:
    """Of D ~ D_0 + d u + d' u^2 / 2, u = rho - rho_0, d = D[0, 1], d' = 2 (D[0, 1] - D[1, 2])/(rho_0 - rho_2)."""
    rho, w = kernel(known[0], end, "data", phi=phi)
    u = rho - known[0]
    zeroth, first, second = w.sum(), w @ u, w @ u**2 / 2
    slope = np.array([1.0, -1.0, 0.0]) / (known[0] - known[1])
    before = np.array([0.0, 1.0, -1.0]) / (known[1] - known[2])
    curve = 2 * (slope - before) / (known[0] - known[2])
    return np.array([zeroth, 0.0, 0.0]) + first * slope + second * curve
