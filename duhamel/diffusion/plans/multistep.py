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
from typing import Any, cast, get_args

import numpy as np

from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.plan import Plan, Segment

from ..schedule import Prediction, Schedule
from .grid import check_times
from .weights import Basis, TwoNode, carry, infinite_at_zero, noise_std, weights


def multistep(
    name: str,
    schedule: Schedule,
    ts: Any,
    *,
    order: int,
    basis: Basis = "lam",
    prediction: Prediction = "data",
    corrector: bool = False,
    corrector_order: int | None = None,
    again: bool = False,
    tau: Any = 0.0,
    two_node: TwoNode = "exact",
    lower_final: bool | int = False,
) -> Plan:
    """The exponential Adams method of `order` values (and of one more where it corrects).

    order        how many values the predictor uses once they exist
    basis        in what the polynomial is one: "t", "rho", "lam", or a monotone function of rho on NumPy arrays
    prediction   what the model returns and the polynomial is made of: "data", "noise", "score" (its noise), "flow" or
                 "velocity" (over (alpha^2 + sigma^2)^(1/2))
    corrector    correct every state but the last with the value found there (which is then not computed anew)
    corrector_order  how many values the corrector uses, the new one included; order + 1 if not given
    again        evaluate once more at the corrected state (PECE, two calls a step) instead of keeping the value (PEC)
    tau          strength of the noise: 0 the ODE, 1 the reverse SDE; one number, or one a step; prediction "data" only.
                 The corrector repeats the draw of the predictor
    two_node     see `weights`
    lower_final  orders ..., 3, 2, 1 in the last steps, which helps with few steps; a number: in so many of them alone
    """
    ts = check_times(schedule, ts)
    if not isinstance(order, int) or order < 1:
        raise ValueError(f"order = {order!r}; a multistep sampler uses at least one value.")
    steps = len(ts) - 1
    taus = np.broadcast_to(np.asarray(tau, np.float64), steps)
    if np.any(taus < 0) or (np.any(taus > 0) and prediction != "data"):
        raise ValueError(f"tau = {tau}: noise needs tau >= 0 and prediction 'data'.")
    rate = 1 + taus**2
    reach = steps if lower_final is True else int(lower_final)
    orders = [min(order, n + 1, steps - n if steps - n <= reach else order) for n in range(steps)]
    if infinite_at_zero(basis) and schedule.rho(ts[-1]) == 0:
        orders[-1] = 1
    most = order + 1 if corrector_order is None else corrector_order
    predict, correct = np.zeros((steps, order)), np.zeros((steps, most))

    def row(n: int, m: int, k: int) -> np.ndarray:
        """Weights of the step from t_n over the k newest values at t_m and before, newest first."""
        form: dict[str, Any] = {"prediction": prediction, "rate": rate[n], "two_node": two_node}
        return weights(schedule, ts[m - np.arange(k)], ts[n], ts[n + 1], basis, **form)

    for n in range(steps):
        k = orders[n]
        predict[n, :k] = row(n, n, k)
        if corrector and n:
            k = min(orders[n - 1] + 1, most) if corrector_order is None else min(n + 1, most)
            correct[n, :k] = row(n - 1, n, k)
    carries = np.array([carry(schedule, a, b, prediction, r) for (a, b), r in zip(pairwise(ts), rate, strict=True)])
    drawn = [noise_std(schedule, a, b, r) for (a, b), r in zip(pairwise(ts), rate, strict=True)]
    noise = np.array(drawn) if np.any(taus > 0) else None
    segment = moulton(ts, carries, predict, correct, noise, again) if corrector else adams(ts, carries, predict, noise)
    facts = {
        "order": order,
        "least": order,
        "basis": getattr(basis, "__name__", "map") if callable(basis) else basis,
        "corrector": corrector,
        "tau": taus.tolist() if np.ndim(tau) else float(tau),
    }
    return Plan(name, (segment,), ts, prediction, describe(schedule) | facts)


def adams(ts: np.ndarray, carries: np.ndarray, w: np.ndarray, noise: np.ndarray | None = None) -> Segment:
    """x <- noise z + sum_j w_j F_j + carry x. w has shape (steps, values, *element), newest value first."""
    history, keep = _history(w.shape[1])
    reads = (*history[::-1], "F", "x")
    columns = [*_values(w)[::-1], carries]
    if noise is not None:
        reads, columns = ("z", *reads), [noise, *columns]
    rows = (Row("y", ("x",), call="F"), Row("x_next", reads))
    pattern = Pattern(rows, (("x", "x_next"), *keep), draws=() if noise is None else ("z",))
    return Segment(pattern, (np.ones(1), *columns), ts[:-1, None])


