from .bands import Band as Band, Tridiagonal as Tridiagonal
from .boxes import Box as Box, box as box
from .equations import (
    Darcy as Darcy,
    Helmholtz as Helmholtz,
    Poisson as Poisson,
    ScreenedPoisson as ScreenedPoisson,
    manufactured as manufactured,
)
from .fluxes import discretise as discretise
from .krylov import PCG as PCG
from .multigrid import Multigrid as Multigrid
from .relax import SOR as SOR, SSOR as SSOR, Jacobi as Jacobi
from .sides import Dirichlet as Dirichlet, Neumann as Neumann, Periodic as Periodic, Robin as Robin
from .solving import Solved as Solved, solve as solve
from .sparse import matrix as matrix
from .spectral import spectral as spectral
from .stefan import Stefan as Stefan
from .system import System as System
from .tensor import Diagonalise as Diagonalise
from .transforms import Fourier as Fourier
