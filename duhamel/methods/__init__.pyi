from .auto import Auto as Auto
from .base import Method as Method, RowMethod as RowMethod
from .bdf import BDF as BDF
from .consistent import consistent_start as consistent_start
from .explicit import (
    RK4 as RK4,
    SSPRK2 as SSPRK2,
    SSPRK3 as SSPRK3,
    SSPRK104 as SSPRK104,
    Bosh3 as Bosh3,
    Dopri5 as Dopri5,
    Dopri8 as Dopri8,
    Euler as Euler,
    ExplicitRK as ExplicitRK,
    Heun as Heun,
    Midpoint as Midpoint,
    Ralston as Ralston,
    Tsit5 as Tsit5,
    Verner6 as Verner6,
    Verner7 as Verner7,
    Verner8 as Verner8,
    Verner9 as Verner9,
)
from .exponential import (
    ETD1 as ETD1,
    ETDRK2 as ETDRK2,
    ETDRK3 as ETDRK3,
    ETDRK4 as ETDRK4,
    ExponentialRK as ExponentialRK,
    HochbruckOstermann as HochbruckOstermann,
    Krogstad as Krogstad,
)
from .exponential_sde import ExponentialEulerMaruyama as ExponentialEulerMaruyama, ExponentialHeun as ExponentialHeun
from .fits import fitting as fitting
from .imex import (
    ARS222 as ARS222,
    ARS232 as ARS232,
    ARS343 as ARS343,
    ARS443 as ARS443,
    IMEXRK as IMEXRK,
    KenCarp3 as KenCarp3,
    KenCarp4 as KenCarp4,
    KenCarp5 as KenCarp5,
)
from .implicit import (
    ESDIRK as ESDIRK,
    ESDIRK32 as ESDIRK32,
    ESDIRK43 as ESDIRK43,
    ESDIRK54 as ESDIRK54,
    TRBDF2 as TRBDF2,
    ImplicitEuler as ImplicitEuler,
    Kvaerno3 as Kvaerno3,
    Kvaerno4 as Kvaerno4,
    Kvaerno5 as Kvaerno5,
    Trapezoid as Trapezoid,
)
from .krylov import Krylov as Krylov
from .langevin import ALIGN as ALIGN, BAOAB as BAOAB, QUICSORT as QUICSORT, UBU as UBU
from .linalg import Banded as Banded, BlockDiagonal as BlockDiagonal, DenseLU as DenseLU, LinearSolver as LinearSolver
from .milstein import Milstein as Milstein
from .newton import Newton as Newton
from .reversible import Reversible as Reversible
from .reversible_heun import ReversibleHeun as ReversibleHeun
from .rosenbrock import Rodas4 as Rodas4, Rodas5P as Rodas5P, Ros23 as Ros23, Rosenbrock as Rosenbrock
from .sbdf import SBDF2 as SBDF2, SBDF3 as SBDF3, SBDF4 as SBDF4
from .splitting import Lie as Lie, Strang as Strang
from .stochastic import (
    SOSRI as SOSRI,
    SRA1 as SRA1,
    SRIW1 as SRIW1,
    EulerHeun as EulerHeun,
    EulerMaruyama as EulerMaruyama,
    ShARK as ShARK,
    SlowRK as SlowRK,
    SPaRK as SPaRK,
    StochasticHeun as StochasticHeun,
    StochasticMidpoint as StochasticMidpoint,
)
from .symplectic import (
    McLachlan4 as McLachlan4,
    McLachlan8 as McLachlan8,
    PositionVerlet as PositionVerlet,
    SemiImplicitEuler as SemiImplicitEuler,
    StormerVerlet as StormerVerlet,
    Yoshida4 as Yoshida4,
    Yoshida6 as Yoshida6,
    Yoshida8 as Yoshida8,
)
from .tase import MSRKTASE2 as MSRKTASE2, MSRKTASE3 as MSRKTASE3
from .weak import DRI1 as DRI1
