"""The Riemann problem of gas dynamics and its exact solution. NumPy and SciPy only."""

import numpy as np
from scipy.optimize import root_scalar

Number = float | int
State = tuple[Number, Number, Number]

SOD: tuple[State, State] = ((1.0, 0.0, 1.0), (0.125, 0.0, 0.1))


def shock_tube(left: State, right: State, xi: np.ndarray, gamma: Number = 1.4) -> np.ndarray:
    """Density, velocity and pressure of the Euler equations at xi = x/t, (3, points), exact.

        f(p) + u_R - u_L = 0,   f = f_L(p) + f_R(p),   f_K the velocity change across the wave of side K

    left, right  (density, velocity, pressure)
    Source: E. F. Toro, Riemann Solvers and Numerical Methods for Fluid Dynamics (2009), chapter 4.
    """
    sounds = [float(np.sqrt(gamma * p / rho)) for rho, _, p in (left, right)]

    def change(p: float, side: State, c: float) -> float:
        rho, _, pk = side
        if p > pk:
            return (p - pk) * np.sqrt(2 / ((gamma + 1) * rho) / (p + (gamma - 1) / (gamma + 1) * pk))
        return 2 * c / (gamma - 1) * ((p / pk) ** ((gamma - 1) / (2 * gamma)) - 1)

    def mismatch(p: float) -> float:
        return change(p, left, sounds[0]) + change(p, right, sounds[1]) + right[1] - left[1]

    if right[1] - left[1] >= 2 * (sounds[0] + sounds[1]) / (gamma - 1):
        raise ValueError("these two states part so fast that a vacuum opens between them; bring the velocities closer.")
    top = 10 * max(left[2], right[2])
    while mismatch(top) < 0:
        top *= 10
    p = float(root_scalar(mismatch, bracket=(1e-14 * top, top), xtol=1e-15, rtol=1e-14).root)
    u = 0.5 * (left[1] + right[1] + change(p, right, sounds[1]) - change(p, left, sounds[0]))
    xi = np.asarray(xi, np.float64)
    below = _behind(left, sounds[0], p, u, xi, gamma)
    mirrored = (right[0], -right[1], right[2])
    above = _behind(mirrored, sounds[1], p, -u, -xi, gamma) * np.array([1.0, -1.0, 1.0])[:, None]
    return np.where(xi < u, below, above)


def _behind(side: State, c: float, p: float, u: float, xi: np.ndarray, gamma: Number) -> np.ndarray:
    """The solution left of the contact (u, p)."""
    rho0, u0, p0 = side
    ratio, g = p / p0, (gamma - 1) / (gamma + 1)
    outside = np.array([rho0, u0, p0])[:, None]
    if ratio > 1:
        speed = u0 - c * np.sqrt((gamma + 1) / (2 * gamma) * ratio + (gamma - 1) / (2 * gamma))
        star = np.array([rho0 * (ratio + g) / (g * ratio + 1), u, p])[:, None]
        return np.where(xi < speed, outside, star)
    star = np.array([rho0 * ratio ** (1 / gamma), u, p])[:, None]
    tail = u - c * ratio ** ((gamma - 1) / (2 * gamma))
    shape = np.maximum(2 / (gamma + 1) + g / c * (u0 - xi), 1e-300)
    fan = np.stack(
        [
            rho0 * shape ** (2 / (gamma - 1)),
            2 / (gamma + 1) * (c + (gamma - 1) / 2 * u0 + xi),
            p0 * shape ** (2 * gamma / (gamma - 1)),
        ]
    )
    return np.where(xi < u0 - c, outside, np.where(xi < tail, fan, star))
