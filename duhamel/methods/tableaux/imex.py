"""The numbers of implicit-explicit (additive) methods: the type, the ARS family and the SBDF formulas."""

from dataclasses import dataclass
from math import sqrt

Weights = tuple[float, ...]


@dataclass(frozen=True)
class ImexTableau:
    """An explicit and a diagonally implicit Runge-Kutta method with the same nodes, for dx/dt = f_E + f_I.

        Y_i          = x + h sum_{j<i} (explicit_ij E_j + implicit_ij I_j) + h implicit_ii I_i
        E_i          = f_E(t + c_i h, Y_i),   I_i = f_I(t + c_i h, Y_i)
        x(t + h)     = x + h sum_i (b_explicit_i E_i + b_implicit_i I_i)         local error O(h^(order + 1))
        error        = h sum_i error_i (E_i + I_i)                               O(h^(error_order + 1))
        x(t+theta h) = x + h sum_i (sum_j dense_ij theta^(j+1)) (E_i + I_i)      local error O(h^(dense_order + 1))

    name         the usual name
    order        order of the pair, coupling conditions included
    error_order  order of the embedded pair with weights b - error, or None: no estimate
    c            nodes (s,)
    explicit     rows of lengths 0, 1, ..., s - 1
    implicit     rows of lengths 1, 2, ..., s: the last entry of each is its diagonal, 0 for an explicit stage
    b_explicit, b_implicit   weights (s,)
    error        b minus the embedded weights, the same for both parts, or None
    dense        one row of coefficients of theta, theta^2, ... per stage, or None: cubic Hermite through both ends
    dense_order  order of what dense output uses
    reference    where the numbers come from
    """

    name: str
    order: int
    error_order: int | None
    c: Weights
    explicit: tuple[Weights, ...]
    implicit: tuple[Weights, ...]
    b_explicit: Weights
    b_implicit: Weights
    error: Weights | None
    dense: tuple[Weights, ...] | None
    dense_order: int
    reference: str

    def __post_init__(self):
        s = len(self.c)
        if [len(row) for row in self.explicit] != list(range(s)) or [len(row) for row in self.implicit] != list(
            range(1, s + 1)
        ):
            raise ValueError(f"tableau {self.name!r}: explicit needs rows of 0, 1, ... entries, implicit of 1, 2, ....")
        if any(len(w) != s for w in (self.b_explicit, self.b_implicit, self.error or self.c)):
            raise ValueError(f"tableau {self.name!r}: b_explicit, b_implicit and error need one weight a stage.")
        if (self.error is None) != (self.error_order is None):
            raise ValueError(f"tableau {self.name!r}: error and error_order go together.")
        if self.implicit[-1] != self.b_implicit:
            raise ValueError(
                f"tableau {self.name!r}: the implicit part must be stiffly accurate, its last row b_implicit."
            )

    @property
    def stages(self) -> int:
        return len(self.c)

    @property
    def diagonal(self) -> Weights:
        return tuple(row[-1] for row in self.implicit)


_G2 = 1.0 - 1.0 / sqrt(2.0)
_D2 = 1.0 - 1.0 / (2.0 * _G2)
_D3 = -2.0 * sqrt(2.0) / 3.0

ARS222 = ImexTableau(
    name="ARS(2,2,2)", order=2, error_order=None,
    c=(0.0, _G2, 1.0),
    explicit=((), (_G2,), (_D2, 1.0 - _D2)),
    implicit=((0.0,), (0.0, _G2), (0.0, 1.0 - _G2, _G2)),
    b_explicit=(_D2, 1.0 - _D2, 0.0),
    b_implicit=(0.0, 1.0 - _G2, _G2),
    error=None, dense=None, dense_order=2,
    reference="U. M. Ascher, S. J. Ruuth, R. J. Spiteri, Appl. Numer. Math. 25 (1997) 151-167, section 2.6",
)  # fmt: skip

ARS232 = ImexTableau(
    name="ARS(2,3,2)", order=2, error_order=None,
    c=(0.0, _G2, 1.0),
    explicit=((), (_G2,), (_D3, 1.0 - _D3)),
    implicit=((0.0,), (0.0, _G2), (0.0, 1.0 - _G2, _G2)),
    b_explicit=(0.0, 1.0 - _G2, _G2),
    b_implicit=(0.0, 1.0 - _G2, _G2),
    error=None, dense=None, dense_order=2,
    reference="U. M. Ascher, S. J. Ruuth, R. J. Spiteri, Appl. Numer. Math. 25 (1997) 151-167, section 2.5",
)  # fmt: skip

