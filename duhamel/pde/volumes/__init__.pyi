from .errors import fourier_split as fourier_split, takacs_split as takacs_split
from .euler import Euler as Euler
from .evolve import solve as solve
from .kdv_burgers import KdVBurgers as KdVBurgers
from .law import Advection as Advection, Burgers as Burgers, Law as Law
from .mesh import Inflow as Inflow, Mesh as Mesh, Outflow as Outflow, Periodic as Periodic, Wall as Wall, box as box
from .mhd import MHD as MHD
from .reconstruction import MUSCL as MUSCL, WENO5 as WENO5, PiecewiseConstant as PiecewiseConstant
from .residual import Residual as Residual
from .riemann import HLL as HLL, HLLC as HLLC, Rusanov as Rusanov
from .riemann_mhd import HLLD as HLLD
from .shallow_water import ShallowWater as ShallowWater
from .spectral_difference import SpectralDifference as SpectralDifference
