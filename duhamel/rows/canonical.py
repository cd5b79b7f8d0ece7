"""The canonical form of a plan: what it does, whatever rows it is written in.

Run on unit vectors, `step` gives every evaluation point and the final state as sums over

    basis = [x and other first slots | F1 .. Fn | every noise draw | constants]

with the k-th point free of Fk and later: a strictly lower-triangular matrix. Two plans with equal matrices are one
method: `plans_equal(ddim, unipc_of_order_1)`.

A model may return data D, noise eps, the score S, the velocity v or the flow eps - D; with x = alpha D + sigma eps each
is u x + w D, so a plan for one is rewritten for another by substituting  P = u_P x + (w_P / w_Q) (Q - u_Q x)  point by
point.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .host import march
from .plan import Plan

PREDICTIONS = ("data", "noise", "score", "velocity", "flow")


@dataclass(frozen=True, eq=False)
class Canonical:
    """The strictly lower-triangular form of a plan with n evaluations over a basis of B names.

    basis       names: first slots, "F1".."Fn", draws "z[step,draw]", constants
    tau, model  of each evaluation, shape (n,)
    points      where the model is evaluated, shape (n, B, *element)
    args        for each evaluation, the further arrays it receives, shape (number of args, B, *element)
    states      kept slots at the end, shape (slots, B, *element); row 0 is x
    prediction  what the F are
    consts      the constants among the basis
    """

    basis: tuple[str, ...]
    tau: np.ndarray
    model: np.ndarray
    points: np.ndarray
    args: tuple[np.ndarray, ...]
    states: np.ndarray
    prediction: str | None
    consts: tuple[str, ...] = ()

    def without(self, *names: str) -> "Canonical":
        """The form where these draws or constants are zero, and the draws that nothing reads are gone as well."""
        tables = [self.points, *self.args, self.states]
        read = [any(np.any(table[:, k] != 0) for table in tables) for k in range(len(self.basis))]
        idle = [name.startswith("z[") and not read[k] for k, name in enumerate(self.basis)]
        keep = [k for k, name in enumerate(self.basis) if name not in names and not idle[k]]
        return replace(
            self,
            basis=tuple(self.basis[k] for k in keep),
            points=self.points[:, keep],
            args=tuple(a[:, keep] for a in self.args),
            states=self.states[:, keep],
            consts=tuple(name for name in self.consts if name not in names),
        )

    def coefficient(self, row: int | None, name: str) -> Any:
        """Of a basis name in evaluation point `row` (from 0), or in the final x for None."""
        rows = self.states[0] if row is None else self.points[row]
        return rows[self.basis.index(name)]


def canonical(
    plan: Plan,
    prediction: str | None = None,
    alpha: Callable[[float], float] | None = None,
    sigma: Callable[[float], float] | None = None,
    *,
    slots: Sequence[str] = ("x",),
) -> Canonical:
    """The canonical form of `plan`, with its F rewritten as `prediction` (needs alpha(tau) and sigma(tau)).

    slots  the slots that start with values of their own and that are kept at the end; others start as zeros
    """
    if slots[0] != "x":
        raise ValueError(f"slots must begin with 'x', got {tuple(slots)}.")
    draws = _draw_names(plan)
    calls = [f"F{k + 1}" for k in range(plan.nfe)]
    basis = (*slots, *calls, *draws, *plan.consts)
    if len(set(basis)) < len(basis):
        raise ValueError(
            f"slots {tuple(slots)} share a name with the model values {calls[0]}..{calls[-1]}; rename them."
        )
    unit = dict(zip(basis, _units(plan, len(basis)), strict=True))
    record: list[tuple[float, int, Any, tuple]] = []

    def model(k: int) -> Callable:
        def call(tau: Any, z: Any, *args: Any) -> Any:
            record.append((float(tau), k, z, args))
            return unit[calls[len(record) - 1]]

        return call

    models = [model(k) for k in range(plan.models)]
    first = {name: unit[name] for name in slots}
    consts = {name: unit[name] for name in plan.consts}
    *_, last = march(plan, models, first, consts=consts, draw=lambda n, d: unit[f"z[{n},{d}]"])
    shape = unit["x"].shape
    form = Canonical(
        basis,
        np.array([tau for tau, *_ in record]),
        np.array([k for _, k, *_ in record], dtype=int),
        np.reshape([z for *_, z, _ in record], (-1, *shape)),
        tuple(np.reshape(list(args), (-1, *shape)) for *_, args in record),
        np.stack([last[name] for name in slots]),
        plan.prediction,
        plan.consts,
    )
    return form if prediction in (None, plan.prediction) else converted(form, prediction, alpha, sigma)


def converted(form: Canonical, prediction: str, alpha: Callable | None, sigma: Callable | None) -> Canonical:
    """The same method for a model that returns `prediction`; only model 0 predicts, others stay as they are."""
    if alpha is None or sigma is None:
        raise ValueError(f"rewriting {form.prediction!r} as {prediction!r} needs alpha(tau) and sigma(tau); pass both.")
    start = form.basis.index("F1") if len(form.tau) else 0
    points = form.points.copy()

    def rewrite(row: np.ndarray, known: int) -> np.ndarray:
        row = row.copy()
        for k in range(known):
            if form.model[k] == 0:
                a, s = float(alpha(form.tau[k])), float(sigma(form.tau[k]))
                u, w = affine(form.prediction, a, s)
                v, q = affine(prediction, a, s)
                c = row[start + k].copy()
                row[start + k] = c * w / q
                row += c * (u - w * v / q) * points[k]
        return row

    for k in range(len(points)):
        points[k] = rewrite(form.points[k], k)
    args = tuple(np.reshape([rewrite(a, k) for a in rows], rows.shape) for k, rows in enumerate(form.args))
    states = np.stack([rewrite(row, len(points)) for row in form.states])
    return replace(form, points=points, args=args, states=states, prediction=prediction)


def affine(prediction: str | None, alpha: Any, sigma: Any) -> tuple[Any, Any]:
    """(u, w) with prediction = u x + w D, for x = alpha D + sigma eps:

    data D, noise eps = (x - alpha D)/sigma, score S = -eps/sigma, velocity v = alpha eps - sigma D, flow eps - D.
    """
    if prediction == "data":
        return 0.0 * sigma, 1.0 + 0.0 * sigma
    if np.any(np.equal(sigma, 0)):
        raise ValueError(f"a model that returns {prediction!r} is undefined where sigma = 0; end the grid before it.")
    if prediction == "noise":
        return 1 / sigma, -alpha / sigma
    if prediction == "score":
        return -1 / sigma**2, alpha / sigma**2
    if prediction == "velocity":
        return alpha / sigma, -(alpha**2) / sigma - sigma
    if prediction == "flow":
        return 1 / sigma, -(alpha + sigma) / sigma
    raise ValueError(f"prediction must be one of {', '.join(PREDICTIONS)}, got {prediction!r}.")


def distance(
    a: Plan, b: Plan, alpha: Callable | None = None, sigma: Callable | None = None, *, slots: Sequence[str] = ("x",)
) -> float:
    """Largest difference between the canonical forms of two plans, relative to the largest number of each row;
    infinity when they evaluate other models or at other times, or draw or read another number of arrays."""
    f = canonical(a, slots=slots)
    return difference(f, canonical(b, f.prediction, alpha, sigma, slots=slots))


def difference(f: Canonical, g: Canonical) -> float:
    """`distance` of two plans whose canonical forms are known; F must be the same prediction in both."""
    if f.prediction != g.prediction:
        raise ValueError(f"one form has F = {f.prediction!r}, the other {g.prediction!r}; see `converted`.")
    if len(f.basis) != len(g.basis) or not np.array_equal(f.model, g.model) or f.consts != g.consts:
        return np.inf
    if not np.allclose(f.tau, g.tau, rtol=1e-9, atol=1e-12) or list(map(len, f.args)) != list(map(len, g.args)):
        return np.inf
    pairs = [*zip(f.points, g.points, strict=True), *zip(f.states, g.states, strict=True)]
    pairs += [pair for r, s in zip(f.args, g.args, strict=True) for pair in zip(r, s, strict=True)]
    return max(_relative(p, q) for p, q in pairs)


def _relative(p: np.ndarray, q: np.ndarray) -> float:
    p, q = (r.reshape(len(r), *(1,) * (max(p.ndim, q.ndim) - r.ndim), *r.shape[1:]) for r in (p, q))
    size = max(np.max(np.abs(p)), np.max(np.abs(q)))
    return float(np.max(np.abs(p - q)) / size) if size > 0 else 0.0


def plans_equal(
    a: Plan,
    b: Plan,
    alpha: Callable | None = None,
    sigma: Callable | None = None,
    *,
    rtol: float = 1e-10,
    slots: Sequence[str] = ("x",),
) -> bool:
    """Do two plans do the same with every model and every start? See `distance`."""
    return distance(a, b, alpha, sigma, slots=slots) <= rtol


def _draw_names(plan: Plan) -> list[str]:
    names, n = [], 0
    for segment in plan.segments:
        for _ in range(segment.steps):
            names += [f"z[{n},{d}]" for d in range(len(segment.pattern.draws))]
            n += 1
    return names


def _units(plan: Plan, size: int) -> np.ndarray:
    """Unit vectors, shape (size, size, *element), with axes for the elements of array coefficients."""
    numbers = [c for s in plan.segments for c in s.coef]
    element = np.broadcast_shapes(*(c.shape[1:] for c in numbers))
    dtype = np.result_type(np.float64, *(c.dtype for c in numbers))
    units = np.zeros((size, size, *element), dtype)
    units[np.arange(size), np.arange(size)] = 1
    return units
