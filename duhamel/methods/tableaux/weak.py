"""Numbers of weak Runge-Kutta methods: `methods.weak` says where each stands."""

from math import sqrt
from typing import NamedTuple


class Weak(NamedTuple):
    """A method of Debrabant and Roessler's class with stages x, x + ... + ... b, x + ... - ... b in both chains of the noise.

    c        nodes of the three stages of the drift
    A0, B0   weights in them: of earlier drifts, and of G(x) dW
    alpha    weights of the drifts
    a, b     H_2,3^k  = x + a h f +- b g_k sqrt(h), at t + a h
    p, q     Hh_2,3^l = x -+ (p g_l(x) + q g_l(H_2^l) + q g_l(H_3^l)) sqrt(h), at t
    beta1    weights of dW_k: g_k(x), g_k(H_2^k) and g_k(H_3^k)
    beta2    weight of I_kk / sqrt(h) at H_2^k, minus that at H_3^k
    beta3    weights of dW_k: g_k(x), g_k(Hh_2^l) and g_k(Hh_3^l)
    beta4    weight of I_kl / sqrt(h) at Hh_2^l, minus that at Hh_3^l
    """

    c: tuple[float, ...]
    A0: tuple[tuple[float, ...], ...]
    B0: tuple[float, ...]
    alpha: tuple[float, ...]
    a: float
    b: float
    p: float
    q: float
    beta1: tuple[float, float]
    beta2: float
    beta3: tuple[float, float]
    beta4: float
    reference: str


DRI1 = Weak(
    c=(0.0, 1 / 2, 1.0),
    A0=((), (1 / 2,), (-1.0, 2.0)),
    B0=(0.0, (6 - sqrt(6)) / 10, (3 + 2 * sqrt(6)) / 5),
    alpha=(1 / 6, 2 / 3, 1 / 6),
    a=342 / 491,
    b=3 * sqrt(38 / 491),
    p=214 / 513 * sqrt(1105 / 991),
    q=491 / 513 * sqrt(221 / 4955),
    beta1=(193 / 684, 491 / 1368),
    beta2=sqrt(491 / 38) / 6,
    beta3=(-4955 / 7072, 4955 / 14144),
    beta4=-sqrt(4955 / 221) / 8,
    reference="K. Debrabant, A. Roessler, Appl. Numer. Math. 59 (2009) 582-594",
)
