"""Samplers by the names papers use. NumPy only."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any

import numpy as np

from duhamel.methods.tableaux.low import RK4
from duhamel.rows.plan import Plan

from ..schedule import EDM, VE, VP, Cosine, Flow, MeanReverting, Schedule, SubVP
from .er_sde import er_sde
from .grid import check_steps, time_grid
from .inversion import bdia, o_belm
from .momentum import ghvb, gradient_estimation, heavy_ball
from .multistep import ddim, deis_rho_ab, deis_tab, dpmpp_2m, dpmpp_3m, flow, sa_solver, unipc
from .pndm import f_pndm, ipndm, s_pndm
from .singlestep import dpm_solver, dpm_solver_fast, heun, restart, rho_rk
from .stochastic import ancestral, euler_maruyama, predictor_corrector, reverse_diffusion
from .usf import usf

SCHEDULES: dict[str, type[Schedule]] = {
    kind.__name__: kind for kind in (VP, SubVP, VE, Cosine, EDM, Flow, MeanReverting)
}


@dataclass(frozen=True)
class Sampler:
    """A builder and the grid it is published with.

    make      (schedule, ts, **options) -> Plan
    grid      see `grid.time_grid`
    terminal  whether the published grid ends in sigma = 0
    about     one line
    """

    make: Callable[..., Plan]
    grid: str
    about: str
    terminal: bool = False


SAMPLERS: dict[str, Sampler] = {
    "ddim": Sampler(ddim, "lam", "order 1; eta = 1 is DDPM's ancestral step"),
    "deis-tab": Sampler(deis_tab, "quadratic", "DEIS, the noise a polynomial in t of degree `order` 0-3"),
    "deis-rho-ab": Sampler(deis_rho_ab, "quadratic", "DEIS, the noise a polynomial in rho of degree `order` 0-3"),
    "deis-rho-rk4": Sampler(partial(rho_rk, tableau=RK4), "karras", "DEIS, classical Runge-Kutta in rho"),
    "dpm-solver": Sampler(dpm_solver, "lam", "singlestep, noise, `order` 1-3 evaluations a step"),
    "dpm-solver-fast": Sampler(dpm_solver, "lam", "DPM-Solver with `steps` evaluations in all, mixed orders"),
    "dpmpp-1": Sampler(partial(dpm_solver, order=1, prediction="data"), "lam", "DPM-Solver++(1), which is DDIM"),
    "dpmpp-2s": Sampler(partial(dpm_solver, order=2, prediction="data"), "lam", "DPM-Solver++(2S), singlestep"),
    "dpmpp-3s": Sampler(partial(dpm_solver, order=3, prediction="data"), "lam", "DPM-Solver++(3S), singlestep"),
    "dpmpp-2m": Sampler(dpmpp_2m, "lam", "DPM-Solver++(2M), multistep of order 2"),
    "dpmpp-3m": Sampler(dpmpp_3m, "lam", "DPM-Solver++(3M) with the factor that makes it of order 3"),
    "sde-dpmpp-2m": Sampler(partial(dpmpp_2m, tau=1.0), "lam", "SDE-DPM-Solver++(2M)"),
    "unipc": Sampler(unipc, "lam", "predictor-corrector, order `order` + 1"),
    "unip": Sampler(partial(unipc, corrector=False), "lam", "UniPC without its corrector"),
    "usf": Sampler(usf, "lam", "prediction, order, points, corrector decided at every step; UniPC-3 unless told"),
    "sa-solver": Sampler(sa_solver, "lam", "stochastic Adams, predictor and corrector, noise `tau`"),
    "er-sde": Sampler(er_sde, "lam", "extended reverse SDE of any noise scale, `order` 1-3"),
    "heun": Sampler(heun, "karras", "EDM's sampler; `churn` adds noise", terminal=True),
    "restart": Sampler(restart, "karras", "Heun, going back up by noise and down again", terminal=True),
    "s-pndm": Sampler(s_pndm, "quadratic", "pseudo linear multistep of two values"),
    "f-pndm": Sampler(f_pndm, "quadratic", "pseudo linear multistep of four values, Runge-Kutta start"),
    "ipndm": Sampler(ipndm, "karras", "constant Adams weights, no Runge-Kutta start"),
    "hb": Sampler(heavy_ball, "quadratic", "Adams with heavy-ball momentum `beta`, for strong guidance"),
    "ghvb": Sampler(ghvb, "quadratic", "generalised heavy ball, `order` 1-4, damping `beta`"),
    "ge": Sampler(gradient_estimation, "lam", "gradient estimation, 2 eps_0 - eps_1, for 5 to 10 steps"),
    "bdia": Sampler(bdia, "quadratic", "two states, undone exactly; gamma = 1 is of order 2"),
    "o-belm": Sampler(o_belm, "quadratic", "two states, undone exactly, order 2 on any grid"),
    "flow-euler": Sampler(partial(flow, order=1), "t", "rectified flow by Euler's method, which is DDIM"),
    "flow-ab": Sampler(flow, "t", "rectified flow by Adams and Bashforth, the flow a polynomial in t"),
    "euler-maruyama": Sampler(euler_maruyama, "t", "the reverse SDE by Euler's method"),
    "reverse-diffusion": Sampler(reverse_diffusion, "t", "the forward chain reversed term by term"),
    "predictor-corrector": Sampler(predictor_corrector, "t", "reverse diffusion, with Langevin steps before each step"),
    "ancestral": Sampler(ancestral, "t", "DDPM's ancestral sampling"),
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
    **options: Any,
) -> Plan:
    """The plan of a sampler: build("unipc", VP(), steps=10, order=3).

    steps     number of steps; for "dpm-solver-fast" the number of evaluations
    ts        the times themselves, falling, instead of steps
    grid, t_max, t_min, terminal   see `grid.time_grid`; left out, the sampler's published choice
    options   of the builder: order, eta, corrector, variant, churn, lower_final, ...
    """
    sampler = find(name)
    if ts is not None and steps is not None:
        raise ValueError("give either steps or ts, not both.")
    if ts is not None and name != "dpm-solver-fast":
        return _make(name, sampler.make, schedule, np.asarray(ts, np.float64), options)
    if steps is None:
        raise ValueError(f"{name} needs steps=..., a whole number of steps.")
    if name == "dpm-solver-fast":
        return dpm_solver_fast(schedule, check_steps(steps), t_max=t_max, t_min=t_min)
    ends = {"t_max": t_max, "t_min": t_min, "terminal": sampler.terminal if terminal is None else terminal}
    return _make(name, sampler.make, schedule, time_grid(schedule, steps, grid or sampler.grid, **ends), options)


def _make(name: str, make: Callable[..., Plan], schedule: Schedule, ts: np.ndarray, options: dict[str, Any]) -> Plan:
    try:
        return make(schedule, ts, **options)
    except TypeError as error:  # an option of another sampler
        if "unexpected keyword" not in str(error):
            raise
        raise TypeError(f"{name} has no option {str(error).split()[-1]}; it was given {', '.join(options)}.") from None


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
    if kind not in SCHEDULES:
        raise ValueError(f"plan {plan.name!r} does not say on which schedule it was built; pass schedule=... yourself.")
    return SCHEDULES[kind](**facts)
