"""Singlestep samplers: every step stands alone and evaluates the model at times inside it. NumPy only.

DPM-Solver and DPM-Solver++ are exponential Runge-Kutta methods in lambda, Heun and the rhoRK family are Runge-Kutta
methods in rho; their numbers are the same integrals as those of the multistep samplers.
"""

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from duhamel.core import grid
from duhamel.methods.tableaux.low import HEUN
from duhamel.methods.tableaux.tableau import Tableau
from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.plan import Plan, Segment

from ..schedule import Prediction, Schedule
from .grid import check_steps, check_times, time_grid
from .multistep import describe
from .weights import carry, noise_std, weights

# Where a step of this order evaluates, in units of the step in lambda.
PLACES = {1: (0.0,), 2: (0.0, 0.5), 3: (0.0, 1 / 3, 2 / 3)}
PATTERNS = {
    1: Pattern((Row("y", ("x",), call="F"), Row("x_next", ("F", "x"))), (("x", "x_next"),)),
    2: Pattern(
        (Row("y", ("x",), call="F"), Row("u", ("F", "x"), call="F_u"), Row("x_next", ("F_u", "F", "x"))),
        (("x", "x_next"),),
    ),
    3: Pattern(
        (
            Row("y", ("x",), call="F"),
            Row("u", ("F", "x"), call="F_u"),
            Row("v", ("F_u", "F", "x"), call="F_v"),
            Row("x_next", ("F_v", "F", "x")),
        ),
        (("x", "x_next"),),
    ),
}


def dpm_solver(
    schedule: Schedule, ts: Any, order: int | Sequence[int] = 3, *, prediction: Prediction = "noise"
) -> Plan:
    """DPM-Solver-1, -2, -3 (Lu et al., arXiv 2206.00927) for prediction "noise", DPM-Solver++ 1S, 2S, 3S
    (arXiv 2211.01095) for "data". Orders 1, 2, 3, at 1, 2, 3 evaluations a step.

    ts     the outer grid; steps are equal in lambda for grid "lam"
    order  one for all steps, or one for each; a step to sigma = 0 must be of order 1
    """
    ts = check_times(schedule, ts)
    steps = len(ts) - 1
    given = isinstance(order, int)
    orders = [order] * steps if isinstance(order, int) else list(order)
    if given and schedule.rho(ts[-1]) == 0:
        orders[-1] = 1
    if len(orders) != steps or any(p not in PATTERNS for p in orders):
        raise ValueError(f"order = {order!r}; give 1, 2 or 3, or one of them for each of the {steps} steps.")
    if prediction not in ("data", "noise"):
        raise ValueError(f"prediction = {prediction!r}; dpm_solver is written for 'noise' or 'data'.")
    segments, n = [], 0
    for p, group in groupby(orders):
        count = len(list(group))
        rows = [_step_numbers(schedule, ts[i], ts[i + 1], p, prediction) for i in range(n, n + count)]
        coef, tau = zip(*rows, strict=True)
        segments.append(Segment(PATTERNS[p], tuple(np.transpose(coef)), np.array(tau)))
        n += count
    name = f"dpm-solver{'pp' if prediction == 'data' else ''}-{'-'.join(map(str, sorted(set(orders))))}"
    return Plan(name, tuple(segments), ts, prediction, describe(schedule) | {"orders": orders})