# The middle root of 6 g^3 - 18 g^2 + 9 g - 1 = 0 makes the implicit part L-stable.
_G3 = 0.43586652150845899942
_B1 = -1.5 * _G3**2 + 4.0 * _G3 - 0.25
_B2 = 1.5 * _G3**2 - 5.0 * _G3 + 1.25
_A4 = 0.5529291480359398193  # free: makes the explicit part's stability region meet the implicit one's on the imaginary axis
_A31 = (
    (1.0 - 4.5 * _G3 + 1.5 * _G3**2) * _A4 + (2.75 - 10.5 * _G3 + 3.75 * _G3**2) * _A4 - 3.5 + 13.0 * _G3 - 4.5 * _G3**2
)
_A32 = (
    (-1.0 + 4.5 * _G3 - 1.5 * _G3**2) * _A4
    + (-2.75 + 10.5 * _G3 - 3.75 * _G3**2) * _A4
    + 4.0
    - 12.5 * _G3
    + 4.5 * _G3**2
)

ARS343 = ImexTableau(
    name="ARS(3,4,3)", order=3, error_order=None,
    c=(0.0, _G3, (1.0 + _G3) / 2.0, 1.0),
    explicit=((), (_G3,), (_A31, _A32), (1.0 - 2.0 * _A4, _A4, _A4)),
    implicit=((0.0,), (0.0, _G3), (0.0, (1.0 - _G3) / 2.0, _G3), (0.0, _B1, _B2, _G3)),
    b_explicit=(0.0, _B1, _B2, _G3),
    b_implicit=(0.0, _B1, _B2, _G3),
    error=None, dense=None, dense_order=3,
    reference="U. M. Ascher, S. J. Ruuth, R. J. Spiteri, Appl. Numer. Math. 25 (1997) 151-167, section 2.7",
)  # fmt: skip

ARS443 = ImexTableau(
    name="ARS(4,4,3)", order=3, error_order=None,
    c=(0.0, 1 / 2, 2 / 3, 1 / 2, 1.0),
    explicit=((), (1 / 2,), (11 / 18, 1 / 18), (5 / 6, -5 / 6, 1 / 2), (1 / 4, 7 / 4, 3 / 4, -7 / 4)),
    implicit=(
        (0.0,),
        (0.0, 1 / 2),
        (0.0, 1 / 6, 1 / 2),
        (0.0, -1 / 2, 1 / 2, 1 / 2),
        (0.0, 3 / 2, -3 / 2, 1 / 2, 1 / 2),
    ),
    b_explicit=(1 / 4, 7 / 4, 3 / 4, -7 / 4, 0.0),
    b_implicit=(0.0, 3 / 2, -3 / 2, 1 / 2, 1 / 2),
    error=None, dense=None, dense_order=3,
    reference="U. M. Ascher, S. J. Ruuth, R. J. Spiteri, Appl. Numer. Math. 25 (1997) 151-167, section 2.8",
)  # fmt: skip


@dataclass(frozen=True)
class MultistepTableau:
    """An implicit-explicit multistep formula, newest value first:

        x_{n+1} = sum_j alpha_j x_{n-j} + h sum_j beta_j f_E(x_{n-j}) + gamma h f_I(x_{n+1})

    reference  where the numbers come from
    """

    name: str
    alpha: Weights
    beta: Weights
    gamma: float
    reference: str

    def __post_init__(self):
        if len(self.alpha) != len(self.beta):
            raise ValueError(f"formula {self.name!r}: alpha and beta need one number for each of the values kept.")

    @property
    def order(self) -> int:
        return len(self.alpha)


_ARW = "U. M. Ascher, S. J. Ruuth, B. T. R. Wetton, SIAM J. Numer. Anal. 32 (1995) 797-823"
SBDF2 = MultistepTableau("SBDF2", (4 / 3, -1 / 3), (4 / 3, -2 / 3), 2 / 3, _ARW)
SBDF3 = MultistepTableau("SBDF3", (18 / 11, -9 / 11, 2 / 11), (18 / 11, -18 / 11, 6 / 11), 6 / 11, _ARW)
SBDF4 = MultistepTableau(
    "SBDF4", (48 / 25, -36 / 25, 16 / 25, -3 / 25), (48 / 25, -72 / 25, 48 / 25, -12 / 25), 12 / 25, _ARW
)
