"""The Bari test set for initial value problem solvers: stiff chemistry and circuits, with published end values.

F. Mazzia, C. Magherini, "Test set for initial value problem solvers", release 2.4 (2008), University of Bari. The ends
are those of its Fortran functions `solut`.
"""

import math
from typing import Any

import numpy as np

from .known import InitialValueProblem

_SOURCE = "Bari test set, release 2.4"


def _hires(t: Any, y: Any, m: Any) -> Any:
    """High irradiance response of plants (Schafer 1975)."""
    y1, y2, y3, y4, y5, y6, y7, y8 = y
    bound = 280.0 * y6 * y8
    return (
        -1.71 * y1 + 0.43 * y2 + 8.32 * y3 + 0.0007,
        1.71 * y1 - 8.75 * y2,
        -10.03 * y3 + 0.43 * y4 + 0.035 * y5,
        8.32 * y2 + 1.71 * y3 - 1.12 * y4,
        -1.745 * y5 + 0.43 * y6 + 0.43 * y7,
        -bound + 0.69 * y4 + 1.71 * y5 - 0.43 * y6 + 0.69 * y7,
        bound - 1.81 * y7,
        -bound + 1.81 * y7,
    )


def _rober(t: Any, y: Any, m: Any) -> Any:
    """Robertson's three reactions (1966)."""
    y1, y2, y3 = y
    slow, middle, fast = 0.04 * y1, 1e4 * y2 * y3, 3e7 * y2 * y2
    return -slow + middle, slow - middle - fast, fast


def _orego(t: Any, y: Any, m: Any) -> Any:
    """The oregonator of Field and Noyes (1974)."""
    y1, y2, y3 = y
    return 77.27 * (y2 + y1 * (1.0 - 8.375e-6 * y1 - y2)), (y3 - (1.0 + y1) * y2) / 77.27, 0.161 * (y1 - y3)


def _vdpol(t: Any, y: Any, m: Any) -> Any:
    """Van der Pol's equation in the scaling that keeps the period of order one, epsilon = 1e-6."""
    y1, y2 = y
    return y2, ((1.0 - y1 * y1) * y2 - y1) * 1e6


def _vdpol_unscaled(t: Any, y: Any, m: Any) -> Any:
    y1, y2 = y
    return y2, 1000.0 * (1.0 - y1 * y1) * y2 - y1


def _e5(t: Any, y: Any, m: Any) -> Any:
    """Enright, Hull and Lindberg's E5: a reaction whose rates span 16 decades."""
    y1, y2, y3, y4 = y
    a, b, c, d = 7.89e-10 * y1, 1.1e7 * y1 * y3, 1.13e9 * y2 * y3, 1.13e3 * y4
    return -a - b, a - c, a - b - c + d, b - d


def _pollu(t: Any, y: Any, m: Any) -> Any:
    """Air pollution: 25 reactions of 20 species (Verwer 1994)."""
    y1, y2, y3, y4, y5, y6, y7, y8, y9, y10, y11, y12, y13, y14, y15, y16, y17, y18, y19, y20 = y
    del y8, y12, y15, y18
    r1, r2, r3, r4, r5 = 0.35 * y1, 26.6 * y2 * y4, 1.23e4 * y5 * y2, 8.6e-4 * y7, 8.2e-4 * y7
    r6, r7, r8, r9, r10 = 1.5e4 * y7 * y6, 1.3e-4 * y9, 2.4e4 * y9 * y6, 1.65e4 * y11 * y2, 9e3 * y11 * y1
    r11, r12, r13, r14, r15 = 0.022 * y13, 1.2e4 * y10 * y2, 1.88 * y14, 1.63e4 * y1 * y6, 4.8e6 * y3
    r16, r17, r18, r19, r20 = 3.5e-4 * y4, 0.0175 * y4, 1e8 * y16, 4.44e11 * y16, 1240.0 * y17 * y6
    r21, r22, r23, r24, r25 = 2.1 * y19, 5.78 * y19, 0.0474 * y1 * y4, 1780.0 * y19 * y1, 3.12 * y20
    return (
        -r1 - r10 - r14 - r23 - r24 + r2 + r3 + r9 + r11 + r12 + r22 + r25,
        -r2 - r3 - r9 - r12 + r1 + r21,
        -r15 + r1 + r17 + r19 + r22,
        -r2 - r16 - r17 - r23 + r15,
        -r3 + 2.0 * r4 + r6 + r7 + r13 + r20,
        -r6 - r8 - r14 - r20 + r3 + 2.0 * r18,
        -r4 - r5 - r6 + r13,
        r4 + r5 + r6 + r7,
        -r7 - r8,
        -r12 + r7 + r9,
        -r9 - r10 + r8 + r11,
        r9,
        -r11 + r10,
        -r13 + r12,
        r14,
        -r18 - r19 + r16,
        -r20,
        r20,
        -r21 - r22 - r24 + r23 + r25,
        -r25 + r24,
    )


