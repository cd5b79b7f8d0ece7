"""Multistep samplers: one evaluation a step, and the values of the last few. NumPy only.

    evaluate   F = model(t_n, x_n)
    correct    x_c = carry x_c(n-1) + sum_j w_j F_j   (UniPC only: the integral over the last step, now with F)
    predict    x_(n+1) = carry x_c + sum_j w_j F_j  (+ noise z)

A step begins with its evaluation, so the number of evaluations is the number of steps. Warm-up, lower final order and
the step to sigma = 0 are zeros in the one pattern.
"""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np

from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.plan import Plan, Segment

from ..schedule import Prediction, Schedule
from .grid import check_times
from .weights import Basis, TwoNode, carry, noise_std, weights


def multistep(
    name: str,
    schedule: Schedule,
    ts: Any,
    *,
    order: int,
    basis: Basis = "lam",
    prediction: Prediction = "data",
    corrector: bool = False,
    tau: float = 0.0,
    two_node: TwoNode = "exact",
    lower_final: bool = False,
) -> Plan:
    """The exponential Adams method of `order` values (and of one more where it corrects).

    order        how many values the predictor uses once they exist
    basis        in what the polynomial is one: "t", "rho" or "lam"
    corrector    correct every state but the last with the value found there (which is then not computed anew)
    tau          strength of the noise: 0 the ODE, 1 the reverse SDE; prediction "data" only, without corrector
    two_node     see `weights`
    lower_final  orders ..., 3, 2, 1 in the last steps, which helps with few steps
    """
    ts = check_times(schedule, ts)
    if not isinstance(order, int) or order < 1:
        raise ValueError(f"order = {order!r}; a multistep sampler uses at least one value.")
    if tau < 0 or (tau > 0 and (corrector or prediction != "data")):
        raise ValueError(f"tau = {tau}: noise needs tau >= 0, prediction 'data' and no corrector.")
    steps, rate = len(ts) - 1, 1 + tau**2
    orders = [min(order, n + 1, steps - n if lower_final else order) for n in range(steps)]
    if basis == "lam" and schedule.rho(ts[-1]) == 0:
        orders[-1] = 1
    form = {"prediction": prediction, "rate": rate}

    def known(n: int, k: int) -> np.ndarray:
        """The k newest times at which F is known in step n, newest first."""
        return ts[n - np.arange(k)]

    predict, correct = np.zeros((steps, order)), np.zeros((steps, order + 1))
    for n in range(steps):
        k = orders[n]
        predict[n, :k] = weights(schedule, known(n, k), ts[n], ts[n + 1], basis, two_node=two_node, **form)
        if corrector and n:
            k = orders[n - 1] + 1
            correct[n, :k] = weights(schedule, known(n, k), ts[n - 1], ts[n], basis, two_node=two_node, **form)
    carries = np.array([carry(schedule, a, b, prediction, rate) for a, b in pairwise(ts)])
    if corrector:
        segment = _corrected(ts, carries, predict, correct)
    else:
        noise = np.array([noise_std(schedule, a, b, rate) for a, b in pairwise(ts)])
        segment = adams(ts, carries, predict, noise if tau else None)
    facts = {"order": order, "basis": basis, "corrector": corrector, "tau": tau}
    return Plan(name, (segment,), ts, prediction, describe(schedule) | facts)


def adams(ts: np.ndarray, carries: np.ndarray, w: np.ndarray, noise: np.ndarray | None = None) -> Segment:
    """x <- noise z + sum_j w_j F_j + carry x. w has shape (steps, values), newest value first."""
    history, keep = _history(w.shape[1])
    reads = (*history[::-1], "F", "x")
    columns = [*w.T[::-1], carries]
    if noise is not None:
        reads, columns = ("z", *reads), [noise, *columns]
    rows = (Row("y", ("x",), call="F"), Row("x_next", reads))
    pattern = Pattern(rows, (("x", "x_next"), *keep), draws=() if noise is None else ("z",))
    return Segment(pattern, (np.ones(1), *columns), ts[:-1, None])


def _corrected(ts: np.ndarray, carries: np.ndarray, predict: np.ndarray, correct: np.ndarray) -> Segment:
    """Slots: x (predicted, where the model is called), base (the corrected state one step before), values F1, ..."""
    history, keep = _history(correct.shape[1])
    first = np.zeros(len(carries))
    first[0] = 1.0  # nothing to correct in the first step: the state is the predicted one
    rows = (
        Row("y", ("x",), call="F"),
        Row("corrected", (*history[::-1], "F", "x", "base")),
        Row("x_next", (*history[-2::-1], "F", "corrected")),
    )
    pattern = Pattern(rows, (("x", "x_next"), ("base", "corrected"), *keep))
    back = np.concatenate([[0.0], carries[:-1]])
    return Segment(pattern, (np.ones(1), *correct.T[::-1], first, back, *predict.T[::-1], carries), ts[:-1, None])


