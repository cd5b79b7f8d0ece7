"""Coefficients of Rosenbrock methods, and nothing else."""

from dataclasses import dataclass
from math import sqrt

Weights = tuple[float, ...]


@dataclass(frozen=True)
class RosenbrockTableau:
    """A Rosenbrock method for M dx/dt = f(t, x), with its error estimate and its dense output, J = df/dx.

        (M - h gamma J) u_i = gamma (h f(t + c_i h, x + sum_{j<i} a_ij u_j) + M sum_{j<i} C_ij u_j + h^2 d_i df/dt)
        x(t + h)            = x + sum_i b_i u_i                              local error O(h^(order + 1))
        error               = sum_i error_i u_i                              O(h^(error_order + 1))
        x(t + theta h)      = (1 - theta) x + theta (x1 + (1 - theta) (D_1 + theta D_2 + theta^2 D_3 ...))
        D_k                 = sum_i dense_ki u_i                             local error O(h^(dense_order + 1))

    The u_i are the stages k_i of Hairer and Wanner in other coordinates, so that no product with J is needed
    (Solving ODEs II, IV.7, "implementation").

    name         the usual name
    c, d         nodes, and weights of df/dt, which are the sums of the rows of Gamma
    a, C         rows of lengths 0, 1, ..., s - 1
    dae          for singular M, too
    fsal         the last stage is at (t + h, x(t + h)), so that its f is the first one of the next step
    reference    where the numbers come from
    """

    name: str
    order: int
    error_order: int
    dense_order: int
    gamma: float
    c: Weights
    d: Weights
    a: tuple[Weights, ...]
    C: tuple[Weights, ...]
    b: Weights
    error: Weights
    dense: tuple[Weights, ...]
    dae: bool
    fsal: bool
    reference: str

    def __post_init__(self):
        s = self.stages
        if [len(row) for row in self.a] != list(range(s)) or [len(row) for row in self.C] != list(range(s)):
            raise ValueError(f"tableau {self.name!r}: a and C need rows of 0, 1, ..., s - 1 entries.")
        if any(len(row) != s for row in (self.c, self.d, self.b, self.error, *self.dense)):
            raise ValueError(f"tableau {self.name!r}: c, d, b, error and each row of dense need one number a stage.")
        if self.fsal and (self.c[-1] != 1.0 or self.a[-1] != self.b[:-1] or self.b[-1] != 0.0):
            raise ValueError(f"tableau {self.name!r}: with fsal the last row of a is b and its node is 1.")

    @property
    def stages(self) -> int:
        return len(self.c)


def _ros23() -> RosenbrockTableau:
    g, e32 = 1 / (2 + sqrt(2)), 6 + sqrt(2)
    return RosenbrockTableau(
        name="Ros23",
        order=2,
        error_order=2,
        dense_order=2,
        gamma=g,
        c=(0.0, 0.5, 1.0),
        d=(g, 0.0, -g),
        a=((), (0.5 / g,), (1 / g, 1 / g)),
        C=((), (-1 / g,), (-2 / g, -e32 / g)),
        b=(1 / g, 1 / g, 0.0),
        error=(1 / (6 * g), (e32 - 2) / (6 * g), 1 / (6 * g)),
        dense=((0.0, -1 / (g * (1 - 2 * g)), 0.0),),
        dae=False,
        fsal=True,
        reference="L. F. Shampine, M. W. Reichelt, The MATLAB ODE Suite, SIAM J. Sci. Comput. 18 (1997) 1-22, rewritten "
        "for u_1 = gamma h k_1, u_2 = gamma h (k_2 - k_1), u_3 = gamma h (k_3 - e32 (k_2 - k_1) - 2 k_1)",
    )


ROS23 = _ros23()