_WEIGHTS = np.arange(1.0, 8.0)
_ITSELF = np.eye(7, dtype=int)


def _pleiades(t: Any, y: Any, m: Any) -> Any:
    """Seven stars in the plane, of masses 1 to 7; y = (x, y, x', y')."""
    place = y[:14].reshape(2, 7)
    apart = place[:, None, :] - place[:, :, None]
    cube = (m.sum(apart**2, axis=0) + m.asarray(_ITSELF)) ** 1.5
    force = m.sum(m.asarray(_WEIGHTS, dtype=y.dtype) * apart / cube, axis=2)
    return m.concatenate([y[14:], force.reshape(14)])


def _ring(t: Any, y: Any, m: Any) -> Any:
    """The ring modulator, a circuit that mixes two tones (Horneber 1976), with Cs = 2e-12: stiff and oscillating."""
    y1, y2, y3, y4, y5, y6, y7, y8, y9, y10, y11, y12, y13, y14, y15 = y
    low, high = 0.5 * m.sin(2e3 * math.pi * t), 2.0 * m.sin(2e4 * math.pi * t)
    diode = lambda u: 40.67286402e-9 * (m.exp(17.7493332 * u) - 1.0)  # noqa: E731
    q1, q2 = diode(y3 - y5 - y7 - high), diode(-y4 + y6 - y7 - high)
    q3, q4 = diode(y4 + y5 + y7 + high), diode(-y3 - y6 + y7 + high)
    return (
        (y8 - 0.5 * y10 + 0.5 * y11 + y14 - y1 / 25e3) / 1.6e-8,
        (y9 - 0.5 * y12 + 0.5 * y13 + y15 - y2 / 25e3) / 1.6e-8,
        (y10 - q1 + q4) / 2e-12,
        (-y11 + q2 - q3) / 2e-12,
        (y12 + q1 - q3) / 2e-12,
        (-y13 - q2 + q4) / 2e-12,
        (-y7 / 50.0 + q1 + q2 - q3 - q4) / 1e-8,
        -y1 / 4.45,
        -y2 / 4.45,
        (0.5 * y1 - y3 - 17.3 * y10) / 5e-4,
        (-0.5 * y1 + y4 - 17.3 * y11) / 5e-4,
        (0.5 * y2 - y5 - 17.3 * y12) / 5e-4,
        (-0.5 * y2 + y6 - 17.3 * y13) / 5e-4,
        (-y1 + low - (50.0 + 36.3) * y14) / 2e-3,
        (-y2 - (600.0 + 36.3) * y15) / 2e-3,
    )


def _transamp(t: Any, y: Any, m: Any) -> Any:
    """The transistor amplifier (Hairer and Wanner): index 1, five capacitors for eight voltages."""
    y1, y2, y3, y4, y5, y6, y7, y8 = y
    signal = 0.1 * m.sin(200.0 * math.pi * t)
    gate = lambda u: 1e-6 * (m.exp(u / 0.026) - 1.0)  # noqa: E731
    g1, g2 = gate(y2 - y3), gate(y5 - y6)
    return (
        (signal - y1) / 1000.0,
        6.0 / 9000.0 - y2 * (2.0 / 9000.0) - 0.01 * g1,
        g1 - y3 / 9000.0,
        (6.0 - y4) / 9000.0 - 0.99 * g1,
        6.0 / 9000.0 - y5 * (2.0 / 9000.0) - 0.01 * g2,
        g2 - y6 / 9000.0,
        (6.0 - y7) / 9000.0 - 0.99 * g2,
        -y8 / 9000.0,
    )


def _capacitors() -> tuple[tuple[float, ...], ...]:
    mass = np.zeros((8, 8))
    for i, j, c in ((0, 1, 1e-6), (3, 4, 3e-6), (6, 7, 5e-6)):
        mass[[i, j], [i, j]], mass[[i, j], [j, i]] = c, -c
    mass[2, 2], mass[5, 5] = 2e-6, 4e-6
    return tuple(map(tuple, mass.tolist()))


