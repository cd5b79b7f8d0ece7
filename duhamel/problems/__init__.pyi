from .bari import BARI as BARI
from .detest import DETEST as DETEST
from .known import ExactSDE as ExactSDE, InitialValueProblem as InitialValueProblem
from .orbits import (
    ARENSTORF as ARENSTORF,
    LORENZ_END as LORENZ_END,
    LORENZ_START as LORENZ_START,
    lorenz as lorenz,
    lorenz_rho as lorenz_rho,
)
from .riemann import SOD as SOD, shock_tube as shock_tube
from .stochastic import STOCHASTIC as STOCHASTIC
from .water import bowl as bowl, dam_break as dam_break, simple_wave as simple_wave
