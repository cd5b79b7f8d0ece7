"""Samplers by the names papers use. NumPy only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from typing import Any

import numpy as np

from duhamel.methods.tableaux.low import RK4
from duhamel.rows import checks
from duhamel.rows.pattern import ONES
from duhamel.rows.plan import Plan
from duhamel.rows.predict import predicting

from ..discrete_vp import DiscreteVP
from ..schedule import EDM, VE, VP, Cosine, Flow, MeanReverting, Prediction, Schedule, SubVP
from .as_shipped import dpmpp_3m_as_shipped, ipndm_v_as_shipped
from .compensated import dc_solver
from .dpm_v3 import dpm_solver_v3
from .er_sde import er_sde
from .grid import check_steps, time_grid
from .inversion import bdia, o_belm
from .momentum import ghvb, gradient_estimation, heavy_ball
from .multistep import ddim, deis_rho_ab, deis_tab, dpmpp_2m, dpmpp_3m, flow, sa_solver, unipc
from .pndm import f_pndm, ipndm, s_pndm
from .renoise import consistency
from .singlestep import dpm_solver, dpm_solver_fast, heun, restart, rho_rk, sde_dpmpp_2s
from .stochastic import ancestral, euler_maruyama, exponential_sde, predictor_corrector, reverse_diffusion
from .usf import usf
from .weights import Basis

SCHEDULES: dict[str, type[Schedule]] = {
    kind.__name__: kind for kind in (VP, SubVP, VE, Cosine, EDM, Flow, MeanReverting)
}

Orders = Mapping[Any, int]  # by the option `order`, or None


@dataclass(frozen=True)
class Sampler:
    """A builder, the grid it is published with, and what it claims: `tests/diffusion/test_plan_claims.py` measures
    every claim, and fails for a sampler without one.

    make      (schedule, ts, **options) -> Plan
    grid      see `grid.time_grid`
    terminal  whether the published grid ends in sigma = 0
    about     one line
    orders    the order of the error at the end of the probability flow, start-up included, for each value of the option
              `order` (None: it has no such option); without noise. A multistep plan starts with one value, which is
              enough where noise swamps the data: from there its order is that of its rows
    still     options that switch its noise off, where it draws by default
    weak      order of the variance of Gaussian data, with its noise on; None: it draws none, or none is claimed
    exact     the variable ("t", "rho", "lam") in polynomials of which its rows are exact: degree k - 1, if k values
    """

    make: Callable[..., Plan]
    grid: str
    about: str
    terminal: bool = False
    orders: Orders = field(default_factory=dict)
    still: Mapping[str, Any] = field(default_factory=dict)
    weak: int | None = None
    exact: Basis | None = None


_ONE_TO = {p: {q: q for q in range(1, p + 1)} for p in (3, 4, 6)}  # order p of `order` p
_DEGREES = {q: q + 1 for q in range(4)}
_AT_MOST_TWO = {1: 1, 2: 2, 3: 2, 4: 2}  # constant weights on grids that are not uniform

SAMPLERS: dict[str, Sampler] = {
    "ddim": Sampler(ddim, "lam", "order 1; eta = 1 is DDPM's ancestral step", orders={None: 1}),
    "deis-tab": Sampler(
        deis_tab, "quadratic", "DEIS, the noise a polynomial in t of degree `order` 0-3", orders=_DEGREES, exact="t"
    ),
    "deis-rho-ab": Sampler(
        deis_rho_ab,
        "quadratic",
        "DEIS, the noise a polynomial in rho of degree `order` 0-3",
        orders=_DEGREES,
        exact="rho",
    ),
    "deis-rho-rk4": Sampler(
        partial(rho_rk, tableau=RK4), "karras", "DEIS, classical Runge-Kutta in rho", orders={None: 4}
    ),
    "dpm-solver": Sampler(dpm_solver, "lam", "singlestep, noise, `order` 1-3 evaluations a step", orders=_ONE_TO[3]),
    "dpm-solver-fast": Sampler(
        dpm_solver, "lam", "DPM-Solver with `steps` evaluations in all, mixed orders", orders={None: 2}
    ),
    "dpmpp-1": Sampler(
        partial(dpm_solver, order=1, prediction="data"), "lam", "DPM-Solver++(1), which is DDIM", orders={None: 1}
    ),
    "dpmpp-2s": Sampler(
        partial(dpm_solver, order=2, prediction="data"), "lam", "DPM-Solver++(2S), singlestep", orders={None: 2}
    ),
    "dpmpp-3s": Sampler(
        partial(dpm_solver, order=3, prediction="data"), "lam", "DPM-Solver++(3S), singlestep", orders={None: 3}
    ),
    "dpmpp-2m": Sampler(dpmpp_2m, "lam", "DPM-Solver++(2M), multistep of order 2", orders={None: 2}),
    "dpmpp-3m": Sampler(
        dpmpp_3m, "lam", "DPM-Solver++(3M) with the factor that makes it of order 3", orders={None: 3}, exact="lam"
    ),
    "dpmpp-3m-as-shipped": Sampler(
        dpmpp_3m_as_shipped, "lam", "DPM-Solver++(3M) as code has it: half of its second derivative", orders={None: 2}
    ),
    "sde-dpmpp-2m": Sampler(
        partial(dpmpp_2m, tau=1.0), "lam", "SDE-DPM-Solver++(2M)", orders={None: 2}, still={"tau": 0.0}, weak=2
    ),
    "sde-dpmpp-3m": Sampler(
        partial(dpmpp_3m, tau=1.0),
        "lam",
        "SDE-DPM-Solver++(3M), signs and factors right",
        orders={None: 3},
        still={"tau": 0.0},
        exact="lam",
    ),
    "sde-dpmpp-2s": Sampler(
        sde_dpmpp_2s, "lam", "SDE-DPM-Solver++(2S), singlestep", orders={None: 2}, still={"tau": 0.0}, weak=2
    ),
    "unipc": Sampler(
        unipc,
        "lam",
        "predictor-corrector, order `order` + 1",
        orders={p: p + 1 for p in range(1, 7)},
        exact="lam",
    ),
    "unip": Sampler(
        partial(unipc, corrector=False), "lam", "UniPC without its corrector", orders=_ONE_TO[6], exact="lam"
    ),
    "dc-solver": Sampler(
        dc_solver, "lam", "UniPC, the newest value read off at a time shifted by fitted `ratios`", orders={2: 3, 3: 4}
    ),
    "dpm-solver-v3": Sampler(
        dpm_solver_v3,
        "lam",
        "multistep in a parameterisation measured from the model, `statistics`; UniPC without",
        orders={p: p + 1 for p in range(1, 4)},
    ),
    "usf": Sampler(
        usf,
        "lam",
        "prediction, order, points, corrector decided at every step; UniPC-3 unless told",
        orders={None: 4},
    ),
    "sa-solver": Sampler(
        sa_solver,
        "lam",
        "stochastic Adams, predictor and corrector, noise `tau`",
        orders={1: 2, 2: 3, 3: 4},
        still={"tau": 0.0},
        weak=2,
        exact="lam",
    ),
    "er-sde": Sampler(
        er_sde,
        "lam",
        "extended reverse SDE of any noise scale, `order` 1-3",
        orders=_ONE_TO[3],
        still={"scale": "ode"},
        weak=3,
        exact="rho",
    ),
    "heun": Sampler(heun, "karras", "EDM's sampler; `churn` adds noise", terminal=True, orders={None: 2}),
    "restart": Sampler(
        restart,
        "karras",
        "Heun, going back up by noise and down again",
        terminal=True,
        orders={None: 2},
        still={"intervals": ()},
    ),
    "consistency": Sampler(consistency, "karras", "denoise, noise again; for consistency models", terminal=True),
    "s-pndm": Sampler(s_pndm, "quadratic", "pseudo linear multistep of two values", orders={None: 2}),
    "f-pndm": Sampler(
        f_pndm, "quadratic", "pseudo linear multistep of four values, Runge-Kutta start", orders={None: 2}
    ),
    "ipndm": Sampler(ipndm, "karras", "constant Adams weights, no Runge-Kutta start", orders=_AT_MOST_TWO),
    "ipndm-v-as-shipped": Sampler(
        ipndm_v_as_shipped,
        "karras",
        "iPNDM for unequal steps as its code has it; its default `order` 4 is not consistent",
        orders=_ONE_TO[3],
    ),
    "hb": Sampler(
        heavy_ball,
        "quadratic",
        "Adams with heavy-ball momentum `beta`, for strong guidance",
        orders=dict.fromkeys(range(1, 5), 1),
    ),
    "ghvb": Sampler(ghvb, "quadratic", "generalised heavy ball, `order` 1-4, damping `beta`", orders=_AT_MOST_TWO),
    "ge": Sampler(
        gradient_estimation, "lam", "gradient estimation, 2 eps_0 - eps_1, for 5 to 10 steps", orders={None: 1}
    ),
    "bdia": Sampler(bdia, "quadratic", "two states, undone exactly; gamma = 1 is of order 2", orders={None: 2}),
    "o-belm": Sampler(o_belm, "quadratic", "two states, undone exactly, order 2 on any grid", orders={None: 2}),
    "flow-euler": Sampler(
        partial(flow, order=1), "t", "rectified flow by Euler's method, which is DDIM", orders={None: 1}
    ),
    "flow-ab": Sampler(
        flow,
        "t",
        "rectified flow by Adams and Bashforth, the flow a polynomial in t",
        orders=_ONE_TO[4],
        exact="t",
    ),
    "euler-maruyama": Sampler(euler_maruyama, "t", "the reverse SDE by Euler's method", weak=1),
    "sde-exponential": Sampler(
        exponential_sde, "t", "the reverse SDE exactly, but for the score, kept over a step", weak=1
    ),
    "reverse-diffusion": Sampler(reverse_diffusion, "t", "the forward chain reversed term by term", weak=1),
    "predictor-corrector": Sampler(predictor_corrector, "t", "reverse diffusion, with Langevin steps before each step"),
    "ancestral": Sampler(ancestral, "t", "DDPM's ancestral sampling", weak=1),
}


def build(
    name: str,
    schedule: Schedule,
    steps: int | None = None,
    *,
    ts: Any = None,
    grid: str | None = None,
    t_max: float | None = None,
    t_min: float | None = None,
    terminal: bool | None = None,
    short: bool = False,
    model: Prediction | None = None,
    **options: Any,
) -> Plan:
    """The plan of a sampler: build("unipc", VP(), steps=10, order=3).

    steps     number of steps; for "dpm-solver-fast" the number of evaluations
    ts        the times themselves, falling, instead of steps
    short     True: fewer steps than a method of that order needs are taken for what they are, its start-up alone
    model     what your model returns, where that is not what the sampler is made for (`rows.predict.predicting`)
    grid, t_max, t_min, terminal   see `grid.time_grid`; left out, the sampler's published choice
    options   of the builder: order, eta, corrector, variant, churn, lower_final, ...
    """
    sampler = find(name)
    if ts is not None and steps is not None:
        raise ValueError("give either steps or ts, not both.")
    if name == "dpm-solver-fast" and steps is not None:
        plan = dpm_solver_fast(schedule, check_steps(steps), t_max=t_max, t_min=t_min)
        return plan if model is None else predicting(plan, model, schedule.alpha, schedule.sigma)
    if ts is None:
        if steps is None:
            raise ValueError(f"{name} needs steps=..., a whole number of steps.")
        ends = {"t_max": t_max, "t_min": t_min, "terminal": sampler.terminal if terminal is None else terminal}
        ts = time_grid(schedule, steps, grid or sampler.grid, **ends)
    plan = _checked(_make(name, sampler.make, schedule, np.asarray(ts, np.float64), options), schedule, short)
    return plan if model is None else predicting(plan, model, schedule.alpha, schedule.sigma)


def _make(name: str, make: Callable[..., Plan], schedule: Schedule, ts: np.ndarray, options: dict[str, Any]) -> Plan:
    try:
        return make(schedule, ts, **options)
    except TypeError as error:  # an option of another sampler
        if "unexpected keyword" not in str(error):
            raise
        raise TypeError(f"{name} has no option {str(error).split()[-1]}; it was given {', '.join(options)}.") from None


def _checked(plan: Plan, schedule: Schedule, short: bool) -> Plan:
    least = plan.info.get("least", 1)
    if plan.steps < least and not short:
        raise ValueError(
            f"{plan.name} makes {plan.steps} steps, and with this order needs {least} to leave its start-up; take more "
            "steps, a lower order, or short=True for the start-up alone."
        )
    check_calls(plan, schedule)
    return plan


def check_calls(plan: Plan, schedule: Schedule) -> None:
    """Raise where the model would be asked for the noise, or the score, where there is none: at sigma = 0."""
    if plan.prediction not in ("noise", "score"):
        return
    tau = np.concatenate([np.ravel(np.asarray(segment.tau, np.float64)) for segment in plan.segments])
    clean = np.broadcast_to(schedule.sigma(tau) <= 0, tau.shape)
    if np.any(clean):
        raise ValueError(
            f"plan {plan.name!r} asks for the {plan.prediction} at t = {tau[clean][0]:g}, where sigma = 0 and there is "
            "none; end its grid above sigma = 0, or let its last row read data."
        )


def check_belongs(plan: Plan, schedule: Schedule) -> None:
    """Raise where constant data and noise are not kept on the way, by a fifth and more: the plan is damaged, or was
    built on another schedule. Plans that draw, that read a field, or that are or were fitted are not judged: what a fit
    to a network makes of constants is its own affair."""
    numbers = [c for segment in plan.segments for c in segment.coef]
    judged = plan.prediction is not None and plan.models == 1 and set(plan.consts) <= {ONES} and not plan.draws
    if (
        not judged
        or "tuned" in plan.info
        or plan.t.ndim != 1
        or not all(isinstance(c, np.ndarray) and c.ndim == 1 for c in numbers)
    ):
        return
    with np.errstate(all="ignore"):
        gap = checks.consistency(plan, schedule.alpha, schedule.sigma)
    if not gap < 0.2:
        raise ValueError(
            f"plan {plan.name!r} does not keep constant data and noise on {type(schedule).__name__}: it is off by "
            f"{gap:.1e} of them. Its numbers are damaged, or it was built for another schedule; build it on this one."
        )


def find(name: str) -> Sampler:
    if name not in SAMPLERS:
        near = get_close_matches(str(name), SAMPLERS, 3, 0.4)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(SAMPLERS)}."
        raise ValueError(f"{name!r} is not a sampler; {hint}")
    return SAMPLERS[name]


def schedule_of(plan: Plan) -> Schedule:
    """The schedule a diffusion plan was built on, from the facts it carries."""
    facts = dict(plan.info.get("schedule", {}))
    kind = facts.pop("kind", None)
    known = {**SCHEDULES, "DiscreteVP": DiscreteVP}  # a chain has no parameters that one would type
    if kind not in known:
        raise ValueError(f"plan {plan.name!r} does not say on which schedule it was built; pass schedule=... yourself.")
    return known[kind](**{key: tuple(v) if isinstance(v, list) else v for key, v in facts.items()})