def _history(values: int) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Names F1, F2, ... of the values before F, and how they are handed on."""
    names = tuple(f"F{j}" for j in range(1, values))
    return names, tuple(zip(names, ("F", *names), strict=False))


def describe(schedule: Schedule) -> dict[str, Any]:
    """The schedule as facts a plan carries, and from which `schedule_of` builds it again."""
    return {"schedule": {"kind": type(schedule).__name__, **asdict(schedule)}}


def ddim(schedule: Schedule, ts: Any, eta: float = 0.0) -> Plan:
    """DDIM (Song, Meng, Ermon, arXiv 2010.02502), eq. 12: x_t = alpha_t D + sqrt(sigma_t^2 - c^2) eps + c z

    c = eta sigma_t sqrt(1 - (rho_t/rho_s)^2): eta = 0 is the ODE (order 1), eta = 1 DDPM's ancestral step with the
    posterior variance. Also DPM-Solver-1, DPM-Solver++-1, DEIS of order 0, Euler in rho.
    """
    ts = check_times(schedule, ts)
    if not 0 <= eta <= 1:
        raise ValueError(f"eta = {eta}; DDIM's noise goes from 0 (none) to 1 (ancestral).")
    sigma, q = schedule.sigma(ts), schedule.rho(ts[1:]) / schedule.rho(ts[:-1])
    kept = np.sqrt(1 - eta**2 * (1 - q**2))  # the share of eps that is not drawn anew
    noise = eta * sigma[1:] * np.sqrt(1 - q**2)
    carries, w = kept * sigma[1:] / sigma[:-1], schedule.alpha(ts[1:]) * (1 - kept * q)
    segment = adams(ts, carries, w[:, None], noise if eta else None)
    return Plan("ddim", (segment,), ts, "data", describe(schedule) | {"eta": eta})


def deis_tab(schedule: Schedule, ts: Any, order: int = 3) -> Plan:
    """DEIS tAB-q (Zhang and Chen, arXiv 2204.13902), q = order = 0..3: the noise as a polynomial of degree q in t

        x_t = (alpha_t/alpha_s) x + sum_j C_j eps_j,    C_j = alpha_t int_s^t rho'(u) l_j(u) du

    The paper's grid is "quadratic". Global order q + 1 once the first steps, which use fewer values, are small enough.
    """
    _check_order(order, range(4), "deis-tab")
    return multistep("deis-tab", schedule, ts, order=order + 1, basis="t", prediction="noise")


def deis_rho_ab(schedule: Schedule, ts: Any, order: int = 3) -> Plan:
    """DEIS rhoAB-q (arXiv 2204.13902): Adams-Bashforth on d(x/alpha)/d rho = eps, with the weights of the grid."""
    _check_order(order, range(4), "deis-rho-ab")
    return multistep("deis-rho-ab", schedule, ts, order=order + 1, basis="rho", prediction="noise")


def dpmpp_2m(schedule: Schedule, ts: Any, *, tau: float = 0.0, lower_final: bool = False) -> Plan:
    """DPM-Solver++(2M) (Lu et al., arXiv 2211.01095): D -> (1 + 1/2r) D_0 - 1/2r D_1, r = h_before / h. Order 2.

    tau = 1 is SDE-DPM-Solver++(2M), its stochastic sibling.
    """
    name = "dpmpp-2m" if tau == 0 else "sde-dpmpp-2m"
    return multistep(name, schedule, ts, order=2, tau=tau, two_node="bh2", lower_final=lower_final)


def dpmpp_3m(schedule: Schedule, ts: Any, *, lower_final: bool = False) -> Plan:
    """DPM-Solver++(3M) with the factor 2 that makes it of order 3: D_2 = 2 (D1_0 - D1_1) / (r0 + r1).

    Published code leaves out the 2 and is of order 2. With it the method is the exponential Adams method of three
    values in lambda, hence UniP-3. Its second step is 2M.
    """
    return multistep("dpmpp-3m", schedule, ts, order=3, two_node="bh2", lower_final=lower_final)


def unipc(
    schedule: Schedule,
    ts: Any,
    order: int = 3,
    *,
    corrector: bool = True,
    variant: TwoNode = "bh2",
    prediction: Prediction = "data",
    lower_final: bool = False,
) -> Plan:
    """UniPC-p (Zhao et al., arXiv 2302.04867): predictor of p values, then the corrector with one more, at no further
    evaluation. Order p + 1; without corrector (UniP-p) order p.

    variant     B(h) = exp(h) - 1 "bh2" (the authors' default), h "bh1", or "exact"; matters only where two values meet
    prediction  "data" or "noise"
    """
    if order < 1 or order > 6:
        raise ValueError(f"order = {order}; unipc knows orders 1 to 6, and 2 or 3 are usual.")
    if prediction not in ("data", "noise"):
        raise ValueError(f"prediction = {prediction!r}; unipc is written for 'data' or 'noise'.")
    options: dict[str, Any] = {"corrector": corrector, "two_node": variant, "lower_final": lower_final}
    return multistep("unipc", schedule, ts, order=order, prediction=prediction, **options)


def _check_order(order: int, known: Sequence[int], name: str) -> None:
    if order not in known:
        raise ValueError(f"order = {order!r}; {name} knows the degrees {', '.join(map(str, known))}.")
