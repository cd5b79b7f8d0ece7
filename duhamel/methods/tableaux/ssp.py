"""Strong-stability-preserving Runge-Kutta methods: convex combinations of Euler steps.

Whatever a step of Euler's method of length h does not increase (total variation, a maximum) or keeps positive, these
keep for steps up to C h; C is `monotone_step(tableau)`.
"""

import numpy as np

from duhamel.methods.tableaux.tableau import Tableau

# fmt: off
SSPRK2 = Tableau(
    name="SSPRK2", order=2, error_order=1,
    c=(0.0, 1.0),
    a=((), (1.0,)),
    b=(1 / 2, 1 / 2),
    error=(-1 / 2, 1 / 2), dense=None, dense_order=2, extra_c=(), extra_a=(), fsal=False,
    reference="C.-W. Shu, S. Osher, J. Comput. Phys. 77 (1988) 439-471 (Heun's method; C = 1)",
)

# The embedded solution is SSPRK2, which has the first two stages.
SSPRK3 = Tableau(
    name="SSPRK3", order=3, error_order=2,
    c=(0.0, 1.0, 1 / 2),
    a=((), (1.0,), (1 / 4, 1 / 4)),
    b=(1 / 6, 1 / 6, 2 / 3),
    error=(-1 / 3, -1 / 3, 2 / 3), dense=None, dense_order=3, extra_c=(), extra_a=(), fsal=False,
    reference="C.-W. Shu, S. Osher, J. Comput. Phys. 77 (1988) 439-471 (C = 1)",
)

_LAST = (1 / 15,) * 5
SSPRK104 = Tableau(
    name="SSPRK104", order=4, error_order=3,
    c=(0.0, 1 / 6, 1 / 3, 1 / 2, 2 / 3, 1 / 3, 1 / 2, 2 / 3, 5 / 6, 1.0),
    a=(*((1 / 6,) * i for i in range(5)), *(_LAST + (1 / 6,) * i for i in range(5))),
    b=(1 / 10,) * 10,
    error=(-1 / 10, 1 / 10, 1 / 10, -1 / 5, 1 / 10, 1 / 10, -1 / 10, 1 / 10, -1 / 5, 1 / 10),
    dense=None, dense_order=3, extra_c=(), extra_a=(), fsal=False,
    reference="D. I. Ketcheson, SIAM J. Sci. Comput. 30 (2008) 2113-2136 (C = 6); embedded: S. Conde, I. Fekete, "
    "J. N. Shadid, J. Comput. Appl. Math. 412 (2022) 114325",
)
# fmt: on


def monotone_step(tableau: Tableau) -> float:
    """C: the largest r for which K (I + r K)^-1 >= 0 and r K (I + r K)^-1 e <= 1, K the table with b as its last row.

    Source: J. F. B. M. Kraaijevanger, BIT 31 (1991) 482-528.
    """
    size = tableau.stages + 1
    K = np.zeros((size, size))
    for i, row in enumerate((*tableau.a, tableau.b)):
        K[i, : len(row)] = row

    def monotone(r: float) -> bool:
        M = K @ np.linalg.inv(np.eye(size) + r * K)
        return bool(np.all(M >= -1e-12) and np.all(r * M.sum(axis=1) <= 1 + 1e-12))

    low, high = 0.0, 2.0 * tableau.stages
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if monotone(middle) else (low, middle)
    return low
