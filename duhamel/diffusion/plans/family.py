"""Which published samplers are one and the same: canonical forms compared over the whole registry. NumPy only.

Two samplers coincide when their strictly lower-triangular forms are equal to rounding, on every schedule and grid that
is tried: they then do the same with every model and every start. Draws that nothing reads do not count, and a
mean-reverting plan is taken at mu = 0. On some grids or schedules more of them coincide (t = rho on EDM); that is told
apart.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from duhamel.methods.tableaux.low import EULER, HEUN
from duhamel.rows.canonical import Canonical, canonical, difference
from duhamel.rows.plan import Plan

from ..schedule import EDM, VP, Flow, Schedule
from .claims import default_of
from .grid import time_grid
from .mean_reverting import mean_reverting, mr_sampler
from .multistep import dpmpp_2m, multistep
from .registry import SAMPLERS
from .singlestep import rho_rk

ROUNDING = 1e-10  # forms that differ by less are one method; others differ by more than 1e-4
STEPS = 5
CASES: dict[str, tuple[Schedule, str]] = {
    "VP, equal steps in lambda": (VP(), "lam"),
    "VP, quadratic": (VP(), "quadratic"),
    "flow, equal steps in t": (Flow(shift=3.0), "t"),
    "EDM, Karras": (EDM(), "karras"),
    "EDM, equal steps in rho": (EDM(), "t"),
}

# Options that make other methods of a sampler, beyond each `order` it offers.
OPTIONS: dict[str, Sequence[Mapping[str, Any]]] = {
    "ddim": ({"eta": 0.5}, {"eta": 1.0}),
    "dpmpp-2m": ({"lower_final": True},),
    "unip": tuple(
        {"order": k, **more}
        for k in (1, 2, 3)
        for more in ({"variant": "bh1"}, {"variant": "vary"}, {"prediction": "noise"}, {"lower_final": True})
    ),
    "unipc": tuple(
        {"order": k, **more}
        for k in (1, 2, 3)
        for more in ({"variant": "bh1"}, {"variant": "vary"}, {"prediction": "noise"})
    ),
    "sa-solver": (
        *({"order": k, "corrector_order": 0, "tau": tau} for k in (1, 2, 3) for tau in (0.0, 0.7, 1.0)),
        *({"order": k, "tau": 0.0} for k in (1, 2, 3)),
    ),
    "er-sde": tuple({"order": k, "scale": scale} for k in (1, 2, 3) for scale in ("ode", "sde", 0.7)),
    "heun": ({"churn": 4.0},),
    "restart": ({"intervals": ()},),
    "hb": tuple({"order": k, "beta": 1.0} for k in range(1, 5)),
    "ghvb": tuple({"order": k, "beta": 1.0} for k in range(1, 5)),
    "ge": ({"gamma": 1.0}, {"gamma": 1.5}),
    "bdia": ({"gamma": 0.0}, {"gamma": 0.5}),
    "euler-maruyama": ({"final_noise": True},),
    "reverse-diffusion": ({"final_noise": True},),
    "sde-exponential": ({"final_noise": True},),
    "ancestral": ({"final_noise": True}, {"final_noise": True, "variance": "forward"}),
}
# Builders that have no name of their own in the registry.
MORE: dict[str, Callable[..., Plan]] = {
    "deis-rho-euler": partial(rho_rk, tableau=EULER),
    "deis-rho-heun": partial(rho_rk, tableau=HEUN),
    "sde-dpmpp-1": partial(multistep, "sde-dpmpp-1", order=1, tau=1.0),
    "adams-lam-2": partial(multistep, "adams-lam-2", order=2),
    "adams-lam-3": partial(multistep, "adams-lam-3", order=3),
    **{
        f"mr-{kind}-{prediction[0]}-{order} at mu=0": partial(mr_sampler, order=order, prediction=prediction, tau=tau)
        for kind, tau in (("ode", 0.0), ("sde", 1.0))
        for prediction in ("data", "noise")
        for order in (1, 2)
        if not (tau and prediction == "noise")
    },
}
MORE |= {
    f"mr({kind}dpmpp-2m) at mu=0": lambda schedule, ts, tau=tau: mean_reverting(dpmpp_2m(schedule, ts, tau=tau))
    for kind, tau in (("", 0.0), ("sde-", 1.0))
}
# Their steps are counted or begun in another way, so that they share no grid with the others.
LEFT_OUT = ("dpm-solver-fast",)


@dataclass(frozen=True)
class Member:
    """A sampler with options, its plan in every case, and the plans' canonical forms for data prediction."""

    sampler: str
    options: Mapping[str, Any]
    plans: Mapping[str, Plan] = field(repr=False)
    forms: Mapping[str, Canonical] = field(repr=False)

    @property
    def label(self) -> str:
        inside = ", ".join(f"{key}={value!r}" for key, value in self.options.items())
        return f"{self.sampler}({inside})" if inside else self.sampler


