"""Exponential Runge-Kutta tableaux: numbers and references only.

Every entry of a tableau is a sum of terms (w, k, c), each meaning w * phi_k(c h L); `()` is zero.

    z_i = e^(c_i h L) x + h sum_{j<i} a_ij(h L) N_j,      N_i = N(t + c_i h, z_i)
    x1  = e^(h L) x + h sum_i b_i(h L) N_i
    x(t + theta h)  =  e^(theta h L) x + h sum_i b_i(theta; h L) N_i,   w phi_k(h L) -> w theta^k phi_k(theta h L)

The last line holds because the terms of b have c = 1: they integrate the flow times a polynomial in s/h exactly, and the
same polynomial through the same N_i may be integrated to theta h instead. It is stiff-safe and meets x1 at theta = 1.

Formulas: Cox and Matthews, J. Comput. Phys. 176 (2002) 430; Krogstad, J. Comput. Phys. 203 (2005) 72; Hochbruck and
Ostermann, SIAM J. Numer. Anal. 43 (2005) 1069, section 5, which also gives the stiff orders.
"""

from dataclasses import dataclass, replace
from fractions import Fraction

Term = tuple[float, int, float]
Entry = tuple[Term, ...]


@dataclass(frozen=True)
class ExponentialTableau:
    """An exponential Runge-Kutta method.

    name         the usual name
    order        classical order: L bounded, or solutions so smooth that L^k x is (periodic spectral problems)
    stiff_order  order that holds for every L with a bounded semigroup, e.g. with Dirichlet conditions
    error_order  order of the embedded solution with weights b - error, or None
    c, a, b      nodes (s,), rows of 0, 1, ..., s - 1 entries, weights (s,)
    error        b minus the embedded weights; with fsal one more, for N(t + h, x1)
    dense_order  the dense output's local error is O(h^(dense_order + 1))
    fsal         the step ends with N(t + h, x1), where the next one begins: an error estimate at no extra call
    reference    where the numbers come from
    """

    name: str
    order: int
    stiff_order: int
    error_order: int | None
    c: tuple[float, ...]
    a: tuple[tuple[Entry, ...], ...]
    b: tuple[Entry, ...]
    error: tuple[Entry, ...] | None
    dense_order: int
    fsal: bool
    reference: str

    def __post_init__(self):
        if [len(row) for row in self.a] != list(range(len(self.c))) or len(self.b) != len(self.c):
            raise ValueError(f"tableau {self.name!r}: a needs rows of 0, 1, ... entries and b, c one number a stage.")
        if self.error is not None and len(self.error) != len(self.c) + self.fsal:
            raise ValueError(f"tableau {self.name!r}: error needs one entry a stage, and one more with fsal.")
        if any(c != 1.0 for entry in self.b for _, _, c in entry):
            raise ValueError(f"tableau {self.name!r}: b reads phi_k(h L) only (c = 1), or dense output is lost.")

    @property
    def stages(self) -> int:
        return len(self.c)


def _sum(*entries: tuple[Fraction | int, Entry]) -> Entry:
    """sum_i factor_i * entry_i, like terms collected exactly."""
    total: dict[tuple[int, float], Fraction] = {}
    for factor, entry in entries:
        for w, k, c in entry:
            total[k, c] = total.get((k, c), Fraction(0)) + factor * Fraction(w)
    return tuple((float(w), k, c) for (k, c), w in total.items() if w)


_HALF = Fraction(1, 2)
_P1, _P2, _P3 = (((1.0, k, 1.0),) for k in (1, 2, 3))  # phi_k(h L)
_H1, _H2, _H3 = (((1.0, k, 0.5),) for k in (1, 2, 3))  # phi_k(h L / 2)

# The quadratic through N at 0, 1/2 and 1, integrated against the flow.
_LEFT = _sum((1, _P1), (-3, _P2), (4, _P3))
_MIDDLE = _sum((4, _P2), (-8, _P3))
_RIGHT = _sum((-1, _P2), (4, _P3))
_HALF_MIDDLE = _sum((_HALF, _MIDDLE))
_MINUS_RIGHT = _sum((-1, _RIGHT))

ETD1 = ExponentialTableau(
    name="ETD1",
    order=1,
    stiff_order=1,
    error_order=None,
    c=(0.0,),
    a=((),),
    b=(_P1,),
    error=None,
    dense_order=1,
    fsal=False,
    reference="Hochbruck and Ostermann (2005); also called exponential Euler or Norsett-Euler",
)

ETDRK2 = ExponentialTableau(
    name="ETDRK2",
    order=2,
    stiff_order=2,
    error_order=1,
    c=(0.0, 1.0),
    a=((), (_P1,)),
    b=(_sum((1, _P1), (-1, _P2)), _P2),
    error=(_sum((-1, _P2)), _P2),  # against ETD1
    dense_order=2,
    fsal=False,
    reference="Cox and Matthews (2002), eq. 22",
)

