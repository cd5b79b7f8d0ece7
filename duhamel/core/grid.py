"""Grids of times on the host, in float64. `n` always counts steps: a grid has n + 1 points. NumPy only."""

import numpy as np

Number = float | int | np.number


def uniform(t0: Number, t1: Number, n: int) -> np.ndarray:
    """t0 + (t1 - t0) i/n."""
    return powers(t0, t1, n, 1.0)


def quadratic(t0: Number, t1: Number, n: int) -> np.ndarray:
    """(sqrt(t0) + (sqrt(t1) - sqrt(t0)) i/n)^2: denser near 0."""
    return powers(t0, t1, n, 2.0)


def karras(sigma_max: Number, sigma_min: Number, n: int, rho: Number = 7.0) -> np.ndarray:
    """Noise levels from sigma_max to sigma_min, uniform in sigma^(1/rho) (EDM, arXiv 2206.00364, eq. 5).

    EDM counts N = n + 1 levels and then appends sigma = 0; append it yourself where a sampler ends in 0.
    """
    return powers(sigma_max, sigma_min, n, rho)


def powers(t0: Number, t1: Number, n: int, rho: Number) -> np.ndarray:
    """(t0^(1/rho) + (t1^(1/rho) - t0^(1/rho)) i/n)^rho; rho = 1 uniform, larger rho denser near 0. Exact ends."""
    if n < 1:
        raise ValueError(f"n = {n} steps; a grid needs at least one step.")
    if not (np.isfinite(t0) and np.isfinite(t1) and t0 != t1):
        raise ValueError(f"the grid goes from {t0} to {t1}; give two different finite ends.")
    if rho != 1 and min(t0, t1) < 0:
        raise ValueError(f"a power grid (rho = {rho}) needs ends >= 0, got {t0} and {t1}; use uniform.")
    a, b = (t0, t1) if rho == 1 else (t0 ** (1 / rho), t1 ** (1 / rho))
    ts = a + (b - a) * (np.arange(n + 1) / n)
    ts = ts if rho == 1 else ts**rho
    ts[0], ts[-1] = t0, t1
    return ts


def check_grid(ts: object, name: str = "ts") -> np.ndarray:
    """`ts` as float64, or a ValueError: one row of at least two finite times, strictly rising or strictly falling."""
    ts = np.asarray(ts, np.float64)
    if ts.ndim != 1 or len(ts) < 2:
        raise ValueError(f"{name} must be one row of at least two times, got shape {ts.shape}.")
    if not np.all(np.isfinite(ts)):
        raise ValueError(
            f"{name}[{int(np.flatnonzero(~np.isfinite(ts))[0])}] is not finite; every time must be a number."
        )
    steps = np.diff(ts) * np.sign(ts[-1] - ts[0])
    if not np.all(steps > 0):
        i = int(np.flatnonzero(~(steps > 0))[0])
        raise ValueError(
            f"{name}[{i}] = {ts[i]:g} is followed by {name}[{i + 1}] = {ts[i + 1]:g}; "
            "times must all rise or all fall, with no repeats."
        )
    return ts
