from .brownian import Counter as Counter, Noise as Noise, VirtualTree as VirtualTree
from .cde import CDE as CDE, LogODE as LogODE, LogPath as LogPath
from .flows import Flows as Flows
from .linear import Dense as Dense, Diagonal as Diagonal, Linear as Linear, Scalar as Scalar, Zero as Zero
from .path import (
    HermitePath as HermitePath,
    LinearPath as LinearPath,
    NaturalCubicPath as NaturalCubicPath,
    Path as Path,
    RectilinearPath as RectilinearPath,
)
from .problem import (
    DAE as DAE,
    ODE as ODE,
    SDE as SDE,
    Langevin as Langevin,
    Problem as Problem,
    Semilinear as Semilinear,
    Separable as Separable,
    Split as Split,
)
from .status import Status as Status
