from .files import read as read, write as write
from .gaussian import GaussianField as GaussianField, TruncatedFourier as TruncatedFourier
from .generation import generate as generate, plan as plan
from .initial import (
    Blobs as Blobs,
    Clusters as Clusters,
    Complex as Complex,
    Disc as Disc,
    Jumps as Jumps,
    Noise as Noise,
    Patches as Patches,
    RandomSines as RandomSines,
    Rescaled as Rescaled,
    Sampler as Sampler,
    Solenoidal as Solenoidal,
    Stacked as Stacked,
    Threshold as Threshold,
    draw as draw,
)
from .named import sampler_named as sampler_named
from .recipe import Recipe as Recipe
from .standards import standard as standard
from .stream import Reservoir as Reservoir, Stream as Stream
from .trajectories import Trajectories as Trajectories, joined as joined
