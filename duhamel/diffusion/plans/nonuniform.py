"""Noise levels that make a sampler's own weights small: DM-NonUniform (Xue et al., arXiv 2402.17376). NumPy and SciPy.

Whatever the model, the exponential Adams method for the data makes of a step

    x_t / sigma_t = x_s / sigma_s + sum_j w_j D_j,      w_j = int_{lam_s}^{lam_t} e^lam l_j(lam) d lam

so if D is wrong by e at each noise level, the end is wrong by at most sigma_end times  sum_steps sum_j |w_j| e_j: a
function of the grid alone, which is made small. No model is called.
"""

from functools import cache

import numpy as np


def bound(lam: np.ndarray, *, lower_final: bool = True) -> np.ndarray:
    """sum over steps of sum_j |w_j| e_j for order 3 along lam, shape (..., steps + 1), rising: the error of x / alpha.

    e = rho^2 / sqrt(1 + rho^2), the paper's sigma^2 / alpha on VP: D is supposed to be wrong where there is much noise.
    The first two steps, and with lower_final the last two, are of lower order. The paper lets the weights that several
    steps give to one value cancel; here each counts, for an optimiser makes them cancel by steps of length zero.
    """
    lam = np.asarray(lam, np.float64)
    h = np.diff(lam)
    n = np.arange(h.shape[-1])
    orders = np.minimum(n + 1, 3)
    if lower_final:
        orders = np.minimum(orders, h.shape[-1] - n)
    # int_0^h e^(y - h) y^k dy: what the exponential does to 1, y and y^2
    m0, m1 = -np.expm1(-h), h + np.expm1(-h)
    m2 = h * h - 2 * m1
    # newest value first; where steps are missing before the first, the numbers below are not used
    one_before = np.ones_like(h[..., :1])
    a = np.concatenate([one_before, h[..., :-1]], axis=-1)
    c = a + np.concatenate([one_before, a[..., :-1]], axis=-1)
    one = np.stack([m0, 0 * h, 0 * h])
    two = np.stack([m0 + m1 / a, -m1 / a, 0 * h])
    three = np.stack(
        [m0 + ((a + c) * m1 + m2) / (a * c), -(c * m1 + m2) / (a * (c - a)), (a * m1 + m2) / (c * (c - a))]
    )
    w = np.where(orders == 1, one, np.where(orders == 2, two, three))
    rho = np.exp(-lam)
    error = rho**2 / np.sqrt(1 + rho**2)
    shares = sum(np.abs(w[j]) * error[..., np.maximum(n - j, 0)] for j in range(3))
    return np.asarray(np.sum(np.exp(lam[..., 1:] - lam[..., -1:]) * shares, axis=-1))


def nonuniform_levels(first: float, last: float, steps: int) -> np.ndarray:
    """lam from `first` to `last`, shape (steps + 1,), with the smallest `bound`.

    The steps are exp(theta) over their sum, so that theta is free (BFGS); from two starts, and never above either.
    """
    return _levels(float(first), float(last), int(steps)).copy()


@cache
def _levels(first: float, last: float, steps: int) -> np.ndarray:
    from scipy.optimize import minimize  # only this grid waits for it

    even = np.linspace(0.0, 1.0, steps + 1)
    starts = [first + (last - first) * even, np.interp(even, *_spread(first, last))]
    starts[1][[0, -1]] = first, last
    if steps == 1:
        return starts[0]

    def levels(theta: np.ndarray) -> np.ndarray:
        parts = np.exp(theta - np.max(theta, axis=-1, keepdims=True))
        inner = np.cumsum(parts, axis=-1)[..., :-1] / np.sum(parts, axis=-1, keepdims=True)
        ends = np.zeros_like(inner[..., :1])
        return np.concatenate([ends + first, first + (last - first) * inner, ends + last], axis=-1)

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        """log bound and its gradient by central differences, all directions at once."""
        step = 1e-6 * np.eye(steps)
        values = np.log(bound(levels(np.concatenate([theta[None], theta + step, theta - step]))))
        return float(values[0]), (values[1 : steps + 1] - values[steps + 1 :]) / 2e-6

    found = [(float(bound(lam)), lam) for lam in starts]
    for lam in starts:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a trial step may be far too long
            done = minimize(objective, np.log(np.diff(lam)), jac=True, method="BFGS", options={"gtol": 1e-4})
        lam = levels(done.x)
        if np.all(np.diff(lam) > 0):
            found.append((float(bound(lam)), lam))
    return min(found, key=lambda pair: pair[0])[1]


def _spread(first: float, last: float) -> tuple[np.ndarray, np.ndarray]:
    """Levels of equal mutual information between a unit Gaussian and its noised self, log(1 + rho^-2) / 2."""
    lam = np.linspace(first, last, 513)
    told = np.log1p(np.exp(2 * lam))
    return (told - told[0]) / (told[-1] - told[0]), lam