def moulton(
    ts: np.ndarray, carries: np.ndarray, predict: np.ndarray, correct: np.ndarray, noise: np.ndarray | None, again: bool
) -> Segment:
    """Slots: x (predicted, where the model is called), base (the corrected state one step before), values F1, ...,
    and the draw before, which the corrector repeats. Weights have shape (steps, values, *element)."""
    history, keep = _history(max(correct.shape[1], predict.shape[1] + 1))
    first = np.zeros(len(carries))
    first[0] = 1.0  # nothing to correct in the first step: the state is the predicted one
    back = np.concatenate([0 * carries[:1], carries[:-1]])
    used = history[: correct.shape[1] - 1]
    corrected: tuple[tuple[str, Any], ...] = (
        *zip(used[::-1], _values(correct)[:0:-1], strict=True),
        ("G" if again else "F", correct[:, 0]),
        ("x", first),
        ("base", back),
    )
    predicted: tuple[tuple[str, Any], ...] = (
        *zip(history[: predict.shape[1] - 1][::-1], _values(predict)[:0:-1], strict=True),
        ("F", predict[:, 0]),
        ("corrected", carries),
    )
    if noise is not None:
        corrected = (("z_before", np.concatenate([[0.0], noise[:-1]])), *corrected)
        predicted = (("z", noise), *predicted)
        keep = (*keep, ("z_before", "z"))
    rows = (
        Row("y", ("x",), call="G" if again else "F"),
        Row("corrected", tuple(name for name, _ in corrected), call="F" if again else None),
        Row("x_next", tuple(name for name, _ in predicted)),
    )
    pattern = Pattern(rows, (("x", "x_next"), ("base", "corrected"), *keep), draws=() if noise is None else ("z",))
    coef = (np.ones(1), *(c for _, c in corrected), *(c for _, c in predicted))
    return Segment(pattern, coef, np.repeat(ts[:-1, None], 1 + again, axis=1))


def _values(w: np.ndarray) -> np.ndarray:
    """One column of coefficients for each value."""
    return np.moveaxis(w, 1, 0)


