"""Plans with a few more numbers a step, which are fitted to a model: what D-ODE, IIA and the timestep aligner add to
any sampler. NumPy only.

Each function takes a plan and the numbers, and returns a plan; numbers that add nothing (0, or the plan's own times)
return the sampler itself. `rows.greedy.fit_steps` fits them step by step, `rows.tune.fit` all together:

    base = build("ddim", VP(), steps=8)
    fitted = fit_steps(lambda theta: distilled(base, theta), np.zeros((8, 1)), model, x, along(states), held_out)
    fitted.plan.save("d-ddim.npz")          # with info["fitted"]: how, on how many noises, errors before and after
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from duhamel.rows.canonical import affine
from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.plan import Plan, Segment

from ..schedule import Schedule

Table = list[tuple[Row, list[Any]]]


def table(segment: Segment) -> Table:
    """The rows of a segment, each with its coefficients."""
    given = iter(segment.coef)
    return [(row, [next(given) for _ in row.reads]) for row in segment.pattern.rows]


def segment_of(rows: Table, like: Segment, keep: Sequence[tuple[str, str]], consts: Sequence[str] = ()) -> Segment:
    """The segment of these rows, with the draws, constants and model times of another one."""
    before = like.pattern
    pattern = Pattern(tuple(row for row, _ in rows), tuple(keep), before.draws, (*before.consts, *consts))
    return Segment(pattern, tuple(c for _, coef in rows for c in coef), like.tau)


def distilled(plan: Plan, lam: Any) -> Plan:
    """D-ODE solver (Kim et al., arXiv 2309.16421): each value F_k of the model becomes (1 + lam_k) F_k - lam_k F_(k-1)

    lam  one for each call, shape (nfe,) or (steps, calls a step); the first is 0, for nothing comes before it
    F_(k-1) is the model's own value one call before, in this step or the last. Works on every plan of one model: DDIM,
    iPNDM, DPM-Solver, DEIS, EDM; old values that a multistep sampler keeps are the adjusted ones. On DDIM lam = 0.5 is
    about the Adams method of two values.
    """
    if plan.models > 1:
        raise ValueError(f"plan {plan.name!r} calls {plan.models} models; distilled adjusts the values of one.")
    lam = _flat(lam, plan, "lam")
    if lam[0] != 0:
        raise ValueError(f"lam[0] = {lam[0]:g}; the first call has no value before it, so it must be 0.")
    segments = []
    for segment, own in zip(plan.segments, _parted(lam, plan), strict=True):
        rows, last, k = [], "F_last", 0
        for row, coef in table(segment):
            if row.call is None:
                rows.append((row, coef))
                continue
            raw = f"raw_{row.call}"
            rows.append((replace(row, call=raw), coef))
            rows.append((Row(row.call, (last, raw)), [-own[:, k], 1 + own[:, k]]))
            last, k = raw, k + 1
        segments.append(segment_of(rows, segment, (*segment.pattern.keep, ("F_last", last))))
    return replace(plan, name=f"d-{plan.name}", segments=tuple(segments))


def improved(plan: Plan, phi: Any, schedule: Schedule | None = None) -> Plan:
    """Improved integration approximation (Zhang et al., arXiv 2304.11328): how the model's values changed since the
    step before is added to where a step ends

        x_next + sum_k phi_k (V_k - V_k')        V_k' what V_k was in the step before

    V are the values of the step's calls: `phi` of shape (steps, calls). With `schedule` each counts twice, as data D
    and as noise eps (eq. 6 for DDIM): shape (steps, 2 calls). phi[0] = 0. IIA-DDIM: DDIM; IIA-EDM: Heun without noise.
    Where the last step makes fewer calls than the others, its last columns are not read.
    """
    if any(row.model for p in plan.patterns for row in p.rows):
        raise ValueError(f"plan {plan.name!r} calls {plan.models} models; improved adds differences of one.")
    calls = max(p.calls for p in plan.patterns)
    wanted = (plan.steps, calls * (1 if schedule is None else 2))
    phi = np.asarray(phi, np.float64)
    if phi.shape != wanted or np.any(phi[0] != 0):
        raise ValueError(f"phi has shape {phi.shape}; give {wanted}, a row for each step, the first of zeros.")
    segments, n = [], 0
    for segment in plan.segments:
        rows, names = table(segment), []
        for row, _ in list(rows):
            if row.call is None:
                continue
            if schedule is not None:
                other = "noise" if plan.prediction == "data" else "data"
                rows.insert(_at(rows, row) + 1, _converted(row, segment, plan, other, schedule))
                names.append(f"{other}_{row.call}")
            names.insert(len(names) - (schedule is not None), row.call)
        own = phi[n : n + segment.steps]
        rows = _with_differences(rows, dict(segment.pattern.keep)["x"], names, own, plan.name)
        segments.append(segment_of(rows, segment, (*segment.pattern.keep, *((f"{v}_before", v) for v in names))))
        n += segment.steps
    return replace(plan, name=f"iia-{plan.name}", segments=tuple(segments))


def aligned(plan: Plan, tau: Any) -> Plan:
    """Timestep aligner (Xia et al., arXiv 2310.09469): the model is asked at times tau instead of the plan's own

        x_next = step(x, F = model(tau_n, x)),      tau shape (nfe,) or (steps, calls a step)

    The step itself stays that from t[n] to t[n + 1]. A good start is the plan's own times: see `shifted`. The paper
    asks networks for the noise; on exact scores and on a denoiser trained as one, plans for "data" gain more.
    """
    tau = _flat(tau, plan, "tau")
    segments = [Segment(s.pattern, s.coef, own) for s, own in zip(plan.segments, _parted(tau, plan), strict=True)]
    return replace(plan, name=f"aligned-{plan.name}", segments=tuple(segments))


def shifted(plan: Plan, schedule: Schedule, theta: Any) -> Plan:
    """`aligned` at lam(tau) = lam(the plan's times) + theta, within the grid's ends; 0 is the plan itself."""
    theta = _flat(theta, plan, "theta")
    own = np.concatenate([s.tau.ravel() for s in plan.segments])
    noisy = plan.t[np.asarray(schedule.rho(plan.t)) > 0]
    lam = np.clip(schedule.lam(own) + theta, schedule.lam(np.max(noisy)), schedule.lam(np.min(noisy)))
    return aligned(plan, schedule.t_of_lam(lam))


def _flat(numbers: Any, plan: Plan, what: str) -> np.ndarray:
    numbers = np.asarray(numbers, np.float64).ravel()
    if numbers.shape != (plan.nfe,):
        raise ValueError(f"{what} holds {numbers.size} numbers; plan {plan.name!r} calls its model {plan.nfe} times.")
    return numbers


def _parted(numbers: np.ndarray, plan: Plan) -> list[np.ndarray]:
    """One number for each call, as (steps, calls) of each segment."""
    ends = np.cumsum([s.tau.size for s in plan.segments])[:-1]
    return [part.reshape(s.tau.shape) for part, s in zip(np.split(numbers, ends), plan.segments, strict=True)]


def _at(rows: Table, row: Row) -> int:
    return next(i for i, (other, _) in enumerate(rows) if other is row)


def _converted(row: Row, segment: Segment, plan: Plan, other: str, schedule: Schedule) -> tuple[Row, list[Any]]:
    """The row that makes `other` of a call's value: (F - u x)/w is D, and each prediction is u x + w D."""
    calls = [r for r in segment.pattern.rows if r.call is not None]
    times = segment.tau[:, calls.index(row)]
    alpha, sigma = np.broadcast_to(schedule.alpha(times), times.shape), schedule.sigma(times)
    (u, w), (v, q) = affine(plan.prediction, alpha, sigma), affine(other, alpha, sigma)
    return Row(f"{other}_{row.call}", (str(row.call), row.out)), [q / w, v - q * u / w]


def _with_differences(rows: Table, end: str, names: list[str], phi: np.ndarray, plan: str) -> Table:
    """Adds phi_k (V_k - V_k before) to the row that builds the next state."""
    here = next((i for i, (row, _) in enumerate(rows) if row.out == end), None)
    if here is None or any(row.call for row, _ in rows[here:]):
        raise ValueError(f"the last row of plan {plan!r} does not build its next state; improved cannot add to it.")
    row, coef = rows[here]
    reads, added = [], []
    for k, name in enumerate(names):
        reads += [f"{name}_before", name]
        added += [-phi[:, k], phi[:, k]]
    rows[here] = (replace(row, reads=(*reads, *row.reads)), [*added, *coef])
    return rows
