"""Singly diagonally implicit Runge-Kutta methods with an explicit first stage: numbers and references."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from .imex import ImexTableau
from .kencarp import KENCARP3, KENCARP4, KENCARP5

Weights = tuple[float, ...]


@dataclass(frozen=True)
class DiagonallyImplicit:
    """A stiffly accurate ESDIRK method and its embedded error estimate.

        z_1 = x,    z_i = x + h (sum_{j<i} a_ij k_j + gamma k_i),    k_i = f(t + c_i h, z_i),    x(t + h) = z_s
        error       = h sum_i error_i k_i                                       O(h^(error_order + 1))

    name         the usual name
    order        order p of the solution that is carried on
    error_order  order of the estimate minus one, or None: no estimate
    c, a         nodes (s,); rows of lengths 0, 1, ..., s - 1 below the diagonal
    gamma        the diagonal, the same in every implicit stage, so that one factorization serves them all
    error        weights of the estimate (s,), or None
    reference    where the numbers come from
    """

    name: str
    order: int
    error_order: int | None
    c: Weights
    a: tuple[Weights, ...]
    gamma: float
    error: Weights | None
    reference: str

    def __post_init__(self):
        if [len(row) for row in self.a] != list(range(len(self.c))):
            raise ValueError(f"tableau {self.name!r}: a needs rows of 0, 1, ... entries, one row a stage.")
        if (self.error is None) != (self.error_order is None) or len(self.error or self.c) != len(self.c):
            raise ValueError(f"tableau {self.name!r}: error needs one weight a stage, and error_order goes with it.")

    @property
    def stages(self) -> int:
        """Stages of a step, the explicit first one, which the step before has evaluated, included."""
        return len(self.c)

    @property
    def b(self) -> Weights:
        """The last row of the full table."""
        return (*self.a[-1], self.gamma)


@cache
def predictors(tableau: DiagonallyImplicit) -> tuple[Weights, ...]:
    """Weights beta_ij of first guesses z_i ~ x + h sum_{j<i} beta_ij k_j for Newton's method.

    Of all guesses that agree with the solution up to h^q, the one nearest the stage's own explicit part plus gamma
    times the slope of the last stage: a stiff component is then not extrapolated. q is as high as the slopes that are
    there allow, at most 2. A last stage that repeats the node of the one before it starts from that stage's value.
    """
    s, c = tableau.stages, np.asarray(tableau.c)
    rows: list[Weights] = [()]
    for i in range(1, s):
        a = np.asarray(tableau.a[i])
        if i == s - 1 and i > 1 and c[i] == c[i - 1]:
            rows.append((*tableau.a[i - 1], tableau.gamma))
            continue
        guess = a.copy()
        guess[-1] += tableau.gamma
        q = min(i, 2)
        V = np.vander(c[:i], q, increasing=True).T
        target = np.array([c[i] ** (k + 1) / (k + 1) for k in range(q)])
        rows.append(tuple(float(v) for v in guess + np.linalg.pinv(V) @ (target - V @ guess)))
    return tuple(rows)


LARGEST = 5.0  # sum of the absolute weights of dense output, by which it amplifies errors of stage values


@cache
def dense_weights(tableau: DiagonallyImplicit) -> np.ndarray | None:
    """W (s - 1, degrees) with x(t + theta h) = x + sum_i w_i(theta) (z_i - x), w_i = sum_p W_ip theta^(p + 1).

    A combination of stage values has no slope in it, which a stiff equation would multiply with the step's error: cubic
    Hermite output of Kvaerno5 missed a solution of 1 by 0.8 where its steps missed it by 1e-6. The weights satisfy, as
    far as there are stages for it, the conditions of the limits of small h (order conditions, through A c^k) and of
    stiffness (interpolation of stage values, through c^k); of all that do, the smallest, made to end in z_s.
    None: the stages do not carry a cubic (a quadratic for order 2); Hermite's is better then.
    """
    s = tableau.stages
    c, A = np.asarray(tableau.c), np.zeros((s, s))
    for i, row in enumerate(tableau.a):
        A[i, :i] = row
        A[i, i] = tableau.gamma if i else 0.0
    wanted = [(1, c, 1.0), (2, c**2, 1.0), (3, A @ c**2, 1 / 3), (3, c**3, 1.0), (4, c**4, 1.0), (4, A @ c**3, 1 / 4)]
    rows, weights = np.zeros((0, s - 1)), np.zeros((s - 1, 4))
    right, degree = np.zeros((0, 4)), 0
    for power, row, value in wanted:
        more = np.vstack([rows, row[1:]])
        if np.linalg.matrix_rank(more, tol=1e-6) < len(more):
            continue
        target = np.vstack([right, value * np.eye(4)[power - 1]])
        W = np.linalg.pinv(more) @ target
        W[:, 2] += np.eye(s - 1)[-1] - W.sum(axis=1)  # what is missing at theta = 1 satisfies all conditions with 0
        size = np.abs(W @ np.power.outer(np.linspace(0, 1, 65), np.arange(1, 5)).T).sum(axis=0).max()
        if size <= LARGEST:
            rows, right, weights = more, target, W
            degree = max(degree, power if value == 1.0 else 0)
    return weights if degree >= min(3, tableau.order) else None


KVAERNO = (
    "A. Kvaerno, Singly diagonally implicit Runge-Kutta methods with an explicit first stage, BIT 44 (2004) 489-502"
)

IMPLICIT_EULER = DiagonallyImplicit(
    name="ImplicitEuler",
    order=1,
    error_order=1,  # the difference to the trapezoidal rule, O(h^2)
    c=(0.0, 1.0),
    a=((), (0.0,)),
    gamma=1.0,
    error=(-0.5, 0.5),
    reference="L. Euler, Institutiones calculi integralis, 1768; implicit: C. Curtiss, J. Hirschfelder, 1952",
)

TRAPEZOID = DiagonallyImplicit(
    name="Trapezoid",
    order=2,
    error_order=None,
    c=(0.0, 1.0),
    a=((), (0.5,)),
    gamma=0.5,
    error=None,
    reference="J. Crank, P. Nicolson, Proc. Cambridge Phil. Soc. 43 (1947) 50-67",
)

TRBDF2 = DiagonallyImplicit(
    name="TRBDF2",
    order=2,
    error_order=2,
    c=(0.0, 0.585786437626905, 1.0),
    a=((), (0.2928932188134525,), (0.3535533905932738, 0.3535533905932738)),
    gamma=0.2928932188134525,
    error=(0.13807118745769836, -0.3333333333333333, 0.19526214587563498),
    reference="R. Bank et al., IEEE Trans. Electron Devices 32 (1985) 1992; estimate: M. Hosea, L. Shampine, "
    "Applied Numerical Mathematics 20 (1996) 21-37",
)

KVAERNO3 = DiagonallyImplicit(
    name="Kvaerno3",
    order=3,
    error_order=2,
    c=(0.0, 0.871733043016918, 1.0, 1.0),
    a=(
        (),
        (0.435866521508459,),
        (0.49056338842178054, 0.07357009006976042),
        (0.30880996997674653, 1.4905633884217806, -1.2352398799069861),
    ),
    gamma=0.435866521508459,
    error=(-0.18175341844503404, 1.4169932983520201, -1.671106401415445, 0.435866521508459),
    reference=KVAERNO,
)

KVAERNO4 = DiagonallyImplicit(
    name="Kvaerno4",
    order=4,
    error_order=3,
    c=(0.0, 1.1456321249642698, 0.5971049876523115, 1.0, 1.0),
    a=(
        (),
        (0.5728160624821349,),
        (0.16723546202721076, -0.14294653685703412),
        (0.2626032902526958, -0.3119043274205632, 0.4764849746857325),
        (0.197216548312835, 0.17684378390637218, 0.8154421813508385, -0.7623185760521805),
    ),
    gamma=0.5728160624821349,
    error=(-0.06538674193986083, 0.48874811132693535, 0.338957206665106, -1.3351346385343152, 0.5728160624821349),
    reference=KVAERNO,
)

KVAERNO5 = DiagonallyImplicit(
    name="Kvaerno5",
    order=5,
    error_order=4,
    c=(0.0, 0.52, 1.230333209967908, 0.8957659843500759, 0.43639360985864756, 1.0, 1.0),
    a=(
        (),
        (0.26,),
        (0.13, 0.84033320996790809),
        (0.22371961478320505, 0.47675532319799699, -0.06470895363112615),
        (0.16648564323248321, 0.10450018841591720, 0.03631482272098715, -0.13090704451073998),
        (0.13855640231268224, 0.0, -0.04245337201752043, 0.02446657898003141, 0.61943039072480676),
        (
            0.13659751177640291,
            0.0,
            -0.05496908796538376,
            -0.04118626728321046,
            0.62993304899016403,
            0.06962479448202728,
        ),
    ),
    gamma=0.26,
    error=(
        0.13659751177640291 - 0.13855640231268224,
        0.0,
        -0.05496908796538376 + 0.04245337201752043,
        -0.04118626728321046 - 0.02446657898003141,
        0.62993304899016403 - 0.61943039072480676,
        0.06962479448202728 - 0.26,
        0.26,
    ),
    reference=KVAERNO,
)


def _implicit_half(name: str, pair: ImexTableau) -> DiagonallyImplicit:
    gamma = pair.implicit[1][1]
    lower = tuple(row[:-1] for row in pair.implicit)
    return DiagonallyImplicit(
        name, pair.order, pair.error_order, pair.c, lower, gamma, pair.error, f"{pair.reference}, implicit half"
    )


ESDIRK32 = _implicit_half("ESDIRK32", KENCARP3)
ESDIRK43 = _implicit_half("ESDIRK43", KENCARP4)
ESDIRK54 = _implicit_half("ESDIRK54", KENCARP5)

ALL = (IMPLICIT_EULER, TRAPEZOID, TRBDF2, KVAERNO3, KVAERNO4, KVAERNO5, ESDIRK32, ESDIRK43, ESDIRK54)
