"""DETEST: 25 non-stiff problems, A single equations, B small systems, C moderate systems, D orbits, E of higher order.

T. E. Hull, W. H. Enright, B. M. Fellen, A. E. Sedgwick, "Comparing numerical methods for ordinary differential
equations", SIAM J. Numer. Anal. 9 (1972) 603-637. All run from t = 0 to 20. All but B1, C5, E2 and E3 have closed
forms, which the paper does not need and we use; the others' ends were computed by extrapolation in extended precision.
All agree to 13 digits with the ends that Enright and Pryce's drivers print (ACM TOMS 13 (1987) 28-34).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from .known import InitialValueProblem

_EXTRAPOLATED = "Gragg-Bulirsch-Stoer extrapolation in 80-bit floats"
_CLOSED = "closed form"

# A: single equations


def _a1(t: Any, x: Any, m: Any) -> Any:
    return (-x[0],)


def _a2(t: Any, x: Any, m: Any) -> Any:
    return (-0.5 * x[0] ** 3,)


def _a3(t: Any, x: Any, m: Any) -> Any:
    return (x[0] * m.cos(t),)


def _a4(t: Any, x: Any, m: Any) -> Any:
    return (0.25 * x[0] * (1.0 - 0.05 * x[0]),)


def _a5(t: Any, x: Any, m: Any) -> Any:
    return ((x[0] - t) / (x[0] + t),)


def _a5_exact(t: float) -> Any:
    """In polar coordinates (t, x) = r (cos a, sin a) the solution is the spiral r = 4 exp(pi/2 - a)."""
    radius = lambda a: 4.0 * math.exp(math.pi / 2 - a)  # noqa: E731
    angle = _root(lambda a: radius(a) * math.cos(a) - t, math.pi / 2, -math.pi / 4)
    return [radius(angle) * math.sin(angle)]


def _root(f: Callable[[float], float], below: float, above: float) -> float:
    """Where f, which grows from `below` to `above`, is zero: bisection down to the last digit."""
    middle = below
    for _ in range(64):
        middle = 0.5 * (below + above)
        below, above = (middle, above) if f(middle) < 0.0 else (below, middle)
    return middle


# B: small systems


def _b1(t: Any, x: Any, m: Any) -> Any:
    return 2.0 * (x[0] - x[0] * x[1]), -(x[1] - x[0] * x[1])


def _b2(t: Any, x: Any, m: Any) -> Any:
    return -x[0] + x[1], x[0] - 2.0 * x[1] + x[2], x[1] - x[2]


def _b2_exact(t: float) -> Any:
    """Modes (1, 1, 1), (1, 0, -1) and (1, -2, 1) with rates 0, -1 and -3."""
    slow, fast = 0.5 * math.exp(-t), 0.5 * math.exp(-3.0 * t)
    return [1.0 + slow + fast, 1.0 - 2.0 * fast, 1.0 - slow + fast]


def _b3(t: Any, x: Any, m: Any) -> Any:
    return -x[0], x[0] - x[1] ** 2, x[1] ** 2


def _b3_exact(t: float) -> Any:
    """x2 = u'/u with u'' = exp(-t) u, so u = K1(2) I0(z) + I1(2) K0(z), z = 2 exp(-t/2)."""
    z = 2.0 * math.exp(-0.5 * t)
    u = special.k1(2.0) * special.i0(z) + special.i1(2.0) * special.k0(z)
    slope = 0.5 * z * (special.i1(2.0) * special.k1(z) - special.k1(2.0) * special.i1(z))
    return [math.exp(-t), slope / u, 1.0 - math.exp(-t) - slope / u]


def _b4(t: Any, x: Any, m: Any) -> Any:
    r = m.sqrt(x[0] ** 2 + x[1] ** 2)
    return -x[1] - x[0] * x[2] / r, x[0] - x[1] * x[2] / r, x[0] / r


def _b4_exact(t: float) -> Any:
    """A curve on a torus."""
    s, c = math.sin(t), math.cos(t)
    return [(2.0 + c) * c, (2.0 + c) * s, s]


def _b5(t: Any, x: Any, m: Any) -> Any:
    return x[1] * x[2], -x[0] * x[2], -0.51 * x[0] * x[1]


def _b5_exact(t: float) -> Any:
    """Euler's rigid body: Jacobi's sn, cn and dn with parameter 0.51."""
    return special.ellipj(t, 0.51)[:3]


# C: moderate systems


def _c1(t: Any, x: Any, m: Any) -> Any:
    return m.concatenate([-x[:1], x[:8] - x[1:9], x[8:9]])


