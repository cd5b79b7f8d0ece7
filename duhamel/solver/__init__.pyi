from .adjoint import Adjoint as Adjoint, Forward as Forward, Tape as Tape
from .backsolve import Backsolve as Backsolve
from .control import CFL as CFL, PID as PID, Fixed as Fixed
from .direct import Direct as Direct
from .event import Event as Event
from .save import Save as Save
from .solution import (
    DenseOutput as DenseOutput,
    Events as Events,
    Solution as Solution,
    SolveError as SolveError,
    Stats as Stats,
)
from .steady import SteadyState as SteadyState, steady_state as steady_state
