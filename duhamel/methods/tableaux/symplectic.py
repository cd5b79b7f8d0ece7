"""The numbers of symplectic splitting methods: alternating kicks and drifts."""

from dataclasses import dataclass
from itertools import chain, pairwise, zip_longest
from math import sqrt


@dataclass(frozen=True)
class SplittingTableau:
    """Kicks p += b_i h F(t, q) and drifts q += a_i h v(t, p), in turn.

    name    the usual name
    order   order p, for every pair v(t, p), F(t, q)
    kicks   b_i
    drifts  a_i. One kick more than drifts: kicks stand at both ends. One drift more: drifts do. As many: a kick begins
    reference  where the numbers come from
    """

    name: str
    order: int
    kicks: tuple[float, ...]
    drifts: tuple[float, ...]
    reference: str

    def __post_init__(self):
        if len(self.kicks) - len(self.drifts) not in (-1, 0, 1):
            raise ValueError(
                f"tableau {self.name!r}: kicks and drifts alternate, so their numbers differ by one at most."
            )
        if abs(sum(self.kicks) - 1.0) > 1e-14 or abs(sum(self.drifts) - 1.0) > 1e-14:
            raise ValueError(f"tableau {self.name!r}: kicks and drifts must each sum to 1.")

    @property
    def moves(self) -> tuple[tuple[str, float], ...]:
        """("p", b) for a kick and ("q", a) for a drift, in the order in which a step makes them."""
        kicks, drifts = [("p", b) for b in self.kicks], [("q", a) for a in self.drifts]
        pair = (drifts, kicks) if len(drifts) > len(kicks) else (kicks, drifts)
        return tuple(move for move in chain(*zip_longest(*pair)) if move is not None)

    @property
    def symmetric(self) -> bool:
        """Whether a step with -h undoes a step with h."""
        return self.moves == self.moves[::-1]


def mirrored(half: tuple[float, ...], middle: float | None = None) -> tuple[float, ...]:
    """half and its mirror image, around a middle if there is one."""
    return (*half, *(() if middle is None else (middle,)), *half[::-1])


def composed(weights: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(kicks, drifts) of kick-drift-kick steps of w_1 h, w_2 h, ... one after another, neighbouring kicks merged."""
    ends = (0.0, *weights, 0.0)
    return tuple(0.5 * (v + w) for v, w in pairwise(ends)), weights


def closed(half: tuple[float, ...]) -> tuple[float, ...]:
    """half, its mirror image, and between them what is left to a sum of 1."""
    return mirrored(half, 1.0 - 2.0 * sum(half))


SEMI_IMPLICIT_EULER = SplittingTableau(
    name="semi-implicit Euler", order=1, kicks=(1.0,), drifts=(1.0,),
    reference="R. de Vogelaere, Univ. of Notre Dame report 4 (1956); HLW, Geometric Numerical Integration, I.1.9",
)  # fmt: skip

VELOCITY_VERLET = SplittingTableau(
    name="velocity Verlet", order=2, kicks=(0.5, 0.5), drifts=(1.0,),
    reference="W. C. Swope et al., J. Chem. Phys. 76 (1982) 637; HLW, Acta Numerica 12 (2003) 399-450",
)  # fmt: skip

POSITION_VERLET = SplittingTableau(
    name="position Verlet", order=2, kicks=(1.0,), drifts=(0.5, 0.5),
    reference="M. Tuckerman et al., J. Chem. Phys. 97 (1992) 1990; HLW, Acta Numerica 12 (2003) 399-450",
)  # fmt: skip

TRIPLE_JUMP = (1.0 / (2.0 - 2.0 ** (1 / 3)),)
SOLUTION_A = (0.78451361047755726382, 0.23557321335935813369, -1.17767998417887100695)
SOLUTION_D = (
    0.914844246229642658287,
    0.253693336566286009974,
    -1.44485223686030647660,
    -0.158240635368502468458,
    1.93813913762291232471,
    -1.96061023297558163691,
    0.102799849392219431139,
)

YOSHIDA4 = SplittingTableau(
    "Yoshida 4", 4, *composed(closed(TRIPLE_JUMP)), "H. Yoshida, Phys. Lett. A 150 (1990) 262-268, eq. 2.11"
)
YOSHIDA6 = SplittingTableau(
    "Yoshida 6", 6, *composed(closed(SOLUTION_A)), "H. Yoshida, Phys. Lett. A 150 (1990) 262-268, solution A"
)
YOSHIDA8 = SplittingTableau(
    "Yoshida 8", 8, *composed(closed(SOLUTION_D)), "H. Yoshida, Phys. Lett. A 150 (1990) 262-268, solution D"
)

_S19 = sqrt(19.0)
_OUTER = ((14.0 - _S19) / 108.0, (20.0 - 7.0 * _S19) / 108.0)

# Order conditions leave free parameters here; the least leading error was sought over them.
MCLACHLAN4 = SplittingTableau(
    name="McLachlan 4", order=4, kicks=mirrored((*_OUTER, 0.5 - sum(_OUTER))), drifts=(0.4, -0.1, 0.4, -0.1, 0.4),
    reference="R. I. McLachlan, SIAM J. Sci. Comput. 16 (1995) 151-168, type S, m = 5",
)  # fmt: skip

MCLACHLAN8 = SplittingTableau(
    "McLachlan 8", 8,
    *composed(
        closed((
            0.74167036435061295345,
            -0.40910082580003159400,
            0.19075471029623837995,
            -0.57386247111608226666,
            0.29906418130365592384,
            0.33462491824529818378,
            0.31529309239676659663,
        ))
    ),
    "R. I. McLachlan, SIAM J. Sci. Comput. 16 (1995) 151-168, type SS, m = 15; M. Suzuki, K. Umeno (1993)",
)  # fmt: skip
