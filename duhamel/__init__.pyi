from . import (
    core as core,
    diffusion as diffusion,
    methods as methods,
    nde as nde,
    nn as nn,
    papers as papers,
    pde as pde,
    problems as problems,
    rows as rows,
    solver as solver,
    testing as testing,
    torch as torch,
    train as train,
)
from .core.brownian import Counter as Counter, Noise as Noise, VirtualTree as VirtualTree
from .core.cde import CDE as CDE, LogODE as LogODE
from .core.flows import Flows as Flows
from .core.linear import Dense as Dense, Diagonal as Diagonal, Linear as Linear, Scalar as Scalar, Zero as Zero
from .core.path import (
    HermitePath as HermitePath,
    LinearPath as LinearPath,
    NaturalCubicPath as NaturalCubicPath,
    Path as Path,
    RectilinearPath as RectilinearPath,
)
from .core.problem import (
    DAE as DAE,
    ODE as ODE,
    SDE as SDE,
    Langevin as Langevin,
    Problem as Problem,
    Semilinear as Semilinear,
    Separable as Separable,
    Split as Split,
)
from .core.status import Status as Status
from .methods.auto import Auto as Auto
from .methods.base import Method as Method
from .methods.bdf import BDF as BDF
from .methods.consistent import consistent_start as consistent_start
from .methods.explicit import (
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
from .methods.exponential import (
    ETD1 as ETD1,
    ETDRK2 as ETDRK2,
    ETDRK3 as ETDRK3,
    ETDRK4 as ETDRK4,
    ExponentialRK as ExponentialRK,
    HochbruckOstermann as HochbruckOstermann,
    Krogstad as Krogstad,
)
from .methods.exponential_sde import (
    ExponentialEulerMaruyama as ExponentialEulerMaruyama,
    ExponentialHeun as ExponentialHeun,
)
from .methods.imex import (
    ARS222 as ARS222,
    ARS232 as ARS232,
    ARS343 as ARS343,
    ARS443 as ARS443,
    IMEXRK as IMEXRK,
    KenCarp3 as KenCarp3,
    KenCarp4 as KenCarp4,
    KenCarp5 as KenCarp5,
)
from .methods.implicit import (
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
from .methods.krylov import Krylov as Krylov
from .methods.langevin import ALIGN as ALIGN, BAOAB as BAOAB, QUICSORT as QUICSORT, UBU as UBU
from .methods.linalg import (
    Banded as Banded,
    BlockDiagonal as BlockDiagonal,
    DenseLU as DenseLU,
    LinearSolver as LinearSolver,
)
from .methods.milstein import Milstein as Milstein
from .methods.newton import Newton as Newton
from .methods.reversible import Reversible as Reversible
from .methods.reversible_heun import ReversibleHeun as ReversibleHeun
from .methods.rosenbrock import Rodas4 as Rodas4, Rodas5P as Rodas5P, Ros23 as Ros23, Rosenbrock as Rosenbrock
from .methods.sbdf import SBDF as SBDF, SBDF2 as SBDF2, SBDF3 as SBDF3, SBDF4 as SBDF4
from .methods.splitting import Lie as Lie, Splitting as Splitting, Strang as Strang
from .methods.stochastic import (
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
    StochasticRK as StochasticRK,
)
from .methods.symplectic import (
    McLachlan4 as McLachlan4,
    McLachlan8 as McLachlan8,
    PositionVerlet as PositionVerlet,
    SemiImplicitEuler as SemiImplicitEuler,
    StormerVerlet as StormerVerlet,
    Symplectic as Symplectic,
    Yoshida4 as Yoshida4,
    Yoshida6 as Yoshida6,
    Yoshida8 as Yoshida8,
)
from .methods.tase import MSRKTASE2 as MSRKTASE2, MSRKTASE3 as MSRKTASE3, TASE as TASE
from .methods.weak import DRI1 as DRI1
from .rows.pattern import Pattern as Pattern, Row as Row
from .rows.plan import Plan as Plan, Segment as Segment
from .solver.adjoint import Forward as Forward, Tape as Tape
from .solver.backsolve import Backsolve as Backsolve
from .solver.control import CFL as CFL, PID as PID, Fixed as Fixed
from .solver.direct import Direct as Direct
from .solver.ensemble import ensemble as ensemble
from .solver.event import Event as Event
from .solver.interpolating import Interpolating as Interpolating
from .solver.linear_cde import linear_cde as linear_cde
from .solver.progress import Bar as Bar
from .solver.reversible_adjoint import ReversibleAdjoint as ReversibleAdjoint
from .solver.save import Save as Save
from .solver.solution import Events as Events, Solution as Solution, SolveError as SolveError, Stats as Stats
from .solver.solve import solve as solve
from .solver.steady import SteadyState as SteadyState, steady_state as steady_state

__version__: str