def _c1_exact(t: float) -> Any:
    """A Poisson process, stopped at its ninth jump."""
    head = [math.exp(-t) * t**j / math.factorial(j) for j in range(9)]
    return [*head, special.gammainc(9, t)]


def _c2(t: Any, x: Any, m: Any) -> Any:
    flow = m.asarray(np.arange(1, 10), dtype=x.dtype) * x[:9]
    return m.concatenate([-flow[:1], flow[:8] - flow[1:], flow[8:]])


def _c2_exact(t: float) -> Any:
    """Yule's pure birth process, stopped at ten."""
    grown = -math.expm1(-t)
    return [*(math.exp(-t) * grown**j for j in range(9)), grown**9]


def _heat(t: Any, x: Any, m: Any) -> Any:
    inside = x[:-2] - 2.0 * x[1:-1] + x[2:]
    return m.concatenate([x[1:2] - 2.0 * x[:1], inside, x[-2:-1] - 2.0 * x[-1:]])


def _heat_exact(n: int) -> Any:
    def exact(t: float) -> Any:
        """Sum over the sine modes of the second difference on n points."""
        k = np.arange(1, n + 1) * math.pi / (n + 1)
        decay = np.exp(-4.0 * t * np.sin(k / 2) ** 2) * np.sin(k)
        return 2.0 / (n + 1) * np.sin(np.outer(np.arange(1, n + 1), k)) @ decay

    return exact


_GRAVITY, _SUN = 2.95912208286, 1.00000597682
_MASSES = np.array([0.000954786104043, 0.000285583733151, 0.0000437273164546, 0.0000517759138449, 0.00000277777777778])
_ITSELF = np.eye(5, dtype=int)


def _c5(t: Any, x: Any, m: Any) -> Any:
    """Five outer planets around the sun; x holds positions planet by planet, then velocities."""
    place = x[:15].reshape(5, 3)
    masses = m.asarray(_MASSES, dtype=x.dtype)
    cube = m.sum(place**2, axis=1) ** 1.5
    apart = place[None, :, :] - place[:, None, :]
    between = (m.sum(apart**2, axis=2) + m.asarray(_ITSELF)) ** 1.5
    pull = m.sum(masses[None, :, None] * apart / between[:, :, None], axis=1)
    sun = m.sum(masses[:, None] * place / cube[:, None], axis=0) - masses[:, None] * place / cube[:, None]
    force = -(_SUN + masses)[:, None] * place / cube[:, None] + pull - sun
    return m.concatenate([x[15:], _GRAVITY * force.reshape(15)])


# fmt: off
_C5_START = (
    3.42947415189, 3.35386959711, 1.35494901715, 6.64145542550, 5.97156957878, 2.18231499728, 11.2630437207,
    14.6952576794, 6.27960525067, -30.1552268759, 1.65699966404, 1.43785752721, -21.1238353380, 28.4465098142,
    15.3882659679, -0.557160570446, 0.505696783289, 0.230578543901, -0.415570776342, 0.365682722812, 0.169143213293,
    -0.325325669158, 0.189706021964, 0.0877265322780, -0.0240476254170, -0.287659532608, -0.117219543175,
    -0.176860753121, -0.216393453025, -0.0148647893090,
)
# fmt: on

# D: orbits


def _kepler(t: Any, x: Any, m: Any) -> Any:
    cube = (x[0] ** 2 + x[1] ** 2) ** 1.5
    return x[2], x[3], -x[0] / cube, -x[1] / cube


def _kepler_exact(e: float) -> Any:
    def exact(t: float) -> Any:
        """Kepler's equation E - e sin E = t, from the pericentre."""
        anomaly = _root(lambda E: E - e * math.sin(E) - t, t - 1.0, t + 1.0)
        s, c, b = math.sin(anomaly), math.cos(anomaly), math.sqrt(1.0 - e * e)
        speed = 1.0 / (1.0 - e * c)
        return [c - e, b * s, -s * speed, b * c * speed]

    return exact


# E: higher order


def _e1(t: Any, x: Any, m: Any) -> Any:
    return x[1], -(x[1] / (t + 1.0) + (1.0 - 0.25 / (t + 1.0) ** 2) * x[0])


def _e1_exact(t: float) -> Any:
    """The Bessel function of order 1/2 at t + 1."""
    z = t + 1.0
    size = math.sqrt(2.0 / (math.pi * z))
    return [size * math.sin(z), size * (math.cos(z) - 0.5 * math.sin(z) / z)]


def _e2(t: Any, x: Any, m: Any) -> Any:
    return x[1], (1.0 - x[0] ** 2) * x[1] - x[0]