ETDRK3 = ExponentialTableau(
    name="ETDRK3",
    order=3,
    stiff_order=2,
    error_order=2,
    c=(0.0, 0.5, 1.0),
    a=((), (_sum((_HALF, _H1)),), (_sum((-1, _P1)), _sum((2, _P1)))),
    b=(_LEFT, _MIDDLE, _RIGHT),
    error=(_RIGHT, _sum((-2, _RIGHT)), _RIGHT),  # against the exponential midpoint rule (phi_1 - 2 phi_2, 2 phi_2)
    dense_order=2,
    fsal=False,
    reference="Cox and Matthews (2002), eqs. 23-25",
)

# Cox and Matthews write a_41 = phi_1(z/2) (e^(z/2) - 1)/2, which equals phi_1(z) - phi_1(z/2).
# Embedded: N(t + h, x1) in place of N_4, the exponential form of the 4(3) pair of Balac and Mahe,
# Comput. Phys. Commun. 184 (2013) 1211. No four stages of an order-4 method hold another order-3 solution.
ETDRK4 = ExponentialTableau(
    name="ETDRK4",
    order=4,
    stiff_order=2,
    error_order=3,
    c=(0.0, 0.5, 0.5, 1.0),
    a=((), (_sum((_HALF, _H1)),), ((), _sum((_HALF, _H1))), (_sum((1, _P1), (-1, _H1)), (), _H1)),
    b=(_LEFT, _HALF_MIDDLE, _HALF_MIDDLE, _RIGHT),
    error=((), (), (), _RIGHT, _MINUS_RIGHT),
    dense_order=3,
    fsal=True,
    reference="Cox and Matthews (2002), eqs. 26-29",
)

KROGSTAD = ExponentialTableau(
    name="Krogstad",
    order=4,
    stiff_order=3,
    error_order=3,
    c=(0.0, 0.5, 0.5, 1.0),
    a=(
        (),
        (_sum((_HALF, _H1)),),
        (_sum((_HALF, _H1), (-1, _H2)), _H2),
        (_sum((1, _P1), (-2, _P2)), (), _sum((2, _P2))),
    ),
    b=(_LEFT, _HALF_MIDDLE, _HALF_MIDDLE, _RIGHT),
    error=((), (), (), _RIGHT, _MINUS_RIGHT),
    dense_order=3,
    fsal=True,
    reference="Krogstad (2005), ETDRK4-B",
)

_A52 = _sum((_HALF, _H2), (-1, _P3), (_HALF * _HALF, _P2), (-_HALF, _H3))
_A54 = _sum((_HALF * _HALF, _H2), (-1, _A52))
_A51 = _sum((_HALF, _H1), (-2, _A52), (-1, _A54))

HOCHBRUCK_OSTERMANN = ExponentialTableau(
    name="Hochbruck-Ostermann",
    order=4,
    stiff_order=4,
    error_order=3,
    c=(0.0, 0.5, 0.5, 1.0, 0.5),
    a=(
        (),
        (_sum((_HALF, _H1)),),
        (_sum((_HALF, _H1), (-1, _H2)), _H2),
        (_sum((1, _P1), (-2, _P2)), _P2, _P2),
        (_A51, _A52, _A52, _A54),
    ),
    b=(_LEFT, (), (), _RIGHT, _MIDDLE),
    error=((), (), (), _RIGHT, (), _MINUS_RIGHT),
    dense_order=3,
    fsal=True,
    reference="Hochbruck and Ostermann (2005), eq. 5.19",
)


def watching(tableau: ExponentialTableau) -> ExponentialTableau:
    """The same method with an estimate that sees time: at t + 3h/4, not at the end, it is asked what N is.

    The 4(3) pairs above compare N(t + h, z_4) with N(t + h, x1): forcing that depends on time alone is the same in both,
    and however wrong its quadrature, the estimate is zero. Here the embedded weights integrate the quadratic through
    N at 0, 3/4 and 1, where z at 3/4 is the step's own dense output. One call more than the pair, which reuses its last.
    """
    if not tableau.fsal:
        return tableau
    theta = Fraction(3, 4)
    row = tuple(tuple((w * float(theta**k), k, float(theta)) for w, k, _ in entry) for entry in tableau.b)
    left = _sum((1, _P1), (Fraction(-7, 3), _P2), (Fraction(8, 3), _P3))
    inner = _sum((Fraction(16, 3), _P2), (Fraction(-32, 3), _P3))
    right = _sum((-3, _P2), (8, _P3))
    embedded = {0: left, tableau.c.index(1.0): right, tableau.stages: inner}
    error = tuple(_sum((1, entry), (-1, embedded.get(i, ()))) for i, entry in enumerate((*tableau.b, ())))
    return replace(
        tableau,
        c=(*tableau.c, float(theta)),
        a=(*tableau.a, row),
        b=(*tableau.b, ()),
        error=error,
        fsal=False,
    )