# fmt: off
_POLLU_START = (0, 0.2, 0, 0.04, 0, 0, 0.1, 0.3, 0.01, 0, 0, 0, 0, 0, 0, 0, 0.007, 0, 0, 0)
_PLEIADES_START = (
    3, 3, -1, -3, 2, -2, 2, 3, -3, 2, 0, 0, -4, 4,
    0, 0, 0, 0, 0, 1.75, -1.5, 0, 0, 0, -1.25, 1, 0, 0,
)
_HIRES_END = (
    0.7371312573325668e-3, 0.1442485726316185e-3, 0.5888729740967575e-4, 0.1175651343283149e-2, 0.2386356198831331e-2,
    0.6238968252742796e-2, 0.2849998395185769e-2, 0.2850001604814231e-2,
)
_POLLU_END = (
    0.5646255480022769e-1, 0.1342484130422339, 0.4139734331099427e-8, 0.5523140207484359e-2, 0.2018977262302196e-6,
    0.1464541863493966e-6, 0.7784249118997964e-1, 0.3245075353396018, 0.7494013383880406e-2, 0.1622293157301561e-7,
    0.1135863833257075e-7, 0.2230505975721359e-2, 0.2087162882798630e-3, 0.1396921016840158e-4, 0.8964884856898295e-2,
    0.4352846369330103e-17, 0.6899219696263405e-2, 0.1007803037365946e-3, 0.1772146513969984e-5, 0.5682943292316392e-4,
)
_PLEIADES_END = (  # positions from the test set, velocities by SciPy's DOP853 at 1e-13
    0.3706139143970502, 3.237284092057233, -3.222559032418324, 0.6597091455775310, 0.3425581707156584,
    1.562172101400631, -0.7003092922212495, -3.943437585517392, -3.271380973972550, 5.225081843456543,
    -2.590612434977470, 1.198213693392275, -0.2429682344935824, 1.091449240428980,
    3.4170038063, 1.3545845016, -2.5900655978, 2.0250537347, -1.1558151002, -0.80729881702, 0.59523963542,
    -3.7412449612, 0.37734596858, 0.93868588695, 0.36679222272, -0.34740463538, 2.3449154482, -1.9470204343,
)
_RING_END = (
    -0.2339057358486745e-1, -0.7367485485540825e-2, 0.2582956709291169, -0.4064465721283450, -0.4039455665149794,
    0.2607966765422943, 0.1106761861269975, 0.2939904342435596e-6, -0.2840029933642329e-7, 0.7267198267264553e-3,
    0.7929487196960840e-3, -0.7255283495698965e-3, -0.7941401968526521e-3, 0.7088495416976114e-4, 0.2390059075236570e-4,
)
_TRANSAMP_END = (
    -0.5562145012262709e-2, 0.3006522471903042e1, 0.2849958788608128e1, 0.2926422536206241e1, 0.2704617865010554e1,
    0.2761837778393145e1, 0.4770927631616772e1, 0.1236995868091548e1,
)
# fmt: on


def _bari(name: str, rule: Any, x0: tuple, t1: float, known: tuple, **how: Any) -> InitialValueProblem:
    how = {"stiff": True, "source": _SOURCE} | how
    return InitialValueProblem(name, rule, tuple(map(float, x0)), t1, known, **how)


BARI = {
    problem.name: problem
    for problem in (
        _bari("HIRES", _hires, (1, 0, 0, 0, 0, 0, 0, 0.0057), 321.8122, _HIRES_END, scale=1e-4),
        _bari(
            "ROBER",
            _rober,
            (1, 0, 0),
            1e11,
            (0.2083340149701255e-7, 0.8333360770334713e-13, 0.9999999791665050),
            scale=1e-10,
        ),
        _bari("OREGO", _orego, (1, 2, 3), 360.0, (0.1000814870318523e1, 0.1228178521549917e4, 0.1320554942846706e3)),
        _bari("VDPOL", _vdpol, (2, 0), 2.0, (0.1706167732170483e1, -0.8928097010247975)),
        _bari(
            "VDPOL-1000", _vdpol_unscaled, (2, 0), 2000.0, (0.1706167732170469e1, -0.8928097010248125e-3), scale=1e-3
        ),
        _bari("POLLU", _pollu, _POLLU_START, 60.0, _POLLU_END, scale=1e-8),
        _bari("PLEIADES", _pleiades, _PLEIADES_START, 3.0, _PLEIADES_END, stiff=False, digits=10),
        _bari("RING", _ring, (0,) * 15, 1e-3, _RING_END, scale=1e-6),
        _bari("TRANSAMP", _transamp, (0, 3, 3, 6, 3, 3, 6, 0), 0.2, _TRANSAMP_END, mass=_capacitors()),
    )
}

E5 = _bari(
    "E5",
    _e5,
    (1.76e-3, 0, 0, 0),
    1e13,
    (0.1152903278711829e-290, 0.8867655517642120e-22, 0.8854814626268838e-22, 0.0),
    digits=0,
)
"""Kept apart: rounding in float64 destroys its invariant y2 = y3 + y4; SciPy's Radau misses the published end."""
