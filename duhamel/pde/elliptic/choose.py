"""Which solver a system gets when nobody names one."""

from .bands import Tridiagonal
from .krylov import PCG
from .multigrid import Multigrid, coarsest
from .relax import Jacobi
from .solving import Solver
from .system import System
from .tensor import Diagonalise
from .transforms import Fourier

DENSE = 1024  # eigenvectors of one axis beyond this cost more than iterations


def default(system: System) -> Solver:
    """Direct where the geometry allows it, else conjugate gradients."""
    for solver in (Fourier(), Tridiagonal(), Diagonalise()):
        if max(system.shape) > DENSE and isinstance(solver, Diagonalise):
            continue
        try:
            solver.check(system)
        except ValueError:
            continue
        return solver
    return PCG(Multigrid()) if coarsest(system) <= Multigrid().dense else PCG(Jacobi())