def _history(values: int) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Names F1, F2, ... of the values before F, and how they are handed on."""
    names = tuple(f"F{j}" for j in range(1, values))
    return names, tuple(zip(names, ("F", *names), strict=False))


def describe(schedule: Schedule) -> dict[str, Any]:
    """The schedule as facts a plan carries, and from which `schedule_of` builds it again.

    A builder adds "least", the number of steps with which its method first shows, where that is more than one.
    """
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


def dpmpp_2m(schedule: Schedule, ts: Any, *, tau: Any = 0.0, lower_final: bool | int = False) -> Plan:
    """DPM-Solver++(2M) (Lu et al., arXiv 2211.01095): D -> (1 + 1/2r) D_0 - 1/2r D_1, r = h_before / h. Order 2.

    tau = 1 is SDE-DPM-Solver++(2M), its stochastic sibling; one number, or one for each step. k-diffusion's eta is
    tau^2; other conventions: `stochasticity.convert_strength`.
    """
    name = "sde-dpmpp-2m" if np.any(tau) else "dpmpp-2m"
    return multistep(name, schedule, ts, order=2, tau=tau, two_node="bh2", lower_final=lower_final)


def dpmpp_3m(schedule: Schedule, ts: Any, *, tau: Any = 0.0, lower_final: bool | int = False) -> Plan:
    """DPM-Solver++(3M) with the factor 2 that makes it of order 3: D_2 = 2 (D1_0 - D1_1) / (r0 + r1).

    Published code leaves out the 2 and is of order 2. With it the method is the exponential Adams method of three
    values in lambda, hence UniP-3. Its second step is 2M. tau = 1, or one tau for each step, is its stochastic sibling.
    """
    name = "sde-dpmpp-3m" if np.any(tau) else "dpmpp-3m"
    return multistep(name, schedule, ts, order=3, tau=tau, two_node="bh2", lower_final=lower_final)


def unipc(
    schedule: Schedule,
    ts: Any,
    order: int = 3,
    *,
    corrector: bool = True,
    variant: str = "bh2",
    prediction: str = "data",
    basis: Basis = "lam",
    lower_final: bool | int = False,
) -> Plan:
    """UniPC-p (Zhao et al., arXiv 2302.04867): predictor of p values, then the corrector with one more, at no further
    evaluation. Order p + 1; without corrector (UniP-p) order p.

    variant     B(h) = exp(h) - 1 "bh2" (the authors' default), h "bh1", or "vary", their varying coefficients, which
                integrate the polynomial exactly ("exact" is the same). It matters only where two values meet
    prediction  "data" and "noise" are the authors'; "score", "flow" and "velocity" for models that return those. B(h)
                comes from an exponential that "flow" and "velocity" lack: they are exact
    basis       "lam" is the authors'; see `multistep`. Another one is exact as well
    """
    if order < 1 or order > 6:
        raise ValueError(f"order = {order}; unipc knows orders 1 to 6, and 2 or 3 are usual.")
    if prediction not in get_args(Prediction):
        raise ValueError(f"prediction = {prediction!r}; unipc knows {', '.join(get_args(Prediction))}.")
    if variant not in ("exact", "bh1", "bh2", "vary"):
        raise ValueError(f"variant = {variant!r}; unipc knows 'bh1', 'bh2', 'vary' and 'exact'.")
    plain = variant == "vary" or prediction in ("flow", "velocity") or basis != "lam"
    options: dict[str, Any] = {"corrector": corrector, "lower_final": lower_final, "basis": basis}
    options["two_node"] = "exact" if plain else variant
    return multistep("unipc", schedule, ts, order=order, prediction=cast(Prediction, prediction), **options)


def sa_solver(
    schedule: Schedule,
    ts: Any,
    order: int = 3,
    *,
    corrector_order: int = 4,
    tau: float = 1.0,
    span: Sequence[float] | None = None,
    evaluate: str = "PEC",
) -> Plan:
    """SA-Solver (Xue et al., arXiv 2309.05019): stochastic Adams, data prediction, weights with the rate 1 + tau^2

        predict  x_p = carry x_c + sum_j b_j D_j + s z
        correct  x_c' = carry x_c + sum_j c_j D_j + s z      with D(x_p) among the D_j, and the same z

    order            values of the predictor; corrector_order those of the corrector with the new one, 0 for none
    tau, span        noise where a step begins at rho between span = (low, high), none elsewhere; None: everywhere.
                     tau = 0 is UniPC's ODE, tau = 1 the reverse SDE. The paper: tau = 1 for rho in (0.05, 1) on images
    evaluate         "PEC", or "PECE" with two calls a step
    Strong order 1 for tau > 0; the deterministic part has order `corrector_order`.
    """
    ts = check_times(schedule, ts)
    if evaluate not in ("PEC", "PECE"):
        raise ValueError(f"evaluate = {evaluate!r}; sa_solver evaluates as 'PEC' or 'PECE'.")
    if not (isinstance(corrector_order, int) and corrector_order >= 0):
        raise ValueError(f"corrector_order = {corrector_order!r}; give the number of values, 0 for no corrector.")
    rho = schedule.rho(ts[:-1])
    low, high = (0.0, np.inf) if span is None else span
    taus = np.where((low <= rho) & (rho <= high), float(tau), 0.0)
    options: dict[str, Any] = {"tau": taus, "corrector": corrector_order > 0, "again": evaluate == "PECE"}
    if corrector_order:
        options["corrector_order"] = corrector_order
    return multistep("sa-solver", schedule, ts, order=order, **options)


def flow(schedule: Schedule, ts: Any, order: int = 2) -> Plan:
    """Adams-Bashforth on dx/dt = eps - D of rectified flow (`Flow`; on other schedules the same in other variables:
    x/(alpha + sigma) and rho/(1 + rho)). Order 1 is Euler's method, and DDIM; more values have order 2, for the first
    step is Euler's."""
    if order not in (1, 2, 3, 4):
        raise ValueError(f"order = {order!r}; flow knows 1, 2, 3 and 4.")
    return multistep("flow-euler" if order == 1 else "flow-ab", schedule, ts, order=order, basis="t", prediction="flow")


def _check_order(order: int, known: Sequence[int], name: str) -> None:
    if order not in known:
        raise ValueError(f"order = {order!r}; {name} knows the degrees {', '.join(map(str, known))}.")
