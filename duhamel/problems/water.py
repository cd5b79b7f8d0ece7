"""Shallow water with exact solutions: breaking dams, a bowl in which water swings, a wave that steepens. NumPy only."""

import numpy as np
from scipy.optimize import root_scalar

Number = float | int


def dam_break(deep: Number, shallow: Number, xi: np.ndarray, gravity: Number = 9.81) -> np.ndarray:
    """Depth and velocity at xi = x/t after a dam at x = 0 broke, (2, points): exact, on a flat bed without friction.

    shallow = 0: the water runs onto dry ground (Ritter); else a bore runs ahead (Stoker).
    Source: A. Ritter, Z. Ver. Dtsch. Ing. 36 (1892) 947; J. J. Stoker, Water Waves (1957), section 10.8.
    """
    xi, c0 = np.asarray(xi, np.float64), float(np.sqrt(gravity * deep))
    fan = np.stack([(2 * c0 - xi) ** 2 / (9 * gravity), 2 / 3 * (xi + c0)])
    still = np.array([deep, 0.0])[:, None]
    if shallow == 0:
        dry = np.zeros((2, 1))
        return np.where(xi < -c0, still, np.where(xi < 2 * c0, fan, dry))

    def mismatch(h: float) -> float:
        """Velocity behind the fan less velocity behind the bore."""
        bore = (h - shallow) * np.sqrt(0.5 * gravity * (h + shallow) / (h * shallow))
        return 2 * (c0 - np.sqrt(gravity * h)) - bore

    h = float(root_scalar(mismatch, bracket=(shallow, deep), xtol=1e-15, rtol=1e-14).root)
    u = 2 * (c0 - np.sqrt(gravity * h))
    speed = h * u / (h - shallow)
    middle, ahead = np.array([h, u])[:, None], np.array([shallow, 0.0])[:, None]
    behind = np.where(xi < -c0, still, np.where(xi < u - np.sqrt(gravity * h), fan, middle))
    return np.where(xi < speed, behind, ahead)


def bowl(x: np.ndarray, t: Number, gravity: Number = 9.81, deepest: Number = 0.5, a: Number = 1.0) -> np.ndarray:
    """Depth, velocity and bed at x, (3, points): water with a plane surface swings in a parabolic bowl, exact.

        b = deepest ((x/a)^2 - 1),   h = deepest (1 - ((x - c)/a)^2),   u = c',   c = -cos(w t)/2
        w^2 = 2 g deepest/a^2

    Its shores, c - a and c + a, move over ground that falls dry. Periodic with 2 pi/w (2.006 for the numbers given).
    Source: W. C. Thacker, J. Fluid Mech. 107 (1981) 499.
    """
    x, omega = np.asarray(x, np.float64), np.sqrt(2 * gravity * deepest) / a
    centre, speed = -0.5 * np.cos(omega * t), 0.5 * omega * np.sin(omega * t)
    bed = deepest * ((x / a) ** 2 - 1)
    depth = np.maximum(deepest * (1 - ((x - centre) / a) ** 2), 0.0)
    return np.stack([depth, np.where(depth > 0, speed, 0.0), bed])


def simple_wave(
    x: np.ndarray, t: Number, amplitude: Number = 0.1, gravity: Number = 1.0, depth: Number = 1.0
) -> np.ndarray:
    """Depth and velocity at x, (2, points), of a wave that runs to the right and steepens; period 1 in x, flat bed.

        u = 2 (c - c0),   c_t + (3 c - 2 c0) c_x = 0,   c(x, 0) = c0 (1 + amplitude sin(2 pi x)),   c = sqrt(g h)

    Exact until it breaks, at t = 1/(6 pi amplitude c0). Source: G. B. Whitham, Linear and Nonlinear Waves (1974).
    """
    x, c0 = np.asarray(x, np.float64), float(np.sqrt(gravity * depth))
    start = lambda y: c0 * (1 + amplitude * np.sin(2 * np.pi * y))  # noqa: E731
    slope = lambda y: 2 * np.pi * c0 * amplitude * np.cos(2 * np.pi * y)  # noqa: E731
    y = x - c0 * t  # where the characteristic through x began
    for _ in range(60):
        y = y - (y + (3 * start(y) - 2 * c0) * t - x) / (1 + 3 * slope(y) * t)
    c = start(y)
    return np.stack([c**2 / gravity, 2 * (c - c0)])
