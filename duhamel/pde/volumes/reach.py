"""How far along the real and the imaginary axis an explicit method is stable.

R(z) = 1 + z b^T (1 - z A)^-1 e,   |R(z)| <= 1 for z in [-decays, 0] and for z in i [0, oscillates]
"""

from functools import cache

import numpy as np

from duhamel.methods.tableaux.tableau import Tableau


@cache
def reach(tableau: Tableau) -> tuple[float, float]:
    """(decays, oscillates), each up to the first z that grows; 0 where the axis is left at once."""
    A = np.zeros((tableau.stages, tableau.stages))
    for i, row in enumerate(tableau.a):
        A[i, : len(row)] = row
    b, one = np.array(tableau.b), np.ones(tableau.stages)
    moments = [float(b @ np.linalg.matrix_power(A, k) @ one) for k in range(tableau.stages)]

    def first(direction: complex) -> float:
        r = np.linspace(0.0, 4.0 * tableau.stages, 4001)[1:]
        z = direction * r
        grown = np.abs(1 + sum(m * z ** (k + 1) for k, m in enumerate(moments))) > 1 + 1e-9
        far = float(r[np.argmax(grown) - 1]) if grown.any() else float(r[-1])
        return 0.0 if grown[0] or far < 0.1 else far  # a growth of order z^4 and less is seen a little later only

    return first(-1.0 + 0j), first(1j)