def _e3(t: Any, x: Any, m: Any) -> Any:
    return x[1], x[0] ** 3 / 6.0 - x[0] + 2.0 * m.sin(2.78535 * t)


def _e4(t: Any, x: Any, m: Any) -> Any:
    return x[1], 0.032 - 0.4 * x[1] ** 2


def _e4_exact(t: float) -> Any:
    a = math.sqrt(0.4 * 0.032) * t
    return [30.0 + math.log(math.cosh(a)) / 0.4, math.sqrt(0.08) * math.tanh(a)]


def _e5(t: Any, x: Any, m: Any) -> Any:
    return x[1], m.sqrt(1.0 + x[1] ** 2) / (25.0 - t)


def _e5_exact(t: float) -> Any:
    """A curve of pursuit."""
    u = 25.0 / (25.0 - t)
    return [12.5 * math.log(u) - (25.0 * t - 0.5 * t * t) / 50.0, 0.5 * (u - 1.0 / u)]


def _first(n: int) -> tuple[float, ...]:
    return (1.0, *(0.0 for _ in range(n - 1)))


def _closed(name: str, rule: Any, x0: tuple[float, ...], exact: Any) -> InitialValueProblem:
    return InitialValueProblem(name, rule, x0, 20.0, source=_CLOSED, exact=exact)


def _computed(name: str, rule: Any, x0: tuple[float, ...], known: tuple[float, ...]) -> InitialValueProblem:
    return InitialValueProblem(name, rule, x0, 20.0, known, _EXTRAPOLATED)


def _orbit(name: str, e: float) -> InitialValueProblem:
    return _closed(name, _kepler, (1.0 - e, 0.0, 0.0, math.sqrt((1.0 + e) / (1.0 - e))), _kepler_exact(e))


# fmt: off
_C5_END = (
    -4.792730224323637, -2.420550725449022, -0.9212509306015121, -4.217310404035214, 7.35620294749897,
    3.2237859854212108, 4.035559443262271, 17.198655286705552, 7.478910794233703, -29.987593263248442,
    -4.10731093755093, -0.9277008321754407, -24.42125302518483, 23.814590457465545, 14.920963069513588,
    0.3499208963063996, -0.5748487687912802, -0.25516940208791444, -0.5237040978903325, -0.24930004635796624,
    -0.08045341642044467, -0.38752892373341097, 0.05648603288767892, 0.03023606472143344, 0.041338565467124465,
    -0.28623930298413797, -0.1183032405136207, -0.15119864573592054, -0.24600688943187657, -0.03189687411323877,
)
# fmt: on

DETEST = {
    problem.name: problem
    for problem in (
        _closed("A1", _a1, (1.0,), lambda t: [math.exp(-t)]),
        _closed("A2", _a2, (1.0,), lambda t: [1.0 / math.sqrt(1.0 + t)]),
        _closed("A3", _a3, (1.0,), lambda t: [math.exp(math.sin(t))]),
        _closed("A4", _a4, (1.0,), lambda t: [20.0 / (1.0 + 19.0 * math.exp(-0.25 * t))]),
        _closed("A5", _a5, (4.0,), _a5_exact),
        _computed("B1", _b1, (1.0, 3.0), (0.6761876008576618, 0.18608160996400303)),
        _closed("B2", _b2, (2.0, 0.0, 1.0), _b2_exact),
        _closed("B3", _b3, (1.0, 0.0, 0.0), _b3_exact),
        _closed("B4", _b4, (3.0, 0.0, 0.0), _b4_exact),
        _closed("B5", _b5, (0.0, 1.0, 1.0), _b5_exact),
        _closed("C1", _c1, _first(10), _c1_exact),
        _closed("C2", _c2, _first(10), _c2_exact),
        _closed("C3", _heat, _first(10), _heat_exact(10)),
        _closed("C4", _heat, _first(51), _heat_exact(51)),
        _computed("C5", _c5, _C5_START, _C5_END),
        *(_orbit(f"D{i + 1}", e) for i, e in enumerate((0.1, 0.3, 0.5, 0.7, 0.9))),
        _closed("E1", _e1, (0.6713967071418030, 0.09540051444747446), _e1_exact),
        _computed("E2", _e2, (2.0, 0.0), (2.0081497621749484, -0.04250887527320262)),
        _computed("E3", _e3, (0.0, 0.0), (-0.10041788586472537, 0.24114001320959363)),
        _closed("E4", _e4, (30.0, 0.0), _e4_exact),
        _closed("E5", _e5, (0.0, 0.0), _e5_exact),
    )
}
