"""The numbers of one stochastic Runge-Kutta method, and nothing else.

    f_i  = f(t + c_i h, z_i),   G_i = G(t + c_i h, z_i)
    z_i  = x + sum over the terms of stage i
    x1   = x + sum over the terms of `end`,        error = sum over the terms of `error`
    terms:   (w, j) means w h f_j,   (w, j, "dW") means w G_j dW, and so for every draw

Draws, all of the size of sqrt(h), components of a Brownian motion apart:

    dW     increment of the step
    H      space-time area (1/h) int_0^h (W_r - (r/h) dW) dr; the iterated integral I_10 / h is dW/2 + H
    root   sqrt(h)
    I11    (dW^2 - h) / (2 sqrt(h))           the iterated Ito integral I_11 / sqrt(h)
    I111   (dW^3 - 3 h dW) / (6 h)            the iterated Ito integral I_111 / h
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

Term = tuple[float, int] | tuple[float, int, str]
Sum = tuple[Term, ...]

DRAWS = ("dW", "H", "root", "I11", "I111")


@dataclass(frozen=True)
class StochasticTableau:
    """A stochastic Runge-Kutta method.

    name         the usual name
    calculus     "ito" or "stratonovich"; where noise is additive the two agree
    strong       (noise, strong order) for every kind of noise the method takes
    c            nodes of the stages
    stages       terms of each stage
    end, error   terms of the end of the step, and of the error estimate or None
    error_order  the estimate is O(h^(error_order + 1)) or smaller by half a power, or None
    reference    where the numbers come from
    """

    name: str
    calculus: str
    strong: tuple[tuple[str, float], ...]
    c: tuple[float, ...]
    stages: tuple[Sum, ...]
    end: Sum
    error: Sum | None
    error_order: int | None
    reference: str

    def __post_init__(self):
        if len(self.stages) != len(self.c):
            raise ValueError(f"tableau {self.name!r}: {len(self.stages)} stages need as many nodes, not {len(self.c)}.")
        if (self.error is None) != (self.error_order is None):
            raise ValueError(f"tableau {self.name!r}: error and error_order go together.")
        for i, terms in enumerate((*self.stages, self.end, self.error or ())):
            if any(
                j >= min(i, len(self.c)) or draw not in DRAWS for _, j, *draws in terms for draw in (draws or ["dW"])
            ):
                raise ValueError(f"tableau {self.name!r}: sum {i} reads a stage not built yet, or an unknown draw.")

    @property
    def draws(self) -> tuple[str, ...]:
        """Draws that occur, in the order of `DRAWS`."""
        found = {term[2] for terms in (*self.stages, self.end, self.error or ()) for term in terms if len(term) == 3}
        return tuple(draw for draw in DRAWS if draw in found)


def _minus(terms: Sum, others: Sum) -> Sum:
    """The difference of two sums, term by term."""
    weights: dict[tuple, float] = {}
    for sign, part in ((1.0, terms), (-1.0, others)):
        for w, *at in part:
            weights[tuple(at)] = weights.get(tuple(at), 0.0) + sign * w
    return tuple((w, *at) for at, w in weights.items() if w)  # pyright: ignore[reportReturnType]


EVERY = ("additive", "scalar", "diagonal", "commutative", "general")


def _orders(*orders: float) -> tuple[tuple[str, float], ...]:
    return tuple(zip(EVERY, orders, strict=False))


# fmt: off
EULER_MARUYAMA = StochasticTableau(
    name="EulerMaruyama", calculus="ito", strong=_orders(1.0, 0.5, 0.5, 0.5, 0.5),
    c=(0.0,), stages=((),),
    end=((1.0, 0), (1.0, 0, "dW")), error=None, error_order=None,
    reference="G. Maruyama, Rend. Circ. Mat. Palermo 4 (1955) 48-90",
)

# The predictor moves with the noise alone: one call of the drift a step.
EULER_HEUN = StochasticTableau(
    name="EulerHeun", calculus="stratonovich", strong=_orders(1.0, 1.0, 1.0, 1.0, 0.5),
    c=(0.0, 1.0), stages=((), ((1.0, 0, "dW"),)),
    end=((1.0, 0), (0.5, 0, "dW"), (0.5, 1, "dW")), error=None, error_order=None,
    reference="P. E. Kloeden, E. Platen, Numerical Solution of Stochastic Differential Equations (1992)",
)

STOCHASTIC_HEUN = StochasticTableau(
    name="StochasticHeun", calculus="stratonovich", strong=_orders(1.0, 1.0, 1.0, 1.0, 0.5),
    c=(0.0, 1.0), stages=((), ((1.0, 0), (1.0, 0, "dW"))),
    end=((0.5, 0), (0.5, 1), (0.5, 0, "dW"), (0.5, 1, "dW")),
    error=((-0.5, 0), (0.5, 1), (-0.5, 0, "dW"), (0.5, 1, "dW")), error_order=0,
    reference="W. Ruemelin, SIAM J. Numer. Anal. 19 (1982) 604-613; the embedded method is Euler's",
)

STOCHASTIC_MIDPOINT = StochasticTableau(
    name="StochasticMidpoint", calculus="stratonovich", strong=_orders(1.0, 1.0, 1.0, 1.0, 0.5),
    c=(0.0, 0.5), stages=((), ((0.5, 0), (0.5, 0, "dW"))),
    end=((1.0, 1), (1.0, 1, "dW")),
    error=((-1.0, 0), (1.0, 1), (-1.0, 0, "dW"), (1.0, 1, "dW")), error_order=0,
    reference="W. Ruemelin, SIAM J. Numer. Anal. 19 (1982) 604-613; the embedded method is Euler's",
)

_EULER = ((1.0, 0), (1.0, 0, "dW"))

# Noise at both ends of the step: G(t) H_10 + G(t + h) (dW - H_10), H_10 = dW/2 + H; the second stage serves G(t + h) alone.
_ENDS = ((0.5, 0, "dW"), (1.0, 0, "H"), (0.5, 1, "dW"), (-1.0, 1, "H"))

_SRA1_END = ((1 / 3, 0), (2 / 3, 2), *_ENDS)
SRA1 = StochasticTableau(
    name="SRA1", calculus="ito", strong=_orders(1.5),
    c=(0.0, 1.0, 3 / 4),
    stages=((), (), ((3 / 4, 0), (3 / 4, 1, "dW"), (3 / 2, 1, "H"))),
    end=_SRA1_END, error=_minus(_SRA1_END, _EULER), error_order=1,
    reference="A. Roessler, SIAM J. Numer. Anal. 48 (2010) 922-952, table 6.1; the embedded method is Euler-Maruyama",
)

# Published for a constant G; the noise at the end is that of SRA1, which is of the same order for G(t).
SHARK = StochasticTableau(
    name="ShARK", calculus="stratonovich", strong=_orders(1.5),
    c=(0.0, 1.0, 0.0, 5 / 6),
    stages=((), (), ((1.0, 0, "H"),), ((5 / 6, 2), (5 / 6, 0, "dW"), (1.0, 0, "H"))),
    end=((2 / 5, 2), (3 / 5, 3), *_ENDS), error=((-3 / 5, 2), (3 / 5, 3)), error_order=1,
    reference="J. Foster, G. dos Reis, C. Strange, arXiv:2210.17543, equation (6.1)",
)

_P, _Q = (3 - sqrt(3)) / 6, 1 / sqrt(3)
_SPARK_NOISE = ((_P, 0, "dW"), (_Q, 1, "dW"), (_P, 2, "dW"), (1.0, 0, "H"), (-1.0, 2, "H"))
_SPARK_END = ((_P, 0), (_Q, 1), (_P, 2), *_SPARK_NOISE)
_TRAPEZOID = ((0.5, 0), (0.5, 2), (0.5, 0, "dW"), (0.5, 2, "dW"))
SPARK = StochasticTableau(
    name="SPaRK", calculus="stratonovich", strong=_orders(1.5, 1.0, 1.0, 1.0, 0.5),
    c=(0.0, 0.5, 1.0),
    stages=((), ((0.5, 0), (0.5, 0, "dW"), (sqrt(3), 0, "H")), ((1.0, 1), (1.0, 1, "dW"))),
    end=_SPARK_END, error=_minus(_SPARK_END, _TRAPEZOID), error_order=0,
    reference="J. Foster, arXiv:2311.14201, definition 1.6; the embedded method is the trapezoidal rule",
)

# Stages: 0 the drift at the start, 1-4 a Runge-Kutta step of the noise alone, 5 the drift and 6 the noise past the middle.
SLOWRK = StochasticTableau(
    name="SlowRK", calculus="stratonovich", strong=_orders(1.5, 1.5, 1.5, 1.5, 0.5),
    c=(0.0, 0.5, 0.5, 0.5, 0.5, 3 / 4, 1.0),
    stages=(
        (), ((0.5, 0),), ((0.5, 0), (0.5, 1, "dW")), ((0.5, 0), (0.5, 2, "dW")), ((0.5, 0), (1.0, 3, "dW")),
        ((3 / 4, 0), (3 / 4, 3, "dW"), (3 / 2, 3, "H")), ((1.0, 0), (0.5, 2, "dW")),
    ),
    end=(
        (1 / 3, 0), (2 / 3, 5), (1 / 6, 1, "dW"), (1 / 3, 2, "dW"), (1 / 3, 3, "dW"), (1 / 6, 4, "dW"),
        (2.0, 3, "H"), (-2.0, 6, "H"),
    ),
    error=None, error_order=None,
    reference="J. Foster, G. dos Reis, C. Strange, arXiv:2210.17543, equation (6.2)",
)
# fmt: on


class SRI(NamedTuple):
    """Numbers of Roessler's form for diagonal or scalar Ito noise: a chain H0 of stages for the drift, H1 for the noise.

        H0_i = x + h sum_j A0_ij f(H0_j) + sum_j B0_ij G(H1_j) I_10 / h         at t + h sum_j A0_ij
        H1_i = x + h sum_j A1_ij f(H0_j) + sum_j B1_ij G(H1_j) sqrt(h)          at t + h sum_j A1_ij
        x1   = x + h sum_i alpha_i f(H0_i)
                 + sum_i G(H1_i) (beta1_i I_1 + beta2_i I_11 / sqrt(h) + beta3_i I_10 / h + beta4_i I_111 / h)

    A and B hold rows of 0, 1, 2, ... entries.
    """

    A0: Sequence[Sequence[float]]
    A1: Sequence[Sequence[float]]
    B0: Sequence[Sequence[float]]
    B1: Sequence[Sequence[float]]
    alpha: Sequence[float]
    beta1: Sequence[float]
    beta2: Sequence[float]
    beta3: Sequence[float]
    beta4: Sequence[float]


def sri(name: str, numbers: SRI, reference: str) -> StochasticTableau:
    """The tableau. Its embedded method is Milstein's: the error is what beta3 and beta4 add, and the drift less Euler's."""
    A0, A1, B0, B1, alpha, beta1, beta2, beta3, beta4 = numbers
    stages: list[Sum] = []
    nodes: list[float] = []
    drift: dict[int, int] = {}  # stage H0_i stands at drift[i], H1_i at noise[i]
    noise: dict[int, int] = {}

    def add(c: float, terms: Sum) -> int:
        if not (terms == () and stages):  # both chains begin at x
            stages.append(terms)
            nodes.append(c)
            return len(stages) - 1
        return 0

    def f(weights: Sequence[float]) -> Sum:
        return tuple((float(w), drift[j]) for j, w in enumerate(weights) if w)

    def g(weights: Sequence[float], **draws: float) -> Sum:
        return tuple((w * d, noise[j], draw) for draw, d in draws.items() for j, w in enumerate(weights) if w)

    for i in range(len(alpha)):
        later = any(row[i] for row in (*A0[i + 1 :], *A1[i + 1 :]))
        if alpha[i] or later:
            drift[i] = add(sum(A0[i], 0.0), f(A0[i]) + g(B0[i], dW=0.5, H=1.0))
        noise[i] = add(sum(A1[i], 0.0), f(A1[i]) + g(B1[i], root=1.0))
    beyond = g(beta3, dW=0.5, H=1.0) + g(beta4, I111=1.0)
    end = _merged(f(alpha) + g(beta1, dW=1.0) + g(beta2, I11=1.0) + beyond)
    error = _merged(f([alpha[0] - 1.0, *alpha[1:]]) + beyond)
    strong = _orders(1.5, 1.5, 1.5)
    return StochasticTableau(name, "ito", strong, tuple(nodes), tuple(stages), end, error, 1, reference)


def _merged(terms: Sum) -> Sum:
    return _minus(terms, ())


# fmt: off
SRIW1_NUMBERS = SRI(
    A0=((), (3 / 4,), (0.0, 0.0), (0.0, 0.0, 0.0)),
    A1=((), (1 / 4,), (1.0, 0.0), (0.0, 0.0, 1 / 4)),
    B0=((), (3 / 2,), (0.0, 0.0), (0.0, 0.0, 0.0)),
    B1=((), (1 / 2,), (-1.0, 0.0), (-5.0, 3.0, 1 / 2)),
    alpha=(1 / 3, 2 / 3, 0.0, 0.0),
    beta1=(-1.0, 4 / 3, 2 / 3, 0.0), beta2=(-1.0, 4 / 3, -1 / 3, 0.0),
    beta3=(2.0, -4 / 3, -2 / 3, 0.0), beta4=(-2.0, 5 / 3, -2 / 3, 1.0),
)

SOSRI_NUMBERS = SRI(
    A0=(
        (), (-0.04199224421316468,), (2.842612915017106, -2.0527723684000727),
        (4.338237071435815, -2.8895936137439793, 2.3017575594644466),
    ),
    A1=(
        (), (0.26204282091330466,), (0.20903646383505375, -0.1502377115150361),
        (0.05836595312746999, 0.6149440396332373, 0.08535117634046772),
    ),
    B0=(
        (), (-0.21641093549612528,), (1.5336352863679572, 0.26066223492647056),
        (-1.0536037558179159, 1.7015284721089472, -0.20725685784180017),
    ),
    B1=(
        (), (-0.5119011827621657,), (2.67767339866713, -4.9395031322250995),
        (0.15580956238299215, 3.2361551006624674, -1.4223118283355949),
    ),
    alpha=(1.140099274172029, -0.6401334255743456, 0.4736296532772559, 0.026404498125060714),
    beta1=(-1.8453464565104432, 2.688764531100726, -0.2523866501071323, 0.40896857551684956),
    beta2=(0.4969658141589478, -0.5771202869753592, -0.12919702470322217, 0.2093514975196336),
    beta3=(2.8453464565104425, -2.688764531100725, 0.2523866501071322, -0.40896857551684945),
    beta4=(0.11522663875443433, -0.57877086147738, 0.2857851028163886, 0.17775911990655704),
)
# fmt: on

SRIW1 = sri("SRIW1", SRIW1_NUMBERS, "A. Roessler, SIAM J. Numer. Anal. 48 (2010) 922-952, table 6.3")
SOSRI = sri("SOSRI", SOSRI_NUMBERS, "C. Rackauckas, Q. Nie, arXiv:1804.04344; numbers as in StochasticDiffEq.jl")
