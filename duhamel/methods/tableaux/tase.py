"""Coefficients of singly Runge-Kutta-TASE methods, and nothing else.

The modified methods are solutions of the order conditions in `tests/order/test_tase.py` that we picked: A-stable,
vanishing at infinity, with a small error term, on simple rational numbers. alpha is then a root of R(infinity) = 0.
"""

from dataclasses import dataclass

Weights = tuple[float, ...]


@dataclass(frozen=True)
class TASETableau:
    """A Runge-Kutta method in which every stage is filtered by powers of one resolvent, R = (I - alpha h W)^-1.

        f_i      = f(t + c_i h, x + h sum_{j<i} a_ij k_j)
        k_i      = sum_j beta_ij R^j f_i                  j = 1, 2, ...
        x(t + h) = x + h sum_i b_i k_i
        embedded = x + h sum_ij embedded_ij R^j f_i

    The order holds for every matrix W; W = df/dx makes the method stable.

    name         the usual name
    error_order  order of the embedded solution, or None: no estimate
    beta         one row a stage, as long as it needs solves; rows sum to 1
    embedded     as beta, or None
    """

    name: str
    order: int
    error_order: int | None
    alpha: float
    c: Weights
    a: tuple[Weights, ...]
    b: Weights
    beta: tuple[Weights, ...]
    embedded: tuple[Weights, ...] | None
    reference: str

    def __post_init__(self):
        if [len(row) for row in self.a] != list(range(len(self.c))) or len(self.b) != len(self.c):
            raise ValueError(f"tableau {self.name!r}: a needs rows of 0, 1, ... entries and b, c one number a stage.")
        if len(self.beta) != len(self.c) or any(abs(sum(row) - 1.0) > 1e-14 for row in self.beta):
            raise ValueError(f"tableau {self.name!r}: beta needs one row a stage, which sums to 1.")
        if (self.embedded is None) != (self.error_order is None):
            raise ValueError(f"tableau {self.name!r}: embedded goes with error_order.")

    @property
    def solves(self) -> int:
        """Linear systems in one step."""
        return sum(len(row) for row in self.beta)


_MODIFIED = (
    "M. Calvo, J. I. Montijano, L. Randez, Modified Singly-Runge-Kutta-TASE methods for the numerical solution of stiff "
    "differential equations, J. Sci. Comput. (2025), arXiv:2407.01785: the family; this member is ours"
)
_SINGLY = (
    "M. Calvo, L. Fu, J. I. Montijano, L. Randez, Singly TASE operators for the numerical solution of stiff differential "
    "equations by explicit Runge-Kutta schemes, J. Sci. Comput. 96 (2023) 17"
)

# Error term of the stability function: -1/24 z^3.
MSRKTASE2 = TASETableau(
    name="MSRKTASE2",
    order=2,
    error_order=1,
    alpha=0.5,
    c=(0.0, 0.25),
    a=((), (0.25,)),
    b=(-1.0, 2.0),
    beta=((1.0,), (1.5, -0.5)),
    embedded=((), (1.0,)),
    reference=_MODIFIED,
)

# Kutta's third-order method; error term of the stability function: -0.0031 z^4.
MSRKTASE3 = TASETableau(
    name="MSRKTASE3",
    order=3,
    error_order=2,
    alpha=0.28808926833920906,
    c=(0.0, 0.5, 1.0),
    a=((), (0.5,), (-1.0, 2.0)),
    b=(1 / 6, 2 / 3, 1 / 6),
    beta=((0.5, 0.5), (4.15, -4.55, 1.4), (0.9, -0.3, 0.4)),
    embedded=((), (2.0, -1.0), ()),
    reference=_MODIFIED,
)


def srktase2(alpha: float = 1.0) -> TASETableau:
    """Heun's method with T = 2 R - R^2 on both stages. A-stable for alpha >= 1; never L-stable."""
    T = (2.0, -1.0)
    return TASETableau("SRKTASE2", 2, None, alpha, (0.0, 1.0), ((), (1.0,)), (0.5, 0.5), (T, T), None, _SINGLY)


def srktase3(alpha: float = 1.8796148798123749) -> TASETableau:
    """Kutta's third-order method with T = 3 R - 3 R^2 + R^3 on all stages; at the default alpha R(infinity) = 0."""
    T = (3.0, -3.0, 1.0)
    a, b = ((), (0.5,), (-1.0, 2.0)), (1 / 6, 2 / 3, 1 / 6)
    return TASETableau("SRKTASE3", 3, None, alpha, (0.0, 0.5, 1.0), a, b, (T, T, T), None, _SINGLY)