@dataclass(frozen=True)
class Family:
    """Members that are one method. `head` is the one with the fewest options, the earliest of them in the registry."""

    members: tuple[Member, ...]

    @property
    def head(self) -> Member:
        return min(self.members, key=lambda member: (len(member.options), self.members.index(member)))

    @property
    def others(self) -> tuple[Member, ...]:
        return tuple(member for member in self.members if member is not self.head)


@dataclass(frozen=True)
class Tree:
    """families    of at least two members that coincide in every case, the largest first
    alone       members that coincide with no other
    later       pairs of heads whose steps are the same once enough values are there: they differ in their start
    sometimes   case: pairs of heads that coincide there, though not everywhere
    """

    families: tuple[Family, ...]
    alone: tuple[Member, ...]
    later: tuple[tuple[Member, Member], ...]
    sometimes: Mapping[str, tuple[tuple[Member, Member], ...]]

    @property
    def edges(self) -> list[dict[str, Any]]:
        """ "A with options is B", as records: sampler, options, is."""
        return [
            {"sampler": member.sampler, "options": dict(member.options), "is": family.head.label}
            for family in self.families
            for member in family.others
        ]


def members(names: Sequence[str] | None = None, steps: int = STEPS) -> list[Member]:
    """Every sampler of the registry (or those named) with each order and the options of OPTIONS, and MORE."""
    known = [name for name in SAMPLERS if name not in LEFT_OUT]
    found, seen = [], set()
    for name in known if names is None else names:
        sampler = SAMPLERS[name]
        default = default_of(sampler.make, "order")
        orders = [{} if k is None or k == default else {"order": k} for k in sampler.orders if k is None or k <= 4]
        for options in [{}, *orders, *OPTIONS.get(name, ())]:
            member = Member(name, {k: v for k, v in options.items() if (k, v) != ("order", default)}, {}, {})
            if member.label not in seen:
                seen.add(member.label)
                make = partial(sampler.make, **options)
                found.append(_member(name, member.options, make, steps))
    if names is None:
        found += [_member(label, {}, make, steps) for label, make in MORE.items()]
    return found


def tree(found: Sequence[Member] | None = None) -> Tree:
    """Group members by what they do."""
    found = members() if found is None else list(found)
    groups = _groups(found)
    families = sorted((Family(tuple(g)) for g in groups if len(g) > 1), key=lambda f: -len(f.members))
    alone = tuple(g[0] for g in groups if len(g) == 1)
    heads, later = [*(family.head for family in families), *alone], []
    pairs: dict[str, list[tuple[Member, Member]]] = {}
    for a, b in combinations(heads, 2):
        for case in CASES:
            if difference(a.forms[case], b.forms[case]) <= ROUNDING:
                pairs.setdefault(case, []).append((a, b))
        if all(_alike_at_the_end(a.plans[case], b.plans[case]) for case in CASES):
            later.append((a, b))
    return Tree(tuple(families), alone, tuple(later), {case: tuple(same) for case, same in pairs.items()})


def coincide(a: Member, b: Member) -> bool:
    """Are two members one method, in every case?"""
    return all(difference(a.forms[case], b.forms[case]) <= ROUNDING for case in CASES)


def _member(name: str, options: Mapping[str, Any], make: Callable[[Schedule, Any], Plan], steps: int) -> Member:
    plans, forms = {}, {}
    for case, (schedule, grid) in CASES.items():
        end = float(schedule.t_of_rho(np.float64(0.01)))
        plan = plans[case] = make(schedule, time_grid(schedule, steps, grid, t_min=end))
        form = canonical(plan, "data", schedule.alpha, schedule.sigma)
        forms[case] = form.without(*form.consts)
    return Member(name, options, plans, forms)


def _groups(found: Sequence[Member]) -> list[list[Member]]:
    groups: list[list[Member]] = []
    for member in found:
        for group in groups:
            if coincide(group[0], member):
                group.append(member)
                break
        else:
            groups.append([member])
    return groups


def _alike_at_the_end(a: Plan, b: Plan, last: int = 2) -> bool:
    """Are the last steps written in the same rows with the same numbers?"""
    p, q = a.segments[-1], b.segments[-1]
    if a.prediction != b.prediction or p.pattern != q.pattern:
        return False
    return all(
        np.allclose(np.broadcast_to(c, (p.steps,))[-last:], np.broadcast_to(d, (q.steps,))[-last:], rtol=1e-9)
        for c, d in zip(p.coef, q.coef, strict=True)
    )
