"""The matrix of a system, as SciPy stores it: for direct solvers, for pyamg, and to hold `System.mv` against."""

from typing import Any

import numpy as np

from .system import System, part


def matrix(system: System) -> Any:
    """S as a `scipy.sparse.csr_array`, unknowns in C order. Built from pairs of neighbours, not from `System.mv`."""
    from scipy.sparse import coo_array

    shape = system.shape
    number = np.arange(int(np.prod(shape))).reshape(shape)
    rows, columns, entries = [number.ravel()], [number.ravel()], [np.asarray(system.diagonal()).ravel()]

    def join(here: np.ndarray, there: np.ndarray, k: np.ndarray) -> None:
        for i, j in ((here, there), (there, here)):
            rows.append(i.ravel())
            columns.append(j.ravel())
            entries.append(-k.ravel())

    for axis, (links, kind) in enumerate(zip(system.links, system.kinds, strict=True)):
        k = np.asarray(links)
        join(part(number, axis, 0, -1), part(number, axis, 1, None), part(k, axis, 1, -1))
        if kind == "PP":
            join(part(number, axis, -1, None), part(number, axis, 0, 1), part(k, axis, 0, 1))
    ij = (np.concatenate(rows), np.concatenate(columns))
    return coo_array((np.concatenate(entries), ij), shape=(number.size, number.size)).tocsr()
