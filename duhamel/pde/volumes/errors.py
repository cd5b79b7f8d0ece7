"""An error taken apart: how much of it is waves that are too low, how much waves in the wrong place."""

from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """total = dissipation + dispersion, all mean squares."""

    total: float
    dissipation: float
    dispersion: float


def takacs_split(u: np.ndarray, exact: np.ndarray) -> Split:
    """Of the mean square error, by standard deviations sigma, means and the correlation rho:

        dissipation = (sigma_u - sigma_e)^2 + (mean_u - mean_e)^2,   dispersion = 2 (1 - rho) sigma_u sigma_e

    Source: L. L. Takacs, Mon. Weather Rev. 113 (1985) 1050.
    """
    u, exact = np.asarray(u, np.float64).ravel(), np.asarray(exact, np.float64).ravel()
    a, b = u - u.mean(), exact - exact.mean()
    su, se = a.std(), b.std()
    dissipation = (su - se) ** 2 + (u.mean() - exact.mean()) ** 2
    return Split(float(np.mean((u - exact) ** 2)), float(dissipation), float(2 * (su * se - np.mean(a * b))))


def fourier_split(u: np.ndarray, exact: np.ndarray) -> Split:
    """Of the mean square error of periodic fields on equal cells, mode by mode (Parseval):

    dissipation = sum_k (|u_k| - |e_k|)^2,   dispersion = sum_k 2 (|u_k e_k| - Re conj(u_k) e_k)
    """
    u, exact = np.asarray(u, np.float64), np.asarray(exact, np.float64)
    U, E = (np.fft.fftn(v) / v.size for v in (u, exact))
    dissipation = np.sum((np.abs(U) - np.abs(E)) ** 2)
    dispersion = 2 * np.sum(np.abs(U) * np.abs(E) - np.real(np.conj(U) * E))
    return Split(float(np.mean((u - exact) ** 2)), float(dissipation), float(dispersion))
