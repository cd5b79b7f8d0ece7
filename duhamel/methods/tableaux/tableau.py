"""The numbers of one explicit Runge-Kutta method, and nothing else."""

from dataclasses import dataclass
from itertools import pairwise

Weights = tuple[float, ...]


@dataclass(frozen=True)
class Tableau:
    """An explicit Runge-Kutta method, its embedded error estimate and its dense output.

        k_i          = f(t + c_i h, x + h sum_{j<i} a_ij k_j)
        x(t + h)     = x + h sum_i b_i k_i                                  local error O(h^(order + 1))
        error        = h sum_i error_i k_i                                  O(h^(error_order + 1))
        x(t+theta h) = x + h sum_i b_i(theta) k_i                           local error O(h^(dense_order + 1))
        b_i(theta)   = theta sum_j dense_ij T_j(2 theta - 1)                T_j: Chebyshev polynomials

    name         the usual name
    order        order p of the solution that is carried on (the higher one of a pair)
    error_order  order of the embedded solution with weights b - error, or None: no estimate
    c, a, b      nodes (s,), rows of lengths 0, 1, ..., s - 1, weights (s,)
    error        b minus the embedded weights (s,), or None
    dense        one row of Chebyshev coefficients per stage, extra stages included. Published powers of theta are
                 converted exactly: their coefficients reach 1.4e6 where b_i stays below 60 (Verner8), and
                 cancellation would cost five digits.
                 None: nothing better than the cubic Hermite polynomial through both ends is published, and
                 dense_order then is that polynomial's, min(3, order)
    extra_c/_a   stages that only dense output needs, numbered on after the first s: row i has s + i entries
    fsal         the last stage is f(t + h, x(t + h)), the first stage of the next step
    reference    where the numbers come from
    """

    name: str
    order: int
    error_order: int | None
    c: Weights
    a: tuple[Weights, ...]
    b: Weights
    error: Weights | None
    dense: tuple[Weights, ...] | None
    dense_order: int
    extra_c: Weights
    extra_a: tuple[Weights, ...]
    fsal: bool
    reference: str

    def __post_init__(self):
        lengths = [len(row) for row in (*self.a, *self.extra_a)]
        total = len(self.c) + len(self.extra_c)
        if lengths != list(range(total)) or len(self.b) != len(self.c):
            raise ValueError(f"tableau {self.name!r}: a needs rows of 0, 1, ... entries and b, c one number a stage.")
        if (self.error is None) != (self.error_order is None) or len(self.error or self.b) != len(self.b):
            raise ValueError(f"tableau {self.name!r}: error needs one weight a stage, and error_order goes with it.")
        if self.dense is None:
            if self.extra_c:
                raise ValueError(f"tableau {self.name!r}: extra stages serve dense output only; give dense.")
        elif len(self.dense) != total or any(len(p) != len(q) for p, q in pairwise(self.dense)):
            raise ValueError(f"tableau {self.name!r}: dense needs one row a stage (extra ones too), of equal lengths.")
        if self.fsal and (self.c[-1] != 1.0 or self.a[-1] != self.b[:-1] or self.b[-1] != 0.0):
            raise ValueError(f"tableau {self.name!r}: with fsal the last row of a is b and its node is 1.")

    @property
    def stages(self) -> int:
        """Stages of a step, s; with fsal a step costs s - 1 new evaluations."""
        return len(self.c)