def dpm_solver_fast(schedule: Schedule, nfe: int, *, t_max: float | None = None, t_min: float | None = None) -> Plan:
    """DPM-Solver-fast (arXiv 2206.00927, app. D): as many steps of order 3 as `nfe` evaluations allow, then lower

    K = floor(nfe / 3) + 1 steps, equal in lambda, of orders 3, ..., 3, 2, 1  |  3, ..., 3, 1  |  3, ..., 3, 2
    """
    nfe = check_steps(nfe)
    last = {0: [2, 1], 1: [1], 2: [2]}[nfe % 3]
    orders = [3] * ((nfe - sum(last)) // 3) + last
    return dpm_solver(schedule, time_grid(schedule, len(orders), "lam", t_max=t_max, t_min=t_min), orders)


def sde_dpmpp_2s(schedule: Schedule, ts: Any, *, tau: float = 1.0) -> Plan:
    """DPM-Solver++(2S) on the reverse SDE of strength tau (arXiv 2211.01095 for tau = 0 and the idea; k-diffusion's
    "dpmpp_sde" with its r = 1/2): two evaluations a step, two draws

        u      = carry x + w D_s + a z1                             at the middle in lambda
        x_next = carry x + w_s D_s + w_u D_u + a' z1 + b z2         a' z1: the noise of u, carried to the end

    The step's noise is that of the path which u has seen. A last step to sigma = 0 is of order 1, with one evaluation.
    """
    ts = check_times(schedule, ts)
    if not tau >= 0:
        raise ValueError(f"tau = {tau}: noise needs tau >= 0; 1 is the reverse SDE.")
    if tau == 0:
        return dpm_solver(schedule, ts, 2, prediction="data")
    rate, full = 1 + tau**2, len(ts) - 1 - int(schedule.rho(ts[-1]) == 0)
    coef, times = [], []
    for s, t in pairwise(ts[: full + 1]):
        m = float(schedule.t_of_lam(0.5 * (schedule.lam(s) + schedule.lam(t))))
        half = weights(schedule, [s], s, m, "lam", "data", rate=rate)
        whole = weights(schedule, [m, s], s, t, "lam", "data", rate=rate, two_node="bh2")
        first, second = noise_std(schedule, s, m, rate), noise_std(schedule, m, t, rate)
        through = carry(schedule, m, t, "data", rate) * first
        legs = (carry(schedule, s, m, "data", rate), carry(schedule, s, t, "data", rate))
        coef.append([1.0, first, *half, legs[0], second, through, *whole, legs[1]])
        times.append([s, m])
    middle = Row("u", ("z1", "F", "x"), call="F_u")
    rows = (Row("y", ("x",), call="F"), middle, Row("x_next", ("z2", "z1", "F_u", "F", "x")))
    noisy = Pattern(rows, (("x", "x_next"),), draws=("z1", "z2"))
    segments = [Segment(noisy, tuple(np.transpose(coef)), np.array(times))] if full else []
    if full < len(ts) - 1:
        numbers, at = _step_numbers(schedule, ts[-2], ts[-1], 1, "data")
        segments.append(Segment(PATTERNS[1], tuple(np.array([c]) for c in numbers), np.array([at])))
    return Plan("sde-dpmpp-2s", tuple(segments), ts, "data", describe(schedule) | {"tau": tau})


def _step_numbers(
    schedule: Schedule, s: float, t: float, order: int, prediction: Prediction
) -> tuple[list[float], list[float]]:
    """Coefficients in the order of PATTERNS[order], and the times of the evaluations."""
    if order == 1:
        (w,) = weights(schedule, [s], s, t, "lam", prediction)
        return [1.0, w, carry(schedule, s, t, prediction)], [s]
    lam_s, lam_t = schedule.lam(s), schedule.lam(t)
    times = [s] + [float(schedule.t_of_lam(lam_s + r * (lam_t - lam_s))) for r in PLACES[order][1:]]
    coef = [1.0]
    for k, end in enumerate([*times[1:], t], start=1):
        # a straight line through the first value and the newest one; order 2 integrates it as 2S does
        nodes = [s] if k == 1 else [times[k - 1], s]
        w = weights(schedule, nodes, s, end, "lam", prediction, two_node="bh2" if order == 2 else "exact")
        coef += [*w, carry(schedule, s, end, prediction)]
    return coef, times


def rho_rk(schedule: Schedule, ts: Any, tableau: Tableau, *, name: str | None = None) -> Plan:
    """DEIS rhoRK (arXiv 2204.13902): an explicit Runge-Kutta method on d(x/alpha)/d rho = eps.

    With Heun's tableau this is EDM's deterministic sampler. A last step to sigma = 0 is Euler's, with one evaluation,
    for the noise is not defined there.
    """
    ts = check_times(schedule, ts)
    steps = np.stack([ts[:-1], ts[:-1], ts[1:]], axis=1)
    return runge_kutta(name or f"rho-{tableau.name.lower()}", schedule, steps, tableau, None, {})


def heun(
    schedule: Schedule,
    ts: Any,
    *,
    churn: float = 0.0,
    s_min: float = 0.0,
    s_max: float = np.inf,
    s_noise: float = 1.0,
) -> Plan:
    """EDM's sampler (Karras et al., arXiv 2206.00364, algorithm 2), order 2, on any schedule (its sigma is our rho)

        gamma = min(churn / steps, sqrt(2) - 1) where s_min <= rho <= s_max,      rho' = rho (1 + gamma)
        x' = x + sqrt(rho'^2 - rho^2) s_noise z (alpha = 1),    Heun from rho' to the next rho

    A last step to sigma = 0 is Euler's: 2 steps - 1 evaluations. The paper: churn = 80, s_min = 0.05, s_max = 50,
    s_noise = 1.003 at 256 steps on ImageNet-64; churn = 0 (the ODE) on CIFAR-10.
    """
    ts = check_times(schedule, ts)
    if churn < 0 or s_noise < 0:
        raise ValueError(f"churn = {churn} and s_noise = {s_noise} must not be negative.")
    rho = schedule.rho(ts[:-1])
    gamma = np.where((s_min <= rho) & (rho <= s_max), min(churn / len(rho), np.sqrt(2) - 1), 0.0)
    raised = np.where(gamma > 0, schedule.t_of_rho(rho * (1 + gamma)), ts[:-1])
    facts = {"churn": churn, "s_min": s_min, "s_max": float(np.nan_to_num(s_max)), "s_noise": s_noise}
    steps = np.stack([ts[:-1], raised, ts[1:]], axis=1)
    return runge_kutta("heun", schedule, steps, HEUN, None if churn == 0 else s_noise, facts)


def restart(
    schedule: Schedule,
    ts: Any,
    intervals: Sequence[tuple[float, float, int, int]] = ((0.06, 0.3, 2, 3),),
    *,
    s_noise: float = 1.0,
) -> Plan:
    """Restart (Xu et al., arXiv 2306.14878): Heun's sampler that goes back up, K times, by adding noise

        at rho_low:  x += sqrt(rho_high^2 - rho_low^2) s_noise z (alpha = 1), then Heun from rho_high down to rho_low

    intervals  (rho_low, rho_high, K, points): rho_low is moved to the nearest time of the grid, and the way down has
               `points` points on EDM's grid. CIFAR-10 in the paper: 18 steps, ((0.06, 0.3, K, 3),), 35 + 4 K calls
    The model's errors are forgotten with every ascent, at the price of the evaluations; K = 0 is `heun`.
    """
    ts = check_times(schedule, ts)
    rho, after = np.asarray(schedule.rho(ts)), {}
    for low, high, repeats, points in intervals:
        if not (0 < low < high <= rho[0] and repeats >= 0 and points >= 2):
            raise ValueError(
                f"interval {(low, high, repeats, points)}: needs 0 < rho_low < rho_high <= {rho[0]:.4g} (the grid's "
                "start), K >= 0 and at least 2 points."
            )
        n = int(np.argmin(np.abs(rho[1:] - low))) + 1
        if not 0 < rho[n] < high:
            raise ValueError(
                f"the time of the grid nearest to rho_low = {low:g} has rho = {rho[n]:.4g}, not below {high:g}."
            )
        down = np.asarray(schedule.t_of_rho(grid.karras(high, float(rho[n]), points - 1)))
        down[-1] = ts[n]
        after.setdefault(n, []).extend([down] * repeats)
    steps = []
    for n, (s, t) in enumerate(pairwise(ts), start=1):
        steps.append((s, s, t))
        for down in after.get(n, []):
            steps.append((t, down[0], down[1]))
            steps.extend((a, a, b) for a, b in pairwise(down[1:]))
    facts = {"intervals": [list(i) for i in intervals], "s_noise": s_noise}
    return runge_kutta("restart", schedule, np.array(steps), HEUN, s_noise, facts)


def runge_kutta(
    name: str, schedule: Schedule, steps: np.ndarray, tableau: Tableau, s_noise: float | None, facts: dict[str, Any]
) -> Plan:
    """An explicit Runge-Kutta method on d(x/alpha)/d rho = eps, along steps that noise may raise first.

    steps    (n, 3): the time at which x is given, the time to which fresh noise raises it, and the time of its end
    s_noise  factor of that noise; None: the plan draws none, and the first two times are equal
    A step to sigma = 0 is Euler's.
    """
    stages = len(tableau.b)
    short = (schedule.rho(steps[:, 2]) == 0) & (stages > 1)
    segments = []
    for at_zero, group in groupby(range(len(steps)), key=lambda n: bool(short[n])):
        a, b, c = (((),), (1.0,), (0.0,)) if at_zero else (tableau.a, tableau.b, tableau.c)
        coef, tau = [], []
        for before, s, t in steps[list(group)]:
            rise = []
            if s_noise is not None:
                low, high = schedule.rho(before), schedule.rho(s)
                rise = [s_noise * schedule.alpha(s) * np.sqrt((high - low) * (high + low))]
            numbers, times = _rk_step(schedule, before, s, t, a, b, c)
            coef.append([*rise, *numbers])
            tau.append(times)
        pattern = _rk_pattern(len(b), s_noise is not None)
        segments.append(Segment(pattern, tuple(np.transpose(coef)), np.array(tau)))
    ts = np.append(steps[:, 0], steps[-1, 2])
    return Plan(name, tuple(segments), ts, "noise", describe(schedule) | facts)


def _rk_pattern(stages: int, noisy: bool) -> Pattern:
    """y (raised by noise) and the stages u1, u2, ... with their values F, F1, F2, ..."""
    values = ["F", *(f"F{i}" for i in range(1, stages))]
    rows = [Row("y", ("z", "x") if noisy else ("x",), call="F")]
    rows += [Row(f"u{i}", (*values[:i][::-1], "y"), call=values[i]) for i in range(1, stages)]
    rows += [Row("x_next", (*values[::-1], "y"))]
    return Pattern(tuple(rows), (("x", "x_next"),), draws=("z",) if noisy else ())


def _rk_step(
    schedule: Schedule, before: float, s: float, t: float, a: Sequence, b: Sequence, c: Sequence
) -> tuple[list[float], list[float]]:
    """From s to t, the state being given at time `before` (later than which noise may have raised it)."""
    rho_s, h = float(schedule.rho(s)), float(schedule.rho(t) - schedule.rho(s))
    times = [float(s)] + [float(t) if p == 1 else float(schedule.t_of_rho(rho_s + p * h)) for p in c[1:]]
    coef = [carry(schedule, before, s, "noise")]
    for row, end in [*zip(a[1:], times[1:], strict=True), (b, t)]:
        scale = float(schedule.alpha(end)) * h
        coef += [*(scale * w for w in reversed(row)), carry(schedule, s, end, "noise")]
    return coef, times