_LAST4 = (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950)
RODAS4 = RosenbrockTableau(
    name="Rodas4",
    order=4,
    error_order=3,
    dense_order=3,
    gamma=0.25,
    c=(0.0, 0.386, 0.21, 0.63, 1.0, 1.0),
    d=(0.25, -0.1043, 0.1035, -0.0362, 0.0, 0.0),
    a=(
        (),
        (1.544,),
        (0.9466785280815826, 0.2557011698983284),
        (3.314825187068521, 2.896124015972201, 0.9986419139977817),
        _LAST4,
        (*_LAST4, 1.0),
    ),
    C=(
        (),
        (-5.6688,),
        (-2.430093356833875, -0.2063599157091915),
        (-0.1073529058151375, -9.594562251023355, -20.47028614809616),
        (7.496443313967647, -10.24680431464352, -33.99990352819905, 11.70890893206160),
        (8.083246795921522, -7.981132988064893, -31.52159432874371, 16.31930543123136, -6.058818238834054),
    ),
    b=(*_LAST4, 1.0, 1.0),
    error=(0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
    dense=(
        (10.12623508344586, -7.487995877610167, -34.80091861555747, -7.992771707568823, 1.025137723295662, 0.0),
        (-0.6762803392801253, 6.087714651680015, 16.43084320892478, 24.76722511418386, -6.594389125716872, 0.0),
    ),
    dae=True,
    fsal=False,
    reference="E. Hairer, G. Wanner, Solving ODEs II, 2nd ed. (1996), VI.4, and their Fortran code RODAS",
)

_LAST5P = (-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256, 0.030198172008377946)
RODAS5P = RosenbrockTableau(
    name="Rodas5P",
    order=5,
    error_order=4,
    dense_order=4,
    gamma=0.21193756319429014,
    c=(0.0, 0.6358126895828704, 0.4095798393397535, 0.9769306725060716, 0.4288403609558664, 1.0, 1.0, 1.0),
    d=(
        0.21193756319429014,
        -0.42387512638858027,
        -0.3384627126235924,
        1.8046452872882734,
        2.325825639765069,
        0.0,
        0.0,
        0.0,
    ),
    a=(
        (),
        (3.0,),
        (2.849394379747939, 0.45842242204463923),
        (-6.954028509809101, 2.489845061869568, -10.358996098473584),
        (2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641),
        _LAST5P,
        (*_LAST5P, 1.0),
        (*_LAST5P, 1.0, 1.0),
    ),
    C=(
        (),
        (-14.155112264123755,),
        (-17.97296035885952, -2.859693295451294),
        (147.12150275711716, -1.41221402718213, 71.68940251302358),
        (165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306),
        (24.854864614690072, -3.0009227002832186, 47.4931110020768, 5.5814197821558125, -0.6610691825249471),
        (
            30.91273214028599,
            -3.1208243349937974,
            77.79954646070892,
            34.28646028294783,
            -19.097331116725623,
            -28.087943162872662,
        ),
        (
            37.80277123390563,
            -3.2571969029072276,
            112.26918849496327,
            66.9347231244047,
            -40.06618937091002,
            -54.66780262877968,
            -9.48861652309627,
        ),
    ),
    b=(*_LAST5P, 1.0, 1.0, 1.0),
    error=(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
    dense=(
        (
            25.948786856663858,
            -2.5579724845846235,
            10.433815404888879,
            -2.3679251022685204,
            0.524948541321073,
            1.1241088310450404,
            0.4272876194431874,
            -0.17202221070155493,
        ),
        (
            -9.91568850695171,
            -0.9689944594115154,
            3.0438037242978453,
            -24.495224566215796,
            20.176138334709044,
            15.98066361424651,
            -6.789040303419874,
            -6.710236069923372,
        ),
        (
            11.419903575922262,
            2.8879645146136994,
            72.92137995996029,
            80.12511834622643,
            -52.072871366152654,
            -59.78993625266729,
            -0.15582684282751913,
            4.883087185713722,
        ),
    ),
    dae=True,
    fsal=False,
    reference="G. Steinebach, Construction of Rosenbrock-Wanner method Rodas5P and numerical benchmarks within the Julia "
    "Differential Equations package, BIT 63 (2023) 27",
)
