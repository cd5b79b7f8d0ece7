"""What samplers claim, as plans to be measured: the order of a name with its options, and exactness on polynomials.

A multistep sampler replaces D, eps or eps - D by the polynomial through its last k values, so that its rows are exact
where that quantity *is* a polynomial of degree k - 1. No network and no trajectory is needed to see it: the model's
values are put in, and one row is held against the integral.

    data   x_t / sigma_t - x_s / sigma_s = int D e^lam d lam        noise  x_t / alpha_t - x_s / alpha_s = int eps d rho
    flow   x_t / c_t - x_s / c_s = int (eps - D) d u,    c = alpha + sigma,    u = rho / (1 + rho)
    velocity   x_t / N_t - x_s / N_s = int (v / N) d arctan(rho),    N^2 = alpha^2 + sigma^2 (1 on VP)
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.integrate import quad

from duhamel.rows.host import march
from duhamel.rows.plan import Plan

from ..schedule import Schedule
from .registry import find
from .weights import Basis, coordinate


def claimed_order(name: str, options: Mapping[str, Any] | None = None) -> int | None:
    """The order that the registry claims for a sampler with its noise off, or None where it claims none.

    Options other than `order` and those that switch the noise off may change the order; no claim is made then.
    """
    sampler, given = find(name), dict(options or {})
    order = given.pop("order", None)
    if any(key not in sampler.still or sampler.still[key] != value for key, value in given.items()):
        return None
    if order is None and None not in sampler.orders and sampler.orders:
        order = default_of(sampler.make, "order")
    return sampler.orders.get(order)


def default_of(make: Callable[..., Plan], option: str) -> Any:
    """The value that an option of a builder has when it is not given; None where it has no such option."""
    from inspect import signature

    found = signature(make).parameters.get(option)
    return None if found is None or found.default is found.empty else found.default


def values(plan: Plan, row: str = "x_next") -> int:
    """How many of the model's values a row of the plan's last pattern sums."""
    pattern = plan.patterns[-1]
    return sum(name.startswith("F") for out, name in pattern.positions if out == row)


def polynomial_defect(plan: Plan, schedule: Schedule, variable: Basis, degree: int, row: str = "x_next") -> float:
    """How far the last step is from exact when the model's values are a polynomial in t, rho, lam or a map of rho,
    relative to what a value of 1 does; their largest value is 1. Rounding where the table is exact. Draws are zero.

    row   "x_next": the prediction of the last step;  "corrected": the correction before it, which ends the step before
    """
    place = (lambda t: t) if variable == "t" else (lambda t: coordinate(schedule, variable, schedule.rho(t)))
    read = plan.t[-values(plan, row) - 3 : -1]  # what the last rows read; before that, zeros keep the state small
    end, width = float(place(read[-1])), float(np.ptp(place(read)))

    def q(t: Any) -> Any:
        return np.where(t <= read[0], ((place(t) - end) / width) ** degree, 0.0)

    states = list(march(plan, lambda tau, z: q(tau) + 0 * z, {"x": np.ones(1)}, draw=lambda n, d: np.zeros(1)))
    if row == "corrected":
        start, s, stop, t = states[-2]["base"], plan.t[-3], states[-1]["base"], plan.t[-2]
    else:
        start, s, stop, t = states[-1].get("base", states[-2]["x"]), plan.t[-2], states[-1]["x"], plan.t[-1]
    scales, speed = _FLOWS[plan.prediction or "data"]
    a, b = (float(scales(schedule, time)) for time in (s, t))
    inside = lambda lam: q(schedule.t_of_lam(lam)) * speed(lam)  # noqa: E731
    lams, options = (float(schedule.lam(s)), float(schedule.lam(t))), {"epsabs": 0, "epsrel": 1e-13, "limit": 200}
    exact, size = quad(inside, *lams, **options)[0], abs(quad(speed, *lams, **options)[0])
    return abs(float(stop[0]) / b - float(start[0]) / a - exact) / size


# What a state is divided by, and d(state) / d lam for a value of 1.
_FLOWS: dict[str, tuple[Callable[[Schedule, Any], Any], Callable[[Any], Any]]] = {
    "data": (lambda s, t: s.sigma(t), np.exp),
    "noise": (lambda s, t: s.alpha(t), lambda lam: -np.exp(-lam)),
    "flow": (lambda s, t: s.alpha(t) + s.sigma(t), lambda lam: -np.exp(-lam) / (1 + np.exp(-lam)) ** 2),
    "velocity": (lambda s, t: np.hypot(s.alpha(t), s.sigma(t)), lambda lam: -np.exp(-lam) / (1 + np.exp(-2 * lam))),
}
