from . import elliptic as elliptic, volumes as volumes
from .axes.chebyshev import Chebyshev as Chebyshev
from .axes.fourier import Fourier as Fourier
from .axes.legendre import Legendre as Legendre
from .axes.trigonometric import Cosine as Cosine, Sine as Sine
from .boundary import Derivative as Derivative, Dirichlet as Dirichlet, Neumann as Neumann, Robin as Robin
from .dispersive import NLSE as NLSE, KdV as KdV
from .dissipative import Burgers as Burgers, KuramotoSivashinsky as KuramotoSivashinsky
from .equation import Equation as Equation
from .evolve import Monitored as Monitored, solve as solve
from .flow import Boussinesq as Boussinesq, MagneticFlow2D as MagneticFlow2D, NavierStokes3D as NavierStokes3D
from .forced import Manufactured as Manufactured, manufactured as manufactured
from .forcing import SineForcing as SineForcing, drawn_forcing as drawn_forcing
from .grid import Grid as Grid, periodic as periodic
from .kdv_burgers import KdVBurgers as KdVBurgers
from .navier_stokes import NavierStokes2D as NavierStokes2D, random_vorticity as random_vorticity
from .pattern import CahnHilliard as CahnHilliard, SwiftHohenberg as SwiftHohenberg
from .reaction import (
    AllenCahn as AllenCahn,
    FisherKPP as FisherKPP,
    FitzHughNagumo as FitzHughNagumo,
    GrayScott as GrayScott,
    Heat as Heat,
    ReactionDiffusion as ReactionDiffusion,
)
from .registry import equation_named as equation_named
from .resolution import resample as resample
from .space import Space as Space, box as box
from .stability import Forecast as Forecast, forecast as forecast
from .waves import (
    Advection as Advection,
    KleinGordon as KleinGordon,
    Schroedinger as Schroedinger,
    SineGordon as SineGordon,
    Wave as Wave,
)
