from . import hare_lynx as hare_lynx, vowels as vowels
from .cde import GRUDelta as GRUDelta, NeuralCDE as NeuralCDE, cross_entropy as cross_entropy
from .forecast import Trajectory as Trajectory, learn as learn, rmse as rmse
from .models import (
    LotkaVolterra as LotkaVolterra,
    NeuralODE as NeuralODE,
    Universal as Universal,
    scaled as scaled,
    untrained as untrained,
)
