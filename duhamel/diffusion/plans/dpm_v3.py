"""DPM-Solver-v3: exponential multistep in a parameterisation measured from the model (Zheng et al., arXiv 2310.13268).

With y = x/alpha, lam = log(alpha/sigma), the model's noise eps, and numbers l, s, b of lam, one for each element of x,

    f = (sigma eps - l x)/alpha = (1 - l) y - D,    dy/dlam = -l y - f                  l takes the linear part off
    g = e^(-(S - S_s)) f - B,    S = int s,    B = int_(lam_s) e^(-(S - S_s)) b         s and b: how f grows and drifts
    y_t = e^-(L_t - L_s) (y_s - int_(lam_s)^(lam_t) e^(L + S - L_s - S_s) (g + B) dlam),    L = int l

and g is replaced by the polynomial in lam through a few of its values, as in every Adams method. The *empirical model
statistics* l, s, b that make f and g as constant as they can be are `diffusion.statistics.model_statistics`; (1, 0, 0)
is DPM-Solver++, (0, -1, 0) DPM-Solver. All integrals are Gauss's, in float64, over cubic splines of the statistics, so
times need not be rounded to nodes. NumPy and SciPy only.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline

from duhamel.core.files import whole
from duhamel.core.quadrature import gauss_legendre
from duhamel.rows.pattern import ONES, Row
from duhamel.rows.plan import Plan, Segment

from ..schedule import Schedule
from .adjusted import segment_of, table
from .grid import check_times
from .multistep import adams, describe, moulton

NODES, WEIGHTS = gauss_legendre(16)
PANEL = 0.5  # longest panel in lam


@dataclass(frozen=True)
class Statistics:
    """l, s, b at nodes of lam, each (nodes, *element); lam rises. element: () for numbers, or the shape of a sample."""

    lam: np.ndarray
    l: np.ndarray
    s: np.ndarray
    b: np.ndarray

    def __post_init__(self) -> None:
        lam, rest = np.asarray(self.lam), [np.asarray(a) for a in (self.l, self.s, self.b)]
        if lam.ndim != 1 or len(lam) < 2 or not np.all(np.diff(lam) > 0):
            raise ValueError("the nodes lam must be at least two, in rising order.")
        if len({a.shape for a in rest}) != 1 or rest[0].shape[:1] != lam.shape:
            raise ValueError(f"l, s and b have shapes {[a.shape for a in rest]}; give each ({len(lam)}, *element).")
        if not all(np.all(np.isfinite(a)) for a in (lam, *rest)):
            raise ValueError("the statistics are not finite; estimate them again with more samples.")

    @staticmethod
    def constant(low: float, high: float, l: float = 1.0, s: float = 0.0, b: float = 0.0) -> "Statistics":
        """The same l, s, b from lam = low to high: (1, 0, 0) DPM-Solver++, (0, -1, 0) DPM-Solver."""
        return Statistics(np.array([low, high], np.float64), *(np.full(2, float(a)) for a in (l, s, b)))

    def save(self, path: str | Path) -> Path:
        """Write an .npz with lam, l, s, b."""
        with whole(path) as draft, draft.open("wb") as file:
            np.savez(file, lam=self.lam, l=self.l, s=self.s, b=self.b)
        return Path(path)

    @staticmethod
    def load(path: str | Path, lam: tuple[float, float] | None = None) -> "Statistics":
        """What `save` wrote; or the authors' folder with l.npz (l) and sb.npz (s, b), whose nodes are equal steps
        between the ends `lam` = (lam at the noisy end, lam at the clean end)."""
        path = Path(path)
        try:
            if path.is_dir():
                if lam is None:
                    raise ValueError("its files do not hold lam, pass lam=(low, high)")
                with np.load(path / "l.npz") as first, np.load(path / "sb.npz") as second:
                    l, s, b = first["l"], second["s"], second["b"]
                nodes = np.linspace(*lam, len(l))
            else:
                with np.load(path) as file:
                    nodes, l, s, b = (file[name] for name in ("lam", "l", "s", "b"))
            return Statistics(*(np.asarray(a, np.float64) for a in (nodes, l, s, b)))
        except (OSError, KeyError, ValueError, EOFError) as error:
            raise ValueError(f"{str(path)!r} holds no model statistics ({error}).") from None


def dpm_solver_v3(
    schedule: Schedule,
    ts: Any,
    order: int = 3,
    *,
    statistics: Statistics | None = None,
    corrector: bool = True,
    pseudo: bool = False,
    lower_final: bool = False,
) -> Plan:
    """DPM-Solver-v3 of `order` values, with a corrector of one more; order p, or p + 1 with it. Prediction "data".

    statistics  None: (1, 0, 0), and the plan is UniPC with exact integrals
    pseudo      derivatives by nested divided differences instead of the polynomial's: the paper's choice for few calls,
                of order 2. The same where two values meet
    lower_final orders ..., 2, 1 in the last steps
    A last step to sigma = 0 gives D, as f and the corrected state say it.
    """
    ts = check_times(schedule, ts)
    if order not in (1, 2, 3, 4):
        raise ValueError(f"order = {order!r}; dpm_solver_v3 knows 1, 2, 3 and 4.")
    lam, alpha = np.asarray(schedule.lam(ts)), np.broadcast_to(schedule.alpha(ts), ts.shape)
    given = _checked(statistics, lam[np.isfinite(lam)])
    steps, element = len(ts) - 1, np.shape(given.l)[1:]
    flow = _Flow(given)
    carries, drift = np.zeros((steps, *element)), np.zeros((2, steps, *element))
    predict, correct = np.zeros((steps, order, *element)), np.zeros((steps, order + 1, *element))
    orders = [min(order, n + 1, steps - n if lower_final else order) for n in range(steps)]
    f_of_x = 1 - flow.l(lam[:-1])
    f_of_x = f_of_x / _like(alpha[:-1], f_of_x)
    for n in range(steps):
        if np.isinf(lam[n + 1]):
            carries[n], predict[n, 0] = alpha[n + 1] * f_of_x[n], -alpha[n + 1]
            continue
        ends, k = (lam[n], lam[n + 1], alpha[n], alpha[n + 1]), orders[n]
        carries[n], predict[n, :k], drift[1, n] = flow.step(*ends, lam[n - np.arange(k)], pseudo)
        if corrector and n + 1 < steps:
            # the new value second: nested differences start from where the step begins
            nodes = np.array([lam[n], lam[n + 1], *lam[n - np.arange(1, k)]])
            _, w, drift[0, n + 1] = flow.step(*ends, nodes, pseudo)
            correct[n + 1, : k + 1] = w[[1, 0, *range(2, k + 1)]]
    segment = moulton(ts, carries, predict, correct, None, False) if corrector else adams(ts, carries, predict)
    segment = _of_f(segment, f_of_x, drift if np.any(given.b != 0) else None)
    facts = {"order": order, "corrector": corrector, "pseudo": pseudo, "statistics": statistics is not None}
    return Plan("dpm-solver-v3", (segment,), ts, "data", describe(schedule) | facts)


def _checked(statistics: Statistics | None, lam: np.ndarray) -> Statistics:
    """(1, 0, 0) where none are given; those that are must cover the grid."""
    low, high = float(lam[0]), float(lam[-1])
    if statistics is None:
        return Statistics.constant(low, max(high, low + 1.0))
    first, last, slack = statistics.lam[0], statistics.lam[-1], 1e-6 * (1 + high - low)
    if first > low + slack or last < high - slack:
        raise ValueError(
            f"the statistics cover lam from {first:.4g} to {last:.4g}, the grid goes from {low:.4g} to {high:.4g}; "
            "estimate them for its whole range."
        )
    return statistics


def _of_f(segment: Segment, f_of_x: np.ndarray, drift: np.ndarray | None) -> Segment:
    """The segment with f = (1 - l) x/alpha - D in place of the values F, and the drift of b as a multiple of ones."""
    rows = []
    for row, coef in table(segment):
        row = replace(row, reads=tuple("f" if name == "F" else name for name in row.reads))
        if row.call is None and drift is not None:
            row, coef = replace(row, reads=(ONES, *row.reads)), [drift[int(row.out == "x_next")], *coef]
        rows.append((row, coef))
        if row.call is not None:
            rows.append((Row("f", ("F", "x")), [-np.ones(1), f_of_x]))
    keep = [(slot, "f" if source == "F" else source) for slot, source in segment.pattern.keep]
    return segment_of(rows, segment, keep, (ONES,) if drift is not None else ())


class _Flow:
    """L, S and the integrals of one step, for the elements of the statistics together."""

    def __init__(self, given: Statistics):
        self.l, self.s, self.b = (CubicSpline(given.lam, a, axis=0) for a in (given.l, given.s, given.b))
        self.L, self.S = self.l.antiderivative(), self.s.antiderivative()

    def step(
        self, lam_s: float, lam_t: float, alpha_s: float, alpha_t: float, nodes: np.ndarray, pseudo: bool
    ) -> tuple[Any, np.ndarray, Any]:
        """What multiplies x_s, the f at the nodes, and 1."""
        q, w = _panels(lam_s, lam_t)
        B = self.drift(lam_s, lam_t)
        kernel = np.exp(self.L(q) + self.S(q) - self.L(lam_s) - self.S(lam_s)) * _like(w, B)
        shrink = np.exp(self.L(lam_s) - self.L(lam_t))
        basis = _basis(nodes, q, pseudo)  # (nodes, quadrature)
        onto_g = np.tensordot(basis, kernel, 1)
        damped = np.exp(self.S(lam_s) - self.S(nodes))
        at_nodes = np.stack([self.total(lam_s, node) for node in nodes])
        bias = np.sum(kernel * B, axis=0) - np.sum(onto_g * at_nodes, axis=0)
        return alpha_t / alpha_s * shrink, -alpha_t * shrink * onto_g * damped, -alpha_t * shrink * bias

    def drift(self, lam_s: float, lam_t: float) -> np.ndarray:
        """B at the quadrature points of `_panels(lam_s, lam_t)`: panel by panel, each from where the last one ended."""
        q, w = _panels(lam_s, lam_t)
        phi = np.exp(self.S(lam_s) - self.S(q)) * self.b(q)
        phi, w = phi.reshape(-1, len(NODES), *phi.shape[1:]), w.reshape(-1, len(NODES))
        within = np.einsum("ik,pk...->pi...", INTEGRALS, phi) * _like(w.sum(axis=1), phi)
        whole = np.einsum("pk,pk...->p...", w, phi)
        before = np.cumsum(whole, axis=0) - whole
        return (before[:, None] + within).reshape(len(q), *phi.shape[2:])

    def total(self, lam_s: float, node: float) -> Any:
        """B at a node, on either side of lam_s."""
        q, w = _panels(lam_s, node)
        return np.tensordot(w, np.exp(self.S(lam_s) - self.S(q)) * self.b(q), 1)


def _panels(a: float, b: float) -> tuple[np.ndarray, np.ndarray]:
    """Gauss points and weights from a to b, in panels of at most `PANEL`."""
    edges = np.linspace(a, b, 1 + max(1, int(np.ceil(abs(b - a) / PANEL))))
    h = np.diff(edges)[:, None]
    return (edges[:-1, None] + h * NODES).ravel(), (h * WEIGHTS).ravel()


def _basis(nodes: np.ndarray, lam: np.ndarray, pseudo: bool) -> np.ndarray:
    """p_j with g(lam) ~ sum_j p_j(lam) g_j, shape (nodes, *lam.shape): Newton's form, or, pseudo, its powers of
    (lam - nodes[0]) in place of the products."""
    p, term = np.zeros((len(nodes), len(lam))), np.ones(len(lam))
    for k in range(len(nodes)):
        for j in range(k + 1):
            p[j] += term / np.prod([nodes[j] - nodes[m] for m in range(k + 1) if m != j])
        term = term * (lam - nodes[0 if pseudo else k])
    return p


def _like(w: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Weights with axes for the elements of `value`."""
    return w.reshape(*w.shape, *(1,) * (value.ndim - w.ndim))


def _integrals() -> np.ndarray:
    """int_0^(node i) of Lagrange polynomial k, over the length of the panel: (nodes, nodes)."""
    x, legendre = 2 * NODES - 1, np.polynomial.legendre
    n = len(x)
    onto = (
        legendre.legvander(x, n - 1) * (2 * np.arange(n) + 1) * WEIGHTS[:, None]
    )  # Lagrange polynomials in Legendre's
    primitive = legendre.legint(onto.T, lbnd=-1, axis=0)
    return 0.5 * legendre.legval(x, primitive).T


INTEGRALS = _integrals()
